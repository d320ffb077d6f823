"""Tasks on single numbers: their properties, how they are written, and calculations with them. Pure."""

from collections.abc import Callable, Mapping
from random import Random

from fipo_model.data.tasks.making.drawing import Draw, Make, answered, asked_whether, one
from fipo_model.data.tasks.task import Example

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ROMAN = (
    *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X")),
    *((9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
)
_PARITY = ("even", "odd")


def _between(least: int, most: int) -> Draw:
    return lambda random: str(random.randint(least, most))


def in_words(number: int) -> str:
    """An English numeral below a thousand, in the British way, with "and"."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        ten, rest = divmod(number, 10)
        return _TENS[ten - 2] + (f"-{_ONES[rest]}" if rest else "")
    hundred, rest = divmod(number, 100)
    return f"{_ONES[hundred]} hundred" + (f" and {in_words(rest)}" if rest else "")


def roman(number: int) -> str:
    """A Roman numeral."""
    letters = ""
    for value, sign in _ROMAN:
        times, number = divmod(number, value)
        letters += sign * times
    return letters


def ordinal(number: int) -> str:
    """An English ordinal in digits, such as "22nd"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _read_back(write: Callable[[int], str], least: int, most: int) -> Make:
    def make(random: Random) -> Example:
        number = random.randint(least, most)
        return one(write(number), number)

    return make


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _prime(random: Random, holds: bool) -> str:
    return str(random.choice([number for number in range(2, 200) if _is_prime(number) == holds]))


def _multiple_of_three(random: Random, holds: bool) -> str:
    return str(3 * random.randint(4, 300) + (0 if holds else random.randint(1, 2)))


def _to_nearest(number: int, step: int) -> int:
    return (number + step // 2) // step * step


def _without_a_half(step: int) -> Draw:
    """Numbers that no two ways of rounding disagree on."""

    def draw(random: Random) -> str:
        number = random.randint(step + 1, 100 * step)
        return str(number + 1 if number % step == step // 2 else number)

    return draw


def _decimal(random: Random) -> str:
    return f"{random.randint(0, 99)}.{random.randint(10, 99)}{random.choice((1, 2, 3, 4, 6, 7, 8, 9))}"


def _rounded_to_cents(text: str) -> str:
    thousandths = int(text.replace(".", ""))
    hundredths = _to_nearest(thousandths, 10) // 10
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _percent_of(random: Random) -> Example:
    share, whole = random.choice((10, 20, 25, 50, 75)), 20 * random.randint(1, 50)
    return one(f"{share} % of {whole}", share * whole // 100)


def _discount(random: Random) -> Example:
    share, price = random.choice((10, 20, 25, 50)), 20 * random.randint(1, 40)
    return one(f"Price: {price} euros, discount: {share} %", price - share * price // 100)


def _share_in_percent(random: Random) -> Example:
    part, whole = random.choice([(part, whole) for whole in (4, 5, 10, 20, 25, 50) for part in range(1, whole)])
    return one(f"{part} of {whole}", f"{100 * part // whole} %")


def _calculated(sign: str, least: int, most: int) -> Make:
    def make(random: Random) -> Example:
        first, second = random.randint(least, most), random.randint(least, most)
        if sign == "plus":
            return one(f"{first} {second}", first + second)
        return one(f"{first} {second}", first * second)

    return make


def _remainder(random: Random) -> Example:
    whole, divisor = random.randint(10, 99), random.randint(3, 9)
    return one(f"{whole} : {divisor}", whole % divisor)


def _compared(random: Random) -> Example:
    first = random.randint(10, 99)
    second = random.choice((first, random.randint(10, 99), random.randint(10, 99)))
    sign = ">" if first > second else "<" if first < second else "="
    return one(f"{first} _ {second}", sign, choices=("<", ">", "="))


def _larger(random: Random) -> Example:
    first, second = (random.randint(0, 9) + random.randint(1, 99) / 100 for _ in range(2))
    second += 0.01 if first == second else 0
    return one(f"{first:.2f} or {second:.2f}", f"{max(first, second):.2f}")


def _parity(text: str) -> str:
    return _PARITY[int(text) % 2]


def _sign(random: Random) -> Example:
    number = random.randint(1, 500) * random.choice((-1, 1))
    degrees = random.choice((f"{number}", f"{number} degrees", f"balance {number}"))
    return one(degrees, "below zero" if number < 0 else "above zero", choices=("above zero", "below zero"))


MAKERS: Mapping[str, Make] = {
    "parity": answered(_between(1, 999), _parity, choices=_PARITY),
    "multiple_of_three": asked_whether(_multiple_of_three),
    "prime": asked_whether(_prime),
    "sign": _sign,
    "to_roman": answered(_between(1, 99), lambda text: roman(int(text))),
    "from_roman": _read_back(roman, 1, 99),
    "number_in_words": answered(_between(21, 999), lambda text: in_words(int(text))),
    "number_from_words": _read_back(in_words, 21, 999),
    "ordinal": answered(_between(1, 130), lambda text: ordinal(int(text))),
    "round_to_ten": answered(_without_a_half(10), lambda text: _to_nearest(int(text), 10)),
    "round_to_hundred": answered(_without_a_half(100), lambda text: _to_nearest(int(text), 100)),
    "round_to_cents": answered(_decimal, _rounded_to_cents),
    "percent_of": _percent_of,
    "discounted_price": _discount,
    "share_in_percent": _share_in_percent,
    "add_two": _calculated("plus", 10, 500),
    "multiply_two": _calculated("times", 2, 20),
    "square": answered(_between(2, 60), lambda text: int(text) ** 2),
    "double": answered(_between(11, 900), lambda text: 2 * int(text)),
    "half": answered(lambda random: str(2 * random.randint(6, 400)), lambda text: int(text) // 2),
    "successor": answered(_between(100, 9999), lambda text: int(text) + 1),
    "remainder": _remainder,
    "compare_two": _compared,
    "larger_of_two": _larger,
    "to_binary": answered(_between(2, 63), lambda text: f"{int(text):b}"),
    "from_binary": answered(lambda random: f"{random.randint(4, 127):b}", lambda text: int(text, 2)),
    "digit_sum": answered(_between(100, 99999), lambda text: sum(map(int, text))),
    "thousands_commas": answered(_between(1000, 9999999), lambda text: f"{int(text):,}"),
    "leading_zeros": answered(_between(1, 9999), lambda text: text.zfill(5)),
}
