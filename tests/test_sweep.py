"""Sweeps: the arithmetic by hand, then tiny trainings through litgpt's own commands, stopped, resumed, diverging."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import test_preference_training as preference
import torch
import trainings as runs
import yaml
from conftest import QUICK
from conftest import run as command

from litgpt_zh import __main__ as command_line
from litgpt_zh import recipes, runlog
from litgpt_zh.runlog import Diverged, diverging
from litgpt_zh.stage import MANIFEST, Manifest, UserError
from litgpt_zh.sweep import grid, page
from litgpt_zh.sweep import trial as trial_module
from litgpt_zh.sweep.stage import sweep
from litgpt_zh.sweep.trial import RATE, Watch, means_of_three, name_of, objection, reseeded, short, with_floor

ROOT = Path(__file__).parents[1]
pairs_dir = preference.pairs_dir
pytestmark = pytest.mark.usefixtures("no_compile")

# arithmetic ----------------------------------------------------------------------------------------------------------


def test_half_decades_by_hand() -> None:
    assert grid.half_decades(1e-3) == [1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2]
    assert grid.half_decades(2e-5, reach=1) == [6.32e-6, 2e-5, 6.32e-5]
    assert grid.outward(grid.half_decades(1e-3), 1e-3)[:3] == [1e-3, 3.16e-3, 3.16e-4]
    assert grid.outward(["a", "b"], None) == ["a", "b"]


def test_edges_by_hand() -> None:
    values = [1e-3, 1e-4, 1e-2]
    assert [grid.edge(values, v) for v in values] == [None, "low", "high"]
    assert grid.edge([1], 1) is None and grid.edge(["32-true", "bf16-true"], "32-true") is None
    assert grid.edge([True, False], True) is None  # no order
    assert grid.beyond(values, "low") == 1e-5 and grid.beyond(values, "high") == 0.1
    assert grid.beyond([1e-3, 3.16e-3], "high") == pytest.approx(0.00999, abs=1e-5)
    assert grid.beyond([1e-3, 1e-2, 1e-2], "high") == 0.1  # tried with two values of another setting


def test_the_parabola_by_hand() -> None:
    """y = (x + 3)^2 over x = log10: lowest at 1e-3; then (x + 3.2)^2 at points -4, -3, -2: lowest at 10^-3.2."""
    assert grid.vertex([(1e-2, 1.0), (1e-4, 1.0), (1e-3, 0.0)]) == 1e-3
    assert grid.vertex([(1e-4, 0.64), (1e-3, 0.04), (1e-2, 1.44)]) == pytest.approx(6.3e-4)
    assert grid.vertex([(1e-3, (0.2) ** 2), (1e-3 * 10**0.5, 0.7**2), (1e-5, 1.8**2)]) == pytest.approx(6.3e-4)
    assert grid.vertex([(1e-4, 3.0), (1e-3, 2.0), (1e-2, 1.0)]) is None  # still falling
    assert grid.vertex([(1e-4, 1.0), (1e-3, 1.0), (1e-2, 2.0)]) is None


def test_neighbours_and_noise_by_hand() -> None:
    points = [(4.0, 1.0), (1.0, 3.0), (2.0, 2.0)]
    assert grid.neighbours(points, 2.0) == sorted(points)
    assert grid.neighbours(points, 4.0) is None and grid.neighbours(points[:1], 4.0) is None
    assert grid.told_apart([1.0], [2.0, 2.1]) is None
    assert grid.told_apart([1.0, 1.2], [1.25, 1.35]) is False  # means 0.2 apart, seeds 0.2 apart
    assert grid.told_apart([1.0, 1.2], [1.35, 1.37]) is True


def lines(losses: list[float]) -> list[dict[str, float]]:
    return [{"iter": n, "step": n, "loss": loss} for n, loss in enumerate(losses, start=1)]


def test_what_counts_as_diverged() -> None:
    assert means_of_three([(1, 3.0), (2, 6.0), (3, 9.0), (4, 0.0)]) == [(3, 6.0), (4, 5.0)]
    falling = [4.0, 3.5, 3.0, 2.5, 2.0, 1.9]
    assert objection(lines(falling), {}, 2) == ""
    assert objection(lines([4.0] * 9), {3: 1.0, 9: 1.0}, 2) == ""  # slow, and far behind: not diverged
    up = [*falling, 4.0, 5.0, 6.0]  # means 3.5, 3, 2.5, 2.13, 2.63, 3.63, 5: above 1.5 x 2.13 at step 8
    assert objection(lines(up), {}, 2) == "step 8: the loss has climbed to 3.63 from 2.13"
    assert objection(lines(up), {8: 2.5, 9: 4.0}, 2) == ""  # the data are hard there
    assert objection(lines(up), {8: 2.5, 9: 3.3}, 2).startswith("step 9")
    assert objection(lines(up), {}, 9) == ""  # warming up
    assert objection(lines([4.0, 0.1, 0.1, 0.1, 0.3, 0.4, 0.5]), {}, 1) == ""  # small against the first loss
    for bad in ({"loss": math.nan}, {"val_loss": math.inf}, {"diverged": 1}):
        assert "not a finite number" in objection([*lines(falling), {"iter": 7, "step": 7, **bad}], {}, 2)


def test_names_are_file_names() -> None:
    assert name_of({RATE: 3.16e-3}) == "lr-0.00316" and name_of({RATE: 1e-6}, 1) == "lr-1e-06-seed-1"
    assert name_of({RATE: 1e-3, "precision": "32-true"}) == "lr-0.001,precision-32-true"
    one, two = name_of({"data.init_args.data_dir": "data/a b"}), name_of({"data.init_args.data_dir": "data/a_b"})
    assert one != two and "/" not in one + two and " " not in one


def test_a_short_schedule_is_complete() -> None:
    sft = recipes.read(ROOT / "recipes/sft.yaml", "")
    changes = short(sft, 50)
    assert changes["train.max_steps"] == 50 and changes["train.lr_warmup_steps"] == 5
    assert changes["train.log_interval"] == 2 and changes["train.save_interval"] is None
    assert short(recipes.changed(sft, {"train.lr_warmup_steps": 3}), 50)["train.lr_warmup_steps"] == 3
    assert not {"train.max_steps", "train.lr_warmup_steps"} & short(sft, None).keys()


def test_the_floor_follows_the_rate_and_seeds_move_together() -> None:
    pretraining = recipes.read(ROOT / "recipes/pretrain.yaml", "")
    assert with_floor(pretraining, {RATE: 1e-2}) == {RATE: 1e-2}  # its floor is 0
    floored = recipes.changed(pretraining, {"train.min_lr": 1e-4})
    assert with_floor(floored, {RATE: 1e-2}) == {RATE: 1e-2, "train.min_lr": 1e-3}
    assert with_floor(floored, {"precision": "32-true"}) == {"precision": "32-true"}
    sft = recipes.changed(recipes.read(ROOT / "recipes/sft.yaml", ""), {"data.init_args.min_lr": 3e-5})
    assert with_floor(sft, {RATE: 3e-3})["data.init_args.min_lr"] == 3e-4
    assert reseeded(sft, 0) == {} and reseeded(sft, 2) == {"seed": 1339, "data.init_args.seed": 44}


def test_recipes_know_their_command() -> None:
    for name, expected in {"pretrain": "pretrain", "sft": "finetune_full", "dpo": "finetune_full", "kto": "finetune_full",
                           "sft-lora": "finetune_lora", "dpo-lora": "finetune_lora"}.items():  # fmt: skip
        recipe = recipes.read(ROOT / f"recipes/{name}.yaml", "")
        assert recipes.command_of(recipe) == expected
        recipes.check(recipe)


def test_changes_leave_the_recipe_alone() -> None:
    recipe = {"a": {"b": 1}, "optimizer": {"class_path": "x", "init_args": {"lr": 1, "wd": 2}}}
    new = recipes.changed(recipe, {"a.b": 2, "a.c.d": 3})
    assert new["a"] == {"b": 2, "c": {"d": 3}} and recipe["a"] == {"b": 1}
    assert recipes.at(new, "a.c.d") == 3 and recipes.at(new, "a.x.y") is None
    assert recipes.override(recipe, {"a.b": 5}) == {"a": {"b": 5}}
    whole = {"optimizer": {"class_path": "x", "init_args": {"lr": 9, "wd": 2}}}  # jsonargparse does not merge this one
    assert recipes.override(recipe, {RATE: 9}) == whole


def test_the_record_says_that_a_run_diverged(tmp_path: Path) -> None:
    log = runlog.RunLog(tmp_path)
    log.log_metrics({"iter": 4, "step": 2, "loss": 1.0})
    with pytest.raises(Diverged, match="after step 2"), diverging(tmp_path):
        raise RuntimeError("The total norm of order 2.0 for gradients from `parameters` is non-finite")
    assert runlog.read(tmp_path / "metrics.jsonl")[-1] == {"iter": 5, "step": 2, "diverged": 1}
    with pytest.raises(RuntimeError, match="another"), diverging(tmp_path):
        raise RuntimeError("another")
    assert len(runlog.read(tmp_path / "metrics.jsonl")) == 2


# trainings -----------------------------------------------------------------------------------------------------------


class Inline:
    """Commands in this process, so that a test need not import litgpt again for each; ``ran`` are their recipes."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.stop_at = -1

    @contextlib.contextmanager
    def process(self, argv: list[str], environment: dict[str, str], lock: int) -> Iterator[Any]:
        if len(self.ran) == self.stop_at:
            raise KeyboardInterrupt
        self.ran.append(Path(argv[5]).stem)
        os.fstat(lock)  # is open
        code = 0
        try:
            command_line.main(argv[3:])
        except SystemExit as stop:
            print(stop.code)
            code = int(bool(stop.code))
        yield type("Ended", (), {"wait": lambda self, timeout=None: code})()


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> Inline:
    made = Inline()
    monkeypatch.setattr(trial_module, "_process", made.process)
    monkeypatch.setattr(sys, "argv", ["litgpt-zh"])
    return made


def written(folder: Path, recipe: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(recipes.text(recipe), encoding="utf-8")
    return folder / "recipe.yaml"


def sft_recipe(home: Path, base: Path, **changes: Any) -> dict[str, Any]:
    return {
        "checkpoint_dir": base, "out_dir": home / "never", "precision": "32-true", "devices": 1, "logger_name": "csv",
        "data": {"class_path": "litgpt_zh.instruct.data.Instructions", "init_args": {"data_dir": home / "sft-data"}},
        "train": {"global_batch_size": 8, "micro_batch_size": 8, "epochs": 4, "lr_warmup_steps": 100},
        "eval": {"interval": 5, "max_new_tokens": 5, "max_iters": 4},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.0}},
    } | changes  # fmt: skip


def pretrain_recipe(home: Path) -> dict[str, Any]:
    config = {k: v for k, v in vars(runs.tiny_config()).items() if k in (
        "name", "hf_config", "n_layer", "n_embd", "n_head", "n_query_groups", "vocab_size", "padded_vocab_size", "block_size",
        "rotary_percentage", "parallel_residual", "bias", "norm_class_name", "mlp_class_name", "intermediate_size")}  # fmt: skip
    return {
        "model_name": "pythia-14m", "model_config": config, "out_dir": home / "never", "precision": "32-true",
        "devices": 1, "logger_name": "csv", "tokenizer_dir": home / "tokenizer", "resume": "auto",
        "data": {"class_path": "litgpt_zh.pretrain.data.Pretraining",
                 "init_args": {"tokens_dir": home / "tokens", "sample_tokens": 5}},
        "train": {"global_batch_size": 8, "micro_batch_size": 4, "max_tokens": 10**9, "lr_warmup_steps": 200, "max_norm": 1.0,
                  "min_lr": 0.0, "tie_embeddings": True, "log_interval": 20, "save_interval": 500},
        "eval": {"interval": 500, "max_iters": 2},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.1}},
    }  # fmt: skip


KNOWN = [1e-7, 3e-3, 1e30]
"""Nothing is learnt, something is learnt, everything is lost."""


@pytest.fixture(scope="module")
def swept(home: Path, base: Path) -> Path:
    """A sweep of SFT over ``KNOWN``."""
    made, out = Inline(), home / "swept"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_module, "_process", made.process)
        patch.setattr(sys, "argv", ["litgpt-zh"])
        sweep(written(home / "for-sft", sft_recipe(home, base)), out, steps=12, values=KNOWN, language="zh")
    assert made.ran == ["lr-0.003", "lr-1e-07", "lr-1e+30"] or made.ran == ["lr-0.003", "lr-1e+30", "lr-1e-07"]
    return out


def test_the_known_winner_wins(swept: Path) -> None:
    result = json.loads((swept / "sweep.json").read_text("utf-8"))
    assert result["best"]["values"] == {RATE: 0.003} and result["edge"] is None and result["vertex"] is None
    states = {row["name"]: (row["state"], row["figure"] is None) for row in result["trials"]}
    assert states == {"lr-0.003": ("finished", False), "lr-1e-07": ("finished", False), "lr-1e+30": ("diverged", True)}
    assert next(row["reason"] for row in result["trials"] if row["name"] == "lr-1e+30")
    finished = [row for row in result["trials"] if row["state"] == "finished"]
    assert [row["steps"] for row in finished] == [12, 12] and result["told_apart"] is None


def test_every_trial_is_a_complete_short_schedule(swept: Path) -> None:
    rates = [line["learning_rate"] for line in runlog.read(swept / "trials/lr-0.003/metrics.jsonl") if "loss" in line]
    assert len(rates) == 12 and rates[0] == pytest.approx(0.003) and rates[-1] == pytest.approx(0.0, abs=1e-9)
    validations = [line for line in runlog.read(swept / "trials/lr-0.003/metrics.jsonl") if "val_loss" in line]
    assert [line["step"] for line in validations] == [12]
    seen = [yaml.safe_load((swept / f"trials/recipes/lr-{v}.yaml").read_text("utf-8")) for v in ("0.003", "1e-07")]
    seen[0]["optimizer"]["init_args"]["lr"] = seen[1]["optimizer"]["init_args"]["lr"]
    seen[0]["out_dir"] = seen[1]["out_dir"]
    assert seen[0] == seen[1]  # nothing else differs: seed and order of the data are the recipe's


def test_weights_are_not_kept_and_numbers_are(swept: Path) -> None:
    assert not [p for p in swept.rglob("*") if p.suffix in (".pth", ".ckpt")] and not list(swept.rglob("step-*"))
    for name in ("lr-0.003", "lr-1e-07", "lr-1e+30"):
        assert (swept / "trials" / name / "metrics.jsonl").is_file()
    record = json.loads((swept / "trials/run.json").read_text("utf-8"))
    assert all("finetune_full --config" in stage["command"] for stage in record["stages"])
    assert Manifest.read(swept).counts["best"]["name"] == "lr-0.003"


def test_the_page_shows_both_plots(swept: Path) -> None:
    text = (swept / "sweep.html").read_text("utf-8")
    assert text.count("<svg") == 2 and "prefers-color-scheme: dark" in text and 'lang="zh-CN"' in text
    assert "推荐 optimizer.init_args.lr 0.003" in text and "发散" in text and "override.yaml" in text
    result = json.loads((swept / "sweep.json").read_text("utf-8"))
    shown = page.table(result)
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == ["lr-1e-07", "lr-0.003", "lr-1e+30"]


def test_a_second_call_does_nothing(home: Path, swept: Path, inline: Inline, capsys) -> None:
    before = {p: p.stat().st_mtime_ns for p in swept.rglob("*") if p.is_file()}
    sweep(home / "for-sft/recipe.yaml", swept, steps=12, values=KNOWN, language="zh")
    assert {p: p.stat().st_mtime_ns for p in swept.rglob("*") if p.is_file()} == before and inline.ran == []
    assert "同样的设置已经做完" in capsys.readouterr().out


def test_one_more_value_runs_one_more_trial(home: Path, base: Path, tmp_path: Path, inline: Inline) -> None:
    recipe = written(tmp_path, sft_recipe(home, base))
    sweep(recipe, tmp_path / "out", steps=10, values=[1e-6, 1e-5], extend=0)
    assert json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))["edge"] == "high"
    sweep(recipe, tmp_path / "out", steps=10, values=[1e-6, 1e-5, 1e-4], extend=0)
    assert inline.ran == ["lr-1e-05", "lr-1e-06", "lr-0.0001"]
    sweep(
        recipe, tmp_path / "out", steps=10, values=[1e-6, 1e-5, 1e-4], extend=0, metric="val_ppl" if False else "loss"
    )
    assert len(inline.ran) == 3  # another metric of what is recorded already
    sweep(recipe, tmp_path / "out", steps=11, values=[1e-6, 1e-5], extend=0)
    assert inline.ran[3:] == ["lr-1e-05", "lr-1e-06"] and (tmp_path / "out/trials/lr-1e-05.old").is_dir()


def test_the_edge_is_followed_and_the_following_ends(home: Path, base: Path, tmp_path: Path, inline: Inline) -> None:
    recipe = written(tmp_path, sft_recipe(home, base))
    sweep(recipe, tmp_path / "out", steps=10, values=[1e-7, 1e-6])
    assert inline.ran == ["lr-1e-06", "lr-1e-07", "lr-1e-05", "lr-0.0001"]
    result = json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))
    assert result["best"]["name"] == "lr-0.0001" and result["edge"] == "high"
    assert "larger one may be better" in " ".join(page.verdict(result, "en"))


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_stopped_sweep_goes_on(
    home: Path, base: Path, swept: Path, tmp_path: Path, inline: Inline, where: int
) -> None:
    recipe = written(tmp_path, sft_recipe(home, base))
    inline.stop_at = where
    with pytest.raises(KeyboardInterrupt):
        sweep(recipe, tmp_path / "out", steps=12, values=KNOWN)
    assert not (tmp_path / "out" / MANIFEST).exists()
    inline.stop_at = -1
    sweep(recipe, tmp_path / "out", steps=12, values=KNOWN)
    assert len(inline.ran) == len(set(inline.ran)) == 3  # nothing twice
    one, two = (json.loads((out / "sweep.json").read_text("utf-8")) for out in (swept, tmp_path / "out"))
    assert one["best"] == two["best"]
    assert [row["figure"] for row in one["trials"]] == [row["figure"] for row in two["trials"]]


@pytest.mark.usefixtures("english")
def test_a_trial_that_ended_behind_the_back_of_a_killed_sweep_is_not_done_again(
    home: Path, base: Path, tmp_path: Path, inline: Inline, monkeypatch, capsys
) -> None:
    recipe = written(tmp_path, sft_recipe(home, base))

    class Killed(BaseException):
        pass

    def dying(self: Watch, argv: list[str], environment: dict[str, str]) -> int:
        with inline.process(argv, environment, self.lock):
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Watch, "call", dying)
        sweep(recipe, tmp_path / "out", steps=10, values=[1e-4, 1e-3], extend=0)
    final = next((tmp_path / "out/trials").glob("*/final/lit_model.pth"))
    made = final.stat().st_mtime_ns
    sweep(recipe, tmp_path / "out", steps=10, values=[1e-4, 1e-3], extend=0, keep_weights=True)
    assert final.stat().st_mtime_ns == made
    assert "already finished with these settings" in capsys.readouterr().out


def test_a_trial_that_fails_ends_the_sweep_and_says_which(home: Path, base: Path, tmp_path: Path) -> None:
    recipe = written(tmp_path, sft_recipe(home, base, precision="64-maybe"))
    with pytest.raises((UserError, ValueError), match=r"lr-|64-maybe"):
        sweep(recipe, tmp_path / "out", steps=10, values=[1e-4, 1e-3])
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_every_trial_diverged(home: Path, base: Path, tmp_path: Path, inline: Inline) -> None:
    recipe = written(tmp_path, sft_recipe(home, base))
    with pytest.raises(UserError, match="every trial has diverged"):
        sweep(recipe, tmp_path / "out", steps=10, values=[1e30, 1e31], extend=1)
    assert len(inline.ran) == 3 and "lr-1e+29" in inline.ran
    assert not (tmp_path / "out/override.yaml").exists()


def test_pretraining(home: Path, tmp_path: Path, inline: Inline) -> None:
    recipe = written(tmp_path, pretrain_recipe(home))
    sweep(recipe, tmp_path / "out", steps=10, values=[1e-6, 1e-2, 1e30], extend=0)
    result = json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))
    assert result["command"] == "pretrain" and result["best"]["name"] == "lr-0.01"
    rows = {row["name"]: row for row in result["trials"]}
    assert rows["lr-1e+30"]["state"] == "diverged" and rows["lr-0.01"]["steps"] == 10
    trial = yaml.safe_load((tmp_path / "out/trials/recipes/lr-0.01.yaml").read_text("utf-8"))
    assert trial["train"]["max_tokens"] == 10 * 8 * runs.BLOCK and trial["train"]["lr_warmup_steps"] == 1


def test_lora_and_seeds(home: Path, base: Path, tmp_path: Path, inline: Inline) -> None:
    recipe = written(tmp_path, sft_recipe(home, base, lora_r=4, lora_dropout=0.0, lora_mlp=True))
    sweep(recipe, tmp_path / "out", steps=10, values=[1e-6, 2e-6, 1e-2], extend=0, seeds=2)
    assert len(inline.ran) == 5 and sum(name.endswith("-seed-1") for name in inline.ran) == 2
    result = json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))
    assert result["command"] == "finetune_lora" and result["best"]["name"] == "lr-0.01" and result["told_apart"] is True
    first, again = (
        yaml.safe_load((tmp_path / f"out/trials/recipes/lr-0.01{s}.yaml").read_text("utf-8")) for s in ("", "-seed-1")
    )
    assert (again["seed"], again["data"]["init_args"]["seed"]) == (1338, 43) and "seed" not in first
    figures = [row["figure"] for row in result["trials"] if row["values"] == {RATE: 0.01}]
    assert len(figures) == 2 and result["best"]["figure"] == pytest.approx(sum(figures) / 2)


def test_preference_with_another_metric_and_a_second_setting(
    home: Path, base: Path, pairs_dir: Path, tmp_path: Path, inline: Inline
) -> None:
    own = {"pairs_dir": pairs_dir, "guard": False, "check_sft": False}
    data = {"class_path": "litgpt_zh.preference.data.Preference", "init_args": own}
    recipe = written(tmp_path, sft_recipe(home, base, data=data))
    given = {"values": [1e-6, 1e-2], "also": {"data.init_args.beta": [0.1, 0.5]}, "extend": 0}
    sweep(recipe, tmp_path / "out", steps=10, metric="val_rewards/margins", direction="max", **given)
    assert len(inline.ran) == 4 and "lr-0.01,beta-0.5" in inline.ran
    result = json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))
    assert result["best"]["values"] == {RATE: 1e-2, "data.init_args.beta": 0.5}  # the margin is a multiple of beta
    override = yaml.safe_load((tmp_path / "out/override.yaml").read_text("utf-8"))
    assert override["data"] == {"init_args": {"beta": 0.5}} and override["optimizer"]["init_args"]["lr"] == 1e-2
    with pytest.raises(UserError, match=r"has logged no val_los; it has .*val_loss"):
        sweep(recipe, tmp_path / "out", steps=10, metric="val_los", **given)


def test_a_guard_that_stops_a_trial_takes_it_out_of_the_race(
    home: Path, base: Path, pairs_dir: Path, tmp_path: Path
) -> None:
    own = {"pairs_dir": pairs_dir, "check_sft": False, "guard_stories": 0, "max_nll_rise": 0.5}
    data = {"class_path": "litgpt_zh.preference.data.Preference", "init_args": own}
    recipe = written(tmp_path, sft_recipe(home, base, data=data))
    sweep(recipe, tmp_path / "out", steps=10, values=[1e-6, 0.1], extend=0)
    rows = {row["name"]: row for row in json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))["trials"]}
    assert rows["lr-0.1"]["state"] == "stopped" and "max_nll_rise" in rows["lr-0.1"]["reason"]
    assert rows["lr-1e-06"]["state"] == "finished"


def test_other_settings_without_an_order(home: Path, base: Path, tmp_path: Path, inline: Inline) -> None:
    recipe = written(tmp_path, sft_recipe(home, base))
    sweep(recipe, tmp_path / "out", steps=10, key="precision", values=["32-true", "bf16-true"])
    assert inline.ran == ["precision-32-true", "precision-bf16-true"]
    result = json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))
    assert result["edge"] is None and result["vertex"] is None
    assert '<text class="name"' in (tmp_path / "out/sweep.html").read_text("utf-8")


def test_a_setting_that_sets_the_length_runs_in_full(home: Path, base: Path, tmp_path: Path, capsys) -> None:
    recipe = written(tmp_path, sft_recipe(home, base))
    sweep(recipe, tmp_path / "out", key="train.epochs", values=[1, 2])
    rows = json.loads((tmp_path / "out/sweep.json").read_text("utf-8"))["trials"]
    assert {row["values"]["train.epochs"]: row["steps"] for row in rows} == {1: 7, 2: 14}  # 54 records in batches of 8
    assert "走完配方里的全程" in capsys.readouterr().out


# refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": "optimizer.init_args.lrr", "values": [1, 2]}, r"did you mean optimizer\.init_args\.lr\?"),
        ({"key": "lr"}, r"did you mean optimizer\.init_args\.lr\?"),
        ({"key": "data.beta", "values": [1, 2]}, "has no such setting"),
        ({"key": "precision"}, "values: which of precision"),
        ({"values": [1e-3]}, "give at least two"),
        ({"values": [1e-3, -1e-3]}, "a number above 0"),
        ({"values": [1e-3, "x"]}, "a number above 0"),
        ({"values": [1e-3, 1e-3]}, "lr-0.001 is asked for twice"),
        ({"key": "train.micro_batch_size", "values": [4, "four"]}, "micro_batch_size-four: .*micro_batch_size"),
        ({"also": {"data.init_args.bukket": [1]}}, r"did you mean data\.init_args\.bucket"),
        ({"also": {"precision": []}}, "also.precision: give a list"),
        ({"steps": 5}, "steps: 5"),
        ({"seeds": 0}, "seeds: 0"),
    ],
)
def test_what_cannot_be_honoured_is_refused_before_any_work(
    home: Path, base: Path, tmp_path: Path, inline: Inline, given: dict[str, Any], message: str
) -> None:
    recipe = written(tmp_path / "recipe", sft_recipe(home, base))
    with pytest.raises(UserError, match=message):
        sweep(recipe, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists() and inline.ran == []


def test_recipes_that_cannot_be_swept(home: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read"):
        sweep(Path("nowhere.yaml"), tmp_path / "out")
    stock = sft_recipe(home, base, data={"class_path": "litgpt.data.Alpaca"})
    with pytest.raises(UserError, match="which litgpt_zh's data classes write"):
        sweep(written(tmp_path / "a", stock), tmp_path / "out")
    gone = sft_recipe(home, tmp_path / "gone")
    with pytest.raises(UserError, match="gone: no such folder"):
        sweep(written(tmp_path / "b", gone), tmp_path / "out")
    bare = sft_recipe(home, base)
    del bare["optimizer"]
    with pytest.raises(UserError, match="values: which of optimizer"):
        sweep(written(tmp_path / "c", bare), tmp_path / "out")


# the watch, and real processes ---------------------------------------------------------------------------------------


def test_the_watch_ends_a_trial_that_climbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that logs rising losses and would then sleep for an hour."""
    monkeypatch.undo()
    monkeypatch.setattr(trial_module, "POLL", 0.05)
    code = f"""
import json, time
with open({str(tmp_path / "metrics.jsonl")!r}, "a") as file:
    for n, loss in enumerate([4, 3, 2, 2, 2, 9, 9, 9], start=1):
        file.write(json.dumps(dict(iter=n, step=n, loss=loss)) + "\\n")
time.sleep(3600)
"""
    with open(tmp_path / "lock", "w") as lock:
        watch = Watch(tmp_path, {}, 1, lock.fileno())
        assert watch.call([sys.executable, "-c", code], dict(os.environ)) == -signal.SIGTERM
    assert watch.reason.startswith("step 6: the loss has climbed")


def test_stock_litgpt_takes_the_override(swept: Path) -> None:
    argv = (
        "litgpt",
        "finetune_full",
        "--config",
        str(ROOT / "recipes/sft.yaml"),
        "--config",
        str(swept / "override.yaml"),
    )
    done = command(*argv, "--print_config")
    assert done.returncode == 0, done.stderr[-2000:]
    merged = yaml.safe_load(done.stdout)
    assert merged["optimizer"]["init_args"]["lr"] == 0.003
    assert merged["optimizer"]["class_path"] == "torch.optim.AdamW"
    assert merged["data"]["init_args"]["data_dir"] == "data/sft"  # the rest is the recipe's


def test_the_command_takes_its_recipe() -> None:
    done = command(
        "litgpt-zh", "sweep", "--config", str(ROOT / "recipes/sweep.yaml"), "--values", "[1e-4, 1e-3]", "--print_config"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = yaml.safe_load(done.stdout)
    assert found["recipe"] == "recipes/pretrain.yaml" and [float(v) for v in found["values"]] == [1e-4, 1e-3]


@pytest.mark.slow
def test_killed_with_real_processes_it_ends_the_same(home: Path, base: Path, swept: Path, tmp_path: Path) -> None:
    """kill -9 of the sweep alone: its trial goes on and keeps the lock; afterwards nothing is done twice."""
    recipe = written(tmp_path, sft_recipe(home, base))
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "litgpt_zh", "sweep", str(recipe), "--out_dir", str(out), "--steps", "12"]
    argv += ["--values", json.dumps(KNOWN)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=QUICK)
    first = out / "trials" / "lr-0.003"
    while not (first / "trial.json").is_file():
        time.sleep(0.1)
        assert process.poll() is None
    asked = ["pgrep", "-P", str(process.pid)]
    while not (found := subprocess.run(asked, capture_output=True, text=True).stdout.split()):
        assert process.poll() is None
    trial = int(found[0])
    os.kill(trial, signal.SIGSTOP)  # it must not end before it has been asked for
    process.kill()
    process.wait()
    refused = subprocess.run(argv, capture_output=True, text=True, env=QUICK)
    os.kill(trial, signal.SIGCONT)
    assert "another process is writing there" in refused.stderr and refused.returncode == 1
    for _ in range(300):
        done = subprocess.run(argv, capture_output=True, text=True, env=QUICK)
        if "another process" not in done.stderr:
            break
        time.sleep(1)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "用这些设置已经做完" in done.stdout  # the trial that went on alone
    one, two = (json.loads((folder / "sweep.json").read_text("utf-8")) for folder in (swept, out))
    assert one["best"]["name"] == two["best"]["name"] and torch.isclose(
        torch.tensor(one["best"]["figure"]), torch.tensor(two["best"]["figure"]), atol=1e-4
    )
