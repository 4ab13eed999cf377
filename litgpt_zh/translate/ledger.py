"""The ledger: every answer that was paid for, kept under its content, so that no call is ever made twice.

One SQLite file in WAL mode beside the output folder. A row is committed before its worker goes on, so a killed run
loses at most the calls in flight; another mode, a larger sample or a deleted output folder find the same answers again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litgpt_zh.stage import UserError

_TABLES = """
CREATE TABLE IF NOT EXISTS calls(key BLOB PRIMARY KEY, text TEXT, finish TEXT, tokens_in INTEGER, tokens_out INTEGER,
                                 cost REAL, guessed INTEGER, seconds REAL);
CREATE TABLE IF NOT EXISTS open(id INTEGER PRIMARY KEY AUTOINCREMENT, tokens INTEGER, cost REAL);
CREATE TABLE IF NOT EXISTS lost(tokens_in INTEGER, tokens_out INTEGER, cost REAL, reason TEXT);
CREATE TABLE IF NOT EXISTS rounds(item TEXT PRIMARY KEY, round INTEGER);
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True)
class Answer:
    """What a model said. ``guessed``: the server gave no usage, the tokens are our estimate."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int
    guessed: bool = False
    style: str = ""
    """form of reply that was asked for; not kept"""


@dataclass(frozen=True)
class Spent:
    """Everything a ledger knows to be, or must suppose to be, on the bill."""

    calls: int
    tokens_in: int
    tokens_out: int
    cost: float
    supposed: int
    """Tokens of attempts that broke, or whose process was killed, after the server had begun: they may be billed, so the
    budget counts them."""


def call_key(model: str, parameters: dict[str, Any], messages: list[dict[str, str]], attempt: int) -> bytes:
    """sha256 over everything an answer depends on; the address of the server and the reply format are no part of it."""
    content = json.dumps([model, parameters, messages, attempt], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()


class Ledger:
    """Answers by key, money spent, the retry round of each item."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        try:
            self._db = connect(path)
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path}: not a ledger ({error}); move it away or give another --ledger") from None

    def get(self, key: bytes) -> Answer | None:
        row = self._db.execute(
            "SELECT text, finish, tokens_in, tokens_out, guessed FROM calls WHERE key = ?", (key,)
        ).fetchone()
        return Answer(row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    def begin(self, tokens: int, cost: float) -> int:
        """Put an attempt down before it is made, at its worst case; hand it to ``put`` or ``lose`` when it has ended."""
        with self._db:
            return self._db.execute("INSERT INTO open(tokens, cost) VALUES(?, ?)", (tokens, cost)).lastrowid or 0

    def put(self, key: bytes, answer: Answer, cost: float, seconds: float, begun: int | None = None) -> None:
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO calls VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                (key, answer.text, answer.finish, answer.tokens_in, answer.tokens_out, cost, answer.guessed, seconds),
            )
            self._end(begun)

    def lose(self, tokens_in: int, tokens_out: int, cost: float, reason: str, begun: int | None = None) -> None:
        """An attempt without an answer; with tokens, it may be on the bill."""
        with self._db:
            if tokens_in or tokens_out:
                self._db.execute("INSERT INTO lost VALUES(?, ?, ?, ?)", (tokens_in, tokens_out, cost, reason))
            self._end(begun)

    def _end(self, begun: int | None) -> None:
        if begun is not None:
            self._db.execute("DELETE FROM open WHERE id = ?", (begun,))

    def spent(self) -> Spent:
        calls = self._db.execute(
            "SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), coalesce(sum(cost), 0) FROM calls"
        ).fetchone()
        lost = self._db.execute(
            "SELECT coalesce(sum(tokens), 0), coalesce(sum(cost), 0) FROM"
            " (SELECT tokens_in + tokens_out AS tokens, cost FROM lost UNION ALL SELECT tokens, cost FROM open)"
        ).fetchone()
        return Spent(calls[0], calls[1], calls[2], calls[3] + lost[1], lost[0])

    def round_of(self, item: str) -> int:
        row = self._db.execute("SELECT round FROM rounds WHERE item = ?", (item,)).fetchone()
        return row[0] if row else 0

    def next_round(self, items: Iterable[str]) -> int:
        """Begin a round of retries for ``items``: their calls are made anew."""
        number = self.round + 1
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO rounds VALUES(?, ?)", ((item, number) for item in items))
            self._db.execute("INSERT OR REPLACE INTO meta VALUES('round', ?)", (str(number),))
        return number

    @property
    def round(self) -> int:
        return int(self.note("round") or 0)

    def note(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def write_note(self, name: str, value: str) -> None:
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (name, value))

    def close(self) -> None:
        self._db.close()


class Results:
    """What became of each item, in the partial folder: a stopped run skips them, a finished one writes them in order."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._db.execute("CREATE TABLE IF NOT EXISTS results(item INTEGER PRIMARY KEY, ok INTEGER, record TEXT)")

    def has(self, item: int) -> bool:
        return self._db.execute("SELECT 1 FROM results WHERE item = ?", (item,)).fetchone() is not None

    def put(self, item: int, ok: bool, record: dict[str, Any]) -> None:
        with self._db:
            text = json.dumps(record, ensure_ascii=False)
            self._db.execute("INSERT OR REPLACE INTO results VALUES(?, ?, ?)", (item, ok, text))

    def count(self) -> tuple[int, int]:
        """(items that became records, dead letters)."""
        ok, every = self._db.execute("SELECT coalesce(sum(ok), 0), count(*) FROM results").fetchone()
        return ok, every - ok

    def records(self, ok: bool) -> Iterator[dict[str, Any]]:
        """In the order of the input."""
        for (text,) in self._db.execute("SELECT record FROM results WHERE ok = ? ORDER BY item", (ok,)):
            yield json.loads(text)

    def close(self) -> None:
        self._db.close()


def connect(path: Path) -> sqlite3.Connection:
    """WAL and synchronous=NORMAL: a commit survives the death of the process; one takes about 0.1 ms."""
    db = sqlite3.connect(path, timeout=60)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    return db
