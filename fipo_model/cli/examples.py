"""Examples from a file, for the commands that take some."""

from pathlib import Path

from fipo_model import jsonl
from fipo_model.cli.notes import note
from fipo_model.errors import InputError
from fipo_model.search.examples import Example, read_example

_MOST_BAD_ROWS = 5


def read_rows(path: Path) -> list[Example]:
    """The rows of a file.

    Raises `InputError` that names what cannot be used: half of the examples would decide differently.
    """
    found, bad = [], []
    for item in jsonl.read_objects(path):
        if isinstance(item, jsonl.BadRow):
            bad.append(str(item))
            continue
        line, fields = item
        try:
            found.append(read_example(fields))
        except InputError as error:
            bad.append(f"line {line}: {error}")
    if bad:
        more = f"; and {len(bad) - _MOST_BAD_ROWS} more" if len(bad) > _MOST_BAD_ROWS else ""
        hint = "" if found else '. Each line must be an object such as {"input": "a fine film", "output": "positive"}'
        raise InputError(f"{path} has rows that cannot be used: {'; '.join(bad[:_MOST_BAD_ROWS])}{more}{hint}")
    if not found:
        raise InputError(f"{path} has no rows")
    if not any(example.outputs for example in found):
        note(f"no row of {path} has a right output, which is called `output`, `outputs` or `reference`")
    return found
