"""A job's claim on its output, and the note of its settings there."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fipo_model import jsonl, places
from fipo_model.errors import InputError
from fipo_model.jobs.lock import LOCK, locked
from fipo_model.jobs.settings import as_noted, differences, read_note

SETTINGS = "settings.json"
_CONTENT = "content"


@dataclass(slots=True, kw_only=True)
class Job:
    """A job whose output this process has claimed."""

    output: Path
    """The file or directory that it writes."""
    directory: Path
    """Where it keeps its note: the output itself, or the directory beside an output that is a file."""
    kind: str
    """What the output holds, with its article, for messages."""
    option: str
    """How the user calls what names the output."""
    accounts: tuple[str, ...] = ()
    """Files in the directory that say what the job has cost, which is no result."""
    settings: dict[str, Any] | None = None
    """What it was started with; None for one that begins."""
    is_begun: bool = False

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise `InputError` that shows the difference if any of these settings is not as noted."""
        if self.settings is not None:
            self._refuse({key: self.settings.get(key) for key in settings}, settings)

    def begin(self, settings: Mapping[str, Any], *, content: Mapping[str, str] | None = None) -> None:
        """Note the job's settings; if it was started before, check that they are the same.

        `content` are the hashes of the files that it reads, by their names. A job that was noted without hashes has
        nothing to compare, and gets them. A file that is gone is told by whoever reads it.
        """
        hashes = {} if content is None else {_CONTENT: dict(content)}
        if self.settings is None:
            self.note({**settings, **hashes})
            return
        noted = self.settings.get(_CONTENT)
        self._refuse(self.settings, settings if noted is None else {**settings, _CONTENT: {**noted, **(content or {})}})
        if noted is None and hashes:
            self.note({**self.settings, **hashes})
        self.is_begun = True

    def note(self, settings: Mapping[str, Any]) -> None:
        """Note the job's settings in place of earlier ones."""
        self.settings = as_noted(settings)
        self.is_begun = True
        jsonl.write_json(self.directory / SETTINGS, self.settings)

    def _refuse(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if changed := differences(before, now):
            raise InputError(
                f"{self.output} holds {self.kind} with other settings: {changed}. Resume it with the settings it was "
                f"started with, or choose another {self.option}."
            )

    @property
    def is_file(self) -> bool:
        """Whether the output is a file."""
        return self.directory != self.output

    @property
    def has_results(self) -> bool:
        """Whether there is more than the note of its settings."""
        return not is_vacant(self.directory, apart_from={SETTINGS, *self.accounts}) or (
            self.is_file and _has_content(self.output)
        )


@contextmanager
def claimed_directory(output: Path, *, kind: str, option: str = "output") -> Iterator[Job]:
    """A job in a directory, which is locked for this process meanwhile, and made if it is missing.

    A job that fails, or was killed, before it left more than its note there leaves the directory free. Raises
    `InputError` if the directory holds something else, or another process is at work in it.
    """
    if places.exists(output) and not places.is_directory(output):
        raise InputError(f"cannot write to {output}: not a directory")
    job = Job(output=output, directory=output, kind=kind, option=option)
    with _claimed(job):
        if job.settings is None and not is_vacant(output):
            raise InputError(f"{output} is not empty and does not hold {kind}. Choose another {option}.")
        yield job


@contextmanager
def claimed_file(
    output: Path, *, kind: str, option: str = "output", needs_note: bool = True, accounts: tuple[str, ...] = ()
) -> Iterator[Job]:
    """A job that writes a file, which is this process's alone meanwhile; its note is in OUTPUT.work/, beside it.

    An output without a note is refused, unless its rows show the settings (`needs_note=False`). Links are followed. A
    job that fails, or was killed, before it wrote anything leaves the output free; its `accounts` (files beside its
    note that record its cost) are not results, and are removed with the job if it fails. Raises `InputError` if the
    output or the directory beside it holds something else, or another process is at work on it.
    """
    jsonl.check_file(output)
    place = output.resolve()
    beside = place.with_name(f"{place.name}.work")
    job = Job(output=output, directory=beside, kind=kind, option=option, accounts=accounts)
    with _claimed(job):
        if job.settings is None and not is_vacant(job.directory, apart_from=accounts):
            raise InputError(f"{job.directory} already exists and is not FIPO's. Choose another {option}.")
        if job.settings is None and needs_note and _has_content(output):
            raise InputError(
                f"{output} already exists and does not hold {kind} (there is no {job.directory.name}/{SETTINGS} that "
                f"says how it was made). Choose another {option}."
            )
        yield job


@contextmanager
def _claimed(job: Job) -> Iterator[None]:
    existed = places.exists(job.output)
    # A job that left it behind was killed. A note without any result is then worth nothing.
    was_killed = places.exists(job.directory / LOCK)
    try:
        job.directory.mkdir(parents=not job.is_file, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {job.directory}: {error.strerror}") from error
    note = job.directory / SETTINGS
    try:
        with locked(job.directory, job.output, job.option):
            if was_killed and not job.has_results:
                note.unlink(missing_ok=True)
            job.settings = read_note(note)
            try:
                yield
            except BaseException:
                if not job.has_results:
                    _free(job, existed)
                raise
    finally:
        if job.is_file or not existed:
            with suppress(OSError):  # usually it is not empty
                job.directory.rmdir()


def _free(job: Job, existed: bool) -> None:
    """Undo what a job that failed early did to its output."""
    if job.is_begun:  # the note is its own
        for name in (SETTINGS, *job.accounts):
            (job.directory / name).unlink(missing_ok=True)
        _remove_empty(job.directory)
    if job.is_file and not existed:
        job.output.unlink(missing_ok=True)


def is_vacant(directory: Path, *, apart_from: Collection[str] = ()) -> bool:
    """Whether a job may take a directory: it does not exist, or holds no file except those in `apart_from`.

    Files of a claim do not count, nor do those that were being written when their process was killed, nor folders
    without files.
    """
    if not places.is_directory(directory):
        return not places.exists(directory)
    names = places.names_in(directory) - {LOCK, *apart_from}
    return all(_is_unfinished(name) or _is_empty(directory / name) for name in names)


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def _is_empty(folder: Path) -> bool:
    """Whether that is a folder (not a link to one) without a file at any depth."""
    return (
        places.is_directory(folder)
        and not folder.is_symlink()
        and all(_is_empty(folder / name) for name in places.names_in(folder))
    )


def _remove_empty(directory: Path) -> None:
    """Remove the folders in a directory that hold nothing but such folders."""
    for name in places.names_in(directory):
        if _is_empty(directory / name):
            shutil.rmtree(directory / name)


def _has_content(file: Path) -> bool:
    found = places.look_at(file)
    return found is not None and found.st_size > 0
