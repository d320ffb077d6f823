"""Structured output, read from the settings of a call to a chat model. Pure."""

from collections.abc import Mapping
from typing import Any

from fipo_model.types import FixedForm

# Where several hosts and servers put a schema.
_SCHEMAS = ("ls_structured_output_format", "response_schema", "guided_json")
# What a reply must match where it is no object (https://docs.vllm.ai, "Structured Outputs").
_PATTERNS = ("choice", "regex", "grammar", "structural_tag")
_JSON_FORMATS = ("json", "json_object", "json_schema")
_FREE_CHOICES = ("auto", "none", "allowed_tools")


def form_of_settings(settings: Mapping[str, Any]) -> FixedForm | None:
    """What a call's settings, such as `response_format` and `tool_choice`, give the reply its form; None: nothing.

    A tool that may be called leaves the reply free; one that must be called does not.
    """
    is_structured = (
        any(settings.get(name) is not None for name in _SCHEMAS)
        or any(map(_is_structure, (settings.get("response_format"), settings.get("format"))))
        or settings.get("response_mime_type") == "application/json"
        or _is_forced(settings.get("tool_choice"))
    )
    return "fields" if is_structured else _form_further_inside(settings)


def _form_further_inside(settings: Mapping[str, Any]) -> FixedForm | None:
    """What settings within settings say: those of OpenAI's Responses, and those of vLLM, which come as `extra_body`."""
    text, body, rules = (_table(settings.get(name)) for name in ("text", "extra_body", "structured_outputs"))
    if _is_structure(text.get("format")) or any(rules.get(name) for name in ("json", "json_object")):
        return "fields"
    if any(rules.get(name) or settings.get(f"guided_{name}") for name in _PATTERNS):
        return "value"
    return form_of_settings(body) if body else None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_structure(asked: Any) -> bool:
    """Whether a format is JSON's or a schema: a class, or, for Ollama, the schema itself."""
    if isinstance(asked, Mapping):
        return asked.get("type") in _JSON_FORMATS or "properties" in asked
    return asked in _JSON_FORMATS if isinstance(asked, str) else isinstance(asked, type)


def _is_forced(choice: Any) -> bool:
    """Whether a tool must be called: any, or one by its name."""
    if isinstance(choice, Mapping):
        choice = choice.get("type") or next(iter(choice), None)  # Bedrock's have the kind as their only key
    return choice is True or (isinstance(choice, str) and choice not in ("", *_FREE_CHOICES))
