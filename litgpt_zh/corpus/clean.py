"""Cleaning rules: pure functions with a name, applied in the order of `RULES`, each counted.

A rule takes a text and the limits and returns the text, put right, or None: the story is dropped and the rule's name is
the reason. Nothing is normalised beyond what stands here; NFKC would turn ，！？ into ASCII: it is for hashing only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import xxhash

from litgpt_zh.prompts import EOS, plain

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_NEWLINE = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[ \t\xa0\u2000-\u200a\u202f\u205f\u3000]+")
_AT_EDGE = re.compile("(?<=\n) +| +(?=\n)")
_MANY_LINES = re.compile("\n{3,}")
_NOT_ALNUM = re.compile(r"[\W_]+")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")


@dataclass(frozen=True)
class Limits:
    """What a story may be: characters after cleaning, and the share of Han among its letters and digits."""

    min_chars: int = 20
    max_chars: int = 20_000
    min_chinese: float = 0.5


def strip_invisible(text: str, limits: Limits) -> str:
    """Without control characters, BOM, zero-width and direction marks (U+200D, which joins emoji, stays)."""
    return _INVISIBLE.sub("", text)


def newlines(text: str, limits: Limits) -> str:
    r"""Every kind of line end as ``\n``."""
    return _NEWLINE.sub("\n", text)


def spaces(text: str, limits: Limits) -> str:
    """Runs of any kind of space as one; none at the edge of a line; at most one empty line."""
    return _MANY_LINES.sub("\n\n", _AT_EDGE.sub("", _SPACES.sub(" ", text))).strip()


def end_marks(text: str, limits: Limits) -> str:
    """Without ``<|endoftext|>`` at its ends: a separator that came along, not a part of the story."""
    while text.startswith(EOS) or text.endswith(EOS):
        text = text.removeprefix(EOS).removesuffix(EOS).strip()
    return text


def control_pieces(text: str, limits: Limits) -> str | None:
    """Dropped when it holds a control piece such as ``<|user|>``: it would forge a turn or an ending."""
    return text if plain(text) == text else None


def empty(text: str, limits: Limits) -> str | None:
    """Dropped when nothing is left."""
    return text or None


def too_short(text: str, limits: Limits) -> str | None:
    """Dropped below ``min_chars``."""
    return text if len(text) >= limits.min_chars else None


def too_long(text: str, limits: Limits) -> str | None:
    """Dropped above ``max_chars``."""
    return text if len(text) <= limits.max_chars else None


def not_chinese(text: str, limits: Limits) -> str | None:
    """Dropped when less than ``min_chinese`` of its letters and digits are Han."""
    return text if chinese_share(text) >= limits.min_chinese else None


RULES: dict[str, Callable[[str, Limits], str | None]] = {
    "invisible characters": strip_invisible,
    "newlines": newlines,
    "spaces": spaces,
    "end marks": end_marks,
    "empty": empty,
    "control pieces": control_pieces,
    "too short": too_short,
    "too long": too_long,
    "not Chinese": not_chinese,
}
"""Name -> rule, in the order they are applied. The names are the reasons in the manifest."""
_TIDY = (strip_invisible, newlines, spaces)


def clean(text: str, limits: Limits) -> tuple[str | None, str, list[str]]:
    """Apply every rule.

    Returns:
        the text, or None when dropped; the name of the rule that dropped it, or ""; the rules that changed it.
    """
    changed: list[str] = []
    for name, rule in RULES.items():
        after = rule(text, limits)
        if after is None:
            return None, name, changed
        if after != text:
            changed.append(name)
        text = after
    return text, "", changed


def tidy(text: str) -> str:
    """Only the rules that put right: for a summary or a sentence, which must still match its story."""
    for rule in _TIDY:
        text = rule(text, Limits())
    return text


def chinese_share(text: str) -> float:
    """Han characters / letters and digits; 0 when there are none."""
    letters = _NOT_ALNUM.sub("", text)
    return (len(letters) - len(_HAN.sub("", letters))) / len(letters) if letters else 0.0


def content(text: str) -> bytes:
    """What stories share that differ only in punctuation, width, case or spaces (for hashing, never for training)."""
    letters = _NOT_ALNUM.sub("", text)  # before NFKC, which is slow on full-width punctuation
    folded = unicodedata.normalize("NFKC", letters).lower()
    return (folded if folded == letters else _NOT_ALNUM.sub("", folded)).encode("utf-8")


def content_hash(text: str) -> int:
    """xxh3-64 of `content`: of 4 million stories, one pair collides with a probability of 4e-7."""
    return xxhash.xxh3_64_intdigest(content(text))
