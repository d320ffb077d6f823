"""Tasks on lists of numbers and of words. Pure."""

from collections.abc import Callable, Mapping
from random import Random

from fipo_model.data.tasks.making.drawing import Make, answered, listed, numbers, one, several, words
from fipo_model.data.tasks.task import Example

_NOUNS = several("nouns", 4, 6, joined=", ")
_KINDS = ("fruits", "birds", "instruments", "tools", "clothes", "jobs", "cities", "sea_animals")


def _of_numbers(solve: Callable[[list[int]], object]) -> Make:
    def make(random: Random) -> Example:
        drawn = numbers(random)
        return one(listed(drawn), solve(drawn))

    return make


def _items(text: str) -> list[str]:
    return text.split(", ")


def _average(random: Random) -> Example:
    drawn = numbers(random, count=(4, 4))
    drawn[-1] += -sum(drawn) % 4  # so that the average is a whole number
    return one(listed(drawn), sum(drawn) // 4)


def _filtered(keep: Callable[[int], bool]) -> Make:
    def make(random: Random) -> Example:
        while True:
            drawn = numbers(random, count=(5, 7))
            kept = [value for value in drawn if keep(value)]
            if 1 < len(kept) < len(drawn):
                return one(listed(drawn), listed(kept))

    return make


def _numbers_above(random: Random) -> Example:
    drawn = numbers(random, count=(5, 6))
    limit = sorted(drawn)[random.randint(1, 3)]
    return one(f"{listed(drawn)} | {limit}", listed([value for value in drawn if value > limit]))


def _two_lists(random: Random) -> tuple[list[str], list[str]]:
    """Two lists of words that have some in common, in the same order."""
    drawn = random.sample(words("nouns"), 6)
    return drawn[:4], drawn[2:]


def _common_items(random: Random) -> Example:
    first, second = _two_lists(random)
    return one(f"A: {listed(first)}\nB: {listed(second)}", listed([word for word in first if word in second]))


def _only_in_first(random: Random) -> Example:
    first, second = _two_lists(random)
    return one(f"A: {listed(first)}\nB: {listed(second)}", listed([word for word in first if word not in second]))


def _steps(random: Random) -> list[int]:
    first, step = random.randint(1, 30), random.choice((2, 3, 4, 5, 6, 7, 10))
    return [first + place * step for place in range(6)]


def _next_number(random: Random) -> Example:
    *shown, last = _steps(random)
    return one(listed(shown), last)


def _missing_number(random: Random) -> Example:
    steps = _steps(random)
    place = random.randint(1, 4)
    return one(listed([*steps[:place], "?", *steps[place + 1 :]]), steps[place])


def _odd_one_out(random: Random) -> Example:
    kind, other = random.sample(_KINDS, 2)
    strangers = [word for word in words(other) if all(word not in words(each) for each in _KINDS if each != other)]
    members = [word for word in words(kind) if all(word not in words(each) for each in _KINDS if each != kind)]
    stranger = random.choice(strangers)
    drawn = [*random.sample(members, 4), stranger]
    random.shuffle(drawn)
    return one(listed(drawn), stranger, choices=drawn)


def _nth_item(random: Random) -> Example:
    drawn = random.sample(words("nouns"), 5)
    place = random.randint(1, 5)
    return one(f"{listed(drawn)} (number {place})", drawn[place - 1])


def _position(random: Random) -> Example:
    drawn = random.sample(words("nouns"), 5)
    wanted = random.choice(drawn)
    return one(f"{listed(drawn)} | {wanted}", drawn.index(wanted) + 1)


def _joined_with_and(text: str) -> str:
    *others, last = _items(text)
    return f"{listed(others)} and {last}"


def _sorted(text: str) -> str:
    return listed(sorted(_items(text)))


def _zipped(random: Random) -> Example:
    things, amounts = random.sample(words("fruits"), 3), numbers(random, most=20, count=(3, 3))
    pairs = [f"{thing} {amount}" for thing, amount in zip(things, amounts, strict=True)]
    return one(f"{listed(things)} | {listed(amounts)}", listed(pairs))


MAKERS: Mapping[str, Make] = {
    "sort_numbers": _of_numbers(lambda drawn: listed(sorted(drawn))),
    "sort_numbers_down": _of_numbers(lambda drawn: listed(sorted(drawn, reverse=True))),
    "largest_number": _of_numbers(max),
    "smallest_number": _of_numbers(min),
    "second_largest": _of_numbers(lambda drawn: sorted(drawn)[-2]),
    "range_of_numbers": _of_numbers(lambda drawn: max(drawn) - min(drawn)),
    "sum_of_numbers": _of_numbers(sum),
    "average_of_numbers": _average,
    "count_items": answered(several("nouns", 3, 9, joined=", "), lambda text: len(_items(text))),
    "first_item": answered(_NOUNS, lambda text: _items(text)[0]),
    "third_item": answered(_NOUNS, lambda text: _items(text)[2]),
    "last_item": answered(_NOUNS, lambda text: _items(text)[-1]),
    "nth_item": _nth_item,
    "position_in_list": _position,
    "even_numbers": _filtered(lambda value: value % 2 == 0),
    "odd_numbers": _filtered(lambda value: value % 2 == 1),
    "two_digit_numbers": _filtered(lambda value: value > 9),
    "numbers_above": _numbers_above,
    "common_items": _common_items,
    "only_in_first": _only_in_first,
    "next_number": _next_number,
    "missing_number": _missing_number,
    "odd_one_out": _odd_one_out,
    "reverse_list": answered(_NOUNS, lambda text: listed(_items(text)[::-1])),
    "drop_first_item": answered(_NOUNS, lambda text: listed(_items(text)[1:])),
    "join_with_and": answered(_NOUNS, _joined_with_and),
    "sort_list": answered(_NOUNS, _sorted),
    "pair_up": _zipped,
}
