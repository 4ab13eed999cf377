"""``score.html`` and the lines on the terminal, from ``score.json`` alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from litgpt_zh.evaluate.copying import COPIED
from litgpt_zh.evaluate.measure import RATES
from litgpt_zh.evaluate.picture import Row, picture
from litgpt_zh.evaluate.wording import FIGURES, words
from litgpt_zh.language import language, say
from litgpt_zh.pages import templates

STORIES = 12
"""Requests whose stories stand on the page."""

PERCENT = (*RATES, "summary_overlap", "summary_overlap_shuffled", "copied", "repetition_4")
"""Figures shown in percent, their differences in percentage points."""
PICTURED = (
    "constraints_all",
    "words_all",
    "words_each",
    "sentence",
    "dialogue",
    "summary_overlap",
    "finished",
    "copied",
)
BETTER = {"repetition_4": -1, "copied": -1, "bits_asked": -1, "bits_plain": -1, "longest_copied": 0, "characters": 0}
"""Whether more is better: 1 where not named, 0 for neither."""
FEWEST = 10
"""Requests; of a difference over fewer nothing is concluded."""
COLOURS = ("#3b82c4", "#e07b39", "#2f9e77", "#a765b8", "#b3932b", "#c8546a")
"""Of the checkpoints, in their order; they hold on light and dark."""


def render(result: Mapping[str, Any], choice: str = "auto") -> str:
    """The page as a string.

    Args:
        result: what ``evaluate_stories`` returns and ``score.json`` holds.
        choice: zh, en, or auto: by locale.
    """
    cards = [result, *result.get("others", ())]
    chosen = language(choice)
    say = words(chosen)
    models = [_model(i, card) for i, card in enumerate(cards)]
    fields = [say["sentence_field" if name == "sentence" else name] for name in result["fields"]]
    return (
        templates(Path(__file__).parent)
        .get_template("page.html")
        .render(
            say=say,
            models=models,
            asked=say["asked"].format(count=result["count"], fields=("、" if chosen == "zh" else ", ").join(fields)),
            synthetic=result["synthetic"],
            shares=_shares(cards, models, say),
            gains=_gains(cards, models, say),
            rows=_rows(cards, say),
            notes=_notes(result, say),
            stories=_stories(cards, say),
            shown=min(STORIES, len(result["samples"])),
        )
    )


def values(card: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Every figure of a card with its interval, in the order of the page."""
    found = card["figures"] | card["intervals"]
    return {name: found[name] for name in FIGURES if name in found}


def shown(name: str, value: float) -> str:
    """A figure as text: percent, characters or three digits."""
    if name in PERCENT:
        return f"{value:.1%}"
    return f"{value:.1f}" if name in ("characters", "longest_copied") else f"{value:.3f}"


def gained(name: str, difference: Mapping[str, float]) -> tuple[str, str]:
    """A difference as text, percentage points for shares, and whether it is ``better``, ``worse`` or ``same``."""
    scale, digits = (100, 1) if name in PERCENT else (1, 1 if name in ("characters", "longest_copied") else 3)
    value, low, high = (f"{difference[key] * scale:+.{digits}f}" for key in ("value", "low", "high"))
    direction = BETTER.get(name, 1) * _sign(difference)
    return f"{value} [{low}, {high}]", {1: "better", -1: "worse", 0: "same"}[direction]


def _sign(difference: Mapping[str, float]) -> int:
    """1 above 0, -1 below, 0 where the interval holds 0 or the requests are too few."""
    if difference["n"] < FEWEST:
        return 0
    return 1 if difference["low"] > 0 else -1 if difference["high"] < 0 else 0


def summary(result: Mapping[str, Any]) -> str:
    """One line a figure for each checkpoint, for the terminal; ``*`` marks differences that are told from 0."""
    lines = []
    for card in (result, *result.get("others", ())):
        compared = ""
        if "differences" in card:
            compared = say(
                f"；方括号之后是与 {result['name']} 的差", f"; behind the interval the difference from {result['name']}"
            )
        lines.append(
            say(
                f"{card['checkpoint']}：{card['count']} 篇故事，贪心解码{compared}",
                f"{card['checkpoint']}: {card['count']} stories, greedy{compared}",
            )
        )
        differences = card.get("differences", {})
        for name, value in values(card).items():
            interval = f"[{shown(name, value['low'])}, {shown(name, value['high'])}]"
            line = f"  {name:<24} {shown(name, value['value']):>7}  {interval}"
            if name in differences:
                line = f"{line:<56}  {gained(name, differences[name])[0]}{' *' if _sign(differences[name]) else ''}"
            lines.append(f"{line:<{84 if differences else 56}}  {say(*FIGURES[name])}")
    return "\n".join(lines)


def _model(index: int, card: Mapping[str, Any]) -> dict[str, Any]:
    colour = COLOURS[index] if index < len(COLOURS) else f"hsl({index * 137 % 360} 50% 50%)"
    return {"colour": colour} | {key: card[key] for key in ("name", "model", "checkpoint", "dropped")}


def _shares(cards: Sequence[Mapping[str, Any]], models: list[dict[str, Any]], say: Mapping[str, str]) -> str:
    """The picture of the shares."""
    reference, rows = cards[0]["reference"] or {}, []
    for name in PICTURED:
        points = [card["figures"].get(name) for card in cards]
        if any(points):
            own, control = reference.get(name), cards[0]["figures"].get(f"{name}_shuffled")
            rows.append(Row(say[name], points, own and own["value"], control and control["value"]))
    ticks = (0, 0.25, 0.5, 0.75, 1)
    return picture(rows, models, ends=(0, 1), ticks=ticks, form=lambda value: f"{value:.0%}", alt=say["shares"])


def _gains(cards: Sequence[Mapping[str, Any]], models: list[dict[str, Any]], say: Mapping[str, str]) -> str:
    """The picture of the differences from the first, in percentage points; empty for one checkpoint."""
    found = {name: [card["differences"].get(name) for card in cards[1:]] for name in PICTURED}
    rows = [
        Row(say[name], [point and {key: point[key] * 100 for key in ("value", "low", "high")} for point in points])
        for name, points in found.items()
        if any(points)
    ]
    if not rows:
        return ""
    ends = [abs(point[key]) for row in rows for point in row.points if point for key in ("low", "high")]
    reach = next((n for n in (2, 4, 10, 20, 40, 80) if n >= max(ends)), 100)
    ticks = (-reach, -reach / 2, 0, reach / 2, reach)
    alt = say["gains"].format(name=cards[0]["name"])
    return picture(rows, models[1:], ends=(-reach, reach), ticks=ticks, form=_points, alt=alt)


def _points(value: float) -> str:
    return f"{value:+.3g}" if value else "0"


def _rows(cards: Sequence[Mapping[str, Any]], say: Mapping[str, str]) -> list[dict[str, Any]]:
    """The table: a figure of every checkpoint, with the difference from the first, and of the true stories."""
    reference, rows = cards[0]["reference"] or {}, []
    found = [values(card) for card in cards]
    for name in FIGURES:
        if any(name in one for one in found) and not name.endswith("_shuffled"):
            own = reference.get(name)
            control = found[0].get(f"{name}_shuffled")
            cells = [_cell(name, one.get(name), card) for one, card in zip(found, cards, strict=True)]
            own = own["value"] if isinstance(own, dict) else own
            rows.append({
                "name": say[name], "cells": cells, "own": "" if own is None else shown(name, own),
                "control": shown(name, control["value"]) if control else "",
            })  # fmt: skip
    if "most_copied" in cards[0]:
        most = [{"value": str(card["most_copied"]), "interval": "", "gain": None} for card in cards]
        rows.append({"name": say["most_copied"], "cells": most, "own": "", "control": ""})
    return rows


def _cell(name: str, value: Mapping[str, float] | None, card: Mapping[str, Any]) -> dict[str, Any]:
    if value is None:
        return {"value": "–", "interval": "", "gain": None}
    interval = f"[{shown(name, value['low'])}, {shown(name, value['high'])}]"
    difference = card.get("differences", {}).get(name)
    return {
        "value": shown(name, value["value"]), "interval": interval, "gain": difference and gained(name, difference),
    }  # fmt: skip


def _notes(result: Mapping[str, Any], say: Mapping[str, str]) -> list[str]:
    """What the figures mean and what they leave out."""
    notes = []
    if result["not_measured"]:
        features = [
            f"{name}（{n}）" if say["lang"] != "en" else f"{name} ({n})" for name, n in result["not_measured"].items()
        ]
        notes.append(say["open_note"].format(features=("、" if say["lang"] != "en" else ", ").join(features)))
    if "summary_overlap" in result["figures"]:
        notes.append(say["summary_note"])
    notes.append(say["copied_note"].format(run=COPIED) if "copied" in result["figures"] else say["not_copied"])
    return [*notes, say["bits_note"]] if "bits" in result else notes


def _stories(cards: Sequence[Mapping[str, Any]], say: Mapping[str, str]) -> list[dict[str, Any]]:
    """The first requests and, of each checkpoint, its story in pieces, so that the template marks words and escapes."""
    answers = [{sample["request"]: sample for sample in card["samples"]} for card in cards]
    stories = []
    for first in cards[0]["samples"][:STORIES]:
        lists = [(name, "，".join(first.get(name, ()))) for name in ("words", "features")]
        fields = [*lists, ("summary", first.get("summary")), ("sentence_field", first.get("sentence"))]
        told = [_story(one.get(first["request"]), say) for one in answers]
        stories.append({"asked": [(say[name], text) for name, text in fields if text], "told": told})
    return stories


def _story(sample: Mapping[str, Any] | None, say: Mapping[str, str]) -> dict[str, Any] | None:
    if sample is None:
        return None
    wanted = [*sample.get("words", ()), sample.get("sentence", "")]
    return {"marks": marks(sample, say), "pieces": highlighted(sample["text"], wanted), "finished": sample["finished"]}


def marks(sample: Mapping[str, Any], say: Mapping[str, str]) -> list[tuple[str, str]]:
    """✓, ✗ or – with the name of each constraint."""
    names = {"sentence": say["sentence_field"], "summary": say["summary"]}
    signs = {True: "✓", False: "✗"}
    return [(signs.get(met, "–"), names.get(key) or key.partition(":")[2]) for key, met in sample["met"].items()]


def highlighted(text: str, wanted: Sequence[str]) -> list[tuple[str, bool]]:
    """``text`` cut into (piece, whether it is wanted); longer words win over shorter ones inside them."""
    parts = sorted({word for word in wanted if word}, key=lambda word: (-len(word), word))
    if not parts:
        return [(text, False)]
    cut = re.split("(" + "|".join(map(re.escape, parts)) + ")", text)
    return [(piece, i % 2 == 1) for i, piece in enumerate(cut) if piece]
