"""A headless Chromium for tests, through its DevTools protocol: aiohttp is here anyway, and nothing is downloaded."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    *"--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --no-default-browser-check \
--disable-background-networking --disable-component-update --disable-sync --disable-extensions --hide-scrollbars \
--remote-debugging-port=0 --no-proxy-server".split(),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
"""The last one: as on a machine without internet."""


def chromium() -> str | None:
    """The browser's path; the environment variable CHROMIUM names one that is called otherwise."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One page. ``requests``: every address that it asked for. ``complaints``: errors of its scripts and its policy."""

    def __init__(self, line: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._line, self._session, self._numbers = line, session, itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.ensure_future(self._read())
        self.requests: list[str] = []
        self.complaints: list[str] = []

    async def send(self, method: str, *, to_page: bool = True, **params: Any) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        await self._line.send_json(message | ({"sessionId": self._session} if to_page else {}))
        answer = await asyncio.wait_for(self._waiting[number], 60)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    async def _read(self) -> None:
        async for message in self._line:
            news = json.loads(message.data)
            if "id" in news:
                self._waiting.pop(news["id"]).set_result(news)
            elif news["method"] == "Network.requestWillBeSent":
                self.requests.append(news["params"]["request"]["url"])
            elif news["method"] == "Network.webSocketCreated":
                self.requests.append(news["params"]["url"])
            elif news["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(news["params"]["exceptionDetails"])[:500])
            elif news["method"] == "Log.entryAdded" and news["params"]["entry"]["source"] in ("security", "javascript"):
                self.complaints.append(news["params"]["entry"]["text"])

    async def see(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (script, result["exceptionDetails"])
        return result["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait for an expression to be true."""
        for _ in range(1200):
            if await self.see(f"Boolean({script})"):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never true: {script}; the page says: {await self.see('document.body.innerText')}")

    async def text(self, selector: str) -> str:
        """What a person reads there."""
        return await self.see(f"document.querySelector({selector!r}).innerText")

    async def click(self, selector: str) -> None:
        """With the mouse, in the middle of it, so that it must be there and in sight."""
        place = f"document.querySelector({selector!r})"
        await self.until(f"{place} && {place}.offsetParent !== null")
        await self.see(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
        )  # all is in place
        x, y, hit = await self.see(
            f"(() => {{ const it = {place}; it.scrollIntoView({{block: 'center', behavior: 'instant'}}); const box = it.getBoundingClientRect();"
            "const x = box.x + box.width / 2, y = box.y + box.height / 2;"
            "return [x, y, it.contains(document.elementFromPoint(x, y))] })()"
        )
        assert hit, f"{selector} is covered by something"
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def fill(self, selector: str, text: str) -> None:
        """Put ``text`` in the place of what a field holds."""
        await self.until(f"document.querySelector({selector!r}).offsetParent")
        await self.see(f"(() => {{ const it = document.querySelector({selector!r}); it.focus(); it.select() }})()")
        if text:
            await self.send("Input.insertText", text=text)
        else:
            for kind in ("keyDown", "keyUp"):
                await self.send(
                    "Input.dispatchKeyEvent", type=kind, key="Delete", code="Delete", windowsVirtualKeyCode=46
                )

    async def select(self, selector: str, value: str) -> None:
        """Choose from a list."""
        await self.see(
            f"(() => {{ const it = document.querySelector({selector!r}); it.value = {value!r};"
            "it.dispatchEvent(new Event('change', {bubbles: true})) })()"
        )

    async def look(self, *, width: int = 1100, height: int = 900, dark: bool = False, language: str = "zh-CN") -> None:
        """How big the window is, which colours and language its owner likes."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        agent = await self.see("navigator.userAgent")
        await self.send("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def picture(self, file: Path, *, whole: bool = True) -> None:
        """A PNG of the page."""
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    async def close(self) -> None:
        self._reader.cancel()


@contextlib.asynccontextmanager
async def browsing(**look: Any) -> AsyncIterator[Tab]:
    """A new browser with an empty profile and one tab."""
    program = chromium()
    assert program
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=_ends_with_us,
        )  # fmt: skip
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(
                    await _address(Path(profile) / "DevToolsActivePort", process), max_msg_size=1 << 28, heartbeat=None
                ) as line,
            ):
                await line.send_json({"id": 0, "method": "Target.getTargets"})
                targets = (await line.receive_json())["result"]["targetInfos"]
                page = next(target["targetId"] for target in targets if target["type"] == "page")
                attach = {"targetId": page, "flatten": True}
                await line.send_json({"id": 0, "method": "Target.attachToTarget", "params": attach})
                while "result" not in (answer := await line.receive_json()):
                    pass
                tab = Tab(line, answer["result"]["sessionId"])
                for domain in ("Page", "Runtime", "Network", "Log"):
                    await tab.send(f"{domain}.enable")
                await tab.look(**look)
                yield tab
                await tab.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ends_with_us() -> None:
    """On Linux a killed test takes its browser along."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


async def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(1200):
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, path = file.read_text().split("\n")[:2]
            return f"ws://127.0.0.1:{int(port)}{path}"
        assert process.poll() is None, f"the browser ended with status {process.returncode}"
        await asyncio.sleep(0.05)
    raise AssertionError("the browser does not listen")
