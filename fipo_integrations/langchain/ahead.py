"""What lies ahead of a prompt in a chain: the model that gets it, and the parser that reads the reply."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.language_models import BaseLanguageModel
from langchain_core.output_parsers import BaseLLMOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import (
    RouterRunnable,
    Runnable,
    RunnableBranch,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase, RunnableEachBase
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.passthrough import RunnableAssign
from pydantic import BaseModel

from fipo_integrations.langchain.forms import by_parser
from fipo_integrations.langchain.tree import parts_of
from fipo_model import FixedForm, form_of_settings

# What they take and give is what one of their parts takes and gives.
_AROUND_A_PART = (
    *(RunnableBindingBase, RunnableEachBase, RunnableWithFallbacks),
    *(DynamicRunnable, RouterRunnable, RunnableBranch),
)
_NO_SETTINGS: Mapping[str, Any] = {}

_Places = Sequence[tuple[str, Any]]
"""Parts of a chain, with their places."""


class Ahead(NamedTuple):
    """The form that the reply to a prompt has to have, and that a reply has to have, which come to a place."""

    prompt: FixedForm | None = None
    reply: FixedForm | None = None


_NOTHING = Ahead()


def form_ahead(rest: Any) -> FixedForm | None:
    """What gives the reply its form in the rest of a chain, which a prompt is sent to."""
    return _Walk().into(rest, "", _NOTHING).prompt


def forms_ahead(chain: Any) -> Mapping[str, FixedForm]:
    """By the places of a chain's templates, what gives the replies to them their form behind them."""
    walk = _Walk()
    walk.into(chain, "", _NOTHING)
    return walk.found


class _Walk:
    """A walk from a chain's end to its beginning, since the end says what is ahead."""

    def __init__(self) -> None:
        self.found: dict[str, FixedForm] = {}
        self._above: list[Any] = []

    def into(self, part: Any, where: str, ahead: Ahead, settings: Mapping[str, Any] = _NO_SETTINGS) -> Ahead:
        """What is ahead of a part, if this is `ahead` behind it. `settings` go to the models in it."""
        if isinstance(part, BasePromptTemplate):
            if ahead.prompt is not None:
                self.found[where] = ahead.prompt
            return _NOTHING
        if isinstance(part, BaseLanguageModel):
            return Ahead(prompt=form_of_settings({**_own_settings(part), **settings}) or ahead.reply)
        if any(part is each for each in self._above):
            return _NOTHING
        held = [(place, each) for place, each in parts_of(part, where) if isinstance(each, Runnable | BaseModel)]
        self._above.append(part)
        try:
            return self._inside(part, held, ahead, settings)
        finally:
            self._above.pop()

    def _inside(self, part: Any, held: _Places, ahead: Ahead, settings: Mapping[str, Any]) -> Ahead:
        if isinstance(part, BaseLLMOutputParser):
            form = by_parser(part) or ahead.reply  # one that reads any text may be followed by one that does not
            self._each(held, Ahead(form, form))  # it may ask a model to mend a reply
            return Ahead(form, form)
        if isinstance(part, RunnableSequence):
            return self._through(held, ahead, settings)
        if isinstance(part, _AROUND_A_PART):
            bound = part.kwargs if isinstance(part, RunnableBindingBase) else {}
            conditions = [each for each, _ in part.branches] if isinstance(part, RunnableBranch) else []
            asked = {place for place, each in held if any(each is one for one in conditions)}
            self._each([one for one in held if one[0] in asked], _NOTHING)
            return self._each([one for one in held if one[0] not in asked], ahead, {**settings, **bound})
        if isinstance(part, RunnableParallel | RunnableAssign):
            return self._each(held, _NOTHING)  # what reads one of several outputs is not to be seen
        if held:
            self._through(held, _NOTHING)  # such as a chain of the older kind, with a prompt, a model and a parser
        elif isinstance(part, Runnable):  # a function: a model, or what improves a prompt or a reply
            return Ahead(ahead.reply or ahead.prompt, ahead.reply)
        return _NOTHING

    def _through(self, steps: _Places, ahead: Ahead, settings: Mapping[str, Any] = _NO_SETTINGS) -> Ahead:
        """What is ahead of the first of several steps. Only that gets what is bound to all of them."""
        first, *others = steps
        for where, step in reversed(others):
            ahead = self.into(step, where, ahead)
        return self.into(first[1], first[0], ahead, settings)

    def _each(self, parts: _Places, ahead: Ahead, settings: Mapping[str, Any] = _NO_SETTINGS) -> Ahead:
        """What is ahead of several parts that all have the same behind them."""
        found = [self.into(part, where, ahead, settings) for where, part in parts]
        prompts, replies = ([one for one in forms if one is not None] for forms in zip(_NOTHING, *found, strict=True))
        return Ahead(next(iter(prompts), None), next(iter(replies), None))


def _own_settings(model: Any) -> dict[str, Any]:
    return {**vars(model), **(vars(model).get("model_kwargs") or {})}
