"""Other wordings of a prompt, made by rule: no prompt, other forms, and with solved examples. Pure."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fipo_model.forms import form_sentence
from fipo_model.search.examples import Example, filled, has_variables
from fipo_model.search.metrics import text_of
from fipo_model.search.proposals import Origin

# More labels than these make a list that small models do not follow; longer ones are no labels.
_FEWEST_LABELS, _MOST_LABELS, _MOST_LABEL_WORDS = 2, 6, 5

Kind = Literal["yours", "empty", "fullest", "form", "rewrite"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Wording:
    """A text that may stand in the prompt's place, and how it was made."""

    kind: Kind
    text: str


def wordings(prompt: str, example: Example, solved: Sequence[Example]) -> list[Wording]:
    """The prompt, the input without it, the prompt with `solved` examples, and other forms of the same words.

    Forms change how a prompt is laid out and not what it says; models answer differently all the same (Sclar et al.,
    arXiv 2310.11324). `example` tells what inputs look like.
    """
    made = [Wording("yours", prompt), Wording("empty", _slots(example))]
    if solved:
        made.append(Wording("fullest", _with_examples(prompt, example, solved)))
    return [*made, *(Wording("form", text) for text in _forms(prompt, example))]


def by_rule(prompt: str, outputs: Sequence[str | None]) -> tuple[Origin, str] | None:
    """The prompt with all labels behind it, or with the form of its right outputs if there are no labels to name.

    Small rewriters rarely get either right.
    """
    if (labelled := naming_labels(prompt, outputs)) is not None:
        return "labels", labelled
    form = form_sentence([output for output in outputs if output is not None])
    return None if form is None else ("form", f"{prompt}\n\n{form}")


def naming_labels(prompt: str, outputs: Sequence[str | None]) -> str | None:
    """The prompt with all labels behind it, where its right outputs are labels and it does not name them all."""
    if not are_labels(outputs):
        return None
    labels = sorted({(output or "").strip() for output in outputs})
    if all(_names(prompt, label) for label in labels):
        return None
    return f"{prompt}\n\nAnswer with one of: {', '.join(labels)}"


def are_labels(outputs: Sequence[str | None]) -> bool:
    """Whether outputs are a few words each from a small set, all of which occur at least twice."""
    labels = Counter("" if output is None else output.strip() for output in outputs)
    is_small = _FEWEST_LABELS <= len(labels) <= _MOST_LABELS and min(labels.values()) > 1
    return is_small and all(map(_is_label, labels))


def _is_label(output: str) -> bool:
    is_listable = bool(output) and not re.search(r"[,;\n{}]", output)
    return is_listable and len(output.split()) <= _MOST_LABEL_WORDS


def _names(prompt: str, label: str) -> bool:
    return re.search(rf"(?i)(?<!\w){re.escape(label)}(?!\w)", prompt) is not None


def _forms(prompt: str, example: Example) -> list[str]:
    twice = f"{prompt}\n\n{prompt}"
    if has_variables(prompt):
        return [twice, f"Task: {prompt}"]
    slots = _slots(example)
    return [twice, f"Task: {prompt}\n\nInput: {slots}\n\nOutput:", f"{slots}\n\n{prompt}"]


def _with_examples(prompt: str, example: Example, solved: Sequence[Example]) -> str:
    if has_variables(prompt):
        shown = [f"{filled(prompt, one.input)}\n{text_of(one.outputs[0])}" for one in solved]
        return "\n\n".join([*shown, prompt])
    shown = [f"Input: {filled(_slots(one), one.input)}\nOutput: {text_of(one.outputs[0])}" for one in solved]
    return "\n\n".join([prompt, *shown, f"Input: {_slots(example)}\nOutput:"])


def _slots(example: Example) -> str:
    """The input alone, as variables that `filled` fills in."""
    if not isinstance(example.input, Mapping):
        return "{input}"
    names = list(example.input)
    return f"{{{names[0]}}}" if len(names) == 1 else "\n".join(f"{name}: {{{name}}}" for name in names)
