"""Hashes and sizes of files, and messages about them."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from fipo_model import jsonl, places


def sha256_of(file: Path) -> str:
    """The hash of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def hashes_of(files: Mapping[str, str | Path | None]) -> dict[str, str]:
    """The hashes of these files by their names. What is no file here (a data set on the hub, a pipe) has none.

    Raises `InputError` for a file that cannot be read.
    """
    found = {name: Path(file) for name, file in files.items() if file is not None and places.is_file(file)}
    for file in found.values():
        jsonl.opened(file).close()
    return {name: sha256_of(file) for name, file in found.items()}


def gigabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 999.5e6 else f"{size / 1e6:.0f} MB"


def say(note: str) -> None:
    """Tell the user on stderr; stdout belongs to the caller."""
    sys.stderr.write(f"fipo: {note}\n")
