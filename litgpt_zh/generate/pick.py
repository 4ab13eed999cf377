"""The next token: greedy or sampled, one uniform number a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from litgpt_zh.stage import UserError

NARROW = 512
"""Most probable tokens that top-p looks at first on the CPU: sorting a whole vocabulary takes longer than the model."""


@dataclass(frozen=True)
class Settings:
    """How a token is drawn: top-k, then temperature, then top-p (litgpt's order), then min-p."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def ranked(self) -> bool:
        """Whether the tokens have to be sorted."""
        return self.temperature > 0 and (self.top_k is not None or self.top_p < 1)

    def require(self) -> None:
        """Refuse settings that no distribution has.

        Raises:
            UserError: names the setting and its range.
        """
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature {self.temperature}: choose 0 (greedy) or more")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k {self.top_k}: choose 1 or more, or null for the whole vocabulary")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p {self.top_p}: choose a share above 0, up to 1")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min_p {self.min_p}: choose a share from 0 to 1")


def uniforms(seed: int, row: int, count: int) -> np.ndarray:
    """The ``count`` random numbers in [0, 1) of one row, float32: they depend on ``(seed, row)`` alone."""
    return np.random.default_rng([seed, row]).random(count, dtype=np.float32)


def pick(
    logits: torch.Tensor,
    uniform: torch.Tensor | None,
    temperature: float,
    top_k: int | None,
    top_p: float,
    min_p: float = 0.0,
) -> torch.Tensor:
    """One token a row, all rows by the same settings; see ``draw``. ``uniform`` is not read when ``temperature`` is 0."""
    if temperature == 0 or uniform is None:
        return most_probable(logits)
    return draw(logits, uniform, Columns.of([Settings(temperature, top_k, top_p, min_p)], logits.device))


def most_probable(logits: torch.Tensor) -> torch.Tensor:
    """The first of the largest entries of each row, int64; on a CPU NumPy is the faster to find it."""
    if logits.device.type == "cpu":
        return torch.from_numpy(logits.detach().float().numpy().argmax(axis=-1))
    return logits.argmax(dim=-1)


Groups = list[tuple["torch.Tensor | None", "Columns | None"]]
"""Rows (None: all of them) and how they are drawn (None: the most probable token)."""


def grouped(settings: Sequence[Settings], device: torch.device) -> Groups:
    """Rows that can be drawn together: greedy ones, ranked ones, all others."""
    kinds: dict[int, list[int]] = {}
    for row, one in enumerate(settings):
        kinds.setdefault(0 if one.temperature == 0 else 1 + one.ranked, []).append(row)
    return [
        (
            torch.tensor(rows, device=device) if len(kinds) > 1 else None,
            Columns.of([settings[row] for row in rows], device) if kind else None,
        )
        for kind, rows in kinds.items()
    ]


def pick_each(logits: torch.Tensor, uniform: torch.Tensor, groups: Groups) -> torch.Tensor:
    """One token a row, each row by its own settings, as it would be picked alone.

    Args:
        logits: (B, V).
        uniform: (B,) in [0, 1), float32; not read for greedy rows.
        groups: what ``grouped`` made of the settings of the B rows.

    Returns:
        Token ids (B,), int64.
    """
    if len(groups) == 1:
        by = groups[0][1]
        return most_probable(logits) if by is None else draw(logits, uniform, by)
    tokens = torch.empty(logits.size(0), dtype=torch.int64, device=logits.device)
    for rows, by in groups:
        tokens[rows] = most_probable(logits[rows]) if by is None else draw(logits[rows], uniform[rows], by)
    return tokens


@dataclass(frozen=True)
class Columns:
    """Settings of several rows, all ranked or none, each a (B, 1) tensor, or a number where the rows share it."""

    ranked: bool
    temperature: torch.Tensor | float
    top_k: torch.Tensor | None
    most: int | None
    """the largest top-k, where every row has one"""
    top_p: torch.Tensor | float
    min_p: torch.Tensor | float

    @staticmethod
    def of(settings: Sequence[Settings], device: torch.device) -> Columns:
        def column(values: list[float]) -> torch.Tensor | float:
            return values[0] if len(set(values)) == 1 else torch.tensor(values, device=device)[:, None]

        tops = [one.top_k for one in settings]
        limits = [top for top in tops if top is not None]
        uneven = len(set(tops)) > 1
        return Columns(
            settings[0].ranked,
            column([one.temperature for one in settings]),
            torch.tensor([top or 2**31 for top in tops], device=device)[:, None] if uneven else None,
            max(limits) if len(limits) == len(tops) else None,
            column([one.top_p for one in settings]),
            column([one.min_p for one in settings]),
        )


def draw(logits: torch.Tensor, uniform: torch.Tensor, by: Columns) -> torch.Tensor:
    """One token a row, by inverting the cumulative distribution at ``uniform``: in the order of the vocabulary, or of
    the probabilities where the rows are ranked.

    Args:
        logits: (B, V).
        uniform: (B,) in [0, 1), float32.

    Returns:
        Token ids (B,), int64.
    """
    logits, ids = logits.float(), None
    if by.ranked:
        mass, ids = _ranked(logits, by)
    else:
        mass = (logits / by.temperature).softmax(dim=-1)
    if isinstance(by.min_p, torch.Tensor) or by.min_p > 0:
        highest = mass[:, :1] if by.ranked else mass.amax(dim=-1, keepdim=True)
        mass = mass.masked_fill(mass < by.min_p * highest, 0.0)
    total = mass.cumsum(dim=-1)
    # uniform <= 1 - 2**-24, so the product stays below the last entry and a token without mass is never chosen
    chosen = torch.searchsorted(total, (uniform[:, None] * total[:, -1:]), right=True)  # (B, 1)
    return (chosen if ids is None else ids.gather(-1, chosen)).squeeze(-1)


def _ranked(logits: torch.Tensor, by: Columns) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (B, k), descending and cut by top-k and top-p, and the ids they belong to."""
    size = logits.size(-1)
    nucleus = isinstance(by.top_p, torch.Tensor) or by.top_p < 1
    if by.most is None and nucleus and by.top_k is None and logits.device.type == "cpu" and size > NARROW:
        top, ids = logits.topk(NARROW, dim=-1)
        scaled = logits / by.temperature
        mass = (top / by.temperature - scaled.logsumexp(dim=-1, keepdim=True)).exp()
        if bool((mass.sum(dim=-1, keepdim=True) >= by.top_p).all()):
            return _nucleus(mass, by), ids
    top, ids = logits.topk(min(by.most or size, size), dim=-1)
    if by.top_k is not None:
        top = top.masked_fill(torch.arange(top.size(-1), device=top.device) >= by.top_k, float("-inf"))
    mass = (top / by.temperature).softmax(dim=-1)
    return (_nucleus(mass, by) if nucleus else mass), ids


def _nucleus(mass: torch.Tensor, by: Columns) -> torch.Tensor:
    return mass.masked_fill(mass.cumsum(dim=-1) - mass >= by.top_p, 0.0)  # the first one always stays
