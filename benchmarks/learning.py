"""How many tokens our optimizer needs for what stock litgpt + AdamW reaches: the long half of pretrain.py.

Every run finishes its own schedule: warm-up over 2% of its steps, cosine to zero. Stock is litgpt's own loop and AdamW (weight
decay 0.1, betas 0.9 and 0.95) over ``tokens`` tokens, its learning rate the best of a half-decade grid that is widened until
the best is not at its end; then two more seeds. Ours is MuonAdamW over ``shares`` of those tokens (half, six and seven tenths),
its rate found the same way at the middle one, then three seeds each, with cosine and with ``schedule: wsd``.
The figure is where the curve of ours (wsd, mean over the seeds, straight between the shares over the logarithm of the tokens)
crosses the mean of stock; of one share, that share if it is reached there. Bits per character are over 300 held-out texts
(``evaluate.bits``). Each run leaves ``arms/NAME.json``, all of them ``curves.svg``; a second call does
only what is missing.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from race import ROOT, figure
from rates import best_rate

STOCK_LR, OUR_LR = (3.16e-4, 1e-3, 3.16e-3), (6.3e-3, 2e-2, 6.3e-2)
SEEDS = (0, 1, 2)
ROWS, BLOCK = 8, 256


def prepare(source: str, out: Path, wanted: int) -> None:
    """Corpus, tokenizer and tokens; what is there already is kept."""
    from litgpt_zh.corpus.stage import corpus
    from litgpt_zh.tokenizer.train import train_tokenizer
    from litgpt_zh.tokens.stage import tokens

    if source == "world":
        corpus("world", out / "corpus", stories=max(2_000, wanted // 40), length="short")  # some 90 tokens each
    else:
        corpus(source, out / "corpus", min_chars=20)
    train_tokenizer(out / "corpus", out / "tokenizer", max_chars=3_000_000, hanzi="seen", dictionary_weight=0.05)
    tokens(out / "corpus", out / "tokenizer", out / "tokens", block_size=BLOCK)


def recipe(side: str, rate: float, tokens: int, seed: int, out: Path, folder: Path) -> dict[str, Any]:
    """The settings of one run, for ``litgpt pretrain``."""
    steps = tokens // (ROWS * BLOCK)
    data = "litgpt_zh.tokens.data.PackedTokens" if side == "stock" else "litgpt_zh.pretrain.data.Pretraining"
    options = {"tokens_dir": str(out / "tokens"), "seed": 42 + seed}
    if side != "stock":
        options |= {"sample_prompt": "", "schedule": "wsd" if side == "ours-wsd" else "cosine"}
    muon = {"class_path": "litgpt_zh.pretrain.optimizer.MuonAdamW", "init_args": {"lr": rate}}
    adamw = {
        "class_path": "torch.optim.AdamW",
        "init_args": {"lr": rate, "weight_decay": 0.1, "betas": [0.9, 0.95]},
    }
    return {
        "model_name": "zh-tinystories-2m", "out_dir": str(folder), "precision": "32-true", "devices": 1,
        "tokenizer_dir": str(out / "tokenizer"), "logger_name": "csv", "seed": 42 + seed,
        "data": {"class_path": data, "init_args": options},
        "train": {
            "global_batch_size": ROWS, "micro_batch_size": ROWS, "max_tokens": tokens, "max_norm": 1.0, "min_lr": 0.0,
            "lr_warmup_steps": max(1, steps // 50), "tie_embeddings": True, "max_seq_length": BLOCK,
            "log_interval": max(1, steps // 50), "save_interval": 10**9,
        },
        "eval": {"interval": 10**9, "max_iters": 20, "final_validation": True},
        "optimizer": adamw if side == "stock" else muon,
    }  # fmt: skip


def run(side: str, rate: float, share: float, seed: int, out: Path, tokens: int) -> float:
    """Bits per character after one run; infinite where it diverged."""
    from litgpt_zh.evaluate.bits import bits_per_character

    name = f"{side}-lr{rate:.3g}-{share:g}-seed{seed}"
    file, folder = out / "arms" / f"{name}.json", out / "runs" / name
    settings = recipe(side, rate, round(tokens * share), seed, out, folder)
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["recipe"] != settings:
            raise SystemExit(f"{file}: made with other settings; give another --out")
        return found["bits"]
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "recipe.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with open(folder / "log.txt", "w") as log:
        command = [sys.executable, "-m", "litgpt", "pretrain", "--config", str(config)]
        done = subprocess.run(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
    text = (folder / "log.txt").read_text(errors="replace")
    if done.returncode and "finite" not in text:
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    bits = math.inf
    if not done.returncode:
        figures = bits_per_character(folder / "final", out / "corpus" / "val-00000.jsonl", count=300)
        bits = figures["bits_per_character"]["value"]
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"bits": bits, "recipe": settings, "log": _curve(text)}), encoding="utf-8")
    print(f"{name}: {bits:.4f} bits/character", flush=True)
    return bits


def _curve(text: str) -> list[tuple[int, float]]:
    """(iteration, training loss) of the lines litgpt prints."""
    found = []
    for line in text.splitlines():
        if "loss train:" in line:
            found.append((int(line.split("iter ")[1].split()[0]), float(line.split("loss train: ")[1].split(",")[0])))
    return found


def crossing(points: dict[float, float], level: float) -> float:
    """The share at which a falling curve, straight over the logarithm of the share, comes down to ``level``.

    Outside the measured shares the nearest stretch is prolonged; a single point is the share, or infinite above the level.
    """
    shares = sorted(points)
    if len(shares) == 1:
        return shares[0] if points[shares[0]] <= level else math.inf
    pairs = list(pairwise(shares))
    low, high = next(((a, b) for a, b in pairs if points[b] <= level), pairs[-1])
    slope = (points[high] - points[low]) / math.log(high / low)
    return low * math.exp((level - points[low]) / slope) if slope < 0 else math.inf


def _picture(name: str, sets: dict[str, tuple[float, float]], out: Path) -> str:
    """Training loss over the tokens, the mean over the seeds, of each side at a rate and a share."""
    from litgpt_zh.report.plots import BLUE, GREY, ORANGE, Curve, draw

    curves = []
    for (side, (rate, share)), colour in zip(sets.items(), (GREY, ORANGE, BLUE), strict=True):
        files = [out / "arms" / f"{side}-lr{rate:.3g}-{share:g}-seed{seed}.json" for seed in SEEDS]
        logs = [json.loads(file.read_text(encoding="utf-8"))["log"] for file in files]
        points = list(zip(*logs, strict=False))
        tokens = [float(point[0][0] * ROWS * BLOCK) for point in points]
        curves.append(Curve(side, tokens, [statistics.mean(loss for _, loss in point) for point in points], colour))
    svg = draw(
        curves, x_label="tokens", y_label="training loss (nats a token)", alt=f"{name}: training loss over tokens"
    )
    return svg.replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1
    )


def compare(name: str, source: str, out: Path, tokens: int, shares: Sequence[float]) -> None:
    """All runs, then the figures."""
    middle = sorted(shares)[len(shares) // 2]
    prepare(source, out, tokens)
    _, stock_rate = best_rate(STOCK_LR, lambda rate: run("stock", rate, 1.0, 0, out, tokens))
    figure("stock_best_rate", stock_rate, form=".3g")
    stock = [run("stock", stock_rate, 1.0, seed, out, tokens) for seed in SEEDS]
    _, rate = best_rate(OUR_LR, lambda rate: run("ours", rate, middle, 0, out, tokens))
    figure("ours_best_rate", rate, form=".3g")
    sides = ("ours", "ours-wsd")
    ours = {
        side: {share: statistics.mean(run(side, rate, share, seed, out, tokens) for seed in SEEDS) for share in shares}
        for side in sides
    }
    level = statistics.mean(stock)
    figure(f"{name}_stock_bits_per_character", level, form=".4f")
    figure(f"{name}_stock_spread_of_seeds", max(stock) - min(stock), form=".4f")
    for side, curve in ours.items():
        for share, bits in curve.items():
            figure(f"{name}_{side.replace('-', '_')}_bits_per_character_at_{share:g}", bits, form=".4f")
    sets = {"stock": (stock_rate, 1.0), **dict.fromkeys(sides, (rate, middle))}
    (out / "curves.svg").write_text(_picture(name, sets, out), encoding="utf-8")
    share = crossing(ours["ours-wsd"], level)
    figure(f"{name}_tokens_for_the_same_bits", share, "<= 0.70", share <= 0.70)
