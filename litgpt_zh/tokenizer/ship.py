"""``python -m litgpt_zh.tokenizer.ship``: make the tokenizer that lies in the top-level folder ``tokenizer/`` again.

Story world and settings are fixed here, so the same version of the world gives the same tokenizer.json, byte by byte.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from litgpt_zh.corpus.stage import corpus
from litgpt_zh.stage import Manifest
from litgpt_zh.tokenizer.train import train_tokenizer

SHIPPED = Path(__file__).parents[2] / "tokenizer"
STORIES: dict[str, int] = {"short": 20_000, "full": 4_000}
SEED = 1000
"""Not the seed of any recipe: no recipe's validation stories are among these."""


def ship(out_dir: Path = SHIPPED) -> Manifest:
    """Train on the built-in story world and jieba's dictionary, and put the result in place of ``out_dir``."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        parts = []
        for n, (length, stories) in enumerate(STORIES.items()):
            corpus(out_dir=home / length, stories=stories, seed=SEED + n, length=length, near="off")  # type: ignore[arg-type]
            parts.append(str(home / length))
        corpus(parts, out_dir=home / "world", near="off")
        about = "内置故事世界，" + "、".join(f"{length} {n:,} 篇" for length, n in STORIES.items())
        train_tokenizer(home / "world", home / "tokenizer", about=about)
        shutil.rmtree(out_dir, ignore_errors=True)
        shutil.copytree(home / "tokenizer", out_dir)
    return Manifest.read(out_dir)


if __name__ == "__main__":
    ship()
