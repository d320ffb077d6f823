"""The result of a comparison as one page that needs nothing else."""

import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fipo_model.comparing.optimizers.contenders import CONTENDERS, FIPO_ROWS, RIVALS
from fipo_model.comparing.optimizers.words import AGAINST, HEADER, against_rivals, sentences, table_rows
from fipo_model.evaluation.page import sections
from fipo_model.pages.document import Section, document
from fipo_model.pages.figures import figure, is_said, ticks
from fipo_model.pages.markup import is_measured, percent, table

Results = Mapping[str, Any]
Records = Mapping[str, Mapping[str, Any]]

_STYLE = """
.plot svg { width: 100%; height: 20rem; overflow: visible; font-size: .8rem; }
.plot line { stroke: currentColor; opacity: .45; }
.plot line.axis { opacity: .8; }
.plot text { fill: currentColor; }
.plot circle { fill: none; stroke: currentColor; stroke-width: 2; }
.plot .own circle { fill: currentColor; }
"""
_LEFT, _FIRST, _RIGHT, _TOP, _BOTTOM = 8.0, 12.0, 84.0, 6.0, 88.0
"""Per cent of a picture that the plot takes; the first dots stand clear of the axis, and the names of the last ones to
the right of the plot."""
_LABEL_GAP = 5.5
"""Per cent of the height that one line of text needs."""


def render_page(results: Results, records: Records) -> str:
    """The page for a comparison. Whatever the records contain is shown, never interpreted."""
    tasks = results["summary"]["tasks"]
    standings = list(against_rivals(results["summary"]))
    tables = [table(task, HEADER, table_rows(rows)) for task, rows in tasks.items()]
    if standings:
        tables.insert(0, table(f"FIPO against {', '.join(RIVALS)}", AGAINST, standings))
    parts = [
        Section("pictures", "Score against calls", "".join(_picture(task, rows) for task, rows in tasks.items())),
        Section("tables", "Task by task", "".join(tables)),
        Section("programs", "What came out", "".join(_programs(task, records) for task in tasks)),
        Section("made", "How it was made", _made(results)),
    ]
    return document("FIPO and DSPy's optimizers", sentences(results["summary"]), parts, style=_STYLE)


def _picture(task: str, rows: Mapping[str, Any]) -> str:
    dots = {name: row for name, row in rows.items() if is_measured(row.get("score"))}
    if not dots:
        return f"<p>Nothing was measured on {escape(task)} yet.</p>"
    return figure(
        f'<div class="plot">{_scatter(dots)}</div>',
        f"{task}: mean score on the test rows with its 95 % interval, against all calls of models that the compile "
        "made (median over seeds; logarithmic, and none is drawn as one). FIPO's dots are filled.",
    )


def _scatter(dots: Mapping[str, Any]) -> str:
    low = min(row["score"]["low"] for row in dots.values())
    high = max(row["score"]["high"] for row in dots.values())
    low, high = (low, high) if high > low else (low - 0.05, high + 0.05)
    powers = max(1, math.ceil(max(math.log10(max(1, row["calls"])) for row in dots.values())))
    drawn = [*_axes(low, high, powers)]
    taken: list[tuple[float, float]] = []
    for name, row in sorted(dots.items(), key=lambda item: -item[1]["score"]["value"]):
        x = _FIRST + (_RIGHT - _FIRST) * math.log10(max(1, row["calls"])) / powers
        y, top, bottom = (_height(row["score"][at], low, high) for at in ("value", "high", "low"))
        label = _free_height(taken, x, y)
        title = f"{CONTENDERS[name][0]}: {percent(row['score']['value'])} after {row['calls']:,.0f} calls"
        drawn.append(
            f'<g class="{"own" if name in FIPO_ROWS else "other"}"><title>{escape(title)}</title>'
            f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="{top:.2f}%" y2="{bottom:.2f}%"/>'
            f'<circle cx="{x:.2f}%" cy="{y:.2f}%" r="5"/>'
            f'<text x="{x:.2f}%" y="{label:.2f}%" dx="9" dy="4">{escape(name)}</text></g>'
        )
    alternative = "; ".join(
        f"{name} {percent(row['score']['value'])} after {row['calls']:,.0f} calls" for name, row in dots.items()
    )
    return f'<svg role="img" aria-label="{escape(alternative)}">{"".join(drawn)}</svg>'


def _axes(low: float, high: float, powers: int) -> Iterator[str]:
    yield f'<line class="axis" x1="{_LEFT}%" x2="{_RIGHT}%" y1="{_BOTTOM}%" y2="{_BOTTOM}%"/>'
    yield f'<line class="axis" x1="{_LEFT}%" x2="{_LEFT}%" y1="{_TOP}%" y2="{_BOTTOM}%"/>'
    for power in range(powers + 1):
        x = _FIRST + (_RIGHT - _FIRST) * power / powers
        yield f'<text x="{x:.2f}%" y="{_BOTTOM}%" dy="18" text-anchor="middle">{10**power:,}</text>'
    for tick in (tick for tick in ticks((low, high)) if is_said(tick, percent)):
        y = _height(tick, low, high)
        yield f'<text x="{_LEFT}%" y="{y:.2f}%" dx="-6" dy="4" text-anchor="end">{escape(percent(tick))}</text>'


def _height(score: float, low: float, high: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * (score - low) / (high - low)


def _free_height(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """Where a name can be read: below the names of dots that are close by."""
    place = y
    for _, other in sorted((near for near in taken if abs(near[0] - x) < 25), key=lambda near: near[1]):
        if abs(other - place) < _LABEL_GAP:
            place = other + _LABEL_GAP
    taken.append((x, place))
    return place


def _programs(task: str, records: Records) -> str:
    rows = [
        (one["contender"], one["seed"], name, part["instruction"], len(part["demos"]), percent(one["score"]))
        for one in records.values()
        if one["task"] == task and one["error"] is None
        for name, part in one["program"]["predictors"].items()
    ]
    shown = table(task, ("optimizer", "seed", "predictor", "instruction", "demos", "score"), rows)
    return f"<details><summary>{escape(task)}: {len(rows)} instructions</summary>{shown}</details>"


def _made(results: Results) -> str:
    settings = results["made"]["settings"]
    systems = {
        name: {
            "what": what,
            "model": settings["rewriter"] if "fipo" in name else settings["model"],
            "template": "its weights' own" if "fipo" in name else "none",
        }
        for name, (what, _) in CONTENDERS.items()
    }
    return sections.made({"made": results["made"], "systems": systems})
