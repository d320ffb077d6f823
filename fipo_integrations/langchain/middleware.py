"""FIPO in LangChain's agents."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from fipo_integrations.langchain.runnable import FIPORunnable
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError, explain_missing

with explain_missing("agents", "langchain"):
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
    from langchain_core.messages import SystemMessage

logger = logging.getLogger("fipo.langchain")

_MEMO_SIZE = 1024  # an agent has one system prompt, or one for each user


class FIPOMiddleware(AgentMiddleware):
    """Rewrites an agent's system prompt: `create_agent(..., system_prompt=..., middleware=[FIPOMiddleware()])`.

    Each prompt is rewritten once, however many steps the agent takes, and what came out is never rewritten again. Text
    blocks are rewritten and all other content stays, as in `FIPORunnable`, which shows in the agent's traces the one
    time it runs. A prompt that is too long for the rewriter stays as it is, with a warning in the log. The messages of
    users and tools are never touched.
    """

    def __init__(self, *, optimizer: PromptOptimizer | None = None) -> None:
        """Without `optimizer`, the first step of an agent loads FIPO's default weights."""
        super().__init__()
        self._runnable = FIPORunnable(optimizer=optimizer, roles=("system",))
        self._known: OrderedDict[str, SystemMessage] = OrderedDict()

    def wrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Called by the agent before each step."""
        message = request.system_message
        if message is None:
            return handler(request)
        if (known := self._known.get(_key(message))) is None:
            try:
                known = self._remember(message, self._runnable.invoke([message]))
            except InputError as error:
                known = self._keep(message, error)
        return handler(request.override(system_message=known))

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Called by the agent before each step under asyncio."""
        message = request.system_message
        if message is None:
            return await handler(request)
        if (known := self._known.get(_key(message))) is None:
            try:
                known = self._remember(message, await self._runnable.ainvoke([message]))
            except InputError as error:
                known = self._keep(message, error)
        return await handler(request.override(system_message=known))

    def _remember(self, message: SystemMessage, made: Any) -> SystemMessage:
        # Of two first steps at the same moment, the first to be done counts for both.
        new: SystemMessage = self._known.setdefault(_key(message), made[0])
        self._known[_key(new)] = new
        while len(self._known) > _MEMO_SIZE:
            self._known.popitem(last=False)
        return new

    def _keep(self, message: SystemMessage, error: InputError) -> SystemMessage:
        """An agent does not stop because a prompt that works cannot be rewritten."""
        logger.warning("the agent's system prompt stays as it is: %s", error)
        return self._remember(message, [message])


def _key(message: SystemMessage) -> str:
    return message.model_dump_json()
