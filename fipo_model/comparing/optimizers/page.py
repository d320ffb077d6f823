"""The result of a comparison as one page that needs nothing else."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fipo_model.comparing.intervals import read_interval
from fipo_model.comparing.optimizers.contenders import CONTENDERS, FIPO_ROWS, RIVALS
from fipo_model.comparing.optimizers.words import AGAINST, HEADER, against_rivals, sentences, table_rows
from fipo_model.evaluation.page.sections import tabulate_making
from fipo_model.evaluation.results import Made, SystemDescription
from fipo_model.pages.document import Section, document
from fipo_model.pages.figures import Mark, Table, is_said, ticks
from fipo_model.pages.numbers import Interval, is_measured, percent

Results = Mapping[str, Any]
Records = Mapping[str, Mapping[str, Any]]

_SECTIONS = (
    Section("pictures", "Score against calls"),
    Section("tables", "Task by task"),
    Section("programs", "What came out"),
    Section("made", "How it was made"),
)
_FIRST, _RIGHT, _TOP, _BOTTOM = 12.0, 84.0, 6.0, 88.0
"""Per cent of a picture that the dots take: clear of the axis, which is at 8, and the names of the last ones are to the
right of the plot."""
_LABEL_GAP = 5.5
"""Per cent of the height that one line of text needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """An optimizer in a picture; positions are percentages."""

    name: str
    is_own: bool
    title: str
    x: str
    y: str
    top: str
    bottom: str
    label: str
    """The height of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Scores on a task against the calls they took."""

    task: str
    dots: list[Dot]
    calls: list[Mark]
    scores: list[Mark]
    alternative: str


def render_page(results: Results, records: Records) -> str:
    """The page for a comparison. Whatever the records contain is shown, never interpreted."""
    tasks = results["summary"]["tasks"]
    standings = list(against_rivals(results["summary"]))
    tables = [Table(caption=task, header=HEADER, rows=list(table_rows(rows))) for task, rows in tasks.items()]
    if standings:
        tables.insert(0, Table(caption=f"FIPO against {', '.join(RIVALS)}", header=AGAINST, rows=standings))
    return document(
        f"{__package__}/page.html.j2",
        title="FIPO and DSPy's optimizers",
        sentences=sentences(results["summary"]),
        sections=_SECTIONS,
        content={
            "pictures": [_draw(task, rows) for task, rows in tasks.items()],
            "tables": tables,
            "programs": [_tabulate_programs(task, records) for task in tasks],
            "made": _tabulate_making(results),
        },
    )


def _draw(task: str, rows: Mapping[str, Any]) -> Picture:
    scores = {name: read_interval(row.get("score")) for name, row in rows.items()}
    measured = {name: score for name, score in scores.items() if score is not None and is_measured(score)}
    if not measured:
        return Picture(task=task, dots=[], calls=[], scores=[], alternative="")
    calls = {name: rows[name]["calls"] for name in measured}
    span = _span(measured)
    powers = max(1, math.ceil(max(math.log10(max(1, spent)) for spent in calls.values())))
    said = {name: f"{percent(score.value)} after {calls[name]:,.0f} calls" for name, score in measured.items()}
    return Picture(
        task=task,
        dots=list(_place_dots(measured, calls, said, span=span, powers=powers)),
        calls=[Mark(_per_cent(_across(10**power, powers)), f"{10**power:,}") for power in range(powers + 1)],
        scores=[Mark(_per_cent(_height(tick, span)), percent(tick)) for tick in ticks(span) if is_said(tick, percent)],
        alternative="; ".join(f"{name} {what}" for name, what in said.items()),
    )


def _span(measured: Mapping[str, Interval]) -> tuple[float, float]:
    low = min(score.low for score in measured.values())
    high = max(score.high for score in measured.values())
    return (low, high) if high > low else (low - 0.05, high + 0.05)


def _place_dots(
    measured: Mapping[str, Interval],
    calls: Mapping[str, float],
    said: Mapping[str, str],
    *,
    span: tuple[float, float],
    powers: int,
) -> Iterator[Dot]:
    taken: list[tuple[float, float]] = []
    for name, score in sorted(measured.items(), key=lambda item: -item[1].value):
        x, y = _across(calls[name], powers), _height(score.value, span)
        yield Dot(
            name=name,
            is_own=name in FIPO_ROWS,
            title=f"{CONTENDERS[name][0]}: {said[name]}",
            x=_per_cent(x),
            y=_per_cent(y),
            top=_per_cent(_height(score.high, span)),
            bottom=_per_cent(_height(score.low, span)),
            label=_per_cent(_free_height(taken, x, y)),
        )


def _across(calls: float, powers: int) -> float:
    return _FIRST + (_RIGHT - _FIRST) * math.log10(max(1, calls)) / powers


def _height(score: float, span: tuple[float, float]) -> float:
    low, high = span
    return _BOTTOM - (_BOTTOM - _TOP) * (score - low) / (high - low)


def _per_cent(place: float) -> str:
    return f"{place:.2f}%"


def _free_height(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """Where a name can be read: below the names of dots that are close by."""
    place = y
    close = sorted(other for near, other in taken if abs(near - x) < 25)
    for other in close:
        if abs(other - place) < _LABEL_GAP:
            place = other + _LABEL_GAP
    taken.append((x, place))
    return place


def _tabulate_programs(task: str, records: Records) -> Table:
    rows = []
    for one in records.values():
        if one["task"] == task and one["error"] is None:
            how, score = (one["contender"], one["seed"]), percent(one["score"])
            for name, part in one["program"]["predictors"].items():
                rows.append((*how, name, part["instruction"], len(part["demos"]), score))
    header = ("optimizer", "seed", "predictor", "instruction", "demos", "score")
    return Table(caption=task, header=header, rows=rows)


def _tabulate_making(results: Results) -> list[Table]:
    settings = results["made"]["settings"]
    systems = {}
    for name, (what, _) in CONTENDERS.items():
        model, template = (settings["rewriter"], "its weights' own") if "fipo" in name else (settings["model"], "none")
        systems[name] = SystemDescription(kind="optimizer", what=what, model=model, template=template)
    return tabulate_making(Made.from_fields(results["made"]), systems)
