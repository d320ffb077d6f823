"""Numbers in words, so that every figure, table and sentence of a page writes them in the same way."""

import math
from collections.abc import Callable
from typing import Protocol

NOT_MEASURED = "not measured"
_MINUS = "\u2212"

Say = Callable[[float], str]
"""How a number of one kind is said."""


class Interval(Protocol):
    """What was measured, with its uncertainty: the interval covers the true value at `level`, such as 0.95."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def level(self) -> float: ...


def is_measured(interval: Interval | None) -> bool:
    """Whether there is a finite value with finite bounds: a mean over no rows, or of an infinite loss, is neither."""
    if interval is None:
        return False
    return all(map(math.isfinite, (interval.value, interval.low, interval.high)))


def say_interval(interval: Interval | None, say: Say) -> str:
    """A value and its bounds in text."""
    if interval is None or not is_measured(interval):
        return NOT_MEASURED
    return f"{say(interval.value)} ({say(interval.low)} to {say(interval.high)})"


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
    return f"{interval.level * 100:g} %"


def say_value(value: object) -> str:
    """Any value of a setting or a version, as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(str, value))) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(say_value, value)) or "none"
    return str(value)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """So many of something: 1 row, 2 rows, 1,200 rows."""
    return f"1 {noun}" if count == 1 else f"{count:,} {plural or f'{noun}s'}"


def keep_units(text: str) -> str:
    """The text with no line break possible between a number and its per cent sign."""
    return text.replace(" %", "\u00a0%")


def _rounded(number: float, digits: int) -> str:
    needed = max(digits, -math.floor(math.log10(abs(number)))) if abs(number) < 0.5 * 10**-digits else digits
    return f"{number:+.{needed}f}".replace("-", _MINUS)
