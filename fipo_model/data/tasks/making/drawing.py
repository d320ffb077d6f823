"""The means of making examples: words to draw from, sentences made of them, and answers to what was drawn. Pure."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random

from fipo_model.data.tasks.task import Example

Make = Callable[[Random], Example]
Draw = Callable[[Random], str]

YES_NO = ("yes", "no")
_VERBS = (
    "watched carried painted found moved followed lifted cleaned borrowed sold repaired ignored opened noticed".split()
)
_PLACES = (
    "near the river",
    "before lunch",
    "after the storm",
    "at noon",
    "behind the house",
    "last week",
    "with great care",
)


@cache
def words(kind: str) -> tuple[str, ...]:
    """All words of a kind in `material.toml`."""
    return tuple(_material()[kind].split())


def drawn_from(kind: str) -> Draw:
    """Draws a word of a kind."""
    return lambda random: random.choice(words(kind))


def several(kind: str, least: int, most: int, *, joined: str = " ") -> Draw:
    """Draws a number of different words of a kind, and joins them."""
    return lambda random: joined.join(random.sample(words(kind), random.randint(least, most)))


def sentence(random: Random) -> str:
    """Draws a plain sentence of seven words or more."""
    (one, other), (thing, person) = random.sample(words("adjectives"), 2), random.sample(words("nouns"), 2)
    who = f"The {one} {random.choice(words('jobs'))}"
    what = f"the {thing} and the {other} {person}" if random.random() < 0.5 else f"the {other} {thing}"
    return f"{who} {random.choice(_VERBS)} {what} {random.choice(_PLACES)}."


def full_name(random: Random) -> str:
    """Draws a first name and a surname."""
    return f"{random.choice(words('first_names'))} {random.choice(words('surnames'))}"


def numbers(random: Random, *, least: int = 1, most: int = 99, count: tuple[int, int] = (4, 7)) -> list[int]:
    """Draws different numbers, in no order."""
    return random.sample(range(least, most + 1), random.randint(*count))


def listed(values: Sequence[object]) -> str:
    """Values with commas between them."""
    return ", ".join(map(str, values))


def one(text: str, output: object, *, choices: Sequence[str] | None = None) -> Example:
    """An example with one right output."""
    return Example(input=text, outputs=(str(output),), choices=None if choices is None else tuple(choices))


def answered(draw: Draw, solve: Callable[[str], object], *, choices: Sequence[str] | None = None) -> Make:
    """Makes examples of what is drawn and the answer to it."""

    def make(random: Random) -> Example:
        text = draw(random)
        return one(text, solve(text), choices=choices)

    return make


def asked_whether(draw: Callable[[Random, bool], str]) -> Make:
    """Makes questions to be answered with yes or no, each about half of the time."""

    def make(random: Random) -> Example:
        holds = random.random() < 0.5
        return one(draw(random, holds), "yes" if holds else "no", choices=YES_NO)

    return make


def sorted_into(kinds: Mapping[str, Sequence[str]]) -> Make:
    """Makes examples that sort members of kinds into their labels, each drawn equally often."""

    def make(random: Random) -> Example:
        label = random.choice(list(kinds))
        return one(random.choice(kinds[label]), label, choices=tuple(kinds))

    return make


def looked_up(pairs: Mapping[str, str]) -> Make:
    """Makes examples from pairs in a hand-written list."""
    return answered(lambda random: random.choice(list(pairs)), pairs.__getitem__)


def with_articles(text: str) -> str:
    """A text into which words were filled, with "an" before those that begin with a vowel."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def lines(text: str) -> tuple[str, ...]:
    """The lines of a text, without blank ones."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


@cache
def _material() -> dict[str, str]:
    return tomllib.loads(Path(__file__).with_name("material.toml").read_text(encoding="utf-8"))
