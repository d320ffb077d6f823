"""Prompts on their way to a model, taken apart into the texts that may be rewritten and put together again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langchain_core import messages
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue
from langchain_core.prompts import (
    AIMessagePromptTemplate,
    ChatMessagePromptTemplate,
    HumanMessagePromptTemplate,
    SystemMessagePromptTemplate,
)

from fipo_model.errors import InputError

Role = Literal["system", "human"]
PromptInput = str | PromptValue | Sequence[messages.MessageLikeRepresentation]
PromptOutput = str | PromptValue | list[BaseMessage]

Prompt = str | StringPromptValue | ChatPromptValue | list[BaseMessage]
_ROLES = {
    SystemMessage: "system",
    SystemMessagePromptTemplate: "system",
    HumanMessage: "human",
    HumanMessagePromptTemplate: "human",
    AIMessage: "ai",
    AIMessagePromptTemplate: "ai",
}
_DICT_HINT = (
    ". It belongs after the prompt template: `template | runnable`. If the prompt is one of several keys, pick it with "
    '`itemgetter("prompt") | runnable`, or keep the other keys with '
    '`RunnablePassthrough.assign(prompt=itemgetter("prompt") | runnable)`.'
)


@dataclass(frozen=True, slots=True)
class Located:
    """A text in a prompt: the number of its message, that message's role, and the text."""

    place: int
    role: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """An input taken apart: its texts, those to rewrite if no template is known, or why it cannot be read."""

    prompt: Prompt
    texts: tuple[Located, ...] = ()
    chosen: tuple[Located, ...] = ()
    error: Exception | None = None

    def with_texts(self, new: Mapping[Located, str]) -> PromptOutput:
        """The input with other texts in some places."""
        return _mapped(self.prompt, lambda each: new.get(each, each.text))


def role_of(message: object) -> str | None:
    """The role of a message or its template: "system", "human" or "ai", also where it names its role itself."""
    if isinstance(message, ChatMessage | ChatMessagePromptTemplate):
        return {"system": "system", "user": "human", "human": "human"}.get(message.role.lower(), "ai")
    return next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)


def check_roles(roles: tuple[Role, ...] | None) -> None:
    """Raise `InputError` for anything but roles whose messages can be rewritten."""
    if roles is not None and (isinstance(roles, str) or not set(roles) <= set(get_args(Role))):
        raise InputError(f"roles must be a tuple of 'system' and 'human', not {roles!r}")


def read(value: object, roles: tuple[Role, ...] | None) -> Reading:
    """An input taken apart; one that is not a prompt becomes a reading with an error."""
    seen: list[Located] = []

    def look(each: Located) -> str:
        seen.append(each)
        return each.text

    try:
        prompt = _as_prompt(value)
    except (TypeError, ValueError, NotImplementedError) as error:  # the last two come from `convert_to_messages`
        return Reading("", error=error)
    _mapped(prompt, look)
    texts = [each for each in seen if each.text.strip()]
    places = _chosen(prompt, roles)
    return Reading(prompt, tuple(texts), tuple(each for each in texts if each.place in places))


def _as_prompt(value: object) -> Prompt:
    if isinstance(value, str):
        return str(value)  # a message's `text` is of a subclass
    if isinstance(value, StringPromptValue | ChatPromptValue):
        return value
    if isinstance(value, list | tuple):
        return messages.convert_to_messages(value)
    raise TypeError(
        "FIPORunnable takes a string, a string or chat prompt value, or a list of messages, not "
        f"{type(value).__name__}{_DICT_HINT if isinstance(value, dict) else ''}"
    )


def _mapped(prompt: Prompt, change: Callable[[Located], str]) -> Prompt:
    """The prompt with every text replaced by what `change` makes of it."""
    if isinstance(prompt, str):
        return change(Located(0, None, prompt))
    if isinstance(prompt, StringPromptValue):
        return prompt.model_copy(update={"text": change(Located(0, None, prompt.text))})
    if isinstance(prompt, ChatPromptValue):
        return prompt.model_copy(update={"messages": _mapped(list(prompt.messages), change)})
    made = []
    for place, message in enumerate(prompt):
        role = role_of(message)
        made.append(mapped_message(message, lambda text, place=place, role=role: change(Located(place, role, text))))  # type: ignore[misc]
    return made


def mapped_message(message: BaseMessage, change: Callable[[str], str]) -> BaseMessage:
    """The message with its texts changed; the same object if nothing differs."""
    content = _mapped_content(message.content, change)
    return message if content == message.content else message.model_copy(update={"content": content})


def _chosen(prompt: Prompt, roles: tuple[Role, ...] | None) -> set[int]:
    """The places of the messages that may be rewritten where no template is known."""
    if isinstance(prompt, str | StringPromptValue):
        return {0}
    chat = prompt.messages if isinstance(prompt, ChatPromptValue) else prompt
    system = [place for place, message in enumerate(chat) if role_of(message) == "system"]
    human = [place for place, message in enumerate(chat) if role_of(message) == "human"]
    if roles is None:
        return set(system[:1] or human[-1:])
    return {*(system if "system" in roles else ()), *(human if "human" in roles else ())}


def _mapped_content(content: Any, change: Callable[[str], str]) -> Any:
    """A message's content, or one block of it, with its texts changed."""
    if isinstance(content, str):
        return change(content)
    if isinstance(content, list):
        return [_mapped_content(block, change) for block in content]
    if content.get("type") == "text" and isinstance(content.get("text"), str):
        return {**content, "text": change(content["text"])}
    return content
