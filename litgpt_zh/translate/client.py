"""The endpoint's client: one call at a time per worker, answers from the ledger first, troubles handled for everybody."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from litgpt_zh.stage import UserError
from litgpt_zh.translate.endpoint import Endpoint, estimate, redact
from litgpt_zh.translate.faults import Trouble, of_body, of_error
from litgpt_zh.translate.ledger import Answer, Ledger, call_key
from litgpt_zh.translate.limits import Budget, Gate, Pace, Pause, within
from litgpt_zh.translate.prompts import Build, Messages, Style

TRIES = 8
"""Attempts at one call; with the back-off the last comes a minute or two after the first."""
BACKOFF, LONGEST_BACKOFF = 0.4, 30.0
"""Seconds after the first failure, doubled after each, up to the longest."""
AFTER_YOU = 0.001
"""Seconds that an answer waits before it is read, so that the calls that are ready go out first: when many answers come
together, the last would else be sent only when all the others have been checked."""
_WEAKER: dict[str, Style] = {"json_schema": "json_object", "json_object": "delimiters"}


@dataclass(frozen=True)
class Ask:
    """One request. ``build`` gives the messages in the form of reply in force; ``schema`` is that of a typed reply."""

    build: Build
    schema: Mapping[str, Any] | None = None
    attempt: int = 0
    roomy: bool = False
    """twice the room for the answer: the one before was cut off"""


@dataclass(frozen=True)
class _Ready:
    """A request in the words of one form of reply, its key in the ledger, and our estimate of its tokens."""

    style: Style
    messages: Messages
    key: bytes
    tokens: int


class Client:
    """Shared by all workers. ``calls`` counts attempts that reached for the network, ``troubles`` their reasons."""

    def __init__(self, endpoint: Endpoint, ledger: Ledger, budget: Budget, concurrency: int) -> None:
        import openai

        self.endpoint = endpoint
        self._ledger, self._budget = ledger, budget
        self._key = os.environ.get(endpoint.key_env) or "none"
        self._openai = openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=self._key, max_retries=0, timeout=endpoint.timeout,
            http_client=_transport(concurrency, endpoint.timeout),
        )  # fmt: skip
        self._gate, self._pause = Gate(concurrency), Pause()
        self._requests, self._tokens = Pace(endpoint.requests_per_minute), Pace(endpoint.tokens_per_minute)
        self._flights: dict[bytes, asyncio.Future[Answer]] = {}
        self._note = f"form {endpoint.base_url} {endpoint.model}"
        self._form = _Form.read(ledger.note(self._note), endpoint)
        self._in_a_row, self._most_in_a_row, self._succeeded = 0, max(40, 3 * concurrency), False
        self.stopped: UserError | None = None
        self.calls, self.troubles = 0, Counter[str]()

    @property
    def style(self) -> Style:
        return self._form.style

    async def ask(self, ask: Ask) -> Answer:
        """The answer to one request, from the ledger, from the same request in flight, or from the server.

        Raises:
            Trouble: of kind ``item``, this request will not be answered.
            UserError: the run cannot go on.
        """
        ready = self._ready(ask, self.style)
        while ready.key in self._flights:
            await asyncio.wait([self._flights[ready.key]])
        found = self._ledger.get(ready.key)
        if found:
            return replace(found, style=ready.style)
        flight = self._flights[ready.key] = asyncio.get_running_loop().create_future()
        try:
            return await self._call(ask, ready)
        finally:
            del self._flights[ready.key]
            flight.set_result(None)  # type: ignore[arg-type]  # the others read the ledger

    async def close(self) -> None:
        await self._openai.close()

    def _room(self, ask: Ask) -> int:
        return self.endpoint.max_tokens * (2 if ask.roomy else 1)

    def _ready(self, ask: Ask, style: Style) -> _Ready:
        messages = ask.build(style)
        parameters = {"temperature": self.endpoint.temperature, "max_tokens": self._room(ask)}
        key = call_key(str(self.endpoint.model), parameters, messages, ask.attempt)
        return _Ready(style, messages, key, sum(estimate(message["content"]) + 8 for message in messages))

    async def _call(self, ask: Ask, ready: _Ready) -> Answer:
        tries = 0
        while True:
            result = await self._attempt(ask, ready)
            if isinstance(result, Answer):
                return result
            self.troubles[result.reason.partition(":")[0]] += 1
            if result.kind == "adapt":
                continue
            tries += 1
            self._note_failure(result)
            if result.kind == "item" or tries >= TRIES:
                last = f"{TRIES} tries, the last: " if result.kind == "retry" else ""
                raise Trouble("item", last + result.reason)
            backoff = min(LONGEST_BACKOFF, BACKOFF * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)
            await asyncio.sleep(backoff if result.wait is None else result.wait * random.uniform(1.0, 1.2))

    async def _attempt(self, ask: Ask, ready: _Ready) -> Answer | Trouble:
        """One attempt, with everything that has to be asked before and settled after."""
        await self._gate.enter()
        held, result, used, room = None, None, (0, 0), self._room(ask)
        try:
            await self._pause.over()
            self._go_on()
            form = replace(self._form)  # another worker may learn a better one while this attempt is under way
            if ready.style != form.style:
                ready = self._ready(ask, form.style)
            worst = round(ready.tokens * 1.3) + 50, room
            held = await self._reserve(*worst)
            self._go_on()
            await self._requests.take(1)
            await self._tokens.take(ready.tokens + room)
            begun = self._ledger.begin(held.tokens, held.cost) if self._budget.limited else None
            started = time.perf_counter()
            result = await self._send(form.body(self.endpoint, ask, ready.messages, room), ready.tokens)
            used = _billed(result, worst)
            # on the ledger before the next call may begin: a kill loses no more than the calls in flight
            if isinstance(result, Answer):
                self._ledger.put(ready.key, result, self.endpoint.cost(*used), time.perf_counter() - started, begun)
            else:
                self._ledger.lose(*used, self.endpoint.cost(*used), result.reason, begun)
        finally:
            shared = self._gate.leave(isinstance(result, Trouble) and result.overload)
            if held:
                self._budget.settle(held, sum(used), self.endpoint.cost(*used), isinstance(result, Answer))
        if isinstance(result, Answer):
            self._tokens.give_back(ready.tokens + room - sum(used))
            self._in_a_row, self._succeeded = 0, True
            if result.tokens_out > room:
                self.troubles["max_tokens is not kept to"] += 1
            await asyncio.sleep(AFTER_YOU)
            return replace(result, style=form.style)
        if result.kind == "adapt" and ask.roomy and "tokens" in result.reason:  # only this answer may not be so long
            result = replace(result, kind="item", reason=f"{room} {result.reason} are too many")
        self._learn(result, form, shared)
        return result

    async def _send(self, body: dict[str, Any], guess_in: int) -> Answer | Trouble:
        import httpx2

        self.calls += 1
        try:
            try:
                # The raw response: typed parameters and a typed reply cost more CPU than the rest of a call together.
                call = self._openai.post("/chat/completions", body=body, cast_to=httpx2.Response)
                response = await within(self.endpoint.timeout, call)
            except Exception as error:
                raise of_error(error) from None
            answer = of_body(response.content)
        except Trouble as trouble:
            return replace(trouble, reason=redact(trouble.reason, self._key))
        answer = replace(answer, text=redact(answer.text, self._key))
        if answer.tokens_in > 0 and answer.tokens_out > 0:
            return answer
        # no usage, or only zeros: our own estimate
        return replace(answer, tokens_in=guess_in, tokens_out=max(1, estimate(answer.text)), guessed=True)

    def _learn(self, trouble: Trouble, form: _Form, shared: bool) -> None:
        """What a trouble means for the others."""
        if trouble.overload and shared:
            self._pause.extend(trouble.wait if trouble.wait is not None else 2 * BACKOFF)
        if trouble.kind == "fatal":
            self._stop(trouble.reason)
        if trouble.kind == "adapt" and form == self._form:
            self._adapt(trouble.reason)

    async def _reserve(self, tokens_in: int, tokens_out: int) -> Any:
        try:
            return await self._budget.reserve(tokens_in + tokens_out, self.endpoint.cost(tokens_in, tokens_out))
        except UserError as error:
            self.stopped = self.stopped or error
            raise

    def _adapt(self, parameter: str) -> None:
        if not self._form.without(parameter, self.endpoint.reply == "auto"):
            self._stop(f"the server refuses {parameter}; choose another endpoint.reply, temperature or max_tokens")
        self._ledger.write_note(self._note, self._form.text())

    def _note_failure(self, trouble: Trouble) -> None:
        self._in_a_row += 1
        if trouble.kind == "item":
            if not self._succeeded and self._in_a_row >= 5:
                self._stop(f"the first calls were all refused: {trouble.reason}")
        elif self._in_a_row >= self._most_in_a_row:
            self._stop(f"{self._in_a_row} attempts failed in a row, the last with {trouble.reason}; is the server up? The "
                       "same command goes on where it was")  # fmt: skip

    def _stop(self, reason: str) -> None:
        self.stopped = self.stopped or UserError(f"{self.endpoint.base_url} ({self.endpoint.model}): {reason}")
        raise self.stopped

    def _go_on(self) -> None:
        if self.stopped:
            raise self.stopped


@dataclass
class _Form:
    """What this server takes: learnt from its refusals, remembered in the ledger."""

    style: Style
    limit: str = "max_tokens"
    temperature: bool = True

    @staticmethod
    def read(note: str | None, endpoint: Endpoint) -> _Form:
        style: Any = "json_schema" if endpoint.reply == "auto" else endpoint.reply
        if not note:
            return _Form(style)
        known, limit, temperature = note.split()
        return _Form(known if endpoint.reply == "auto" else style, limit, temperature == "True")  # type: ignore[arg-type]

    def text(self) -> str:
        return f"{self.style} {self.limit} {self.temperature}"

    def body(self, endpoint: Endpoint, ask: Ask, messages: Messages, room: int) -> dict[str, Any]:
        """The request."""
        body: dict[str, Any] = {"model": endpoint.model, "messages": messages, self.limit: room}
        if self.temperature and endpoint.temperature is not None:
            body["temperature"] = endpoint.temperature
        if ask.schema and self.style == "json_schema":
            strict = {"name": "reply", "strict": True, "schema": ask.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": strict}
        elif ask.schema and self.style == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def without(self, parameter: str, may_step_down: bool) -> bool:
        """Do without ``parameter``; False when that is not possible."""
        if parameter == "max_tokens" or parameter == "max_completion_tokens":
            changed, self.limit = self.limit == "max_tokens", "max_completion_tokens"
            return changed
        if parameter == "temperature":
            changed, self.temperature = self.temperature, False
            return changed
        if may_step_down and self.style in _WEAKER:
            self.style = _WEAKER[self.style]
            return True
        return False


def _billed(result: Answer | Trouble | None, worst: tuple[int, int]) -> tuple[int, int]:
    """Tokens in and out that an attempt costs, or must be supposed to cost."""
    if isinstance(result, Answer):
        return result.tokens_in, result.tokens_out
    return worst if result and result.begun else (0, 0)


def _transport(concurrency: int, timeout: float) -> Any:
    """aiohttp below openai's client where it is installed: half the CPU of the default transport."""
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=concurrency + 8, max_keepalive_connections=concurrency + 8)
    try:
        return openai.DefaultAioHttpClient(limits=limits, timeout=timeout)
    except RuntimeError:
        return openai.DefaultAsyncHttpxClient(limits=limits, timeout=timeout)
