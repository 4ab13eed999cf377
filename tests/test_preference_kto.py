"""KTO through the same loop: single answers with labels, or pairs; one z a step, however the step is split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_preference_training as preference
import torch
import trainings as runs
import yaml
from conftest import run
from trainings import losses, same_weights, stop_at

from litgpt_zh import runlog
from litgpt_zh.preference.data import Preference
from litgpt_zh.preference.kto import before
from litgpt_zh.preference.reference import FILE
from litgpt_zh.preference.stage import pairs
from litgpt_zh.stage import Manifest, UserError

pytestmark = pytest.mark.usefixtures("no_compile")
pairs_dir, dpo = preference.pairs_dir, preference.dpo
NAMES = {"kl", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"}


@pytest.fixture(scope="module")
def answers_dir(home: Path) -> Path:
    """90 answers, two in three of them wanted: a story the right way round, or with its halves the wrong way round."""
    records = []
    for n in range(90):
        thing, wanted = ["铲子", "苹果", "帽子", "雨伞"][n % 4], n % 3 > 0
        halves = f"小猫第{n}次出门，看见了{thing}。", f"小猫把{thing}带回了家。" * (1 + n % 5 % 3)
        text = "".join(halves if wanted else reversed(halves))
        records.append({"prompt": f"写小猫和{thing}，第{n}次", "completion": text, "label": wanted})
    source = home / "answers.jsonl"
    source.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    pairs(str(source), home / "tokenizer", home / "answers", form="unpaired", block_size=runs.BLOCK, val_share=0.15)
    return home / "answers"


@pytest.fixture(params=["pairs", "answers"])
def folder(request: pytest.FixtureRequest, pairs_dir: Path, answers_dir: Path) -> Path:
    return pairs_dir if request.param == "pairs" else answers_dir


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [line for line in runlog.read(folder / "metrics.jsonl") if "loss" in line]


# mismatched answers --------------------------------------------------------------------------------------------------


def test_answers_go_round_in_a_global_batch() -> None:
    assert before([[[4, 2], [0]], [[1, 3]]]).tolist() == [2, 3, 4, 1, 0]
    assert before([[[0, 1], [2, 3]]]).tolist() == [3, 0, 1, 2]  # (x_1, y_n), (x_2, y_1), ... as in TRL
    assert before([[[0, 1]], [[2]]]).tolist() == [1, 0, 1]  # alone: the last one of the batch before


def test_a_mismatched_sequence_is_a_prompt_with_anothers_answer(folder: Path) -> None:
    data = Preference(pairs_dir=folder, loss="kto")
    data.setup()
    records, collate = data.train_dataset, data.collate
    batch = collate.mismatched([3, 5], [7, 3], 128)
    sides = records.sides
    assert batch["input_ids"].shape[0] == 2 * sides
    for row in range(2 * sides):
        (here, other), side = [(3, 7), (5, 3)][row % 2], records.names[row // 2]
        prompt, answer = (
            records[here][side][: records[here]["prompt"]],
            records[other][side][records[other]["prompt"] :],
        )
        learnt = batch["labels"][row] != -100
        assert batch["input_ids"][row][: len(prompt)].tolist() == prompt.tolist()
        assert batch["input_ids"][row][learnt].tolist() == answer.tolist() == batch["labels"][row][learnt].tolist()
        assert learnt.nonzero()[0] == len(prompt)
    short = collate.mismatched([3], [7], int(records.prompts[3]) + 2)
    assert (short["labels"] != -100).sum(1).tolist() == [2] * sides  # never longer than the block


def test_labels_of_a_micro_batch(pairs_dir: Path, answers_dir: Path) -> None:
    for folder, expected in ((pairs_dir, [True, True, False, False]), (answers_dir, None)):
        data = Preference(pairs_dir=folder, loss="kto")
        data.setup()
        batch = data.collate([3, 5])
        if expected is None:
            decode = data.train_dataset.processor.decode
            texts = [decode(data.train_dataset[n]["completion"].tolist()) for n in (3, 5)]
            expected = [text.index("看见") < text.index("带回") for text in texts]
            everything = data.collate(list(range(len(data.train_dataset))))["wanted"]
            assert 0.5 < everything.float().mean() < 0.8
        assert batch["wanted"].tolist() == expected and batch["wanted"].dtype == torch.bool
        assert data.micro_batch_tokens([3, 5]) == batch["input_ids"].numel()


# training ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [False, True])
def test_training_tells_wanted_from_unwanted(dpo: Any, folder: Path, tmp_path: Path, lora: bool) -> None:
    adamw = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01 if lora else 0.001}}
    final = dpo("run", lora, pairs_dir=folder, loss="kto", optimizer=adamw, train={"epochs": 4})
    log = log_of(tmp_path / "run")
    first, last = log[0], [line for line in log if "rewards/margins" in line][-1]  # a batch may lack a side
    assert first["loss"] == pytest.approx(0.5, abs=1e-4)  # 1 - sigmoid(0): the policy is the reference
    assert first["kl"] == pytest.approx(0, abs=1e-3) and set(first) >= NAMES
    assert last["loss"] < 0.45 and last["rewards/margins"] > 0.3
    assert last["rewards/margins"] == pytest.approx(last["rewards/chosen"] - last["rewards/rejected"], abs=1e-4)
    assert max(line["kl"] for line in log) > 0 and min(line["kl"] for line in log) >= 0
    validation = [line for line in runlog.read(tmp_path / "run" / "metrics.jsonl") if "val_kl" in line][-1]
    assert {f"val_{name}" for name in NAMES} <= set(validation) and validation["val_rewards/margins"] > 0.1
    settings = Manifest.read(final).settings["data"]
    assert settings["loss"] == "kto" and settings["desirable_weight"] == 1.0


@pytest.mark.parametrize("lora", [False, True])
def test_losses_do_not_depend_on_the_micro_batch(dpo: Any, folder: Path, tmp_path: Path, lora: bool) -> None:
    records = []
    for micro in (8, 3):
        changes = {"lora_dropout": 0.0} if lora else {}
        sizes = {"micro_batch_size": micro, "global_batch_size": 24}
        dpo(str(micro), lora, pairs_dir=folder, loss="kto", train=sizes, **changes)
        records.append([(line["loss"], line["kl"]) for line in log_of(tmp_path / str(micro))])
    assert len(records[0]) > 4 and max(kl for _, kl in records[0]) > 1e-3
    for column in (0, 1):
        one, two = ([line[column] for line in record] for record in records)
        assert one == pytest.approx(two, abs=5e-5)


def test_steps_are_those_of_a_plain_loop(dpo: Any, folder: Path, base: Path, tmp_path: Path) -> None:
    """Three steps of gradient descent, with whole logits, a live second model and mismatched answers made here."""
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.05}}
    own = {"desirable_weight": 1.0, "undesirable_weight": 1.5, "beta": 0.5}
    train = {"max_steps": 3, "lr_warmup_steps": 0}
    dpo("run", pairs_dir=folder, loss="kto", min_lr=0.05, max_norm=0.0, optimizer=sgd, train=train, **own)
    model, reference = preference.model_of(base), preference.model_of(base)
    model.transformer.wte.weight = model.lm_head.weight
    data = Preference(pairs_dir=folder, loss="kto")
    data.setup()
    data.batch_size = 4
    data.global_batch(8)

    def ratio(prompt: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        ids = torch.cat([prompt, answer])
        sums = []
        for net in (model, reference):
            logps = net(ids[None])[0, :-1].log_softmax(-1)
            sums.append(logps[torch.arange(len(ids) - 1), ids[1:]][len(prompt) - 1 :].sum())
        return sums[0] - sums[1].detach()

    values, moved = [], []
    for step in data.batches(0)[:3]:
        items = [data.train_dataset[n] for micro in step for n in micro]
        parts = {s: [(i[s][: i["prompt"]], i[s][i["prompt"] :]) for i in items] for s in data.train_dataset.names}
        with torch.no_grad():
            rows = [ratio(prompt, parts[side][n - 1][1]) for side in parts for n, (prompt, _) in enumerate(parts[side])]
            z = torch.stack(rows).mean().clamp(min=0)
        loss = torch.zeros(())
        for number, side in enumerate(parts):
            for item, (prompt, answer) in zip(items, parts[side], strict=True):
                x = 0.5 * (ratio(prompt, answer) - z)
                loss = loss + (1 - torch.sigmoid(x) if item["wanted"][number] else 1.5 * (1 - torch.sigmoid(-x)))
        loss = loss / (len(items) * len(parts))
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.05 * parameter.grad
        values.append(loss.item())
        moved.append(z.item())
    log = log_of(tmp_path / "run")
    assert [line["loss"] for line in log] == pytest.approx(values, abs=2e-5)
    assert [line["kl"] for line in log] == pytest.approx(moved, abs=1e-3)
    assert abs(values[0] - values[2]) > 1e-2


@pytest.mark.parametrize("lora", [False, True])
def test_a_stopped_run_ends_the_same(dpo: Any, folder: Path, tmp_path: Path, monkeypatch, lora: bool) -> None:
    """Also where the reference's log-probabilities were lost in between."""
    whole = dpo("whole", lora, pairs_dir=folder, loss="kto")
    revive = stop_at(monkeypatch, step=11)
    with pytest.raises(KeyboardInterrupt):
        dpo("stopped", lora, pairs_dir=folder, loss="kto")
    (tmp_path / "stopped" / FILE).unlink()
    revive()
    final = dpo("stopped", lora, pairs_dir=folder, loss="kto")
    assert same_weights(final, whole)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    one, two = (np.load(tmp_path / name / FILE) for name in ("whole", "stopped"))
    assert one["train_kl"].shape[0] == 2 and np.array_equal(one["train_kl"], two["train_kl"])


def test_another_plan_of_batches_needs_another_reference(dpo: Any, answers_dir: Path, tmp_path: Path) -> None:
    dpo("run", pairs_dir=answers_dir, loss="kto", train={"epochs": 1})
    before_ = np.load(tmp_path / "run" / FILE)["train_kl"]
    dpo("run", pairs_dir=answers_dir, loss="kto", seed=7, train={"epochs": 1})
    assert not np.allclose(before_, np.load(tmp_path / "run" / FILE)["train_kl"])


def test_unequal_sides_are_warned_of(dpo: Any, answers_dir: Path, tmp_path: Path, capsys) -> None:
    dpo("one", pairs_dir=answers_dir, loss="kto", train={"max_steps": 1})
    out = capsys.readouterr().out
    records = Manifest.read(answers_dir).counts["train"]
    labels = np.load(answers_dir / "train_labels.npy")
    fit = (records - labels.sum()) / labels.sum()
    assert f"warning: {labels.sum()} wanted and {records - labels.sum()} unwanted answers weigh" in out
    assert f"data.desirable_weight {fit:.2g} to" in out
    dpo("two", pairs_dir=answers_dir, loss="kto", desirable_weight=1.1 * float(fit), train={"max_steps": 1})
    assert "unwanted answers weigh" not in capsys.readouterr().out


# refusals ------------------------------------------------------------------------------------------------------------


def test_too_few_answers_a_step(dpo: Any, pairs_dir: Path, answers_dir: Path) -> None:
    with pytest.raises(UserError, match=r"global_batch_size: 3 answers a step; .* use 4 or more"):
        dpo("a", pairs_dir=answers_dir, loss="kto", train={"global_batch_size": 3, "micro_batch_size": 1})
    with pytest.raises(UserError, match=r"global_batch_size: 2 answers a step; .* use 2 or more"):
        dpo("b", pairs_dir=pairs_dir, loss="kto", train={"global_batch_size": 1, "micro_batch_size": 1})


def test_single_answers_are_for_kto(answers_dir: Path) -> None:
    with pytest.raises(UserError, match=r"holds single answers, not pairs; use data\.loss: kto"):
        Preference(pairs_dir=answers_dir).setup()
    with pytest.raises(UserError, match=r"data\.undesirable_weight: 0\.0 is too small"):
        Preference(loss="kto", undesirable_weight=0.0)
    with pytest.raises(UserError, match=r"data\.desirable_weight: loss dpo has none"):
        Preference(desirable_weight=1.0)


def test_the_stock_command_runs_the_recipe(base: Path, answers_dir: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((Path(__file__).parents[1] / "recipes" / "kto.yaml").read_text("utf-8"))
    recipe |= {"checkpoint_dir": str(base), "out_dir": str(tmp_path / "run")}
    recipe["data"]["init_args"]["pairs_dir"] = str(answers_dir)
    recipe["train"] |= {"global_batch_size": 8, "micro_batch_size": 4}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = run("litgpt", "finetune_full", "--config", str(tmp_path / "recipe.yaml"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert Manifest.read(tmp_path / "run" / "final").settings["data"]["loss"] == "kto"
