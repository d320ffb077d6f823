"""One record of preference data, in the paper's parts (section 3.2), and the formats it is read from."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow, read_objects

Format = Literal["own", "pop", "bpo"]

PARTS = ("instruction", "context", "silver_response", "golden_response", "chosen", "rejected")
"""The fields of a record that hold texts to learn from, in the order they come about."""

# Which field of a row holds which part; where there are two, the first that says something.
_LAYOUTS: dict[Format, dict[str, tuple[str, ...]]] = {
    "own": {part: (part,) for part in (*PARTS, "source")} | {"chosen": ("chosen", "optimized")},
    "pop": {
        "instruction": ("raw_prompt",),
        "silver_response": ("text003_response_based_raw",),
        "golden_response": ("gpt4_response_based_raw",),
        "chosen": ("gpt4_optimized_prompt",),
        "rejected": ("chatgpt_optimized_prompt",),
    },
    "bpo": {
        "instruction": ("prompt",),
        "silver_response": ("bad_res",),
        "golden_response": ("good_res",),
        "chosen": ("optimized_prompt",),
    },
}
# The fields by which a format is recognised. A row without one of them is not of that format.
_NEEDED: dict[Format, tuple[str, ...]] = {
    "own": ("instruction",),
    "pop": ("raw_prompt", "gpt4_optimized_prompt", "chatgpt_optimized_prompt"),
    "bpo": ("prompt", "optimized_prompt"),
}
_FIELDS_NAMED = 12
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A naive prompt, what is known about it, and a better and a worse rewrite of it. Only the prompt is required.

    The naive prompt is the `instruction` plus the `context` it is applied to. The silver response is the one it got,
    the golden response the one it should get. `chosen` and `rejected` are rewrites of the instruction alone. Missing
    parts are None, never an empty text. Raises `InputError` for anything else.
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
        _check_text("id", self.id)
        _check_text("instruction", self.instruction)
        for name in (*PARTS[1:], "source"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        if self.chosen is not None and self.rejected is not None and self.chosen.strip() == self.rejected.strip():
            raise InputError("chosen and rejected are equal, so there is no preference to learn")

    def to_fields(self) -> dict[str, str]:
        """What a line of a file in FIPO's own format holds; parts that are not there are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_records(path: str | Path, *, format: Format | None = None) -> Iterator[Record | BadRow]:
    """The records of a JSONL file, one at a time; a line that cannot be used comes as `BadRow`.

    The format is recognised from the fields of each row unless it is named: `own` (the fields of `Record`; `optimized`
    is understood as `chosen`), `pop` (the paper's data set) or `bpo` (thu-coai/BPO's). Raises `InputError` if the file
    cannot be read, or, at its end, if not one of its rows was a record.
    """
    return parse_records(read_objects(Path(path)), origin=str(path), format=format)


def parse_records(
    rows: Iterable[tuple[int, dict[str, Any]] | BadRow], *, origin: str, format: Format | None = None
) -> Iterator[Record | BadRow]:
    """The records in numbered rows, as `read_records` gives them; `origin` names the source of the rows in errors."""
    some = False
    first_problem: BadRow | None = None
    for row in rows:
        parsed = row if isinstance(row, BadRow) else _parse(*row, format=format)
        if isinstance(parsed, BadRow):
            first_problem = first_problem or parsed
        some = some or isinstance(parsed, Record)
        yield parsed
    if not some:
        found = f"; the first problem is on {first_problem}" if first_problem else ""
        raise InputError(f"{origin} holds no usable record{found}")


def parse_record(fields: dict[str, Any], *, format: Format | None = None) -> Record:
    """A record from one row's fields. Raises `InputError` that says which fields are needed and which were found.

    A row without an id gets one made of its texts, which unlike a line number stays when other rows are dropped.
    """
    name = _format_of(fields, format)
    layout = _LAYOUTS[name]
    texts = {part: _first_text(fields, keys) for part, keys in layout.items()}
    parts = {part: text for part, text in texts.items() if text is not None}
    if name != "own":
        parts["source"] = name
    instruction = parts.pop("instruction", None)
    if instruction is None:
        raise InputError(f"the {layout['instruction'][0]} is empty")
    return Record(id=_id(fields) or _id_from(instruction, parts), instruction=instruction, **parts)


def _parse(line: int, fields: dict[str, Any], *, format: Format | None) -> Record | BadRow:
    try:
        return parse_record(fields, format=format)
    except InputError as error:
        return BadRow(line=line, reason=str(error))


def _format_of(fields: dict[str, Any], wanted: Format | None) -> Format:
    if wanted is not None and wanted not in _LAYOUTS:
        raise InputError(f"there is no format {wanted!r}, only {', '.join(_LAYOUTS)}")
    possible = _NEEDED if wanted is None else {wanted: _NEEDED[wanted]}
    for name, needed in possible.items():
        if all(field in fields for field in needed):
            return name
    expected = "; ".join(f"{name} needs {', '.join(needed)}" for name, needed in possible.items())
    # Shortened and escaped: the names are untrusted, and the message may be shown for every line of a file.
    found = ", ".join(repr(field[:_NAME_LENGTH]) for field in islice(fields, _FIELDS_NAMED))
    more = f" and {len(fields) - _FIELDS_NAMED} more" if len(fields) > _FIELDS_NAMED else ""
    raise InputError(f"needed fields are missing ({expected}); found {found or 'none'}{more}")


def _first_text(fields: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = fields.get(key)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{key} must be text, not {type(value).__name__}")
        # Data sets write "" for missing values.
        if value is not None and value.strip():
            return value
    return None


def _id(fields: dict[str, Any]) -> str | None:
    number = fields.get("id")
    if isinstance(number, int) and not isinstance(number, bool):
        return str(number)
    if number is not None and not isinstance(number, str):
        raise InputError(f"the id must be text or a whole number, not {type(number).__name__}")
    return number or None


def _id_from(instruction: str, parts: dict[str, str]) -> str:
    texts = json.dumps([instruction, parts], sort_keys=True)
    return hashlib.blake2b(texts.encode(), digest_size=8).hexdigest()


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {type(value).__name__}")
    if not value.strip():
        raise InputError(f"{name} is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{name} is not valid UTF-8 text: {error.reason} at character {error.start}") from error
