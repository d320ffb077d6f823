"""FIPO in LangChain: rewrite prompts on the way to a model, or once, before deployment.

`FIPORunnable` goes anywhere a prompt passes: `template | FIPORunnable() | model`. `optimize_prompt` and
`optimize_chain` rewrite templates and whole chains once. `FIPOMiddleware` is for agents. docs/langchain.md has examples
of all.
"""

from typing import TYPE_CHECKING, Any

from fipo_model.errors import explain_missing

with explain_missing("langchain", "langchain_core"):
    import langchain_core  # noqa: F401 - asked for first, so that its absence is explained

from fipo_integrations.langchain.chains import aoptimize_chain, optimize_chain
from fipo_integrations.langchain.marks import OUTCOMES, SOURCE
from fipo_integrations.langchain.report import PromptChange, Report, Unreached
from fipo_integrations.langchain.runnable import EVENT, FIPORunnable
from fipo_integrations.langchain.serialization import loads
from fipo_integrations.langchain.templates import aoptimize_prompt, optimize_prompt

if TYPE_CHECKING:
    from fipo_integrations.langchain.chat_model import ChatModelGenerator, GeneratorChatModel, optimizer_from
    from fipo_integrations.langchain.middleware import FIPOMiddleware

__all__ = [
    "EVENT",
    "OUTCOMES",
    "SOURCE",
    "ChatModelGenerator",
    "FIPOMiddleware",
    "FIPORunnable",
    "GeneratorChatModel",
    "PromptChange",
    "Report",
    "Unreached",
    "aoptimize_chain",
    "aoptimize_prompt",
    "loads",
    "optimize_chain",
    "optimize_prompt",
    "optimizer_from",
]

_ON_CHAT_MODELS = ("ChatModelGenerator", "GeneratorChatModel", "optimizer_from")


def __getattr__(name: str) -> Any:
    # These import much that the others do not need, and FIPOMiddleware needs the extra `agents`.
    if name in _ON_CHAT_MODELS:
        from fipo_integrations.langchain import chat_model

        return getattr(chat_model, name)
    if name == "FIPOMiddleware":
        from fipo_integrations.langchain.middleware import FIPOMiddleware

        return FIPOMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
