"""Reading back what LangChain wrote of a chain with FIPO in it."""

import json
import warnings
from collections.abc import Iterable
from typing import Any

from langchain_core import messages, output_parsers, prompts, runnables
from langchain_core.load import Serializable, load

from fipo_integrations.langchain.runnable import FIPORunnable
from fipo_model import PromptOptimizer


def loads(text: str, *, optimizer: PromptOptimizer | None = None, also: Iterable[type[Serializable]] = ()) -> Any:
    """Read a `FIPORunnable`, or a chain with some in it, that `langchain_core.load.dumps` wrote.

    Optimizers are never written, so each of them gets `optimizer`, by default the default weights. Besides
    `FIPORunnable`, the messages, prompts, parsers and runnables of LangChain's core are allowed. Name any other class,
    such as a chat model's, in `also`. As with LangChain's own function, read only data you trust.
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
