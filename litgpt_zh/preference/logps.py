"""Log-probabilities of completions under a litgpt model."""

from __future__ import annotations

from typing import Any

import torch

from litgpt_zh.finetune.head import token_nll


def completion_logps(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed log-probabilities of the labelled tokens, each given what stands before it.

    Args:
        model: litgpt's GPT, wrapped or not.
        input_ids: (B, T), right-padded.
        labels: (B, T), -100 where a token is not part of the completion.

    Returns:
        Sums in nats, float32 (B,), and the number of tokens, int64 (B,).
    """
    nll, mask = token_nll(model, input_ids, labels)
    spread = torch.zeros(mask.shape, device=nll.device).masked_scatter(mask, nll)
    return -spread.sum(dim=1), mask.sum(dim=1)
