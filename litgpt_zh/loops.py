"""The seam: where our data classes meet litgpt's training loops.

litgpt's ``main`` of pretrain, finetune_full and finetune_lora is wrapped once, when a data class of ours is imported (by
a recipe's ``data.class_path``, so under the stock commands too). A data module that brings its own ``train_with`` gets
to run litgpt's ``main`` with named parts swapped while it runs; every other data module keeps litgpt's own loop. Each
name that is wrapped or swapped is checked against the signature we were written for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import yaml
from litgpt.utils import extend_checkpoint_dir

from litgpt_zh.language import INNER, say
from litgpt_zh.ranks import Replicated
from litgpt_zh.stage import UserError, require_files

PRETRAIN, FULL, LORA = "litgpt.pretrain", "litgpt.finetune.full", "litgpt.finetune.lora"

_DATALOADERS = "fabric data tokenizer train"
_DOWNLOAD = "model_name access_token ignore_tokenizer_files"
_FINETUNE_FIT = "train_dataloader val_dataloader devices checkpoint_dir out_dir train eval data num_nodes"
SEAM: dict[str, dict[str, str]] = {
    PRETRAIN: {
        "main": "fabric devices seed initial_checkpoint_dir resume config data out_dir tokenizer_dir tokenizer train eval"
        " optimizer num_nodes",
        "fit": "fabric devices state train_dataloader val_dataloader out_dir tokenizer_dir train eval num_nodes",
        "save_checkpoint": "fabric state tokenizer_dir checkpoint_file",
        "find_resume_path": "resume out_dir",
        "get_dataloaders": _DATALOADERS + " block_size",
        "validate": "fabric model val_dataloader max_iters verbose",
        "get_lr": "learning_rate it warmup_iters max_iters min_lr",
        "chunked_cross_entropy": "logits targets chunk_size ignore_index",
        "RunningMean": "window nan_strategy kwargs",
        "ThroughputMonitor": "fabric kwargs",
    },
    FULL: {
        "main": "fabric devices resume seed config data checkpoint_dir out_dir train eval optimizer num_nodes",
        "fit": "fabric state resume " + _FINETUNE_FIT,
        "validate": "fabric model val_dataloader eval verbose",
        "find_resume_path": "resume out_dir",
        "get_dataloaders": _DATALOADERS,
        "auto_download_checkpoint": _DOWNLOAD,
    },
    LORA: {
        "main": "fabric devices seed config data checkpoint_dir out_dir train eval optimizer num_nodes precision",
        "fit": "fabric model optimizer scheduler " + _FINETUNE_FIT,
        "mark_only_lora_as_trainable": "model bias",
        "save_lora_checkpoint": "fabric model file_path",
        "validate": "fabric model val_dataloader eval verbose",
        "get_dataloaders": _DATALOADERS,
        "auto_download_checkpoint": _DOWNLOAD,
    },
}
"""Module -> name -> the names of its parameters (any order: we pass them by keyword)."""


SHARDING = {PRETRAIN: "FSDPStrategy", FULL: "FSDPStrategy", LORA: "ModelParallelStrategy"}
"""Module -> its strategy for several devices; see ``replicate``."""


def install() -> None:
    """Wrap litgpt's three ``main`` functions; idempotent.

    Raises:
        UserError: the installed litgpt lacks a part or has changed its parameters; the message names it.
    """
    if sys.excepthook is not _one_line:
        sys.excepthook = _one_line
    for module_name in SEAM:
        module = importlib.import_module(module_name)
        if not hasattr(module.main, "_litgpt_zh"):
            check(module)
            module.main = _dispatching(module)  # type: ignore[attr-defined]


def replicate() -> None:
    """From here on every process gets the whole model, where litgpt shards it; idempotent.

    litgpt's ``setup`` chooses the strategy before ``main`` runs, so a data module with ``train_with`` calls this when it is
    made. A process that makes none keeps litgpt's sharding. On a Mac Fabric would choose MPS, which has no float64 (our sums
    of losses are of that kind): there the CPU trains, unless the environment says otherwise (``LT_ACCELERATOR=mps``).
    """
    if sys.platform == "darwin":
        os.environ.setdefault("LT_ACCELERATOR", "cpu")
    for module_name, strategy in SHARDING.items():
        setattr(sys.modules[module_name], strategy, Replicated)


def stay_local() -> None:
    """From here on a checkpoint that is not there is refused, where litgpt would ask the hub for one of that name; idempotent.

    litgpt's ``setup`` asks before ``main`` runs, so data that is finetuned on calls this when it is made: it is tokenised with
    the tokenizer of a checkpoint that is there.
    """
    for module_name in (FULL, LORA):
        module = sys.modules[module_name]
        if not hasattr(module.auto_download_checkpoint, "_litgpt_zh"):
            module.auto_download_checkpoint = _local(module.auto_download_checkpoint)  # type: ignore[attr-defined]


def _local(original: Callable[..., Path]) -> Callable[..., Path]:
    @functools.wraps(original)
    def found(model_name: Any, *args: Any, **kwargs: Any) -> Path:
        folder = extend_checkpoint_dir(Path(model_name))
        files = ("lit_model.pth", "model_config.yaml")
        require_files(
            folder if folder.is_dir() else Path(model_name), files, made_by="a finished training run (its final/)"
        )
        return original(model_name, *args, **kwargs)

    found._litgpt_zh = True  # type: ignore[attr-defined]
    return found


def check(module: ModuleType) -> None:
    """Compare a litgpt module with ``SEAM``.

    Raises:
        UserError: a part is missing or takes other parameters.
    """
    if not hasattr(module, SHARDING[module.__name__]):
        _moved(f"{module.__name__}.{SHARDING[module.__name__]} is gone")
    for name, expected in SEAM[module.__name__].items():
        part = getattr(module, name, None)
        if part is None:
            _moved(f"{module.__name__}.{name} is gone")
        found = set(inspect.signature(part).parameters)
        if found != set(expected.split()):
            _moved(
                f"{module.__name__}.{name} takes ({', '.join(sorted(found))}), not ({', '.join(sorted(expected.split()))})"
            )


def _moved(what: str) -> NoReturn:
    raise UserError(
        f"litgpt {metadata.version('litgpt')}: {what}; this litgpt-zh was written for litgpt 0.5.13: "
        "pip install litgpt==0.5.13, or upgrade litgpt-zh"
    )


def _settled(optimizer: Any) -> Any:
    """The optimizer with what lies beside ``init_args`` put into it: ``--optimizer.init_args.NAME`` of a command line lands
    beside it (jsonargparse, for a setting that is text or a mapping), as text, and litgpt would pass over it.

    Raises:
        UserError: the class has no such setting, or wants a number there.
    """
    beside = set(optimizer) - {"class_path", "init_args"} if isinstance(optimizer, Mapping) else set()
    if not beside:
        return optimizer
    module, name = optimizer["class_path"].rsplit(".", 1)
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    known = sorted(parameters.keys() - {"params"})
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if not takes_any and (unknown := sorted(beside.difference(known))):
        raise UserError(f"optimizer.init_args.{unknown[0]}: {name} has no such setting, but {', '.join(known)}")
    inside = dict(optimizer.get("init_args") or {})
    for key in beside:
        before = inside.get(key, parameters[key].default if key in parameters else None)
        inside[key] = _read(optimizer[key])
        if isinstance(before, (int, float)) and not isinstance(inside[key], (int, float)):
            raise UserError(f"optimizer.init_args.{key}: {inside[key]!r} is not a number")
    return {"class_path": optimizer["class_path"], "init_args": inside}


def _read(value: Any) -> Any:
    """A setting written as text; YAML alone takes 1e-3 for a word."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value) if not value.lstrip("+-").isdigit() else int(value)
        return yaml.safe_load(value)
    return value


def _dispatching(module: ModuleType) -> Callable[..., Any]:
    original = module.main

    @functools.wraps(original)
    def main(*args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(original).bind(*args, **kwargs)
        call.apply_defaults()
        train_with = getattr(call.arguments["data"], "train_with", None)
        if train_with is None:
            return original(*args, **kwargs)
        arguments = dict(call.arguments)
        return train_with(module, original, arguments | {"optimizer": _settled(arguments.get("optimizer"))})

    main._litgpt_zh = True  # type: ignore[attr-defined]
    return main


@contextlib.contextmanager
def swapped(module: Any, **parts: Any) -> Iterator[dict[str, Any]]:
    """Replace attributes of a module (or another object) for the time of the block; yields the originals."""
    originals = {name: getattr(module, name) for name in parts}
    try:
        for name, part in parts.items():
            setattr(module, name, part)
        yield originals
    finally:
        for name, part in originals.items():
            setattr(module, name, part)


NO_TOKENIZER = "The checkpoint directory does not exist: "
"""How litgpt's ``Tokenizer`` begins, whatever folder it was given."""


def _one_line(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """``sys.excepthook``: one line for a mistake of the user's (by our word or litgpt's) and for Ctrl-C, else a traceback."""
    ours, message = issubclass(kind, UserError), str(error)
    if ours or (issubclass(kind, FileNotFoundError) and message.startswith("checkpoint_dir")):
        print(f"litgpt-zh: {message}", file=sys.stderr)
    elif issubclass(kind, NotADirectoryError) and message.startswith(NO_TOKENIZER):
        folder = message.removeprefix(NO_TOKENIZER)
        print(f"litgpt-zh: {folder}: no such folder, so no tokenizer; check tokenizer_dir", file=sys.stderr)
    elif issubclass(kind, KeyboardInterrupt):
        if os.environ.get(INNER):
            return
        told = say(
            "停了；有 resume: auto，同一行命令从最后一个检查点接着走",
            "stopped; with resume: auto the same command goes on from its last checkpoint",
        )
        print(f"\n{told}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
