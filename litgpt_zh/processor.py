"""What the processor can do."""

from __future__ import annotations

from pathlib import Path


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices faster than float32 ones (Linux says; elsewhere: no)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
