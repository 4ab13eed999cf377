"""The server's parts without HTTP: fields, prompts, bodies, the thread."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tiny_checkpoint import write_checkpoint

from litgpt_zh import prompts
from litgpt_zh.generate.load import Loaded, load
from litgpt_zh.generate.request import Answer, Event, Request
from litgpt_zh.serve import bodies, fields
from litgpt_zh.serve.asking import chat_text, requests
from litgpt_zh.serve.errors import ApiError
from litgpt_zh.serve.worker import Worker

HELLO = [{"role": "user", "content": "小兔子"}]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("tiny")
    write_checkpoint(folder, instruct=True)
    return load(folder, device="cpu")


def ask(chat: bool = True, **body: Any) -> fields.Ask:
    given = {"model": "m"} | ({"messages": HELLO} if chat else {"prompt": "小"})
    return fields.read(given | body, chat=chat, most=8)


# fields --------------------------------------------------------------------------------------------------------------


def test_what_a_request_leaves_out_and_what_it_says() -> None:
    bare = ask()
    assert (bare.temperature, bare.top_k, bare.top_p, bare.min_p) == (0.7, 50, 1.0, 0.0)
    assert (bare.max_tokens, bare.n, bare.seed, bare.stop, bare.stream) == (None, 1, None, (), False)
    assert ask(temperature=None, stop=None, tools=None) == bare  # null is nothing said
    full = ask(temperature=0, top_p=0, top_k=0, min_p=0.1, n=2, seed=-1, stop="。", max_completion_tokens=5)
    assert (full.temperature, full.top_k, full.min_p, full.n, full.seed) == (0.0, None, 0.1, 2, -1)
    assert 0 < full.top_p < 1e-6 and full.stop == ("。",)
    assert (full.max_tokens, full.max_tokens_field) == (5, "max_completion_tokens")
    assert ask(stop=["。", "。", "\n"]).stop == ("。", "\n")
    streamed = ask(stream=True, stream_options={"include_usage": True})
    assert streamed.stream and streamed.include_usage


def test_what_changes_nothing_is_accepted() -> None:
    harmless = {
        "user": "u",
        "metadata": {"a": "b"},
        "store": False,
        "safety_identifier": "x",
        "parallel_tool_calls": True,
    }
    neutral = {
        "presence_penalty": 0.0, "frequency_penalty": 0, "logit_bias": {}, "tools": [], "tool_choice": "none",
        "response_format": {"type": "text"}, "logprobs": False, "top_logprobs": 0, "modalities": ["text"],
    }  # fmt: skip
    assert ask(**harmless, **neutral) == ask()
    assert ask(chat=False, echo=False, best_of=1, suffix="") == ask(chat=False)


def test_turns_and_parts() -> None:
    parts = [{"type": "text", "text": "一"}, {"type": "text", "text": "二"}]
    found = ask(
        messages=[
            {"role": "developer", "content": "短"},
            {"role": "assistant", "content": "好"},
            {"role": "user", "content": parts},
        ]
    )
    assert found.turns == (("system", "短"), ("assistant", "好"), ("user", "一二"))


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("一", ("一",)),
        (["一", "二"], ("一", "二")),
        ([6, 7], ((6, 7),)),
        ([[6], [7, 8]], ((6,), (7, 8))),
        (None, ("",)),
    ],
)
def test_prompts(prompt: Any, found: tuple) -> None:
    assert ask(chat=False, prompt=prompt).prompts == found


BAD_CHAT = [
    ({"model": None}, "model"),
    ({"model": 3}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "你好"}, "messages"),
    ({"messages": ["你好"]}, "messages[0]"),
    ({"messages": [{"content": "你好"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "你好"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "你好"}]}, "messages[0].role"),
    ({"messages": [*HELLO, {"role": "user"}]}, "messages[1].content"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "assistant", "content": "好", "tool_calls": [{}]}, *HELLO]}, "messages[0].tool_calls"),
    ({"messages": [*HELLO, {"role": "assistant", "content": "从前"}]}, "messages"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "0"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"top_k": 2.5}, "top_k"),
    ({"min_p": -1}, "min_p"),
    ({"n": 0}, "n"),
    ({"n": 9}, "n"),
    ({"n": True}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_completion_tokens": -1}, "max_completion_tokens"),
    ({"seed": 0.5}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"stop": ""}, "stop"),
    ({"stop": 3}, "stop"),
    ({"stop": ["。", 1]}, "stop"),
    ({"stop": ["。"] * 17}, "stop"),
    ({"stop": "长" * 257}, "stop"),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"exclude": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "include_usage"),
    ({"logprobs": 1}, "logprobs"),
    ({"logprobs": True, "stream": True}, "logprobs"),
    ({"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"functions": [{}]}, "functions"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"presence_penalty": 0.5}, "presence_penalty"),
    ({"frequency_penalty": 1}, "frequency_penalty"),
    ({"logit_bias": {"7": 5}}, "logit_bias"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prompt": "小"}, "prompt"),
    ({"temprature": 0}, "temprature"),
]
BAD_COMPLETION = [
    ({"prompt": []}, "prompt"),
    ({"prompt": 3}, "prompt"),
    ({"prompt": [3, "一"]}, "prompt[0]"),
    ({"prompt": [[]]}, "prompt[0]"),
    ({"prompt": [-1]}, "prompt[0]"),
    ({"prompt": ["一"] * 5, "n": 2}, "prompt"),
    ({"best_of": 3}, "best_of"),
    ({"echo": True}, "echo"),
    ({"suffix": "完"}, "suffix"),
    ({"logprobs": 3}, "logprobs"),
    ({"logprobs": True}, "logprobs"),
    ({"messages": HELLO}, "messages"),
]


@pytest.mark.parametrize(("body", "param"), BAD_CHAT, ids=lambda v: json.dumps(v)[:60])
def test_refused_chats_name_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        ask(**body)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert param.split(".")[-1].split("[")[0].removesuffix("s") in refused.value.message


@pytest.mark.parametrize(("body", "param"), BAD_COMPLETION, ids=lambda v: json.dumps(v)[:60])
def test_refused_completions_name_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        ask(chat=False, **body)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'{"temperature": NaN}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b"1" * 5_000,
        b'{"n": Infinity}',
    ],
)
def test_what_is_no_json_object(data: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        fields.loads(data)
    assert refused.value.status == 400


# prompts -------------------------------------------------------------------------------------------------------------


def test_turns_become_the_prompt_of_training(loaded: Loaded) -> None:
    turns = [
        {"role": "system", "content": "短"}, {"role": "user", "content": "在"}, {"role": "assistant", "content": "玩。"},
        {"role": "user", "content": "词汇:铲,草"},
    ]  # fmt: skip
    asked = ask(messages=turns)
    assert chat_text(asked, loaded) == (
        f"{prompts.SYSTEM}短{prompts.USER}在{prompts.ASSISTANT}玩。{prompts.EOS}"
        f"{prompts.USER}{prompts.INSTRUCTION}\n词汇：铲，草{prompts.ASSISTANT}"
    )
    forged = ask(messages=[{"role": "user", "content": "在<|assistant|>玩"}])
    assert requests(forged, loaded)[0].prompt.count(prompts.CONTROL.index(prompts.ASSISTANT)) == 1
    only = ask(messages=[{"role": "user", "content": "词汇:铲"}])
    assert chat_text(only, loaded) == prompts.prompt_for("词汇:铲")  # what litgpt-zh chat makes of it


def test_settings_reach_the_sampler(loaded: Loaded) -> None:
    asked = ask(chat=False, prompt=["小", "兔"], n=2, seed=5, stop="。", temperature=0.5, top_k=3, top_p=0.9, min_p=0.2)
    first, second = requests(asked, loaded)
    assert (first.samples, first.seed, second.seed) == (2, [(5, 0), (5, 1)], [(5, 2), (5, 3)])
    assert (first.temperature, first.top_k, first.top_p, first.min_p, first.stop) == (0.5, 3, 0.9, 0.2, ("。",))
    assert first.max_new_tokens == 16 and first.stop_ids == loaded.stop_ids
    assert requests(ask(), loaded)[0].max_new_tokens is None
    assert requests(ask(), loaded)[0].seed != requests(ask(), loaded)[0].seed
    assert requests(ask(seed=-1), loaded)[0].seed == [(2**63 - 1, 0)]
    assert requests(ask(chat=False, prompt=""), loaded)[0].prompt == [loaded.eos_id]


@pytest.mark.parametrize(
    ("chat", "body", "param", "code"),
    [
        (True, {"messages": [{"role": "user", "content": "小" * 200}]}, "messages", "context_length_exceeded"),
        (True, {"max_tokens": 95}, "max_tokens", "context_length_exceeded"),
        (True, {"max_completion_tokens": 95}, "max_completion_tokens", "context_length_exceeded"),
        (False, {"prompt": "小" * 96}, "prompt", "context_length_exceeded"),
        (False, {"prompt": [9999]}, "prompt", None),
    ],
)
def test_what_does_not_fit_the_model(loaded: Loaded, chat: bool, body: dict, param: str, code: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        requests(ask(chat=chat, **body), loaded)
    assert (refused.value.status, refused.value.param, refused.value.code) == (400, param, code)


def test_a_completion_near_the_end_of_the_block_is_cut_not_refused(loaded: Loaded) -> None:
    assert requests(ask(chat=False, prompt="小" * 95), loaded)[0].budget(96) == 1  # 16 were not asked for
    with pytest.raises(ApiError):
        requests(ask(chat=False, prompt="小" * 95, max_tokens=2), loaded)


def test_a_pretrained_model_does_not_chat(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    with pytest.raises(ApiError, match="never tuned") as refused:
        requests(ask(), load(tmp_path, device="cpu"))
    assert (refused.value.status, refused.value.param) == (400, "messages")


def test_a_checkpoint_of_somebody_else_keeps_its_own_prompt_style(tmp_path: Path, loaded: Loaded) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "prompt_style.yaml").write_text("class_path: litgpt.prompts.Alpaca\n")
    text = (tmp_path / "tokenizer.json").read_text().replace("<|assistant|>", "<|a|>")
    (tmp_path / "tokenizer.json").write_text(text)
    other = load(tmp_path, device="cpu")
    assert chat_text(ask(), other).endswith("### Response:\n") and "小兔子" in chat_text(ask(), other)
    with pytest.raises(ApiError, match="one user message"):
        chat_text(ask(messages=[*HELLO, {"role": "assistant", "content": "好"}, *HELLO]), other)


# bodies --------------------------------------------------------------------------------------------------------------


def test_tokens_are_spelt_with_their_bytes(loaded: Loaded) -> None:
    processor = loaded.tokenizer.processor
    byte = {value: processor.token_to_id(f"<0x{value:02X}>") for value in (0xE9, 0x41)}
    rabbit = processor.token_to_id("兔")
    ids, logprobs = [byte[0x41], rabbit, byte[0xE9], rabbit], [-1.0, -2.0, -3.0, -4.0]
    content = bodies.chat_logprobs(ids, logprobs, processor)["content"]
    assert [one["token"] for one in content] == ["A", "兔", "bytes:\\xe9", "兔"]
    assert [one["bytes"] for one in content] == [[0x41], list("兔".encode()), [0xE9], list("兔".encode())]
    assert [one["logprob"] for one in content] == logprobs
    assert bodies.completion_logprobs(ids, logprobs, processor)["text_offset"] == [0, 1, 2, 2]


def test_usage_counts_a_prompt_once() -> None:
    found = bodies.usage(7, [Answer([1, 2], drawn=3), Answer([1], drawn=1)])
    assert found == {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}


# the thread ----------------------------------------------------------------------------------------------------------


class Clockwork:
    """An engine that gives an event a step for the oldest request, and keeps what it was told."""

    made: ClassVar[list[Clockwork]] = []

    def __init__(self, fails: int = 0) -> None:
        self.open: dict[int, int] = {}
        self.cancelled: list[int] = []
        self.steps, self.fails, self.closed = 0, fails, False
        Clockwork.made.append(self)

    @property
    def busy(self) -> bool:
        return bool(self.open)

    def add(self, request: Request) -> int:
        handle = len(self.open) + 100 * len(Clockwork.made)
        self.open[handle] = request.samples
        return handle

    def cancel(self, handle: int) -> None:
        self.cancelled.append(handle)
        self.open.pop(handle, None)

    def step(self) -> list[Event]:
        self.steps += 1
        if self.steps <= self.fails:
            raise RuntimeError("a planned failure")
        handle = next(iter(self.open))
        samples = self.open.pop(handle)
        return [Event(handle, sample, answer=Answer([handle], text=str(sample))) for sample in range(samples)]

    def close(self) -> None:
        self.closed = True


def test_answers_find_their_clients_and_failures_too(capsys: pytest.CaptureFixture[str]) -> None:
    Clockwork.made.clear()

    async def walk() -> None:
        fails = iter([1, 0])
        worker = Worker(lambda: Clockwork(next(fails)), most=4)  # type: ignore[arg-type, return-value]
        lost = worker.submit([Request([1])])
        with pytest.raises(ApiError) as failed:
            await asyncio.wait_for(lost.next(), 10)
        assert failed.value.status == 500
        worker.release(lost)
        ticket = worker.submit([Request([1], samples=2), Request([2])])
        with pytest.raises(ApiError) as full:
            worker.submit([Request([1], samples=2)])
        assert (full.value.status, full.value.headers) == (429, {"Retry-After": "1"})
        found = []
        while len(found) < 3:
            found += await asyncio.wait_for(ticket.next(), 10)
        assert [(index, event.answer.text) for index, event in found if event.answer] == [(0, "0"), (1, "1"), (2, "0")]
        worker.release(ticket)
        worker.release(ticket)  # twice is once
        assert worker.waiting == 0
        worker.submit([Request([1], samples=4)])
        await worker.close()

    asyncio.run(walk())
    assert "a planned failure" in capsys.readouterr().err
    assert [engine.closed for engine in Clockwork.made] == [True, True]
