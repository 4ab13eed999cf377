"""The bars of serving: 64 chats at once against ``litgpt serve`` on the same checkpoint, machine and run.

    python benchmarks/serve.py --checkpoint runs/quickstart/sft/final   # a trained model, four rounds
    python benchmarks/serve.py --quick                                  # random weights of the 2m shape, within a minute

Rounds of 64 chats at once, and of a part of them to the stock server (it answers one after another, so that its rate does
not depend on how many wait), in turn. Both servers are processes of their own that talk to OpenAI's client; the throughput
is that of whole answers, and 64 streams are read besides. Where litserve is not installed (``pip install 'litgpt-zh[web]'``)
the other side is litgpt's ``generate`` without HTTP, a faster one than the bar is about: then the ratio is information,
and the line says that the bar was not measured. One line a figure,
``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
from export import random_checkpoint

from litgpt_zh.corpus.world import generate as tell
from litgpt_zh.prompts import prompt_for

OK = True
BROKEN = "\ufffd"


def figure(name: str, value: float, bar: str, good: bool, form: str = ".1f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


@dataclass
class Load:
    """What came of many chats at once."""

    seconds: float = 0.0
    characters: int = 0
    broken: int = 0
    first: list[float] = field(default_factory=list)
    """seconds to the first piece of each that was streamed"""

    def add(self, other: Load) -> None:
        self.seconds += other.seconds
        self.characters += other.characters
        self.broken += other.broken

    def say(self, text: str) -> None:
        self.characters += len(text)
        self.broken += text.count(BROKEN)

    @property
    def rate(self) -> float:
        return self.characters / self.seconds


def requests_of(count: int) -> list[str]:
    """Requests for stories with three words each."""
    stories = tell(seed=1_000_003, start=0, count=count)
    return ["词汇：" + "，".join(story.words[:3]) for story in stories]


@contextlib.contextmanager
def server(line: list[str], health: str, log: Path) -> Iterator[None]:
    """A server process from ready to gone."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with open(log, "w") as file:
        process = subprocess.Popen(line, stdout=file, stderr=file, start_new_session=True)
    try:
        for _ in range(6000):
            assert process.poll() is None, log.read_text()[-2000:]
            with contextlib.suppress(OSError):
                if opener.open(health, timeout=2).status == 200:
                    break
            time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def chat_all(url: str, texts: list[str], tokens: int, stream: bool = False) -> Load:
    """All chats at once."""
    load = Load()
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=3600) as client:

        async def one(text: str) -> None:
            messages: Any = [{"role": "user", "content": text}]
            how: Any = {"model": "m", "messages": messages, "max_completion_tokens": tokens}
            if not stream:
                load.say((await client.chat.completions.create(**how)).choices[0].message.content or "")
                return
            began, first = time.perf_counter(), 0.0
            async for chunk in await client.chat.completions.create(**how, stream=True):
                if piece := chunk.choices[0].delta.content:
                    first = first or time.perf_counter() - began
                    load.say(piece)
            load.first.append(first)

        began = time.perf_counter()
        await asyncio.gather(*map(one, texts))
        load.seconds = time.perf_counter() - began
    return load


async def checks(url: str, model: str, texts: list[str]) -> list[str]:
    """What OpenAI's client finds wrong, while the server is busy with other requests."""
    wrong = []
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:

        async def say(text: str, **how: Any) -> Any:
            return await client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": text}], **({"max_tokens": 48} | how)
            )

        def need(name: str, good: bool) -> None:
            if not good:
                wrong.append(name)

        need("models", [one.id async for one in client.models.list()] == [model])
        alone = [await say(texts[0], seed=7), await say(texts[0], temperature=0)]
        together = await asyncio.gather(
            say(texts[0], seed=7), say(texts[0], temperature=0), *[say(text) for text in texts[1:30]]
        )
        for name, one, other in zip(("seed", "greedy"), alone, together, strict=False):
            need(f"{name} under load", one.choices[0].message.content == other.choices[0].message.content)
        streamed = "".join(
            [c.choices[0].delta.content or "" async for c in await say(texts[0], seed=7, stream=True) if c.choices]
        )
        need("stream", streamed == alone[0].choices[0].message.content)
        many = await say(texts[0], seed=7, n=4)
        need("n", len({choice.message.content for choice in many.choices}) == 4)
        need("n: the first", many.choices[0].message.content == alone[0].choices[0].message.content)
        stop = alone[1].choices[0].message.content[5:7]
        stopped = (await say(texts[0], temperature=0, stop=stop)).choices[0]
        need("stop", stop not in stopped.message.content and stopped.finish_reason == "stop")
        short = await say(texts[0], max_tokens=3)
        need("length and usage", (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 3))
        for name, kind, how in (
            ("long", openai.BadRequestError, {"max_tokens": 100_000}),
            ("tools", openai.BadRequestError, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ):
            try:
                await say(texts[0], **how)
                wrong.append(f"refusal: {name}")
            except kind as error:
                need(f"refusal: {name}", bool(error.param))
    return wrong


def our_server(checkpoint: Path, port: int) -> list[str]:
    """The command line of ``litgpt-zh serve``."""
    return [sys.executable, "-m", "litgpt_zh", "serve", str(checkpoint), "--port", str(port), "--name", "m"]


def stock_server(checkpoint: Path, port: int, tokens: int) -> list[str]:
    """The command line of ``litgpt serve`` with its OpenAI routes."""
    return [
        sys.executable, "-m", "litgpt", "serve", str(checkpoint), "--openai_spec", "true", "--accelerator", "cpu",
        "--port", str(port), "--max_new_tokens", str(tokens), "--timeout", "600",
    ]  # fmt: skip


def measured(checkpoint: Path, texts: list[str], fewer: int, tokens: int, rounds: int, home: Path) -> dict[str, Any]:
    """Ours, whole and streamed, the other side, and the checks that fail. The sides take turns, so that a busy machine
    slows both."""
    ours, stock, ports = Load(), Load(), (free_port(), free_port())
    urls = [f"http://127.0.0.1:{port}/v1" for port in ports]
    served = find_spec("litserve") is not None
    with contextlib.ExitStack() as up:
        health = f"http://127.0.0.1:{ports[0]}/health"
        up.enter_context(server(our_server(checkpoint, ports[0]), health, home / "ours.log"))
        if served:
            health = f"http://127.0.0.1:{ports[1]}/health"
            up.enter_context(server(stock_server(checkpoint, ports[1], tokens), health, home / "stock.log"))
            asyncio.run(chat_all(urls[1], texts[:1], 8))
        asyncio.run(chat_all(urls[0], texts[:8], 8))
        for number in range(rounds):
            ours.add(asyncio.run(chat_all(urls[0], texts, tokens)))
            some = texts[number * fewer : (number + 1) * fewer]
            stock.add(
                asyncio.run(chat_all(urls[1], some, tokens)) if served else stock_generate(checkpoint, some, tokens)
            )
        streamed = asyncio.run(chat_all(urls[0], texts, tokens, stream=True))
        wrong = asyncio.run(checks(urls[0], "m", texts))
    return {"ours": ours, "stock": stock, "streamed": streamed, "wrong": wrong}


def stock_generate(checkpoint: Path, texts: list[str], tokens: int) -> Load:
    """litgpt's ``generate``, one after another."""
    from litgpt.generate.base import generate

    from litgpt_zh.generate.load import load as load_checkpoint

    loaded, found = load_checkpoint(checkpoint, device="cpu"), Load()
    loaded.model.set_kv_cache(batch_size=1)
    for number, text in enumerate([texts[0], *texts]):
        if number == 1:
            began, found = time.perf_counter(), Load()
        ids = loaded.tokenizer.encode(prompt_for(text))
        most = min(len(ids) + tokens, loaded.config.block_size)
        answer = generate(
            loaded.model, ids, most, temperature=0.7, top_k=50, eos_id=loaded.eos_id, include_prompt=False
        )
        found.say(loaded.tokenizer.decode(answer))
    found.seconds = time.perf_counter() - began
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a tuned run's final/; by default random weights")
    parser.add_argument("--tokens", type=int, default=128, help="longest answer")
    parser.add_argument(
        "--quick", action="store_true", help="two rounds, and the stock server answers 6 chats instead of 64"
    )
    options = parser.parse_args()
    for name in ("http_proxy", "https_proxy", "all_proxy", "LITGPT_ZH_API_KEY"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers go too
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        checkpoint = options.checkpoint or random_checkpoint(home / "lit")
        texts, rounds = requests_of(64), 2 if options.quick else 4
        fewer = 3 if options.quick else 16
        found = measured(checkpoint, texts, fewer, options.tokens, rounds, home)
    ours, stock, streamed, wrong = (found[name] for name in ("ours", "stock", "streamed", "wrong"))
    figure("broken characters in 64 streams", streamed.broken, "0", streamed.broken == 0, "d")
    figure("checks with OpenAI's client that fail", len(wrong), "0", not wrong, "d")
    if wrong:
        print("  " + ", ".join(wrong))
    name = "litgpt serve" if find_spec("litserve") else "litgpt's generate, no HTTP (litserve is not installed)"
    figure("64 chats at once, characters a second", ours.rate, "none: information", True)
    figure("64 streams at once, characters a second", streamed.rate, "none: information", True)
    figure(
        "seconds to the first piece of a stream, median", statistics.median(streamed.first), "none: information", True
    )
    figure(f"{name}: {rounds} x {fewer} chats, characters a second", stock.rate, "none: information", True)
    figure(f"{name}: broken characters", stock.broken, "none: information", True, "d")
    ratio = ours.rate / stock.rate
    if find_spec("litserve"):
        figure(f"throughput over {name}", ratio, ">= 10", ratio >= 10)
    else:
        figure(f"throughput over {name}", ratio, "none: the bar is against litgpt serve, NOT MEASURED", True)
    sys.exit(0 if OK else 1)


if __name__ == "__main__":
    main()
