"""Which texts of a template are the instruction, why the others are left alone, and what they say around it."""

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, FewShotPromptTemplate, MessagesPlaceholder
from langchain_core.prompts.structured import StructuredPrompt
from pydantic import TypeAdapter

from fipo_integrations.langchain.prompts import Role, role_of
from fipo_integrations.langchain.report import Unreached
from fipo_integrations.langchain.variables import VariablesChangedError, take_apart
from fipo_integrations.langchain.walking import Slot, leaves, texts_in
from fipo_model.errors import InputError

_LONGEST, _LONGEST_IN_ALL = 800, 2400  # characters shown of each other text, and of all together
_WORDLESS = "it has no words besides its variables"


def chosen(chat: ChatPromptTemplate, roles: tuple[Role, ...] | None, where: str = "") -> dict[str, str]:
    """Why each message of a chat is left alone, by its place; an empty text for those to rewrite."""
    found = list(leaves(chat, where))
    reasons = {path: _by_kind(message) for path, message in found}
    if roles is not None:
        named = " or ".join(repr(role) for role in roles) or "none"
        for path, message in found:
            if not reasons[path] and role_of(message) not in roles:
                reasons[path] = f"its role is not among those that are rewritten ({named})"
        return reasons
    for place, (path, message) in enumerate(found):
        if not reasons[path] and role_of(message) == "human":
            reasons[path] = _by_place([role_of(later) for _, later in found[place + 1 :]])
        if not reasons[path] and not _has_words(message):
            reasons[path] = _WORDLESS
    candidates = [(path, role_of(message)) for path, message in found if not reasons[path]]
    systems = [path for path, role in candidates if role == "system"]
    first = systems[0] if systems else next((path for path, _ in reversed(candidates)), None)
    for path, role in candidates:
        if path != first:
            reasons[path] = _by_choice(role, is_system=bool(systems))
    return reasons


def _by_kind(message: Any) -> str:
    if isinstance(message, MessagesPlaceholder):
        return "other messages will be put there"
    role = role_of(message)
    if role is None:
        return f"FIPO leaves a {type(message).__name__} as it is"
    return "it is an answer" if role == "ai" else ""


def _by_place(later: list[str | None]) -> str:
    # A message before an answer is an example of a question, not the instruction.
    return "an answer follows it, so it is an example or the conversation so far" if "ai" in later else ""


def _by_choice(role: str | None, *, is_system: bool) -> str:
    if role == "human" and is_system:
        return "the system message holds the instruction; roles=('system', 'human') rewrites both"
    return f"another {role} message holds the instruction; roles=({role!r},) rewrites all of them"


def _has_words(message: Any) -> bool:
    return any(_slot_has_words(slot) for slot in texts_in(message))


def _slot_has_words(slot: Slot) -> bool:
    try:
        return take_apart(slot.text, slot.format).has_words
    except (InputError, VariablesChangedError):
        return True  # it cannot be rewritten, and the report will say why


def _says_something(slot: Slot) -> bool:
    """Whether a text tells a rewriter anything; labels and variables alone only show where the input will go."""
    try:
        text = take_apart(slot.text, slot.format)
    except (InputError, VariablesChangedError):
        return False
    return text.has_words and not text.has_only_labels


def left_alone(template: BasePromptTemplate, roles: tuple[Role, ...] | None, where: str = "") -> list[Unreached]:
    """Which parts of a template are deliberately not rewritten, and why."""
    if isinstance(template, ChatPromptTemplate):
        reasons = chosen(template, roles, where)
        return [Unreached(where=path, reason=reason) for path, reason in reasons.items() if reason]
    if isinstance(template, FewShotPromptTemplate) and template.suffix.strip():
        path = f"{where}.suffix" if where else "suffix"
        return [Unreached(where=path, reason="what follows the examples stays as it is, and so do the examples")]
    return []


def surroundings(template: BasePromptTemplate, where: str) -> list[tuple[str, str]]:
    """What a template says, with the place of each text: messages, suffix, partial variables, schema."""
    found = [(path, f"{what}:\n{text.strip()}") for path, what, text in _said(template, where) if text.strip()]
    return [(path, text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …") for path, text in found]


def context_of(slot: Slot, around: list[tuple[str, str]]) -> str | None:
    """What is said around a text, so that its rewrite fits."""
    others = [text for path, text in around if not slot.where.startswith(path)]
    return "\n\n".join(others)[:_LONGEST_IN_ALL] or None


def _said(template: BasePromptTemplate, where: str) -> Iterator[tuple[str, str, str]]:
    dot = "." if where else ""
    if isinstance(template, ChatPromptTemplate):
        for path, message in leaves(template, where):
            text = "\n".join(slot.text for slot in texts_in(message) if _says_something(slot))
            yield f"{path}.", f"{(role_of(message) or 'other').capitalize()} message", text
    if isinstance(template, FewShotPromptTemplate):
        yield f"{where}{dot}suffix", "After the examples", template.suffix
        for example in (template.examples or [])[:1]:
            yield f"{where}{dot}examples", "An example", _formatted(template, example)
    for name, value in template.partial_variables.items():
        if isinstance(value, str):
            yield f"{where}{dot}partial_variables", f"{{{name}}} stands for", value
    if isinstance(template, StructuredPrompt):
        schema = template.schema_ if isinstance(template.schema_, dict) else TypeAdapter(template.schema_).json_schema()
        yield f"{where}{dot}schema_", "The reply is JSON by this schema", json.dumps(schema, ensure_ascii=False)


def _formatted(template: FewShotPromptTemplate, example: dict[str, Any]) -> str:
    try:
        return template.example_prompt.format(**example)
    except (KeyError, ValueError, IndexError):  # it needs what only a call brings
        return ""
