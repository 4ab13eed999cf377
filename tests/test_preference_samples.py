"""Samples that were kept: paired again by other rules, and picked from for the SFT that preference optimisation must beat."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoint import letter_records, write_letters, write_records

from litgpt_zh.instruct.data import Instructions
from litgpt_zh.preference import sample as sample_module
from litgpt_zh.preference.control import best_of, chosen
from litgpt_zh.preference.pairing import pair_samples
from litgpt_zh.preference.rewards import failure
from litgpt_zh.preference.sample import sample_pairs
from litgpt_zh.preference.samples import FILE, kept, read_samples
from litgpt_zh.preference.stage import pairs
from litgpt_zh.stage import Manifest, UserError

RULES = {"margin": 0.3, "length_ratio": 0.5, "band": (1, 60), "val_share": 0.3, "weights": {"words": 1.0}}
ARRAYS = [f"{side}_{name}.npy" for side in ("train", "val") for name in ("ids", "offsets", "prompts")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_letters(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = letter_records(40)
    records[7] = {"text": "好。"}
    return write_records(tmp_path_factory.mktemp("source") / "in.jsonl", records)


def sampled(checkpoint: Path, source: Path, out: Path, **changes: object) -> Path:
    settings = {"count": 40, "samples": 6, "keep_samples": True, **RULES, **changes}
    sample_pairs(checkpoint, out, source, **settings)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def samples(checkpoint: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sampled(checkpoint, source, tmp_path_factory.mktemp("out") / "pairs")


def same(one: Path, two: Path) -> bool:
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in ARRAYS)


def rows(folder: Path, side: str, name: str = "ids") -> list[np.ndarray]:
    offsets, values = np.load(folder / f"{side}_offsets.npy"), np.load(folder / f"{side}_{name}.npy")
    return [values[a:b] for a, b in pairwise(offsets)]


# keeping -------------------------------------------------------------------------------------------------------------


def test_keeping_changes_no_pair_and_keeps_every_sample(checkpoint: Path, source: Path, samples: Path, tmp_path: Path):
    plain = sampled(checkpoint, source, tmp_path / "plain", keep_samples=False)
    assert same(samples, plain) and not (plain / FILE).exists()
    assert "keep_samples" not in Manifest.read(plain).settings  # a folder made before is still the same
    answers = list(read_samples(samples))
    assert len(answers) == 40 and answers[7] == "nothing is asked"
    histogram = Manifest.read(samples).counts["histograms"]["sample_failure"]
    found = [s for a in answers if not isinstance(a, str) for s in a[2]]
    assert len(found) == 39 * 6 == sum(histogram.values())
    assert sum(s.failure is None for s in found) == histogram["none"]
    assert FILE in Manifest.read(samples).outputs


def test_a_stopped_run_keeps_the_same_samples(checkpoint: Path, source: Path, samples: Path, tmp_path, monkeypatch):
    monkeypatch.setattr(sample_module, "CHUNK", 7)
    original, commits = sample_module.PairWriter.commit, 0

    def stopping(writer: sample_module.PairWriter) -> None:
        nonlocal commits
        commits += 1
        if commits == 4:  # behind the samples of three chunks that are safe and of one that is not
            raise KeyboardInterrupt
        original(writer)

    monkeypatch.setattr(sample_module.PairWriter, "commit", stopping)
    with pytest.raises(KeyboardInterrupt):
        sampled(checkpoint, source, tmp_path / "out")
    assert len((tmp_path / "out.partial" / FILE).read_text("utf-8").splitlines()) == 28
    again = sampled(checkpoint, source, tmp_path / "out")
    assert (again / FILE).read_bytes() == (samples / FILE).read_bytes()


def test_what_was_written_past_a_point_is_overwritten(tmp_path: Path) -> None:
    for first, answers in ((0, ["a", "b", "c"]), (1, ["d"])):
        with kept(tmp_path, True) as keep:
            assert keep(first, answers) == answers
    assert list(read_samples(tmp_path)) == ["a", "d"]


# pairing again -------------------------------------------------------------------------------------------------------


def test_the_same_rules_give_the_same_pairs(checkpoint: Path, samples: Path, tmp_path: Path) -> None:
    manifest = pair_samples(checkpoint, samples, tmp_path / "out", **RULES)  # type: ignore[arg-type]
    before = Manifest.read(samples)
    assert same(samples, tmp_path / "out") and manifest.counts == before.counts


@pytest.mark.parametrize(
    "changes", [{"margin": 0.6}, {"weights": {"words": 1.0, "repetition": 3.0}}, {"kind": "classic"}]
)
def test_other_rules_give_the_pairs_that_sampling_gives(
    checkpoint: Path, source: Path, samples: Path, tmp_path: Path, changes: dict
) -> None:
    pair_samples(checkpoint, samples, tmp_path / "again", **{**RULES, **changes})
    sampled(checkpoint, source, tmp_path / "sampled", **changes)
    assert same(tmp_path / "again", tmp_path / "sampled") and not same(tmp_path / "again", samples)


def test_pairing_needs_kept_samples(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    plain = sampled(checkpoint, source, tmp_path / "plain", keep_samples=False)
    for stage in (lambda: pair_samples(checkpoint, plain, tmp_path / "a"), lambda: best_of(plain, tmp_path / "b")):
        with pytest.raises(UserError, match=r"samples\.jsonl is missing; .*--keep_samples true"):
            stage()


# control arms --------------------------------------------------------------------------------------------------------


def test_the_chosen_side_alone(samples: Path, tmp_path: Path) -> None:
    counts = chosen(samples, tmp_path / "out").counts
    for side in ("train", "val"):
        prompts, expected = np.load(samples / f"{side}_prompts.npy"), rows(samples, side)[::2]
        assert len(expected) == counts[side] > 0
        for ids, mask, pair, prompt in zip(
            rows(tmp_path / "out", side), rows(tmp_path / "out", side, "mask"), expected, prompts, strict=True
        ):
            assert np.array_equal(ids, pair)
            assert not mask[:prompt].any() and mask[prompt:].all()
    data = Instructions(tmp_path / "out")
    data.prepare_data()
    data.setup()
    item = data.train_dataset[0]
    answer = item["labels"][item["labels"] >= 0].tolist()
    assert answer == rows(samples, "train")[0][np.load(samples / "train_prompts.npy")[0] :].tolist()
    processor = data.train_dataset.processor
    words = processor.decode(item["input_ids"].tolist()).partition("词汇：")[2].split("，")
    marked = processor.decode(item["input_ids"][item["asked"]].tolist())
    assert marked and set(marked) <= {words[0], words[1][0]}


def test_the_best_of_each_request(samples: Path, tmp_path: Path) -> None:
    counts = best_of(samples, tmp_path / "out", level=0.5, val_share=0.3).counts
    expected = []
    for line in (samples / FILE).read_text("utf-8").splitlines():
        found = json.loads(line)
        fit = [s for s in found.get("samples", []) if failure(s["text"], s["finished"]) is None]
        top = max((s["reward"] for s in fit), default=0.0)
        if top >= 0.5:
            best = next(s for s in fit if s["reward"] == top)
            expected.append([*found["prompt"], *best["ids"], 0])
    written = [ids.tolist() for side in ("train", "val") for ids in rows(tmp_path / "out", side)]
    assert sorted(written) == sorted(expected) and 10 < len(expected) < 39
    assert counts["dropped"]["nothing is asked"] == 1 and counts["read"] == 40
    assert sum(counts["dropped"].values()) == 40 - len(expected)
    assert set(counts["dropped"]) == {
        "nothing is asked", "no sample without a failure", "no sample with a reward of 0.5 or more",
    }  # fmt: skip
    again = best_of(samples, tmp_path / "out", level=0.5, val_share=0.3)
    assert again.counts == counts


def test_refusals(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--level 1\.5"):
        best_of(samples, tmp_path / "a", level=1.5)
    with pytest.raises(UserError, match="no val record of 40 read"):
        best_of(samples, tmp_path / "b", level=0.5, val_share=1e-5)
    records = [{"prompt": f"玩{n}", "completion": "小兔子", "label": bool(n % 2)} for n in range(20)]
    source = write_records(tmp_path / "kto.jsonl", records)
    pairs(str(source), samples, tmp_path / "kto", form="unpaired", block_size=96, val_share=0.3)
    with pytest.raises(UserError, match="holds no pairs"):
        chosen(tmp_path / "kto", tmp_path / "c")
    assert not any((tmp_path / name).exists() for name in "abc")
