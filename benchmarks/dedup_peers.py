"""The same stories through litgpt-zh and through datasketch, in one run: a part of benchmarks/data_dedup.py.

datasketch is needed: ``pip install datasketch`` (a virtual environment of its own will do: no part of litgpt-zh uses it).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from dedup_parts import THRESHOLD, divided, figure, given, planted, recalls, stage, told

from litgpt_zh.corpus import near
from litgpt_zh.corpus.clean import content


def ours(home: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    """All of it in this process: cleaning, signatures, search, comparison, writing."""
    stage(home / "ours", given(records), 1)
    _, clusters = divided(home / "ours", 1)
    return {record["group"]: number for number, cluster in clusters.items() for record in cluster}


def grams(text: str) -> set[str]:
    letters = content(text).decode()
    return {letters[at : at + 3] for at in range(len(letters) - 2)}


def text_dedup_grams(text: str) -> set[str]:
    """As text-dedup cuts a text: tokens between non-word characters, 5 of them a gram, nothing of a text with fewer."""
    tokens = [token for token in re.split(r"\W", text.lower()) if token]
    return {" ".join(tokens[at : at + 5]) for at in range(len(tokens) - 4)}


def with_datasketch(
    records: list[dict[str, Any]], cut: Callable[[str], set[str]], hashes: int, threshold: float, **bands: Any
) -> dict[str, Any]:
    """datasketch's MinHash and MinHashLSH, each candidate compared exactly, union-find."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(num_perm=hashes, **(bands or {"threshold": threshold}))
    sets = [cut(record["text"]) for record in records]
    pairs = []
    for n, parts in enumerate(sets):
        if parts:
            mark = MinHash(num_perm=hashes)
            mark.update_batch([part.encode() for part in parts])
            pairs += [(m, n) for m in lsh.query(mark) if len(sets[m] & parts) >= threshold * len(sets[m] | parts)]
            lsh.insert(n, mark)
    labels = near.clusters(len(records), np.array(pairs, dtype=np.int64).reshape(-1, 2))
    return {record["group"]: label for record, label in zip(records, labels.tolist(), strict=True)}


def peers(home: Path, count: int, each: int) -> None:
    """The same text through us and through datasketch, in one run."""
    stories = told(count)
    copies = planted(stories, each)
    records = [*stories, *copies]
    rows: dict[str, Callable[[], dict[str, Any]]] = {"litgpt-zh": lambda: ours(home, records)}
    if find_spec("datasketch"):
        rows["datasketch, character 3-grams, 128 hashes, 32 x 4"] = lambda: with_datasketch(
            records, grams, 128, THRESHOLD, params=(32, 4)
        )
        rows["text-dedup's setting (\\W tokens, 5-grams, 256 hashes, 0.7)"] = lambda: with_datasketch(
            records, text_dedup_grams, 256, 0.7
        )
    else:
        print("datasketch is not installed: its rows are left out (pip install datasketch)")
    first = 0.0
    for name, run in rows.items():
        began = time.process_time()
        groups = run()
        seconds = time.process_time() - began
        first = first or seconds
        recall = ", ".join(f"{kind} {share:.1%}" for kind, share in recalls(groups, copies).items())
        figure(
            f"{name}, {len(records):,} stories, one core", f"{seconds:.1f} s, {seconds / first:.1f} x ours; {recall}"
        )
