"""``sweep.html``, the table on the terminal and the verdict, from ``sweep.json`` and the recorded losses alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from litgpt_zh.language import language
from litgpt_zh.pages import templates
from litgpt_zh.sweep.grid import is_scale
from litgpt_zh.sweep.wording import words

Result = Mapping[str, Any]
Losses = Mapping[str, Sequence[tuple[int, float]]]


def table(result: Result) -> str:
    """The trials, a line each, and the verdict."""
    say = words(language())
    width = max(len(trial["name"]) for trial in result["trials"]) + 2
    lines = [f"{'':<{width}}{result['metric']:>18}"]
    for trial in _ordered(result):
        mark = f"  <- {say['recommended']}" if trial["name"] == result["best"]["name"] else ""
        state = "" if trial["state"] == "finished" else f"  {say[trial['state']]}: {trial['reason']}"
        lines.append(f"{trial['name']:<{width}}{_number(trial['figure']):>18}{state}{mark}")
    return "\n".join([*lines, *verdict(result)])


def verdict(result: Result, choice: str = "auto") -> list[str]:
    """What the trials say, a sentence each; the recommendation first."""
    say, best, second = words(language(choice)), result["best"], result["second"]
    values = ", ".join(f"{key} {_number(value)}" for key, value in best["values"].items())
    lines = [say["best"].format(values=values, metric=result["metric"], figure=_number(best["figure"]))]
    if result["edge"]:
        lines.append(say[result["edge"]])
    if result["vertex"]:
        lines.append(say["vertex"].format(vertex=result["vertex"]))
    if second:
        kind = {None: "one_seed", True: "apart", False: "same"}[result["told_apart"]]
        gap = f"{abs(best['figure'] - second['figure']):.2g}"
        lines.append(say[kind].format(second=second["name"], gap=gap))
    return lines


def render(result: Result, losses: Losses, choice: str = "auto") -> str:
    """The page as a string.

    Args:
        result: what ``sweep.json`` holds.
        losses: of each trial by its name, (step, training loss).
        choice: zh, en, or auto: by locale.
    """
    chosen = language(choice)
    say = words(chosen)
    scale = is_scale([trial["values"][result["key"]] for trial in result["trials"]])
    steps = say["steps"].format(steps=result["steps"]) if result["steps"] else say["whole"]
    rows = [
        {
            **trial, "figure": _number(trial["figure"]), "state": say[trial["state"]],
            "best": trial["name"] == result["best"]["name"],
        }
        for trial in _ordered(result)
    ]  # fmt: skip
    return templates(Path(__file__).parent).get_template("page.html").render(
        say=say,
        **section(result, chosen),
        head=say["head"].format(command=result["command"], recipe=result["recipe"], steps=steps),
        figure=say["figure"].format(metric=result["metric"], key=result["key"]),
        figure_note=say["figure_note"] if scale else "",
        curves=_curves(result, losses, say),
        metric=result["metric"],
        rows=rows,
        use=f"litgpt {result['command']} --config {result['recipe']} --config override.yaml",
    )  # fmt: skip


def section(result: Result, choice: str = "auto") -> dict[str, Any]:
    """What a page shows at least: ``title``, ``verdict``, and ``plot`` in a block of the class ``shape``."""
    say = words(language(choice))
    scale = is_scale([trial["values"][result["key"]] for trial in result["trials"]])
    return {
        "title": say["title"].format(key=", ".join([result["key"], *result["also"]])),
        "verdict": verdict(result, choice),
        "plot": valley(result, say) if scale else ranking(result),
        "shape": "plots" if scale else "picture wide",
    }


def valley(result: Result, say: Mapping[str, str]) -> str:
    """The metric over the values, which are numbers: a line for each combination of the other settings."""
    from litgpt_zh.report.plots import BLUE, ORANGE, Curve, draw

    key, colours = result["key"], _colours()
    groups: dict[str, list[tuple[float, float]]] = {}
    for trial in result["trials"]:
        others = ", ".join(_number(trial["values"][name]) for name in result["also"])
        if trial["figure"] is not None:
            groups.setdefault(others, []).append((trial["values"][key], trial["figure"]))
    curves = []
    for number, (others, points) in enumerate(groups.items()):
        ordered = sorted(points)
        colour = colours[number % len(colours)] if len(groups) > 1 else BLUE
        curves.append(
            Curve(others or result["metric"], [x for x, _ in ordered], [y for _, y in ordered], colour, marks=True)
        )
    best = result["best"]
    curves.append(Curve(say["recommended"], [best["values"][key]], [best["figure"]], ORANGE, marks=True))
    lost = [trial["values"][key] for trial in result["trials"] if trial["state"] != "finished"]
    label = f"{result['metric']}: {key}"
    return draw(curves, x_label=key, y_label=result["metric"], alt=label, log_x=True, lines=lost)


def ranking(result: Result) -> str:
    """The metric of each combination, where the values are no numbers: a point with the range of its seeds."""
    from litgpt_zh.evaluate.picture import Row, picture
    from litgpt_zh.report.plots import BLUE

    found: dict[str, list[float]] = {}
    for trial in result["trials"]:
        name = ", ".join(map(str, trial["values"].values()))
        found.setdefault(name, []).extend([] if trial["figure"] is None else [trial["figure"]])
    figures = [figure for own in found.values() for figure in own]
    low, high = min(figures), max(figures)
    room = (high - low) / 8 or abs(high) / 8 or 1.0
    rows = [
        Row(name[:28], [{"value": sum(own) / len(own), "low": min(own), "high": max(own)} if own else None])
        for name, own in found.items()
    ]
    models = [{"name": result["metric"], "colour": BLUE}]
    ticks = [low, (low + high) / 2, high] if high > low else [low]
    return picture(rows, models, ends=(low - room, high + room), ticks=ticks, form=_number, alt=result["metric"])


def _curves(result: Result, losses: Losses, say: Mapping[str, str]) -> str:
    from litgpt_zh.report.plots import Curve, draw

    names, colours = [trial["name"] for trial in _ordered(result) if losses.get(trial["name"])], _colours()
    curves = [
        Curve(name, [s for s, _ in losses[name]], [y for _, y in losses[name]], colours[number % len(colours)])
        for number, name in enumerate(names)
    ]
    return draw(curves, x_label=say["step"], y_label=say["curves"], alt=say["curves"])


def _colours() -> Sequence[str]:
    from litgpt_zh.evaluate.page import COLOURS

    return COLOURS


def _ordered(result: Result) -> list[dict[str, Any]]:
    """The trials by their values where these are numbers, else as they were run."""
    key = result["key"]
    if not is_scale([trial["values"][key] for trial in result["trials"]]):
        return list(result["trials"])
    return sorted(
        result["trials"], key=lambda t: ([str(t["values"][k]) for k in result["also"]], t["values"][key], t["seed"])
    )


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
