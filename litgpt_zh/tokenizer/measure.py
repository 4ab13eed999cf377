"""The command ``measure_tokenizer``: how well tokenizers suit a text, side by side."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from litgpt_zh.corpus import readers
from litgpt_zh.corpus.clean_rule import HAN
from litgpt_zh.corpus.stage import WORLD
from litgpt_zh.prompts import plain
from litgpt_zh.stage import UserError
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.alphabet import gb2312_level1
from litgpt_zh.tokenizer.read import records, shards

if TYPE_CHECKING:
    import tokenizers

Figures = dict[str, Any]
_HAN = re.compile(f"[{HAN}]")
_BATCH = 256
_WORLD_SEED, _WORLD_STORIES = 77, {"short": 2000, "full": 400}
"""No recipe's seed, nor the shipped tokenizer's."""

ROWS: dict[str, tuple[str, str]] = {
    "entries": ("entries", ","),
    "characters_per_token": ("characters per token (more is better)", ".3f"),
    "bits_factor": ("bits per character / nat per token", ".4f"),
    "hanzi_single": ("Hanzi of the text that are one token (more)", ".2%"),
    "level1_single": ("GB2312 level 1 that are one token (more)", ".2%"),
    "fragment_share": ("tokens that are byte fragments (fewer)", ".3%"),
    "unknown_share": ("tokens that are unknown (must be 0)", ".3%"),
    "changed": ("texts that change when decoded (must be 0)", ","),
    "unused": ("entries the text never uses (fewer)", ","),
    "embedding_parameters": ("parameters in embeddings", ","),
    "embedding_share": ("  of all parameters", ".1%"),
}
"""Figure -> what the table calls it, and its form."""


def measure_tokenizer(
    tokenizer_dirs: list[Path] | Path = Path("tokenizer"),
    text: list[str] | str = WORLD,
    model: str = "zh-tinystories-44m",
    max_chars: int = 5_000_000,
) -> list[Figures]:
    """Compare tokenizers side by side on one text: ours of any size, or any Hugging Face folder with a tokenizer.json.
    More characters per token: a story is fewer tokens, training is cheaper, the block holds more of it. Losses in nats a
    token of two tokenizers cannot be compared; each times its factor (bits per character / nat per token) can. A Hanzi
    that is not one token is spelt in byte fragments, three tokens for one character, which a small model gets wrong.
    Unknown tokens and texts that change when decoded must be 0, or text is lost. Entries that the text never uses are
    paid for and not trained: compare on the text you train on, a small one uses few. Parameters in embeddings are entries
    x width (twice where input and output are not tied): the price of a larger vocabulary.

    Args:
        tokenizer_dirs: one folder, or several: '[tokenizer, Qwen2.5-0.5B]'.
        text: "world" for held-out stories of the built-in world, or files and folders as `litgpt-zh corpus` reads them.
        model: the model whose parameters are counted with each vocabulary; any name that litgpt knows.
        max_chars: stop reading the text here.

    Returns:
        For each folder its `figures`, with ``tokenizer``, ``embedding_parameters`` and ``embedding_share``.

    Raises:
        UserError: no such tokenizer, text or model; nothing to read in the text.
    """
    folders = tokenizer_dirs if isinstance(tokenizer_dirs, list) else [tokenizer_dirs]
    loaded = [(folder, files.load(folder)) for folder in folders]
    from litgpt_zh import configs

    configs.require_name(model)
    unread: Counter[str] = Counter()
    texts = list(_limited(_texts(text, unread), max_chars))
    if not texts:
        raise UserError(f"{text}: no text could be read; try it with `litgpt-zh corpus`, which says why")
    rows = []
    for folder, tokenizer in loaded:
        found = figures(tokenizer, texts)
        rows.append({"tokenizer": str(folder), **found, **embedding(model, found["entries"])})
    print(f"{text}: {len(texts):,} texts, {rows[0]['characters']:,} characters; parameters of {model}\n{table(rows)}")
    if unread:
        print(f"{text}: left out: " + ", ".join(f"{reason} {n:,}" for reason, n in unread.most_common()))
    return rows


def _texts(source: list[str] | str, unread: Counter[str]) -> Iterator[str]:
    if source == WORLD:
        yield from world_texts()
        return
    for item in readers.read(source):
        if isinstance(item, readers.Record):
            yield item.fields["text"]
        else:
            unread[item.reason] += 1


def world_texts() -> Iterator[str]:
    """Held-out stories of the built-in world, short and full ones."""
    from litgpt_zh.corpus.world import generate

    for length, count in _WORLD_STORIES.items():
        yield from (story.text for story in generate(_WORLD_SEED, 0, count, length))  # type: ignore[arg-type]


def _limited(texts: Iterable[str], max_chars: int) -> Iterator[str]:
    for text in texts:
        if max_chars <= 0:
            return
        yield text
        max_chars -= len(text)


def table(rows: list[Figures]) -> str:
    """The figures side by side, one tokenizer a column."""
    lines = [("", *(row["tokenizer"] for row in rows))]
    lines += [(name, *(format(row[key], form) for row in rows)) for key, (name, form) in ROWS.items() if key in rows[0]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )  # fmt: skip


def figures(tokenizer: tokenizers.Tokenizer, texts: Iterable[str]) -> Figures:
    """Figures of one tokenizer on ``texts``.

    Returns:
        ``entries`` (vocabulary size), ``characters``, ``tokens``, ``characters_per_token``, ``bits_factor`` (bits per
        character for one nat per token: tokens / (characters x ln 2)), ``hanzi_single`` (share of the different Hanzi of
        the texts that are one token), ``level1_single`` (of the 3,755 of GB2312 level 1), ``fragment_share`` (tokens that
        are no whole character by themselves, such as bytes), ``unknown_share``, ``changed`` (texts that decoding does not
        give back exactly), ``unused`` (entries that no token of the texts is).
    """
    characters = changed = 0
    used = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=np.int64)
    hanzi: set[str] = set()
    rest = map(plain, texts)
    while batch := list(islice(rest, _BATCH)):
        for text, encoding in zip(batch, tokenizer.encode_batch_fast(batch, add_special_tokens=False), strict=True):
            characters += len(text)
            hanzi.update(_HAN.findall(text))
            used += np.bincount(np.array(encoding.ids, dtype=np.int64), minlength=len(used))
            changed += tokenizer.decode(encoding.ids) != text
    tokens = int(used.sum())
    pieces = np.flatnonzero(used)
    fragments = sum(
        int(used[index]) for index in pieces if "\ufffd" in tokenizer.decode([int(index)], skip_special_tokens=False)
    )
    unknown = getattr(tokenizer.model, "unk_token", None)
    unknown_id = tokenizer.token_to_id(unknown) if unknown else getattr(tokenizer.model, "unk_id", None)
    return {
        "entries": tokenizer.get_vocab_size(),
        "characters": characters,
        "tokens": tokens,
        "characters_per_token": round(characters / max(tokens, 1), 4),
        "bits_factor": round(tokens / max(characters, 1) / math.log(2), 5),
        "hanzi_single": round(_single(tokenizer, hanzi), 5),
        "level1_single": round(_single(tokenizer, gb2312_level1()), 5),
        "fragment_share": round(fragments / max(tokens, 1), 5),
        "unknown_share": round(int(used[unknown_id]) / max(tokens, 1), 5) if unknown_id is not None else 0.0,
        "changed": changed,
        "unused": tokenizer.get_vocab_size() - len(pieces),
    }


def _single(tokenizer: tokenizers.Tokenizer, hanzi: Iterable[str]) -> float:
    lengths = [len(tokenizer.encode(c, add_special_tokens=False).ids) for c in sorted(hanzi)]
    return lengths.count(1) / max(len(lengths), 1)


def embedding(model: str, entries: int) -> Figures:
    """What a vocabulary costs in a model of that name.

    Returns:
        ``embedding_parameters`` (entries x width, twice where input and output do not share one matrix), and
        ``embedding_share``, of all parameters of the model with this vocabulary.
    """
    import torch
    from litgpt import GPT, Config

    from litgpt_zh import configs

    config = Config.from_name(model, vocab_size=entries, padded_vocab_size=entries)
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in GPT(config).parameters())
    matrix = entries * config.n_embd
    tied = configs.is_tied(config)
    found = matrix if tied else 2 * matrix
    return {"embedding_parameters": found, "embedding_share": round(found / (parameters - matrix * tied), 4)}


def corpus_figures(tokenizer: tokenizers.Tokenizer, corpus_dir: Path, *, most: int = 2000) -> Figures:
    """:func:`figures` on the first ``most`` held-out texts of a corpus folder."""
    texts = (record["text"] for path in shards(corpus_dir, "val") for record, _ in records(path))
    return figures(tokenizer, islice(texts, most))
