"""One answer, shown as it grows, never with half a character."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from litgpt_zh.generate.cache import bucketed, kv_caches
from litgpt_zh.generate.load import Loaded
from litgpt_zh.generate.pick import pick, require_settings, uniforms
from litgpt_zh.stage import UserError

_BROKEN = "\ufffd"
_HOLD = 8
"""Tokens held back while they end in half a character (UTF-8 has at most 4 bytes); then what is whole is shown."""


class Decoder:
    """Token ids in, text out, as soon as it is sure.

    A rare character or an emoji lies in up to four byte pieces; they are held back until it is whole. Bytes that never
    become a character are left out. Control pieces have no text.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor  # a tokenizers.Tokenizer
        self.shown: list[int] = []  # the last ids shown: some decoders need what stands before
        self.held: list[int] = []

    def step(self, token: int) -> str:
        """Text that became sure with ``token``; may be empty."""
        self.held.append(token)
        text = self._text()
        if text.endswith(_BROKEN) and len(self.held) < _HOLD:
            return ""
        return self._show(text)

    def flush(self) -> str:
        """What is still held, without broken characters."""
        return self._show(self._text()) if self.held else ""

    def _text(self) -> str:
        before = self.processor.decode(self.shown, skip_special_tokens=True)
        return self.processor.decode(self.shown + self.held, skip_special_tokens=True)[len(before) :]

    def _show(self, text: str) -> str:
        # a broken tail changes how what follows it is decoded, so it is not kept as context
        self.shown = [] if _BROKEN in text else self.held
        self.held = []
        return text.replace(_BROKEN, "")


def decode(processor: Any, tokens: Iterable[int]) -> Iterator[str]:
    """Pieces of text, none of them empty, none of them broken; together they are the text of ``tokens``."""
    decoder = Decoder(processor)
    for token in tokens:
        if piece := decoder.step(token):
            yield piece
    if piece := decoder.flush():
        yield piece


def stream(
    loaded: Loaded,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int | None = None,
    temperature: float = 0.7,
    top_k: int | None = 50,
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """Answer one prompt, piece by piece, until a stop id, ``max_new_tokens`` or the end of the block.

    The same prompt, seed and settings give the same text as ``batch.generate`` does.

    Raises:
        UserError: the prompt leaves no room in the block, or a setting is out of range; before anything is shown.
    """
    require_settings(temperature, top_k, top_p)
    block = loaded.model.max_seq_length
    if not 0 < len(prompt_ids) < block:
        raise UserError(f"the prompt has {len(prompt_ids)} tokens, this model takes 1 to {block - 1}; shorten it")
    budget = min(max_new_tokens or block, block - len(prompt_ids))
    tokens = _tokens(loaded, list(prompt_ids), budget, temperature, top_k, top_p, seed)
    return decode(loaded.tokenizer.processor, tokens)


def _tokens(
    loaded: Loaded, prompt: list[int], budget: int, temperature: float, top_k: int | None, top_p: float, seed: int
) -> Iterator[int]:
    model, device, stop = loaded.model, loaded.device, frozenset(loaded.stop_ids)
    numbers = torch.from_numpy(uniforms(seed, 0, budget)).to(device)
    length = bucketed(len(prompt) + budget, model.max_seq_length)
    with kv_caches(model, 1, length):
        ids = torch.tensor([prompt], device=device)  # (1, T)
        pos = torch.arange(len(prompt), device=device)  # (T,)
        for step in range(budget):
            with torch.inference_mode():  # not around the yield: the caller would be in it too
                end = bucketed(len(prompt) + step, length)
                logits = model(ids, pos, end)[:, -1]  # (1, V)
                ids = pick(logits, numbers[step : step + 1], temperature, top_k, top_p)[:, None]  # (1, 1)
            token = int(ids)
            if token in stop:
                return
            yield token
            pos = pos[-1:] + 1
