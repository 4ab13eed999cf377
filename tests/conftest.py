"""One tiny walk through everything, shared by the tests that look at what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

AS_INSTALLED = {"PYTHONPATH": str(Path(__file__).parent / "as_installed")}
"""What commands see is what a user has: ``as_installed/sitecustomize.py``."""

PLAIN = {**os.environ, **AS_INSTALLED, "TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}
QUICK = {**PLAIN, "LANG": "zh_CN.UTF-8", "LC_ALL": "zh_CN.UTF-8"}
"""Compiling costs more than it brings at this size; benchmarks/journey.py runs with it."""

WALK = ("litgpt-zh", "quickstart", "--scale", "tiny", "--out_dir", "quickstart")
"""From a folder of its own: relative paths, so that two walks can be compared to the last byte of their manifests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first (the Makefile keeps this order): what one worker does alone at the end is short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def run(*argv: str, stdin: str = "", cwd: Path | None = None, timeout: int = 600) -> subprocess.CompletedProcess[str]:
    """A command as a person types it: ``litgpt ...`` or ``litgpt-zh ...``."""
    module = {"litgpt": "litgpt", "litgpt-zh": "litgpt_zh"}[argv[0]]
    command = [sys.executable, "-m", module, *argv[1:]]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=cwd, env=QUICK, timeout=timeout)


@dataclass
class Walk:
    """A finished quickstart at the tiny scale."""

    folder: Path
    output: str
    bars: str
    seconds: float

    @property
    def sft(self) -> Path:
        return self.folder / "sft" / "final"


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """``litgpt-zh quickstart --scale tiny``, once for all tests."""
    home = tmp_path_factory.mktemp("walk")
    started = time.perf_counter()
    done = run(*WALK, cwd=home)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Walk(home / "quickstart", done.stdout, done.stderr, time.perf_counter() - started)


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locale in which we speak English: where none is named, we speak Chinese."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``trainings.make_home``, once."""
    from trainings import make_home

    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def base(home: Path) -> Path:
    """A checkpoint pretrained in ``home / "base"``, once."""
    import torch
    from trainings import pretrain

    with pytest.MonkeyPatch.context() as patch, torch.compiler.set_stance("force_eager"):
        return pretrain(home, home / "base", patch)


@pytest.fixture(scope="module")
def no_compile():
    """Compiling costs more than it brings at this size."""
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield
