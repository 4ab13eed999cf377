"""The stage ``corpus``: stories in, one clean, deduplicated, split folder out."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from litgpt_zh.corpus import prepare
from litgpt_zh.corpus.clean import RULES, Limits, content_hash, require
from litgpt_zh.corpus.prepare import Done, Job, batches, blocks
from litgpt_zh.corpus.readers import Bad, files, read
from litgpt_zh.corpus.shards import Seen
from litgpt_zh.corpus.staged import STAGED, Staged, Stories
from litgpt_zh.corpus.thin import NEAR_DUPLICATE, THRESHOLD, Division, Near, divide, told
from litgpt_zh.language import say, stage_line
from litgpt_zh.pool import in_order
from litgpt_zh.stage import Manifest, UserError, Workspace, discard, file_hash, open_stage, progress, write_text

WORLD = "world"
DUPLICATE = "duplicate"
_STORIES, _LENGTH = 20_000, "short"
_STATE = ".state.json"
_CHECKPOINT = 20_000
_EXAMPLES = 20


def corpus(
    source: list[str] | str = WORLD,
    out_dir: Path = Path("data/corpus"),
    stories: int = _STORIES,
    seed: int = 0,
    length: Literal["short", "full"] = "short",
    plots: list[str] | None = None,
    val_share: float = 0.01,
    min_chars: int = 20,
    max_chars: int = 20_000,
    min_chinese: float = 0.5,
    endings: Literal["cut", "drop", "keep"] = "cut",
    simplified: bool = False,
    skip: list[str] | None = None,
    near: Near = "first",
    near_threshold: float = THRESHOLD,
    max_bad: int | None = None,
    workers: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Make a corpus: read stories, clean them, drop exact and near-duplicates, split off a validation part.

    Writes train-00000.jsonl, ..., val-00000.jsonl, ... (50,000 records a file) and manifest.json with the count and the
    reason of every record dropped. Stopped, it goes on when called again; finished, it does nothing.

    Args:
        source: "world" for the built-in story world, or files and folders of stories (gzip, zstd, tar, jsonl, json,
            text, parquet; told by their content).
        out_dir: the folder to make.
        stories: how many stories to draw from the world.
        seed: of the world and of the split.
        length: of the world's stories.
        plots: names of the world's plots to tell; all by default. A small model learns a few of them sooner.
        val_share: the share of the stories that goes to validation.
        min_chars: drop shorter stories.
        max_chars: drop longer stories.
        min_chinese: drop stories with a smaller share of Han among their letters and digits; 0 keeps any language.
        endings: of a story that breaks off in the middle of a sentence: back to its last whole one, drop, or leave as is.
        simplified: turn traditional characters into simplified ones; needs the extra ``opencc``.
        skip: names of cleaning rules to leave out, such as punctuation or "not Chinese" (docs/corpus.md lists them).
        near: which story of those that are alike stays: the first, or the longest; "keep" keeps all of them on one
            side of the split, far apart and with the number of their cluster; "off" does not look for any.
        near_threshold: from which share of common character 3-grams (Jaccard similarity) on two stories are alike; below
            0.75, the changes have to be few or in one place too.
        max_bad: stop when more input records than this cannot be read. By default they are only counted.
        workers: processes, 0 for one a core. The result does not depend on it.
        overwrite: move a corpus made with other settings aside instead of refusing.

    Returns:
        The manifest.

    Raises:
        UserError: no such source; a setting out of range or that does not apply; fewer than two stories left; more than
            max_bad bad records; out_dir holds something else; disk full.
    """
    limits = Limits(min_chars, max_chars, min_chinese, endings, simplified, tuple(skip or ()))
    _check(source, stories, seed, length, plots, val_share, limits, workers)
    division = Division(near, near_threshold, val_share)
    settings: dict[str, Any] = {"seed": seed, **asdict(limits), **division.settings()}
    inputs: dict[str, Path] = {}
    if source == WORLD:
        settings |= {"source": WORLD, "stories": stories, "length": length, "world_version": _world_version()}
        settings |= {"plots": plots} if plots else {}
        reader = _world(stories, seed, length, tuple(plots or ()), limits, division.signed)
    else:
        names = [source] if isinstance(source, str) else source
        files(names)
        for name in names:
            if Path(name).resolve() in Path(out_dir).resolve().parents:
                raise UserError(
                    f"{out_dir}: lies inside the source {name} and would be read as data; choose another out_dir"
                )
        inputs = {"source" if n == 0 else f"source {n + 1}": Path(name) for n, name in enumerate(names)}
        reader = _files(names, seed, limits, division.signed)
    with open_stage("corpus", out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as work:
        if not work.finished:
            _run(work, reader, str(source), division, max_bad, workers)
    print(stage_line(out_dir, say(_summary_zh(work.counts), _summary(work.counts)), work.finished))
    if alike := told(work.counts):
        print(stage_line(out_dir, alike, False))
    return work.manifest


def _check(
    source: list[str] | str,
    stories: int,
    seed: int,
    length: str,
    plots: list[str] | None,
    val_share: float,
    limits: Limits,
    workers: int,
) -> None:
    _check_plots(plots or [])
    require(limits)
    if source != WORLD and ((stories, length) != (_STORIES, _LENGTH) or plots):
        raise UserError(
            "corpus: --stories, --length and --plots belong to the built-in world; leave them out with --source files"
        )
    if isinstance(source, list) and (not source or WORLD in source):
        raise UserError("corpus: --source takes 'world' alone, or one or more files and folders")
    for name, value, low, high in (
        ("stories", stories, 2, 10**9),
        ("seed", seed, 0, 2**64 - 1),
        ("min_chars", limits.min_chars, 1, limits.max_chars),
        ("min_chinese", limits.min_chinese, 0, 1),
        ("workers", workers, 0, 1024),
    ):
        if not low <= value <= high:
            raise UserError(f"corpus: --{name} {value} is out of range, use {low} to {high}")
    if not 0 < val_share < 1:
        raise UserError(
            f"corpus: --val_share {val_share} is out of range, use more than 0 and less than 1, such as 0.01"
        )


def _check_plots(plots: list[str]) -> None:
    if not plots:
        return
    from litgpt_zh.corpus.world.plots import PLOTS

    known = [plot.name for plot in PLOTS]
    if unknown := [name for name in plots if name not in known]:
        raise UserError(f"corpus: --plots: no plot {', '.join(unknown)}; there are {', '.join(known)}")


@dataclass
class Reader:
    """Where jobs come from: ``jobs(done, bar)`` goes on after ``done`` records; ``total`` and ``unit`` of the bar."""

    jobs: Callable[[int, Any], Iterator[Job]]
    total: int
    unit: str


def _world(
    stories: int, seed: int, length: Literal["short", "full"], plots: tuple[str, ...], limits: Limits, signed: bool
) -> Reader:
    def jobs(done: int, bar: Any) -> Iterator[Job]:
        bar.initial = bar.n = done
        return (Job(block, limits, seed, signed) for block in blocks(seed, done, stories, length, plots))

    return Reader(jobs, stories, "story")


def _files(names: list[str], seed: int, limits: Limits, signed: bool) -> Reader:
    def jobs(done: int, bar: Any) -> Iterator[Job]:
        items = itertools.islice(read(names, advance=bar.update), done, None)
        return (Job(batch, limits, seed, signed) for batch in batches(items))

    return Reader(jobs, sum(file.stat().st_size for file in files(names)), "B")


def _world_version() -> str:
    """Changes with the world's code and lexicon: another world is another corpus."""
    from litgpt_zh.corpus import world

    folder = Path(world.__file__).parent
    found = sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".tsv"))
    return f"{content_hash(''.join(file_hash(path) for path in found)):016x}"


@dataclass
class _Progress:
    """Counts and the stories staged; saved every `_CHECKPOINT` records."""

    folder: Path
    counts: dict[str, Any]
    staged: Staged
    seen: Seen = field(default_factory=Seen)
    saved: int = 0

    @staticmethod
    def begin(folder: Path, signed: bool) -> _Progress:
        counts = {"read": 0, "kept": 0, "train": 0, "val": 0, "dropped": {}, "changed": {}, "examples": [], "edits": []}
        return _Progress(folder, counts, Staged(folder, signed))

    @staticmethod
    def take_up(folder: Path, signed: bool) -> _Progress:
        """What an earlier, stopped run had done up to its last checkpoint; the beginning when there is none."""
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            staged = Staged(folder, signed, **state["staged"])
        except (FileNotFoundError, json.JSONDecodeError):
            return _Progress.begin(folder, signed)
        found = _Progress(folder, state["counts"], staged, saved=state["counts"]["read"])
        for key in Stories(folder).facts["key"].tolist():
            found.seen.add(key)
        return found

    def save(self) -> None:
        state = {"counts": self.counts, "staged": self.staged.flush()}
        write_text(self.folder / _STATE, json.dumps(state, ensure_ascii=False))
        self.saved = self.counts["read"]

    def take(self, done: Done, max_bad: int | None) -> None:
        """Count a job's results and write the new stories among them.

        Raises:
            UserError: more unreadable records than ``max_bad``.
        """
        self._add("changed", done.log.changed)
        for edit in done.log.edits:
            if sum(shown["rule"] == edit.rule for shown in self.counts["edits"]) < prepare.EXAMPLES:
                self.counts["edits"].append(asdict(edit))
        for result in done.results:
            self.counts["read"] += 1
            if isinstance(result, Bad):
                self._drop(result, max_bad)
            elif not self.seen.add(result.key):
                self._add("dropped", {DUPLICATE: 1})
            else:
                self.staged.add(result)
                self.counts["kept"] += 1
        if self.counts["read"] - self.saved >= _CHECKPOINT:
            self.save()

    def _drop(self, bad: Bad, max_bad: int | None) -> None:
        self._add("dropped", {bad.reason: 1})
        if self.counts["dropped"][bad.reason] <= _EXAMPLES:
            self.counts["examples"].append({key: value for key, value in asdict(bad).items() if value})
        unreadable = sum(n for reason, n in self.counts["dropped"].items() if reason not in (*RULES, DUPLICATE))
        if max_bad is not None and unreadable > max_bad:
            raise UserError(
                f"{bad}; that makes {unreadable}, more than --max_bad {max_bad}: mend the file or allow more"
            )

    def _add(self, name: str, more: dict[str, int]) -> None:
        self.counts[name] = dict(Counter(self.counts[name]) + Counter(more))


def _run(
    work: Workspace,
    reader: Reader,
    source: str,
    division: Division,
    max_bad: int | None,
    workers: int,
) -> None:
    """Read and stage every story, then divide them."""
    begin = _Progress.take_up if work.resumed else _Progress.begin
    state = begin(work.folder, division.signed)
    bar = progress(reader.total, desc="corpus", unit=say("篇", "story") if reader.unit == "story" else reader.unit)
    results = in_order(prepare.work, reader.jobs(state.counts["read"], bar), workers, stage="corpus")
    with contextlib.closing(state.staged), bar, contextlib.closing(results):
        for done in results:
            state.take(done, max_bad)
            if reader.unit == "story":
                bar.update(len(done.results))
            bar.set_postfix({say("留下", "kept"): state.counts["kept"]}, refresh=False)
        state.save()  # all that is read: stopped from here on, it begins with the near-duplicates
    counts, found = state.counts, divide(work.folder, division, workers)
    if alike := found.pop("dropped"):
        counts["dropped"][NEAR_DUPLICATE] = alike
    work.counts.update(counts | found)
    discard(work.folder, (_STATE, "*.tmp"))
    discard(work.folder, STAGED)  # after the state, which must not outlive them
    if work.counts["kept"] < 2 or not (work.counts["train"] and work.counts["val"]):
        shutil.rmtree(work.folder)
        few = (
            "all are of one group, which cannot be split"
            if work.counts["kept"] > 1
            else "a corpus needs two stories or more"
        )
        raise UserError(f"{source}: {_summary(work.counts)}; {few}")


def _summary(counts: dict[str, Any]) -> str:
    dropped = ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts["dropped"].items(), key=lambda pair: -pair[1]))
    text = (
        f"{counts['read']:,} stories read, {counts['kept']:,} kept ({counts['train']:,} train, {counts['val']:,} val)"
    )
    return f"{text}; dropped: {dropped or 'none'}"


def _summary_zh(counts: dict[str, Any]) -> str:
    """The same; the reasons keep the names they have in the manifest."""
    dropped = "，".join(f"{reason} {n:,}" for reason, n in sorted(counts["dropped"].items(), key=lambda pair: -pair[1]))
    text = f"读到 {counts['read']:,} 篇，留下 {counts['kept']:,} 篇（训练 {counts['train']:,}，验证 {counts['val']:,}）"
    return f"{text}；丢弃：{dropped or '无'}"
