"""How well a model predicts text it has not seen, in bits per character: comparable across tokenizers and packings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litgpt_zh.evaluate.figures import ratio
from litgpt_zh.evaluate.measure import shown
from litgpt_zh.evaluate.score import prompt_of, read_records
from litgpt_zh.language import say
from litgpt_zh.stage import UserError, progress


def bits_per_character(
    checkpoint: Any,
    records: Path | str | Sequence[dict[str, Any]],
    *,
    count: int = 200,
    fields: Sequence[str] = (),
    batch_size: int = 16,
    name: str = "bits",
) -> dict[str, Any]:
    """Bits per character of the records' stories.

    A story is the tokens ``t_1 .. t_n`` of its ``text`` and the end-of-text token ``t_(n+1)``. Its context is ``t_0``:
    one end-of-text token (as behind an earlier story), or, where ``fields`` names some, the prompt with those constraints.
    The sequence is cut into chunks of at most the model's block, each beginning with the last token of the one before, so
    every token is predicted exactly once, from what stands before it in its chunk. The figure is

        sum over stories and tokens of -log2 p(t_i | its chunk before i)  /  sum over stories of len(text)

    with ``len`` in Unicode characters: the end token costs bits and counts no character. Logits are taken in float32.

    Args:
        checkpoint: a checkpoint folder, or ``generate.load.Loaded``.
        records: held-out records, or a jsonl file of them.
        count: stories (those without text are passed over).
        fields: constraint fields shown before the story; none for a pretrained model.
        batch_size: chunks in one forward pass.
        name: of the progress bar.

    Returns:
        ``{"bits_per_character": {"value", "low", "high", "n"}, "loss_per_token", "characters", "tokens", "stories",
        "fields", "per_story": {"bits", "characters"}}``, the loss in nats.

    Raises:
        UserError: no story; the checkpoint cannot be loaded.
    """
    from litgpt_zh.generate.load import Loaded, load

    loaded = checkpoint if isinstance(checkpoint, Loaded) else load(checkpoint)
    found = read_records(records) if isinstance(records, (str, Path)) else records
    told = [record for record in found if record.get("text")][:count]
    if not told:
        raise UserError(f"{records if isinstance(records, (str, Path)) else 'records'}: no record with a text")
    stories = [_tokens(loaded, record, fields) for record in told]
    nats, tokens = _nats(loaded, stories, batch_size, name)
    bits, characters = [round(n / math.log(2), 3) for n in nats], [len(record["text"]) for record in told]
    return {
        "bits_per_character": ratio(bits, characters),
        "loss_per_token": round(sum(nats) / sum(tokens), 4),
        "characters": sum(characters),
        "tokens": sum(tokens),
        "stories": len(told),
        "fields": list(fields),
        "per_story": {"bits": bits, "characters": characters},
    }


def _tokens(loaded: Any, record: dict[str, Any], fields: Sequence[str]) -> tuple[list[int], int]:
    """The sequence and the length of its context."""
    context = loaded.encode(prompt_of(shown(record, fields))) if fields else [loaded.eos_id]
    return context + loaded.encode(record["text"]) + [loaded.eos_id], len(context)


def _nats(
    loaded: Any, stories: Sequence[tuple[list[int], int]], batch_size: int, name: str
) -> tuple[list[float], list[int]]:
    """Summed -ln p and number of predicted tokens of each story."""
    import torch

    block = loaded.model.max_seq_length
    chunks: list[tuple[int, list[int], int]] = []  # story, ids (at most block + 1), first predicted position
    for index, (ids, context) in enumerate(stories):
        for start in range(0, len(ids) - 1, block):
            piece = ids[start : start + block + 1]
            if (first := max(context - start, 1)) < len(piece):
                chunks.append((index, piece, first))
    chunks.sort(key=lambda chunk: len(chunk[1]))
    nats, tokens = [0.0] * len(stories), [0] * len(stories)
    with torch.inference_mode(), progress(len(chunks), desc=name, unit=say("段", "chunk"), scale=False) as bar:
        for at in range(0, len(chunks), batch_size):
            batch = chunks[at : at + batch_size]
            width = max(len(ids) for _, ids, _ in batch)
            padded = torch.tensor(
                [ids + [0] * (width - len(ids)) for _, ids, _ in batch], device=loaded.device
            )  # (B, T+1)
            losses = torch.nn.functional.cross_entropy(
                loaded.model(padded[:, :-1]).float().transpose(1, 2), padded[:, 1:], reduction="none"
            ).double()  # (B, T)
            for row, (index, ids, first) in enumerate(batch):
                nats[index] += float(losses[row, first - 1 : len(ids) - 1].sum())
                tokens[index] += len(ids) - first
            bar.update(len(batch))
    return nats, tokens
