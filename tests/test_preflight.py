"""The line before a long training: true figures, and the way out where memory or disk are too small."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from litgpt_zh.preflight import is_full, preflight
from litgpt_zh.stage import UserError


def fly(out_dir: Path, micro_batch: Callable[[], object] = lambda: None, **changes: Any) -> float:
    plan = {
        "micro_batch_size": 8, "tokens_per_micro_batch": 2048, "micro_batches": 100, "steps": 50, "out_dir": out_dir,
        "disk_bytes": 10**6, "device": torch.device("cpu"),
    }  # fmt: skip
    return preflight("pretrain", micro_batch, **plan | changes)


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("zh_CN.UTF-8", ("204,800 个词元", "50 步", "量得每秒", "磁盘要", "8 条的一个微批之后，内存")),
        ("en_US.UTF-8", ("204,800 tokens in 50 steps", "tokens/s measured", "free", "after one micro batch of 8")),
    ],
)
def test_the_line_says_what_is_coming(
    locale: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    calls: list[float] = []

    def micro_batch() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.02)

    rate = fly(tmp_path, micro_batch)
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and all(word in told for word in words), told
    assert len(calls) == 2 and 0 < rate <= 2048 / 0.02  # the first call, which compiles, is not in it


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "mps", "python"],
)
def test_too_little_memory_names_the_micro_batch_to_try(error: Exception, tmp_path: Path) -> None:
    def micro_batch() -> None:
        raise error

    assert is_full(error)
    with pytest.raises(UserError, match=r"micro batch of 8: try --train\.micro_batch_size 4 \(the global batch"):
        fly(tmp_path, micro_batch)
    with pytest.raises(UserError, match="micro batch of 1: use a smaller model"):
        fly(tmp_path, micro_batch, micro_batch_size=1)


def test_another_error_is_not_taken_for_it(tmp_path: Path) -> None:
    def micro_batch() -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape"):
        fly(tmp_path, micro_batch)


def test_too_small_a_disk_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litgpt_zh.preflight.shutil.disk_usage", lambda _: SimpleNamespace(free=5 * 10**8))
    with pytest.raises(UserError, match=r"0\.5 GB free, checkpoints need 2\.0 GB; free some space first"):
        fly(tmp_path, disk_bytes=2 * 10**9)
