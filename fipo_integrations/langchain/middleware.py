"""FIPO in LangChain's agents."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import ensure_config, set_config_context
from langchain_core.runnables.utils import coro_with_context

from fipo_integrations.langchain.asking import Optimizer
from fipo_integrations.langchain.report import PromptChange, Report, Unreached
from fipo_integrations.langchain.runnable import EVENT, FIPORunnable
from fipo_model import FixedForm
from fipo_model.errors import FipoError, InputError, explain_missing
from fipo_model.store import RewriteStore

with explain_missing("agents", "langchain"):
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
    from langchain_core.messages import SystemMessage

logger = logging.getLogger("fipo.langchain")

_MEMO_SIZE = 1024  # an agent has one system prompt, or one for each user
_WHERE = "system_message"
_USELESS = (
    "another middleware that comes later in the list replaced the prompt, so the rewrite is never used: put "
    "FIPOMiddleware after the one that makes the prompt, such as dynamic_prompt"
)
_OTHERS = "it is not the first text of the prompt: a middleware added it, or it is a block of its own"


class FIPOMiddleware(AgentMiddleware):
    """Rewrites an agent's system prompt: `create_agent(..., system_prompt=..., middleware=[FIPOMiddleware()])`.

    Where the agent has a `response_format`, an addition says nothing of another form.

    Put it after the middleware that makes the prompt (`dynamic_prompt`), and before or after any that adds to it. If a
    prompt has several blocks, only the first text is rewritten, because the others belong to other middleware. Each
    prompt is rewritten once, however many steps the agent takes, and a rewrite is never rewritten again. User and tool
    messages are never touched. `fipo_report` says what happened to the prompts.
    """

    def __init__(  # noqa: PLR0913 - one parameter for each wish
        self,
        *,
        optimizer: Optimizer | None = None,
        fail_open: bool = True,
        keep: tuple[str, ...] = (),
        max_words: int | None = None,
        feedback: str | None = None,
        fixed_form: FixedForm | None = None,
        protect: tuple[str, ...] = (),
        store: RewriteStore | None = None,
    ) -> None:
        """Without `optimizer`, the first step of an agent loads FIPO's default weights.

        If the rewriter cannot be used (its server is down, its weights cannot be fetched), the agent keeps its own
        prompt and a warning is logged; the next run tries again. With `fail_open=False` the agent stops. `keep`,
        `max_words`, `feedback`, `fixed_form`, `protect` and `store` are those of `FIPORunnable`.
        """
        super().__init__()
        self._runnable = FIPORunnable(
            optimizer=optimizer,
            roles=("system",),
            keep=keep,
            max_words=max_words,
            feedback=feedback,
            fixed_form=fixed_form,
            protect=protect,
            store=store,
        )
        self._fail_open = fail_open
        self._known: OrderedDict[str, SystemMessage] = OrderedDict()
        self._changes: OrderedDict[str, PromptChange | Unreached] = OrderedDict()

    @property
    def fipo_report(self) -> Report:
        """What happened to the last prompts, and why some were not rewritten."""
        told = list(self._changes.values())
        return Report(
            changes=tuple(each for each in told if isinstance(each, PromptChange)),
            unreached=tuple(each for each in told if isinstance(each, Unreached) and each.reason != _OTHERS),
            left_alone=tuple(each for each in told if isinstance(each, Unreached) and each.reason == _OTHERS),
        )

    def wrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Called by the agent before each step."""
        message = request.system_message
        if message is None:
            return handler(request)
        runnable = self._runnable_for(request)
        if (known := self._known.get(_key(message, runnable))) is not None:
            return handler(request.override(system_message=known))
        recorder = _Recorder()
        try:
            made = runnable.invoke([_first_text_of(message)], {"callbacks": _with(recorder)})
        except FipoError as error:
            return handler(request.override(system_message=self._failed(message, error, runnable)))
        new = self._remember(message, _with_first_text(message, made), recorder, runnable)
        watcher = _Watcher(new)
        with set_config_context({**ensure_config(), "callbacks": _with(watcher)}) as context:
            response = context.run(handler, request.override(system_message=new))
        self._check(message, new, watcher)
        return response

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Called by the agent before each step under asyncio."""
        message = request.system_message
        if message is None:
            return await handler(request)
        runnable = self._runnable_for(request)
        if (known := self._known.get(_key(message, runnable))) is not None:
            return await handler(request.override(system_message=known))
        recorder = _Recorder()
        try:
            made = await runnable.ainvoke([_first_text_of(message)], {"callbacks": _with(recorder)})
        except FipoError as error:
            return await handler(request.override(system_message=self._failed(message, error, runnable)))
        new = self._remember(message, _with_first_text(message, made), recorder, runnable)
        watcher = _Watcher(new)

        async def answer() -> ModelResponse[Any]:
            return await handler(request.override(system_message=new))

        with set_config_context({**ensure_config(), "callbacks": _with(watcher)}) as context:
            response: ModelResponse[Any] = await coro_with_context(answer(), context, create_task=True)
        self._check(message, new, watcher)
        return response

    def _runnable_for(self, request: ModelRequest) -> FIPORunnable:
        """What rewrites; where the agent has a format for its answers, told so."""
        if self._runnable.fixed_form is not None or request.response_format is None:
            return self._runnable
        return self._runnable.model_copy(update={"fixed_form": "fields"})

    def _remember(
        self, message: SystemMessage, made: SystemMessage, recorder: "_Recorder", runnable: FIPORunnable
    ) -> SystemMessage:
        # Of two first steps at the same moment, the first to finish counts for both.
        new = self._known.setdefault(_key(message, runnable), made)
        self._known[_key(new, runnable)] = new
        for change in recorder.changes:
            self._tell(change.naive, change)
        for place in _other_texts(message):
            where = f"{_WHERE}.content[{place}]"
            self._tell(where, Unreached(where=where, reason=_OTHERS))
        while len(self._known) > _MEMO_SIZE:
            self._known.popitem(last=False)
        return new

    def _failed(self, message: SystemMessage, error: FipoError, runnable: FIPORunnable) -> SystemMessage:
        """An agent does not stop because a prompt that works cannot be rewritten."""
        is_prompts = isinstance(error, InputError)
        if not is_prompts and not self._fail_open:
            raise error
        logger.warning("the agent's system prompt stays as it is: %s", error)
        self._tell(_key(message, runnable), Unreached(where=_WHERE, reason=str(error)))
        # A problem with the prompt will be there at the next step, too; a problem with a server need not be.
        return self._remember(message, message, _Recorder(), runnable) if is_prompts else message

    def _check(self, message: SystemMessage, new: SystemMessage, watcher: "_Watcher") -> None:
        if new is not message and watcher.was_replaced:
            logger.warning("FIPOMiddleware does nothing here: %s", _USELESS)
            self._tell(_USELESS, Unreached(where=_WHERE, reason=_USELESS))

    def _tell(self, key: str, what: PromptChange | Unreached) -> None:
        self._changes[key] = what
        while len(self._changes) > _MEMO_SIZE:
            self._changes.popitem(last=False)


class _Recorder(BaseCallbackHandler):
    """Keeps what FIPO reports about a prompt."""

    run_inline = True  # in its place, also under asyncio

    def __init__(self) -> None:
        self.changes: list[PromptChange] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        """Called with each text's outcome."""
        if name == EVENT:
            self.changes.append(PromptChange(where=_WHERE, **data))


class _Watcher(BaseCallbackHandler):
    """Checks whether a prompt reaches the model."""

    run_inline = True

    def __init__(self, prompt: SystemMessage) -> None:
        self._text = str(prompt.text).strip()
        self._was_asked = self._has_reached = False

    @property
    def was_replaced(self) -> bool:
        """Whether no model was told the prompt: other middleware may ask models of their own, with other prompts."""
        return self._was_asked and not self._has_reached

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        """Called with the messages to the model."""
        told = "".join(str(message.text) for message in messages[0] if isinstance(message, SystemMessage))
        self._was_asked = True
        self._has_reached |= self._text in told


def _with(handler: BaseCallbackHandler) -> Any:
    """The callbacks of the current context, and one more."""
    callbacks = ensure_config().get("callbacks")
    if not isinstance(callbacks, BaseCallbackManager):
        return [*(callbacks or ()), handler]
    made = callbacks.copy()
    made.add_handler(handler)
    return made


def _first_text_of(message: SystemMessage) -> SystemMessage:
    """The message with its first text alone."""
    if isinstance(message.content, str):
        return message
    place = next(iter(_texts(message)), None)
    return message.model_copy(update={"content": [] if place is None else [message.content[place]]})


def _with_first_text(message: SystemMessage, made: Any) -> SystemMessage:
    """The message with another first text; the same object if that does not differ."""
    new: SystemMessage = made[0]
    if isinstance(message.content, str):
        return message if new.content == message.content else new
    content: list[Any] = list(message.content)
    for place in _texts(message)[:1]:
        content[place] = new.content[0]
    return message if content == message.content else message.model_copy(update={"content": content})


def _texts(message: SystemMessage) -> list[int]:
    if isinstance(message.content, str):
        return []
    return [n for n, block in enumerate(message.content) if isinstance(block, str) or block.get("type") == "text"]


def _other_texts(message: SystemMessage) -> list[int]:
    return _texts(message)[1:]


def _key(message: SystemMessage, runnable: FIPORunnable) -> str:
    return f"{runnable.fixed_form} {message.model_dump_json()}"
