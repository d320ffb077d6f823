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
        fields = json.loads(content.decode("utf-8-sig"))  # some editors begin a file with a byte order mark
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


def finished_lines(path: Path, *, begin: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """The lines an earlier run wrote to the end, with their numbers; a last one it did not finish is then cut off.

    One that lacks only its end of line gets it. Nothing where there is no such file. Raises `InputError` where what
    would be cut off does not `begin` as the job's lines do: it is somebody else's.
    """
    _check_file(path)  # a pipe would be waited for
    if not path.exists():
        return
    complete, rest = 0, b""
    with opened(path) as file:
        for line, content in enumerate(file, start=1):
            if not content.endswith(b"\n"):
                rest = content
                break
            yield line, content
            complete += len(content)
    if _is_whole(rest):
        yield line, rest
        with opened(path, "ab") as file:
            file.write(b"\n")
    elif rest and not (rest.startswith(begin) or begin.startswith(rest)):
        raise _foreign(path, line)
    elif rest:
        os.truncate(path, complete)


def finished_rows(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    """The objects on the `finished_lines` of a job whose rows begin with their id and have the `needed` fields.

    Raises `InputError` at a line that is no such row.
    """
    for line, content in finished_lines(path, begin=b'{"id": '):
        try:
            fields = parse_object(content)
        except InputError as error:
            raise _foreign(path, line) from error
        if not isinstance(fields.get("id"), str | int) or not all(name in fields for name in needed):
            raise _foreign(path, line)
        yield fields


def count_lines(path: Path) -> int | None:
    """How many lines that are not blank a file has; None for a pipe or a terminal, which can be read only once."""
    if path.is_fifo() or path.is_char_device():
        return None
    with opened(path) as file:
        return sum(1 for content in file if content.strip())


def check_apart(source: Path, target: Path) -> None:
    """Raise `InputError` where the input is the output, too."""
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"the input and the output are the same file, {target}")


def check_writable(path: Path) -> None:
    """Raise `InputError` now rather than after hours of work, if `path` cannot be written or is no file."""
    _check_file(path)
    opened(path, "ab").close()


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `target` when all of it is written; until then, and after an error, nothing does.

    Raises `InputError` where `target` cannot be written, or is no file: a device must not be replaced by one.
    """
    _check_file(target)
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


def _check_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write to {path}: not a file")


def _is_whole(content: bytes) -> bool:
    try:
        parse_object(content)
    except InputError:
        return False
    return True


def _foreign(path: Path, line: int) -> InputError:
    return InputError(
        f"{path} already exists and is not this job's output: its line {line} is not a row written by FIPO. "
        "Choose another output."
    )
