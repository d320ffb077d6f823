"""Dates and times. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from fipo_model.contract.patterns import lazy

_MONTHS = ("January February March April May June July August September October November December").split()
_FULL, _SHORT = "|".join(_MONTHS), "|".join(dict.fromkeys(name[:3] for name in _MONTHS))
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_CALENDAR = frozenset(part.lower() for name in (*_MONTHS, *_DAYS) for part in (name, name[:3]))
_PARTS = _CALENDAR | set("am pm a p m t z st nd rd th".split())
_DATE, _BOTH = "a date in the form", "a date and time in the form"
_MONTH = lazy(rf"{_FULL}|{_SHORT}")
# What it looks like, how `strptime` reads it (with months as numbers, because their names depend on the locale), and
# what it is called. Years are of this age, or eight digits could be anything.
_WRITTEN = tuple(
    (lazy(pattern), read, said)
    for pattern, read, said in (
        (r"\d{4}-\d\d-\d\d", "%Y-%m-%d", f"{_DATE} YYYY-MM-DD"),
        (r"\d{4}/\d\d/\d\d", "%Y/%m/%d", f"{_DATE} YYYY/MM/DD"),
        (r"(?:19|20)\d{6}", "%Y%m%d", f"{_DATE} YYYYMMDD"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "%Y-%m-%dT%H:%M:%SZ", f"{_BOTH} YYYY-MM-DDTHH:MM:SSZ"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "%Y-%m-%dT%H:%M:%S", f"{_BOTH} YYYY-MM-DDTHH:MM:SS"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "%Y-%m-%d %H:%M:%S", f"{_BOTH} YYYY-MM-DD HH:MM:SS"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "%Y-%m-%d %H:%M", f"{_BOTH} YYYY-MM-DD HH:MM"),
    )
)
_NAMED = tuple(
    (lazy(pattern), read, form)
    for pattern, read, form in (
        (rf"(\d{{1,2}}) (?:{_FULL}) \d{{4}}", "%d %m %Y", "{} Month YYYY"),
        (rf"(?:{_FULL}) (\d{{1,2}}), \d{{4}}", "%m %d, %Y", "Month {}, YYYY"),
        (rf"(\d{{1,2}}) (?:{_SHORT}) \d{{4}}", "%d %m %Y", "{} Mon YYYY"),
        (rf"(?:{_SHORT}) (\d{{1,2}}), \d{{4}}", "%m %d, %Y", "Mon {}, YYYY"),
    )
)
_NUMERIC = lazy(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})")
_TIME = lazy(r"(?:[01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_HALF_DAY = lazy(r"(0?[1-9]|1[0-2])(:[0-5]\d)?( ?)([ap]\.?m\.?|[AP]\.?M\.?)")


def read_moment(outputs: Sequence[str]) -> str | None:
    """A date, a time, or both."""
    for pattern, read, said in _WRITTEN:
        if all(pattern.fullmatch(output) and _is_valid(output, read) for output in outputs):
            return said
    return _named(outputs) or _numeric(outputs) or _time(outputs) or _half_day(outputs)


def are_moments(outputs: Sequence[str]) -> bool:
    """Whether all are dates or times of some form, have one form or not, or name days of the week or months."""
    return all(map(_is_moment, outputs))


def _is_moment(text: str) -> bool:
    words, numbers = re.findall(r"[^\W\d_]+", text.lower()), re.findall(r"\d+", text)
    if not _PARTS.issuperset(words):
        return False
    is_named = any(word in _CALENDAR for word in words)
    return is_named or len(numbers) > 2 or (bool(numbers) and ("m" in "".join(words) or ":" in text))


def _is_valid(text: str, read: str) -> bool:
    numbered = _MONTH.sub(lambda name: str(_SHORT.split("|").index(name[0][:3]) + 1), text)
    try:
        datetime.strptime(numbered, read)
    except ValueError:
        return False
    return True


def _widths(numbers: Iterable[str]) -> set[int]:
    """How many digits numbers below ten have: {1} or {2}, both where they differ, none where there is none."""
    return {len(number) for number in numbers if len(number) == 1 or number.startswith("0")}


def _named(outputs: Sequence[str]) -> str | None:
    """A date with the month's name."""
    for pattern, read, form in _NAMED:
        found = [match for match in map(pattern.fullmatch, outputs) if match and _is_valid(match[0], read)]
        widths = _widths(match[1] for match in found)
        if len(found) == len(outputs) and len(widths) < 2:
            return f'{_DATE} "{form.format("DD" if 2 in widths else "D")}"'
    return None


def _numeric(outputs: Sequence[str]) -> str | None:
    """A date of three numbers, the year last. Which of the others is the day shows if it is more than twelve."""
    found = list(filter(None, map(_NUMERIC.fullmatch, outputs)))
    signs = {match[2] for match in found}
    if len(found) < len(outputs) or len(signs) > 1:
        return None
    sign = signs.pop()
    widths = _widths(match[place] for match in found for place in (1, 3))
    if len(widths) > 1:
        return None
    is_padded = 1 not in widths
    may_be: dict[str, Callable[[re.Match[str]], str]] = {
        "DM": lambda match: f"{match[1]} {match[3]} {match[4]}",
        "MD": lambda match: f"{match[3]} {match[1]} {match[4]}",
    }
    orders = [order for order, put in may_be.items() if all(_is_valid(put(match), "%d %m %Y") for match in found)]
    if sign == "." and "DM" in orders:
        orders = ["DM"]  # with dots, the day is always first
    if len(orders) == 1:
        return f"a date in the form {sign.join(part * (1 + is_padded) for part in orders[0])}{sign}YYYY"
    return f'a date of two, two and four digits with "{sign}" between them' if orders and is_padded else None


def _time(outputs: Sequence[str]) -> str | None:
    found = list(filter(None, map(_TIME.fullmatch, outputs)))
    seconds = {match[1] is not None for match in found}
    if len(found) < len(outputs) or len(seconds) > 1:
        return None
    widths = _widths(output.split(":")[0] for output in outputs)
    rest = ":MM:SS" if seconds.pop() else ":MM"
    if widths:
        return None if len(widths) > 1 else f"a time in the form {'H' * widths.pop()}{rest}"
    return f'a time in hours{", minutes and seconds" if rest == ":MM:SS" else " and minutes"} with ":" between them'


def _half_day(outputs: Sequence[str]) -> str | None:
    found = list(filter(None, map(_HALF_DAY.fullmatch, outputs)))
    if len(found) < len(outputs) or len({(bool(match[2]), match[3], match[4].lower()[1:]) for match in found}) > 1:
        return None
    widths = _widths(match[1] for match in found)
    if len({match[4].isupper() for match in found}) > 1 or len(widths) > 1:
        return None
    half, space = found[0][4], found[0][3]
    morning, evening = (f"{letter.upper() if half.isupper() else letter}{half[1:]}" for letter in "ap")
    if found[0][2]:
        what = f"a time in the form {'HH' if 2 in widths else 'H'}:MM"
    else:
        what = "the hour in two digits" if 2 in widths else "the hour"
    return f'{what} followed by "{space}{morning}" or "{space}{evening}"'
