"""Several processes, each with the whole model and its share of every batch: litgpt shards models of billions, ours are small.

With one process everything here does nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from litgpt_zh.stage import exclusive

T = TypeVar("T")


class Replicated:
    """Stands in for litgpt's sharding strategies (FSDP, tensor parallel): their call gives a ``DDPStrategy``.

    A class, because litgpt asks ``isinstance(fabric.strategy, FSDPStrategy)`` too: the answer is no.
    """

    def __new__(cls, **sharding: Any) -> Any:
        from lightning.fabric.strategies import DDPStrategy

        return DDPStrategy()


def is_first(fabric: Any) -> bool:
    """Whether this process writes files and talks to people."""
    return fabric.global_rank == 0


@contextlib.contextmanager
def one_run(fabric: Any, out_dir: Path) -> Iterator[None]:
    """``stage.exclusive``, held by the first process for all."""
    with exclusive(out_dir) if is_first(fabric) else contextlib.nullcontext():
        yield


def by_the_first(fabric: Any, function: Callable[[], T]) -> T:
    """What ``function`` returns in the first process, in all of them; the others do not call it."""
    return fabric.broadcast(function() if is_first(fabric) else None)


def summed(fabric: Any, value: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes."""
    return fabric.all_reduce(value, reduce_op="sum") if fabric.world_size > 1 else value
