"""Cleaning rules: pure functions with a name, applied in the order of `RULES`, each counted.

A rule takes a text and the limits and returns the text, put right, or a `Drop`: the story is left out and the rule's name
is the reason. The rules lie by kind in ``clean_encoding``, ``clean_marks``, ``clean_model`` and ``clean_whole``. Nothing
is normalised beyond what stands there; NFKC would turn ，！？ into ASCII: it is for hashing only.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from typing import NamedTuple

import xxhash

from litgpt_zh.corpus.clean_encoding import SIGNS, broken_characters, mojibake
from litgpt_zh.corpus.clean_marks import (
    converter,
    end_marks,
    newlines,
    punctuation,
    simplified,
    spaces,
    strip_invisible,
)
from litgpt_zh.corpus.clean_model import (
    control_pieces,
    links,
    markdown,
    markup,
    refusals,
    remarks,
    untranslated,
)
from litgpt_zh.corpus.clean_rule import Drop, Limits, Rule
from litgpt_zh.corpus.clean_whole import (
    chinese_share,
    empty,
    endings,
    not_chinese,
    repetition,
    too_long,
    too_short,
)
from litgpt_zh.stage import UserError

__all__ = ["MENDING", "RULES", "Change", "Cleaned", "Drop", "Limits", "chinese_share", "clean", "content", "content_hash",
           "mend", "require", "tidy"]  # fmt: skip

RULES: dict[str, Rule] = {
    "mojibake": mojibake,
    "invisible characters": strip_invisible,
    "newlines": newlines,
    "spaces": spaces,
    "end marks": end_marks,
    "broken characters": broken_characters,
    "markup": markup,
    "markdown": markdown,
    "links": links,
    "remarks": remarks,
    "punctuation": punctuation,
    "traditional characters": simplified,
    "endings": endings,
    "empty": empty,
    "control pieces": control_pieces,
    "refusals": refusals,
    "untranslated": untranslated,
    "repetition": repetition,
    "too short": too_short,
    "too long": too_long,
    "not Chinese": not_chinese,
}
"""Name -> rule, in the order they are applied. The names are the reasons in the manifest, and what ``--skip`` takes."""
MENDING = ("mojibake", "invisible characters", "newlines", "spaces", "broken characters", "markup", "markdown", "links",
           "punctuation", "traditional characters")  # fmt: skip
"""The rules that put a passage right wherever it stands: they apply to a record's words, sentence and summary too."""
_TIDY = (strip_invisible, newlines, spaces)
_HOPELESS = 8
"""So many times ``max_chars`` is not looked at: no rule makes a text so much shorter, and some are slow on megabytes."""
_EDGES = sorted({0x4DFF, *map(ord, SIGNS), 0xA000})
_COMMON = "".join(f"{chr(a + 1)}-{chr(b - 1)}" for a, b in itertools.pairwise(_EDGES) if b - a > 1)
_COMMON += "，。！？；：、“”‘’（）《》…—"
_PLAIN = re.compile(f"[{_COMMON}]+(?:\n{{1,2}}[{_COMMON}]+)*")
_NOT_OF_PLAIN = {*MENDING, "end marks", "control pieces", "untranslated"} - {"traditional characters"}
_NOT_ALNUM = re.compile(r"[\W_]+")


class Change(NamedTuple):
    """What one rule did to a text."""

    rule: str
    before: str
    after: str


class Cleaned(NamedTuple):
    """What became of a text: None when dropped, with the rule as ``reason`` and the passage that decided as ``where``."""

    text: str | None
    reason: str
    changed: list[Change]
    where: str = ""


def clean(text: str, limits: Limits) -> Cleaned:
    """Apply every rule that ``limits`` does not skip."""
    changed: list[Change] = []
    if len(text) > _HOPELESS * limits.max_chars and "too long" not in limits.skip:
        return Cleaned(None, "too long", changed, text[:24])
    for name, rule in _rules(limits, _is_plain(text)):
        after = rule(text, limits)
        if isinstance(after, Drop):
            return Cleaned(None, name, changed, after.where)
        if after != text:
            changed.append(Change(name, text, after))
            text = after
    return Cleaned(text, "", changed)


def require(limits: Limits) -> None:
    """Refuse what cannot be honoured, before any story is read.

    Raises:
        UserError: an unknown rule to skip, or traditional characters to simplify without the package ``opencc``.
    """
    if unknown := [name for name in limits.skip if name not in RULES]:
        raise UserError(f"corpus: --skip: no rule {', '.join(unknown)}; there are {', '.join(RULES)}")
    if limits.simplified:
        try:
            converter()
        except ImportError:
            raise UserError('corpus: --simplified needs OpenCC: pip install "litgpt-zh[opencc]"') from None


def mend(text: str, limits: Limits) -> str | None:
    """A record's word, sentence or summary, put right as its story is (`MENDING`); None when nothing of it can be used."""
    if not limits.simplified and _is_plain(text):
        return text
    for name, rule in _rules(limits, False):
        if name in MENDING:
            after = rule(text, limits)
            if isinstance(after, Drop):
                return None
            text = after
    return text or None


def _is_plain(text: str) -> bool:
    """Hanzi, the common marks and line ends alone: nothing to put right, as most stories are; one look instead of ten."""
    return _PLAIN.fullmatch(text) is not None and "。。" not in text


@functools.cache
def _rules(limits: Limits, plain: bool) -> tuple[tuple[str, Rule], ...]:
    left_out = {*limits.skip, *(_NOT_OF_PLAIN if plain else ())}
    return tuple((name, rule) for name, rule in RULES.items() if name not in left_out)


def tidy(text: str) -> str:
    """Only the rules on what cannot be seen: for text that must otherwise stay as it is."""
    for rule in _TIDY:
        text = rule(text, Limits())
    return text


def content(text: str) -> bytes:
    """What stories share that differ only in punctuation, width, case or spaces (for hashing, never for training)."""
    letters = _NOT_ALNUM.sub("", text)  # before NFKC, which is slow on full-width punctuation
    folded = unicodedata.normalize("NFKC", letters).lower()
    return (folded if folded == letters else _NOT_ALNUM.sub("", folded)).encode("utf-8")


def content_hash(text: str) -> int:
    """xxh3-64 of `content`: of 4 million stories, one pair collides with a probability of 4e-7."""
    return xxhash.xxh3_64_intdigest(content(text))
