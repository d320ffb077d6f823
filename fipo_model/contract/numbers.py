"""Numbers with their units, in digits and in words: "3", "three", "1.5k", "10 %", "3 pm", "2024-05-01". Pure."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from fipo_model.contract.blanking import blanked
from fipo_model.contract.commitments import Commitment
from fipo_model.contract.letters import in_lower_case
from fipo_model.contract.patterns import Form, blanked_at, lazy
from fipo_model.contract.reading import Reading, Token
from fipo_model.contract.variables import without_variables

_MONTHS = (
    *("jan(?:uary)?", "feb(?:ruary)?", "mar(?:ch)?", "apr(?:il)?", "may", "june?", "july?", "aug(?:ust)?"),
    *("sep(?:t(?:ember)?)?", "oct(?:ober)?", "nov(?:ember)?", "dec(?:ember)?"),
)
_MONTH = "|".join(f"(?P<m{index}>{name})" for index, name in enumerate(_MONTHS, 1))
_DATE = Form(
    r"(?<![\w.])(?P<iso>(?P<y1>\d{4})[-/.](?P<mo1>\d{1,2})[-/.](?P<d1>\d{1,2}))(?!\w)"
    r"|(?<![\w.])(?P<dmy>(?P<a>\d{1,2})[./-](?P<b>\d{1,2})[./-](?P<y2>\d{4}))(?!\w)"
    rf"|(?<!\w)(?:(?P<d2>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?)?(?:{_MONTH})\.? "
    r"(?:(?P<d3>\d{1,2})(?:st|nd|rd|th)?,? )?(?P<y3>\d{4})(?!\w)",
    sign=r"\d{4}",
)
_TIME = Form(
    r"(?<![\w.:])(?P<h>[01]?\d|2[0-3])(?:[:.](?P<min>[0-5]\d))? ?(?P<half>a\.?m|p\.?m)\b\.?"
    r"|(?<![\w.:])(?P<h24>[01]?\d|2[0-3]):(?P<min24>[0-5]\d)(?![\w:])",
    sign=r"\d ?[ap]\.?m|\d:\d",
)
_SIGN = r"(?:(?<![\w.)\]/-])[-\u2212])?"  # not the dash of a range, a date or a difference
_CURRENCY = {"$": "usd", "€": "eur", "£": "gbp", "¥": "jpy", "₹": "inr", "₩": "krw", "₽": "rub"}
_UNITS = {
    **dict.fromkeys(("%", "percent", "per cent", "prozent", "pour cent", "por ciento"), "%"),
    **dict.fromkeys(("dollar", "dollars", "usd", "bucks"), "usd"),
    **dict.fromkeys(("euro", "euros", "eur"), "eur"),
    **dict.fromkeys(("pound", "pounds", "gbp", "lb", "lbs"), "pound"),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), "km"),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), "cm"),
    **dict.fromkeys(("mm", "millimeter", "millimeters"), "mm"),
    **dict.fromkeys(("mile", "miles", "mi"), "mile"),
    **dict.fromkeys(("foot", "feet", "ft"), "ft"),
    **dict.fromkeys(("inch", "inches"), "inch"),
    **dict.fromkeys(("yard", "yards", "yd"), "yard"),
    **dict.fromkeys(("kg", "kilo", "kilos", "kilogram", "kilograms"), "kg"),
    **dict.fromkeys(("g", "gram", "grams"), "g"),
    **dict.fromkeys(("mg", "milligram", "milligrams"), "mg"),
    **dict.fromkeys(("ounce", "ounces", "oz"), "oz"),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), "l"),
    **dict.fromkeys(("ml", "milliliter", "milliliters"), "ml"),
    **dict.fromkeys(("celsius", "°c", "c"), "°c"),
    **dict.fromkeys(("fahrenheit", "°f", "f"), "°f"),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "second"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hour"),
    **dict.fromkeys(("day", "days"), "day"),
    **dict.fromkeys(("week", "weeks"), "week"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("year", "years", "yr", "yrs"), "year"),
    **dict.fromkeys(("kb", "kilobyte", "kilobytes"), "kb"),
    **dict.fromkeys(("mb", "megabyte", "megabytes"), "mb"),
    **dict.fromkeys(("gb", "gigabyte", "gigabytes"), "gb"),
    **dict.fromkeys(("tb", "terabyte", "terabytes"), "tb"),
    **dict.fromkeys(("mph", "kmh", "km/h", "rpm", "kwh", "watts"), ""),
    **dict.fromkeys(("word", "words"), "word"),
    **dict.fromkeys(("sentence", "sentences"), "sentence"),
    **dict.fromkeys(("paragraph", "paragraphs"), "paragraph"),
    **dict.fromkeys(("line", "lines"), "line"),
    **dict.fromkeys(("page", "pages"), "page"),
    **dict.fromkeys(("character", "characters"), "character"),
}
_SCALES = {
    **dict.fromkeys(("k", "thousand"), 10**3),
    **dict.fromkeys(("million", "mio", "mn"), 10**6),
    **dict.fromkeys(("billion", "bn"), 10**9),
}
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_DIGITS = r"(?:\d{1,3}(?:[, \u00a0\u202f'](?=\d{3}(?!\d))\d{3})+|\d+(?:[.,]\d+)*)(?:\.\d+)?"
_NUMBER = lazy(
    rf"(?<![\w^])(?:(?<=\d[-\u2013\u2014])|(?<![\w][-\u2013\u2014.]))(?P<currency>[$€£¥₹₩₽] ?)?"
    rf"(?P<number>{_SIGN}(?:(?<![\w.])\.)?{_DIGITS})"
    rf"(?:(?:st|nd|rd|th)\b|(?P<scale> ?(?:k|thousand|million|mio|mn|billion|bn))(?!\w))?"
    rf"(?:[ \u00a0-]?(?P<unit>{_UNIT})(?![\w]))?(?P<glued>[a-z])?",
)
_SYMBOLS = {**_CURRENCY, "%": "%", "\u00b0c": "\u00b0c", "\u00b0f": "\u00b0f"}
_MEASURING = set("km cm mm kg mg ml mile pound yard m l g oz ft inch usd eur \u00b0c \u00b0f mb gb kb".split(" "))
_MEASURES = {word: unit for word, unit in _UNITS.items() if unit in _MEASURING and len(word) > 1}
_BARE_MEASURE = lazy(rf"\b(?:in|to|into) ({'|'.join(_MEASURES)})(?!\w)|(?<![\w/])([kcm]m|[km]g|ml|oz)(?!\w)")
_HAN_NUMBER = lazy(
    r"(?<![〇零一二两三四五六七八九十百千万兩])([〇零一二两三四五六七八九十百千万兩]++)(?=[个個句段行条條点點种種字词詞篇页頁章步例分小天周年月日次项項位名倍岁歲元块文つ語単回人枚件本匹話])"
)
_KOREAN = dict(zip("두 세 네 다섯 여섯 일곱 여덟 아홉 열 스무".split(), (2, 3, 4, 5, 6, 7, 8, 9, 10, 20), strict=True))
_KOREAN_NUMBER = lazy(
    rf"(?<![\uac00-\ud7af])({'|'.join(_KOREAN)})"
    r"(?= ?(?:가지|개|문장|줄|단어|명|번|단락|장|권|살|시간|사람|마리|단계|예시|예))"
)
_NUMBER_LIST = lazy(r"\[[\d\s.,\u2212-]+\]")
_LONGEST_RUN = 40  # words of one number; "hundred hundred …" grows beyond what Python writes in digits
_DIGIT = lazy(r"\d")
_ARTIFACT = Form(r"^\s*\d+ / \d+(?=\D)", sign=r"^\s*\d+ /")  # added by a chat's page to a copied prompt
_ENUMERATION = lazy(r"(?:(?<=^)|(?<=[\n.;:!?]))([ \t>*-]*)(\d{1,2})(?=[.)](?:\s|\*))|(?<=\s)\(?(\d{1,2})(?=\)\s)")
_CHINESE = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, what it counts, and where it is."""

    value: str
    """In digits without separators: "1500", "-0.5"; a date or a time of day as "date 2024 1 5", "time 15:00"."""
    unit: str | None
    text: str
    span: tuple[int, int]
    is_word: bool = False
    """Whether it is written in words."""

    def as_commitment(self) -> Commitment:
        """The number as a commitment."""
        return Commitment("number", self.text, self.span, self.value)


@lru_cache(maxsize=64)
def numbers(reading: Reading) -> list[Number]:
    """All numbers of a text except those that only number a list, the word "one", and digits in names (WW2)."""
    if not _DIGIT.search(reading.text):
        return list(_spelled(reading, reading.lowered))
    text = _ARTIFACT.blank(blanked(reading))
    text = in_lower_case(_without_enumeration(_NUMBER_LIST.sub(lambda found: found[0].replace(",", ";"), text)))
    found = []
    for form, value_of in ((_DATE, _date), (_TIME, _time)):
        for match in form.finditer(text):
            found.append(Number(value_of(match), None, match[0], match.span()))
        text = form.blank(text)
    found += filter(None, map(_number, _NUMBER.finditer(text)))
    taken = {place for number in found for place in range(*number.span)}
    return [*found, *(number for number in _spelled(reading, text) if number.span[0] not in taken)]


def _date(match: re.Match[str]) -> str:
    year = match["y1"] or match["y2"] or match["y3"]
    month = match["mo1"] or match["b"] or next((i for i in range(1, 13) if match[f"m{i}"]), "")
    day = match["d1"] or match["a"] or match["d2"] or match["d3"] or ""
    # 5/1 is a day in May or one in January, depending on where it is written.
    parts = sorted(int(part) for part in (month, day) if part)
    return " ".join(["date", year, *map(str, parts)])


def _time(match: re.Match[str]) -> str:
    if match["h24"]:
        return f"time {int(match['h24'])}:{match['min24']}"
    hour = int(match["h"]) % 12 + (12 if match["half"].lower().startswith("p") else 0)
    return f"time {hour}:{match['min'] or '00'}"


def _number(match: re.Match[str]) -> Number | None:
    scale = _SCALES[match["scale"].strip().lower()] if match["scale"] else 1
    if match["glued"] and not match["scale"]:
        return None  # 3D, 5G, 1st2
    value = plain(match["number"])
    if scale != 1:
        try:
            value = _canonical(str(Decimal(value) * scale))
        except InvalidOperation:
            return None
    unit = _CURRENCY[match["currency"].strip()] if match["currency"] else None
    if match["unit"]:
        named = match["unit"].lower()
        unit = unit or _UNITS[named] or named
    return Number(value, unit, match[0].strip(), match.span())


def plain(number: str) -> str:
    """A number without thousands separators and superfluous zeros, and with a zero before a leading point."""
    number = number.replace("\u2212", "-")
    number = re.sub(r"[ ,\u00a0\u202f'](?=\d{3}(?!\d))", "", number)
    if re.fullmatch(r"-?\d+,\d+", number):
        number = number.replace(",", ".")
    return _canonical(number)


def _canonical(number: str) -> str:
    sign, digits = ("-", number[1:]) if number.startswith("-") else ("", number)
    if digits.count(".") > 1 or "," in digits:
        return number
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return sign + (_without_zeros(whole) or "0") + (f".{fraction}" if fraction else "")


def _without_zeros(digits: str) -> str:
    """The digits from the first that counts on, in ASCII; Python's numbers refuse thousands of them."""
    return "".join(str(int(digit)) for digit in digits).lstrip("0") if not digits.isascii() else digits.lstrip("0")


def _without_enumeration(text: str) -> str:
    """Without the numbers that count the items of a list from 1."""
    spans, expected = [], 1
    for match in _ENUMERATION.finditer(text):
        group = 2 if match[2] else 3
        if int(match[group]) in (1, expected):
            spans.append(match.span(group))
            expected = int(match[group]) + 1
    if len(spans) < 2:
        return text
    return blanked_at(text, spans)


def _spelled(reading: Reading, text: str) -> Iterator[Number]:
    """Numbers in words, from two on; "one" is a pronoun more often than a number."""
    if reading.lexicon.code in ("zh", "ja"):
        for match in _HAN_NUMBER.finditer(text):
            value = _chinese(match[1])
            if value > 1:
                yield Number(str(value), None, match[1], match.span(1), is_word=True)
    if reading.lexicon.code == "ko":
        for match in _KOREAN_NUMBER.finditer(text):
            yield Number(str(_KOREAN[match[1]]), None, match[1], match.span(), is_word=True)
    words = reading.lexicon.numbers
    if not words:
        return
    run: list[Token] = []
    for token in [*reading.tokens, None]:
        is_number = token is not None and token.text in words and not text[token.start : token.end].isspace()
        is_next = token is not None and (not run or token.start - run[-1].end <= 1)
        if token is not None and is_number and is_next and len(run) < _LONGEST_RUN:
            run.append(token)
            continue
        if run:
            yield from _composed(run, words, reading, token)
        run = [token] if token is not None and is_number else []


def _composed(
    run: list[Token], words: Mapping[str, int], reading: Reading, following: Token | None
) -> Iterator[Number]:
    total = current = 0
    for token in run:
        value = words[token.text]
        if value in (100, 1000, 10**6, 10**9):
            current = max(current, 1) * value
            if value > 100:
                total, current = total + current, 0
        elif current % 100 and not (current % 10 == 0 and value < 10):
            total, current = total + current, value  # "two three" are two numbers, written as one here
        else:
            current += value
    total += current
    span = (run[0].start, run[-1].end)
    if total > 1 and not _asks(reading, span):
        unit = _UNITS.get(following.text) if following is not None and following.start - span[1] <= 1 else None
        yield Number(str(total), unit, reading.text[slice(*span)], span, is_word=True)


def _asks(reading: Reading, span: tuple[int, int]) -> bool:
    """Whether a number's word is a request here, as the Hindi for "two" is "give" at the end of a clause."""
    asking = reading.lexicon.asking
    found = asking and asking.match(reading.lowered, span[0])
    return found is not None and found.end() == span[1]


def _chinese(text: str) -> int:
    total = section = digit = 0
    for character in text:
        if character in _CHINESE:
            digit = _CHINESE[character]
        elif character == "万":
            total, section, digit = total + (section + digit or 1) * 10**4, 0, 0
        else:
            section, digit = section + (digit or 1) * {"十": 10, "百": 100, "千": 1000}[character], 0
    return total + section + digit


def named_units(reading: Reading) -> frozenset[str]:
    """The units that a text names, with or without a number."""
    found = {_UNITS[token.text] for token in reading.tokens if token.text in _UNITS}
    return frozenset(found | {unit for symbol, unit in _SYMBOLS.items() if symbol in reading.lowered})


def unit_of(word: str) -> str | None:
    """The unit that a word names."""
    return _UNITS.get(word.lower())


def measures(reading: Reading) -> frozenset[str]:
    """Units of measurement that a text asks for without a number: "in km", "in \u20ac"."""
    text = without_variables(reading.lowered)
    found = {_MEASURES[directed or bare] for directed, bare in _BARE_MEASURE.findall(text)}
    return frozenset(found | {unit for symbol, unit in _SYMBOLS.items() if symbol != "$" and symbol in text})


def counted(reading: Reading, found: Iterable[Number]) -> dict[str, set[str]]:
    """What each number counts: the stems of the two words right after it ("3 cups sugar")."""
    following: dict[str, set[str]] = {}
    for number in found:
        after = bisect_left(reading.tokens, number.span[1], key=lambda token: token.start)
        near = reading.tokens[after : after + 2]
        stems = {token.stem for token in near if token.is_content and not token.text.isdigit()}
        if stems:
            following.setdefault(number.value, set()).update(stems)
    return following
