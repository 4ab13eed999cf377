"""The next token: greedy or sampled, one uniform number a token."""

from __future__ import annotations

import numpy as np
import torch

from litgpt_zh.stage import UserError


def require_settings(temperature: float, top_k: int | None, top_p: float) -> None:
    """Refuse settings that no distribution has.

    Raises:
        UserError: names the setting and its range.
    """
    if temperature < 0:
        raise UserError(f"temperature {temperature}: choose 0 (greedy) or more")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k {top_k}: choose 1 or more, or null for the whole vocabulary")
    if not 0 < top_p <= 1:
        raise UserError(f"top_p {top_p}: choose a share above 0, up to 1")


def uniforms(seed: int, row: int, count: int) -> np.ndarray:
    """The ``count`` random numbers in [0, 1) of one row, float32: they depend on ``(seed, row)`` alone."""
    return np.random.default_rng([seed, row]).random(count, dtype=np.float32)


def pick(
    logits: torch.Tensor, uniform: torch.Tensor | None, temperature: float, top_k: int | None, top_p: float
) -> torch.Tensor:
    """One token a row, by inverting the cumulative distribution at ``uniform``.

    The order is litgpt's: top-k, then temperature, then top-p.

    Args:
        logits: (B, V).
        uniform: (B,) in [0, 1), float32; not read when ``temperature`` is 0.

    Returns:
        Token ids (B,), int64.
    """
    if temperature == 0 or uniform is None:
        return logits.argmax(dim=-1)
    logits = logits.float()
    ids = None
    if top_k is not None or top_p < 1:
        logits, ids = logits.topk(min(top_k or logits.size(-1), logits.size(-1)), dim=-1)  # (B, k), descending
    mass = (logits / temperature).softmax(dim=-1)
    if top_p < 1:
        mass = mass.masked_fill(mass.cumsum(dim=-1) - mass >= top_p, 0.0)  # the first one always stays
    total = mass.cumsum(dim=-1)
    # uniform <= 1 - 2**-24, so the product stays below the last entry and a token without mass is never chosen
    chosen = torch.searchsorted(total, (uniform[:, None] * total[:, -1:]), right=True)  # (B, 1)
    return (chosen if ids is None else ids.gather(-1, chosen)).squeeze(-1)
