"""How fast a training goes: tokens per second, and MFU where the peak of the device is known."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import torch

PEAKS = {
    r"B200": 2250e12,
    r"H200|H100 80GB HBM3": 989e12,
    r"H200 NVL|H100 NVL": 835e12,
    r"H100 PCIe": 756e12,
    r"A100-SXM4-\d+GB|A100-PCIE-\d+GB|A100 80GB PCIe": 312e12,
    r"L40S": 362e12,
    r"L40": 181e12,
    r"L4": 121e12,
    r"RTX 5090": 209.5e12,
    r"RTX 4090": 165.2e12,
    r"RTX 4080": 97.5e12,
    r"RTX 3090 Ti": 80e12,
    r"RTX 3090": 71e12,
}
"""Name of a card -> FLOP/s of its tensor cores in bfloat16 or float16 with float32 accumulation, dense.

From NVIDIA's data sheets (H100, H200, A100, L4, L40, L40S, B200; half of what they print "with sparsity") and architecture white
papers (GA102, Ada, RTX Blackwell). Lightning's own table has the CUDA cores' figure for the RTX cards, half of this, and for
some others the one with sparsity.
"""


def peak_of(name: str) -> float | None:
    """The peak of a GPU by the name its driver gives it, such as ``NVIDIA GeForce RTX 3090``; None where it is not known.

    A laptop's card, a slice of a card (MIG) and a variant for one market are other cards than the one they are named after.
    """
    plain = re.sub(r"^NVIDIA |GeForce ", "", name)
    return next((peak for pattern, peak in PEAKS.items() if re.fullmatch(pattern, plain)), None)


def peak(fabric: Any) -> float | None:
    """FLOP/s that all devices of a run have in its precision; None on a CPU, in 32 bits, and where the card is not known."""
    if fabric.device.type != "cuda" or "16" not in str(fabric.strategy.precision.precision):
        return None
    name = torch.cuda.get_device_name(fabric.device)
    found = peak_of(name)
    if found is None:
        fabric.print(f"MFU is not logged: the peak of {name} is not known here (litgpt_zh/throughput.py)")
        return None
    return found * fabric.world_size


def flops_per_token(config: Any, length: int) -> float:
    """Forward and backward of one token, in floating-point operations.

    6 for each parameter but those of the embedding, which are looked up (a tied head counts), and causal attention over
    ``length`` tokens; as in PaLM's appendix B (arXiv 2204.02311), which counts attention as if it were not causal.
    """
    from litgpt import GPT

    with torch.device("meta"):
        parameters = sum(p.numel() for p in GPT(config).parameters())
    parameters -= config.padded_vocab_size * config.n_embd
    return 6 * parameters + 6 * config.n_layer * config.n_head * config.head_size * length


class Meter:
    """Tokens per second from one log to the next, what is no training left out: validation, samples, checkpoints."""

    def __init__(self, device: torch.device, cost: float = 0.0, peak: float | None = None) -> None:
        """
        Args:
            device: of this process; waited for before a pause and after it.
            cost: ``flops_per_token``.
            peak: of all devices, FLOP/s; None leaves MFU out.
        """
        self.device, self.cost, self.peak = device, cost, peak
        self._paused = 0.0
        self._last: tuple[float, float] | None = None

    def at(self, tokens: float) -> dict[str, float]:
        """``tokens_per_second`` since the last call, and ``mfu`` (0 to 1); empty at the first.

        Args:
            tokens: of all processes, since the beginning.
        """
        now = time.perf_counter()
        before, self._last = self._last, (now, tokens)
        paused, self._paused = self._paused, 0.0
        if before is None or now - before[0] - paused <= 0:
            return {}
        rate = (tokens - before[1]) / (now - before[0] - paused)
        mfu = {"mfu": round(rate * self.cost / self.peak, 4)} if self.peak else {}
        return {"tokens_per_second": round(rate, 1), **mfu}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The time of the block does not count."""
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self._paused += time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def shown(speed: dict[str, float]) -> dict[str, str]:
    """What ``Meter.at`` gives, as a progress bar shows it."""
    found = {"tokens/s": f"{speed['tokens_per_second']:,.0f}"} if "tokens_per_second" in speed else {}
    return found | ({"MFU": f"{speed['mfu']:.1%}"} if "mfu" in speed else {})
