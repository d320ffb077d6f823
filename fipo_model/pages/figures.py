"""Figures as rows of text and inline SVG: readable on a phone, in the dark, and without seeing colours.

Positions are percentages, so that a figure fits any width while lines, dots and texts keep their size.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

from fipo_model.pages.markup import NOT_MEASURED, Interval, is_measured, level, percent

_MARGIN = 3.0
"""Per cent left free at both ends, so that caps, dots and the texts of ticks are not cut."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_TICKS = 5

Say = Callable[[float], str]
Span = tuple[float, float]


def interval_chart(rows: Sequence[tuple[str, Interval | None]], span: Span, *, reference: float, say: Say) -> str:
    """Values with their intervals, one a row, over the same axis, and a line where nothing would differ.

    A filled dot is an interval that leaves `reference` out, a hollow one contains it; colour only repeats that.
    """
    drawn = "".join(_interval_row(name, interval, span, reference, say) for name, interval in rows)
    return f'<div class="chart">{drawn}{_axis(span, say)}</div>'


def span_of(intervals: Sequence[Interval | None], *, reference: float, least: float = 0.0) -> Span:
    """The axis that holds all intervals and the line of reference, and is `least` wide at least."""
    measured = [interval for interval in intervals if interval is not None and is_measured(interval)]
    low = min([reference, *(interval["low"] for interval in measured)])
    high = max([reference, *(interval["high"] for interval in measured)])
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
    """Whether a tick's text stands for its value, as a number or in per cent, and not for one it was rounded to."""
    number = re.search(r"\d[\d.]*", say(tick))
    size = abs(tick)
    return number is not None and any(math.isclose(float(number[0]), said, rel_tol=1e-9) for said in (size, 100 * size))


def share_chart(rows: Sequence[tuple[str, Mapping[str, float], str]], kinds: Mapping[str, str]) -> str:
    """Shares of a whole as one bar a row. `kinds` gives each share's look: "good", "open" or "bad".

    Each row is its name, its shares by kind, and a sentence that says them; an order kept in all rows and the sentence
    stand in for colours.
    """
    return f'<div class="chart shares">{"".join(_share_row(row, kinds) for row in rows)}</div>'


def legend(kinds: Mapping[str, str]) -> str:
    """What the looks of a share chart mean, in the order in which the bars show them."""
    keys = "".join(f'<li><span class="key {look}"></span>{escape(kind)}</li>' for kind, look in kinds.items())
    return f'<ul class="legend">{keys}</ul>'


def figure(drawing: str, caption: str) -> str:
    """A drawing with what it shows and how to read it."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawing}</figure>"


def say_interval(interval: Interval | None, say: Say) -> str:
    """A value and its bounds in text."""
    if interval is None or not is_measured(interval):
        return NOT_MEASURED
    return f"{say(interval['value'])} ({say(interval['low'])} to {say(interval['high'])})"


def _interval_row(name: str, interval: Interval | None, span: Span, reference: float, say: Say) -> str:
    text = say_interval(interval, say)
    strip = "" if interval is None or not is_measured(interval) else _strip(interval, span, reference, say)
    return (
        f'<div class="row"><span class="name" dir="auto">{escape(name)}</span>{strip}'
        f'<span class="value">{escape(text)}</span></div>'
    )


def _strip(interval: Interval, span: Span, reference: float, say: Say) -> str:
    low, value, high, line = (
        _place(x, span) for x in (interval["low"], interval["value"], interval["high"], reference)
    )
    look, words = _against(interval, reference)
    alternative = f"The {level(interval)} interval {words} {say(reference)}."
    caps = "".join(f'<line x1="{x}" x2="{x}" y1="8" y2="18"/>' for x in (low, high))
    return (
        f'<svg class="strip {look}" role="img" aria-label="{escape(alternative)}">'
        f'<line class="reference" x1="{line}" x2="{line}" y1="0" y2="26"/>'
        f'<line x1="{low}" x2="{high}" y1="13" y2="13"/>{caps}<circle cx="{value}" cy="13" r="5"/></svg>'
    )


def _against(interval: Interval, reference: float) -> tuple[str, str]:
    if interval["low"] > reference:
        return "good", "is above"
    if interval["high"] < reference:
        return "bad", "is below"
    return "open", "includes"


def _axis(span: Span, say: Say) -> str:
    marks = "".join(
        f'<line x1="{x}" x2="{x}" y1="0" y2="5"/><text x="{x}" y="19" text-anchor="middle">{escape(say(tick))}</text>'
        for tick, x in ((tick, _place(tick, span)) for tick in _spread(ticks(span), span) if is_said(tick, say))
    )
    line = f'<line x1="{_MARGIN}%" x2="{100 - _MARGIN}%" y1="0" y2="0"/>'
    return f'<div class="row axis" aria-hidden="true"><svg class="strip">{line}{marks}</svg></div>'


def _spread(marks: list[float], span: Span) -> list[float]:
    # A text in the middle of a tick at the very edge would be cut off on a phone.
    width = span[1] - span[0]
    inner = [mark for mark in marks if span[0] + 0.05 * width <= mark <= span[1] - 0.05 * width]
    return inner or marks


def _place(number: float, span: Span) -> str:
    share = (number - span[0]) / (span[1] - span[0])
    return f"{_MARGIN + (100 - 2 * _MARGIN) * share:.2f}%"


def _share_row(row: tuple[str, Mapping[str, float], str], kinds: Mapping[str, str]) -> str:
    name, shares, sentence = row
    bars, left = [], 0.0
    for kind, look in kinds.items():
        share = 100 * shares.get(kind, 0.0)
        bars.append(f'<rect class="{look}" x="{left:.2f}%" width="{share:.2f}%" y="0" height="18"/>')
        left += share
    alternative = ", ".join(f"{kind}: {percent(shares.get(kind, 0.0))}" for kind in kinds)
    return (
        f'<div class="row"><span class="name" dir="auto">{escape(name)}</span>'
        f'<svg class="strip bar" role="img" aria-label="{escape(alternative)}">{"".join(bars)}</svg>'
        f'<span class="value">{escape(sentence)}</span></div>'
    )
