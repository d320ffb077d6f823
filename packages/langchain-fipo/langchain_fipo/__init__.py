"""FIPO in LangChain, under the name that LangChain's integrations have: all of `fipo_integrations.langchain`."""

from typing import Any

import fipo_integrations.langchain as _integration

__all__ = list(_integration.__all__)


def __getattr__(name: str) -> Any:
    return getattr(_integration, name)
