"""Votes: one line each, kept whatever happens, and made into pairs for the preference stage."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litgpt_zh.instruct.formats import Bad
from litgpt_zh.instruct.stage import side_of
from litgpt_zh.preference.formats import read_preferences
from litgpt_zh.serve.errors import ApiError, bad
from litgpt_zh.stage import UserError, write_text

CHOICES = ("left", "right", "same")
FILE, PAIRS = "votes.jsonl", "pairs.jsonl"
OPEN = 1000
"""Comparisons that can still be voted on; older ones are forgotten."""
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
SEED = 42
"""Shares for validation that the next command may name, and its default seed for the split."""


class Votes:
    """The votes in a folder: ``votes.jsonl``, a line each, of which the last on a comparison counts.

    A line holds both stories, so that the file needs nothing else. It is written in one piece and flushed to disk before
    the vote counts; what a kill leaves of a line is passed over.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, dict[str, Any]] = OrderedDict()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(self.file, "ab"):
                pass
        except OSError as error:
            raise UserError(f"{self.file}: cannot be written ({error.strerror}); choose another --votes_dir") from None
        self._cast = {vote["id"]: vote["vote"] for vote in self.read()}

    @property
    def file(self) -> Path:
        return self.folder / FILE

    def offer(self, comparison: dict[str, Any]) -> None:
        """Let people vote on ``comparison``: its ``id``, ``request``, ``left``, ``right`` and what else is known."""
        self._open[comparison["id"]] = comparison
        while len(self._open) > OPEN:
            self._open.popitem(last=False)

    def cast(self, name: Any, choice: Any) -> None:
        """Write a vote; another one on the same comparison replaces it.

        Raises:
            ApiError: no such comparison or choice, or the disk refused the line.
        """
        if choice not in CHOICES:
            raise bad("vote", f"vote must be one of {', '.join(CHOICES)}")
        if not isinstance(name, str) or name not in self._open:
            raise ApiError(
                404, "these two stories are not known (any more); let them be told again", code="unknown_pair"
            )
        vote = {"id": name, "vote": choice, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")} | self._open[name]
        try:
            append(self.file, vote)
        except OSError as error:
            raise _not_written(self.file, error) from None
        self._cast[name] = choice

    def counts(self) -> dict[str, int]:
        """How many votes there are for each choice."""
        found = Counter(self._cast.values())
        return {choice: found[choice] for choice in CHOICES}

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole line."""
        with open(self.file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    vote = json.loads(line)
                except ValueError:
                    continue
                if isinstance(vote, dict) and {"id", "vote", "request", "left", "right"} <= set(vote):
                    yield vote

    def export(self) -> dict[str, Any]:
        """Write ``pairs.jsonl`` (TRL's prompt, chosen, rejected) and say what is in it and what was left out, and why.

        Raises:
            ApiError: the disk refused.
        """
        left_out: Counter[str] = Counter()
        pairs: dict[tuple[str, frozenset[str]], dict[str, Any]] = {}
        for vote in {vote["id"]: vote for vote in self.read()}.values():
            pair = _pair(vote)
            if isinstance(pair, str):
                left_out[pair] += 1
                continue
            key = pair["prompt"], frozenset((pair["chosen"], pair["rejected"]))
            left_out["repeated"] += key in pairs
            pairs[key] = pair
        lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs.values()]
        try:
            write_text(self.folder / PAIRS, "".join(lines))
        except OSError as error:
            raise _not_written(self.folder / PAIRS, error) from None
        reasons = {reason: n for reason, n in left_out.items() if n}
        return {"file": str(self.folder / PAIRS), "pairs": len(pairs), "left_out": reasons}

    def commands(self, checkpoint: Path, block_size: int) -> list[str]:
        """What to type next: pairs of ``pairs.jsonl``, then DPO; nothing while there are too few for both sides of the split."""
        share = val_share(self.folder / PAIRS)
        if share is None:
            return []
        ids = self.folder.with_name(self.folder.name + "-pairs")
        make = ["litgpt-zh", "pairs", "--source", self.folder / PAIRS, "--tokenizer_dir", checkpoint, "--out_dir", ids]
        make += ["--block_size", block_size, "--val_share", share, "--overwrite", "true"]
        train = ["litgpt", "finetune_full", "--config", "recipes/dpo.yaml", checkpoint]
        train += ["--data.init_args.pairs_dir", ids, "--out_dir", f"out/{self.folder.name}-dpo"]
        return [shlex.join(map(str, command)) for command in (make, train)]


def _pair(vote: dict[str, Any]) -> dict[str, Any] | str:
    """A vote as a record of the preference stage, or why it is none."""
    if vote["vote"] == "same":
        return "same"
    if not vote.get("chat", True):
        return "continued"
    winner, loser = ("left", "right") if vote["vote"] == "left" else ("right", "left")
    chosen, rejected = vote[winner], vote[loser]
    if "length" in (chosen["finish"], rejected["finish"]):
        return "unfinished"  # training would teach that a story ends where it was cut off
    if not chosen["text"].strip() or not rejected["text"].strip():
        return "empty"
    if chosen["text"] == rejected["text"]:
        return "equal"
    return {"prompt": vote["request"], "chosen": chosen["text"], "rejected": rejected["text"]}


def val_share(pairs: Path) -> float | None:
    """The least share for validation that leaves both sides of the split of ``pairs`` something; None: too few requests."""
    groups = {record.group for record in read_preferences(pairs) if not isinstance(record, Bad)}
    for share in SHARES:
        if len({side_of(group, share, SEED) for group in groups}) == 2:
            return share
    return None


def append(file: Path, value: dict[str, Any]) -> None:
    """Add a line of JSON in one write, on disk when this returns. What a kill left of a line before is closed first."""
    line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    with open(file, "ab+", buffering=0) as out:
        if out.seek(0, os.SEEK_END):
            out.seek(-1, os.SEEK_END)
            line = line if out.read(1) == b"\n" else b"\n" + line
        written = out.write(line)
        os.fsync(out.fileno())
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes were taken")


def _not_written(file: Path, error: OSError) -> ApiError:
    return ApiError(
        500, f"{file}: cannot be written ({error.strerror or error})", type="server_error", code="not_written"
    )
