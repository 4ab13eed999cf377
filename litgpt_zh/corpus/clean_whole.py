"""Cleaning rules that look at a story as a whole: its ending, repetition, length and language."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from litgpt_zh.corpus.clean_rule import HAN, Drop, Limits, around

_CLOSED = re.compile(
    r"(?:[\d%％。！？…!?.～~*♪♥）)】」』》”’\"'\]]|[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]"
    r"|(?:^|\n)\W*(?:(?:全文|故事|本章|全书)?(?:完|终|完结|结束)(?:了|啦)?|剧终|未完待续|the end|end)\W*)\Z",
    re.I,
)
_SENTENCE_END = re.compile(r"(?:[。！？!?]+|……)[”’」』》）)\"']*")
_SURELY_OPEN = re.compile(r"[，、；：,;:“‘「『《（(—]\Z")
_CLAUSE = re.compile(r"[\s，。！？；：、…—“”‘’（）《》「」『』,.!?;:\"'()~～-]+")
_LONG_CLAUSE = 40
_ROUNDS, _LEAST_LOOP = 8, 40
_LOOP = re.compile(rf"(.{{1,60}}?)\1{{{_ROUNDS - 1},}}", re.S)
MAX_REPEATED = 0.5
"""Of a story's letters, at most this share may stand in clauses that came before in it."""
_LEAST_LETTERS, _LEAST_CLAUSE = 60, 4

_NOT_ALNUM = re.compile(r"[\W_]+")
_HAN = re.compile(f"[{HAN}]+")


def endings(text: str, limits: Limits) -> str | Drop:
    """A story that breaks off, back to its last whole sentence (``cut``), or dropped (``drop``, or when less than half is
    left).

    It breaks off when its last line alone ends without a closing mark; where other lines do so too (verse, picture books,
    lists), or where no sentence ends at all, that is how it was written.
    """
    if limits.endings == "keep" or _closed(text):
        return text
    lines = [line for line in text.split("\n")[1:-1] if line]
    open_lines = sum(not _closed(line) for line in lines)
    ends = [found.end() for found in _SENTENCE_END.finditer(text)]
    if not ends or (open_lines and not (_SURELY_OPEN.search(text) and open_lines * 5 < len(lines))):
        return text
    if limits.endings == "drop":
        return Drop(around(text, ends[-1], len(text)))
    end = next((end for end in reversed(ends) if text.count("“", 0, end) <= text.count("”", 0, end)), 0)
    return text[:end] if end * 2 >= len(text) else Drop(around(text, ends[-1], len(text)))


def _closed(line: str) -> bool:
    return _CLOSED.search(line[-_LONG_CLAUSE:]) is not None


def repetition(text: str, limits: Limits) -> str | Drop:
    """Dropped when more than half of its letters stand in clauses said before, or one stretch comes eight times in a row
    (40 characters or more): a model that went round in circles. Refrains and cumulative tales stay below."""
    clauses = _CLAUSE.split(text)
    counts = Counter(clauses)
    letters = sum(map(len, clauses))
    if len(counts) < len(clauses) and letters >= _LEAST_LETTERS:
        worst, n = max(counts.items(), key=lambda pair: len(pair[0]) * (pair[1] - 1))
        repeated = sum(len(c) * (n - 1) for c, n in counts.items() if n > 1 and len(c) >= _LEAST_CLAUSE)
        if repeated > MAX_REPEATED * letters or (n >= _ROUNDS and _in_a_row(clauses)):
            return Drop(f"{n} × {around(worst, 0, len(worst))}")
    for clause in counts:
        if len(clause) >= _LONG_CLAUSE:
            for found in _LOOP.finditer(clause):
                if len(found.group()) >= _LEAST_LOOP:
                    return Drop(f"{len(found.group()) // len(found[1])} × {around(found[1], 0, len(found[1]))}")
    return text


def _in_a_row(clauses: list[str]) -> bool:
    runs = ((len(clause), sum(1 for _ in same)) for clause, same in itertools.groupby(clauses))
    return any(n >= _ROUNDS and length * n >= _LEAST_LOOP for length, n in runs)


def empty(text: str, limits: Limits) -> str | Drop:
    """Dropped when nothing is left."""
    return text or Drop()


def too_short(text: str, limits: Limits) -> str | Drop:
    """Dropped below ``min_chars``."""
    return text if len(text) >= limits.min_chars else Drop(text)


def too_long(text: str, limits: Limits) -> str | Drop:
    """Dropped above ``max_chars``."""
    return text if len(text) <= limits.max_chars else Drop(around(text, 0, 24))


def not_chinese(text: str, limits: Limits) -> str | Drop:
    """Dropped when less than ``min_chinese`` of its letters and digits are Han."""
    return text if chinese_share(text) >= limits.min_chinese else Drop(around(text, 0, 36))


def chinese_share(text: str) -> float:
    """Han characters / letters and digits; 0 when there are none."""
    letters = _NOT_ALNUM.sub("", text)
    return (len(letters) - len(_HAN.sub("", letters))) / len(letters) if letters else 0.0
