"""The forms of export, and their options."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

from fipo_model.errors import InputError
from fipo_model.export.rewrite import Rewrite
from fipo_model.search.examples import Example

TextForm = Literal["text", "chat", "langchain", "dspy", "promptfoo", "python"]
AdapterForm = Literal["safetensors", "gguf", "ollama"]
Form = Literal[TextForm, AdapterForm]
ADAPTER_FORMS: tuple[AdapterForm, ...] = get_args(AdapterForm)
ONE_EACH: tuple[TextForm, ...] = ("text", "dspy")
"""Forms in which a file holds one rewrite."""
SUFFIXES: dict[TextForm, str] = {
    **{"text": ".txt", "chat": "-chat.json", "langchain": "-langchain.json"},
    **{"dspy": "-dspy.json", "promptfoo": ".yaml", "python": ".py"},
}
"""How the names of files end, which differ for one rewrite in several forms."""

Speaker = Literal["system", "user"]
Module = Literal["Predict", "ChainOfThought"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Options of only some forms."""

    speaker: Speaker = "system"
    """Who says the text in a chat."""
    signature: str = "input -> output"
    """The fields of a DSPy program."""
    module: Module = "Predict"
    """What kind of module that program is."""
    examples: Sequence[Example] = ()
    """The tests of a promptfoo configuration."""
    provider: str | None = None
    """Who answers in promptfoo; None leaves that to be filled in."""


def export(rewrites: Sequence[Rewrite], form: TextForm, wishes: Wishes) -> str:
    """The rewrites in a form, with a line break at the end.

    A single one stands for itself; several are found by their prompts.

    Raises `InputError` for several in a form that holds one, and for options that cannot be met.
    """
    if form in ONE_EACH and len(rewrites) != 1:
        raise InputError(f"{len(rewrites)} rewrites do not fit into one {form} file: name a key, or --out DIRECTORY")
    return f"{_exported(rewrites, form, wishes)}\n"


def _exported(rewrites: Sequence[Rewrite], form: TextForm, wishes: Wishes) -> str:
    match form:
        case "text":
            return rewrites[0].text
        case "chat":
            from fipo_model.export.chat import chat

            return chat(rewrites, wishes.speaker)
        case "langchain":
            from fipo_model.export.langchain import prompts

            return prompts(rewrites, wishes.speaker)
        case "dspy":
            from fipo_model.export.dspy import state

            return state(rewrites[0].text, wishes.signature, wishes.module)
        case "promptfoo":
            from fipo_model.export.promptfoo import configuration

            return configuration(rewrites, examples=wishes.examples, provider=wishes.provider)
        case "python":
            from fipo_model.export.python import module

            return module(rewrites)
        case _:
            assert_never(form)
