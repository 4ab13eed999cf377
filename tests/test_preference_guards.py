"""What stops preference optimisation: guards on held-out requests, an SFT that is not good enough, numbers that are none."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_preference_training as preference
import torch
import trainings as runs
from trainings import losses, same_weights, stop_at

from litgpt_zh import aside, checkpoints, runlog
from litgpt_zh.finetune.finite import Finite
from litgpt_zh.preference import guards, held_out
from litgpt_zh.preference.data import Preference
from litgpt_zh.preference.held_out import Figures
from litgpt_zh.preference.objective import GUARD
from litgpt_zh.preference.reference import FILE
from litgpt_zh.preference.stage import pairs
from litgpt_zh.prompts import chat_prompt, story_request
from litgpt_zh.stage import Manifest, UserError, fingerprint

pytestmark = pytest.mark.usefixtures("no_compile")
pairs_dir, dpo = preference.pairs_dir, preference.dpo
LIMITS = Preference().limits
NEVER = {"max_nll_rise": None, "max_repetition_rise": None, "max_end_drop": None, "max_length_change": None}
WILD = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.5, "weight_decay": 0.0}}


@pytest.fixture(scope="module")
def guarded_dir(home: Path, pairs_dir: Path) -> Path:
    """The pairs with 40 requests for a word and true stories beside them, as ``sample_pairs`` leaves them."""
    from litgpt_zh.constraints import Constraints

    folder = home / "guarded"
    shutil.copytree(pairs_dir, folder)
    lines = []
    for n in range(40):
        word = ["铲子", "苹果", "帽子", "雨伞", "气球", "铃铛"][n % 6]
        prompt = chat_prompt([("user", story_request(Constraints(words=(word,), sentence=f"第{n}次。")))])
        lines.append(
            {"prompt": prompt, "story": f"小猫第{n}次出门，看见了{word}。" + f"小猫把{word}带回了家。" * (1 + n % 2)}
        )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / held_out.FILE).write_text(text, encoding="utf-8")
    manifest = Manifest.read(folder)
    manifest.outputs[held_out.FILE] = fingerprint(folder / held_out.FILE)
    manifest.write(folder)
    return folder


def figures(**changes: Any) -> Figures:
    """50 samples: 100 characters and a tenth of repetition each, give or take; all end; two words asked, one missed."""
    spread = np.linspace(-1, 1, 50)
    start = Figures(
        nll=np.full(20, 150.0), tokens=np.full(20, 100.0), repetition=0.1 + 0.05 * spread, ended=np.ones(50),
        characters=100 + 20 * spread, words=np.array([1.0, 0.0]),
    )  # fmt: skip
    return replace(start, **changes)


# limits, by hand -----------------------------------------------------------------------------------------------------


def test_nothing_has_changed() -> None:
    assert guards.objection(figures(), figures(), LIMITS) is None
    assert guards.metrics(figures(), figures()) == pytest.approx(
        {"nll_rise": 0.0, "repetition_4": 0.1, "ended": 1.0, "characters": 100.0, "words_all": 0.5}
    )


def test_true_stories_less_likely() -> None:
    assert guards.objection(figures(), figures(nll=np.full(20, 152.9)), LIMITS) is None
    reason = guards.objection(figures(), figures(nll=np.full(20, 153.1)), LIMITS)
    assert (
        reason
        and reason[1] == "held-out true stories are 0.0310 nats a token less likely than before (max_nll_rise 0.03)"
    )
    assert guards.objection(figures(), figures(nll=np.full(20, 190.0)), replace(LIMITS, max_nll_rise=None)) is None


def test_repetition_above_the_interval() -> None:
    before = figures()
    high = guards.ratio(before.repetition, np.ones(50))["high"]
    assert 0.105 < high < 0.115  # 0.1 with a standard error of 0.0042
    assert guards.objection(before, figures(repetition=before.repetition + 0.005), LIMITS) is None
    reason = guards.objection(before, figures(repetition=before.repetition + 0.02), LIMITS)
    assert reason and reason[1].startswith("12.0% of the 4-grams in greedy stories repeat, 10.0% before")
    two = before.repetition.copy()
    two[:2] = 0.4  # two stories went wrong: above the interval, but not beyond doubt
    assert two.mean() > high and guards.objection(before, figures(repetition=two), LIMITS) is None
    wide = replace(LIMITS, max_repetition_rise=0.02)
    assert guards.objection(before, figures(repetition=before.repetition + 0.02), wide) is None


def test_stories_that_do_not_end() -> None:
    def without(count: int) -> Figures:
        return figures(ended=(np.arange(50) >= count).astype(float))

    assert guards.objection(figures(), without(1), LIMITS) is None  # 2 points, but one story of 50 is no evidence
    reason = guards.objection(figures(), without(6), LIMITS)
    assert reason and reason[1] == "88.0% of greedy stories end by themselves, 100.0% before (max_end_drop 0.01)"
    assert guards.objection(without(6), figures(), LIMITS) is None  # more of them end
    assert guards.objection(figures(), without(6), replace(LIMITS, max_end_drop=0.2)) is None


@pytest.mark.parametrize(("factor", "objects"), [(0.8, True), (0.9, False), (1.1, False), (1.2, True)])
def test_lengths(factor: float, objects: bool) -> None:
    now = figures(characters=figures().characters * factor)
    reason = guards.objection(figures(), now, LIMITS)
    assert (reason is not None) == objects
    if reason:
        assert f"平均 {100 * factor:.0f} 字，训练之前 100 字（max_length_change 0.15）" in reason[0]
        assert f"greedy stories have {100 * factor:.0f} characters, 100 before (max_length_change 0.15)" == reason[1]


def test_few_samples_say_nothing() -> None:
    few = {"repetition": np.zeros(29), "characters": np.full(29, 100.0)}
    before = figures(ended=np.ones(29), **few)
    assert guards.objection(before, figures(ended=np.zeros(29), **few), LIMITS) is None
    none = {name: np.zeros(0) for name in ("repetition", "ended", "characters", "words")}
    assert guards.objection(figures(**none), figures(**none), LIMITS) is None
    assert guards.metrics(figures(**none), figures(**none)) == {"nll_rise": 0.0}


# held-out requests ---------------------------------------------------------------------------------------------------


def opened(folder: Path) -> Preference:
    data = Preference(pairs_dir=folder)
    data.setup()
    return data


def test_held_out_requests_of_a_file(guarded_dir: Path) -> None:
    records = opened(guarded_dir).test_dataset
    found = held_out.read(guarded_dir, records, runs.BLOCK)
    assert len(found) == 40 and found[7].words == ("苹果",)
    text = records.processor.decode(found[7].whole, skip_special_tokens=False)
    assert (
        text.endswith("小猫把苹果带回了家。<|endoftext|>") and found[7].whole[: len(found[7].prompt)] == found[7].prompt
    )
    lengths = sorted(len(item.whole) for item in found)
    assert len(held_out.read(guarded_dir, records, lengths[10])) == 20  # what does not fit is left out


def test_held_out_requests_of_pairs(pairs_dir: Path) -> None:
    records = opened(pairs_dir).test_dataset
    found = held_out.read(pairs_dir, records, runs.BLOCK)
    assert len(found) == len(records) and all(item.words == () for item in found)
    assert found[0].whole == records[0]["chosen"].tolist() and len(found[0].prompt) == records[0]["prompt"]


def test_held_out_requests_of_single_answers(home: Path, tmp_path: Path) -> None:
    lines = [{"prompt": f"写第{n // 2}次", "completion": f"第{n}次。", "label": n % 2 == 0} for n in range(60)]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    pairs(str(source), home / "tokenizer", tmp_path / "out", form="unpaired", block_size=runs.BLOCK, val_share=0.3)
    data = Preference(pairs_dir=tmp_path / "out", loss="kto")
    data.setup()
    found = held_out.read(tmp_path / "out", data.test_dataset, runs.BLOCK)
    assert len(found) == data.test_dataset.labels.sum() == len(data.test_dataset) / 2  # the wanted ones


def test_words_of_a_prompt() -> None:
    from litgpt_zh.constraints import Constraints

    asked = Constraints(("铲子", "草地"), ("对话",), sentence="天黑了。")
    assert held_out.words_of(chat_prompt([("user", story_request(asked))])) == ("铲子", "草地")
    assert held_out.words_of(chat_prompt([("user", "一"), ("assistant", "二"), ("user", "词汇：铲子")])) == ("铲子",)
    assert held_out.words_of(chat_prompt([("user", "讲个故事")])) == ()


# in training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [False, True])
def test_a_guard_goes_back_to_the_last_good_weights(
    dpo: Any, guarded_dir: Path, base: Path, tmp_path: Path, lora: bool
):
    final = dpo("run", lora, pairs_dir=guarded_dir, guard=True, optimizer=WILD)
    stopped = Manifest.read(final).counts["stopped"]
    assert stopped.startswith("step 5: held-out true stories are") and stopped.endswith(
        "the weights are those of step 0"
    )
    assert same_weights(final, base)
    last = [line for line in runlog.read(tmp_path / "run" / "metrics.jsonl") if "val_guard_nll_rise" in line]
    assert last[0]["val_guard_nll_rise"] > 0.03 and last[-1]["val_guard_nll_rise"] == pytest.approx(0, abs=1e-4)
    assert {"val_guard_repetition_4", "val_guard_ended", "val_guard_characters", "val_guard_words_all"} <= set(last[0])


def test_samples_alone_stop_a_run(dpo: Any, guarded_dir: Path, base: Path, monkeypatch) -> None:
    """Without the likelihood of true stories, what the model writes is enough: the base here, which goes round in circles,
    passes for one that repeated a tenth as much."""
    measured: list[Figures] = []
    original = held_out.figures_of

    def figures_of(*args: Any) -> Figures:
        found = original(*args)
        measured.append(found if measured else replace(found, repetition=found.repetition / 10))
        return measured[-1]

    monkeypatch.setattr(held_out, "figures_of", figures_of)
    final = dpo("run", pairs_dir=guarded_dir, guard=True, max_nll_rise=None, optimizer=WILD)
    stopped = Manifest.read(final).counts["stopped"]
    assert "4-grams in greedy stories" in stopped and same_weights(final, base)


@pytest.mark.parametrize("lora", [False, True])
def test_watching_changes_nothing(dpo: Any, guarded_dir: Path, tmp_path: Path, lora: bool) -> None:
    """Dropout draws the same numbers, tokens are the same, whether the model is watched or not."""
    watched = dpo("watched", lora, pairs_dir=guarded_dir, guard=True, guard_stories=35, **NEVER)
    alone = dpo("alone", lora, pairs_dir=guarded_dir)
    assert same_weights(watched, alone) and losses(tmp_path / "watched") == losses(tmp_path / "alone")
    assert Manifest.read(watched).counts["tokens"] == Manifest.read(alone).counts["tokens"]
    assert len(json.loads((tmp_path / "watched" / GUARD).read_text())["figures"]["ended"]) == 35
    assert not (tmp_path / "alone" / GUARD).exists() and not (tmp_path / "alone" / aside.GUARD).exists()


@pytest.mark.parametrize("lora", [False, True])
def test_a_stopped_run_compares_with_the_same_model(
    dpo: Any, guarded_dir: Path, tmp_path: Path, monkeypatch, lora: bool
) -> None:
    """Even where the figures of before training were lost in between."""
    whole = dpo("whole", lora, pairs_dir=guarded_dir, guard=True, **NEVER)
    revive = stop_at(monkeypatch, step=11)
    with pytest.raises(KeyboardInterrupt):
        dpo("stopped", lora, pairs_dir=guarded_dir, guard=True, **NEVER)
    known = json.loads((tmp_path / "stopped" / GUARD).read_text())
    (tmp_path / "stopped" / GUARD).unlink()
    revive()
    final = dpo("stopped", lora, pairs_dir=guarded_dir, guard=True, **NEVER)
    assert same_weights(final, whole)
    again = json.loads((tmp_path / "stopped" / GUARD).read_text())
    assert again["key"] == known["key"]
    assert again["figures"]["nll"] == pytest.approx(known["figures"]["nll"], abs=1e-3)
    assert again["figures"]["characters"] == known["figures"]["characters"]


@pytest.mark.usefixtures("english")
def test_few_requests_are_only_logged(dpo: Any, pairs_dir: Path, capsys, tmp_path: Path) -> None:
    dpo("run", guard=True, max_nll_rise=100.0, optimizer=WILD, train={"max_steps": 6})
    assert "greedy stories are too few to judge (less than 30); only logged" in capsys.readouterr().out
    assert any("val_guard_ended" in line for line in runlog.read(tmp_path / "run" / "metrics.jsonl"))


@pytest.mark.parametrize("name", ["max_nll_rise", "max_end_drop", "min_yield", "guard_stories"])
def test_limits_below_nothing(name: str) -> None:
    with pytest.raises(UserError, match=rf"data\.{name}: -1 is too small"):
        Preference(**{name: -1})


# SFT first -----------------------------------------------------------------------------------------------------------


def test_a_model_that_does_not_do_what_it_is_asked(dpo: Any, guarded_dir: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    with pytest.raises(
        UserError, match=r"SFT 不够好，先回去补 SFT.*40 个要求.*（words_all）0\.0%.*data\.check_sft: false"
    ) as caught:
        dpo("run", pairs_dir=guarded_dir, check_sft=True)
    assert "\n" not in str(caught.value) and not (tmp_path / "run" / FILE).exists()  # before the reference is computed
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    with pytest.raises(UserError, match=r"SFT is not good enough yet, go back to it first"):
        dpo("run", pairs_dir=guarded_dir, check_sft=True)
    dpo("run", pairs_dir=guarded_dir, check_sft=True, min_words_all=0.05, train={"max_steps": 1})  # 0 of 40 may be 0.05
    dpo("other", pairs_dir=guarded_dir, train={"max_steps": 1})


def test_few_requests_that_gave_a_pair(dpo: Any, pairs_dir: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    folder = tmp_path / "sampled"
    shutil.copytree(pairs_dir, folder)
    manifest = Manifest.read(folder)
    manifest.counts["yield"] = 0.09
    manifest.write(folder)
    with pytest.raises(UserError, match=r"pairs from 9\.0% of 60 requests, below data\.min_yield 0\.1"):
        dpo("run", pairs_dir=folder, check_sft=True)
    dpo("run", pairs_dir=folder, check_sft=True, min_yield=0.09, train={"max_steps": 1})
    assert "SFT is checked: pairs from 9.0% of 60 requests" in capsys.readouterr().out


@pytest.mark.usefixtures("english")
def test_pairs_of_unknown_requests_pass(dpo: Any, capsys) -> None:
    dpo("run", check_sft=True, train={"max_steps": 1})
    assert "what was asked is not known of these pairs, so SFT is not checked" in capsys.readouterr().out


# numbers that are none -----------------------------------------------------------------------------------------------


def test_the_first_bad_step_is_remembered() -> None:
    finite = Finite(torch.device("cpu"))
    finite.note(1, torch.tensor(1.0), None)
    finite.require()
    finite.note(2, torch.tensor(1.0), torch.tensor(math.inf))
    finite.note(3, torch.tensor(math.nan))
    with pytest.raises(UserError, match="step 2: the loss or its gradient is not a finite number"):
        finite.require()


@pytest.mark.parametrize("every", [1, 1000])
def test_weights_that_are_no_numbers_are_never_written(dpo: Any, tmp_path: Path, every: int) -> None:
    """A learning rate that explodes: one line, and nothing after the last good checkpoint; also where nothing is logged."""
    explode = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e30}}
    with pytest.raises(UserError, match=r"step \d: the loss or its gradient is not a finite number") as caught:
        dpo("run", loss="orpo", optimizer=explode, max_norm=0.0, train={"log_interval": every, "lr_warmup_steps": 0})
    assert "\n" not in str(caught.value) and "smaller learning rate" in str(caught.value)
    assert not (tmp_path / "run" / "final").exists() and not checkpoints.step_folders(tmp_path / "run")
    assert all(math.isfinite(value) for _, _, value in losses(tmp_path / "run"))


def test_a_reference_that_is_no_number_is_refused(dpo: Any, tmp_path: Path) -> None:
    dpo("run", train={"max_steps": 1})
    found = dict(np.load(tmp_path / "run" / FILE))
    found["train"][:] = math.nan
    np.savez(tmp_path / "run" / FILE, **found)
    shutil.rmtree(tmp_path / "run" / "final")
    with pytest.raises(UserError, match="margin is nan nats"):
        dpo("run", train={"max_steps": 1})


def test_pairs_that_are_longer_than_the_model_reads(dpo: Any, base: Path, pairs_dir: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(base, short)
    config = (short / "model_config.yaml").read_text("utf-8")
    assert "block_size: 128" in config
    (short / "model_config.yaml").write_text(config.replace("block_size: 128", "block_size: 32"), encoding="utf-8")
    longest = Manifest.read(pairs_dir).counts["longest"]
    message = rf"the longest record has {longest} tokens, the model's block_size is 32; run `litgpt-zh pairs` again"
    with pytest.raises(UserError, match=message):
        dpo("run", from_=short)
    assert not (tmp_path / "run").exists()


def test_pairs_of_another_tokenizer(dpo: Any, base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(base, other)
    vocabulary = json.loads((other / "tokenizer.json").read_text("utf-8"))
    ids = vocabulary["model"]["vocab"]
    one, two = next((a, b) for a, b in zip(list(ids)[-20:], list(ids)[-19:], strict=False) if ids[a] != ids[b])
    ids[one], ids[two] = ids[two], ids[one]
    (other / "tokenizer.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"made with another tokenizer than the checkpoint's; run `litgpt-zh pairs` again"
    ):
        dpo("run", from_=other)
