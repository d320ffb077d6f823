"""Tasks on JSON: reading, changing, checking and writing it. Pure."""

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from fipo_model.data.tasks.making.drawing import Make, full_name, listed, one, words
from fipo_model.data.tasks.task import Example

_TYPES = ("string", "number", "boolean", "array", "null")


def _person(random: Random) -> dict[str, Any]:
    """Three to six facts about a person, in any order."""
    facts = {
        "name": full_name(random),
        "age": random.randint(18, 90),
        "city": random.choice(words("cities")),
        "job": random.choice(words("jobs")),
        "active": random.random() < 0.5,
        "languages": random.sample(("English", "French", "German", "Hindi", "Polish", "Spanish"), 2),
    }
    chosen = random.sample(list(facts), random.randint(3, 6))
    return {key: facts[key] for key in chosen}


def _text(value: object) -> str:
    """A value as it is written in an answer: texts without quotation marks."""
    return value if isinstance(value, str) else json.dumps(value)


def _of_person(solve: Callable[[dict[str, Any]], object]) -> Make:
    def make(random: Random) -> Example:
        person = _person(random)
        return one(json.dumps(person), solve(person))

    return make


def _field(random: Random) -> Example:
    person = _person(random)
    key = random.choice([key for key in person if key != "languages"])
    return one(f"{json.dumps(person)}\n{key}", _text(person[key]))


def _nested(random: Random) -> Example:
    customer = {"name": full_name(random), "city": random.choice(words("cities"))}
    return one(json.dumps({"id": random.randint(100, 999), "customer": customer}), customer["city"])


def _field_type(random: Random) -> Example:
    key = random.choice(words("nouns"))
    kind = random.choice(_TYPES)
    value: dict[str, object] = {
        "string": random.choice((random.choice(words("adjectives")), str(random.randint(1, 99)), "true")),
        "number": random.randint(-9, 99),
        "boolean": random.random() < 0.5,
        "array": random.sample(range(9), 3),
        "null": None,
    }
    return one(json.dumps({key: value[kind]}), kind, choices=_TYPES)


def _has_field(random: Random) -> Example:
    person = _person(random)
    key = random.choice(("age", "city", "job", "active", "languages"))
    return one(f"{json.dumps(person)}\n{key}", "yes" if key in person else "no", choices=("yes", "no"))


def _broken(text: str, random: Random) -> str:
    """JSON with one of the faults that people make."""
    faults = (
        text.removesuffix("}"),
        text.replace('"', "'"),
        text.replace("}", ",}"),
        text.replace(": ", " ", 1),
        text.replace('"', "", 2),
        text.replace(", ", " ", 1),
    )
    return random.choice(faults)


def _validity(random: Random) -> Example:
    person = {key: value for key, value in _person(random).items() if key != "languages"}
    person["id"] = random.randint(1, 99)
    holds = random.random() < 0.5
    text = json.dumps(person)
    return one(text if holds else _broken(text, random), "yes" if holds else "no", choices=("yes", "no"))


def _renamed(random: Random) -> Example:
    person = _person(random)
    old = random.choice(list(person))
    new = random.choice(("label", "value", "entry", "detail"))
    changed = {new if key == old else key: value for key, value in person.items()}
    return one(f"{json.dumps(person)}\n{old} -> {new}", json.dumps(changed))


def _without(random: Random) -> Example:
    person = _person(random)
    dropped = random.choice(list(person))
    return one(
        f"{json.dumps(person)}\n{dropped}", json.dumps({key: value for key, value in person.items() if key != dropped})
    )


def _with_new_age(random: Random) -> Example:
    person = {"name": full_name(random), "age": random.randint(18, 90)}
    age = random.randint(18, 90)
    return one(f"{json.dumps(person)}\nage: {age}", json.dumps(person | {"age": age}))


def _pairs(random: Random) -> dict[str, str]:
    person = {"name": full_name(random), "city": random.choice(words("cities")), "job": random.choice(words("jobs"))}
    chosen = random.sample(list(person), random.randint(2, 3))
    return {key: person[key] for key in chosen}


def _lines(pairs: Mapping[str, str]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in pairs.items())


def _from_lines(random: Random) -> Example:
    pairs = _pairs(random)
    return one(_lines(pairs), json.dumps(pairs))


def _to_lines(random: Random) -> Example:
    pairs = _pairs(random)
    return one(json.dumps(pairs), _lines(pairs))


def _person_from_sentence(random: Random) -> Example:
    name, age, city = random.choice(words("first_names")), random.randint(18, 90), random.choice(words("cities"))
    form = random.choice(
        ("{0} is {1} years old and lives in {2}.", "In {2} lives {0}, aged {1}.", "{0} ({1}) is from {2}.")
    )
    return one(form.format(name, age, city), json.dumps({"name": name, "age": age, "city": city}))


def _array_of_objects(random: Random) -> tuple[str, list[str]]:
    names = random.sample(words("first_names"), random.randint(2, 4))
    return json.dumps([{"id": random.randint(1, 99), "name": name} for name in names]), names


def _count_objects(random: Random) -> Example:
    text, names = _array_of_objects(random)
    return one(text, len(names))


def _names_of_objects(random: Random) -> Example:
    text, names = _array_of_objects(random)
    return one(text, listed(names))


MAKERS: Mapping[str, Make] = {
    "json_field": _field,
    "json_nested_field": _nested,
    "json_keys": _of_person(lambda person: listed(list(person))),
    "json_count_fields": _of_person(len),
    "json_count_objects": _count_objects,
    "json_names": _names_of_objects,
    "json_type": _field_type,
    "json_has_field": _has_field,
    "json_valid": _validity,
    "json_rename_field": _renamed,
    "json_remove_field": _without,
    "json_set_age": _with_new_age,
    "json_from_lines": _from_lines,
    "json_to_lines": _to_lines,
    "json_from_sentence": _person_from_sentence,
}
