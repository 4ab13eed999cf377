"""Bytes in, bounded pieces out: what a stream is (by its first bytes), decompression, lines, documents, array elements.

Nothing here holds more than one piece of a file in memory, and a piece over its limit is skipped, not read.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import zstandard

CHUNK = 1 << 18
_HEAD = 4096
_COMPRESSED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw, mode="rb")),
    (b"\x28\xb5\x2f\xfd", lambda raw: zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, tarfile.TarError)
"""What a truncated or corrupt stream raises (the bare ``OSError`` of gzip and bz2 is turned into ``EOFError``)."""

Piece = tuple[int, bytes | None]
"""(line where it starts, its bytes), or None instead of the bytes when it was over the limit and skipped."""


class _Rewound(io.RawIOBase):
    """``stream`` with ``head``, taken from it before, put back in front; tells ``advance`` how many bytes were read."""

    def __init__(self, head: bytes, stream: Any, advance: Callable[[int], Any] | None = None) -> None:
        self._head, self._stream, self._advance = head, stream, advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._read(len(buffer))
        data, self._head = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(data)] = data
        if self._advance:
            self._advance(len(data))
        return len(data)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            if error.errno is None:  # bz2 and gzip raise a bare OSError for corrupt data
                raise EOFError(str(error)) from None
            raise


def peek(stream: Any, advance: Callable[[int], Any] | None = None) -> tuple[bytes, BinaryIO]:
    """The first bytes of ``stream`` and a stream that still begins with them."""
    head = b""
    while len(head) < _HEAD and (data := stream.read(_HEAD - len(head))):
        head += data
    return head, io.BufferedReader(_Rewound(head, stream, advance), CHUNK)


def kind(head: bytes) -> str:
    """What a stream that begins with ``head`` is.

    One of ``compressed, tar, parquet, array, jsonl, text, empty``, or ``unreadable: <what it is>``.
    """
    if not head:
        return "empty"
    if any(head.startswith(magic) for magic, _ in _COMPRESSED):
        return "compressed"
    if head.startswith(b"PAR1"):
        return "parquet"
    if _is_tar(head):
        return "tar"
    if head.startswith((b"PK\x03\x04", b"7z\xbc\xaf", b"Rar!")):
        return "unreadable: zip, 7z or rar archive; unpack it first"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "unreadable: UTF-16 text; convert it to UTF-8"
    if b"\x00" in head:
        return "unreadable: binary data, none of gzip, zstd, bz2, xz, tar, parquet, json, jsonl, text"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb'\[\s*[\[{"\]]', start) or start == b"[":
        return "array"
    return "jsonl" if re.match(rb'\{\s*["}]', start) else "text"


def _is_tar(head: bytes) -> bool:
    if len(head) < tarfile.BLOCKSIZE or not head[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")  # checks the header's checksum
    except tarfile.HeaderError:
        return False
    return True


def decompress(head: bytes, stream: BinaryIO) -> Any:
    """The decompressed stream of a ``compressed`` one."""
    return next(opener for magic, opener in _COMPRESSED if head.startswith(magic))(stream)


def lines(stream: BinaryIO, limit: int) -> Iterator[Piece]:
    """Lines without their newline; one over ``limit`` bytes is None."""
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        if len(line) > limit and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(CHUNK)
            yield number, None
        else:
            yield number, line.rstrip(b"\r\n")


def documents(stream: BinaryIO, limit: int, separator: bytes) -> Iterator[Piece]:
    """Non-empty pieces of plain text between separators; one over ``limit`` bytes is None.

    ``separator`` is looked for in the first ``limit`` bytes; where it does not stand, blank lines separate.
    """
    head = stream.read(limit)
    pattern = re.compile(re.escape(separator) if separator in head else rb"\n[ \t\r]*\n")
    overlap = max(len(separator), 64)
    buffer, line, skipping, searched = head, 1, False, 0
    while True:
        start = 0
        while found := pattern.search(buffer, max(start, searched)):
            yield from _document(line, buffer[start : found.start()], skipping, limit)
            line += buffer.count(b"\n", start, found.end())
            start, skipping, searched = found.end(), False, 0
        buffer = buffer[start:]
        if len(buffer) > limit:
            skipping, start = True, len(buffer) - overlap
            line += buffer.count(b"\n", 0, start)
            buffer = buffer[start:]
        searched = max(0, len(buffer) - overlap)
        chunk = stream.read(CHUNK)
        if not chunk:
            yield from _document(line, buffer, skipping, limit)
            return
        buffer += chunk


def _document(line: int, data: bytes, skipped: bool, limit: int) -> Iterator[Piece]:
    if skipped or len(data) > limit:
        yield line, None
    elif data.strip():
        yield line + data[: len(data) - len(data.lstrip())].count(b"\n"), data


_INSIDE = re.compile(rb'["\\]')
_OUTSIDE = re.compile(rb'["{}\[\],]')


def elements(stream: BinaryIO, limit: int) -> Iterator[Piece]:
    """The bytes of each element of one JSON array, whose text may be laid out over any lines.

    One over ``limit`` bytes is None. An element is found by its quotes and brackets alone, so a broken one inside whole
    brackets does not take its neighbours along.

    Raises:
        EOFError: the array ends before its closing bracket.
    """
    skip_to = b""
    while not skip_to.endswith(b"["):
        skip_to = stream.read(1)
    buffer, start, at, depth, quoted, line, skipping = b"", 0, 0, 1, False, 1, False
    while True:
        found = (_INSIDE if quoted else _OUTSIDE).search(buffer, at)
        if found is None or (found.group() == b"\\" and found.end() == len(buffer)):
            at = found.start() if found else len(buffer)
            if at - start > limit:
                skipping = True
            if skipping:
                line += buffer.count(b"\n", start, at)
                start = at
            buffer, at, start = buffer[start:], at - start, 0
            chunk = stream.read(CHUNK)
            if not chunk:
                raise EOFError("the JSON array has no end")
            buffer += chunk
            continue
        at, mark = found.end(), found.group()
        if mark == b"\\":
            at += 1
        elif mark == b'"':
            quoted = not quoted
        elif mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
        if not quoted and (depth == 0 or (depth == 1 and mark == b",")):
            yield from _document(line, buffer[start : found.start()], skipping, limit)
            line += buffer.count(b"\n", start, at)
            start, skipping = at, False
            if depth == 0:
                return
