"""The chain that a user names on the command line."""

import inspect
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableSequence

from fipo_model.errors import InputError
from fipo_model.objects import load_object


def load_chain(reference: str) -> Runnable[Any, Any]:
    """Import a chain, or make it with a function without arguments. Raises `InputError`."""
    found = load_object(reference, "a chain", is_one=lambda one: isinstance(one, Runnable) or inspect.isfunction(one))
    if isinstance(found, Runnable):
        return found
    if not callable(found) or _needs_arguments(found):
        raise InputError(f"{reference} is {_a(found)}, neither a chain nor a function without arguments that makes one")
    try:
        made = found()
    except Exception as error:
        raise InputError(f"{reference} could not make the chain: {type(error).__name__}: {error}") from error
    if not isinstance(made, Runnable):
        raise InputError(f"{reference} made {_a(made)}, not a chain")
    return made


def needs_model(chain: Runnable[Any, Any]) -> bool:
    """Tell whether a chain ends in a prompt, and so still needs a model."""
    end = chain.last if isinstance(chain, RunnableSequence) else chain
    return isinstance(end, BasePromptTemplate)


def add_model(chain: Runnable[Any, Any], model: Any) -> Runnable[Any, Any]:
    """Put a model at the end of a chain; its replies come out as text."""
    if not isinstance(model, Runnable):
        raise InputError(f"--chat-model names {_a(model)}, not a LangChain model")
    return chain | model | StrOutputParser()


def _needs_arguments(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some written in C do not tell
        return False
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(one.default is one.empty and one.kind not in kinds for one in parameters)


def _a(thing: object) -> str:
    name = type(thing).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
