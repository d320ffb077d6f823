"""An adapter as other programs load it: merged into its base, as GGUF for llama.cpp, or for Ollama."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fipo_model import places
from fipo_model.backends.llamacpp.adapters import converted
from fipo_model.errors import InputError, ModelError
from fipo_model.export.forms import AdapterForm
from fipo_model.export.ollama import modelfile
from fipo_model.models.gguf import read_header
from fipo_model.models.names import resolve_local
from fipo_model.models.registry import find_card
from fipo_model.models.weights import located_gguf

_ADAPTER = "adapter.gguf"


def export_adapter(spec: str, form: AdapterForm, out: Path) -> None:
    """Write an adapter, by a model's name or its directory, as a directory (`gguf`: as a file).

    Raises `ModelError` where it cannot be written in that form, and `InputError` for an `out` that is taken.
    """
    found = resolve_local(spec)
    if found.adapter is None:
        raise ModelError(f"{spec} has no adapter: name the directory of a training run, or one of FIPO's models")
    adapter = Path(found.adapter)
    if form == "safetensors":
        from fipo_model.backends.transformers.merge import merge

        merge(adapter, out)
        return
    if places.exists(out):
        raise InputError(f"{out} already exists. Nothing was written; choose another --out.")
    base = located_gguf(found.base)
    made = converted(adapter, base)
    if form == "gguf":
        with _writing(out.parent, [out.name]):
            shutil.copyfile(made, out)  # the cached file may be readable only by its owner
        return
    card = find_card(found.base)
    text = modelfile(read_header(base), base=base.name, adapter=_ADAPTER, licence=card.licence if card else None)
    with _writing(out, [base.name, _ADAPTER, "Modelfile"]):
        _link(base, out / base.name)
        shutil.copyfile(made, out / _ADAPTER)
        (out / "Modelfile").write_text(text, encoding="utf-8")


@contextmanager
def _writing(directory: Path, names: Sequence[str]) -> Iterator[None]:
    """For writing files into a new directory: if one cannot be written, none stays."""
    existed = places.exists(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        with suppress(OSError):
            for name in names:
                (directory / name).unlink(missing_ok=True)
            if not existed:
                directory.rmdir()
        raise InputError(f"cannot write to {directory}: {error.strerror}. Nothing was written.") from error


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)  # half a gigabyte, which is there already
    except OSError:
        shutil.copyfile(source, target)
