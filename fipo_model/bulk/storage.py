"""Rows on this machine or in object storage, as JSONL or as Parquet, through pyarrow.

Formats that cannot be appended to are written as a folder of parts, each whole or not at all; rows in the parts are
done.
"""

import io
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl
from fipo_model.addresses import show_address
from fipo_model.bulk.files import Done
from fipo_model.bulk.rows import RowId
from fipo_model.errors import InputError, explain_missing, first_line
from fipo_model.jobs.lock import locked
from fipo_model.jobs.settings import as_noted
from fipo_model.jsonl import BadRow

with explain_missing("ray", "pyarrow"):
    import pyarrow as pa
    from pyarrow import fs, parquet

_NOTE = "_settings.json"  # readers of tables pass over names that begin with _ or with a dot
_ROWS_OF_A_PART, _SECONDS_OF_A_PART = 2000, 20.0
_PROPOSAL = pa.struct([("text", pa.string()), ("outcome", pa.string()), ("detail", pa.string())])
_TEXTS = ("instruction", "naive_instruction", "outcome", "detail", "model", "template")

Item = tuple[int, dict[str, Any]] | BadRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file or a folder."""

    files: fs.FileSystem
    path: str
    shown: str
    """For people: without keys."""

    @classmethod
    def of(cls, location: str) -> "Place":
        """The place at a path, or at a URL that pyarrow knows (s3, gs, abfs, hdfs, file). Raises `InputError`."""
        shown = show_address(location).partition("?")[0]
        if "://" not in location:
            return cls(files=fs.LocalFileSystem(), path=str(Path(location).expanduser().resolve()), shown=shown)
        with _explained(f"cannot use {shown}"):
            files, path = fs.FileSystem.from_uri(location)
        return cls(files=files, path=path, shown=shown)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return isinstance(self.files, fs.LocalFileSystem)

    def within(self) -> list[str]:
        """The paths of the rows' files in a folder, in order; none where there is no folder."""
        with _explained(f"cannot read {self.shown}"):
            found = self.files.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        names = [one.path for one in found if one.type == fs.FileType.File and one.base_name[0] not in "._"]
        return sorted(names)

    def read_bytes(self, name: str) -> bytes | None:
        """The content of a file in the folder; None where there is none."""
        path = f"{self.path}/{name}"
        with _explained(f"cannot read {self.shown}"):
            if self.files.get_file_info(path).type == fs.FileType.NotFound:
                return None
            with self.files.open_input_stream(path, compression=None) as stream:
                return bytes(stream.read())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file in the folder, entirely or not at all."""
        with _explained(f"cannot write to {self.shown}"):
            if self.is_local:
                with jsonl.replacing(Path(self.path, name)) as file:
                    file.write(content)
                return
            # In object storage, an object appears when it is closed.
            with self.files.open_output_stream(f"{self.path}/{name}", compression=None) as stream:
                stream.write(content)


def read_items(place: Place) -> Iterator[Item]:
    """The objects of a file or of a folder's files, with their numbers; bad ones come as such.

    In one file, a row's number identifies it. In a folder, rows need ids of their own.
    """
    with _explained(f"cannot read {place.shown}"):
        kind = place.files.get_file_info(place.path).type
    if kind == fs.FileType.NotFound:
        raise InputError(f"cannot read {place.shown}: it does not exist")
    if kind == fs.FileType.File:
        yield from _items_of(place, place.path)
        return
    paths = place.within()
    if not paths:
        raise InputError(f"cannot read {place.shown}: the folder has no files")
    before = 0
    for path in paths:
        last, name = 0, path.rpartition("/")[2]
        for item in _items_of(place, path):
            last, bad = (item.line, item.reason) if isinstance(item, BadRow) else (item[0], None)
            if not isinstance(item, BadRow) and item[1].get("id") is None:
                bad = "rows from several files need ids of their own"
            if bad is not None:
                yield BadRow(line=before + last, reason=f"{name}, line {last}: {bad}")
            elif not isinstance(item, BadRow):
                yield before + last, item[1]
        before += last


def _items_of(place: Place, path: str) -> Iterator[Item]:
    with _explained(f"cannot read {place.shown}"):
        if path.endswith(".parquet"):
            with parquet.ParquetFile(place.files.open_input_file(path)) as file:
                rows = (row for batch in file.iter_batches(batch_size=1024) for row in batch.to_pylist())
                yield from enumerate(rows, start=1)
        else:  # compressed files are unpacked according to their suffix
            with place.files.open_input_stream(path) as stream, io.BufferedReader(stream) as lines:
                yield from jsonl.parse_objects(lines)


def schema_of(id_type: pa.DataType, *, has_proposals: bool = False) -> pa.Schema:
    """What output rows look like as a table."""
    types = {name: pa.string() for name in _TEXTS} | {"id": id_type, "seconds": pa.float64()}
    order = ("id", "instruction", "naive_instruction", "outcome", "detail", "seconds", "model", "template")
    fields = [pa.field(name, types[name]) for name in order]
    return pa.schema([*fields, pa.field("proposals", pa.list_(_PROPOSAL))] if has_proposals else fields)


class Parts:
    """A folder of output rows."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.is_parquet = place.path.endswith(".parquet")
        self._id_type = pa.string()
        self._written_ids: set[type] = set()
        self._has_proposals = False
        self._rows: list[Mapping[str, Any]] = []
        self._last = time.monotonic()
        self._run, self._number = uuid.uuid4().hex[:8], 0

    def begin(self, settings: Mapping[str, Any], *, has_proposals: bool) -> Done:
        """Record the job's settings, or check that they are those of an earlier start; returns what is done already."""
        if self.place.within() and (changed := jobs.differences(self._noted(), settings)):
            raise InputError(
                f"{self.place.shown} holds rewritten prompts with other settings: {changed}. Resume it with the "
                "settings it was started with, or choose another output."
            )
        self.place.write_bytes(_NOTE, json.dumps(as_noted(settings), indent=2, ensure_ascii=False).encode())

        self._has_proposals = has_proposals
        done: Done = {}
        for row in self._finished_rows():
            self._written_ids.add(type(row["id"]))
            done[str(row["id"])] = hash(str(row["naive_instruction"]))
        return done

    def expect_ids(self, ids: Iterable[RowId]) -> None:
        """Told of all ids that are to come, before the first row: numbers stay numbers where all fit into 64 bits.

        All parts of a table must have one type: texts stay texts, and texts added to numbers raise `InputError`.
        """
        text = next((one for one in ids if isinstance(one, str) or not -(2**63) <= one < 2**63), None)
        if self.is_parquet and text is not None and int in self._written_ids:
            is_large = isinstance(text, int)
            what = (
                f"signed numbers of 64 bits, but {text} does not fit" if is_large else f"numbers, but {text!r} is not"
            )
            raise InputError(
                f"the ids in {self.place.shown} are {what}. All ids in a Parquet table have one type: choose another "
                "output, or one that ends with .jsonl."
            )
        self._id_type = pa.string() if text is not None or str in self._written_ids else pa.int64()

    def check_writable(self) -> None:
        """Raise `InputError` now rather than after minutes of loading a model, if nothing can be written."""
        noted = self._noted()
        if not noted and self.place.within():
            raise InputError(
                f"{self.place.shown} is not empty and does not hold rewritten prompts. Choose another output."
            )
        self.place.write_bytes(_NOTE, json.dumps(noted, indent=2, ensure_ascii=False).encode())

    def _noted(self) -> dict[str, Any]:
        content = self.place.read_bytes(_NOTE)
        return {} if content is None else jsonl.parse_object(content)

    def _finished_rows(self) -> Iterator[dict[str, Any]]:
        for path in self.place.within():
            for item in _items_of(self.place, path):
                if isinstance(item, BadRow) or not {"id", "naive_instruction"} <= item[1].keys():
                    raise InputError(
                        f"{self.place.shown} has a part that FIPO did not write: {path}. Choose another output."
                    )
                yield item[1]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows until there are enough for a part, or some time has passed since the last one."""
        self._rows += rows
        if len(self._rows) >= _ROWS_OF_A_PART or time.monotonic() > self._last + _SECONDS_OF_A_PART:
            self.flush()

    def flush(self) -> None:
        """Write the kept rows."""
        if not self._rows:
            return
        rows, self._rows, self._last = self._rows, [], time.monotonic()
        ending = "parquet" if self.is_parquet else "jsonl"
        self.place.write_bytes(f"part-{self._run}-{self._number:06}.{ending}", self._encoded(rows))
        self._number += 1

    def _encoded(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        if not self.is_parquet:
            return b"".join(map(jsonl.encode_object, rows))
        if pa.types.is_string(self._id_type):
            rows = [{**row, "id": str(row["id"])} for row in rows]
        buffer = io.BytesIO()
        schema = schema_of(self._id_type, has_proposals=self._has_proposals)
        parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), buffer)
        return buffer.getvalue()


@contextmanager
def claimed_parts(location: str) -> Iterator[Parts]:
    """A folder to write to, on this machine locked for this process. At the end, all added rows are written.

    Raises `InputError` for a folder that cannot be used, or is in use.
    """
    place = Place.of(location)
    if not place.path.endswith((".parquet", ".jsonl")):
        raise InputError(f"the name of {place.shown} must say what is written there: end it with .parquet or .jsonl")
    made = Parts(place)
    with _alone(place):
        made.check_writable()
        try:
            yield made
        finally:
            made.flush()


def _alone(place: Place) -> AbstractContextManager[None]:
    if not place.is_local:  # nobody can hold a lock there
        return nullcontext()
    folder = Path(place.path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {place.shown}: {error.strerror}") from error
    return locked(folder, folder, "output")


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turns whatever file systems raise into our own errors."""
    try:
        yield
    except InputError:
        raise
    except (OSError, pa.ArrowException, NotImplementedError, ValueError) as error:
        raise InputError(f"{doing}: {first_line(error)}") from error
