"""One process at a time in a directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fipo_model.errors import InputError

LOCK = ".lock"

# A holder that is just leaving may have deleted the file that was opened here; the next try finds a new one.
_PATIENCE, _POLL = 0.2, 0.05


@contextmanager
def locked(directory: Path, output: Path, option: str) -> Iterator[None]:
    """`directory` for this process alone, on behalf of the job that writes `output`.

    The operating system keeps the lock and drops it with the process, however that ends: a killed process's lock is
    simply taken over. Raises `InputError` with the holder's process id, and the `option` that can be changed.
    """
    import filelock  # it takes 70 ms, which a single prompt can be spared

    file = directory / LOCK
    lock = filelock.FileLock(file, timeout=_PATIENCE, poll_interval=_POLL, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(
            f"{_holder(file)} is at work on {output}; wait until it is done, or choose another {option}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}") from error
    try:
        _sign(file)
        yield
    finally:
        with suppress(OSError):  # where an open file cannot be deleted, it stays
            file.unlink()
        lock.release()


def _sign(file: Path) -> None:
    # Only for the message to others: the lock holds without it. A file system without locks has filelock's own mark.
    with suppress(OSError):
        if not file.read_bytes():
            file.write_text(f"{os.getpid()}\n", encoding="ascii")


def _holder(file: Path) -> str:
    try:
        pid, *_ = file.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # it has not signed yet, or the system lets nobody read
        return "another process"
    return "this process" if pid == str(os.getpid()) else f"another process (pid {pid})"
