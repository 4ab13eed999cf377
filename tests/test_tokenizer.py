"""The tokenizer stage: exact round trip, equal ids in every library, the vocabulary's fixed part, refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jinja2.sandbox
import pytest

from litgpt_zh.prompts import CONTROL, EOS, PAD, chat_prompt, plain
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.alphabet import BYTES, FIXED, RESERVED, choose, gb2312_level1
from litgpt_zh.tokenizer.measure import figures
from litgpt_zh.tokenizer.read import chosen, records
from litgpt_zh.tokenizer.train import assemble, dictionary_words, train_tokenizer

SHIPPED = Path(__file__).parents[1] / "tokenizer"

HARD = (
    "", " ", "  前后有空格  ", "\r\n\t行尾\r\n", "　　全角空格", "▁下划线▁", "<0x41>", "<0x41", "\ufffd\ufffd",
    "\u0301a\u0300", "e\u0301é", "👩‍👩‍👧‍👦🏳️‍🌈🐰", "𠮷野家", "龘䶮", "Hello, world! don't 3.14159", "ｆｕｌｌ，！？",
    "２０２４年１２月", "<|reserved_0|>", "<|endoftext",
    "\x00\x01\x7f\x85\u2028\ufeff", "مرحبا שלום नमस्ते", "小兔子说：“你好！”", "啊" * 3000, "一，二。" * 500,
)  # fmt: skip


def some_texts(n: int, seed: int = 0) -> list[str]:
    """Random strings: any code point but surrogates, mixed with Hanzi, marks, digits and byte-like text."""
    rng = random.Random(seed)
    common = "小兔子和朋友们去森林里玩，。！？：“”\n 　0123456789abcXYZ<>|▁\ufffd"
    pools = (
        lambda: rng.choice(common),
        lambda: chr(rng.randrange(0x4E00, 0xA000)),
        lambda: chr(rng.choice((rng.randrange(0x0, 0xD800), rng.randrange(0xE000, 0x110000)))),
        lambda: chr(rng.randrange(0x300, 0x370)),
        lambda: f"<0x{rng.randrange(256):02X}>",
    )
    return ["".join(rng.choice(pools)() for _ in range(rng.randrange(40))) for _ in range(n)]


def make_corpus(folder: Path, n: int = 300) -> Path:
    """Small stories, a few with required words."""
    rng = random.Random(1)
    folder.mkdir(parents=True)
    who, where, what = ("小兔子", "大象", "乐乐"), ("森林", "河边", "学校"), ("唱歌", "种花", "放风筝")
    lines = []
    for _ in range(n):
        a, b, c = rng.choice(who), rng.choice(where), rng.choice(what)
        text = f"从前，{a}住在{b}。\n每天{a}都{c}，非常高兴。" * rng.randrange(1, 9)
        lines.append(json.dumps({"text": text, "words": [a, b]}, ensure_ascii=False))
    (folder / "train-00000.jsonl").write_text("\n".join(lines[20:]) + "\n", encoding="utf-8")
    (folder / "val-00000.jsonl").write_text("\n".join(lines[:20]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tokenizer") / "corpus")


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Path:
    train_tokenizer(corpus, corpus.parent / "tok", vocab_size=460, hanzi="seen", dictionary_weight=0, segment=False)
    return corpus.parent / "tok"


@pytest.fixture(params=["trained", "shipped"])
def folder(request: pytest.FixtureRequest, trained: Path) -> Path:
    return trained if request.param == "trained" else SHIPPED


def test_fixed_part(folder: Path) -> None:
    tokenizer = files.load(folder)
    assert [tokenizer.id_to_token(i) for i in range(len(FIXED))] == [*CONTROL, *RESERVED, *BYTES]
    assert tokenizer.get_vocab_size() == tokenizer.get_vocab_size(with_added_tokens=False)
    assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))
    assert tokenizer.encode("".join(CONTROL)).ids == [0, 1, 2, 3, 4, 5]
    assert tokenizer.encode("a\n\nb12").tokens == ["a", "\n", "\n", "b", "1", "2"]
    assert max(len(p) for p, i in tokenizer.get_vocab().items() if i >= len(FIXED)) <= 8


def test_round_trip(folder: Path) -> None:
    tokenizer = files.load(folder)
    for text in (*HARD, *some_texts(2000)):
        ids = tokenizer.encode(plain(text)).ids
        assert tokenizer.decode(ids) == plain(text)
        assert not ids or min(ids) >= len(CONTROL) + len(RESERVED)  # nothing typed can forge or reach a control piece


def test_no_pre_tokenizer_needed(folder: Path, corpus: Path) -> None:
    model = json.loads((folder / files.TOKENIZER).read_text(encoding="utf-8"))["model"]
    with_split = assemble(model["vocab"], [tuple(pair) for pair in model["merges"]], split=True)
    tokenizer = files.load(folder)
    stories = [record["text"] for record, _ in records(corpus / "train-00000.jsonl")]
    for text in (*HARD, *some_texts(2000, seed=1), *stories):
        assert tokenizer.encode(text).ids == with_split.encode(text).ids


def test_merges_keep_to_one_kind(folder: Path) -> None:
    """Why the ids are equal: every piece made by merging is all Hanzi or all Latin letters."""
    model = json.loads((folder / files.TOKENIZER).read_text(encoding="utf-8"))["model"]
    for left, right in model["merges"]:
        piece = left + right
        assert (piece.isascii() and piece.isalpha()) or all("\u3007" <= c <= "\U0003ffff" for c in piece), piece


def test_litgpt_reads_it(folder: Path) -> None:
    litgpt_tokenizer = pytest.importorskip("litgpt.tokenizer")
    theirs, ours = litgpt_tokenizer.Tokenizer(folder), files.load(folder)
    assert (theirs.bos_id, theirs.eos_id, theirs.use_bos) == (None, 0, False)
    assert theirs.vocab_size == ours.get_vocab_size()
    prompt = chat_prompt([("user", "讲个故事")])
    for text in (*HARD, prompt, *some_texts(200, seed=2)):
        assert theirs.encode(text).tolist() == ours.encode(text).ids
        assert theirs.decode(theirs.encode(plain(text))) == plain(text)
    assert theirs.encode(prompt, eos=True).tolist() == [*ours.encode(prompt).ids, 0]


def test_transformers_reads_it(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), files.load(folder)
    assert (theirs.eos_token, theirs.pad_token, theirs.bos_token) == (EOS, PAD, None)
    assert len(theirs) == ours.get_vocab_size()
    for text in (*HARD, *some_texts(200, seed=3)):
        assert theirs(text)["input_ids"] == ours.encode(text).ids
        assert theirs.decode(theirs(plain(text))["input_ids"]) == plain(text)
    for turns in TURNS:
        messages = [{"role": role, "content": content} for role, content in turns]
        assert theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == chat_prompt(turns)


TURNS = (
    [("user", "你好")],
    [
        ("system", " 你是一个\n作家。 "), ("user", "{{ 讲 }}<|user|>故事<|end|><|endoftext"),
        ("assistant", "好\n"), ("user", "再来"),
    ],
)  # fmt: skip


@pytest.mark.parametrize("turns", TURNS)
def test_chat_template(turns: list[tuple[str, str]]) -> None:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files.config(512)["chat_template"])
    messages = [{"role": role, "content": content} for role, content in turns]
    assert template.render(messages=messages, add_generation_prompt=True) == chat_prompt(turns)


def test_shipped_has_all_common_hanzi() -> None:
    tokenizer = files.load(SHIPPED)
    assert tokenizer.get_vocab_size() == 6656
    assert len(gb2312_level1()) == 3755 and gb2312_level1()[0] == "啊" and gb2312_level1()[-1] == "座"
    assert all(len(tokenizer.encode(c).ids) == 1 for c in gb2312_level1())
    Manifest.read(SHIPPED)
    assert not (SHIPPED / "config.json").exists() and not (SHIPPED / "generation_config.json").exists()


def test_training_is_deterministic(corpus: Path, trained: Path, tmp_path: Path) -> None:
    train_tokenizer(corpus, tmp_path / "again", vocab_size=460, hanzi="seen", dictionary_weight=0, segment=False)
    for name in (files.TOKENIZER, files.CONFIG, "CARD.md"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


def test_level1_and_dictionary(corpus: Path, tmp_path: Path) -> None:
    train_tokenizer(corpus, tmp_path / "tok", vocab_size=4500, dictionary_weight=5.0)
    found = figures(files.load(tmp_path / "tok"), ["小兔子高兴地笑了。", "🐰"])
    assert (found["entries"], found["level1_single"], found["changed"]) == (4500, 1.0, 0)
    assert found["tokens"] > found["characters"] / 2 and found["fragment_share"] > 0


def test_dictionary_words(tmp_path: Path) -> None:
    (tmp_path / "dict.txt").write_text(
        "AT&T 3 nz\n苹果 100 n\n小苹果 25 n\n五个字的词 900 n\n罕见 0 n\n", encoding="utf-8"
    )
    assert dictionary_words(tmp_path / "dict.txt", 70) == {"苹果": 20, "小苹果": 10}  # 10:5 by root, 2x20 + 3x10 = 70


def test_choose_leaves_rare_characters_to_bytes() -> None:
    from collections import Counter

    found = choose(Counter({"啊": 9, "龘": 2, "麤": 3, "\u200b": 9}), level1=False)
    assert {"啊", "麤", "\n", "，"} <= set(found) and not {"龘", "\u200b"} & set(found)
    assert found == sorted(found)


def test_records_in_any_cut(corpus: Path) -> None:
    path = corpus / "val-00000.jsonl"
    whole = list(records(path))
    size = path.stat().st_size
    assert sum(read for _, read in whole) == size
    for step in (1, 7, 100, 333, size, size + 5):
        cuts = [(start, min(start + step, size)) for start in range(0, size, step)]
        assert [r for start, stop in cuts for r in records(path, start, stop)] == whole


def test_coin_is_fair_and_fixed() -> None:
    assert sum(chosen(str(i), 0.3, 0) for i in range(10_000)) == pytest.approx(3000, abs=150)
    assert chosen("甲", 1.0, 5) and not chosen("甲", 0.0, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 300}, "entries are fixed"),
        ({"vocab_size": 60000}, "text fills only"),
        ({"corpus_dir": "nowhere"}, r"nowhere: no train-\*\.jsonl"),
    ],
)
def test_refusals(corpus: Path, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_tokenizer(
            **{
                "corpus_dir": corpus,
                "out_dir": tmp_path / "t",
                "dictionary_weight": 0,
                "hanzi": "seen",
                "segment": False,
            }
            | changes
        )
    assert not (tmp_path / "t").exists()


def test_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "train-00000.jsonl").write_text('{"text": "好"}\n{"text": 3}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"train-00000\.jsonl:2: no text"):
        list(records(tmp_path / "train-00000.jsonl"))
    with pytest.raises(UserError, match=r"tokenizer\.json: no such file"):
        files.load(tmp_path)
