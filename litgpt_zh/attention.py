"""Attention in litgpt's GPT: in which precision a CPU trains it, and what may stand in for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from litgpt.model import GPT, CausalSelfAttention, KVCache

from litgpt_zh.loops import swapped

SHORT = 256
"""Longest block in tokens that was found faster so."""


@contextlib.contextmanager
def fastest(fabric: Any, block_size: int) -> Iterator[None]:
    """Train in bfloat16 on a CPU with attention in float32; leave everything else to PyTorch.

    The backward of PyTorch's fused kernel takes several times as long in bfloat16 as in float32, casts included
    (``benchmarks/attention.py``); the longer the block, the less. Rounding less, it is no worse either.
    """
    if fabric.device.type != "cpu" or "bf16" not in str(fabric.strategy.precision.precision) or block_size > SHORT:
        yield
        return
    original = CausalSelfAttention.scaled_dot_product_attention

    def in_float32(self: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any = None) -> torch.Tensor:
        if mask is not None:  # a step of generation
            return original(self, q, k, v, mask)
        with torch.autocast("cpu", enabled=False):
            return original(self, q.float(), k.float(), v.float()).to(q.dtype)

    with swapped(CausalSelfAttention, scaled_dot_product_attention=in_float32):
        yield


@contextlib.contextmanager
def standing_in(model: GPT, caches: Sequence[KVCache], attend: Callable[..., torch.Tensor]) -> Iterator[None]:
    """While it lasts, ``model(ids, positions)`` uses these caches, and ``attend`` for its attention; then it is as it was.

    Args:
        model: not wrapped.
        caches: one a layer.
        attend: (layer, q, k, v, mask) as ``CausalSelfAttention.scaled_dot_product_attention``; the mask says nothing.
    """
    layers = [block.attn for block in model.transformer.h]
    before = [layer.kv_cache for layer in layers], model.mask_cache
    try:
        for layer, cache in zip(layers, caches, strict=True):
            layer.kv_cache = cache
            layer.scaled_dot_product_attention = partial(attend, layer)
        # litgpt looks a mask up for each row, which nothing here reads: one column instead of length x length
        model.mask_cache = torch.ones(
            1, 1, model.max_seq_length, 1, dtype=torch.bool, device=model.transformer.wte.weight.device
        )
        yield
    finally:
        for layer, cache in zip(layers, before[0], strict=True):
            layer.kv_cache = cache
            layer.__dict__.pop("scaled_dot_product_attention", None)
        model.mask_cache = before[1]
