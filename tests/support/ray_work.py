"""What the workers of a Ray cluster do in the tests, and a process that writes and can be killed."""

import os
import sys
import time
from pathlib import Path

from fipo_model import PromptOptimizer
from fipo_model.errors import ModelError, ServerError
from fipo_model.generation import Message
from fipo_model.testing import ScriptedGenerator

PIDS = "FIPO_TEST_PIDS"
"""The environment's name for a folder in which each worker leaves its process id."""


def improve(conversation: list[Message]) -> str:
    """Take a while, so that a kill finds somebody at work."""
    if folder := os.environ.get(PIDS):
        Path(folder, str(os.getpid())).touch()
    time.sleep(0.02)
    naive = conversation[-1]["content"].split("Naive prompt:\n")[1].split("\n\n")[0]
    return f"{naive} Give one example for each point."


def make_optimizer() -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(improve, context_tokens=3000))


def make_none() -> PromptOptimizer:
    raise ModelError("there is no model 'mine'")


def make_unreachable() -> PromptOptimizer:
    """One whose server answers at first."""

    def reply(conversation: list[Message]) -> str:
        if "number 7 " in conversation[-1]["content"]:
            raise ServerError("the server cannot be reached")
        return improve(conversation)

    return PromptOptimizer(ScriptedGenerator(reply))


if __name__ == "__main__":
    from fipo_model.bulk.ray import Pool, optimize_files

    pool = Pool(workers=2, batch_size=4)
    optimize_files(make_optimizer, sys.argv[1], sys.argv[2], pool=pool, report=lambda tally, bad: None)
