"""Other wordings of a prompt, made by rule: no prompt, other forms, and with solved examples. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fipo_model.forms import form_sentence, label_sentence
from fipo_model.search.examples import Example, filled, has_variables
from fipo_model.search.proposals import Origin

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
    if (labels := label_sentence(prompt, outputs)) is not None:
        return "labels", f"{prompt}\n\n{labels}"
    form = form_sentence([output for output in outputs if output is not None])
    return None if form is None else ("form", f"{prompt}\n\n{form}")


def _forms(prompt: str, example: Example) -> list[str]:
    twice = f"{prompt}\n\n{prompt}"
    if has_variables(prompt):
        return [twice, f"Task: {prompt}"]
    slots = _slots(example)
    return [twice, f"Task: {prompt}\n\nInput: {slots}\n\nOutput:", f"{slots}\n\n{prompt}"]


def _with_examples(prompt: str, example: Example, solved: Sequence[Example]) -> str:
    if has_variables(prompt):
        shown = [f"{filled(prompt, one.input)}\n{one.rights[0]}" for one in solved]
        return "\n\n".join([*shown, prompt])
    shown = [f"Input: {filled(_slots(one), one.input)}\nOutput: {one.rights[0]}" for one in solved]
    return "\n\n".join([prompt, *shown, f"Input: {_slots(example)}\nOutput:"])


def _slots(example: Example) -> str:
    """The input alone, as variables that `filled` fills in."""
    if not isinstance(example.input, Mapping):
        return "{input}"
    names = list(example.input)
    return f"{{{names[0]}}}" if len(names) == 1 else "\n".join(f"{name}: {{{name}}}" for name in names)
