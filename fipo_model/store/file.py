"""A store's file: one process at a time adds to it, and everybody reads it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fipo_model import jsonl, places
from fipo_model.errors import InputError
from fipo_model.store.entries import parse_row

_PATIENCE = 10.0  # seconds; another process only adds some lines
_BEGIN = b'{"key": '


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
    for number, line in enumerate([*lines, b"" if jsonl.is_part(last, _BEGIN) else last], start=1):
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
        *_, last = file.read().split(b"\n")
        end = file.tell()
        if jsonl.is_part(last, _BEGIN):
            end = file.truncate(end - len(last))
        elif last:
            end += file.write(b"\n")
    return end
