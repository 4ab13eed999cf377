"""Typed replies: the parts of a translation, read strictly from JSON or from between numbered marks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litgpt_zh.corpus.clean import tidy
from litgpt_zh.translate.read import Item

_THINKING = re.compile(r"\A\s*<think>.*?</think>", re.S)
_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\n(.*?)\n?```\s*\Z", re.S)
_MARK = re.compile(r"^[ \t]*<<<(\d+)>>>[ \t]*$", re.M)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)、])\s*")


class ReplyError(ValueError):
    """The reply has not the form asked for; the text says what is wrong, for the model to put right."""


@dataclass(frozen=True)
class Parts:
    """The Chinese parts of an item; those not asked for are empty."""

    words: tuple[str, ...] = ()
    summary: str = ""
    sentence: str = ""
    story: str = ""


def schema(keys: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of a reply (strict: all keys required, no others)."""
    text, many = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "properties": {name: many if name == "words" else text for name in keys},
        "required": list(keys),
        "additionalProperties": False,
    }


def spoken(text: str) -> str:
    """Without what a model thought aloud first."""
    return _THINKING.sub("", text)


def grade_in(text: str) -> int | None:
    """The judge's grade, 1 to 5; None when there is none."""
    found = re.search(r"(?<!\d)[1-5](?!\d)", text)
    return int(found.group()) if found else None


def parse_reply(text: str, item: Item, keys: Sequence[str], style: str) -> Parts:
    """The parts in ``text``.

    Raises:
        ReplyError: keys, types or the number of words are not those of the request.
    """
    values = _marked(text, keys) if style == "delimiters" else _json(text, keys)
    words = values.get("words", [])
    if len(words) != (len(item.words) if "words" in keys else 0):
        raise ReplyError(f"the list has {len(words)} entries, it must have {len(item.words)}")
    words = tuple(word.strip(" \t\n,，、.。；;“”\"'") for word in words)
    one_line = {name: "".join(values.get(name, "").split("\n")).strip() for name in ("summary", "sentence")}
    return Parts(
        words=words, story=quotes(tidy(values.get("story", ""))), **{k: quotes(v) for k, v in one_line.items()}
    )


def read_object(text: str, keys: Sequence[str]) -> dict[str, Any]:
    """The one JSON object that ``text`` is, in a code fence or not.

    Raises:
        ReplyError: it is something else, or its keys are not ``keys``.
    """
    fenced = _FENCE.match(text)
    body = (fenced.group(1) if fenced else text).strip()
    if not body.startswith("{"):
        raise ReplyError("it is not one JSON object")
    try:
        values, end = json.JSONDecoder(strict=False).raw_decode(body)  # not strict: raw newlines inside strings
    except ValueError as error:
        raise ReplyError(f"it is not valid JSON ({error})") from None
    if body[end:].strip():
        raise ReplyError("there is text after the JSON object")
    if set(values) != set(keys):
        raise ReplyError(f"the keys must be exactly {', '.join(keys)}")
    return values


def _json(text: str, keys: Sequence[str]) -> dict[str, Any]:
    values = read_object(text, keys)
    for name in keys:
        many = isinstance(values[name], list) and all(isinstance(word, str) for word in values[name])
        if not (many if name == "words" else isinstance(values[name], str)):
            raise ReplyError(f"{name} must be a {'list of strings' if name == 'words' else 'string'}")
    return values


def _marked(text: str, keys: Sequence[str]) -> dict[str, Any]:
    marks = list(_MARK.finditer(text))
    if [int(mark.group(1)) for mark in marks] != list(range(1, len(keys) + 1)):
        raise ReplyError(f"the lines <<<1>>> to <<<{len(keys)}>>> must each stand there once, in order")
    if text[: marks[0].start()].strip():
        raise ReplyError("there is text before <<<1>>>")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    values: dict[str, Any] = {}
    for name, mark, end in zip(keys, marks, ends, strict=True):
        part = text[mark.end() : end].strip()
        values[name] = [_BULLET.sub("", line) for line in part.split("\n") if line.strip()] if name == "words" else part
    return values


def quotes(text: str) -> str:
    """Straight double quotes as “ ”, paragraph by paragraph, where they come in pairs."""
    if '"' not in text:
        return text
    lines = text.split("\n")
    for n, line in enumerate(lines):
        pieces = line.split('"')
        if len(pieces) % 2:
            lines[n] = "".join(piece + ("" if i == len(pieces) - 1 else "“”"[i % 2]) for i, piece in enumerate(pieces))
    return "\n".join(lines)
