"""Checkpoint folders that every stage and every stock litgpt command accepts, and that never lie.

A training folder is litgpt's: ``step-*`` while it runs, ``final/`` at the end. A ``step-*`` folder appears by one rename;
``final/`` is finished when it holds our manifest, which is written last.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from litgpt_zh.hf_config import hf_config, obstacle, special_ids
from litgpt_zh.language import say
from litgpt_zh.stage import (
    MANIFEST,
    Manifest,
    UserError,
    disk_errors,
    fingerprint,
    require_files,
    set_aside,
    versions,
    write_text,
)

WEIGHTS = "lit_model.pth"
PLAN = "plan.json"
_PENDING = ".pending-"


def claim(out_dir: Path, plan: Manifest, *, resume: object) -> bool:
    """Decide what a training run finds in ``out_dir``; True when that very run is already finished.

    A finished run with other settings, or step checkpoints that are not to be resumed, are moved aside (``*.old``).

    Raises:
        UserError: step checkpoints of other settings would be resumed.
    """
    for leftover in out_dir.glob(_PENDING + "*"):
        shutil.rmtree(leftover)
    final, plan_file = out_dir / "final", out_dir / PLAN
    if (final / MANIFEST).is_file() and _same(Manifest.read(final).__dict__, plan):
        return True
    steps = step_folders(out_dir)
    if (final / MANIFEST).is_file() or (steps and not resume):
        aside = [set_aside(folder) for folder in (final, *steps) if folder.exists()]
        moved = ", ".join(p.name for p in aside)
        print(
            say(
                f"{out_dir}：里面是更早的一次训练，挪到旁边：{moved}",
                f"{out_dir}: an earlier run is there; moved aside: {moved}",
            )
        )
    elif steps and plan_file.is_file():
        before = json.loads(plan_file.read_text(encoding="utf-8"))
        if changed := _changes(before, plan):
            raise UserError(
                f"{out_dir}: checkpoints of a run with other {', '.join(changed)}; use those settings again, "
                "another out_dir, or --resume false to start over"
            )
    out_dir.mkdir(parents=True, exist_ok=True)
    write_text(plan_file, json.dumps({"settings": plan.settings, "inputs": plan.inputs}, ensure_ascii=False, indent=1))
    return False


def finished_told(final: Path) -> str:
    """What a run says where ``claim`` is true."""
    return say(
        f"{final}：用这些设置已经做完，没有事要做", f"{final}: already finished with these settings; nothing to do"
    )


def _same(found: dict[str, Any], plan: Manifest) -> bool:
    return not _changes(found, plan)


def _changes(found: dict[str, Any], plan: Manifest) -> list[str]:
    """Names of settings and inputs that differ, with both values where they are short."""
    names = []
    for part, now in (("settings", plan.settings), ("inputs", plan.inputs)):
        before = found.get(part, {})
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                values = f" ({before.get(key)!r} then, {now.get(key)!r} now)"
                names.append(key + (values if len(values) < 80 else ""))
    return names


def plan_of(stage: str, inputs: dict[str, Path], settings: dict[str, Any]) -> Manifest:
    """The manifest a run will have, before its results: settings as JSON values, inputs as fingerprints."""
    plain = json.loads(json.dumps(settings, default=str))
    return Manifest(stage, plain, {role: fingerprint(path) for role, path in inputs.items()}, versions=versions())


def step_folders(out_dir: Path) -> list[Path]:
    """``step-*`` folders, oldest first."""
    found = [p for p in out_dir.glob("step-*") if p.is_dir() and p.name[5:].isdigit()]
    return sorted(found, key=lambda p: int(p.name[5:]))


def latest(out_dir: Path, file_name: str = WEIGHTS) -> Path | None:
    """The newest whole checkpoint file; a torn one never shadows the good one before it."""
    for folder in reversed(step_folders(out_dir)):
        if zipfile.is_zipfile(folder / file_name):
            return folder / file_name
    return None


def find_resume_path(resume: bool | str | Path, out_dir: Path) -> Path | None:
    """Takes the place of litgpt's function of that name (same arguments), and skips what is not whole.

    Raises:
        UserError: ``resume=True`` and there is nothing to resume.
    """
    if not resume or isinstance(resume, Path):
        return resume or None
    found = latest(out_dir)
    if found is None and resume is True:
        raise UserError(f"{out_dir}: --resume true, but there is no whole step-* checkpoint; use --resume auto")
    return found


@contextlib.contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Write a checkpoint folder beside its name; it appears by one rename when the block ends well."""
    pending = folder.with_name(_PENDING + folder.name)
    shutil.rmtree(pending, ignore_errors=True)
    pending.mkdir(parents=True)
    with disk_errors(folder):
        yield pending
        if folder.exists():
            set_aside(folder)
        os.replace(pending, folder)


@contextlib.contextmanager
def appearing_for_all(fabric: Any, folder: Path) -> Iterator[Path]:
    """``appearing`` for a block that every process runs; the first one makes the folder, and the others wait for it."""
    if fabric.global_rank == 0:
        with appearing(folder) as pending:
            fabric.barrier()
            yield pending
            fabric.barrier()
    else:
        fabric.barrier()
        yield folder.with_name(_PENDING + folder.name)
        fabric.barrier()


def copy_model(source: Path, target: Path) -> None:
    """Copy the files of a checkpoint folder, but not its manifest, nor adapters that are merged."""
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name != MANIFEST and file.suffix != ".lora":
            shutil.copyfile(file, target / file.name)


def keep_newest(out_dir: Path, keep: int) -> None:
    """Delete all but the ``keep`` newest step checkpoints."""
    for folder in step_folders(out_dir)[: -keep or None]:
        shutil.rmtree(folder)


def flat_weights(file: Path) -> dict[str, torch.Tensor]:
    """The state dict of a checkpoint file in either form, ``{name: tensor}`` or ``{"model": {name: tensor}, ...}``.

    Raises:
        UserError: not a torch checkpoint, or one that holds more than weights.
    """
    try:
        state = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{file}: holds more than weights, which could run code when it is read; it was not opened. "
            "Take the model as safetensors instead (litgpt-zh import_hf)"
        ) from None
    except (RuntimeError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: not a whole torch checkpoint ({str(error).splitlines()[0]})") from None
    return state.get("model", state)


def untie(final: Path, base: Path) -> Any:
    """Mend a merge of LoRA into the head of a model whose head is its input embedding too; returns the model's config.

    litgpt's merge adds to both, for they share their memory in ``base``: the input embedding was not trained, so ``base`` has
    it still. From here on the two are apart, and the config says so.
    """
    from litgpt.config import Config
    from litgpt.utils import save_config

    weights = dict(flat_weights(final / WEIGHTS))
    weights["transformer.wte.weight"] = flat_weights(base / WEIGHTS)["transformer.wte.weight"]
    torch.save({name: weight.clone() for name, weight in weights.items()}, final / (WEIGHTS + ".tmp"))
    os.replace(final / (WEIGHTS + ".tmp"), final / WEIGHTS)
    config = Config.from_file(final / "model_config.yaml")
    config.hf_config = {**config.hf_config, "tie_word_embeddings": False}
    save_config(config, final)
    return config


def finish(final: Path, plan: Manifest, config: Any, counts: dict[str, Any], seconds: float) -> None:
    """Turn what litgpt wrote into ``final`` into a folder that stands alone, and seal it with the manifest."""
    with disk_errors(final):
        weights = flat_weights(final / WEIGHTS)
        torch.save(dict(weights), final / (WEIGHTS + ".tmp"))
        os.replace(final / (WEIGHTS + ".tmp"), final / WEIGHTS)
        write_hf_files(final, config)
        plan.counts = counts
        plan.seconds = round(seconds, 3)
        plan.outputs = {p.name: fingerprint(p) for p in sorted(final.iterdir()) if p.is_file() and p.name != MANIFEST}
        plan.write(final)


def write_hf_files(folder: Path, config: Any) -> None:
    """``config.json`` and ``generation_config.json`` of this very model, where transformers has a form for it."""
    if obstacle(config) is None:
        ids = special_ids(folder)
        write_text(folder / "config.json", json.dumps(hf_config(config, ids), indent=1))
        generation = {"eos_token_id": ids["eos_token_id"], "do_sample": True, "temperature": 0.8}
        write_text(folder / "generation_config.json", json.dumps(generation, indent=1))


def require_checkpoint(folder: Path) -> None:
    """Refuse a checkpoint folder that lacks a file, or whose tokenizer does not fit its model.

    Raises:
        UserError: names the folder and what is wrong.
    """
    require_files(
        folder, (WEIGHTS, "model_config.yaml", "tokenizer.json"), made_by="a finished training run (its final/)"
    )
    config = yaml.safe_load((folder / "model_config.yaml").read_text("utf-8"))
    size = len(json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"])
    if size > config["padded_vocab_size"]:
        raise UserError(
            f"{folder}: its tokenizer has {size} entries, its model {config['padded_vocab_size']}; "
            "put back the tokenizer.json the model was trained with"
        )
