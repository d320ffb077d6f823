"""A trained adapter merged into its base: an ordinary model directory, which any server can serve."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

from fipo_model import places
from fipo_model.backends.transformers.loading import load_base, with_adapter
from fipo_model.errors import InputError, ModelError, explain_missing, first_line
from fipo_model.models.names import GGUF_PREFIX, Checkpoint, resolve_local
from fipo_model.models.weights import located

with explain_missing("local", "torch", "transformers", "peft", "safetensors"):
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

NumberFormat = Literal["bfloat16", "float16", "float32"]


def merge(checkpoint: str | Path, target: str | Path, *, number_format: NumberFormat | None = None) -> None:
    """Write base and adapter of a training run's directory as one model: safetensors, tokenizer and `fipo.json`.

    Computed on the CPU in fp32, which takes 4 bytes of memory a parameter, and stored in `number_format`; by default in
    that of the base's files, or bf16 where they do not say. `target` appears when everything is there; it may be an
    empty directory. Raises `InputError` for a target that cannot be written, and `ModelError` for a checkpoint that is
    no adapter, does not fit its base, or cannot be merged.
    """
    _refuse_taken(Path(target))  # before a link to itself is followed
    target = Path(target).resolve()
    _refuse_taken(target)
    found = resolve_local(None, checkpoint)
    base, tokenizer, stored = _load_base(found.base)
    merged = _merged(base, Path(checkpoint), found.base)
    merged.to(getattr(torch, number_format) if number_format else stored)  # type: ignore[arg-type]
    with _in_place_of(target) as directory:
        merged.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        _write_notes(directory, Path(checkpoint), found)
        for file in directory.iterdir():  # safetensors are written for their owner only; a server may be another user
            shutil.copymode(directory / "config.json", file)


def _load_base(model: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, torch.dtype]:
    """The base in fp32, whatever this machine would compute in; its tokenizer; the number format of its files."""
    base, tokenizer = load_base(model, "cpu", False, dtype=torch.float32)
    is_gguf = model.startswith(GGUF_PREFIX)
    stored = None if is_gguf else AutoConfig.from_pretrained(located(model), trust_remote_code=False)
    if stored is None or getattr(stored, "quantization_config", None) is not None:
        raise ModelError(
            f"the base model {model!r} is quantized, so an adapter merged into it would be rounded, too. In the "
            "checkpoint's fipo.json, name the model it was made from as base_model."
        )
    return base, tokenizer, stored.dtype or torch.bfloat16


def _merged(base: PreTrainedModel, adapter: Path, base_name: str) -> PreTrainedModel:
    plain = _embeddings(base)
    is_tied = base.config.get_text_config().tie_word_embeddings
    adapted = cast(Any, with_adapter(base, adapter, base_name))
    refused = f"the adapter {adapter} cannot be merged into {base_name}"
    # One tensor cannot both have the adapter's changes and lack them.
    if is_tied and any(now is not before for now, before in zip(_embeddings(base), plain, strict=True)):
        raise ModelError(
            f"{refused}: it changes the embeddings, which the model's input and output share. Train it without "
            "embed_tokens and lm_head among its modules, or use it unmerged."
        )
    try:
        return cast(PreTrainedModel, adapted.merge_and_unload(safe_merge=True))
    except Exception as error:  # peft has many kinds of adapter, and as many ways to say that it cannot merge one
        raise ModelError(f"{refused}. ({first_line(error)})") from error


def _write_notes(directory: Path, checkpoint: Path, found: Checkpoint) -> None:
    """`fipo.json`, and the template's file, if it is not one of FIPO's own."""
    noted = checkpoint / "fipo.json"  # its content was checked when it was resolved
    name = (json.loads(noted.read_text(encoding="utf-8")) if places.is_file(noted) else {}).get("template")
    if name is not None and places.is_file(checkpoint / name):
        shutil.copyfile(checkpoint / name, directory / name)
    notes: dict[str, object] = {"template": name or found.template.name, "base_model": found.base}
    if found.least_likelihood is not None:
        notes["least_likelihood"] = found.least_likelihood
    if found.may_repeat:
        notes["may_repeat"] = True
    (directory / "fipo.json").write_text(json.dumps(notes, indent=2, ensure_ascii=False), encoding="utf-8")


def _embeddings(model: PreTrainedModel) -> tuple[object, object]:
    return model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[no-untyped-call]


def _refuse_taken(target: Path) -> None:
    if places.is_directory(target) and places.names_in(target):
        raise InputError(f"{target} is not empty. Nothing was written; choose a new directory.")
    if places.exists(target) and not places.is_directory(target):
        raise InputError(f"{target} is a file. Nothing was written; choose a new directory.")


@contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """A directory to write into, beside the final one; it takes that one's place when everything is there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            made = Path(scratch) / "model"
            yield made
            made.rename(target)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write the merged model to {target}: {error}") from error
