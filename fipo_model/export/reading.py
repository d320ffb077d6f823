"""Rewrites from a store, or from the JSON that commands print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fipo_model import jsonl
from fipo_model.errors import InputError
from fipo_model.export.rewrite import Rewrite
from fipo_model.store import RewriteStore, State

_KINDS = (
    "a store, or what `fipo optimize --json`, `fipo tune --json` or `fipo optimize --input` wrote, one object per line"
)


def read_rewrites(file: Path, *, keys: Sequence[str] = (), state: State = "approved") -> list[Rewrite]:
    """The rewrites of a file.

    From a store come those with these keys, by default those in one state. Raises `InputError` for a file without
    rewrites, and where there is nothing to export.
    """
    rows = list(jsonl.read_objects(file))  # a pipe can be read only once
    if rows and not isinstance(rows[0], jsonl.BadRow) and "key" in rows[0][1]:
        return _from_store(RewriteStore(file), keys, state)
    if keys:
        raise InputError(f"{file} is not a store, so its rewrites have no keys")
    found = []
    for read in rows:
        if isinstance(read, jsonl.BadRow):
            raise InputError(f"{file}, {read}: this takes {_KINDS}")
        line, fields = read
        if (one := _from_result(fields)) is None:
            raise InputError(f"{file}, line {line}: this takes {_KINDS}")
        found.append(one)
    if not found:
        raise InputError(f"{file} is empty: this takes {_KINDS}")
    return found


def _from_store(store: RewriteStore, keys: Sequence[str], state: State) -> list[Rewrite]:
    entries = [store.find(key) for key in keys] or store.entries(state)
    if not entries:
        raise InputError(
            f"nothing in {store.path} is {state}. `fipo store approve` approves a rewrite, and --state pending "
            "exports those not yet reviewed."
        )
    return [Rewrite(naive=entry.naive, text=entry.used) for entry in entries]


def _from_result(fields: Mapping[str, Any]) -> Rewrite | None:
    naive, text = None, fields.get("text")
    match fields:
        case {"request": {"instruction": naive}}:  # optimize --json
            pass
        case {"texts": [{"naive": naive, "text": text}]}:  # tune --json
            pass
        case {"naive_instruction": naive, "instruction": text}:  # optimize --input
            pass
    if not isinstance(naive, str) or not isinstance(text, str):
        return None
    return Rewrite(naive=naive, text=text)
