"""How the comparisons end when they cannot go on."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from fipo_model.cli.notes import note
from fipo_model.errors import FipoError, InputError


@contextmanager
def exiting() -> Iterator[None]:
    """Our own errors become one line on stderr and an exit code, never a traceback."""
    try:
        yield
    except FipoError as error:
        note(f"error: {error}")
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from error
    except KeyboardInterrupt as error:
        note("stopped; the same command goes on")
        raise typer.Exit(130) from error
