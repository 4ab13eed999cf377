"""Workers: a fixed number of them pull items from one iterator, so a million items never become a million tasks."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

from litgpt_zh.language import say
from litgpt_zh.stage import UserError
from litgpt_zh.translate.agent import Outcome, Plan
from litgpt_zh.translate.augment import record
from litgpt_zh.translate.client import Client
from litgpt_zh.translate.ledger import Results
from litgpt_zh.translate.read import Item, Unread

Input = TypeVar("Input")
Translate = Callable[[Item], Awaitable[Outcome]]


async def in_workers(items: Iterator[Input], work: Callable[[Input], Awaitable[None]], concurrency: int) -> None:
    """Do ``work`` for every item, with twice as many workers as calls may be in flight: the client's gate keeps to
    ``concurrency``, and behind each call another stands ready, to go out when its answer is there and not yet checked, or
    while its worker waits after a trouble.

    When one worker has to stop, the calls in flight of the others are still received and kept; then the reason is raised.

    Raises:
        UserError: the endpoint refuses for good, or the budget is used up.
    """

    async def worker() -> None:
        for item in items:
            await work(item)

    ended = await asyncio.gather(*(worker() for _ in range(2 * concurrency)), return_exceptions=True)
    errors = [error for error in ended if isinstance(error, BaseException)]
    for error in sorted(errors, key=lambda error: isinstance(error, UserError)):
        raise error  # a defect before a reason to stop: it must not hide behind one


async def run(
    items: Iterator[Item | Unread], results: Results, translate: Translate, concurrency: int, bar: Any
) -> None:
    """Translate every item that ``results`` has not, and put down what became of it."""

    async def work(item: Item | Unread) -> None:
        if isinstance(item, Unread):
            results.put(item.index, False, _dead(item.place, item.reason))
        else:
            outcome = await translate(item)
            ok = outcome.parts is not None
            results.put(item.index, ok, _kept(item, outcome) if ok else _lost(item, outcome))
        bar.update()

    await in_workers((item for item in items if not results.has(item.index)), work, concurrency)


@contextlib.contextmanager
def gentle_stop(clients: Iterable[Client]) -> Iterator[None]:
    """At the first Ctrl-C begin no new call, but receive and keep those in flight: they are paid. The second one stops."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        told = say(
            "正在收已经发出的回答；再按一次 Ctrl-C 就不等", "receiving the calls in flight; Ctrl-C again to leave them"
        )
        print(f"\n{told}", file=sys.stderr)
        for client in clients:
            client.stopped = client.stopped or UserError("stopped; the same command goes on where it was")

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, or Windows
        loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)


def show(bar: Any, plan: Plan, spent: Callable[[], tuple[int, float]]) -> None:
    """Calls, tokens and cost beside the bar's own rate and time left."""
    tokens, cost = spent()
    calls = plan.draft.calls + (plan.refine.calls if plan.refine is not plan.draft else 0)
    bar.set_postfix_str(f"{calls:,} calls, {tokens:,} tokens, cost {cost:.2f}", refresh=False)


def _kept(item: Item, outcome: Outcome) -> dict[str, Any]:
    assert outcome.parts is not None
    return {"record": record(item, outcome.parts), "steps": outcome.steps, "reference": item.given}


def _lost(item: Item, outcome: Outcome) -> dict[str, Any]:
    return {
        **_dead(item.place, outcome.reason),
        "raw": outcome.raw,
        "group": item.group,
        "english": item.english(),
        "steps": outcome.steps,
    }


def _dead(place: str, reason: str) -> dict[str, Any]:
    return {"place": place, "reason": reason}
