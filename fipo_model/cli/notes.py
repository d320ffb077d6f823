"""What the commands say on stderr, and the results on stdout, which holds nothing else."""

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fipo_model.errors import InputError
from fipo_model.replies import without_controls

# What a shell says of a program that wrote where nobody reads any more: 128 and the number of SIGPIPE.
_NOBODY_READS = 141


def note(text: str) -> None:
    """Tell the user something."""
    typer.echo(f"fipo: {without_controls(text)}", err=True)


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
    """Around what is written to stdout: ends the command in one line where nobody reads it, or where it has no room."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            note("stopped: the reader of the output is gone")
            sys.exit(_NOBODY_READS)
        raise InputError(f"cannot write to stdout: {error.strerror}") from error


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def show_log() -> None:
    """Have what the library notes, such as why it waits for a server, told to the user."""
    logger = logging.getLogger("fipo_model")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
        logger.setLevel(logging.INFO)
