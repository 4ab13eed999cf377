"""How well a tokenizer suits a text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from litgpt_zh.prompts import plain
from litgpt_zh.stage import UserError
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.alphabet import gb2312_level1
from litgpt_zh.tokenizer.read import records, shards

if TYPE_CHECKING:
    import tokenizers


def measure(tokenizer_dirs: list[Path], text: Path, field: str = "text") -> list[dict]:
    """Compare tokenizers on one text and print a table.

    Args:
        tokenizer_dirs: Folders with a ``tokenizer.json`` each.
        text: A JSONL file, read as UTF-8.
        field: The field of each line that holds the text.

    Returns:
        One dict of :func:`figures` per folder, with its name.

    Raises:
        UserError: A file or field is missing.
    """
    try:
        with open(text, encoding="utf-8") as file:
            texts = [json.loads(line)[field] for line in file if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{text}: no such file; give a JSONL file") from None
    except (json.JSONDecodeError, KeyError, TypeError):
        raise UserError(f"{text}: not JSON lines with a field {field!r}; name the field with --field") from None
    rows = [{"tokenizer": str(folder), **figures(files.load(folder), texts)} for folder in tokenizer_dirs]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    return rows


def figures(tokenizer: tokenizers.Tokenizer, texts: Iterable[str]) -> dict[str, float | int]:
    """Figures of one tokenizer on ``texts``.

    Returns:
        ``entries`` (vocabulary size), ``characters``, ``tokens``, ``characters_per_token``, ``fragment_share`` (tokens
        that are no whole character by themselves, such as bytes), ``level1_single`` (share of the 3,755 Hanzi of GB2312
        level 1 that are one token), ``changed`` (texts that decoding does not give back exactly).
    """
    characters = tokens = fragments = changed = 0
    whole: dict[int, bool] = {}
    for text in map(plain, texts):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        for index in ids:
            if index not in whole:
                whole[index] = "\ufffd" not in tokenizer.decode([index], skip_special_tokens=False)
            fragments += not whole[index]
        characters, tokens = characters + len(text), tokens + len(ids)
        changed += tokenizer.decode(ids) != text
    hanzi = gb2312_level1()
    single = sum(len(tokenizer.encode(c, add_special_tokens=False).ids) == 1 for c in hanzi)
    return {
        "entries": tokenizer.get_vocab_size(),
        "characters": characters,
        "tokens": tokens,
        "characters_per_token": round(characters / max(tokens, 1), 4),
        "fragment_share": round(fragments / max(tokens, 1), 5),
        "level1_single": round(single / len(hanzi), 5),
        "changed": changed,
    }


def corpus_figures(tokenizer: tokenizers.Tokenizer, corpus_dir: Path, *, most: int = 2000) -> dict[str, float | int]:
    """:func:`figures` on the first ``most`` held-out texts of a corpus folder."""
    texts = (record["text"] for path in shards(corpus_dir, "val") for record, _ in records(path))
    return figures(tokenizer, islice(texts, most))


if __name__ == "__main__":
    from jsonargparse import CLI

    CLI(measure, as_positional=False)
