"""Tiny trainings through litgpt's own ``setup`` functions, for the tests of the loops."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from litgpt.args import EvalArgs, TrainArgs

from litgpt_zh import checkpoints, runlog
from litgpt_zh.instruct.data import Instructions
from litgpt_zh.instruct.stage import instructions
from litgpt_zh.pretrain.data import Pretraining
from litgpt_zh.stage import Manifest, fingerprint
from litgpt_zh.tokenizer.train import train_tokenizer
from litgpt_zh.tokens.stage import tokens

torch.set_num_threads(1)  # threads cost more than they bring at this size
BLOCK = 128
OPTIMIZER = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.1}}


def make_home(home: Path) -> Path:
    """A corpus of 60 stories, its tokenizer (480 entries), tokens and instruction records."""
    corpus = home / "corpus"
    corpus.mkdir()
    animals, things = "猫狗兔熊马牛羊鸡鸭鹅", ["铲子", "苹果", "帽子", "雨伞", "气球", "铃铛"]
    for split, numbers in (("train", range(54)), ("val", range(54, 60))):
        lines = []
        for n in numbers:
            animal, thing = animals[n % 10], things[n % 6]
            text = f"小{animal}第{n}次出门，看见了{thing}。“真好看！”小{animal}说。小{animal}把{thing}带回了家。"
            lines.append({"text": text, "words": [thing], "features": ["对话"], "group": str(n)})
        body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (corpus / f"{split}-00000.jsonl").write_text(body, encoding="utf-8")
    outputs = {file.name: fingerprint(file) for file in sorted(corpus.iterdir())}
    Manifest("corpus", {}, {}, outputs=outputs).write(corpus)
    train_tokenizer(corpus, home / "tokenizer", vocab_size=480, hanzi="seen", dictionary_weight=0.0, segment=False)
    tokens(corpus, home / "tokenizer", home / "tokens", block_size=BLOCK, prompt_share=0.5, workers=1)
    instructions(str(corpus), home / "tokenizer", home / "sft-data", block_size=BLOCK, workers=1)
    return home


def model_config() -> dict[str, Any]:
    """Arguments of ``Config``, as they stand in a recipe."""
    return dict(
        name="tiny", hf_config={"org": "x", "name": "tiny", "tie_word_embeddings": True}, n_layer=2, n_embd=32, n_head=2,
        n_query_groups=2, vocab_size=480, padded_vocab_size=480, block_size=BLOCK, rotary_percentage=1.0,
        parallel_residual=False, bias=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP", intermediate_size=64,
    )  # fmt: skip


def tiny_config():
    from litgpt import Config

    return Config(**model_config())


def pretrain(home: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **changes) -> Path:
    """litgpt.pretrain.setup as the command line calls it; returns ``final``."""
    from litgpt.pretrain import setup

    monkeypatch.setattr(sys, "argv", ["litgpt", "pythia-14m"])  # litgpt reads it again when it saves
    train = {
        "global_batch_size": 8,
        "micro_batch_size": 4,
        "max_tokens": 6 * 8 * BLOCK,
        "lr_warmup_steps": 2,
        "tie_embeddings": True,
    } | changes.pop("train", {})
    arguments = {
        "model_name": "pythia-14m",
        "model_config": tiny_config(),
        "out_dir": out,
        "precision": "32-true",
        "data": Pretraining(home / "tokens", sample_tokens=5),
        "train": TrainArgs(**({"save_interval": 2, "log_interval": 2, "max_norm": 1.0, "min_lr": 0.0} | train)),
        "eval": EvalArgs(interval=3, max_iters=2),
        "optimizer": copy.deepcopy(OPTIMIZER),  # litgpt writes into it
        "devices": 1,
        "tokenizer_dir": home / "tokenizer",
        "logger_name": "csv",
        "resume": "auto",
    } | changes
    setup(**arguments)
    return out / "final"


def finetune(home: Path, base: Path, out: Path, monkeypatch: pytest.MonkeyPatch, lora: bool = False, **changes) -> Path:
    """litgpt's finetune ``setup`` as the command line calls it; returns ``final``."""
    if lora:
        from litgpt.finetune.lora import setup
    else:
        from litgpt.finetune.full import setup
    train = {"global_batch_size": 8, "micro_batch_size": 4, "epochs": 2, "lr_warmup_steps": 2}
    train |= {"save_interval": 4, "log_interval": 1} | changes.pop("train", {})
    own = {"lora_r": 4, "lora_dropout": 0.1, "lora_mlp": True} if lora else {"resume": "auto"}
    own |= {key: changes.pop(key) for key in list(changes) if key.startswith("lora_")}
    options = [text for key, value in own.items() for text in (f"--{key}", str(value).lower())]
    monkeypatch.setattr(sys, "argv", ["litgpt", str(base), *options])  # what litgpt's merge reads again
    arguments = {
        "checkpoint_dir": base,
        "out_dir": out,
        "precision": "32-true",
        "data": Instructions(home / "sft-data"),
        "train": TrainArgs(**train),
        "eval": EvalArgs(interval=5, max_new_tokens=5, max_iters=4),
        "optimizer": copy.deepcopy(OPTIMIZER),  # litgpt writes into it
        "devices": 1,
        "logger_name": "csv",
    } | own
    setup(**(arguments | changes))
    return out / "final"


def losses(out: Path) -> list[tuple[int, str, float]]:
    """The merged record of a run, times aside."""
    lines = runlog.read(out / "metrics.jsonl")
    return [
        (line["iter"], key, line[key]) for line in lines for key in ("loss", "val_loss", "learning_rate") if key in line
    ]


def same_weights(a: Path, b: Path) -> bool:
    one, two = checkpoints.flat_weights(a / "lit_model.pth"), checkpoints.flat_weights(b / "lit_model.pth")
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], None]:
    """Make every AdamW of this test die before its step number ``step``; returns what revives it."""
    calls, original = [0], torch.optim.AdamW.step

    def dying(self, *args, **kwargs):
        calls[0] += 1
        if calls[0] == step:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", dying)
    return lambda: monkeypatch.setattr(torch.optim.AdamW, "step", original)
