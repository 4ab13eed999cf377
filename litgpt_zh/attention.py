"""In which precision a CPU computes attention while it trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from litgpt.model import CausalSelfAttention

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
