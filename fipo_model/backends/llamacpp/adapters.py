"""PEFT's LoRA adapters as llama.cpp reads them: one GGUF file, written when it is first needed."""

import hashlib
import math
import re
import tempfile
from pathlib import Path
from typing import Any

from fipo_model.errors import ModelError, explain_missing, installing
from fipo_model.json_values import parse_json
from fipo_model.models.gguf import Header, NumberFormat, Tensor, read_header, write_adapter
from fipo_model.models.weights import cache_dir

with explain_missing("cpu", "safetensors"):
    import safetensors

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Part of the cached file's name, so that another form is another file.
_FORM = "1"
_FORMATS: dict[str, NumberFormat] = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
# The names of linear layers in transformers' Llama and Qwen 2 models, and in GGUF files of these.
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_TENSOR = re.compile(rf"(?:.*\.)?layers\.(\d+)\.({'|'.join(map(re.escape, _NAMES))})\.lora_([AB])\.weight")
_ARCHITECTURES = ("llama", "qwen2")
# Settings that a plain LoRA leaves alone, with the values that an adapter then has.
_PLAIN = {"peft_type": ("LORA",), "use_dora": (False,), "lora_bias": (False,), "bias": ("none",)}
_EMPTY = ("modules_to_save", "alpha_pattern", "rank_pattern", "trainable_token_indices", "target_parameters")


def converted(adapter: Path, base: Path, *, header: Header | None = None) -> Path:
    """The adapter as a GGUF file for the base's, from the cache or written now. `header` is the base's, if known.

    Raises `ModelError` for an adapter of another base, or of a form that llama.cpp does not compute with.
    """
    config, weights = _read(adapter / _CONFIG), _read(adapter / _WEIGHTS)
    header = header or read_header(base)
    identity = hashlib.sha256(_FORM.encode())
    for part in (config, weights, repr((header.architecture, sorted(header.shapes.items()))).encode()):
        identity.update(hashlib.sha256(part).digest())
    target = cache_dir() / "adapters" / f"{identity.hexdigest()[:32]}.gguf"
    if not target.exists():
        tensors = _tensors(weights, header, adapter)
        _write(target, header.architecture, _alpha(config, tensors, adapter), tensors)
    return target


def _write(target: Path, architecture: str, alpha: float, tensors: dict[str, Tensor]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch, name = tempfile.mkstemp(dir=target.parent)
        try:
            with open(scratch, "wb") as file:
                write_adapter(file, architecture=architecture, alpha=alpha, tensors=tensors)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(
            f"cannot write the adapter for llama.cpp to {target}: {error.strerror}. Set FIPO_CACHE to a directory you "
            "can write to."
        ) from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the adapter's {file}: {error.strerror}. Copy the checkpoint again.") from error


def _alpha(config: bytes, tensors: dict[str, Tensor], adapter: Path) -> float:
    """What llama.cpp divides by the rank to scale the adapter with."""
    try:
        noted: dict[str, Any] = parse_json(config.decode("utf-8-sig"))
        rank, alpha = float(noted["r"]), float(noted["lora_alpha"])
        unusual = [name for name, usual in _PLAIN.items() if noted.get(name, usual[0]) not in usual]
        unusual += [name for name in _EMPTY if noted.get(name)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{adapter / _CONFIG} is damaged: {error!r}. Copy the checkpoint again.") from error
    ranks = {tensor.shape[0] for name, tensor in tensors.items() if name.endswith("lora_a")}
    if unusual or ranks != {rank}:
        raise _unfit(adapter, f"it is not a plain LoRA ({', '.join(unusual) or 'its ranks differ'})")
    return alpha * math.sqrt(rank) if noted.get("use_rslora") else alpha


def _tensors(weights: bytes, header: Header, adapter: Path) -> dict[str, Tensor]:
    if header.architecture not in _ARCHITECTURES:
        raise _unfit(adapter, f"its base is a {header.architecture}, whose layers have different names")
    try:
        found = dict(safetensors.deserialize(weights))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ModelError(f"{adapter / _WEIGHTS} is damaged: {error}. Copy the checkpoint again.") from error
    made = {}
    for name, entry in sorted(found.items()):  # the order differs from time to time
        place = _TENSOR.fullmatch(name)
        if place is None or entry["dtype"] not in _FORMATS or len(entry["shape"]) != 2:
            raise _unfit(adapter, f"it changes {name}, stored as {entry['dtype']}")
        layer, part, side = place.groups()
        tensor = Tensor(tuple(entry["shape"]), _FORMATS[entry["dtype"]], bytes(entry["data"]))
        base = f"blk.{layer}.{_NAMES[part]}.weight"
        _check_fit(header, base, tensor.shape[0 if side == "B" else 1], 0 if side == "B" else 1, adapter)
        if side == "B" and header.architecture == "llama":
            tensor = _rotated(tensor, header, part)
        made[f"{base}.lora_{side.lower()}"] = tensor
    return made


def _check_fit(header: Header, base: str, size: int, axis: int, adapter: Path) -> None:
    shape = header.shapes.get(base)
    if shape is None or shape[axis] != size:
        has = "is not there" if shape is None else f"has {shape[axis]}"
        raise ModelError(
            f"the adapter {adapter} does not fit this base: {base} {has}, but the adapter expects {size}. Use the base "
            "that it was trained on."
        )


def _rotated(tensor: Tensor, header: Header, part: str) -> Tensor:
    """The rows in the order in which GGUF files of Llama models keep those of queries and keys.

    transformers rotates the first half of a head's rows with the second half; llama.cpp rotates each row with the next.
    """
    names = {"self_attn.q_proj": "attention.head_count", "self_attn.k_proj": "attention.head_count_kv"}
    if part not in names:
        return tensor
    heads = header.number(names[part]) or header.number("attention.head_count") or 1
    rows = tensor.shape[0]
    half, width = rows // heads // 2, len(tensor.data) // rows
    order = [(2 * head + side) * half + row for head in range(heads) for row in range(half) for side in range(2)]
    return Tensor(tensor.shape, tensor.format, b"".join(tensor.data[row * width : (row + 1) * width] for row in order))


def _unfit(adapter: Path, why: str) -> ModelError:
    return ModelError(
        f"the adapter {adapter} cannot be used with llama.cpp: {why}. Use FIPO_ENGINE=transformers, which needs: "
        f"{installing('local')}"
    )
