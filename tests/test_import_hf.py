"""A Hugging Face folder becomes a checkpoint: bit for bit where it came from us, checked where it did not."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from llama_like import SHAPES, checkpoint, ids
from safetensors.torch import load_file, save_file

from litgpt_zh.export.importing import import_hf
from litgpt_zh.export.stage import export
from litgpt_zh.generate.load import load
from litgpt_zh.stage import UserError
from litgpt_zh.tokenizer import files


@pytest.mark.parametrize("instruct", [True, False])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_out_and_back_is_the_same_to_the_last_bit(tmp_path: Path, shape: str, instruct: bool) -> None:
    checkpoint(tmp_path / "lit", shape, instruct=instruct)
    export(tmp_path / "lit", tmp_path / "hf")
    import_hf(tmp_path / "hf", tmp_path / "back")
    before, after = (torch.load(tmp_path / name / "lit_model.pth", weights_only=True) for name in ("lit", "back"))
    assert set(before) == set(after) and all(torch.equal(before[name], after[name]) for name in before)
    before, after = (yaml.safe_load((tmp_path / name / "model_config.yaml").read_text()) for name in ("lit", "back"))
    said = before.pop("hf_config"), after.pop("hf_config")
    assert before == after and (said[0] == said[1] or not said[0])
    assert (tmp_path / "lit" / files.TOKENIZER).read_bytes() == (tmp_path / "back" / files.TOKENIZER).read_bytes()
    assert load(tmp_path / "back").instruct is instruct
    assert load(tmp_path / "back").stop_ids == (0, 2)


def test_tied_weights_come_back_as_one_matrix(tmp_path: Path) -> None:
    checkpoint(tmp_path / "lit")
    export(tmp_path / "lit", tmp_path / "hf")
    import_hf(tmp_path / "hf", tmp_path / "back")
    state = torch.load(tmp_path / "back" / "lit_model.pth", weights_only=True)
    assert state["lm_head.weight"].data_ptr() == state["transformer.wte.weight"].data_ptr()
    assert json.loads((tmp_path / "back" / "config.json").read_text())["tie_word_embeddings"] is True


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama as transformers saves it, in parts, with a byte-level tokenizer."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("foreign") / "mini-llama"
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.3)
    model.save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(["<s>", "</s>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = "{{ messages[0]['content'] }}"
    fast.save_pretrained(folder)
    return folder


def test_a_llama_of_others_gives_its_own_logits(foreign: Path, tmp_path: Path) -> None:
    import transformers

    import_hf(foreign, tmp_path / "lit")
    here, there = load(tmp_path / "lit"), transformers.AutoModelForCausalLM.from_pretrained(foreign).eval()
    tokens = ids(60, 300)
    with torch.inference_mode():
        ours, theirs = here.model(tokens), there(tokens).logits
    assert ours.abs().max() > 1 and (ours - theirs).abs().max() <= 1e-5
    assert here.config.name == "mini-llama" and not here.instruct
    text = "小兔子 hops"
    assert here.decode(here.encode(text)) == text and here.eos_id == 1


def test_exported_again_it_is_the_same_file(foreign: Path, tmp_path: Path) -> None:
    import_hf(foreign, tmp_path / "lit")
    export(tmp_path / "lit", tmp_path / "hf")
    before = {k: v for part in foreign.glob("*.safetensors") for k, v in load_file(part).items()}
    after = load_file(tmp_path / "hf" / "model.safetensors")
    assert set(before) == set(after) and all(torch.equal(before[k], after[k]) for k in before)
    kept = json.loads((tmp_path / "hf" / files.CONFIG).read_text())
    assert kept["chat_template"] == "{{ messages[0]['content'] }}" and kept["eos_token"] == "</s>"
    assert "按指令微调过" in (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def hf(tmp_path: Path) -> Path:
    checkpoint(tmp_path / "lit")
    export(tmp_path / "lit", tmp_path / "hf")
    (tmp_path / "hf" / "manifest.json").unlink()  # as somebody else's folder comes
    return tmp_path / "hf"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(model_type="gpt2"), "model_type 'gpt2' is not read; llama"),
        (dict(hidden_size=64), r"model.embed_tokens.weight: config.json means 301x64, the weights have 301x32"),
        (dict(vocab_size=302), "config.json means 302x32, the weights have 301x32"),
        (dict(num_hidden_layers=10**9), "config.json says 1000000000 layers, the weights have 2"),
        (dict(num_hidden_layers=-1), "num_hidden_layers is -1"),
        (dict(intermediate_size="64"), "intermediate_size is '64'"),
        (dict(num_key_value_heads=3), "no multiple of num_key_value_heads 3"),
        (dict(head_dim=16), "k_proj.weight: config.json means 32x32, the weights have 16x32"),
        (dict(model_type="qwen3"), "k_norm.weight: config.json means 8, the weights have no such tensor"),
        (dict(tie_word_embeddings=False), "lm_head.weight: config.json means 301x32, the weights have no such tensor"),
        (dict(attention_bias=True), "attention_bias True has no form"),
        (dict(rope_scaling={"rope_type": "yarn", "factor": 4.0}), "RoPE of type 'yarn'"),
        (dict(quantization_config={"bits": 4}), "quantization_config"),
        (dict(_name_or_path="x/Gemma-like"), "takes every name with Gemma"),
    ],
)  # fmt: skip
def test_a_config_that_lies_is_refused(hf: Path, tmp_path: Path, change: dict, said: str) -> None:
    described = json.loads((hf / "config.json").read_text()) | change
    (hf / "config.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=said):
        import_hf(hf, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_second_matrix_that_the_tie_would_drop_is_refused(hf: Path, tmp_path: Path) -> None:
    weights = load_file(hf / "model.safetensors")
    save_file(weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}, hf / "model.safetensors")
    import_hf(hf, tmp_path / "fine")
    save_file(weights | {"lm_head.weight": weights["model.embed_tokens.weight"] + 1}, hf / "model.safetensors")
    with pytest.raises(UserError, match=r"says tie_word_embeddings, but lm_head.weight differs"):
        import_hf(hf, tmp_path / "back")


def test_a_pickle_is_never_opened(hf: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    (hf / "model.safetensors").unlink()
    (hf / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match=r"pytorch_model.bin, a pickle, which can run code.*save_pretrained"):
        import_hf(hf, tmp_path / "back")
    assert not (tmp_path / "sprung").exists()


def test_broken_folders_are_refused(hf: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; download"):
        import_hf(tmp_path / "nowhere", tmp_path / "back")
    with pytest.raises(UserError, match="lies inside"):
        import_hf(hf, hf / "lit")
    (hf / files.TOKENIZER).rename(tmp_path / "aside")
    with pytest.raises(UserError, match=r"no tokenizer.json; AutoTokenizer"):
        import_hf(hf, tmp_path / "back")
    (tmp_path / "aside").rename(hf / files.TOKENIZER)
    whole = (hf / "model.safetensors").read_bytes()
    (hf / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        import_hf(hf, tmp_path / "back")
    index = {"weight_map": {"model.norm.weight": "../lit/lit_model.pth"}}
    (hf / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"names '../lit/lit_model.pth', which is not in this folder"):
        import_hf(hf, tmp_path / "back")
    (hf / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json: not JSON"):
        import_hf(hf, tmp_path / "back")


def test_a_tokenizer_larger_than_the_model_is_refused(hf: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((hf / files.TOKENIZER).read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["龘"] = len(tokenizer["model"]["vocab"])
    (hf / files.TOKENIZER).write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer.json: 302 entries, but the model has 301"):
        import_hf(hf, tmp_path / "back")
