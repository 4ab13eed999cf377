"""The sizes of quickstart, and the recipes it writes for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from litgpt_zh import pool, processor


@dataclass(frozen=True)
class Scale:
    """One size of the whole journey; calibrated by benchmarks/journey.py."""

    name: str
    model: str
    minutes: str
    """What to expect, for a person; measured (docs/quickstart.md)."""
    minutes_en: str
    stories: int
    block_size: int
    micro_batch: int
    global_batch: int
    pretrain_tokens: int
    pretrain_optimizer: dict[str, Any]
    sft_drills: int
    sft_records: int
    sft_batch: int
    sft_optimizer: dict[str, Any]
    word_weight: float = 5.0
    """How much more the words of a request count (``Instructions.word_weight``)."""
    plots: tuple[str, ...] = ()
    """Plots of the story world; all where empty."""
    precision: str = "32-true"
    vocab_size: int = 6656
    dictionary_weight: float = 0.05
    """Of words from outside the stories in the tokenizer's training (``train_tokenizer``)."""
    rounds: int = 2
    """Of preference optimisation on the model's own samples."""
    requests: int = 1000
    """New ones in each of these rounds."""
    preference_lr: float = 8e-5
    preference_batch: int = 16
    score: int = 200


def _muon(lr: float, **options: Any) -> dict[str, Any]:
    return {"class_path": "litgpt_zh.pretrain.optimizer.MuonAdamW", "init_args": {"lr": lr, **options}}


def _adamw(lr: float, weight_decay: float) -> dict[str, Any]:
    init_args = {"lr": lr, "weight_decay": weight_decay, "betas": [0.9, 0.95]}
    return {"class_path": "torch.optim.AdamW", "init_args": init_args}


FEW = tuple(
    "梦里的旅行 换来换去 收集宝贝 忙碌的一天 买菜 搬家 乱糟糟的房间 学本领 长大想当什么 神奇的画笔 阁楼里的宝贝 全家福".split()
)
"""Twelve plots that between them ask for most words of the lexicon: what two million parameters learn in minutes."""

SHORT = tuple("亲手做的礼物" if plot == "搬家" else plot for plot in FEW)
"""As many words in shorter stories: of the requests of 搬家 (the longest) the smallest model obeyed one in twenty-five."""

SCALES = {
    "tiny": Scale(
        name="tiny", model="zh-tinystories-2m", minutes="几分钟", minutes_en="a few minutes",
        stories=400, block_size=256, micro_batch=4, global_batch=8,
        pretrain_tokens=4 * 8 * 256, pretrain_optimizer=_muon(0.02),
        sft_drills=16, sft_records=64, sft_batch=16, sft_optimizer=_muon(0.01), score=8, vocab_size=4096,
        rounds=1, requests=24, preference_batch=4,
    ),
    "cpu": Scale(
        name="cpu", model="zh-tinystories-2m", minutes="双核 CPU 48 分钟", minutes_en="48 minutes on 2 cores",
        stories=40_000, block_size=256, micro_batch=8, global_batch=8,
        pretrain_tokens=1_500_000, pretrain_optimizer=_muon(0.02),
        sft_drills=8_000, sft_records=36_000, sft_batch=8, sft_optimizer=_muon(0.014), plots=FEW,
    ),
    "gpu": Scale(
        name="gpu", model="zh-tinystories-44m", minutes="24 GB 显卡约 10 分钟（目标，未实测）",
        minutes_en="about 10 minutes on a 24 GB card (the goal; not measured)",
        stories=300_000, block_size=512, micro_batch=32, global_batch=64,
        pretrain_tokens=60_000_000, pretrain_optimizer=_adamw(1e-3, 0.1),
        sft_drills=20_000, sft_records=60_000, sft_batch=64, sft_optimizer=_adamw(3e-4, 0.0), word_weight=2.0,
        precision="bf16-mixed", requests=2000, preference_lr=1e-5, preference_batch=32,
    ),
}  # fmt: skip

SCALES["cpu-bf16"] = replace(
    SCALES["cpu"], name="cpu-bf16", precision="bf16-mixed", stories=60_000, sft_records=56_000,
    minutes="双核 CPU 约半小时", minutes_en="about half an hour on 2 cores",
    pretrain_optimizer=_muon(0.02, bfloat16=True), sft_optimizer=_muon(0.014, bfloat16=True),
)  # fmt: skip
"""For a processor with bfloat16 instructions: half as many tokens again."""

SCALES["cpu-small"] = replace(
    SCALES["cpu"], name="cpu-small", model="zh-tinystories-1m", vocab_size=4096, dictionary_weight=0.0, plots=SHORT,
    minutes="双核 CPU 约半小时", minutes_en="about half an hour on 2 cores", stories=44_000, sft_records=41_000,
    pretrain_tokens=1_000_000, pretrain_optimizer=_muon(0.02, iterations=3), sft_optimizer=_muon(0.014, iterations=3),
    rounds=1, requests=1600, preference_lr=1.2e-4,
)  # fmt: skip
"""For few cores without such instructions: what they can do in half an hour (docs/LOG.md)."""


def for_cpu() -> str:
    """Which of the three scales suits this processor (Linux says what it can do; elsewhere only its cores count)."""
    if processor.has_bfloat16():
        return "cpu-bf16"
    return "cpu" if pool.cores() >= 4 else "cpu-small"


SHOWN = {"summary": 0.05, "sentence": 0.05, "features": 0.2}
"""Share of the requests that show each field besides the words: short requests leave more of the block to stories."""


def recipes(scale: Scale, run: Path, seed: int) -> dict[str, str]:
    """YAML text of every recipe of a quickstart run into the folder ``run``."""
    found = {
        "corpus": _corpus(scale, run, seed),
        "tokenizer": _tokenizer(scale, run),
        "tokens": _tokens(scale, run, seed),
        "pretrain": _pretrain(scale, run, seed),
        "sft-data": _sft_data(scale, run, seed),
        "sft": _sft(scale, run, seed),
        "online": _online(scale, run, seed),
        "evaluate": {
            "checkpoint_dir": [run / "sft" / "final", run / "online" / "final"],
            "train_dir": run / "corpus",
            "out_dir": run / "score",
            "count": scale.score,
            "seed": 1_000_003 + seed,  # never a seed of the training corpus
        }
        | ({"plots": scale.plots} if scale.plots else {}),
    }
    for name in ("corpus", "tokenizer", "tokens", "sft-data", "evaluate"):
        found[name]["overwrite"] = True  # quickstart owns its folder: what is stale is moved aside
    head = f"# Written by litgpt-zh quickstart (scale {scale.name}); run it by hand with the command in run.json.\n"
    return {
        name: head + yaml.safe_dump(_plain(recipe), allow_unicode=True, sort_keys=False)
        for name, recipe in found.items()
    }


def _corpus(scale: Scale, run: Path, seed: int) -> dict[str, Any]:
    corpus = {"source": "world", "out_dir": run / "corpus", "stories": scale.stories, "seed": seed, "length": "short"}
    return corpus | ({"plots": scale.plots} if scale.plots else {})


def _tokenizer(scale: Scale, run: Path) -> dict[str, Any]:
    """Made for this run's stories alone: a required word that is one token is copied in one step."""
    return {
        "corpus_dir": run / "corpus",
        "out_dir": run / "tokenizer",
        "vocab_size": scale.vocab_size,
        "max_chars": 3_000_000,
        "hanzi": "seen",
        "dictionary_weight": scale.dictionary_weight,
        "segment": True,
    }


def _tokens(scale: Scale, run: Path, seed: int) -> dict[str, Any]:
    return {
        "corpus_dir": run / "corpus",
        "tokenizer_dir": run / "tokenizer",
        "out_dir": run / "tokens",
        "block_size": scale.block_size,
        "seed": seed,
    }


def _pretrain(scale: Scale, run: Path, seed: int) -> dict[str, Any]:
    steps = scale.pretrain_tokens // (scale.global_batch * scale.block_size)
    return {
        "model_name": scale.model,
        "out_dir": run / "pretrain",
        "precision": scale.precision,
        "resume": "auto",
        "devices": 1,
        "tokenizer_dir": run / "tokenizer",
        "logger_name": "csv",
        "seed": 42 + seed,
        "data": {
            "class_path": "litgpt_zh.pretrain.data.Pretraining",
            "init_args": {"tokens_dir": run / "tokens", "schedule": "wsd"},
        },
        "train": {
            "global_batch_size": scale.global_batch,
            "micro_batch_size": scale.micro_batch,
            "max_tokens": scale.pretrain_tokens,
            "lr_warmup_steps": max(1, steps // 100),
            "min_lr": 0.0,
            "max_norm": 1.0,
            "tie_embeddings": True,
            "max_seq_length": scale.block_size,
            "log_interval": max(1, steps // 100),
            "save_interval": max(1, steps // 8),
        },
        "eval": {"interval": max(1, steps // 8), "max_iters": 10, "final_validation": True},
        "optimizer": scale.pretrain_optimizer,
    }


def _sft_data(scale: Scale, run: Path, seed: int) -> dict[str, Any]:
    return {
        "source": [run / "corpus"],
        "tokenizer_dir": run / "tokenizer",
        "out_dir": run / "sft-data",
        "block_size": scale.block_size,
        "drills": scale.sft_drills,
        "max_records": scale.sft_records,
        "prompt_fields": SHOWN,
        "seed": seed,
    }


def _sft(scale: Scale, run: Path, seed: int) -> dict[str, Any]:
    steps = (scale.sft_drills + scale.sft_records) // scale.sft_batch
    data = {"data_dir": run / "sft-data", "word_weight": scale.word_weight}
    return {
        "checkpoint_dir": run / "pretrain" / "final",
        "out_dir": run / "sft",
        "precision": scale.precision,
        "resume": "auto",
        "devices": 1,
        "logger_name": "csv",
        "seed": 1337 + seed,
        "data": {"class_path": "litgpt_zh.instruct.data.Instructions", "init_args": data},
        "train": {
            "global_batch_size": scale.sft_batch,
            "micro_batch_size": scale.sft_batch,
            "epochs": 1,
            "lr_warmup_steps": max(1, steps // 50),
            "log_interval": max(1, steps // 50),
            "save_interval": max(1, steps // 20),  # half a minute on 2 cores
        },
        "eval": {"interval": max(1, steps // 4), "max_new_tokens": 120, "max_iters": 10},
        "optimizer": scale.sft_optimizer,
    }


def _online(scale: Scale, run: Path, seed: int) -> dict[str, Any]:
    """The model's own samples teach it which of them did what was asked: rounds of DPO, each behind a gate."""
    plots = {"plots": scale.plots} if scale.plots else {}
    toy = scale.name == "tiny"  # what it writes is no story yet: nothing is expected of it
    return {
        "checkpoint_dir": run / "sft" / "final",
        "out_dir": run / "online",
        "rounds": scale.rounds,
        "seed": seed,
        "pairs": {
            "count": scale.requests,
            "samples": 8,
            "margin": 0.1,
            "prompt_fields": SHOWN,
            "batch_size": 128,
            "world_seed": 2_000_003 + seed,
            **plots,
            # no sample of a toy ends by itself, so none could be chosen
            **(
                {"kind": "classic", "length_ratio": 0.1, "val_share": 0.3, "max_new_tokens": 60}
                if toy
                else {"no_worse": ["repetition"], "balanced": ["surprise"]}
            ),
        },
        "gate": {"count": 8 if toy else 400, "seed": 3_000_017 + seed, **plots},
        "train": {
            "precision": scale.precision,
            "devices": 1,
            "logger_name": "csv",
            "data": {
                "class_path": "litgpt_zh.preference.data.Preference",
                "init_args": {"loss": "dpo", "beta": 0.3} | ({"check_sft": False, "guard": False} if toy else {}),
            },
            "train": {
                "global_batch_size": scale.preference_batch,
                "micro_batch_size": min(scale.preference_batch, 16),
                "epochs": 2,
                "lr_warmup_steps": 5,
                "log_interval": 10,
                "save_interval": 50,
            },
            "eval": {"interval": 50, "max_new_tokens": 60, "max_iters": 10},
            "optimizer": _adamw(scale.preference_lr, 0.0),
        },
    }


def _plain(value: Any) -> Any:
    """Paths as text, so that the YAML holds nothing but plain values."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
