"""Several instruction sets, replayed pretraining text, the best validation kept: what is in an epoch, and what it leaves."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import BLOCK, finetune, losses, same_weights, stop_at

from litgpt_zh import recipes, runlog
from litgpt_zh.instruct.batches import BatchPlan, Part
from litgpt_zh.instruct.data import Instructions
from litgpt_zh.instruct.fit import Supervised, epochs_advice, usual_epochs
from litgpt_zh.instruct.forgetting import METRIC, Forgetting
from litgpt_zh.instruct.stage import instructions
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokenizer import files
from litgpt_zh.tokens.data import rows_of
from litgpt_zh.tokens.stage import tokens

pytestmark = pytest.mark.usefixtures("no_compile")


@pytest.fixture(scope="module")
def other(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second instruction set: 40 questions and answers."""
    folder = tmp_path_factory.mktemp("other")
    records = [{"instruction": f"第{n}只小猫？", "output": f"小猫第{n}次出门。"} for n in range(40)]
    (folder / "general.json").write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    instructions(str(folder / "general.json"), home / "tokenizer", folder / "data", block_size=BLOCK, val_share=0.3)
    return folder / "data"


# the plan ------------------------------------------------------------------------------------------------------------


def in_epoch(plan: BatchPlan, epoch: int) -> list[int]:
    return [record for batch in plan.batches(epoch) for micro in batch for record in micro]


def plan_of(parts: list[Part], **changes) -> BatchPlan:
    lengths = np.arange(1, 31)
    return BatchPlan(
        lengths, **({"global_batch": 4, "micro_batch": 2, "bucket": 2, "seed": 0, "parts": parts} | changes)
    )


def test_weights_say_how_often_records_are_in_an_epoch() -> None:
    plan = plan_of([Part(0, 10), Part(10, 16, 2.0), Part(16, 26, 0.3), Part(26, 30, 1.5)])
    seen = Counter[int]()
    for epoch in range(10):
        found = Counter(in_epoch(plan, epoch))
        assert all(found[n] == 1 for n in range(10)) and all(found[n] == 2 for n in range(10, 16))
        assert sum(found[n] for n in range(16, 26)) == 3 and sum(found[n] for n in range(26, 30)) == 6
        seen += found
    assert {seen[n] for n in range(16, 26)} == {3} and {seen[n] for n in range(26, 30)} == {15}  # none is left out
    assert len(plan) == sum(map(len, plan.batches(0)))


def test_a_mixture_does_not_depend_on_the_micro_batch() -> None:
    parts = [Part(0, 20), Part(20, 30, 0.5)]
    one, two = plan_of(parts), plan_of(parts, micro_batch=4)
    assert [sorted(chain(*batch)) for batch in one.batches(3)] == [sorted(chain(*batch)) for batch in two.batches(3)]


def test_turns_follow_one_another_and_replay_is_in_all_of_them() -> None:
    plan = plan_of([Part(0, 12, turn=1), Part(12, 24, turn=2), Part(24, 30, turn=None)])
    order = in_epoch(plan, 0)
    first, second = order[:15], order[15:]
    assert {n for n in first if n < 24} == set(range(12)) and {n for n in second if n < 24} == set(range(12, 24))
    assert sum(n >= 24 for n in first) == 3 and sum(n >= 24 for n in second) == 3


def test_without_parts_the_order_is_what_it_was() -> None:
    """Finished and half-finished runs of before keep their batches."""
    assert in_epoch(plan_of([]), 1)[:12] == in_epoch(BatchPlan(
        np.arange(1, 31), global_batch=4, micro_batch=4, bucket=2, seed=0), 1)[:12]  # fmt: skip
    assert sorted(in_epoch(plan_of([]), 1)) == list(range(30))


# the data class ------------------------------------------------------------------------------------------------------


def mixed(home: Path, other: Path, **changes) -> Instructions:
    settings = {"mix": {str(other): 0.5}, "pretrain_dir": home / "tokens", "replay_share": 0.25} | changes
    return Instructions(home / "sft-data", **settings)


def test_replayed_text_is_learnt_whole_and_has_the_lengths_of_records(home: Path, other: Path) -> None:
    data = mixed(home, other)
    data.setup()
    main, general, replay = data.train_dataset.members
    assert set(replay.lengths.tolist()) <= set(main.lengths.tolist())
    rows, number = rows_of(home / "tokens", "train"), len(main) + len(general)
    for n in range(len(replay)):
        item = data.train_dataset[number + n]
        assert torch.equal(item["input_ids"], item["labels"]) and not item["asked"].any()
        row = rows[np.array([n])][0].tolist()
        ids = item["input_ids"].tolist()
        start = next(i for i in range(len(row)) if row[i : i + len(ids)] == ids)
        assert start == 0 or row[start - 1] == replay.eos
    counts = {part.start: part.count for part in data.parts}
    assert counts[len(main)] == round(len(general) / 2)
    share = counts[number] / (len(main) + counts[len(main)] + counts[number])
    assert share == pytest.approx(0.25, abs=0.02)


def test_mixtures_that_cannot_be_are_refused(home: Path, other: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(UserError, match="nothing to replay"):
        Instructions(home / "sft-data", replay_share=0.1)
    with pytest.raises(UserError, match="not a share of the records"):
        mixed(home, other, replay_share=1.0)
    with pytest.raises(UserError, match="is not a positive number"):
        mixed(home, other, mix={"a": 0.0})
    with pytest.raises(UserError, match="names no folder"):
        Instructions(home / "sft-data", in_turn=True)
    with pytest.raises(UserError, match="a folder of stage tokens; give one made by"):
        finetune(home, base, tmp_path / "a", monkeypatch, data=mixed(home, other, mix={str(home / "tokens"): 1.0}))
    with pytest.raises(UserError, match=r"a folder of stage instructions; data\.pretrain_dir wants"):
        finetune(home, base, tmp_path / "b", monkeypatch, data=mixed(home, other, pretrain_dir=other))
    long = tokens(home / "corpus", home / "tokenizer", tmp_path / "long", block_size=2 * BLOCK, workers=1)
    assert long.settings["block_size"] == 256
    with pytest.raises(UserError, match="made for block_size 256, the model's is 128"):
        finetune(home, base, tmp_path / "c", monkeypatch, data=mixed(home, other, pretrain_dir=tmp_path / "long"))
    torn = tmp_path / "torn"
    shutil.copytree(home / "tokens", torn)
    (torn / "train-00000.bin").write_bytes((torn / "train-00000.bin").read_bytes()[:-2])
    with pytest.raises(UserError, match=r"train-00000\.bin: .* were written; copy it again"):
        finetune(home, base, tmp_path / "d", monkeypatch, data=mixed(home, other, pretrain_dir=torn))


# training ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize("lora", [False, True])
def test_a_stopped_mixture_ends_the_same_and_says_what_is_forgotten(
    home: Path, other: Path, base: Path, tmp_path: Path, monkeypatch, capsys, lora: bool
) -> None:
    data = mixed(home, other)
    whole = finetune(home, base, tmp_path / "whole", monkeypatch, lora, data=data)
    told = capsys.readouterr().out
    assert "pretraining text: " in told
    assert f"sft: 2 epochs over {sum(map(len, chain(*data.batches(0))))} records; about 15 are usual" in told
    revive = stop_at(monkeypatch, step=11)
    with pytest.raises(KeyboardInterrupt):
        finetune(home, base, tmp_path / "stopped", monkeypatch, lora, data=mixed(home, other))
    revive()
    final = finetune(home, base, tmp_path / "stopped", monkeypatch, lora, data=mixed(home, other))
    assert same_weights(final, whole)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    counts = [Manifest.read(folder).counts for folder in (whole, final)]
    assert counts[0][f"{METRIC}_before"] == counts[1][f"{METRIC}_before"] > 1
    assert counts[0][f"{METRIC}_after"] == counts[1][f"{METRIC}_after"] != counts[0][f"{METRIC}_before"]
    assert [line[METRIC] for line in runlog.read(tmp_path / "whole/metrics.jsonl") if METRIC in line]
    with pytest.raises(UserError, match="run with other data"):
        (final / "manifest.json").unlink()
        finetune(home, base, tmp_path / "stopped", monkeypatch, lora, data=mixed(home, other, replay_share=0.5))


class Fabric:
    """As much of it as measuring wants."""

    device, global_rank = torch.device("cpu"), 0


class Uniform(torch.nn.Module):
    """Thinks all 480 tokens equally likely."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*ids.shape, 480)


def test_bits_per_character_by_hand(home: Path) -> None:
    """A model that has no idea needs log2(480) bits for each of the tokens."""
    processor = files.load(home / "tokenizer")
    forgetting = Forgetting(home / "tokens", processor)
    found = forgetting.measure(Fabric, Uniform())
    text = "".join(processor.decode([i for i in row if i > 5]) for row in forgetting.rows[:, 1:].tolist())
    predicted = forgetting.rows.size(0) * BLOCK
    assert found == pytest.approx(np.log2(480) * predicted / len(text), rel=1e-5)


@pytest.mark.usefixtures("english")
def test_the_lowest_validation_loss_is_kept(home: Path, base: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """A rate that rises to the end, to far too much: the validation loss falls, then climbs."""
    changes = {"train": {"epochs": 4, "lr_warmup_steps": 27}, "data": Instructions(home / "sft-data")}
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.5}}
    final = finetune(home, base, tmp_path / "run", monkeypatch, optimizer=optimizer, **changes)
    found = [value for _, key, value in losses(tmp_path / "run") if key == "val_loss"]
    counts = Manifest.read(final).counts
    assert found[-1] == found[-2] == min(found) == counts["val_loss"] < found[-3]  # litgpt validates once more
    assert 0 < counts["best_step"] < counts["steps"]
    assert "the lowest validation loss was that of step" in capsys.readouterr().out


def test_the_best_of_an_earlier_run_is_not_taken(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    """What an earlier run left in the folder, and a stop before the first validation."""
    (tmp_path / "run").mkdir()
    torch.save({"step": 1, "model": {}, "val_loss": -1.0}, tmp_path / "run/best.ckpt")
    revive = stop_at(monkeypatch, step=5)  # checkpoints every 4 steps, validation every 5
    with pytest.raises(KeyboardInterrupt):
        finetune(home, base, tmp_path / "run", monkeypatch)
    revive()
    final = finetune(home, base, tmp_path / "run", monkeypatch)
    assert Manifest.read(final).counts["best_step"] >= 5


def test_which_weights_are_kept_is_a_setting_of_the_run(home: Path) -> None:
    kept, last = (Supervised(Instructions(home / "sft-data", keep_best=keep)).settings for keep in (True, False))
    assert last == kept | {"keep_best": False} != kept


@pytest.mark.usefixtures("english")
def test_a_resumed_run_does_not_take_itself_for_the_model_before(home: Path, tmp_path: Path) -> None:
    def begun(folder: Path, step: int) -> Forgetting:
        forgetting = Forgetting(folder, files.load(home / "tokenizer"))
        forgetting.begin(Fabric, Uniform(), tmp_path, step)
        forgetting.measure(Fabric, Uniform())
        return forgetting

    assert begun(home / "tokens", step=4).before is None
    before = begun(home / "tokens", step=0).before
    assert before is not None and begun(home / "tokens", step=4).before == before
    elsewhere = tmp_path / "tokens"
    shutil.copytree(home / "tokens", elsewhere)
    assert set(begun(elsewhere, step=4).counts()) == {f"{METRIC}_after"}
    assert "not measured before training" in str(begun(elsewhere, step=4))


@pytest.mark.usefixtures("english")
def test_epochs_are_advised_by_the_number_of_records() -> None:
    assert [usual_epochs(n) for n in (100, 1000, 52_000, 10**7)] == [15, 15, 3, 1]
    assert epochs_advice(52_000, 3) == epochs_advice(52_000, 2) == ""
    assert "about 15 are usual" in epochs_advice(800, 1)
    assert "about 3 are usual" in epochs_advice(52_000, 20)


@pytest.mark.parametrize("name", ["pretrain-continue", "sft", "sft-domain", "sft-lora", "dpo", "dpo-lora"])
def test_the_shipped_recipe_says_nothing_that_is_unknown(name: str) -> None:
    recipes.check(recipes.read(Path(__file__).parents[1] / "recipes" / f"{name}.yaml", "another"))
