"""A configuration of promptfoo, which runs each prompt and its rewrite on tests.

Its shape is https://www.promptfoo.dev/docs/configuration/reference; prompts are templates of Nunjucks.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fipo_model.contract.variables import Variable, pieces
from fipo_model.errors import InputError
from fipo_model.export.rendering import quoted, render
from fipo_model.export.rewrite import Rewrite
from fipo_model.search.examples import Example
from fipo_model.search.metrics import text_of

_INPUT = "input"
_SHORT = 3  # words
_MARKUP = re.compile(r"\{[{%#]|[}%#]\}")


def configuration(rewrites: Sequence[Rewrite], *, examples: Sequence[Example], provider: str | None) -> str:
    """Both texts of each rewrite, and its tests: the examples, or one whose variables are to be filled in.

    As everywhere in FIPO, an input that is a single text fills the only variable, and values without a variable follow
    the prompt after an empty line. Raises `InputError` where a text has several variables and an example names none.
    """
    shown = []
    for one in rewrites:
        names = list(dict.fromkeys(piece.name for piece in pieces(one.naive) if isinstance(piece, Variable)))
        given = [_given(example, names) for example in examples] or [{name: f"<{name}>" for name in names}]
        data = list(dict.fromkeys(name for values in given for name in values if name not in names))
        checks = [_checks(example) for example in examples] or [[]]
        shown.append(
            {
                "prompts": {f"{one.name} yours": _nunjucks(one.naive, data)}
                | {f"{one.name} rewritten": _nunjucks(one.text, data)},
                "tests": list(zip(given, checks, strict=True)),
                "is_blank": bool(names) and not examples,
            }
        )
    has_short = any(check["type"] == "javascript" for example in examples for check in _checks(example))
    content = {"rewrites": shown, "provider": provider, "has_short": has_short}
    return render("promptfoo.yaml.j2", content).rstrip("\n")


def _nunjucks(text: str, data: Sequence[str]) -> str:
    parts = []
    for piece in pieces(text):
        if isinstance(piece, Variable):
            parts.append(f"{{{{ {piece.name} }}}}")
        else:
            parts.append(_MARKUP.sub(lambda found: f"{{{{ '{found[0]}' }}}}", piece))
    lines = [f"{{{{ {name} }}}}" if len(data) == 1 else f"{name}: {{{{ {name} }}}}" for name in data]
    return "".join(parts) + ("\n\n" + "\n".join(lines) if lines else "")


def _given(example: Example, names: Sequence[str]) -> dict[str, str]:
    if isinstance(example.input, Mapping):
        # As texts, because promptfoo would make a test of each element of a list.
        return {str(name): text_of(value) for name, value in example.input.items()}
    if len(names) > 1:
        raise InputError(
            f"the prompt has the variables {', '.join(names)}: give each example's input as an object with them"
        )
    return {names[0] if names else _INPUT: example.input}


def _checks(example: Example) -> list[dict[str, Any]]:
    """A short right answer must be all of the answer: the wrong ones may contain it, as "another" does "other"."""
    right = [text_of(output) for output in example.outputs]
    if not right:
        return []
    if all(_is_short(one) for one in right):
        # promptfoo fills in templates before it runs the program.
        any_of = quoted([one.strip().lower() for one in right]).replace("{", r"\u007b")
        return [{"type": "javascript", "value": f"{any_of}.includes(output.trim().toLowerCase())"}]
    return [{"type": "icontains-any", "value": right} if len(right) > 1 else {"type": "icontains", "value": right[0]}]


def _is_short(right: str) -> bool:
    return len(right.split()) <= _SHORT
