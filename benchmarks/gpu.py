"""What each lever is worth on a GPU: from stock litgpt to our recipe, one rung after another, then sampling.

    python benchmarks/gpu.py            # about 8 minutes on one GPU of 24 GB or more; prints a table for docs/benchmarks.md
    python benchmarks/gpu.py --quick    # on any machine, a model of 2M and one step a turn: shows that it runs, no bars

Every rung is litgpt's own ``setup`` in a process of its own (race.py): the same rows, seed and global batch; tokens per second
over steps after the first three. The first rung runs once more at the end: what the two differ by is the noise. A rung that
does not fit into the memory is said to be left out. MFU: tokens/s x (6 parameters + 6 layers x width x block) / the card's
dense bf16 peak (litgpt_zh/throughput.py; measured with one matrix product where the card is not known).
Bars (of a card of the H200's class): 1.3 times stock at the same micro batch, 45% MFU. One line a figure,
``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from pretrain import ADAMW, MUON
from race import MISSED, ROOT, figure, median_rate, race

from litgpt_zh.throughput import flops_per_token, peak_of

RUNGS: dict[str, dict[str, Any]] = {
    "stock_default_micro_4": {"data": "packed", "micro": 4},
    "stock_micro_32": {"data": "packed", "micro": 32},
    "and_no_syncs": {"data": "packed", "micro": 32, "swaps": ["mean"]},
    "and_one_cross_entropy": {"data": "packed", "micro": 32, "swaps": ["mean", "loss"]},
    "ours_micro_32": {"data": "ours", "micro": 32},
    "ours_micro_128": {"data": "ours", "micro": 128},
    "ours_micro_256": {"data": "ours", "micro": 256},
    "ours_micro_128_muon": {"data": "ours", "micro": 128, "optimizer": MUON},
    "stock_default_again": {"data": "packed", "micro": 4},
}


def peak() -> float:
    """FLOP/s of this device in bf16."""
    if torch.cuda.is_available() and (known := peak_of(torch.cuda.get_device_name())):
        return known
    size, device = (8192, "cuda") if torch.cuda.is_available() else (1024, "cpu")
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(5):
            b = a @ a
        b[0, 0].item()
        best = max(best, 5 * 2 * size**3 / (time.perf_counter() - started))
    return best


def prepare(home: Path, quick: bool) -> dict[str, Any]:
    """Tokens of the built-in world; what all rungs share."""
    from litgpt_zh.corpus.stage import corpus
    from litgpt_zh.tokens.stage import tokens

    block = 64 if quick else 512
    corpus("world", home / "corpus", stories=200 if quick else 20_000, length="short")
    tokens(home / "corpus", ROOT / "tokenizer", home / "tokens", block_size=block)
    return {
        "kind": "pretrain", "model": "zh-tinystories-2m" if quick else "zh-tinystories-44m", "block": block,
        "tokens": str(home / "tokens"), "tokenizer": str(ROOT / "tokenizer"), "global": 4 if quick else 256,
        "precision": "32-true" if quick else "bf16-mixed", "optimizer": ADAMW, "compile": not quick,
    }  # fmt: skip


def ladder(home: Path, quick: bool) -> None:
    """Each rung alone, so that its memory is its own."""
    from litgpt import Config

    import litgpt_zh.configs  # noqa: F401

    shared = prepare(home, quick)
    top, cost = peak(), flops_per_token(Config.from_name(shared["model"]), shared["block"])
    print(f"peak {top / 1e12:.1f} TFLOP/s, {cost / 1e6:.0f} MFLOP a token")
    rungs = RUNGS
    if quick:
        few = ("stock_default_micro_4", "and_one_cross_entropy", "ours_micro_32")
        rungs = {name: {**RUNGS[name], "micro": 2} for name in few}
    rates: dict[str, float] = {}
    for name, rung in rungs.items():
        try:
            found = race(
                {name: {**shared, **rung}}, home / name, threads=1 if quick else 8, steps=1 if quick else 8, rounds=3
            )
        except SystemExit as error:
            if "out of memory" not in str(error).lower():
                raise
            print(f"{name}: left out, it does not fit into the memory")
            continue
        rates[name] = median_rate(found, name)
        figure(f"{name}_tokens_per_second", rates[name], form=",.0f")
        figure(f"{name}_mfu", rates[name] * cost / top, form=".3f")
        if memory := found[name]["memory"]:
            figure(f"{name}_memory_gb", memory / 1e9, form=".1f")
    if quick:
        return
    if "stock_micro_32" in rates and "ours_micro_32" in rates:
        against = rates["ours_micro_32"] / rates["stock_micro_32"]
        figure("ours_over_stock_at_equal_micro_batch", against, ">= 1.3", against >= 1.3)
    figure("aa", rates["stock_default_again"] / rates["stock_default_micro_4"], "none: the noise")
    mfu = max(rate for name, rate in rates.items() if name.startswith("ours")) * cost / top
    figure("best_mfu", mfu, ">= 0.45", mfu >= 0.45, ".3f")


def sampling(quick: bool) -> None:
    """Stories a second: prompts of 10-60 tokens, answers of a forced length, random weights, several batch sizes."""
    from litgpt import GPT, Config

    from litgpt_zh.generate.batch import generate

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = Config.from_name("zh-tinystories-2m" if quick else "zh-tinystories-44m")
    torch.manual_seed(0)
    model = GPT(config).to(device, torch.bfloat16 if device == "cuda" else torch.float32).eval()
    rng = random.Random(0)
    new = 8 if quick else 200
    for batch in (4,) if quick else (64, 256, 512):
        prompts = [[rng.randrange(6, 6656) for _ in range(rng.randint(10, 60))] for _ in range(batch)]
        generate(model, prompts, max_new_tokens=4, stop_ids=[])
        started = time.perf_counter()
        generate(model, prompts, max_new_tokens=new, stop_ids=[])
        figure(f"sampling_batch_{batch}_tokens_per_second", batch * new / (time.perf_counter() - started), form=",.0f")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if not arguments.quick and not torch.cuda.is_available():
        parser.error("no GPU here; --quick shows that the script runs")
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        ladder(Path(folder), arguments.quick)
        sampling(arguments.quick)
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")
    print(json.dumps({"missed": MISSED}))
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
