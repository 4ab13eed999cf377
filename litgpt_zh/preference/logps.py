"""Log-probabilities of completions under a litgpt model, with the output head on the completions alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from litgpt_zh.instruct.dataset import IGNORE
from litgpt_zh.sampling import unwrap


@contextlib.contextmanager
def head_only_at(model: Any, mask: torch.Tensor) -> Iterator[None]:
    """While it lasts, ``model(ids)`` gives logits (N, V) of the N positions in ``mask`` (B, T), row by row."""

    def pick(_: Any, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return inputs[0][mask]  # (B, T, C) -> (N, C)

    handle = unwrap(model).lm_head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def completion_logps(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed log-probabilities of the labelled tokens, each given what stands before it.

    Args:
        model: litgpt's GPT, wrapped or not.
        input_ids: (B, T), right-padded.
        labels: (B, T), -100 where a token is not part of the completion.

    Returns:
        Sums in nats, float32 (B,), and the number of tokens, int64 (B,).
    """
    targets = labels[:, 1:]
    mask = targets != IGNORE  # (B, T - 1)
    with head_only_at(model, mask):
        logits = model(input_ids[:, :-1])  # (N, V)
    nll = F.cross_entropy(logits.float(), targets[mask], reduction="none")  # (N,)
    spread = torch.zeros(mask.shape, device=nll.device).masked_scatter(mask, nll)
    return -spread.sum(dim=1), mask.sum(dim=1)
