"""An OpenAI-compatible server on loopback that translates by a fixed rule and fails by a seeded schedule.

It keeps what the client is measured against: calls per key (a key is a request's messages) and the tokens it bills.
In a test: ``with Server(...) as server``; as a process: ``python tests/translate_server.py '{"latency": 0.5}'`` prints its
port and answers ``GET /log``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

HAN = "山水火木土人口手目日月雨田石花草小大白天地中心上下左右公主牛羊米竹衣夫力刀王玉立色舟虫血行西角言谷豆走足身青食首高黄黑鼓鼻"
TRANSIENT = ("500", "503", "429", "reset", "truncated", "malformed", "html", "error200", "nochoices")


def han(word: str) -> str:
    """Two characters for an English word, always the same."""
    digest = hashlib.sha256(word.lower().encode()).digest()
    return HAN[digest[0] % len(HAN)] + HAN[digest[1] % len(HAN)]


def chinese(text: str, words: list[str], names: dict[str, str]) -> str:
    """Word by word; the item's words in one form, so that they stand in the story."""
    stems = {(w[:-1] if len(w) > 3 and w[-1] in "ey" else w).lower(): w for w in words}

    def one(match: re.Match[str]) -> str:
        token = match.group()
        if token in names:
            return names[token]
        stem = next((s for s in sorted(stems, key=len, reverse=True) if token.lower().startswith(s)), None)
        return han(stems[stem] if stem else token)

    lines = []
    for line in text.split("\n"):
        line = re.sub(r"[A-Za-z']+", one, line)
        line = re.sub(r'"([^"]*)"', r"“\1”", line)
        lines.append(line.translate(str.maketrans({".": "。", ",": "，", "!": "！", "?": "？", " ": None, "-": None})))
    return "\n".join(lines)


def answer(messages: list[dict[str, str]]) -> str:
    """What a faithful model would say."""
    system, user = messages[0]["content"], messages[1]["content"]
    if "who reviews" in system:
        return "- 第一句可以更自然。"
    if "JSON list of names" in system:
        return json.dumps({name: han(name) for name in json.loads(user[user.rindex("[") :])}, ensure_ascii=False)
    found = re.search(r"Write these names so: (.*)\n", user)
    names = dict(pair.split(" = ") for pair in found.group(1).split(", ")) if found else {}
    if "<<<1>>>" in user:
        parts = re.split(r"<<<\d+>>>\n", user)[1:]
        words = parts[0].split() if len(parts[0].split()) == parts[0].count("\n") else []
        return "\n".join(
            f"<<<{n}>>>\n" + ("\n".join(map(han, words)) if n == 1 and words else chinese(part.strip(), words, names))
            for n, part in enumerate(parts, 1)
        )
    item = json.loads(user[user.rindex('{"') :])
    words = item.get("words", [])
    story = chinese(item["story"], words, names) if "story" in item else ""
    values = {k: [han(w) for w in v] if k == "words" else chinese(v, words, names) for k, v in item.items()}
    return json.dumps({**values, **({"story": story} if story else {})}, ensure_ascii=False)


@dataclass
class Server:
    """``script[n]`` is what befalls the nth call of every key ("ok" after its end), unless ``faults`` draws another.

    ``faults``: share of first calls that meet one of ``kinds``, drawn by ``seed`` and key. ``refuses``: parameters that
    get a 400. ``inflate``: so many times more tokens are billed. ``warm``: temperature 0 is taken for a missing one, and
    no two answers are alike. ``max_tokens`` is never kept to.
    """

    latency: float = 0.0
    script: tuple[str, ...] = ()
    faults: float = 0.0
    kinds: tuple[str, ...] = TRANSIENT
    seed: int = 0
    refuses: tuple[str, ...] = ()
    usage: bool = True
    inflate: float = 1.0
    warm: bool = False
    grade: str = "5"
    key: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keep: bool = False
    billed: int = 0
    busy: int = 0
    most_busy: int = 0

    def __enter__(self) -> Server:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def total(self) -> int:
        return sum(self.calls.values())

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.start())
        ready.set()
        self._loop.run_forever()

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/log", self.log)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def log(self, request: web.Request) -> web.Response:
        repeated = sum(n - 1 for n in self.calls.values())
        return web.json_response(
            {
                "calls": self.total,
                "keys": len(self.calls),
                "repeated": repeated,
                "billed": self.billed,
                "most_busy": self.most_busy,
            }
        )

    async def chat(self, request: web.Request) -> web.StreamResponse:
        arrived = time.monotonic()
        body = await request.json()
        key = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
        number = self.calls[key]
        self.calls[key] += 1
        if self.keep:
            self.bodies.append(body)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            text = (
                self.grade if _graded(body) else answer(body["messages"])
            )  # before the sleep: the latency is the whole time of a call
            if self.warm and not body.get("temperature"):
                turn = self.total % len(HAN)
                text = text.translate(str.maketrans(HAN, HAN[turn:] + HAN[:turn]))
            await asyncio.sleep(max(0.0, arrived + self.latency - time.monotonic()))
            return await self._reply(request, body, text, self._kind(key, number))
        finally:
            self.busy -= 1

    def _kind(self, key: str, number: int) -> str:
        dice = random.Random(f"{self.seed} {key}")
        if number == 0 and dice.random() < self.faults:
            return dice.choice(self.kinds)
        return self.script[number] if number < len(self.script) else "ok"

    async def _reply(self, request: web.Request, body: dict[str, Any], text: str, kind: str) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            got = request.headers.get("Authorization", "")
            return _error(401, f"Incorrect API key provided: {got.removeprefix('Bearer ')}")
        for name in self.refuses:
            if name in body or (
                name in ("json_schema", "json_object") and body.get("response_format", {}).get("type") == name
            ):
                return _error(400, f"Unsupported parameter: '{name}' is not supported with this model")
        status, _, header = kind.partition(" ")
        if status in ("400", "401", "402", "403", "404", "429", "500", "503"):
            return _error(int(status), "as scheduled", header)
        if kind == "quota":
            return _error(429, "You exceeded your current quota", code="insufficient_quota")
        if kind in _BODIES:
            return web.Response(
                body=_BODIES[kind].encode(), content_type="text/html" if kind == "html" else "application/json"
            )
        if kind == "slow":
            await asyncio.sleep(30)
        if kind == "reset":
            request.transport.abort()  # type: ignore[union-attr]
            return web.Response()
        return await self._say(request, body, text, kind)

    async def _say(self, request: web.Request, body: dict[str, Any], text: str, kind: str) -> web.StreamResponse:
        finish, refusal = "stop", None
        if kind == "empty":
            text = ""
        elif kind == "refusal":
            text, refusal = "", "I cannot help with that."
        elif kind == "content_filter":
            text, finish = "", "content_filter"
        elif kind == "length":
            text, finish = text[: len(text) // 2], "length"
        elif kind in EDITS:
            text = EDITS[kind](text)
        tokens = sum(len(m["content"]) for m in body["messages"]) // 4, max(1, len(text))
        tokens = tuple(round(n * self.inflate) for n in tokens)
        usage = dict(zip(("prompt_tokens", "completion_tokens"), tokens if self.usage else (0, 0), strict=True))
        message = {"role": "assistant", "content": text, "refusal": refusal}
        reply = {
            "id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }  # fmt: skip
        data = json.dumps(reply, ensure_ascii=False).encode()
        if kind in ("truncated", "drip"):
            return await self._badly(request, data, kind)
        self.billed += sum(tokens)
        return web.Response(body=data, content_type="application/json")

    async def _badly(self, request: web.Request, data: bytes, kind: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
        await response.prepare(request)
        if kind == "truncated":
            await response.write(data[: len(data) // 2])
            request.transport.abort()  # type: ignore[union-attr]
        else:
            for byte in data:  # one byte at a time never trips a timeout that is counted per read
                await response.write(bytes([byte]))
                await asyncio.sleep(0.05)
        return response


def _graded(body: dict[str, Any]) -> bool:
    return str(body["messages"][0]["content"]).startswith("You grade")


def _edit(change: Any) -> Any:
    """An edit of the story in a JSON answer."""

    def apply(text: str) -> str:
        if not text.startswith("{"):
            return text
        values = json.loads(text)
        return json.dumps({**values, **change(values)}, ensure_ascii=False)

    return apply


EDITS = {
    "preamble": _edit(lambda v: {"story": "以下是翻译：" + v["story"]}),
    "english": _edit(lambda v: {"story": "Once upon a time there was a little dog who lived in a house." + v["story"]}),
    "cut": _edit(lambda v: {"story": v["story"].rstrip("。！？”") + "，然"}),
    "short": _edit(lambda v: {"story": v["story"][:5] + "。"}),
    "words": _edit(lambda v: {"words": ["鬱鬱"] * len(v.get("words", []))}),
    "sentence": _edit(lambda v: {"sentence": "这句话哪里也没有。"} if "sentence" in v else {}),
    "one_paragraph": _edit(lambda v: {"story": v["story"].replace("\n", "")}),
    "markup": _edit(lambda v: {"story": "**" + v["story"]}),
    "traditional": _edit(lambda v: {"story": "這個時候他們說還沒來。" * 8 + v["story"]}),
    "extra_key": _edit(lambda v: {"note": "x"}),
    "labels": lambda text: "故事：" + text,
    "fenced": lambda text: f"```json\n{text}\n```",
    "thinking": lambda text: f"<think>好的。{{}}</think>\n{text}",
    "talk": lambda text: f"Sure! Here is the JSON: {text}",
}
_BODIES = {
    "malformed": '{"choices": [{"message": {"content": "从前',
    "html": "<html><body>502 Bad Gateway</body></html>",
    "error200": '{"error": {"message": "upstream busy"}}',
    "nochoices": '{"id": "x", "choices": null}',
    "quota200": '{"error": {"message": "Insufficient Balance", "code": "x"}}',
}


def _error(status: int, text: str, header: str = "", code: str | None = None) -> web.Response:
    headers = {"Retry-After": header} if header else {}
    return web.json_response({"error": {"message": text, "code": code, "type": code}}, status=status, headers=headers)


async def _alone(settings: dict[str, Any]) -> None:
    server = Server(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_alone(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}))
