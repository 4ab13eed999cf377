"""One answer, shown as it grows, never with half a character."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from litgpt_zh.generate.engine import Engine
from litgpt_zh.generate.load import Loaded
from litgpt_zh.generate.request import Request
from litgpt_zh.generate.text import Decoder


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
    request = Request(
        prompt_ids, max_new_tokens, loaded.stop_ids, (), temperature, top_k, top_p, seed=seed, stream=True
    )  # fmt: skip
    block = loaded.model.max_seq_length
    request.require(block, loaded.config.padded_vocab_size, True)
    return _pieces(loaded, request, len(prompt_ids) + request.budget(block))


def _pieces(loaded: Loaded, request: Request, length: int) -> Iterator[str]:
    with Engine(loaded.model, loaded.tokenizer.processor, batch_size=1, length=length) as engine:
        engine.add(request)
        for event in engine.run():
            if event.text:
                yield event.text
