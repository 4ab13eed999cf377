"""The words of the answers: OpenAI's objects, whole or in chunks."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from litgpt_zh.generate.request import Answer
from litgpt_zh.generate.text import Decoder

DONE = b"data: [DONE]\n\n"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Form:
    """The objects of one response: a chat's or a completion's, with its id and time."""

    chat: bool
    model: str
    usage: bool = False
    """whether a stream ends with its usage"""
    name: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, choices: list[dict[str, Any]], usage: dict[str, int]) -> dict[str, Any]:
        """The whole response."""
        return self._object("chat.completion" if self.chat else "text_completion") | {
            "choices": choices,
            "usage": usage,
        }

    def choice(self, index: int, answer: Answer, processor: Any) -> dict[str, Any]:
        """One of its answers; ``processor`` (a ``tokenizers.Tokenizer``) spells the tokens where logprobs are asked for."""
        logprobs = None
        if answer.logprobs is not None:
            spell = chat_logprobs if self.chat else completion_logprobs
            logprobs = spell(answer.ids, answer.logprobs, processor)
        said = {"message": {"role": "assistant", "content": answer.text, "refusal": None}}
        return {"index": index, "logprobs": logprobs, "finish_reason": answer.reason} | (
            said if self.chat else {"text": answer.text}
        )

    def role(self, index: int) -> bytes:
        """The first chunk of a chat's answer."""
        return self._chunk([self._piece(index, {"role": "assistant", "content": ""}, "", None)])

    def piece(self, index: int, text: str) -> bytes:
        """A chunk with new text."""
        return self._chunk([self._piece(index, {"content": text}, text, None)])

    def end(self, index: int, reason: str) -> bytes:
        """The last chunk of an answer."""
        return self._chunk([self._piece(index, {}, "", reason)])

    def bill(self, usage: dict[str, int]) -> bytes:
        """The chunk with the usage, after all answers."""
        return event(
            self._object("chat.completion.chunk" if self.chat else "text_completion") | {"choices": [], "usage": usage}
        )

    def _piece(self, index: int, delta: dict[str, str], text: str, reason: str | None) -> dict[str, Any]:
        said = {"delta": delta} if self.chat else {"text": text}
        return {"index": index, "logprobs": None, "finish_reason": reason, **said}

    def _chunk(self, choices: list[dict[str, Any]]) -> bytes:
        found = self._object("chat.completion.chunk" if self.chat else "text_completion") | {"choices": choices}
        return event(found | {"usage": None} if self.usage else found)

    def _object(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl-" if self.chat else "cmpl-"
        return {"id": prefix + self.name, "object": kind, "created": self.created, "model": self.model}


def event(value: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def usage(prompt_tokens: int, answers: Sequence[Answer]) -> dict[str, int]:
    """Tokens read (a prompt once, however many answers it gets) and tokens made (an end mark and cut text included)."""
    made = sum(answer.drawn for answer in answers)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": made, "total_tokens": prompt_tokens + made}


def models(names: Iterable[str], created: int) -> dict[str, Any]:
    return {"object": "list", "data": [model(name, created) for name in names]}


def model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "litgpt-zh"}


def chat_logprobs(ids: Sequence[int], logprobs: Sequence[float], processor: Any) -> dict[str, Any]:
    """A chat's ``logprobs``: each token's text, its logarithm, its bytes."""
    content = []
    for token, logprob in zip(ids, logprobs, strict=True):
        text, data = spelling(token, processor)
        content.append({"token": text, "logprob": logprob, "bytes": data, "top_logprobs": []})
    return {"content": content, "refusal": None}


def completion_logprobs(ids: Sequence[int], logprobs: Sequence[float], processor: Any) -> dict[str, Any]:
    """A completion's ``logprobs``, with where in the text each token begins."""
    decoder, offsets, length = Decoder(processor), [], 0
    for token in ids:
        offsets.append(length)
        length += len(decoder.step(token))
    tokens = [spelling(token, processor)[0] for token in ids]
    return {"tokens": tokens, "token_logprobs": list(logprobs), "top_logprobs": None, "text_offset": offsets}


def spelling(token: int, processor: Any) -> tuple[str, list[int] | None]:
    """A token as text and bytes. A byte that is no character is spelt ``bytes:\\xe5``, as OpenAI does."""
    piece = processor.id_to_token(token) or ""
    if found := _BYTE.fullmatch(piece):
        byte = int(found[1], 16)
        return (chr(byte) if byte < 128 else f"bytes:\\x{byte:02x}"), [byte]
    text = processor.decode([token], skip_special_tokens=False)
    return (piece, None) if "\ufffd" in text else (text, list(text.encode()))
