"""Several instruction sets and pretraining text as one data set: records by number, whatever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from litgpt_zh.instruct.batches import Part
from litgpt_zh.instruct.dataset import Requests
from litgpt_zh.prompts import CONTROL, EOS
from litgpt_zh.stage import Manifest, UserError, require_whole
from litgpt_zh.tokens.data import rows_of


class Replay(Dataset):
    """Stretches of packed pretraining rows as records of which every token is learnt.

    A stretch is as long as some instruction record, so that both share batches; it begins where a text begins, if one begins
    early enough in its row.
    """

    def __init__(self, folder: Path, like: np.ndarray, processor: Any, seed: int) -> None:
        """
        Args:
            folder: made by ``litgpt-zh tokens``.
            like: lengths of instruction records, (records,); each row is given one of them.
            processor: a ``tokenizers.Tokenizer``.
            seed: of the lengths and places.
        """
        self.rows, self.seed = rows_of(folder, "train"), seed
        self.eos = processor.token_to_id(EOS)
        drawn = np.random.default_rng([seed, len(self.rows)]).choice(like, len(self.rows))
        self.lengths = np.minimum(drawn, self.rows.width)  # (rows,)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """As ``Records``: ``input_ids`` and ``labels`` int64 (tokens,), ``asked`` bool (tokens,), ``token_counts``."""
        row, length = self.rows[np.array([index])][0], int(self.lengths[index])  # (T + 1,)
        starts = np.flatnonzero(row[: self.rows.width - length].numpy() == self.eos) + 1
        rng = np.random.default_rng([self.seed, index])
        start = int(rng.choice(np.concatenate([[0], starts])))
        ids = row[start : start + length].clone()
        counts = {"raw": int((ids >= len(CONTROL)).sum()), "raw_plus_prompt_template": length}
        return {
            "input_ids": ids, "labels": ids, "asked": torch.zeros(length, dtype=torch.bool), "token_counts": counts,
        }  # fmt: skip


class Mixture(Dataset):
    """Data sets end to end; the first gives what is asked of the whole: control pieces, example requests."""

    def __init__(self, members: Sequence[Any]) -> None:
        self.members = members
        self.first = np.cumsum([0, *map(len, members)])
        self.lengths = np.concatenate([member.lengths for member in members])
        self.control, self.processor = members[0].control, members[0].processor

    def __len__(self) -> int:
        return int(self.first[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        member = int(np.searchsorted(self.first, index, side="right")) - 1
        return self.members[member][index - int(self.first[member])]

    @property
    def data(self) -> Requests:
        return Requests(self.members[0])


def parts_of(
    mixture: Mixture, drills: int, weights: Sequence[float], *, in_turn: bool, replay_share: float
) -> list[Part]:
    """The parts of a mixture of: the main records (``drills`` of them first), the further sets, and replay where there is one.

    Args:
        mixture: its members in that order.
        drills: records at the beginning of the first member that have a place of their own in the plan.
        weights: of each further set.
        in_turn: the further sets come before the main one, in their order, not mixed with it.
        replay_share: of the records of an epoch that are replay; 0 where the mixture has none.
    """
    edges = mixture.first.tolist()
    others = [
        Part(edges[n], edges[n + 1], weight, turn=n if in_turn else 0) for n, weight in enumerate(weights, start=1)
    ]
    parts = [*others, Part(drills, edges[1], turn=len(weights) + 1 if in_turn else 0)]
    if replay_share:
        wanted = (drills + sum(part.count for part in parts)) * replay_share / (1 - replay_share)
        parts.append(Part(edges[-2], edges[-1], wanted / (edges[-1] - edges[-2]), turn=None))
    return [part for part in parts if part.count]


def require_rows(folder: Path, block_size: int, vocabulary: str | None) -> None:
    """Refuse pretraining rows that are longer than the model's block, of another tokenizer, or not whole.

    Raises:
        UserError: names both, or the file.
    """
    made = Manifest.read(folder)
    if made.stage != "tokens":
        raise UserError(
            f"{folder}: a folder of stage {made.stage}; data.pretrain_dir wants one made by `litgpt-zh tokens`"
        )
    if made.settings["block_size"] > block_size:
        raise UserError(
            f"{folder}: rows are made for block_size {made.settings['block_size']}, the model's is {block_size}; run "
            f"`litgpt-zh tokens --block_size {block_size}`"
        )
    if vocabulary is not None and made.settings["vocabulary"] != vocabulary:
        raise UserError(
            f"{folder}: made with another tokenizer than the checkpoint's; give the tokens it was pretrained on"
        )
    require_whole(folder)
