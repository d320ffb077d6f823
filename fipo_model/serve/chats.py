"""Which texts of a chat's body are prompts, and how another takes the place of one. Pure.

A body is not decoded and encoded again: only the characters of the one text change. Images, audio, calls of tools,
numbers and white space stay as the client wrote them. A body that may not be a chat has no prompts.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fipo_model.serve.settings import Role
from fipo_model.structured import form_of_settings
from fipo_model.types import FixedForm

_SPACE = re.compile(r"[ \t\n\r]*")
# Numbers are not needed here, and long ones take long to read.
_decode = json.JSONDecoder(parse_int=lambda _: 0, parse_float=lambda _: 0.0).raw_decode
_SYSTEM = ("system", "developer")
# Each value takes a hundred bytes or more, however short it is in the body.
_MOST_VALUES = 500_000

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptText:
    """A text that may be rewritten, and the place of its JSON string in the body, in characters."""

    role: Role
    text: str
    span: Span
    fixed_form: FixedForm | None = None
    """What the request gives the reply its form by, whatever its texts say."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of a body, and its place."""

    value: object
    span: Span


class _OddBodyError(Exception):
    """The body is not JSON, or has a key twice, so that readers may differ about it."""


def find_prompts(body: str, roles: Sequence[Role]) -> list[PromptText]:
    """The texts of these roles, in the order of the roles; none for anything but a chat, or for too many values."""
    if sum(map(body.count, ",[{")) > _MOST_VALUES:
        return []
    try:
        fields = _fields(body)
        messages = [_members(body, each) for each in _items(body, fields["messages"])] if "messages" in fields else []
        found = [_prompt_of(body, messages, role) for role in roles]
    except (_OddBodyError, ValueError, RecursionError):
        return []
    form = form_of_settings({name: field.value for name, field in fields.items()})
    return [replace(prompt, fixed_form=form) for prompt in found if prompt is not None]


def replaced(body: str, texts: Mapping[Span, str]) -> str:
    """The body with other texts in these places."""
    for (start, end), text in sorted(texts.items(), reverse=True):
        body = f"{body[:start]}{json.dumps(text, ensure_ascii=False)}{body[end:]}"
    return body


def _fields(body: str) -> dict[str, _Value]:
    whole = _value(body, 0)
    if _skip_space(body, whole.span[1]) != len(body):
        raise _OddBodyError
    return _members(body, whole)


def _prompt_of(body: str, messages: Sequence[dict[str, _Value]], role: Role) -> PromptText | None:
    """The first message of the system, or the last of the user."""
    names = _SYSTEM if role == "system" else ("user",)
    own = [message for message in messages if "role" in message and message["role"].value in names]
    if not own:
        return None
    content = (own[0] if role == "system" else own[-1]).get("content")
    text = None if content is None else _text_of(body, content)
    if text is None or not isinstance(text.value, str) or not text.value.strip():
        return None
    return PromptText(role=role, text=text.value, span=text.span)


def _text_of(body: str, content: _Value) -> _Value | None:
    """The text of a content, or of its only part that is text; with several, it is unknown which is the prompt."""
    if isinstance(content.value, str):
        return content
    if not isinstance(content.value, list):
        return None
    parts = [_members(body, part) for part in _items(body, content)]
    texts = [part["text"] for part in parts if "text" in part and "type" in part and part["type"].value == "text"]
    return texts[0] if len(texts) == 1 else None


def _value(body: str, at: int) -> _Value:
    """The value that begins here, after white space."""
    start = _skip_space(body, at)
    value, end = _decode(body, start)
    return _Value(value, (start, end))


def _members(body: str, whole: _Value) -> dict[str, _Value]:
    """An object's values by their names, with their places."""
    if not isinstance(whole.value, dict):
        raise _OddBodyError
    members: dict[str, _Value] = {}
    at = _skip_space(body, whole.span[0] + 1)
    while body[at] != "}":
        name = _value(body, at)
        value = _value(body, _skip_space(body, name.span[1]) + 1)  # behind the colon
        if name.value in members:
            raise _OddBodyError
        members[str(name.value)] = value
        at = _next_item(body, value)
    return members


def _items(body: str, whole: _Value) -> list[_Value]:
    """A list's values, with their places."""
    if not isinstance(whole.value, list):
        raise _OddBodyError
    items: list[_Value] = []
    at = _skip_space(body, whole.span[0] + 1)
    while body[at] != "]":
        items.append(_value(body, at))
        at = _next_item(body, items[-1])
    return items


def _next_item(body: str, before: _Value) -> int:
    at = _skip_space(body, before.span[1])
    return _skip_space(body, at + 1) if body[at] == "," else at


def _skip_space(body: str, at: int) -> int:
    found = _SPACE.match(body, at)
    return at if found is None else found.end()
