"""The rows in flight: their caches, their state on the device, their tokens on the host."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from litgpt.model import GPT

from litgpt_zh.generate.opened import kv_caches
from litgpt_zh.generate.pick import Groups, grouped, pick_each, uniforms
from litgpt_zh.generate.request import Request
from litgpt_zh.generate.text import Reader

TOGETHER = 16
"""Neighbouring rows that read as far as the longest of them."""
STEP = 64
"""A GPU, which has one piece, reads it up to a multiple of so many positions."""


@dataclass(eq=False)
class Job:
    """One sample to be made: ``ids`` (and ``logprobs``) are what it had when it last left its row."""

    request: Request
    handle: int
    sample: int
    budget: int
    reader: Reader | None = None
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def watched(self) -> bool:
        """Whether each of its tokens is looked at, not only its end."""
        return self.request.stream or bool(self.request.stop)


class Rows:
    """Rows ``0 .. size`` of the caches are in use; the place of a row that leaves goes to the last one.

    Args:
        model: litgpt's GPT.
        rows: at most so many at a time.
        length: positions of each.

    Raises:
        RuntimeError: there is no memory for the caches.
    """

    def __init__(self, model: GPT, rows: int, length: int) -> None:
        self._model, self.rows, self.length = model, rows, length
        self._device = model.transformer.wte.weight.device
        self._open = contextlib.ExitStack()  # opened when nothing more can fail: the model must come back
        self._caches, self._view = self._open.enter_context(kv_caches(model, rows, length))
        self._piece, groups = self._caches[0].k.size(3), model.config.n_query_groups
        self._span = torch.arange(-(-length // self._piece) * self._piece, device=self._device)
        self._lines = np.arange(rows * groups).reshape(rows, groups) * self._piece  # in the caches
        self._groups: Groups | None = None
        self._gone: set[int] = set()  # leaving
        self.jobs: list[Job] = []
        self._token = np.zeros(rows, dtype=np.int64)  # the last one of each row
        self._numbers = np.zeros((rows, length), dtype=np.float32)  # a random one for each token to be drawn
        self.at = np.zeros(rows, dtype=np.int64)  # where the last token stands
        self.count = np.zeros(rows, dtype=np.int64)  # tokens drawn
        self.budget = np.zeros(rows, dtype=np.int64)
        self.watched = np.zeros(rows, dtype=bool)
        self.stops = np.full((rows, 1), -1, dtype=np.int64)
        self.ids = np.zeros((rows, length), dtype=np.int32)
        self.logprobs = np.zeros((rows, length), dtype=np.float32)
        self.fed = 0
        """tokens given to the model so far, padding left out"""

    @property
    def size(self) -> int:
        return len(self.jobs)

    def close(self) -> None:
        """Put the model back as it was."""
        self._open.close()

    def enter(self, fresh: Sequence[Job], copies: Sequence[Job]) -> range:
        """Read the prompts of ``fresh`` (and what they have of an answer) and draw their next token; ``copies`` get the
        cache of a row with the same prompt, now or in flight, and draw with the next step.

        Returns:
            The rows that have a new token: those of ``fresh``.
        """
        first = self.size
        if fresh:
            logits = self._read(first, [[*job.request.prompt, *job.ids] for job in fresh])
            self._take(fresh, [len(job.request.prompt) + len(job.ids) - 1 for job in fresh])
            groups = grouped([job.request.settings() for job in fresh], logits.device)
            self._choose(slice(first, self.size), logits, groups)
        rows = range(first, self.size)
        if copies:
            self._copy(copies)
        return rows

    def step(self) -> range:
        """Draw one more token for every row; returns the rows, all of them."""
        count = self.size
        pos = self._sent(self.at[:count, None])
        self._look(count, pos)
        logits = self._model(self._sent(self._token[:count, None]), pos)[:, 0]  # (B, V)
        if self._groups is None:
            self._groups = grouped([job.request.settings() for job in self.jobs], self._device)
        self.fed += count
        self._choose(slice(0, count), logits, self._groups)
        return range(count)

    def _sent(self, values: np.ndarray) -> torch.Tensor:
        """What the host knows, on the model's device."""
        return torch.from_numpy(values).to(self._device)

    def _look(self, count: int, pos: torch.Tensor) -> None:
        """What the next step writes and reads: of each piece the rows that reach it, or have a neighbour that does.

        Args:
            pos: (count, 1).
        """
        at, size, groups = self.at[:count], self._piece, self._lines.shape[1]
        place = self._lines[:count] + (at // size * self._lines.size * size + at % size)[:, None]
        reach = np.maximum.reduceat(at, np.arange(0, count, TOGETHER)) // size
        pieces, width = int(reach.max()) + 1, min(size, -(-(int(at.max()) + 1) // STEP) * STEP)
        bias = torch.where(self._span[: pieces * width] > pos, float("-inf"), 0.0)  # (count, pieces * width)
        view = self._view
        view.place, view.reads = self._sent(place.reshape(-1)), _reads(reach.tobytes(), count, groups)
        view.bias = bias.view(count, pieces, 1, 1, width).transpose(0, 1)

    def leave(self, gone: Sequence[int]) -> None:
        """Free rows: the last of those that stay take the places that are left below them."""
        if not gone:
            return
        self._gone = out = set(gone)
        size = self.size - len(gone)
        targets = [row for row in out if row < size]
        sources = [row for row in range(size, self.size) if row not in out]
        if targets:
            to, source = torch.tensor([targets, sources], device=self._device)
            for cache in self._caches:
                cache.copy_rows(source, to, int(self.at[sources].max()))
            for kept in (
                self._token, self._numbers, self.at, self.count, self.budget, self.watched, self.stops, self.ids,
                self.logprobs,
            ):  # fmt: skip
                kept[targets] = kept[sources]
            for target, last in zip(targets, sources, strict=True):
                self.jobs[target] = self.jobs[last]
        del self.jobs[size:]
        self._gone, self._groups = set(), None

    def keep(self, row: int) -> Job:
        """The job of a row, with the tokens it has so far."""
        job, count = self.jobs[row], self.count[row]
        job.ids = self.ids[row, :count].tolist()
        job.logprobs = self.logprobs[row, :count].tolist() if job.request.logprobs else []
        return job

    def drain(self) -> list[Job]:
        """Take all jobs out, with the tokens they have; nothing is asked of the device."""
        jobs, self.jobs = [self.keep(row) for row in range(self.size) if row not in self._gone], []
        return jobs

    def _read(self, first: int, sequences: list[list[int]]) -> torch.Tensor:
        """Prefill rows from ``first`` on, right-padded; returns the logits after the last token of each (count, V).

        The head is computed at those positions only: a hook behind the last norm takes them out.
        """
        lengths = [len(sequence) for sequence in sequences]
        padded = np.zeros((len(sequences), max(lengths)), dtype=np.int64)
        for row, sequence in enumerate(sequences):
            padded[row, : len(sequence)] = sequence
        ids, ends = self._sent(padded), torch.tensor(lengths, device=self._device) - 1
        which = torch.arange(len(sequences), device=self._device)
        self._view.first, self._view.place = first, None
        hook = self._model.transformer.ln_f.register_forward_hook(lambda _, __, out: out[which, ends][:, None])
        try:
            logits = self._model(ids, self._span[: ids.size(1)])  # (count, 1, V)
        finally:
            hook.remove()
        self.fed += sum(lengths)
        return logits[:, 0]

    def _copy(self, copies: Sequence[Job]) -> None:
        """New rows with the prompt of a sibling; the last token of the prompt is fed again by the next step."""
        first = self.size
        rows = {id(job.request): row for row, job in enumerate(self.jobs)}
        sources = torch.tensor([rows[id(job.request)] for job in copies], device=self._device)
        ends = [len(job.request.prompt) - 1 for job in copies]
        new = torch.arange(first, first + len(copies), device=self._device)
        for cache in self._caches:
            cache.copy_rows(sources, new, max(ends))
        self._take(copies, ends)
        self._token[first : self.size] = [job.request.prompt[-1] for job in copies]

    def _take(self, jobs: Sequence[Job], ends: Sequence[int]) -> None:
        """Put jobs down in the next rows; ``ends`` are the positions of the last tokens they have."""
        first = self.size
        rows = slice(first, first + len(jobs))
        wide = max(self.stops.shape[1], *(len(job.request.stop_ids) for job in jobs))
        self.stops = np.pad(self.stops, ((0, 0), (0, wide - self.stops.shape[1])), constant_values=-1)
        self.stops[rows] = -1
        for row, (job, end) in enumerate(zip(jobs, ends, strict=True), first):
            have, request = len(job.ids), job.request
            self.at[row], self.count[row], self.budget[row], self.watched[row] = end, have, job.budget, job.watched
            self.ids[row, :have], self.logprobs[row, :have] = job.ids, job.logprobs or 0
            self.stops[row, : len(request.stop_ids)] = request.stop_ids
            if request.temperature > 0:
                self._numbers[row, : job.budget] = uniforms(*request.stream_of(job.sample), job.budget)
        self.jobs.extend(jobs)
        self._groups = None

    def _choose(self, rows: slice, logits: torch.Tensor, groups: Groups) -> None:
        """Draw a token for ``rows``, put it down and move on."""
        here, count = np.arange(rows.start, rows.stop), self.count[rows]
        token = pick_each(logits, self._sent(self._numbers[here, count]), groups)
        if any(job.request.logprobs for job in self.jobs[rows]):
            logits = logits.float()
            logprob = logits.gather(1, token[:, None]).squeeze(1) - logits.logsumexp(dim=-1)
            self.logprobs[here, count] = logprob.cpu().numpy()
        self.ids[here, count] = self._token[rows] = token.cpu().numpy()
        self.at[rows] += 1
        self.count[rows] += 1


@functools.lru_cache(maxsize=16)
def _reads(reach: bytes, count: int, groups: int) -> tuple[tuple[int, slice], ...]:
    """``View.reads`` of ``count`` rows, of which each ``TOGETHER`` read up to the piece ``reach`` (int64) says: the same
    for many steps."""
    last = np.frombuffer(reach, dtype=np.int64)
    found: list[tuple[int, slice]] = []
    for piece in range(int(last.max()) + 1):
        edges = np.flatnonzero(np.diff(last >= piece, prepend=False, append=False)) * TOGETHER
        found += [
            (piece, slice(low * groups, min(high, count) * groups)) for low, high in edges.reshape(-1, 2).tolist()
        ]
    return tuple(found)
