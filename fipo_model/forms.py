"""The form that all right outputs have, said in one sentence ("Reply with a number in digits and nothing else."). Pure.

Reading a form off outputs is what small models do worst, and a rule can do it without guessing. What is said is true of
every output given. Only forms with a plain English name are said; where there is none, nothing is.
"""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

_FEWEST_WORDED = 3  # outputs; of two, letter case and number of words may be alike by chance
_MOST_KEYS, _FEW_WORDS, _MOST_RUNS = 6, 4, 8
_LONGEST_ANSWER = 300  # characters; longer outputs are documents, whose form has no brief name

_PAIRS = (("yes", "no"), ("true", "false"))
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MOST_PLACES = 4
_BRACKETS = {"[": "]", "(": ")"}
_QUOTES = {'"': "double quotes", "'": "single quotes"}
_SEPARATORS = {
    ", ": "a comma and a space",
    "; ": "a semicolon and a space",
    " / ": "a slash with spaces around it",
    " | ": "a bar with spaces around it",
    ",": "a comma and no space",
    ";": "a semicolon and no space",
    "|": "a bar",
    "/": "a slash",
}

_INTEGER, _DECIMAL = re.compile(r"-?\d+"), re.compile(r"-?\d+\.(\d+)")
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_ISO_DATE, _TIME = re.compile(r"\d{4}-[01]\d-[0-3]\d"), re.compile(r"[012]?\d:[0-5]\d")
_DATE = re.compile(r"(\d\d)([./-])(\d\d)\2\d{4}")
_NAMED = (("an e-mail address", re.compile(r"[^\s@]+@[^\s@]+\.\w+")), ("a link", re.compile(r"https?://\S+")))
_MARKER, _NUMBERED = re.compile(r"(?:[-*•#>+]+|\[[ x]?\]) "), re.compile(r"\d+\. ")
_ITEM = re.compile(r"[^\s<>]+(?: [^\s<>]+){0,2}")
# The halves of days, and names such as June.
_MAY_BE_CHANCE = re.compile(r"[ap]m|[A-Z][a-z]+")
_RUN = re.compile(r"\d+|[^\W\d_]+|[\W_]+")
_NO_WORDS = re.compile(r"[\d\n<>{}()\[\]]")
_SENTENCE = re.compile(r"[^\W\d_a-z][^\n.!?]* [^\n.!?]*[.!?]")
# Signs and tags; and a word only as a label ("Answer: ") or, after a number, as a unit (" km").
_SIGNS = r"(?:</?\w+>|[^\w\s.,;!?/\\-]| )*"
_BEFORE, _AFTER = re.compile(rf"{_SIGNS}(?:[A-Z]\w*:\s*)?{_SIGNS}"), re.compile(_SIGNS)
_UNIT = re.compile(r" ?(?:°[CFK]|[A-Z]{1,3}|[^\W\dA-Z]\w{0,9}|%)")


def form_sentence(outputs: Sequence[str]) -> str | None:
    """What to ask for so that an answer has the form that all of these right outputs have; None where that is unclear.

    Numbers, dates, times, JSON, and yes or no are told from one output, marks around the answer from two, letter case
    and the number of words from three.
    """
    right = [output.strip() for output in outputs]
    if not right or not all(right):
        return None
    form = _json(right) or _marked(right)
    if form is None:
        return None
    return f"Reply with {form}{',' * (',' in form or form.count(' and ') > 0)} and nothing else."


def _json(outputs: Sequence[str]) -> str | None:
    values = list(map(_json_of, outputs))
    if all(isinstance(value, list) for value in values):
        return "a JSON list"
    if not all(isinstance(value, dict) for value in values):
        return None
    keys = list(values[0])
    if not 0 < len(keys) <= _MOST_KEYS or any(list(value) != keys for value in values):
        return "a JSON object"
    named = ", ".join(json.dumps(key, ensure_ascii=False) for key in keys)
    return f"a JSON object with the key{'s' * (len(keys) > 1)} {named}"


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _marked(outputs: Sequence[str]) -> str | None:
    """The form of what is between the marks that all outputs begin or end with, and these marks."""
    if any(len(output) > _LONGEST_ANSWER for output in outputs):
        return _lines(outputs)
    before, after = _brackets(outputs)
    if not before and (form := _several(outputs)) is not None:
        return form
    if not before:
        before, after = _marks(outputs)
    form = _bare([output[len(before) : len(output) - len(after)].strip() for output in outputs])
    if form is None and (code := _code(outputs)) is not None:
        return code
    if not before and not after:
        return form
    if re.search(r"[{}]" if form else r"[][(){}]", before + after):
        return None  # braces are of variables; and half of a form that is not known may be that of a link
    form = form or "the answer"
    if before == after and before in _QUOTES:
        return f"{form} in {_QUOTES[before]}"
    if before and after:
        form = f"{form}, all" if "," in form else form
        return f"{form} between {_quoted(before)} and {_quoted(after)}"
    return f"{form} preceded by {_quoted(before)}" if before else f"{form} followed by {_quoted(after)}"


def _brackets(outputs: Sequence[str]) -> tuple[str, str]:
    first, last = outputs[0][0], outputs[0][-1]
    are_alike = all(output[0] == first and output[-1] == last and len(output) > 2 for output in outputs)
    return (first, last) if are_alike and _BRACKETS.get(first) == last and len(set(outputs)) > 1 else ("", "")


def _marks(outputs: Sequence[str]) -> tuple[str, str]:
    """What all outputs begin and end with, such as a tag, a label or a unit."""
    different = list(dict.fromkeys(outputs))
    if len(different) < 2 or any("\n" in output for output in different):
        return "", ""
    begun, ended = _beginning(different), _beginning([output[::-1] for output in different])[::-1]
    matched = _BEFORE.match(begun)
    before = "" if matched is None else matched[0]
    rest = [output[len(before) :] for output in different]
    unit = _unit(rest)
    after = unit or next(ended[start:] for start in range(len(ended) + 1) if _AFTER.fullmatch(ended, start))
    is_left = all(len(output) > len(after) for output in rest)
    return (before, after) if is_left and (before + after).strip() else ("", "")


def _beginning(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    alike = itertools.takewhile(lambda signs: len(set(signs)) == 1, zip(*texts, strict=False))
    return "".join(signs[0] for signs in alike)


def _unit(outputs: Sequence[str]) -> str:
    """The unit behind the number that each output is; empty if there is none."""
    numbers = [_NUMBER.match(output) for output in outputs]
    behind = {"" if number is None else output[number.end() :] for number, output in zip(numbers, outputs, strict=True)}
    unit = behind.pop()
    return unit if not behind and _UNIT.fullmatch(unit) else ""


def _bare(outputs: Sequence[str]) -> str | None:
    readers = (_choice, _date_or_time, _number, _named, _several, _words)
    return next(filter(None, (read(outputs) for read in readers)), None)


def _choice(outputs: Sequence[str]) -> str | None:
    for pair in _PAIRS:
        for change in (str, str.capitalize, str.upper):
            one, other = map(change, pair)
            if {one, other} >= set(outputs):
                return f'"{one}" or "{other}"'
    return None


def _number(outputs: Sequence[str]) -> str | None:
    decimals = [_DECIMAL.fullmatch(output) for output in outputs]
    places = {len(found[1]) for found in decimals if found is not None}
    if None not in decimals and len(places) == 1 and max(places) <= _MOST_PLACES:
        count = max(places)
        return f"a number with {_NUMBERS[count]} decimal place{'s' * (count > 1)}"
    if _all(_GROUPED, outputs):
        return "a number in digits with commas between the thousands"
    return "a number in digits" if _all(_NUMBER, outputs) else None


def _date_or_time(outputs: Sequence[str]) -> str | None:
    if _all(_ISO_DATE, outputs):
        return "a date in the form YYYY-MM-DD"
    if _all(_TIME, outputs):
        return f"a time in the form {'HH' if all(len(output) == 5 for output in outputs) else 'H'}:MM"
    found = list(filter(None, map(_DATE.fullmatch, outputs)))
    signs = {match[2] for match in found}
    if len(found) < len(outputs) or len(signs) > 1:
        return None
    sign = signs.pop()
    is_day_first, is_month_first = (any(int(match[place]) > 12 for match in found) for place in (1, 3))
    if is_day_first == is_month_first:
        return f"a date of two, two and four digits with {_quoted(sign)} between them"
    return f"a date in the form {sign.join(('DD', 'MM') if is_day_first else ('MM', 'DD'))}{sign}YYYY"


def _named(outputs: Sequence[str]) -> str | None:
    return next((name for name, pattern in _NAMED if _all(pattern, outputs)), None)


def _several(outputs: Sequence[str]) -> str | None:
    return _lines(outputs) or _items(outputs)


def _lines(outputs: Sequence[str]) -> str | None:
    by_output = [output.split("\n") for output in outputs]
    lines = [line for own in by_output for line in own]
    if len(lines) == len(outputs) or not all(map(str.strip, lines)):
        return None
    if all(map(_NUMBERED.match, lines)):
        return "a numbered list with one item per line"
    marker = _MARKER.match(lines[0])
    if marker and all(line.startswith(marker[0]) for line in lines):
        return f"one item per line, each after {_quoted(marker[0].strip())}"
    are_items = all(_ITEM.fullmatch(line) and not re.search(r"[,;|{}=()]", line) for line in lines)
    return "one item per line" if are_items and all(len(own) > 1 for own in by_output) else None


def _items(outputs: Sequence[str]) -> str | None:
    if any("\n" in output for output in outputs) or _date_or_time(outputs) or _all(_NUMBER, outputs):
        return None
    for sign, name in _SEPARATORS.items():
        by_output = [output.split(sign) for output in outputs]
        if all(len(own) > 1 and all(map(_ITEM.fullmatch, own)) for own in by_output):
            items = [item for own in by_output for item in own]
            last = ', with "and" before the last one' if all(" and " in own[-1] for own in by_output) else ""
            return f"the items{_each(items)}, separated by {name}{last}"
    words = [word for output in outputs for word in output.split()]
    each = _each(words)
    return f"the items{each}, separated by spaces" if each and all(" " in output for output in outputs) else None


def _each(items: Sequence[str]) -> str:
    """What each item is marked with, if anything."""
    mark = items[0][0]
    if mark in _QUOTES and all(len(item) > 2 and item[0] == mark == item[-1] for item in items):
        return f", each in {_QUOTES[mark]}"
    is_marked = mark in "#@-+*$€£" and all(len(item) > 1 and item[0] == mark for item in items)
    return f", each after {_quoted(mark)}" if is_marked else ""


def _code(outputs: Sequence[str]) -> str | None:
    """Capital letters, digits, and what stands between them in all outputs: one capital letter, "-" and two digits."""
    by_output = [_RUN.findall(output) for output in outputs]
    if len(set(outputs)) < 2 or len({len(runs) for runs in by_output}) > 1 or len(by_output[0]) > _MOST_RUNS:
        return None
    parts: list[str] = []
    for is_fixed, places in itertools.groupby(zip(*by_output, strict=True), key=_is_fixed):
        runs = list(places)
        if is_fixed:
            parts.append(_quoted("".join(own[0] for own in runs)).replace('" "', "a space"))
        elif (counted := _counted(runs[0])) is not None and len(runs) == 1:
            parts.append(counted)
        else:
            return None
    has_digits = any(part.endswith(("digit", "digits")) for part in parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 and has_digits else None


def _is_fixed(runs: Sequence[str]) -> bool:
    """Whether all outputs have the same signs or letters in this place, and hardly by chance."""
    if len(set(runs)) > 1 or runs[0].isdecimal():
        return False
    are_letters = any(map(str.isalpha, runs[0]))
    return not are_letters or (len(runs) >= _FEWEST_WORDED and not _MAY_BE_CHANCE.fullmatch(runs[0]))


def _counted(runs: Sequence[str]) -> str | None:
    if not all(run.isdecimal() or (run.isalpha() and run.isupper()) for run in runs):
        return None
    if len({run.isdecimal() for run in runs}) > 1:
        return None
    what, lengths = "digit" if runs[0].isdecimal() else "capital letter", {len(run) for run in runs}
    if len(lengths) > 1 or (what == "digit" and lengths == {1}):  # the next one may have two
        return f"{what}s"
    length = lengths.pop()
    return f"{_NUMBERS[length] if length < len(_NUMBERS) else length} {what}{'s' * (length > 1)}"


def _words(outputs: Sequence[str]) -> str | None:
    if len(outputs) < _FEWEST_WORDED:
        return None
    if all(map(_SENTENCE.fullmatch, outputs)):
        return "one sentence"
    if any(_NO_WORDS.search(output) or not any(map(str.isalpha, output)) for output in outputs):
        return None
    if all(len(output) == 1 for output in outputs):
        return f"one {_case(outputs, _OF_LETTERS)}letter"
    case = _case(outputs, _OF_WORDS)
    if all(len(output.split()) == 1 for output in outputs):
        return f"one word{case}"
    most, fewest = (choose(len(output.split()) for output in outputs) for choose in (max, min))
    few = "a few words" if fewest > 1 else "one word or a few"
    return f"{few}{case}" if most <= _FEW_WORDS else None


_Names = Sequence[tuple[str, Callable[[str], Any]]]
_OF_LETTERS: _Names = (("lower-case ", str.islower), ("capital ", str.isupper))
_OF_WORDS: _Names = (
    (" in snake_case", re.compile(r"[a-z]+(?:_[a-z]+)+").fullmatch),
    (" in camelCase", re.compile(r"[a-z]+(?:[A-Z][a-z]*)+").fullmatch),
    (" in lower case with hyphens", re.compile(r"[a-z]+(?:-[a-z]+)+").fullmatch),
    (" in lower case", str.islower),
    (" in capital letters", str.isupper),
)


def _case(outputs: Sequence[str], names: _Names) -> str:
    return next((name for name, has_it in names if all(map(has_it, outputs))), "")


def _all(pattern: re.Pattern[str], outputs: Sequence[str]) -> bool:
    return all(pattern.fullmatch(output) for output in outputs)


def _quoted(mark: str) -> str:
    return f"'{mark}'" if '"' in mark else f'"{mark}"'
