"""The run page: everything recorded is on it, nothing breaks on what is missing, everything is escaped."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_export_card import Run as Walked

from litgpt_zh.corpus.clean import RULES
from litgpt_zh.corpus.prepare import LOST
from litgpt_zh.corpus.stage import DUPLICATE
from litgpt_zh.corpus.thin import NEAR_DUPLICATE
from litgpt_zh.evaluate.page import highlighted
from litgpt_zh.report.cleaning import cleaning
from litgpt_zh.report.funnel import draw as draw_funnel
from litgpt_zh.report.funnel import funnel_of
from litgpt_zh.report.plots import BLUE, ORANGE
from litgpt_zh.report.recorded import read_run
from litgpt_zh.report.stage import report
from litgpt_zh.stage import UserError

STORY = (
    "小荷和大伟在草地上玩耍。小荷找到一把铲子，想挖一个大坑。大伟说：“我来帮你！”"
    "他们挖呀挖，挖出了一个旧罐子，里面装满了彩色的石头。他们高兴地把石头分给了大家。"
)


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _lines(path: Path, values: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), encoding="utf-8")


def _manifest(stage: str, settings: dict, counts: dict, seconds: float) -> dict:
    return {
        "stage": stage,
        "settings": settings,
        "inputs": {},
        "counts": counts,
        "outputs": {},
        "versions": {},
        "seconds": seconds,
    }


def _training(folder: Path, start: float, end: float, iters: int) -> None:
    metrics = []
    for i in range(1, iters + 1):
        share = i / iters
        loss = end + (start - end) * math.exp(-5 * share) + 0.12 * math.sin(i * 12.9898)
        rate = 1e-3 * min(share / 0.1, 1) * (1 if share < 0.6 else (1 - share) / 0.4)
        metrics.append(
            {
                "iter": i,
                "step": i // 2,
                "loss": loss,
                "learning_rate": rate,
                "tokens_per_second": 5400 + 300 * math.sin(i),
            }
        )
        if i % (iters // 8) == 0:
            metrics.append({"iter": i, "val_loss": end + (start - end) * math.exp(-5 * share) + 0.05})
    metrics.insert(3, {"iter": 3, "loss": float("nan")})
    _lines(folder / "metrics.jsonl", metrics)
    texts = ["上的了<b>一一", "小猫小猫在在草地，。", "小猫在草地上玩。它很高兴。", STORY]
    shares = [0.0, 0.1, 0.3, 1.0]
    _lines(
        folder / "samples.jsonl",
        [
            {"iter": round(s * iters), "share": s, "prompt": "从前有一只小猫", "text": t}
            for s, t in zip(shares, texts, strict=True)
        ],
    )


def _rate(value: float, low: float, high: float) -> dict:
    return {"value": value, "low": low, "high": high, "n": 200}


def fake_run(folder: Path) -> Path:
    """A run folder such as quickstart leaves behind."""
    corpus = {
        "read": 20000,
        "kept": 19612,
        "train": 19416,
        "val": 196,
        "dropped": {"exact duplicate": 371, "shorter than 20": 17},
    }
    _json(
        folder / "corpus" / "manifest.json",
        _manifest("corpus", {"source": "world", "stories": 20000, "seed": 0}, corpus, 21.4),
    )
    measured = {"corpus_characters": 3_104_552, "dictionary_words": 20000, "measured": {"characters_per_token": 1.55}}
    _json(folder / "tokenizer" / "manifest.json", _manifest("tokenizer", {"vocab_size": 6656}, measured, 9.8))
    side = {
        "documents": 19416,
        "empty": 0,
        "characters": 3_073_220,
        "tokens": 1_986_544,
        "rows": 7760,
        "cut": 12,
        "gap": 0.004,
    }
    _json(
        folder / "tokens" / "manifest.json", _manifest("tokens", {"block_size": 256}, {"train": side, "val": side}, 4.0)
    )
    _json(folder / "pretrain" / "final" / "manifest.json", _manifest("pretrain", {"lr": 0.002}, {"steps": 400}, 1804.0))
    _json(
        folder / "sft-data" / "manifest.json",
        _manifest("sft-data", {}, {"read": 19416, "kept": 19400, "dropped": {}}, 3.1),
    )
    _training(folder / "pretrain", 8.8, 1.9, 400)
    _training(folder / "sft", 2.2, 1.4, 200)
    figures = {
        "words_all": _rate(0.74, 0.68, 0.8), "words_each": _rate(0.88, 0.85, 0.91),
        "words_all_shuffled": _rate(0.012, 0.004, 0.021), "words_each_shuffled": _rate(0.12, 0.1, 0.14),
        "finished": _rate(0.985, 0.965, 1.0), "characters": 128.4, "repetition_4": 0.031, "distinct_2": 0.147,
    }  # fmt: skip
    sample = {"words": ["铲子", "草地"], "text": STORY, "finished": True, "met": {"word:铲子": True, "word:草地": True}}
    missed = {
        "words": ["<script>", "帆船"], "features": ["对话"], "text": "帆船<script>alert(1)</script>漂走了", "finished": False,
        "met": {"word:<script>": True, "word:帆船": True, "word:石头": False, "feature:转折": None},
    }  # fmt: skip
    score = {
        "name": "sft", "count": 200, "model": "zh-tinystories-2m", "figures": figures, "reference": figures, "samples": [sample, missed, sample],
        "bits": {"bits_per_character": _rate(1.71, 1.66, 1.77)},
    }  # fmt: skip
    tuned = {"words_all": _rate(0.85, 0.8, 0.9), "repetition_4": 0.029}
    score["others"] = [{**score, "name": "online", "figures": figures | tuned}]
    _json(folder / "score.json", score)
    rounds = [
        {
            "round": n, "pairs": 1500 // n, "before": 0.74, "after": after, "gain": _rate(0.05, 0.01, 0.09),
            "nll_rise": 0.0123, "accepted": not reasons, "reasons": reasons,
            "repetition_4": {"after": 0.04 if reasons else 0.03, "sft": 0.03, "bound": 0.035},
            "finished": {"after": 1.0, "sft": 1.0, "bound": 0.99}, "characters": {"after": 120.0, "sft": 120.0, "bound": 0.15},
        }
        for n, after, reasons in ((1, 0.85, []), (2, 0.86, ["repetition 0.0400 (at most 0.0350)"]))
    ]  # fmt: skip
    _json(folder / "online" / "final" / "manifest.json", _manifest("online", {"rounds": 2}, {"rounds": rounds}, 300.0))
    seen = [
        {"iter": n, "rewards/margins": 0.01 * n, "rewards/accuracies": 0.5, "val_rewards/margins": 0.005 * n, "val_guard_nll_rise": 0.001 * n}
        for n in range(10, 60, 10)
    ]  # fmt: skip
    (folder / "online" / "round-1" / "train").mkdir(parents=True)
    _lines(folder / "online" / "round-1" / "train" / "metrics.jsonl", seen)
    names = ["corpus", "tokenizer", "tokens", "pretrain", "sft-data", "sft", "online"]
    folders = {"pretrain": "pretrain/final", "online": "online/final"}
    stages = [
        {"name": n, "folder": folders.get(n, n), "command": f"litgpt-zh {n} --config recipes/{n}.yaml"} for n in names
    ]
    _json(
        folder / "run.json",
        {
            "title": "快速上手", "machine": {"cpu": "2 核", "gpu": ""}, "date": "2026-11-23", "stages": stages,
            "versions": {"python": "3.11.7", "litgpt": "0.5.13", "torch": "2.13.0"},
            "next_steps": ["读一读 docs/", "litgpt chat run/sft/final", {"text": "和模型聊天", "command": "litgpt-zh chat --checkpoint_dir run/sft/final"}],
        },
    )  # fmt: skip
    return folder


class _Balance(HTMLParser):
    """Every opened element is closed in order."""

    VOID = ("meta", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass


def test_whole_page(tmp_path, capsys):
    run = fake_run(tmp_path / "run")
    page = report(run, language="zh").read_text("utf-8")
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    for expected in (
        "快速上手",
        "2 核",
        "19,612",
        "exact duplicate 371",
        "74.0%",
        "85.0%",
        "74.0% → 85.0%",
        "+0.0123",
        "没有通过：四字重复 0.0400（至多 0.0350）",
        "1.2%",
        "98.5%",
        "30 分 04 秒",
        "1.710",
        "没有正常结束",
        "字/词元 1.550",
        "online/round-1",
        "奖励之差",
        "好的一边在前的比例",
        "真实故事的损失变化",
    ):
        assert expected in page, expected
    assert page.count("<svg") == 10 and "微批次" in page.split("<svg")[2]  # Chinese stays text inside the picture
    assert "<mark>铲子</mark>" in page and "<script>" not in page and "&lt;script&gt;" in page and "<b>一一" not in page
    assert "不是 TinyStories" in page and "litgpt-zh chat" in page
    assert not re.search(r'(?:src|href)="(?!#)', page) and "@import" not in page  # nothing comes from elsewhere
    assert [page.index(f"<b>{share}</b>") for share in ("0%", "10%", "30%", "100%")] == sorted(
        page.index(f"<b>{share}</b>") for share in ("0%", "10%", "30%", "100%")
    )
    assert report(run, tmp_path / "again.html", "zh").read_text("utf-8") == page  # the same numbers give the same bytes


def test_english(tmp_path, monkeypatch):
    run = fake_run(tmp_path / "run")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    page = report(run).read_text("utf-8")
    assert "refused: repetition 0.0400 (at most 0.0350)" in page
    assert "Score card" in page and "30 min 04 s" in page and 'lang="en"' in page and "成绩单" not in page


def test_missing_pieces_are_named(tmp_path):
    _json(tmp_path / "run.json", {"title": "空"})
    page = report(tmp_path, language="zh").read_text("utf-8")
    assert page.count("没有运行") == 7 and "<svg" not in page
    only_training = tmp_path / "training"
    _lines(only_training / "pretrain" / "metrics.jsonl", [{"iter": 1, "loss": 8.0}])
    with open(only_training / "pretrain" / "metrics.jsonl", "a") as file:
        file.write('{"iter": 2, "lo')  # torn by a kill
    assert report(only_training, language="zh").read_text("utf-8").count("<svg") == 1


def _counts(**counts: object) -> dict:
    return {"read": 1000, "kept": 700, "train": 600, "val": 100} | counts


def test_a_funnel_loses_what_was_left_out() -> None:
    """Every bar ends where the one above it does, less what its reason took; the parts lie side by side."""
    found = funnel_of(_counts(dropped={"too short": 100, "duplicate": 200}))
    assert found is not None
    drawn = draw_funnel(
        found, "语料", {"lang": "zh-CN", "read": "读入", "kept": "保留", "train": "训练", "val": "验证"}
    )
    texts = re.findall(r"<text[^>]*>([^<]*)<", drawn)
    assert texts == [
        "读入 1,000", "− 重复的故事 200 (20.0%)", "− 太短 100 (10.0%)", "保留 700 (70.0%)", "训练 600", "验证 100",
    ]  # fmt: skip
    bars = [(float(x), float(w), c) for x, w, c in re.findall(r'<rect x="(.*?)".*?width="(.*?)".*?fill="(.*?)"', drawn)]
    whole = bars[0][1]
    blue, orange = ([(x / whole, w / whole) for x, w, colour in bars if colour == which] for which in (BLUE, ORANGE))
    assert blue == [pytest.approx(bar) for bar in ((0, 1), (0, 0.8), (0, 0.7), (0, 0.7), (0, 0.6), (0.6, 0.1))]
    assert orange == [pytest.approx(bar) for bar in ((0.8, 0.2), (0.7, 0.1))]


@pytest.mark.parametrize(
    ("counts", "read", "drops"),
    [
        ({"items": 9, "ok": 6, "dead": 3, "reasons": {"a": 2}}, 9, {"a": 2, "others": 1}),
        ({"read": 5, "kept": 9, "histograms": {"sample_failure": {"none": 7, "unfinished": 3}}}, 10, {"unfinished": 3}),
        (_counts(dropped={"a": 299}), None, None),  # one is not accounted for: no picture rather than a wrong one
        ({"documents": 5}, None, None),
        ({"read": 0, "kept": 0, "dropped": {}}, None, None),
    ],
)
def test_what_has_a_funnel(counts: dict, read: int | None, drops: dict | None) -> None:
    found = funnel_of(counts)
    assert (found and found.read) == read and (found and found.drops) == drops


def test_reasons_in_a_funnel_are_escaped_and_few() -> None:
    found = funnel_of(_counts(dropped={f"<b>{n} " + "长" * 60: n for n in range(25)}))
    assert found is not None
    drawn = draw_funnel(found, "<i>", {"lang": "zh-CN", "read": "读", "kept": "留", "train": "训练", "val": "验证"})
    texts = re.findall(r"<text[^>]*>([^<]*)<", drawn)
    assert (
        "<b>" not in drawn and "<i>" not in drawn and len(texts) == 1 + 9 + 1 + 2 and texts[9].startswith("− 其他 136")
    )
    assert max(map(len, texts)) < 60


def test_a_run_by_hand_is_shown_whole(tmp_path: Path) -> None:
    """Without run.json: every stage in its folder, LoRA, and trainings on preferences under any name."""
    for name, stage in (("sft-data", "instructions"), ("translate", "translate"), ("kto", "dpo"), ("kto.old", "dpo")):
        _json(tmp_path / name / "manifest.json", _manifest(stage, {}, {}, 1.0) | {"versions": {"torch": "2.99"}})
    bill = {"ledger": {"calls": 5, "cost": 12.345}, "items": 4, "ok": 4, "dead": 0}
    _json(tmp_path / "translate" / "manifest.json", _manifest("translate", {}, bill, 1.0))
    _json(tmp_path / "foreign" / "manifest.json", {"name": "somebody else's"})
    _training(tmp_path / "sft-lora", 2.2, 1.4, 200)
    _lines(tmp_path / "kto" / "metrics.jsonl", [{"iter": n, "rewards/margins": n, "loss": 1} for n in (1, 2)])
    hostile = '"><b>\\1'  # a folder may be called anything
    _training(tmp_path / hostile, 2.2, 1.4, 200)
    run = read_run(tmp_path)
    assert [stage.name for stage in run.stages] == ["translate", "sft-data", "kto"]
    assert set(run.trainings) == {"sft-lora", hostile} and list(run.preferences) == ["kto"]
    page = report(tmp_path, language="zh").read_text("utf-8")
    assert "<b>\\1" not in page and "&lt;b&gt;\\1" in page
    for expected in ("低秩微调", "<h3>kto</h3>", "花费", "12.35", "torch 2.99"):
        assert expected in page, expected


def test_the_data_of_a_run_by_hand_is_found_in_its_folder(tmp_path: Path) -> None:
    """As the recipes have it: data/ beside out/; each stage once, though two trainings stand on the same corpus."""
    Walked(tmp_path, {"source": "world"})
    run = read_run(tmp_path / "out")
    names = [stage.name for stage in run.stages]
    assert sorted(names[:-2]) == ["corpus", "instructions", "tokenizer", "tokens"] and names[-2:] == ["pretrain", "sft"]
    assert run.stage("corpus").settings == {"source": "world"}
    assert [stage.name for stage in read_run(tmp_path).stages].count("corpus") == 1


def test_rounds_are_found_where_the_recipe_put_them(tmp_path: Path) -> None:
    """A journey's record lies in runs/journey, its folders elsewhere."""
    run = fake_run(tmp_path / "out")
    info = json.loads((run / "run.json").read_text("utf-8"))
    for stage in info["stages"]:
        stage["folder"] = "../../out/" + stage["folder"]
    _json(tmp_path / "runs" / "journey" / "run.json", info)
    failures = {"read": 5, "kept": 3, "histograms": {"sample_failure": {"none": 30, "unfinished": 10}}}
    _json(run / "online" / "round-1" / "pairs" / "manifest.json", _manifest("pairs", {}, failures, 1.0))
    page = report(tmp_path / "runs" / "journey", language="zh").read_text("utf-8")
    assert "<h3>online/round-1</h3>" in page and "奖励之差" in page
    assert "online/round-1 · 采样" in page and "− 没有写完 10 (25.0%)" in page


def test_cleaning_is_shown_with_examples(tmp_path):
    edit = {"rule": "punctuation", "file": "/data/a.jsonl", "line": 7, "before": "你好,<b>", "after": "你好，<b>"}
    bad = {"file": "/data/a.jsonl", "line": 9, "reason": "refusals", "detail": "作为一个AI"}
    counts = {"read": 9, "kept": 8, "changed": {"punctuation": 5}, "dropped": {"refusals": 1}}
    counts |= {"edits": [edit] * 4, "examples": [bad]}
    _json(tmp_path / "corpus" / "manifest.json", _manifest("corpus", {"source": ["x"]}, counts, 1.0))
    page = report(tmp_path, language="zh").read_text(encoding="utf-8")
    assert page.count("a.jsonl:7</small> 你好,&lt;b&gt;") == 3 and "你好，&lt;b&gt;" in page
    assert "模型的拒答" in page and "a.jsonl:9</small> 作为一个AI" in page
    counts |= {"changed": {}, "dropped": {}}
    _json(tmp_path / "corpus" / "manifest.json", _manifest("corpus", {"source": ["x"]}, counts, 1.0))
    assert "清洗了什么" not in report(tmp_path, language="zh").read_text(encoding="utf-8")


def test_every_rule_and_reason_of_the_corpus_has_a_chinese_name():
    reasons = [*RULES, DUPLICATE, NEAR_DUPLICATE, LOST]
    rows = cleaning({"dropped": dict.fromkeys(reasons, 1)}, "zh")
    assert len(rows) == len(reasons) and not {row["name"] for row in rows} & set(reasons)


def test_real_data_has_no_synthetic_notice(tmp_path):
    _json(tmp_path / "corpus" / "manifest.json", _manifest("corpus", {"seed": 0}, {"read": 5, "kept": 5}, 1.0))
    page = report(tmp_path, language="zh").read_text("utf-8")
    assert "不是 TinyStories" not in page and "读入 5" in page


def test_refuses_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        report(tmp_path / "none")
    with pytest.raises(UserError, match="nothing recorded"):
        report(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json: broken"):
        report(tmp_path)


def test_longer_words_are_marked_first():
    assert highlighted("小草地", ["草", "草地", ""]) == [("小", False), ("草地", True)]
    assert highlighted("a.b", ["."]) == [("a", False), (".", True), ("b", False)]
    assert highlighted("文", []) == [("文", False)]


def test_a_sweep_is_shown(tmp_path: Path) -> None:
    lr = "optimizer.init_args.lr"
    rows = [
        {"name": f"lr-{rate:g}", "values": {lr: rate}, "seed": 0, "state": state, "reason": reason, "figure": figure}
        for rate, state, reason, figure in (
            (1e-4, "finished", "", 3.0), (1e-3, "finished", "", 2.0), (1e-2, "finished", "", 2.5),
            (0.1, "diverged", "step 7: <b>", None),
        )
    ]  # fmt: skip
    found = {
        "recipe": "recipes/sft.yaml", "command": "finetune_full", "key": lr, "also": [], "metric": "val_loss", "steps": 50,
        "trials": rows, "best": {"name": "lr-0.001", "values": {lr: 1e-3}, "figure": 2.0}, "told_apart": None,
        "second": {"name": "lr-0.01", "figure": 2.5}, "edge": None, "vertex": 2.2e-3,
    }  # fmt: skip
    _json(tmp_path / "sweep" / "sweep.json", found)
    page = report(tmp_path, language="zh").read_text(encoding="utf-8")
    assert "扫参：optimizer.init_args.lr" in page and "推荐 optimizer.init_args.lr 0.001：val_loss 2" in page
    assert "0.0022（没有测过）" in page and "<svg" in page
