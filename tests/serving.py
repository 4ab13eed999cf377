"""``litgpt-zh serve`` and ``web`` inside a test: the real application on loopback, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from litgpt_zh.generate.load import Loaded
from litgpt_zh.serve.app import AccessLog, Limits, Service
from litgpt_zh.serve.worker import Worker


@dataclass
class Served:
    """Where it listens, and what is behind."""

    url: str
    service: Service

    @property
    def service_address(self) -> tuple[str, int]:
        host, _, port = self.root.removeprefix("http://").partition(":")
        return host, int(port)

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    @property
    def worker(self) -> Worker:
        """Of the only model."""
        (worker,) = self.service.workers.values()
        return worker


@contextlib.contextmanager
def serving(
    loaded: Loaded, limits: Limits | None = None, key: str | None = None, name: str = "tiny"
) -> Iterator[Served]:
    """The application with its worker, from the first request to the last."""
    service = Service({name: loaded}, limits or Limits(), key)
    with listening(service.app()) as root:
        yield Served(root + "/v1", service)


@contextlib.contextmanager
def listening(app: web.Application) -> Iterator[str]:
    """The address of an application, as long as it listens."""
    loop, started, ready = asyncio.new_event_loop(), threading.Event(), []

    async def start() -> web.AppRunner:
        runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=1.0,
            access_log_class=AccessLog, access_log=logging.getLogger("litgpt_zh.serve"),
        )  # fmt: skip
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    def live() -> None:
        asyncio.set_event_loop(loop)
        ready.append(loop.run_until_complete(start()))
        started.set()
        loop.run_forever()
        loop.run_until_complete(ready[0].cleanup())
        loop.close()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    assert started.wait(120)
    try:
        yield f"http://127.0.0.1:{ready[0].addresses[0][1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(120)
        assert not thread.is_alive()
