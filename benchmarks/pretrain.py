"""The bars of pretraining: as fast as litgpt's own loop can be made, faster than it is, and fewer tokens for the same text.

    python benchmarks/pretrain.py                        # equality, then speed; some 25 minutes on 2 cores (a guess)
    python benchmarks/pretrain.py --quick                # equality, and a short race at 2M
    python benchmarks/pretrain.py --learning world --out runs/learning        # tokens to the same bits/character; hours,
    python benchmarks/pretrain.py --learning poems --out runs/learning \\
        --poems ../shared/data/poems.jsonl.gz                                 # stopped, it goes on (learning.py)
    python benchmarks/pretrain.py --learning world --out runs/short --tokens 600000 --shares 0.7      # the bar alone, shorter

Speed: litgpt's own loop over our rows (so its data costs it nothing) against ours, the same model, optimizer and global
batch, each in its own process, in turns (race.py). "default" is litgpt's own: bf16-mixed, a micro batch of 4; "best" the
fastest of its settings tried here (micro batch, torch.compile or not, precision). On a processor without bfloat16
instructions both run in 32-true, where they are faster; --precision chooses. Stock against itself (A/A) tells the noise.
One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from race import MISSED, ROOT, best, figure, median_rate, race, ratio

from litgpt_zh.scales import SCALES, for_cpu

ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3, "weight_decay": 0.1, "betas": [0.9, 0.95]}}
MUON = {"class_path": "litgpt_zh.pretrain.optimizer.MuonAdamW", "init_args": {"lr": 0.02}}
GLOBAL, BLOCK = 16, 256
"""Rows a step; tokens a row."""


def equality() -> None:
    """Loss and gradients of one micro batch of the 2M model, by litgpt's chunked cross entropy and by ours."""
    import torch
    from litgpt import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    import litgpt_zh.configs  # noqa: F401
    from litgpt_zh.pretrain.loss import cross_entropy

    torch.manual_seed(0)
    model = GPT(Config.from_name("zh-tinystories-2m"))
    model.apply(model._init_weights)
    model.transformer.wte.weight = model.lm_head.weight
    rows = torch.randint(0, 6656, (4, BLOCK + 1))
    found = []
    for loss in (chunked_cross_entropy, cross_entropy):
        model.zero_grad()
        value = loss(model(rows[:, :-1]), rows[:, 1:])
        value.backward()
        found.append((value.item(), [p.grad.clone() for p in model.parameters()]))
    (one, here), (two, there) = found
    off = max((a - b).abs().max().item() for a, b in zip(here, there, strict=True))
    figure("loss_deviation", abs(one - two), "<= 1e-5", abs(one - two) <= 1e-5, ".1e")
    figure("gradient_deviation", off, "<= 1e-4", off <= 1e-4, ".1e")


def prepare(home: Path, stories: int, precision: str) -> dict[str, Any]:
    """Stories of the built-in world as tokens; returns what all arms share."""
    from litgpt_zh.corpus.stage import corpus
    from litgpt_zh.tokens.stage import tokens

    corpus("world", home / "corpus", stories=stories, length="short", workers=1)
    tokens(home / "corpus", ROOT / "tokenizer", home / "tokens", block_size=BLOCK, workers=1)
    return {
        "kind": "pretrain", "tokens": str(home / "tokens"), "tokenizer": str(ROOT / "tokenizer"), "global": GLOBAL,
        "block": BLOCK, "precision": precision, "optimizer": ADAMW,
    }  # fmt: skip


def speed_at_2m(home: Path, shared: dict[str, Any], threads: int, quick: bool) -> None:
    """Tokens per second of the 2M model."""
    shared = {**shared, "model": "zh-tinystories-2m"}
    stock, ours = {**shared, "data": "packed"}, {**shared, "data": "ours"}
    mixed = shared["precision"] != "32-true"
    specs = {"stock_4": {**stock, "micro": 4}, "ours_8": {**ours, "micro": 8}, "ours_16": {**ours, "micro": 16}}
    if not quick:
        specs["stock_4_again"] = {**stock, "micro": 4}
        for micro in (8, 16):
            specs[f"stock_{micro}"] = {**stock, "micro": micro}
            specs[f"stock_{micro}_eager"] = {**stock, "micro": micro, "compile": False}
        specs["ours_16_eager"] = {**ours, "micro": 16, "compile": False}
        specs["ours_16_muon"] = {**ours, "micro": 16, "optimizer": MUON}
        if mixed:
            specs |= {f"stock_{micro}_fp32": {**stock, "micro": micro, "precision": "32-true"} for micro in (4, 16)}
            specs["ours_16_fp32"] = {**ours, "micro": 16, "precision": "32-true"}
    else:
        specs["stock_16"] = {**stock, "micro": 16}
    found = race(specs, home / "2m", threads=threads, steps=2, rounds=15)
    for name in specs:
        figure(f"2m_{name}_tokens_per_second", median_rate(found, name), form=",.0f")
    same = [abs(a - b) for a, b in zip(found["stock_16"]["losses"], found["ours_16"]["losses"], strict=False)][:3]
    most = 1e-2 if mixed else 1e-3  # bfloat16 keeps three digits
    figure("2m_loss_deviation_over_the_first_logged_steps", max(same), f"<= {most:.0e}", max(same) <= most, ".1e")
    if not quick:
        figure("2m_aa", ratio(found, "stock_4_again", "stock_4"), "none: the noise")
    mine = best(found, [name for name in specs if name.startswith("ours") and "muon" not in name])
    theirs = best(found, [name for name in specs if name.startswith("stock")])
    print(f"fastest: {mine}; of stock: {theirs}")
    against = ratio(found, mine, "stock_4")
    figure("2m_over_stock_default", against, ">= 1.25", against >= 1.25)
    against = ratio(found, mine, theirs)
    figure("2m_over_stock_best", against, ">= 1.15", against >= 1.15)


def speed_at_10m(home: Path, shared: dict[str, Any], threads: int) -> None:
    """Tokens per second of the 10M model: at least stock's, at the same micro batch."""
    shared = {**shared, "model": "zh-tinystories-10m", "block": BLOCK}
    specs = {
        f"{data}_{micro}": {**shared, "data": {"stock": "packed"}.get(data, data), "micro": micro}
        for micro in (4, 8) for data in ("stock", "ours")
    }  # fmt: skip
    found = race(specs, home / "10m", threads=threads, steps=1, rounds=11)
    for name in specs:
        figure(f"10m_{name}_tokens_per_second", median_rate(found, name), form=",.0f")
    mine, theirs = (best(found, [name for name in specs if name.startswith(side)]) for side in ("ours", "stock"))
    against = ratio(found, mine, theirs)
    figure("10m_over_stock_best", against, ">= 1.0", against >= 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default=SCALES[for_cpu()].precision)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--learning", choices=("world", "poems"), help="the long comparison instead")
    parser.add_argument("--poems", type=Path, help="poems.jsonl.gz, for --learning poems")
    parser.add_argument("--tokens", type=int, default=1_500_000, help="of a run of stock's, for --learning")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.6, 0.7], help="of them that ours is given")
    parser.add_argument("--out", type=Path, default=Path("runs/learning"), help="folder of --learning")
    arguments = parser.parse_args()
    if arguments.learning:
        from learning import compare

        source = "world" if arguments.learning == "world" else arguments.poems
        if source is None:
            parser.error("--learning poems needs --poems FILE")
        out = arguments.out / arguments.learning
        compare(arguments.learning, str(source), out, arguments.tokens, arguments.shares)
    else:
        equality()
        with tempfile.TemporaryDirectory() as folder:
            shared = prepare(Path(folder), 600 if arguments.quick else 3000, arguments.precision)
            speed_at_2m(Path(folder), shared, arguments.threads, arguments.quick)
            if not arguments.quick:
                speed_at_10m(Path(folder), shared, arguments.threads)
    print(json.dumps({"missed": MISSED}))
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
