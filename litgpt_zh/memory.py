"""Memory of a process that computes on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed() -> None:
    """Make glibc keep what is freed instead of giving it back to the kernel.

    Every step frees and asks for the same tens of megabytes (logits above all), and the kernel clears each page it gives
    out: 5% of a step, an eighth of a forward pass at 4M parameters, for 5-9% more memory (docs/LOG.md). Other C libraries
    than glibc are left as they are.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_MMAP_MAX, 0)
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(_TOP_PAD, 1 << 26)
