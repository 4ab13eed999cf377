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


def write_report(folder: Path, manifest: Manifest, results: Results) -> None:
    """``report.html`` beside the records; ratios and, where the source has references, chrF go into the manifest too."""
    import jinja2

    ratios = array("f")
    samples: list[dict[str, Any]] = []
    pairs: list[tuple[str, str]] = []
    every = max(1, manifest.counts["ok"] // _SAMPLES)
    for number, kept in enumerate(results.records(True)):
        record = kept["record"]
        words = len(_WORD.findall(record["english"].get("story", "")))
        ratios.append(len(_HAN.findall(record["output"])) / max(1, words))
        if number % every == 0 and len(samples) < _SAMPLES:
            samples.append(record)
        if kept["reference"] and kept["reference"] != record["output"] and len(pairs) < _PAIRS:
            pairs.append((record["output"], kept["reference"]))
    counts = manifest.counts
    counts["ratio"] = _spread(ratios)
    if pairs:
        counts["chrf"] = chrf(pairs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    rules = {name.removeprefix("rule "): n for name, n in counts["steps"].items() if name.startswith("rule ")}
    steps = {name: n for name, n in counts["steps"].items() if not name.startswith("rule ")}
    page = environment.get_template("page.html").render(
        counts=counts, settings=manifest.settings, rules=rules, steps=steps, samples=samples
    )
    write_text(folder / "report.html", page)


def _spread(ratios: array[float]) -> dict[str, float]:
    """Chinese characters per English word: 5%, median, 95%."""
    if not ratios:
        return {}
    low, median, high = np.percentile(np.frombuffer(ratios, dtype=np.float32), (5, 50, 95))
    return {"p5": round(float(low), 2), "median": round(float(median), 2), "p95": round(float(high), 2)}
