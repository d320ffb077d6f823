"""What lies at a path.

In some versions of Python, `pathlib` raises OSError where access is denied or a name is too long; these functions raise
`InputError`. Links are followed.
"""

import os
import stat
from pathlib import Path

from fipo_model.errors import InputError


def look_at(path: str | Path) -> os.stat_result | None:
    """What the system says about a path; None where there is nothing.

    Raises `InputError` if that cannot be found out.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # the latter for a name with a null character
        raise InputError(f"cannot look at {path}: {getattr(error, 'strerror', error)}") from error


def exists(path: str | Path) -> bool:
    """Whether anything is there. Raises `InputError` if that cannot be found out."""
    return look_at(path) is not None


def is_file(path: str | Path) -> bool:
    """Whether a file is there. Raises `InputError` if that cannot be found out."""
    found = look_at(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_directory(path: str | Path) -> bool:
    """Whether a directory is there. Raises `InputError` if that cannot be found out."""
    found = look_at(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def names_in(directory: Path) -> set[str]:
    """The names of what a directory holds. Raises `InputError` where it cannot be read."""
    try:
        return set(os.listdir(directory))
    except OSError as error:
        raise InputError(f"cannot read {directory}: {error.strerror}") from error
