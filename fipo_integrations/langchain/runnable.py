"""FIPO in LangChain: prompts are rewritten on their way to a model.

`FIPORunnable` goes wherever a prompt passes: `template | FIPORunnable() | model`. The output has the type of the input;
it is rewritten where that is safe, and untouched where it is not.
"""

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any

from langchain_core import runnables
from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage
from langchain_core.prompt_values import ChatPromptValueConcrete, StringPromptValue
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation

from fipo_integrations.langchain.asking import Asking
from fipo_integrations.langchain.followed import template_before, template_streaming
from fipo_integrations.langchain.marks import OUTCOMES
from fipo_integrations.langchain.prompts import PromptInput, PromptOutput, Role, read
from fipo_integrations.langchain.rendering import Source, says, sources_of
from fipo_integrations.langchain.rewriting import Rewriting, Settled
from fipo_model import FixedForm, PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.store import RewriteStore

EVENT = "fipo_optimized"
"""The custom event that tells what happened to a text: its data are `outcome`, `naive` and `text`."""

_MEMO_SIZE = 64  # a runnable is behind one template or a few, unless a template is made for each request
_Configs = RunnableConfig | Sequence[RunnableConfig] | None
_Sources = tuple[Source, ...] | None


class FIPORunnable(RunnableSerializable[PromptInput, PromptOutput]):
    """Rewrites the prompt that passes through it, and returns the same type.

    A string or `StringPromptValue` is rewritten as a whole. In a chat, `roles` says whose messages are rewritten. By
    default it is the first system message, or without one, the last human message. Every text block of such a message
    is rewritten by itself. Everything else stays as it is: other messages, images, ids, other attributes and blank
    text. If a rewrite fails FIPO's checks, its text stays as it was. The list `fipo_outcomes` in the run's metadata and
    the custom event `fipo_optimized` say what happened. A rewrite is checked as a whole, so a stream has one chunk.

    `batch` rewrites all its inputs in one batch, or `max_concurrency` at a time. `RunnableParallel` and
    `RunnablePassthrough.assign` call their steps from threads, one input each. An optimizer from
    `PromptOptimizer.from_pretrained` joins such calls into batches. Call options such as `stop` are for models and
    ignored here, as in LangChain's own prompts.
    """

    optimizer: PromptOptimizer | BaseChatModel | None = Field(default=None, exclude=True)
    """What rewrites. None: FIPO's default weights, loaded once in a process when first needed. Never serialized."""
    roles: tuple[Role, ...] | None = None
    """Whose messages in a chat are rewritten, all of them; by default one message, see above."""
    template: SkipValidation[BasePromptTemplate | None] = Field(default=None, exclude=True)
    """The template whose filled-in text comes in, for places where FIPO cannot find it.

    Such places are the steps of a `RunnableParallel` and your own functions.
    """
    protect: tuple[str, ...] = ()
    """Patterns that mark data, for prompts whose template is not known, such as `<context>(.*?)</context>`.

    If a pattern has a group, only the group's match is data.
    """
    keep: tuple[str, ...] = ()
    """Texts that a rewrite must keep if its prompt contains them."""
    max_words: int | None = None
    """The most words a rewrite may have."""
    feedback: str | None = None
    """What should get better, in words."""
    fixed_form: FixedForm | None = None
    """What gives the replies their form: "fields" where a parser or a schema behind the model does, which is not seen
    here; "value" where it reads a single value. An addition then says nothing of another form."""
    store: SkipValidation[RewriteStore | None] = Field(default=None, exclude=True)
    """Where rewrites are looked up first, and stored. Never serialized."""

    _sources: OrderedDict[int, tuple[BasePromptTemplate, object, _Sources]] = PrivateAttr(default_factory=OrderedDict)

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether `langchain_core.load.dumps` can write it; `loads` in this module reads it."""
        return True

    @property
    def InputType(self) -> Any:  # noqa: N802 - LangChain's name
        """What `invoke` takes, for schemas and graphs, in the classes that JSON can be read back into."""
        return str | StringPromptValue | ChatPromptValueConcrete | list[AnyMessage]

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """What `invoke` returns: the type of its input."""
        return self.InputType

    def invoke(self, input: PromptInput, config: RunnableConfig | None = None, **kwargs: Any) -> PromptOutput:
        """Rewrite one prompt."""
        sources = self._sources_of(self.template or template_before(self))
        return self._call_with_config(self._rewrite, input, _noting(config), sources=sources)

    def ainvoke(  # not a coroutine function, because the sequence that calls it is on the stack only now
        self, input: PromptInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Coroutine[Any, Any, PromptOutput]:
        """`invoke` for asyncio: never blocks the event loop; concurrent calls can share model batches."""
        sources = self._sources_of(self.template or template_before(self))
        return self._acall_with_config(self._arewrite, input, _noting(config), sources=sources)

    def batch(
        self, inputs: list[PromptInput], config: _Configs = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[PromptOutput]:
        """Rewrite many prompts together, in order."""
        return [output for _, output in self.batch_as_completed(inputs, config, return_exceptions=return_exceptions)]

    async def abatch(
        self, inputs: list[PromptInput], config: _Configs = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> list[PromptOutput]:
        """`batch` for asyncio."""
        rewriting = self.abatch_as_completed(inputs, config, return_exceptions=return_exceptions)
        return [output async for _, output in rewriting]

    def batch_as_completed(
        self, inputs: Sequence[PromptInput], config: _Configs = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> Iterator[tuple[int, Any]]:
        """`batch`, yielding each sub-batch of `max_concurrency` when it is done, with the inputs' indices."""
        sources = self._sources_of(self.template or template_before(self))
        for start, part, configs in _sub_batches(inputs, config):
            outputs = self._batch_with_config(
                self._rewrite_all, part, configs, return_exceptions=return_exceptions, sources=sources
            )
            yield from enumerate(outputs, start)

    async def abatch_as_completed(
        self, inputs: Sequence[PromptInput], config: _Configs = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> AsyncIterator[tuple[int, Any]]:
        """`batch_as_completed` for asyncio."""
        sources = self._sources_of(self.template or template_before(self))
        for start, part, configs in _sub_batches(inputs, config):
            rewriting = self._abatch_with_config(
                self._arewrite_all, part, configs, return_exceptions=return_exceptions, sources=sources
            )
            for place, output in enumerate(await rewriting, start):
                yield place, output

    def transform(
        self, input: Iterator[PromptInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[PromptOutput]:
        """`stream`, inside a stream."""
        yield from super(FIPORunnable, self._behind(input)).transform(input, config)

    async def atransform(
        self, input: AsyncIterator[PromptInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[PromptOutput]:
        """`transform` for asyncio."""
        async for output in super(FIPORunnable, self._behind(input)).atransform(input, config):
            yield output

    def _behind(self, values: object) -> "FIPORunnable":
        """This, with the template that an iterator of prompts comes from."""
        found = template_streaming(values) if self.template is None else None
        return self if found is None else self.model_copy(update={"template": found})

    def _rewrite(
        self, prompt: PromptInput, run_manager: CallbackManagerForChainRun, sources: _Sources = None
    ) -> PromptOutput:
        return _value(self._rewrite_all([prompt], [run_manager], sources)[0])

    async def _arewrite(
        self, prompt: PromptInput, run_manager: AsyncCallbackManagerForChainRun, sources: _Sources = None
    ) -> PromptOutput:
        return _value((await self._arewrite_all([prompt], [run_manager], sources))[0])

    def _rewrite_all(
        self, inputs: list[PromptInput], run_manager: list[CallbackManagerForChainRun], sources: _Sources = None
    ) -> list[PromptOutput | Exception]:
        rewriting = self._rewriting(inputs, sources)
        settled = rewriting.settled(self._asking.each(rewriting.requests) if rewriting.requests else [])
        for each, manager in zip(settled, run_manager, strict=True):
            for event in _told(each, manager):
                dispatch_custom_event(EVENT, event, config={"callbacks": manager.get_child()})
        return [each.output for each in settled]

    async def _arewrite_all(
        self, inputs: list[PromptInput], run_manager: list[AsyncCallbackManagerForChainRun], sources: _Sources = None
    ) -> list[PromptOutput | Exception]:
        rewriting = self._rewriting(inputs, sources)
        settled = rewriting.settled(await self._asking.aeach(rewriting.requests) if rewriting.requests else [])
        for each, manager in zip(settled, run_manager, strict=True):
            for event in _told(each, manager):
                await adispatch_custom_event(EVENT, event, config={"callbacks": manager.get_child()})
        return [each.output for each in settled]

    def _rewriting(self, inputs: Sequence[PromptInput], sources: _Sources) -> Rewriting:
        patterns = list(map(_compiled, self.protect))
        return Rewriting.of([read(value, self.roles) for value in inputs], sources, patterns, self._asking)

    def _sources_of(self, template: BasePromptTemplate | None) -> _Sources:
        if template is None:
            return None
        text, known = says(template), self._sources.get(id(template))
        if known is None or known[0] is not template or known[1] != text:
            known = self._sources[id(template)] = (template, text, sources_of(template, self.roles))
            while len(self._sources) > _MEMO_SIZE:
                self._sources.popitem(last=False)
        return known[2]

    @property
    def _asking(self) -> Asking:
        return Asking(
            optimizer=self.optimizer,
            keep=self.keep,
            max_words=self.max_words,
            feedback=self.feedback,
            fixed_form=self.fixed_form,
            store=self.store,
        )


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise InputError(f"protect has {pattern!r}, which is no regular expression: {error}") from error


def _noting(config: RunnableConfig | None) -> RunnableConfig:
    """The config with a list for outcomes in its metadata, which tracers take as it is when the run starts.

    LangChain has no way to add to a run's metadata later; this list is filled when the outcomes are known.
    """
    config = runnables.ensure_config(config)
    return {**config, "metadata": {**config.get("metadata", {}), OUTCOMES: []}}


def _told(
    settled: Settled, manager: CallbackManagerForChainRun | AsyncCallbackManagerForChainRun
) -> list[dict[str, str]]:
    """Note an input's outcomes in its run's metadata; the events to send, if anyone listens."""
    manager.metadata[OUTCOMES].extend(change.outcome for change in settled.changes)
    if not manager.handlers:
        return []
    return [{"outcome": each.outcome, "naive": each.naive, "text": each.text} for each in settled.changes]


def _value(output: PromptOutput | Exception) -> PromptOutput:
    if isinstance(output, Exception):
        raise output
    return output


def _sub_batches(
    inputs: Sequence[PromptInput], config: _Configs
) -> Iterator[tuple[int, list[PromptInput], list[RunnableConfig]]]:
    """The inputs and their configs, `max_concurrency` at a time, each sub-batch with the index of its first input."""
    configs = runnables.get_config_list(config, len(inputs))
    size = (configs[0].get("max_concurrency") if configs else None) or max(1, len(inputs))
    for start in range(0, len(inputs), size):
        yield start, list(inputs[start : start + size]), [_noting(each) for each in configs[start : start + size]]
