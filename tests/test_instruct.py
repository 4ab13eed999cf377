"""SFT data: formats, requests made from stories, tokens and masks."""

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from litgpt_zh.constraints import FIELDS, Constraints, met, parse
from litgpt_zh.instruct import stage as stage_module
from litgpt_zh.instruct.batches import BatchPlan
from litgpt_zh.instruct.encode import Encoder, answer_mask, asked_words, mark_asked, render
from litgpt_zh.instruct.extract import Jieba, extract, rng_for, sentences
from litgpt_zh.instruct.formats import Bad, Conversation, Story, read_instructions, read_stories
from litgpt_zh.instruct.stage import instructions
from litgpt_zh.instruct.work import thin
from litgpt_zh.prompts import ASSISTANT, CONTROL, EOS, INSTRUCTION, SYSTEM, USER, chat_prompt, story_request
from litgpt_zh.stage import Manifest, UserError

STORY = (
    "从前有一只勇敢的小狗，它住在山坡上的木屋里。一天早晨，小狗拿着铲子去花园里挖土，发现了一颗闪亮的珠子。"
    "“这是谁的珠子？”小狗大声问。邻居家的乌龟慢慢爬过来，说：“那是我昨天丢失的礼物。”小狗高兴地把珠子还给了乌龟，"
    "他们一起在草地上跳舞。太阳下山的时候，两个朋友约好明天再见面。"
)


def story(n: int) -> str:
    """A story with its own number, so that no two are alike."""
    return f"第{n}个故事。{STORY[: 40 + n * 7 % 90]}。"


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=list(CONTROL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([STORY, INSTRUCTION, "词汇：特征：摘要：随机句子："] * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": EOS, "pad_token": "<|pad|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write(path: Path, records: list, array: bool = False) -> Path:
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n" if array else "\n".join(lines) + "\n", encoding="utf-8")
    return path


def corpus_records(count: int) -> list[dict]:
    return [
        {
            "text": story(n),
            "words": ["小狗", "山坡"],
            "features": ["对话"],
            "sentence": f"第{n}个故事。",
            "group": f"g{n // 2}",
        }
        for n in range(count)
    ]


# --- formats


ALPACA = {"instruction": "翻译", "input": "你好", "output": " hello "}
FORMS = [
    (ALPACA, [("user", "翻译\n你好"), ("assistant", "hello")]),
    ({"instruction": "说话", "output": "好"}, [("user", "说话"), ("assistant", "好")]),
    (
        ALPACA | {"system": "译者", "history": [["一", "二"]]},
        [("system", "译者"), ("user", "一"), ("assistant", "二"), ("user", "翻译\n你好"), ("assistant", "hello")],
    ),
    (
        {"conversations": [{"from": "human", "value": "一"}, {"from": "gpt", "value": "二"}]},
        [("user", "一"), ("assistant", "二")],
    ),
    (
        {"conversations": [{"from": "human", "value": "一"}, {"from": "gpt", "value": "二"}], "system": "三"},
        [("system", "三"), ("user", "一"), ("assistant", "二")],
    ),
    (
        {"conversations": [{"role": "user", "content": "一"}, {"role": "assistant", "content": "二"}] * 2},
        [("user", "一"), ("assistant", "二")] * 2,
    ),
    (
        {"messages": [{"role": "system", "content": "零"},
                      {"role": "user", "content": [{"type": "text", "text": "一"}]},
                      {"role": "assistant", "content": "二"}]},
        [("system", "零"), ("user", "一"), ("assistant", "二")],
    ),
    ({"prompt": "一", "completion": "二"}, [("user", "一"), ("assistant", "二")]),
    (
        {"prompt": [{"role": "user", "content": "一"}], "completion": [{"role": "assistant", "content": "二"}]},
        [("user", "一"), ("assistant", "二")],
    ),
    (
        {"instruction": INSTRUCTION, "input": "特点:Dialogue\n关键词:铲子,草地", "output": "故事"},
        [("user", f"{INSTRUCTION}\n词汇：铲子，草地\n特征：对话"), ("assistant", "故事")],
    ),
    (
        {"text": "故事", "words": ["铲子"], "features": [], "summary": None, "sentence": "天黑了。", "group": 7},
        [("user", f"{INSTRUCTION}\n词汇：铲子\n随机句子：天黑了。"), ("assistant", "故事")],
    ),
]  # fmt: skip


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_forms(tmp_path: Path, array: bool, packed: bool) -> None:
    path = write(tmp_path / "data.txt", [record for record, _ in FORMS], array)  # the name says nothing
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    found = list(read_instructions(path))
    assert [list(item.turns) for item in found] == [turns for _, turns in FORMS]
    assert [item.source for item in found] == [f"{path}:{n + 1 + array}" for n in range(len(FORMS))]
    assert found[-1].group == "7"


def test_the_same_answer_is_one_group(tmp_path: Path) -> None:
    records = [
        {"instruction": INSTRUCTION, "input": "词汇：一", "output": "甲"},
        {"instruction": INSTRUCTION, "input": "特征：对话", "output": "甲"},
        {"instruction": INSTRUCTION, "input": "特征：对话", "output": "乙"},
    ]
    a, b, c = read_instructions(write(tmp_path / "x", records))
    assert a.group == b.group != c.group


def test_labels_inside_a_story_are_text(tmp_path: Path) -> None:
    text = "有个孩子名字叫：小明。\n总结：他很好。"
    record = {"instruction": INSTRUCTION, "input": "词汇：孩子", "output": text}
    (found,) = read_instructions(write(tmp_path / "x", [record]))
    assert found.turns == (("user", f"{INSTRUCTION}\n词汇：孩子"), ("assistant", text))
    (found,) = read_instructions(write(tmp_path / "x", [{"instruction": "续写", "input": text, "output": "好"}]))
    assert found.turns[0] == ("user", f"续写\n{text}")


BAD = [
    (b"null", "not a JSON object"),
    (b"3", "not a JSON object"),
    (b'{"instruction": "a", "outp', "broken JSON"),
    (b"[" * 100_000, "broken JSON"),
    ('{"instruction": "写", "output": "故'.encode()[:-1] + b'"}', "not valid UTF-8"),
    (b'{"instruction": "a", "output": "\\ud83d"}', "not valid UTF-8"),
    (b'{"instruction": "a", "output": "  "}', "empty answer"),
    (b'{"instruction": "a", "output": null}', "empty answer"),
    (b'{"instruction": " ", "output": "b"}', "empty request"),
    (b'{"instruction": "a", "output": 3}', "field output is not text"),
    (b'{"instruction": "a", "output": "b", "history": [["x"]]}', "history is not a list of [request, answer]"),
    (b'{"messages": []}', "no user turn"),
    (b'{"messages": [{"role": "assistant", "content": "b"}]}', "no user turn"),
    (b'{"messages": "b"}', "turns are not a list of objects"),
    (b'{"messages": [{"role": "tool", "content": "b"}]}', "unknown role"),
    (b'{"messages": [{"role": "user", "content": "b"}]}', "no answer to the last turn"),
    (
        b'{"messages": [{"role": "assistant", "content": "b"}, {"role": "user", "content": "b"},'
        b' {"role": "assistant", "content": "b"}]}',
        "roles out of order",
    ),
    (
        b'{"messages": [{"role": "user", "content": "b"}, {"role": "system", "content": "b"},'
        b' {"role": "assistant", "content": "b"}]}',
        "roles out of order",
    ),
    (b'{"chosen": [], "rejected": [], "conversations": []}', "preference pair, not an instruction"),
    (b'{"text": "a story"}', "plain story without a request (use --kind corpus)"),
    (b'{"text": "a", "words": [3]}', "field words is not a list of strings"),
    (b'{"question": "a"}', "unknown form"),
]


def test_bad_records_are_counted_and_lose_no_other(tmp_path: Path) -> None:
    good = json.dumps(ALPACA).encode()
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + good + b"\r\n\n" + b"\n".join(line for line, _ in BAD) + b"\n" + good)
    first, *bad, last = read_instructions(path)
    assert isinstance(first, Conversation) and isinstance(last, Conversation)
    assert bad == [Bad(str(path), n, reason) for n, (_, reason) in enumerate(BAD, 3)]


def test_first_line_bad(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"null\n\xff\xfe\n" + json.dumps(ALPACA).encode())
    reasons = [getattr(item, "reason", "good") for item in read_instructions(tmp_path / "x")]
    assert reasons == ["not a JSON object", "not valid UTF-8", "good"]


def test_torn_array_and_torn_gzip(tmp_path: Path) -> None:
    whole = json.dumps([ALPACA] * 500).encode()
    (tmp_path / "a").write_bytes(whole[:-40])
    found = list(read_instructions(tmp_path / "a"))
    assert len(found) == 500 and found[-1].reason.startswith("damaged file")
    (tmp_path / "g").write_bytes(gzip.compress(random.Random(0).randbytes(9999).hex().encode() + whole)[:-50])
    assert list(read_instructions(tmp_path / "g"))[-1].reason.startswith("damaged file")


def test_a_long_line_is_fine(tmp_path: Path) -> None:
    long = {"instruction": "写", "output": "长" * 3_500_000}  # 10.5 MB
    first, second = read_instructions(write(tmp_path / "x", [long, ALPACA]))
    assert len(first.turns[1][1]) == 3_500_000 and second.turns[1][1] == "hello"


def test_real_alpaca() -> None:
    path = Path(__file__).parents[2] / "shared" / "data" / "alpaca_zh_demo.json"
    if not path.is_file():
        pytest.skip("no demo data on this machine")
    found = list(read_instructions(path))
    assert len(found) == 750
    assert sum(isinstance(item, Conversation) for item in found) >= 745


def test_stories(tmp_path: Path) -> None:
    lines = [{"story": "x", "instruction": {"prompt:": "y", "words": ["z"]}, "story_zh": STORY}, {"text": ""}, 3]
    good, *bad = read_stories(write(tmp_path / "x.jsonl", lines))
    assert isinstance(good, Story) and good.text == STORY
    assert len(bad) == 2 and all(isinstance(item, Bad) for item in bad)


# --- extract


@pytest.fixture(scope="session")
def jieba() -> Jieba:
    return Jieba()


def test_extracted_requests_are_met_by_their_story(jieba: Jieba) -> None:
    seen: set[str] = set()
    for seed in range(60):
        wanted = extract(STORY, rng_for(STORY, seed), jieba)
        assert wanted == extract(STORY, rng_for(STORY, seed), jieba)
        seen |= set(wanted)
        constraints = Constraints.of(wanted)
        assert constraints and met(constraints, STORY)
        assert parse(story_request(constraints).partition("\n")[2]) == constraints
        if constraints.words:
            assert 3 <= len(set(constraints.words)) <= 5
            places = [STORY.index(word) for word in constraints.words]
            assert places == sorted(places) and places[-1] - places[0] > len(STORY) // 4  # spread over the story
        if constraints.sentence:
            assert constraints.sentence in sentences(STORY)
    assert seen == {"words", "features", "sentence"}


def test_extract_takes_content_words_only(jieba: Jieba) -> None:
    words = {w for seed in range(200) for w in extract(STORY, rng_for(STORY, seed), jieba).get("words", [])}
    assert {"铲子", "山坡", "乌龟", "勇敢"} <= words
    assert not words & {"一天", "他们", "一起", "时候", "发现", "小明", "明天"}


def test_extract_from_little(jieba: Jieba) -> None:
    assert extract("好。", rng_for("好。", 0), jieba) == {}
    assert "features" not in extract("他说走吧，我们一起回到家里。", random.Random(1), jieba)


def test_sentences_are_whole() -> None:
    text = "“你在哪里呀我的朋友？”他问。天很快就黑下来了。短。她说：“我很想\n回家。”" + "长" * 50 + "。"
    assert sentences(text) == ["“你在哪里呀我的朋友？”", "天很快就黑下来了。"]


def test_jieba_is_quiet_and_writes_nothing(tmp_path: Path) -> None:
    code = "from litgpt_zh.instruct.extract import Jieba; print(Jieba().words('小狗')[0][0])"
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "小狗\n" and done.stderr == "" and not list(tmp_path.iterdir())


def test_reading_and_tokenising_need_neither_torch_nor_jieba() -> None:
    code = "import sys, litgpt_zh.instruct.stage; print({'torch', 'litgpt', 'jieba'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# --- masks


def test_mask_by_hand() -> None:
    ids = np.array([2, 9, 9, 3, 8, 8, 0, 2, 9, 3, 8, 0], np.uint16)
    assert answer_mask(ids, assistant=3, eos=0).tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]


def test_words_that_are_asked_for_are_marked_by_hand(tokenizer_dir: Path) -> None:
    ids = np.array([2, 7, 8, 9, 3, 9, 7, 8, 7, 8, 0])  # <|user|> 7 8 9 <|assistant|> 9 7 8 7 8 <|endoftext|>
    mask = answer_mask(ids, assistant=3, eos=0)
    mark_asked(ids, mask, [[7, 8], [9, 9], [0, 0, 0]])
    assert mask.tolist() == [0, 0, 0, 0, 0, 1, 2, 2, 1, 1, 1]
    turns = [("user", f"{INSTRUCTION}\n词汇：小狗，山坡\n特征：对话"), ("assistant", "一只小狗跑下山坡。小狗笑了。")]
    assert asked_words(turns) == ("小狗", "山坡") and asked_words([("user", "你好"), ("assistant", "小狗")]) == ()
    encoder = Encoder(tokenizer_dir)
    ((ids, mask),) = encoder.encode([turns])
    assert encoder.decode(ids[mask == 2]) == "小狗山坡"
    assert encoder.decode(ids[mask > 0]) == turns[1][1] + EOS


def test_several_turns(tokenizer_dir: Path) -> None:
    encoder = Encoder(tokenizer_dir)
    turns = [
        ("system", "讲故事"),
        ("user", f"一{EOS}{ASSISTANT}"),
        ("assistant", f"小狗{EOS}"),
        ("user", "二"),
        ("assistant", "山坡"),
    ]
    ((ids, mask),) = encoder.encode([turns])
    assert ids.dtype == np.uint16 and mask.dtype == np.uint8
    # the ids of the whole are the ids of the whole text, and every prompt is a prefix of them
    whole = render(turns)
    first = f"{SYSTEM}讲故事{USER}一＜|endoftext|＞＜|assistant|＞{ASSISTANT}小狗＜|endoftext|＞{EOS}"
    assert whole == f"{first}{USER}二{ASSISTANT}山坡{EOS}"
    assert ids.tolist() == encoder.tokenizer.encode(whole).ids
    for answered in (2, 4):
        prompt = encoder.tokenizer.encode(chat_prompt(turns[:answered])).ids
        assert ids[: len(prompt)].tolist() == prompt and mask[len(prompt) - 1] == 0 and mask[len(prompt)] == 1
    assert encoder.decode(ids[mask > 0]) == f"小狗＜|endoftext|＞{EOS}山坡{EOS}"


def test_tokenizers_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Encoder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer"):
        Encoder(tmp_path)
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="lacks the control pieces"):
        Encoder(tmp_path)
    pieces = {piece: n for n, piece in enumerate([*CONTROL, *"ab<|>userasitndofxtpmy"])}
    Tokenizer(models.BPE(pieces, [])).save(str(tmp_path / "tokenizer.json"))  # in the vocabulary, but not special
    with pytest.raises(UserError, match="cuts the control pieces apart"):
        Encoder(tmp_path)


# --- the stage


def load(folder: Path, side: str) -> list[tuple[np.ndarray, np.ndarray]]:
    ids, mask, offsets = (
        np.load(folder / f"{side}_{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("ids", "mask", "offsets")
    )
    assert ids.dtype == np.uint16 and mask.dtype == np.uint8
    assert len(ids) == len(mask) == offsets[-1] and offsets[0] == 0
    return [(ids[a:b], mask[a:b]) for a, b in pairwise(offsets)]


def digest(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "manifest.json"}


def test_stage(tmp_path: Path, tokenizer_dir: Path) -> None:
    records = corpus_records(200)
    source = write(tmp_path / "in.jsonl", [*records, {"text": "x"}, ALPACA | {"output": "长" * 600}])
    manifest = instructions(str(source), tokenizer_dir, tmp_path / "sft", val_share=0.1)
    counts = manifest.counts
    assert counts["read"] == 202 and counts["kept"] == 200 == counts["train"] + counts["val"]
    assert counts["dropped"] == {"plain story without a request (use --kind corpus)": 1, "more than 512 tokens": 1}
    assert counts["first_dropped"][0].startswith(f"{source}:201: ")
    assert sum(counts["lengths"].values()) == 200
    encoder, texts = Encoder(tokenizer_dir), {}
    for side in ("train", "val"):
        for ids, mask in load(tmp_path / "sft", side):
            text, learned = encoder.decode(ids), encoder.decode(ids[mask > 0])
            prompt, answer = text.split(ASSISTANT)
            assert (
                learned == answer
                and answer.endswith(EOS)
                and prompt.startswith(f"{USER}{INSTRUCTION}\n词汇：小狗，山坡")
            )
            texts[answer.removesuffix(EOS)] = side
    assert set(texts) == {record["text"] for record in records}
    groups: dict[str, set[str]] = {}
    for record in records:
        groups.setdefault(record["group"], set()).add(texts[record["text"]])
    assert all(len(sides) == 1 for sides in groups.values())
    assert 8 <= counts["val"] <= 40
    examples = [json.loads(line) for line in (tmp_path / "sft" / "examples.jsonl").read_text("utf-8").splitlines()]
    assert len(examples) == 20 and all(e["text"].endswith(e["learned"]) for e in examples)
    assert counts["tokens"] == sum(len(ids) for side in ("train", "val") for ids, _ in load(tmp_path / "sft", side))


def test_stage_again_does_nothing_and_other_settings_are_refused(tmp_path: Path, tokenizer_dir: Path) -> None:
    source = str(write(tmp_path / "in.jsonl", corpus_records(60)))
    made = instructions(source, tokenizer_dir, tmp_path / "sft", val_share=0.2)
    stamp = (tmp_path / "sft" / "manifest.json").stat().st_mtime_ns
    assert instructions(source, tokenizer_dir, tmp_path / "sft", val_share=0.2).created == made.created
    assert (tmp_path / "sft" / "manifest.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="already made with other seed"):
        instructions(source, tokenizer_dir, tmp_path / "sft", val_share=0.2, seed=1)
    other = instructions(source, tokenizer_dir, tmp_path / "sft", val_share=0.2, seed=1, overwrite=True)
    assert other.outputs != made.outputs and (tmp_path / "sft.old").is_dir()


@pytest.mark.parametrize("kind", ["auto", "corpus"])
def test_workers_and_stops_change_nothing(
    tmp_path: Path, tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = str(write(tmp_path / "in.jsonl", corpus_records(90)))
    monkeypatch.setattr(stage_module, "CHUNK", 20)

    def run(name: str, workers: int = 1) -> Path:
        instructions(
            source,
            tokenizer_dir,
            tmp_path / name,
            kind=kind,
            val_share=0.2,
            prompt_fields={"words": 0.7, "features": 0.7},
            workers=workers,
        )
        return tmp_path / name

    one = digest(run("one"))
    if kind == "auto":
        assert digest(run("two", workers=2)) == one
    commits = 0
    original = stage_module.Writer.commit

    def stopping(writer: stage_module.Writer) -> None:
        nonlocal commits
        commits += 1
        if commits == 3:  # some records are in the files, but not yet in the state
            raise KeyboardInterrupt
        original(writer)

    monkeypatch.setattr(stage_module.Writer, "commit", stopping)
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    assert (tmp_path / "stopped.partial" / "state.json").is_file() and not (tmp_path / "stopped").exists()
    assert digest(run("stopped")) == one
    assert Manifest.read(tmp_path / "stopped").outputs == Manifest.read(tmp_path / "one").outputs


def test_plain_stories(tmp_path: Path, tokenizer_dir: Path, jieba: Jieba) -> None:
    source = write(tmp_path / "in.jsonl", [{"story_zh": story(n)} for n in range(40)] + [{"text": "好。"}])
    counts = instructions(str(source), tokenizer_dir, tmp_path / "sft", kind="corpus", val_share=0.2).counts
    assert counts["kept"] == 40 and counts["dropped"] == {"nothing in the story to ask for": 1}
    encoder = Encoder(tokenizer_dir)
    for ids, _ in load(tmp_path / "sft", "train"):
        prompt, answer = encoder.decode(ids).split(ASSISTANT)
        wanted = parse(prompt.partition("\n")[2])
        assert wanted and met(wanted, answer)


def test_a_corpus_folder_keeps_its_split(tmp_path: Path, tokenizer_dir: Path) -> None:
    records, folder = corpus_records(100), tmp_path / "corpus"
    folder.mkdir()
    write(folder / "train-00000.jsonl", records[:80])
    write(folder / "val-00000.jsonl", records[80:])
    Manifest("corpus", {}, {}, outputs={"train-00000.jsonl": {}, "val-00000.jsonl": {}}).write(folder)
    counts = instructions(str(folder), tokenizer_dir, tmp_path / "all").counts
    assert (counts["train"], counts["val"]) == (80, 20)
    counts = instructions(str(folder), tokenizer_dir, tmp_path / "few", max_records=30, val_share=0.1).counts
    assert (counts["train"], counts["val"]) == (27, 3) and counts["dropped"] == {"validation is full": 17}


def test_thin() -> None:
    asked = story_request(Constraints(("铲子",), ("对话",), "概要", "天黑了。"))
    results = {thin(asked, dict.fromkeys(FIELDS, 0.5), str(n)) for n in range(200)}
    assert len(results) == 15  # every subset but the empty one
    assert all(parse(result.partition("\n")[2]) for result in results)
    assert thin("翻译\n词汇：铲子\n特征：对话", {"words": 0.01}, "0") == "翻译\n词汇：铲子\n特征：对话"
    assert thin(asked, {}, "0") == asked


def test_constraints_are_left_out(tmp_path: Path, tokenizer_dir: Path) -> None:
    source = str(write(tmp_path / "in.jsonl", corpus_records(60)))
    instructions(source, tokenizer_dir, tmp_path / "sft", val_share=0.2, prompt_fields=dict.fromkeys(FIELDS, 0.5))
    encoder = Encoder(tokenizer_dir)
    lines = [encoder.decode(ids).split(ASSISTANT)[0].count("\n") for ids, _ in load(tmp_path / "sft", "train")]
    assert set(lines) == {1, 2, 3}


def test_refusals(tmp_path: Path, tokenizer_dir: Path) -> None:
    source = str(write(tmp_path / "in.jsonl", corpus_records(30)))

    def refused(pattern: str, *args: object, **kwargs: object) -> None:
        with pytest.raises(UserError, match=pattern) as caught:
            instructions(*args, out_dir=tmp_path / "out", **kwargs)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()

    refused("no such file", str(tmp_path / "nothing"), tokenizer_dir)
    (tmp_path / "empty").mkdir()
    refused("empty folder", str(tmp_path / "empty"), tokenizer_dir)
    refused("no source given", [], tokenizer_dir)
    refused("--val_share 0 is out of range", source, tokenizer_dir, val_share=0)
    refused("prompt_fields: word: 0.5 is not one of", source, tokenizer_dir, prompt_fields={"word": 0.5})
    refused("--block_size 1 is out of range", source, tokenizer_dir, block_size=1)
    refused("val is empty", source, tokenizer_dir, val_share=0.001)
    refused("no usable record among 30: more than 16 tokens 30", source, tokenizer_dir, block_size=16)
    refused(
        "of 30 records have more than 110 tokens; raise --block_size",
        source, tokenizer_dir, block_size=110, too_long="refuse", val_share=0.3,
    )  # fmt: skip
    stories = str(write(tmp_path / "stories.jsonl", [{"text": STORY}]))
    refused("no usable record among 1: plain story without a request", stories, tokenizer_dir)


def test_max_records(tmp_path: Path, tokenizer_dir: Path) -> None:
    source = str(write(tmp_path / "in.jsonl", corpus_records(90)))
    counts = instructions(source, tokenizer_dir, tmp_path / "sft", val_share=0.2, max_records=40).counts
    assert counts["kept"] == 40 == counts["train"] + counts["val"]


# --- batches


def story_lengths(count: int) -> np.ndarray:
    return np.clip(np.random.default_rng(0).lognormal(np.log(220), 0.45, count), 20, 512).astype(int)


def plan(micro_batch: int = 8, **other: int) -> BatchPlan:
    given = {"lengths": story_lengths(1003), "global_batch": 32, "bucket": 10, "seed": 1, **other}
    return BatchPlan(micro_batch=micro_batch, **given)  # type: ignore[arg-type]


def test_an_epoch_holds_every_record_once() -> None:
    batches = plan().batches(3)
    assert sorted(i for step in batches for micro in step for i in micro) == list(range(1003))
    sizes = [sum(map(len, step)) for step in batches]
    assert sizes == [32] * 31 + [11] and sum(map(len, batches)) == len(plan())
    assert [len(micro) for micro in batches[-1]] == [8, 3]


def test_global_batches_do_not_depend_on_the_micro_batch() -> None:
    def steps(micro_batch: int) -> list[list[int]]:
        return [[i for micro in step for i in micro] for step in plan(micro_batch).batches(0)]

    assert steps(1) == steps(8) == steps(12) == steps(32) == steps(64)


def test_order_depends_on_seed_and_epoch_only() -> None:
    assert plan().batches(0) == plan().batches(0)
    assert plan().batches(0) != plan().batches(1)
    assert plan().batches(0) != plan(seed=2).batches(0)
    assert plan(fixed=True).batches(0) == plan(fixed=True).batches(7)


def test_passes_are_epochs_and_can_be_set() -> None:
    flat = [[micro for step in plan().batches(epoch) for micro in step] for epoch in range(3)]
    running = plan()
    assert [list(running) for _ in range(3)] == flat
    running.set_epoch(1, 5)
    assert list(running) == [micro for step in plan().batches(1)[5:] for micro in step]
    assert list(running) == flat[2]


@pytest.mark.parametrize(("global_batch", "micro_batch"), [(64, 16), (64, 64), (128, 8), (16, 4)])
def test_little_padding_on_story_lengths(global_batch: int, micro_batch: int) -> None:
    lengths = story_lengths(8000)
    ours = BatchPlan(lengths, global_batch=global_batch, micro_batch=micro_batch, bucket=50, seed=0)
    assert ours.padding_share() <= 0.05
    rows = np.random.default_rng(0).permutation(lengths).reshape(-1, micro_batch)
    assert 1 - lengths.sum() / (rows.max(axis=1).sum() * micro_batch) > 0.25  # without the sort


def test_windows_mix_lengths_across_an_epoch() -> None:
    means = [story_lengths(1003)[[i for micro in step for i in micro]].mean() for step in plan().batches(0)[:-1]]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.5


def test_few_records() -> None:
    few = BatchPlan([5, 3, 4], global_batch=32, micro_batch=2, bucket=50, seed=0)
    assert len(few) == 2 and [[sorted(m) for m in step] for step in few.batches(0)] == [[[1, 2], [0]]]


# --- the data class


@pytest.fixture(scope="module")
def sft(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("data")
    source = write(folder / "in.jsonl", corpus_records(120))
    instructions(str(source), tokenizer_dir, folder / "sft", val_share=0.2)
    return folder / "sft"


def connected(sft: Path, tokenizer_dir: Path, batch_size: int = 4, **settings: int) -> Any:
    from litgpt.tokenizer import Tokenizer as LitTokenizer

    from litgpt_zh.instruct.data import Instructions

    data = Instructions(data_dir=sft, bucket=2, **settings)
    data.connect(LitTokenizer(tokenizer_dir), batch_size=batch_size, max_seq_length=512)
    data.global_batch(16)
    data.prepare_data()
    data.setup()
    return data


def test_what_litgpt_asks_of_a_data_module(sft: Path, tokenizer_dir: Path) -> None:
    from litgpt.args import EvalArgs
    from litgpt.data import get_sft_collate_fn
    from litgpt.utils import select_sft_generate_example

    data = connected(sft, tokenizer_dir)
    item = data.train_dataset[0]
    ids, labels = item["input_ids"], item["labels"]
    assert ids.dtype == labels.dtype == torch.int64 and len(ids) == len(labels) == data.train_dataset.lengths[0]
    kept = labels != -100
    assert (labels[kept] == ids[kept]).all()
    learned = data.tokenizer.processor.decode(ids[kept].tolist(), skip_special_tokens=False)
    assert learned in {record["text"] + EOS for record in corpus_records(120)}
    loader = data.train_dataloader()
    assert loader.dataset is data.train_dataset and len(list(loader)) == len(loader)
    batch = next(iter(data.val_dataloader()))
    assert get_sft_collate_fn(pad_id=1)([data.test_dataset[0]]).keys() == batch.keys() - {"asked"}
    assert batch["token_counts"]["raw"].shape == (4, 1)
    for row, tokens in zip(batch["input_ids"], batch["token_counts"]["raw_plus_prompt_template"], strict=True):
        assert (row[tokens:] == 1).all() and (row[:tokens] != 1).all()
    asked = select_sft_generate_example(EvalArgs(evaluate_example="first"), data)
    prompt = data.prompt_style.apply(asked)
    ids = data.test_dataset[0]["input_ids"]
    encoded = data.tokenizer.encode(prompt)
    assert ids[: len(encoded)].tolist() == encoded.tolist() and data.test_dataset[0]["labels"][len(encoded) - 1] == -100
    assert data.test_dataset[0]["labels"][len(encoded)] != -100


def test_loaders_under_fabric(sft: Path, tokenizer_dir: Path) -> None:
    from lightning import Fabric

    data = connected(sft, tokenizer_dir)
    loader, val = Fabric(accelerator="cpu", devices=1).setup_dataloaders(data.train_dataloader(), data.val_dataloader())
    for epoch in (0, 1):  # by itself, every pass is the next epoch
        flat = [micro for step in data.batches(epoch) for micro in step]
        for batch, micro in zip(loader, flat, strict=True):
            assert torch.equal(batch["input_ids"], data.collate(micro)["input_ids"])
            assert batch["input_ids"].numel() == data.micro_batch_tokens(micro)
    loader.set_epoch(1, 2)
    rest = [micro for step in loader.batches(1)[2:] for micro in step]
    assert len(list(loader)) == len(rest) > 0
    first, second = ([b["input_ids"].tolist() for b in val] for _ in range(2))
    assert first == second and sum(map(len, first)) == len(data.test_dataset)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_reading_processes_change_nothing(sft: Path, tokenizer_dir: Path, num_workers: int) -> None:
    data = connected(sft, tokenizer_dir, num_workers=num_workers)
    loader = data.train_dataloader()
    loader.set_epoch(0, 3)
    found = [batch["input_ids"].tolist() for batch in loader]
    assert found == [data.collate(m)["input_ids"].tolist() for step in data.batches(0)[3:] for m in step]


def test_the_loss_of_a_global_batch_does_not_depend_on_its_split(sft: Path, tokenizer_dir: Path) -> None:
    """Targets and inputs of a step are the same, however it is cut; only padding differs."""

    def step(batch_size: int) -> list[list[int]]:
        data = connected(sft, tokenizer_dir, batch_size=batch_size)
        rows = [row for micro in data.batches(2)[1] for row in data.collate(micro)["labels"]]
        return [row[row != -100].tolist() for row in rows]

    assert step(1) == step(4) == step(16)


def test_data_class_refusals(sft: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    from litgpt.tokenizer import Tokenizer as LitTokenizer

    from litgpt_zh.instruct.data import Instructions

    def refused(pattern: str, folder: Path, **call: Any) -> None:
        with pytest.raises(UserError, match=pattern) as caught:
            data = Instructions(data_dir=folder)
            data.connect(**call)
            data.prepare_data()
            data.setup()
        assert "\n" not in str(caught.value)

    refused("not a finished stage", tmp_path)
    Manifest("corpus", {}, {}).write(tmp_path)
    refused("a folder of stage corpus", tmp_path)
    refused(r"longest record has \d+ tokens, train.max_seq_length is 64", sft, max_seq_length=64)
    other = tmp_path / "other"
    shutil.copytree(tokenizer_dir, other)
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    tokenizer.add_tokens(["小狗和小猫"])
    tokenizer.save(str(other / "tokenizer.json"))
    refused("made with another tokenizer", sft, tokenizer=LitTokenizer(other))
    torn = tmp_path / "torn"
    shutil.copytree(sft, torn)
    os.truncate(torn / "train_ids.npy", 1000)
    refused("train_ids.npy: 1,000 bytes", torn)
    empty = tmp_path / "empty"
    shutil.copytree(sft, empty)
    np.save(empty / "val_offsets.npy", np.zeros(1, np.int64))
    manifest = Manifest.read(empty)
    manifest.outputs["val_offsets.npy"]["bytes"] = (empty / "val_offsets.npy").stat().st_size
    manifest.write(empty)
    refused("no val records", empty)
    with pytest.raises(UserError, match=r"data.bucket: 0 is too small"):
        Instructions(bucket=0)


def test_a_model_too_short_is_refused_before_work(sft: Path) -> None:
    from types import SimpleNamespace

    from litgpt_zh.instruct.data import Instructions

    with pytest.raises(UserError, match="the model's block_size is 32"):
        Instructions(data_dir=sft).train_with(shutil, print, {"config": SimpleNamespace(block_size=32)})


def test_drills_come_early_and_once(tmp_path: Path, tokenizer_dir: Path) -> None:
    """Requests answered by their own words, in turn with the first of the other records, in the first epoch only."""
    source = str(write(tmp_path / "in.jsonl", corpus_records(40)))
    instructions(source, tokenizer_dir, tmp_path / "sft", val_share=0.2, drills=5)
    records = load(tmp_path / "sft", "train")
    encoder = Encoder(tokenizer_dir)
    for ids, mask in records[:5]:
        asked, _, answer = encoder.decode(ids).removeprefix(USER + "词汇：").removesuffix(EOS).partition(ASSISTANT)
        assert asked == answer and asked.count("，") in (2, 3, 4, 5) and mask.sum() > 0
    plan = BatchPlan([len(ids) for ids, _ in records], global_batch=2, micro_batch=1, bucket=2, seed=0, first=5)
    first, second = ([n for batch in plan.batches(e) for micro in batch for n in micro] for e in (0, 1))
    assert [first[n] for n in (0, 1, 4, 5, 8)] == [0, 1, 2, 3, 4] and min(
        first[2], first[3], *first[6:8], *first[9:]
    ) > 4
    assert sorted(first) == list(range(len(records)))
    assert sorted(second) == list(range(5, len(records)))
    assert len(plan) == sum(len(batch) for batch in plan.batches(0))


def test_drills_need_words(tmp_path: Path, tokenizer_dir: Path) -> None:
    source = str(write(tmp_path / "in.jsonl", [{"instruction": f"问{n}", "output": f"答{n}"} for n in range(30)]))
    with pytest.raises(UserError, match="nothing to drill"):
        instructions(source, tokenizer_dir, tmp_path / "sft", drills=5)
