"""Before hours of work: one micro batch, measured, and one line that says what is coming."""

from __future__ import annotations

import re
import resource
import shutil
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch

from litgpt_zh.language import say
from litgpt_zh.stage import UserError

_FULL = re.compile(r"not enough memory|out of memory|can't allocate memory", re.I)


def preflight(
    name: str,
    micro_batch: Callable[[], object],
    *,
    micro_batch_size: int,
    tokens_per_micro_batch: float,
    micro_batches: int,
    steps: int,
    out_dir: Path,
    disk_bytes: int,
    device: torch.device,
) -> float:
    """Run ``micro_batch`` (forward and backward, no step) twice and print tokens, steps, speed, time, disk and memory.

    The first call compiles and is not timed. The caller's gradients are zero afterwards by its own doing. ``disk_bytes`` is
    what the run's checkpoints will take at most.

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
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        torch.cuda.empty_cache()
        raise UserError(_smaller(micro_batch_size)) from None
    free = shutil.disk_usage(out_dir).free
    if free < disk_bytes:
        raise UserError(
            f"{out_dir}: {free / 1e9:.1f} GB free, checkpoints need {disk_bytes / 1e9:.1f} GB; free some space first"
        )
    rate = tokens_per_micro_batch / seconds
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return rate
    tokens, left = micro_batches * tokens_per_micro_batch, timedelta(seconds=round(micro_batches * seconds))
    disk, room, memory = (n / 1e9 for n in (disk_bytes, free, _memory(device)))
    print(
        say(
            f"{name}：{tokens:,.0f} 个词元，{steps:,} 步 | 量得每秒 {rate:,.0f} 个词元 | 约 {left} | 磁盘要 {disk:.1f} GB，空着 "
            f"{room:.0f} GB | {micro_batch_size} 条的一个微批之后，内存 {memory:.2f} GB",
            f"{name}: {tokens:,.0f} tokens in {steps:,} steps | {rate:,.0f} tokens/s measured | about {left} | disk {disk:.1f} GB "
            f"of {room:.0f} GB free | memory {memory:.2f} GB after one micro batch of {micro_batch_size}",
        ),
        flush=True,
    )
    return rate


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch has a class for CUDA, and only words for the CPU and MPS."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_FULL.search(str(error)))


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
