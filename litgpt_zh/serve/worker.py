"""One thread owns the model; what it makes goes to whoever asked."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.request import Event, Request
from litgpt_zh.serve.errors import ApiError, broken, too_many

Item = tuple[int, Event] | ApiError
"""(index of the answer, what is new), or why there will be nothing more."""


class Ticket:
    """The answers of one HTTP request. Belongs to the event loop."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.answers = sum(request.samples for request in requests)
        self.items: asyncio.Queue[Item] = asyncio.Queue()

    async def next(self) -> list[tuple[int, Event]]:
        """What is new: at least one event, and all that are there.

        Raises:
            ApiError: there will be no more.
        """
        items = [await self.items.get()]
        while not self.items.empty():
            items.append(self.items.get_nowait())
        for item in items:
            if isinstance(item, ApiError):
                raise item
        return items  # type: ignore[return-value]


class Worker:
    """Steps an engine in a thread as long as somebody waits for an answer.

    Made and used in the event loop; only ``_run`` and what it calls are in the thread. When the engine fails, what is in
    flight fails with it and a new engine goes on.

    Args:
        make: makes an engine.
        most: answers in flight and waiting, together.
    """

    def __init__(self, make: Callable[[], Engine], most: int) -> None:
        self._make, self._engine, self.most = make, make(), most
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[tuple[Ticket, bool] | None] = queue.SimpleQueue()
        self._open: dict[Ticket, None] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Answers in flight and waiting."""
        return sum(ticket.answers for ticket in self._open)

    def submit(self, requests: Sequence[Request]) -> Ticket:
        """Queue the requests of one client.

        Raises:
            ApiError: the queue is full, or the thread is gone.
        """
        ticket = Ticket(requests)
        if not self._thread.is_alive():
            raise broken()
        if self.waiting + ticket.answers > self.most:
            raise too_many(self.waiting)
        self._open[ticket] = None
        self._inbox.put((ticket, True))
        return ticket

    def release(self, ticket: Ticket) -> None:
        """The client is served or gone: what is left of its answers is not made."""
        if ticket in self._open:
            del self._open[ticket]
            self._inbox.put((ticket, False))

    async def close(self) -> None:
        """End the thread after its current step."""
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        handles: dict[int, tuple[Ticket, int]] = {}
        while True:
            try:
                if not self._take(handles):
                    break
                events = self._engine.step()
                self._post(_deliver, [(*handles[e.handle], e) for e in events if e.handle in handles])
            except Exception:
                traceback.print_exc(file=sys.stderr)
                self._post(_fail, list(dict.fromkeys(ticket for ticket, _ in handles.values())))
                handles.clear()
                self._renew()
        self._engine.close()

    def _take(self, handles: dict[int, tuple[Ticket, int]]) -> bool:
        """Take what has arrived, and wait for it when there is nothing else to do; False at the end."""
        while not self._inbox.empty() or not self._engine.busy:
            message = self._inbox.get()
            if message is None:
                return False
            ticket, comes = message
            if comes:
                first = 0
                for request in ticket.requests:
                    handles[self._engine.add(request)] = (ticket, first)
                    first += request.samples
            else:
                for handle in [handle for handle, (owner, _) in handles.items() if owner is ticket]:
                    self._engine.cancel(handle)
                    del handles[handle]
        return True

    def _renew(self) -> None:
        """Another engine in the place of a failed one, which is closed as well as it goes."""
        try:
            self._engine.close()
        except Exception:
            traceback.print_exc(file=sys.stderr)
        self._engine = self._make()

    def _post(self, function: Callable[[list[Any]], None], argument: list[Any]) -> None:
        if argument and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, argument)


def _deliver(news: list[tuple[Ticket, int, Event]]) -> None:
    for ticket, first, event in news:
        ticket.items.put_nowait((first + event.sample, event))


def _fail(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        ticket.items.put_nowait(broken())
