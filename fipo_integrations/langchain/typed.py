"""Right outputs as an output's type reads them: to a date, "2026-03-03" is one, and to a decimal 12.5 is 12.50."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from fipo_integrations.langchain.examples import plain_data
from fipo_model.search import read_json


def as_written(right: Any, output: Any, *, in_part: bool) -> Any:
    """A right output in plain data, written like the output's wherever the output's type holds them to be equal.

    `in_part`: fields that the right output does not have are left out. Otherwise they have their defaults.
    """
    if isinstance(output, BaseModel):
        return _fields_as_written(right, output, in_part=in_part)
    if isinstance(output, Mapping) and isinstance(right, Mapping):
        return {
            name: as_written(value, output[name], in_part=in_part) if name in output else plain_data(value)
            for name, value in right.items()
        }
    if isinstance(output, list) and isinstance(right, list | tuple) and len(output) == len(right):
        return [as_written(one, other, in_part=in_part) for one, other in zip(right, output, strict=True)]
    if isinstance(output, str | int | float | list | Mapping | None):  # JSON's own, which need no reading
        return plain_data(right)
    return plain_data(output if _read(type(output), right) == output else right)


def _fields_as_written(right: Any, output: BaseModel, *, in_part: bool) -> Any:
    fields = type(output).model_fields
    names = {alias: name for name, field in fields.items() for alias in (field.alias, field.serialization_alias)}
    given = dict(right) if isinstance(right, BaseModel) else read_json(right)
    said = plain_data(output)
    if not isinstance(given, Mapping) or not isinstance(said, Mapping):
        return plain_data(output if _read(type(output), given) == output else right)
    given = {names.get(name, name): value for name, value in given.items()}
    whole = {**dict(output), **given} if in_part else given
    read = _read(type(output), {_read_as(name, fields): value for name, value in whole.items()})
    if read is None:
        return plain_data(given)
    told = {
        name: said[name] if getattr(read, name) == getattr(output, name) else value
        for name, value in plain_data(read).items()
    }
    return {name: told.get(name, value) for name, value in plain_data(given).items()} if in_part else told


def _read_as(name: str, fields: Mapping[str, Any]) -> str:
    """The name by which a field is read: pydantic does not know its own where it has an alias."""
    alias = fields[name].validation_alias if name in fields else None
    return alias if isinstance(alias, str) else name


def _read(kind: type, value: Any) -> Any:
    """A value as a type reads it; None where it cannot."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except Exception:  # noqa: BLE001 - a stranger's type, whose validators may raise anything
        return None
