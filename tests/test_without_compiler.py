"""litgpt compiles whatever it pretrains; a machine that cannot compile still trains, and says why it is slower."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import test_kill
from trainings import BLOCK

from litgpt_zh import runlog


@pytest.mark.slow
def test_pretraining_without_a_compiler(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    nothing = {"CXX": str(tmp_path / "no-such-compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    able = {name: value for name, value in os.environ.items() if name != "TORCH_COMPILE_DISABLE"}
    monkeypatch.setattr(
        test_kill,
        "ENVIRONMENT",
        {**able, **nothing, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "LC_ALL": "en_US.UTF-8"},
    )
    name, recipe = test_kill.recipe_of("pretrain", home, base)
    recipe["train"]["max_tokens"] = 3 * 8 * BLOCK
    done = test_kill.start(name, recipe, tmp_path / "run").wait()
    told = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert done == 0, told[-3000:]
    assert "torch.compile does not work here (" in told and "wants a C++ compiler" in told
    assert [line["step"] for line in runlog.read(tmp_path / "run/metrics.jsonl") if "loss" in line] == [1, 2, 3]
