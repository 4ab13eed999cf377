"""What keeps the client within bounds: calls at a time, calls and tokens a minute, a shared pause, a budget."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from litgpt_zh.stage import UserError

Result = TypeVar("Result")


async def within(seconds: float, call: Awaitable[Result]) -> Result:
    """``asyncio.wait_for``, in this task where Python can: one turn of the loop less before the call goes out.

    Raises:
        TimeoutError: ``seconds`` are over, however much has come by then.
    """
    if sys.version_info >= (3, 11):
        async with asyncio.timeout(seconds):
            return await call
    return await asyncio.wait_for(call, seconds)


class Pace:
    """At most ``per_minute`` units a minute, first come first served, with a burst of one second's worth.

    A virtual clock: each taker moves it on by its share of a minute and sleeps until it was. A taker that knows the true
    amount only later gives the difference back.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._unit = 60 / per_minute if per_minute else 0.0
        self._free = 0.0

    async def take(self, amount: float) -> None:
        if not self._unit:
            return
        now = time.monotonic()
        wait = max(self._free, now - 1) - now
        self._free = now + wait + amount * self._unit
        if wait > 0:
            await asyncio.sleep(wait)

    def give_back(self, amount: float) -> None:
        self._free -= amount * self._unit


class Gate:
    """Calls at a time, from 1 to ``most``: fewer while the server is overloaded, more again while it answers.

    A single "too many requests" concerns only the call that got it. When at least two of the last ``limit`` replies, and a
    fifth of them, were overloads, the limit shrinks by a quarter, once per such window; each window of good replies lets
    one more in. (Halving at each 429, as TCP does, loses a third of the throughput to 5% of stray faults.)
    """

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.busy = most, float(most), 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._recent: deque[bool] = deque(maxlen=max(8, most))
        self._seen = 0

    async def enter(self) -> None:
        """Wait for a place, first come first served; whoever leaves hands the place over."""
        if not self._waiting and self.busy < int(self.limit):
            self.busy += 1
            return
        here = asyncio.get_running_loop().create_future()
        self._waiting.append(here)
        try:
            await here
        except asyncio.CancelledError:
            if here.done() and not here.cancelled():
                self.busy -= 1
            raise

    def leave(self, overloaded: bool) -> bool:
        """Returns whether the server is overloaded for everyone, not just for this call."""
        self.busy -= 1
        self._seen += 1
        self._recent.append(overloaded)
        common = sum(self._recent) >= max(2, len(self._recent) * 0.2)
        if self._seen >= self.limit:
            if overloaded and common:
                self.limit, self._seen = max(1.0, self.limit * 0.75), 0
            elif not common and self.limit < self.most:
                self.limit, self._seen = min(self.most, self.limit + 1), 0
        while self._waiting and self.busy < int(self.limit):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self.busy += 1
        return overloaded and common


class Pause:
    """A shared cool-down: nobody begins a call before it is over, and they do not all wake at once."""

    def __init__(self) -> None:
        self._until = 0.0

    def extend(self, seconds: float) -> None:
        self._until = max(self._until, time.monotonic() + seconds)

    async def over(self) -> None:
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(left * random.uniform(1.0, 1.2) + random.uniform(0, 0.05))


@dataclass(frozen=True)
class Reservation:
    """What is held for a call, and the tokens it was asked for: fewer where the server counts more than we do."""

    tokens: int
    cost: float
    asked: tuple[int, float]


class Budget:
    """Money and tokens, reserved at the worst case before a call and settled from the server's usage after it.

    A call whose reservation does not fit waits for others to settle; when none is in flight, the run ends. A server may
    count more than we suppose, or not keep to ``max_tokens``: with a limit the first call goes alone, and later ones
    reserve as many times more as the worst answer so far took. So what is spent passes the budget by less than one
    reservation.
    """

    def __init__(self, max_cost: float | None, max_tokens: int | None, cost: float = 0.0, tokens: int = 0) -> None:
        self._most_cost = float("inf") if max_cost is None else max_cost
        self._most_tokens = float("inf") if max_tokens is None else max_tokens
        self.cost, self.tokens = cost, tokens
        self.limited = max_cost is not None or max_tokens is not None
        self._held_cost, self._held_tokens, self._in_flight = 0.0, 0, 0
        self._known, self._times = False, 1.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def reserve(self, tokens: int, cost: float) -> Reservation:
        """Raises:
        UserError: the budget is used up.
        """
        while True:
            held = Reservation(round(tokens * self._times), cost * self._times, (tokens, cost))
            if self._fits(held):
                break
            if not self._in_flight:
                self._wake()
                raise UserError(
                    f"budget used up: {self.cost:.4f} and {self.tokens:,} tokens spent, the next call may need "
                    f"{held.cost:.4f} and {held.tokens:,} tokens; raise --max_cost or --max_total_tokens and run the same "
                    "command again, it goes on"
                )
            here = asyncio.get_running_loop().create_future()
            self._waiting.append(here)
            await here
        self._held_cost += held.cost
        self._held_tokens += held.tokens
        self._in_flight += 1
        return held

    def _fits(self, held: Reservation) -> bool:
        if self.limited and not self._known and self._in_flight:
            return False
        return (
            self.cost + self._held_cost + held.cost <= self._most_cost
            and self.tokens + self._held_tokens + held.tokens <= self._most_tokens
        )

    def settle(self, held: Reservation, tokens: int, cost: float, answered: bool = True) -> None:
        """Exchange a reservation for what the call took. ``answered``: the server has counted, not we."""
        if answered:
            self._known = True
            asked_tokens, asked_cost = held.asked
            self._times = max(self._times, tokens / max(1, asked_tokens), cost / asked_cost if asked_cost else 0)
        self._held_cost -= held.cost
        self._held_tokens -= held.tokens
        self._in_flight -= 1
        self.tokens += tokens
        self.cost += cost
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
