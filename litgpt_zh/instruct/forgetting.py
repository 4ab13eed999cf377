"""What SFT costs of pretraining: bits per character on held-out pretraining text, before, during and after."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from litgpt_zh.language import say
from litgpt_zh.prompts import CONTROL
from litgpt_zh.stage import write_text
from litgpt_zh.tokens.data import rows_of

FILE = "forgetting.json"
"""The figure before training and its tokens folder, in the run's folder: a resumed run cannot measure it any more."""
METRIC = "pretrain_bits_per_character"
ROWS, BATCH = 48, 8


class Forgetting:
    """Bits per character of the first ``ROWS`` validation rows of a tokens folder.

    A row of T + 1 packed tokens is T predictions; the characters are those of the predicted tokens, control pieces not
    counted (their bits are). Rows may begin in the middle of a text, so the figure compares checkpoints on these rows, and is a
    little above what ``evaluate_stories`` says of whole stories.
    """

    def __init__(self, folder: Path, processor: Any) -> None:
        """
        Args:
            folder: made by ``litgpt-zh tokens``.
            processor: its ``tokenizers.Tokenizer``.
        """
        self.folder = folder
        rows = rows_of(folder, "val")
        self.rows = rows[np.arange(min(ROWS, len(rows)))]  # (rows, T + 1)
        texts = processor.decode_batch([[i for i in row if i >= len(CONTROL)] for row in self.rows[:, 1:].tolist()])
        self.characters = max(1, sum(map(len, texts)))
        self.before: float | None = None
        self.now: float | None = None

    @torch.no_grad()
    def measure(self, fabric: Any, model: Any) -> float:
        """Bits per character of the model as it is; it must be in eval mode."""
        nats = torch.zeros((), dtype=torch.float64, device=fabric.device)
        for rows in self.rows.split(BATCH):
            rows = rows.to(fabric.device)
            logits = model(rows[:, :-1]).float()  # (B, T, V)
            nats += F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").double()
        self.now = nats.item() / math.log(2) / self.characters
        return self.now

    def begin(self, fabric: Any, model: Any, out_dir: Path, step: int) -> None:
        """Measure before the first step; a resumed run reads what was measured then, if it was, and on the same folder."""
        file = out_dir / FILE
        if step:
            found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            self.before = found[METRIC] if found.get("folder") == str(self.folder) else None
            return
        model.eval()
        self.before = self.measure(fabric, model)
        model.train()
        if fabric.global_rank == 0:
            out_dir.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps({METRIC: self.before, "folder": str(self.folder)}))

    def counts(self) -> dict[str, float]:
        """For the manifest."""
        figures = {"before": self.before, "after": self.now}
        return {f"{METRIC}_{when}": round(value, 4) for when, value in figures.items() if value is not None}

    def __str__(self) -> str:
        """One line for a person."""
        if self.now is None:
            return say("预训练的文章：没有量", "pretraining text: not measured")
        if self.before is None:
            return say(
                f"预训练的文章：现在每字 {self.now:.4f} 比特，训练之前没有量",
                f"pretraining text: {self.now:.4f} bits/character now, not measured before training",
            )
        rise = self.now - self.before
        return say(
            f"预训练的文章：训练之前每字 {self.before:.4f} 比特，现在 {self.now:.4f}（{rise:+.4f}）",
            f"pretraining text: {self.before:.4f} bits/character before, {self.now:.4f} now ({rise:+.4f})",
        )
