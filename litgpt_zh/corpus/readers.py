"""Stories out of files as they are met in the world: every format is told by its bytes, never by its name.

gzip, zstd, bz2 and xz are read through; a tar is read as a stream, nothing is unpacked to disk. Inside may be JSON
lines, one JSON array, or plain text (stories separated by ``<|endoftext|>`` or, without any, by blank lines); a parquet
file needs the extra ``parquet``. What cannot be used comes out as a `Bad` with place and reason; reading goes on.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from litgpt_zh.corpus import streams
from litgpt_zh.prompts import EOS
from litgpt_zh.stage import MANIFEST, Manifest, UserError

TEXT_FIELDS = ("story_zh", "text", "story", "content")
"""Where the story stands in a record; the first of these keys that a record has decides."""
LISTS = ("words", "features")
STRINGS = ("summary", "sentence", "group", "plot")
"""With `LISTS`, what is carried along beside the text; ``english`` is carried too."""
LIMIT = 16 << 20
_NESTED = 4
_COMMA = re.compile(r"\s*[，,、；;]\s*")

Advance = Callable[[int], Any]


@dataclass(frozen=True)
class Record:
    """One story. ``fields``: ``text`` and what is carried along; ``line`` counts from 1 (rows in a parquet file)."""

    fields: dict[str, Any]
    file: str
    line: int


@dataclass(frozen=True)
class Bad:
    """One record that cannot be used; ``reason`` is one of a few fixed phrases (counted), ``detail`` is free."""

    file: str
    line: int
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


Items = Iterator["Record | Bad"]


def files(path: Path | str | Sequence[Path | str]) -> list[Path]:
    """The files behind ``path``: itself; all files of a folder, sorted, hidden ones left out; those of several paths.

    Of a folder that a stage made, the files of its manifest.

    Raises:
        UserError: no such file or folder, or nothing in it.
    """
    if not isinstance(path, (str, Path)):
        return [file for part in path for file in files(part)]
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(
            f"{path}: no such file or folder; give a file or folder of stories, or 'world' for the built-in ones"
        )
    if (path / MANIFEST).is_file():
        found = [path / name for name in sorted(Manifest.read(path).outputs)]
    else:
        found = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
    if not found:
        raise UserError(f"{path}: empty folder; put the data files there, or use 'world' for the built-in stories")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read(
    path: Path | str | Sequence[Path | str], *, limit: int = LIMIT, advance: Advance | None = None
) -> Iterator[Record | Bad]:
    """Every record of one or several files or folders, in order, in bounded memory.

    Args:
        path: a file, a folder, or a list of both.
        limit: the most bytes one record may have; a longer one is counted as bad and never held in memory.
        advance: told the number of input bytes as they are read (for a progress bar).

    Raises:
        UserError: no such file; a file that is none of the formats; parquet without pyarrow.
    """
    found = files(path)
    parquet = {file for file in found if _known(file) == "parquet"}  # all of them, before the first record
    for file in found:
        if file in parquet:
            yield from _parquet(file, advance)
            continue
        with open(file, "rb") as raw:
            head, stream = streams.peek(raw, advance)
            yield from _stream(stream, head, str(file), limit, _NESTED)


def _known(file: Path) -> str:
    with open(file, "rb") as raw:
        what = streams.kind(streams.peek(raw)[0])
    if what.startswith("unreadable"):
        raise UserError(f"{file}: {what.removeprefix('unreadable: ')}")
    return what


def _stream(stream: BinaryIO, head: bytes, name: str, limit: int, depth: int) -> Items:
    """Records of any stream; damage ends this stream with one `Bad`, not the reading."""
    try:
        what = streams.kind(head)
        if what == "compressed" and depth:
            head, inner = streams.peek(streams.decompress(head, stream))
            yield from _stream(inner, head, name, limit, depth - 1)
        elif what == "tar" and depth:
            yield from _tar(stream, name, limit, depth - 1)
        elif what in _PIECES:
            for line, data in _PIECES[what](stream, limit):
                yield from _record(data, what, name, line)
        elif what != "empty":
            yield Bad(name, 0, "not a known format", "parquet inside an archive" if what == "parquet" else what)
    except streams.DAMAGE as error:
        yield Bad(name, 0, "damaged file", f"{type(error).__name__}: {error}")


_PIECES: dict[str, Callable[[BinaryIO, int], Iterator[streams.Piece]]] = {
    "jsonl": streams.lines,
    "array": streams.elements,
    "text": lambda stream, limit: streams.documents(stream, limit, EOS.encode()),
}


def _tar(stream: BinaryIO, name: str, limit: int, depth: int) -> Items:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=streams.CHUNK) as tar:
        while member := tar.next():
            tar.members.clear()  # type: ignore[attr-defined]  # else the list of a large archive stays in memory
            place = f"{name}!{member.name}"
            path = PurePosixPath(member.name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                yield Bad(place, 0, "unsafe path in archive")
            elif member.isfile():
                head, inner = streams.peek(tar.extractfile(member))
                yield from _stream(inner, head, place, limit, depth)
            elif not member.isdir():
                yield Bad(place, 0, "link or device in archive")


def _record(data: bytes | None, what: str, name: str, line: int) -> Items:
    if data is None:
        yield Bad(name, line, "too large", "over the limit of one record")
        return
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        return  # an empty line between records is no record
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Bad(name, line, "invalid UTF-8", f"byte {error.start}")
        return
    if what == "text":
        yield Record({"text": text}, name, line)
        return
    try:
        value = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair
    except UnicodeEncodeError:
        yield Bad(name, line, "invalid UTF-8", "half of a surrogate pair")
    except (ValueError, RecursionError) as error:
        yield Bad(name, line, "broken json", str(error))
    else:
        yield of_json(value, name, line)


def of_json(value: Any, name: str, line: int) -> Record | Bad:
    """A record from a parsed JSON value: an object with one of `TEXT_FIELDS`, or the story itself as a string."""
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        return Bad(name, line, "not a record", f"a JSON {type(value).__name__}")
    key = next((key for key in TEXT_FIELDS if key in value), None)
    if key is None:
        return Bad(name, line, "no text field", f"none of {', '.join(TEXT_FIELDS)}")
    text = value[key]
    if text is None:
        return Bad(name, line, "null story", key)
    if not isinstance(text, str):
        return Bad(name, line, "text is not a string", key)
    if not text.strip():
        return Bad(name, line, "empty", key)
    carried = {"english": _english(value)} if key == "story_zh" else _carried(value)
    return Record({"text": text, **carried}, name, line)


def _carried(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in LISTS:
        if parts := _parts(value.get(key)):
            found[key] = parts
    for key in STRINGS:
        if isinstance(value.get(key), (str, int)) and value[key] != "":
            found[key] = str(value[key])
    if isinstance(value.get("english"), dict):
        found["english"] = value["english"]
    return found


def _parts(value: Any) -> list[str]:
    if isinstance(value, str):
        value = _COMMA.split(value.strip())
    return [part for part in value if isinstance(part, str) and part] if isinstance(value, list) else []


def _english(value: dict[str, Any]) -> dict[str, Any]:
    """The English side of a TinyStoriesChinese record: its words are not the Chinese story's, so they stay apart."""
    instruction = value.get("instruction")
    instruction = instruction if isinstance(instruction, dict) else {}
    found = {key: value.get(key) for key in ("summary", "source")}
    found["story"] = value.get("story") or value.get("story_en")
    found |= {"prompt": instruction.get("prompt:") or instruction.get("prompt")}
    found |= {key: _parts(instruction.get(key)) for key in LISTS}
    return {key: part for key, part in found.items() if part}


def _parquet(file: Path, advance: Advance | None) -> Items:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f'{file}: parquet needs pyarrow: pip install "litgpt-zh[parquet]"') from None
    row, size = 0, file.stat().st_size
    try:
        table = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        wanted = (*TEXT_FIELDS, *LISTS, *STRINGS, "english", "instruction", "source")
        columns = [name for name in table.schema_arrow.names if name in wanted]
        if not any(name in TEXT_FIELDS for name in columns):
            raise UserError(f"{file}: no text column; rename the one with the stories to 'text'")
        for batch in table.iter_batches(batch_size=512, columns=columns):
            for value in batch.to_pylist():
                row += 1
                yield of_json(
                    {key: part for key, part in value.items() if part is not None or key in TEXT_FIELDS}, str(file), row
                )
            if advance:
                advance(size * batch.num_rows // max(1, table.metadata.num_rows))
    except pa.ArrowException as error:
        yield Bad(str(file), row, "damaged file", str(error).splitlines()[0])
    except UnicodeDecodeError:
        yield Bad(str(file), row, "invalid UTF-8")
