"""Numbers in words and texts as HTML, so that every figure, table and sentence of the page says them the same way."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Interval = Mapping[str, Any]
"""What was measured, with its uncertainty: value, low, high and level, such as 0.95."""

NOT_MEASURED = "not measured"
_MINUS = "\u2212"


def is_measured(interval: Interval | None) -> bool:
    """Whether there is a finite value with finite bounds: a mean over no rows, or of an infinite loss, is neither."""
    if interval is None:
        return False
    return all(interval[key] is not None and math.isfinite(interval[key]) for key in ("value", "low", "high"))


def signed(number: float) -> str:
    """A difference with its sign; never rounded to nothing, because the sign of a bound is what decides."""
    if number == 0:
        return "0"
    return _rounded(number, 3)


def percent(share: float) -> str:
    """A share of one in per cent; never 0 or 100 % unless it is exactly that."""
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{share * 100:.0f} %"


def points(difference: float) -> str:
    """A difference of two shares, in percentage points."""
    return _rounded(difference * 100, 1) if difference else "0"


def level(interval: Interval) -> str:
    """The level of an interval: 95 %."""
    return f"{interval['level'] * 100:g} %"


def shown(value: object) -> str:
    """Any value of a setting or a version, as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(map(str, value)) if isinstance(value, set | frozenset) else map(shown, value)
        return ", ".join(items) or "none"
    return str(value)


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table that scrolls by itself where it is wider than the screen, so that the page never does."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{_row_header(first)}{''.join(map(_cell, rest))}</tr>" for first, *rest in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def sentence(text: str) -> str:
    """A text as HTML in which no line ends between a number and its sign."""
    return escape(text).replace(" %", "&nbsp;%")


def _rounded(number: float, digits: int) -> str:
    needed = max(digits, -math.floor(math.log10(abs(number)))) if abs(number) < 0.5 * 10**-digits else digits
    return f"{number:+.{needed}f}".replace("-", _MINUS)


def _row_header(value: object) -> str:
    return f'<th scope="row" dir="auto">{escape(shown(value))}</th>'


def _cell(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    attribute = 'class="number"' if is_number else 'dir="auto"'
    return f"<td {attribute}>{escape(shown(value))}</td>"
