"""What packing will come to, told from a sample before the work begins."""

from __future__ import annotations

from collections.abc import Sequence

from litgpt_zh.tokens.encode import Plan, Slice, read
from litgpt_zh.tokens.pack import predicted

HIGH = 0.05
"""Above this share of filling, or of documents cut, another block size is advised."""
_SLICES, _DOCUMENTS, _MOST = 16, 128, 20_000  # slices, documents of each, documents packed together


def predict(parts: Sequence[Slice], plan: Plan) -> float | None:
    """Print the gap to expect, and what a longer block would bring where it is `HIGH`.

    The sample is the first documents of slices that lie evenly through the corpus.

    Args:
        parts: the slices of the training split.
        plan: how they will be encoded.

    Returns:
        The predicted share of filling; None without a document.
    """
    chosen = parts if len(parts) <= _SLICES else [parts[n * len(parts) // _SLICES] for n in range(_SLICES)]
    most = _SLICES * _DOCUMENTS // max(1, len(chosen))
    lengths, sizes = [], 0
    for part in chosen:
        found = read(part, plan, most)
        lengths += found.lengths
        sizes += found.size
    if not lengths:
        return None
    together = min(_MOST, round((parts[0].stop - parts[0].start) * len(lengths) / sizes))
    gap, longer = predicted(lengths, plan.width, together)
    line = f"predicted at block_size {plan.width - 1}: gap {gap:.2%}, {longer:.2%} of the documents longer than a row"
    if max(gap, longer) > HIGH:
        line += "; " + _advice(lengths, plan.width, together)
    print(line)
    return gap


def _advice(lengths: Sequence[int], width: int, together: int) -> str:
    """The first longer block that brings both under `HIGH`, or else the longest that was tried."""
    for times in (2, 4, 8):
        block = (width - 1) * times
        gap, longer = predicted(lengths, block + 1, together)
        if max(gap, longer) <= HIGH:
            break
    return f"block_size {block} would bring {gap:.2%} and {longer:.2%}"
