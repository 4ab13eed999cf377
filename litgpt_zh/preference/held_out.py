"""Held-out requests and true stories: what a model that is being preference-tuned does with them, against before.

A folder of ``sample_pairs`` carries them in ``guard.jsonl`` (prompt, story), requests of the validation side with the
records' own stories. In every other folder the validation side itself stands for them: prompt and chosen (wanted) answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from litgpt_zh.constraints import parse
from litgpt_zh.evaluate import figures
from litgpt_zh.instruct.stage import side_of
from litgpt_zh.preference.dataset import PairCollate, PairRecords
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.preference.requests import Request
from litgpt_zh.prompts import ASSISTANT, EOS, INSTRUCTION, USER
from litgpt_zh.sampling import unwrap
from litgpt_zh.stage import write_text

FILE = "guard.jsonl"
MOST = 200
"""Requests in ``guard.jsonl``, and true stories that are scored, at most."""
ROOM = 16
"""Tokens a prompt must leave for an answer."""


def write(folder: Path, wanted: Iterable[Request | None], val_share: float, seed: int) -> None:
    """``guard.jsonl``: the first ``MOST`` requests of the validation side that have a story of their own."""
    lines: list[str] = []
    for request in wanted:
        if request and request.story and side_of(request.group, val_share, seed) == "val":
            lines.append(json.dumps({"prompt": request.prompt, "story": request.story}, ensure_ascii=False) + "\n")
        if len(lines) == MOST:
            break
    if lines:
        write_text(folder / FILE, "".join(lines))


@dataclass(frozen=True)
class HeldOut:
    """A request as ids, the sequence of prompt, story and end, and the words that are asked for (where that is known)."""

    prompt: list[int]
    whole: list[int]
    words: tuple[str, ...]


def read(folder: Path, records: PairRecords, block: int) -> list[HeldOut]:
    """The held-out requests of a folder, each prompt once, those left out whose story does not fit.

    Args:
        folder: of ``sample_pairs`` or ``pairs``.
        records: its validation side.
        block: longest sequence.
    """
    file = folder / FILE
    found = _of_file(file, records) if file.is_file() else _of_records(records)
    fit = {tuple(prompt): whole for prompt, whole in found if len(prompt) + ROOM <= block and len(whole) <= block}
    decode = records.processor.decode
    return [
        HeldOut(list(prompt), whole, words_of(decode(list(prompt), skip_special_tokens=False)))
        for prompt, whole in list(fit.items())[:MOST]
    ]


def _of_file(file: Path, records: PairRecords) -> Iterable[tuple[list[int], list[int]]]:
    def ids(text: str) -> list[int]:
        return records.processor.encode(text, add_special_tokens=False).ids

    for line in file.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        prompt = ids(told["prompt"])
        yield prompt, prompt + ids(told["story"]) + [records.control[EOS]]


def _of_records(records: PairRecords) -> Iterable[tuple[list[int], list[int]]]:
    for index in range(len(records)):
        if records.wanted(index)[0]:
            whole = records.sequence(records.sides * index).tolist()
            yield whole[: records.prompts[index]], whole


def words_of(prompt: str) -> tuple[str, ...]:
    """The words that the last request of a prompt asks for."""
    asked = parse(prompt.rpartition(USER)[2].removesuffix(ASSISTANT).removeprefix(INSTRUCTION))
    return asked.words if asked else ()


@dataclass(frozen=True)
class Figures:
    """What a model does with held-out requests: ``nll`` and ``tokens`` of each true story, the rest of each greedy one."""

    nll: np.ndarray
    """(stories,) nats of a true story, given its prompt."""
    tokens: np.ndarray
    """(stories,) tokens of a true story, its end included."""
    repetition: np.ndarray
    """(samples,) share of the character 4-grams that repeat an earlier one."""
    ended: np.ndarray
    """(samples,) 1 where the model ended the story itself."""
    characters: np.ndarray
    """(samples,)"""
    words: np.ndarray
    """(samples that are asked for words,) 1 where all of them are there."""

    def dump(self) -> dict[str, list[float]]:
        return {name: values.tolist() for name, values in asdict(self).items()}

    @staticmethod
    def load(values: dict[str, list[float]]) -> Figures:
        return Figures(**{name: np.array(numbers) for name, numbers in values.items()})


@torch.no_grad()
def figures_of(fabric: Any, model: Any, collate: PairCollate, held: Sequence[HeldOut], samples: int) -> Figures:
    """Measure a model, in eval mode. Nothing is drawn: the run's random numbers stay where they are.

    Args:
        fabric: Fabric.
        model: the model in training.
        collate: pads sequences.
        held: requests with true stories, all of them scored.
        samples: of how many of them a story is written, greedily.
    """
    from litgpt_zh.generate.batch import generate

    gpt, asked = unwrap(model), held[:samples]
    nll, tokens = _nll(fabric, model, collate, held)
    eos = collate.records.control[EOS]
    answers = generate(gpt, [item.prompt for item in asked], stop_ids=(eos,)) if asked else []
    texts = [collate.records.processor.decode(answer.ids, skip_special_tokens=True) for answer in answers]
    told = [(item.words, text) for item, text in zip(asked, texts, strict=True) if item.words]
    return Figures(
        nll,
        tokens,
        np.array([figures.repetition(text) for text in texts]),
        np.array([float(answer.finished) for answer in answers]),
        np.array([float(len(text)) for text in texts]),
        np.array([float(all(word in text for word in words)) for words, text in told]),
    )


def _nll(fabric: Any, model: Any, collate: PairCollate, held: Sequence[HeldOut]) -> tuple[np.ndarray, np.ndarray]:
    """Nats and tokens of every true story, those of similar length together."""
    order = sorted(range(len(held)), key=lambda n: len(held[n].whole))
    nll, tokens = np.zeros(len(held)), np.zeros(len(held))
    for start in range(0, len(order), 16):
        part = order[start : start + 16]
        sequences = [torch.tensor(held[n].whole) for n in part]
        batch = fabric.to_device(collate.padded(sequences, [len(held[n].prompt) for n in part]))
        sums, counts = completion_logps(model, batch["input_ids"], batch["labels"])
        nll[part], tokens[part] = (-sums).cpu().double().numpy(), counts.cpu().numpy()
    return nll, tokens
