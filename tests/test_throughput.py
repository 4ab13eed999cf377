"""Tokens per second and MFU: by hand, and as litgpt's loop logs them."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from litgpt import Config
from trainings import BLOCK, finetune, pretrain, tiny_config

import litgpt_zh.configs  # noqa: F401  registers the model family
from litgpt_zh import runlog, throughput
from litgpt_zh.throughput import Meter, flops_per_token, peak, peak_of, shown


def test_cards_are_known_by_their_whole_name() -> None:
    names = {
        "NVIDIA GeForce RTX 3090": 71e12, "NVIDIA GeForce RTX 3090 Ti": 80e12, "NVIDIA A100-SXM4-80GB": 312e12,
        "NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H100 PCIe": 756e12, "NVIDIA H200": 989e12, "NVIDIA L4": 121e12,
    }  # fmt: skip
    assert {name: peak_of(name) for name in names} == names
    others = "RTX 4090 Laptop GPU,RTX 4090 D,A100-SXM4-40GB MIG 1g.5gb,Tesla T4,AMD Instinct MI300X".split(",")
    assert [peak_of(f"NVIDIA {name}") for name in others] == [None] * len(others)


def test_no_peak_without_a_card_in_sixteen_bits(monkeypatch, capsys) -> None:
    def fabric(device: str, precision: str) -> SimpleNamespace:
        strategy = SimpleNamespace(precision=SimpleNamespace(precision=precision))
        return SimpleNamespace(device=torch.device(device), strategy=strategy, world_size=2, print=print)

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA GeForce RTX 3090")
    assert peak(fabric("cuda", "bf16-mixed")) == 142e12
    assert peak(fabric("cuda", "32-true")) is peak(fabric("cpu", "bf16-true")) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA GeForce RTX 9990")
    assert capsys.readouterr().out == "" and peak(fabric("cuda", "16-mixed")) is None
    assert "the peak of NVIDIA GeForce RTX 9990 is not known" in capsys.readouterr().out


def test_the_cost_of_a_token_by_hand() -> None:
    """44.32M parameters: 266 MFLOP, and 12 layers x 512 x 512 x 6 = 19 for attention."""
    before = torch.get_rng_state()
    cost = flops_per_token(Config.from_name("zh-tinystories-44m"), 512)
    assert cost / 1e6 == pytest.approx(6 * 44.32 + 18.87, abs=0.5)
    assert torch.equal(before, torch.get_rng_state())  # a run that logs MFU draws what one without it draws


def test_pauses_do_not_count(monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    meter = Meter(torch.device("cpu"), cost=3e6, peak=1e10)
    assert meter.at(500) == {} == shown({})
    clock[0] = 3.0
    with meter.paused():
        clock[0] = 13.0
    clock[0] = 14.0
    assert meter.at(8500) == {"tokens_per_second": 2000.0, "mfu": 0.6}
    clock[0] = 15.0
    found = meter.at(12345.6)  # the pause was of the stretch before
    assert found == {"tokens_per_second": 3845.6, "mfu": 1.1537}
    assert shown(found) == {"tokens/s": "3,846", "MFU": "115.4%"}
    meter.peak = None
    assert meter.at(13000) == {}  # no time has gone by
    clock[0] = 17.0
    assert meter.at(14000) == {"tokens_per_second": 500.0}


@pytest.mark.usefixtures("no_compile")
def test_pretraining_logs_true_figures_everywhere(home: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(throughput, "peak", lambda _: 1e10)
    pretrain(home, tmp_path / "run", monkeypatch)
    lines = [line for line in runlog.read(tmp_path / "run/metrics.jsonl") if "loss" in line]
    speeds = [(line.get("tokens_per_second"), line.get("mfu")) for line in lines]
    assert len(speeds) == 3 and speeds[0] == (None, None)
    for rate, mfu in speeds[1:]:
        assert mfu == pytest.approx(rate * flops_per_token(tiny_config(), BLOCK) / 1e10, rel=0.1)
    assert not [name for line in lines for name in line if "device" in name]
    (file,) = (tmp_path / "run").rglob("metrics.csv")
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert [float(row["mfu"]) for row in rows if row["mfu"]] == [mfu for _, mfu in speeds[1:]]
    told = capsys.readouterr().err
    assert f"tokens/s={speeds[-1][0]:,.0f}" in told and f"MFU={speeds[-1][1]:.1%}" in told


@pytest.mark.usefixtures("no_compile")
def test_finetuning_logs_tokens_per_second(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    finetune(home, base, tmp_path / "run", monkeypatch)
    lines = [line for line in runlog.read(tmp_path / "run/metrics.jsonl") if "loss" in line]
    assert "tokens_per_second" not in lines[0]
    assert all(line["tokens_per_second"] > 0 and "mfu" not in line for line in lines[1:])
