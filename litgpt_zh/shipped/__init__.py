"""The recipes, the tokenizer and the pages that come with the project, for a folder that is no checkout of it.

The repository keeps them in its top-level ``recipes/``, ``tokenizer/`` and ``docs/``; a wheel carries copies in here
(``setup.py``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from litgpt_zh.stage import UserError

NAMES = ("recipes", "tokenizer", "docs")
_HERE = Path(__file__).parent


def folder(name: str) -> Path:
    """``recipes/``, ``tokenizer/`` or ``docs/``: the wheel's, or those of the checkout that this package lies in.

    Raises:
        UserError: the installation lacks them.
    """
    for place in (_HERE / name, _HERE.parents[1] / name):
        if place.is_dir():
            return place
    raise UserError(f"{_HERE}: this installation has no {name}; install litgpt-zh again")


def recipes(out_dir: Path = Path(".")) -> None:
    """Lay recipes/, tokenizer/ and docs/ into a folder, so that the commands of the docs work there as they are typed, and
    the pages that help and messages name are there: begin with docs/index.md.

    A file that is there already is never changed: one that differs is named and kept.

    Args:
        out_dir: the folder you work in.

    Raises:
        UserError: ``out_dir``, or recipes, tokenizer or docs in it, is a file.
    """
    for name in NAMES:
        lay(name, Path(out_dir) / name)


def lay(name: str, target: Path) -> None:
    """Copy the files of ``folder(name)`` into ``target`` and say what was copied and what was kept.

    Raises:
        UserError: ``target`` is a file.
    """
    source, copied, kept = folder(name), 0, []
    try:
        target.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{target}: a file is in the way; name another folder") from None
    for file in sorted(path for path in source.iterdir() if path.is_file()):
        here = target / file.name
        if not here.exists():
            shutil.copyfile(file, here)
            copied += 1
        elif here.read_bytes() != file.read_bytes():
            kept.append(file.name)
    print(f"{target}: {copied} files" + (f"; kept yours: {', '.join(kept)}" if kept else ""))
