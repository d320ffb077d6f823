"""Files of one JSON object a line: read with line numbers, written so that a stopped job can go on."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fipo_model.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A line that cannot be used, and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]] | BadRow]:
    """The objects of a file with their line numbers, one at a time; blank lines are skipped, bad ones come as such."""
    with opened(path) as file:
        for line, content in enumerate(file, start=1):
            if not content.strip():
                continue
            try:
                yield line, parse_object(content)
            except InputError as error:
                yield BadRow(line=line, reason=str(error))


def parse_object(content: bytes) -> dict[str, Any]:
    """One line's object. Raises `InputError` that says what is wrong with it."""
    try:
        fields = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:  # the latter for brackets nested thousands deep
        raise InputError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InputError("not a JSON object")
    return fields


def encode_object(fields: dict[str, Any]) -> bytes:
    """The line that holds an object."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n"


def finished_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines an earlier run wrote to the end, with their numbers; a last one it did not finish is then cut off.

    Nothing where there is no such file.
    """
    if not path.exists():
        return
    complete = 0
    with opened(path) as file:
        for line, content in enumerate(file, start=1):
            if not content.endswith(b"\n"):
                break
            yield line, content
            complete += len(content)
    if complete < path.stat().st_size:
        os.truncate(path, complete)


def count_lines(path: Path) -> int:
    """How many lines that are not blank a file has."""
    with opened(path) as file:
        return sum(1 for content in file if content.strip())


def check_writable(path: Path) -> None:
    """Raise `InputError` now rather than after hours of work, if `path` cannot be written."""
    opened(path, "ab").close()


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `target` when all of it is written; until then, and after an error, nothing does.

    Raises `InputError` where `target` cannot be written, or is no file: a device must not be replaced by one.
    """
    if target.exists() and not target.is_file():
        raise InputError(f"cannot write to {target}: not a file")
    target = target.resolve()
    part = target.with_name(f".{target.name}.part")  # what a kill leaves, the next attempt takes over
    try:
        with opened(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def is_vacant(directory: Path, *, apart_from: str = "") -> bool:
    """Whether a job may take a directory: it is not there, or holds nothing, `apart_from` one file, if there is that.

    What a job that was killed while `replacing` its first file has left does not count.
    """
    if not directory.is_dir():
        return not directory.exists()
    names = {file.name for file in directory.iterdir()} - {apart_from}
    return all(name.startswith(".") and name.endswith(".part") for name in names)


def opened(path: Path, mode: str = "rb") -> BinaryIO:
    """`open` in a binary mode, with our own error."""
    try:
        return open(path, mode)  # type: ignore[return-value]  # every mode in use is binary
    except OSError as error:
        doing = "read" if mode == "rb" else "write to"
        raise InputError(f"cannot {doing} {path}: {error.strerror}") from error
