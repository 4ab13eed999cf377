"""Fused against plain attention, forward and backward, causal: why bfloat16 training on a CPU takes the plain one.

    python benchmarks/attention.py    # seconds

Both in this process, in turn, the fastest of eight; the last figure is the bar that ``litgpt_zh/attention.py`` stands on.
"""

from __future__ import annotations

import sys
import time

import torch
import torch.nn.functional as F
from torch.backends import cuda
from torch.nn.attention import SDPBackend, sdpa_kernel

from litgpt_zh.attention import SHORT

SHAPES = ((8, 4, 112, 32), (8, 4, 256, 32), (4, 8, 512, 64), (1, 12, 1024, 64))
"""Rows, heads, tokens, head size: SFT and pretraining at 2m, training at 44m, a block of the 100m."""


def seconds(shape: tuple[int, ...], dtype: torch.dtype, kernel: SDPBackend) -> float:
    q, k, v = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3))
    gradient = torch.randn(shape, dtype=dtype)
    with sdpa_kernel(kernel):
        started = time.perf_counter()
        F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(gradient)
        return time.perf_counter() - started


def main() -> int:
    cuda.allow_fp16_bf16_reduction_math_sdp(True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    worst = float("inf")
    for dtype in (torch.float32, torch.bfloat16):
        for shape in SHAPES:
            times = [
                [seconds(shape, dtype, kernel) for kernel in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH)]
                for _ in range(8)
            ]
            fused, plain = (min(column) for column in zip(*times, strict=True))
            print(f"  {dtype}, {shape}: fused {1e3 * fused:.2f} ms, plain {1e3 * plain:.2f} ms, {fused / plain:.2f}x")
            if dtype is torch.bfloat16 and shape[2] <= SHORT:
                worst = min(worst, fused / plain)
    print(
        f"plain over fused in bfloat16, blocks up to {SHORT}: {worst:.2f} (bar: >= 1){'' if worst >= 1 else '  MISSED'}"
    )
    return 0 if worst >= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
