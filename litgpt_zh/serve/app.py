"""HTTP: routes, limits, keys, streams. Everything that can go wrong is answered in OpenAI's shape."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.load import Loaded
from litgpt_zh.generate.request import Answer
from litgpt_zh.serve import bodies, fields
from litgpt_zh.serve.asking import requests
from litgpt_zh.serve.bodies import Form
from litgpt_zh.serve.command import KEY, is_loopback
from litgpt_zh.serve.errors import ApiError, bad, broken, too_slow, unknown_model
from litgpt_zh.serve.worker import Ticket, Worker

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Limits:
    """What the server takes on at once."""

    batch_size: int = 64
    """answers decoded together"""
    queue: int = 256
    """answers that may wait besides"""
    seconds: float = 300.0
    """for one request, from its header to the last byte of its answer"""
    body: int = 1 << 20
    """bytes of a request"""


class Service:
    """Models behind HTTP, by the names that clients give. ``key``: what they must show as a bearer token; None lets everybody in."""

    def __init__(self, models: Mapping[str, Loaded], limits: Limits, key: str | None = None) -> None:
        self.models, self.limits = dict(models), limits
        self.workers: dict[str, Worker] = {}
        """of each model, while the application lives"""
        self.free = {"/health"}
        """paths that ask for no key"""
        self._key = key.encode() if key else None
        self._created = int(time.time())

    def app(self) -> web.Application:
        """The application; its workers live as long as it does."""
        app = web.Application(middlewares=[self._guarded], client_max_size=self.limits.body)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{name:.+}", self._model)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.cleanup_ctx.append(self._working)
        return app

    def model(self, name: str) -> Loaded:
        """
        Raises:
            ApiError: there is none of this name.
        """
        if name not in self.models:
            raise unknown_model(name, self.models)
        return self.models[name]

    async def _working(self, _: web.Application) -> Any:
        def engine(loaded: Loaded) -> Engine:
            return Engine(loaded.model, loaded.tokenizer.processor, batch_size=self.limits.batch_size)

        most = self.limits.batch_size + self.limits.queue
        for name, loaded in self.models.items():
            self.workers[name] = Worker(functools.partial(engine, loaded), most)
        yield
        await asyncio.gather(*(worker.close() for worker in self.workers.values()))

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keys, and every refusal as JSON."""
        try:
            self._admit(request)
            return await handler(request)
        except ApiError as error:
            return _refusal(error)
        except web.HTTPException as error:
            return _refusal(self._in_shape(error, request))
        except Exception:
            return _refusal(_logged())

    def _admit(self, http: web.Request) -> None:
        if self._key is None:
            _require_no_rebinding(http)
        if self._key is None or http.path in self.free:
            return
        scheme, _, shown = http.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(shown.strip().encode("utf-8", "surrogateescape"), self._key)
        if scheme.lower() != "bearer" or not right:
            raise ApiError(
                401, "wrong or missing API key; send it as Authorization: Bearer KEY", code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    def _in_shape(self, error: web.HTTPException, http: web.Request) -> ApiError:
        if error.status == 404:
            return ApiError(404, f"unknown request URL: {http.method} {http.path}", code="unknown_url")
        if error.status == 405:
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return ApiError(405, f"{http.method} is not allowed for {http.path}", headers=allowed)
        if error.status == 413:
            return ApiError(413, f"the body is larger than {self.limits.body} bytes", code="request_too_large")
        return ApiError(error.status, error.reason)

    async def _health(self, _: web.Request) -> web.Response:
        return as_json({"status": "ok", "answers": sum(worker.waiting for worker in self.workers.values())})

    async def _models(self, _: web.Request) -> web.Response:
        return as_json(bodies.models(self.models, self._created))

    async def _model(self, http: web.Request) -> web.Response:
        self.model(http.match_info["name"])
        return as_json(bodies.model(http.match_info["name"], self._created))

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, chat=True)

    async def _completions(self, http: web.Request) -> web.StreamResponse:
        return await self._answer(http, chat=False)

    async def _answer(self, http: web.Request, *, chat: bool) -> web.StreamResponse:
        deadline = self.deadline()
        ask = fields.read(fields.loads(await self.body(http)), chat=chat, most=self.limits.batch_size)
        loaded = self.model(ask.model)
        asked = await asyncio.to_thread(requests, ask, loaded)  # a long text takes a while to be cut into tokens
        worker, form = self.workers[ask.model], Form(chat, ask.model, ask.include_usage)
        ticket = worker.submit(asked)
        try:
            if ask.stream:
                return await self.stream(http, lambda response: _send(response, ticket, form), deadline)
            answers = await self._until(deadline, _whole(ticket))
        finally:
            worker.release(ticket)
        choices = [form.choice(i, answer, loaded.tokenizer.processor) for i, answer in enumerate(answers)]
        return as_json(form.whole(choices, _usage(ticket, answers)))

    def deadline(self) -> float:
        """When a request that comes now must be answered, in the event loop's time."""
        return asyncio.get_running_loop().time() + self.limits.seconds

    async def body(self, http: web.Request) -> bytes:
        """
        Raises:
            ApiError: it is no JSON by its header, or did not arrive in time or whole.
        """
        if http.content_type != "application/json":  # a web page elsewhere may send forms and plain text unasked
            raise ApiError(415, "the body must be JSON; send the header Content-Type: application/json")
        if http.content_length is not None and http.content_length > self.limits.body:
            raise web.HTTPRequestEntityTooLarge(self.limits.body, http.content_length)
        try:
            return await asyncio.wait_for(http.read(), self.limits.seconds)
        except asyncio.TimeoutError:
            raise ApiError(408, "the body did not arrive in time") from None
        except web.RequestPayloadError:
            raise bad(None, "the body is broken off or wrongly encoded") from None

    async def _until(self, deadline: float, work: Any) -> Any:
        """What ``work`` returns.

        Raises:
            ApiError: it was not ready in time.
        """
        left = deadline - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(work, max(left, 0))
        except asyncio.TimeoutError:
            raise too_slow(self.limits.seconds) from None

    async def stream(self, http: web.Request, send: Callable[[Any], Awaitable[None]], deadline: float) -> Any:
        """Answer with the events that ``send`` writes to the response; what goes wrong then is an event, too."""
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(http)
        try:
            await self._until(deadline, send(response))
        except ConnectionError:
            response.force_close()
        except Exception as error:  # the status is sent already: an event tells it
            told = error if isinstance(error, ApiError) else _logged()
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
                await asyncio.wait_for(response.write(bodies.event(told.body())), 1)
            response.force_close()
        return response


def _require_no_rebinding(http: web.Request) -> None:
    """Refuse what comes over loopback under another name: a page elsewhere whose name was turned to this machine after it
    was loaded (DNS rebinding) counts as ours for the browser, and could do all that our page can.

    Raises:
        ApiError: the Host header names neither localhost nor a loopback address.
    """
    address = (http.transport.get_extra_info("sockname") if http.transport else None) or ("",)
    name = urlsplit(f"//{http.headers.get('Host', 'localhost')}").hostname or ""
    if is_loopback(address[0]) and not is_loopback(name):
        raise ApiError(
            403, f"asked as {name[:64]!r} without a key; ask as localhost, or start the server with {KEY} set"
        )


async def _whole(ticket: Ticket) -> list[Answer]:
    """All answers, when all are there."""
    answers: dict[int, Answer] = {}
    while len(answers) < ticket.answers:
        answers |= {index: event.answer for index, event in await ticket.next() if event.answer}
    return [answers[index] for index in range(ticket.answers)]


async def _send(response: web.StreamResponse, ticket: Ticket, form: Form) -> None:
    """The chunks of all answers as they come; what has piled up for an answer goes in one."""
    answers: list[Answer] = []
    if form.chat:
        await response.write(b"".join(form.role(index) for index in range(ticket.answers)))
    while len(answers) < ticket.answers:
        texts: dict[int, str] = {}
        ends: dict[int, Answer] = {}
        for index, event in await ticket.next():
            texts[index] = texts.get(index, "") + event.text
            if event.answer:
                ends[index] = event.answer
        chunks = [form.piece(index, text) for index, text in texts.items() if text]
        chunks += [form.end(index, answer.reason) for index, answer in ends.items()]
        answers += ends.values()
        if chunks:
            await response.write(b"".join(chunks))
    await response.write((form.bill(_usage(ticket, answers)) if form.usage else b"") + bodies.DONE)


def _usage(ticket: Ticket, answers: list[Answer]) -> dict[str, int]:
    return bodies.usage(sum(len(request.prompt) for request in ticket.requests), answers)


def _refusal(error: ApiError) -> web.Response:
    return as_json(error.body(), status=error.status, headers=error.headers)


def _logged() -> ApiError:
    """What the client hears of the exception at hand."""
    traceback.print_exc(file=sys.stderr)
    return broken()


def as_json(value: dict[str, Any], **how: Any) -> web.Response:
    """A JSON response with Hanzi as they are."""
    return web.json_response(value, dumps=functools.partial(json.dumps, ensure_ascii=False), **how)


class AccessLog(AbstractAccessLogger):
    """A line a request: method, path, status, seconds. Nothing of its headers, query or body."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        self.logger.info("%s %s %s %.2fs", request.method, request.rel_url.raw_path[:200], response.status, time)
