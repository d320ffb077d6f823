"""Prompts on their way to a model, taken apart into the texts that may be rewritten and put together again."""

from collections.abc import Callable, Sequence
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

from fipo_model import OptimizedPrompt
from fipo_model.errors import InputError

Role = Literal["system", "human"]
PromptInput = str | PromptValue | Sequence[messages.MessageLikeRepresentation]
PromptOutput = str | PromptValue | list[BaseMessage]

_Prompt = str | StringPromptValue | ChatPromptValue | list[BaseMessage]
_ROLES = {
    SystemMessage: "system",
    SystemMessagePromptTemplate: "system",
    HumanMessage: "human",
    HumanMessagePromptTemplate: "human",
    AIMessage: "ai",
    AIMessagePromptTemplate: "ai",
}
_DICT_HINT = (
    '. Pick the prompt with `itemgetter("prompt") | runnable`, or keep the other keys with '
    '`RunnablePassthrough.assign(prompt=itemgetter("prompt") | runnable)`.'
)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an input: its output, or the error that stands for it in a batch, and what led to it."""

    output: PromptOutput | Exception
    results: Sequence[OptimizedPrompt] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """An input taken apart: the texts to rewrite, in order, and what they are put back into."""

    prompt: _Prompt
    roles: tuple[Role, ...] | None
    texts: list[str]
    error: Exception | None = None  # why the input cannot be read, if it cannot

    def settled(self, results: Sequence[OptimizedPrompt | InputError]) -> Settled:
        """The input with each text replaced by its result, or the first error."""
        error = next((result for result in results if isinstance(result, InputError)), self.error)
        if error is not None:
            return Settled(error)
        done = [result for result in results if isinstance(result, OptimizedPrompt)]
        rewrites = {result.request.instruction: result.text for result in done}
        return Settled(_mapped(self.prompt, self.roles, lambda text: rewrites.get(text, text)), done)


def role_of(message: object) -> str | None:
    """Whose a message or its template is: "system", "human" or "ai", also where it names its role itself."""
    if isinstance(message, ChatMessage | ChatMessagePromptTemplate):
        return {"system": "system", "user": "human", "human": "human"}.get(message.role.lower(), "ai")
    return next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)


def check_roles(roles: tuple[Role, ...] | None) -> None:
    """Raise `InputError` for what are no roles whose messages can be rewritten."""
    if roles is not None and (isinstance(roles, str) or not set(roles) <= set(get_args(Role))):
        raise InputError(f"roles are a tuple of 'system' and 'human', not {roles!r}")


def read(value: object, roles: tuple[Role, ...] | None) -> Reading:
    """An input taken apart; one that is no prompt is a reading with an error."""
    seen: list[str] = []

    def look(text: str) -> str:
        seen.append(text)
        return text

    try:
        prompt = _as_prompt(value)
    except (TypeError, ValueError, NotImplementedError) as error:  # the last two come from `convert_to_messages`
        return Reading("", roles, [], error)
    _mapped(prompt, roles, look)
    return Reading(prompt, roles, [text for text in seen if text.strip()])


def settle(readings: Sequence[Reading], results: Sequence[OptimizedPrompt | InputError]) -> list[Settled]:
    """What becomes of each input, given the results of all their texts."""
    remaining = iter(results)
    return [reading.settled([next(remaining) for _ in reading.texts]) for reading in readings]


def _as_prompt(value: object) -> _Prompt:
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


def _mapped(prompt: _Prompt, roles: tuple[Role, ...] | None, change: Callable[[str], str]) -> _Prompt:
    """The prompt with every text that may be rewritten replaced by what `change` makes of it."""
    if isinstance(prompt, str):
        return change(prompt)
    if isinstance(prompt, StringPromptValue):
        return prompt.model_copy(update={"text": change(prompt.text)})
    if isinstance(prompt, ChatPromptValue):
        return prompt.model_copy(update={"messages": _mapped(list(prompt.messages), roles, change)})
    chosen = _chosen(prompt, roles)
    return [mapped_message(each, change) if place in chosen else each for place, each in enumerate(prompt)]


def mapped_message(message: BaseMessage, change: Callable[[str], str]) -> BaseMessage:
    """The message with its texts changed; the very same one if nothing differs."""
    content = _mapped_content(message.content, change)
    return message if content == message.content else message.model_copy(update={"content": content})


def _chosen(chat: Sequence[BaseMessage], roles: tuple[Role, ...] | None) -> set[int]:
    """The places of the messages that may be rewritten."""
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
