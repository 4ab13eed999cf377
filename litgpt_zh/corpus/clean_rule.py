"""What a cleaning rule is, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""For the inside of a character class."""


@dataclass(frozen=True)
class Limits:
    """What a story may be, and which rules apply.

    ``min_chars`` and ``max_chars`` count characters after cleaning; ``min_chinese`` is the share of Han among letters
    and digits; ``endings`` says what becomes of a story that breaks off; ``skip`` names rules to leave out.
    """

    min_chars: int = 20
    max_chars: int = 20_000
    min_chinese: float = 0.5
    endings: Literal["cut", "drop", "keep"] = "cut"
    simplified: bool = False
    skip: tuple[str, ...] = ()


class Drop(NamedTuple):
    """A rule's answer for a story that cannot be used; ``where`` is the passage that decided, for the report."""

    where: str = ""


Rule = Callable[[str, Limits], "str | Drop"]
"""Text and limits in; the text, put right or as it was, or a `Drop` out. Nothing else is looked at."""


def around(text: str, start: int, end: int, margin: int = 12, most: int = 48) -> str:
    """``text[start:end]`` with a little of what stands beside it, and a ⋯ for everything left out."""
    middle = text[start:end]
    if len(middle) > most:
        middle = f"{middle[: most // 2]}⋯{middle[-most // 2 :]}"
    left, right = text[max(0, start - margin) : start], text[end : end + margin]
    return f"{'⋯' if start > margin else ''}{left}{middle}{right}{'⋯' if end + margin < len(text) else ''}"


def difference(before: str, after: str) -> tuple[str, str]:
    """Excerpts of both texts around the stretch in which they differ (from the first to the last difference)."""
    most = min(len(before), len(after))
    start = next((n for n in range(most) if before[n] != after[n]), most)
    end = next((n for n in range(most - start) if before[-1 - n] != after[-1 - n]), most - start)
    return around(before, start, len(before) - end), around(after, start, len(after) - end)
