"""What packing will come to, told from a sample before the work begins."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from litgpt_zh.language import say
from litgpt_zh.tokens.encode import Plan, Slice, read
from litgpt_zh.tokens.pack import predicted

HIGH = 0.05
"""Above this share of filling, or of documents cut, another block size is advised."""
_SPOTS, _DOCUMENTS = 64, 16  # places in the corpus, documents from each


def predict(parts: Sequence[Slice], plan: Plan) -> float | None:
    """Print the gap to expect, and what a longer block would bring where it is `HIGH`.

    The sample is a few documents from each of `_SPOTS` places that lie evenly through the corpus.

    Args:
        parts: the slices of the training split.
        plan: how they will be encoded.

    Returns:
        The predicted share of filling; None without a document.
    """
    spots = _spots(parts)
    most = max(1, _SPOTS * _DOCUMENTS // max(1, len(spots)))
    lengths = [length for spot in spots for length in read(spot, plan, most).lengths]
    if not lengths:
        return None
    gap, longer = predicted(lengths, plan.width)
    advice = _advice(lengths, plan.width) if max(gap, longer) > HIGH else ""
    print(
        say(
            f"预计 block_size {plan.width - 1}：填充占 {gap:.2%}，{longer:.2%} 的文档比一行长",
            f"predicted at block_size {plan.width - 1}: gap {gap:.2%}, {longer:.2%} of the documents longer than a row",
        )
        + advice
    )
    return gap


def _spots(parts: Sequence[Slice]) -> list[Slice]:
    """Pieces of slices, evenly through all of them."""
    chosen = parts if len(parts) <= _SPOTS else [parts[n * len(parts) // _SPOTS] for n in range(_SPOTS)]
    spots = []
    for part in chosen:
        count = _SPOTS // len(chosen)
        edges = [part.start + (part.stop - part.start) * n // count for n in range(count + 1)]
        spots += [replace(part, start=start, stop=stop) for start, stop in itertools.pairwise(edges) if start < stop]
    return spots


def _advice(lengths: Sequence[int], width: int) -> str:
    """The first longer block that brings both under `HIGH`, or else the longest that was tried."""
    for times in (2, 4, 8):
        block = (width - 1) * times
        gap, longer = predicted(lengths, block + 1)
        if max(gap, longer) <= HIGH:
            break
    return say(
        f"；block_size {block} 是 {gap:.2%} 和 {longer:.2%}",
        f"; block_size {block} would bring {gap:.2%} and {longer:.2%}",
    )
