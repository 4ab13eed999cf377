"""Samples from any OpenAI-compatible server, through the client, the ledger and the faults of the translation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from litgpt_zh.preference.requests import Request
from litgpt_zh.prompts import story_request
from litgpt_zh.translate.calls import Calls
from litgpt_zh.translate.client import Ask
from litgpt_zh.translate.ledger import Answer

SYSTEM = "你是写儿童故事的作家。只写出故事本身，不要标题、解释和格式符号。"
MOST = 1024
"""Samples of one request at most: a request's number and a sample's give the key in the ledger."""


class Served(Calls):
    """Asks a server for samples, one call each."""

    def answers(self, requests: Sequence[Request | None], first: int, samples: int) -> list[list[Answer | None]]:
        """``samples`` answers to each request, or None where a call got none; nothing for no request.

        Args:
            requests: in their order.
            first: number of the first of them in the run.
            samples: of each, at most ``MOST``.

        Raises:
            UserError: the server refuses for good.
        """
        asks = [
            _ask(request, (first + n) * MOST + k)
            for n, request in enumerate(requests)
            if request
            for k in range(samples)
        ]
        found = iter(self.every(asks, self.client.ask))
        return [list(islice(found, samples if request else 0)) for request in requests]


def _ask(request: Request, attempt: int) -> Ask:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": story_request(request.asked)}]
    return Ask(lambda style: messages, attempt=attempt)
