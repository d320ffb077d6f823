"""What the commands say on stderr, and the results on stdout, which holds nothing else."""

import errno
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fipo_model.errors import InputError
from fipo_model.replies import without_controls

# A shell's exit status for a program that wrote to a closed pipe: 128 plus the number of SIGPIPE.
_NOBODY_READS = 141

_lost: Counter[str] = Counter()


def note(text: str) -> None:
    """Tell the user something, if stderr can be written: what is told is never worth the work."""
    try:
        typer.echo(f"fipo: {without_controls(text)}", err=True)
    except OSError:
        _lost["notes"] += 1


def lost_notes() -> int:
    """How many notes nobody can read, because the disk was full, or the reader of a pipe gone."""
    return _lost["notes"]


def finish_notes() -> None:
    """Write what is left for stderr, or drop it: Python's own last attempt would change the exit status."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def say(result: str) -> None:
    """Print a result."""
    with _writing():
        typer.echo(result)


def say_bytes(result: bytes) -> None:
    """Write a part of a result as it is."""
    with _writing():
        sys.stdout.buffer.write(result)
        sys.stdout.buffer.flush()


@contextmanager
def _writing() -> Iterator[None]:
    """Around writes to stdout: ends the command with one line if it is not read, or has no room or letters for it."""
    try:
        yield
    except UnicodeEncodeError as error:
        words = f"stdout cannot hold all characters of the result ({error.encoding}): set PYTHONIOENCODING=utf-8"
        raise InputError(words) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            note("stopped: nothing is reading the output")
            sys.exit(_NOBODY_READS)
        raise InputError(f"cannot write to stdout: {error.strerror}") from error


@contextmanager
def still_trying(after: float = 10.0) -> Iterator[None]:
    """Around work on one prompt: tells the user that it goes on, if it takes so many seconds."""
    timer = threading.Timer(after, note, ["still trying: prompts with little to add take longest"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def show_log() -> None:
    """Show the user what the library logs, such as why it waits for a server."""
    logger = logging.getLogger("fipo_model")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
        logger.setLevel(logging.INFO)
