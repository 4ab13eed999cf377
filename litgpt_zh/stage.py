"""Stages: one folder in, one folder out, a manifest that says how.

A stage writes beside its final name (``<out>.partial``) and renames when complete, so a finished name always holds a
finished stage. The manifest (``manifest.json``) records inputs with hashes, settings, counts in and out with the reason
of every dropped record, versions and output hashes. A stage called again with the same inputs and settings does nothing;
a stopped one finds its own partial folder and goes on; two processes never write to one folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import xxhash

MANIFEST = "manifest.json"
PARTIAL = ".partial"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers (they differ between systems) of a disk, or a person's share of it, that is full."""
_TORCH_COULD_NOT_WRITE = re.compile("PytorchStreamWriter|inline_container.*unexpected pos|iostream error")
"""What ``torch.save`` says then: it writes the file itself, and tells no number."""
_VERSIONED = ("litgpt-zh", "litgpt", "lightning", "torch", "tokenizers", "numpy")


class UserError(Exception):
    """Something the user can mend. The message is one line: what, where, and the way out."""


@dataclass
class Manifest:
    """What made a folder and what came out. ``outputs`` maps file name to ``{"bytes", "xxh3"}``."""

    stage: str
    settings: dict[str, Any]
    inputs: dict[str, Any]
    counts: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    created: str = ""

    @staticmethod
    def read(folder: Path | str) -> Manifest:
        """The manifest of ``folder``.

        Raises:
            UserError: the folder has no manifest or a broken one (it is not a finished stage).
        """
        path = Path(folder) / MANIFEST
        try:
            return Manifest(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(f"{folder}: not a finished stage (no {MANIFEST}); run the stage that makes it") from None
        except (json.JSONDecodeError, TypeError) as error:
            raise UserError(f"{path}: broken manifest ({error}); delete the folder and run its stage again") from None

    def write(self, folder: Path) -> None:
        write_text(folder / MANIFEST, json.dumps(self.__dict__, ensure_ascii=False, indent=1))


@dataclass
class Workspace:
    """Handed to the body of ``with open_stage(...)``.

    When ``finished`` is true there is nothing to do. Otherwise write files into ``folder`` and reasons into ``counts``;
    ``resumed`` says that the folder holds what an earlier, stopped call with the same inputs and settings had written.
    """

    folder: Path
    manifest: Manifest
    finished: bool
    resumed: bool = False

    @property
    def counts(self) -> dict[str, Any]:
        return self.manifest.counts


def is_made(folder: Path, plan: Manifest) -> bool:
    """Whether ``folder`` is what ``plan`` would make: a finished stage of the same name, settings and inputs."""
    if not (folder / MANIFEST).is_file():
        return False
    found = Manifest.read(folder)
    return (found.stage, found.settings, found.inputs) == (plan.stage, plan.settings, plan.inputs)


def file_hash(path: Path) -> str:
    """xxh3-128 of a file's bytes, hexadecimal."""
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def require_whole(folder: Path, *, verify: bool = False) -> None:
    """Refuse a stage's folder that is not as it was written.

    Args:
        folder: made by a stage.
        verify: compare hashes too; sizes are always compared.

    Raises:
        UserError: names the file that is missing, truncated or changed.
    """
    manifest = Manifest.read(folder)
    for name, made in manifest.outputs.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        if size != made["bytes"]:
            what = f"{size:,} bytes, {made['bytes']:,} were written"
        elif verify and file_hash(path) != made["xxh3"]:
            what = "changed"
        else:
            continue
        raise UserError(f"{path}: {what}; copy it again or delete {folder} and run `litgpt-zh {manifest.stage}` again")


def fingerprint(path: Path | str) -> dict[str, Any]:
    """What identifies an input: a stage folder by its manifest's outputs, a file by its hash, a plain folder by its files.

    Raises:
        UserError: no such file or folder.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.is_file():
        return {"bytes": path.stat().st_size, "xxh3": file_hash(path)}
    if (path / MANIFEST).is_file():
        return {"stage": Manifest.read(path).stage, "outputs": Manifest.read(path).outputs}
    return {
        str(p.relative_to(path)): fingerprint(p) for p in sorted(path.rglob("*")) if p.is_file() and p.name[0] != "."
    }


@contextlib.contextmanager
def open_stage(
    stage: str,
    out_dir: Path | str,
    *,
    inputs: Mapping[str, Path | str] | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Iterator[Workspace]:
    """Run a stage into ``out_dir``: skip when finished, resume when stopped, refuse when another run holds the folder.

    Args:
        stage: the stage's name, as in the stage map.
        out_dir: the folder that will appear, complete.
        inputs: role -> file or folder that the stage reads; hashed into the manifest.
        settings: everything else that determines the output (JSON values), the seed included.
        overwrite: move a folder made with other inputs or settings aside (``<out>.old``) instead of refusing.

    Raises:
        UserError: an input is missing; ``out_dir`` holds something else; another process writes there; disk full.
    """
    out_dir = Path(out_dir)
    manifest = Manifest(
        stage=stage,
        settings=json.loads(json.dumps(dict(settings or {}), default=str)),
        inputs={role: fingerprint(path) for role, path in (inputs or {}).items()},
        versions=versions(),
    )
    partial = out_dir.with_name(out_dir.name + PARTIAL)
    with exclusive(out_dir):
        if _is_finished(out_dir, manifest, overwrite):
            yield Workspace(out_dir, Manifest.read(out_dir), finished=True)
            return
        work = Workspace(partial, manifest, finished=False, resumed=_claim_partial(partial, manifest))
        started = time.perf_counter()
        with disk_errors(partial):
            yield work
            manifest.seconds = round(time.perf_counter() - started, 3)
            (partial / _PLAN).unlink()
            manifest.outputs = {
                str(p.relative_to(partial)): fingerprint(p) for p in sorted(partial.rglob("*")) if p.is_file()
            }
            manifest.created = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            manifest.write(partial)
        if out_dir.exists():
            set_aside(out_dir)
        os.replace(partial, out_dir)


_PLAN = ".plan.json"


def _is_finished(out_dir: Path, manifest: Manifest, overwrite: bool) -> bool:
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return False
    if not (out_dir / MANIFEST).is_file():
        raise UserError(f"{out_dir}: exists and is not the output of a stage; choose another out_dir or move it away")
    found = Manifest.read(out_dir)
    changed = _difference(found, manifest)
    if not changed:
        return True
    if overwrite:
        return False
    raise UserError(
        f"{out_dir}: already made with other {', '.join(changed)}; choose another out_dir or pass --overwrite true"
    )


def _difference(found: Manifest, wanted: Manifest) -> list[str]:
    if found.stage != wanted.stage:
        return [f"stage ({found.stage})"]
    changed = [
        f"input {k}" for k in sorted({*found.inputs, *wanted.inputs}) if found.inputs.get(k) != wanted.inputs.get(k)
    ]
    keys = sorted({*found.settings, *wanted.settings})
    return changed + [
        f"{k} ({found.settings.get(k)!r}, now {wanted.settings.get(k)!r})"
        for k in keys
        if found.settings.get(k) != wanted.settings.get(k)
    ]


def _claim_partial(partial: Path, manifest: Manifest) -> bool:
    """Make or take over the partial folder; True when it holds work of an equal plan."""
    plan = {"stage": manifest.stage, "settings": manifest.settings, "inputs": manifest.inputs}
    plan_file = partial / _PLAN
    if plan_file.is_file():
        with contextlib.suppress(json.JSONDecodeError):
            if json.loads(plan_file.read_text(encoding="utf-8")) == plan:
                return True
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    write_text(plan_file, json.dumps(plan, ensure_ascii=False))
    return False


def set_aside(path: Path) -> Path:
    """Rename ``path`` to the first free ``<name>.old[-n]`` and return the new path: nothing is ever deleted."""
    target, n = path.with_name(path.name + ".old"), 1
    while target.exists():
        n += 1
        target = path.with_name(f"{path.name}.old-{n}")
    os.replace(path, target)
    return target


def discard(folder: Path, patterns: Sequence[str]) -> None:
    """Delete the files and folders in ``folder`` that match one of the patterns."""
    for pattern in patterns:
        for found in folder.glob(pattern):
            shutil.rmtree(found) if found.is_dir() else found.unlink()


@contextlib.contextmanager
def exclusive(out_dir: Path) -> Iterator[int]:
    """Hold ``<out>.lock`` while writing; the lock goes with the process, so a killed run never blocks the next.

    Yields its file descriptor: a child that is given it (``pass_fds``) keeps the lock if it outlives a killed parent.

    Raises:
        UserError: another process holds it.
    """
    import fcntl

    out_dir.parent.mkdir(parents=True, exist_ok=True)
    lock = out_dir.with_name(out_dir.name + ".lock")
    with open(lock, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = lock.exists() and os.path.samestat(os.fstat(handle.fileno()), lock.stat())
        except OSError:
            held = False
        if not held:  # somebody has the lock, or has just removed the file we opened
            raise UserError(f"{out_dir}: another process is writing there; wait for it or choose another out_dir")
        try:
            yield handle.fileno()
        finally:
            lock.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into one line that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
    except RuntimeError as error:
        if not _TORCH_COULD_NOT_WRITE.search(str(error)):
            raise
    else:
        return
    raise UserError(f"{path}: disk full; free some space and run the same command again, it will go on")


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all (beside, flush to disk, then rename)."""
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def versions() -> dict[str, str]:
    """Versions of what may change a result."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def progress(total: int | None = None, *, desc: str, unit: str = "it", scale: bool = True, **kwargs: Any) -> Any:
    """A tqdm bar on stderr with rate and time left; in a pipe it prints a line every ten seconds instead of redrawing."""
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(total=total, desc=desc, unit=unit, unit_scale=scale, mininterval=interval, dynamic_ncols=True, **kwargs)


def require_files(folder: Path | str, names: Sequence[str], *, made_by: str) -> None:
    """Refuse a folder that lacks a file.

    Raises:
        UserError: names the folder, the missing file and the stage that makes it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {made_by} makes it")
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"{folder}: {name} is missing; {made_by} makes it")
