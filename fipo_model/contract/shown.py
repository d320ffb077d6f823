"""What the examples of a request say without words: the form of their outputs, and what these are chosen from. Pure."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence

from fipo_model.contract import words
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, read
from fipo_model.json_values import is_json
from fipo_model.types import OptimizationRequest, ShownExample

_ANSWERS = frozenset(
    {"yes", "no", "y", "n", "ja", "nein", "oui", "non", "sí", "sì", "si", "não", "sim", "nee", "да", "нет"}
)
_ILLUSTRATES = lazy(r"(?i)\b(?:such as|like|e\.g\.|as in|for (?:example|instance))[^.;\n]{0,80}$")
# What is chosen from a few, as opposed to worked out anew for each input.
_OF_A_CLASS = lazy(
    r"(?i)\b(?:kinds?|class\w*|categor\w+|label\w*|types?|sorts?|sections?|degrees?|priorit\w+|severity|urgency|levels?"
    r"|codes?|signs?|status|genres?|topics?|groups?|intent\w*|rat(?:e|ing)|grades?|assign\w*|scale|mood|sentiment)\b"
)
_MOST_LABEL_WORDS = 5
_MOST_VALUE_WORDS = 3
_DERIVED = 0.6  # how similar a word of an output and one of its input may be
_SHORTEST_DERIVED = 3  # letters
# Around an output, whose word stays the same: <b>yes</b>, {"answer": "yes"}, Answer: yes
_DRESS = lazy(r"<[^<>\n]+>|[{\[]\s*\"[\w ]+\"\s*:|^[A-Z]\w{0,20}:(?=\s)")


def formats_shown(request: OptimizationRequest) -> frozenset[str]:
    """The forms (`words.formats`) that all right outputs of the examples have."""
    outputs = outputs_shown(request)
    found = {name for name, has_form in _FORMS.items() if outputs and all(map(has_form, outputs))}
    # A number is in neither case.
    spelled = [output for output in outputs if any(map(str.isalpha, output))]
    found |= {name for name in ("lowercase", "uppercase") if spelled and all(map(_FORMS[name], spelled))}
    return frozenset(found)


def forms_of_inputs(request: OptimizationRequest) -> frozenset[str]:
    """The forms of all inputs in the examples. A wording may name these without asking for them."""
    inputs = [example.input for example in request.examples]
    return frozenset(name for name, is_in in _MATERIALS.items() if inputs and all(map(is_in, inputs)))


def notations_shown(request: OptimizationRequest) -> frozenset[str]:
    """The names of the notations of all outputs, or all inputs: "python", "markdown"."""
    shown = (outputs_shown(request), [example.input for example in request.examples])
    return frozenset(
        name for name, sign in _NOTATIONS.items() for texts in shown if texts and all(map(sign.search, texts))
    )


def languages_shown(request: OptimizationRequest) -> tuple[str | None, str | None]:
    """The languages that the inputs and the right outputs of the examples are in, where that is sure."""
    inputs = "\n".join(example.input for example in request.examples)
    return read(inputs).language.code, read("\n".join(outputs_shown(request))).language.code


def differing_forms(added: Reading, known: Reading, outputs: Sequence[str]) -> list[str]:
    """The forms that an addition asks for beyond what is known, and that not all right outputs have.

    A text that names both capitals and small letters is about turning one into the other.
    """
    asked = {each.key for each in words.formats(added)} - {each.key for each in words.formats(known)}
    if {"lowercase", "uppercase"} <= asked:
        asked -= {"lowercase", "uppercase"}
    return [name for name in _FORMS if name in asked and not all(map(_FORMS[name], outputs))]


def labels_shown(wording: str, request: OptimizationRequest) -> frozenset[str]:
    """The right outputs of the examples that a wording may name, since they are choices and not secret.

    As a choice it must name all of them, because naming some favours these. As instances of a class ("a kind such as
    mammal or bird") it may name those that recur, several, or a single one that is nothing like its input.
    """
    different = frozenset(outputs_shown(request))
    if not different or any(len(output.split()) > _MOST_LABEL_WORDS for output in different):
        return frozenset()
    lowered = wording.casefold()
    places = {output: _whole(output).search(lowered) for output in different}
    named = {output: place.start() for output, place in places.items() if place is not None}
    illustrating = {output for output, start in named.items() if _ILLUSTRATES.search(lowered[:start])}
    if illustrating:
        return frozenset(illustrating & _instances(wording, request, illustrating))
    if len(named) < len(different):
        return frozenset()
    return different if len(different) > 1 or _offers_another(lowered, next(iter(different))) else frozenset()


def choices_shown(request: OptimizationRequest) -> tuple[str, ...]:
    """What the right outputs of the examples are chosen from, in lower case, as far as they show it.

    Nothing where they are long, or may be worked out from their inputs.
    """
    outputs = [_undressed(output) for output in outputs_shown(request)]
    different = tuple(dict.fromkeys(filter(None, outputs)))
    if any(len(output.split()) > _MOST_VALUE_WORDS for output in different):
        return ()
    if len(different) < len(outputs):
        return different
    is_worked_out = any(each.output is not None and _is_worked_out(each, each.output) for each in request.examples)
    return () if is_worked_out else different


def outputs_shown(request: OptimizationRequest) -> list[str]:
    """The right outputs of the examples."""
    return [example.output.strip() for example in request.examples if example.output is not None]


def _instances(wording: str, request: OptimizationRequest, named: set[str]) -> frozenset[str]:
    """Outputs that name the class of an input, rather than being worked out from it ("mice" from "mouse")."""
    often = Counter(outputs_shown(request))
    worked_out = {
        each.output.strip()
        for each in request.examples
        if each.output is not None and _is_worked_out(each, each.output)
    }
    is_of_a_class = _OF_A_CLASS.search(f"{request.instruction}\n{wording}") is not None
    return frozenset(
        output
        for output in often
        if _undressed(output) in _ANSWERS
        or (output not in worked_out and (often[output] > 1 or (is_of_a_class and _is_plain(output, named))))
    )


def _is_plain(output: str, named: set[str]) -> bool:
    """Whether it is one of several, or not a name."""
    return len(named) > 1 or re.search(r"[A-Z][a-z]", output) is None


def _is_worked_out(example: ShownExample, output: str) -> bool:
    """Whether an output is a number, or each of its words is in its input, or much like one there."""
    bare = _undressed(output)
    if any(map(str.isdigit, bare)) and not any(map(str.isalpha, bare)):
        return True
    given = set(re.findall(r"\w+", example.input.lower()))
    said = [word for word in re.findall(r"\w+", bare) if len(word) >= _SHORTEST_DERIVED or word.isdigit()]
    return bool(said) and all(difflib.get_close_matches(word, given, 1, _DERIVED) for word in said)


def _offers_another(lowered: str, output: str) -> bool:
    """Whether a label is next to another one: "even or odd", "(a) or (b)"."""
    mark = r"[\"'“”‘’`(\[]?"
    one = rf"{mark}{re.escape(output.casefold())}[\"'”’`)\]]?"
    another = rf"{mark}\w"
    return re.search(rf"{one},? (?:or|and|otherwise|else) {another}|\w[\"'”’`)\]]?,? or {one}", lowered) is not None


def _whole(part: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(part.casefold())}(?!\w)")


def _undressed(text: str) -> str:
    """An output in lower case without any wrapping."""
    return _DRESS.sub(" ", text).strip(" .!?*_`#()[]{}<>=:\"'\u201c\u201d-\n").lower()


def _is_json(text: str) -> bool:
    start, end = re.search(r"[{\[]", text), max(text.rfind("}"), text.rfind("]"))
    return start is not None and end > start.start() and is_json(text[start.start() : end + 1])


def _looks_like_json(text: str) -> bool:
    """Whether it is a JSON object, or was meant to be one."""
    return re.search(r"\{\s*(?:\"[^\"\n]*\"|'[^'\n]*')\s*[:\"',]|^\s*\[\s*[\"{\[\d]", text) is not None or _is_json(
        text
    )


def _is_csv(text: str) -> bool:
    """Lines with equally many values, or one line of several short ones."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    commas = [line.count(",") for line in lines[:3]]
    if len(lines) > 1 and commas[0] and commas[0] == commas[1]:
        return True
    values = [value.split() for value in text.strip().split(",")]
    return len(lines) == 1 and len(values) > 1 and all(0 < len(value) <= _MOST_VALUE_WORDS for value in values)


def _is_table(text: str) -> bool:
    return (len(text.strip().splitlines()) > 1 and _is_csv(text)) or re.search(r"(?m)^\s*\|.*\|\s*$", text) is not None


def _is_upper(text: str) -> bool:
    """Whether all of it is in capitals, or, as in SQL and units, all words that are not the user's own."""
    bare = _DRESS.sub(" ", text)
    return bare.isupper() or re.search(r"(?<!\w)[A-Z]{2,}(?!\w)", bare) is not None


def _is_lower(text: str) -> bool:
    return _DRESS.sub(" ", text).islower()


_FORMS: dict[str, Callable[[str], bool]] = {
    "one word": lambda text: len(_undressed(text).split()) == 1,
    "yes or no": lambda text: _undressed(text) in _ANSWERS,
    "lowercase": _is_lower,
    "uppercase": _is_upper,
    "json": _is_json,
    "csv": _is_csv,
    "table": _is_table,
    "one sentence": lambda text: len(text.split()) > 1 and text.endswith((".", "!", "?")),
    "bullets": lambda text: text.startswith(("- ", "* ", "• ")),
    "numbered list": lambda text: text.startswith("1. "),
}
_MATERIALS: dict[str, Callable[[str], bool]] = {"json": _looks_like_json, "csv": _is_csv, "table": _is_table}
_NOTATIONS: dict[str, re.Pattern[str]] = {
    "markdown": lazy(r"\*\*\S[^*\n]*\*\*|(?m:^#{1,6} \S|^\s*\|.*\|\s*$|^[-*] \S)|\[[^\]\n]+\]\([^)\n]+\)|`[^`\n]+`"),
    "python": lazy(
        r"(?m)^\s*(?:def \w+\(|class \w+.*:$|for \w+ in .+:|(?:from \S+ )?import \w)|\bprint\(|\blambda \w+:"
    ),
    "javascript": lazy(r"\b(?:const|let|var) \w+ ?=|\bfunction ?\w*\(|=> ?[{(\w]|\bconsole\.log\("),
    "sql": lazy(r"(?i)\bselect\b.+\bfrom\b|\binsert into\b|\bcreate table\b|\bupdate \w+ set\b"),
    "html": lazy(r"(?i)</(?:\w+)>|<(?:br|img|hr|a|p|div|ul)\b"),
    "css": lazy(r"[\w.#-]+ ?\{[^{}]*[\w-]+ ?:[^{}]*;?[^{}]*\}"),
}
