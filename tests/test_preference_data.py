"""Preference data: the forms people bring, what is refused and why, the files, the split, resume."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.formats import Bad
from litgpt_zh.preference import stage as stage_module
from litgpt_zh.preference.formats import Answer, Pair, read_preferences
from litgpt_zh.preference.stage import pairs, unfit
from litgpt_zh.prompts import ASSISTANT, CONTROL, EOS, INSTRUCTION, USER
from litgpt_zh.stage import Manifest, UserError

ROOT = Path(__file__).parents[1]
DEMO = ROOT.parent / "shared" / "data" / "dpo_zh_demo.json"
LETTERS = "小狗在草地上玩铲子。问答好坏故事词汇：按照下面输入的约束生成\n"


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(CONTROL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([LETTERS] * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write(path: Path, records: list, array: bool = False) -> Path:
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("[" + ",\n".join(lines) + "]" if array else "\n".join(lines) + "\n", encoding="utf-8")
    return path


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def answer(text: str) -> dict:
    return {"role": "assistant", "content": text}


# --- forms

ASKED = (("user", "问"),)
FORMS = [
    ({"prompt": "问", "chosen": "好", "rejected": "坏"}, ASKED),
    ({"prompt": [user("问")], "chosen": [answer("好")], "rejected": [answer("坏")]}, ASKED),
    ({"prompt": "问", "chosen": [user("问"), answer("好")], "rejected": [user("问"), answer("坏")]}, ASKED),
    ({"chosen": [user("问"), answer("好")], "rejected": [user("问"), answer("坏")]}, ASKED),
    (
        {"chosen": [user("一"), answer("二"), user("三"), answer("好")],
         "rejected": [user("一"), answer("二"), user("三"), answer("坏")]},
        (("user", "一"), ("assistant", "二"), ("user", "三")),
    ),
    (
        {"conversations": [{"from": "system", "value": "零"}, {"from": "human", "value": "问"}],
         "chosen": {"from": "gpt", "value": "好"}, "rejected": {"from": "gpt", "value": "坏"}},
        (("system", "零"), ("user", "问")),
    ),
    ({"instruction": "问", "input": "题", "chosen": "好", "rejected": "坏"}, (("user", "问\n题"),)),
    (
        {"instruction": INSTRUCTION, "input": "关键词:铲子,草地", "chosen": "好", "rejected": "坏"},
        (("user", f"{INSTRUCTION}\n词汇：铲子，草地"),),
    ),
    ({"prompt": "问", "system": "零", "chosen": "好", "rejected": "坏"}, (("system", "零"), ("user", "问"))),
]  # fmt: skip


@pytest.mark.parametrize("array", [False, True])
def test_forms_of_pairs(tmp_path: Path, array: bool) -> None:
    path = write(tmp_path / "data.txt", [record for record, _ in FORMS], array)
    found = list(read_preferences(path))
    assert [item.turns if isinstance(item, Pair) else item for item in found] == [turns for _, turns in FORMS]
    assert {(item.chosen, item.rejected) for item in found if isinstance(item, Pair)} == {("好", "坏")}
    assert len({item.group for item in found[:4] if isinstance(item, Pair)}) == 1  # one prompt, one group


def test_forms_of_single_answers(tmp_path: Path) -> None:
    records = [
        {"prompt": "问", "completion": "好", "label": True},
        {"prompt": [user("问")], "completion": [answer("坏")], "label": False},
        {"messages": [user("问"), answer("坏")], "label": 0},
        {"conversations": [{"from": "human", "value": "问"}, {"from": "gpt", "value": "好"}], "label": 1},
    ]
    found = list(read_preferences(write(tmp_path / "kto.jsonl", records), "unpaired"))
    assert [(i.turns, i.completion, i.label) for i in found if isinstance(i, Answer)] == [
        (ASKED, "好", True), (ASKED, "坏", False), (ASKED, "坏", False), (ASKED, "好", True),
    ]  # fmt: skip


REFUSED = [
    ({"prompt": "问", "chosen": "好", "rejected": " "}, "empty side"),
    ({"prompt": "问", "chosen": None, "rejected": "坏"}, "empty side"),
    ({"prompt": "问", "chosen": [], "rejected": [answer("坏")]}, "empty side"),
    ({"prompt": "问", "chosen": "好 ", "rejected": "好"}, "equal sides"),
    ({"chosen": [user("问"), answer("好")], "rejected": [user("问"), answer("好")]}, "equal sides"),
    ({"chosen": [user("问"), answer("好")], "rejected": [user("问")]}, "empty side"),
    ({"chosen": "问：好", "rejected": "问：坏"}, "no prompt"),
    ({"prompt": "", "chosen": "好", "rejected": "坏"}, "empty request"),
    ({"chosen": [answer("好")], "rejected": [answer("坏")]}, "no user turn"),
    ({"prompt": [user("问"), answer("答")], "chosen": "好", "rejected": "坏"}, "roles out of order"),
    ({"prompt": "问", "chosen": [user("好")], "rejected": [answer("坏")]}, "no answer to the last turn"),
    (
        {"chosen": [user("问"), answer("好"), user("再"), answer("好")], "rejected": [user("问"), answer("坏")]},
        "sides differ in more than one message",
    ),
    ({"prompt": "问", "chosen": f"好{EOS}", "rejected": "坏"}, "control piece in the text"),
    ({"prompt": f"问{ASSISTANT}", "chosen": "好", "rejected": "坏"}, "control piece in the text"),
    ({"prompt": "问", "chosen": 5, "rejected": "坏"}, "turns are not a list of objects"),
    ({"prompt": "问", "completion": "好", "label": True}, "single answer with a label (use --form unpaired)"),
    ({"prompt": "问", "completion": "好"}, "unknown form"),
    ("问好坏", "not a JSON object"),
]


@pytest.mark.parametrize(("record", "reason"), REFUSED)
def test_reasons(tmp_path: Path, record: object, reason: str) -> None:
    path = write(tmp_path / "a.jsonl", [record])
    assert list(read_preferences(path)) == [Bad(str(path), 1, reason)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "问", "completion": "好", "label": "yes"}, "label is not true or false"),
        ({"prompt": "问", "completion": "", "label": True}, "empty side"),
        ({"prompt": "问", "chosen": "好", "rejected": "坏"}, "preference pair (use --form pairs)"),
        ({"messages": [user("问")], "label": True}, "no answer to the last turn"),
    ],
)
def test_reasons_of_single_answers(tmp_path: Path, record: object, reason: str) -> None:
    path = write(tmp_path / "a.jsonl", [record])
    assert list(read_preferences(path, "unpaired")) == [Bad(str(path), 1, reason)]


def test_what_does_not_fit() -> None:
    prompt = np.arange(5, dtype=np.uint16)

    def sides(*tails: list[int]) -> tuple[np.ndarray, ...]:
        return tuple(np.array([*prompt, *tail], dtype=np.uint16) for tail in tails)

    assert unfit(prompt, sides([7, 0], [8, 0]), 7) is None
    assert unfit(prompt, sides([7, 0], [8, 9, 0]), 7) == "more than 7 tokens"
    assert unfit(prompt, sides([7, 8, 9, 0], [7, 8, 5, 0]), 7) == "equal after truncation"
    assert unfit(prompt, sides([7, 0], [7, 0]), 7) == "equal sides"
    assert unfit(prompt, sides([7, 0], [8, 0]), 7, max_prompt=4) == "prompt too long"
    assert unfit(prompt, sides([7, 0], [8, 0]), 5) == "prompt too long"
    assert unfit(prompt, sides([7, 0], []), 7) == "empty side"
    other = np.array([0, 1, 2, 3, 9, 7, 0], dtype=np.uint16)
    assert unfit(prompt, (sides([7, 0])[0], other), 7) == "prompt ids are not the beginning of prompt and answer"


# --- the stage


def many(count: int) -> list[dict]:
    return [{"prompt": f"问{n // 2}", "chosen": f"好故事{n}", "rejected": f"坏{n}"} for n in range(count)]


def load(folder: Path, side: str) -> list[tuple[np.ndarray, np.ndarray, int]]:
    ids, offsets, prompts = (np.load(folder / f"{side}_{name}.npy") for name in ("ids", "offsets", "prompts"))
    assert ids.dtype == np.uint16 and len(offsets) == 2 * len(prompts) + 1
    rows = [ids[a:b] for a, b in pairwise(offsets)]
    return [(rows[2 * n], rows[2 * n + 1], int(prompt)) for n, prompt in enumerate(prompts)]


def test_files_of_pairs(tmp_path: Path, tokenizer_dir: Path) -> None:
    source = write(tmp_path / "in.jsonl", [*many(60), {"prompt": "问", "chosen": "好", "rejected": "好"}])
    counts = pairs(str(source), tokenizer_dir, tmp_path / "out", val_share=0.2).counts
    assert counts["kept"] == 60 and counts["dropped"] == {"equal sides": 1}
    assert counts["first_dropped"] == [f"{source}:61: equal sides"]
    encoder, seen = Encoder(tokenizer_dir), {"train": set(), "val": set()}
    records = []
    for side in ("train", "val"):
        for chosen, rejected, prompt in load(tmp_path / "out", side):
            assert np.array_equal(chosen[:prompt], rejected[:prompt])
            asked = encoder.decode(chosen[:prompt])
            seen[side].add(asked)
            records.append((asked, encoder.decode(chosen[prompt:]), encoder.decode(rejected[prompt:])))
    expected = [(f"{USER}{r['prompt']}{ASSISTANT}", r["chosen"] + EOS, r["rejected"] + EOS) for r in many(60)]
    assert sorted(records) == sorted(expected)
    assert not seen["train"] & seen["val"] and len(seen["val"]) > 1  # split by prompt
    assert counts["longest"] == max(len(c) for s in seen for c, _, _ in load(tmp_path / "out", s))
    example = json.loads((tmp_path / "out" / "examples.jsonl").read_text("utf-8").splitlines()[0])
    assert (example["prompt"], example["chosen"], example["rejected"]) in expected


def test_files_of_single_answers(tmp_path: Path, tokenizer_dir: Path) -> None:
    records = [{"prompt": f"问{n}", "completion": f"答{n}", "label": n % 3 == 0} for n in range(30)]
    source = write(tmp_path / "in.jsonl", records)
    counts = pairs(str(source), tokenizer_dir, tmp_path / "out", form="unpaired", val_share=0.2).counts
    labels = [np.load(tmp_path / "out" / f"{side}_labels.npy") for side in ("train", "val")]
    assert sum(len(side) for side in labels) == 30 == counts["kept"] and sum(int(side.sum()) for side in labels) == 10
    assert len(np.load(tmp_path / "out" / "train_offsets.npy")) == counts["train"] + 1


def test_nothing_is_cut(tmp_path: Path, tokenizer_dir: Path) -> None:
    records = [
        *many(20),
        {"prompt": "问", "chosen": "好" * 40, "rejected": "坏"},
        {"prompt": "问", "chosen": "好" * 90 + "子", "rejected": "好" * 90},
        {"prompt": "问" * 50, "chosen": "好", "rejected": "坏"},
    ]
    source = write(tmp_path / "in.jsonl", records)
    counts = pairs(str(source), tokenizer_dir, tmp_path / "out", block_size=24, max_prompt=16, val_share=0.3).counts
    assert counts["dropped"] == {"more than 24 tokens": 1, "equal after truncation": 1, "prompt too long": 1}
    assert counts["longest"] <= 24 and counts["kept"] == 20


def test_a_stopped_stage_goes_on(tmp_path: Path, tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "CHUNK", 7)
    source = write(tmp_path / "in.jsonl", [*many(40), {"prompt": "问"}, *many(50)[40:]])

    def run(name: str) -> Path:
        pairs(str(source), tokenizer_dir, tmp_path / name, val_share=0.3)
        return tmp_path / name

    whole, original, commits = run("whole"), stage_module.PairWriter.commit, 0

    def stopping(writer: stage_module.PairWriter) -> None:
        nonlocal commits
        commits += 1
        if commits == 4:
            raise KeyboardInterrupt
        original(writer)

    monkeypatch.setattr(stage_module.PairWriter, "commit", stopping)
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    assert not (tmp_path / "stopped").exists()
    run("stopped")
    one, two = Manifest.read(whole), Manifest.read(tmp_path / "stopped")
    assert one.outputs == two.outputs and one.counts == two.counts
    run("stopped")  # finished: nothing to do
    assert Manifest.read(tmp_path / "stopped").created == two.created


def test_refusals(tmp_path: Path, tokenizer_dir: Path) -> None:
    source = str(write(tmp_path / "in.jsonl", many(10)))

    def refused(pattern: str, source: str, **settings: object) -> None:
        with pytest.raises(UserError, match=pattern) as caught:
            pairs(source, tokenizer_dir, tmp_path / "out", **settings)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()

    refused("no such file", str(tmp_path / "nothing"))
    refused("--val_share 0 is out of range", source, val_share=0)
    refused("no usable pair among 10 records: more than 8 tokens 10", source, block_size=8)
    refused(r"no usable pair .*use --form pairs\) 10", source, form="unpaired")
    refused("val is empty", source, val_share=0.0001)


@pytest.mark.skipif(not DEMO.is_file(), reason="the demo file of LLaMA-Factory is not here")
def test_a_llama_factory_file_loads_whole(tmp_path: Path) -> None:
    counts = pairs(str(DEMO), ROOT / "tokenizer", tmp_path / "out", block_size=1024, val_share=0.1).counts
    assert counts["read"] == 225 == counts["kept"] + sum(counts["dropped"].values())
    assert counts["kept"] > 100 and counts["longest"] <= 1024
    assert set(counts["dropped"]) <= {"more than 1024 tokens", "prompt too long", "equal after truncation"}
