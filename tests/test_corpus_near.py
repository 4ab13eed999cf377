"""Near-duplicates: the maths by hand, planted copies, the split, stop and go on, worker counts."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

from litgpt_zh.corpus import near, shards, thin
from litgpt_zh.corpus.clean import content
from litgpt_zh.corpus.shards import Shards, read_shards
from litgpt_zh.corpus.stage import corpus
from litgpt_zh.corpus.world import generate
from litgpt_zh.stage import Manifest, UserError, exclusive

STORIES = [story.text for story in generate(7, 0, 120)]


def edited(text: str, share: float, rng: random.Random) -> str:
    """``share`` of the Chinese characters replaced, at places drawn by lot, the last few left alone."""
    places = [at for at, char in enumerate(text[:-5]) if char.isalpha()]
    chars = list(text)
    for at in rng.sample(places, round(share * len(places))):
        chars[at] = rng.choice([char for char in rng.choice(STORIES) if char.isalpha()])
    return "".join(chars)


def put(folder: Path, texts: list[str], name: str = "in.jsonl", **fields: list[Any]) -> str:
    rows = [{"text": text} | {key: values[n] for key, values in fields.items()} for n, text in enumerate(texts)]
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(folder / name)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}


def records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {split: list(read_shards(folder, split)) for split in ("train", "val")}


def kept(folder: Path) -> set[str]:
    return {record["text"] for side in records(folder).values() for record in side}


# the maths


def jaccard(one: str, other: str) -> float:
    return float(near.jaccard([content(one), content(other)], np.array([[0, 1]]))[0])


def test_jaccard_by_hand() -> None:
    assert jaccard("小兔子跑", "小兔子跳") == 1 / 3  # {小兔子, 兔子跑} and {小兔子, 兔子跳}
    assert jaccard("哈哈哈哈哈", "哈哈哈") == 1  # a set: how often does not count
    assert jaccard("小兔子，跑了。", "小 兔子跑了！") == 1  # nor do marks and spaces
    assert jaccard("一二三四五六", "七八九十百千") == 0
    assert jaccard("好", "好") == jaccard("", "") == 1  # shorter than a gram
    assert jaccard("ab好", "好ab") == 0
    rng = random.Random(0)
    for _ in range(20):
        a, b = ("".join(rng.choices("一二三四", k=rng.randrange(3, 30))) for _ in range(2))
        one, other = ({t[n : n + 3] for n in range(len(t) - 2)} for t in (a, b))
        assert jaccard(a, b) == len(one & other) / len(one | other)


def test_what_many_stories_share_does_not_count_unless_it_is_most_of_a_story() -> None:
    texts = ["从前有一只兔子", "从前有一只松鼠", "从前有一个"] + [f"从前有{n}" for n in range(20)]
    contents = [content(text) for text in texts]
    usual = near.common(contents, 0.5)
    assert usual.tolist() == near.sets([content("从前有")])[0].tolist()
    assert near.common(contents[:20], 0.5).tolist() == []  # twenty stories are too few to tell
    # {从前有, 前有一, 有一只, 一只兔, 只兔子} and {..., 一只松, 只松鼠}: 3 of 7, without the first 2 of 6
    pairs = np.array([[0, 1], [0, 3]])
    assert near.jaccard(contents, pairs).tolist() == [3 / 7, 1 / 6]
    assert near.jaccard(contents, pairs, usual).tolist() == [2 / 6, 0]
    both = near.sets([content("从前有一")])[0]  # more than half of the third: {从前有, 前有一, 有一个}
    assert near.jaccard(contents, np.array([[0, 2]]), both).tolist() == [2 / 6]


def test_many_pairs_at_once_are_compared_like_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [content(text) for text in STORIES[:30]]
    pairs = np.array([(i, j) for i in range(30) for j in range(i + 1, 30)])
    one_by_one = [jaccard(STORIES[i], STORIES[j]) for i, j in pairs]
    monkeypatch.setattr(near, "_TOGETHER", 7)
    assert near.jaccard(contents, pairs).tolist() == one_by_one


def test_the_longest_common_subsequence_by_hand_and_by_the_textbook() -> None:
    assert near.subsequence("小兔子跑了", "小白兔跑得快") == 3  # 小兔跑
    assert near.subsequence("一二三四", "四三二一") == 1
    assert near.subsequence("", "一") == near.subsequence("一", "") == 0
    rng = random.Random(0)
    for length in (*range(20), 63, 64, 65, 200):  # across the borders of machine words
        one, other = ("".join(rng.choices("一二三四五", k=k)) for k in (length, rng.randrange(1, 150)))
        table = [[0] * (len(other) + 1)]
        for a in one:
            row = [0]
            for n, b in enumerate(other):
                row.append(table[-1][n] + 1 if a == b else max(table[-1][n + 1], row[-1]))
            table.append(row)
        assert near.subsequence(one, other) == table[-1][-1]


def test_what_is_the_same_around_a_change_by_hand() -> None:
    assert near.around("小兔子跑了", "小兔子也跑了") == near.around("小兔子也跑了", "小兔子跑了") == 5
    assert near.around("哈哈哈", "哈哈") == 2  # not the same characters twice
    assert near.around("一二三", "四五六") == near.around("", "一") == 0


def test_in_a_middling_pair_the_changes_are_few_or_in_one_place() -> None:
    text = content(STORIES[0]).decode()
    size, other = len(text), content(STORIES[1]).decode()
    scattered = edited(text, 0.1, random.Random(0))
    rewritten = text[: size // 2] + other[: size // 5] + text[size // 2 + size // 5 :]
    longer = text[: size // 2] + other[: size // 2] + text[size // 2 :]
    retold = "".join(other[n : n + 8] if n % 32 == 0 else text[n : n + 8] for n in range(0, size, 8))
    ends = other[: size // 6] + text[size // 6 : -size // 6] + other[-size // 6 :]
    contents = [content(t) for t in (text, scattered, rewritten, longer, retold, ends)]
    pairs = np.array([[0, n] for n in range(1, len(contents))])
    alike = near.jaccard(contents, pairs)
    assert (alike > 0.4).all() and (alike < near.SURE).all()
    assert near.similarity(contents, pairs, 0.4).tolist() == [*alike[:3], 0, 0]
    assert near.similarity(contents, pairs, near.SURE).tolist() == alike.tolist()  # what is below does not matter


def test_so_many_changes_alone_or_in_clauses() -> None:
    """Of 90 grams 10 single changes break 30: 60 are shared, of 120."""
    assert near.scattered(60 / 120) == pytest.approx(10 / 90)
    assert near.scattered(1) == 0
    text = "".join(content(story).decode() for story in STORIES[:2])[:120]

    def changed(length: int) -> bytes:
        """12 of the 120 characters, in runs of ``length`` that are evenly apart."""
        at = [start + n for start in range(5, 120, 10 * length) for n in range(length)]
        assert len(at) == 12 and len(text) == 120
        return "".join("〇" if n in at else char for n, char in enumerate(text)).encode()

    contents = [text.encode(), *map(changed, (1, 2, 3))]
    pairs = np.array([[0, 1], [0, 2], [0, 3]])
    alike = near.jaccard(contents, pairs)
    assert (alike < near.SURE).all() and (np.diff(alike) > 0).all()  # the longer the runs, the fewer grams are broken
    assert near.similarity(contents, pairs, 0.5).tolist() == [
        *alike[:2],
        0,
    ]  # and yet those of three are a story retold


def test_stars_hold_what_is_alike_to_the_one_that_stays() -> None:
    chain = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
    assert near.stars(np.arange(6), chain).tolist() == [0, 0, 2, 2, 4, 5]
    assert near.clusters(6, chain).tolist() == [0, 0, 0, 0, 0, 5]
    # the story that is preferred stays: 3, then 1 (2 and 4 are alike to 3, 0 to 1)
    assert near.stars(np.array([3, 1, 0, 2, 4, 5]), chain).tolist() == [1, 1, 3, 3, 3, 5]
    assert near.stars(np.arange(3), np.empty((0, 2), np.int64)).tolist() == [0, 1, 2]
    rng = np.random.default_rng(0)
    pairs = np.sort(rng.integers(0, 50, (80, 2)), axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    order = rng.permutation(50)
    kept = near.stars(order, pairs)
    alike = {tuple(pair) for pair in [*pairs.tolist(), *pairs[:, ::-1].tolist()]}
    stay = set(np.flatnonzero(kept == np.arange(50)).tolist())
    assert not any((one, other) in alike for one in stay for other in stay)
    assert all((story, star) in alike and star in stay for story, star in enumerate(kept.tolist()) if story not in stay)


def test_chance_of_meeting_in_a_band_by_hand() -> None:
    assert near.chance(0.5, bands=2, rows=2) == 1 - 0.75 * 0.75
    assert near.chance(0.5, bands=3, rows=1) == 1 - 0.5**3
    assert (near.chance(0.0), near.chance(1.0)) == (0, 1)


def test_signatures_estimate_the_similarity_and_do_not_depend_on_company(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    texts = [text for story in STORIES for text in (story, edited(story, 0.1, rng))]
    contents = [content(text) for text in texts]
    marks = near.signatures(contents)
    pairs = np.arange(len(texts)).reshape(-1, 2)
    true, estimated = near.jaccard(contents, pairs), near.estimates(marks, pairs)
    spread = np.sqrt(true * (1 - true) / near.HASHES)
    assert abs((estimated - true).mean()) < 3 * spread.mean() / len(pairs) ** 0.5
    assert (abs(estimated - true) < 4 * spread).all()
    monkeypatch.setattr(near, "_PIECES", 500)
    assert (near.signatures(contents) == marks).all()
    assert (near.signatures(contents[5:6]) == marks[5:6]).all()
    assert near.signatures([]).shape == (0, near.HASHES)
    values, starts = near.grams([content("一二三四"), content("好"), content("五六七")])
    assert np.diff(starts).tolist() == [2, 1, 1] and len(set(values.tolist())) == 4  # none reaches across two stories


def met(marks: np.ndarray, band: int) -> tuple[set[tuple[int, int]], int]:
    parts, left_out = near.candidates(marks, band)
    return {(one, other) for part in parts for one, other in part.tolist()}, left_out


def test_candidates_agree_in_every_row_of_the_band(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = np.arange(6 * near.HASHES, dtype=np.uint32).reshape(6, -1)
    marks[[0, 2, 5], 4:8] = 1  # band 1
    marks[[3, 4], 4:8] = 2
    marks[1, 4:7] = 1  # three rows of four
    expected = {(0, 2), (0, 5), (2, 5), (3, 4)}
    assert met(marks, 1) == (expected, 0)
    assert met(marks, 0) == (set(), 0)
    monkeypatch.setattr(near, "_AT_ONCE", 1)
    assert met(marks, 1) == (expected, 0)
    marks[:, :4] = 9
    monkeypatch.setattr(near, "CROWD", 5)
    monkeypatch.setattr(near, "WINDOW", 2)
    pairs = {(i, j) for i in range(6) for j in (i + 1, i + 2) if j < 6}
    assert met(marks, 0) == (pairs, 15 - len(pairs))  # what a crowd leaves out is counted


def test_of_every_story_the_strongest_pairs_are_compared() -> None:
    pairs = np.array([(0, 3), (1, 3), (0, 3), (2, 3), (0, 1), (1, 4)])
    looks = np.array([0.6, 0.9, 0.6, 0.6, 0.5, 0.5], np.float32)
    chosen, left_out = thin.strongest(pairs[:, 0] * 5 + pairs[:, 1], looks, 5, most=2)
    assert pairs[chosen].tolist() == [[0, 1], [0, 3], [1, 3], [1, 4]]
    assert left_out == 1


def test_clusters_are_connected_components() -> None:
    pairs = np.array([[4, 5], [1, 5], [2, 3], [1, 4]])
    assert near.clusters(7, pairs).tolist() == [0, 1, 2, 2, 1, 1, 6]
    assert near.clusters(3, np.empty((0, 2), np.int64)).tolist() == [0, 1, 2]


def test_spread_by_hand() -> None:
    labels = np.array([0, 0, 2, 3, 4, 5])
    order = near.spread(labels)
    assert sorted(order.tolist()) == list(range(6))
    assert near.distances(labels, np.argsort(order)).tolist() == [3]  # six stories, two alike
    assert [n for n in order.tolist() if n > 1] == [2, 3, 4, 5]  # the others keep their order
    assert near.distances(labels, np.arange(6)).tolist() == [1]
    assert near.spread(np.arange(5)).tolist() == list(range(5))
    assert near.distances(np.arange(5), np.arange(5)).tolist() == []


def test_spread_comes_close_to_the_most_that_is_possible() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 12, size=300)
    labels = np.concatenate([np.repeat(np.arange(300), sizes), 1000 + np.arange(8000)])
    order = near.spread(labels)
    assert np.sort(order).tolist() == list(range(len(labels)))
    place = np.argsort(order)
    for n, size in enumerate(sizes):
        least = np.diff(np.sort(place[labels == n])).min()
        assert least > 0.9 * len(labels) / size


# the stage


@pytest.mark.parametrize(("share", "bar"), [(0.05, 1.0), (0.10, 0.9)])
def test_planted_copies_are_found_and_nothing_else(tmp_path: Path, share: float, bar: float) -> None:
    rng = random.Random(2)
    copies = [edited(text, share, rng) for text in STORIES[:100]]
    manifest = corpus(put(tmp_path, STORIES + copies), tmp_path / "out", workers=1)
    counts = manifest.counts
    assert kept(tmp_path / "out") >= set(STORIES)  # the first stays, and no story is lost to another
    assert counts["dropped"] == {thin.NEAR_DUPLICATE: counts["near"]["clusters"]}
    assert counts["near"]["clusters"] >= bar * 100
    assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    assert counts["train"] + counts["val"] == counts["kept"] == len(kept(tmp_path / "out"))


def test_a_rewritten_span_is_found(tmp_path: Path) -> None:
    rng = random.Random(3)
    copies = []
    for text in STORIES[:100]:
        span = len(text) // 5
        at = rng.randrange(len(text) - span - 5)
        copies.append(text[:at] + rng.choice(STORIES)[:span] + text[at + span :])
    counts = corpus(put(tmp_path, STORIES + copies), tmp_path / "out").counts
    assert counts["near"]["clusters"] >= 99


def generations(text: str, count: int, rng: random.Random) -> list[str]:
    """A copy of a copy of a copy: each alike to the one before and not to the one before that."""
    found = [text]
    while len(found) < count:
        new = edited(found[-1], 0.09, rng)
        if jaccard(new, found[-1]) >= 0.55 and all(jaccard(new, old) < 0.48 for old in found[:-1]):
            found.append(new)
    return found


@pytest.mark.parametrize(("mode", "stay"), [("first", [0, 2, 4]), ("longest", [1, 3]), ("keep", [0, 1, 2, 3, 4])])
def test_no_chain_joins_the_unlike(tmp_path: Path, mode: str, stay: list[int]) -> None:
    chain = generations(STORIES[0], 5, random.Random(1))
    chain = [text + "好。" * (n % 2) for n, text in enumerate(chain)]  # 1 and 3 are the longest
    counts = corpus(put(tmp_path, chain + STORIES[1:20]), tmp_path / "out", near=mode).counts
    assert kept(tmp_path / "out") == {chain[n] for n in stay} | set(STORIES[1:20])
    sizes = {"first": {"2": 2}, "longest": {"2": 1, "3": 1}, "keep": {"5": 1}}
    assert counts["near"]["sizes"] == sizes[mode]


def test_what_was_thinned_once_is_thin(tmp_path: Path) -> None:
    rng = random.Random(11)
    texts = [*STORIES[:40], *(edited(text, share, rng) for text in STORIES[:20] for share in (0.03, 0.08, 0.12))]
    assert corpus(put(tmp_path, texts), tmp_path / "out").counts["dropped"][thin.NEAR_DUPLICATE] >= 40
    again = corpus(put(tmp_path, sorted(kept(tmp_path / "out"), key=texts.index), "again.jsonl"), tmp_path / "again")
    assert again.counts["dropped"] == {}


def test_a_shared_opening_is_no_duplicate(tmp_path: Path) -> None:
    opening = "从前，在一片很大很大的森林里，住着许多快乐的小动物，它们每天都在一起唱歌、跳舞、做游戏。"
    texts = [opening + text for text in STORIES]
    assert corpus(put(tmp_path, texts), tmp_path / "out").counts["dropped"] == {}


def test_a_crowd_is_still_one_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "CROWD", 6)
    monkeypatch.setattr(near, "WINDOW", 2)
    rng = random.Random(9)
    crowd = [edited(STORIES[0], 0.04, rng) for _ in range(80)]
    counts = corpus(put(tmp_path, crowd + STORIES[1:]), tmp_path / "out").counts
    assert counts["near"]["sizes"] == {"80": 1}
    assert counts["near"]["pairs left out of crowded bands"] > 1000


def test_a_progress_bar_that_is_off_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(9)
    source = put(tmp_path, STORIES[:20] + [edited(STORIES[0], 0.02, rng) for _ in range(20)])
    shown = corpus(source, tmp_path / "shown")
    monkeypatch.setattr(thin, "progress", lambda *_, **__: tqdm(disable=True))  # as with TQDM_DISABLE=1
    assert corpus(source, tmp_path / "off").counts == shown.counts


def test_which_one_stays(tmp_path: Path) -> None:
    longer = STORIES[0] + "大家都笑了。"
    source = put(tmp_path, [STORIES[0], longer, *STORIES[1:9]])
    for near_, stays in (("first", {STORIES[0]}), ("longest", {longer}), ("off", {STORIES[0], longer})):
        counts = corpus(source, tmp_path / near_, near=near_).counts
        assert kept(tmp_path / near_) & {STORIES[0], longer} == stays
        assert ("near" in counts) == (near_ != "off")
    assert corpus(source, tmp_path / "strict", near_threshold=1.0).counts["kept"] == 10
    with pytest.raises(UserError, match="already made with other near"):
        corpus(source, tmp_path / "first", near="longest")


@pytest.mark.usefixtures("english")
def test_the_manifest_says_what_was_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(4)
    texts = [*STORIES, edited(STORIES[0], 0.02, rng), edited(STORIES[0], 0.02, rng), edited(STORIES[1], 0.1, rng)]
    corpus(put(tmp_path, texts), tmp_path / "out")
    told = "5 stories in 2 clusters; to drop at other thresholds 0.5: 3, 0.6: "
    assert told in capsys.readouterr().out
    found = Manifest.read(tmp_path / "out").counts["near"]
    assert (found["clusters"], found["stories"], found["sizes"]) == (2, 5, {"2": 1, "3": 1})
    assert list(found["thresholds"]) == ["0.5", "0.6", "0.7", "0.8", "0.9"]
    assert found["thresholds"]["0.5"] == {"clusters": 2, "dropped": 3}
    assert found["thresholds"]["0.8"] == {"clusters": 1, "dropped": 2}
    dropped = [at["dropped"] for at in found["thresholds"].values()]
    assert dropped == sorted(dropped, reverse=True)
    example = found["examples"][0]
    assert example["similarity"] == round(jaccard(STORIES[1], texts[-1]), 3)
    assert (example["one"], example["other"]) == (STORIES[1][:200], texts[-1][:200])


def test_a_higher_threshold_still_tells_of_lower_ones(tmp_path: Path) -> None:
    texts = [*STORIES, edited(STORIES[0], 0.06, random.Random(5))]
    counts = corpus(put(tmp_path, texts), tmp_path / "out", near_threshold=0.85).counts
    assert counts["dropped"] == {}
    assert counts["near"]["thresholds"]["0.5"]["dropped"] == 1
    assert counts["near"]["thresholds"]["0.85"]["dropped"] == 0


@pytest.mark.parametrize("grouped", [False, True])
def test_a_cluster_that_is_kept_never_straddles_the_split(tmp_path: Path, grouped: bool) -> None:
    rng = random.Random(6)
    texts = [t for text in STORIES for t in (text, edited(text, 0.03, rng), edited(text, 0.03, rng))]
    groups = [f"g{n // 4}" for n in range(len(texts))]  # four clusters and three groups hang together
    order = rng.sample(range(len(texts)), len(texts))
    fields = {"group": [groups[n] for n in order]} if grouped else {}
    source = put(tmp_path, [texts[n] for n in order], **fields)
    corpus(source, tmp_path / "out", near="keep", val_share=0.3)
    assert kept(tmp_path / "out") == set(texts)
    sides = records(tmp_path / "out")
    for key, least in (("cluster", 115), ("group", 90))[: 1 + grouped]:
        one, other = ({record[key] for record in sides[split] if key in record} for split in ("train", "val"))
        assert not one & other
        assert one and other and len(one | other) >= least


def test_stories_alone_have_no_cluster_and_the_alike_stand_apart(tmp_path: Path) -> None:
    texts = [*STORIES[:60], edited(STORIES[3], 0.02, random.Random(7)), *STORIES[60:]]
    counts = corpus(put(tmp_path, texts), tmp_path / "out", near="keep", val_share=1e-9).counts
    train = records(tmp_path / "out")["train"]
    at = [n for n, record in enumerate(train) if "cluster" in record]
    assert [train[n]["cluster"] for n in at] == [0, 0]
    apart = {"min": at[1] - at[0], "median": float(at[1] - at[0]), "of": len(train)}
    assert counts["near"]["distance"] == {"train": apart}
    assert apart["min"] >= 58  # of 120
    alone = [record["text"] for record in train if "cluster" not in record]
    assert alone == [text for text in texts if text in set(alone)]


def test_everything_alike(tmp_path: Path) -> None:
    texts = [STORIES[0], STORIES[0] + "好。"]
    with pytest.raises(UserError, match="near-duplicate 1; a corpus needs two stories or more"):
        corpus(put(tmp_path, texts), tmp_path / "out")
    with pytest.raises(UserError, match="one group"):
        corpus(put(tmp_path, texts), tmp_path / "out", near="keep")
    with pytest.raises(UserError, match="near_threshold"):
        corpus(put(tmp_path, texts), tmp_path / "out", near_threshold=0.2)
    with pytest.raises(UserError, match="does nothing with --near off"):
        corpus(put(tmp_path, texts), tmp_path / "out", near="off", near_threshold=0.7)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A source with copies, in shards and jobs so small that there are several of each."""
    monkeypatch.setattr(shards, "SHARD", 50)
    monkeypatch.setattr(thin, "_PAIRS", 10)
    rng = random.Random(8)
    return put(tmp_path, [t for text in STORIES for t in (text, edited(text, 0.05, rng))])


@pytest.mark.parametrize("mode", ["first", "keep"])
@pytest.mark.parametrize("where", ["_search", "_compare", "writing", "tidying"])
def test_stopped_while_dividing_it_goes_on(
    tmp_path: Path, crowded: str, monkeypatch: pytest.MonkeyPatch, where: str, mode: str
) -> None:
    whole = corpus(crowded, tmp_path / "whole", near=mode, workers=1)
    left = [7]

    def failing(original: Any) -> Any:
        def call(*args: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return original(*args)

        return call

    with monkeypatch.context() as patched:
        if where == "writing":
            write = Shards.write
            patched.setattr(
                Shards, "write", lambda self, line: (write if self.split == "stories" else failing(write))(self, line)
            )
        elif where == "tidying":
            unlink = Path.unlink
            left[0] = 2
            patched.setattr(
                Path,
                "unlink",
                lambda self, **k: (failing(unlink) if self.name.startswith("stories") else unlink)(self, **k),
            )
        else:
            patched.setattr(thin, where, failing(getattr(thin, where)))
        with pytest.raises(UserError, match="disk full"):
            corpus(crowded, tmp_path / "out", near=mode, workers=1)
    assert not (tmp_path / "out").exists() and (tmp_path / "out.partial").exists()
    again = corpus(crowded, tmp_path / "out", near=mode, workers=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert again.counts == whole.counts
    assert {path.name.partition("-")[0] for path in (tmp_path / "out").iterdir()} == {"train", "val", "manifest.json"}


def test_the_number_of_workers_changes_nothing(tmp_path: Path, crowded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = corpus(crowded, tmp_path / "one", workers=1)
    monkeypatch.setattr(shards, "SHARD", 50_000)  # the processes know nothing of the patch
    monkeypatch.setattr(thin, "_SMALL", 0)
    two = corpus(crowded, tmp_path / "two", workers=2)
    assert one.counts == two.counts
    assert records(tmp_path / "one") == records(tmp_path / "two")


def test_two_runs_never_write_to_one_folder(tmp_path: Path) -> None:
    source = put(tmp_path, STORIES)
    with exclusive(tmp_path / "out"), pytest.raises(UserError, match="another process is writing"):
        corpus(source, tmp_path / "out")
    assert corpus(source, tmp_path / "out").counts["kept"] == len(STORIES)
