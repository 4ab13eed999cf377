"""JSON records with their line numbers, from files that are not all well: one bad record never loses the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litgpt_zh.corpus import readers, streams
from litgpt_zh.stage import MANIFEST, Manifest, UserError

SUFFIXES = tuple(kind + packed for kind in (".json", ".jsonl") for packed in ("", ".gz", ".zst", ".bz2", ".xz"))
"""What is taken out of a folder; a file that is named itself may have any name."""
LIMIT = 64 << 20
_SIDE_FILES = ("examples", "dropped", "rejected", "dead", "report")


class BadRecord(ValueError):
    """Stands in the place of a record that is not JSON; its text is the reason."""


@dataclass(frozen=True)
class Source:
    """A file, and the side of the split all its records belong to (None: by the hash of their group)."""

    path: Path
    side: str | None = None


def sources(names: Sequence[str] | str, kind: str = "auto") -> list[Source]:
    """The files behind ``names``: files, folders of json files (for ``kind`` corpus: of stories in any form), stages.

    The validation stories of a corpus folder stay validation: a model pretrained on its training stories has not seen
    them. They come first.

    Raises:
        UserError: something is missing, or a folder holds no such file.
    """
    found: list[Source] = []
    for name in [names] if isinstance(names, (str, Path)) else names:
        path = Path(name)
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; give json or jsonl files, or folders of them")
        files = readers.files(path)
        if path.is_dir():
            files = [f for f in files if kind == "corpus" or f.name.endswith(SUFFIXES)]
            files = [f for f in files if not f.name.startswith(_SIDE_FILES)]
        if not files:
            raise UserError(f"{path}: holds no json or jsonl file; name the file itself if it is called otherwise")
        found += [Source(file, _side(path, file)) for file in files]
    if not found:
        raise UserError("no source given; name a json or jsonl file, or a folder of them")
    return sorted(found, key=lambda source: source.side != "val")


def _side(folder: Path, file: Path) -> str | None:
    if not (folder / MANIFEST).is_file() or Manifest.read(folder).stage != "corpus":
        return None
    side = file.name.partition("-")[0]
    return side if side in ("train", "val") else None


def read_records(path: Path | str) -> Iterator[tuple[int, Any]]:
    """``(line, record)`` of a JSON array or of JSON lines, compressed or not; ``BadRecord`` where there is no JSON.

    Raises:
        UserError: the file cannot be read, or holds something else than text.
    """
    try:
        with open(path, "rb") as raw:
            head, stream = streams.peek(raw)
            while (what := streams.kind(head)) == "compressed":
                head, stream = streams.peek(streams.decompress(head, stream))
            if what in ("tar", "parquet") or what.startswith("unreadable"):
                raise UserError(f"{path}: {what.removeprefix('unreadable: ')}, not json or jsonl; convert it first")
            pieces = streams.elements if what == "array" else streams.lines
            try:
                for line, data in pieces(stream, LIMIT):
                    if data is None or data.strip():
                        yield line, _parsed(data)
            except streams.DAMAGE as error:
                yield 0, BadRecord(f"damaged file, the rest is lost ({error})")
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its name and rights") from None


def _parsed(data: bytes | None) -> Any:
    if data is None:
        return BadRecord(f"larger than {LIMIT >> 20} MB")
    try:
        return json.loads(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    except UnicodeDecodeError:
        return BadRecord("not valid UTF-8")
    except (ValueError, RecursionError):
        return BadRecord("broken JSON")
