"""What a model's name stands for: a base, perhaps an adapter on it, and the template it was trained with.

No name at all stands for FIPO's own: the default weights with the adapter that comes with the package.

A directory written by FIPO's training carries `fipo.json`, {"template": ..., "base_model": ...}; inference and training
meet only there. The template is one of FIPO's own by its name, or a file beside `fipo.json`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from fipo_model import weights
from fipo_model.errors import ModelError
from fipo_model.templates import FIPO_1, Template, load_template, template_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where to load from, and how to ask."""

    model: str
    adapter: str | None
    template: Template


def resolve(model: str | Path | None, adapter: str | Path | None) -> Checkpoint:
    """Find base, adapter and template. The default weights are fetched if they are what is wanted and not there yet.

    `model` may itself be an adapter's directory; its base is then the one the adapter names. `weights.DEFAULT_MODEL` as
    the model stands for the default weights as they are, untrained.
    """
    if model is None and adapter is None:
        adapter = weights.DEFAULT_ADAPTER
    if model is not None and adapter is None and _is_adapter(Path(model)):
        model, adapter = None, model
    source = adapter if adapter is not None else model
    if adapter is not None and not _is_adapter(Path(adapter)):
        raise ModelError(
            f"{adapter} holds no PEFT adapter (no adapter_config.json). Pass the directory a training run wrote; "
            "a whole model goes in as the model instead."
        )
    base = str(model) if model is not None else _base_of(adapter)
    return Checkpoint(
        template=FIPO_1 if source is None else _template_of(Path(source)),
        adapter=None if adapter is None else str(adapter),
        model=str(weights.ready()) if base == weights.DEFAULT_MODEL else base,
    )


def template_file(source: Path) -> Path | None:
    """The file of the template that a checkpoint was trained with; None where that is one of FIPO's own."""
    name = _noted(source / "fipo.json", "template")
    file = source / (name or "")
    return file if file.name == name and file.is_file() else None


def _template_of(source: Path) -> Template:
    if (file := template_file(source)) is not None:
        return load_template(file)
    name = _noted(source / "fipo.json", "template")
    return FIPO_1 if name is None else template_named(name)


def _base_of(adapter: str | Path | None) -> str:
    if adapter is None:
        return weights.DEFAULT_MODEL
    named = _noted(Path(adapter) / "fipo.json", "base_model")
    return named or _noted(Path(adapter) / "adapter_config.json", "base_model_name_or_path") or weights.DEFAULT_MODEL


def _is_adapter(path: Path) -> bool:
    return (path / "adapter_config.json").is_file()


def _noted(path: Path, key: str) -> str | None:
    """The text that a JSON file has under a key; None where there is no such file or key."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the checkpoint again.") from error
    if not isinstance(content, dict) or not isinstance(value := content.get(key), str | None):
        raise ModelError(f"{path} is damaged: it must hold a JSON object with a text as {key!r}. Copy it again.")
    return value
