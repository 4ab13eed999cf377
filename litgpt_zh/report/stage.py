"""The command ``report``: a run folder in, one self-contained HTML page out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from litgpt_zh.evaluate.page import highlighted
from litgpt_zh.language import Language, language
from litgpt_zh.pages import templates
from litgpt_zh.preference.gate import Gate, verdict
from litgpt_zh.report import funnel
from litgpt_zh.report.cleaning import cleaning, named
from litgpt_zh.report.recorded import Run, Stage, Training, read_run
from litgpt_zh.report.wording import counted, duration, number, words
from litgpt_zh.stage import disk_errors, write_text

_SAMPLES = 8


def report(run_dir: Path, out: Path | None = None, language: Language = "auto") -> Path:
    """Render one page for a run: stages, where the data went, curves, the timeline of a story, score card, samples, settings.

    Everything comes from recorded files (run.json, manifest.json, metrics.jsonl, samples.jsonl, score.json); what is not
    there is named as not run. The page needs no network.

    Args:
        run_dir: the folder of a run.
        out: the page; report.html in the run's folder by default.
        language: zh, en, or auto: by locale, Chinese where it names no language.

    Returns:
        The page's path.

    Raises:
        UserError: no such folder, or nothing recorded in it.
    """
    run_dir = Path(run_dir)
    page = render(read_run(run_dir), language)
    out = Path(out) if out is not None else run_dir / "report.html"
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, page)
    print(out)
    return out


def render(run: Run, choice: str = "auto") -> str:
    """The page as a string."""
    chosen = language(choice)
    say = words(chosen)
    environment = templates(Path(__file__).parent)
    environment.filters["number"] = number
    return environment.get_template("page.html").render(
        say=say,
        run=run,
        title=run.info.get("title") or say["title"],
        date=run.info.get("date") or "",
        model=run.info.get("model") or (run.score or {}).get("model") or "",
        machine=_machine(run.info.get("machine")),
        synthetic=_is_synthetic(run),
        tiles=_tiles(run, say, chosen),
        sweep=_sweep(run, chosen),
        stages=[_row(stage, chosen) for stage in run.stages],
        funnels=_funnels(run, say),
        cleaning=cleaning(corpus.counts, chosen) if (corpus := run.stage("corpus")) else [],
        curves=_curves(run, say),
        preferences=[(name, _preference_plots(name, one, say)) for name, one in run.preferences.items()],
        timelines=_timelines(run, say),
        rates=_rates(_cards(run.score)),
        cards=[card.get("name") or say["model"] for card in _cards(run.score)],
        figures=_figures(_cards(run.score), say),
        rounds=_rounds(run, chosen),
        samples=_samples(_cards(run.score)),
        settings=[(s.name, _pretty(s.settings)) for s in run.stages if s.settings],
        versions=_versions(run),
        next_steps=_next_steps(run.info.get("next_steps") or run.info.get("next") or []),
    )


def _machine(machine: Any) -> str:
    return " · ".join(f"{v}" for v in machine.values() if v) if isinstance(machine, dict) else str(machine or "")


def _versions(run: Run) -> dict[str, str]:
    """Of the walk; of a run without one, of the last stage that recorded them."""
    last = next((stage.versions for stage in reversed(run.stages) if stage.versions), {})
    return run.info.get("versions") or last or (run.score or {}).get("versions") or {}


def _funnels(run: Run, say: dict[str, str]) -> list[tuple[str, str]]:
    """Name and picture for each stage that left data out, or might have; the samples of each round last."""
    titled = [(stage.name, stage) for stage in run.stages]
    titled += [(f"{stage.name} · {say['samples_drawn']}", stage) for stage in run.rounds]
    return [
        (name, funnel.draw(found, f"{name}: {say['funnel']}", say))
        for name, stage in titled
        if (found := funnel.funnel_of(stage.counts))
    ]


def _is_synthetic(run: Run) -> bool:
    """True unless the corpus is known to come from files."""
    corpus = run.stage("corpus")
    return corpus is None or not corpus.settings or corpus.settings.get("source") == "world"


def _tiles(run: Run, say: dict[str, str], chosen: str) -> list[tuple[str, str]]:
    """The few figures at the top."""
    corpus, tokens = run.stage("corpus"), run.stage("tokens")
    train = (tokens.counts.get("train") if tokens else None) or {}
    seconds = [stage.seconds for stage in run.stages if stage.seconds is not None]
    loss = {name: training.last("val_loss") for name, training in run.trainings.items()}
    tiles = [
        (say["stories"], number(corpus.counts["kept"]) if corpus and "kept" in corpus.counts else None),
        (say["tokens"], number(train["tokens"]) if isinstance(train, dict) and "tokens" in train else None),
        (say["val_pretrain"], f"{loss['pretrain']:.3f}" if loss.get("pretrain") is not None else None),
        (say["val_sft"], f"{loss['sft']:.3f}" if loss.get("sft") is not None else None),
        (say["total_time"], duration(sum(seconds), chosen) if seconds else None),
        (say["cost"], f"{cost:,.2f}" if (cost := sum(_cost(stage) for stage in run.stages)) else None),
    ]
    return [(label, value) for label, value in tiles if value]


def _cost(stage: Stage) -> float:
    """What the answers of a paid endpoint cost, by its prices; 0 where none was asked or none is known."""
    ledger = stage.counts.get("ledger")
    return float(ledger.get("cost") or 0) if isinstance(ledger, dict) else 0.0


def _row(stage: Stage, chosen: str) -> dict[str, Any]:
    """One stage for the table: counts with known names, one line per split, and every reason of a drop."""
    lines = [("", _named(stage.counts, chosen)), ("", _measured(stage.counts.get("measured"), chosen))]
    if cost := _cost(stage):
        lines.append(("", [(words(chosen)["cost"], f"{cost:,.2f}")]))
    for key in ("train", "val"):
        if isinstance(stage.counts.get(key), dict):
            lines.append((words(chosen)[key], _named(stage.counts[key], chosen)))
    dropped = stage.counts.get("dropped")
    return {
        "name": stage.name,
        "command": stage.command,
        "time": duration(stage.seconds, chosen),
        "lines": [(label, pairs) for label, pairs in lines if pairs],
        "drops": [(named(reason, chosen), n) for reason, n in sorted(dropped.items(), key=lambda pair: -pair[1])]
        if isinstance(dropped, dict)
        else [],
        "drops_known": isinstance(dropped, dict),
    }


def _named(counts: dict[str, Any], chosen: str) -> list[tuple[str, str]]:
    """The plain numbers among ``counts`` that have a name on the page."""
    plain = [
        (counted(key, chosen), n)
        for key, n in counts.items()
        if isinstance(n, (int, float)) and not isinstance(n, bool)
    ]
    return [(label, number(n)) for label, n in plain if label]


def _measured(figures: Any, chosen: str) -> list[tuple[str, str]]:
    """What a tokenizer does with held-out text."""
    found = figures if isinstance(figures, dict) else {}
    forms = {"characters_per_token": "{:.3f}", "fragment_share": "{:.3%}", "level1_single": "{:.2%}"}
    named = [(counted(key, chosen), form.format(found[key])) for key, form in forms.items() if key in found]
    return [(label, text) for label, text in named if label]


def _sweep(run: Run, chosen: str) -> dict[str, Any] | None:
    """Title, verdict and plot of a sweep."""
    if run.sweep is None:
        return None
    from litgpt_zh.sweep import page

    return page.section(run.sweep, chosen)


def _curves(run: Run, say: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Per training its plots: loss, learning rate, tokens per second."""
    return [
        (title, _plots(title, training, say))
        for name, training in run.trainings.items()
        if training.metrics and (title := say.get(name, name))
    ]


def _plots(name: str, training: Training, say: dict[str, str]) -> list[str]:
    from litgpt_zh.report.plots import BLUE, ORANGE, Curve, draw

    lines: dict[str, list[Curve]] = {
        "loss": [
            Curve(say["train"], *training.series("loss"), colour=BLUE, smooth=True),
            Curve(say["val"], *training.series("val_loss"), colour=ORANGE, marks=True),
        ],
        "learning_rate": [Curve(say["learning_rate"], *training.series("learning_rate"))],
        "throughput": [Curve(say["throughput"], *training.series("tokens_per_second"), smooth=True)],
    }
    plots = []
    for key, curves in lines.items():
        if filled := [curve for curve in curves if curve.x]:
            plots.append(draw(filled, x_label=say["iterations"], y_label=say[key], alt=f"{name}: {say[key]}"))
    return plots


def _preference_plots(name: str, training: Training, say: dict[str, str]) -> list[str]:
    """What the loss does to the pairs, and what the guards see of it."""
    from litgpt_zh.report.plots import BLUE, ORANGE, Curve, draw

    def pair(key: str) -> list[Curve]:
        return [
            Curve(say["train"], *training.series(key), colour=BLUE, smooth=True),
            Curve(say["val"], *training.series(f"val_{key}"), colour=ORANGE, marks=True),
        ]

    def guard(key: str) -> list[Curve]:
        return [Curve(say["val"], *training.series(f"val_guard_{key}"), colour=ORANGE, marks=True)]

    lines = {
        "margins": pair("rewards/margins"), "accuracies": pair("rewards/accuracies"),
        "nll_rise": guard("nll_rise"), "guard_words": guard("words_all"), "guard_repetition": guard("repetition_4"),
        "guard_length": guard("characters"),
    }  # fmt: skip
    kept = {key: [curve for curve in curves if curve.x] for key, curves in lines.items()}
    return [
        draw(curves, x_label=say["steps"], y_label=say[key], alt=f"{name}: {say[key]}")
        for key, curves in kept.items()
        if curves
    ]


def _timelines(run: Run, say: dict[str, str]) -> list[dict[str, Any]]:
    """Per training and prompt the samples at each share."""
    timelines = []
    for name, training in run.trainings.items():
        by_prompt: dict[str, list[dict[str, Any]]] = {}
        for sample in training.samples:
            by_prompt.setdefault(str(sample.get("prompt", "")), []).append(sample)
        for prompt, samples in by_prompt.items():
            points = sorted(samples, key=lambda s: s.get("share") or 0)
            points = [
                {"share": f"{s.get('share') or 0:.0%}", "iter": s.get("iter", 0), "text": str(s.get("text", ""))}
                for s in points
            ]
            timelines.append({"name": say.get(name, name), "prompt": prompt, "points": points})
    return timelines


def _cards(score: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The score cards of every model, the baseline first."""
    return [score, *(score.get("others") or [])] if score else []


def _rates(cards: list[dict[str, Any]]) -> list[tuple[str, dict[str, float]]]:
    """Of the last model."""
    figures = (cards[-1].get("figures") or {}) if cards else {}
    return [(key, figures[key]) for key in ("words_all", "words_all_shuffled", "finished") if key in figures]


def _rounds(run: Run, chosen: str) -> list[dict[str, Any]]:
    """What the gate said of each round of preference optimisation."""
    online = run.stage("online")
    if online is None:
        return []
    gate = Gate(**online.settings.get("gate", {}))
    return [
        {
            "round": r["round"], "pairs": number(r["pairs"]), "change": f"{r['before']:.1%} → {r['after']:.1%}",
            "gain": f"{r['gain']['low']:+.1%} – {r['gain']['high']:+.1%}", "nll_rise": f"{r['nll_rise']:+.4f}",
            "accepted": r["accepted"], "verdict": verdict(r, gate)[0 if chosen == "zh" else 1],
        }
        for r in online.counts.get("rounds") or []
    ]  # fmt: skip


Shown = tuple[str, str]
"""A figure and its interval, as text; the interval may be empty."""


def _figures(cards: list[dict[str, Any]], say: dict[str, str]) -> list[tuple[str, list[Shown]]]:
    """The smaller figures: name, then every model's and the true stories'."""
    if not cards:
        return []
    forms: dict[str, Callable[[Any], Shown]] = {
        "words_all": _share, "words_each": _share, "words_each_shuffled": _share, "constraints_all": _share,
        "sentence": _share, "dialogue": _share, "summary_overlap": _share, "summary_overlap_shuffled": _share,
        "copied": _share, "longest_copied": lambda x: (number(x), ""), "characters": lambda x: (number(x), ""),
        "repetition_4": lambda x: (f"{x:.1%}", ""), "distinct_2": lambda x: (f"{x:.3f}", ""),
    }  # fmt: skip
    told = [*((card.get("figures") or {}) for card in cards), cards[0].get("reference") or {}]
    if len(cards) == 1:
        del forms["words_all"]  # it stands above the table
    rows = [
        (say[key], [form(figures[key]) if key in figures else ("–", "") for figures in told])
        for key, form in forms.items()
        if key in told[0]
    ]
    bits = [(card.get("bits") or {}).get("bits_per_character") for card in cards]
    if bits[0]:
        shown = [(f"{b['value']:.3f}", f"{b['low']:.3f} – {b['high']:.3f}") if b else ("–", "") for b in bits]
        rows.append((say["bits"], [*shown, ("–", "")]))
    return rows


def _share(rate: dict[str, float]) -> Shown:
    return f"{rate['value']:.1%}", f"{rate['low']:.1%} – {rate['high']:.1%}"


def _samples(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stories of the last model in pieces, so that the template can mark the required words and escape everything."""
    samples = []
    for sample in ((cards[-1].get("samples") or []) if cards else [])[:_SAMPLES]:
        met = sample.get("met") or {}
        marks = [({True: "✓", False: "✗"}.get(value, "–"), key.partition(":")[2] or key) for key, value in met.items()]
        pieces = highlighted(str(sample.get("text", "")), [*(sample.get("words") or ()), sample.get("sentence") or ""])
        samples.append({"marks": marks, "pieces": pieces, "finished": bool(sample.get("finished"))})
    return samples


def _pretty(settings: dict[str, Any]) -> str:
    return json.dumps(settings, ensure_ascii=False, indent=1)


def _next_steps(steps: list[Any]) -> list[tuple[str, str]]:
    """(text, command) pairs from strings (commands where they begin with litgpt) or ``{"text", "command"}``."""
    return [
        (s.get("text", ""), s.get("command", ""))
        if isinstance(s, dict)
        else ("", s)
        if str(s).startswith("litgpt")
        else (str(s), "")
        for s in steps
    ]
