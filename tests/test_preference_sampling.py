"""Pairs from a model's own samples: which are chosen, what is written, and the same in every run."""

from __future__ import annotations

import inspect
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_checkpoint import LETTER, letter_records, write_letters, write_records
from tokenizers import Tokenizer

from litgpt_zh.constraints import Constraints
from litgpt_zh.corpus.world import generate
from litgpt_zh.generate import memory
from litgpt_zh.generate.load import load
from litgpt_zh.instruct.stage import side_of
from litgpt_zh.preference import sample as sample_module
from litgpt_zh.preference.answers import processes
from litgpt_zh.preference.choose import Balance, Scored, best_worst, classic
from litgpt_zh.preference.pairing import pair_samples
from litgpt_zh.preference.requests import requests
from litgpt_zh.preference.rewards import failure, measure
from litgpt_zh.preference.sample import sample_pairs
from litgpt_zh.prompts import ASSISTANT, USER, chat_prompt, story_request
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.translate.endpoint import Endpoint

FAIR = {"margin": 0.2, "most": 2, "length_ratio": 0.8}


def scored(reward: float, tokens: int = 10, finished: bool = True, text: str = "小兔子在草地上玩。") -> Scored:
    return Scored((*range(tokens), int(reward * 1000)), text, finished, reward)


# choosing ------------------------------------------------------------------------------------------------------------


def test_the_best_goes_with_the_worst_then_the_next_best() -> None:
    four = [scored(r) for r in (0.5, 0.9, 0.1, 0.8)]
    assert best_worst(four, **FAIR) == ([(1, 2), (3, 0)], None)
    assert best_worst(four, **{**FAIR, "most": 1}) == ([(1, 2)], None)


def test_of_many_samples_the_extreme_minimum_is_not_rejected() -> None:
    five = [scored(r) for r in (0.5, 0.9, 0.1, 0.8, 0.3)]
    assert best_worst(five, **FAIR) == ([(1, 4), (3, 0)], None)


def test_no_ties_and_no_small_margins() -> None:
    assert best_worst([scored(0.5), scored(0.5)], **FAIR) == ([], "rewards too close")
    assert best_worst([scored(0.5), scored(0.65)], **FAIR) == ([], "rewards too close")
    assert best_worst([scored(0.5), scored(0.75)], **FAIR)[0] == [(1, 0)]


def test_lengths_must_be_alike() -> None:
    assert best_worst([scored(0.9, 19), scored(0.1, 9)], **FAIR) == ([], "lengths too far apart")
    assert best_worst([scored(0.9, 19), scored(0.1, 9), scored(0.2, 16)], **FAIR)[0] == [(0, 2)]
    assert best_worst([scored(0.9, 9), scored(0.1, 11)], **FAIR)[0] == [(0, 1)]


def test_a_failure_is_never_chosen_but_may_be_rejected() -> None:
    cut = scored(0.0, finished=False)
    assert best_worst([cut, cut], **FAIR) == ([], "no sample without a failure")
    assert best_worst([scored(0.9, finished=False), scored(0.6)], **FAIR) == ([], "rewards too close")
    assert best_worst([cut, scored(0.6)], **FAIR)[0] == [(1, 0)]
    empty = scored(0.0, text="")
    assert best_worst([empty, scored(0.6)], **FAIR) == ([], "rewards too close")


def repeating(reward: float, repetition: float) -> Scored:
    return replace(scored(reward), parts={"words": reward, "repetition": repetition})


COSTLY = [repeating(0.9, 0.5), repeating(0.2, 0.75)]


def test_a_better_side_may_be_asked_to_be_no_worse_in_a_part() -> None:
    rule = Balance(("repetition",), {})
    assert best_worst(COSTLY, **FAIR)[0] == [(0, 1)]
    assert best_worst(COSTLY, **FAIR, balance=rule) == ([], "better only at the cost of repetition")
    assert best_worst([*COSTLY, repeating(0.3, 0.5)], **FAIR, balance=rule)[0] == [(0, 2)]
    assert best_worst([COSTLY[0], scored(0.0, finished=False)], **FAIR, balance=rule)[0] == [(0, 1)]


def test_or_together_the_better_sides() -> None:
    balance = Balance((), {"repetition": 0.0})
    refused = ([], "better only at the cost of repetition")
    assert best_worst(COSTLY, **FAIR, balance=balance) == refused and balance.sums == {"repetition": 0.0}
    free = [repeating(0.9, 0.75), repeating(0.2, 0.5)]
    assert best_worst(free, **FAIR, balance=balance)[0] == [(0, 1)] and balance.sums == {"repetition": 0.25}
    assert best_worst(COSTLY, **FAIR, balance=balance)[0] == [(0, 1)]  # paid for by the one before
    assert balance.sums == {"repetition": 0.0} and best_worst(COSTLY, **FAIR, balance=balance) == refused


def test_classic_rejects_any_other_sample() -> None:
    story = scored(0.2, text="草地上有小兔子在玩。")
    samples = [scored(0.9, 50), story, scored(0.8), scored(0.7), scored(0.1)]
    assert classic(story, samples, most=2, length_ratio=0.8) == ([2, 3], None)
    assert classic(story, samples[:1], most=2, length_ratio=0.8) == ([], "lengths too far apart")
    assert classic(story, [story], most=2, length_ratio=0.8) == ([], "no sample to reject")


# requests ------------------------------------------------------------------------------------------------------------


def asked_of(source: Path | None, count: int = 10, **settings: object) -> list:
    given = {"fields": {}, "seed": 0, "world_seed": 5} | settings
    return list(requests(source, count=count, **given))  # type: ignore[arg-type]


def test_requests_of_records(tmp_path: Path) -> None:
    records = [
        {"words": ["铲子"], "sentence": "天黑了。", "text": "故事", "group": 7},
        {"text": "好。"},
        {"words": ["草"]},
    ]
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    first, nothing, last = asked_of(file)
    assert nothing is None and first.asked == Constraints(("铲子",), sentence="天黑了。")
    assert first.prompt == chat_prompt([("user", story_request(first.asked))]) and first.group == "7"
    assert last.group == last.prompt and last.story == ""
    thin = asked_of(file, fields={"sentence": 0.0})[0]
    assert thin.asked == Constraints(("铲子",)) and "随机句子" not in thin.prompt
    with pytest.raises(UserError, match="no such file"):
        asked_of(tmp_path / "nothing.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no train-"):
        asked_of(tmp_path / "empty")


def test_requests_of_a_corpus_folder_are_training_stories(tmp_path: Path) -> None:
    for split, word in (("train", "铲子"), ("val", "草地")):
        (tmp_path / f"{split}-00000.jsonl").write_text(json.dumps({"words": [word], "text": "x"}) + "\n")
    assert [r.asked.words for r in asked_of(tmp_path)] == [("铲子",)]


def test_requests_of_the_world_are_new_ones() -> None:
    one, two = asked_of(None, 4), asked_of(None, 4, world_seed=6)
    assert len(one) == 4 and not {r.prompt for r in one} & {r.prompt for r in two}
    assert all(word in r.story for r in one for word in r.asked.words)
    told = list(generate(5, 0, 3, plots=["搬家"]))
    assert [r.story for r in asked_of(None, 3, plots=["搬家"])] == [s.text for s in told]
    assert {s.plot for s in told} == {"搬家"}


def test_a_later_round_goes_on_behind_an_earlier_one(tmp_path: Path) -> None:
    assert asked_of(None, 2, skip=2) == asked_of(None, 4)[2:]
    file = write_records(tmp_path / "in.jsonl", letter_records(5))
    assert asked_of(file, 3, skip=2) == asked_of(file)[2:] and len(asked_of(file, 3, skip=3)) == 2
    with pytest.raises(UserError, match=r"in\.jsonl: no record behind the first 5"):
        asked_of(file, 3, skip=5)


# sampling ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_letters(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = letter_records(40)
    records[7] = {"text": "好。"}
    records[8]["words"] = list(LETTER * 9)
    return write_records(tmp_path_factory.mktemp("source") / "in.jsonl", records)


SETTINGS = {
    "count": 40, "samples": 6, "margin": 0.3, "length_ratio": 0.5, "band": (1, 60), "val_share": 0.3,
    "weights": {"words": 1.0},
}  # fmt: skip


def sampled(checkpoint: Path, source: Path, out: Path, **changes: object) -> Manifest:
    return sample_pairs(checkpoint, out, source, **{**SETTINGS, **changes})  # type: ignore[arg-type]


def pairs_of_side(folder: Path, side: str) -> list[tuple[str, list[int], list[int]]]:
    found = []
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids, offsets, prompts = (np.load(folder / f"{side}_{name}.npy") for name in ("ids", "offsets", "prompts"))
    for n, prompt in enumerate(prompts):
        chosen, rejected = (ids[offsets[2 * n + k] : offsets[2 * n + k + 1]].tolist() for k in (0, 1))
        assert chosen[:prompt] == rejected[:prompt]
        text = tokenizer.decode(chosen[:prompt], skip_special_tokens=False)
        found.append((text, chosen[prompt:], rejected[prompt:]))
    return found


def pairs_of(folder: Path) -> list[tuple[str, list[int], list[int]]]:
    return pairs_of_side(folder, "train") + pairs_of_side(folder, "val")


def test_pairs_of_a_model(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    counts = sampled(checkpoint, source, tmp_path / "out").counts
    found, tokenizer = pairs_of(tmp_path / "out"), load(checkpoint).tokenizer.processor
    assert len(found) == counts["kept"] > 10
    for prompt, chosen, rejected in found:
        assert prompt.startswith(USER) and prompt.endswith(ASSISTANT)
        words = prompt.partition("词汇：")[2].removesuffix(ASSISTANT).split("，")
        texts = [tokenizer.decode(ids) for ids in (chosen, rejected)]
        good, bad = (sum(word in text for word in words) / len(words) for text in texts)
        if failure(texts[1], rejected[-1] == 0) is not None:
            bad = 0.0
        assert good - bad >= 0.3 and chosen[-1] == 0 and chosen.count(0) == 1  # its own end, once
        assert 0.5 <= (len(chosen) - 1) / max(len(rejected) - rejected.count(0), 1) <= 2
    assert counts["dropped"]["nothing is asked"] == 1 and counts["dropped"]["prompt too long"] == 1
    assert counts["read"] == 40 and sum(counts["dropped"].values()) == 40 - round(counts["yield"] * 40)
    histograms = counts["histograms"]
    assert sum(histograms["sample_failure"].values()) == 38 * 6 == sum(histograms["sample_reward"].values())
    assert sum(histograms["chosen_tokens"].values()) == counts["kept"]
    assert min(map(float, histograms["margin"])) >= 0.3
    example = json.loads((tmp_path / "out" / "examples.jsonl").read_text("utf-8").splitlines()[0])
    assert example["source"].startswith("reward ") and " over " in example["source"]


def test_together_the_better_sides_are_no_less_surprising(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    """As many nats a token as the model itself says, in one pass over each side."""
    model = load(checkpoint).model

    def surprise_of(prompt: list[int], answer: list[int]) -> float:
        ids = torch.tensor([[*prompt, *[n for n in answer if n != 0]]])
        with torch.no_grad():
            logp = model(ids)[0, len(prompt) - 1 : -1].log_softmax(-1)
        return 1 - logp.gather(1, ids[0, len(prompt) :, None]).mean().exp().item()

    sums = {}
    for name, rule in (("plain", None), ("ruled", ["surprise"])):
        sampled(checkpoint, source, tmp_path / name, balanced=rule, keep_samples=True, seed=0)
        loaded, differences = load(checkpoint), []
        for prompt, chosen, rejected in pairs_of(tmp_path / name):
            if failure(loaded.tokenizer.processor.decode(rejected), rejected[-1] == 0) is None:
                ids = loaded.encode(prompt)
                differences.append(surprise_of(ids, chosen) - surprise_of(ids, rejected))
        sums[name] = sum(differences)
    assert sums["plain"] < 0 and sums["ruled"] > -1e-4
    assert "better only at the cost of surprise" in Manifest.read(tmp_path / "ruled").counts["dropped"]
    again = pair_samples(
        checkpoint, tmp_path / "plain", tmp_path / "again", balanced=["surprise"], seed=0,
        **{name: SETTINGS[name] for name in ("margin", "length_ratio", "band", "val_share", "weights")},  # type: ignore[arg-type]
    )  # fmt: skip
    assert again.outputs["train_ids.npy"] == Manifest.read(tmp_path / "ruled").outputs["train_ids.npy"]


def test_surprise_must_be_known(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="surprise compares samples of the model"):
        sampled(checkpoint, source, tmp_path / "out", kind="classic", no_worse=["surprise"])
    with pytest.raises(UserError, match="surprise needs the checkpoint's own samples"):
        sampled(
            checkpoint, source, tmp_path / "out", no_worse=["surprise"], endpoint=Endpoint("http://127.0.0.1:9/v1", "x")
        )
    with pytest.raises(UserError, match="do not say how probable"):
        measure(Constraints(("铲子",)), "铲子。", {"surprise": 1.0})


def test_validation_requests_go_along_with_their_own_stories(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    manifest = sampled(checkpoint, source, tmp_path / "out")
    told = [json.loads(line) for line in (tmp_path / "out" / "guard.jsonl").read_text("utf-8").splitlines()]
    records = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    val = [r for r in records if r.get("words") and side_of(str(r["group"]), 0.3, 42) == "val"]
    prompts = [chat_prompt([("user", story_request(Constraints(tuple(record["words"]))))]) for record in val]
    assert told == [{"prompt": p, "story": r["text"]} for p, r in zip(prompts, val, strict=True)]
    assert 3 < len(told) < 20 and "guard.jsonl" in manifest.outputs


def test_a_sample_that_met_the_cap_gets_no_end(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    sampled(checkpoint, source, tmp_path / "out", max_new_tokens=12, length_ratio=0.1)
    found = pairs_of(tmp_path / "out")
    cut = [rejected for _, _, rejected in found if rejected[-1] != 0]
    assert cut and all(len(rejected) == 12 for rejected in cut)
    assert all(chosen[-1] == 0 and len(chosen) <= 12 for _, chosen, _ in found)


def test_the_same_in_every_run_and_after_a_stop(checkpoint: Path, source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sample_module, "CHUNK", 7)
    rule = ["surprise", "repetition"]
    whole = sampled(checkpoint, source, tmp_path / "whole", balanced=rule)
    assert sampled(checkpoint, source, tmp_path / "other", batch_size=5, balanced=rule).outputs == whole.outputs
    original, commits = sample_module.PairWriter.commit, 0

    def stopping(writer: sample_module.PairWriter) -> None:
        nonlocal commits
        commits += 1
        if commits == 4:
            raise KeyboardInterrupt
        original(writer)

    monkeypatch.setattr(sample_module.PairWriter, "commit", stopping)
    with pytest.raises(KeyboardInterrupt):
        sampled(checkpoint, source, tmp_path / "stopped", balanced=rule, workers=2)
    assert not multiprocessing.active_children()
    commits = 10
    again = sampled(checkpoint, source, tmp_path / "stopped", balanced=rule)
    assert again.outputs == whole.outputs and again.counts == whole.counts
    assert sampled(checkpoint, source, tmp_path / "another", seed=1).outputs != whole.outputs


def test_processes_are_what_cores_and_memory_hold(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(checkpoint)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for free, wanted, chunks, expected in (
        (None, 0, 100, 8),
        (10**12, 0, 100, 8),
        (10**12, 0, 3, 3),
        (2_000_000_000, 0, 100, 3),  # 0.8 of it; 0.4 GB each and a little for a small model
        (1, 0, 100, 1),
        (1, 5, 100, 5),
    ):
        monkeypatch.setattr(memory, "free_bytes", lambda _, free=free: free)
        assert processes(loaded, wanted, chunks, 4) == expected


def test_classic_pairs_choose_the_records_own_story(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    counts = sampled(checkpoint, source, tmp_path / "out", kind="classic", samples=2, length_ratio=0.2).counts
    tokenizer = load(checkpoint).tokenizer.processor
    stories = {json.loads(line)["text"] for line in source.read_text("utf-8").splitlines()}
    found = pairs_of(tmp_path / "out")
    assert len(found) == counts["kept"] > 10
    assert {tokenizer.decode(chosen) for _, chosen, _ in found} <= stories
    assert all(chosen[-1] == 0 for _, chosen, _ in found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 1}, "--samples 1"),
        ({"workers": -1}, "--workers -1"),
        ({"margin": 0.0}, "--margin 0.0"),
        ({"pairs_per_prompt": 3}, "--pairs_per_prompt 3"),
        ({"temperature": 0.0}, "--temperature 0.0"),
        ({"band": (5, 2)}, r"--band \[5, 2\]"),
        ({"weights": {"word": 1}}, "no part 'word'"),
        ({"prompt_fields": {"word": 1}}, "prompt_fields: word"),
        ({"margin": 1.0, "weights": {"ending": 1, "words": 1, "length": 1}}, "no usable pair among 40 records"),
    ],
)
def test_refusals(checkpoint: Path, source: Path, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sampled(checkpoint, source, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_the_recipe_names_settings_that_exist() -> None:
    recipe = yaml.safe_load((Path(__file__).parents[1] / "recipes" / "preference.yaml").read_text("utf-8"))
    parameters = inspect.signature(sample_pairs).parameters
    assert set(recipe) <= set(parameters)
    assert (
        recipe["out_dir"]
        == yaml.safe_load((Path(__file__).parents[1] / "recipes" / "dpo.yaml").read_text("utf-8"))["data"]["init_args"][
            "pairs_dir"
        ]
    )
