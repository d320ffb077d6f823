"""Examples of what a prompt gets and should get: the responses of FIPO's modular template (paper, section 3.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableSequence
from pydantic_core import to_jsonable_python

from fipo_model import ShownExample
from fipo_model import search as searching
from fipo_model.errors import InputError

Example = tuple[Any, Any] | Mapping[str, Any] | Any
"""A prompt's input and its golden response (None where only the input is known): a pair, a row with `input` and
`output` (or `outputs`, each of which is right), or a LangSmith example."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as a rewriter sees it."""

    inputs: str
    silver_response: str | None
    golden_response: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainExample(searching.Example):
    """An example of objects, which the chain and a metric of one's own get as they are."""

    @property
    def rights(self) -> tuple[str, ...]:
        """The right outputs as texts."""
        return self._in_plain_data.rights

    @property
    def shown(self) -> ShownExample:
        """What a rewriter may see of it."""
        return self._in_plain_data.shown

    @property
    def _in_plain_data(self) -> searching.Example:
        return searching.Example(input=plain_data(self.input), outputs=tuple(map(plain_data, self.outputs)))


def prepare(
    examples: Sequence[Example], template: BasePromptTemplate, downstream: Runnable[Any, Any] | None
) -> list[Shown]:
    """The examples with silver responses, from one run of the naive prompt on each, in one batch."""
    read = [as_example(place, example) for place, example in enumerate(examples)]
    inputs = [one.input for one in read if isinstance(one.input, Mapping)]
    for place, one in enumerate(read):
        if not isinstance(one.input, Mapping):
            raise InputError(f"example {place} must be a pair of a prompt's input, by its variables, and its response")
    silver: Sequence[Any] = [None] * len(read)
    if downstream is not None:
        silver = (template | downstream).batch([searching.own_inputs(given) for given in inputs])
    return [
        Shown("\n".join(f"{name}: {text_of(value)}" for name, value in given.items()), said, _golden(one, said))
        for one, given, said in zip(read, inputs, map(text_of, silver), strict=True)
    ]


def _golden(example: searching.Example, said: str | None) -> str | None:
    """The right output to show: what was said, if that is one of them, so that it is not shown as wrong."""
    return said if said in example.rights else next(iter(example.rights), None)


def as_example(place: int, example: Example) -> ChainExample:
    """An example, in any of the usual shapes, as the search has them.

    Raises `InputError` that names the example by its place.
    """
    try:
        if isinstance(example, Mapping) and not _is_of_langsmith(example):
            read = searching.read_examples([example])[0]
            return ChainExample(input=read.input, outputs=read.outputs)
        given, right = _parts(example)
        return ChainExample(input=given, outputs=() if right is None else (right,))
    except _NoExampleError as error:
        raise InputError(f"example {place} {error}") from error
    except InputError as error:  # the search knows it as the first of its rows
        raise InputError(f"example {place}: {error.__cause__ or error}") from error


class _NoExampleError(InputError):
    """Something else in the place of an example."""


def _parts(example: Example) -> tuple[Any, Any]:
    """The input and the golden response of a pair or a LangSmith example."""
    if isinstance(example, tuple) and len(example) == len(("input", "response")):
        given, right = example
    elif isinstance(example, Mapping):
        given, right = example["inputs"], _only(example["outputs"])
    else:
        given, right = getattr(example, "inputs", None), _only(getattr(example, "outputs", None))
    if not isinstance(given, str | Mapping) or not given:
        raise _NoExampleError(
            "must be a pair of a prompt's input and its golden response (or None), a row with `input` and `output`, or "
            "a LangSmith example"
        )
    return given, right


def check_inputs(chain: Any, examples: Sequence[Example]) -> None:
    """Raise `InputError` for the first example that does not fill the template that a chain begins with.

    LangChain raises an error for each run. Some such runs among others would only count as wrong answers.
    """
    template = chain.first if isinstance(chain, RunnableSequence) else chain
    if not isinstance(template, BasePromptTemplate):
        return
    names = template.input_variables
    for place, example in enumerate(examples):
        given = as_example(place, example).input
        variables = " and ".join(f"{{{name}}}" for name in names if isinstance(given, str) or name not in given)
        if isinstance(given, str) and len(names) > 1:
            raise InputError(f"example {place}: the template has {variables}, but the input is a single text")
        if isinstance(given, Mapping) and variables:
            fields = ", ".join(map(repr, given))
            raise InputError(f"example {place}: the template has {variables}, but the input has {fields}")


def _is_of_langsmith(row: Mapping[str, Any]) -> bool:
    """Whether a row has LangSmith's shape: inputs and outputs by their names."""
    return isinstance(row.get("inputs"), Mapping) and isinstance(row.get("outputs"), Mapping)


def _only(outputs: Any) -> Any:
    """LangSmith keeps every output under a name."""
    return next(iter(outputs.values())) if isinstance(outputs, Mapping) and len(outputs) == 1 else outputs


def plain_data(value: Any) -> Any:
    """A value without messages, pydantic's objects and the like; what has no plain form stays as it is.

    Fields go by their names, as the programs that read them call them, and not by their aliases.
    """
    try:
        told = _with_texts(value)
        return to_jsonable_python(told, by_alias=False)
    except RecursionError:
        return value
    except ValueError:  # also where a value holds itself
        return told


def _with_texts(value: Any) -> Any:
    """A value with texts in the places of messages."""
    if isinstance(value, BaseMessage):
        return str(value.text)
    if isinstance(value, Mapping):
        return {key: _with_texts(each) for key, each in value.items()}
    return [_with_texts(each) for each in value] if isinstance(value, list | tuple) else value


def text_of(output: Any) -> str | None:
    """A chain's output as text; None for nothing."""
    return None if output is None else searching.text_of(plain_data(output))
