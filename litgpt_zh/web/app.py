"""The page on the server of ``litgpt_zh.serve``: its files, stories as events, votes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from litgpt_zh.serve import fields
from litgpt_zh.serve.app import Service, as_json
from litgpt_zh.serve.bodies import event
from litgpt_zh.serve.errors import bad
from litgpt_zh.serve.worker import Ticket
from litgpt_zh.web.story import SIDES, Telling, Wish, example, read, telling
from litgpt_zh.web.votes import FILE, Votes

STATIC = Path(__file__).parent / "static"
FILES = {
    "": (STATIC / "page.html", "text/html"),
    "web/base.css": (Path(__file__).parent.parent / "page.css", "text/css"),
    "web/page.css": (STATIC / "page.css", "text/css"),
    "web/page.js": (STATIC / "page.js", "text/javascript"),
    "web/alpine.js": (STATIC / "alpine.js", "text/javascript"),
    "web/words.json": (STATIC / "words.json", "application/json"),
}
"""What the browser gets without a key: path -> (file, type). Nothing in it is secret."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""The browser itself refuses whatever is not from this server, and scripts inside texts."""
SHOWN = ("temperature", "max_tokens")

Write = Callable[[dict[str, Any]], Awaitable[None]]


class Page:
    """The story page over ``service``; ``votes`` keeps what people choose."""

    def __init__(self, service: Service, votes: Votes) -> None:
        self.service, self.votes = service, votes
        self._voting = asyncio.Lock()

    def app(self) -> web.Application:
        """The application of the service, with the page at its root."""
        app = self.service.app()
        for path, (file, kind) in FILES.items():
            app.router.add_get(f"/{path}", _sends(file.read_bytes(), kind))
            self.service.free.add(f"/{path}")
        app.router.add_get("/web/state", self._state)
        app.router.add_get("/web/example", self._example)
        app.router.add_post("/web/stories", self._stories)
        app.router.add_post("/web/vote", self._vote)
        app.router.add_post("/web/pairs", self._pairs)
        return app

    async def _state(self, _: web.Request) -> web.Response:
        models = [
            {
                "name": name, "model": loaded.config.name, "chat": loaded.instruct, "block": loaded.model.max_seq_length,
                "folder": str(loaded.folder),
            }
            for name, loaded in self.service.models.items()
        ]  # fmt: skip
        return as_json({"models": models, "votes": self.votes.counts(), "file": str(self.votes.folder / FILE)})

    async def _example(self, _: web.Request) -> web.Response:
        return as_json(await asyncio.to_thread(example, secrets.randbits(40)))

    async def _stories(self, http: web.Request) -> web.StreamResponse:
        deadline = self.service.deadline()
        wish = read(fields.loads(await self.service.body(http)))
        loaded = [self.service.model(name) for name in wish.models]
        sides = [await asyncio.to_thread(telling, wish, side, one) for side, one in enumerate(loaded)]
        tickets: list[Ticket] = []
        try:
            for side in sides:
                tickets.append(self.service.workers[side.model].submit([side.request]))
            return await self.service.stream(
                http, lambda response: self._tell(response, wish, sides, tickets), deadline
            )
        finally:
            for side, ticket in zip(sides, tickets, strict=False):
                self.service.workers[side.model].release(ticket)

    async def _tell(self, response: Any, wish: Wish, sides: list[Telling], tickets: list[Ticket]) -> None:
        turn = asyncio.Lock()

        async def write(news: dict[str, Any]) -> None:
            async with turn:
                await response.write(event(news))

        await _together(
            [
                _grow(number, side, ticket, write)
                for number, (side, ticket) in enumerate(zip(sides, tickets, strict=True))
            ]
        )
        if len(sides) == 2:
            comparison = {
                "id": secrets.token_hex(8), "request": wish.request, "chat": all(side.chat for side in sides),
                **{name: wish.settings[name] for name in SHOWN if name in wish.settings},
                **{name: side.record() for name, side in zip(SIDES, sides, strict=True)},
            }  # fmt: skip
            self.votes.offer(comparison)
            await write({"id": comparison["id"]})
        await write({"done": True})

    async def _vote(self, http: web.Request) -> web.Response:
        body = fields.loads(await self.service.body(http))
        async with self._voting:
            await asyncio.to_thread(self.votes.cast, body.get("id"), body.get("vote"))
        return as_json({"votes": self.votes.counts()})

    async def _pairs(self, http: web.Request) -> web.Response:
        body = fields.loads(await self.service.body(http))
        name = body.get("model")
        if not isinstance(name, str):
            raise bad("model", "model must be the name of the one to train")
        loaded = self.service.model(name)
        async with self._voting:
            made = await asyncio.to_thread(self.votes.export)
            commands = await asyncio.to_thread(self.votes.commands, loaded.folder, loaded.model.max_seq_length)
        return as_json(made | {"commands": commands})


async def _grow(number: int, side: Telling, ticket: Ticket, write: Write) -> None:
    """Tell a side's story as it comes: new text, and the constraints whenever one more is met."""
    await write({"side": number, **side.begin()})
    met = side.met()
    while not side.finish:
        piece = ""
        for _, news in await ticket.next():
            piece += news.text
            if news.answer:
                side.finish, drawn = news.answer.reason, news.answer.drawn
        side.text += piece
        told: dict[str, Any] = {"side": number, "more": piece}
        if (now := side.met()) != met:
            met = now
            told["met"] = met
        if side.finish:
            told |= {"finish": side.finish, "tokens": drawn, "met": met}
        await write(told)


async def _together(work: list[Any]) -> None:
    """All of it; when one fails, the others end with it."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _sends(content: bytes, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def send(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=HEADERS)

    return send
