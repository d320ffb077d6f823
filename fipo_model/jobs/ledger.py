"""Ledgers: finished items, one JSON object a line, added batch by batch, so that none is done twice.

A process may be killed at any moment: a last line that it did not finish is cut off by whoever resumes the job. Files
that were not written by a job are never touched.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fipo_model import jsonl, places
from fipo_model.errors import InputError

Item = TypeVar("Item")

_AT_ONCE = 32


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a ledger; when this returns, they are handed to the operating system.

    Raises `InputError` where they cannot be written, for example because the disk is full.
    """
    lines = b"".join(map(jsonl.encode_object, rows))
    try:
        with path.open("ab") as file:
            file.write(lines)
    except OSError as error:
        raise InputError(
            f"cannot write to {path}: {error.strerror}. What was finished before is kept, and can be resumed."
        ) from error


def finished_rows(path: Path, first: str, *others: str) -> Iterator[dict[str, Any]]:
    """The rows of a ledger, each of which begins with the field `first`, a text or a number, and has the `others`.

    A last line that is not whole is cut off; one that lacks only its line end gets one. No rows where there is no such
    file. Raises `InputError` at a line that is no such row: the file is not a job's, and stays as it is.
    """
    for line, content in _finished_lines(path, f'{{"{first}": '.encode()):
        try:
            fields = jsonl.parse_object(content)
        except InputError as error:
            raise _foreign(path, line) from error
        if not isinstance(fields.get(first), str | int) or not all(name in fields for name in others):
            raise _foreign(path, line)
        yield fields


def completed(
    path: Path,
    items: Mapping[str, Item],
    compute: Callable[[Sequence[Item]], Iterable[Mapping[str, Any]]],
    *,
    key: str = "key",
    at_once: int = _AT_ONCE,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, dict[str, Any]]:
    """What `compute` finds for every item, by the items' keys and in their order.

    It is asked only for items that the ledger at `path` lacks, `at_once` at a time. Each batch is written, and the
    number of items in the file `report`ed, before the next begins. Nothing else may be in the file, which belongs to
    one set of settings. `key` is what its rows call the items' keys.
    """
    known: dict[str, dict[str, Any]] = {}
    for fields in finished_rows(path, key):
        known[fields.pop(key)] = fields
    missing = [name for name in items if name not in known]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(missing), at_once):
        names = missing[start : start + at_once]
        found = dict(zip(names, map(dict, compute([items[name] for name in names])), strict=True))
        append(path, ({key: name, **result} for name, result in found.items()))
        known |= found
        report(len(known))
    return {name: known[name] for name in items}


def _finished_lines(path: Path, begin: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that were written to the end, with their numbers; then the file is repaired.

    Only a line that `begin`s as the job's lines do is cut off.
    """
    jsonl.check_file(path)  # reading a pipe would block
    if not places.exists(path):
        return
    complete, rest = 0, b""
    with jsonl.opened(path) as file:
        for line, content in enumerate(file, start=1):
            if not content.endswith(b"\n"):
                rest = content
                break
            yield line, content
            complete += len(content)
    if jsonl.is_part(rest, begin):
        os.truncate(path, complete)
    elif rest:
        yield line, rest  # the reader raises where it is not a row, and the file stays as it is
        with jsonl.opened(path, "ab") as file:
            file.write(b"\n")


def _foreign(path: Path, line: int) -> InputError:
    return InputError(
        f"{path} is not this job's output: its line {line} is damaged, or not a row written by FIPO. Choose another "
        "output."
    )
