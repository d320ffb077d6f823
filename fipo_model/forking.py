"""What must not survive a fork: locks another thread held, and threads that do not exist in the child.

Servers load a model once and fork their workers (gunicorn's preload, multiprocessing on older Pythons). Everything in
FIPO that has locks or threads keeps them in one of these, at the level of a module.
"""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class PerProcess(Generic[_Value]):
    """A value that a forked process gets anew. Make it once for each module, because it is never released."""

    def __init__(self, make: Callable[[], _Value]) -> None:
        self._make = make
        self.value = make()
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=self._make_anew)

    def _make_anew(self) -> None:
        self.value = self._make()
