"""Results on disk as they come, so that an evaluation that is killed goes on where it was."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fipo_model import jsonl

Item = TypeVar("Item")

_AT_ONCE = 32


def completed(
    path: Path,
    items: Mapping[str, Item],
    compute: Callable[[Sequence[Item]], Sequence[Mapping[str, Any]]],
    *,
    at_once: int = _AT_ONCE,
) -> dict[str, dict[str, Any]]:
    """What `compute` finds for every item, by the items' keys and in their order.

    It is asked only for what the file at `path` does not have, `at_once` items at a time, and each batch is in the file
    before the next begins. Nothing else may be in the file: it belongs to one set of settings.
    """
    known: dict[str, dict[str, Any]] = {}
    for _, line in jsonl.finished_lines(path):
        fields = jsonl.parse_object(line)
        known[fields.pop("key")] = fields
    missing = [key for key in items if key not in known]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        with jsonl.opened(path, "ab") as file:
            for start in range(0, len(missing), at_once):
                keys = missing[start : start + at_once]
                found = compute([items[key] for key in keys])
                for key, result in zip(keys, found, strict=True):
                    known[key] = dict(result)
                    file.write(jsonl.encode_object({"key": key, **result}))
                file.flush()
    return {key: known[key] for key in items}
