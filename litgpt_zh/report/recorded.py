"""What a run folder has recorded: json in, plain data out; nothing is read from prose or terminal output."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from litgpt_zh.stage import MANIFEST, UserError

TRAININGS = ("pretrain", "sft")
"""Those that a page names even where they were not run."""
_OF_PREFERENCES = ("rewards/", "val_guard_")
"""Beginnings of what only trainings on preferences log."""
_ORDER = "download corpus tokenizer tokens pretrain translate sft-data instructions sft sft-lora".split()
"""Stages of a run without ``run.json`` come in this order, others behind them by name."""


@dataclass
class Stage:
    """One line of the stages table."""

    name: str
    command: str = ""
    seconds: float | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


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
    rounds: list[Stage] = field(default_factory=list)
    """the sampled pairs of each round"""

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
    if not info:
        stages = _behind(run_dir) + stages
    trainings, preferences = _trainings(run_dir, folders)
    scores = [run_dir / "score.json", *(folder / "score.json" for folder in folders.values() if folder)]
    scores += sorted(run_dir.glob("*/score.json"))
    score = next((found for path in scores if (found := _json(path))), None)
    sweeps = [run_dir / "sweep.json", *sorted(run_dir.glob("*/sweep.json"))]
    sweep = next((found for path in sweeps if (found := _json(path))), None)
    if not (info or stages or trainings or preferences or score or sweep):
        raise UserError(
            f"{run_dir}: nothing recorded (no run.json, manifest.json, metrics.jsonl or score.json); run a stage"
        )
    pairs = [folder / "pairs" for folder in _rounds(run_dir, folders)]
    rounds = [_stage(run_dir, {"name": _called(f), "folder": f.absolute()}) for f in pairs if _manifest(f)]
    return Run(run_dir, info, stages, trainings, score, sweep, preferences, rounds)


def _trainings(run_dir: Path, folders: dict[Any, Path | None]) -> tuple[dict[str, Training], dict[str, Training]]:
    """Logs of trainings on text, and of those on preferences: stages of ``run.json`` and whatever else is in the run."""
    places = {name: _run_of(folders.get(name) or run_dir / name) for name in TRAININGS}
    places |= {folder.name: folder for folder in _beside(run_dir, "*") if folder.name not in places}
    places |= {_called(folder / "train"): folder / "train" for folder in _rounds(run_dir, folders)}
    on_text, on_preferences = {}, {}
    for name, folder in places.items():
        training = Training(_lines(folder / "metrics.jsonl"), _lines(folder / "samples.jsonl"))
        if any(key.startswith(_OF_PREFERENCES) for line in training.metrics for key in line):
            on_preferences[name] = training
        elif training.metrics or training.samples:
            on_text[name] = training
    return on_text, on_preferences


def _rounds(run_dir: Path, folders: dict[Any, Path | None]) -> list[Path]:
    """Folders of the rounds of ``online``, wherever its recipe put them."""
    return _beside(_run_of(folders.get("online") or run_dir / "online"), "round-*")


def _beside(folder: Path, pattern: str) -> list[Path]:
    """What is in a folder by its name; not what is unfinished or was moved aside."""
    return sorted(found for found in folder.glob(pattern) if found.suffix not in (".old", ".partial"))


def _run_of(folder: Path) -> Path:
    return folder.parent if folder.name == "final" else folder


def _called(folder: Path) -> str:
    """``online/round-1`` for its ``train`` or ``pairs``."""
    return f"{folder.parents[1].name}/{folder.parent.name}"


def _found(run_dir: Path) -> list[dict[str, Any]]:
    """Stage folders of a run without ``run.json``."""
    names = [folder.name for folder in _beside(run_dir, "*") if "stage" in (_manifest(folder) or {})]
    ranks = {name: place for place, name in enumerate(_ORDER)}
    return [{"name": name, "folder": name} for name in sorted(names, key=lambda n: (ranks.get(n, len(ranks)), n))]


def _behind(run_dir: Path) -> list[Stage]:
    """What made the data of the trainings in a run without ``run.json``, where it lies in other folders (recipes: data/)."""
    from litgpt_zh.export.history import history

    def key(outputs: Any) -> str:
        return json.dumps(outputs, sort_keys=True)

    known = {key((_manifest(folder) or {}).get("outputs")) for folder in _beside(run_dir, "*")}
    found = []
    for final in sorted(run_dir.glob("*/final")):
        for made in history(final).stages:
            if key(made.outputs) not in known:
                known.add(key(made.outputs))
                found.append(Stage(made.stage, "", made.seconds, made.counts, made.settings, made.versions))
    return found


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
        versions=manifest.get("versions") or {},
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
