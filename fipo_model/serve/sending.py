"""What the page sends to compare two prompts: the messages that a program would send through the gateway. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from fipo_model.contract.variables import Variable, pieces
from fipo_model.errors import InputError
from fipo_model.generation import Message
from fipo_model.search.examples import filled
from fipo_model.serve.settings import Role


def variable_names(prompt: str) -> list[str]:
    """The names of the variables that can be filled in, in their order."""
    return list(dict.fromkeys(piece.name for piece in pieces(prompt) if isinstance(piece, Variable)))


def values_in(fields: Mapping[str, Any]) -> dict[str, str]:
    """The values of variables in a request; empty ones do not count. Raises `InputError`."""
    given = fields.get("values", {})
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise InputError("values must be texts by the names of variables")
    return {name: value for name, value in given.items() if value.strip()}


def messages(prompt: str, text: str, *, values: Mapping[str, str], roles: Sequence[Role]) -> list[Message]:
    """A prompt and an input as messages.

    An only variable without a value gets the input. Any other input is the user's message after the prompt as the
    system's, where the gateway rewrites those. A prompt alone is a user's message, since not every model answers
    without one. Raises `InputError` for a variable without a value.
    """
    names = variable_names(prompt)
    own = {name: values[name] for name in names if name in values}
    rest = text.strip() and text
    if rest and not own and len(names) == 1:
        own, rest = {names[0]: text}, ""
    if missing := [name for name in names if name not in own]:
        only = f"Give an input first: it takes the place of {names[0]}."
        raise InputError(only if len(names) == 1 else f"Fill in {' and '.join(missing)} first.")
    whole = filled(prompt, own) if own else prompt
    if rest and "system" in roles:
        return [{"role": "system", "content": whole}, {"role": "user", "content": text}]
    return [{"role": "user", "content": f"{whole}\n\n{text}" if rest else whole}]
