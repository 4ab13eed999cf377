"""The small template language in which the plots are written.

A template is Chinese text with four kinds of marks:

``{key}`` or ``{key.form}``
    What the world holds under ``key``, told in a form such as ``one`` (一把铲子) or ``ta`` (他).
``{*kind:tag,-tag}`` or ``{*kind:tag=key.form}``
    A word of the lexicon drawn on the spot, by class and tags, perhaps kept under ``key`` for later.
    ``{*idiom:mood-glad@h}`` tells the idiom's clause with ``h`` as its subject.
``[one|two|]``
    Any one of the alternatives, which may hold further marks.
``<key.verb line>``
    A whole sentence of direct speech: ``key`` says ``line`` in the way of ``verb``; the layout of the quote varies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Protocol, Union

__all__ = ["Alternatives", "Node", "Pick", "Slot", "Speech", "Teller", "Template", "compile_template"]


class Teller(Protocol):
    """What a template needs of the world to be told."""

    def pick_branch(self, count: int) -> int:
        """A number below ``count``."""

    def tell_slot(self, key: str, form: str) -> str:
        """The text of a slot."""

    def tell_pick(self, kind: str, tags: tuple[str, ...], key: str, form: str, subject: str) -> str:
        """The text of a word drawn on the spot."""

    def tell_speech(self, key: str, verb: str, line: Template) -> str:
        """A sentence of direct speech."""


@dataclass(frozen=True, slots=True)
class Slot:
    """``{key.form}``."""

    key: str
    form: str

    def tell(self, world: Teller) -> str:
        """The text of the slot."""
        return world.tell_slot(self.key, self.form)


@dataclass(frozen=True, slots=True)
class Pick:
    """``{*kind:tags=key.form@subject}``."""

    kind: str
    tags: tuple[str, ...]
    key: str
    form: str
    subject: str

    def tell(self, world: Teller) -> str:
        """The text of a freshly drawn word."""
        return world.tell_pick(self.kind, self.tags, self.key, self.form, self.subject)


@dataclass(frozen=True, slots=True)
class Alternatives:
    """``[one|two]``."""

    options: tuple[Template, ...]

    def tell(self, world: Teller) -> str:
        """The text of one of the options."""
        return self.options[world.pick_branch(len(self.options))].tell(world)


@dataclass(frozen=True, slots=True)
class Speech:
    """``<key.verb line>``."""

    key: str
    verb: str
    line: Template

    def tell(self, world: Teller) -> str:
        """The sentence of speech."""
        return world.tell_speech(self.key, self.verb, self.line)


Node = Union[str, Slot, Pick, Alternatives, Speech]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; ``quotes`` says whether it may hold direct speech."""

    nodes: tuple[Node, ...]
    quotes: bool

    def tell(self, world: Teller) -> str:
        """The text of the template, every choice made by ``world``."""
        return "".join([node if isinstance(node, str) else node.tell(world) for node in self.nodes])


_PICK = re.compile(
    r"\*(?P<kind>\w+)(?::(?P<tags>[\w,-]+))?(?:=(?P<key>\w+))?(?:\.(?P<form>\w+))?(?:@(?P<subject>\w+))?"
)
_SLOT = re.compile(r"(?P<key>[\w&]+)(?:\.(?P<form>\w+))?")
_SPEECH = re.compile(r"(?P<key>[\w&]+)\.(?P<verb>\w+) ")
_MARKS = "{[<|]>"


class _Parser:
    """A recursive-descent parser over one template."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0

    def error(self, what: str) -> ValueError:
        """The error to raise, with the place where it was met."""
        return ValueError(f"{what} at {self.at} of template {self.source!r}")

    def sequence(self, closers: str) -> Template:
        """The nodes up to one of ``closers`` (left unread) or the end."""
        nodes: list[Node] = []
        quotes = False
        while self.at < len(self.source) and self.source[self.at] not in closers:
            mark = self.source[self.at]
            if mark == "{":
                nodes.append(self.braces())
            elif mark == "[":
                node = self.brackets()
                quotes = quotes or any(option.quotes for option in node.options)
                nodes.append(node)
            elif mark == "<":
                nodes.append(self.speech())
                quotes = True
            elif mark in "|]>}":
                raise self.error(f"unexpected {mark!r}")
            else:
                text = self.text()
                quotes = quotes or "“" in text
                nodes.append(text)
        return Template(tuple(nodes), quotes)

    def text(self) -> str:
        """Plain text up to the next mark."""
        start = self.at
        while self.at < len(self.source) and self.source[self.at] not in _MARKS:
            self.at += 1
        return self.source[start : self.at]

    def braces(self) -> Slot | Pick:
        """One ``{...}``."""
        end = self.source.find("}", self.at)
        inner = self.source[self.at + 1 : end]
        pattern = _PICK if inner.startswith("*") else _SLOT
        match = pattern.fullmatch(inner)
        if end < 0 or match is None:
            raise self.error("a slot that cannot be read")
        self.at = end + 1
        if pattern is _SLOT:
            return Slot(match["key"], match["form"] or "")
        tags = tuple(match["tags"].split(",")) if match["tags"] else ()
        return Pick(match["kind"], tags, match["key"] or "", match["form"] or "", match["subject"] or "")

    def brackets(self) -> Alternatives:
        """One ``[a|b]``."""
        options = []
        while True:
            self.at += 1
            options.append(self.sequence("|]"))
            if self.at >= len(self.source):
                raise self.error("an open bracket")
            if self.source[self.at] == "]":
                self.at += 1
                return Alternatives(tuple(options))

    def speech(self) -> Speech:
        """One ``<key.verb line>``."""
        match = _SPEECH.match(self.source, self.at + 1)
        if match is None:
            raise self.error("speech that names no speaker and verb")
        self.at = match.end()
        line = self.sequence(">")
        if self.at >= len(self.source):
            raise self.error("open speech")
        self.at += 1
        return Speech(match["key"], match["verb"], line)


@cache
def compile_template(source: str) -> Template:
    """The compiled form of ``source``.

    Raises:
        ValueError: the template cannot be read; the message says where.
    """
    return _Parser(source).sequence("")
