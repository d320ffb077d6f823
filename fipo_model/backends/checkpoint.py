"""What a model's name stands for: a base, perhaps an adapter on it, and the template it was trained with.

A directory written by FIPO's training carries `fipo.json`, {"template": ..., "base_model": ...}; inference and training
meet only there.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from fipo_model import weights
from fipo_model.errors import ModelError
from fipo_model.templates import FIPO_1, Template, template_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where to load from, and how to ask."""

    model: str
    adapter: str | None
    template: Template


def resolve(model: str | Path | None, adapter: str | Path | None) -> Checkpoint:
    """Find base, adapter and template. The default weights are fetched if they are what is wanted and not there yet.

    `model` may itself be an adapter's directory; its base is then the one the adapter names.
    """
    if model is not None and adapter is None and _is_adapter(Path(model)):
        model, adapter = None, model
    source = adapter if adapter is not None else model
    notes = _read_json(Path(source) / "fipo.json") if source is not None else {}
    if adapter is not None and not _is_adapter(Path(adapter)):
        raise ModelError(
            f"{adapter} holds no PEFT adapter (no adapter_config.json). Pass the directory a training run wrote; "
            "a whole model goes in as the model instead."
        )
    base = str(model) if model is not None else _base_of(adapter, notes)
    return Checkpoint(
        model=str(weights.ready()) if base == weights.DEFAULT_MODEL else base,
        adapter=None if adapter is None else str(adapter),
        template=template_named(notes["template"]) if "template" in notes else FIPO_1,
    )


def _base_of(adapter: str | Path | None, notes: dict[str, str]) -> str:
    if adapter is None:
        return weights.DEFAULT_MODEL
    named = notes.get("base_model") or _read_json(Path(adapter) / "adapter_config.json").get("base_model_name_or_path")
    return named or weights.DEFAULT_MODEL


def _is_adapter(path: Path) -> bool:
    return (path / "adapter_config.json").is_file()


def _read_json(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged: it must hold a JSON object. Copy the checkpoint again.")
    return content
