"""Where the data went: a bar for all that was read, one for each reason something was left out, one for what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from typing import Any

from litgpt_zh.report.cleaning import named
from litgpt_zh.report.plots import BLUE, ORANGE
from litgpt_zh.report.wording import number

_MOST = 8
"""Reasons with a bar of their own; the rest share one."""
_WIDTH, _ROW, _BAR = 300, 34, 8
_LABEL = 30
"""Columns of a reason that are shown; a Hanzi takes two."""


@dataclass(frozen=True)
class Funnel:
    """What came into a stage, what was left out and why, what went on, and what that was divided into."""

    read: int
    drops: Mapping[str, int]
    kept: int
    parts: Mapping[str, int]


def funnel_of(counts: Mapping[str, Any]) -> Funnel | None:
    """The funnel in the counts of a manifest; None where there is none, or where its numbers do not add up.

    Args:
        counts: of a corpus or instruction data (``read, dropped, kept, train, val``), of a translation (``items, ok, dead,
            reasons``), or of pairs that a model sampled (``histograms.sample_failure``: the samples, not the pairs).
    """
    failures = (counts.get("histograms") or {}).get("sample_failure")
    if isinstance(failures, dict):
        drops = {reason: n for reason, n in failures.items() if reason != "none"}
        found = Funnel(sum(failures.values()), drops, failures.get("none", 0), {})
    elif {"items", "ok", "dead"} <= set(counts):
        reasons = counts.get("reasons") or {}
        found = Funnel(counts["items"], {**reasons, "others": counts["dead"] - sum(reasons.values())}, counts["ok"], {})
    else:
        parts = {side: counts[side] for side in ("train", "val") if isinstance(counts.get(side), int)}
        found = Funnel(counts.get("read") or 0, counts.get("dropped") or {}, counts.get("kept") or 0, parts)
    return found if found.read and found.read == found.kept + sum(found.drops.values()) else None


def draw(funnel: Funnel, title: str, say: Mapping[str, str]) -> str:
    """An ``<svg>`` element: its text takes the page's colour, blue is what is there, orange what was left out.

    Args:
        funnel: as ``funnel_of`` gives it.
        title: what a screen reader says.
        say: the page's words.
    """
    left, rows = funnel.read, [_Row(f"{say['read']} {number(funnel.read)}", 0, 1, 0)]
    for reason, n in _longest(funnel.drops):
        left -= n
        said = f"− {_short(named(reason, say['lang'][:2]))} {number(n)} ({_percent(n / funnel.read)})"
        rows.append(_Row(said, 0, left / funnel.read, n / funnel.read))
    kept = funnel.kept / funnel.read
    rows.append(_Row(f"{say['kept']} {number(funnel.kept)} ({_percent(kept)})", 0, kept, 0))
    begin = 0.0
    for name, n in funnel.parts.items():
        rows.append(_Row(f"{say[name]} {number(n)}", begin, n / funnel.read, 0))
        begin += n / funnel.read
    head = f'<svg viewBox="0 0 {_WIDTH} {_ROW * len(rows)}" role="img" aria-label="{escape(title)}">'
    return head + "".join(row.drawn(_ROW * place) for place, row in enumerate(rows)) + "</svg>"


@dataclass(frozen=True)
class _Row:
    """A line of text and the bar below it; shares of all that was read."""

    label: str
    begin: float
    there: float
    gone: float

    def drawn(self, top: int) -> str:
        text = f'<text x="0" y="{top + 14}" font-size="12">{escape(self.label)}</text>'
        return text + _bar(self.begin, self.there, top, BLUE) + _bar(self.begin + self.there, self.gone, top, ORANGE)


def _bar(begin: float, share: float, top: int, colour: str) -> str:
    if share <= 0:
        return ""
    wide = max(share * _WIDTH, 1.5)  # the least of them can still be seen
    x = min(begin * _WIDTH, _WIDTH - wide)
    return f'<rect x="{x:.1f}" y="{top + 20}" width="{wide:.1f}" height="{_BAR}" fill="{colour}"/>'


def _longest(drops: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    ordered = sorted(((reason, n) for reason, n in drops.items() if n), key=lambda pair: -pair[1])
    rest = sum(n for _, n in ordered[_MOST:])
    return [*ordered[:_MOST], *([("others", rest)] if rest else [])]


def _short(text: str) -> str:
    columns = list(accumulate(2 if character > "\u2e7f" else 1 for character in text))
    return text if not columns or columns[-1] <= _LABEL else text[: sum(c < _LABEL for c in columns)] + "…"


def _percent(share: float) -> str:
    """Neither nothing nor all, where a little is something."""
    return f"{share:.1%}" if share in (0, 1) or 0.001 <= share <= 0.999 else f"{share:.3%}"
