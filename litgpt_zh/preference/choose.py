"""Which samples of one request become pairs: pure functions of rewards and lengths."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from litgpt_zh.preference.rewards import JUDGE, failure

NO_SCORE = "no score"
"""The failure of a sample that a judge was to score, and did not."""
NO_CHOICE = ("empty", "broken", NO_SCORE)
"""Failures that are not fit for the rejected side either."""


@dataclass(frozen=True)
class Rules:
    """How samples become pairs."""

    kind: str
    samples: int
    margin: float
    pairs_per_prompt: int
    length_ratio: float
    weights: dict[str, float]
    band: tuple[int, int]
    no_worse: tuple[str, ...] = ()
    balanced: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """Parts that a chosen side must not be worse in, of itself or on balance."""
        return (*self.no_worse, *self.balanced)

    @property
    def form(self) -> str:
        """Of the folder."""
        return "graded" if self.kind == "graded" else "pairs"

    @property
    def parts(self) -> dict[str, float]:
        """Every part of the reward that has a say, with its weight; those of ``kept`` alone weigh 1."""
        return dict.fromkeys(self.kept, 1.0) | self.weights

    @property
    def judged(self) -> bool:
        """A judge has a say."""
        return JUDGE in self.parts

    def settings(self) -> dict[str, Any]:
        """For the manifest."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("no_worse", "balanced")}


@dataclass(frozen=True)
class Scored:
    """A sample: its ids (without the one that ends it), its text, whether it ended by itself, its reward in [0, 1].

    ``parts``: what the reward is made of, each in [0, 1]; empty where the text has a failure. ``scored``: False where a
    judge has a say and gave no score.
    """

    ids: tuple[int, ...]
    text: str
    finished: bool
    reward: float
    parts: Mapping[str, float] = field(default_factory=dict)
    scored: bool = True

    @property
    def failure(self) -> str | None:
        return failure(self.text, self.finished) or (None if self.scored else NO_SCORE)


class Balance:
    """Keeps chosen sides from being worse than rejected ones in some parts, however good they are otherwise.

    What the pairs do not teach on average, the model does not learn: to ask it of their sum leaves out far fewer pairs than to
    ask it of each, which in turn makes the sum positive. A rejected side with a failure has no parts, and costs nothing.

    Args:
        each: parts in which no chosen side is the worse one.
        sums: part -> chosen minus rejected, added up over the pairs so far, never below 0; changed in place.
    """

    def __init__(self, each: Sequence[str], sums: dict[str, float]) -> None:
        self.each, self.sums = each, sums

    def __str__(self) -> str:
        return " or ".join([*self.each, *self.sums])

    def admit(self, chosen: Scored, rejected: Scored) -> bool:
        """Whether a pair may be taken; adds it to the sums if so."""
        if not rejected.parts:
            return True
        if any(chosen.parts[part] < rejected.parts[part] for part in self.each):
            return False
        after = {part: total + chosen.parts[part] - rejected.parts[part] for part, total in self.sums.items()}
        if any(total < min(0.0, self.sums[part]) for part, total in after.items()):
            return False
        self.sums.update(after)
        return True


def best_worst(
    samples: Sequence[Scored], *, margin: float, most: int, length_ratio: float, balance: Balance | None = None
) -> tuple[list[tuple[int, int]], str | None]:
    """Pairs (chosen, rejected) of sample numbers: the best with the worst that suits it, then the next best.

    A sample is used once. The chosen side has no ``failure``; its reward is higher by ``margin`` at least; the lengths (in
    tokens, chosen / rejected) are within ``length_ratio`` .. 1 / ``length_ratio``, so that length is not what is learnt.
    Of more than 4 samples the very worst is never rejected: the extreme minimum teaches least (arXiv 2502.16825).

    Args:
        samples: of one request.
        margin: above 0.
        most: pairs at most.
        length_ratio: in (0, 1].
        balance: what the chosen sides must not be worse in.

    Returns:
        The pairs, and why there is none.
    """
    up = sorted(range(len(samples)), key=lambda n: samples[n].reward)
    good = [n for n in reversed(up) if samples[n].failure is None]
    bad = [n for n in (up[1:] if len(samples) > 4 else up) if samples[n].failure not in NO_CHOICE]
    if not good:
        return [], "no sample without a failure"
    pairs: list[tuple[int, int]] = []
    used: set[int] = set()
    apart = alike = False
    for chosen in good:
        if chosen in used or len(pairs) == most:
            continue
        for rejected in bad:
            if rejected in used or samples[chosen].reward - samples[rejected].reward < margin:
                continue
            apart = True
            if not fits(samples[chosen], samples[rejected], length_ratio):
                continue
            alike = True
            if balance is None or balance.admit(samples[chosen], samples[rejected]):
                pairs.append((chosen, rejected))
                used |= {chosen, rejected}
                break
    if pairs:
        return pairs, None
    if alike and balance:
        return [], f"better only at the cost of {balance}"
    return [], "lengths too far apart" if apart else "rewards too close"


def advantages(rewards: Sequence[float]) -> list[float]:
    """(reward - mean) / standard deviation, within the samples of one request (arXiv 2402.03300, section 4.1.2).

    Args:
        rewards: not all equal.
    """
    mean, deviation = statistics.fmean(rewards), statistics.pstdev(rewards)
    return [(reward - mean) / deviation for reward in rewards]


def graded(samples: Sequence[Scored], *, margin: float) -> tuple[list[tuple[int, float]], str | None]:
    """Sample numbers with their advantages, or why there are none; the best and the worst are ``margin`` apart at least."""
    usable = [n for n, s in enumerate(samples) if s.failure not in NO_CHOICE]
    rewards = [samples[n].reward for n in usable]
    if len(rewards) < 2 or max(rewards) - min(rewards) < margin:
        return [], "rewards too close"
    return list(zip(usable, advantages(rewards), strict=True)), None


def classic(
    story: Scored, samples: Sequence[Scored], *, most: int, length_ratio: float
) -> tuple[list[int], str | None]:
    """Numbers of the samples to be rejected in favour of the record's own story, the first that suit; or why none."""
    other = [n for n, s in enumerate(samples) if s.failure not in NO_CHOICE and s.text != story.text]
    if not other:
        return [], "no sample to reject"
    suited = [n for n in other if fits(story, samples[n], length_ratio)]
    return suited[:most], None if suited else "lengths too far apart"


def fits(chosen: Scored, rejected: Scored, length_ratio: float) -> bool:
    """Whether the lengths are alike (in tokens), and the sides are not."""
    ratio = len(chosen.ids) / max(len(rejected.ids), 1)
    return length_ratio <= ratio <= 1 / length_ratio and chosen.ids != rejected.ids
