"""A store's file: one process at a time adds to it, and everybody reads it."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from fipo_model import jsonl, places
from fipo_model.errors import InputError
from fipo_model.store.entries import parse_row

logger = logging.getLogger("fipo_model.store")

_PATIENCE = 10.0  # seconds; another process only adds some lines
_BEGIN = b'{"key": '
_BLOCK = 64 * 1024


def signature(path: Path) -> object:
    """A value that differs after a file was changed; None where there is no file."""
    found = places.look_at(path)
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The last row of each key. A last line whose writer was killed does not count.

    Raises `InputError` for anything but a file, and names the line for anything but a row.
    """
    if not places.exists(path):
        return {}
    if not places.is_file(path):
        raise InputError(f"{path} is not a file. A store is read from its file, not through a pipe: name that file.")
    with jsonl.opened(path) as file:
        *lines, last = file.read().split(b"\n")
    rows = {}
    for number, line in enumerate([*lines, b"" if _is_fragment(last) else last], start=1):
        if not line.strip():
            continue
        try:
            row = parse_row(line)
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        rows[row["key"]] = row
    return rows


def add(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows: all of them, or none. Raises `InputError` where that is not possible, such as on a full disk."""
    end = _mend(path)
    try:
        with jsonl.opened(path, "ab") as file:
            file.write(b"".join(map(jsonl.encode_object, rows)))
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, end)
        raise InputError(f"cannot write to {path}: {error.strerror}. Nothing was added.") from error


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Locks the file for this process. Raises `InputError` where another process does not release it."""
    import filelock  # it takes 70 ms, which a single prompt can be spared

    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(f"another process has been writing to {path} for {_PATIENCE:.0f} s; try again") from error
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _mend(path: Path) -> int:
    """Make the end of the file ready for a new row: cut off a partial row, or add a missing line end."""
    if not places.exists(path):
        return 0
    with jsonl.opened(path, "r+b") as file:
        last = _last_line(file)
        end = file.seek(0, os.SEEK_END)
        if _is_fragment(last):
            end = file.truncate(end - len(last))
            logger.warning("%s: removed its last row, whose writer was killed before it was finished", path)
        elif last:
            end += file.write(b"\n")
    return end


def _last_line(file: BinaryIO) -> bytes:
    """What comes after the last line end; no more is read than it takes."""
    start = size = file.seek(0, os.SEEK_END)
    while True:
        start = max(0, size - 2 * (size - start) - _BLOCK)
        file.seek(start)
        _, line_end, last = file.read().rpartition(b"\n")
        if line_end or not start:
            return last


def _is_fragment(last: bytes) -> bool:
    """Whether a killed writer left this.

    A row that ends with a bracket may as well be one in which somebody deleted a quotation mark.
    """
    return jsonl.is_part(last, _BEGIN) and not last.endswith(b"}")
