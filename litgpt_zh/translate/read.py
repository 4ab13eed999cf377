"""English items as they are met: TinyStories-Instruct blocks, json records, TinyStoriesChinese lines.

Labels are read here, once, from the English source. No label is ever shown to a model or read from its answer: that is
how the same labels cannot come back in another order, with another colon, or be found inside a story.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from litgpt_zh.constraints import FEATURES
from litgpt_zh.corpus import readers
from litgpt_zh.corpus.clean import tidy
from litgpt_zh.stage import UserError

ENGLISH = Path(__file__).parents[1] / "corpus" / "world" / "english.txt"
"""The built-in sample, for ``--source english``."""

_LABELS = {
    "features": "features",
    "words": "words",
    "summary": "summary",
    "random sentence": "sentence",
    "sentence": "sentence",
    "story": "story",
}
_LABEL = re.compile(rf"^[ \t]*({'|'.join(sorted(_LABELS, key=len, reverse=True))})[ \t]*[:：][ \t]*", re.I | re.M)
_COMMA = re.compile(r"\s*[,;，、；\n]\s*")
_FEATURE = {name.lower(): chinese for name, chinese in FEATURES.items()}


@dataclass(frozen=True)
class Item:
    """One English instruction with its story.

    ``features`` are Chinese names from the closed table. ``given`` is a Chinese story that exists already
    (TinyStoriesChinese): kept in mode ``constraints``, the reference of a quality measure in the other modes.
    """

    index: int
    place: str
    story: str
    words: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    summary: str = ""
    sentence: str = ""
    given: str = ""
    group: str = ""

    def asked(self) -> tuple[str, ...]:
        """The constraints that are set, as a combination: the unit that sampling balances."""
        return tuple(name for name in ("words", "features", "summary", "sentence") if getattr(self, name))

    def english(self) -> dict[str, Any]:
        """The English side, for the record, the report and a glossary."""
        sides = {"words": list(self.words), "summary": self.summary, "sentence": self.sentence, "story": self.story}
        return {name: value for name, value in sides.items() if value}


@dataclass(frozen=True)
class Unread:
    """An input that is no item, with the reason; it counts as a dead letter."""

    index: int
    place: str
    reason: str


Paths = str | Path | Sequence[str | Path]


def sources(names: Paths) -> list[Path]:
    """The files and folders that are meant; ``english`` is the built-in sample.

    Raises:
        UserError: one of them is not there.
    """
    paths = [
        ENGLISH if str(name) == "english" else Path(name)
        for name in ([names] if isinstance(names, (str, Path)) else names)
    ]
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
    return paths


def read_items(names: Paths) -> Iterator[Item | Unread]:
    """Every input in order, numbered from 0.

    Args:
        names: ``english``, or files and folders in any of the formats the corpus stage reads.

    Raises:
        UserError: no such file, or a file that is none of the formats.
    """
    for index, record in enumerate(readers.read(sources(names))):
        place = f"{record.file}:{record.line}"
        if isinstance(record, readers.Bad):
            yield Unread(index, place, f"not readable: {record.reason}")
        else:
            yield of_fields(record.fields, index, place)


def count_items(names: Paths) -> int:
    """How many inputs there are; no more is read of them than it takes to count."""
    return sum(1 for _ in readers.read(sources(names)))


def of_fields(fields: dict[str, Any], index: int, place: str) -> Item | Unread:
    """An item from the fields of one record of any form."""
    given, english = "", fields
    if isinstance(fields.get("english"), dict):
        given, english = tidy(fields["text"]), dict(fields["english"])
        english["text"] = english.get("story", "")
    parts = _parts(english)
    if not parts["story"]:
        return Unread(index, place, "no English story")
    features, unknown = _features(parts["features"])
    if unknown:
        return Unread(index, place, f"unknown feature {unknown[0]}; known: {', '.join(FEATURES)}")
    group = str(english.get("group") or xxhash.xxh3_64_hexdigest(parts["story"].encode()))
    words = tuple(dict.fromkeys(_split(parts["words"])))
    summary, sentence = (" ".join(str(parts[name]).split()) for name in ("summary", "sentence"))
    return Item(index, place, parts["story"], words, features, summary, sentence, given, group)


def parse_block(text: str) -> dict[str, str] | None:
    """The labelled parts of one block; None when no line begins with a label.

    A label counts at the start of a line and the first time only, so what a story says later is the story's.
    """
    found: dict[str, re.Match[str]] = {}
    for match in _LABEL.finditer(text):
        found.setdefault(_LABELS[match.group(1).lower()], match)
    if not found:
        return None
    marks = sorted(found.items(), key=lambda pair: pair[1].start())
    ends = [mark.start() for _, mark in marks[1:]] + [len(text)]
    return {name: text[mark.end() : end].strip() for (name, mark), end in zip(marks, ends, strict=True)}


def _parts(fields: dict[str, Any]) -> dict[str, Any]:
    text = tidy(str(fields.get("text") or ""))
    found: dict[str, Any] = {name: fields.get(name) or "" for name in ("words", "features", "summary", "sentence")}
    block = parse_block(text) or {}
    if "story" in block or _LABEL.match(text):
        return {**found, "story": "", **block}
    return {**found, "story": text}


def _split(value: Any) -> list[str]:
    parts = _COMMA.split(value) if isinstance(value, str) else [str(part) for part in value]
    return [bare for part in parts if (bare := part.strip(" .\t-*•"))]


def _features(value: Any) -> tuple[tuple[str, ...], list[str]]:
    names = [re.sub(r"[\s_-]", "", name).lower() for name in _split(value)]
    known = tuple(dict.fromkeys(_FEATURE[name] for name in names if name in _FEATURE))
    return known, [name for name in names if name not in _FEATURE]
