"""What a run folder has recorded: json in, plain data out; nothing is read from prose or terminal output."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from litgpt_zh.stage import MANIFEST, UserError

TRAININGS = ("pretrain", "sft")
PREFERENCES = ("dpo", "dpo-lora", "online/round-*/train")
"""Where trainings on preferences lie in a run."""
_STAGE_FOLDERS = (
    "corpus",
    "tokenizer",
    "tokens",
    "pretrain",
    "sft-data",
    "instructions",
    "sft",
    "sft-lora",
    "online",
    "evaluate",
)


@dataclass
class Stage:
    """One line of the stages table."""

    name: str
    command: str = ""
    seconds: float | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Training:
    """The log of one training: ``metrics.jsonl`` and ``samples.jsonl``."""

    metrics: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Iterations and finite values of ``key``, in the order of the log."""
        points = [(m.get("iter", m.get("step")), m.get(key)) for m in self.metrics]
        kept = [(float(x), float(y)) for x, y in points if _finite(x) and _finite(y)]
        return [x for x, _ in kept], [y for _, y in kept]

    def last(self, key: str) -> float | None:
        """The last finite value of ``key``."""
        values = self.series(key)[1]
        return values[-1] if values else None


@dataclass
class Run:
    """Everything the page shows."""

    folder: Path
    info: dict[str, Any]
    stages: list[Stage]
    trainings: dict[str, Training]
    score: dict[str, Any] | None
    sweep: dict[str, Any] | None = None
    preferences: dict[str, Training] = field(default_factory=dict)
    """trainings on preferences, by their folder in the run"""

    def stage(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)


def read_run(run_dir: Path) -> Run:
    """Read a run folder; whatever is missing stays empty.

    Raises:
        UserError: no such folder, nothing recorded in it, or a broken file.
    """
    if not run_dir.is_dir():
        raise UserError(f"{run_dir}: no such folder; give the folder of a run (quickstart and journey make one)")
    info = _json(run_dir / "run.json") or {}
    stages = [_stage(run_dir, entry) for entry in info.get("stages") or _found(run_dir)]
    folders = {entry.get("name"): _folder(run_dir, entry) for entry in info.get("stages") or []}
    trainings = {}
    for name in TRAININGS:
        folder = folders.get(name) or run_dir / name
        folder = folder.parent if folder.name == "final" else folder
        training = Training(_lines(folder / "metrics.jsonl"), _lines(folder / "samples.jsonl"))
        if training.metrics or training.samples:
            trainings[name] = training
    scores = [run_dir / "score.json", *(folder / "score.json" for folder in folders.values() if folder)]
    scores += sorted(run_dir.glob("*/score.json"))
    score = next((found for path in scores if (found := _json(path))), None)
    sweeps = [run_dir / "sweep.json", *sorted(run_dir.glob("*/sweep.json"))]
    sweep = next((found for path in sweeps if (found := _json(path))), None)
    if not (info or stages or trainings or score or sweep):
        raise UserError(
            f"{run_dir}: nothing recorded (no run.json, manifest.json, metrics.jsonl or score.json); run a stage"
        )
    return Run(run_dir, info, stages, trainings, score, sweep, _preferences(run_dir))


def _preferences(run_dir: Path) -> dict[str, Training]:
    folders = [folder for place in PREFERENCES for folder in sorted(run_dir.glob(place))]
    found = {str(f.relative_to(run_dir)).removesuffix("/train"): Training(_lines(f / "metrics.jsonl")) for f in folders}
    return {name: training for name, training in found.items() if training.metrics}


def _found(run_dir: Path) -> list[dict[str, Any]]:
    """Stage folders of a run without ``run.json``."""
    names = [name for name in _STAGE_FOLDERS if _manifest(run_dir / name)]
    return [{"name": name, "folder": name} for name in names]


def _stage(run_dir: Path, entry: dict[str, Any]) -> Stage:
    folder = _folder(run_dir, entry)
    manifest = (_manifest(folder) if folder else None) or {}
    seconds = entry.get("seconds")
    return Stage(
        name=str(entry.get("name") or manifest.get("stage") or "?"),
        command=entry.get("command") or "",
        seconds=manifest.get("seconds") if seconds is None else seconds,
        counts=entry.get("counts") or manifest.get("counts") or {},
        settings=manifest.get("settings") or {},
    )


def _folder(run_dir: Path, entry: dict[str, Any]) -> Path | None:
    """The stage's folder: absolute, inside the run folder, or relative to where the run was started."""
    named = entry.get("folder") or entry.get("name")
    if not named:
        return None
    return run_dir / named if (run_dir / named).is_dir() else Path(named)


def _manifest(folder: Path) -> dict[str, Any] | None:
    return _json(folder / MANIFEST) or _json(folder / "final" / MANIFEST)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: broken JSON ({error.msg}, line {error.lineno}); mend it or run its stage again"
        ) from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: a JSON object is expected; run its stage again")
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    """Records of a jsonl file; a last line torn by a kill ends it."""
    records: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return [record for record in records if isinstance(record, dict)]


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
