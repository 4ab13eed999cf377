"""One merged record of a training run, however often it was stopped: ``metrics.jsonl`` and ``samples.jsonl``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.loggers.logger import Logger

from litgpt_zh.stage import UserError


class Diverged(UserError):
    """A loss or gradient that is no finite number ended a training."""


class RunLog(Logger):
    """A Fabric logger beside the user's own: every ``fabric.log_dict`` becomes a line of ``metrics.jsonl``.

    litgpt starts a new csv file at each resume; this one drops the lines past the resumed iteration and goes on, so a
    run that was killed leaves the same sequence as one that was not (times aside).
    """

    def __init__(self, out_dir: Path, resume_iter: int = 0) -> None:
        self.folder = out_dir
        out_dir.mkdir(parents=True, exist_ok=True)
        for name in ("metrics.jsonl", "samples.jsonl"):
            _truncate(out_dir / name, resume_iter)

    @property
    def name(self) -> str:
        return "runlog"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Append one line; ``iter`` is what a resume cuts by, so it is always there."""
        values = {key: _number(value) for key, value in metrics.items()}
        _append(self.folder / "metrics.jsonl", {"iter": int(values.get("iter", step or 0)), **values})

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Settings are in the manifest."""

    def sample(self, iteration: int, share: float, prompt: str, text: str) -> None:
        """Append one point of the timeline: what the model says to one prompt after ``share`` of the training."""
        _append(self.folder / "samples.jsonl", {"iter": iteration, "share": share, "prompt": prompt, "text": text})


@contextlib.contextmanager
def diverging(out_dir: Path, first: bool = True) -> Iterator[None]:
    """Leave a line with ``diverged`` in ``metrics.jsonl`` where the block ends because of a loss that is no number.

    Of several processes only the ``first`` writes.

    Raises:
        Diverged: in the words of the loop, or for what litgpt's pretraining raises then: Fabric does not clip gradients that
            are no numbers, and e to the power of the validation loss is too large.
    """
    try:
        yield
    except (Diverged, RuntimeError, OverflowError) as error:
        if isinstance(error, RuntimeError) and "non-finite" not in str(error):
            raise
        done = [line for line in read(out_dir / "metrics.jsonl") if "step" in line]
        step = done[-1]["step"] if done else 0
        if first:
            iteration = done[-1]["iter"] + 1 if done else 1
            _append(out_dir / "metrics.jsonl", {"iter": iteration, "step": step, "diverged": 1})
        if isinstance(error, Diverged):
            raise
        raise Diverged(
            f"after step {step}: the loss or its gradient is not a finite number; "
            "start over (--resume false) with a smaller learning rate, or with --precision 32-true"
        ) from None


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a ``*.jsonl`` of ours; a last line torn by a kill is left out."""
    lines = []
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return lines


def _truncate(file: Path, resume_iter: int) -> None:
    kept = [line for line in read(file) if line["iter"] <= resume_iter] if resume_iter else []
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept), encoding="utf-8")


def _append(file: Path, line: dict[str, Any]) -> None:
    with open(file, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(line, ensure_ascii=False) + "\n")


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value
