"""The data class of ``recipes/pretrain.yaml``: packed tokens, and how litgpt's loop is to run over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path  # noqa: F401  jsonargparse reads the annotations of inherited fields from here
from types import ModuleType
from typing import Any, Literal

from litgpt_zh import loops, schedule
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokens.data import PackedTokens


@dataclass
class Pretraining(PackedTokens):
    """Packed tokens for ``litgpt pretrain``, which then runs our loss, logs and checkpoints inside litgpt's loop."""

    sample_prompt: str = "汤姆和杰瑞是好朋友，"
    """Continued greedily at the start, at 10%, 30% and the end, so that a person sees the model learn. Empty: never."""
    sample_tokens: int = 80
    """Length of that continuation, in tokens."""
    mask_requests: bool = True
    """Stories that stand behind their request: learn the story, not the request."""
    keep: int = 2
    """How many of the newest step checkpoints stay on disk."""
    keep_best: bool = False
    """``final/`` has the weights of the validation with the lowest loss, not those of the last step: for a small corpus that is
    read many times. Over a corpus that is read once or twice, the last step of a decayed rate is the best."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """How the learning rate falls after the warm-up: ``cosine`` from there on; ``wsd`` stays at the top and falls at the end."""
    decay_share: float = 0.2
    """With ``wsd``: the share of the run, at its end, over which the rate falls in a straight line."""

    def __post_init__(self) -> None:
        super().__post_init__()
        schedule.check(self.schedule, self.decay_share)
        loops.replicate()

    def require_vocabulary(self, entries: int) -> None:
        """Refuse a model that has no row for every token id.

        Raises:
            UserError: names both sizes.
        """
        size = Manifest.read(self.tokens_dir).settings["vocab_size"]
        if size > entries:
            raise UserError(
                f"{self.tokens_dir}: made with a tokenizer of {size:,} entries, the model has {entries:,}; "
                f"train the tokenizer with --vocab_size {entries} or choose another model"
            )

    def train_with(self, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
        """Called by the seam in place of ``litgpt.pretrain.main``."""
        from litgpt_zh.pretrain.run import run

        run(self, module, main, arguments)
