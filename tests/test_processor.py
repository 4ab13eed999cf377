"""What the processor says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from litgpt_zh.generate.load import batch_dtype
from litgpt_zh.processor import has_bfloat16


@pytest.mark.parametrize(
    ("flags", "expected"), [("fma avx512_bf16 sse2", True), ("amx_bf16", True), ("avx512f", False), (None, False)]
)
def test_bfloat16(flags: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(file: Path, encoding: str) -> str:
        assert str(file) == "/proc/cpuinfo"
        if flags is None:
            raise FileNotFoundError  # macOS
        return f"flags\t\t: {flags}\n"

    monkeypatch.setattr(Path, "read_text", read)
    assert has_bfloat16() is expected
    assert batch_dtype("auto") == (torch.bfloat16 if expected else None)
    assert batch_dtype("32-true") == torch.float32
