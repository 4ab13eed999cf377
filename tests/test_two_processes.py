"""Two processes on the CPU (gloo), started by litgpt's own commands, do what one does with the same global batch."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import PLAIN
from trainings import BLOCK, model_config

from litgpt_zh import checkpoints, runlog
from litgpt_zh.instruct.batches import BatchPlan
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokens.stage import tokens

ENVIRONMENT = {**PLAIN, "CUDA_VISIBLE_DEVICES": ""}


def command(name: str, recipe: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "recipe.yaml"
    config.write_text(yaml.safe_dump(json.loads(json.dumps(recipe, default=str))), encoding="utf-8")
    argv = [sys.executable, "-m", "litgpt", name, "--config", str(config)]
    return subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, timeout=900)


def run(name: str, recipe: dict[str, Any], folder: Path) -> Path:
    done = command(name, {**recipe, "out_dir": folder / "out"}, folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "out"


def recorded(out: Path) -> list[tuple[int, str, float]]:
    """(step, key, value) of the losses; a process does half as many micro batches, so ``iter`` differs."""
    return [
        (line["step"], key, line[key])
        for line in runlog.read(out / "metrics.jsonl")
        for key in ("loss", "val_loss", "learning_rate")
        if key in line and "step" in line
    ]


def assert_same(one: Path, two: Path) -> None:
    first, second = recorded(one), recorded(two)
    assert [line[:2] for line in first] == [line[:2] for line in second] and len(first) > 6
    assert [line[2] for line in first] == pytest.approx([line[2] for line in second], abs=2e-5)
    a, b = (checkpoints.flat_weights(out / "final" / "lit_model.pth") for out in (one, two))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=0)


MUON = {"class_path": "litgpt_zh.pretrain.optimizer.MuonAdamW", "init_args": {"lr": 0.003}}


def shared() -> dict[str, Any]:
    return {"precision": "32-true", "logger_name": "csv", "optimizer": copy.deepcopy(MUON), "resume": "auto"}


@pytest.mark.slow
def test_pretraining(home: Path, tmp_path: Path) -> None:
    """On a mixture of two folders."""
    other = tmp_path / "other"
    tokens(home / "corpus", home / "tokenizer", other, block_size=BLOCK, workers=1)
    recipe = shared() | {
        "model_name": "zh-tinystories-2m", "model_config": model_config(),
        "tokenizer_dir": home / "tokenizer",
        "data": {"class_path": "litgpt_zh.pretrain.data.Pretraining",
                 "init_args": {"tokens_dir": home / "tokens", "sample_tokens": 3, "schedule": "wsd",
                               "mix": {str(home / "tokens"): 0.6, str(other): 0.4}}},
        "train": {"global_batch_size": 8, "micro_batch_size": 2, "max_tokens": 6 * 8 * BLOCK, "lr_warmup_steps": 2,
                  "save_interval": 4, "log_interval": 1, "max_norm": 1.0, "min_lr": 0.0, "tie_embeddings": True},
        "eval": {"interval": 3, "max_iters": 50},
    }  # fmt: skip
    one = run("pretrain", recipe | {"devices": 1}, tmp_path / "one")
    two = run("pretrain", recipe | {"devices": 2}, tmp_path / "two")
    assert_same(one, two)
    assert checkpoints.latest(two) is not None and Manifest.read(two / "final").counts["steps"] == 6
    assert len(runlog.read(two / "samples.jsonl")) == 4
    val = [
        [line["val_loss"] for line in runlog.read(out / "metrics.jsonl") if "val_loss" in line] for out in (one, two)
    ]
    assert val[0] == pytest.approx(val[1], abs=0.05)  # of 3 rows, the process that has none left repeats one


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True])
def test_finetuning(home: Path, base: Path, tmp_path: Path, lora: bool) -> None:
    recipe = shared() | {
        "checkpoint_dir": base,
        "data": {"class_path": "litgpt_zh.instruct.data.Instructions",
                 "init_args": {"data_dir": home / "sft-data", "word_weight": 3.0, "pretrain_dir": home / "tokens"}},
        "train": {"global_batch_size": 7, "micro_batch_size": 2, "epochs": 1, "lr_warmup_steps": 2, "save_interval": 4,
                  "log_interval": 1},
        "eval": {"interval": 4, "max_new_tokens": 3, "max_iters": 50},
    }  # fmt: skip
    if lora:
        del recipe["resume"]
        recipe |= {"lora_r": 4, "lora_dropout": 0.0, "lora_mlp": True, "optimizer": "AdamW"}
    name = "finetune_lora" if lora else "finetune_full"
    one = run(name, recipe | {"devices": 1}, tmp_path / "one")
    two = run(name, recipe | {"devices": 2}, tmp_path / "two")
    assert_same(one, two)
    assert Manifest.read(one / "final").counts["tokens"] > 0


def test_processes_share_each_global_batch() -> None:
    lengths = np.random.default_rng(0).integers(5, 50, 33)
    shape = {"global_batch": 8, "micro_batch": 2, "bucket": 2, "seed": 1}
    whole = BatchPlan(lengths, **shape).batches(2)
    shares = [BatchPlan(lengths, **shape, rank=(rank, 2)).batches(2) for rank in (0, 1)]
    assert len(whole) == 5 and len(shares[0]) == len(shares[1]) == 4  # one record cannot be shared by two: left out
    for number, (one, two) in enumerate(zip(*shares, strict=True)):
        assert sorted(sum(one, []) + sum(two, [])) == sorted(sum(whole[number], []))  # noqa: RUF017
        assert not set(sum(one, [])) & set(sum(two, []))  # noqa: RUF017


def test_fewer_records_than_processes_are_refused(home: Path) -> None:
    from litgpt_zh.instruct.data import Instructions

    with pytest.raises(UserError, match="1 records for 2 devices"):
        Instructions(home / "sft-data").global_batch(1, 0, 2)
