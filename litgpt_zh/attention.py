"""Which of PyTorch's attention kernels trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch.backends import cuda
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 256
"""Longest block in tokens for which plain attention is the faster one."""


@contextlib.contextmanager
def fastest(fabric: Any, block_size: int) -> Iterator[None]:
    """Train in bfloat16 on a CPU with plain attention, (B, heads, T, T) scores and all; leave everything else to PyTorch.

    ``scaled_dot_product_attention`` takes its fused kernel there, whose backward in bfloat16 is slower than the two
    products it saves, up to blocks of ``SHORT`` tokens (``benchmarks/attention.py``). Not so in float32.
    """
    if fabric.device.type != "cpu" or "bf16" not in str(fabric.strategy.precision.precision) or block_size > SHORT:
        yield
        return
    before = cuda.fp16_bf16_reduction_math_sdp_allowed()
    cuda.allow_fp16_bf16_reduction_math_sdp(True)  # else it would go to float32 and back
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        cuda.allow_fp16_bf16_reduction_math_sdp(before)
