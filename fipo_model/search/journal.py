"""What a search has paid for, written to disk as it comes, so that an interrupted one resumes where it was."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fipo_model import jobs
from fipo_model.errors import InputError

_FILE = "evaluations.jsonl"


class Journal:
    """Values by key, each written once and at once; without a file, in memory only. Threads may write at once."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        rows = () if path is None else jobs.finished_rows(path, "key", "value")
        self._values: dict[str, Any] = {row["key"]: row["value"] for row in rows}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is paid for yet."""
        return not self._values

    def get(self, key: str) -> Any:
        """The value, or None where there is none."""
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Remember a value; an existing one stays."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                if self._path is not None:
                    jobs.append(self._path, [{"key": key, "value": value}])


@contextmanager
def opened_journal(
    directory: str | Path | None, settings: Mapping[str, Any], *, kind: str = "a search", option: str = "log_dir"
) -> Iterator[Journal]:
    """The journal in `directory`, for this search alone; without a directory, one that is in memory only.

    Raises `InputError` for a directory that cannot be used, where another search is at work, or that belongs to other
    settings, showing the difference. `kind` and `option` are the names of the search and the directory in messages.
    """
    if directory is None:
        yield Journal()
        return
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot use the {option} {directory}: {error.strerror}") from error
    with jobs.claimed_file(Path(directory) / _FILE, kind=kind, option=option) as job:
        job.begin(settings)
        yield Journal(job.output)
