"""The command measure_tokenizer: figures worked by hand, foreign tokenizers, refusals; and the shipped tokenizer's bars."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from litgpt_zh.generate.stream import decode
from litgpt_zh.prompts import plain
from litgpt_zh.stage import UserError
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.alphabet import BYTES
from litgpt_zh.tokenizer.measure import ROWS, embedding, figures, measure_tokenizer, table, world_texts
from litgpt_zh.tokenizer.train import assemble

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "tokenizer"
BOOKS = ROOT.parent / "shared" / "data" / "storybooks.jsonl"


def tiny() -> Tokenizer:
    """Bytes, four Hanzi and one word."""
    pieces = [*BYTES, *"小兔子啊", "兔子"]
    return assemble({piece: n for n, piece in enumerate(pieces)}, [("兔", "子")])


def byte_level() -> Tokenizer:
    """As GPT-2's: bytes as letters, nothing merged."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: n for n, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def words() -> Tokenizer:
    """Knows one Hanzi; anything else is unknown."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "兔": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return tokenizer


def folder(path: Path, tokenizer: Tokenizer) -> Path:
    path.mkdir()
    tokenizer.save(str(path / files.TOKENIZER))
    return path


def test_figures_by_hand() -> None:
    found = figures(tiny(), ["小兔子", "兔熊"])  # 小 兔子 | 兔 and three bytes of 熊
    assert (found["characters"], found["tokens"], found["characters_per_token"]) == (5, 6, round(5 / 6, 4))
    assert found["bits_factor"] == pytest.approx(6 / (5 * math.log(2)), abs=1e-5)
    assert found["hanzi_single"] == 0.75 and found["fragment_share"] == 0.5
    assert (found["changed"], found["unknown_share"]) == (0, 0)
    assert found["unused"] == found["entries"] - 6
    assert found["level1_single"] == pytest.approx(4 / 3755, abs=1e-5)


def test_foreign_tokenizers() -> None:
    found = figures(byte_level(), ["小兔a"])
    assert (found["tokens"], found["fragment_share"], found["changed"]) == (7, round(6 / 7, 5), 0)
    found = figures(words(), ["兔子兔", "虎"])
    assert found["unknown_share"] == 0.5 and found["changed"] > 0


def test_embedding_parameters() -> None:
    """zh-tinystories-2m by hand: width 128, 6 layers, SwiGLU 384, tied; pythia's input and output are two matrices."""
    layer = 4 * 128 * 128 + 3 * 128 * 384 + 2 * 128
    found = embedding("zh-tinystories-2m", 5000)
    assert found["embedding_parameters"] == 5000 * 128
    assert found["embedding_share"] == pytest.approx(5000 * 128 / (5000 * 128 + 6 * layer + 128), abs=1e-4)
    assert embedding("pythia-14m", 1000)["embedding_parameters"] == 2 * 1000 * 128


def test_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.jsonl"
    text.write_text('{"story_zh": "小兔子和小熊"}\n{"broken\n{"text": "啊啊啊"}\n', encoding="utf-8")
    folders = [folder(tmp_path / "a", tiny()), folder(tmp_path / "b", byte_level())]
    rows = measure_tokenizer(folders, str(text), model="zh-tinystories-2m")
    assert [row["characters"] for row in rows] == [9, 9] and rows[0]["tokens"] < rows[1]["tokens"] == 27
    shown = capsys.readouterr().out
    assert "2 texts, 9 characters" in shown and all(name in shown for name, _ in ROWS.values())
    lines = table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1 and lines[0].split() == [str(path) for path in folders]
    (short,) = measure_tokenizer(folders[0], str(text), model="zh-tinystories-2m", max_chars=3)
    assert short["characters"] == 6  # whole texts


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="no such file"):
        measure_tokenizer(tmp_path, "world")
    with pytest.raises(UserError, match="unknown model name 'zh-tinystories-3m'; did you mean"):
        measure_tokenizer(SHIPPED, "world", model="zh-tinystories-3m")
    (tmp_path / "text.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match="no text could be read"):
        measure_tokenizer(SHIPPED, str(tmp_path / "text.jsonl"))
    (tmp_path / "some.jsonl").write_text('{"a": 1}\n{"text": "小兔子"}\n{"b": 1}\n', encoding="utf-8")
    measure_tokenizer(SHIPPED, str(tmp_path / "some.jsonl"))
    assert "left out: no text field 2\n" in capsys.readouterr().out
    with pytest.raises(UserError, match="no such file or folder"):
        measure_tokenizer(SHIPPED, str(tmp_path / "nothing"))


def test_command_and_help(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "litgpt_zh", "measure_tokenizer", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )

    explained = " ".join(run("--help").stdout.split())
    assert "Losses in nats a token of two tokenizers cannot be compared" in explained and "byte fragments" in explained
    (tmp_path / "t.txt").write_text("小兔子去河边玩。", encoding="utf-8")
    done = run("tokenizer", "--text", str(tmp_path / "t.txt"))
    assert done.returncode == 0 and "characters per token" in done.stdout, done.stderr
    assert run("nowhere").stderr.startswith("litgpt-zh: nowhere/tokenizer.json: no such file")


def test_shipped_on_the_world() -> None:
    found = figures(files.load(SHIPPED), world_texts())
    assert found["level1_single"] == 1 and found["characters_per_token"] >= 1.45
    assert (found["unknown_share"], found["changed"]) == (0, 0)


def test_shipped_on_text_unlike_its_own() -> None:
    if not BOOKS.is_file():
        pytest.skip("no real texts on this machine")
    texts = [json.loads(line)["story_zh"] for line in BOOKS.read_text(encoding="utf-8").splitlines()]
    found = figures(files.load(SHIPPED), texts)
    assert found["characters_per_token"] >= 1.15 and found["fragment_share"] <= 0.005
    assert (found["unknown_share"], found["changed"]) == (0, 0)


def test_streaming_never_shows_a_broken_character() -> None:
    """Token by token, as chat and serve show it, every piece is whole, and the pieces are the text: of every code point."""
    processor = files.load(SHIPPED)
    points = [c for c in range(0x20, 0x110000, 7) if not 0xD800 <= c < 0xE000 and c != 0xFFFD]
    texts = ["".join(map(chr, points[n : n + 500])) for n in range(0, len(points), 500)]
    for text in ("小兔子🐰说：“龘䶮𠮷👩‍👩‍👧‍👦！”", *texts):
        pieces = list(decode(processor, processor.encode(plain(text)).ids))
        assert "".join(pieces) == plain(text)
        assert not any("\ufffd" in piece for piece in pieces) and all(pieces)


def test_streaming_of_bytes_that_are_no_character() -> None:
    """A model may stop in the middle of a character, or begin with its end: nothing broken is shown, no text is lost."""
    processor = files.load(SHIPPED)
    byte = {n: processor.token_to_id(f"<0x{n:02X}>") for n in range(256)}
    good = processor.encode("好").ids
    for data in (b"\xe5\xa5", b"\xbd", b"\xf0\x9f\x90", b"\xff\xfe", b"\xe5" * 20):
        shown = "".join(decode(processor, [*good, *(byte[b] for b in data), *good]))
        assert "\ufffd" not in shown and shown.startswith("好") and shown.endswith("好")
