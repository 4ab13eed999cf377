"""Recipes of litgpt's trainings as plain data: which command they are for, what may stand in them, changed ones."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import difflib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from litgpt_zh.loops import FULL, LORA, PRETRAIN
from litgpt_zh.stage import UserError

MODULES = {"pretrain": PRETRAIN, "finetune_full": FULL, "finetune_lora": LORA}
_CLASSES = ("data", "optimizer")
"""Settings that hold a class and its arguments."""

Recipe = dict[str, Any]


def read(file: Path | str, such_as: str) -> Recipe:
    """The settings in a recipe.

    Raises:
        UserError: no such file, or not settings; ``such_as`` is the example to follow.
    """
    try:
        recipe = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); give a recipe such as {such_as}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(recipe, dict):
        raise UserError(f"{file}: no settings in it; take {such_as} as an example")
    return recipe


def text(recipe: Mapping[str, Any]) -> str:
    """YAML with nothing but plain values (paths as text)."""
    plain = json.loads(json.dumps(recipe, default=str))
    return yaml.safe_dump(plain, allow_unicode=True, sort_keys=False)


def command_of(recipe: Mapping[str, Any]) -> str:
    """``pretrain`` where a model is made, ``finetune_lora`` where there are LoRA settings, else ``finetune_full``."""
    if {"model_name", "model_config", "tokenizer_dir"} & recipe.keys():
        return "pretrain"
    return "finetune_lora" if any(name.startswith("lora_") for name in recipe) else "finetune_full"


def setup_of(recipe: Mapping[str, Any]) -> Callable[..., Any]:
    """litgpt's function behind the command; its signature is what a recipe may hold."""
    return importlib.import_module(MODULES[command_of(recipe)]).setup


def check(recipe: Recipe, prefix: str = "") -> None:
    """Refuse a recipe that litgpt would refuse, or data that would refuse its settings.

    Raises:
        UserError: names the setting, with ``prefix`` before it.
    """
    if unknown := sorted(recipe.keys() - inspect.signature(setup_of(recipe)).parameters.keys()):
        raise UserError(f"{prefix}{unknown[0]}: litgpt {command_of(recipe)} has no such setting")
    try:
        _class(recipe["data"])(**recipe["data"].get("init_args") or {})
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(f"{prefix}data: {error}") from None
    parser = _parser(recipe)
    try:
        parser.parse_object(json.loads(json.dumps(recipe, default=str)))
    except argparse.ArgumentError as error:
        raise UserError(f"{prefix}{_one_line(str(error))}") from None


def _parser(recipe: Recipe) -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(setup_of(recipe), fail_untyped=False)
    return parser


def _one_line(message: str) -> str:
    return " ".join(message.split())[:300]


def at(recipe: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, or None."""
    value: Any = recipe
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def default(recipe: Recipe, key: str) -> Any:
    """The value under ``train.*`` or ``eval.*``; litgpt's own where the recipe is silent."""
    part, _, name = key.partition(".")
    given = recipe.get(part) or {}
    return given[name] if name in given else getattr(inspect.signature(setup_of(recipe)).parameters[part].default, name)


def changed(recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> Recipe:
    """A copy with other values under dotted keys; what is missing on the way is made."""
    new = copy.deepcopy(dict(recipe))
    for key, value in changes.items():
        *path, last = key.split(".")
        inner = new
        for name in path:
            if not isinstance(inner.get(name), dict):
                inner[name] = {}
            inner = inner[name]
        inner[last] = copy.deepcopy(value)
    return new


def override(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """What a second ``--config`` must hold to make ``changed(recipe, changes)`` of the recipe.

    jsonargparse merges it setting by setting, except for ``optimizer``, of which it takes the later one as a whole.
    """
    new, part = changed(recipe, changes), Recipe()
    for key, value in changes.items():
        part = part | {"optimizer": new["optimizer"]} if key.startswith("optimizer") else changed(part, {key: value})
    return part


def require_key(recipe: Recipe, key: str) -> None:
    """Refuse a dotted key that the recipe's command does not know.

    Raises:
        UserError: with the nearest ones.
    """
    known = keys(recipe)
    if key in known:
        return
    last = {name: name.rpartition(".")[2] for name in known}
    wanted = key.rpartition(".")[2]
    like = difflib.get_close_matches(wanted, set(last.values()), 3, 0.6)
    near = [name for part in like for name in sorted(known) if last[name] == part]
    near = sorted(near, key=lambda name: -difflib.SequenceMatcher(None, key, name).ratio())[:3]
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise UserError(f"{key}: litgpt {command_of(recipe)} has no such setting with this recipe's data{hint}")


def keys(recipe: Recipe) -> set[str]:
    """Every dotted key that this recipe may hold."""
    found: set[str] = _paths(recipe, "")
    for name, parameter in inspect.signature(setup_of(recipe)).parameters.items():
        found.add(name)
        if dataclasses.is_dataclass(parameter.default):
            found |= {f"{name}.{field.name}" for field in dataclasses.fields(parameter.default)}
    for part in _CLASSES:
        if at(recipe, f"{part}.class_path"):
            names = inspect.signature(_class(recipe[part])).parameters.keys() - {"params"}
            found |= {f"{part}.init_args.{name}" for name in names}
    return found


def _paths(value: Mapping[str, Any], before: str) -> set[str]:
    found = set()
    for name, inner in value.items():
        found.add(f"{before}{name}")
        found |= _paths(inner, f"{before}{name}.") if isinstance(inner, dict) else set()
    return found


def _class(spec: Mapping[str, Any]) -> Callable[..., Any]:
    module, _, name = str(spec["class_path"]).rpartition(".")
    return getattr(importlib.import_module(module), name)
