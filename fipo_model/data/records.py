"""One record of preference data, in the paper's parts (section 3.2), and the formats it is read from."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow, read_objects

Format = Literal["own", "pop", "bpo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A naive prompt, what is known about it, and a better and a worse rewrite of it. Only the prompt is required.

    The naive prompt is the `instruction` plus the `context` it is applied to. The silver response is what it got, the
    golden response what it should get. `chosen` and `rejected` are rewrites of the instruction alone.
    """

    id: str
    instruction: str
    context: str | None = None
    silver_response: str | None = None
    golden_response: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_text(field.name, getattr(self, field.name))
        if not self.instruction.strip():
            raise InputError("the instruction is empty")
        if self.chosen is not None and self.chosen.strip() == (self.rejected or "").strip():
            raise InputError("chosen and rejected are equal, so there is no preference to learn")

    def to_fields(self) -> dict[str, str]:
        """What a line of a file in FIPO's own format holds; parts that are not there are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_records(path: str | Path, *, format: Format | None = None) -> Iterator[Record | BadRow]:
    """The records of a JSONL file, one at a time; a line that cannot be used comes as `BadRow`.

    The format is recognised from the fields of each row unless it is named: `own` (the fields of `Record`; `optimized`
    is understood as `chosen`), `pop` (the paper's data set) or `bpo` (thu-coai/BPO's). A row without an id gets its
    line number. Raises `InputError` if the file cannot be read, or if not one of its rows has the needed fields.
    """
    some = False
    first_problem: BadRow | None = None
    for item in read_objects(Path(path)):
        parsed = item if isinstance(item, BadRow) else _parse(*item, format=format)
        if isinstance(parsed, BadRow):
            first_problem = first_problem or parsed
        some = some or isinstance(parsed, Record)
        yield parsed
    if not some:
        found = f"; the first problem is on {first_problem}" if first_problem else ""
        raise InputError(f"{path} holds no usable record{found}")


def parse_record(fields: dict[str, Any], *, default_id: str, format: Format | None = None) -> Record:
    """A record from one row's fields. Raises `InputError` that says which fields are needed and which were found."""
    _, read = _FORMATS[format or _recognise(fields)]
    return read(fields, default_id)


def _parse(line: int, fields: dict[str, Any], *, format: Format | None) -> Record | BadRow:
    try:
        return parse_record(fields, default_id=str(line), format=format)
    except InputError as error:
        return BadRow(line=line, reason=str(error))


def _recognise(fields: dict[str, Any]) -> Format:
    for name, (needed, _) in _FORMATS.items():
        if needed <= fields.keys():
            return name
    expected = "; ".join(f"{name}: {', '.join(sorted(needed))}" for name, (needed, _) in _FORMATS.items())
    raise InputError(f"the needed fields are missing ({expected}); it has {', '.join(sorted(fields)) or 'none'}")


def _read_own(row: dict[str, Any], default_id: str) -> Record:
    parts = {field.name: row.get(field.name) for field in fields(Record) if field.name not in ("id", "chosen")}
    return _record(row, default_id, chosen=row.get("chosen") or row.get("optimized"), **parts)


def _read_pop(row: dict[str, Any], default_id: str) -> Record:
    return _record(
        row,
        default_id,
        instruction=row.get("raw_prompt"),
        silver_response=row.get("text003_response_based_raw"),
        golden_response=row.get("gpt4_response_based_raw"),
        chosen=row.get("gpt4_optimized_prompt"),
        rejected=row.get("chatgpt_optimized_prompt"),
        source="pop",
    )


def _read_bpo(row: dict[str, Any], default_id: str) -> Record:
    return _record(
        row,
        default_id,
        instruction=row.get("prompt"),
        silver_response=row.get("bad_res"),
        golden_response=row.get("good_res"),
        chosen=row.get("optimized_prompt"),
        source="bpo",
    )


def _record(row: dict[str, Any], default_id: str, **parts: Any) -> Record:
    number = row.get("id", default_id)
    # Data sets write "" for what is not there.
    known = {name: value if value != "" else None for name, value in parts.items()}
    known["instruction"] = parts.get("instruction")
    return Record(id=str(number) if isinstance(number, int) else number, **known)


_FORMATS: dict[Format, tuple[frozenset[str], Callable[[dict[str, Any], str], Record]]] = {
    "own": (frozenset({"instruction"}), _read_own),
    "pop": (frozenset({"raw_prompt", "gpt4_optimized_prompt"}), _read_pop),
    "bpo": (frozenset({"prompt", "optimized_prompt"}), _read_bpo),
}


def _check_text(name: str, value: object) -> None:
    if value is None and name not in ("id", "instruction"):
        return
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{name} is not valid UTF-8 text: {error.reason} at character {error.start}") from error
