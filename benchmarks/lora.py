"""LoRA against full finetuning at two million parameters: what it lacks, and the recipe that makes up for it.

    python benchmarks/lora.py --checkpoint RUN/pretrain/final --records RUN/sft-data --out runs/lora     # hours on 2 cores
    python benchmarks/lora.py --checkpoint ... --records ... --out runs/lora --steps 300 --bar_alone       # the bar, sooner
    python benchmarks/lora.py --quick                                                                    # within a minute

RUN is the folder of a quickstart run; the records should be more than 8 times --steps. Every run is a complete short training:
the same records in the same order, 8 a step, warm-up over 2% of the steps, cosine to zero, validated at the end on all
held-out records. Full finetuning comes first, with AdamW and with MuonAdamW over a half-decade grid; then LoRA, one question
after another, each starting from the best answer so far: optimizer and learning rate, alpha, which matrices, rank, the head;
at the end the embedding learnt too, which alone is more than the bar allows at this size, but not at 44m: with AdamW, and
as recipes/sft-lora.yaml has it, with Muon for the factors and a twentieth of their rate for the embedding.
Each run leaves ``arms/NAME.json``; a second call does only what is missing. ``--quick`` makes a small model of its own, checks
the merge and the share of parameters, and leaves the study alone.
One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from race import MISSED, ROOT, figure
from rates import best_rate

MOST = 0.15
"""Trainable parameters, as a share of the model's."""
LORA_LR, EMBEDDING_LR, MUON_LR = (1e-3, 3.16e-3, 1e-2), (3.16e-3, 5.62e-3, 1e-2), (6.3e-3, 2e-2, 6.3e-2)
"""AdamW's of the factors alone and with the embedding (quarter decades); Muon's of either side."""
MATRICES = {
    "qv": ("query", "value"),
    "attention": ("query", "key", "value", "projection"),
    "mlp": ("mlp",),
    "all": ("query", "key", "value", "projection", "mlp"),
    "all+head": ("query", "key", "value", "projection", "mlp", "head"),
    "all+embeddings": ("query", "key", "value", "projection", "mlp", "embeddings"),
}


def optimizer_of(name: str, rate: float) -> dict[str, Any]:
    """adamw, muon, or recipe: that of recipes/sft-lora.yaml."""
    if name == "recipe":
        own = yaml.safe_load((ROOT / "recipes/sft-lora.yaml").read_text(encoding="utf-8"))["optimizer"]
        return {**own, "init_args": {**own["init_args"], "lr": rate}}
    if name == "muon":
        return {"class_path": "litgpt_zh.pretrain.optimizer.MuonAdamW", "init_args": {"lr": rate}}
    return {
        "class_path": "torch.optim.AdamW",
        "init_args": {"lr": rate, "weight_decay": 0.0, "betas": [0.9, 0.95]},
    }


def lora_settings(rank: int, alpha: int, matrices: str) -> dict[str, Any]:
    names = ("query", "key", "value", "projection", "mlp", "head")
    chosen = {f"lora_{name}": name in MATRICES[matrices] for name in names}
    whole = {"train_embeddings": True} if "embeddings" in MATRICES[matrices] else {}
    return {"lora_r": rank, "lora_alpha": alpha, "lora_dropout": 0.0, **chosen, **whole}


def parted(lora: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``lora_settings`` as litgpt's own and those of the data class."""
    ours = {"train_embeddings"} & lora.keys()
    return {key: lora[key] for key in lora.keys() - ours}, {key: lora[key] for key in ours}


def trainable_share(config: Any, lora: dict[str, Any]) -> float:
    """What LoRA learns / parameters of the model, its tied matrix counted once.

    Args:
        config: litgpt's of the model, tied.
        lora: ``lora_settings``.
    """
    import torch
    from litgpt.lora import GPT, Config, mark_only_lora_as_trainable

    settings, ours = parted(lora)
    embedding = config.padded_vocab_size * config.n_embd
    whole = embedding if ours.get("train_embeddings") else 0
    with torch.device("meta"):
        model = GPT(Config(**{f.name: getattr(config, f.name) for f in fields(config) if f.init} | settings))
    mark_only_lora_as_trainable(model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return (trained + whole) / (frozen - embedding)


class Study:
    """Runs of one length over the same records, remembered in ``out``."""

    def __init__(self, checkpoint: Path, records: Path, out: Path, steps: int, precision: str = "32-true") -> None:
        self.checkpoint, self.records, self.out, self.steps = checkpoint, records, out, steps
        self.precision = precision

    def loss(self, name: str, optimizer: dict[str, Any], lora: dict[str, Any] | None = None) -> float:
        """Held-out loss after one run (nats per answer token); infinite where it diverged."""
        file, folder = self.out / "arms" / f"{name}.json", self.out / "runs" / name
        settings, ours = parted(lora or {})
        recipe = {
            "checkpoint_dir": str(self.checkpoint), "out_dir": str(folder), "precision": self.precision, "devices": 1,
            "logger_name": "csv", "seed": 1337,
            "data": {"class_path": "litgpt_zh.instruct.data.Instructions",
                     "init_args": {"data_dir": str(self.records), "keep_best": False, **ours}},
            "train": {"global_batch_size": 8, "micro_batch_size": 8, "epochs": 1, "max_steps": self.steps,
                      "lr_warmup_steps": max(1, self.steps // 50), "log_interval": max(1, self.steps // 20),
                      "save_interval": None},
            "eval": {"interval": 10**9, "max_new_tokens": 1, "max_iters": 10**6},
            "optimizer": optimizer, **settings,
        }  # fmt: skip
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["recipe"] != json.loads(json.dumps(recipe)):
                raise SystemExit(f"{file}: made with other settings; give another --out")
            return found["loss"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        command = [sys.executable, "-m", "litgpt", "finetune_lora" if lora else "finetune_full"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(folder / "log.txt", "w") as log:
            argv = [*command, "--config", str(folder / "recipe.yaml")]
            done = subprocess.run(argv, stdout=log, stderr=log, env=environment)
        text = (folder / "log.txt").read_text(errors="replace")
        if done.returncode and "finite" not in text:
            raise SystemExit(f"{' '.join(argv)} failed:\n{text[-3000:]}")
        loss = math.inf
        if not done.returncode:
            loss = json.loads((folder / "final" / "manifest.json").read_text(encoding="utf-8"))["counts"]["val_loss"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"loss": loss, "recipe": recipe}), encoding="utf-8")
        print(f"{name}: {loss:.4f}", flush=True)
        return loss

    def best_rate(
        self, name: str, optimizer: str, grid: tuple[float, ...], lora: dict[str, Any] | None
    ) -> tuple[float, float]:
        """(loss, rate) of the best of a grid and what lies beyond its ends."""
        return best_rate(
            grid, lambda rate: self.loss(f"{name}-{optimizer}-lr{rate:.3g}", optimizer_of(optimizer, rate), lora)
        )


def study(given: Study, bar_alone: bool) -> None:
    """The questions, one after another; or only what the bar needs: both sides with both optimizers at their best rates."""
    full = min(
        given.best_rate("full", "adamw", (3.16e-4, 1e-3, 3.16e-3), None)[0],
        given.best_rate("full", "muon", MUON_LR, None)[0],
    )
    figure("full_held_out_loss", full, form=".4f")
    config = config_of(given.checkpoint)
    rank = _most(config, "all")
    lora, whole = (lora_settings(rank, 2 * rank, matrices) for matrices in ("all", "all+embeddings"))
    rates = {
        name: given.best_rate(f"all-r{rank}-a{2 * rank}", name, grid, lora)
        for name, grid in (("adamw", LORA_LR), ("muon", MUON_LR))
    }
    name = min(rates, key=rates.__getitem__)
    best, rate = rates[name]
    if not bar_alone:
        best, lora = questions(given, full, rank, name, rate, (best, lora))
    print(f"best: {name}, lr {rate:g}, {json.dumps(lora)}")
    share = trainable_share(config, lora)
    figure("trainable_share", share, f"<= {MOST}", share <= MOST, ".3f")
    figure("lora_over_full", best / full, "<= 1.02", best / full <= 1.02, ".4f")
    (loss, rate), name = min(
        (given.best_rate(f"all+embeddings-r{rank}-a{2 * rank}", name, grid, whole), name)
        for name, grid in (("adamw", EMBEDDING_LR), ("recipe", MUON_LR))
    )
    share = trainable_share(config, whole)
    print(f"and the embedding, {share:.0%} of this model (of the 44m 7.7%, docs/sft-lora.md): {name}, lr {rate:g}")
    figure("lora_and_embedding_over_full", loss / full, form=".4f")


def questions(
    given: Study, full: float, rank: int, name: str, rate: float, best: tuple[float, dict[str, Any]]
) -> tuple[float, dict[str, Any]]:
    """Stock's own settings; then alpha, rank and matrices, each alone; returns loss and settings of the best."""
    config = config_of(given.checkpoint)
    stock = given.best_rate("qv-r8-a16", "adamw", LORA_LR, lora_settings(8, 16, "qv"))[0]
    figure("stock_settings_over_full", stock / full, form=".3f")
    for rank_, alpha, matrices in (
        *((rank, round(rank * factor), "all") for factor in (0.5, 1, 4, 8)),
        *((r, 2 * r, "all") for r in (4, 8, 12) if r < rank),
        *((_most(config, m), 2 * _most(config, m), m) for m in ("attention", "mlp", "all+head")),
    ):
        other = lora_settings(rank_, alpha, matrices)
        loss = given.loss(f"{matrices}-r{rank_}-a{alpha}-{name}-lr{rate:.3g}", optimizer_of(name, rate), other)
        figure(f"{matrices}_r{rank_}_alpha{alpha}_over_full", loss / full, form=".3f")
        best = min(best, (loss, other), key=lambda found: found[0])
    return best


def _most(config: Any, matrices: str) -> int:
    """The highest rank on these matrices that stays within the share."""
    return max(r for r in range(1, 513) if trainable_share(config, lora_settings(r, r, matrices)) <= MOST)


def config_of(checkpoint: Path) -> Any:
    """litgpt's configuration of a checkpoint."""
    from litgpt import Config

    return Config.from_file(checkpoint / "model_config.yaml")


def merge(home: Path) -> None:
    """Twelve steps of LoRA on a model with random weights: merged and unmerged give the same logits, with and without a head."""
    import torch
    from litgpt import GPT, Config, lora
    from sft import prepare

    from litgpt_zh.checkpoints import flat_weights

    shared = prepare(home, 300)
    checkpoint = Path(shared["checkpoint"])
    given = Study(checkpoint, home / "records", home, steps=12)
    for matrices in ("all", "all+head"):
        config = config_of(checkpoint)
        rank = _most(config, matrices)
        settings = lora_settings(rank, 2 * rank, matrices)
        given.loss(matrices, optimizer_of("adamw", 1e-2), settings)
        final = home / "runs" / matrices / "final"
        adapter = lora.GPT(lora.Config.from_file(final / "model_config.yaml", **settings)).eval()
        adapter.load_state_dict(flat_weights(checkpoint / "lit_model.pth"), strict=False)
        adapter.load_state_dict(torch.load(final / "lit_model.pth.lora", weights_only=True)["model"], strict=False)
        merged = GPT(Config.from_file(final / "model_config.yaml")).eval()
        merged.load_state_dict(flat_weights(final / "lit_model.pth"))
        ids = torch.arange(100, 200)[None]
        with torch.no_grad():
            off = (adapter(ids) - merged(ids)).abs().max().item()
        figure(f"merged_minus_unmerged_{matrices}", off, "<= 1e-5", off <= 1e-5, ".1e")
        share = trainable_share(config, settings)
        figure(f"trainable_share_{matrices}_r{rank}", share, f"<= {MOST}", share <= MOST, ".3f")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/lora"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument(
        "--bar_alone", action="store_true", help="no questions: both sides at their best rates, the bar"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        merge(Path(folder))
    if not arguments.quick:
        if arguments.checkpoint is None or arguments.records is None:
            parser.error("the study needs --checkpoint and --records")
        given = Study(arguments.checkpoint, arguments.records, arguments.out, arguments.steps, arguments.precision)
        study(given, arguments.bar_alone)
    print(json.dumps({"missed": MISSED}))
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
