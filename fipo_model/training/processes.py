"""Several processes that train as one."""

import os
import sys


def is_first_process() -> bool:
    """Whether this is the only process, or the one that writes; asked before there is a process group."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Progress goes to stderr, once."""
    if is_first_process():
        sys.stderr.write(f"fipo: {text}\n")
