"""chrF against references: a measure of translation that needs no model and no money."""

from __future__ import annotations

from collections.abc import Sequence


def chrf(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Corpus chrF (Popović 2015; character n-grams up to 6, beta 2; 0 to 100) of (translation, reference) pairs.

    None without sacrebleu: the measure is an extra (``pip install 'litgpt-zh[translate]'``).
    """
    try:
        from sacrebleu.metrics import CHRF
    except ImportError:
        return None
    score = CHRF().corpus_score([translation for translation, _ in pairs], [[reference for _, reference in pairs]])
    return round(score.score, 2)
