"""GGUF: the same tokens, numbers and prompt in llama.cpp's file as in the checkpoint."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llama_like import checkpoint
from test_tokenizer import HARD, some_texts

from litgpt_zh.corpus.world import generate as tell
from litgpt_zh.export.llamacpp import export_gguf, interleave
from litgpt_zh.export.modelfile import CHAT, PLAIN
from litgpt_zh.export.vocabulary import Vocabulary, vocabulary
from litgpt_zh.generate.batch import generate
from litgpt_zh.generate.load import load
from litgpt_zh.prompts import CONTROL, chat_prompt, plain
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokenizer import files

SHIPPED = Path(__file__).parents[1] / "tokenizer"
TURNS = (
    [("user", "小兔子\n")],
    [("system", "你是作家"), ("user", "讲故事"), ("assistant", "好"), ("user", "再来一个")],
)


def stories(count: int = 1000) -> list[str]:
    """Stories of the built-in world, all plots, and their prompts."""
    return [story.text for story in tell(seed=77, start=0, count=count)]


# tokens --------------------------------------------------------------------------------------------------------------


class LlamaCpp:
    """llama.cpp's ``llama`` tokenizer (llm_tokenizer_spm), written down from its description: no bos, no leading space."""

    def __init__(self, entries: Vocabulary) -> None:
        self.id = {piece: i for i, piece in enumerate(entries.pieces)}
        self.score = entries.scores
        control = [p for p, kind in zip(entries.pieces, entries.types, strict=True) if kind == 3]
        self.control = re.compile("|".join(map(re.escape, control)))

    def encode(self, text: str) -> list[int]:
        ids, at = [], 0
        for found in self.control.finditer(text):
            ids += [*self._part(text[at : found.start()]), self.id[found.group()]]
            at = found.end()
        return ids + self._part(text[at:])

    def _part(self, text: str) -> list[int]:
        symbols: list[str] = list(text.replace(" ", "▁"))
        before, after = list(range(-1, len(symbols) - 1)), [*range(1, len(symbols)), -1]
        queue: list[tuple[float, int, int, str]] = []

        def consider(left: int, right: int) -> None:
            if left >= 0 and right >= 0 and (piece := symbols[left] + symbols[right]) in self.id:
                heapq.heappush(queue, (-self.score[self.id[piece]], left, right, piece))

        for i in range(1, len(symbols)):
            consider(i - 1, i)
        while queue:
            _, left, right, piece = heapq.heappop(queue)
            if not symbols[left] or not symbols[right] or symbols[left] + symbols[right] != piece:
                continue
            symbols[left], symbols[right] = piece, ""
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            consider(before[left], left)
            consider(left, after[left])
        return [i for symbol in symbols if symbol for i in self._ids(symbol)]

    def _ids(self, symbol: str) -> list[int]:
        known = self.id.get(symbol)
        return [known] if known is not None else [self.id[f"<0x{byte:02X}>"] for byte in symbol.encode()]


def test_llama_cpp_cuts_text_into_the_same_tokens() -> None:
    ours, theirs = files.load(SHIPPED), LlamaCpp(vocabulary(SHIPPED, 6656))
    texts = [*stories(), *(chat_prompt([("user", text[:50])]) for text in stories(100))]
    texts += [text for text in (*HARD, *some_texts(300)) if "▁" not in text]
    for text in texts:
        assert theirs.encode(text) == ours.encode(text).ids, text
    assert sum(len(ours.encode(text).ids) for text in texts) > 100_000


def test_flat_scores_would_cut_it_otherwise() -> None:
    """What llama.cpp's converter writes for a tokenizer.json: every score -1000. The ranks are what makes it right."""
    entries = vocabulary(SHIPPED, 6656)
    flat = LlamaCpp(Vocabulary(entries.pieces, [-1000.0] * 6656, entries.types))
    ours = files.load(SHIPPED)
    assert sum(flat.encode(text) == ours.encode(text).ids for text in stories(50)) < 40


def merged(folder: Path, vocab: Sequence[str], merges: list[list[str]]) -> Path:
    """The shipped tokenizer.json with another vocabulary behind the fixed part."""
    found = json.loads((SHIPPED / files.TOKENIZER).read_text(encoding="utf-8"))
    fixed = sorted(found["model"]["vocab"], key=found["model"]["vocab"].get)[:272]
    found["model"]["vocab"] = {piece: i for i, piece in enumerate([*fixed, *vocab])}
    found["model"]["merges"] = merges
    folder.mkdir()
    (folder / files.TOKENIZER).write_text(json.dumps(found), encoding="utf-8")
    return folder


def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_refused(tmp_path: Path) -> None:
    fine = [["橡", "树"], ["大", "橡树"]]
    good = merged(tmp_path / "good", ["大", "橡", "树", "橡树", "大橡树"], fine)
    assert vocabulary(good, 280).scores[275:278] == [-1.0, -2.0, 0.0]
    assert vocabulary(good, 280).types[270:] == [6, 6, 1, 1, 1, 1, 1, 5, 5, 5]
    # 大橡 forms before 橡树, so 大橡树 is never reached here, but by llama.cpp from 大橡 and 树
    stuck = merged(tmp_path / "stuck", ["大", "橡", "树", "大橡", "橡树", "大橡树"], [["大", "橡"], *fine])
    assert files.load(stuck).encode("大橡树").tokens == ["大橡", "树"]
    pieces = ["大", "橡", "树", "大橡", "橡树", "大橡树", "<|x|>"]
    assert LlamaCpp(Vocabulary(pieces, [0, 0, 0, -1, -2, -3, 0], [1] * 6 + [3])).encode("大橡树") == [5]
    with pytest.raises(UserError, match="'大橡树' is a piece but is encoded as 大橡 \\+ 树"):
        vocabulary(stuck, 280)
    twice = merged(tmp_path / "twice", pieces[:6], [*fine, ["大", "橡"], ["大橡", "树"]])
    with pytest.raises(UserError, match="makes a piece that an earlier one makes"):
        vocabulary(twice, 280)
    late = merged(tmp_path / "late", ["大", "橡", "树", "橡树", "大橡树"], fine[::-1])
    with pytest.raises(UserError, match="comes before the one that makes 橡树"):
        vocabulary(late, 280)
    found = json.loads((good / files.TOKENIZER).read_text(encoding="utf-8"))
    found["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (good / files.TOKENIZER).write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UserError, match=r"wanted: no pre_tokenizer.*convert_hf_to_gguf.py"):
        vocabulary(good, 280)


# numbers -------------------------------------------------------------------------------------------------------------


def test_interleave_by_hand() -> None:
    rows = np.array([[0], [1], [2], [3], [10], [11], [12], [13]])
    assert interleave(rows, heads=2)[:, 0].tolist() == [0, 2, 1, 3, 10, 12, 11, 13]
    assert interleave(rows[:, 0], heads=2).tolist() == [0, 2, 1, 3, 10, 12, 11, 13]


def apart(data: np.ndarray, heads: int) -> np.ndarray:
    """The way back of ``interleave``, by index."""
    half = len(data) // heads // 2
    order = [head * 2 * half + 2 * (i % half) + i // half for head in range(heads) for i in range(2 * half)]
    return data[order]


def contents(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(file)
    weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    return {key: field.contents() for key, field in reader.fields.items()}, weights


@pytest.mark.parametrize(("precision", "error"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 1e-2)])
@pytest.mark.parametrize("shape", ["grouped queries", "tied", "qwen3"])
def test_the_file_holds_the_weights(tmp_path: Path, shape: str, precision: Any, error: float) -> None:
    pytest.importorskip("gguf")
    model = checkpoint(tmp_path / "lit", shape)
    export_gguf(tmp_path / "lit", tmp_path / "out", precision=precision)
    said, found = contents(tmp_path / "out" / f"tiny-{precision}.gguf")
    state, config = model.state_dict(), model.config
    arch = "qwen3" if shape == "qwen3" else "llama"
    q, k, v = np.split(state["transformer.h.1.attn.qkv.weight"].numpy(), (32, 48))  # 4 heads of 8, 2 groups
    turned = (lambda data, heads: data) if arch == "qwen3" else apart
    wanted = {
        "token_embd.weight": state["transformer.wte.weight"].numpy(),
        "output_norm.weight": state["transformer.ln_f.weight"].numpy(),
        "blk.1.attn_v.weight": v,
        "blk.1.ffn_gate.weight": state["transformer.h.1.mlp.fc_1.weight"].numpy(),
        "blk.1.ffn_up.weight": state["transformer.h.1.mlp.fc_2.weight"].numpy(),
        "blk.1.ffn_down.weight": state["transformer.h.1.mlp.proj.weight"].numpy(),
        "blk.1.attn_output.weight": state["transformer.h.1.attn.proj.weight"].numpy(),
    }
    for name, values in wanted.items():
        assert np.abs(found[name] - values).max() <= error, name
    assert np.abs(turned(found["blk.1.attn_q.weight"], 4) - q).max() <= error
    assert np.abs(turned(found["blk.1.attn_k.weight"], 2) - k).max() <= error
    assert ("output.weight" in found) is (shape != "tied")
    assert np.array_equal(found["output_norm.weight"], wanted["output_norm.weight"])  # vectors are never narrowed
    assert (said["general.architecture"], said[f"{arch}.attention.head_count_kv"]) == (arch, 2)
    assert said[f"{arch}.context_length"] == 96 and said[f"{arch}.rope.freq_base"] == config.rope_base
    assert (said["tokenizer.ggml.eos_token_id"], said["tokenizer.ggml.eot_token_id"]) == (0, 2)
    assert said["tokenizer.ggml.add_bos_token"] is False and said["tokenizer.ggml.add_space_prefix"] is False
    assert len(said["tokenizer.ggml.tokens"]) == config.padded_vocab_size


def test_rows_that_are_no_whole_blocks_become_f16(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    checkpoint(tmp_path / "lit", "wide heads")  # 4 heads of 24: the rows of attn_output have 96 = 3 x 32 numbers
    export_gguf(tmp_path / "lit", tmp_path / "out", precision="q8_0")
    assert Manifest.read(tmp_path / "out").counts["tensors"] == {"q8_0": 16, "f32": 5}
    from litgpt_zh.export.llamacpp import storage

    assert storage("x", np.zeros((4, 48)), "q8_0") == "f16" and storage("x", np.zeros((4, 64)), "q8_0") == "q8_0"


# prompt --------------------------------------------------------------------------------------------------------------


def go(template: str, messages: list[tuple[str, str]]) -> str:
    """The part of Go's text/template that ours uses: range, if eq, else if, end, a field."""
    body, after = re.fullmatch(r"\{\{ range \.Messages \}\}(.*)\{\{ end \}\}([^{]*)", template, re.S).groups()  # type: ignore[union-attr]
    branches = re.findall(r'if eq \.Role "(\w+)" \}\}(.*?)(?=\{\{ else|\{\{ end)', body, re.S)
    assert body == "{{ " + "{{ else ".join(f'if eq .Role "{role}" }}}}{text}' for role, text in branches) + "{{ end }}"
    said = "".join(dict(branches)[role].replace("{{ .Content }}", content) for role, content in messages)
    return said + after


@pytest.mark.parametrize("turns", TURNS)
def test_ollamas_template_gives_the_prompt_of_training(turns: list[tuple[str, str]]) -> None:
    assert go(CHAT, turns) == chat_prompt(turns)


def test_the_modelfile_of_a_tuned_and_of_a_plain_model(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    for name, instruct in (("tuned", True), ("plain", False)):
        checkpoint(tmp_path / name, instruct=instruct)
        export_gguf(tmp_path / name, tmp_path / f"{name}-out", precision="f16")
    tuned, raw = ((tmp_path / f"{name}-out" / "Modelfile").read_text(encoding="utf-8") for name in ("tuned", "plain"))
    assert tuned.startswith(f'FROM ./tiny-f16.gguf\nTEMPLATE """{CHAT}"""\nPARAMETER num_ctx 96\n')
    assert 'PARAMETER stop "<|endoftext|>"\nPARAMETER stop "<|user|>"\n' in tuned and "repeat_penalty 1.0" in tuned
    assert f'TEMPLATE """{PLAIN}"""' in raw and "<|user|>" not in raw
    assert "tokenizer.chat_template" not in contents(tmp_path / "plain-out" / "tiny-f16.gguf")[0]


def test_refusals(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    checkpoint(tmp_path / "lit", "llama3 rope")
    with pytest.raises(UserError, match="rope_adjustments: not written as GGUF"):
        export_gguf(tmp_path / "lit", tmp_path / "out", precision="q8_0")
    assert not (tmp_path / "out").exists()


# llama.cpp itself ----------------------------------------------------------------------------------------------------


NO_LLAMA_CPP = (
    "llama-cpp-python is not installed: PyPI has no wheel of it, pip install llama-cpp-python builds llama.cpp from source "
    "(C++ compiler and CMake)"
)


@pytest.fixture(scope="module")
def in_llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model of our smallest shape with the shipped tokenizer, opened by llama.cpp."""
    llama_cpp = pytest.importorskip("llama_cpp", reason=NO_LLAMA_CPP)
    home = tmp_path_factory.mktemp("llama_cpp")
    small_model(home / "lit")
    export_gguf(home / "lit", home / "out", precision="f32")
    f32 = {"type_k": 0, "type_v": 0}  # of the cache, which is f16 by default: then near-ties fall the other way
    file = str(home / "out" / "zh-tinystories-2m-f32.gguf")
    return llama_cpp.Llama(file, n_ctx=256, n_threads=1, verbose=False, logits_all=True, **f32), home / "lit"


def small_model(folder: Path) -> None:
    import shutil

    from litgpt import GPT, Config
    from litgpt.utils import save_config

    from litgpt_zh.configs import config_dict

    shutil.copytree(SHIPPED, folder)
    (folder / "manifest.json").unlink()
    torch.manual_seed(0)
    model = GPT(Config(**config_dict("zh-tinystories-2m")))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.15)
    model.lm_head.weight = model.transformer.wte.weight
    torch.save(model.state_dict(), folder / "lit_model.pth")
    save_config(model.config, folder)
    (folder / "prompt_style.yaml").write_text("class_path: litgpt_zh.styles.Story\n")


def test_llama_cpp_itself_cuts_text_into_the_same_tokens(in_llama_cpp: tuple[Any, Path]) -> None:
    there, here = in_llama_cpp[0], files.load(SHIPPED)
    texts = [*stories(), *(text for text in (*HARD, *some_texts(300)) if "▁" not in text and "\0" not in text)]
    for text in texts:
        assert there.tokenize(plain(text).encode(), add_bos=True, special=True) == here.encode(plain(text)).ids
        assert there.detokenize(here.encode(plain(text)).ids, special=True).decode() == plain(text)
    assert [there.tokenize(p.encode(), add_bos=True, special=True) for p in CONTROL] == [[i] for i in range(6)]


def test_llama_cpp_itself_writes_the_same_text(in_llama_cpp: tuple[Any, Path]) -> None:
    there, here = in_llama_cpp[0], load(in_llama_cpp[1])
    for prompt in ("小兔子", "词汇：铲子，草地"):
        ids = here.encode(chat_prompt([("user", prompt)]))
        ours = generate(here.model, [ids], stop_ids=here.stop_ids, max_new_tokens=100)[0].ids
        theirs: list[int] = []
        for token in there.generate(ids, temp=0.0, repeat_penalty=1.0):
            if token in here.stop_ids or len(theirs) == 100:
                break
            theirs.append(token)
        assert theirs == ours and len(ours) > 5
