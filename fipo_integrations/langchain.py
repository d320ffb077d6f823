"""FIPO in LangChain: prompts are rewritten on their way to a model.

`FIPORunnable` goes wherever a prompt passes: `template | FIPORunnable() | model`. What goes in comes out in the same
type, rewritten where that is safe and untouched where it is not.
"""

import json
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fipo_model import OptimizedPrompt, PromptOptimizer
from fipo_model.errors import InputError, explain_missing

with explain_missing("langchain", "langchain_core"):
    from langchain_core import messages, output_parsers, prompts, runnables
    from langchain_core.callbacks import (
        AsyncCallbackManagerForChainRun,
        CallbackManagerForChainRun,
        adispatch_custom_event,
        dispatch_custom_event,
    )
    from langchain_core.load import Serializable, load
    from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage, SystemMessage
    from langchain_core.prompt_values import ChatPromptValue, ChatPromptValueConcrete, PromptValue, StringPromptValue
    from langchain_core.runnables import RunnableConfig, RunnableSerializable
    from pydantic import ConfigDict, Field

Role = Literal["system", "human"]
PromptInput = str | PromptValue | Sequence[messages.MessageLikeRepresentation]
PromptOutput = str | PromptValue | list[BaseMessage]

EVENT = "fipo_optimized"
"""The custom event that tells what became of a text: its data are `outcome`, `naive` and `text`."""

_Prompt = str | StringPromptValue | ChatPromptValue | list[BaseMessage]
# An input's output, or the error that stands for it in a batch, and the events that tell how it came about.
_Settled = tuple[PromptOutput | Exception, list[dict[str, str]]]
_Configs = RunnableConfig | Sequence[RunnableConfig] | None
_DICT_HINT = (
    '. Pick the prompt with `itemgetter("prompt") | runnable`, or keep the other keys with '
    '`RunnablePassthrough.assign(prompt=itemgetter("prompt") | runnable)`.'
)
_default_lock = threading.Lock()


class FIPORunnable(RunnableSerializable[PromptInput, PromptOutput]):
    """Rewrites the prompt that passes through it; the type that goes in comes out.

    A string or `StringPromptValue` is rewritten as a whole. In a chat, `roles` says whose messages are; by default it
    is the first system message or, where there is none, the last human one. Every text block of such a message is
    rewritten by itself. Everything else stays as it is: other messages, images, ids and further attributes, and text
    that is blank. A rewrite that does not pass FIPO's checks leaves its text as it was; the custom event
    `fipo_optimized` tells which happened. A rewrite is checked as a whole, so a stream has one chunk.

    `batch` makes one model call of all its inputs, or of `max_concurrency` at a time. `RunnableParallel` and
    `RunnablePassthrough.assign` call their steps from threads, one input each; an optimizer from
    `PromptOptimizer.from_pretrained` puts such calls together again. Call options such as `stop` are meant for models
    and ignored here, as LangChain's own prompts do.
    """

    optimizer: PromptOptimizer | None = Field(default=None, exclude=True)
    """What rewrites. None: FIPO's default weights, loaded once in a process when first needed. Never serialized."""
    roles: tuple[Role, ...] | None = None
    """Whose messages in a chat are rewritten, all of them; by default one message, see above."""

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
        """What `invoke` gives: the type it was given."""
        return self.InputType

    def invoke(self, input: PromptInput, config: RunnableConfig | None = None, **kwargs: Any) -> PromptOutput:
        """Rewrite one prompt."""
        return self._call_with_config(self._rewrite, input, config)

    async def ainvoke(self, input: PromptInput, config: RunnableConfig | None = None, **kwargs: Any) -> PromptOutput:
        """`invoke` for asyncio: never blocks the event loop; concurrent calls can share model batches."""
        return await self._acall_with_config(self._arewrite, input, config)

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
        """`batch`, giving out each sub-batch of `max_concurrency` when it is done, with the inputs' places."""
        for start, part, configs in _sub_batches(inputs, config):
            outputs = self._batch_with_config(self._rewrite_all, part, configs, return_exceptions=return_exceptions)
            yield from enumerate(outputs, start)

    async def abatch_as_completed(
        self, inputs: Sequence[PromptInput], config: _Configs = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> AsyncIterator[tuple[int, Any]]:
        """`batch_as_completed` for asyncio."""
        for start, part, configs in _sub_batches(inputs, config):
            rewriting = self._abatch_with_config(self._arewrite_all, part, configs, return_exceptions=return_exceptions)
            for place, output in enumerate(await rewriting, start):
                yield place, output

    def _rewrite(self, prompt: PromptInput, run_manager: CallbackManagerForChainRun) -> PromptOutput:
        return _value(self._rewrite_all([prompt], [run_manager])[0])

    async def _arewrite(self, prompt: PromptInput, run_manager: AsyncCallbackManagerForChainRun) -> PromptOutput:
        return _value((await self._arewrite_all([prompt], [run_manager]))[0])

    def _rewrite_all(
        self, inputs: list[PromptInput], run_manager: list[CallbackManagerForChainRun]
    ) -> list[PromptOutput | Exception]:
        readings = [_read(value, self.roles) for value in inputs]
        texts = [text for reading in readings for text in reading.texts]
        results = (self.optimizer or _default_optimizer()).optimize_each(texts) if texts else []
        settled = _settled(readings, results)
        for (_, events), manager in zip(settled, run_manager, strict=True):
            for event in events:
                dispatch_custom_event(EVENT, event, config={"callbacks": manager.get_child()})
        return [output for output, _ in settled]

    async def _arewrite_all(
        self, inputs: list[PromptInput], run_manager: list[AsyncCallbackManagerForChainRun]
    ) -> list[PromptOutput | Exception]:
        readings = [_read(value, self.roles) for value in inputs]
        texts = [text for reading in readings for text in reading.texts]
        results: list[OptimizedPrompt | InputError] = []
        if texts:
            optimizer = self.optimizer
            if optimizer is None:
                optimizer = await runnables.run_in_executor(None, _default_optimizer)
            results = await optimizer.aoptimize_each(texts)
        settled = _settled(readings, results)
        for (_, events), manager in zip(settled, run_manager, strict=True):
            for event in events:
                await adispatch_custom_event(EVENT, event, config={"callbacks": manager.get_child()})
        return [output for output, _ in settled]


def loads(text: str, *, optimizer: PromptOptimizer | None = None, also: Iterable[type[Serializable]] = ()) -> Any:
    """Read what `langchain_core.load.dumps` wrote of a `FIPORunnable`, or of a chain with some in it.

    No optimizer is ever written: `optimizer` is what each of them gets, by default the default weights. Besides
    `FIPORunnable`, the messages, prompts, parsers and runnables of LangChain's core are allowed; name any other class,
    such as a chat model's, in `also`. As with LangChain's own function, only read what you trust.
    """

    def equip(node: dict[str, Any]) -> dict[str, Any]:
        if node.get("type") == "constructor" and node.get("id") == FIPORunnable.lc_id():
            return {**node, "kwargs": {**node.get("kwargs", {}), "optimizer": optimizer}}
        return node

    exported = [getattr(m, name) for m in (messages, output_parsers, prompts, runnables) for name in m.__all__]
    core = [each for each in exported if isinstance(each, type) and issubclass(each, Serializable)]
    allowed: list[type[Serializable]] = [FIPORunnable, *core, *also]
    with warnings.catch_warnings():
        # LangChain marks reading as beta: nothing a caller of this function could act on.
        warnings.filterwarnings("ignore", message=".*`load` is in beta", category=DeprecationWarning)
        namespaces = sorted({each.lc_id()[0] for each in allowed})
        return load(json.loads(text, object_hook=equip), allowed_objects=allowed, valid_namespaces=namespaces)


@dataclass(frozen=True, slots=True)
class _Reading:
    """An input taken apart: the texts to rewrite, in order, and what they are put back into."""

    prompt: _Prompt
    roles: tuple[Role, ...] | None
    texts: list[str]
    error: Exception | None = None  # why the input cannot be read, if it cannot

    def settled(self, results: Sequence[OptimizedPrompt | InputError]) -> _Settled:
        """The input with each text replaced by its result, or the first error."""
        error = next((result for result in results if isinstance(result, InputError)), self.error)
        if error is not None:
            return error, []
        done = [result for result in results if isinstance(result, OptimizedPrompt)]
        rewrites = {result.request.instruction: result.text for result in done}
        events = [{"outcome": r.outcome, "naive": r.request.instruction, "text": r.text} for r in done]
        return _mapped(self.prompt, self.roles, lambda text: rewrites.get(text, text)), events


def _read(value: object, roles: tuple[Role, ...] | None) -> _Reading:
    seen: list[str] = []

    def look(text: str) -> str:
        seen.append(text)
        return text

    try:
        prompt = _as_prompt(value)
    except (TypeError, ValueError, NotImplementedError) as error:  # the last two come from `convert_to_messages`
        return _Reading("", roles, [], error)
    _mapped(prompt, roles, look)
    return _Reading(prompt, roles, [text for text in seen if text.strip()])


def _settled(readings: Sequence[_Reading], results: Sequence[OptimizedPrompt | InputError]) -> list[_Settled]:
    """What becomes of each input, given the results of all their texts."""
    remaining = iter(results)
    return [reading.settled([next(remaining) for _ in reading.texts]) for reading in readings]


def _value(output: PromptOutput | Exception) -> PromptOutput:
    if isinstance(output, Exception):
        raise output
    return output


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
    return [
        message.model_copy(update={"content": _mapped_content(message.content, change)}) if place in chosen else message
        for place, message in enumerate(prompt)
    ]


def _chosen(chat: Sequence[BaseMessage], roles: tuple[Role, ...] | None) -> set[int]:
    """The places of the messages that may be rewritten."""
    system = [place for place, message in enumerate(chat) if isinstance(message, SystemMessage)]
    human = [place for place, message in enumerate(chat) if isinstance(message, HumanMessage)]
    if roles is None:
        return set(system[:1] or human[-1:])
    return {*(system if "system" in roles else ()), *(human if "human" in roles else ())}


def _mapped_content(content: Any, change: Callable[[str], str]) -> Any:
    """A message's content, or one block of it."""
    if isinstance(content, str):
        return change(content)
    if isinstance(content, list):
        return [_mapped_content(block, change) for block in content]
    if content.get("type") == "text" and isinstance(content.get("text"), str):
        return {**content, "text": change(content["text"])}
    return content


def _sub_batches(
    inputs: Sequence[PromptInput], config: _Configs
) -> Iterator[tuple[int, list[PromptInput], list[RunnableConfig]]]:
    """The inputs and their configs, `max_concurrency` at a time, each part with its first input's place."""
    configs = runnables.get_config_list(config, len(inputs))
    size = (configs[0].get("max_concurrency") if configs else None) or max(1, len(inputs))
    for start in range(0, len(inputs), size):
        yield start, list(inputs[start : start + size]), configs[start : start + size]


@cache
def _load_default() -> PromptOptimizer:
    return PromptOptimizer.from_pretrained()


def _default_optimizer() -> PromptOptimizer:
    # `cache` alone would let two threads load the weights at once.
    with _default_lock:
        return _load_default()
