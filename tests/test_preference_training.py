"""Preference optimisation through litgpt's own ``setup``: one loss however it is split, stopped or started again."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trainings as runs
import yaml
from conftest import run
from litgpt import GPT
from trainings import finetune, losses, same_weights, stop_at

from litgpt_zh import checkpoints, runlog
from litgpt_zh.preference.data import Preference
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.preference.losses import LOSSES
from litgpt_zh.preference.reference import FILE
from litgpt_zh.preference.stage import pairs
from litgpt_zh.stage import Manifest, UserError

pytestmark = pytest.mark.usefixtures("no_compile")
PAIRED = [name for name, loss in LOSSES.items() if not (loss.labels or loss.graded)]
TRL_NAMES = {
    "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected",
    "nll_loss",
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs_dir(home: Path) -> Path:
    """60 pairs: a story, and the same story with its halves the wrong way round."""
    records = []
    for n in range(60):
        thing = ["铲子", "苹果", "帽子", "雨伞"][n % 4]
        halves = f"小猫第{n}次出门，看见了{thing}。", f"小猫把{thing}带回了家。" * (1 + n % 3)
        records.append(
            {"prompt": f"写小猫和{thing}，第{n}次", "chosen": "".join(halves), "rejected": "".join(reversed(halves))}
        )
    source = home / "pairs.jsonl"
    source.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    pairs(str(source), home / "tokenizer", home / "pairs", block_size=runs.BLOCK, val_share=0.15)
    return home / "pairs"


@pytest.fixture
def dpo(home: Path, base: Path, pairs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run named by its folder; settings of the data class among the changes."""

    def run(name: str, lora: bool = False, **changes: Any) -> Path:
        own = {key: changes.pop(key) for key in list(changes) if key in Preference.__dataclass_fields__}
        data = Preference(**({"pairs_dir": pairs_dir, "guard": False, "check_sft": False} | own))
        optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.001, "weight_decay": 0.0}}
        start = changes.pop("from_", base)
        given = {"data": data, "optimizer": optimizer} | changes
        return finetune(home, start, tmp_path / name, monkeypatch, lora, **given)

    return run


def model_of(folder: Path) -> GPT:
    model = GPT(runs.tiny_config()).eval()
    model.load_state_dict(checkpoints.flat_weights(folder / "lit_model.pth"))
    return model


# log-probabilities ---------------------------------------------------------------------------------------------------


def test_completion_logps_by_a_plain_loop() -> None:
    torch.manual_seed(0)
    model = GPT(runs.tiny_config()).eval()
    ids = torch.randint(6, 480, (3, 20))
    labels = ids.clone()
    for row, (start, stop) in enumerate(((4, 20), (9, 11), (1, 15))):
        labels[row, :start], labels[row, stop:] = -100, -100
    found, tokens = completion_logps(model, ids, labels)
    logps = model(ids).log_softmax(-1)
    expected = [
        sum(logps[row, t - 1, ids[row, t]].item() for t in range(start, stop))
        for row, (start, stop) in enumerate(((4, 20), (9, 11), (1, 15)))
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-4) and tokens.tolist() == [16, 2, 14]
    found.sum().backward()
    assert model.lm_head.weight.grad is not None
    assert model(ids).shape == (3, 20, 480)  # the head is whole again


def test_padding_changes_nothing(home: Path, base: Path, pairs_dir: Path) -> None:
    data, model = Preference(pairs_dir=pairs_dir), model_of(base)
    data.setup()
    together = data.collate(list(range(12)))
    sums, _ = completion_logps(model, together["input_ids"], together["labels"])
    for n in range(12):
        alone = data.collate([n])
        single, _ = completion_logps(model, alone["input_ids"], alone["labels"])
        assert single.tolist() == pytest.approx(sums[[n, n + 12]].tolist(), abs=1e-3)


def test_micro_batches_hold_what_the_folder_holds(pairs_dir: Path) -> None:
    data = Preference(pairs_dir=pairs_dir)
    data.setup()
    batch = data.collate([3, 5])
    assert batch["index"].tolist() == [3, 5] and batch["input_ids"].shape[0] == 4
    decode = data.train_dataset.processor.decode
    for row, (number, side) in enumerate(((3, "chosen"), (5, "chosen"), (3, "rejected"), (5, "rejected"))):
        item = data.train_dataset[number]
        labels = batch["labels"][row]
        assert labels[labels != -100].tolist() == item[side][item["prompt"] :].tolist()
        assert decode(item[side].tolist()[: item["prompt"]]).endswith("次")
    assert data.micro_batch_tokens([3, 5]) == batch["input_ids"].numel()


# training ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [False, True])
def test_training_prefers_the_chosen_side(dpo: Any, base: Path, tmp_path: Path, lora: bool) -> None:
    final = dpo("run", lora, loss="dpo", train={"epochs": 4})
    log = runlog.read(tmp_path / "run" / "metrics.jsonl")
    first, last = log[0], [line for line in log if "loss" in line][-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-4)  # the policy is the reference
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-3)
    assert last["loss"] < first["loss"] - 0.05 and last["rewards/accuracies"] > 0.9
    assert set(first) >= TRL_NAMES
    validation = [line for line in log if "val_nll_rise" in line][-1]
    assert validation["val_rewards/accuracies"] > 0.6
    manifest = Manifest.read(final)
    assert manifest.stage == ("dpo-lora" if lora else "dpo")
    assert manifest.settings["data"]["loss"] == "dpo" and manifest.settings["data"]["beta"] == 0.3
    assert (final / "prompt_style.yaml").is_file() and not list((tmp_path / "run").glob("*.pth"))
    weights = checkpoints.flat_weights(final / "lit_model.pth")
    assert torch.equal(weights["lm_head.weight"], weights["transformer.wte.weight"])


@pytest.mark.parametrize("lora", [False, True])
def test_what_training_says_is_what_the_models_say(dpo: Any, base: Path, pairs_dir: Path, tmp_path: Path, lora: bool):
    """The last validation's margin, from the files of the two models alone (LoRA: merged)."""
    final = dpo("run", lora, lora_dropout=0.0) if lora else dpo("run")
    data = Preference(pairs_dir=pairs_dir)
    data.setup()
    batch = data.collator(data.test_dataset)(list(range(len(data.test_dataset))))
    with torch.no_grad():
        policy, reference = (
            completion_logps(model_of(f), batch["input_ids"], batch["labels"])[0] for f in (final, base)
        )
    chosen, rejected = (policy - reference).chunk(2)
    logged = [line for line in runlog.read(tmp_path / "run" / "metrics.jsonl") if "val_rewards/margins" in line][-1]
    assert logged["val_rewards/margins"] == pytest.approx(0.3 * (chosen - rejected).mean().item(), abs=1e-3)
    assert abs(logged["val_rewards/margins"]) > 0.01


@pytest.mark.parametrize("loss", PAIRED)
def test_every_loss_trains(dpo: Any, tmp_path: Path, loss: str) -> None:
    dpo("run", loss=loss, train={"epochs": 1})
    values = [line["loss"] for line in runlog.read(tmp_path / "run" / "metrics.jsonl") if "loss" in line]
    assert all(map(math.isfinite, values)) and values[-1] < values[0]
    assert (tmp_path / "run" / FILE).is_file() == LOSSES[loss].reference


@pytest.mark.parametrize(("loss", "lora"), [("rpo", False), ("orpo", False), ("rpo", True)])
def test_losses_do_not_depend_on_the_micro_batch(dpo: Any, tmp_path: Path, loss: str, lora: bool) -> None:
    records = []
    for micro in (8, 3):
        changes = {"lora_dropout": 0.0} if lora else {}
        dpo(str(micro), lora, loss=loss, train={"micro_batch_size": micro, "global_batch_size": 24}, **changes)
        records.append([v for _, key, v in losses(tmp_path / str(micro)) if key in ("loss", "val_loss")])
    assert len(records[0]) > 4
    assert records[0] == pytest.approx(records[1], abs=2e-5)


def test_steps_are_those_of_a_plain_loop(dpo: Any, base: Path, pairs_dir: Path, tmp_path: Path) -> None:
    """Two steps of gradient descent on -log sigmoid(beta D) + a NLL, with whole logits and a live second model."""
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.05}}
    final = dpo("run", loss="rpo", min_lr=0.05, max_norm=0.0, optimizer=sgd, train={"max_steps": 2})
    model, reference, data = model_of(base), model_of(base), Preference(pairs_dir=pairs_dir)
    model.transformer.wte.weight = model.lm_head.weight
    data.setup()
    data.batch_size = 4
    data.global_batch(8)
    for step in data.batches(0)[:2]:
        loss = torch.zeros(())
        for number in (n for micro in step for n in micro):
            item, sums = data.train_dataset[number], []
            for side in (item["chosen"], item["rejected"]):
                for net in (model, reference):
                    logps = net(side[None])[0, :-1].log_softmax(-1)
                    sums.append(logps[torch.arange(len(side) - 1), side[1:]][item["prompt"] - 1 :].sum())
            difference = (sums[0] - sums[1].detach()) - (sums[2] - sums[3].detach())
            nll = -sums[0] / (len(item["chosen"]) - item["prompt"])
            loss = loss + (-torch.nn.functional.logsigmoid(0.3 * difference) + nll) / 8
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.05 * parameter.grad
    logged = [line["loss"] for line in runlog.read(tmp_path / "run" / "metrics.jsonl") if "loss" in line]
    assert logged[-1] == pytest.approx(loss.item(), abs=1e-5) and logged[0] != pytest.approx(logged[-1], abs=1e-3)
    trained, start = (checkpoints.flat_weights(folder / "lit_model.pth") for folder in (final, base))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trained[name], value, atol=1e-6, rtol=1e-4)
    assert (trained["lm_head.weight"] - start["lm_head.weight"]).abs().max() > 1e-3


@pytest.mark.parametrize("lora", [False, True])
def test_stopped_preference_optimisation_ends_the_same(dpo: Any, tmp_path: Path, monkeypatch, lora: bool) -> None:
    whole = dpo("whole", lora, loss="rpo")
    revive = stop_at(monkeypatch, step=11)
    with pytest.raises(KeyboardInterrupt):
        dpo("stopped", lora, loss="rpo")
    cached = (tmp_path / "stopped" / FILE).stat().st_mtime_ns
    revive()
    final = dpo("stopped", lora, loss="rpo")
    assert same_weights(final, whole)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    assert (tmp_path / "stopped" / FILE).stat().st_mtime_ns == cached  # computed once


@pytest.mark.parametrize("lora", [False, True])
def test_a_lost_reference_is_computed_from_the_base_again(dpo: Any, tmp_path: Path, monkeypatch, lora: bool) -> None:
    whole = dpo("whole", lora)
    revive = stop_at(monkeypatch, step=11)
    with pytest.raises(KeyboardInterrupt):
        dpo("stopped", lora)
    (tmp_path / "stopped" / FILE).unlink()
    revive()
    assert same_weights(dpo("stopped", lora), whole)
    one, two = (np.load(tmp_path / name / FILE) for name in ("whole", "stopped"))
    assert np.array_equal(one["train"], two["train"]) and np.array_equal(one["val"], two["val"])


def test_a_reference_of_another_base_is_not_used(dpo: Any, tmp_path: Path) -> None:
    first = dpo("first")
    dpo("run")
    before = np.load(tmp_path / "run" / FILE)["train"]
    dpo("run", from_=first)
    after = np.load(tmp_path / "run" / FILE)["train"]
    assert not np.allclose(before, after, atol=1e-2)
    assert runlog.read(tmp_path / "run" / "metrics.jsonl")[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)


def test_a_policy_that_is_not_its_reference_is_refused(dpo: Any, tmp_path: Path) -> None:
    dpo("run")
    file = tmp_path / "run" / FILE
    found = dict(np.load(file))
    found["train"] = found["train"] + np.array([0.01, 0.0], dtype=np.float32)
    np.savez(file, **found)
    shutil.rmtree(tmp_path / "run" / "final")
    for folder in checkpoints.step_folders(tmp_path / "run"):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"margin is 0\.0\d+ nats \(at most 0\.001\)"):
        dpo("run")


def test_the_first_margin_is_nothing_in_lower_precision_too(dpo: Any, tmp_path: Path) -> None:
    """The reference is computed in the micro batches of training: batches of other shapes round otherwise."""
    dpo("run", precision="bf16-mixed", train={"epochs": 1, "micro_batch_size": 3})
    assert runlog.read(tmp_path / "run" / "metrics.jsonl")[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.usefixtures("english")
def test_low_precision_weights_are_warned_of(dpo: Any, capsys) -> None:
    dpo("run", precision="bf16-true", loss="orpo", train={"epochs": 1})
    assert "use bf16-mixed or 32-true" in capsys.readouterr().out
    dpo("mixed", precision="bf16-mixed", train={"epochs": 1})
    assert "use bf16-mixed or 32-true" not in capsys.readouterr().out


# refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "ppo"}, "there is no loss ppo; choose from dpo, "),
        ({"gamma": 1.0}, "data.gamma: loss dpo has none"),
        ({"loss": "simpo", "nll_weight": 1.0}, "data.nll_weight: loss simpo has none"),
        ({"beta": 0.0}, "data.beta: 0.0 is too small"),
        ({"loss": "rpo", "nll_weight": -0.1}, "data.nll_weight: -0.1 is too small"),
        ({"loss": "robust", "label_smoothing": 0.5}, "data.label_smoothing: 0.5"),
        ({"bucket": 0}, "data.bucket: 0 is too small"),
    ],
)
def test_settings_that_cannot_be_honoured(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Preference(**settings)


def test_settings_left_out_are_those_of_the_loss() -> None:
    assert Preference(loss="simpo", beta=2.0).loss_settings == {"beta": 2.0, "gamma": 1.25}
    assert Preference().loss_settings == {"beta": 0.3}


def test_folders_that_do_not_suit(home: Path, pairs_dir: Path, tmp_path: Path, dpo: Any) -> None:
    with pytest.raises(UserError, match="a folder of stage instructions; give one made by `litgpt-zh pairs`"):
        Preference(pairs_dir=home / "sft-data").setup()
    source = tmp_path / "kto.jsonl"
    records = [{"prompt": f"问{n}", "completion": "答", "label": bool(n % 2)} for n in range(20)]
    source.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    pairs(str(source), home / "tokenizer", tmp_path / "kto", form="unpaired", val_share=0.3)
    with pytest.raises(UserError, match="holds single answers, not pairs"):
        Preference(pairs_dir=tmp_path / "kto").setup()
    torn = tmp_path / "torn"
    shutil.copytree(pairs_dir, torn)
    os.truncate(torn / "train_ids.npy", 500)
    with pytest.raises(UserError, match=r"train_ids.npy: 500 bytes.*run `litgpt-zh pairs` again"):
        Preference(pairs_dir=torn).prepare_data()
    with pytest.raises(UserError, match=r"train\.max_seq_length is 16"):
        dpo("short", train={"max_seq_length": 16})


# the recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "loss"), [("dpo", "rpo"), ("dpo-lora", "rpo"), ("simpo", "simpo"), ("kto", "kto")])
def test_recipes_name_settings_that_exist(name: str, loss: str) -> None:
    text = (Path(__file__).parents[1] / "recipes" / f"{name}.yaml").read_text("utf-8")
    command = "finetune_lora" if name == "dpo-lora" else "finetune_full"
    assert "\n# Needs: " in text and f"\n# Launch: litgpt {command} --config recipes/{name}.yaml\n" in text
    recipe = yaml.safe_load(text)
    assert recipe["data"]["class_path"] == "litgpt_zh.preference.data.Preference"
    own = recipe["data"]["init_args"]
    assert Preference(**{**own, "pairs_dir": Path(own["pairs_dir"])}).loss == loss
    assert recipe["precision"] == "bf16-mixed" and recipe["optimizer"]["init_args"]["weight_decay"] == 0.0


@pytest.mark.parametrize(
    ("name", "command"), [("dpo", "finetune_full"), ("dpo-lora", "finetune_lora"), ("simpo", "finetune_full")]
)
def test_the_stock_command_runs_the_recipe(
    base: Path, pairs_dir: Path, tmp_path: Path, name: str, command: str
) -> None:
    recipe = yaml.safe_load((Path(__file__).parents[1] / "recipes" / f"{name}.yaml").read_text("utf-8"))
    recipe |= {"checkpoint_dir": str(base), "out_dir": str(tmp_path / "run")}
    recipe["data"]["init_args"]["pairs_dir"] = str(pairs_dir)
    recipe["train"] |= {"global_batch_size": 8, "micro_batch_size": 4}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = run("litgpt", command, "--config", str(tmp_path / "recipe.yaml"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    manifest = Manifest.read(tmp_path / "run" / "final")
    assert manifest.stage == ("dpo-lora" if name == "dpo-lora" else "dpo")
    assert manifest.settings["data"]["beta"] == recipe["data"]["init_args"]["beta"]
    assert "lr_warmup_steps 10 -> " in done.stdout  # the run is short
    assert yaml.safe_load((tmp_path / "run" / "final" / "hyperparameters.yaml").read_text("utf-8"))["data"]
