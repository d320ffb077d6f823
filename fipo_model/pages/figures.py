"""Figures as rows of text and inline SVG: readable on a phone, in the dark, and without seeing colours.

Positions are percentages, so that a figure fits any width while lines, dots and texts keep their size. figures.html.j2
and table.html.j2 draw what is computed here.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fipo_model.pages.numbers import Interval, Say, is_measured, level, percent

_MARGIN = 3.0
"""Per cent left free at both ends, so that caps, dots and the texts of ticks are not cut."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_TICKS = 5

Span = tuple[float, float]
Look = Literal["good", "open", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of values; the first of each is the row's header."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]


class Mark(NamedTuple):
    """A labelled place on an axis."""

    place: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalChart:
    """Values with their intervals, one a row, over the same axis, and a line where nothing would differ.

    A filled dot marks an interval without `reference`, a hollow one an interval that contains it. Colour only repeats
    that.
    """

    caption: str
    rows: Sequence[tuple[str, Interval | None]]
    span: Span
    reference: float
    say: Say

    def place(self, number: float) -> str:
        """Where a number lies on the axis."""
        share = (number - self.span[0]) / (self.span[1] - self.span[0])
        return f"{_MARGIN + (100 - 2 * _MARGIN) * share:.2f}%"

    def look(self, interval: Interval) -> Look:
        """On which side of the reference an interval lies."""
        if interval.low > self.reference:
            return "good"
        return "bad" if interval.high < self.reference else "open"

    def describe(self, interval: Interval) -> str:
        """What the drawing of an interval shows, for those who do not see it."""
        side = {"good": "is above", "bad": "is below", "open": "includes"}[self.look(interval)]
        return f"The {level(interval)} interval {side} {self.say(self.reference)}."

    def marks(self) -> list[Mark]:
        """The labels of the axis."""
        said = [tick for tick in _spread(ticks(self.span), self.span) if is_said(tick, self.say)]
        return [Mark(self.place(tick), self.say(tick)) for tick in said]


def span_of(intervals: Sequence[Interval | None], *, reference: float, least: float = 0.0) -> Span:
    """The axis that holds all intervals and the reference line, and is at least `least` wide."""
    measured = [interval for interval in intervals if interval is not None and is_measured(interval)]
    low = min([reference, *(interval.low for interval in measured)])
    high = max([reference, *(interval.high for interval in measured)])
    missing = max(0.0, (least or 1e-6) - (high - low)) / 2
    return low - missing, high + missing


def ticks(span: Span) -> list[float]:
    """A few round numbers within the span, among them 0 if it is there."""
    low, high = span
    rough = (high - low) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def is_said(tick: float, say: Say) -> bool:
    """Whether a tick's text gives its exact value, as a number or in per cent, not a rounded one."""
    number = re.search(r"\d[\d.]*", say(tick))
    size = abs(tick)
    return number is not None and any(math.isclose(float(number[0]), said, rel_tol=1e-9) for said in (size, 100 * size))


def _spread(marks: list[float], span: Span) -> list[float]:
    # A text in the middle of a tick at the very edge would be cut off on a phone.
    width = span[1] - span[0]
    inner = [mark for mark in marks if span[0] + 0.05 * width <= mark <= span[1] - 0.05 * width]
    return inner or marks


class ShareRow(NamedTuple):
    """A whole in parts: its name, the shares by their kinds, and a sentence that says them."""

    name: str
    shares: Mapping[str, float]
    sentence: str


class Bar(NamedTuple):
    """A part of a row: where it begins and how wide it is, in per cent."""

    look: Look
    left: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareChart:
    """Shares of a whole as one bar a row. An order kept in all rows and the rows' sentences stand in for colours."""

    caption: str
    rows: Sequence[ShareRow]
    kinds: Mapping[str, Look]

    def bars(self, row: ShareRow) -> list[Bar]:
        """The parts of a row side by side."""
        bars, left = [], 0.0
        for kind, look in self.kinds.items():
            width = 100 * row.shares.get(kind, 0.0)
            bars.append(Bar(look, left, width))
            left += width
        return bars

    def describe(self, row: ShareRow) -> str:
        """What the drawing of a row shows, for those who do not see it."""
        return ", ".join(f"{kind}: {percent(row.shares.get(kind, 0.0))}" for kind in self.kinds)
