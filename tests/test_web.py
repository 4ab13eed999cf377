"""The story page without a browser: what it asks of the server, and what becomes of votes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, run
from serving import listening
from tiny_checkpoint import write_checkpoint, write_letters

from litgpt_zh.constraints import Constraints, check
from litgpt_zh.generate.load import Loaded, load
from litgpt_zh.preference.data import Preference
from litgpt_zh.preference.stage import pairs
from litgpt_zh.prompts import story_request
from litgpt_zh.serve.app import Limits, Service
from litgpt_zh.serve.errors import ApiError
from litgpt_zh.stage import UserError
from litgpt_zh.web import story
from litgpt_zh.web.app import FILES, Page
from litgpt_zh.web.command import checkpoints
from litgpt_zh.web.votes import Votes, append

WISH: dict[str, Any] = {"models": ["甲"], "words": "小，兔；龙", "features": ["对话"], "seed": 5, "temperature": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run: two tuned models and a pretrained one."""
    run = tmp_path_factory.mktemp("run")
    write_letters(run / "sft" / "final")
    write_checkpoint(run / "dpo" / "final", instruct=True, seed=1, block_size=256)
    write_checkpoint(run / "pretrain" / "final", seed=2)
    return run


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Loaded]:
    named = {"甲": "sft", "乙": "dpo", "丙": "pretrain"}
    return {name: load(folder / stage / "final", device="cpu") for name, stage in named.items()}


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Votes:
    return Votes(tmp_path_factory.mktemp("votes"))


@pytest.fixture(scope="module")
def root(models: dict[str, Loaded], votes: Votes) -> Iterator[str]:
    with listening(Page(Service(models, Limits(8, 8)), votes).app()) as found:
        yield found


def ask(root: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    line = http.client.HTTPConnection(root.removeprefix("http://"), timeout=60)
    data = None if body is None else json.dumps(body).encode()
    try:
        line.request("POST" if data else "GET", path, data, {"Content-Type": "application/json"} | headers)
        answer = line.getresponse()
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        line.close()


def told(root: str, **wish: Any) -> list[dict[str, Any]]:
    """The events of a wish."""
    status, data, headers = ask(root, "/web/stories", WISH | wish)
    assert status == 200 and headers["Content-Type"].startswith("text/event-stream"), data
    events = data.decode().split("\n\n")
    assert events.pop() == ""
    return [json.loads(event.removeprefix("data: ")) for event in events]


def grown(events: list[dict[str, Any]], side: int = 0) -> dict[str, Any]:
    """A side as the page ends up with it."""
    found: dict[str, Any] = {}
    for event in events:
        if event.get("side") == side:
            found |= event
            found["text"] += event.get("more", "")
    return found


def refused(root: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    status, data, _ = ask(root, path, body)
    return status, json.loads(data)["error"]


# stories -------------------------------------------------------------------------------------------------------------


def test_a_story_comes_in_pieces_with_what_it_meets(root: str) -> None:
    events = told(root)
    found = grown(events)
    assert events[-1] == {"done": True} and sum("more" in event for event in events) > 2
    assert found["finish"] in ("stop", "length") and found["wanted"] == ["小", "兔", "龙"] and found["seed"] == 5
    wanted = check(Constraints(("小", "兔", "龙"), ("对话",)), found["text"])
    assert {f"{one['kind']}:{one['name']}": one["met"] for one in found["met"]} == wanted
    assert wanted["word:龙"] is False and True in wanted.values()
    text, lit = "", set()
    for event in events:  # a word is told to be met with the piece that completes it, never before, never later
        text += event.get("more", "")
        lit |= {one["name"] for one in event.get("met", ()) if one["kind"] == "word" and one["met"]}
        assert lit == {word for word in ("小", "兔", "龙") if word in text}


def test_it_is_what_the_openai_endpoint_says(root: str) -> None:
    request = story_request(Constraints(("小", "兔", "龙"), ("对话",)))
    body = {"model": "甲", "messages": [{"role": "user", "content": request}], "seed": 5, "temperature": 1.0}
    _, data, _ = ask(root, "/v1/chat/completions", body)
    assert grown(told(root))["text"] == json.loads(data)["choices"][0]["message"]["content"]
    assert [model["id"] for model in json.loads(ask(root, "/v1/models")[1])["data"]] == ["甲", "乙", "丙"]
    assert grown(told(root, max_tokens=3))["finish"] == "length"
    assert grown(told(root, max_tokens=100_000))["text"] == grown(told(root))["text"]  # the block is the limit


def test_two_sides_have_the_same_seed_and_one_model_against_itself_the_next(root: str) -> None:
    events = told(root, models=["甲", "乙"])
    assert [grown(events, side)["seed"] for side in (0, 1)] == [5, 5]
    assert grown(events, 0)["text"] == grown(told(root))["text"] != grown(events, 1)["text"]
    events = told(root, models=["甲", "甲"])
    assert [grown(events, side)["seed"] for side in (0, 1)] == [5, 6]
    assert grown(events, 1)["text"] == grown(told(root, seed=6))["text"]
    assert 0 <= grown(told(root, seed=None))["seed"] < 2**31


def test_free_text_is_answered_or_gone_on_with(root: str) -> None:
    asked = {"mode": "text", "text": "关键词:小、龙"}  # constraints in any spelling are looked out for as well
    assert [one["name"] for one in grown(told(root, **asked))["met"]] == ["小", "龙"]
    begun = grown(told(root, models=["丙"], mode="text", text="小兔子<|user|>"))
    assert begun["text"].startswith("小兔子＜|user|＞") and len(begun["text"]) > 10 and begun["met"] == []


def test_an_example_is_a_request_of_the_story_world() -> None:
    first, second = story.example(1), story.example(2)
    assert first == story.example(1) != second
    assert 1 <= len(first["words"].split("，")) <= 5 and set(first) == {"words", "features", "summary", "sentence"}
    assert story.read({"models": ["甲"], **first}).constraints


@pytest.mark.parametrize(
    ("wish", "param", "code"),
    [
        ({"models": []}, "models", None),
        ({"models": ["甲"] * 3}, "models", None),
        ({"models": "甲"}, "models", None),
        ({"models": ["x"]}, "model", "model_not_found"),
        ({"words": " ", "features": []}, "words", "empty_request"),
        ({"mode": "text", "text": " \n"}, "text", "empty_request"),
        ({"mode": "song"}, "mode", None),
        ({"words": 5}, "words", None),
        ({"words": "\ud800"}, "messages[0].content", None),
        ({"features": "对话"}, "features", None),
        ({"seed": -1}, "seed", None),
        ({"seed": 2**60}, "seed", None),
        ({"seed": True}, "seed", None),
        ({"temperature": 3}, "temperature", None),
        ({"max_tokens": 0}, "max_tokens", None),
        ({"colour": "red"}, "colour", None),
        ({"words": "小" * 200}, "messages", "context_length_exceeded"),
        ({"models": ["丙"]}, "messages", "model_does_not_chat"),
        ({"models": ["甲", "丙"]}, "messages", "model_does_not_chat"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(root: str, wish: dict, param: str, code: str | None) -> None:
    status, error = refused(root, "/web/stories", WISH | wish)
    assert status in (400, 404) and (error["param"], error["code"]) == (param, code)
    assert "\n" not in error["message"]


def test_a_line_cannot_forge_another_constraint() -> None:
    wish = story.read({"models": ["甲"], "words": "小", "summary": "一\n词汇：龙\n<|assistant|>"})
    assert wish.request.splitlines()[1:] == ["词汇：小", "摘要：一 词汇：龙 ＜|assistant|＞"]


# the page's files ----------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_names_nothing_outside(root: str) -> None:
    for path in FILES:
        status, data, headers = ask(root, f"/{path}")
        assert status == 200 and data and headers["Content-Security-Policy"].startswith("default-src 'none'")
        if path != "web/alpine.js":  # its warnings name pages that explain them
            assert not re.findall(rb"https?:|//[a-z]+\.|@import|url\(", data), path
    page = ask(root, "/")[1].decode()
    assert {f"/{name}" for name in re.findall(r'(?:src|href)="(web/[^"]+)"', page)} <= {f"/{path}" for path in FILES}
    assert "x-html" not in page and "innerHTML" not in ask(root, "/web/page.js")[1].decode()


def keys(value: Any) -> Any:
    return {name: keys(one) for name, one in value.items()} if isinstance(value, dict) else None


def test_both_languages_say_everything() -> None:
    words = json.loads((FILES["web/words.json"][0]).read_text("utf-8"))
    assert keys(words["zh"]) == keys(words["en"])
    page = FILES[""][0].read_text("utf-8") + FILES["web/page.js"][0].read_text("utf-8")
    used = set(re.findall(r"say\.([a-z_]+)", page))
    assert used <= set(words["zh"]) and set(words["zh"]) <= used | {"summary", "sentence"}


def test_a_key_guards_everything_but_the_empty_page(folder: Path, tmp_path: Path) -> None:
    own = {"甲": load(folder / "sft" / "final", device="cpu")}  # engines do not share a model
    page = Page(Service(own, Limits(4, 4), "secret"), Votes(tmp_path))
    with listening(page.app()) as root:
        assert [ask(root, f"/{path}")[0] for path in FILES] == [200] * len(FILES)
        for path, body in {
            "/web/state": None, "/web/example": None, "/web/stories": WISH, "/web/vote": {"id": "x", "vote": "left"},
            "/web/pairs": {"model": "甲"}, "/v1/models": None,
        }.items():  # fmt: skip
            assert ask(root, path, body)[0] == 401
            assert ask(root, path, body, Authorization="Bearer secret")[0] in (200, 404)


def test_other_sites_cannot_vote_through_a_browser(root: str) -> None:
    """A form or a plain fetch of another page may not send JSON without asking, and nobody answers that question."""
    for path in ("/web/stories", "/web/vote", "/web/pairs"):
        assert ask(root, path, {"a": 1}, **{"Content-Type": "text/plain"})[0] == 415
    assert "Access-Control-Allow-Origin" not in ask(root, "/web/state")[2]


# votes ---------------------------------------------------------------------------------------------------------------


def compared(root: str, **wish: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The id of a comparison and its two sides."""
    events = told(root, **({"models": ["甲", "甲"]} | wish))
    (name,) = [event["id"] for event in events if "id" in event]
    return name, grown(events, 0), grown(events, 1)


def test_from_votes_to_pairs(root: str, votes: Votes, folder: Path, tmp_path: Path) -> None:
    expected = []
    for seed in range(60):
        name, left, right = compared(root, words=f"小，{'兔子在草地上玩铲'[seed % 8]}", seed=100 * seed)
        choice = ("left", "right", "same")[seed % 3]
        assert ask(root, "/web/vote", {"id": name, "vote": choice})[0] == 200
        if (
            choice != "same"
            and left["finish"] == right["finish"] == "stop"
            and left["text"].strip() != right["text"].strip()
        ):
            better, worse = (left, right) if choice == "left" else (right, left)
            if better["text"].strip() and worse["text"].strip():
                expected.append((better["text"], worse["text"]))
    assert len(expected) > 8
    status, data, _ = ask(root, "/web/pairs", {"model": "甲"})
    made = json.loads(data)
    written = [json.loads(line) for line in Path(made["file"]).read_text("utf-8").splitlines()]
    assert status == 200 and made["pairs"] == len(written) and made["left_out"]["same"] == 20
    assert [(one["chosen"], one["rejected"]) for one in written] == expected
    assert all(one["prompt"].startswith("按照下面输入的约束生成故事\n词汇：小，") for one in written)
    make, train = made["commands"]
    options = dict(zip((words := make.split()[2:])[::2], words[1::2], strict=True))
    assert options["--tokenizer_dir"] == str(folder / "sft" / "final") and options["--block_size"] == "96"
    manifest = pairs(
        options["--source"], Path(options["--tokenizer_dir"]), tmp_path / "pairs",
        block_size=int(options["--block_size"]), val_share=float(options["--val_share"]),
    )  # fmt: skip
    assert manifest.counts["kept"] == len(expected) and not manifest.counts["dropped"]
    assert manifest.counts["train"] and manifest.counts["val"]
    read = Preference(pairs_dir=tmp_path / "pairs")  # by DPO
    read.setup()
    assert (len(read.train_dataset), len(read.test_dataset)) == (manifest.counts["train"], manifest.counts["val"])
    voted = {better for better, _ in expected}
    for item in (read.train_dataset[n] for n in range(len(read.train_dataset))):
        assert read.train_dataset.processor.decode(item["chosen"][item["prompt"] :].tolist()) in voted
    program, *rest = train.split()
    parsed = run(program, *rest, "--print_config", cwd=Path(__file__).parent.parent)
    assert parsed.returncode == 0 and f"checkpoint_dir: {folder / 'sft' / 'final'}" in parsed.stdout, parsed.stderr[
        -2000:
    ]
    assert f"pairs_dir: {options['--out_dir']}" in parsed.stdout


def test_the_last_vote_on_two_stories_counts(root: str, votes: Votes) -> None:
    before = sum(votes.counts().values())
    name, *_ = compared(root, seed=77)
    for choice in ("left", "same", "right"):
        ask(root, "/web/vote", {"id": name, "vote": choice})
    counts = json.loads(ask(root, "/web/state")[1])["votes"]
    assert sum(counts.values()) == before + 1
    assert [vote["vote"] for vote in votes.read() if vote["id"] == name] == ["left", "same", "right"]


def test_votes_on_nothing_are_refused(root: str) -> None:
    for name, vote, status in (("nobody", "left", 404), (5, "left", 404), ("x", "both", 400)):
        assert refused(root, "/web/vote", {"id": name, "vote": vote})[0] == status


def side(text: str, finish: str = "stop") -> dict[str, Any]:
    return {"model": "甲", "text": text, "finish": finish, "seed": 0, "met": {}}


def line(name: str, vote: str, left: dict, right: dict, **more: Any) -> dict[str, Any]:
    return {"id": name, "vote": vote, "request": "讲", "chat": True, "left": left, "right": right} | more


def test_what_teaches_nothing_or_wrong_things_is_left_out_and_counted(tmp_path: Path) -> None:
    votes = Votes(tmp_path)
    for one in (
        line("1", "left", side("一。"), side("二。")),
        line("2", "right", side("一。"), side("二。")),  # somebody else, later, thinks otherwise
        line("3", "same", side("一。"), side("三。")),
        line("4", "left", side("一。"), side("四", "length")),
        line("5", "left", side("五", "length"), side("一。")),
        line("6", "left", side("一。"), side("一。")),
        line("7", "left", side("一。"), side(" ")),
        line("8", "left", side("一。"), side("八。"), chat=False),
        line("9", "left", side("九。"), side("十。"), request="另讲"),
    ):
        append(votes.file, one)
    made = Votes(tmp_path).export()
    assert made["left_out"] == {"repeated": 1, "same": 1, "unfinished": 2, "equal": 1, "empty": 1, "continued": 1}
    assert made["pairs"] == 2
    found = [json.loads(text) for text in Path(made["file"]).read_text("utf-8").splitlines()]
    assert [(one["chosen"], one["rejected"]) for one in found] == [("二。", "一。"), ("九。", "十。")]
    Path(made["file"]).write_text(json.dumps(found[0]))
    assert votes.commands(Path("sft"), 96) == []  # one request cannot be on both sides of the split


def test_a_vote_is_whole_or_passed_over(tmp_path: Path) -> None:
    votes = Votes(tmp_path)
    append(votes.file, line("1", "left", side("一。"), side("二。")))
    whole = votes.file.read_bytes()
    for cut in range(1, len(whole), 7):  # a kill in the middle of the second line, then a third
        votes.file.write_bytes(whole + whole.replace(b'"1"', b'"2"')[:cut])
        append(votes.file, line("3", "right", side("三。"), side("四。")))
        assert [vote["id"] for vote in Votes(tmp_path).read()][::2] in (["1"], ["1", "3"])
        assert [vote["id"] for vote in Votes(tmp_path).read() if vote["id"] != "2"] == ["1", "3"]


def test_a_full_disk_is_one_line_and_no_vote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    votes = Votes(tmp_path)
    votes.offer(line("1", "", side("一。"), side("二。")))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ApiError, match="No space left") as error:
        votes.cast("1", "left")
    assert error.value.code == "not_written" and votes.counts()["left"] == 0


# the command ---------------------------------------------------------------------------------------------------------


def test_a_run_offers_its_stages_in_the_order_of_their_making(folder: Path, tmp_path: Path) -> None:
    for stage, age in (("pretrain", 3), ("sft", 2), ("dpo", 1)):
        os.utime(folder / stage / "final" / "lit_model.pth", (1e9 - age, 1e9 - age))
    assert checkpoints(folder) == [folder / stage / "final" for stage in ("pretrain", "sft", "dpo")]
    assert checkpoints([folder / "sft" / "final"]) == [folder / "sft" / "final"]
    with pytest.raises(UserError, match="neither a checkpoint nor a run"):
        checkpoints(tmp_path)


def test_the_command_opens_the_page_and_keeps_votes_through_a_kill(folder: Path, tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], str]:
        argv = [
            sys.executable,
            "-m",
            "litgpt_zh",
            "web",
            str(folder),
            "--port",
            "0",
            "--votes_dir",
            str(tmp_path / "v"),
        ]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=QUICK)
        assert process.stdout
        said = ""
        while "http://" not in said:
            said += (text := process.stdout.readline())
            assert text, "it ended"
        assert set(re.findall("pretrain|sft|dpo", said)) == {"pretrain", "sft", "dpo"}
        return process, re.findall(r"http://[0-9.:]+", said)[0]

    process, root = start()
    try:
        name, *_ = compared(root, models=["sft", "dpo"])
        assert ask(root, "/web/vote", {"id": name, "vote": "left"})[0] == 200
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process, root = start()
        state = json.loads(ask(root, "/web/state")[1])
        assert state["votes"] == {"left": 1, "right": 0, "same": 0}
        assert [model["chat"] for model in state["models"] if model["name"] == "pretrain"] == [False]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
