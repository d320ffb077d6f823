"""Tasks on dates and times of day. Pure."""

import calendar
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from random import Random

from fipo_model.data.tasks.making.drawing import Make, answered, asked_whether, full_name, one
from fipo_model.data.tasks.task import Example

_WEEKDAYS = tuple(calendar.day_name)
_FIRST = date(1990, 1, 1)
_DAYS = 50 * 365


def _date(random: Random) -> date:
    return _FIRST + timedelta(days=random.randrange(_DAYS))


def _long(day: date) -> str:
    return f"{day.day} {calendar.month_name[day.month]} {day.year}"


def _from_long(solve: Callable[[date], object]) -> Make:
    return _dated(_long, solve)


def _from_iso(solve: Callable[[date], object]) -> Make:
    return _dated(date.isoformat, solve)


def _dated(write: Callable[[date], str], solve: Callable[[date], object]) -> Make:
    def make(random: Random) -> Example:
        day = _date(random)
        return one(write(day), solve(day))

    return make


def _weekday(random: Random) -> Example:
    day = _date(random)
    return one(_long(day), _WEEKDAYS[day.weekday()], choices=_WEEKDAYS)


def _day_after(random: Random) -> Example:
    place, days = random.randrange(7), random.randint(1, 6)
    return one(f"{_WEEKDAYS[place]} + {days} days", _WEEKDAYS[(place + days) % 7], choices=_WEEKDAYS)


def _weekend(random: Random, holds: bool) -> str:
    day = _date(random)
    while (day.weekday() > 4) != holds:
        day += timedelta(days=1)
    return f"{_WEEKDAYS[day.weekday()]}, {_long(day)}"


def _add_days(random: Random) -> Example:
    day, days = _date(random), random.randint(2, 20)
    return one(f"{day.isoformat()} plus {days} days", (day + timedelta(days=days)).isoformat())


def _days_between(random: Random) -> Example:
    day, days = _date(random), random.randint(1, 25)
    return one(f"{day.isoformat()} to {(day + timedelta(days=days)).isoformat()}", days)


def _earlier(random: Random) -> Example:
    first, second = _date(random), _date(random)
    return one(f"{_long(first)} or {_long(second)}", _long(min(first, second)))


def _leap_year(random: Random, holds: bool) -> str:
    return str(random.choice([year for year in range(1896, 2105) if calendar.isleap(year) == holds]))


def _age(random: Random) -> Example:
    born, now = random.randint(1940, 2005), random.randint(2006, 2030)
    return one(f"{full_name(random)}, born on 1 January {born}; today is 1 June {now}", now - born)


def _clock(random: Random) -> str:
    return f"{random.randint(1, 12)}:{random.randrange(60):02d} {random.choice(('am', 'pm'))}"


def _to_24_hours(text: str) -> str:
    return datetime.strptime(text, "%I:%M %p").strftime("%H:%M")


def _time(random: Random) -> str:
    return f"{random.randrange(24):02d}:{random.randrange(60):02d}"


def _to_12_hours(text: str) -> str:
    hour, minute = map(int, text.split(":"))
    return f"{hour % 12 or 12}:{minute:02d} {'am' if hour < 12 else 'pm'}"


def _part_of_day(random: Random) -> Example:
    hours = {"night": range(5), "morning": range(6, 12), "afternoon": range(13, 18), "evening": range(18, 22)}
    part = random.choice(list(hours))
    return one(f"{random.choice(hours[part]):02d}:{random.randrange(60):02d}", part, choices=tuple(hours))


def _meeting_length(random: Random) -> Example:
    start, minutes = 60 * random.randint(8, 16) + 5 * random.randrange(12), 5 * random.randint(3, 24)
    ends = [f"{at // 60:02d}:{at % 60:02d}" for at in (start, start + minutes)]
    return one(" - ".join(ends), minutes)


def _year(random: Random) -> str:
    return str(random.randint(1100, 2099))


MAKERS: Mapping[str, Make] = {
    "weekday_of_date": _weekday,
    "day_after": _day_after,
    "weekend": asked_whether(_weekend),
    "add_days": _add_days,
    "next_day": _from_iso(lambda day: (day + timedelta(days=1)).isoformat()),
    "days_between": _days_between,
    "earlier_date": _earlier,
    "leap_year": asked_whether(_leap_year),
    "age": _age,
    "iso_date": _from_long(date.isoformat),
    "long_date": _from_iso(_long),
    "us_date": _from_long(lambda day: day.strftime("%m/%d/%Y")),
    "german_date": _from_iso(lambda day: day.strftime("%d.%m.%Y")),
    "month_of_date": _from_iso(lambda day: calendar.month_name[day.month]),
    "year_of_date": _from_long(lambda day: day.year),
    "quarter": _from_long(lambda day: f"Q{(day.month + 2) // 3}"),
    "century": answered(_year, lambda text: (int(text) + 99) // 100),
    "to_24_hours": answered(_clock, _to_24_hours),
    "to_12_hours": answered(_time, _to_12_hours),
    "part_of_day": _part_of_day,
    "meeting_length": _meeting_length,
}
