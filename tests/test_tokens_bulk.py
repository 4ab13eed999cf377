"""Encoding in arrays: the ids are the tokenizer's own, whatever the text and the merges; other tokenizers are left alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, trainers

from litgpt_zh.corpus.world import generate
from litgpt_zh.prompts import CONTROL, chat_prompt
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.alphabet import BYTES
from litgpt_zh.tokens import bulk

SHIPPED = Path(__file__).parents[1] / "tokenizer"
STORYBOOKS = Path(__file__).parents[2] / "shared" / "data" / "storybooks.jsonl"
HARD = [
    "", "好", " ", "\0", "\n\n", "a\0b", "<|endoftext|>", "<|user|><|assistant|>", "从前<|end|", "|><|end|>。", "<|<|pad|>|>",
    "<0xE4>", "<|reserved_0|>", "👩‍👩‍👧‍👦🏳️‍🌈🐰", "𠮷野家龘䶮", "\U0010ffff\ufffd\u0301é", "Hello, world! 3.14159", "啊" * 3000, "一，二。" * 500,
]  # fmt: skip


def agree(tokenizer: Tokenizer, texts: list[str], eos_id: int = 0, local: bool = True) -> None:
    """All texts together, and their lengths, against each text by itself."""
    encode = bulk.encoder(tokenizer, eos_id)
    assert (getattr(encode, "__func__", None) is bulk._Bulk.encode) == local
    flat, lengths = encode(texts)
    expected = [[*tokenizer.encode(text, add_special_tokens=False).ids, eos_id] for text in texts]
    assert flat.dtype == "uint16" and flat.tolist() == [n for ids in expected for n in ids]
    assert lengths == [len(ids) for ids in expected]


def random_texts(n: int, seed: int) -> list[str]:
    """Any character, pieces that are special or look like it, and common words."""
    rng = random.Random(seed)
    pools: tuple[Callable[[], str], ...] = (
        lambda: rng.choice("小兔子和朋友们去森林里玩，。！？：“”\n 　0123456789abcXYZ<>|▁\ufffd"),
        lambda: chr(rng.randrange(0x4E00, 0xA000)),
        lambda: chr(rng.choice((rng.randrange(0x0, 0xD800), rng.randrange(0xE000, 0x110000)))),
        lambda: rng.choice(("🐰", "👩‍👧", "e\u0301", "<0xE5>", "<|", "|>", "endoftext", *CONTROL)),
        lambda: rng.choice(("小兔子", "故事", "为什么", "秋天的", "看见", "非常高兴", "the", "ing")),
    )
    return ["".join(rng.choice(pools)() for _ in range(rng.randrange(60))) for _ in range(n)]


def with_bytes(vocab: list[str], merges: list[tuple[str, str]], added: list[str] | None = None) -> Tokenizer:
    pieces = dict.fromkeys(["<|end|>", *BYTES, *vocab, *(left + right for left, right in merges)])
    tokenizer = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, merges, byte_fallback=True))
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False) for piece in added or ["<|end|>"]])
    return tokenizer


def test_shipped_tokenizer() -> None:
    stories = [story.record()["text"] for story in generate(5, 0, 100, "short", ())]
    asked = [chat_prompt([("user", "写一个故事"), ("assistant", text), ("user", "再来")]) for text in stories[:20]]
    tokenizer = files.load(SHIPPED)
    agree(tokenizer, [*stories, *asked, *HARD, *random_texts(300, 0)])
    agree(tokenizer, [""])
    agree(tokenizer, HARD, eos_id=4000)


@pytest.mark.skipif(not STORYBOOKS.is_file(), reason="no storybooks.jsonl")
def test_storybooks() -> None:
    records = [json.loads(line) for line in STORYBOOKS.read_text(encoding="utf-8").splitlines()]
    agree(files.load(SHIPPED), [record[key] for record in records for key in ("story_zh", "story_en")])


def test_trained_merges_that_cross_punctuation() -> None:
    stories = [story.record()["text"] for story in generate(6, 0, 200, "short", ())]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=["<|end|>", *BYTES], show_progress=False)
    tokenizer.train_from_iterator([text[:200] for text in stories], trainer)
    made = json.loads(tokenizer.to_str())
    made["added_tokens"] = made["added_tokens"][:1]
    pieces = [piece for piece in made["model"]["vocab"] if piece not in ("<|end|>", *BYTES)]
    assert sum("，" in piece[:-1] for piece in pieces) > 50 and max(map(len, pieces)) > 8
    agree(Tokenizer.from_str(json.dumps(made)), [*stories, *HARD, *random_texts(200, 1)])


@pytest.mark.parametrize("seed", range(40))
def test_any_list_of_merges(seed: int) -> None:
    """Merges drawn by lot, also such as no trainer makes, on texts of a few characters, so that everything touches."""
    rng = random.Random(seed)
    alphabet = "ab，。小\n"[: rng.randrange(2, 7)]
    pieces, merges = list(alphabet), []
    for _ in range(rng.randrange(1, 25)):
        left, right = rng.choice(pieces), rng.choice(pieces)
        if (left, right) not in merges and len(left + right) < 9:
            merges.append((left, right))
            pieces.append(left + right)
    rng.shuffle(merges)
    tokenizer = with_bytes(list(alphabet), merges, rng.choice((None, ["ab", "ba，", "aab"], ["<|end|>", "小小"])))
    texts = ["".join(rng.choice(alphabet + "a☃𠮷") for _ in range(rng.randrange(30))) for _ in range(200)]
    agree(tokenizer, texts, eos_id=rng.choice((0, 1, 260)))


def test_runs_are_forgotten_before_they_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "REMEMBERED", 500)
    tokenizer = files.load(SHIPPED)
    encode = bulk.encoder(tokenizer, 0)
    stories = [story.record()["text"] for story in generate(7, 0, 60, "short", ())]
    for text in stories:
        assert encode([text])[0].tolist() == [*tokenizer.encode(text).ids, 0]
    kept = encode.__self__  # type: ignore[attr-defined]
    assert 0 < sum(map(len, kept._known)) == kept._size < 500 + max(map(len, stories))


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "normaliser": lambda made: made.update(normalizer={"type": "NFKC"}),
    "pre-tokeniser": lambda made: made.update(pre_tokenizer={"type": "Whitespace"}),
    "post-processor": lambda made: made.update(post_processor=BYTE_LEVEL),
    "prefix": lambda made: made["model"].update(continuing_subword_prefix="c"),
    "suffix": lambda made: made["model"].update(end_of_word_suffix="c"),
    "words before merges": lambda made: made["model"].update(ignore_merges=True),
    "no bytes": lambda made: made["model"].update(byte_fallback=False),
    "a byte short": lambda made: made["model"]["vocab"].pop("<0x7F>"),
    "bytes that merge": lambda made: made["model"]["merges"].append(["<0xE2>", "<0x98>"]),
    "two pieces, one id": lambda made: made["model"]["vocab"].update(b=made["model"]["vocab"]["c"]),
    "ids above 16 bits": lambda made: made["model"]["vocab"].update(c=0xFFFD),
    "added, a word": lambda made: made["added_tokens"][0].update(single_word=True),
    "added, with spaces": lambda made: made["added_tokens"][0].update(rstrip=True),
    "added, normalised": lambda made: made["added_tokens"][0].update(normalized=True),
    "added, a character": lambda made: made["added_tokens"].append(
        {**made["added_tokens"][0], "content": "c", "id": 259}
    ),
    "added, with the separator": lambda made: made["added_tokens"].append(
        {**made["added_tokens"][0], "content": "a\0b", "id": 262}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_kinds_encode_each_text_by_itself(change: str) -> None:
    tokenizer = with_bytes(["a", "b", "c", "<0xE2><0x98>"], [("a", "b")])
    texts = ["abc<|end|> ab☃", "ＡＢ a  c", "c\0ab", "cc", "a\0bb"]
    agree(tokenizer, texts)
    made = json.loads(tokenizer.to_str())
    assert made["model"]["vocab"]["c"] == 259
    CHANGES[change](made)
    if change == "ids above 16 bits":
        assert not bulk._is_local(made)
    else:
        agree(Tokenizer.from_str(json.dumps(made)), texts, local=False)


def test_other_models_encode_each_text_by_itself() -> None:
    agree(Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0, True)), ["a", "b"], local=False)
    agree(Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, "<unk>")), ["a", "b", ""], local=False)


def test_nothing_is_cut_off_or_filled_up() -> None:
    tokenizer = with_bytes(["a"], [])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    assert bulk.encoder(tokenizer, 0)(["aaa", "a"])[1] == [4, 2]
