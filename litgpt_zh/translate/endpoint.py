"""A server, a model and a price; the key stays in the environment."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from litgpt_zh.stage import UserError


@dataclass
class Endpoint:
    """An OpenAI-compatible server and what it may be asked."""

    base_url: str | None = None
    """such as http://127.0.0.1:8000/v1; left out: the variable OPENAI_BASE_URL"""
    model: str | None = None
    """its name there; left out: the variable OPENAI_MODEL"""
    key_env: str = "OPENAI_API_KEY"
    """the environment variable that holds the key; the key itself is never written anywhere"""
    temperature: float | None = 0.3
    """null sends none"""
    max_tokens: int = 2048
    """longest answer"""
    reply: Literal["auto", "json_schema", "json_object", "delimiters"] = "auto"
    """form of the typed replies; auto begins strict and steps down when the server refuses"""
    requests_per_minute: float | None = None
    """the provider's limit"""
    tokens_per_minute: float | None = None
    """the provider's limit, in and out together"""
    price_in: float = 0.0
    """of a million prompt tokens, in any currency"""
    price_out: float = 0.0
    """of a million completion tokens"""
    timeout: float = 120.0
    """seconds for one attempt from the first byte sent to the last received"""

    def resolved(self) -> Endpoint:
        """With the environment filled in.

        Raises:
            UserError: no address or model, a secret in the address, or the key where its variable's name belongs.
        """
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_env):
            raise UserError("endpoint.key_env is the NAME of the environment variable that holds the key")
        url, model = self.base_url or os.environ.get("OPENAI_BASE_URL"), self.model or os.environ.get("OPENAI_MODEL")
        if not url or not model:
            raise UserError("give endpoint.base_url and endpoint.model, or OPENAI_BASE_URL and OPENAI_MODEL")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError("endpoint.base_url must look like http://host:port/v1")
        if parts.username or parts.password or parts.query:
            raise UserError("endpoint.base_url holds a secret; put the key into the variable that key_env names")
        for name in ("max_tokens", "timeout"):
            if getattr(self, name) <= 0:
                raise UserError(f"endpoint.{name} {getattr(self, name)} is out of range, it must be above 0")
        return replace(self, base_url=url, model=model)

    def identity(self) -> dict[str, Any]:
        """What the output depends on: goes into the manifest."""
        names = ("base_url", "model", "temperature", "max_tokens", "reply")
        return {name: value for name, value in asdict(self).items() if name in names}

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


def estimate(text: str) -> int:
    """Tokens of ``text``, roughly: 4 ASCII characters or 1.4 others a token, as current large models cut them."""
    ascii_chars = len(text.encode("ascii", "ignore"))
    return round(ascii_chars / 4 + (len(text) - ascii_chars) / 1.4)


def redact(text: str, key: str) -> str:
    """``text`` without the key: servers repeat it in their errors."""
    return text.replace(key, "***") if len(key) > 3 else text
