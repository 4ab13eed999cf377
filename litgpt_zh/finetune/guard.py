"""The trained weights of the last validation that the objective had nothing against, in a file of the run's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from litgpt_zh.sampling import unwrap

FILE = "guard.ckpt"
"""Not named ``.pth``: that is litgpt's own."""


def keep(model: Any, out_dir: Path, step: int) -> None:
    """Write the weights that are trained (LoRA: the adapters), whole or not at all."""
    weights = {name: p.detach() for name, p in unwrap(model).named_parameters() if p.requires_grad}
    out_dir.mkdir(parents=True, exist_ok=True)
    beside = out_dir / (FILE + ".tmp")
    torch.save({"step": step, "model": weights}, beside)
    os.replace(beside, out_dir / FILE)


def restore(model: Any, out_dir: Path, device: torch.device) -> int:
    """Put back what ``keep`` wrote last; returns its step."""
    state = torch.load(out_dir / FILE, map_location=device, weights_only=True)
    with torch.no_grad():
        for name, parameter in unwrap(model).named_parameters():
            if parameter.requires_grad:
                parameter.copy_(state["model"][name])
    return state["step"]
