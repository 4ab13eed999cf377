"""The bars of the shipped tokenizer, and three sizes of it side by side.

    python benchmarks/data_tokenizer.py           # the three sizes as the shipped one was made (24,000 stories)
    python benchmarks/data_tokenizer.py --quick   # from 5,000 stories, within a minute
    python benchmarks/data_tokenizer.py --others Qwen2.5-0.5B gpt2    # and any folders with a tokenizer.json

Text unlike its own: storybooks.jsonl in ``--data`` (36 African folk tales and picture books, full of names), left out where it
is not. One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

from litgpt_zh.corpus.stage import corpus
from litgpt_zh.generate.stream import decode
from litgpt_zh.prompts import plain
from litgpt_zh.tokenizer import files, ship
from litgpt_zh.tokenizer.measure import embedding, figures, table, world_texts
from litgpt_zh.tokenizer.read import shards
from litgpt_zh.tokenizer.train import build, corpus_runs, dictionary_path, dictionary_words

DATA = Path(__file__).parents[2] / "shared" / "data"
SIZES = (6400, 6656, 7040)
OK = True


def figure(name: str, value: float, bar: str, good: bool, form: str = ".3f") -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value:{form}} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def any_text(count: int) -> list[str]:
    """Strings of any code points but surrogates, beside Hanzi, marks and what looks like our byte pieces."""
    rng = random.Random(0)
    pools = (
        lambda: rng.choice("小兔子，。！？“”\n 　0123abcXYZ<>|▁\ufffd"),
        lambda: chr(rng.randrange(0x4E00, 0xA000)),
        lambda: chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))),
        lambda: f"<0x{rng.randrange(256):02X}>",
    )
    return [plain("".join(rng.choice(pools)() for _ in range(rng.randrange(60)))) for _ in range(count)]


def bars(tokenizer: Tokenizer, books: list[str], world: list[str], strings: list[str]) -> None:
    own, random_ = figures(tokenizer, world), figures(tokenizer, strings)
    figure("level1_single", own["level1_single"], "100%", own["level1_single"] == 1, ".2%")
    reached = own["characters_per_token"]
    figure("characters_per_token, held-out stories of the world", reached, ">= 1.45", reached >= 1.45)
    if books:
        found = figures(tokenizer, books)
        reached, share = found["characters_per_token"], found["fragment_share"]
        figure("characters_per_token, storybooks", reached, ">= 1.15", reached >= 1.15)
        figure("byte_tokens, storybooks", share, "<= 0.5%", share <= 0.005, ".3%")
    else:
        print("storybooks: not there, not measured")
    unknown = max(own["unknown_share"], random_["unknown_share"])
    figure(f"unknown_tokens, world and {len(strings):,} strings of any characters", unknown, "0", unknown == 0, ".3%")
    changed = own["changed"] + random_["changed"]
    figure("texts_changed_by_decoding", changed, "0", changed == 0, ",d")
    broken = sum(_streams_badly(tokenizer, text) for text in strings[:2000] if "\ufffd" not in text)
    figure("texts_broken_when_streamed_token_by_token", broken, "0", broken == 0, ",d")


def _streams_badly(tokenizer: Tokenizer, text: str) -> bool:
    pieces = list(decode(tokenizer, tokenizer.encode(text).ids))
    return "".join(pieces) != text or any("\ufffd" in piece for piece in pieces)


def sizes(share: float) -> dict[str, Tokenizer]:
    """Tokenizers of `SIZES` from one text, trained as ``python -m litgpt_zh.tokenizer.ship`` trains."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for n, (length, stories) in enumerate(ship.STORIES.items()):
            home = Path(folder) / length
            corpus(out_dir=home, stories=round(stories * share), seed=ship.SEED + n, length=length, workers=1)
            paths += shards(home, "train")
        runs = corpus_runs(paths, max_chars=10_000_000, word_weight=6, segment=False, seed=0)
    characters = sum(len(run) * n for run, n in runs.items())
    words = dictionary_words(dictionary_path(), 0.5 * characters)
    return {f"{size:,}": build(runs, words, vocab_size=size, level1=True, max_piece=4) for size in SIZES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="train the three sizes on a fifth of the text")
    parser.add_argument("--others", nargs="*", type=Path, default=[], help="more tokenizer folders for the tables")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of storybooks.jsonl")
    parser.add_argument("--model", default="zh-tinystories-44m", help="whose parameters are counted")
    arguments = parser.parse_args()
    path = arguments.data / "storybooks.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    books, world = [json.loads(line)["story_zh"] for line in lines], list(world_texts())
    shipped = files.load(ship.SHIPPED)
    bars(shipped, books, world, any_text(2000 if arguments.quick else 20_000))
    columns = {"shipped": shipped, **sizes(0.2 if arguments.quick else 1.0)}
    columns |= {folder.name: files.load(folder) for folder in arguments.others}
    for name, texts in (("held-out stories of the world", world), ("storybooks", books)):
        if texts:
            rows = [{"tokenizer": column, **figures(t, texts)} for column, t in columns.items()]
            print(f"\n{name}\n{table([row | embedding(arguments.model, row['entries']) for row in rows])}")
    sys.exit(not OK)


if __name__ == "__main__":
    main()
