"""Between a tuned model and the one it was tuned from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny_checkpoint import write_letters

from litgpt_zh.average import average
from litgpt_zh.checkpoints import WEIGHTS, flat_weights
from litgpt_zh.generate.load import load
from litgpt_zh.stage import Manifest, UserError


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and the same one with every weight 2 higher."""
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    write_letters(base)
    shutil.copytree(base, tuned)
    torch.save({name: weight + 2 for name, weight in flat_weights(base / WEIGHTS).items()}, tuned / WEIGHTS)
    return tuned, base


def test_every_weight_lies_between_the_two(two: tuple[Path, Path], tmp_path: Path) -> None:
    tuned, base = two
    out = average(tuned, base, tmp_path / "out", share=0.75)
    old, new = flat_weights(base / WEIGHTS), flat_weights(out / WEIGHTS)
    assert old.keys() == new.keys()
    for name, weight in old.items():
        torch.testing.assert_close(new[name], weight + 1.5)
    assert load(out).instruct  # a checkpoint like the tuned one
    assert Manifest.read(out).settings == {"share": 0.75}


def test_at_the_ends_it_is_the_one_or_the_other(two: tuple[Path, Path], tmp_path: Path) -> None:
    for share, expected in zip((1.0, 0.0), two, strict=True):
        found = flat_weights(average(*two, tmp_path / f"out-{share}", share=share) / WEIGHTS)
        for name, weight in flat_weights(expected / WEIGHTS).items():
            assert torch.equal(found[name], weight)


def test_weights_that_are_one_stay_one_and_keep_their_type(two: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in two:
        weights = {n: w.bfloat16() for n, w in flat_weights(folder / WEIGHTS).items()}
        weights["lm_head.weight"] = weights["transformer.wte.weight"]
        torch.save(weights, folder / WEIGHTS)
    found = flat_weights(average(*two, tmp_path / "out") / WEIGHTS)
    assert found["lm_head.weight"].data_ptr() == found["transformer.wte.weight"].data_ptr()
    assert {w.dtype for w in found.values()} == {torch.bfloat16}


def test_again_it_does_nothing_and_with_another_share_it_does(two: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    out = average(*two, tmp_path / "out")
    written = (out / WEIGHTS).stat().st_mtime_ns
    capsys.readouterr()
    average(*two, tmp_path / "out")
    assert (out / WEIGHTS).stat().st_mtime_ns == written and str(out) in capsys.readouterr().out
    average(*two, tmp_path / "out", share=0.5)
    assert Manifest.read(out).settings == {"share": 0.5}
    assert (tmp_path / "out.old").is_dir()


def test_what_cannot_be_averaged_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    tuned, base = two
    with pytest.raises(UserError, match=r"--share 1\.5 is out of range"):
        average(tuned, base, tmp_path / "out", share=1.5)
    with pytest.raises(UserError, match="nowhere: no such folder"):
        average(tuned, tmp_path / "nowhere", tmp_path / "out")
    (tuned / "tokenizer.json").write_text((tuned / "tokenizer.json").read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(UserError, match=r"tuned: not with the same tokenizer\.json"):
        average(tuned, base, tmp_path / "out")
    weights = {name: weight.clone() for name, weight in flat_weights(tuned / WEIGHTS).items()}  # not the file's memory
    weights.pop(next(iter(weights)))
    torch.save(weights, tuned / WEIGHTS)
    with pytest.raises(UserError, match="tuned: not of the same model"):
        average(tuned, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
