"""Tasks that tell kinds of words and sentences apart, and tasks on forms and facts from hand-written lists. Pure."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random

from fipo_model.data.tasks.making.drawing import (
    YES_NO,
    Make,
    answered,
    full_name,
    lines,
    looked_up,
    one,
    sorted_into,
    with_articles,
    words,
)
from fipo_model.data.tasks.task import Example

_KINDS_OF_WORDS: Mapping[str, Mapping[str, str]] = {
    "fruit_or_vegetable": {"fruit": "fruits", "vegetable": "vegetables"},
    "animal_or_plant": {"animal": "land_animals", "plant": "plants"},
    "land_or_sea": {"land": "land_animals", "sea": "sea_animals"},
    "bird_or_insect": {"bird": "birds", "insect": "insects"},
    "instrument_or_tool": {"instrument": "instruments", "tool": "tools"},
    "job_or_clothing": {"job": "jobs", "clothing": "clothes"},
    "city_or_country": {"city": "cities", "country": "countries"},
    "noun_or_adjective": {"noun": "nouns", "adjective": "adjectives"},
    "first_name_or_city": {"first name": "first_names", "city": "cities"},
}
_TEXTS = (
    *("question_or_statement", "formal_or_informal", "past_or_future", "positive_or_negative", "order_or_offer"),
    *("ticket_urgency", "ticket_department", "spam_or_not", "greeting_language", "topic_of_headline"),
    "polite_or_rude",
)
_PAIRS = (
    *("capital_of_country", "past_tense", "plural", "opposite", "comparative", "continent_of_country"),
    *("language_of_country", "chemical_symbol", "noun_to_adjective", "agent_of_verb"),
)


@cache
def _collected() -> Mapping[str, Mapping[str, str]]:
    """Kinds to tell apart, label by label, and pairs, as `collected.toml` has them."""
    return tomllib.loads(Path(__file__).with_name("collected.toml").read_text(encoding="utf-8"))


def _of_words(kinds: Mapping[str, str]) -> Make:
    members = {label: words(kind) for label, kind in kinds.items()}
    # Words of both kinds could not be told apart.
    return sorted_into(
        {
            label: [word for word in own if sum(word in others for others in members.values()) == 1]
            for label, own in members.items()
        }
    )


def _of_texts(name: str) -> Make:
    """Texts that are told apart; a slot in one is filled with a word."""
    kinds: Mapping[str, Sequence[str]] = {label: lines(texts) for label, texts in _collected()[name].items()}

    def make(random: Random) -> Example:
        label = random.choice(list(kinds))
        slots = {
            "noun": random.choice(words("nouns")),
            "product": random.choice(words("products")),
            "city": random.choice(words("cities")),
            "name": random.choice(words("first_names")),
            "job": random.choice(words("jobs")),
        }
        return one(with_articles(random.choice(kinds[label]).format(**slots)), label, choices=tuple(kinds))

    return make


def _of_pairs(name: str) -> Make:
    pairs = dict(line.split(" = ") for line in lines(_collected()[name]["pairs"]))
    return looked_up(pairs)


def _true_sum(random: Random) -> Example:
    first, second = random.randint(2, 40), random.randint(2, 40)
    holds = random.random() < 0.5
    shown = first + second + (0 if holds else random.choice((-10, -2, -1, 1, 2, 10)))
    return one(f"{first} + {second} = {shown}", "true" if holds else "false", choices=("true", "false"))


def _article(text: str) -> str:
    return "an" if text[0] in "aeiou" and text != "ukulele" else "a"


def _pronoun(random: Random) -> Example:
    subject, pronoun = random.choice(
        (
            (f"{full_name(random)} and {random.choice(words('first_names'))}", "they"),
            (f"The {random.choice(words('nouns'))}", "it"),
            (f"My {random.choice(('sister', 'mother', 'aunt', 'daughter', 'niece'))}", "she"),
            (f"My {random.choice(('brother', 'father', 'uncle', 'son', 'nephew'))}", "he"),
        )
    )
    return one(
        f"{subject} arrived in {random.choice(words('cities'))} yesterday.",
        pronoun,
        choices=("he", "she", "it", "they"),
    )


def _same_kind(random: Random) -> Example:
    kinds = ("fruits", "birds", "instruments", "jobs", "cities", "insects")
    first, second = random.sample(kinds, 2)
    holds = random.random() < 0.5
    pair = random.sample(words(first), 2) if holds else [random.choice(words(first)), random.choice(words(second))]
    return one(", ".join(pair), YES_NO[not holds], choices=YES_NO)


MAKERS: Mapping[str, Make] = {
    **{name: _of_words(kinds) for name, kinds in _KINDS_OF_WORDS.items()},
    **{name: _of_texts(name) for name in _TEXTS},
    **{name: _of_pairs(name) for name in _PAIRS},
    "true_sum": _true_sum,
    "article": answered(
        lambda random: random.choice(words(random.choice(("fruits", "jobs", "land_animals", "instruments")))),
        _article,
        choices=("a", "an"),
    ),
    "pronoun": _pronoun,
    "same_kind": _same_kind,
}
