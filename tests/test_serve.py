"""The server as its clients see it: OpenAI's own client, and raw HTTP, over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from conftest import QUICK
from serving import Served, serving
from tiny_checkpoint import write_checkpoint

from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.load import Loaded, load
from litgpt_zh.generate.request import Answer, Event, Request
from litgpt_zh.prompts import prompt_for
from litgpt_zh.serve.app import Limits
from litgpt_zh.serve.bodies import spelling
from litgpt_zh.serve.command import is_loopback, serve
from litgpt_zh.stage import UserError

SAID = "小兔子在草地上玩"
HELLO: Any = [{"role": "user", "content": SAID}]
PLAIN = ["小", "兔子", "小兔子在草地上", "玩铲。", "特征：对话", "草", "地上的小", "子"]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tiny")
    write_checkpoint(found, instruct=True)
    return found


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    """To compare with; each server has a model of its own, as an engine does not share it."""
    return load(folder, device="cpu")


@pytest.fixture
def own(folder: Path) -> Loaded:
    return load(folder, device="cpu")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(load(folder, device="cpu"), Limits(batch_size=16, queue=256)) as found:
        yield found


def client_of(served: Served, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=served.url, api_key=key, max_retries=0, timeout=60)


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with client_of(served) as found:
        yield found


def alone(loaded: Loaded, text: str, **settings: Any) -> Answer:
    """What the engine says to one request."""
    wanted = Request(loaded.encode(text), stop_ids=loaded.stop_ids, **settings)
    with Engine(loaded.model, loaded.tokenizer.processor, batch_size=1) as engine:
        engine.add(wanted)
        return next(event.answer for event in engine.run() if event.answer)


class Held(Engine):
    """An engine that steps as often as it is let, and fails when told to."""

    gate = threading.Semaphore(0)
    fails = False

    @torch.inference_mode()
    def step(self) -> list[Event]:
        if not Held.gate.acquire(timeout=0.01):
            self._arrivals()
            return []
        if Held.fails:
            Held.fails = False
            raise RuntimeError("a planned failure")
        return super().step()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> type[Held]:
    monkeypatch.setattr("litgpt_zh.serve.app.Engine", Held)
    Held.gate, Held.fails = threading.Semaphore(0), False
    return Held


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


# OpenAI's client -----------------------------------------------------------------------------------------------------


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_a_greedy_chat_is_what_the_engine_says(client: openai.OpenAI, loaded: Loaded) -> None:
    wanted = alone(loaded, prompt_for(SAID))
    made = client.chat.completions.create(model="tiny", messages=HELLO, temperature=0)
    choice = made.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", wanted.text)
    assert (choice.finish_reason, choice.index, made.model, made.object) == (
        wanted.reason,
        0,
        "tiny",
        "chat.completion",
    )
    assert made.usage is not None and made.usage.prompt_tokens == len(loaded.encode(prompt_for(SAID)))
    assert made.usage.completion_tokens == wanted.drawn
    assert made.usage.total_tokens == made.usage.prompt_tokens + wanted.drawn


def test_max_tokens_end_with_length(client: openai.OpenAI) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        made = client.chat.completions.create(model="tiny", messages=HELLO, temperature=0, **{field: 3})
        assert made.choices[0].finish_reason == "length" and made.usage.completion_tokens == 3


def test_both_reasons_to_finish_occur(client: openai.OpenAI, loaded: Loaded) -> None:
    found = {}
    for text in PLAIN:
        made = client.completions.create(model="tiny", prompt=text, temperature=0, max_tokens=40)
        found[made.choices[0].finish_reason] = made.choices[0].text
        assert made.choices[0].finish_reason == alone(loaded, text, max_new_tokens=40).reason
    assert set(found) == {"stop", "length"}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("stop", [None, "子", ["地", "在草"]])
def test_a_chat_streams_what_it_says_whole(client: openai.OpenAI, n: int, stop: Any) -> None:
    for seed in range(3):
        how: dict[str, Any] = dict(model="tiny", messages=HELLO, seed=seed, temperature=1.3, n=n, stop=stop)
        whole = client.chat.completions.create(**how)
        texts, reasons, roles, bills = [""] * n, [[] for _ in range(n)], [0] * n, []
        for chunk in client.chat.completions.create(**how, stream=True, stream_options={"include_usage": True}):
            bills.append(chunk.usage)
            for choice in chunk.choices:
                piece = choice.delta.content or ""
                assert "\ufffd" not in piece
                piece.encode()  # no half of a pair either
                texts[choice.index] += piece
                roles[choice.index] += choice.delta.role == "assistant"
                reasons[choice.index] += [choice.finish_reason] if choice.finish_reason else []
        assert texts == [choice.message.content for choice in whole.choices]
        assert reasons == [[choice.finish_reason] for choice in whole.choices]
        assert roles == [1] * n
        assert [bill for bill in bills if bill] == [whole.usage] and bills[-1] == whole.usage


def test_a_completion_streams_what_it_says_whole(client: openai.OpenAI) -> None:
    how: dict[str, Any] = dict(model="tiny", prompt=["小兔", "草地上"], seed=3, temperature=1.3, n=2, max_tokens=40)
    whole = client.completions.create(**how)
    texts = [""] * 4
    for chunk in client.completions.create(**how, stream=True):
        assert chunk.usage is None
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]


def test_characters_spread_over_bytes_stream_whole(client: openai.OpenAI) -> None:
    """The tiny vocabulary spells most characters byte by byte; what never becomes one is left out."""
    shown = ""
    for seed in range(4):
        how: dict[str, Any] = dict(model="tiny", messages=HELLO, seed=seed, temperature=2, n=4, extra_body={"top_k": 0})
        for chunk in client.chat.completions.create(**how, stream=True):
            shown += chunk.choices[0].delta.content or ""
    assert "\ufffd" not in shown and len(set(shown)) > 50


def test_completions_take_texts_and_ids(client: openai.OpenAI, loaded: Loaded) -> None:
    wanted = [alone(loaded, text, max_new_tokens=16).text for text in ("小兔", "草地")]
    ids = [loaded.encode(text) for text in ("小兔", "草地")]
    for prompt, expected in (("小兔", wanted[:1]), (["小兔", "草地"], wanted), (ids[0], wanted[:1]), (ids, wanted)):
        made = client.completions.create(model="tiny", prompt=prompt, temperature=0)
        assert [choice.text for choice in made.choices] == expected
        assert made.object == "text_completion"
    assert client.completions.create(model="tiny", prompt="", temperature=0).usage.prompt_tokens == 1


def test_n_answers_differ_and_the_first_is_the_only_one(client: openai.OpenAI) -> None:
    how: dict[str, Any] = dict(model="tiny", messages=HELLO, seed=11, temperature=1.5, extra_body={"top_k": -1})
    one, many = client.chat.completions.create(**how), client.chat.completions.create(**how, n=5)
    texts = [choice.message.content for choice in many.choices]
    assert texts[0] == one.choices[0].message.content and len(set(texts)) > 1
    assert one.usage and many.usage and many.usage.prompt_tokens == one.usage.prompt_tokens  # read once for all


def test_stop_is_never_said(client: openai.OpenAI, loaded: Loaded) -> None:
    wanted = next(a for a in (alone(loaded, text) for text in PLAIN) if a.text and len(a.text) > 6)
    text = next(t for t in PLAIN if alone(loaded, t).text == wanted.text)
    assert wanted.text is not None
    stop = wanted.text[3:5]  # over two tokens
    made = client.completions.create(model="tiny", prompt=text, temperature=0, max_tokens=40, stop=[stop, "不会出现"])
    assert made.choices[0].text == wanted.text[: wanted.text.index(stop)]
    assert made.choices[0].finish_reason == "stop"


def test_logprobs_are_the_engines(client: openai.OpenAI, loaded: Loaded) -> None:
    wanted = alone(loaded, prompt_for(SAID), logprobs=True)
    made = client.chat.completions.create(model="tiny", messages=HELLO, temperature=0, logprobs=True).choices[0]
    assert made.logprobs is not None and made.logprobs.content is not None
    assert [one.logprob for one in made.logprobs.content] == pytest.approx(wanted.logprobs, abs=1e-4)
    processor = loaded.tokenizer.processor
    assert [(one.token, one.bytes) for one in made.logprobs.content] == [spelling(i, processor) for i in wanted.ids]
    plain = client.completions.create(model="tiny", prompt="小", temperature=0, logprobs=0).choices[0].logprobs
    assert plain is not None and plain.token_logprobs is not None
    assert plain.token_logprobs == pytest.approx(
        alone(loaded, "小", max_new_tokens=16, logprobs=True).logprobs, abs=1e-4
    )


# many at once --------------------------------------------------------------------------------------------------------


def test_64_at_once_say_what_each_says_alone(served: Served, loaded: Loaded) -> None:
    texts = [PLAIN[i % 8] * (1 + i % 3) for i in range(64)]

    async def ask() -> list[tuple[str, str]]:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="none", max_retries=0) as client:

            async def one(i: int) -> tuple[str, str]:
                how: dict[str, Any] = dict(model="tiny", prompt=texts[i], max_tokens=8 + i % 40)
                greedy, sampled = await asyncio.gather(
                    client.completions.create(**how, temperature=0),
                    client.completions.create(**how, temperature=1.2, seed=i),
                )
                return greedy.choices[0].text, sampled.choices[0].text

            return list(await asyncio.gather(*map(one, range(64))))

    for i, (greedy, sampled) in enumerate(asyncio.run(ask())):
        assert greedy == alone(loaded, texts[i], max_new_tokens=8 + i % 40).text
        settings: dict[str, Any] = dict(temperature=1.2, top_k=50, seed=[(i, 0)])
        assert sampled == alone(loaded, texts[i], max_new_tokens=8 + i % 40, **settings).text
    assert served.worker.waiting == 0


def test_they_are_answered_together(own: Loaded, held: type[Held]) -> None:
    with serving(own, Limits(batch_size=8)) as served:
        done: list[int] = []
        threads = [
            threading.Thread(target=lambda: done.append(post(served, BODY | {"max_tokens": 9})[0])) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        wait_for(lambda: served.worker.waiting == 8)
        time.sleep(0.1)  # the last ones reach the engine
        held.gate.release(12)  # two or three to read prompts, nine for the tokens of all
        for thread in threads:
            thread.join(120)
        assert done == [200] * 8
        held.gate.release(100)


# refusals ------------------------------------------------------------------------------------------------------------

BODY: dict[str, Any] = {"model": "tiny", "messages": HELLO, "temperature": 0, "max_tokens": 40}


def post(
    served: Served, body: Any, path: str = "/v1/chat/completions", method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """(status, JSON, headers) of a request as curl would send it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    line = http.client.HTTPConnection(served.root.removeprefix("http://"), timeout=30)
    try:
        line.request(method, path, data, {"Content-Type": "application/json"} | headers)
        answer = line.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.headers)
    finally:
        line.close()


@pytest.mark.parametrize(
    ("body", "kind", "param", "code"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model", "model_not_found"),
        ({"temperature": "hot"}, openai.BadRequestError, "temperature", None),
        ({"messages": [{"role": "user", "content": "小" * 99}]}, openai.BadRequestError, "messages", "context_length_exceeded"),
        ({"max_tokens": 96}, openai.BadRequestError, "max_tokens", "context_length_exceeded"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools", "unsupported_parameter"),
        ({"n": 17}, openai.BadRequestError, "n", None),
        ({"stream": True, "stop": [""]}, openai.BadRequestError, "stop", None),
    ],
)  # fmt: skip
def test_refusals_reach_the_client(client: openai.OpenAI, body: dict, kind: type, param: str, code: str | None) -> None:
    with pytest.raises(kind) as refused:
        client.chat.completions.create(**(BODY | body))
    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error" and refused.value.body["message"]


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"body": b"{"}, 400),
        ({"body": b"[1]"}, 400),
        ({"body": b'{"a": "\xff"}'}, 400),
        ({"body": b'{"model": "tiny", "temperature": NaN}'}, 400),
        ({"body": b"[" * 50_000}, 400),
        ({"body": b"not gzip", "Content-Encoding": "gzip"}, 400),
        ({"body": BODY, "Content-Type": "text/plain"}, 415),
        ({"body": b" " * 1_048_577}, 413),
        ({"body": b" " * 8_000_000}, 413),
        ({"body": BODY, "path": "/v1/embeddings"}, 404),
        ({"body": BODY, "path": "/"}, 404),
        ({"body": b"", "method": "GET"}, 405),
        ({"body": b"", "method": "DELETE", "path": "/v1/models"}, 405),
    ],
)
def test_raw_requests_are_refused_as_json(served: Served, how: dict[str, Any], status: int) -> None:
    found, answer, headers = post(served, **how)
    assert found == status and headers["Content-Type"].startswith("application/json")
    assert set(answer["error"]) == {"message", "type", "param", "code"} and answer["error"]["message"]
    assert post(served, BODY)[0] == 200  # and the server goes on


def test_a_page_elsewhere_that_took_this_address_is_refused(served: Served, own: Loaded) -> None:
    for host, status in (
        ("evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("LOCALHOST:1", 200),
        ("[::1]", 200),
    ):
        assert post(served, BODY, Host=host)[0] == status, host
    with serving(own, key="k") as locked:  # there the key decides: a proxy in front has a name of its own
        assert post(locked, BODY, Host="stories.example", Authorization="Bearer k")[0] == 200


def test_a_body_in_chunks_is_measured_too(served: Served) -> None:
    line = http.client.HTTPConnection(served.root.removeprefix("http://"), timeout=30)
    line.putrequest("POST", "/v1/completions")
    line.putheader("Content-Type", "application/json")
    line.putheader("Transfer-Encoding", "chunked")
    line.endheaders()
    with contextlib.suppress(ConnectionError):
        for _ in range(40):
            line.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    assert line.getresponse().status == 413
    line.close()


def test_hanzi_in_answers_are_readable(served: Served) -> None:
    line = http.client.HTTPConnection(served.root.removeprefix("http://"), timeout=30)
    line.request("POST", "/v1/chat/completions", json.dumps(BODY), {"Content-Type": "application/json; charset=utf-8"})
    text = line.getresponse().read().decode()
    assert re.search("[一-龥]", text) and not re.search(r"\\u[4-9]", text)


def test_a_pretrained_model_completes_and_does_not_chat(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    with serving(load(tmp_path, device="cpu")) as served, client_of(served) as client:
        assert client.completions.create(model="tiny", prompt="小").choices[0].finish_reason
        with pytest.raises(openai.BadRequestError, match="never tuned"):
            client.chat.completions.create(model="tiny", messages=HELLO)


def test_a_full_queue_says_so_and_empties(own: Loaded, held: type[Held]) -> None:
    with serving(own, Limits(batch_size=2, queue=1)) as served:
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(post(served, BODY | {"n": 2})[0]))
        thread.start()
        wait_for(lambda: served.worker.waiting == 2)
        status, answer, headers = post(served, BODY | {"n": 2})
        assert (status, headers["Retry-After"], answer["error"]["code"]) == (429, "1", "rate_limit_exceeded")
        held.gate.release(10_000)
        thread.join(120)
        assert first == [200] and post(served, BODY)[0] == 200


def test_time_is_limited(own: Loaded, held: type[Held]) -> None:
    with serving(own, Limits(seconds=0.3)) as served:
        status, answer, headers = post(served, BODY)
        assert (status, answer["error"]["code"], headers["x-should-retry"]) == (504, "timeout", "false")
        assert served.worker.waiting == 0
        with client_of(served) as client, pytest.raises(openai.APIError, match=r"0\.3 seconds"):
            list(client.chat.completions.create(**BODY, stream=True))
        wait_for(lambda: not served.worker._engine.busy)
        held.gate.release(10_000)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_takes_its_rows_along(own: Loaded, held: type[Held], stream: bool) -> None:
    with serving(own) as served:
        line = socket.create_connection(tuple(served.service_address))
        data = json.dumps(BODY | {"stream": stream}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
        line.sendall(head.encode() + b"\r\n\r\n" + data)
        wait_for(lambda: served.worker.waiting == 1)
        held.gate.release(3)
        if stream:
            while b"content" not in line.recv(4096):
                pass
        line.close()
        wait_for(lambda: served.worker.waiting == 0)
        wait_for(lambda: not served.worker._engine.busy)
        held.gate.release(10_000)
        assert post(served, BODY)[0] == 200


def test_a_failing_engine_is_told_and_replaced(own: Loaded, held: type[Held]) -> None:
    held.gate.release(10_000)
    with serving(own) as served, client_of(served) as client:
        held.fails = True
        status, answer, _ = post(served, BODY)
        assert (status, answer["error"]["type"]) == (500, "server_error")
        assert "planned" not in json.dumps(answer)
        held.fails = True
        with pytest.raises(openai.APIError, match="failed to answer"):
            list(client.chat.completions.create(**BODY, stream=True))
        assert post(served, BODY)[0] == 200


def test_a_key_lets_in_and_stays_out_of_the_log(own: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "litgpt_zh.serve")
    key = "sk-不可说-1234"
    with serving(own, key="sk-secret-1234") as served:
        for shown in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sk-secret-1234"}):
            status, answer, headers = post(served, BODY, **shown)
            assert (status, answer["error"]["code"], headers["WWW-Authenticate"]) == (401, "invalid_api_key", "Bearer")
        assert post(served, b"", "/v1/models", "GET")[0] == 401
        assert post(served, b"", "/nowhere", "GET")[0] == 401
        assert post(served, b"", "/health", "GET")[0] == 200
        with client_of(served, "sk-secret-1234") as client:
            assert client.models.list().data[0].id == "tiny"
        assert (
            post(served, BODY, "/v1/chat/completions?key=sk-secret-1234", Authorization="Bearer sk-secret-1234")[0]
            == 200
        )
        with client_of(served, "sk-secret-123") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
    assert "/v1/chat/completions 200" in caplog.text and "secret" not in caplog.text and SAID not in caplog.text
    with serving(own, key=key) as served:
        line = f"Bearer {key}".encode().decode("latin-1")
        assert post(served, b"", "/v1/models", "GET", Authorization=line)[0] == 200


# the command ---------------------------------------------------------------------------------------------------------


def test_the_command_serves_until_ctrl_c(folder: Path) -> None:
    line = [sys.executable, "-m", "litgpt_zh", "serve", str(folder), "--port", "0", "--name", "mine"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=QUICK) as process:
        assert process.stdout is not None
        found = re.fullmatch(r"mine \(\w+\): (http://127\.0\.0\.1:\d+/v1)    Ctrl-C 停下\n", process.stdout.readline())
        assert found
        with openai.OpenAI(base_url=found[1], api_key="none", max_retries=0) as client:
            assert client.chat.completions.create(model="mine", messages=HELLO, max_tokens=4).usage
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 0 and "Traceback" not in errors
    assert "POST /v1/chat/completions 200" in errors


def test_a_taken_port_is_refused_by_name(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1:{port}"):
            serve(folder, port=port)


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"queue": -1}, {"timeout": 0}, {"max_body": 0}, {"port": 70_000}], ids=str
)
def test_settings_out_of_range_are_refused_before_loading(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))} is out of range"):
        serve(Path("nowhere"), **wrong)


def test_only_addresses_of_this_machine_need_no_warning() -> None:
    assert [host for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "example.org") if not is_loopback(host)] == [
        "0.0.0.0", "::", "example.org",
    ]  # fmt: skip


@pytest.mark.slow
def test_stock_litgpt_serves_our_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("litserve")
    from overfitted import served as stock

    write_checkpoint(tmp_path / "c", instruct=True)
    with (
        stock(tmp_path / "c", tmp_path / "log", max_new_tokens=8) as url,
        openai.OpenAI(base_url=url, api_key="x") as client,
    ):
        made = client.chat.completions.create(model="any", messages=HELLO)
    assert made.choices[0].message.content
