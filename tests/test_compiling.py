"""Long runs of SFT on a CPU compile the blocks: the same training, stopped and resumed too; pretraining compiles its loss."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
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

    def watched(*args: Any) -> Any:
        loss = loss_for(*args)

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


def test_what_a_stopped_compiler_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch takes any file of the right name for a finished one."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    why = "from litgpt_zh.compiling import why_not; import torch; print(why_not(torch.device('cpu')))"

    def in_another_process() -> str:  # what is loaded stays loaded
        return subprocess.run([sys.executable, "-c", why], check=True, capture_output=True, text=True).stdout.strip()

    if reason := in_another_process():
        pytest.skip(reason)
    library = next(tmp_path.glob("*/*.main.so"))
    whole = library.stat().st_size
    compiling.clear_unfinished()
    assert library.stat().st_size == whole
    library.write_bytes(b"")
    assert str(library) in in_another_process()

    library.with_name(f"{library.stem}_CxxBuild").mkdir()
    with FileLock(tmp_path / "locks" / f"{library.name.split('.')[0]}.lock"):
        compiling.clear_unfinished()
        assert library.exists()  # somebody is at it
    assert not in_another_process()
    assert library.stat().st_size == whole and not list(tmp_path.glob("*/*_CxxBuild"))
