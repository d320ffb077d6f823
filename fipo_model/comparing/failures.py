"""What may go wrong while other people's code runs, and how it is recorded."""

from fipo_model.addresses import hide_in
from fipo_model.errors import FipoError


class OutageError(FipoError):
    """A model, its server or every row failed, so that going on would measure nothing."""


def describe_failure(error: Exception, *, most: int) -> str:
    """Say the error's kind and message in at most so many characters, all of which UTF-8 can hold."""
    text = f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()
    return hide_in(text)[:most]
