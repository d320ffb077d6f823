"""Hashes and sizes of files, and messages about them."""

import hashlib
import sys
from pathlib import Path


def sha256_of(file: Path) -> str:
    """The hash of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def gigabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 999.5e6 else f"{size / 1e6:.0f} MB"


def say(note: str) -> None:
    """Tell the user on stderr; stdout belongs to the caller."""
    sys.stderr.write(f"fipo: {note}\n")
