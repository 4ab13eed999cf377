"""The quality page of a translation: what the rules said, how long the stories are, English and Chinese side by side."""

from __future__ import annotations

import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.stage import Manifest, write_text
from litgpt_zh.translate.ledger import Results
from litgpt_zh.translate.quality import chrf

_SAMPLES = 20
_PAIRS = 2000
"""References that chrF is measured on, at most."""
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[A-Za-z']+")
_RULES = {
    "keys": "键与条数",
    "cut": "没有被截断",
    "refused": "没有拒答",
    "nothing": "不是空的",
    "empty": "每一项都有",
    "chinese": "几乎全是汉字",
    "script": "简体或繁体",
    "preamble": "没有开场白和标签",
    "marks": "没有标记",
    "closing": "故事有结尾的标点",
    "length": "汉字与英文词之比",
    "paragraphs": "段落",
    "dialogue": "对话有引号",
    "names": "人名按词表",
    "words": "词在故事里",
    "sentence": "句子在故事里",
    "form": "写成约束后读得回来",
}
"""The names that ``agent`` and ``validate`` count, in the order they are looked at."""
_STEPS = {
    "draft": "翻译",
    "reflect": "反思",
    "improve": "改进",
    "judge": "给草稿打分",
    "repair": "带着毛病再问",
    "draft kept": "改得不如草稿，留草稿",
    "constraints left out": "去掉了不在故事里的词或句子",
}


def write_report(folder: Path, manifest: Manifest, results: Results) -> None:
    """``report.html`` beside the records; ratios and, where the source has references, chrF go into the manifest too."""
    import jinja2

    counts = manifest.counts
    ratios = array("f")
    samples: list[dict[str, Any]] = []
    pairs: list[tuple[str, str]] = []
    for number, kept in enumerate(results.records(True)):
        record = kept["record"]
        words = len(_WORD.findall(record["english"].get("story", "")))
        ratios.append(len(_HAN.findall(record["output"])) / max(1, words))
        if number * _SAMPLES // counts["ok"] != (number - 1) * _SAMPLES // counts["ok"]:
            samples.append({**record, "asked": _asked(record["english"])})
        if kept["reference"] and kept["reference"] != record["output"] and len(pairs) < _PAIRS:
            pairs.append((record["output"], kept["reference"]))
    counts["ratio"] = _spread(ratios)
    if pairs:
        counts["chrf"] = chrf(pairs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    steps = {name: counts["steps"][name] for name in _STEPS if name in counts["steps"]}
    page = environment.get_template("page.html").render(
        counts=counts, settings=manifest.settings, tiles=_tiles(counts), steps=steps, said=_STEPS, samples=samples,
        rules=[(name, text, counts["steps"].get(f"rule {name}", 0)) for name, text in _RULES.items()],
        answers=sum(steps.get(name, 0) for name in ("draft", "improve", "repair")),
    )  # fmt: skip
    write_text(folder / "report.html", page)


def _asked(english: dict[str, Any]) -> list[str]:
    words = ", ".join(english.get("words", []))
    return [part for part in (words, english.get("summary", ""), english.get("sentence", "")) if part]


def _tiles(counts: dict[str, Any]) -> list[tuple[str, str]]:
    """What a reader looks for first: (name, value)."""
    ledger, ratio, grades = counts["ledger"], counts["ratio"], counts.get("grades")
    found = [
        (name, f"{counts[key]:,}")
        for name, key in (("输入", "items"), ("译成", "ok"), ("死信", "dead"), ("记录", "records"))
    ]
    found += [("账本：词元，进", f"{ledger['tokens_in']:,}"), ("账本：词元，出", f"{ledger['tokens_out']:,}")]
    found.append(("账本：花费", f"{ledger['cost']:.2f}"))
    if ratio:
        found.append((f"汉字 / 英文词，中位（5% 到 95%：{ratio['p5']} 到 {ratio['p95']}）", str(ratio["median"])))
    if grades:
        found.append((f"模型打分，1 到 5，{grades['graded']:,} 条", str(grades["mean"] or "没有分数")))
    if "chrf" in counts:
        found.append(("chrF", "没有装 sacrebleu" if counts["chrf"] is None else str(counts["chrf"])))
    return found


def _spread(ratios: array[float]) -> dict[str, float]:
    """Chinese characters per English word: 5%, median, 95%."""
    if not ratios:
        return {}
    low, median, high = np.percentile(np.frombuffer(ratios, dtype=np.float32), (5, 50, 95))
    return {"p5": round(float(low), 2), "median": round(float(median), 2), "p95": round(float(high), 2)}
