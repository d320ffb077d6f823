"""Numbers, with what stands before and after them: signs of currencies, units, "%". Pure."""

import re
from collections.abc import Sequence

from fipo_model.contract.patterns import lazy

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MOST_PLACES = 4
_FEW = 3
"""So many different numbers show what may be chance: a unit, or the number of decimal places."""
_LONG = 8
"""Numbers of so many digits, all as long as each other, are no amounts."""

_INTEGER = lazy(r"-?\d+")
_DECIMAL = lazy(r"-?(\d+)\.(\d+)")
# Groups never begin with a zero: the comma of "0,567" is a decimal comma.
_GROUPED = lazy(r"-?(?:0|[1-9]\d{0,2}(?:,\d{3})*)(?:\.(\d+))?")
_EUROPEAN = lazy(r"-?(?:0|[1-9]\d{0,2}(?:\.\d{3})*)(?:,(\d+))?")
_COMMA = lazy(r"-?(?:0|[1-9]\d*),\d+")
_QUANTITY = lazy(r"(\D*?)(-?\d(?:[\d.,]*\d)?)(\D.*)?")

_CURRENCY = r"(?:[A-Z]{1,3})?[$€£¥₹₽₩]|Rs\.?|[A-Z]{3}(?<!BCE)"
_BEFORE = lazy(rf"(?:{_CURRENCY}) ?")
_MONEY = lazy(rf" ?(?:{_CURRENCY}|euros?|dollars?|pounds?|cents?)")
_SCALE = lazy(r" ?(?:%|‰|°[CFK]|°|percent)")
# Other units depend on the size of the number: 12 km, but 300 m.
_MEASURE = lazy(
    r" ?(?:[mcdk]?m[²³23]?|in|ft|yd|mi|ha|[mk]?g|t|lbs?|oz|[mcd]?[lL]|ms|s|sec|min|h|hrs?|[kM]?W|k?Wh|m?V|m?Ah?"
    r"|[kMG]?Hz|k?J|k?cal|[kh]?Pa|bar|psi|dB|px|pt|r?em|[kKMGT]?B|K|N|Nm|ppm|rpm|fps|mph|kph|km/h|m/s|mmHg|bpm"
    r"|thousand|million|billion|bn|k|/[a-z]+|/\d+(?: [a-z]+)?)"
)
_NOUN = lazy(r" [a-z]{3,12}")


def read_quantity(outputs: Sequence[str]) -> str | None:
    """A number and what stands around it in all outputs."""
    found = [_QUANTITY.fullmatch(output) for output in outputs]
    parts = [(match[1], match[2], match[3] or "") for match in found if match is not None]
    if len(parts) < len(outputs) or len({(before, after) for before, _, after in parts}) > 1:
        return None
    before, _, after = parts[0]
    numbers = list(dict.fromkeys(number for _, number, _ in parts))
    if not _is_mark(before, after, different=len(numbers)):
        return None
    form = _number(numbers, is_money=_is_money(before, after), is_marked=bool(before or after))
    if form is None:
        return None
    marks = [f'{where} "{mark}"' for where, mark in (("preceded by", before), ("followed by", after)) if mark]
    return " ".join([form, " and ".join(marks)]).strip()


def _is_mark(before: str, after: str, *, different: int) -> bool:
    """Whether these are marks of a number, and as many different numbers show it as that takes."""
    if before and (not _BEFORE.fullmatch(before) or different < 2):
        return False
    if not after:
        return True
    if _MONEY.fullmatch(after) or _SCALE.fullmatch(after):
        return different > 1
    if _MEASURE.fullmatch(after):
        return different >= _FEW
    return bool(_NOUN.fullmatch(after)) and different > _FEW


def _is_money(before: str, after: str) -> bool:
    return bool(_BEFORE.fullmatch(before) or _MONEY.fullmatch(after))


def _number(numbers: Sequence[str], *, is_money: bool, is_marked: bool) -> str | None:
    if _all(_INTEGER, numbers):
        return _integer([number.lstrip("-") for number in numbers])
    if _all(_GROUPED, numbers) and any("," in number for number in numbers):
        places = _places([_GROUPED.fullmatch(number) for number in numbers], numbers, is_money=is_money)
        return None if places is None else f"a number in digits with commas between the thousands{places}"
    if _all(_EUROPEAN, numbers) and any(re.search(r"\..*[.,]", number) for number in numbers):
        with_comma = {"," in number for number in numbers}
        behind = " and a decimal comma" if True in with_comma else ""
        return None if len(with_comma) > 1 else f"a number in digits with dots between the thousands{behind}"
    decimals = [_DECIMAL.fullmatch(number) for number in numbers]
    if all(found or _INTEGER.fullmatch(number) for found, number in zip(decimals, numbers, strict=True)):
        return _decimal(decimals, numbers, is_money=is_money)
    return _decimal_comma(numbers, is_marked=is_marked)


def _integer(numbers: Sequence[str]) -> str | None:
    lengths = set(map(len, numbers))
    is_padded = any(number.startswith("0") and len(number) > 1 for number in numbers)
    if not is_padded and (len(lengths) > 1 or min(lengths) < _LONG):
        return "a number in digits"
    if len(lengths) > 1 or len(numbers) < 2:
        return None
    return f"{spelled(lengths.pop())} digits"


def _decimal(found: Sequence[re.Match[str] | None], numbers: Sequence[str], *, is_money: bool) -> str | None:
    known = [match for match in found if match is not None]
    if all(len(match[2]) == 3 and len(match[1]) < 4 and match[1] != "0" for match in known):
        return None  # dots may stand between thousands
    counts = {len(match[2]) for match in known}
    if len(known) < len(found) or len(counts) > 1 or max(counts) > _MOST_PLACES:
        return "a number in digits"
    count = counts.pop()
    if not _is_fixed(count, numbers, is_money=is_money):
        return "a number in digits"
    return f"a number with {_say_places(count)}"


def _decimal_comma(numbers: Sequence[str], *, is_marked: bool) -> str | None:
    if not _all(_COMMA, numbers) or (not is_marked and len(numbers) <= _FEW):
        return None  # perhaps lists
    if {len(number.partition(",")[2]) for number in numbers} != {3}:
        return "a number in digits with a decimal comma"
    if not any(number.lstrip("-").startswith("0,") for number in numbers):
        return None  # perhaps thousands
    places = f" and {_say_places(3)}" if _is_fixed(3, numbers, is_money=False) else ""
    return f"a number in digits with a decimal comma{places}"


def _places(found: Sequence[re.Match[str] | None], numbers: Sequence[str], *, is_money: bool) -> str | None:
    """The decimal places behind grouped digits; None where they differ."""
    counts = {len(match[1] or "") for match in found if match is not None}
    if len(counts) > 1:
        return None
    count = counts.pop()
    return f" and {_say_places(count)}" if count and _is_fixed(count, numbers, is_money=is_money) else ""


def _is_fixed(count: int, numbers: Sequence[str], *, is_money: bool) -> bool:
    """Whether the number of places is no chance: a zero at the end would not be written otherwise."""
    has_zero = any(number.endswith("0") for number in numbers)
    return (has_zero and len(numbers) > 1) or (is_money and count == 2) or len(numbers) >= _FEW


def _say_places(count: int) -> str:
    return f"{spelled(count)} decimal place{'s' * (count > 1)}"


def spelled(count: int) -> str:
    """A number in words, up to ten."""
    return _COUNTS[count] if count < len(_COUNTS) else str(count)


def _all(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    return all(pattern.fullmatch(text) for text in texts)
