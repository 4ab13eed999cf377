"""Points with their intervals as inline SVG: real text in the page's own fonts, colours of text and grid from its CSS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_LEFT, _RIGHT, _WIDTH = 225, 610, 635
_LINE = 14


@dataclass(frozen=True)
class Row:
    """One figure: a point a model (None where it was not measured), and two marks to compare with."""

    name: str
    points: Sequence[Mapping[str, float] | None]
    diamond: float | None = None
    circle: float | None = None


def picture(
    rows: Sequence[Row],
    models: Sequence[Mapping[str, Any]],
    *,
    ends: tuple[float, float],
    ticks: Sequence[float],
    form: Callable[[float], str],
    alt: str,
) -> str:
    """An ``<svg>`` element with classes ``grid, zero, name, diamond, circle`` for the page's CSS.

    Args:
        rows: from top to bottom.
        models: ``name`` and ``colour`` of each point of a row.
        ends: values at the ends of the axis.
        ticks: where to draw a line with its value.
        form: a value as text.
        alt: what a screen reader says.
    """

    def x(value: float) -> str:
        share = (value - ends[0]) / (ends[1] - ends[0])
        return f"{_LEFT + min(max(share, 0), 1) * (_RIGHT - _LEFT):.1f}"

    height = _LINE * len(models) + 18
    bottom = height * len(rows)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {bottom + 28}" role="img" aria-label="{escape(alt)}">']
    for tick in ticks:
        kind = "zero" if tick == 0 and ends[0] < 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(tick)}" x2="{x(tick)}" y1="0" y2="{bottom}"/>')
        parts.append(f'<text x="{x(tick)}" y="{bottom + 18}" text-anchor="middle">{escape(form(tick))}</text>')
    for number, row in enumerate(rows):
        top, middle = number * height, number * height + height / 2
        parts.append(
            f'<text class="name" x="{_LEFT - 16}" y="{middle + 4:g}" text-anchor="end">{escape(row.name)}</text>'
        )
        if row.diamond is not None:
            parts.append(f'<path class="diamond" d="M{x(row.diamond)} {middle - 7:g}l6 7l-6 7l-6 -7z"/>')
        if row.circle is not None:
            parts.append(f'<circle class="circle" cx="{x(row.circle)}" cy="{middle:g}" r="5"/>')
        for place, (point, model) in enumerate(zip(row.points, models, strict=True)):
            if point is not None:
                parts.append(_point(point, model, top + 16 + _LINE * place, x, form))
    return "".join(parts) + "</svg>"


def _point(
    point: Mapping[str, float],
    model: Mapping[str, Any],
    y: float,
    x: Callable[[float], str],
    form: Callable[[float], str],
) -> str:
    label = f"{model['name']} {form(point['value'])} [{form(point['low'])}, {form(point['high'])}]"
    return (
        f'<g stroke="{model["colour"]}" fill="{model["colour"]}"><title>{escape(label)}</title>'
        f'<line x1="{x(point["low"])}" x2="{x(point["high"])}" y1="{y:g}" y2="{y:g}" stroke-width="2.5"/>'
        f'<circle cx="{x(point["value"])}" cy="{y:g}" r="4.5" stroke="none"/></g>'
    )
