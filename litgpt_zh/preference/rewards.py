"""What makes one sample of a request better than another, measured: named parts in [0, 1], pure functions of text.

A part that a request does not ask for is 1 for every sample of it, so it never decides. Distinct-n and bits per character
are in no reward: they stay an honest judge of what the training did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from litgpt_zh.constraints import Constraints, check, render
from litgpt_zh.evaluate import figures
from litgpt_zh.prompts import CONTROL
from litgpt_zh.stage import UserError

BAND = (70, 450)
"""Characters of a story of the built-in world, short and full."""
COPIED = 8
"""Characters in a row that stand in the request too: copied, not written."""
DEGENERATE = 0.5
"""A story in which more than this share of the 4-grams repeats is no story."""
_QUOTES = (("“", "”"), ("「", "」"), ("『", "』"))


def words(asked: Constraints, text: str) -> float:
    """Share of the required words that stand in the text."""
    return _share([met for name, met in check(asked, text).items() if name.startswith("word:")])


def sentence(asked: Constraints, text: str) -> float:
    """1 where the required sentence stands in the text, word for word."""
    return _share([met for name, met in check(asked, text).items() if name == "sentence"])


def dialogue(asked: Constraints, text: str) -> float:
    """Share of the quotation marks that are paired, where 对话 is asked for; 0 without a single spoken word."""
    spoken = check(asked, text).get("feature:对话")
    if spoken is None:
        return 1.0
    return paired(text) if spoken else 0.0


def paired(text: str) -> float:
    """Quotation marks that open or close a pair / all of them; 1 without any. ``"`` pairs with the next ``"``."""
    marks, good = text.count('"'), text.count('"') // 2 * 2
    for left, right in _QUOTES:
        open_ = 0
        for character in text:
            if character == left:
                marks, open_ = marks + 1, open_ + 1
            elif character == right:
                marks += 1
                if open_:
                    good, open_ = good + 2, open_ - 1
    return good / marks if marks else 1.0


def ending(asked: Constraints, text: str) -> float:
    """1 where the text ends with closing punctuation."""
    return float(figures.ends_properly(text, True))


def length(asked: Constraints, text: str, band: tuple[int, int] = BAND) -> float:
    """1 inside the band (characters, both ends included), falling straight to 0 at no characters and at twice the band."""
    low, high = band
    n = len(text)
    return min(1.0, n / low, max(0.0, 2 - n / high))


def repetition(asked: Constraints, text: str) -> float:
    """1 minus the share of character 4-grams that repeat an earlier one."""
    return 1 - figures.repetition(text, 4)


def copying(asked: Constraints, text: str) -> float:
    """1 minus the share of the text's characters that are copied from the request in runs of ``COPIED`` or more.

    The required sentence is to be copied, so it does not count.
    """
    if asked.sentence:
        text = text.replace(asked.sentence, "\n")
    source = render(Constraints(asked.words, asked.features, asked.summary))
    runs = {source[i : i + COPIED] for i in range(len(source) - COPIED + 1)}
    copied = bytearray(len(text))
    for i in range(len(text) - COPIED + 1):
        if text[i : i + COPIED] in runs:
            copied[i : i + COPIED] = b"\1" * COPIED
    return 1 - sum(copied) / len(text) if text else 1.0


def surprise(logprobs: Sequence[float]) -> float:
    """1 minus the geometric mean of the probabilities of a sample's tokens, under the model that wrote it.

    To four decimals: what is behind them may depend on which samples were written together.

    Args:
        logprobs: of the tokens, nats; at least one.
    """
    return round(1 - math.exp(min(0.0, sum(logprobs) / len(logprobs))), 4)


def judged(score: int) -> float:
    """A judge's score, 1 to ``BEST``, as a part of the reward: 0 to 1."""
    return (score - 1) / (BEST - 1)


def _share(met: list[bool | None]) -> float:
    return sum(map(bool, met)) / len(met) if met else 1.0


PARTS: dict[str, Callable[[Constraints, str], float]] = {
    "words": words,
    "sentence": sentence,
    "dialogue": dialogue,
    "ending": ending,
    "length": length,
    "repetition": repetition,
    "copying": copying,
}
"""Every part that is seen from the text, by its name in a weights dict."""
SURPRISE = "surprise"
"""The part that the sampler knows, see ``surprise``.

Pairs whose better side is also what the model finds more likely sharpen the model: it learns to be sure, and the true
stories become less likely. ``no_worse: [surprise]`` leaves them out.
"""
JUDGE = "judge"
"""The part that a model behind an endpoint gives, see ``judged`` and ``judge.Judge``."""
KNOWN = (SURPRISE, JUDGE)
"""The parts that cannot be seen from the text: they go along with a sample."""
NAMES = (*PARTS, *KNOWN)
BEST = 10
"""A judge's highest score; the lowest is 1."""

_LACKS = {SURPRISE: "do not say how probable they were", JUDGE: "were not judged"}

WEIGHTS = {
    "words": 0.5, "sentence": 0.1, "dialogue": 0.1, "ending": 0.1, "length": 0.05, "repetition": 0.1, "copying": 0.05,
}  # fmt: skip


def failure(text: str, finished: bool) -> str | None:
    """Why a sample is no story at all, whatever else it does: ``unfinished``, ``empty``, ``degenerate``, ``broken``.

    Args:
        text: the decoded sample.
        finished: the model ended it itself (a sample that met the cap did not).
    """
    if not finished:
        return "unfinished"
    if not text.strip():
        return "empty"
    if "\ufffd" in text or any(piece in text for piece in CONTROL):
        return "broken"
    if figures.repetition(text, 4) > DEGENERATE or len(set(text)) < 5:
        return "degenerate"
    return None


def require_weights(weights: Mapping[str, float]) -> None:
    """Refuse weights no reward can have.

    Raises:
        UserError: an unknown part, a weight that is not a finite number of 0 or more, or none above 0.
    """
    for name, weight in weights.items():
        if name not in NAMES:
            raise UserError(f"weights: no part {name!r}; choose from {', '.join(NAMES)}")
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"weights: {name}: {weight}; choose a number of 0 or more")
    if not sum(weights.values()) > 0:
        raise UserError(f"weights: none is above 0; weigh one of {', '.join(NAMES)} at least")


def combine(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weighted mean of the parts' values, in [0, 1].

    Raises:
        UserError: see ``require_weights``; a part without a value, or a value outside [0, 1] (NaN too).
    """
    require_weights(weights)
    for name in weights:
        if not 0 <= values.get(name, math.nan) <= 1:
            raise UserError(f"reward {name}: {values.get(name)} is not in [0, 1]; mend the part before training on it")
    return sum(weight * values[name] for name, weight in weights.items()) / sum(weights.values())


def measure(
    asked: Constraints,
    text: str,
    weights: Mapping[str, float],
    band: tuple[int, int] = BAND,
    known: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The value of every part that ``weights`` names.

    Args:
        asked: the request's constraints.
        text: of the sample.
        weights: the parts.
        band: of ``length``, characters.
        known: values of the parts that cannot be seen from the text (``KNOWN``).

    Raises:
        UserError: see ``require_weights``; such a part is weighed, but not known.
    """
    require_weights(weights)
    values = dict(known or {})
    for name, lack in _LACKS.items():
        if name in weights and name not in values:
            raise UserError(f"{name}: these samples {lack}; sample again with it, or leave it out")
    own = {"length": lambda asked, text: length(asked, text, band)}
    return {name: values[name] if name in KNOWN else (own.get(name) or PARTS[name])(asked, text) for name in weights}
