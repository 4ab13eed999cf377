"""The training loss: one cross entropy over the whole micro batch, requests left out."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F


def cross_entropy(
    logits: torch.Tensor | list[torch.Tensor], targets: torch.Tensor, chunk_size: int = 128, ignore_index: int = -100
) -> torch.Tensor:
    """Mean cross entropy, as litgpt's ``chunked_cross_entropy`` gives it, in one call instead of ~400.

    Args:
        logits: (B, T, V), or a list of chunks along T as litgpt's chunked head returns them.
        targets: (B, T), token ids; ``ignore_index`` where nothing is to be learnt.
        chunk_size: accepted for litgpt's sake and not used.

    Returns:
        A scalar, in nats per counted token, float32; 0 where every target is ignored.
    """
    if isinstance(logits, list):
        logits = torch.cat(logits, dim=1)
    logits, targets = logits.reshape(-1, logits.size(-1)), targets.reshape(-1)
    total = F.cross_entropy(logits.float(), targets, ignore_index=ignore_index, reduction="sum")
    return total / (targets != ignore_index).sum().clamp(min=1)


def without_requests(targets: torch.Tensor, user: int, assistant: int, ignore_index: int = -100) -> torch.Tensor:
    """Targets (B, T) with everything between ``<|user|>`` and ``<|assistant|>`` ignored.

    The words of a request are drawn at random: nothing about them can be learnt, and their loss (about 9 nats each) would
    drown what the story says of how to use them.
    """
    places = torch.arange(targets.size(1), device=targets.device).expand_as(targets)
    opened = torch.where(targets == user, places, -1).cummax(1).values
    closed = torch.where(targets == assistant, places, -1).cummax(1).values
    return targets.masked_fill((opened > closed) & (opened != places), ignore_index)


def loss_without_requests(user: int, assistant: int) -> Callable[..., torch.Tensor]:
    """``cross_entropy`` over targets ``without_requests``."""

    def loss(
        logits: torch.Tensor, targets: torch.Tensor, chunk_size: int = 128, ignore_index: int = -100
    ) -> torch.Tensor:
        return cross_entropy(logits, without_requests(targets, user, assistant, ignore_index))

    return loss
