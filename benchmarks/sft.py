"""The bars of supervised finetuning: little padding, and the same records faster than stock litgpt's finetune_full.

    python benchmarks/sft.py            # about 3 minutes on 2 cores
    python benchmarks/sft.py --quick    # fewer records and rounds: within a minute on 2 cores

Both sides tune the same 2M model on the same story records (request and story; stock reads them as Alpaca json with our prompt
style, prompts masked), fp32, AdamW, 16 records a step, each in its own process, in turns (race.py). "default" is litgpt's
micro batch of 1; "best" the fastest of 1, 4 and 16. Tokens are those of the records, padding not counted.
One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from race import MISSED, ROOT, best, figure, median_rate, race, ratio

GLOBAL, BLOCK = 16, 256


def checkpoint(folder: Path) -> Path:
    """A 2M model with random weights: speed does not depend on them."""
    import torch
    from litgpt import GPT, Config
    from litgpt.utils import save_config

    import litgpt_zh.configs  # noqa: F401

    torch.manual_seed(0)
    model = GPT(Config.from_name("zh-tinystories-2m"))
    model.apply(model._init_weights)
    model.transformer.wte.weight = model.lm_head.weight
    folder.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "tokenizer" / file, folder / file)
    torch.save(model.state_dict(), folder / "lit_model.pth")
    save_config(model.config, folder)
    return folder


def prepare(home: Path, stories: int) -> dict[str, Any]:
    """Story records for both sides; returns what all arms share."""
    from litgpt_zh.corpus.stage import corpus
    from litgpt_zh.instruct.stage import instructions

    corpus("world", home / "corpus", stories=stories, length="short", workers=1)
    instructions(str(home / "corpus"), ROOT / "tokenizer", home / "records", block_size=BLOCK, workers=1)
    as_json(home / "records", home / "json")
    return {
        "kind": "sft", "checkpoint": str(checkpoint(home / "checkpoint")), "records": str(home / "records"),
        "json": str(home / "json"), "global": GLOBAL, "precision": "32-true",
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 3e-4, "weight_decay": 0.0}},
    }  # fmt: skip


def as_json(records: Path, out: Path) -> None:
    """The records of an instructions folder as litgpt's ``JSON`` data module reads them."""
    from litgpt_zh.instruct.data import Instructions

    data = Instructions(data_dir=records)
    data.setup()
    out.mkdir()
    for side, found in (("train", data.train_dataset), ("val", data.test_dataset)):
        rows = []
        for number in range(len(found)):
            item = found[number]
            answer = item["labels"][item["labels"] >= 0][:-1].tolist()  # without the end token, which litgpt adds
            request = found.data[number]["instruction"]
            rows.append({"instruction": request, "output": found.processor.decode(answer)})
        (out / f"{side}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def padding(records: Path) -> None:
    """The share of padding at this benchmark's batch and at that of recipes/sft.yaml."""
    from litgpt_zh.instruct.data import Instructions

    for micro, step in ((GLOBAL, GLOBAL), (32, 64)):
        data = Instructions(data_dir=records)
        data.setup()
        data.batch_size = micro
        data.global_batch(step)
        share = data.padding_share()
        figure(f"padding_share_micro_{micro}_global_{step}", share, "<= 0.05", share <= 0.05, ".4f")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shared = prepare(home, 1500 if arguments.quick else 6000)
        padding(home / "records")
        stock, ours = {**shared, "data": "json"}, {**shared, "data": "ours"}
        specs = {"stock_1": {**stock, "micro": 1}, "ours_16": {**ours, "micro": 16}}
        if not arguments.quick:
            specs["stock_1_again"] = {**stock, "micro": 1}
            specs |= {f"stock_{micro}": {**stock, "micro": micro} for micro in (4, 16)}
        found = race(
            specs, home / "race", threads=arguments.threads, steps=3, rounds=5 if arguments.quick else 15
        )  # fmt: skip
        for name in specs:
            figure(f"{name}_tokens_per_second", median_rate(found, name), form=",.0f")
        if not arguments.quick:
            figure("aa", ratio(found, "stock_1_again", "stock_1"), "none: the noise")
            theirs = best(found, [name for name in specs if name.startswith("stock")])
            figure(f"over_stock_best_which_is_{theirs}", ratio(found, "ours_16", theirs))
        against = ratio(found, "ours_16", "stock_1")
        figure("over_stock_default", against, ">= 1.5", against >= 1.5)
    print(json.dumps({"missed": MISSED}))
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
