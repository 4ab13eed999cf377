"""Curves as inline SVG: real text in the browser's own fonts, a transparent ground, colours that hold on light and dark."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

BLUE, ORANGE, GREY = "#3b82c4", "#e07b39", "#8a8a8a"
_MOST_POINTS = 600
_IDS = re.compile(r' id="(?!(?:m|p|C)[0-9a-f]+")[^"]*"')


@dataclass
class Curve:
    """One line of a plot. ``smooth`` draws a running mean over a pale line; ``marks`` shows the points."""

    label: str
    x: list[float]
    y: list[float]
    colour: str = BLUE
    smooth: bool = False
    marks: bool = False


def draw(
    curves: list[Curve],
    *,
    x_label: str,
    y_label: str,
    alt: str,
    log: bool = False,
    log_x: bool = False,
    lines: Sequence[float] = (),
) -> str:
    """An ``<svg>`` element; text keeps the page's font (``svg.fonttype: none``).

    Args:
        curves: those without points are left out.
        x_label: below the axis.
        y_label: above the axis.
        alt: what a screen reader says.
        log: logarithmic y axis.
        log_x: logarithmic x axis.
        lines: where to draw dotted vertical lines.
    """
    import matplotlib

    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": alt, "font.size": 10.5, "text.color": GREY, "axes.labelcolor": GREY,
        "axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY, "axes.linewidth": 0.6,
        "axes.formatter.limits": (-3, 6), "axes.unicode_minus": False,
    }  # fmt: skip
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has the glyphs
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.subplots()
        for curve in curves:
            _add(axes, curve)
        axes.set_xlabel(x_label)
        axes.set_title(y_label, loc="left", fontsize=10.5, color=GREY)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.5)
        if log:
            axes.set_yscale("log")
        if log_x:
            axes.set_xscale("log")
        for x in lines:
            axes.axvline(x, color=GREY, linewidth=0.9, linestyle=":")
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=10.5, handlelength=1.4)
        output = io.StringIO()
        figure.savefig(output, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(output.getvalue(), alt)


def _add(axes: object, curve: Curve) -> None:
    x, y = _thinned(curve.x, curve.y)
    style = {"color": curve.colour, "solid_capstyle": "round"}
    if curve.smooth and len(y) >= 30:
        axes.plot(x, y, linewidth=0.7, alpha=0.3, **style)  # type: ignore[attr-defined]
        y = _running_mean(y, max(len(y) // 25, 3))
    marker = {"marker": "o", "markersize": 3} if curve.marks and len(x) <= 40 else {}
    axes.plot(x, y, linewidth=1.5, label=curve.label, **style, **marker)  # type: ignore[attr-defined]


def _thinned(x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    """At most ``_MOST_POINTS`` points, each the mean of its neighbours: the page stays small for any run."""
    size = -(-len(x) // _MOST_POINTS)
    if size <= 1:
        return x, y
    groups = range(0, len(x), size)
    return [_mean(x[i : i + size]) for i in groups], [_mean(y[i : i + size]) for i in groups]


def _running_mean(values: list[float], half: int) -> list[float]:
    return [_mean(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _inline(svg: str, alt: str) -> str:
    """The bare element, scalable, without the ids that several plots on one page would share."""
    svg = svg[svg.index("<svg") :]
    svg = _IDS.sub("", svg)
    said = f'role="img" aria-label="{escape(alt)}"'  # a folder's name may be in it
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', lambda m: f'<svg viewBox="{m[1]}" {said}>', svg, count=1)
    return re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
