"""A server that is asked many things at once by code that is not asynchronous: client, ledger and loop together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from litgpt_zh.translate.client import Client
from litgpt_zh.translate.endpoint import Endpoint
from litgpt_zh.translate.faults import Trouble
from litgpt_zh.translate.ledger import Ledger
from litgpt_zh.translate.limits import Budget
from litgpt_zh.translate.run import gentle_stop, in_workers

if TYPE_CHECKING:
    from typing_extensions import Self

Input = TypeVar("Input")
Result = TypeVar("Result")


class Calls:
    """Every answer is on the ledger before it is used: a stopped run finds it. Close it, or use it as a context.

    Args:
        endpoint: the server, its model, temperature and ``max_tokens``, with the environment filled in.
        ledger: the file of answers.
        concurrency: calls at a time at most.
    """

    def __init__(self, endpoint: Endpoint, ledger: Path, concurrency: int) -> None:
        self._concurrency, self._book = concurrency, Ledger(ledger)
        self._loop = asyncio.new_event_loop()

        async def connect() -> Client:
            return Client(endpoint, self._book, Budget(None, None), concurrency)

        self.client = self._loop.run_until_complete(connect())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self.client.close())
        self._loop.close()
        self._book.close()

    @property
    def troubles(self) -> dict[str, int]:
        """What went wrong since the run began, tried again or not."""
        return dict(self.client.troubles)

    def every(self, items: Sequence[Input], ask: Callable[[Input], Awaitable[Result]]) -> list[Result | None]:
        """What ``ask`` makes of each item, in their order; None where it gave up.

        Args:
            items: what to ask.
            ask: asks the client.

        Raises:
            UserError: the server refuses for good, or Ctrl-C; what was in flight has been kept.
        """
        found: list[Result | None] = [None] * len(items)

        async def one(place: tuple[int, Input]) -> None:
            with contextlib.suppress(Trouble):  # counted by the client
                found[place[0]] = await ask(place[1])

        async def all_of_them() -> None:
            with gentle_stop([self.client]):
                await in_workers(iter(enumerate(items)), one, self._concurrency)

        self._loop.run_until_complete(all_of_them())
        return found
