"""Export for transformers: the same logits, text and prompts there as here; what has no form is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from llama_like import SHAPES, checkpoint, ids
from safetensors.torch import load_file

from litgpt_zh.export.stage import export
from litgpt_zh.generate.batch import generate
from litgpt_zh.generate.load import load
from litgpt_zh.prompts import chat_prompt
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokenizer import files

TURNS = (
    [("user", "小兔子\n")],
    [
        ("system", " 你是{{ 作家 }} "),
        ("user", "讲<|user|>故<|endoftext|>事"),
        ("assistant", "好\n"),
        ("user", "再 来🐰"),
    ],
)


@pytest.fixture(scope="module", params=list(SHAPES))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("export")
    checkpoint(home / "lit", request.param)
    export(home / "lit", home / "hf")
    return home / "lit", home / "hf"


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("tied")
    checkpoint(home / "lit")
    export(home / "lit", home / "hf")
    return home / "lit", home / "hf"


def in_transformers(folder: Path) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def test_the_logits_are_those_of_litgpt(exported: tuple[Path, Path]) -> None:
    here, there = load(exported[0]), in_transformers(exported[1])
    tokens = ids(90, here.config.padded_vocab_size)
    with torch.inference_mode():
        ours, theirs = here.model(tokens), there(tokens).logits
    assert ours.abs().max() > 1  # a difference would show
    assert (ours - theirs).abs().max() <= 1e-5


def test_the_greedy_text_is_the_same(exported: tuple[Path, Path]) -> None:
    here, there = load(exported[0]), in_transformers(exported[1])
    lengths = set()
    for prompt in ("小兔子", "草地上", "按照下面"):
        tokens = here.encode(chat_prompt([("user", prompt)]))
        ours = generate(here.model, [tokens], stop_ids=here.stop_ids)[0].ids
        theirs = there.generate(torch.tensor([tokens]), do_sample=False)[0, len(tokens) :].tolist()
        assert [i for i in theirs if i not in here.stop_ids] == ours
        lengths.add(len(ours))
    assert max(lengths) > 20


@pytest.mark.parametrize("turns", TURNS)
def test_the_chat_template_gives_the_prompt_of_training(tied: tuple[Path, Path], turns: list[tuple[str, str]]) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tied[1])
    messages = [{"role": role, "content": content} for role, content in turns]
    there = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert there == load(tied[0]).encode(chat_prompt(turns))
    assert tokenizer.model_max_length == 96 and tokenizer.bos_token is None


def test_a_pipeline_asks_with_that_prompt_and_stops_where_we_stop(
    tied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    pipe = transformers.pipeline("text-generation", str(tied[1]), device="cpu")
    here, asked, original = load(tied[0]), [], pipe.model.generate

    def seen(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["input_ids"].tolist())
        return original(*args, **kwargs)

    monkeypatch.setattr(pipe.model, "generate", seen)
    answer = pipe([{"role": "user", "content": "草地"}], do_sample=False, max_new_tokens=60)
    prompt = here.encode(chat_prompt([("user", "草地")]))
    assert asked == [[prompt]]
    ours = generate(here.model, [prompt], stop_ids=here.stop_ids, max_new_tokens=60)[0].ids
    assert answer[0]["generated_text"][-1]["content"].rstrip("\ufffd") == here.decode(ours)


def test_a_tied_matrix_stands_in_the_file_once(tied: tuple[Path, Path]) -> None:
    described = json.loads((tied[1] / "config.json").read_text())
    weights = load_file(tied[1] / "model.safetensors")
    assert described["tie_word_embeddings"] is True and "lm_head.weight" not in weights
    assert (described["eos_token_id"], described["pad_token_id"], described["bos_token_id"]) == (0, 1, None)
    generation = json.loads((tied[1] / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [0, 2] and generation["max_length"] == 96
    sizes = {name: tensor.numel() for name, tensor in weights.items()}
    once = sum(parameter.numel() for parameter in load(tied[0]).model.parameters()) - sizes["model.embed_tokens.weight"]
    assert Manifest.read(tied[1]).counts["parameters"] == sum(sizes.values()) == once


def test_the_weights_decide_whether_they_are_tied(tmp_path: Path) -> None:
    """Stock finetune_full lets the two matrices drift apart while the configuration goes on saying that they are one."""
    model = checkpoint(tmp_path / "lit")
    state = model.state_dict()
    state["lm_head.weight"] = state["lm_head.weight"] + 0.1
    torch.save(state, tmp_path / "lit" / "lit_model.pth")
    export(tmp_path / "lit", tmp_path / "hf")
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["tie_word_embeddings"] is False
    there = in_transformers(tmp_path / "hf")
    assert torch.equal(there.lm_head.weight, state["lm_head.weight"])
    assert torch.equal(there.model.embed_tokens.weight, state["transformer.wte.weight"])


def test_the_precision_stays(tmp_path: Path) -> None:
    checkpoint(tmp_path / "lit", dtype=torch.bfloat16)
    export(tmp_path / "lit", tmp_path / "hf")
    assert {t.dtype for t in load_file(tmp_path / "hf" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_a_model_that_was_never_tuned_has_no_chat_template(tmp_path: Path) -> None:
    checkpoint(tmp_path / "lit", instruct=False)
    export(tmp_path / "lit", tmp_path / "hf")
    assert "chat_template" not in json.loads((tmp_path / "hf" / files.CONFIG).read_text())
    assert json.loads((tmp_path / "hf" / "generation_config.json").read_text())["eos_token_id"] == 0
    assert "不会回答" in (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(parallel_residual=True), "parallel_residual: true"),
        (dict(mlp_class_name="GemmaMLP"), "mlp_class_name: \"GemmaMLP\""),
        (dict(norm_class_name="LayerNorm"), "norm_class_name: \"LayerNorm\""),
        (dict(bias=True), "bias: true"),
        (dict(rotary_percentage=0.25), "rotary_percentage: 0.25"),
        (dict(sliding_window_size=16), "sliding_window_size: 16"),
        (dict(final_logit_softcapping=30.0), "final_logit_softcapping: 30.0"),
        (dict(norm_qk=True, norm_qk_type="olmo2"), "norm_qk_type olmo2"),
        (dict(rope_adjustments=dict(factor=2.0)), "rope_adjustments: factor"),
        (dict(name="Gemma-mini"), "Gemma"),
    ],
)  # fmt: skip
def test_what_has_no_form_is_refused_by_name(tmp_path: Path, change: dict, said: str) -> None:
    checkpoint(tmp_path / "lit")
    file = tmp_path / "lit" / "model_config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | change))
    with pytest.raises(UserError, match=r"model_config.yaml: .*no form among LlamaForCausalLM") as error:
        export(tmp_path / "lit", tmp_path / "hf")
    assert said in str(error.value) and not (tmp_path / "hf").exists()


def test_broken_checkpoints_are_refused(tmp_path: Path) -> None:
    lit = tmp_path / "lit"
    with pytest.raises(UserError, match="no such folder"):
        export(lit, tmp_path / "hf")
    checkpoint(lit)
    (lit / "model_config.yaml").rename(tmp_path / "aside")
    with pytest.raises(UserError, match=r"model_config.yaml is missing"):
        export(lit, tmp_path / "hf")
    (tmp_path / "aside").rename(lit / "model_config.yaml")
    with pytest.raises(UserError, match="lies inside the checkpoint"):
        export(lit, lit / "hf")
    whole = (lit / "lit_model.pth").read_bytes()
    (lit / "lit_model.pth").write_bytes(whole[:-1000])
    with pytest.raises(UserError, match="not a whole torch checkpoint"):
        export(lit, tmp_path / "hf")
    (lit / "lit_model.pth").unlink()
    (lit / "lit_model.pth.lora").write_bytes(whole)
    with pytest.raises(UserError, match="litgpt merge_lora"):
        export(lit, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_a_file_changed_after_training_is_refused(tmp_path: Path) -> None:
    from litgpt_zh.stage import fingerprint

    checkpoint(tmp_path / "lit")
    outputs = {p.name: fingerprint(p) for p in (tmp_path / "lit").iterdir()}
    Manifest("sft", {}, {}, outputs=outputs).write(tmp_path / "lit")
    tokenizer = tmp_path / "lit" / files.TOKENIZER
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8").replace("铲", "锹"), encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer.json: is not the file the training wrote"):
        export(tmp_path / "lit", tmp_path / "hf")


def test_again_does_nothing_and_another_checkpoint_needs_overwrite(tmp_path: Path) -> None:
    checkpoint(tmp_path / "one")
    checkpoint(tmp_path / "two", seed=5)
    export(tmp_path / "one", tmp_path / "hf")
    before = (tmp_path / "hf" / "model.safetensors").stat().st_mtime_ns
    export(tmp_path / "one", tmp_path / "hf")
    assert (tmp_path / "hf" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="already made with other input checkpoint"):
        export(tmp_path / "two", tmp_path / "hf")
    export(tmp_path / "two", tmp_path / "hf", overwrite=True)
    assert (tmp_path / "hf.old" / "model.safetensors").stat().st_mtime_ns == before
    shutil.rmtree(tmp_path / "hf")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not the output of a stage"):
        export(tmp_path / "one", tmp_path / "hf", overwrite=True)
