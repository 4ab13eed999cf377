"""GRPO: every sample of a request teaches, by its advantage over the others."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_online as rounds
import torch
import yaml
from test_preference_sampling import scored

from litgpt_zh import __main__ as command_line
from litgpt_zh import runlog
from litgpt_zh.preference.choose import advantages, graded
from litgpt_zh.preference.losses import grpo
from litgpt_zh.preference.sample import sample_pairs
from litgpt_zh.stage import Manifest, UserError

home, here = rounds.home, rounds.here
ASKED = {**rounds.PAIRS, "kind": "graded"}
TRAIN = rounds.TRAIN | {
    "data": {"class_path": "litgpt_zh.preference.data.Preference", "init_args": {"loss": "grpo"}},
    "train": rounds.TRAIN["train"] | {"global_batch_size": 24, "micro_batch_size": 12, "epochs": 4},
}


def test_the_loss_by_hand() -> None:
    tokens = torch.tensor([2.0, 4.0, 1.0, 1.0])
    ratios = torch.tensor([1.1, 1.5, 0.5, 1.5])  # of a token, in the geometric mean
    advantage = torch.tensor([2.0, 2.0, -1.0, -1.0])
    reference = torch.tensor([-3.0, -5.0, -1.0, -2.0])
    policy = (reference + tokens * ratios.log()).requires_grad_()
    losses = grpo(policy, reference, tokens, advantage, epsilon=0.2)
    # inside; too far in the good direction: no more to learn; too far away from a bad one: neither; towards a bad one: all
    assert losses.tolist() == pytest.approx([-2.2, -2.4, 0.8, 1.5])
    losses.sum().backward()
    assert policy.grad is not None
    assert policy.grad.tolist() == pytest.approx([-2.0 * 1.1 / 2, 0.0, 0.0, 1.5])


def test_advantages_by_hand() -> None:
    assert advantages([1.0, 0.0]) == pytest.approx([1.0, -1.0])
    assert advantages([0.0, 0.0, 3.0]) == pytest.approx([-1 / math.sqrt(2), -1 / math.sqrt(2), math.sqrt(2)])


def test_samples_that_are_alike_teach_nothing_and_broken_ones_are_left_out() -> None:
    assert graded([scored(0.5), scored(0.5)], margin=0.1) == ([], "rewards too close")
    assert graded([scored(0.5), scored(0.9, text="")], margin=0.1) == ([], "rewards too close")
    found, reason = graded([scored(0.9), scored(0.0, finished=False), scored(0.9, text="")], margin=0.1)
    assert reason is None and [n for n, _ in found] == [0, 1] and [a for _, a in found] == pytest.approx([1.0, -1.0])


def test_all_samples_of_a_request_are_kept(home: Path, tmp_path: Path) -> None:
    counts = sample_pairs(home / "sft", tmp_path / "out", home / "train.jsonl", **ASKED).counts  # type: ignore[arg-type]
    labels = np.concatenate([np.load(tmp_path / "out" / f"{side}_labels.npy") for side in ("train", "val")])
    assert labels.dtype == np.float32 and len(labels) == counts["kept"]
    requests = counts["histograms"]["graded_per_request"]
    assert sum(int(size) * number for size, number in requests.items()) == counts["kept"] > 30
    assert counts["yield"] == sum(requests.values()) / 20
    assert labels.sum() == pytest.approx(0, abs=1e-3)  # they sum to nothing within each request
    assert np.mean(labels**2) == pytest.approx(1, abs=1e-3)
    example = json.loads((tmp_path / "out" / "examples.jsonl").read_text("utf-8").splitlines()[0])
    assert "advantage" in example["source"] and example["completion"]


def test_a_round_moves_good_samples_away_from_bad_ones(home: Path, tmp_path: Path) -> None:
    pairs = {**ASKED, "source": str(home / "train.jsonl")}
    rounds.run(home, tmp_path / "run", train=TRAIN, pairs=pairs, rounds=1)
    log = [line for line in runlog.read(tmp_path / "run/round-1/train/metrics.jsonl") if "loss" in line]
    assert log[0]["clip_ratio"] == 0 and all(math.isfinite(line["loss"]) for line in log)
    assert log[0]["logps/better_per_token"] == pytest.approx(0, abs=1e-4)
    moved = log[-1]["logps/better_per_token"] - log[-1]["logps/worse_per_token"]  # both may fall
    assert moved > 0.05
    assert Manifest.read(tmp_path / "run/final").counts["rounds"][0]["pairs"] > 30


def test_losses_do_not_depend_on_the_micro_batch(home: Path, tmp_path: Path) -> None:
    sample_pairs(home / "sft", tmp_path / "data", home / "train.jsonl", **ASKED)  # type: ignore[arg-type]
    found = []
    for micro in (24, 7):
        recipe: dict[str, Any] = {**TRAIN, "checkpoint_dir": str(home / "sft"), "out_dir": str(tmp_path / str(micro))}
        own = {"loss": "grpo", "pairs_dir": str(tmp_path / "data"), "check_sft": False, "guard": False}
        recipe["data"] = {**TRAIN["data"], "init_args": own}
        recipe["train"] = TRAIN["train"] | {"micro_batch_size": micro}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        command_line.main(["finetune_full", "--config", str(tmp_path / "recipe.yaml")])
        log = runlog.read(tmp_path / str(micro) / "metrics.jsonl")
        found.append([line["loss"] for line in log if "loss" in line])
    assert len(found[0]) > 4 and found[0] == pytest.approx(found[1], abs=2e-5)


@pytest.mark.parametrize(("kind", "loss"), [("graded", "dpo"), ("best-worst", "grpo")])
def test_records_and_loss_must_suit_each_other(home: Path, tmp_path: Path, kind: str, loss: str) -> None:
    """Before anything is sampled."""
    recipe = {**TRAIN, "data": {**TRAIN["data"], "init_args": {"loss": loss}}}
    pairs = {**ASKED, "kind": kind, "source": str(home / "train.jsonl")}
    with pytest.raises(UserError, match="grpo"):
        rounds.run(home, tmp_path / "run", train=recipe, pairs=pairs)
    assert not (tmp_path / "run" / "start").exists()
