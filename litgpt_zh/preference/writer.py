"""The files of a folder of pairs, written as records come.

``<side>_ids.npy`` (uint16) holds all sequences end to end, for each record prompt + chosen, then prompt + rejected (for
single answers: prompt + completion); sequence i is ``ids[offsets[i]:offsets[i + 1]]``. ``<side>_prompts.npy`` (uint16) is
the number of prompt tokens of each record, ``<side>_labels.npy`` whether its answer is wanted (``unpaired``, uint8) or its
advantage (``graded``, float32).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.writer import Writer

PAIRS = {"ids": np.uint16, "offsets": np.int64, "prompts": np.uint16}
FORMS: dict[str, dict[str, Any]] = {
    "pairs": PAIRS,
    "unpaired": {**PAIRS, "labels": np.uint8},
    "graded": {**PAIRS, "labels": np.float32},
}


@dataclass(frozen=True)
class EncodedRecord:
    """A record ready to be written: two sequences (chosen, rejected) or one with its label, uint16 (tokens,) each."""

    prompt: int
    sequences: tuple[np.ndarray, ...]
    group: str
    source: str
    label: float | None = None


class PairWriter(Writer):
    """Appends records of one form; ``commit`` makes what was written so far safe against a stop."""

    def __init__(self, folder: Path, form: str, *, resume: bool) -> None:
        self.dtypes, self.sequences = FORMS[form], 2 if form == "pairs" else 1
        super().__init__(folder, resume=resume)

    def write(self, side: str, record: EncodedRecord) -> None:
        files = self._files
        for ids in record.sequences:
            files[f"{side}_ids"].append(ids)
            files[f"{side}_offsets"].append(np.array([files[f"{side}_ids"].size], np.int64))
            self._lengths[str(len(ids))] += 1
            self.state.answer_tokens += len(ids) - record.prompt
        files[f"{side}_prompts"].append(np.array([record.prompt]))
        if record.label is not None:
            files[f"{side}_labels"].append(np.array([record.label]))
        self.state.kept += 1
        prompt = record.sequences[0][: record.prompt]
        self.offer_example(record.source, side, prompt, *(ids[record.prompt :] for ids in record.sequences))

    @staticmethod
    def example(item: list[Any], encoder: Encoder) -> dict[str, Any]:
        """What a person looks at: the prompt and each answer as the model sees them."""
        _, source, side, prompt, *answers = item
        names = ("chosen", "rejected") if len(answers) == 2 else ("completion",)
        texts = {name: encoder.decode(ids) for name, ids in zip(names, answers, strict=True)}
        lengths = {f"{name}_tokens": len(ids) for name, ids in zip(names, answers, strict=True)}
        asked = encoder.decode(prompt)
        return {"source": source, "side": side, "text": asked + texts[names[0]], "prompt": asked, **texts, **lengths}
