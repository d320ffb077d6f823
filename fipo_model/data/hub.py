"""Records from a file here, or from a data set on the Hugging Face hub."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fipo_model import places
from fipo_model.data.records import Format, Record, parse_records, read_records
from fipo_model.errors import InputError, explain_missing
from fipo_model.jsonl import BadRow

# Names that end like our files are excluded: a mistyped path should not be looked up on the network.
_HUB_NAME = re.compile(r"(?!.*\.jsonl?$)\w[\w.-]*(?:/\w[\w.-]*)?", re.ASCII)


def open_records(
    source: str | Path, *, split: str = "train", format: Format | None = None
) -> Iterator[Record | BadRow]:
    """The records of a JSONL file where `source` is the path of one, else of the data set of that name on the hub.

    A directory is read as a local data set. Raises `InputError` if `source` is neither, or cannot be read.
    """
    path = Path(source)
    if places.exists(path) and not places.is_directory(path):
        return read_records(path, format=format)
    if not places.is_directory(path) and not _HUB_NAME.fullmatch(str(source)):
        raise InputError(f"there is no file {source}, nor can that be the name of a data set on the hub")
    return read_hub_records(str(source), split, format=format)


def read_hub_records(name: str, split: str = "train", *, format: Format | None = None) -> Iterator[Record | BadRow]:
    """The records of one split of a data set on the hub, or in a local directory, as `read_records` gives a file's.

    Streamed: neither held in memory nor kept on disk. A `BadRow` has the row's number as its line. Raises `InputError`
    if the data set cannot be read, and `MissingExtraError` without the extra `train`.
    """
    return parse_records(_rows(name, split), origin=f"the data set {name}, split {split},", format=format)


def _rows(name: str, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with explain_missing("train", "datasets"):
        from datasets.load import load_dataset
    number = 0
    try:
        for number, row in enumerate(load_dataset(name, split=split, streaming=True), start=1):
            yield number, row
    except Exception as error:
        # Anything from the network, a file format or the library itself; the cause is kept.
        tried = "" if number or places.is_directory(name) else f"there is no file {name}, and "
        raise InputError(
            f"{tried}the split {split} of the data set {name} cannot be read: {type(error).__name__}: {error}"
        ) from error
