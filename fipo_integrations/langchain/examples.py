"""Examples of what a prompt gets and should get: the responses of FIPO's modular template (paper, section 3.1)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from fipo_model.errors import InputError

Example = tuple[Mapping[str, Any], Any]
"""A prompt's input and its golden response; None where only the input is known."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as a rewriter sees it."""

    inputs: str
    silver_response: str | None
    golden_response: str | None


def prepare(
    examples: Sequence[Example], template: BasePromptTemplate, downstream: Runnable[Any, Any] | None
) -> list[Shown]:
    """The examples with silver responses, for which the naive prompt is run once on each of them, in one batch."""
    for place, example in enumerate(examples):
        if not (isinstance(example, tuple) and len(example) == 2 and isinstance(example[0], Mapping)):
            raise InputError(f"example {place} must be a pair of a prompt's input and its golden response (or None)")
    silver: Sequence[Any] = [None] * len(examples)
    if downstream is not None:
        silver = (template | downstream).batch([dict(inputs) for inputs, _ in examples])
    return [
        Shown("\n".join(f"{name}: {text_of(value)}" for name, value in inputs.items()), text_of(reply), text_of(golden))
        for (inputs, golden), reply in zip(examples, silver, strict=True)
    ]


def text_of(output: Any) -> str | None:
    """What a chain gives out, as text; None for nothing."""
    if output is None or isinstance(output, str):
        return output
    if isinstance(output, BaseMessage):
        return str(output.text)
    if isinstance(output, BaseModel):
        return output.model_dump_json()
    return json.dumps(output, ensure_ascii=False, default=str)
