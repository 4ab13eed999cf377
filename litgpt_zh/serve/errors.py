"""Refusals in the shape that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class ApiError(Exception):
    """A request that is not answered. ``param`` names the field at fault, ``code`` is for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.type = status, message, param, code, type
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def bad(param: str | None, message: str, code: str | None = None) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, message, param=param, code=code)


def unsupported(param: str, why: str = "") -> ApiError:
    """400: valid for OpenAI, but not something that this server does."""
    return bad(param, f"{param} is not supported by this server" + (f": {why}" if why else ""), "unsupported_parameter")


def unknown_model(name: str, served: Iterable[str]) -> ApiError:
    have = ", ".join(map(repr, served))
    return ApiError(
        404, f"the model {name!r} does not exist; this server has {have}", param="model", code="model_not_found"
    )


def too_long(param: str, message: str) -> ApiError:
    return bad(param, message, "context_length_exceeded")


def too_many(waiting: int) -> ApiError:
    """429: the queue is full. OpenAI's clients wait as told and try again."""
    return ApiError(
        429, f"{waiting} answers are being written or waited for; try again in a moment",
        type="requests", code="rate_limit_exceeded", headers={"Retry-After": "1"},
    )  # fmt: skip


def too_slow(seconds: float) -> ApiError:
    """504: out of time. Another try would take as long, and clients are told so."""
    return ApiError(
        504, f"the answer was not ready after {seconds:g} seconds; ask for fewer tokens",
        type="server_error", code="timeout", headers={"x-should-retry": "false"},
    )  # fmt: skip


def broken() -> ApiError:
    """500: our fault; what happened is in the server's log, not in the answer."""
    return ApiError(500, "the server failed to answer; its log says why", type="server_error", code="internal_error")
