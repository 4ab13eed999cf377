"""Sequences that begin with the same prompt: it goes through the model once, and padding not at all.

A pair's two answers, or all samples of a request, share their prompt. Everything in litgpt's GPT but the attention looks at
one token by itself, so there the tokens of a batch stand in one column, each once; the attention gets its rows back.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from litgpt.model import CausalSelfAttention, KVCache

from litgpt_zh.attention import standing_in
from litgpt_zh.finetune.head import ROWS
from litgpt_zh.instruct.dataset import IGNORE


@dataclass(frozen=True)
class Column:
    """The tokens of a batch (B, T), those of a shared prompt once."""

    rows: torch.Tensor
    """(B, T), which of the tokens stands at a place; padding stands for the first"""
    places: torch.Tensor
    """(N,), where the tokens stand in the batch laid flat; some more of no meaning, up to a multiple of ``ROWS``"""

    @property
    def positions(self) -> torch.Tensor:
        """(N, 1), of each token in its sequence."""
        return (self.places % self.rows.size(1))[:, None]


def column(input_ids: torch.Tensor, labels: torch.Tensor) -> Column:
    """The tokens that decide the labelled ones, each once.

    Args:
        input_ids: (B, T), right-padded.
        labels: (B, T) of the tokens one further on, -100 where a token is not learnt. What stands before the first learnt
            one is the prompt.
    """
    learnt, at = labels != IGNORE, torch.arange(labels.size(1), device=labels.device)
    stop = (learnt * (at + 1)).amax(1, keepdim=True)  # (B, 1) tokens up to the last that decides a learnt one
    start = (learnt.int().argmax(1, keepdim=True) + 1) * (stop > 0)  # (B, 1) tokens of the prompt
    prompts = input_ids.masked_fill(at >= start, -1)
    same = (prompts[:, None] == prompts).all(-1)  # (B, B)
    first = same.int().argmax(1)  # (B,) the first row with this prompt
    shared = (at < start) & (first != torch.arange(len(first), device=first.device))[:, None]
    own = (at < stop) & ~shared
    number = own.flatten().cumsum(0).view_as(own) - 1
    rows = torch.where(shared, number[first], number).masked_fill(at >= stop, 0)
    places = own.flatten().nonzero().squeeze(1)
    return Column(rows, F.pad(places, (0, -len(places) % ROWS)))


def serves(model: Any) -> bool:
    """Whether the attention of litgpt's GPT is causal over the whole sequence in all layers.

    Args:
        model: not wrapped.
    """
    layers = [block.attn for block in model.transformer.h]
    return all(isinstance(a, CausalSelfAttention) and not a.apply_sliding_window_attention for a in layers)


def attending(model: Any, tokens: Column) -> AbstractContextManager[None]:
    """While it lasts, ``model(ids (N, 1), positions (N, 1))`` gives each of the tokens what stands before it.

    Args:
        model: litgpt's GPT, not wrapped; comes back as it was.
        tokens: the column.
    """
    through = _Through((1, 1, 1, 1), (1, 1, 1, 1))
    return standing_in(model, [through] * len(model.transformer.h), partial(_attention, tokens))


class _Through(KVCache):
    """Stands in for litgpt's cache: hands back what it is given."""

    def forward(self, input_pos: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return k, v


def _attention(
    tokens: Column, layer: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Stands in for ``CausalSelfAttention.scaled_dot_product_attention``: litgpt's own over the rows.

    (N, heads, 1, size) -> (N, 1, heads, size).
    """
    q, k, v = (_spread(x, tokens.rows) for x in (q, k, v))
    y = type(layer).scaled_dot_product_attention(layer, q, *(x.expand(-1, q.size(1), -1, -1) for x in (k, v)), None)
    flat = y.reshape(tokens.rows.numel(), -1)  # (B T, heads size)
    return F.embedding(tokens.places, flat).view(len(tokens.places), 1, *y.shape[2:])


def _spread(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """(N, heads, 1, size) -> (B, heads, T, size). An embedding adds gradients up faster than an index does."""
    return F.embedding(rows, x.flatten(1)).unflatten(2, (x.size(1), -1)).transpose(1, 2)
