"""Files of JSON: objects, one a line, read with line numbers, or whole files, never seen half written."""

import codecs
import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fipo_model import places
from fipo_model.errors import InputError
from fipo_model.json_values import is_json, parse_json

_ARRAY = "not a JSON object but an array: write one object on each line, without brackets"
# No room on the disk, in the quota, or in the largest file that is allowed.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_BRACKETS = {"{": "}", "[": "]"}
# A text in quotation marks, the last of which may be missing.
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:(?P<end>")|\\?\Z)', re.DOTALL)
# What can complete a row that ends in a text, perhaps in an escape such as "\u00", or in a field's name.
_IN_A_TEXT = [f'{rest}"{value}' for rest in ("", "n", "0", "00", "000", "0000") for value in ("", ": 0")]
# What can complete any other: nothing, a number or a value, a field's value, a field, a word.
_WORDS = ("true", "false", "null", "NaN", "Infinity")
_ELSEWHERE = ["", "0", ": 0", '"": 0', *(word[start:] for word in _WORDS for start in range(1, len(word)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A line that cannot be used, and why."""

    line: int
    reason: str
    id: str | int | None = None
    """What the row calls itself, where that is known."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]] | BadRow]:
    """The objects of a file with their line numbers, one at a time; blank lines are skipped, bad ones come as such."""
    with opened(path) as file:
        yield from parse_objects(file)


def parse_objects(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]] | BadRow]:
    """`read_objects` for lines from elsewhere."""
    for line, content in enumerate(lines, start=1):
        if not content.strip():
            continue
        try:
            yield line, parse_object(content)
        except InputError as error:
            yield BadRow(line=line, reason=str(error))


def parse_object(content: bytes) -> dict[str, Any]:
    """One line's object. Raises `InputError` that says what is wrong with it."""
    try:
        fields = parse_json(content.decode("utf-8-sig"))  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        if content.lstrip().startswith(b"["):
            raise InputError(_ARRAY) from error
        raise InputError(f"not JSON: {error}") from error
    if isinstance(fields, list):
        raise InputError(_ARRAY)
    if not isinstance(fields, dict):
        raise InputError("not a JSON object")
    return fields


def is_part(last: bytes, begin: bytes) -> bool:
    """Whether the end of a file is a row that its writer was killed before finishing.

    All rows there `begin` like this. A row with a mistake in its middle is none: somebody edited it, and may want it.
    """
    last = last.rstrip(b"\0")  # what a machine that loses its power leaves of a row's end
    if not last.startswith(begin):
        return bool(last) and begin.startswith(last)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(last)  # half a character at the end is left out
    except UnicodeDecodeError:
        return False
    return not is_json(text) and any(is_json(text + rest) for rest in _rests(text))


def _rests(text: str) -> Iterator[str]:
    """What may follow the beginning of a row, so that one of them makes it JSON."""
    bare = _QUOTED.sub(lambda found: "" if found["end"] else '"', text)
    closing: list[str] = []
    for sign in bare:
        if sign in _BRACKETS:
            closing.append(_BRACKETS[sign])
        elif closing and sign == closing[-1]:
            closing.pop()
    for rest in _IN_A_TEXT if bare.endswith('"') else _ELSEWHERE:
        yield rest + "".join(reversed(closing))


def encode_object(fields: Mapping[str, Any]) -> bytes:
    """The line that holds an object."""
    return json.dumps(dict(fields), ensure_ascii=False).encode("utf-8") + b"\n"


def count_lines(path: Path) -> int | None:
    """How many lines that are not blank a file has; None for a pipe or a terminal, which can be read only once."""
    found = places.look_at(path)
    if found is not None and (stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode)):
        return None
    with opened(path) as file:
        return sum(1 for content in file if content.strip())


def check_apart(source: Path, target: Path) -> None:
    """Raise `InputError` where the input is also the output."""
    if places.exists(source) and places.exists(target) and source.samefile(target):
        raise InputError(f"the input and the output are the same file, {target}. Choose another output.")


def check_file(path: Path) -> None:
    """Raise `InputError` where no file can be, or something else is: a pipe or a device must not be replaced by one."""
    if places.exists(path) and not places.is_file(path):
        raise InputError(f"cannot write to {path}: not a file")
    places.exists(_part_of(path))  # whose name is longer


def check_writable(path: Path) -> None:
    """Raise `InputError` now rather than after hours of work, if `path` cannot be written or is no file."""
    check_file(path)
    opened(path, "ab").close()


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `target` once it is complete; until then, and after an error, `target` stays.

    Raises `InputError` where `target` cannot be written, for example because the disk is full, or is no file.
    """
    check_file(target)
    target = target.resolve()
    part = _part_of(target)  # the next attempt reuses what a kill leaves
    try:
        with opened(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        if error.errno not in _FULL:  # what happened to whoever writes is not the file's
            raise
        raise InputError(f"cannot write to {target}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it is gone, or where nobody may delete it
            part.unlink()


def _part_of(target: Path) -> Path:
    return target.parent / f".{target.name}.part"


def write_json(target: Path, content: Any) -> None:
    """Write a file for readers, so that it is there entirely or not at all."""
    with replacing(target) as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def opened(path: Path, mode: str = "rb") -> BinaryIO:
    """`open` in a binary mode, with our own error."""
    try:
        return open(path, mode)  # type: ignore[return-value]  # every mode in use is binary
    except OSError as error:
        doing = "read" if mode == "rb" else "write to"
        raise InputError(f"cannot {doing} {path}: {error.strerror}") from error
