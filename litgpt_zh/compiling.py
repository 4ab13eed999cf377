"""``torch.compile`` on a CPU."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from litgpt.model import GPT
from torch._inductor.runtime.cache_dir_utils import cache_dir, default_cache_dir

from litgpt_zh.loops import swapped

MANY = 3000
"""Steps of finetuning from which compiling pays: half a minute of it against a tenth of each step."""


@functools.cache
def why_not(device: torch.device) -> str:
    """Why ``torch.compile`` fails on this device; empty where it works."""
    clear_unfinished()
    try:
        torch.compile(lambda x: 2 * x + 1)(torch.zeros(8, device=device))
    except Exception as error:  # a compiler, Python's headers, Triton: each fails in its own way
        said = [line for line in str(error).splitlines() if line.strip() and not line.startswith("backend=")]
        return said[0] if said else type(error).__name__
    return ""


def clear_unfinished() -> None:
    """Remove what a stopped compiler left in torch's cache: torch would load the half of a library, in every later run.

    A build has a folder beside it, ``NAME_CxxBuild``, that goes when it is done, and holds a lock while it runs
    (``CppBuilder.build`` and ``_worker_compile_cpp`` of ``torch._inductor``, 2.7 to 2.13).
    """
    for root in {Path(cache_dir()), Path(default_cache_dir())}:  # precompiled headers stay in the second
        for folder in root.glob("*/*_CxxBuild"):
            name = folder.name.removesuffix("_CxxBuild")
            locks = (folder.parent if folder.parent.name == "precompiled_headers" else root) / "locks"
            with contextlib.suppress(Timeout, OSError), FileLock(locks / f"{name.split('.')[0]}.lock", timeout=0):
                if folder.is_dir():  # not done meanwhile
                    for file in folder.parent.glob(f"{name}.*"):
                        if file.suffix not in (".cpp", ".h"):  # sources are whole
                            file.unlink()
                    shutil.rmtree(folder)


def compile_blocks(model: Any, device: torch.device, steps: int) -> None:
    """Compile the blocks of litgpt's GPT (all alike: once) for rows of any length, where a run has enough ``steps`` for it.

    The caller begins with the same shapes in every run, resumed or not, since they decide what is generated, and so how
    sums are rounded. Everything but training goes under ``eager``. On a GPU nothing is compiled here: not measured.

    Args:
        model: not wrapped.
        steps: of the whole run, those before a resume too.
    """
    if device.type == "cpu" and steps >= MANY and not why_not(device):
        for block in model.transformer.h:
            block.compile(dynamic=True)


def eager() -> Any:
    """While it lasts, compiled modules run as they were written."""
    return torch.compiler.set_stance("force_eager")


@contextlib.contextmanager
def by_blocks(device: torch.device) -> Iterator[None]:
    """While litgpt compiles its GPT on a CPU: one block for all instead of the whole model.

    A step takes as long, and the first one a ninth of the time (docs/LOG.md). What is not in a block adds up in one order:
    a compiled embedding would do so by atomic additions, and a killed run would end in other weights than one left alone.
    """
    original = torch.compile

    def compile_model(model: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(model, GPT):
            return original(model, *args, **options)
        for block in model.transformer.h:
            block.compile()
        return model

    with swapped(torch, compile=compile_model) if device.type == "cpu" else contextlib.nullcontext():
        yield
