"""What must not survive a fork: locks another thread held, and threads that do not exist in the child.

Servers load a model once and fork their workers (gunicorn's preload, multiprocessing on older Pythons). Objects that
hold such things say how they start anew.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Survivor(Protocol):
    """Something with locks or threads of its own."""

    def _after_fork(self) -> None:
        """Forget locks and threads; called in the child."""
        ...


_alive: WeakSet[Survivor] = WeakSet()


def survive_forks(each: Survivor) -> None:
    """Have `each` start anew in every process that is forked from now on, while it is alive."""
    _alive.add(each)


def _after_fork() -> None:
    for each in list(_alive):
        each._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
