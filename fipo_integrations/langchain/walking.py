"""Templates taken apart into the texts that may be rewritten, and put together again with others in their places."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.load import Serializable
from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, FewShotPromptTemplate, PromptTemplate
from langchain_core.prompts.dict import DictPromptTemplate

from fipo_integrations.langchain.marks import is_made, marked
from fipo_integrations.langchain.prompts import mapped_message
from fipo_integrations.langchain.variables import TemplateFormat
from fipo_model import FixedForm
from fipo_model.errors import InputError

Template = TypeVar("Template", bound=BasePromptTemplate)
_Part = TypeVar("_Part", bound=Serializable)


class NotRebuiltError(InputError):
    """A template of a class that cannot be given other texts, and why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A text in a template, and its place."""

    where: str
    text: str
    format: TemplateFormat | None
    """None: static text."""
    is_made: bool = False
    """Whether it bears the mark that FIPO wrote it."""
    context: str | None = None
    """What else the template says."""
    fixed_form: FixedForm | None = None
    """What gives the reply its form, if anything but the prompt does."""


Change = Callable[[Slot], str]


def mapped(template: Template, is_chosen: Callable[[str], bool], change: Change, where: str = "") -> Template:
    """The template with every text that may be rewritten replaced by what `change` makes of it.

    In a chat, only messages in the chosen places count.
    """
    if isinstance(template, PromptTemplate):
        made: Template = _with_text(template, "template", change, where)
        return made
    if isinstance(template, FewShotPromptTemplate):
        few: Template = _with_text(template, "prefix", change, where)
        return few
    if isinstance(template, ChatPromptTemplate):
        messages = []
        for path, message in messages_of(template, where):
            if isinstance(message, ChatPromptTemplate):
                messages.append(mapped(message, is_chosen, change, path))
            else:
                messages.append(mapped_template_message(message, change, path) if is_chosen(path) else message)
        return with_fields(template, messages=messages)
    return template


def mapped_template_message(message: Any, change: Change, where: str) -> Any:
    """A message of a chat, static or a template, with its texts changed."""
    if isinstance(message, BaseMessage):
        return _mapped_static(message, change, path_to(where, "content"))
    prompt, path = message.prompt, path_to(where, "prompt")
    if isinstance(prompt, list):
        return with_fields(
            message, prompt=[_mapped_part(part, change, f"{path}[{n}]") for n, part in enumerate(prompt)]
        )
    return with_fields(message, prompt=mapped(prompt, _all, change, path))


def messages_of(chat: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The messages of a chat, with their places."""
    return ((path_to(where, f"messages[{place}]"), message) for place, message in enumerate(chat.messages))


def leaves(chat: ChatPromptTemplate, where: str = "") -> Iterator[tuple[str, Any]]:
    """The messages of a chat and of the chats in it, with their places."""
    for path, message in messages_of(chat, where):
        if isinstance(message, ChatPromptTemplate):
            yield from leaves(message, path)
        else:
            yield path, message


def seen(walk: Callable[[Change], object]) -> list[Slot]:
    """The texts that a walk meets, unchanged."""
    found: list[Slot] = []

    def look(slot: Slot) -> str:
        found.append(slot)
        return slot.text

    walk(look)
    return found


def texts_in(message: Any, where: str = "") -> list[Slot]:
    """The texts of one message of a chat; none where it is something else, such as a place for messages."""
    if not isinstance(message, BaseMessage) and not hasattr(message, "prompt"):
        return []
    return seen(lambda look: mapped_template_message(message, look, where))


def with_fields(part: _Part, **changes: Any) -> _Part:
    """A part of a template with other fields; the same object if nothing differs.

    Built from its fields: a copy would keep what LangChain computed from the old ones, such as what traces show. Raises
    `NotRebuiltError` where a class of the user's own does not allow that.
    """
    if all(getattr(part, name) == value for name, value in changes.items()):
        return part
    fields = {name: getattr(part, name) for name in type(part).model_fields}
    try:
        made = type(part)(**{**fields, **changes})
    except Exception as error:  # a foreign `__init__` may want anything
        raise NotRebuiltError(f"a {type(part).__name__} cannot be rebuilt with another text: {error}") from error
    if any(getattr(made, name) != value for name, value in changes.items()):
        raise NotRebuiltError(f"a {type(part).__name__} that is rebuilt with another text does not take it")
    if made.__pydantic_private__ != part.__pydantic_private__:
        raise NotRebuiltError(f"a {type(part).__name__} that is rebuilt loses its private attributes")
    return made


def path_to(where: str, name: str) -> str:
    """The attribute path to something inside the object at another path."""
    return f"{where}.{name}" if where else name


def _all(_: str) -> bool:
    return True


def _with_text(template: Any, field: str, change: Change, where: str) -> Any:
    """A template with its text changed, and then marked."""
    old = getattr(template, field)
    slot = Slot(path_to(where, field), old, template.template_format, is_made(old, template.metadata))
    new = change(slot)
    return template if new == old else with_fields(template, **{field: new}, metadata=marked(template.metadata, new))


def _mapped_static(message: BaseMessage, change: Change, where: str) -> BaseMessage:
    made: list[str] = []

    def changed(text: str) -> str:
        new = change(Slot(where, text, None, is_made(text, message.response_metadata)))
        if new != text:
            made.append(new)
        return new

    new = mapped_message(message, changed)
    # A message's metadata are for traces; they are not sent to models.
    return new.model_copy(update={"response_metadata": marked(message.response_metadata, *made)}) if made else message


def _mapped_part(part: Any, change: Change, where: str) -> Any:
    """A part of a multimodal message; texts with further entries, such as `cache_control`, are dictionaries."""
    if isinstance(part, DictPromptTemplate):
        fields = part.template
        if fields.get("type") != "text" or not isinstance(fields.get("text"), str):
            return part
        text = change(Slot(f"{where}.template['text']", fields["text"], part.template_format))
        return with_fields(part, template={**fields, "text": text})
    return mapped(part, _all, change, where) if isinstance(part, PromptTemplate) else part
