"""The seam: what we wrap exists, is put back, and is left alone for everybody else's data."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from litgpt.tokenizer import Tokenizer

from litgpt_zh import configs, loops
from litgpt_zh.language import INNER
from litgpt_zh.stage import UserError


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    loops.install()


def stand_in(**changes: object) -> ModuleType:
    """A module with the parts of litgpt.pretrain, some of them changed; None removes one."""
    module = ModuleType(loops.PRETRAIN)
    module.FSDPStrategy = object  # type: ignore[attr-defined]
    for name, parameters in loops.SEAM[loops.PRETRAIN].items():
        exec(f"def {name}({', '.join(parameters.split())}): return '{name}'", module.__dict__)
    for name, part in changes.items():
        delattr(module, name) if part is None else setattr(module, name, part)
    return module


def test_the_installed_litgpt_has_every_part_as_expected() -> None:
    for name in loops.SEAM:
        module = sys.modules[name]
        assert hasattr(module.main, "_litgpt_zh")
        assert set(inspect.signature(module.main).parameters) == set(loops.SEAM[name]["main"].split())
    loops.check(stand_in())


def test_a_missing_part_is_named() -> None:
    with pytest.raises(UserError, match=r"litgpt\.pretrain\.get_lr is gone"):
        loops.check(stand_in(get_lr=None))


def test_a_part_with_other_parameters_is_named() -> None:
    with pytest.raises(UserError, match=r"litgpt\.pretrain\.get_lr takes \(step\), not \(.*warmup_iters"):
        loops.check(stand_in(get_lr=lambda step: step))


def test_several_devices_get_the_whole_model_each_where_data_of_ours_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.fabric import strategies

    from litgpt_zh.instruct.data import Instructions
    from litgpt_zh.pretrain.data import Pretraining
    from litgpt_zh.tokens.data import PackedTokens

    def chosen() -> list[type]:
        return [getattr(sys.modules[name], strategy) for name, strategy in loops.SHARDING.items()]

    for make in (Pretraining, Instructions):
        for name, strategy in loops.SHARDING.items():
            monkeypatch.setattr(sys.modules[name], strategy, getattr(strategies, strategy))
        loops.install()
        PackedTokens("tokens")  # runs litgpt's own loop
        assert chosen() == [getattr(strategies, strategy) for strategy in loops.SHARDING.values()]
        make("data")
        assert all(isinstance(stand_in(auto_wrap_policy=None), strategies.DDPStrategy) for stand_in in chosen())
        assert not any(isinstance(strategies.DDPStrategy(), stand_in) for stand_in in chosen())  # litgpt asks
    with pytest.raises(UserError, match=r"litgpt\.pretrain\.FSDPStrategy is gone"):
        loops.check(stand_in(FSDPStrategy=None))


@pytest.mark.parametrize(
    ("platform", "before", "chosen"), [("darwin", None, "cpu"), ("darwin", "mps", "mps"), ("linux", None, None)]
)
def test_on_a_mac_the_cpu_trains_unless_it_is_said_otherwise(
    platform: str, before: str | None, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MPS has no float64, in which our losses are summed."""
    from lightning.fabric.connector import _Connector

    for name, strategy in loops.SHARDING.items():  # put back afterwards
        monkeypatch.setattr(sys.modules[name], strategy, getattr(sys.modules[name], strategy))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("LT_ACCELERATOR", before or "")
    if before is None:
        monkeypatch.delenv("LT_ACCELERATOR")
    loops.replicate()
    assert os.environ.get("LT_ACCELERATOR") == chosen
    assert _Connector._argument_from_env("accelerator", "auto", "auto") == (chosen or "auto")  # Fabric reads it
    monkeypatch.delenv("LT_ACCELERATOR", raising=False)


@pytest.mark.parametrize("name", [loops.FULL, loops.LORA])
def test_a_checkpoint_that_is_not_there_is_not_looked_for_on_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[name]
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []

    def stock(model_name: Any, access_token: Any = None, ignore_tokenizer_files: bool = False) -> Path:
        asked.append(str(model_name))
        return Path(model_name)

    for each in (loops.FULL, loops.LORA):
        monkeypatch.setattr(sys.modules[each], "auto_download_checkpoint", stock)
    loops.stay_local()
    loops.stay_local()
    with pytest.raises(UserError, match="out/run/final: no such folder; a finished training run"):
        module.auto_download_checkpoint(model_name=Path("out/run/final"), access_token=None)
    for folder in ("out/run/final", "checkpoints/someone/model"):  # where litgpt puts what it downloads
        Path(folder).mkdir(parents=True)
        given = folder.removeprefix("checkpoints/")
        with pytest.raises(UserError, match=r"lit_model\.pth is missing"):
            module.auto_download_checkpoint(model_name=given)
        for file in ("lit_model.pth", "model_config.yaml"):
            (Path(folder) / file).touch()
        module.auto_download_checkpoint(model_name=given)
    assert asked == ["out/run/final", "someone/model"]


def test_installing_twice_wraps_once() -> None:
    before = [sys.modules[name].main for name in loops.SEAM]
    loops.install()
    assert [sys.modules[name].main for name in loops.SEAM] == before


def test_foreign_data_keeps_litgpts_own_loop() -> None:
    module = stand_in()
    wrapped = loops._dispatching(module)
    arguments = dict.fromkeys(loops.SEAM[loops.PRETRAIN]["main"].split())
    assert wrapped(**{**arguments, "data": object()}) == "main"


def test_data_with_train_with_gets_the_call() -> None:
    class Ours:
        def train_with(self, module: ModuleType, main: object, arguments: dict) -> tuple:
            return module.__name__, main, arguments["seed"]

    module = stand_in()
    wrapped = loops._dispatching(module)
    arguments = dict.fromkeys(loops.SEAM[loops.PRETRAIN]["main"].split())
    assert wrapped(**{**arguments, "data": Ours(), "seed": 7}) == (loops.PRETRAIN, module.main, 7)


def test_settings_of_the_optimizer_on_the_command_line_are_read() -> None:
    """jsonargparse puts ``--optimizer.init_args.NAME`` beside ``init_args``, as text."""
    module = stand_in(main=lambda data, optimizer: optimizer)
    data = SimpleNamespace(train_with=lambda module, original, call: original(**call))
    main = loops._dispatching(module)
    given = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "eps": 1e-9}}
    assert main(data=data, optimizer=given) == given and main(data=data, optimizer="AdamW") == "AdamW"
    told = {"lr": "1e-3", "weight_decay": "0", "amsgrad": "true", "betas": "[0.9, 0.95]"}
    inside = {"lr": 0.001, "eps": 1e-9, "weight_decay": 0, "amsgrad": True, "betas": [0.9, 0.95]}
    assert main(data=data, optimizer=given | told) == {"class_path": "torch.optim.AdamW", "init_args": inside}
    with pytest.raises(UserError, match=r"optimizer\.init_args\.lrr: AdamW has no such setting, but amsgrad, betas"):
        main(data=data, optimizer=given | {"lrr": "0.1"})
    with pytest.raises(UserError, match=r"optimizer\.init_args\.lr: 'fast' is not a number"):
        main(data=data, optimizer=given | {"lr": "fast"})


def test_swapped_parts_are_put_back_after_an_error() -> None:
    module = stand_in()
    original = module.get_lr
    with pytest.raises(ZeroDivisionError), loops.swapped(module, get_lr=max, fit=min) as originals:
        assert module.get_lr is max and originals["get_lr"] is original
        _ = 1 / 0
    assert module.get_lr is original


def test_a_mistake_of_the_user_is_one_line(capsys: pytest.CaptureFixture) -> None:
    loops._one_line(UserError, UserError("data: no such folder"), None)
    assert capsys.readouterr().err == "litgpt-zh: data: no such folder\n"


def test_a_tokenizer_folder_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError) as found:
        Tokenizer(tmp_path / "nowhere")
    loops._one_line(found.type, found.value, None)
    told = capsys.readouterr().err
    assert told == f"litgpt-zh: {tmp_path / 'nowhere'}: no such folder, so no tokenizer; check tokenizer_dir\n"


@pytest.mark.parametrize(
    ("name", "millions", "entries"),
    [
        ("zh-tinystories-1m", 1.4, 4096), ("zh-tinystories-2m", 2.1, 6656), ("zh-tinystories-10m", 10.2, 6656),
        ("zh-tinystories-44m", 44.3, 6656), ("zh-tinystories-100m", 104.8, 6656),
    ],
)  # fmt: skip
def test_the_family_has_the_sizes_it_is_named_after(name: str, millions: float, entries: int) -> None:
    from litgpt import GPT, Config

    config = Config.from_name(name)
    with torch.device("meta"):
        model = GPT(config)
    model.lm_head.weight = model.transformer.wte.weight
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == millions
    assert config.n_head * config.head_size == config.n_embd
    assert config.padded_vocab_size == config.vocab_size == entries
    assert configs.is_tied(config)


def test_a_misspelt_model_name_gets_suggestions() -> None:
    with pytest.raises(UserError, match="did you mean zh-tinystories-44m"):
        configs.require_name("zh-tinystory-44m")
    configs.require_name("zh-tinystories-2m")
    configs.require_name("pythia-14m")


@pytest.mark.usefixtures("english")
def test_ctrl_c_is_one_line_of_the_outer_command(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(inner: str) -> str:
        monkeypatch.setenv(INNER, inner)
        loops._one_line(KeyboardInterrupt, KeyboardInterrupt(), None)
        return capsys.readouterr().err

    assert "stopped" in told("") and "Traceback" not in told("")
    assert told("1") == ""
