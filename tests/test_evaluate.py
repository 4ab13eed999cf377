"""Score card: figures by hand, the whole way on a tiny checkpoint, bits per character against a plain loop."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from tiny_checkpoint import write_checkpoint

from litgpt_zh.evaluate import figures
from litgpt_zh.evaluate.bits import bits_per_character
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
