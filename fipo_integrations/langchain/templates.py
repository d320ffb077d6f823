"""Prompt templates, rewritten once, before deployment."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from langchain_core.load import Serializable
from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, FewShotPromptTemplate, PromptTemplate
from langchain_core.prompts.dict import DictPromptTemplate
from langchain_core.runnables import Runnable

from fipo_integrations.langchain import proposals
from fipo_integrations.langchain.examples import Example, prepare
from fipo_integrations.langchain.prompts import Role, check_roles, mapped_message, role_of
from fipo_integrations.langchain.proposals import Slot
from fipo_integrations.langchain.report import Report, Unreached
from fipo_integrations.langchain.runnable import OUTCOMES
from fipo_integrations.langchain.variables import VariablesChangedError, take_apart
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError

_Template = TypeVar("_Template", bound=BasePromptTemplate)
_Part = TypeVar("_Part", bound=Serializable)
_Change = Callable[[Slot], str]

ALREADY = "FIPO has rewritten it already"


class NotRebuiltError(InputError):
    """A template of a class that cannot be given other texts, and why."""


def optimize_prompt(
    template: _Template,
    *,
    optimizer: PromptOptimizer | None = None,
    roles: tuple[Role, ...] | None = None,
    examples: Sequence[Example] = (),
    downstream: Runnable[Any, Any] | None = None,
) -> tuple[_Template, Report]:
    """A template with its instruction rewritten, and a report; the template given stays as it is.

    Works on `PromptTemplate`, `ChatPromptTemplate` (static messages, text parts of multimodal ones, nested chats),
    `StructuredPrompt` and the prefix of a `FewShotPromptTemplate`. In a chat, `roles` says whose messages are
    rewritten; by default it is the first system message or, where there is none, the last human one with words of its
    own after every AI message. Leading lines without variables are rewritten by themselves, and what follows stays
    word for word. A rewrite that lost, doubled, renamed or invented a variable is not used.

    `examples` are pairs of the template's input and the golden response. With `downstream`, what follows the template
    in its chain, they are run once for the silver responses, and the rewriter sees both.

    Raises `InputError` for a jinja2 template and for what is no template; for a chain there is `optimize_chain`.
    """
    if not isinstance(template, BasePromptTemplate):
        raise InputError(
            f"a prompt template is needed, not {type(template).__name__}; for the prompts of a chain use optimize_chain"
        )
    check_roles(roles)
    slots, reason = slots_of(template, roles)
    for slot in slots:
        if slot.format == "jinja2":
            take_apart(slot.text, slot.format)  # raises
    shown = prepare(examples, template, downstream if slots else None)
    report = proposals.rewrite(slots, optimizer, shown)
    if reason:
        report = Report(changes=(), unreached=(Unreached(where="", reason=reason),))
    return with_changes(template, roles, report), report


def slots_of(template: BasePromptTemplate, roles: tuple[Role, ...] | None, where: str = "") -> tuple[list[Slot], str]:
    """The texts of a template that may be rewritten, in order, or why there are none."""
    if OUTCOMES in (template.metadata or {}):
        return [], ALREADY
    if found := _seen(lambda look: _mapped(template, roles, look, where)):
        try:
            _mapped(template, roles, lambda slot: f"{slot.text} ", where)
        except NotRebuiltError as error:
            return [], str(error)
        return found, ""
    if isinstance(template, ChatPromptTemplate):
        return [], "none of its messages is of a role that is rewritten and has words of its own"
    return [], f"FIPO does not know how a {type(template).__name__} keeps its text"


def _seen(walk: Callable[[_Change], object]) -> list[Slot]:
    """The texts that a walk comes upon, none of which is changed."""
    found: list[Slot] = []

    def look(slot: Slot) -> str:
        found.append(slot)
        return slot.text

    walk(look)
    return found


def with_changes(template: _Template, roles: tuple[Role, ...] | None, report: Report, where: str = "") -> _Template:
    """The template with its rewritten texts; the very same one if there are none."""
    new = {(change.where, change.naive): change.text for change in report.changes}
    made = _mapped(template, roles, lambda slot: new.get((slot.where, slot.text), slot.text), where)
    if made is template:
        return template
    # Goes to the metadata of the template's runs, and tells FIPO that this template is rewritten already.
    outcomes = [change.outcome for change in report.changes if change.where.startswith(where)]
    return _with(made, metadata={**(template.metadata or {}), OUTCOMES: outcomes})


def _mapped(template: _Template, roles: tuple[Role, ...] | None, change: _Change, where: str) -> _Template:
    """The template with every text that may be rewritten replaced by what `change` makes of it."""
    if isinstance(template, PromptTemplate):
        return _with(
            template, template=change(Slot(_path(where, "template"), template.template, template.template_format))
        )
    if isinstance(template, FewShotPromptTemplate):
        text = change(Slot(_path(where, "prefix"), template.prefix, template.template_format))
        return _with(template, prefix=text)
    if isinstance(template, ChatPromptTemplate):
        return _mapped_chat(template, _chosen(list(_leaves(template, where)), roles), change, where)
    return template


def _mapped_chat(chat: _Template, chosen: set[str], change: _Change, where: str) -> _Template:
    messages = []
    for path, message in _messages(chat, where):
        if isinstance(message, ChatPromptTemplate):
            messages.append(_mapped_chat(message, chosen, change, path))
        else:
            messages.append(_mapped_message(message, change, path) if path in chosen else message)
    return _with(chat, messages=messages)


def _mapped_message(message: Any, change: _Change, where: str) -> Any:
    if isinstance(message, BaseMessage):
        return mapped_message(message, lambda text: change(Slot(_path(where, "content"), text, None)))
    prompt, path = message.prompt, _path(where, "prompt")
    if isinstance(prompt, list):
        return _with(message, prompt=[_mapped_part(part, change, f"{path}[{n}]") for n, part in enumerate(prompt)])
    return _with(message, prompt=_mapped(prompt, None, change, path))


def _mapped_part(part: Any, change: _Change, where: str) -> Any:
    """A part of a multimodal message; texts with further entries, such as `cache_control`, are dictionaries."""
    if isinstance(part, DictPromptTemplate):
        fields = part.template
        if fields.get("type") != "text" or not isinstance(fields.get("text"), str):
            return part
        text = change(Slot(f"{where}.template['text']", fields["text"], part.template_format))
        return _with(part, template={**fields, "text": text})
    return _mapped(part, None, change, where) if isinstance(part, PromptTemplate) else part


def _messages(chat: Any, where: str) -> Iterator[tuple[str, Any]]:
    return ((_path(where, f"messages[{place}]"), message) for place, message in enumerate(chat.messages))


def _leaves(chat: ChatPromptTemplate, where: str) -> Iterator[tuple[str, Any]]:
    """The messages of a chat and of the chats in it, with their places."""
    for path, message in _messages(chat, where):
        if isinstance(message, ChatPromptTemplate):
            yield from _leaves(message, path)
        else:
            yield path, message


def _chosen(leaves: list[tuple[str, Any]], roles: tuple[Role, ...] | None) -> set[str]:
    """The places of the messages that may be rewritten."""
    by_role: list[tuple[str, str | None, Any]] = [(path, role_of(message), message) for path, message in leaves]
    if roles is not None:
        return {path for path, role, _ in by_role if role in roles}
    if system := [path for path, role, _ in by_role if role == "system"]:
        return set(system[:1])
    # What stands before an answer is an example of a question, not the instruction.
    last_answer = max((place for place, (_, role, _) in enumerate(by_role) if role == "ai"), default=-1)
    asked = [path for path, role, message in by_role[last_answer + 1 :] if role == "human" and _has_words(message)]
    return set(asked[-1:])


def _has_words(message: Any) -> bool:
    return any(_slot_has_words(slot) for slot in _seen(lambda look: _mapped_message(message, look, "")))


def _slot_has_words(slot: Slot) -> bool:
    try:
        return take_apart(slot.text, slot.format).has_words
    except (InputError, VariablesChangedError):
        return True  # it cannot be rewritten, and the report will say why


def _with(part: _Part, **changes: Any) -> _Part:
    """A part of a template with other fields; the very same one if nothing differs.

    Built from its fields: a copy would keep what LangChain computed from the old ones, such as what traces show. Raises
    `NotRebuiltError` where a class of the user's own does not allow that.
    """
    if all(getattr(part, name) == value for name, value in changes.items()):
        return part
    fields = {name: getattr(part, name) for name in type(part).model_fields}
    try:
        made = type(part)(**{**fields, **changes})
    except Exception as error:  # a stranger's `__init__` may want anything
        raise NotRebuiltError(f"a {type(part).__name__} cannot be made anew with another text: {error}") from error
    if any(getattr(made, name) != value for name, value in changes.items()):
        raise NotRebuiltError(f"a {type(part).__name__} that is made anew with another text does not take it")
    if made.__pydantic_private__ != part.__pydantic_private__:
        raise NotRebuiltError(f"a {type(part).__name__} that is made anew loses its private attributes")
    return made


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
