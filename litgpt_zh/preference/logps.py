"""Log-probabilities of completions under a litgpt model."""

from __future__ import annotations

from typing import Any

import torch

from litgpt_zh.finetune.head import head_only_at, nll_of, token_nll
from litgpt_zh.instruct.dataset import IGNORE
from litgpt_zh.preference import prefix
from litgpt_zh.sampling import unwrap


def completion_logps(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed log-probabilities of the labelled tokens, each given what stands before it.

    Args:
        model: litgpt's GPT, wrapped or not.
        input_ids: (B, T), right-padded.
        labels: (B, T), -100 where a token is not part of the completion.

    Returns:
        Sums in nats, float32 (B,), and the number of tokens, int64 (B,).
    """
    if prefix.serves(gpt := unwrap(model)):
        nll, mask = _each_once(model, gpt, input_ids[:, :-1], labels[:, 1:])
    else:
        nll, mask = token_nll(model, input_ids, labels)
    spread = torch.zeros(mask.shape, device=nll.device).masked_scatter(mask, nll)
    return -spread.sum(dim=1), mask.sum(dim=1)


def _each_once(
    model: Any, gpt: Any, input_ids: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``token_nll``; prompts that rows share go through the model once."""
    mask, tokens = targets != IGNORE, prefix.column(input_ids, targets)
    with prefix.attending(gpt, tokens), head_only_at(model, tokens.rows[mask]):
        logits = model(input_ids.flatten()[tokens.places][:, None], tokens.positions)
    return nll_of(logits, targets[mask]), mask
