"""FIPO in LangChain's agents."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from fipo_integrations.langchain.runnable import FIPORunnable
from fipo_model import PromptOptimizer
from fipo_model.errors import explain_missing

with explain_missing("agents", "langchain"):
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
    from langchain_core.messages import SystemMessage

_MEMO_SIZE = 1024  # an agent has one system prompt, or one for each user


class FIPOMiddleware(AgentMiddleware):
    """Rewrites an agent's system prompt: `create_agent(..., system_prompt=..., middleware=[FIPOMiddleware()])`.

    Each prompt is rewritten once, however many steps the agent takes, and what came out is never rewritten again. Text
    blocks are rewritten and all other content stays, as in `FIPORunnable`, which shows in the agent's traces the one
    time it runs. The messages of users and tools are never touched.
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
        new = self._known.get(_key(message))
        if new is None:
            new = self._remember(message, self._runnable.invoke([message]))
        return handler(request.override(system_message=new))

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Called by the agent before each step under asyncio."""
        message = request.system_message
        if message is None:
            return await handler(request)
        new = self._known.get(_key(message))
        if new is None:
            new = self._remember(message, await self._runnable.ainvoke([message]))
        return await handler(request.override(system_message=new))

    def _remember(self, message: SystemMessage, made: Any) -> SystemMessage:
        new: SystemMessage = made[0]
        for each in (message, new):
            self._known[_key(each)] = new
        while len(self._known) > _MEMO_SIZE:
            self._known.popitem(last=False)
        return new


def _key(message: SystemMessage) -> str:
    return message.model_dump_json()
