"""The part ``judge`` of the reward: scores of a server decide the pairs; what is no score is counted and never paired."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import translate_server
from test_preference_sampling import SETTINGS, pairs_of
from tiny_checkpoint import LETTER, letter_records, write_letters, write_records
from translate_server import Server

from litgpt_zh.__main__ import main
from litgpt_zh.generate.load import load
from litgpt_zh.preference.choose import advantages
from litgpt_zh.preference.judge import score_in
from litgpt_zh.preference.pairing import pair_samples
from litgpt_zh.preference.rewards import failure, judged
from litgpt_zh.preference.sample import sample_pairs
from litgpt_zh.preference.samples import FILE
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.translate.agent import REPAIRS
from litgpt_zh.translate.endpoint import Endpoint
from litgpt_zh.translate.reply import ReplyError

COUNT, SAMPLES = 24, 6
RULES = {**SETTINGS, "count": COUNT, "samples": SAMPLES, "weights": {"judge": 1.0}, "keep_samples": True}
Say = Callable[[str, list[dict]], object]
"""A judge: the story and all that it was asked -> the score, or a whole reply."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_letters(folder)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_records(tmp_path / "in.jsonl", letter_records(COUNT))


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Callable[[Say], Counter[tuple[str, str]]]:
    """Sets the judge; gives the calls by request and story. The same server writes stories of letters in a row."""

    def use(say: Say) -> Counter[tuple[str, str]]:
        calls: Counter[tuple[str, str]] = Counter()
        turn = itertools.count()

        def answer(messages: list[dict]) -> str:
            if "评委" not in messages[0]["content"]:
                n = next(turn)
                return (2 * LETTER)[n % 9 :][: 5 + n % 2] + "。"
            asked, _, story = messages[1]["content"].partition("\n\n故事：\n")
            calls[asked, story] += 1
            said = say(story, messages)
            if not isinstance(said, int):
                return str(said)
            return json.dumps({"score": said}) if "JSON" in messages[0]["content"] else str(said)

        monkeypatch.setattr(translate_server, "answer", answer)
        return calls

    return use


def mark(story: str, _: object = None) -> int:
    """Of a story, 1 to 10, and nothing that another part measures."""
    return 1 + sum(map(ord, story)) % 10


def run(server: Server, checkpoint: Path, source: Path, out: Path, **changes: object) -> Manifest:
    settings = {**RULES, "judge": Endpoint(server.url, "critic"), "concurrency": 4, **changes}
    return sample_pairs(checkpoint, out, source, **settings)  # type: ignore[arg-type]


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / FILE).read_text("utf-8").splitlines()]


def told(checkpoint: Path, folder: Path) -> list[list[tuple[str, bool]]]:
    """(text, finished) of both sides of every pair."""
    decode = load(checkpoint).tokenizer.processor.decode
    return [[(decode([n for n in side if n]), side[-1] == 0) for side in sides] for _, *sides in pairs_of(folder)]


@pytest.mark.parametrize("refuses", [(), ("json_schema",), ("json_schema", "json_object")])
def test_the_score_decides_the_pair(checkpoint, source, tmp_path, judge, monkeypatch, refuses) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    calls = judge(mark)
    with Server(key="sk-secret", keep=True, refuses=refuses) as server:
        manifest = run(server, checkpoint, source, tmp_path / "out")
        total = server.total
        run(server, checkpoint, source, tmp_path / "out")
        run(server, checkpoint, source, tmp_path / "other", margin=0.5, ledger=tmp_path / "out.ledger")
        assert server.total == total  # finished, or judged before: nothing is asked again
        forms = [body.get("response_format", {}).get("type") for body in server.bodies[-5:]]
    assert set(forms) == {("json_schema", "json_object", None)[len(refuses)]}
    sides = told(checkpoint, tmp_path / "out")
    assert len(sides) == manifest.counts["kept"] > 10
    for (good, ended), (bad, whole) in sides:
        worse = judged(mark(bad)) if failure(bad, whole) is None else 0.0
        assert ended and judged(mark(good)) - worse >= 0.3
    kept = [s for line in lines(tmp_path / "out") for s in line["samples"]]
    assert all(s.get("judge") == (judged(mark(s["text"])) if whole_story(s) else None) for s in kept)
    assert {story for _, story in calls} == {s["text"] for s in kept if whole_story(s)}
    assert sum(manifest.counts["histograms"]["judge_score"].values()) == sum(map(whole_story, kept))
    assert manifest.settings["judge"]["model"] == "critic" and manifest.counts["judge_troubles"].keys() <= {
        "response_format"
    }
    assert all(b"sk-secret" not in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def whole_story(sample: dict) -> bool:
    return failure(sample["text"], sample["finished"]) is None


def test_kept_scores_pair_again(checkpoint, source, tmp_path, judge) -> None:
    judge(mark)
    rules = {name: RULES[name] for name in ("margin", "length_ratio", "band", "val_share")}
    with Server() as server:
        before = run(server, checkpoint, source, tmp_path / "out")
    for weights in ({"judge": 1.0}, {"judge": 0.5, "repetition": 0.5}, {"words": 1.0}):
        pair_samples(checkpoint, tmp_path / "out", tmp_path / "-".join(weights), weights=weights, **rules)  # type: ignore[arg-type]
    again = Manifest.read(tmp_path / "judge")
    assert {n: v for n, v in again.outputs.items() if n.endswith(".npy")} == {
        n: v for n, v in before.outputs.items() if n.endswith(".npy")
    }
    assert Manifest.read(tmp_path / "words").outputs["train_ids.npy"] != again.outputs["train_ids.npy"]
    sample_pairs(checkpoint, tmp_path / "plain", source, **{**RULES, "weights": {"words": 1.0}})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="these samples were not judged"):
        pair_samples(checkpoint, tmp_path / "plain", tmp_path / "no", weights={"judge": 1.0}, **rules)  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()


def test_graded_samples_of_a_server(checkpoint, source, tmp_path, judge) -> None:
    judge(mark)
    with Server() as server:
        writer = Endpoint(server.url, "storyteller")
        changes = {"kind": "graded", "endpoint": writer, "weights": {"judge": 3.0, "ending": 1.0}}
        manifest = run(server, checkpoint, source, tmp_path / "out", **changes)
    expected = []
    for line in lines(tmp_path / "out"):
        rewards = [(1 + 3 * judged(mark(s["text"]))) / 4 for s in line["samples"]]
        expected += advantages(rewards) if max(rewards) - min(rewards) >= RULES["margin"] else []
    labels = np.concatenate([np.load(tmp_path / "out" / f"{side}_labels.npy") for side in ("train", "val")])
    assert len(labels) == manifest.counts["kept"] > 10
    assert sorted(labels) == pytest.approx(sorted(expected), abs=1e-5)


def test_the_recipe_of_the_docs(checkpoint, source, tmp_path, judge) -> None:
    calls = judge(mark)
    text = (Path(__file__).parents[1] / "docs" / "preference.md").read_text("utf-8")
    recipe = text.partition("--config judge.yaml\n")[2].partition("```")[0]
    with Server() as server:
        (tmp_path / "judge.yaml").write_text(recipe.replace("http://127.0.0.1:8000/v1", server.url), "utf-8")
        base = {"checkpoint_dir": str(checkpoint), "source": str(source), "out_dir": str(tmp_path / "out"), "count": 12}
        base |= {"margin": 0.1, "length_ratio": 0.5, "val_share": 0.3, "balanced": ["surprise"]}
        (tmp_path / "base.yaml").write_text(json.dumps(base), "utf-8")
        main(["sample_pairs", "--config", str(tmp_path / "base.yaml"), "--config", str(tmp_path / "judge.yaml")])
    manifest = Manifest.read(tmp_path / "out")
    assert manifest.settings["judge"]["temperature"] == 0 and manifest.settings["weights"]["judge"] == 0.5
    assert calls and manifest.counts["histograms"]["judge_score"]


# what is no score ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "style", "score"),
    [
        ('{"score": 7}', "json_schema", 7),
        ('```json\n{"score": 10}\n```', "json_object", 10),
        (" 1\n", "delimiters", 1),
        ("8 分。", "delimiters", 8),
        *((f'{{"score": {value}}}', "json_schema", None) for value in ("0", "11", "-1", "NaN", "7.5", "true", '"7"', "null")),
        ('{"score": 7, "why": "好"}', "json_object", None),
        ('我觉得是 {"score": 7}', "json_object", None),
        ("7", "json_object", None),
        *((text, "delimiters", None) for text in ("0", "11", "7.5", "-3", "nan", "我打 7 分", "7/10", "")),
    ],
)  # fmt: skip
def test_only_an_integer_in_range_is_a_score(text: str, style: str, score: int | None) -> None:
    if score:
        assert score_in(text, style) == score
        return
    with pytest.raises(ReplyError):
        score_in(text, style)


def test_a_story_without_a_score_is_counted_and_never_paired(checkpoint, source, tmp_path, judge) -> None:
    bad = ("11", '{"score": 0}', "这个故事真好，我给 9 分。", '{"score": NaN}', '{"score": 1e9}')

    def say(story: str, messages: list[dict]) -> object:
        return mark(story) if mark(story) > 6 else bad[(mark(story) + len(messages)) % len(bad)]

    calls = judge(say)
    with Server() as server:
        counts = run(server, checkpoint, source, tmp_path / "out", margin=0.1).counts
    assert all(n == (1 if mark(story) > 6 else 1 + REPAIRS) for (_, story), n in calls.items())
    unread = sum(n for (_, story), n in calls.items() if mark(story) <= 6)
    assert counts["judge_troubles"] == {"no score: reply": unread} and unread
    without = few = 0
    for line in lines(tmp_path / "out"):
        stories = [s for s in line["samples"] if whole_story(s)]
        scored = [s for s in stories if mark(s["text"]) > 6]
        assert all("judge" in s for s in scored) and all(s.get("scored") is False for s in stories if s not in scored)
        without += len(stories) - len(scored)
        few += len(scored) < 2 and len(scored) < len(stories)
    assert counts["histograms"]["sample_failure"]["no score"] == without > 0
    assert counts["dropped"]["the judge gave no score"] == few > 0
    sides = told(checkpoint, tmp_path / "out")
    assert sides and all(mark(text) > 6 for pair in sides for text, ended in pair if failure(text, ended) is None)


@pytest.mark.parametrize("fault", ["prose", "cut"])
def test_a_reply_that_is_put_right_is_a_score(checkpoint, source, tmp_path, judge, fault) -> None:
    def say(story: str, messages: list[dict]) -> object:
        repair = "cannot be used" in messages[-1]["content"]
        return mark(story) if repair or fault == "cut" else "很好。"

    calls = judge(say)
    with Server(script=("length",) if fault == "cut" else (), keep=True) as server:
        counts = run(server, checkpoint, source, tmp_path / "out").counts
        rooms = [body["max_tokens"] for body in server.bodies]
    assert set(calls.values()) == {2} and "no score" not in counts["histograms"]["sample_failure"]
    assert counts["judge_troubles"] == {"no score: reply" if fault == "prose" else "no score: cut": len(calls)}
    assert rooms.count(4096) == (len(calls) if fault == "cut" else 0)


def test_a_run_that_died_goes_on_and_pays_nothing_twice(checkpoint, source, tmp_path, judge, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    monkeypatch.setattr("litgpt_zh.preference.sample.CHUNK", 5)
    judge(mark)
    with Server(key="right") as server:
        whole = run(server, checkpoint, source, tmp_path / "whole")
        every, left = server.total, itertools.count(1)

        def until(story: str, _: object) -> int:
            if next(left) == every // 2:
                server.key = "another"
            return mark(story)

        judge(until)
        with pytest.raises(UserError, match="HTTP 401"):
            run(server, checkpoint, source, tmp_path / "out")
        with sqlite3.connect(tmp_path / "out.ledger") as book:
            paid = book.execute("SELECT count(*) FROM calls").fetchone()[0]
        assert every // 4 < paid < every // 2 and not (tmp_path / "out").exists()
        before, server.key = server.total, "right"
        manifest = run(server, checkpoint, source, tmp_path / "out")
        assert server.total - before == every - paid
    assert manifest.outputs == whole.outputs


# refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judge": None}, "judge is weighed, but none is given"),
        ({"judge": None, "weights": None, "balanced": ["judge"]}, "judge is weighed, but none is given"),
        ({"weights": {"words": 1.0}}, "--judge has no weight"),
        ({"kind": "classic"}, "judge compares samples of the model"),
        ({"judge": Endpoint("http://127.0.0.1:1/v1")}, r"--judge: .*endpoint\.model"),
        ({"concurrency": 0}, "--concurrency 0"),
    ],
)
def test_refusals_before_any_work(checkpoint, source, tmp_path, monkeypatch, changes, message) -> None:
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    settings = {**RULES, "judge": Endpoint("http://127.0.0.1:1/v1", "critic"), **changes}
    with pytest.raises(UserError, match=message):
        sample_pairs(checkpoint, tmp_path / "out", source, **settings)
    assert not list(tmp_path.glob("out*"))
