"""What a compile has paid for, on disk as it comes, so that one that is killed goes on where it was."""

import itertools
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fipo_model.errors import InputError

_FILE = "evaluations.jsonl"
_SHOWN = 60


class Journal:
    """Values by key in `directory`, each written once and at once; without a directory, in memory only.

    The file's first line holds the settings the values belong to. A last line that was cut off by a kill is removed.
    Raises `InputError` for a directory that belongs to other settings, naming what differs, or that cannot be used.
    Threads may write at once; two processes may not share a directory.
    """

    def __init__(self, directory: str | Path | None, settings: Mapping[str, Any]) -> None:
        self._directory = None if directory is None else Path(directory)
        self._values: dict[str, Any] = {}
        self._lock = threading.Lock()
        if self._directory is None:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            lines = _whole_lines(self._directory / _FILE)
        except OSError as error:
            raise InputError(f"cannot use the log_dir {self._directory}: {error.strerror}") from error
        if lines:
            self._check(lines[0], settings)
            self._values = {line["key"]: line["value"] for line in lines[1:]}
        else:
            self._append({"settings": settings})

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def get(self, key: str) -> Any:
        """The value, or None where there is none."""
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Remember a value; one that is there already stays."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._append({"key": key, "value": value})

    def _append(self, fields: Mapping[str, Any]) -> None:
        if self._directory is not None:
            with (self._directory / _FILE).open("ab") as file:
                file.write(json.dumps(fields).encode("utf-8") + b"\n")

    def _check(self, first: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        theirs = first.get("settings", {})
        ours = json.loads(json.dumps(settings))
        if names := [name for name in sorted({*theirs, *ours}) if theirs.get(name) != ours.get(name)]:
            changes = "; ".join(f"{n}: {_short(theirs.get(n))} there, {_short(ours.get(n))} now" for n in names)
            raise InputError(
                f"the log_dir {self._directory} belongs to a compile with other settings ({changes}). Use the same "
                "ones to go on with it, or another log_dir."
            )


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The file's lines that were written to the end; what follows them is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    try:
        lines = [json.loads(line) for line in content[:whole].splitlines()]
    except ValueError as error:
        raise InputError(f"{path} is not a file of one JSON object a line: {error}. Use another log_dir.") from error
    if not all(isinstance(line, dict) and line.keys() == keys for line, keys in zip(lines, _keys(), strict=False)):
        raise InputError(f"{path} is not the journal of a compile. Use another log_dir.")
    return lines


def _keys() -> Iterator[set[str]]:
    """What the first line has, and what all the others have."""
    yield {"settings"}
    yield from itertools.repeat({"key", "value"})


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
