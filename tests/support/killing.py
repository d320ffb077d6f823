"""Runs that are killed at a chosen moment."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def kill(train: Callable[..., Path], wanted: Any, when: Callable[[], bool]) -> None:
    """Run in a process of its own, which has everything imported already, and kill it when it is time."""
    child = multiprocessing.get_context("fork").Process(target=train, args=(wanted,), kwargs={"resume": True})
    child.start()
    while not when() and child.exitcode is None:
        time.sleep(0.01)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
