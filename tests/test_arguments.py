"""A command line that cannot be taken: one line that names the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from litgpt_zh.__main__ import _model_name, main


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1, said
    return said.err


@pytest.mark.parametrize(
    ("command", "option", "value", "wanted"),
    [
        ("corpus", "near", "maybe", "--near takes one of first, longest, keep, off;"),
        ("corpus", "overwrite", "perhaps", "--overwrite takes one of true, false;"),
        ("tokens", "packing", "tight", "--packing takes one of best-fit, concatenate;"),
        ("corpus", "stories", "many", "--stories Expected a <class 'int'>. Got value: many;"),
        ("corpus", "nearly", "3", "Unrecognized arguments: --nearly 3;"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_takes(
    command: str, option: str, value: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([command, f"--{option}", value], capsys)
    assert said.startswith(f"litgpt-zh {command}: {wanted}") and f"litgpt-zh {command} --help" in said


def test_so_is_one_that_a_recipe_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("near: maybe\n", encoding="utf-8")
    assert "--near takes one of first, longest, keep, off;" in refused(["corpus", "--config", str(recipe)], capsys)


def test_so_is_one_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "litgpt-zh web: --checkpoint_dir is required" in refused(["web"], capsys)


RECIPE = str(Path(__file__).parents[1] / "recipes/pretrain.yaml")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], None),
        (["--help"], None),
        (["x"], "x"),
        (["--seed", "1", "x"], "x"),
        (["--seed=1", "x"], "x"),
        (["--model_name", "x"], "x"),
        (["--model_name=x"], "x"),
        (["--config", RECIPE], "zh-tinystories-44m"),
        ([f"--config={RECIPE}", "--out_dir", "o"], "zh-tinystories-44m"),
        (["--config", RECIPE, "--config", RECIPE.replace("pretrain", "tokens")], "zh-tinystories-44m"),
        (["x", "--config", RECIPE], "x"),
        (["--config", RECIPE, "x"], "x"),
    ],
)
def test_the_model_name_is_found_wherever_it_stands(arguments: list[str], name: str | None) -> None:
    """litgpt ends with status 0 on one that it does not know, so it is looked at before."""
    assert _model_name(arguments) == name
