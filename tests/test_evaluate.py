"""Score card: figures by hand, the whole way on a tiny checkpoint, bits per character against a plain loop."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from tiny_checkpoint import write_checkpoint

from litgpt_zh.evaluate import cards, figures, measure
from litgpt_zh.evaluate.bits import bits_per_character
from litgpt_zh.evaluate.copying import copied
from litgpt_zh.evaluate.page import gained, render
from litgpt_zh.evaluate.score import score
from litgpt_zh.evaluate.stage import evaluate_stories, summary
from litgpt_zh.generate.load import load
from litgpt_zh.stage import UserError

RECORDS = [
    {"words": ["草地", "铲子"], "features": ["对话"], "text": "小兔子说：“草地上有铲子。”"},
    {"words": ["兔子"], "sentence": "小兔子在玩。", "text": "小兔子在玩。草地上"},
    {"words": [], "text": "没有要求的故事。"},
] * 4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, instruct=True)
    return folder


def test_endings():
    assert figures.ends_properly("他们回家了。\n", True) and figures.ends_properly("“好！”", True)
    assert not figures.ends_properly("他们回家了。", False)
    assert not figures.ends_properly("他们回家", True) and not figures.ends_properly("", True)


def test_repetition_and_distinct_by_hand():
    assert figures.repetition("草地草地草地") == pytest.approx(1 - 2 / 3)  # 草地草地 地草地草 草地草地
    assert figures.repetition("草地") == 0
    assert figures.distinct(["草地草", "草地"]) == pytest.approx(2 / 3)  # 草地 地草 | 草地
    assert figures.distinct([]) == 0


def test_shuffled_control_by_hand():
    words, texts = [["草地"], ["铲子"], ["草地"]], ["草地", "铲子草地", "兔子"]
    full, hits, asked = figures.shuffled_hits(words, texts)
    assert full.tolist() == [0.5, 1.0, 0.0] and hits.tolist() == [0.5, 1.0, 0.0] and asked.tolist() == [1, 1, 1]


def test_intervals():
    values = np.arange(400) % 4 == 0
    found = figures.rate(values)
    spread = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert found["value"] == 0.25 and found["n"] == 400
    assert found["low"] == pytest.approx(0.25 - spread, abs=0.008) and found["high"] == pytest.approx(
        0.25 + spread, abs=0.008
    )
    assert figures.rate([1] * 100)["low"] == pytest.approx(0.025 ** (1 / 100), abs=1e-3)
    assert figures.rate([0] * 100)["high"] == pytest.approx(1 - 0.025 ** (1 / 100), abs=1e-3)
    assert figures.ratio([3, 1], np.array([2, 2]))["value"] == 1.0


def test_paired_differences_by_hand():
    """Two prompts: a resample holds the first 0, 1 or 2 times, with 1/4, 1/2, 1/4."""
    assert figures.paired([0, 1], [1, 1]) == {"value": 0.5, "low": 0.0, "high": 1.0, "n": 2}
    assert figures.paired([1, 1], [0, 1]) == {"value": -0.5, "low": -1.0, "high": 0.0, "n": 2}
    # words met: 3 of 3 and 1 of 1 against 1 of 3 and 1 of 1: 4/4 - 2/4; the first alone 2/3, the second alone 0
    found = figures.paired([1, 1], [3, 1], [3, 1])
    assert found == {"value": 0.5, "low": 0.0, "high": 0.6667, "n": 2}
    # other denominators on each side: 6/4 - 2/2; (2, 0): 5/3 - 1/1, (1, 1): 1/2, (0, 2): 1/1 - 1/1
    assert figures.paired([1, 1], [5, 1], [1, 1], [3, 1]) == {"value": 0.5, "low": 0.0, "high": 0.6667, "n": 2}


def test_paired_keeps_what_the_prompts_share_out_of_the_interval():
    hard = np.arange(400) % 4 == 0  # unpaired, the spread of each side alone is +-0.042
    better = hard | (np.arange(400) == 1)
    found = figures.paired(hard, better)
    assert found["value"] == 0.0025 and found["low"] == 0.0 and found["high"] == pytest.approx(0.0075, abs=0.0026)
    assert figures.paired(hard, hard) == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 400}
    assert figures.paired(hard, better) == found  # the seed is fixed


def test_paired_without_what_does_not_count():
    """The third prompt asks for nothing; resamples in which only one side has something to divide by are left out."""
    assert figures.paired([0, 1, 0], [1, 1, 0], [1, 1, 0]) == figures.paired([0, 1], [1, 1])
    assert figures.paired([1, 0], [1, 1], [1, 0], [1, 1]) == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 2}
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0, "n": 0}
    assert figures.paired([], []) == nothing and figures.paired([0], [0], [0]) == nothing
    with pytest.raises(ValueError, match="differ"):
        figures.paired([1, 0], [1])


def test_distinct_shares_by_hand():
    """草草 twice and 铲子: 2 of 3. Without the first text 1 of 1, without the second 1 of 2: 0.25 from their mean each."""
    assert figures.distinct_shares(["草草草", "铲子"]) == pytest.approx([2 / 3 - 0.25, 2 / 3 + 0.25])
    texts = ["小兔子在草地上玩", "草地上有铲子", "", "小兔子在玩铲子"]
    assert figures.distinct_shares(texts).mean() == pytest.approx(figures.distinct(texts))
    assert figures.distinct_shares(["草", ""]).tolist() == [0, 0] and figures.distinct_shares(["草地"]).tolist() == [1]


def test_summary_proxy_by_hand():
    assert figures.bigram_recall("小兔玩，小兔", "小兔子在玩") == 0.5  # 小兔 and 兔玩; the comma joins nothing
    assert figures.bigram_recall("兔。玩", "兔。玩") is None and figures.bigram_recall("", "") is None


def brute(text: str, corpus: list[str], run: int) -> tuple[int, int]:
    """Every span of the text looked up."""
    n = len(text)
    spans = [(i, j) for i in range(n) for j in range(i + 1, n + 1) if any(text[i:j] in other for other in corpus)]
    return len({k for i, j in spans if j - i >= run for k in range(i, j)}), max((j - i for i, j in spans), default=0)


def test_copying_equals_brute_force(monkeypatch):
    """Stories and corpus of few letters, so that spans of every length are shared; in chunks of a few texts too."""
    dice = np.random.default_rng(3)

    def some(count: int, length: int) -> list[str]:
        return ["".join(dice.choice(list("草地兔"), size=int(n))) for n in dice.integers(0, length, count)]

    texts, corpus = some(30, 60), some(40, 80)
    texts += [corpus[3] + corpus[5], "", "上" * 40, corpus[7]]
    for chunk in (1 << 20, 100):
        monkeypatch.setattr("litgpt_zh.evaluate.copying._CHUNK", chunk)
        amounts, longest = copied(texts, iter(corpus), run=10)
        for text, amount, most in zip(texts, amounts, longest, strict=True):
            expected, span = brute(text, corpus, 10)
            assert (amount, most) == (expected, span if span >= 8 else 0)
    assert any(0 < a < len(t) for a, t in zip(amounts, texts, strict=True)) and longest.max() > 12


def test_copying_by_hand_and_at_the_edges():
    corpus = ["从前有一只小兔子，它在草地上玩。", "它在草地上玩。后来回家了。"]
    amounts, longest = copied(["有一只小兔子，它在山坡上玩。", "它在草地上玩。后来下雨了。"], corpus, run=9)
    assert amounts.tolist() == [9, 9] and longest.tolist() == [9, 9]  # 有一只小兔子，它在; 它在草地上玩。后来
    # no span reaches from one text of the corpus into the next, nor from one story into the next
    assert copied(["玩。它在草地上玩。后来回"], corpus, run=8)[1].tolist() == [10]
    assert copied(["小兔子，它", "在草地上玩。"], corpus, run=8)[1].tolist() == [0, 0]
    assert copied(["小兔子，它\0在草地上玩。"], ["小兔子，它\0在草地上玩。"])[1].tolist() == [0]
    nothing = copied(["小兔子", ""], [])
    assert nothing[0].tolist() == [0, 0] and nothing[1].tolist() == [0, 0] and copied([], corpus)[0].tolist() == []
    assert copied(["小兔子𠀀𠀁在草地上玩"], ["一只小兔子𠀀𠀁在草地上"])[1].tolist() == [9]  # beyond 16 bits


def test_figures_of_stories_by_hand():
    records = [
        {"words": ["草地", "铲子"], "features": ["对话", "转折"], "summary": "兔子找到铲子"},
        {"words": ["兔子"], "sentence": "小兔子在玩。"},
        {"words": "兔子，草地", "summary": "兔子在睡觉"},
    ]
    samples = [
        {"text": "草地上有铲子。", "finished": True, "copied": 3, "longest": 3},
        {"text": "小兔子在玩。", "finished": True, "copied": 0, "longest": 0},
        {"text": "兔子在草地", "finished": False, "copied": 4, "longest": 9},
    ]
    card = measure.card(records, samples, ("words", "features", "sentence", "summary"))
    value = {k: v["value"] if isinstance(v, dict) else v for k, v in card["figures"].items()}
    assert value["words_all"] == 1 and value["words_each"] == 1 and value["finished"] == pytest.approx(2 / 3, abs=1e-4)
    assert value["constraints_all"] == pytest.approx(2 / 3, abs=1e-4)  # the first has no dialogue
    assert value["dialogue"] == 0 and card["figures"]["dialogue"]["n"] == 1
    assert value["sentence"] == 1 and card["figures"]["sentence"]["n"] == 1
    # 铲子 of 兔子 子找 找到 到铲 铲子; 兔子 子在 of 兔子 子在 在睡 睡觉; against each other's: none of 4, 1 of 5
    assert (
        value["summary_overlap"] == pytest.approx((1 / 5 + 2 / 4) / 2) and card["figures"]["summary_overlap"]["n"] == 2
    )
    assert value["summary_overlap_shuffled"] == pytest.approx((0 + 1 / 5) / 2)
    assert value["characters"] == 6 and card["intervals"]["characters"]["n"] == 3
    assert value["copied"] == pytest.approx(7 / 18, abs=1e-4) and value["longest_copied"] == 4
    assert card["most_copied"] == 9 and card["not_measured"] == {"转折": 1}
    plain = measure.card(records, [{k: s[k] for k in ("text", "finished")} for s in samples], ("words",))
    assert (
        not {"sentence", "dialogue", "summary_overlap", "copied"} & set(plain["figures"])
        and plain["not_measured"] == {}
    )


def test_differences_by_hand():
    """Two requests in common: 2 of 3 words against 3 of 3, one story in full against two; the third has no pair."""
    records = [{"words": ["草地", "铲子"]}, {"words": ["兔子"]}, {"words": ["山坡"]}]
    said = [("草地", True), ("兔子", False), ("山坡", True)], [("草地铲子", True), ("小兔子", True)]
    base, other = (
        {"fields": ["words"], "samples": [{"request": i, "text": t, "finished": f} for i, (t, f) in enumerate(pairs)]}
        for pairs in said
    )
    bits = {"fields": [], "per_story": {"bits": [10, 20], "characters": [10, 10]}}
    found = cards.differences(
        base | {"bits": bits},
        other | {"bits_plain": bits | {"per_story": {"bits": [8, 20], "characters": [10, 10]}}},
        records,
    )
    values = {name: value["value"] for name, value in found.items()}
    assert values["words_all"] == 0.5 and values["words_each"] == pytest.approx(1 / 3, abs=1e-4)
    assert values["constraints_all"] == values["finished"] == 0.5 and values["characters"] == 1.5
    assert values["bits_plain"] == -0.1 and "words_all_shuffled" not in values and found["words_all"]["n"] == 2
    assert (found["words_all"]["low"], found["words_all"]["high"]) == (0, 1)


def test_names_of_checkpoints(tmp_path):
    folders = [tmp_path / "a" / "sft" / "final", tmp_path / "a" / "dpo" / "final", tmp_path / "b" / "dpo" / "final"]
    assert list(cards.named(folders[:2])) == ["sft", "dpo"] and list(cards.named(folders[0])) == ["sft"]
    assert list(cards.named(folders)) == ["a/sft", "a/dpo", "b/dpo"]
    assert cards.named({"one": folders[0]}) == {"one": folders[0]}
    assert len(cards.named([tmp_path / "a", tmp_path / "a" / "final"])) == 2
    with pytest.raises(UserError, match="given twice"):
        cards.named([folders[0], tmp_path / "a" / "dpo" / ".." / "sft" / "final"])
    with pytest.raises(UserError, match="no checkpoint"):
        cards.named([])


def test_score_is_complete_and_repeats(checkpoint, tmp_path):
    result = score(checkpoint, RECORDS, count=6, fields=("words", "features", "sentence"), max_new_tokens=20)
    assert result["count"] == 6 and result["dropped"] == {"no words": 2}
    assert {"words_all", "words_each", "words_all_shuffled", "finished", "sentence", "dialogue"} <= set(
        result["figures"]
    )
    assert result["reference"]["words_all"]["value"] == 1.0 and result["reference"]["finished"]["value"] == 0.5
    assert result["reference"]["dialogue"]["value"] == 1.0
    assert result["samples"][0]["words"] == ["草地", "铲子"] and set(result["samples"][0]["met"]) == {
        "word:草地", "word:铲子", "feature:对话",
    }  # fmt: skip
    file = tmp_path / "val.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in RECORDS), encoding="utf-8")
    again = score(
        load(checkpoint), file, count=6, fields=("words", "features", "sentence"), max_new_tokens=20, batch_size=1
    )
    assert again["samples"] == result["samples"] and again["figures"] == result["figures"]
    assert "words_all" in summary(result)


def test_score_refuses(checkpoint, tmp_path):
    with pytest.raises(UserError, match="fields"):
        score(checkpoint, RECORDS, fields=("word",))
    with pytest.raises(UserError, match="no record with words"):
        score(checkpoint, [{"text": "草地"}])
    (tmp_path / "bad.jsonl").write_text('{"words": ["草地"]}\n{"words"\n')
    with pytest.raises(UserError, match=r"bad\.jsonl:2"):
        score(checkpoint, tmp_path / "bad.jsonl")


def test_bits_equal_a_plain_loop(checkpoint):
    """Also for a story longer than the block: chunks overlap by one token, every token is predicted once."""
    loaded = load(checkpoint)
    records = [{"text": "小兔子在草地上玩。"}, {"text": "小兔子在草地上玩铲子。" * 12, "words": ["草地"]}]
    for fields in ((), ("words",)):
        found = bits_per_character(loaded, records, fields=fields)
        nats = 0.0
        for record in records:
            from litgpt_zh.evaluate.score import prompt_of, shown

            context = loaded.encode(prompt_of(shown(record, fields))) if fields else [0]
            ids = context + loaded.encode(record["text"]) + [0]
            for i in range(len(context), len(ids)):
                start = (i - 1) // 96 * 96
                logits = loaded.model(torch.tensor([ids[start:i]]))[0, -1]
                nats -= float(logits.log_softmax(-1)[ids[i]])
        characters = sum(len(record["text"]) for record in records)
        assert found["bits_per_character"]["value"] == pytest.approx(nats / math.log(2) / characters, abs=2e-4)
        assert found["tokens"] == characters + 2 and found["characters"] == characters


def test_command_writes_a_stage_folder(checkpoint, tmp_path, capsys):
    (tmp_path / "corpus").mkdir()
    lines = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
    (tmp_path / "corpus" / "val-00000.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = evaluate_stories(checkpoint, tmp_path / "out", corpus_dir=tmp_path / "corpus", count=4, max_new_tokens=8)
    assert json.loads((tmp_path / "out" / "score.json").read_text("utf-8")) == result and result["bits"]["stories"] == 4
    assert evaluate_stories(checkpoint, tmp_path / "out", tmp_path / "corpus", count=4, max_new_tokens=8) == result
    assert "bits_asked" in capsys.readouterr().out
    world = evaluate_stories(checkpoint, tmp_path / "world", count=3, max_new_tokens=4)
    assert world["count"] == 3 and world["reference"]["words_all"]["value"] == 1.0
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="validation part"):
        evaluate_stories(checkpoint, tmp_path / "none", corpus_dir=tmp_path / "empty")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Another model with a tokenizer of its own, pretrained only."""
    folder = tmp_path_factory.mktemp("tuned") / "final"
    write_checkpoint(folder, seed=5, letters="草地铲子兔", block_size=240)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    lines = [json.dumps(record | {"summary": "兔子在草地上玩"}, ensure_ascii=False) for record in RECORDS]
    (folder / "val-00000.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    train = [json.dumps({"text": "从前，小兔子说：“草地上有铲子。”大家都笑了。"}, ensure_ascii=False)]
    (folder / "train-00000.jsonl").write_text("\n".join(train) + "\n", encoding="utf-8")
    return folder


ASKED = {"count": 6, "fields": ["words", "features", "summary", "sentence"], "max_new_tokens": 12}


@pytest.mark.usefixtures("english")
def test_checkpoints_side_by_side(checkpoint, tuned, corpus, tmp_path, capsys):
    result = evaluate_stories({"甲": checkpoint, "<乙>": tuned}, tmp_path / "out", corpus, **ASKED)
    assert result["name"] == "甲" and [card["name"] for card in result["others"]] == ["<乙>"]
    other = result["others"][0]
    assert other["model"] == "tiny" and len(other["samples"]) == len(result["samples"]) == 6
    # the same requests, so what the difference says is what the two cards say
    for name in ("words_each", "finished", "characters", "copied", "repetition_4", "distinct_2"):
        a, b = ((card["figures"] | card["intervals"])[name]["value"] for card in (result, other))
        assert other["differences"][name]["value"] == pytest.approx(b - a, abs=2e-4), name
        assert other["differences"][name]["n"] == 6
    # the instruction model is measured with its prompt and without, the pretrained one without
    assert result["bits"]["fields"] == ASKED["fields"] and result["bits_plain"]["fields"] == []
    assert other["bits"]["fields"] == [] and "bits_plain" not in other
    gap = other["bits"]["bits_per_character"]["value"] - result["bits_plain"]["bits_per_character"]["value"]
    assert other["differences"]["bits_plain"]["value"] == pytest.approx(gap, abs=2e-4)
    assert "bits_asked" not in other["differences"]
    assert result["reference"]["copied"]["value"] == 0  # 14 characters, fewer than 20
    assert result["reference"]["longest_copied"] == (3 * 14 + 3 * 0) / 6
    page = (tmp_path / "out" / "score.html").read_text("utf-8")
    assert page.count("<svg") == 2 and "&lt;乙&gt;" in page and "<乙>" not in page
    assert "<mark>" in page or not any(True in s["met"].values() for c in (result, other) for s in c["samples"])
    printed = capsys.readouterr().out
    assert "difference from 甲" in printed and "score.html" in printed


def test_a_checkpoint_is_scored_once(checkpoint, tuned, corpus, tmp_path, monkeypatch):
    first = evaluate_stories(checkpoint, tmp_path / "out", corpus, **ASKED)
    calls = []
    write = cards.written
    monkeypatch.setattr(cards, "written", lambda name, *a, **k: (calls.append(name), write(name, *a, **k))[1])
    with pytest.raises(UserError, match="overwrite"):
        evaluate_stories([checkpoint, tuned], tmp_path / "out", corpus, **ASKED)
    both = evaluate_stories([checkpoint, tuned], tmp_path / "out", corpus, **ASKED, overwrite=True)
    assert calls == [cards._names([checkpoint, tuned])[1]]
    assert both["samples"] == first["samples"] and both["figures"] == first["figures"] and both["bits"] == first["bits"]
    turned = evaluate_stories([tuned, checkpoint], tmp_path / "out", corpus, **ASKED, overwrite=True)
    gain, loss = (result["others"][0]["differences"]["characters"]["value"] for result in (both, turned))
    assert len(calls) == 1 and gain == -loss != 0
    evaluate_stories([tuned, checkpoint], tmp_path / "out", corpus, **{**ASKED, "count": 5}, overwrite=True)
    assert len(calls) == 3  # other settings
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "score.html", "score.json"]


def test_a_stopped_run_goes_on(checkpoint, tuned, corpus, tmp_path, monkeypatch):
    quiet = evaluate_stories([checkpoint, tuned], tmp_path / "quiet", corpus, **ASKED)
    write, calls = cards.written, []

    def stop_at_second(name, *a, **k):
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(name, *a, **k)

    monkeypatch.setattr(cards, "written", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate_stories([checkpoint, tuned], tmp_path / "out", corpus, **ASKED)
    assert not (tmp_path / "out").exists()
    again = evaluate_stories([checkpoint, tuned], tmp_path / "out", corpus, **ASKED)
    assert len(calls) == 3  # the first was not written again
    assert (
        again["samples"] == quiet["samples"] and again["others"][0]["differences"] == quiet["others"][0]["differences"]
    )


def test_requests_that_only_one_model_can_hold(checkpoint, tmp_path):
    """A prompt longer than the smaller model's block: pairs are those that both answered."""
    small = tmp_path / "small"
    write_checkpoint(small, instruct=True, seed=5, block_size=36)
    records = [
        {"words": ["草地"]},
        {"words": ["草地", "铲子", "兔子在玩", "小兔子在草地上玩铲子"]},
        {"words": "铲子，兔子"},
    ]
    file = tmp_path / "asked.jsonl"
    file.write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in [*records, {"text": "没有词"}]), encoding="utf-8"
    )
    result = evaluate_stories([checkpoint, small], tmp_path / "out", file, count=3, max_new_tokens=8)
    other = result["others"][0]
    assert [s["request"] for s in result["samples"]] == [0, 1, 2] and [s["request"] for s in other["samples"]] == [0, 2]
    assert other["samples"][1]["words"] == ["铲子", "兔子"]
    assert other["dropped"] == {"no words": 1, "prompt longer than the block": 1}
    assert other["differences"]["words_all"]["n"] == 2
    page = render(result, "zh")
    assert "提示比块长，没有写" in page and "没有给训练语料" in page and "跳过 1" in page
    assert result["reference"] is None and not result["synthetic"] and "故事世界" not in page


def test_several_checkpoints_refuse_before_any_work(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "written", lambda *a, **k: pytest.fail("work was started"))
    with pytest.raises(UserError, match="none"):
        evaluate_stories([checkpoint, tmp_path / "none"], tmp_path / "out")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model_config.yaml").write_text("name: tiny\n")
    with pytest.raises(UserError, match="half"):
        evaluate_stories([checkpoint, tmp_path / "half"], tmp_path / "out")
    with pytest.raises(UserError, match="given twice"):
        evaluate_stories([checkpoint, checkpoint], tmp_path / "out")
    with pytest.raises(UserError, match="train"):
        evaluate_stories(checkpoint, tmp_path / "out", train_dir=tmp_path / "half")
    with pytest.raises(UserError, match="fields: unknown word"):
        evaluate_stories(checkpoint, tmp_path / "out", fields=["word"])


def test_copying_from_a_file(checkpoint, corpus, tmp_path):
    """New requests of the story world, and training stories that stand in a jsonl file."""
    told = tmp_path / "told.jsonl"
    world = evaluate_stories(checkpoint, tmp_path / "plain", count=3, max_new_tokens=4)
    from litgpt_zh.evaluate.stage import world_records

    records = world_records(6, 987_654_321)
    told.write_text(
        "".join(json.dumps({"text": r["text"]}, ensure_ascii=False) + "\n" for r in records), encoding="utf-8"
    )
    result = evaluate_stories(checkpoint, tmp_path / "out", count=3, max_new_tokens=4, train_dir=told)
    assert world["synthetic"] and "不是 TinyStories" in render(world, "zh")
    assert result["reference"]["copied"]["value"] == 1.0 and "copied" not in world["reference"]
    lengths = [len(records[sample["request"]]["text"]) for sample in result["samples"]]
    assert result["reference"]["longest_copied"] == pytest.approx(sum(lengths) / 3, abs=1e-4)


@pytest.mark.parametrize("form", ["{0}", "[{0},{1}]", '{{"base": "{0}", "tuned": "{1}"}}'])
def test_the_command_line_takes_each_form(checkpoint, tuned, tmp_path, form, monkeypatch):
    from litgpt_zh.__main__ import main

    seen = []
    monkeypatch.setattr(cards, "named", lambda given: seen.append(given) or (_ for _ in ()).throw(UserError("enough")))
    line = ["evaluate_stories", "--checkpoint_dir", form.format(checkpoint, tuned), "--out_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="enough"):
        main(line)
    (tmp_path / "recipe.yaml").write_text(
        f"checkpoint_dir: {form.format(checkpoint, tuned)}\nout_dir: {tmp_path / 'out'}\n"
    )
    with pytest.raises(SystemExit, match="enough"):
        main(["evaluate_stories", "--config", str(tmp_path / "recipe.yaml")])
    wanted = {"{0}": checkpoint, "[{0},{1}]": [checkpoint, tuned]}.get(form, {"base": checkpoint, "tuned": tuned})
    assert seen == [wanted, wanted]


def test_how_a_difference_is_shown():
    up = {"value": 0.05, "low": 0.01, "high": 0.09, "n": 200}
    down, few = {**up, "value": -0.05, "low": -0.09, "high": -0.01}, {**up, "n": 9}
    assert gained("words_all", up) == ("+5.0 [+1.0, +9.0]", "better")
    assert gained("repetition_4", up)[1] == gained("words_all", down)[1] == "worse"
    assert gained("bits_plain", down) == ("-0.050 [-0.090, -0.010]", "better")
    assert gained("characters", up)[1] == gained("words_all", few)[1] == "same"
    assert gained("words_all", {**up, "low": 0.0})[1] == "same"


def test_page_in_both_languages(checkpoint, tuned, corpus, tmp_path):
    result = evaluate_stories([checkpoint, tuned], tmp_path / "out", corpus, **ASKED)
    result["samples"][0] |= {
        "text": "草地上<script>有铲子",
        "met": {"word:草地": True, "feature:转折": None, "sentence": False},
    }
    result["not_measured"] = {"转折": 3}
    chinese, english = render(result, "zh"), render(result, "en")
    assert "成绩单" in chinese and 'lang="zh-CN"' in chinese and "转折（3）" in chinese and "✗ 随机句子" in chinese
    assert "Score card" in english and 'lang="en"' in english and "转折 (3)" in english and "成绩单" not in english
    for page in (chinese, english):
        assert "<mark>草地</mark>上&lt;script&gt;有" in page and "<script>" not in page
        assert "– 转折" in page and "prefers-color-scheme: dark" in page and "http" not in page
        assert page.count('class="card"') == 2 + 2 * 6
    alone = render({k: v for k, v in result.items() if k != "others"}, "zh")
    assert alone.count("<svg") == 1 and "与基线" not in alone.split("<h2>全部数字")[0]
