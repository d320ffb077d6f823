"""What gives a model's reply its form beside the prompt: a schema, or the parser that reads the reply."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.output_parsers import BaseLLMOutputParser, BaseOutputParser, ListOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.prompts.structured import StructuredPrompt

from fipo_model import FixedForm

_INSTRUCTIONS = re.compile(r"(?i)(?:format|output|parser|schema)\w*instructions?$")
# The tables of a database are a schema, too, which says nothing of the reply.
_SCHEMA = re.compile(r"(?i)(?:^|_)schema$")
_IS_JSON_SCHEMA = re.compile(r'"(?:properties|\$schema|\$defs)"\s*:')
# langchain-core and others have a class for each, without a common one.
_WITH_FIELDS = re.compile(r"(?i)json|pydantic|xml|yaml|structured")


def by_template(template: BasePromptTemplate) -> FixedForm | None:
    """What a template itself says: it has a schema, or a variable for a parser's instructions."""
    if isinstance(template, StructuredPrompt):
        return "fields"
    names = dict.fromkeys(template.input_variables) | dict(template.partial_variables)
    return next(filter(None, itertools.starmap(_by_variable, names.items())), None)


def _by_variable(name: str, value: Any) -> FixedForm | None:
    if _INSTRUCTIONS.search(name):
        is_of_a_value = isinstance(value, str) and not re.search(r"(?i)json|xml|yaml|schema", value)
        return "value" if is_of_a_value else "fields"
    is_schema = isinstance(value, str) and _SCHEMA.search(name) and _IS_JSON_SCHEMA.search(value)
    return "fields" if is_schema else None


def by_parser(parser: Any) -> FixedForm | None:
    """The form that a parser reads: objects with fields, or one value; None for any text."""
    if isinstance(inner := getattr(parser, "parser", None), BaseLLMOutputParser):  # it mends what another cannot read
        return by_parser(inner)
    output = _output_type(parser)
    if any(_WITH_FIELDS.search(kind.__name__) for kind in type(parser).__mro__) or issubclass(output, Mapping):
        return "fields"
    is_of_a_value = isinstance(parser, ListOutputParser) or issubclass(output, bool | int | float)
    return "value" if is_of_a_value or _has_instructions(parser) else None


def _output_type(parser: Any) -> type:
    """The class of what a parser makes; object where it does not tell."""
    try:
        told = parser.OutputType
    except Exception:  # noqa: BLE001 - a stranger's parser; most that do not tell raise TypeError
        return object
    origin = getattr(told, "__origin__", told)
    return origin if isinstance(origin, type) else object


def _has_instructions(parser: Any) -> bool:
    try:
        return isinstance(parser, BaseOutputParser) and bool(parser.get_format_instructions())
    except Exception:  # noqa: BLE001 - a stranger's parser; most that have none raise NotImplementedError
        return False
