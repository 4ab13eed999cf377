"""How many rows fit."""

from __future__ import annotations

import os

import torch
from litgpt.model import GPT

from litgpt_zh.generate.cache import row_bytes

SHARE = 0.8
"""Of the free memory that the caches may take; activations and logits need the rest."""


def rows_that_fit(model: GPT, wanted: int, length: int) -> int:
    """``wanted`` rows of ``length`` positions, or as many as the free memory holds, but at least one."""
    free = free_bytes(model.transformer.wte.weight.device)
    return wanted if free is None else max(1, min(wanted, int(SHARE * free) // row_bytes(model, length)))


def free_bytes(device: torch.device) -> int | None:
    """Memory that can still be asked for; None where nothing tells it."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_AVPHYS_PAGES" in names else None
