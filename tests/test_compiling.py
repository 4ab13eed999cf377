"""Long runs of SFT on a CPU compile the blocks: the same training, stopped and resumed too; pretraining compiles its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from trainings import finetune, losses, pretrain, same_weights, stop_at

from litgpt_zh import compiling
from litgpt_zh.pretrain import run as pretraining
from litgpt_zh.pretrain.run import loss_for

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


def test_the_loss_of_pretraining_is_compiled_to_the_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """litgpt counts operations in a dispatch mode: a compiled function that is called in one is never compiled again."""
    if reason := compiling.why_not(torch.device("cpu")):
        pytest.skip(reason)
    found: list[tuple[str, torch.dtype]] = []

    def watched(data: Any, tokenizer: Any) -> Any:
        loss = loss_for(data, tokenizer)

        def call(logits: torch.Tensor, targets: torch.Tensor, **options: Any) -> torch.Tensor:
            value = loss(logits, targets, **options)
            if value.requires_grad and not targets.is_meta:
                found.append((type(value.grad_fn).__name__, logits.dtype))
            return value

        return call

    monkeypatch.setattr(pretraining, "loss_for", watched)
    torch._dynamo.reset()
    with torch.compiler.set_stance("default"):  # other tests turn compiling off
        pretrain(home, tmp_path / "run", monkeypatch, precision="bf16-mixed")
    assert len(found) >= 4 and set(found) == {("CompiledFunctionBackward", torch.bfloat16)}
