"""What gives a model's reply its form beside the prompt: a schema, or the parser that reads the reply."""

import re
from typing import Any

from langchain_core.output_parsers import BaseLLMOutputParser, BaseOutputParser, ListOutputParser, StrOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.prompts.structured import StructuredPrompt
from langchain_core.runnables import RunnableSequence

from fipo_model import FixedForm

_INSTRUCTIONS = re.compile(r"(?i)(?:format|output|parser|schema)\w*instructions?$|(?:^|_)schema$")
# langchain-core and others have a class for each, without a common one.
_WITH_FIELDS = re.compile(r"(?i)json|pydantic|xml|yaml|tools|structured")


def by_template(template: BasePromptTemplate) -> FixedForm | None:
    """What a template itself says: it has a schema, or a variable for a parser's instructions."""
    names = (*template.input_variables, *template.partial_variables)
    return "fields" if isinstance(template, StructuredPrompt) or any(map(_INSTRUCTIONS.search, names)) else None


def by_parser(parser: Any) -> FixedForm | None:
    """The form that a parser reads: objects with fields, or one value; None for any text."""
    if isinstance(parser, StrOutputParser):
        return None
    if any(_WITH_FIELDS.search(kind.__name__) for kind in type(parser).__mro__):
        return "fields"
    return "value" if isinstance(parser, ListOutputParser) or _has_instructions(parser) else None


def by_rest(rest: Any) -> FixedForm | None:
    """The form that the first parser behind a template reads."""
    steps = rest.steps if isinstance(rest, RunnableSequence) else [rest]
    parser = next((step for step in steps if isinstance(step, BaseLLMOutputParser)), None)
    return None if parser is None else by_parser(parser)


def _has_instructions(parser: Any) -> bool:
    try:
        return isinstance(parser, BaseOutputParser) and bool(parser.get_format_instructions())
    except Exception:  # noqa: BLE001 - a stranger's parser; most that have none raise NotImplementedError
        return False
