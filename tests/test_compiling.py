"""Long runs of SFT on a CPU compile the blocks: the same training, stopped and resumed too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from trainings import finetune, losses, same_weights, stop_at

from litgpt_zh import compiling

pytestmark = pytest.mark.slow


def test_compiled_blocks_train_alike_and_resume_exactly(
    home: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := compiling.why_not(torch.device("cpu")):
        pytest.skip(reason)
    plain = losses((finetune(home, base, tmp_path / "eager", monkeypatch)).parent)
    monkeypatch.setattr(compiling, "MANY", 1)
    torch._dynamo.reset()
    counters.clear()
    whole = finetune(home, base, tmp_path / "whole", monkeypatch)
    assert counters["stats"]["unique_graphs"] == 1  # all blocks, all lengths, and nothing that is not training
    found = losses(whole.parent)
    assert [line[:2] for line in found] == [line[:2] for line in plain]
    assert [line[2] for line in found] == pytest.approx([line[2] for line in plain], rel=1e-4)

    revive = stop_at(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        finetune(home, base, tmp_path / "stopped", monkeypatch)
    revive()
    torch._dynamo.reset()
    stopped = finetune(home, base, tmp_path / "stopped", monkeypatch)
    assert same_weights(stopped, whole) and losses(stopped.parent) == found
