"""Before hours of work: one micro batch, measured, and one line that says what is coming."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch

from litgpt_zh.stage import UserError


def preflight(
    name: str,
    micro_batch: Callable[[], object],
    *,
    micro_batch_size: int,
    tokens_per_micro_batch: float,
    micro_batches: int,
    steps: int,
    out_dir: Path,
    checkpoint_bytes: int,
    device: torch.device,
) -> float:
    """Run ``micro_batch`` (forward and backward, no step) twice and print tokens, steps, speed, time, disk and memory.

    The first call compiles and is not timed. The caller's gradients are zero afterwards by its own doing.

    Returns:
        Measured tokens per second.

    Raises:
        UserError: the micro batch does not fit in memory (names the one to try), or the disk has no room.
    """
    try:
        micro_batch()
        _sync(device)
        started = time.perf_counter()
        micro_batch()
        _sync(device)
        seconds = time.perf_counter() - started
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        raise UserError(_smaller(micro_batch_size)) from None
    free = shutil.disk_usage(out_dir).free
    need = 3 * checkpoint_bytes
    if free < need:
        raise UserError(
            f"{out_dir}: {free / 1e9:.1f} GB free, checkpoints need {need / 1e9:.1f} GB; free some space first"
        )
    rate = tokens_per_micro_batch / seconds
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return rate
    print(
        f"{name}: {micro_batches * tokens_per_micro_batch:,.0f} tokens in {steps:,} steps | {rate:,.0f} tokens/s measured | "
        f"about {timedelta(seconds=round(micro_batches * seconds))} | disk {need / 1e9:.1f} GB of {free / 1e9:.0f} GB free | "
        f"memory {_memory(device) / 1e9:.2f} GB after one micro batch of {micro_batch_size}",
        flush=True,
    )
    return rate


def _smaller(micro_batch_size: int) -> str:
    if micro_batch_size == 1:
        return "out of memory with a micro batch of 1: use a smaller model or a shorter block"
    return (
        f"out of memory with a micro batch of {micro_batch_size}: try --train.micro_batch_size {micro_batch_size // 2} "
        "(the global batch, and so the result, stays the same)"
    )


def _sync(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device) -> int:
    """Peak bytes: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
