"""Many prompts of any lengths at once, on litgpt's own GPT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from litgpt.model import GPT

from litgpt_zh.generate.cache import RowCache, bucketed, kv_caches
from litgpt_zh.generate.pick import pick, require_settings, uniforms
from litgpt_zh.stage import UserError

PREFILL_TOKENS = 16_384
"""Prompt tokens in one forward pass: litgpt makes logits for all of them (16,384 x 6,656 x 4 bytes = 436 MB)."""


@dataclass
class Sample:
    """An answer. ``finished``: the model ended it itself; otherwise it met a limit. The stop id is not in ``ids``."""

    ids: list[int] = field(default_factory=list)
    finished: bool = False


def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int | None = None,
    stop_ids: Sequence[int],
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int | Sequence[int] = 0,
    batch_size: int = 64,
    on_sample: Callable[[int, Sample], None] | None = None,
) -> list[Sample]:
    """Answer every prompt; ``batch_size`` of them are decoded together, and a finished row makes room for the next.

    Greedy answers are those of ``litgpt.generate.base.generate``, whatever the batch (in float32; in bfloat16 a batch of
    another size may round a near-tie the other way). Sampled ones depend on the prompt, its seed and the settings, not on
    the neighbours.

    Args:
        model: litgpt's GPT (not compiled); its mode and caches are put back afterwards.
        prompts: token ids, at least one each.
        max_new_tokens: at most so many a prompt; None goes on to the end of the block, and the block always limits.
        stop_ids: ids that end an answer.
        temperature: 0 takes the most probable token.
        top_k: sample among so many of the most probable tokens.
        top_p: sample among the most probable tokens that together have this probability.
        seed: one seed (prompt i draws from (seed, i)), or one per prompt (it draws from (its seed, 0)).
        batch_size: rows decoded together.
        on_sample: called with a prompt's index and its answer as soon as it is there.

    Returns:
        The answers, in the order of ``prompts``.

    Raises:
        UserError: a prompt is empty or leaves no room in the block; a setting is out of range.
    """
    require_settings(temperature, top_k, top_p)
    budgets = [_budget(i, len(p), model.max_seq_length, max_new_tokens) for i, p in enumerate(prompts)]
    if batch_size < 1:
        raise UserError(f"batch_size {batch_size}: choose 1 or more")
    if not prompts:
        return []
    rows = min(batch_size, len(prompts))
    length = bucketed(max(len(p) + n for p, n in zip(prompts, budgets, strict=True)), model.max_seq_length)
    with torch.inference_mode(), kv_caches(model, rows, length) as caches:
        batch = _Batch(model, caches, rows, length, max(budgets), (temperature, top_k, top_p))
        answers = [Sample() for _ in prompts]
        queue = sorted(
            range(len(prompts)), key=lambda i: len(prompts[i])
        )  # the longest leave first, neighbours are alike
        draws = temperature > 0
        while queue or batch.size:
            if queue and (batch.size == 0 or rows - batch.size >= max(1, rows // 8)):
                room = min(rows - batch.size, max(1, PREFILL_TOKENS // len(prompts[queue[-1]])))
                taken = [queue.pop() for _ in range(min(room, len(queue)))]
                numbers = [_uniforms(seed, i, budgets[i]) for i in taken] if draws else None
                tokens = batch.enter(taken, [prompts[i] for i in taken], numbers)
            else:
                tokens = batch.step()
            _collect(batch, tokens, answers, budgets, frozenset(stop_ids), on_sample)
    return answers


def _budget(index: int, length: int, block: int, wanted: int | None) -> int:
    if wanted is not None and wanted < 1:
        raise UserError(f"max_new_tokens {wanted}: choose 1 or more, or null to go on to the end of the block")
    if not 0 < length < block:
        raise UserError(
            f"prompt {index}: {length} tokens; a prompt has 1 to {block - 1} tokens (the model's block is {block})"
        )
    return min(wanted or block, block - length)


def _uniforms(seed: int | Sequence[int], index: int, count: int) -> np.ndarray:
    return uniforms(seed, index, count) if isinstance(seed, int) else uniforms(seed[index], 0, count)


class _Batch:
    """The rows in flight. Rows ``0 .. size`` of the caches are theirs; a row that leaves is overwritten by the last."""

    def __init__(self, model: GPT, caches: list[RowCache], rows: int, length: int, steps: int, settings: tuple) -> None:
        self.model, self.caches, self.length, self.settings = model, caches, length, settings
        device = model.lm_head.weight.device
        self.size = 0
        self.prompt: list[int] = []  # row -> index of its prompt
        self.token = torch.zeros(rows, dtype=torch.int64, device=device)
        self.pos = torch.zeros(rows, dtype=torch.int64, device=device)  # where `token` stands
        self.drawn = torch.zeros(rows, dtype=torch.int64, device=device)  # how many numbers the row has used
        self.numbers = torch.zeros(rows, steps if settings[0] > 0 else 0, device=device)  # (rows, steps)
        self.longest = [0] * rows  # pos, on the host

    def enter(
        self, indices: list[int], prompts: list[Sequence[int]], numbers: list[np.ndarray] | None
    ) -> list[tuple[int, int]]:
        """Prefill new rows after the present ones, right-padded; returns (row, first token) of the new rows."""
        first, count = self.size, len(indices)
        lengths = [len(p) for p in prompts]
        padded = np.zeros((count, max(lengths)), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            padded[row, : len(prompt)] = prompt
            self.longest[first + row] = len(prompt)
            if numbers is not None:
                self.numbers[first + row, : len(numbers[row])] = torch.from_numpy(numbers[row]).to(self.numbers.device)
        ids = torch.from_numpy(padded).to(self.token.device)
        rows = slice(first, first + count)
        self.pos[rows] = torch.tensor(lengths, device=ids.device)
        self.drawn[rows] = 0
        self.prompt.extend(indices)
        self.size += count
        for cache in self.caches:
            cache.first = first
        logits = self.model(ids, torch.arange(ids.size(1), device=ids.device), ids.size(1))  # (count, T, V)
        for cache in self.caches:
            cache.first = 0
        last = logits[torch.arange(count, device=ids.device), self.pos[rows] - 1]  # (count, V)
        return list(enumerate(self._choose(rows, last), start=first))

    def step(self) -> list[tuple[int, int]]:
        """One more token for every row; returns (row, token)."""
        rows = slice(0, self.size)
        end = bucketed(max(self.longest[: self.size]) + 1, self.length)
        logits = self.model(self.token[rows, None], self.pos[rows, None], end)[:, -1]  # (B, V)
        self.pos[rows] += 1
        for row in range(self.size):
            self.longest[row] += 1
        return list(enumerate(self._choose(rows, logits)))

    def _choose(self, rows: slice, logits: torch.Tensor) -> list[int]:
        uniform = None
        if self.settings[0] > 0:
            uniform = self.numbers[rows].gather(1, self.drawn[rows, None]).squeeze(1)
            self.drawn[rows] += 1
        self.token[rows] = pick(logits, uniform, *self.settings)
        return self.token[rows].tolist()

    def leave(self, row: int) -> None:
        """Give the row's place to the last row."""
        last = self.size - 1
        if row != last:
            for cache in self.caches:
                cache.move(last, row)
            for state in (self.token, self.pos, self.drawn, self.numbers):
                state[row] = state[last]
            self.longest[row], self.prompt[row] = self.longest[last], self.prompt[last]
        self.prompt.pop()
        self.size = last


def _collect(
    batch: _Batch,
    tokens: list[tuple[int, int]],
    answers: list[Sample],
    budgets: list[int],
    stop: frozenset[int],
    on_sample: Callable[[int, Sample], None] | None,
) -> None:
    """Append the new tokens and let finished rows leave, the last one first so that places keep their meaning."""
    for row, token in reversed(tokens):
        index = batch.prompt[row]
        answer = answers[index]
        if token in stop:
            answer.finished = True
        else:
            answer.ids.append(token)
        if answer.finished or len(answer.ids) == budgets[index]:
            batch.leave(row)
            if on_sample:
                on_sample(index, answer)
