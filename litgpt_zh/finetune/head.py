"""The output head on the tokens that are learnt, and on no others: prompts and padding cost no logits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from litgpt_zh.instruct.dataset import IGNORE
from litgpt_zh.sampling import unwrap

ROWS = 64
"""The head sees a multiple of so many rows: a CPU keeps a kernel for every number that it met, gigabytes in a long run."""


@contextlib.contextmanager
def head_only_at(model: Any, places: torch.Tensor) -> Iterator[None]:
    """While it lasts, ``model(ids)`` gives logits (N, V) of the N ``places`` in ``ids`` laid flat.

    More rows follow up to a multiple of ``ROWS``, of no meaning.
    """
    places = F.pad(places, (0, -len(places) % ROWS))

    def pick(_: Any, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return inputs[0].flatten(0, 1)[places]  # (B, T, C) -> (N, C)

    handle = unwrap(model).lm_head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def token_nll(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each labelled token, given what stands before it.

    Args:
        model: litgpt's GPT, wrapped or not.
        input_ids: (B, T), right-padded.
        labels: (B, T), -100 where a token is not learnt.

    Returns:
        Nats, float32 (N,), row by row; and where the N tokens stand in ``labels[:, 1:]``, bool (B, T - 1).
    """
    targets = labels[:, 1:]
    mask = targets != IGNORE
    with head_only_at(model, mask.flatten().nonzero().squeeze(1)):
        logits = model(input_ids[:, :-1])
    return nll_of(logits, targets[mask]), mask


def nll_of(logits: torch.Tensor, learnt: torch.Tensor) -> torch.Tensor:
    """Cross entropy, float32 (N,), of the tokens ``learnt`` (N,), given what ``head_only_at`` leaves of the logits."""
    return F.cross_entropy(logits[: len(learnt)].float(), learnt, reduction="none")
