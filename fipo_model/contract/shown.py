"""What the examples of a request say without words: the form of their outputs, and what these are chosen from. Pure."""

import json
import re
from collections.abc import Callable, Sequence

from fipo_model.contract import words
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading
from fipo_model.types import OptimizationRequest

_ANSWERS = frozenset({"yes", "no", "y", "n", "ja", "nein", "oui", "non", "sí", "si", "não", "sim", "да", "нет"})
_FEWEST = 2
"""One output alone shows no form: it may be in one word by chance."""
_ILLUSTRATES = lazy(r"(?i)\b(?:such as|like|e\.g\.|for (?:example|instance))[\s:,]*(?:[\w'\"-]+,? (?:and |or )?){0,4}$")
_MOST_LABEL_WORDS = 5


def formats_shown(request: OptimizationRequest) -> frozenset[str]:
    """The forms (`words.formats`) that all right outputs of the examples have, and those that the inputs are in."""
    outputs = outputs_shown(request)
    found = {name for name, has_form in _FORMS.items() if len(outputs) >= _FEWEST and all(map(has_form, outputs))}
    inputs = [example.input for example in request.examples]
    return frozenset(found | {name for name, is_in in _INPUTS.items() if inputs and all(map(is_in, inputs))})


def differing_forms(added: Reading, known: Reading, outputs: Sequence[str]) -> list[str]:
    """The forms that an addition asks for beyond what is known, and that not all right outputs have.

    Who names both capitals and small letters speaks of turning one into the other.
    """
    asked = {each.key for each in words.formats(added)} - {each.key for each in words.formats(known)}
    if {"lowercase", "uppercase"} <= asked:
        asked -= {"lowercase", "uppercase"}
    return [name for name in _FORMS if name in asked and not all(map(_FORMS[name], outputs))]


def labels_shown(wording: str, request: OptimizationRequest) -> frozenset[str]:
    """The right outputs of the examples, where a wording names all of them as what to choose from.

    One that names some favours these; one that gives an instance ("such as mice") gives it away.
    """
    different = frozenset(outputs_shown(request))
    if not different or any(len(output.split()) > _MOST_LABEL_WORDS for output in different):
        return frozenset()
    lowered = wording.casefold()
    places = [_whole(output).search(lowered) for output in different]
    if not all(places) or any(place and _ILLUSTRATES.search(lowered[: place.start()]) for place in places):
        return frozenset()
    return different if len(different) > 1 or _offers_another(lowered, next(iter(different))) else frozenset()


def outputs_shown(request: OptimizationRequest) -> list[str]:
    """The right outputs of the examples."""
    return [example.output.strip() for example in request.examples if example.output is not None]


def _offers_another(lowered: str, output: str) -> bool:
    """Whether a label stands beside another one: "even or odd"."""
    one = rf"[\"'“‘`]?{re.escape(output.casefold())}[\"'”’`]?"
    another = r"[\"'“‘`]?\w"
    return re.search(rf"{one},? (?:or|and|otherwise|else) {another}|\w[\"'”’`]?,? or {one}", lowered) is not None


def _whole(part: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(part.casefold())}(?!\w)")


def _is_json(text: str) -> bool:
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_csv(text: str) -> bool:
    lines = text.strip().splitlines()
    return len(lines) > 1 and "," in lines[0] and len({line.count(",") for line in lines[:3]}) == 1


_FORMS: dict[str, Callable[[str], bool]] = {
    "one word": lambda text: len(text.split()) == 1,
    "yes or no": lambda text: text.lower().strip(".") in _ANSWERS,
    "lowercase": lambda text: text == text.lower() and text != text.upper(),
    "uppercase": lambda text: text == text.upper() and text != text.lower(),
    "json": _is_json,
    "csv": _is_csv,
    "one sentence": lambda text: len(text.split()) > 1 and text.endswith((".", "!", "?")),
    "bullets": lambda text: text.startswith(("- ", "* ", "• ")),
    "numbered list": lambda text: text.startswith("1. "),
}
_INPUTS: dict[str, Callable[[str], bool]] = {"json": _is_json, "csv": _is_csv}
