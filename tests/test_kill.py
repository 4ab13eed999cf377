"""kill -9 at random moments, then the same command: the losses and the weights are those of a run that was left alone."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import PLAIN
from trainings import BLOCK, losses, model_config, same_weights

from litgpt_zh import checkpoints, runlog
from litgpt_zh.stage import Manifest

ENVIRONMENT = {**PLAIN, "CUDA_VISIBLE_DEVICES": ""}
ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.1}}
SHARED = {"precision": "32-true", "logger_name": "csv", "optimizer": ADAMW, "devices": 1}


def recipe_of(stage: str, home: Path, base: Path) -> tuple[str, dict[str, Any]]:
    """Command and recipe of a run of some sixty steps, a checkpoint every other step."""
    if stage == "pretrain":
        return "pretrain", SHARED | {
            "model_name": "zh-tinystories-2m", "model_config": model_config(), "tokenizer_dir": home / "tokenizer",
            "resume": "auto",
            "data": {"class_path": "litgpt_zh.pretrain.data.Pretraining",
                     "init_args": {"tokens_dir": home / "tokens", "sample_tokens": 3}},
            "train": {"global_batch_size": 8, "micro_batch_size": 4, "max_tokens": 60 * 8 * BLOCK, "lr_warmup_steps": 2,
                      "save_interval": 2, "log_interval": 1, "max_norm": 1.0, "min_lr": 0.0, "tie_embeddings": True},
            "eval": {"interval": 5, "max_iters": 2},
        }  # fmt: skip
    recipe = SHARED | {
        "checkpoint_dir": base,
        "data": {"class_path": "litgpt_zh.instruct.data.Instructions",
                 "init_args": {"data_dir": home / "sft-data", "pretrain_dir": home / "tokens", "replay_share": 0.2}},
        "train": {"global_batch_size": 8, "micro_batch_size": 4, "epochs": 7, "lr_warmup_steps": 2, "save_interval": 2,
                  "log_interval": 1},
        "eval": {"interval": 5, "max_new_tokens": 3, "max_iters": 2},
    }  # fmt: skip
    if stage == "sft":
        return "finetune_full", recipe | {"resume": "auto"}
    return "finetune_lora", recipe | {"lora_r": 4, "lora_dropout": 0.1, "lora_mlp": True}


def start(name: str, recipe: dict[str, Any], out: Path) -> subprocess.Popen[str]:
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(json.loads(json.dumps({**recipe, "out_dir": out}, default=str))), "utf-8")
    with open(out.with_suffix(".log"), "a") as log:
        argv = [sys.executable, "-m", "litgpt", name, "--config", str(config)]
        return subprocess.Popen(argv, stdout=log, stderr=log, env=ENVIRONMENT, text=True)


def kill_after_a_step(process: subprocess.Popen[str], out: Path, rng: random.Random) -> bool:
    """Kill the process when a few more lines are in its record; False where it was finished before that."""
    done = len(runlog.read(out / "metrics.jsonl"))
    wanted = done + rng.randint(3, 12)
    while process.poll() is None:
        if len(runlog.read(out / "metrics.jsonl")) >= wanted:
            time.sleep(rng.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    assert process.returncode == 0, out.with_suffix(".log").read_text()[-3000:]
    return False


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "sft", "sft-lora"])
def test_killed_and_started_again(home: Path, base: Path, tmp_path: Path, stage: str) -> None:
    name, recipe = recipe_of(stage, home, base)
    whole, out, rng = tmp_path / "whole", tmp_path / "killed", random.Random(stage)
    assert start(name, recipe, whole).wait() == 0, whole.with_suffix(".log").read_text()[-3000:]
    kills = 0
    for _ in range(3):
        if not kill_after_a_step(start(name, recipe, out), out, rng):
            break
        kills += 1
        assert not (out / "final" / "manifest.json").exists()
        file = checkpoints.latest(out, "train_state.ckpt" if stage == "sft-lora" else checkpoints.WEIGHTS)
        assert file is None or zipfile.is_zipfile(file)
    assert kills >= 2
    assert start(name, recipe, out).wait() == 0, out.with_suffix(".log").read_text()[-3000:]
    assert same_weights(out / "final", whole / "final")
    assert losses(out) == losses(whole)
    assert Manifest.read(out / "final").counts == Manifest.read(whole / "final").counts
    assert not list(out.glob(".pending-*")) and len(checkpoints.step_folders(out)) == 2


WRITE = """
import sys
from pathlib import Path
import torch
from litgpt_zh import checkpoints

out = Path(sys.argv[1])
weights = {str(n): torch.full((500, 500), float(n)) for n in range(20)}
for step in range(1, 10**6):
    with checkpoints.appearing(out / f"step-{step:08d}") as pending:
        torch.save({"model": weights, "step_count": step}, pending / "lit_model.pth")
    checkpoints.keep_newest(out, 2)
    print(step, flush=True)
"""


@pytest.mark.slow
def test_a_checkpoint_being_written_never_shadows_the_one_before(tmp_path: Path) -> None:
    """Eight kills in the middle of writing 20 MB checkpoints one after another."""
    rng, most = random.Random(7), 0
    for number in range(8):
        out = tmp_path / str(number)
        argv = [sys.executable, "-c", WRITE, str(out)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert process.stdout is not None
        for _ in range(rng.randint(1, 4)):
            seen = int(process.stdout.readline())
        time.sleep(rng.random() * 0.03)
        process.kill()
        done = [int(line) for line in process.stdout.read().split()] or [seen]
        process.wait()
        file = checkpoints.latest(out)
        assert file is not None
        step = torch.load(file, weights_only=True)["step_count"]
        assert step in (done[-1], done[-1] + 1) and file.parent.name == f"step-{step:08d}"
        most = max(most, len(list(out.glob(".pending-*"))))
        checkpoints.claim(out, checkpoints.plan_of("pretrain", {}, {}), resume="auto")
        assert not list(out.glob(".pending-*")) and checkpoints.latest(out) == file
    assert most == 1  # some kill did come in the middle
