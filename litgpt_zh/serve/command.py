"""The command ``serve``: a checkpoint behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from litgpt_zh.language import say
from litgpt_zh.stage import UserError

if TYPE_CHECKING:
    from aiohttp import web

KEY = "LITGPT_ZH_API_KEY"
GRACE = 5.0
"""Seconds that answers in flight have after Ctrl-C."""


def serve(
    checkpoint_dir: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str | None = None,
    batch_size: int = 64,
    queue: int = 256,
    timeout: float = 300.0,
    max_body: int = 1 << 20,
) -> None:
    """Serve a checkpoint at http://HOST:PORT/v1 the way OpenAI does: models, chat/completions, completions.

    Any OpenAI client talks to it: streaming, n, stop, seed, temperature (0: greedy), top_p, max_tokens, logprobs, usage;
    top_k and min_p besides. Requests that come together are answered together, and one that is done makes room for the
    next. What it cannot do (tools, json schemas, penalties) is refused by name. A pretrained checkpoint serves completions
    only. The stock server is ``litgpt serve``.

    To let in only those who know a key, put it into the environment variable LITGPT_ZH_API_KEY.

    Args:
        checkpoint_dir: a checkpoint folder, such as a run's final/.
        host: address to listen at; by default this machine alone can connect. 0.0.0.0 opens it to the network.
        port: 0 takes a free one.
        name: the model's name for clients; by default the one in model_config.yaml.
        batch_size: answers written together; more of them wait.
        queue: answers that may wait; further requests get status 429 and come again.
        timeout: seconds for one request, waiting included.
        max_body: bytes of a request at most.

    Raises:
        UserError: the checkpoint cannot be loaded or not be batched, a setting is out of range, or the port is taken.
    """
    require_ranges(port, batch_size=batch_size, queue=queue, timeout=timeout, max_body=max_body)
    from litgpt_zh.generate.load import load
    from litgpt_zh.serve.app import Limits, Service

    loaded = load(checkpoint_dir)
    _ = loaded.stop_ids  # refuses a tokenizer that names no end
    called = name or loaded.config.name
    service = Service({called: loaded}, Limits(batch_size, queue, timeout, max_body), key_for(host, port))
    asyncio.run(listen(service.app(), host, port, f"{called} ({loaded.device}): ", "/v1"))


def require_ranges(port: int, **above: float) -> None:
    """
    Raises:
        UserError: a setting is out of range.
    """
    for setting, value in above.items():
        if value <= 0 and not (setting == "queue" and value == 0):
            raise UserError(f"{setting} {value} is out of range, it must be above 0")
    if not 0 <= port < 65536:
        raise UserError(f"port {port} is out of range, it must be 0 to 65535")


def key_for(host: str, port: int) -> str | None:
    """The key in the environment; warns where there is none and others reach ``host``."""
    key = os.environ.get(KEY) or None
    if not key and not is_loopback(host):
        told = say(
            f"能连到 {host}:{port} 的人都可以用这个模型；要密钥就设置 {KEY}",
            f"anybody who reaches {host}:{port} may use this model; set {KEY} to ask for a key",
        )
        print(told, file=sys.stderr)
    return key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def listen(app: web.Application, host: str, port: int, what: str, path: str) -> None:
    """Listen until Ctrl-C or SIGTERM; a second Ctrl-C ends at once.

    Args:
        app: what answers.
        host: address.
        port: 0 takes a free one.
        what: said before the address on the terminal.
        path: said behind it.

    Raises:
        UserError: the address cannot be had.
    """
    from aiohttp import web

    from litgpt_zh.serve.app import AccessLog

    logger = logging.getLogger("litgpt_zh.serve")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log_class=AccessLog, access_log=logger, shutdown_timeout=GRACE
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot listen at {host}:{port}: {why}; choose another --port or --host") from None
        shown = f"[{host}]" if ":" in host else host
        print(
            f"{what}http://{shown}:{runner.addresses[0][1]}{path}    {say('Ctrl-C 停下', 'Ctrl-C stops it')}",
            flush=True,
        )
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        print(say("停下：手上的回答先答完", "stopping: answers in flight are finished"), file=sys.stderr)
    finally:
        await runner.cleanup()
