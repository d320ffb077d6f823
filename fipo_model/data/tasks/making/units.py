"""Tasks on measures, durations and money. Pure."""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from fipo_model.data.tasks.making.drawing import Draw, Make, answered, one, words
from fipo_model.data.tasks.task import Example


def _measure(unit: str, least: int, most: int) -> Draw:
    return lambda random: f"{random.randint(least, most)} {unit}"


def _converted(factor: str, unit: str, *, places: str = "0.1") -> Callable[[str], str]:
    """Multiplies the number of a measure by a factor and rounds it half up."""

    def solve(text: str) -> str:
        value = Decimal(text.split()[0]) * Decimal(factor)
        return f"{value.quantize(Decimal(places), rounding=ROUND_HALF_UP)} {unit}"

    return solve


def _fahrenheit(text: str) -> str:
    return f"{Decimal(text.split()[0]) * 9 / 5 + 32} °F"


def _celsius(text: str) -> str:
    return f"{(int(text.split()[0]) - 32) * 5 // 9} °C"


def _hours_and_minutes(text: str) -> str:
    hours, minutes = divmod(int(text.split()[0]), 60)
    return f"{hours} h {minutes} min"


def _minutes(text: str) -> int:
    hours, _, minutes, _ = text.split()
    return 60 * int(hours) + int(minutes)


def _minutes_and_seconds(text: str) -> str:
    minutes, seconds = divmod(int(text.split()[0]), 60)
    return f"{minutes}:{seconds:02d}"


def _price(random: Random) -> str:
    return f"{random.randint(0, 99)}.{random.randint(1, 99):02d} euros"


def _total_price(random: Random) -> Example:
    count, price = random.randint(2, 9), random.randint(2, 25)
    return one(f"{count} x {random.choice(words('products'))} at {price} euros", count * price)


def _change(random: Random) -> Example:
    paid = random.choice((10, 20, 50))
    price = random.randint(1, paid - 1)
    return one(f"Price {price} euros, paid with {paid} euros", paid - price)


def _number_and_unit(random: Random) -> str:
    amount = f"{random.randint(1, 900)}{random.choice(('', '.5', '.25'))}"
    unit = random.choice(("kg", "litres", "m", "km", "grams", "seconds", "volts", "miles", "tonnes"))
    return f"The {random.choice(words('nouns'))} was given as {amount} {unit} in the report."


def _unit(random: Random) -> Example:
    text = _number_and_unit(random)
    return one(text, text.split(" in the report")[0].split()[-1])


_KINDS = {
    "length": ("km", "m", "cm", "miles", "inches", "feet", "yards"),
    "weight": ("kg", "grams", "tonnes", "pounds", "ounces"),
    "time": ("seconds", "minutes", "hours", "days", "weeks"),
    "volume": ("litres", "ml", "gallons", "pints"),
}


def _kind_of_measure(random: Random) -> Example:
    kind = random.choice(list(_KINDS))
    return one(f"{random.randint(2, 90)} {random.choice(_KINDS[kind])}", kind, choices=tuple(_KINDS))


MAKERS: Mapping[str, Make] = {
    "km_to_miles": answered(_measure("km", 2, 400), _converted("0.621371", "miles")),
    "miles_to_km": answered(_measure("miles", 2, 400), _converted("1.609344", "km")),
    "inches_to_cm": answered(_measure("inches", 2, 90), _converted("2.54", "cm")),
    "metres_to_cm": answered(_measure("m", 2, 300), _converted("100", "cm", places="1")),
    "kg_to_grams": answered(_measure("kg", 2, 300), _converted("1000", "g", places="1")),
    "kg_to_pounds": answered(_measure("kg", 2, 300), _converted("2.204623", "lb")),
    "celsius_to_fahrenheit": answered(lambda random: f"{5 * random.randint(-10, 50)} °C", _fahrenheit),
    "fahrenheit_to_celsius": answered(lambda random: f"{32 + 9 * random.randint(1, 60)} °F", _celsius),
    "minutes_to_hours": answered(_measure("minutes", 61, 600), _hours_and_minutes),
    "hours_to_minutes": answered(lambda random: f"{random.randint(1, 9)} h {random.randint(1, 59)} min", _minutes),
    "seconds_to_clock": answered(_measure("seconds", 61, 900), _minutes_and_seconds),
    "euros_to_cents": answered(_price, lambda text: int(text.split()[0].replace(".", ""))),
    "total_price": _total_price,
    "change_returned": _change,
    "unit_of_measure": _unit,
    "kind_of_measure": _kind_of_measure,
}
