"""The hand-over to datatrove, with its local executor; skipped where datatrove is not installed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from litgpt_zh.corpus.shards import read_shards
from litgpt_zh.corpus.stage import corpus

pytest.importorskip("datatrove")
pytest.importorskip("orjson")

HANZI = [chr(0x4E00 + n) for n in range(0, 6000, 7)]


def story(rng: random.Random) -> str:
    return "".join("".join(rng.choices(HANZI, k=rng.randrange(4, 12))) + rng.choice("，。！") for _ in range(30))


def edited(text: str, rng: random.Random, share: float) -> str:
    letters = list(text)
    for place in rng.sample(range(len(letters)), round(share * len(letters))):
        letters[place] = rng.choice("天地人大小上下")
    return "".join(letters)


def test_planted_copies_are_found(tmp_path: Path) -> None:
    from litgpt_zh.corpus.trove import run_here

    rng = random.Random(0)
    stories = [story(rng) for _ in range(120)]
    copies = [edited(text, rng, 0.05) for text in stories[:30]]
    (tmp_path / "corpus").mkdir()
    for n, part in enumerate((stories[:60] + copies, stories[60:])):
        lines = [
            json.dumps({"text": text, "words": ["花"], "group": str(rng.random())}, ensure_ascii=False) for text in part
        ]
        (tmp_path / "corpus" / f"train-{n:05d}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    held_out = story(rng)
    val = json.dumps({"text": held_out, "words": ["花"]}, ensure_ascii=False)
    (tmp_path / "corpus" / "val-00000.jsonl").write_text(val + "\n", encoding="utf-8")
    run_here(tmp_path / "corpus", tmp_path / "trove", tasks=2)
    corpus([str(tmp_path / "trove" / "text")], tmp_path / "again", min_chars=1, endings="keep", workers=1)
    kept = [record for split in ("train", "val") for record in read_shards(tmp_path / "again", split)]
    assert all(record["words"] == ["花"] for record in kept)
    texts = {record["text"] for record in kept}
    assert held_out in texts
    twice = [old in texts and new in texts for old, new in zip(stories, copies, strict=False)]
    neither = [old not in texts and new not in texts for old, new in zip(stories, copies, strict=False)]
    assert sum(twice) <= 1 and not any(neither)
    assert sum(text in texts for text in stories[30:]) >= 89  # nothing unlike is lost


def test_grams_are_of_characters(tmp_path: Path) -> None:
    from litgpt_zh.corpus.trove import CharacterSignature

    signature = CharacterSignature(str(tmp_path))
    assert signature.get_shingles("小兔子，唱歌！").shape == (3, 1)
    assert (signature.get_shingles("小兔子唱歌") == signature.get_shingles("小兔子，唱歌！")).all()
    assert signature.get_shingles("好").shape == (1, 1) and signature.get_shingles("！").shape == (0, 1)


def test_templates_are_chained(tmp_path: Path) -> None:
    """The limit that the page names: without a comparison of the texts, stories of one mould are lost."""
    from litgpt_zh.corpus.trove import run_here

    rng = random.Random(0)
    lines = [
        f"{a}在{b}{c}，大家都很高兴。" for a in "猫狗兔熊" for b in ("河边", "山顶") for c in ("唱歌", "画画", "种花")
    ]
    stories = ["从前，" + "".join(rng.choices(lines, k=14)) for _ in range(40)]
    (tmp_path / "corpus").mkdir()
    text = "\n".join(json.dumps({"text": story}, ensure_ascii=False) for story in stories)
    (tmp_path / "corpus" / "train-00000.jsonl").write_text(text + "\n", encoding="utf-8")
    run_here(tmp_path / "corpus", tmp_path / "trove")
    left = sum(len(path.read_text().splitlines()) for path in (tmp_path / "trove" / "text").iterdir())
    assert left < 10
