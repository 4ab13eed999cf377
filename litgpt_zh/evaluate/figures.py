"""Figures of a score card: pure functions of texts and of which constraint was met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

CLOSING = '。！？”…」』!?"'
"""A story that ends properly ends with one of these."""

_RESAMPLES = 2000


def ends_properly(text: str, finished: bool) -> bool:
    """Ended by the model itself, and behind closing punctuation."""
    return finished and text.rstrip()[-1:] in tuple(CLOSING)


def repetition(text: str, n: int = 4) -> float:
    """Share of character ``n``-grams that repeat an earlier one: 1 - different / all; 0 for a text shorter than that."""
    grams = _grams(text, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Different character ``n``-grams / all of them, over all texts together. It falls as the texts grow in number."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_grams(text, n))
    return len(counts) / counts.total() if counts else 0.0


def distinct_shares(texts: Sequence[str], n: int = 2) -> np.ndarray:
    """``distinct`` as one number a text, so that it can be resampled like a mean: jackknife pseudo-values.

    Their mean is ``distinct(texts, n)``; text i differs from it by (N - 1) times what leaving text i out takes away,
    compared with leaving out any other. (Drawing a text twice would lower ``distinct`` itself, whatever the text.)

    Returns:
        (N,) float64.
    """
    grams = [_grams(text, n) for text in texts]
    holders = Counter(gram for own in grams for gram in set(own))
    total = sum(map(len, grams))
    if not total:
        return np.zeros(len(texts))
    alone = [sum(holders[gram] == 1 for gram in set(own)) for own in grams]
    pairs = zip(grams, alone, strict=True)
    without = np.array([(len(holders) - a) / (total - len(g)) if total > len(g) else 0.0 for g, a in pairs])
    return len(holders) / total + (len(texts) - 1) * (without.mean() - without)


def bigram_recall(summary: str, text: str) -> float | None:
    """Share of the summary's different character pairs that stand in the text: a PROXY for telling what it says.

    It knows no synonyms and no order. A pair is two neighbouring letters, Hanzi or digits; None without any.
    """
    pairs = {pair for pair in _grams(summary, 2) if pair.isalnum()}
    return sum(pair in text for pair in pairs) / len(pairs) if pairs else None


def _grams(text: str, n: int) -> list[str]:
    return [text[i : i + n] for i in range(len(text) - n + 1)]


def word_hits(words: Sequence[Sequence[str]], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """How many of its own words each text holds.

    Returns:
        hits and number of words, each (N,) float64.
    """
    hits = [sum(word in text for word in own) for own, text in zip(words, texts, strict=True)]
    return np.array(hits, dtype=float), np.array([len(own) for own in words], dtype=float)


def shuffled_hits(
    words: Sequence[Sequence[str]], texts: Sequence[str], pairings: int = 200
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What chance gives: each text against the words of OTHER requests, averaged over up to ``pairings`` of them.

    Returns:
        (N,) each: share of the other requests met in full, mean hits, mean number of words.
    """
    n = len(texts)
    shifts = range(1, min(n - 1, pairings) + 1)
    if n < 2:
        return np.zeros(n), np.zeros(n), np.ones(n)
    full, hits, asked = np.zeros(n), np.zeros(n), np.zeros(n)
    for shift in shifts:
        other = [words[(i + shift) % n] for i in range(n)]
        found, number = word_hits(other, texts)
        full += found == number
        hits += found
        asked += number
    return full / len(shifts), hits / len(shifts), asked / len(shifts)


def rate(values: Sequence[float] | np.ndarray, per: np.ndarray | None = None) -> dict[str, float]:
    """A share over stories with its 95% interval.

    Where every story passes, or none, resampling sees no spread: there the exact binomial bound 1 - 0.025 ** (1 / N)
    stands instead of ``ratio``'s bootstrap.

    Args:
        values: (N,) numerators, or simply 0/1 a story.
        per: (N,) denominators, e.g. the number of words; 1 a story by default.

    Returns:
        ``{"value", "low", "high", "n"}``, n the number of stories.
    """
    top = np.asarray(values, dtype=float)
    result = ratio(top, np.ones_like(top) if per is None else per)
    spread = round(1 - 0.025 ** (1 / max(len(top), 1)), 4)
    if result["value"] == 0:
        result["high"] = spread
    elif result["value"] == 1:
        result["low"] = 1 - spread
    return result


def ratio(top: Sequence[float] | np.ndarray, bottom: Sequence[float] | np.ndarray) -> dict[str, float]:
    """sum(top) / sum(bottom) with the 95% percentile bootstrap over stories (2,000 resamples, fixed seed).

    Returns:
        ``{"value", "low", "high", "n"}``; all 0 without stories.
    """
    top, bottom = np.asarray(top, dtype=float), np.asarray(bottom, dtype=float)
    n = len(top)
    if n == 0 or bottom.sum() == 0:
        return _interval(0.0, np.zeros(1), n)
    counts = _resamples(n)
    return _interval(top.sum() / bottom.sum(), _divided(counts @ top, counts @ bottom), n)


def paired(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    per_a: Sequence[float] | np.ndarray | None = None,
    per_b: Sequence[float] | np.ndarray | None = None,
) -> dict[str, float]:
    """How much larger a figure is for ``b`` than for ``a`` (the baseline), both measured on the same prompts.

    The figure is a ratio of sums, so the difference is sum(b) / sum(per_b) - sum(a) / sum(per_a). Its 95% interval is the
    paired percentile bootstrap: 2,000 resamples of prompts with a fixed seed, each prompt drawn with both its answers, so
    what makes a prompt hard for both leaves the difference. Prompts whose denominator is 0 on both sides do not take
    part. Where a and b agree on every prompt the interval is a point: resampling sees no spread there.

    Args:
        a: (N,) numerators of the baseline, or simply 0/1 or a number a prompt.
        b: (N,) numerators of the other, in the same order of prompts.
        per_a: (N,) denominators of ``a``, e.g. the number of words; 1 a prompt by default.
        per_b: (N,) denominators of ``b``; those of ``a`` by default.

    Returns:
        ``{"value", "low", "high", "n"}``, n the number of prompts that take part; all 0 without any on either side.

    Raises:
        ValueError: the lengths differ.
    """
    top_a, top_b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    bottom_a = np.ones_like(top_a) if per_a is None else np.asarray(per_a, dtype=float)
    bottom_b = bottom_a if per_b is None else np.asarray(per_b, dtype=float)
    sides = (top_a, top_b, bottom_a, bottom_b)
    if len({len(side) for side in sides}) != 1:
        raise ValueError(f"paired: lengths {[len(side) for side in sides]} differ")
    kept = (bottom_a != 0) | (bottom_b != 0)
    top_a, top_b, bottom_a, bottom_b = (side[kept] for side in sides)
    if not (bottom_a.any() and bottom_b.any()):
        return _interval(0.0, np.zeros(1), 0)
    counts = _resamples(len(top_a))
    resampled = _divided(counts @ top_b, counts @ bottom_b) - _divided(counts @ top_a, counts @ bottom_a)
    return _interval(top_b.sum() / bottom_b.sum() - top_a.sum() / bottom_a.sum(), resampled, len(top_a))


def _resamples(n: int) -> np.ndarray:
    """How often each of ``n`` stories is drawn, (resamples, N): the same draws for every figure of ``n`` stories."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)


def _divided(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """NaN where nothing was drawn that counts; the interval leaves those resamples out."""
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom != 0)


def _interval(value: float, resampled: np.ndarray, n: int) -> dict[str, float]:
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    named = (("value", value), ("low", low), ("high", high))
    return {key: round(float(x), 4) for key, x in named} | {"n": n}
