"""What an endpoint's reply means: an answer, a passing trouble, the end of this item, or the end of the run.

The openai client knows the first two kinds of HTTP status; the rest is met in the world: 200 with HTML, with half a body,
with ``{"error": ...}``, a quota that will never come back dressed as "too many requests", a Retry-After of an hour.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import openai

from litgpt_zh.translate.ledger import Answer

Kind = Literal["retry", "item", "fatal", "adapt"]
LONGEST_WAIT = 600.0
"""Seconds of Retry-After that are obeyed; a server that asks for more will not answer today."""

_QUOTA = re.compile(r"insufficient_quota|billing|insufficient balance|exceeded your current quota|余额不足|欠费", re.I)
_UNKNOWN = re.compile(r"support|unrecognized|unknown|unexpected|not permitted|not allowed|invalid|extra", re.I)
_ADAPTABLE = ("max_completion_tokens", "max_tokens", "temperature")
_FORMAT = re.compile(r"response.?format|json_schema|json_object|structured.?output", re.I)
_NO_FORMAT = re.compile(_UNKNOWN.pattern + r"|unavailable|must be|only", re.I)


@dataclass(eq=False)
class Trouble(Exception):
    """``retry`` after ``wait`` seconds (None: by our own back-off), give up the ``item``, stop the run (``fatal``), or
    ``adapt`` the request (``reason`` is the parameter). ``begun``: the server may bill for it."""

    kind: Kind
    reason: str
    wait: float | None = None
    overload: bool = False
    begun: bool = False


def of_error(error: Exception) -> Trouble:
    """What an exception of the client means."""
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    causes = [type(cause).__name__ for cause in _chain(error)]
    if any(name.startswith(_NEVER_THERE) for name in causes):
        return Trouble("retry", "cannot connect")
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)) or "TimeoutError" in causes:
        return Trouble("retry", "timeout", begun=True)
    if isinstance(error, openai.APIConnectionError) or type(error).__module__.startswith(
        ("httpx", "httpcore", "aiohttp")
    ):
        return Trouble("retry", "connection broken", begun=True)
    raise error


_NEVER_THERE = ("ClientConnector", "ConnectError", "ConnectionRefused", "gaierror")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes. The aiohttp transport calls a refused connection and a reset one a timeout: look below."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_status(error: openai.APIStatusError) -> Trouble:
    status, said = error.status_code, _said(error.body) or error.response.text[:300]
    wait = retry_after(error.response.headers)
    if wait is not None and wait > LONGEST_WAIT:
        return Trouble("fatal", f"HTTP {status}, asks to come back in {wait:.0f} s: {said}; run the same command then")
    if status == 402 or (status == 429 and _QUOTA.search(f"{said} {error.code} {error.type}")):
        return Trouble(
            "fatal", f"HTTP {status}, no credit left: {said}; top up the account and run the same command again"
        )
    if status == 401:
        return Trouble("fatal", f"HTTP 401, the key is missing or wrong: {said}; set the variable that key_env names")
    if status == 403:
        return Trouble("fatal", f"HTTP 403, not allowed: {said}; check the key's rights and the region")
    if status in (404, 405):
        return Trouble("fatal", f"HTTP {status}: {said}; check base_url (it usually ends in /v1) and model")
    if status in (400, 422):
        name = _refused(said, getattr(error, "param", None))
        return Trouble("adapt", name) if name else Trouble("item", f"HTTP {status}: {said}")
    if status == 429 or status == 503:
        return Trouble("retry", f"HTTP {status}: {said}", wait, overload=True)
    if status in (408, 409) or status >= 500:
        return Trouble("retry", f"HTTP {status}: {said}", wait)
    return Trouble("item", f"HTTP {status}: {said}")


def _refused(said: str, parameter: str | None) -> str | None:
    """The parameter that a refusal is about, where the request can do without it or with another."""
    if "context length" in said:
        return None
    if _FORMAT.search(f"{said} {parameter}") and _NO_FORMAT.search(said):
        return "response_format"
    name = next((name for name in _ADAPTABLE if name in said or name == parameter), None)
    return name if name and _UNKNOWN.search(said) else None


def retry_after(headers: Any) -> float | None:
    """Seconds of Retry-After (number or date) or retry-after-ms."""
    import email.utils
    import time

    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) / unit)
        except ValueError:
            date = email.utils.parsedate_tz(value)
            if date:
                return max(0.0, email.utils.mktime_tz(date) - time.time())
    return None


def of_body(body: bytes) -> Answer:
    """The answer in a body that came with status 200; tokens are -1 where the server gave none.

    Raises:
        Trouble: the body is no answer.
    """
    try:
        data = json.loads(body)
    except ValueError:
        html = body.lstrip()[:1] == b"<"
        raise Trouble("retry", "200 with HTML" if html else "200 with broken JSON", begun=not html) from None
    if isinstance(data, dict) and data.get("error"):
        said = _said(data) or str(data["error"])[:300]
        if _QUOTA.search(json.dumps(data["error"])):
            raise Trouble("fatal", f"no credit left: {said}; top up the account and run the same command again")
        raise Trouble("retry", f"200 with an error: {said}", overload="rate" in said.lower())
    try:
        choice = data["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content") or "", message.get("refusal") or ""
    except (TypeError, KeyError, IndexError, AttributeError):
        raise Trouble("retry", "200 without choices", begun=True) from None
    usage = data.get("usage") or {}
    tokens_in, tokens_out = (usage.get(name) or -1 for name in ("prompt_tokens", "completion_tokens"))
    finish = "refusal" if refusal and not text else str(choice.get("finish_reason") or "stop")
    return Answer(text if isinstance(text, str) else str(text), finish, tokens_in, tokens_out)


def _said(body: Any) -> str:
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, str):
            return inner[:300]
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return " ".join(f"{inner['message']}".split())[:300]
    return " ".join(body.split())[:300] if isinstance(body, str) else ""
