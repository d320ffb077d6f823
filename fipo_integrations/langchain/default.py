"""The optimizer to use where none is named."""

import threading
from functools import cache

from fipo_model import PromptOptimizer
from fipo_model.forking import PerProcess

_lock = PerProcess(threading.Lock)


@cache
def _load() -> PromptOptimizer:
    return PromptOptimizer.from_pretrained()


def default_optimizer() -> PromptOptimizer:
    """FIPO's default weights, loaded once in a process when first needed."""
    # `cache` alone would let two threads load the weights at once.
    with _lock.value:
        return _load()
