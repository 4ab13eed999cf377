"""Rounds of preference optimisation: what the gate refuses, what a round starts from, and the same end after any stop."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import unicodedata
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import torch
import yaml
from conftest import QUICK
from tiny_checkpoint import letter_records, write_letters, write_records
from trainings import same_weights, stop_at

from litgpt_zh import __main__ as command_line
from litgpt_zh import recipes
from litgpt_zh.checkpoints import flat_weights
from litgpt_zh.generate.load import load
from litgpt_zh.preference import online as online_module
from litgpt_zh.preference.gate import Gate, judge
from litgpt_zh.preference.guards import Limits
from litgpt_zh.preference.online import online, recipe_of, table
from litgpt_zh.stage import Manifest, UserError

ROOT = Path(__file__).parents[1]

# the gate ------------------------------------------------------------------------------------------------------------


def card(met: list[int], nll: float = 1.0, most_repeated: float = 0.0, **figures: float) -> dict[str, Any]:
    """A score card of as many requests; ``met`` says which are met."""
    found = {"repetition_4": 0.0, "finished": 1.0, "characters": 100.0} | figures
    return {
        "checkpoint": "sft",
        "fields": ["words"],
        "figures": found | {"finished": {"value": found["finished"]}},
        "intervals": {"repetition_4": {"high": most_repeated}},
        "bits": {"loss_per_token": nll, "fields": ["words"]},
        "samples": [{"words": [str(n)], "text": "", "met": {"word": bool(m)}} for n, m in enumerate(met)],
    }


BEFORE = card([1] * 50 + [0] * 50)
BETTER = [1] * 60 + [0] * 40


def test_a_better_model_is_accepted() -> None:
    found = judge(card(BETTER), BEFORE, BEFORE, Gate())
    assert found["accepted"] and found["reasons"] == []
    assert (found["before"], found["after"], found["gain"]["value"]) == (0.5, 0.6, 0.1)
    assert 0 < found["gain"]["low"] < 0.1 < found["gain"]["high"] < 0.2  # paired: +-0.06, not +-0.14
    assert found["figure"] == "words_all" and found["nll_rise"] == 0


@pytest.mark.parametrize(
    ("after", "gate", "reason"),
    [
        (card([1] * 49 + [0] * 51), Gate(), "gain -0.010 is below +0.000"),
        (card([1] * 49 + [0] * 51), Gate(min_gain=-0.02), None),
        (card([0] * 25 + [1] * 50 + [0] * 25), Gate(min_gain=-1), "gain may be as low as -0."),
        (card([0] * 25 + [1] * 50 + [0] * 25), Gate(tolerance=0.3), None),
        (card(BETTER, nll=1.03), Gate(), None),
        (card(BETTER, nll=1.031), Gate(), "true stories +0.031 nats a token (at most +0.030)"),
        (card(BETTER, nll=math.nan), Gate(), "true stories +nan"),
        (card(BETTER, repetition_4=0.01), Gate(), "repetition 0.0100 (at most 0.0000)"),
        (card(BETTER, repetition_4=0.01), Gate(max_repetition_rise=0.01), None),
        (card(BETTER, finished=0.99), Gate(), None),
        (card(BETTER, finished=0.98), Gate(), "finished 0.980 (at least 0.990)"),
        (card(BETTER, characters=115.0), Gate(), None),
        (card(BETTER, characters=116.0), Gate(), "length +16% (within 15%)"),
        (card(BETTER, characters=84.0), Gate(), "length -16% (within 15%)"),
    ],
)
def test_what_the_gate_refuses(after: dict, gate: Gate, reason: str | None) -> None:
    found = judge(after, BEFORE, BEFORE, gate)
    assert found["accepted"] == (reason is None)
    assert [r.startswith(str(reason)) for r in found["reasons"]] == [True] * (reason is not None)


@pytest.mark.parametrize(
    ("locale", "column", "verdict"),
    [
        ("zh_CN.UTF-8", "结论", "没有通过：真故事每个词元 +0.031 nat（至多 +0.030）"),
        ("en_US.UTF-8", "verdict", "refused: true stories +0.031 nats a token (at most +0.030)"),
    ],
)
def test_the_table_speaks_the_language_of_the_locale(locale: str, column: str, verdict: str, monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    found = judge(card(BETTER, nll=1.031), BEFORE, BEFORE, Gate())
    head, row, note = table([{"round": 1, "pairs": 10, "yield": 0.5} | found], Gate()).splitlines()
    assert row.endswith(verdict) and note.startswith("words_all")
    assert columns(head.removesuffix(column)) == columns(row.removesuffix(verdict))


def columns(text: str) -> int:
    """Of a terminal, where a Hanzi takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def test_guards_compare_with_sft_and_the_gain_with_the_rounds_start() -> None:
    sft, before = card([1] * 40 + [0] * 60, nll=1.0), card([1] * 60 + [0] * 40, nll=1.02)
    found = judge(card([1] * 55 + [0] * 45, nll=1.04), before, sft, Gate(tolerance=1))
    assert found["reasons"] == ["gain -0.050 is below +0.000", "true stories +0.040 nats a token (at most +0.030)"]


def test_repetition_is_bounded_by_the_interval_of_sft() -> None:
    sft = card([1] * 100, repetition_4=0.07, most_repeated=0.09)
    assert judge(card([1] * 100, repetition_4=0.09), sft, sft, Gate())["repetition_4"]["bound"] == 0.09
    for repeated, accepted in ((0.08, True), (0.09, True), (0.091, False)):
        assert judge(card([1] * 100, repetition_4=repeated), sft, sft, Gate())["accepted"] == accepted


def test_cards_of_other_requests_are_not_compared() -> None:
    with pytest.raises(UserError, match="different requests"):
        judge(card([1] * 99), BEFORE, BEFORE, Gate())
    bare = card([1] * 100)
    del bare["bits"]
    with pytest.raises(UserError, match="no stories"):
        judge(bare, BEFORE, BEFORE, Gate())
    untuned = card([1] * 100)
    untuned["bits"]["fields"] = []  # its stories were scored without a prompt
    with pytest.raises(UserError, match=r"sft: prompt_style\.yaml is missing"):
        judge(BEFORE, BEFORE, untuned, Gate())
    with pytest.raises(UserError, match=r"gate\.tolerance: -1"):
        Gate(tolerance=-1)


# rounds --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_letters(home / "sft")
    write_records(home / "train.jsonl", letter_records(60))
    write_records(home / "held-out.jsonl", letter_records(12, 1000))
    return home


def inline(argv: list[str], env: Any = None) -> int:
    """A step of a walk in this process, so that a test need not import litgpt again for each."""
    try:
        command_line.main(argv[3:])
    except SystemExit as stop:
        print(stop.code)
        return int(bool(stop.code))
    return 0


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(subprocess, "call", inline)
    monkeypatch.setattr(sys, "argv", ["litgpt-zh"])
    with torch.compiler.set_stance("force_eager"):
        yield


EVERYTHING = {
    "min_gain": -1.0, "tolerance": 1.0, "max_nll_rise": 100.0, "max_repetition_rise": 1.0, "max_finished_drop": 1.0,
    "max_length_change": 99,
}  # fmt: skip
PAIRS = {
    "count": 20, "samples": 6, "margin": 0.3, "length_ratio": 0.5, "band": [1, 60], "val_share": 0.3,
    "weights": {"words": 1.0}, "precision": "32-true",
}  # fmt: skip
TRAIN = {
    "precision": "32-true",
    "resume": "auto",
    "devices": 1,
    "logger_name": "csv",
    "data": {"class_path": "litgpt_zh.preference.data.Preference", "init_args": {"loss": "rpo"}},
    "train": {"global_batch_size": 4, "micro_batch_size": 4, "epochs": 2, "lr_warmup_steps": 1, "save_interval": 2, "log_interval": 1},
    "eval": {"interval": 100, "max_new_tokens": 5, "max_iters": 4},
    "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.0}},
}  # fmt: skip
LORA = {"lora_r": 2, "lora_dropout": 0.0, "lora_mlp": True}


def run(home: Path, out: Path, lora: bool = False, gate: dict | None = None, **changes: Any) -> Path:
    recipe = {k: v for k, v in TRAIN.items() if k != "resume"} | LORA if lora else TRAIN
    asked = Gate(corpus_dir=home / "held-out.jsonl", count=12, **(EVERYTHING | (gate or {})))
    given = {"train": recipe, "pairs": {**PAIRS, "source": str(home / "train.jsonl")}, "gate": asked, "rounds": 2}
    return online(home / "sft", out_dir=out, **(given | changes))


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """Two rounds, never stopped."""
    with pytest.MonkeyPatch.context() as patch, torch.compiler.set_stance("force_eager"):
        patch.setattr(subprocess, "call", inline)
        patch.setattr(sys, "argv", ["litgpt-zh"])
        run(home, home / "whole")
    return home / "whole"


def verdicts(out: Path) -> list[bool]:
    return [result["accepted"] for result in Manifest.read(out / "final").counts["rounds"]]


def test_every_round_learns_from_the_model_before_it(home: Path, whole: Path) -> None:
    sft = home / "sft"
    starts = []
    for number in (1, 2):
        recipes = whole / f"round-{number}" / "recipes"
        pairs, train = (yaml.safe_load((recipes / f"{name}.yaml").read_text("utf-8")) for name in ("pairs", "train"))
        assert pairs["checkpoint_dir"] == train["checkpoint_dir"]  # samples and reference are of the round's start
        limits = {limit.name: None for limit in fields(Limits)}  # the gate decides
        own = {"seed": number, "loss": "rpo", "pairs_dir": pairs["out_dir"]} | limits
        assert train["data"]["init_args"] == own | ({"check_sft": False} if number > 1 else {})
        assert (pairs["skip"], pairs["seed"], train["seed"]) == (20 * (number - 1), number, number)
        assert Manifest.read(Path(pairs["out_dir"])).counts["read"] == 20
        starts.append(Path(pairs["checkpoint_dir"]))
    assert starts == [sft, whole / "round-1" / "train" / "final"]
    assert not same_weights(sft, whole / "round-1" / "train" / "final")
    assert not same_weights(whole / "round-1" / "train" / "final", whole / "round-2" / "train" / "final")


def test_a_limit_of_the_recipe_stays(tmp_path: Path) -> None:
    recipe = TRAIN | {"data": {**TRAIN["data"], "init_args": {"max_nll_rise": 0.5}}}
    rounds = online_module.Run(tmp_path, tmp_path, recipe, {}, Gate(), 1, None, "stop", False, 0)
    given = rounds._train(1, tmp_path)["data"]["init_args"]
    assert given["max_nll_rise"] == 0.5 and given["max_repetition_rise"] is None


def test_the_last_accepted_model_stands_alone(whole: Path) -> None:
    assert verdicts(whole) == [True, True]
    assert same_weights(whole / "final", whole / "round-2" / "train" / "final")
    manifest = Manifest.read(whole / "final")
    assert manifest.stage == "online" and manifest.counts["accepted"] == 2
    assert {"lit_model.pth", "model_config.yaml", "tokenizer.json", "hyperparameters.yaml", "prompt_style.yaml"} <= set(
        manifest.outputs
    )
    assert load(whole / "final").instruct
    for number in (1, 2):
        gate = json.loads((whole / f"round-{number}" / "gate.json").read_text("utf-8"))
        assert gate == manifest.counts["rounds"][number - 1] and gate["pairs"] > 10
        train = whole / f"round-{number}" / "train"
        assert not [f.name for f in train.iterdir() if f.name.startswith(("step-", "guard.ckpt", "reference"))]
        assert (train / "metrics.jsonl").is_file()


@pytest.mark.usefixtures("english")
def test_a_finished_run_does_nothing_and_says_so(home: Path, whole: Path, capsys: pytest.CaptureFixture) -> None:
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()}
    run(home, whole)
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()} == before
    said = capsys.readouterr().out
    assert "already finished" in said and table(Manifest.read(whole / "final").counts["rounds"], Gate()) in said


@pytest.mark.parametrize("where", [1, 3, 4, 6])
def test_stopped_between_stages_it_ends_the_same(
    home: Path, whole: Path, tmp_path: Path, monkeypatch, where: int
) -> None:
    calls = 0

    def stopping(argv: list[str], env: Any = None) -> int:
        nonlocal calls
        calls += 1
        if calls == where:
            raise KeyboardInterrupt
        return inline(argv)

    monkeypatch.setattr(subprocess, "call", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(home, tmp_path / "out")
    assert not (tmp_path / "out" / "final").exists()
    run(home, tmp_path / "out")
    assert calls == 7 + 1  # no stage twice, but for the one that was stopped
    assert same_weights(tmp_path / "out" / "final", whole / "final")
    assert verdicts(tmp_path / "out") == verdicts(whole)


def test_stopped_in_training_it_ends_the_same(home: Path, whole: Path, tmp_path: Path, monkeypatch) -> None:
    steps = Manifest.read(whole / "round-1" / "train" / "final").counts["steps"]
    revive = stop_at(monkeypatch, step=steps + 4)  # in round 2
    with pytest.raises(UserError, match=r"round 2: stage train stopped .*; or let 1 be enough: --rounds 1"):
        run(home, tmp_path / "out")
    assert list((tmp_path / "out" / "round-2" / "train").glob("step-*"))
    revive()
    run(home, tmp_path / "out")
    for folder in ("round-2/train/final", "final"):
        assert same_weights(tmp_path / "out" / folder, whole / folder)


def test_lora_rounds_are_merged_before_the_next_samples(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(home, out, lora=True)
    first = out / "round-1" / "train" / "final"
    assert Manifest.read(first).stage == "dpo-lora" and not same_weights(home / "sft", first)
    record = json.loads((out / "round-2" / "run.json").read_text("utf-8"))
    assert "finetune_lora" in record["stages"][1]["command"]
    assert not (out / "final" / "lit_model.pth.lora").exists() and (first / "lit_model.pth.lora").exists()
    recipe = yaml.safe_load((out / "round-2" / "recipes" / "pairs.yaml").read_text("utf-8"))
    assert recipe["checkpoint_dir"] == str(first)


@pytest.mark.usefixtures("english")
def test_a_refused_round_ends_the_run(home: Path, tmp_path: Path, capsys) -> None:
    final = run(home, tmp_path / "out", gate={"min_gain": 1.0})
    assert verdicts(tmp_path / "out") == [False] and same_weights(final, home / "sft")
    assert (tmp_path / "out" / "round-1" / "train" / "final" / "lit_model.pth").is_file()
    assert "refused: gain" in capsys.readouterr().out


def test_or_is_tried_again_from_the_last_accepted_model(home: Path, tmp_path: Path) -> None:
    run(home, tmp_path / "out", gate={"min_gain": 1.0}, after_refusal="continue", keep_states=True)
    assert verdicts(tmp_path / "out") == [False, False]
    recipes = [yaml.safe_load((tmp_path / f"out/round-{n}/recipes/pairs.yaml").read_text("utf-8")) for n in (1, 2)]
    assert [r["checkpoint_dir"] for r in recipes] == [str(home / "sft")] * 2 and [r["skip"] for r in recipes] == [0, 20]
    assert list((tmp_path / "out" / "round-1" / "train").glob("step-*"))


@pytest.fixture
def trained_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model that comes straight from its training finds true stories one nat a token harder."""
    judge_it = online_module.judge

    def judged(after: dict, before: dict, sft: dict, gate: Gate) -> dict:
        far = after["checkpoint"].endswith("train/final")
        bits = after["bits"] | {"loss_per_token": after["bits"]["loss_per_token"] + far}
        return judge_it(after | {"bits": bits}, before, sft, gate)

    monkeypatch.setattr(online_module, "judge", judged)


@pytest.mark.usefixtures("english", "trained_too_far")
def test_a_round_that_went_too_far_is_averaged_with_sft(home: Path, tmp_path: Path, capsys) -> None:
    out, changes = tmp_path / "out", {"gate": {"max_nll_rise": 0.7}, "average": 0.5}
    run(home, out, **changes)
    result = json.loads((out / "round-1" / "gate.json").read_text("utf-8"))
    assert result["accepted"] and result["average"] == 0.5 and result["nll_rise"] < 0.7
    assert result["alone"]["nll_rise"] > 0.7 and result["alone"]["reasons"][0].startswith("true stories")
    model = out / "round-1" / "average" / "model"
    sft, tuned, found = (
        flat_weights(folder / "lit_model.pth") for folder in (home / "sft", out / "round-1" / "train" / "final", model)
    )
    for name, weight in found.items():
        torch.testing.assert_close(weight, (sft[name] + tuned[name]) / 2)
    for name in ("pairs", "train"):
        recipe = yaml.safe_load((out / "round-2" / "recipes" / f"{name}.yaml").read_text("utf-8"))
        assert recipe["checkpoint_dir"] == str(model)  # the next round goes on from it
    assert json.loads((out / "round-2" / "gate.json").read_text("utf-8"))["before"] == result["after"]
    assert same_weights(out / "final", out / "round-2" / "average" / "model")
    assert "round 1: accepted (averaged with SFT, share 0.5)" in capsys.readouterr().out
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.pth")}
    run(home, out, **changes)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.pth")} == before


@pytest.mark.usefixtures("trained_too_far")
def test_without_average_it_is_refused(home: Path, tmp_path: Path) -> None:
    run(home, tmp_path / "out", gate={"max_nll_rise": 0.7}, rounds=1, average=None)
    assert verdicts(tmp_path / "out") == [False] and not (tmp_path / "out" / "round-1" / "average").exists()


def test_another_setting_does_again_what_it_changes(home: Path, tmp_path: Path, monkeypatch) -> None:
    out, ran = tmp_path / "out", list[str]()
    run(home, out, rounds=1)

    def counting(argv: list[str], env: Any = None) -> int:
        ran.append(argv[3])
        return inline(argv)

    monkeypatch.setattr(subprocess, "call", counting)
    run(home, out, rounds=1, train=TRAIN | {"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}})
    assert ran == ["finetune_full", "evaluate_stories"]  # the samples are still good
    ran.clear()
    run(home, out, rounds=2, train=TRAIN | {"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}})
    assert ran == ["sample_pairs", "finetune_full", "evaluate_stories"] and (out / "final.old").is_dir()


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(home: Path, whole: Path, tmp_path: Path) -> None:
    """kill -9 of the whole process group, three times, with real processes."""
    settings = {
        "checkpoint_dir": str(home / "sft"), "out_dir": str(tmp_path / "out"), "rounds": 2, "train": TRAIN,
        "pairs": {**PAIRS, "source": str(home / "train.jsonl")},
        "gate": {"corpus_dir": str(home / "held-out.jsonl"), "count": 12, **EVERYTHING},
    }  # fmt: skip
    recipe = tmp_path / "online.yaml"
    recipe.write_text(yaml.safe_dump(settings), encoding="utf-8")
    argv = [sys.executable, "-m", "litgpt_zh", "online", "--config", str(recipe)]
    for seconds in (6, 9, 12):
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=QUICK, start_new_session=True)
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(argv, capture_output=True, text=True, env=QUICK, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "结论" in done.stdout and verdicts(tmp_path / "out") == verdicts(whole)
    assert same_weights(tmp_path / "out" / "final", whole / "final")


# refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": {"margn": 0.1}}, "pairs.margn: sample_pairs has no such setting"),
        ({"pairs": {"seed": 1}}, "pairs.seed: every round gets its own"),
        ({"pairs": {"world_seed": 7}, "gate": Gate(seed=7)}, "gate.seed: 7 is the world_seed of the pairs"),
        ({"rounds": 0}, "rounds: 0"),
        ({"average": 1.0}, r"average: 1\.0 is out of range"),
        ({"train": Path("nowhere.yaml")}, "nowhere.yaml: cannot be read"),
        ({"train": {"data": {"class_path": "litgpt.data.Alpaca"}}}, "train: data.class_path is no preference data"),
        ({"train": TRAIN | {"epochs": 3}}, "train.epochs: litgpt finetune_full has no such setting"),
        ({"train": TRAIN | {"data": {**TRAIN["data"], "init_args": {"gamma": 1.0}}}}, "data.gamma: loss dpo has none"),
        ({"train": TRAIN | {"data": {**TRAIN["data"], "init_args": {"lr": 1.0}}}}, "train.data: .*'lr'"),
    ],
)
def test_settings_that_cannot_be_honoured(home: Path, tmp_path: Path, changes: dict, message: str) -> None:
    given: dict[str, Any] = {"train": TRAIN} | changes
    with pytest.raises(UserError, match=message):
        online(home / "sft", out_dir=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_the_gate_asks_nothing_that_was_learnt_from(home: Path, tmp_path: Path) -> None:
    source = home / "train.jsonl"
    with pytest.raises(UserError, match="held-out requests need another file"):
        online(home / "sft", TRAIN, tmp_path / "out", {"source": str(source)}, Gate(corpus_dir=source))


# the recipe ----------------------------------------------------------------------------------------------------------


def parsed(*arguments: str) -> Any:
    """What the command line makes of them."""
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(online)
    return parser.instantiate_classes(parser.parse_args(arguments))


def test_the_recipe_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    given = parsed("--config", "recipes/online.yaml")
    online_module._check(given.pairs, given.gate, given.rounds, given.average)
    assert given.gate.corpus_dir == Path("data/corpus") and given.pairs["source"] == "data/corpus"
    recipe = recipe_of(given.train)
    recipes.check(recipe)
    assert recipe["data"]["init_args"]["loss"] == "rpo" and recipe["checkpoint_dir"] == str(given.checkpoint_dir)


def test_the_training_may_stand_in_the_recipe_itself(tmp_path: Path) -> None:
    file = tmp_path / "online.yaml"
    file.write_text(yaml.safe_dump({"checkpoint_dir": "x", "train": TRAIN, "pairs": PAIRS, "gate": {"count": 5}}))
    given = parsed("--config", str(file), "--pairs.samples", "4")
    assert given.train == TRAIN and given.pairs == PAIRS | {"samples": 4} and given.gate == Gate(count=5)
