"""Samples from any OpenAI-compatible server, through the client, the ledger and the faults of the translation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from litgpt_zh.preference.requests import Request
from litgpt_zh.prompts import story_request
from litgpt_zh.stage import UserError
from litgpt_zh.translate.client import Ask, Client
from litgpt_zh.translate.endpoint import Endpoint
from litgpt_zh.translate.faults import Trouble
from litgpt_zh.translate.ledger import Answer, Ledger
from litgpt_zh.translate.limits import Budget
from litgpt_zh.translate.prompts import Messages
from litgpt_zh.translate.run import gentle_stop, in_workers

SYSTEM = "你是写儿童故事的作家。只写出故事本身，不要标题、解释和格式符号。"
MOST = 1024
"""Samples of one request at most: a request's number and a sample's give the key in the ledger."""


class Served:
    """Asks a server for samples, one call each. Every answer is on the ledger before the next call: a stopped run finds it.

    Args:
        endpoint: the server, its model, temperature and ``max_tokens``, with the environment filled in.
        ledger: the file of answers.
        concurrency: calls at a time at most.
    """

    def __init__(self, endpoint: Endpoint, ledger: Path, concurrency: int) -> None:
        if not 1 <= concurrency <= 2000:
            raise UserError(f"sample_pairs: --concurrency {concurrency} is out of range, use 1 to 2000")
        self._concurrency, self._book = concurrency, Ledger(ledger)
        self._loop = asyncio.new_event_loop()

        async def connect() -> Client:
            return Client(endpoint, self._book, Budget(None, None), concurrency)

        self._client = self._loop.run_until_complete(connect())

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()
        self._book.close()

    @property
    def troubles(self) -> dict[str, int]:
        """What went wrong since the run began, tried again or not."""
        return dict(self._client.troubles)

    def answers(self, requests: Sequence[Request | None], first: int, samples: int) -> list[list[Answer | None]]:
        """``samples`` answers to each request, or None where a call got none; nothing for no request.

        Args:
            requests: in their order.
            first: number of the first of them in the run.
            samples: of each, at most ``MOST``.

        Raises:
            UserError: the server refuses for good.
        """
        given: list[list[Answer | None]] = [[] for _ in requests]

        async def ask(place: tuple[int, Request, int]) -> None:
            n, request, k = place
            messages = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": story_request(request.asked)},
            ]

            def build(_: object) -> Messages:
                return messages

            try:
                found[n, k] = await self._client.ask(Ask(build, attempt=(first + n) * MOST + k))
            except Trouble:  # counted by the client
                found[n, k] = None

        def places() -> Iterator[tuple[int, Request, int]]:
            for n, request in enumerate(requests):
                for k in range(samples if request else 0):
                    assert request is not None
                    yield n, request, k

        async def all_of_them() -> None:
            with gentle_stop([self._client]):
                await in_workers(places(), ask, self._concurrency)

        found: dict[tuple[int, int], Answer | None] = {}
        self._loop.run_until_complete(all_of_them())
        for (n, _), answer in sorted(found.items(), key=lambda item: item[0]):
            given[n].append(answer)
        return given
