"""The order of training: mixtures in exact shares, curricula, near-duplicates kept apart, resume at any place."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokenizer.train import train_tokenizer
from litgpt_zh.tokens import mixing
from litgpt_zh.tokens.order import BANDS, CYCLE, Source, Stage, Stream, distances, epoch_order, spread
from litgpt_zh.tokens.stage import tokens

BLOCK = 32


def places(start: int, stop: int) -> np.ndarray:
    return np.arange(start, stop)


def test_one_source_is_the_permutation_of_seed_and_epoch() -> None:
    """Checkpoints written before there were mixtures go on with the same rows."""
    stream = Stream([Source("a", 50)], seed=7)
    expected = [np.random.default_rng((7, epoch)).permutation(50) for epoch in range(3)]
    assert (stream.numbers(places(0, 150)) == np.concatenate(expected)).all()
    assert stream.described() == {} and stream.taken(120) == [120]


def test_shares_are_exact_and_every_row_comes_once_an_epoch() -> None:
    stream = Stream([Source("a", 90), Source("b", 40)], 0, stages=[Stage((0.7, 0.3))])
    found = stream.numbers(places(0, 3 * CYCLE))
    for cycle in found.reshape(3, CYCLE):
        assert np.count_nonzero(cycle < 90) == 700
    for rows, first, size in ((found[found < 90], 0, 90), (found[found >= 90], 90, 40)):
        for epoch in range(len(rows) // size):
            assert sorted(rows[epoch * size : (epoch + 1) * size]) == list(range(first, first + size))
    assert stream.taken(3 * CYCLE) == [2100, 900]
    for place in (1, 999, 1000, 1234):
        assert stream.taken(place) == [np.count_nonzero(found[:place] < 90), np.count_nonzero(found[:place] >= 90)]


def test_stages_follow_one_another_and_any_place_can_be_asked_for() -> None:
    stages = [Stage((1.0, 0.0), 1500), Stage((0.2, 0.8), 333), Stage((0.5, 0.5))]
    sources = [Source("a", 170), Source("b", 60)]
    whole = Stream(sources, 3, stages=stages).numbers(places(0, 4000))
    assert (whole[:1500] < 170).all()
    assert 0.7 < np.mean(whole[1500:1833] >= 170) < 0.9 and np.mean(whole[1833:3833] >= 170) == 0.5
    ours = whole[whole < 170]  # epochs of a source go on over the stages
    assert all(sorted(ours[n : n + 170]) == list(range(170)) for n in range(0, len(ours) - 170, 170))
    for start in (0, 1490, 1501, 1830, 2905, 3990):
        fresh = Stream(sources, 3, stages=stages)
        assert (fresh.numbers(places(start, start + 10)) == whole[start : start + 10]).all()
    assert sum(Stream(sources, 3, stages=stages).taken(2222)) == 2222


def test_streams_that_cannot_be() -> None:
    two = [Source("a", 5), Source("b", 5)]
    with pytest.raises(ValueError, match="1/1000"):
        Stream(two, 0, stages=[Stage((0.9999, 0.0001))])
    with pytest.raises(ValueError, match="last"):
        Stream(two, 0, stages=[Stage((1.0, 0.0)), Stage((0.0, 1.0))])


def test_length_comes_in_bands_in_the_first_epoch() -> None:
    lengths = np.random.default_rng(0).integers(10, 400, 1000).astype(np.uint16)
    source = Source("a", 1000, lengths)
    first = lengths[epoch_order(source, 0, 0, order="length")].reshape(BANDS, 100).astype(int)
    assert all(first[n].max() <= first[n + 1].min() for n in range(BANDS - 1))
    assert (np.diff(first[0]) < 0).any()  # shuffled inside
    later = epoch_order(source, 0, 1, order="length")
    assert (later == epoch_order(source, 0, 1)).all()


def planted(rows: int, clusters: int, size: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack((rng.integers(0, rows, clusters * size), np.repeat(np.arange(clusters), size)))


@pytest.mark.parametrize(("clusters", "size", "least"), [(50, 2, 0.7), (400, 2, 0.4), (30, 5, 0.7), (1, 100, 0.7)])
def test_near_duplicates_stand_far_apart(clusters: int, size: int, least: float) -> None:
    """Of 400 clusters some have rows in common, which have to keep away from two relations."""
    rows = 4000
    pairs = np.unique(planted(rows, clusters, size, 1), axis=0)
    source = Source("a", rows, clusters=pairs)
    order = epoch_order(source, 5, 0)
    assert sorted(order) == list(range(rows))
    apart, by_chance = distances(order, pairs), distances(np.random.default_rng((5, 0)).permutation(rows), pairs)
    assert apart.min() > least * rows / size and apart.min() > 3 * by_chance.min()
    assert np.median(apart) >= 0.85 * rows / size
    assert not (order == epoch_order(source, 5, 1)).all()


def test_rows_of_several_clusters() -> None:
    """Every row has two relations: there is no perfect order, but a far better one than chance."""
    rng = np.random.default_rng(0)
    pairs = np.concatenate([np.column_stack((rng.permutation(1000), np.arange(1000) // 2 + n)) for n in (0, 500)])
    order = np.argsort(spread(1000, pairs, rng))
    apart = distances(order, pairs)
    assert apart.min() > 100 and np.median(apart) > 300


def test_distances_by_hand() -> None:
    pairs = np.array([[0, 9], [3, 9], [1, 8], [2, 9], [2, 7]])
    assert sorted(distances(np.array([0, 1, 2, 3]), pairs).tolist()) == [1, 2]
    assert distances(np.array([0]), np.array([[0, 1], [0, 1]])).tolist() == [0]


@pytest.mark.parametrize(
    ("mix", "stages", "message"),
    [
        ({"a": 1}, [{"mix": {"a": 1}}], "one of them"),
        ({"a": 0}, None, "above 0"),
        ({"a": True}, None, "above 0"),
        ({"b": 1}, None, r"a \(tokens_dir\) is not in it"),
        (None, [{"mix": {"a": 1}, "share": 3}], "number 1"),
        (None, [{"mix": {"a": 1}}, {"mix": {"b": 1}}], "number 1: every stage but the last"),
        (None, [{"mix": {"a": 1}, "tokens": 5}], "the last has none"),
        (None, [{"mix": {}}], "no folder"),
    ],
)
def test_mixtures_that_are_refused(mix: dict | None, stages: list | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        mixing.stages_of("a", mix, stages)


def test_a_mixture_from_settings() -> None:
    folders, parts = mixing.stages_of(Path("a"), None, [{"tokens": 6400, "mix": {"b": 1}}, {"mix": {"b": 1, "a": 3}}])
    assert folders == [Path("a"), Path("b")]
    assert parts == [({Path("b"): 1.0}, 6400), ({Path("b"): 1.0, Path("a"): 3.0}, None)]


# ---- from corpora to batches


def corpus(folder: Path, n: int, who: str, cluster: int = 0) -> Path:
    rng = random.Random(who)
    folder.mkdir(parents=True)
    lines = []
    for i in range(n):
        record = {
            "text": f"第{i}天，{who}去{rng.choice(('唱歌', '种花', '放风筝'))}。" + "大家很高兴。" * rng.randrange(4)
        }
        lines.append(
            json.dumps(record | ({"cluster": i % cluster} if cluster and i < 3 * cluster else {}), ensure_ascii=False)
        )
    (folder / "train-00000.jsonl").write_text("\n".join(lines[2:]) + "\n", encoding="utf-8")
    (folder / "val-00000.jsonl").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens folders ``rabbit`` and ``elephant`` of one tokenizer."""
    home = tmp_path_factory.mktemp("order")
    corpus(home / "c-rabbit", 300, "小兔子", cluster=20)
    corpus(home / "c-elephant", 200, "大象")
    train_tokenizer(home / "c-rabbit", home / "tok", vocab_size=450, hanzi="seen", dictionary_weight=0, segment=False)
    for name in ("rabbit", "elephant"):
        tokens(home / f"c-{name}", home / "tok", home / name, block_size=BLOCK, workers=1)
    return home


def test_rows_know_their_near_duplicates_and_lengths(home: Path) -> None:
    counts = Manifest.read(home / "rabbit").counts
    pairs, lengths = np.load(home / "rabbit" / "clusters.npy"), np.load(home / "rabbit" / "lengths.npy")
    rows = np.fromfile(home / "rabbit" / "train-00000.bin", "<u2").reshape(-1, BLOCK + 1)
    assert len(np.unique(pairs[:, 1])) == 20 and len(lengths) == counts["train"]["rows"] == len(rows)
    assert len(np.unique(pairs, axis=0)) == len(pairs)  # none twice in a row
    near = counts["near_duplicates"]
    assert near["clusters"] == 20 and 0 < near["least_distance"] <= near["median_distance"]
    assert 0.5 * len(rows) / 3 < near["least_distance"]
    ends = (rows == Manifest.read(home / "rabbit").settings["eos_id"]).sum(1)
    assert np.corrcoef(ends, lengths)[0, 1] < -0.5  # short stories: many to a row
    assert "near_duplicates" not in Manifest.read(home / "elephant").counts
    assert not (home / "elephant" / "clusters.npy").exists()


def module(home: Path, **fields):
    from litgpt_zh.tokens.data import PackedTokens

    data = PackedTokens(tokens_dir=home / "rabbit", **fields)
    data.connect(batch_size=8, max_seq_length=BLOCK)
    data.prepare_data()
    data.setup()
    return data


def batches(loader, count: int) -> list[np.ndarray]:
    from litgpt.utils import CycleIterator

    iterator = CycleIterator(loader)
    return [next(iterator).numpy() for _ in range(count)]


def is_elephant(home: Path, batch: np.ndarray) -> np.ndarray:
    theirs = {row.tobytes() for row in np.fromfile(home / "elephant" / "train-00000.bin", "<u2").reshape(-1, BLOCK + 1)}
    return np.array([row.astype("<u2").tobytes() in theirs for row in batch])


@pytest.mark.usefixtures("english")
def test_mixture_through_the_loader_and_exact_resume(home: Path) -> None:
    mix = {str(home / "rabbit"): 3, str(home / "elephant"): 1}
    data = module(home, mix=mix, order="length")
    straight = batches(data.train_dataloader(), CYCLE // 8 * 2)
    assert is_elephant(home, np.concatenate(straight)[:CYCLE]).sum() == 250
    lines = data.told(CYCLE)
    assert len(lines) == 3 and "75.0% of the training" in lines[0] and "near-duplicates of 20 clusters" in lines[1]
    assert lines[2].startswith(f"{home / 'elephant'}: 25.0% of the training, ")
    loader = module(home, mix=mix, order="length").train_dataloader()
    first = batches(loader, 13)
    resumed = module(home, mix=mix, order="length").train_dataloader()
    resumed.load_state_dict(json.loads(json.dumps(loader.state_dict())))
    assert (np.stack(first + batches(resumed, 200)) == np.stack(straight[:213])).all()
    for other in ({"mix": {**mix, str(home / "rabbit"): 2}, "order": "length"}, {"mix": mix}, {"order": "length"}):
        with pytest.raises(UserError, match="other data"):
            module(home, **other).train_dataloader().load_state_dict(loader.state_dict())


def test_stages_by_tokens(home: Path) -> None:
    stages = [{"tokens": 40 * BLOCK, "mix": {str(home / "elephant"): 1}}, {"mix": {str(home / "rabbit"): 1}}]
    seen = is_elephant(home, np.concatenate(batches(module(home, stages=stages).train_dataloader(), 10)))
    assert seen[:40].all() and not seen[40:].any()


def test_folders_that_do_not_go_together(home: Path, tmp_path: Path) -> None:
    tokens(home / "c-elephant", home / "tok", tmp_path / "wide", block_size=64, workers=1)
    with pytest.raises(UserError, match=r"wide: rows are made for block_size 64, the model has 32"):
        module(home, mix={str(home / "rabbit"): 1, str(tmp_path / "wide"): 1})
    train_tokenizer(
        home / "c-rabbit", tmp_path / "tok", vocab_size=446, hanzi="seen", dictionary_weight=0, segment=False
    )
    tokens(home / "c-elephant", tmp_path / "tok", tmp_path / "other", block_size=BLOCK, workers=1)
    with pytest.raises(UserError, match="other: made with another tokenizer than"):
        module(home, mix={str(home / "rabbit"): 1, str(tmp_path / "other"): 1})
    with pytest.raises(UserError, match="mix: a share is smaller"):
        module(home, mix={str(home / "rabbit"): 1, str(home / "elephant"): 1e-5})
    shutil.copytree(home / "elephant", tmp_path / "cut")
    (tmp_path / "cut" / "train-00000.bin").write_bytes(b"\0\0")
    with pytest.raises(UserError, match=r"cut/train-00000\.bin: 2 bytes"):
        module(home, mix={str(home / "rabbit"): 1, str(tmp_path / "cut"): 1})


def test_folders_made_before_there_were_lengths(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "rabbit", tmp_path / "rabbit")
    manifest = Manifest.read(tmp_path / "rabbit")
    for name in ("lengths.npy", "clusters.npy"):
        del manifest.outputs[name]
        (tmp_path / "rabbit" / name).unlink()
    manifest.write(tmp_path / "rabbit")
    assert len(batches(module(tmp_path).train_dataloader(), 2)) == 2
    with pytest.raises(UserError, match="does not tell the length"):
        module(tmp_path, order="length")


@pytest.mark.parametrize("name", ["pretrain", "pretrain-continue"])
def test_recipes_are_read_as_litgpt_reads_them(name: str) -> None:
    from litgpt_zh import recipes

    recipe = recipes.read(Path(__file__).parents[1] / f"recipes/{name}.yaml", "")
    recipes.check(recipe)
    recipe["data"]["init_args"] |= {
        "mix": None,
        "order": "length",
        "stages": [{"tokens": 5, "mix": {"a/b.c-d": 0.5}}, {"mix": {"a": 1}}],
    }
    recipes.check(recipe)
    recipe["data"]["init_args"]["order"] = "longest"
    with pytest.raises(UserError, match="data"):
        recipes.check(recipe)
