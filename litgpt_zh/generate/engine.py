"""Continuous batching: requests come and go, their rows are decoded together."""

from __future__ import annotations

import gc
import itertools
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from litgpt.model import GPT

from litgpt_zh.generate.cache import require_plain, row_bytes
from litgpt_zh.generate.memory import rows_that_fit
from litgpt_zh.generate.request import Answer, Event, Request
from litgpt_zh.generate.rows import Job, Rows
from litgpt_zh.generate.text import Reader
from litgpt_zh.language import say
from litgpt_zh.preflight import is_full
from litgpt_zh.stage import UserError

PREFILL_TOKENS = {"cuda": 16_384, "cpu": 1_024}
"""Prompt tokens, padding included, in one forward pass: a GPU wants many, a CPU few enough to stay in its cache, and so
that prompts padded to one length are alike."""


class Engine:
    """Answers requests, ``batch_size`` samples at a time; a finished one makes room for the next.

    ``step`` does one forward pass (prompts of new rows, or a token for all rows) and tells what is new. ``add`` and
    ``cancel`` may be called from any thread at any time; ``step``, ``run`` and ``close`` belong to one thread. While the
    engine is open the model is its own: it is in eval mode with the engine's caches, and comes back as it was.

        with Engine(loaded.model, loaded.tokenizer.processor) as engine:
            handle = engine.add(Request(ids, stop_ids=loaded.stop_ids, stream=True))
            for event in engine.run():
                print(event.text, end="")

    Greedy answers are those of ``litgpt generate`` whatever the batch (in float32; in bfloat16 a batch of another size may
    round a near-tie the other way). Sampled ones depend on the prompt, the seed and the settings, not on the neighbours.

    Args:
        model: litgpt's GPT (not compiled).
        processor: the ``tokenizers.Tokenizer``; without it answers have no text, and stop strings are refused.
        batch_size: rows decoded together; fewer where the memory does not hold them.
        length: tokens of the longest prompt with its answer; None: the model's block.

    Raises:
        UserError: the model's attention is not served, or batch_size is below 1.
    """

    def __init__(self, model: GPT, processor: Any = None, *, batch_size: int = 64, length: int | None = None) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size {batch_size}: choose 1 or more")
        require_plain(model)
        self._model, self._processor = model, processor
        self.block = min(length or model.max_seq_length, model.max_seq_length)
        """tokens of the longest prompt with its answer"""
        self._most, self._planned = batch_size, False
        self._prefill = PREFILL_TOKENS["cuda" if model.transformer.wte.weight.is_cuda else "cpu"]
        self._rows: Rows | None = None
        self._fed = 0
        self._handles = itertools.count()
        self._added: deque[tuple[int, Request]] = deque()
        self._cancelled: deque[int] = deque()
        self._waiting: deque[Job] = deque()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the model back as it was. What is waiting or in flight is dropped."""
        if self._rows:
            self._fed += self._rows.fed
            self._rows.close()
            self._rows = None
        self._waiting.clear()

    def add(self, request: Request) -> int:
        """Queue a request, first come first served; returns the handle that its events carry.

        Raises:
            UserError: it cannot be answered; see ``Request.require``.
        """
        request.require(self.block, self._model.config.padded_vocab_size, self._processor is not None)
        handle = next(self._handles)
        self._added.append((handle, request))
        return handle

    def cancel(self, handle: int) -> None:
        """Drop a request, its rows are free at the next step. No more events come for it, except from a step under way."""
        self._cancelled.append(handle)

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._added or self._waiting or (self._rows and self._rows.size))

    @property
    def fed(self) -> int:
        """Tokens given to the model so far; a prompt counts once for all its samples that are in flight together."""
        return self._fed + (self._rows.fed if self._rows else 0)

    def run(self) -> Iterator[Event]:
        """Step until nothing is left to do."""
        while self.busy:
            yield from self.step()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """One forward pass at most. Returns what is new, in no particular order.

        Raises:
            UserError: not even one row fits into the memory.
        """
        self._arrivals()
        if not self._waiting and not (self._rows and self._rows.size):
            return []
        taken: list[Job] = []
        events: list[Event] = []
        try:
            rows = self._rows = self._rows or self._allocate()
            if self._waiting and (rows.size == 0 or rows.rows - rows.size >= max(1, rows.rows // 8)):
                fresh, copies = self._next(rows)
                taken = [*fresh, *copies]
                new = rows.enter(fresh, copies)
            else:
                new = rows.step()
            events, gone = self._collect(rows, new)
            rows.leave(gone)
            return events
        except Exception as error:
            if not is_full(error):
                raise
            why = str(error).splitlines()[0][:120]
        self._back_off(taken, why)
        return events

    def _arrivals(self) -> None:
        while self._added:
            handle, request = self._added.popleft()
            for sample in range(request.samples):
                reader = Reader(self._processor, request.stop) if self._processor else None
                self._waiting.append(Job(request, handle, sample, request.budget(self.block), reader))
        gone = {self._cancelled.popleft() for _ in range(len(self._cancelled))}
        if gone:
            self._waiting = deque(job for job in self._waiting if job.handle not in gone)
            if self._rows:
                self._rows.leave([row for row, job in enumerate(self._rows.jobs) if job.handle in gone])

    def _allocate(self) -> Rows:
        """Caches for as many rows as were asked for, or as fit."""
        if not self._planned:
            fit = rows_that_fit(self._model, self._most, self.block)
            if fit < self._most:
                size = row_bytes(self._model, self.block) / 1e6
                told = say(
                    f"内存只够 {fit} 行，不够 {self._most} 行（每行 {size:.1f} MB）",
                    f"memory for {fit} rows of {size:.1f} MB instead of {self._most}",
                )
                print(told, file=sys.stderr)
            self._most, self._planned = fit, True
        return Rows(self._model, self._most, self.block)

    def _next(self, rows: Rows) -> tuple[list[Job], list[Job]]:
        """Take jobs from the queue: those whose prompt must be read, and those that can copy a sibling's."""
        fresh: list[Job] = []
        copies: list[Job] = []
        read = {id(job.request) for job in rows.jobs}
        longest = 0
        while self._waiting and rows.size + len(fresh) + len(copies) < rows.rows:
            job = self._waiting[0]
            if id(job.request) in read and not job.ids:
                copies.append(self._waiting.popleft())
                continue
            longest = max(longest, len(job.request.prompt) + len(job.ids))
            if fresh and longest * (len(fresh) + 1) > self._prefill:
                break
            fresh.append(self._waiting.popleft())
            read.add(id(job.request))
        return fresh, copies

    def _collect(self, rows: Rows, new: range) -> tuple[list[Event], list[int]]:
        """Events of the rows with a new token, and the rows that are finished."""
        here = slice(new.start, new.stop)
        count = rows.count[here]
        tokens = rows.ids[np.arange(new.start, new.stop), count - 1]
        stopped = (tokens[:, None] == rows.stops[here]).any(axis=1)
        ended = stopped | (count >= rows.budget[here])
        events: list[Event] = []
        gone: list[int] = []
        for place in np.flatnonzero(ended | rows.watched[here]).tolist():
            row = new.start + place
            event = self._look(rows, row, int(tokens[place]), bool(stopped[place]), bool(ended[place]))
            if event:
                events.append(event)
                if event.answer:
                    gone.append(row)
        return events, gone

    def _look(self, rows: Rows, row: int, token: int, stopped: bool, ended: bool) -> Event | None:
        job = rows.jobs[row]
        told, reader, text = job.request.stream, job.reader, ""
        if reader and job.watched and not stopped:
            text = reader.step(token)
            ended = ended or reader.stopped
        answer = None
        if ended:
            before = len(reader.text) if reader else 0
            answer = _answer(rows.keep(row), stopped)
            text += (answer.text or "")[before:]
        if not told:
            return Event(job.handle, job.sample, answer=answer) if answer else None
        return Event(job.handle, job.sample, () if stopped else (token,), text, answer)

    def _back_off(self, taken: list[Job], why: str) -> None:
        """Go on with half the rows. What was in flight goes on from the tokens it has."""
        rows, self._rows = self._rows, None
        jobs: list[Job] = []
        if rows:
            jobs = rows.drain()
            self._fed += rows.fed
            rows.close()
        jobs += [job for job in taken if job not in jobs]
        self._waiting.extendleft(reversed(jobs))
        if self._most == 1:
            raise UserError(
                f"not even one row of {self.block} tokens fits into the memory ({why}); use a shorter length"
            )
        self._most //= 2
        self._prefill = max(1, self._prefill // 2)
        told = say(
            f"内存用完了（{why}）；接下来一次 {self._most} 行",
            f"memory ran out ({why}); going on with {self._most} rows at a time",
        )
        print(told, file=sys.stderr)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _answer(job: Job, stopped: bool) -> Answer:
    """What a job that has left its row amounts to."""
    drawn, reader = len(job.ids), job.reader
    ids = job.ids[: drawn - stopped]
    if reader and not job.watched:
        for token in ids:
            reader.step(token)
    if reader:
        reader.flush()
        ids = ids[: reader.kept]
        stopped = stopped or reader.stopped
    logprobs = job.logprobs[: len(ids)] if job.request.logprobs else None
    return Answer(ids, stopped, "stop" if stopped else "length", reader.text if reader else None, logprobs, drawn)
