"""Fused attention, forward and backward, causal: bfloat16 against float32 with the casts there and back.

    python benchmarks/attention.py    # seconds

Both in this process, in turn, the fastest of fourteen by CPU time; the last figure is the bar that
``litgpt_zh/attention.py`` stands on.
"""

from __future__ import annotations

import sys
import time

import torch
import torch.nn.functional as F

from litgpt_zh.attention import SHORT

SHAPES = ((8, 4, 80, 32), (8, 4, 112, 32), (8, 4, SHORT, 32), (4, 8, 512, 64), (1, 12, 1024, 64))
"""Rows, heads, tokens, head size: SFT (twice) and pretraining at 2m, training at 44m, a block of the 100m."""


def seconds(shape: tuple[int, ...], dtype: torch.dtype) -> float:
    q, k, v = (torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    gradient = torch.randn(shape, dtype=torch.bfloat16)
    started = time.process_time()
    out = F.scaled_dot_product_attention(q.to(dtype), k.to(dtype), v.to(dtype), is_causal=True)
    out.to(torch.bfloat16).backward(gradient)
    return time.process_time() - started


def main() -> int:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    worst = float("inf")
    for shape in SHAPES:
        times = [[seconds(shape, dtype) for dtype in (torch.bfloat16, torch.float32)] for _ in range(14)]
        bfloat16, float32 = (min(column) for column in zip(*times, strict=True))
        print(f"  {shape}: bfloat16 {1e3 * bfloat16:.2f} ms, float32 {1e3 * float32:.2f} ms, {bfloat16 / float32:.2f}x")
        if shape[2] <= SHORT:
            worst = min(worst, bfloat16 / float32)
    missed = "" if worst >= 1 else "  MISSED"
    print(f"float32 over bfloat16, blocks up to {SHORT}: {worst:.2f} (bar: >= 1){missed}")
    return 0 if worst >= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
