"""A store's file: one process at a time adds to it, and everybody reads it."""

import logging
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from fipo_model import jsonl, places
from fipo_model.errors import InputError
from fipo_model.store.entries import parse_row, with_rejections

logger = logging.getLogger("fipo_model.store")

_PATIENCE = 10.0  # seconds; another process only adds some lines
_BEGIN = b'{"key": '
_BLOCK = 64 * 1024
_LARGE_BLOCK = 1024 * 1024
_TAIL = 4096  # bytes

Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was read of a file, and how to tell later whether the file has only grown."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last row of each key."""
    rejected: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The texts that were rejected for a key, whatever came after them."""
    signature: Signature | None = None
    """Of the file when it was read."""
    is_sure: bool = True
    """Whether all of it was read or compared since it last changed. If not, an edit of earlier rows may be missing."""
    size: int = 0
    end: int = 0
    """Where the last whole line ends. What comes after it is read again, because it may change."""
    whole: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The rows up to there."""
    rejected_whole: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lines: int = 0
    tail: bytes = b""
    """The end of these lines."""
    checksum: int = 0


def signature(path: Path) -> Signature | None:
    """A value that differs after a file was changed; None where there is no file."""
    found = places.look_at(path)
    return None if found is None else _signature(found)


def _signature(found: os.stat_result) -> Signature:
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def read(path: Path, known: Known | None = None) -> Known:
    """What is in a file. A last line whose writer was killed does not count.

    If the file has only grown since it was `known`, no more than the new part is read.
    Raises `InputError` for anything but a file, and names the line for anything but a row.
    """
    if not places.exists(path):
        return Known()
    if not places.is_file(path):
        raise InputError(f"{path} is not a file. A store is read from its file, not through a pipe: name that file.")
    with jsonl.opened(path) as file:
        found = os.fstat(file.fileno())
        if known is None or not _has_grown(file, found, known):
            known = Known()
        file.seek(known.end)
        content = file.read(found.st_size - known.end)  # what others add meanwhile is for the next time
    return _with_more(path, known, content, _signature(found))


def is_still_there(path: Path, known: Known) -> bool:
    """Whether the file still begins with what is known of it: all of it is compared."""
    if not places.is_file(path):
        return not known.end
    checksum, left = 0, known.end
    with jsonl.opened(path) as file:
        while left and (block := file.read(min(left, _LARGE_BLOCK))):
            checksum = zlib.crc32(block, checksum)  # meanwhile other threads work
            left -= len(block)
    return not left and checksum == known.checksum


def _has_grown(file: BinaryIO, found: os.stat_result, known: Known) -> bool:
    """Whether it is the same file, larger, with the same bytes where the known part ends."""
    if known.signature is None or known.signature[0] != found.st_ino or found.st_size <= known.size:
        return False
    file.seek(known.end - len(known.tail))
    return file.read(len(known.tail)) == known.tail


def _with_more(path: Path, known: Known, content: bytes, signature: Signature) -> Known:
    """What is known of a file with the content after its last whole line."""
    *lines, last = content.split(b"\n")
    new = content[: len(content) - len(last)]
    more = _parsed(path, lines, known.lines)
    rest = [] if _is_fragment(last) else _parsed(path, [last], known.lines + len(lines))
    whole = known.whole | _by_key(more)  # a new one: others may be reading
    rejected = with_rejections(known.rejected_whole, more)
    return Known(
        rows=whole | _by_key(rest) if rest else whole,
        rejected=with_rejections(rejected, rest),
        signature=signature,
        is_sure=not known.end,
        size=known.end + len(content),
        end=known.end + len(new),
        whole=whole,
        rejected_whole=rejected,
        lines=known.lines + len(lines),
        tail=_tail(known.tail + new),
        checksum=zlib.crc32(new, known.checksum),
    )


def _tail(lines: bytes) -> bytes:
    """The end of lines, by which a file is known again: the last row, whose key is its own, and more if it is short."""
    start = lines.rstrip().rfind(b"\n") + 1
    return lines[min(start, max(0, len(lines) - _TAIL)) :]


def _by_key(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last row of each key."""
    return {row["key"]: row for row in rows}


def _parsed(path: Path, lines: Sequence[bytes], before: int) -> list[dict[str, Any]]:
    """The rows in lines, of which the file has some `before`."""
    rows = []
    for number, line in enumerate(lines, start=before + 1):
        if not line.strip():
            continue
        try:
            rows.append(parse_row(line))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
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
