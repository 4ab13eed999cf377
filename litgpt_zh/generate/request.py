"""What is asked of the sampler, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from litgpt_zh.generate.pick import Settings
from litgpt_zh.stage import UserError

Reason = Literal["stop", "length"]
"""``stop``: a stop id or a stop string; ``length``: ``max_new_tokens`` or the end of the block."""


@dataclass(frozen=True)
class Request:
    """One prompt and how to answer it. Requests with different settings share a batch."""

    prompt: Sequence[int]
    """token ids, at least one"""
    max_new_tokens: int | None = None
    """at most so many an answer; None goes on to the end of the block, and the block always limits"""
    stop_ids: Sequence[int] = ()
    """ids that end an answer; they are not part of it"""
    stop: Sequence[str] = ()
    """texts that end an answer, wherever they lie over the tokens; they are not part of it"""
    temperature: float = 0.0
    """0 takes the most probable token"""
    top_k: int | None = None
    """sample among so many of the most probable tokens"""
    top_p: float = 1.0
    """sample among the most probable tokens that together have this probability"""
    min_p: float = 0.0
    """sample among tokens at least this many times as probable as the most probable one"""
    samples: int = 1
    """answers to this prompt; it is read once for all of them"""
    seed: int | Sequence[tuple[int, int]] = 0
    """sample k draws from the stream (seed, k), or from its own (seed, number): whatever else is in the batch"""
    logprobs: bool = False
    """whether the answer says how probable its tokens were"""
    stream: bool = False
    """whether tokens are told as they come; otherwise only whole answers are"""

    def settings(self) -> Settings:
        """How its tokens are drawn."""
        return Settings(self.temperature, self.top_k, self.top_p, self.min_p)

    def stream_of(self, sample: int) -> tuple[int, int]:
        """Seed and number of the random stream that a sample draws from."""
        return (self.seed, sample) if isinstance(self.seed, int) else self.seed[sample]

    def budget(self, block: int) -> int:
        """Tokens an answer may have in a model whose block is ``block``."""
        return min(self.max_new_tokens or block, block - len(self.prompt))

    def require(self, block: int, vocabulary: int, reads: bool) -> None:
        """Refuse what cannot be answered.

        Args:
            block: tokens the model takes.
            vocabulary: rows of its embedding.
            reads: whether there is a tokenizer to see stop strings with.

        Raises:
            UserError: the prompt is empty, too long or not of this vocabulary; a setting is out of range.
        """
        self.settings().require()
        length = len(self.prompt)
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UserError(
                f"max_new_tokens {self.max_new_tokens}: choose 1 or more, or null to go on to the end of the block"
            )
        if not 0 < length < block:
            raise UserError(
                f"the prompt has {length} tokens, this model takes 1 to {block - 1}"
                + ("; shorten it" if length else "")
            )
        if not (min(self.prompt) >= 0 and max(self.prompt) < vocabulary):
            raise UserError(f"the prompt has ids outside 0 to {vocabulary - 1}; encode it with the model's tokenizer")
        if self.samples < 1:
            raise UserError(f"samples {self.samples}: choose 1 or more")
        if not isinstance(self.seed, int) and len(self.seed) != self.samples:
            raise UserError(f"seed: {len(self.seed)} random streams for {self.samples} samples")
        if isinstance(self.seed, int) and self.seed < 0:
            raise UserError(f"seed {self.seed}: choose 0 or more")
        if self.stop and not reads:
            raise UserError("stop strings need the tokenizer, to see the text")
        if not all(self.stop):
            raise UserError("stop: an empty string would end every answer at once")


@dataclass
class Answer:
    """One answer. ``finished``: the model ended it itself; otherwise it met a limit."""

    ids: list[int] = field(default_factory=list)
    """without the stop id, and without tokens that are part of a stop string"""
    finished: bool = False
    reason: Reason = "length"
    text: str | None = None
    """up to the stop string; None where the engine has no tokenizer"""
    logprobs: list[float] | None = None
    """of ``ids`` under the model's own distribution (temperature 1, all tokens), in nats"""
    drawn: int = 0
    """tokens the model gave for it, those left out of ``ids`` included"""


@dataclass(frozen=True)
class Event:
    """Something new about a sample: with ``stream`` its tokens as they come, and in any case the whole answer at its end."""

    handle: int
    sample: int
    """0 .. samples - 1"""
    ids: Sequence[int] = ()
    """new tokens (never a stop id); some of them may turn out to begin a stop string and be left out of the answer"""
    text: str = ""
    """new text: whole characters, never part of a stop string; joined, the pieces are the text of the answer"""
    answer: Answer | None = None
    """at the end of the sample"""
