"""What made a checkpoint: the manifests of the stages behind it, as far as their folders are still there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from litgpt_zh.checkpoints import WEIGHTS
from litgpt_zh.stage import MANIFEST, Manifest, UserError, fingerprint


@dataclass
class History:
    """The stages behind a checkpoint, earliest first, its own last; ``missing`` names inputs whose folder was not found."""

    stages: list[Manifest] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def of(self, stage: str) -> list[Manifest]:
        return [manifest for manifest in self.stages if manifest.stage == stage]


def verify(checkpoint: Path) -> None:
    """Refuse a finished training's folder in which a file was changed afterwards; one without a manifest passes.

    Raises:
        UserError: names the file.
    """
    if not (checkpoint / MANIFEST).is_file():
        return
    for name, said in Manifest.read(checkpoint).outputs.items():
        if (checkpoint / name).is_file() and fingerprint(checkpoint / name) == said:
            continue
        raise UserError(
            f"{checkpoint / name}: is not the file the training wrote; put it back, or delete {MANIFEST} beside it "
            "if you changed it on purpose"
        )


def history(checkpoint: Path) -> History:
    """Follow the inputs of ``checkpoint`` back, by content: a folder counts when its manifest has the recorded hashes.

    Looked at are the run's own folder (two above ``final/``) and the folders beside the data and checkpoints that
    ``hyperparameters.yaml`` names.
    """
    found = History()
    if (checkpoint / MANIFEST).is_file():
        _follow(checkpoint, Manifest.read(checkpoint), _nearby(checkpoint), found, {checkpoint.resolve()})
    return found


def _follow(folder: Path, manifest: Manifest, nearby: dict[Path, Manifest], found: History, seen: set[Path]) -> None:
    for role, said in manifest.inputs.items():
        before = next((path for path, other in nearby.items() if _made(other, said)), None)
        if before is None:
            if isinstance(said, dict) and (
                "outputs" in said or role == "base"
            ):  # made by a stage, not found in the world
                found.missing.append(f"{manifest.stage}: {role}")
        elif before not in seen:
            seen.add(before)
            _follow(before, nearby[before], nearby | _nearby(before), found, seen)
    found.stages.append(manifest)


def _made(manifest: Manifest, said: Any) -> bool:
    """Whether ``said``, a fingerprint recorded as an input, is of this manifest's folder or of the file it is made for."""
    if not isinstance(said, dict):
        return False
    if "outputs" in said:
        return said == {"stage": manifest.stage, "outputs": manifest.outputs}
    # every training folder has a copy of the tokenizer: only the stage itself made it
    return said == manifest.outputs.get("tokenizer.json" if manifest.stage == "tokenizer" else WEIGHTS)


def _nearby(folder: Path) -> dict[Path, Manifest]:
    """Finished stages around a folder, itself excluded; trainings by their ``final/``."""
    roots = [folder.resolve().parent.parent, folder.resolve().parent]
    if (folder / "hyperparameters.yaml").is_file():
        settings = yaml.safe_load((folder / "hyperparameters.yaml").read_text(encoding="utf-8"))
        roots += [Path(path).resolve().parent for path in _folders(settings)]
    found = {}
    for root in dict.fromkeys(roots):
        for file in sorted([*root.glob(f"*/{MANIFEST}"), *root.glob(f"*/final/{MANIFEST}")]):
            if file.parent != folder.resolve():
                try:
                    found[file.parent] = Manifest.read(file.parent)
                except UserError:  # somebody else's manifest.json
                    continue
    return found


def _folders(value: Any, key: str = "") -> list[str]:
    if isinstance(value, dict):
        return [path for name, inner in value.items() for path in _folders(inner, str(name))]
    return [value] if isinstance(value, str) and key.endswith("_dir") and key != "out_dir" else []


def find_score(checkpoint: Path) -> Path | None:
    """The folder beside the run that holds a score card of this very checkpoint."""
    if (checkpoint / MANIFEST).is_file():
        for folder, manifest in _nearby(checkpoint).items():
            if _place(manifest, checkpoint) is not None:
                return folder
    return None


def read_score(folder: Path, checkpoint: Path) -> tuple[Manifest, dict[str, Any]]:
    """The manifest of a score card, and the card of ``checkpoint`` in it (it may hold several).

    Raises:
        UserError: not a score card, or that of other checkpoints.
    """
    manifest = Manifest.read(folder)
    if manifest.stage != "evaluate" or not (folder / "score.json").is_file():
        raise UserError(f"{folder}: not a score card; litgpt-zh evaluate_stories makes one")
    place = _place(manifest, checkpoint)
    if place is None:
        raise UserError(f"{folder}: the score card of another checkpoint than {checkpoint}; score this one first")
    score = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    card = [score, *score.get("others", ())][place]
    return manifest, {"synthetic": score.get("synthetic")} | card


def _place(manifest: Manifest, checkpoint: Path) -> int | None:
    """Which of the checkpoints that a score card compares this one is, by content; None if it is none of them."""
    if manifest.stage != "evaluate":
        return None
    names = manifest.settings.get("checkpoints")
    roles = [f"checkpoint {name}" for name in names] if names else ["checkpoint"]
    here = fingerprint(checkpoint)
    return next((place for place, role in enumerate(roles) if manifest.inputs.get(role) == here), None)
