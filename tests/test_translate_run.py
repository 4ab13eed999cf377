"""The whole stage against a real HTTP server on loopback whose faults are scheduled and whose log is the truth."""

import asyncio
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from translate_server import Server, han

from litgpt_zh.__main__ import main
from litgpt_zh.constraints import parse
from litgpt_zh.instruct.stage import instructions
from litgpt_zh.prompts import INSTRUCTION
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.translate import client as client_module
from litgpt_zh.translate import stage as stage_module
from litgpt_zh.translate.client import Ask, Client
from litgpt_zh.translate.endpoint import Endpoint
from litgpt_zh.translate.ledger import Ledger
from litgpt_zh.translate.limits import Budget, Pace, Pause
from litgpt_zh.translate.names import glossary
from litgpt_zh.translate.read import ENGLISH, Item, read_items
from litgpt_zh.translate.stage import translate

ROOT = Path(__file__).parents[1]
ITEMS = 24


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no key, and a back-off of milliseconds."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(client_module, "BACKOFF", 0.01)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def go(server: Server, out: Path, *, source: Any = "english", model: str = "m", **options: Any) -> dict[str, Any]:
    endpoint = options.pop("endpoint", None) or Endpoint(server.url, model, timeout=20)
    made = translate(source, out, endpoint=endpoint, **{"mode": "once", "concurrency": 8, **options})
    assert made is not None
    return made.counts


def english(path: Path, n: int) -> Path:
    """``n`` different items out of the built-in ones."""
    built_in = [item for item in read_items("english") if isinstance(item, Item)]
    with open(path, "w", encoding="utf-8") as file:
        for k in range(n):
            item = built_in[k % len(built_in)]
            words = ", ".join(item.words)
            file.write(
                f"Words: {words}\nSummary: {item.summary or 'None.'}\nStory:\n\nStory {k} of many.\n\n{item.story}\n<|endoftext|>\n"
            )
    return path


# Modes


@pytest.mark.parametrize(
    ("mode", "calls", "steps"),
    [
        ("once", ITEMS, {"draft": ITEMS}),
        ("auto", ITEMS, {"draft": ITEMS}),
        ("reflect", 3 * ITEMS, {"draft": ITEMS, "reflect": ITEMS, "improve": ITEMS}),
    ],
)
def test_modes_on_the_built_in_sample(tmp_path: Path, mode: str, calls: int, steps: dict[str, int]) -> None:
    with Server() as server:
        counts = go(server, tmp_path / "out", mode=mode)
        again = go(server, tmp_path / "out", mode=mode)
    assert (server.total, counts["ok"], counts["dead"], counts["steps"]) == (calls, ITEMS, 0, steps)
    assert again == counts
    assert counts["ledger"]["tokens_in"] + counts["ledger"]["tokens_out"] == server.billed
    records = lines(tmp_path / "out" / "records.jsonl")
    items = list(read_items("english"))
    assert len(records) == len(items) == ITEMS
    for record, item in zip(records, items, strict=True):
        assert isinstance(item, Item) and record["instruction"] == INSTRUCTION and record["group"] == item.group
        asked = parse(record["input"])
        assert asked is not None and asked.words == tuple(map(han, item.words)) and asked.features == item.features
        assert all(word in record["output"] for word in asked.words) and asked.sentence in record["output"]
        assert bool(asked.summary) == bool(item.summary) and bool(asked.sentence) == bool(item.sentence)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert records[0]["output"].split("\n")[0] in page and items[0].story.split("\n")[0] in page  # type: ignore[union-attr]


def test_auto_reflects_only_where_a_rule_complains(tmp_path: Path) -> None:
    with Server(script=("cut",)) as server:
        counts = go(server, tmp_path / "out", mode="auto")
    # every draft is cut; the criticism is made once; so is the edit, which is cut too (the first call of its key): a repair
    assert counts["steps"]["reflect"] == counts["steps"]["improve"] == counts["ok"] == ITEMS


@pytest.mark.parametrize(("grade", "calls"), [("5", 2), ("4", 2), ("3", 4), ("no idea", 4)])
def test_the_judge_decides_in_auto(tmp_path: Path, grade: str, calls: int) -> None:
    with Server(grade=grade) as server:
        counts = go(server, tmp_path / "out", mode="auto", judge=True)
    assert (counts["steps"]["judge"], server.total, counts["ok"]) == (ITEMS, calls * ITEMS, ITEMS)


def test_the_judge_as_a_measure_grades_some_finished_records(tmp_path: Path) -> None:
    with Server(grade="4", keep=True) as server:
        counts = go(server, tmp_path / "out", grade=10)
        assert (server.total, counts["ok"]) == (ITEMS + 10, ITEMS)
        assert counts["grades"] == {
            "mean": 4.0,
            "graded": 10,
            "no grade": 0,
            "of 5": {"1": 0, "2": 0, "3": 0, "4": 10, "5": 0},
        }
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert "模型打分，1 到 5，10 条" in page and ">4.0<" in page
        more = go(server, tmp_path / "more", grade=99, ledger=tmp_path / "out.ledger")
        assert more["grades"]["graded"] == ITEMS and server.total == 2 * ITEMS  # each record once
        server.grade = "no idea"
        other = go(server, tmp_path / "other", grade=3)
    assert other["grades"]["mean"] is None and other["grades"]["no grade"] == 3
    shown = server.bodies[-1]["messages"][1]["content"]
    assert shown.count("<<<1>>>") == 2 and not any(label in shown for label in ("词汇", "摘要", "Words", "Summary"))


def test_a_second_endpoint_reflects_and_improves(tmp_path: Path) -> None:
    with Server() as cheap, Server() as dear:
        counts = go(cheap, tmp_path / "out", mode="reflect", second=Endpoint(dear.url, "large"))
    assert (cheap.total, dear.total, counts["ok"]) == (ITEMS, 2 * ITEMS, ITEMS)


def test_constraints_mode_keeps_the_chinese_story(tmp_path: Path) -> None:
    source = tmp_path / "data00_zh.jsonl"
    records = []
    for n in range(12):
        words = ["dog", "ball"]
        story = f"A dog has ball number {n}. It is happy today."
        records.append({
            "story": story, "summary": f"A dog and ball {n}.", "source": "GPT-4",
            "instruction": {"prompt:": "Write", "words": words, "features": ["Dialogue", "Twist"]},
            "story_zh": f"{han('dog')}有第{n}个{han('ball')}。“今天真好。”",
        })  # fmt: skip
    records.append({**records[0], "story": "Another dog, another ball.", "story_zh": "这里没有那些词。"})
    source.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in records), encoding="utf-8")
    with Server(keep=True) as server:
        counts = go(server, tmp_path / "out", source=str(source), mode="constraints")
    made = lines(tmp_path / "out" / "records.jsonl")
    assert counts["ok"] == 13 and [r["output"] for r in made] == [r["story_zh"] for r in records]
    for record in made[:12]:
        asked = parse(record["input"])
        assert asked is not None and asked.words == (han("dog"), han("ball")) and asked.features == ("对话", "转折")
    last = parse(made[12]["input"])
    assert last is not None and last.words == () and last.summary  # words that are not in the story are left out
    assert set(server.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]) == {"words", "summary"}


def test_constraints_mode_makes_no_story(tmp_path: Path) -> None:
    with Server() as server:
        counts = go(server, tmp_path / "out", mode="constraints")
    assert (counts["ok"], counts["dead"], server.total) == (0, ITEMS, 0)
    assert "use another mode" in lines(tmp_path / "out" / "dead.jsonl")[0]["reason"]


def test_a_good_draft_survives_a_bad_edit(tmp_path: Path) -> None:
    with Server() as good, Server(script=("markup",) * 9) as bad:
        counts = go(good, tmp_path / "out", mode="reflect", second=Endpoint(bad.url, "m2"))
        whole = go(good, tmp_path / "once")
    assert (counts["ok"], counts["steps"]["draft kept"], counts["steps"]["repair"]) == (ITEMS, ITEMS, 2 * ITEMS)
    assert whole["ok"] == ITEMS
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == (tmp_path / "once" / "records.jsonl").read_bytes()


def test_other_modes_need_a_chinese_story_only_as_reference(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    source.write_text(
        json.dumps({"story_en": "A goat ran. It was fast.", "story_zh": "山羊跑了。它很快。"}), encoding="utf-8"
    )
    with Server() as server:
        counts = go(server, tmp_path / "out", source=str(source))
    assert counts["ok"] == 1 and "chrf" in counts


# Faults, one row each


@pytest.mark.parametrize(
    "kind", ["429", "429 0.05", "500", "503", "reset", "truncated", "malformed", "html", "error200", "nochoices"]
)
def test_passing_troubles_cost_one_more_call(tmp_path: Path, kind: str) -> None:
    with Server(script=(kind,)) as server:
        counts = go(server, tmp_path / "out")
    assert (counts["ok"], server.total) == (ITEMS, 2 * ITEMS) and set(server.calls.values()) == {2}
    assert sum(counts["troubles"].values()) == ITEMS
    assert counts["ledger"]["tokens_in"] + counts["ledger"]["tokens_out"] == server.billed


@pytest.mark.parametrize("kind", ["empty", "refusal", "content_filter", "length"])
def test_answers_that_are_none_are_asked_for_again(tmp_path: Path, kind: str) -> None:
    with Server(script=(kind,), keep=True) as server:
        counts = go(server, tmp_path / "out")
    assert (counts["ok"], counts["steps"]["repair"], server.total) == (ITEMS, ITEMS, 2 * ITEMS)
    assert counts["ledger"]["tokens_in"] + counts["ledger"]["tokens_out"] == server.billed
    assert {body["max_tokens"] for body in server.bodies} == ({2048, 4096} if kind == "length" else {2048})


@pytest.mark.parametrize(
    "kind",
    ["preamble", "english", "cut", "short", "one_paragraph", "markup", "traditional", "extra_key", "labels", "talk"],
)
def test_bad_answers_are_repaired_with_what_was_wrong(tmp_path: Path, kind: str) -> None:
    with Server(script=(kind,), keep=True) as server:
        counts = go(server, tmp_path / "out")
    # a repair's messages are a key of their own: its first call is bad again, its second (the last allowed) is good
    assert (counts["ok"], counts["dead"], counts["steps"]["repair"]) == (ITEMS, 0, 2 * ITEMS)
    assert any("cannot be used" in body["messages"][-1]["content"] for body in server.bodies)
    assert "以下是" not in (tmp_path / "out" / "records.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["fenced", "thinking"])
def test_harmless_wrapping_costs_nothing(tmp_path: Path, kind: str) -> None:
    with Server(script=(kind,) * 9) as server:
        counts = go(server, tmp_path / "out")
    assert (counts["ok"], server.total) == (ITEMS, ITEMS)


@pytest.mark.parametrize("kind", ["drip", "slow"])
def test_a_slow_or_dripping_server_cannot_hold_a_worker(tmp_path: Path, kind: str) -> None:
    with Server(script=(kind,)) as server:
        counts = go(server, tmp_path / "out", endpoint=Endpoint(server.url, "m", timeout=1.0), concurrency=ITEMS)
    assert (counts["ok"], server.total) == (ITEMS, 2 * ITEMS)
    assert counts["troubles"] == {"timeout": ITEMS} and counts["ledger"]["supposed"] > 0


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("quota", "no credit left"),
        ("quota200", "no credit left"),
        ("402", "no credit left"),
        ("401", "key is missing or wrong"),
        ("403", "not allowed"),
        ("404", "check base_url"),
        ("429 3600", "3600 s"),
        ("400", "all refused"),
    ],
)
def test_final_errors_stop_at_once_and_say_what_to_do(tmp_path: Path, kind: str, says: str) -> None:
    with Server(script=(kind,) * 9) as server:
        with pytest.raises(UserError, match=says) as caught:
            go(server, tmp_path / "out")
        assert server.total <= 8 + 5 and "\n" not in str(caught.value)
        server.script = ()
        counts = go(server, tmp_path / "out")
    assert counts["ok"] + counts["dead"] == ITEMS and not (tmp_path / "out.partial").exists()


def test_a_server_that_is_down_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot connect"):
        translate(
            "english", tmp_path / "out", mode="once", endpoint=Endpoint("http://127.0.0.1:9/v1", "m"), concurrency=4
        )


def test_what_cannot_be_translated_is_a_dead_letter_with_its_reason(tmp_path: Path) -> None:
    source = english(tmp_path / "a.txt", 40)
    source.write_text(source.read_text() + "Words: lost\nSummary: none\n<|endoftext|>\n", encoding="utf-8")
    with Server() as server:
        server._kind = lambda key, n: "markup" if int(key[:2], 16) < 90 else "ok"  # type: ignore[method-assign]
        counts = go(server, tmp_path / "out", source=str(source))
        assert counts["ok"] + counts["dead"] == 41 and 1 < counts["dead"] < 41
        dead = lines(tmp_path / "out" / "dead.jsonl")
        assert len(dead) == counts["dead"] and len(lines(tmp_path / "out" / "records.jsonl")) == counts["ok"]
        assert dead[-1]["reason"] == "no English story" and "tags or markup" in dead[0]["reason"]
        assert dead[0]["raw"].startswith("{") and dead[0]["english"]["story"] and ":" in dead[0]["place"]
        server._kind = lambda key, n: "ok"  # type: ignore[method-assign]
        before = server.total
        retried = go(server, tmp_path / "out", source=str(source), retry_failed=True)
        assert (retried["dead"], server.total - before) == (1, counts["dead"] - 1)
        plain = go(server, tmp_path / "out", source=str(source))
        assert plain == retried and server.total - before == counts["dead"] - 1
    assert len(lines(tmp_path / "out.old" / "dead.jsonl")) == counts["dead"]


def test_faults_of_all_kinds_lose_nothing(tmp_path: Path) -> None:
    source = english(tmp_path / "a.txt", 150)
    with Server(faults=0.3, seed=7) as server:
        counts = go(server, tmp_path / "out", source=str(source), mode="reflect", concurrency=32)
    assert (counts["ok"], counts["dead"]) == (150, 0) and len(counts["troubles"]) >= 7
    assert server.total == 450 + sum(counts["troubles"].values())
    assert counts["ledger"]["tokens_in"] + counts["ledger"]["tokens_out"] == server.billed


# What servers take, and hide


@pytest.mark.parametrize(
    ("refuses", "check"),
    [
        (("max_tokens",), lambda body: "max_completion_tokens" in body and "max_tokens" not in body),
        (("temperature",), lambda body: "temperature" not in body),
        (("json_schema",), lambda body: body["response_format"] == {"type": "json_object"}),
        (
            ("response_format",),
            lambda body: "response_format" not in body and "<<<1>>>" in body["messages"][1]["content"],
        ),
    ],
)
def test_the_request_adapts_once_and_is_remembered(
    tmp_path: Path, refuses: tuple[str, ...], check: Callable[[dict[str, Any]], bool]
) -> None:
    with Server(refuses=refuses, keep=True) as server:
        counts = go(server, tmp_path / "out")
        assert counts["ok"] == ITEMS and check(server.bodies[-1]) and server.total <= ITEMS + 2 * 8
        before = server.total
        more = go(server, tmp_path / "more", mode="reflect", ledger=tmp_path / "out.ledger")
        assert more["ok"] == ITEMS and server.total == before + 2 * ITEMS  # drafts known, no refusal met again


def test_a_server_that_warms_up_temperature_zero_is_asked_once(tmp_path: Path) -> None:
    """What it says is another thing each time; what was said first stays."""
    with Server(warm=True) as server:
        endpoint = Endpoint(server.url, "m", temperature=0)
        go(server, tmp_path / "out", endpoint=endpoint, concurrency=1)
        first = (tmp_path / "out" / "records.jsonl").read_bytes()
        shutil.rmtree(tmp_path / "out")
        go(server, tmp_path / "out", endpoint=endpoint)
        assert server.total == ITEMS and (tmp_path / "out" / "records.jsonl").read_bytes() == first
        go(server, tmp_path / "anew", endpoint=endpoint)
    assert (tmp_path / "anew" / "records.jsonl").read_bytes() != first


def test_a_server_that_counts_more_or_passes_max_tokens_is_noticed(tmp_path: Path) -> None:
    source = english(tmp_path / "a.txt", 60)
    with Server(inflate=3.0) as server:
        endpoint = Endpoint(server.url, "m", max_tokens=100)  # answers of about 700 "tokens" come all the same
        with pytest.raises(UserError, match="budget used up"):
            go(server, tmp_path / "out", source=str(source), endpoint=endpoint, max_total_tokens=60_000, concurrency=32)
        assert 40_000 < server.billed <= 60_000 + server.billed / server.total  # one call too much at most
        counts = go(server, tmp_path / "out", source=str(source), endpoint=endpoint)
    assert counts["ok"] == 60 and counts["troubles"]["max_tokens is not kept to"] > 0


def test_usage_of_zero_is_estimated(tmp_path: Path) -> None:
    with Server(usage=False) as server:
        counts = go(server, tmp_path / "out")
    assert counts["ledger"]["tokens_in"] > 1000 and counts["ledger"]["tokens_out"] > 1000


def test_the_key_is_sent_and_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    caplog.set_level("DEBUG")
    with Server(key="sk-very-secret") as server:
        counts = go(server, tmp_path / "out", endpoint=Endpoint(server.url, "m", key_env="MY_KEY"))
    assert counts["ok"] == ITEMS
    with Server(key="other") as server, pytest.raises(UserError, match="key_env") as caught:
        go(server, tmp_path / "bad", endpoint=Endpoint(server.url, "m", key_env="MY_KEY"))
    assert "Incorrect API key provided: ***" in str(caught.value)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert b"sk-very-secret" not in path.read_bytes(), path
    assert "sk-very-secret" not in str(caught.value) + caplog.text


# Limits


def test_no_more_calls_at_a_time_than_allowed(tmp_path: Path) -> None:
    source = english(tmp_path / "a.txt", 60)
    with Server(latency=0.03) as server:
        go(server, tmp_path / "out", source=str(source), concurrency=7)
    assert server.most_busy == 7


def test_a_common_overload_pauses_everybody_as_long_as_the_server_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    extend = Pause.extend
    monkeypatch.setattr(Pause, "extend", lambda self, seconds: (asked.append(seconds), extend(self, seconds))[1])
    with Server(script=("429 0.05",)) as server:
        go(server, tmp_path / "common")
        assert len(asked) > 1 and set(asked) == {0.05}
        asked.clear()
        turn = itertools.count()
        server._kind = lambda key, n: "429 0.05" if next(turn) == 15 else "ok"  # type: ignore[method-assign]
        counts = go(server, tmp_path / "stray")
    assert counts["ok"] == ITEMS and counts["troubles"] == {"HTTP 429": 1} and asked == []


def test_the_token_limit_is_settled_with_what_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []
    take = Pace.take
    monkeypatch.setattr(Pace, "give_back", lambda self, amount: taken.append(-amount))

    async def counted(self: Pace, amount: float) -> None:
        taken.append(amount)
        await take(self, amount)

    monkeypatch.setattr(Pace, "take", counted)
    with Server() as server:
        go(server, tmp_path / "out", endpoint=Endpoint(server.url, "m", tokens_per_minute=10**9))
    assert sum(taken) == server.total + server.billed  # one request each, and the tokens that were billed


def test_equal_requests_are_sent_once(tmp_path: Path) -> None:
    with Server(latency=0.05) as server:
        ledger = Ledger(tmp_path / "x.ledger")
        client = Client(Endpoint(server.url, "m").resolved(), ledger, Budget(None, None), 16)
        messages = [{"role": "system", "content": "s"}, {"role": "user", "content": '{"story": "A cat sat."}'}]

        async def ask() -> list[str]:
            answers = await asyncio.gather(*(client.ask(Ask(lambda style: messages)) for _ in range(16)))
            await client.close()
            return [answer.text for answer in answers]

        assert len(set(asyncio.run(ask()))) == 1 and server.total == 1
        ledger.close()


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    source = english(tmp_path / "a.txt", 60)
    with Server() as server:
        endpoint = Endpoint(server.url, "m", max_tokens=600, price_in=1.0, price_out=1.0)
        limit = 20_000
        with pytest.raises(UserError, match="budget used up"):
            go(server, tmp_path / "out", source=str(source), endpoint=endpoint, max_total_tokens=limit)
        assert limit / 2 < server.billed <= limit
        with pytest.raises(UserError, match="budget used up"):  # what was spent before counts
            go(server, tmp_path / "out", source=str(source), endpoint=endpoint, max_cost=0.02)
        assert server.billed <= limit
        counts = go(server, tmp_path / "out", source=str(source), endpoint=endpoint, max_cost=1.0)
    assert counts["ok"] == 60 and server.total == 60
    assert counts["ledger"]["cost"] == pytest.approx(server.billed / 1e6)


def test_the_time_left_of_a_run_that_goes_on_is_not_that_of_a_fresh_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Any] = []
    progress = stage_module.progress
    monkeypatch.setattr(stage_module, "progress", lambda *a, **k: (bars.append(progress(*a, **k)), bars[-1])[1])
    with Server() as server:
        with pytest.raises(UserError, match="budget used up"):
            go(server, tmp_path / "out", max_total_tokens=15_000)
        done = bars[0].n
        go(server, tmp_path / "out")
    assert 0 < done < ITEMS and (bars[1].initial, bars[1].n) == (done, ITEMS)  # tqdm's rate leaves out what was there


def test_a_dry_run_makes_no_call_and_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        assert (
            translate("english", tmp_path / "out", endpoint=Endpoint(server.url, "m", price_in=1), dry_run=True) is None
        )
    out = capsys.readouterr().out
    assert server.total == 0 and not list(tmp_path.iterdir())
    assert "reflect" in out and "1,000,000" in out


# Stopping and going on


def test_another_mode_a_larger_sample_or_a_lost_folder_find_paid_answers_again(tmp_path: Path) -> None:
    with Server() as server:
        go(server, tmp_path / "out", sample=8, seed=1)
        assert server.total == 8
        with pytest.raises(UserError, match="sample"):
            go(server, tmp_path / "out", sample=16, seed=1)
        go(server, tmp_path / "out", sample=16, seed=1, overwrite=True)
        shutil.rmtree(tmp_path / "out")
        counts = go(server, tmp_path / "out", mode="reflect")
    assert server.total == 3 * ITEMS and counts["ok"] == ITEMS


def command(server: Server, source: Path, out: Path, workers: int) -> list[str]:
    return [
        sys.executable, "-m", "litgpt_zh", "translate", "--source", str(source), "--out_dir", str(out),
        "--mode", "reflect", "--concurrency", str(workers), "--endpoint.base_url", server.url, "--endpoint.model", "m",
    ]  # fmt: skip


def stopped(server: Server, line: list[str], calls: int, how: signal.Signals) -> subprocess.Popen[str]:
    """Start the command, and send it ``how`` when the server has seen so many calls."""
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while server.total < calls:
        assert process.poll() is None, "finished before it was stopped"
        time.sleep(0.005)
    process.send_signal(how)
    return process


def test_killed_again_and_again_nothing_is_lost_or_paid_twice(tmp_path: Path) -> None:
    source, workers, kills = english(tmp_path / "a.txt", 60), 8, 3
    with Server(latency=0.1) as server:
        go(server, tmp_path / "whole", source=str(source), mode="reflect", concurrency=workers)
        plan = server.total
        assert plan == 180
        line = command(server, source, tmp_path / "out", workers)
        for n in range(1, kills + 1):
            stopped(server, line, plan + n * 40, signal.SIGKILL).communicate(timeout=60)
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        extra = server.total - 2 * plan
        assert 0 < extra <= kills * workers
        total = server.total
        assert subprocess.run(line, cwd=ROOT, capture_output=True, timeout=120).returncode == 0
        assert server.total == total
    for name in ("records.jsonl", "dead.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert Manifest.read(tmp_path / "out").counts["ok"] == 60


def test_calls_in_flight_at_a_kill_count_against_the_budget(tmp_path: Path) -> None:
    source, workers = english(tmp_path / "a.txt", 60), 8
    with Server(latency=0.1) as server:
        line = [*command(server, source, tmp_path / "out", workers), "--max_total_tokens", "10000000"]
        for n in (1, 2):
            stopped(server, line, n * 40, signal.SIGKILL).communicate(timeout=60)
        assert subprocess.run(line, cwd=ROOT, capture_output=True, timeout=120).returncode == 0
        spent = Manifest.read(tmp_path / "out").counts["ledger"]
        counted = spent["tokens_in"] + spent["tokens_out"]
        assert counted < server.billed <= counted + spent["supposed"]


def test_ctrl_c_receives_what_is_in_flight(tmp_path: Path) -> None:
    source, workers = english(tmp_path / "a.txt", 30), 8
    with Server(latency=0.2) as server:
        line = command(server, source, tmp_path / "out", workers)
        process = stopped(server, line, 20, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1 and "goes on where it was" in said and "Traceback" not in said
        assert server.total < 90
        assert subprocess.run(line, cwd=ROOT, capture_output=True, timeout=120).returncode == 0
        assert server.total == 90  # not one call was made twice
    assert Manifest.read(tmp_path / "out").counts["ledger"]["calls"] == 90


# Onward


def test_records_feed_sft_unchanged(tmp_path: Path) -> None:
    with Server() as server:
        counts = go(server, tmp_path / "out", variants=4)
    assert counts["records"] > 3 * ITEMS
    made = instructions(
        str(tmp_path / "out"), ROOT / "tokenizer", tmp_path / "sft", block_size=2048, val_share=0.2, workers=1
    )
    assert made.counts["read"] == made.counts["kept"] == counts["records"] and made.counts["dropped"] == {}


def test_the_recipe_runs_as_it_is_written(tmp_path: Path) -> None:
    recipe = str(ROOT / "recipes" / "translate.yaml")
    with Server() as server:
        main(["translate", "--config", recipe, "--endpoint.base_url", server.url, "--out_dir", str(tmp_path / "out")])
    counts = Manifest.read(tmp_path / "out").counts
    assert (counts["ok"], server.total) == (ITEMS, ITEMS) and sum(
        after for _, after in counts["combinations"].values()
    ) == ITEMS


def test_storybooks_have_references(tmp_path: Path) -> None:
    source = ROOT.parent / "shared" / "data" / "storybooks.jsonl"
    if not source.is_file():
        pytest.skip("no shared data")
    with Server() as server:
        counts = go(server, tmp_path / "out", source=str(source), concurrency=16)
    assert counts["ok"] + counts["dead"] == len(lines(source)) and "chrf" in counts


def test_a_glossary_from_a_pilot_and_its_use(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    blocks = [f"Words: cat\nStory: One day Lily saw cat {n} with Tom and then Lily ran home." for n in range(6)]
    source.write_text("\n<|endoftext|>\n".join(blocks) + "\n<|endoftext|>\n", encoding="utf-8")
    with Server(keep=True) as server:
        go(server, tmp_path / "out", source=str(source))
        path = glossary(tmp_path / "out", tmp_path / "names.tsv", Endpoint(server.url, "m"), concurrency=3)
        assert (
            path.read_text(encoding="utf-8")
            == f"Lily\t{han('Lily')}\t{han('Lily')} 6\nTom\t{han('Tom')}\t{han('Tom')} 6\n"
        )
        path.write_text("Lily\t莉莉\nBen\t小本\n", encoding="utf-8")
        counts = go(server, tmp_path / "named", source=str(source), glossary=path)
    assert counts["ok"] == 6 and all(
        "莉莉" in record["output"] for record in lines(tmp_path / "named" / "records.jsonl")
    )
    assert (
        "Lily = 莉莉" in server.bodies[-1]["messages"][1]["content"]
        and "Ben" not in server.bodies[-1]["messages"][1]["content"]
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sample": 0}, "--sample 0"),
        ({"grade": -1}, "--grade -1"),
        ({"judge": True}, "leave out --judge"),
        ({"mode": "constraints", "grade": 5}, "leave out --grade"),
        ({"mode": "constraints", "glossary": ENGLISH}, "leave out --glossary"),
        ({"second": Endpoint("http://h/v1", "m")}, "leave out --second"),
        ({"concurrency": 0}, "--concurrency 0"),
        ({"variants": 99}, "--variants 99"),
        ({"source": "nowhere.txt"}, "nowhere.txt"),
        ({"glossary": Path("nowhere.tsv")}, "nowhere.tsv"),
        ({"endpoint": Endpoint("ftp://x", "m")}, "must look like"),
    ],
)
def test_what_cannot_be_honoured_is_refused_before_any_call(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with Server() as server:
        with pytest.raises(UserError, match=says):
            go(server, tmp_path / "out", **options)
        assert server.total == 0


def test_what_costs_nothing_is_checked_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nope\.txt: no such file"):  # and not: give an endpoint
        translate("nope.txt", tmp_path / "out")
    with pytest.raises(UserError, match=r"nope\.jsonl: no such file"):
        glossary(tmp_path / "nope.jsonl", tmp_path / "names.tsv")
    assert not list(tmp_path.iterdir())


def test_retrying_what_was_never_asked_asks_nothing(tmp_path: Path) -> None:
    source = english(tmp_path / "a.txt", 4)
    source.write_text(source.read_text() + "Words: lost\n<|endoftext|>\n", encoding="utf-8")
    with Server() as server:
        first = go(server, tmp_path / "out", source=str(source))
        again = go(server, tmp_path / "out", source=str(source), retry_failed=True)
    assert again == first and (first["dead"], server.total) == (1, 4) and not (tmp_path / "out.old").exists()


def test_the_pages_endpoints_are_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each yaml block of the page goes through the real command line, up to the first call."""
    page = (ROOT / "docs" / "translate.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```yaml\n(.*?)```", page, re.S)
    assert len(recipes) == 5
    seen: list[Endpoint] = []
    resolved = Endpoint.resolved
    monkeypatch.setattr(Endpoint, "resolved", lambda self: (seen.append(resolved(self)), sys.exit(7)))
    for number, text in enumerate(recipes):
        recipe = tmp_path / f"{number}.yaml"
        recipe.write_text(text, encoding="utf-8")
        main(["translate", "--config", str(recipe), "--source", "english", "--dry_run", "true"])
        assert "1,000,000" in capsys.readouterr().out
        with pytest.raises(SystemExit, match="7"):
            main(["translate", "--config", str(recipe), "--source", "english", "--out_dir", str(tmp_path / "out")])
    assert len({endpoint.base_url for endpoint in seen}) == 4 and len({endpoint.model for endpoint in seen}) == 5
    assert seen[-1].key_env != "OPENAI_API_KEY" and seen[-1].price_out > 0


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n", encoding="utf-8")
    with Server() as server, pytest.raises(UserError, match="nothing to translate"):
        go(server, tmp_path / "out", source=str(tmp_path / "a.txt"))
    (tmp_path / "not a ledger").write_text("x" * 5000)
    with Server() as server, pytest.raises(UserError, match="not a ledger"):
        go(server, tmp_path / "out", ledger=tmp_path / "not a ledger")
