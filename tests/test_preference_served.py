"""Pairs of samples that a server wrote: the same rules, every failure counted, nothing paid twice."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path

import pytest
import translate_server
from test_preference_sampling import SETTINGS, pairs_of
from tiny_checkpoint import LETTER, letter_records, write_letters, write_records
from translate_server import Server

from litgpt_zh.preference.sample import sample_pairs
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.translate.endpoint import Endpoint

COUNT, SAMPLES = 9, 4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_letters(folder)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_records(tmp_path / "in.jsonl", letter_records(COUNT))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[dict]]:
    """What the server was asked; it writes stories of five or six letters in a row."""
    asked: list[list[dict]] = []

    def write(messages: list[dict]) -> str:
        asked.append(messages)
        turn = len(asked)
        return (2 * LETTER)[turn % 9 :][: 5 + turn % 2] + "。"

    monkeypatch.setattr(translate_server, "answer", write)
    return asked


def served(server: Server, checkpoint: Path, source: Path, out: Path, **changes: object) -> Manifest:
    endpoint = Endpoint(base_url=server.url, model="storyteller")
    settings = {**SETTINGS, "count": COUNT, "samples": SAMPLES, "margin": 0.1, "endpoint": endpoint, "concurrency": 4}
    return sample_pairs(checkpoint, out, source, **{**settings, **changes})  # type: ignore[arg-type]


def test_pairs_of_a_server(checkpoint, source, tmp_path, told, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with Server(key="sk-secret", keep=True) as server:
        manifest = served(server, checkpoint, source, tmp_path / "out", max_new_tokens=77, keep_samples=True)
        assert server.total == COUNT * SAMPLES == len(told)
        served(server, checkpoint, source, tmp_path / "out", max_new_tokens=77, keep_samples=True)
        assert server.total == COUNT * SAMPLES  # finished: nothing is asked again
        bodies = server.bodies
    assert all(body["temperature"] == 1.0 and body["max_tokens"] == 77 for body in bodies)
    assert "词汇：" in bodies[0]["messages"][-1]["content"] and len({str(m) for m in told}) == COUNT
    assert len(pairs_of(tmp_path / "out")) == manifest.counts["kept"] > 3
    assert manifest.settings["endpoint"]["model"] == "storyteller"
    assert all("sk-secret" not in p.read_text("utf-8", "ignore") for p in (tmp_path / "out").iterdir())
    lines = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == COUNT and all(len(line["samples"]) == SAMPLES for line in lines)
    assert all(s["finished"] and s["text"].endswith("。") for line in lines for s in line["samples"])


def test_failures_are_counted_and_never_paired(checkpoint, source, tmp_path, told) -> None:
    with Server(script=("500", "400", "length", "refusal"), keep=True) as server:
        manifest = served(server, checkpoint, source, tmp_path / "out", samples=6)
        assert server.total == COUNT * 7  # the 500 was asked again, the 400 was not
    failures = manifest.counts["histograms"]["sample_failure"]
    assert failures["unfinished"] == COUNT and failures["empty"] == 2 * COUNT and failures["none"] <= 3 * COUNT
    assert sum(failures.values()) == 6 * COUNT
    assert {name.split(":")[0]: n for name, n in manifest.counts["troubles"].items()} == {
        "HTTP 500": COUNT,
        "HTTP 400": COUNT,
    }
    for _, chosen, rejected in pairs_of(tmp_path / "out"):
        assert chosen[-1] == 0 and len(rejected) > 1


def test_a_run_that_died_goes_on_and_pays_nothing_twice(checkpoint, source, tmp_path, told, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    with Server(key="right") as server:
        write, left = translate_server.answer, itertools.count(1)

        def until(messages: list[dict]) -> str:
            if next(left) == 20:
                server.key = "another"
            return write(messages)

        monkeypatch.setattr(translate_server, "answer", until)
        monkeypatch.setattr("litgpt_zh.preference.sample.CHUNK", 2)
        with pytest.raises(UserError, match="HTTP 401"):
            served(server, checkpoint, source, tmp_path / "out", keep_samples=True)
        with sqlite3.connect(tmp_path / "out.ledger") as book:
            paid = book.execute("SELECT count(*) FROM calls").fetchone()[0]
        before, server.key = server.total, "right"
        assert 10 < paid < 20 and not (tmp_path / "out").exists()
        manifest = served(server, checkpoint, source, tmp_path / "out", keep_samples=True)
        assert server.total - before == COUNT * SAMPLES - paid
        again = served(
            server, checkpoint, source, tmp_path / "again", keep_samples=True, ledger=tmp_path / "out.ledger"
        )
        assert server.total - before == COUNT * SAMPLES - paid
    assert manifest.counts["read"] == COUNT and again.outputs == manifest.outputs


def test_refusals(checkpoint, source, tmp_path) -> None:
    def asked(**changes: object) -> None:
        settings = {**SETTINGS, "endpoint": Endpoint(base_url="http://127.0.0.1:1/v1", model="x"), **changes}
        sample_pairs(checkpoint, tmp_path / "out", source, **settings)  # type: ignore[arg-type]

    with pytest.raises(UserError, match="leave out --top_k"):
        asked(top_k=5)
    with pytest.raises(UserError, match="--concurrency 0"):
        asked(concurrency=0)
    with pytest.raises(UserError, match=r"endpoint\.model"):
        asked(endpoint=Endpoint(base_url="http://127.0.0.1:1/v1"))
    assert not (tmp_path / "out").exists()
