"""From stories to figures: each is a ratio of sums over stories, so one bootstrap serves all, alone and in pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from litgpt_zh.constraints import Constraints, check, met
from litgpt_zh.evaluate import figures

Parts = dict[str, tuple[np.ndarray, np.ndarray]]
"""Figure -> numerators and denominators, (N,) each; a story with denominator 0 takes no part."""

RATES = (
    "words_all", "words_each", "words_all_shuffled", "words_each_shuffled", "constraints_all", "sentence", "dialogue",
    "finished",
)  # fmt: skip
"""Shares of stories (or of words) that pass: they get the exact bound of ``figures.rate`` where all pass, or none."""

NUMBERS = ("characters", "repetition_4", "distinct_2", "longest_copied")
"""Figures that a card shows as plain numbers, their intervals apart."""

_SHIFTS = 20


def shown(record: Mapping[str, Any], fields: Sequence[str]) -> Constraints:
    """The part of a record's constraints that the prompt shows."""
    return Constraints.of({name: record.get(name) for name in fields})


def card(
    records: Sequence[dict[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    fields: Sequence[str],
    shuffled: bool = True,
) -> dict[str, Any]:
    """The figures of samples.

    Every figure is a ratio of sums over stories, with its 95% interval (``{"value", "low", "high", "n"}``):

    - ``words_all``: stories with all their words; ``words_each``: single words; both once more as ``..._shuffled``, the same
      stories against other requests' words: what chance gives;
    - ``constraints_all``: stories that miss nothing checkable of what the prompt showed;
    - ``finished``: ended by the model itself, behind closing punctuation;
    - ``sentence``, ``dialogue`` where the prompt asks for it; ``summary_overlap``, a proxy (``figures.bigram_recall``), and
      ``summary_overlap_shuffled``, against other requests' summaries;
    - ``copied``: share of the characters in spans of ``copying.COPIED`` or more that stand in the training stories;
    - ``characters``, ``repetition_4`` and ``longest_copied`` (means over stories), ``distinct_2`` (over all together).

    Args:
        records: what was asked, (N).
        samples: ``text`` and ``finished``; ``copied`` and ``longest`` (see ``copying.copied``) where that was measured.
        fields: constraint fields that the prompt showed.
        shuffled: measure the controls too.

    Returns:
        ``figures``, where ``NUMBERS`` are plain and their intervals in ``intervals``; ``most_copied``, the longest span of
        all, where measured; ``not_measured``, see there.
    """
    found = summarised(parts(records, samples, fields, shuffled))
    longest = [sample["longest"] for sample in samples if "longest" in sample]
    return {
        "figures": {name: value["value"] if name in NUMBERS else value for name, value in found.items()},
        "intervals": {name: value for name, value in found.items() if name in NUMBERS},
        **({"most_copied": max(longest)} if longest else {}),
        "not_measured": not_measured(records, fields),
    }


def own_stories(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records' own stories in the form of samples; records without one are left out. ``request``: the place."""
    return [
        {"request": place, "text": record["text"], "finished": figures.ends_properly(record["text"], True)}
        for place, record in enumerate(records)
        if record.get("text")
    ]


def reference(
    records: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]], fields: Sequence[str], shuffled: bool = True
) -> dict[str, Any] | None:
    """The ``figures`` of ``own_stories``, what can be reached; None without any."""
    if not own:
        return None
    return card([records[sample["request"]] for sample in own], own, fields, shuffled)["figures"]


def not_measured(records: Sequence[dict[str, Any]], fields: Sequence[str]) -> dict[str, int]:
    """Features that the prompts show and no rule can check, the most frequent first."""
    found = Counter(
        key.partition(":")[2]
        for record in records
        for key, value in check(shown(record, fields), "").items()
        if value is None and key.startswith("feature:")
    )
    return dict(found.most_common())


def parts(
    records: Sequence[dict[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    fields: Sequence[str],
    shuffled: bool = True,
) -> Parts:
    """Numerators and denominators of every figure of ``card`` that can be measured here."""
    texts = [sample["text"] for sample in samples]
    words = [Constraints.of(record).words for record in records]
    wanted = [shown(record, fields) for record in records]
    checks = [check(one, text) for one, text in zip(wanted, texts, strict=True)]
    one = np.ones(len(texts))
    hits, number = figures.word_hits(words, texts)
    found: dict[str, tuple[Any, Any]] = {"words_all": (hits == number, one), "words_each": (hits, number)}
    if shuffled:
        full, other_hits, other_number = figures.shuffled_hits(words, texts)
        found |= {"words_all_shuffled": (full, one), "words_each_shuffled": (other_hits, other_number)}
    found["constraints_all"] = ([met(w, text) for w, text in zip(wanted, texts, strict=True)], one)
    found["finished"] = ([sample["finished"] for sample in samples], one)
    for name, key in (("sentence", "sentence"), ("dialogue", "feature:对话")):
        found[name] = ([c.get(key) is True for c in checks], [c.get(key) is not None for c in checks])
    found |= _overlap([w.summary for w in wanted], texts, shuffled)
    found["characters"] = ([len(text) for text in texts], one)
    found["repetition_4"] = ([figures.repetition(text) for text in texts], one)
    found["distinct_2"] = (figures.distinct_shares(texts), one)
    if all("copied" in sample for sample in samples):
        found["copied"] = ([sample["copied"] for sample in samples], [len(text) for text in texts])
        found["longest_copied"] = ([sample["longest"] for sample in samples], one)
    arrays = {key: tuple(np.asarray(side, dtype=float) for side in pair) for key, pair in found.items()}
    return {key: (top, bottom) for key, (top, bottom) in arrays.items() if bottom.any()}


def _overlap(summaries: Sequence[str], texts: Sequence[str], shuffled: bool) -> dict[str, tuple[Any, Any]]:
    """The summary proxy, and its control: each story against up to ``_SHIFTS`` other requests' summaries."""
    told = [i for i, summary in enumerate(summaries) if figures.bigram_recall(summary, "") is not None]
    own, other, counts = np.zeros(len(texts)), np.zeros(len(texts)), np.zeros(len(texts))
    shifts = range(1, min(len(told) - 1, _SHIFTS) + 1)
    for place, i in enumerate(told):
        own[i], counts[i] = figures.bigram_recall(summaries[i], texts[i]) or 0.0, 1.0
        others = [figures.bigram_recall(summaries[told[(place + s) % len(told)]], texts[i]) or 0.0 for s in shifts]
        other[i] = np.mean(others) if others else 0.0
    control = {"summary_overlap_shuffled": (other, counts)} if shuffled and len(told) > 1 else {}
    return {"summary_overlap": (own, counts)} | control


def summarised(every: Parts) -> dict[str, dict[str, float]]:
    """Every figure with its interval, over the stories that take part."""
    result = {}
    for name, (top, bottom) in every.items():
        here = bottom != 0
        result[name] = (figures.rate if name in RATES else figures.ratio)(top[here], bottom[here])
    if "distinct_2" in result:  # pseudo-values of a handful of stories reach beyond what a share can be
        low, high = result["distinct_2"]["low"], result["distinct_2"]["high"]
        result["distinct_2"] |= {"low": max(low, 0.0), "high": min(high, 1.0)}
    return result


def differences(base: Parts, other: Parts) -> dict[str, dict[str, float]]:
    """Of every figure that both have, how much more ``other`` has, paired by story; see ``figures.paired``."""
    return {
        name: figures.paired(base[name][0], other[name][0], base[name][1], other[name][1])
        for name in base
        if name in other and not name.endswith("_shuffled")
    }
