"""From a name to a model in memory: the base in a suitable number format, and its adapter, without running its code."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from fipo_model import places
from fipo_model.backends.transformers.cpu import mirror_linear_layers
from fipo_model.errors import InputError, ModelError, explain_missing, kind_and_line
from fipo_model.forking import PerProcess
from fipo_model.models.hub import check_reachable
from fipo_model.models.names import GGUF_PREFIX, check_directory, gguf_file, name_with
from fipo_model.models.registry import find_card
from fipo_model.models.weights import located

with explain_missing("local", "torch", "transformers", "peft", "accelerate", "safetensors"):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.utils.logging import set_tqdm_hook

logger = logging.getLogger("fipo.loading")
_bars = PerProcess(threading.Lock)


def best_device() -> str:
    """The device for a model if none was chosen."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(
    model: str, adapter: Path | None, device_map: str, load_in_4bit: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """The model ready for use, with its adapter if there is one, its tokenizer, and what it is called.

    Raises `ModelError` for what cannot be loaded, and for an adapter of another base.
    """
    base, tokenizer = load_base(model, device_map, load_in_4bit)
    name = _short(model)
    if adapter is not None:
        base = with_adapter(base, adapter, name)
        if base.device.type == "cpu":
            base = _merged_if_possible(base)
        name = name_with(name, adapter)
    mirror_linear_layers(base)
    return base, tokenizer, name


def load_base(
    model: str, device_map: str | None, load_in_4bit: bool, *, dtype: torch.dtype | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and its tokenizer, in `best_dtype` unless told otherwise.

    `model` is the base of a `names.Checkpoint`; weights that FIPO knows are fetched if needed. Raises
    `ModelError` for a model that is not there, damaged or incomplete, and `WeightsError`.
    """
    place, file, quantization = _place(model, load_in_4bit)
    try:
        # Said outright, because transformers would ask on the terminal whether to run a repository's code.
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **file)
        with _without_bars():
            base, report = cast(Any, AutoModelForCausalLM).from_pretrained(
                place,
                **file,
                dtype=dtype or best_dtype(device_map or best_device()),
                device_map=device_map,
                quantization_config=quantization,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # a stranger's files: the loaders raise whatever they stumble over
        raise ModelError(f"cannot load the model {model!r}: {_requirement(model)}. ({kind_and_line(error)})") from error
    if report["missing_keys"]:  # transformers fills them with random numbers
        raise ModelError(
            f"the model {model!r} is incomplete: its files lack {len(report['missing_keys'])} tensors, such as "
            f"{min(report['missing_keys'])}. Fetch or copy it again."
        )
    return base, tokenizer


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers' progress bars off stderr while a model loads; those for the hub's long downloads stay."""
    with _bars.value:  # two at once would leave each other's hook behind
        before = set_tqdm_hook(lambda make, args, options: make(*args, **options | {"disable": True}))
        try:
            yield
        finally:
            set_tqdm_hook(before)


def _requirement(model: str) -> str:
    """What a model that cannot be loaded must be."""
    if model.startswith(GGUF_PREFIX):
        return "the file is damaged, or in a format that transformers cannot read; fetch or copy it again"
    if find_card(model) is not None:
        return f"its files are damaged; repair them with: fipo weights pull {model}"
    if places.is_directory(model):
        return "its files are damaged, or in a format that transformers cannot read; fetch or copy them again"
    return (
        "it must be a directory with a transformers model, a GGUF file, or a hub id that can be reached or is in the "
        "hub's cache"
    )


def _place(model: str, load_in_4bit: bool) -> tuple[str, dict[str, str], Any]:
    """For transformers' loaders: where to look, which file if it is a single one, and how it is quantized."""
    if not model.startswith(GGUF_PREFIX):
        place = located(model)
        if not place or not places.is_directory(place):
            check_reachable(place)
        else:
            check_directory(place)
        return place, {}, _four_bit() if load_in_4bit else None
    if load_in_4bit:
        raise ModelError(f"{model} is already quantized; load it without load_in_4bit")
    file = gguf_file(model)
    return str(file.parent), {"gguf_file": file.name}, GgufConfig(dequantize=True)


def _short(model: str) -> str:
    if model.startswith(GGUF_PREFIX):
        return Path(model).name
    return Path(model).resolve().name if places.is_directory(model) else model


def with_adapter(
    base: PreTrainedModel, adapter: Path, base_name: str, *, is_trainable: bool = False
) -> PreTrainedModel:
    """`base` with a PEFT adapter on it. Raises `ModelError` for one that is damaged or was made for another base."""
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    wrong = f"the adapter {adapter} does not fit the model {base_name}: it was trained on another base, or is damaged"
    try:
        with warnings.catch_warnings():  # peft uses a name that transformers is about to drop
            warnings.filterwarnings("ignore", ".*gradient_checkpointing.* is deprecated", FutureWarning)
            adapted = PeftModel.from_pretrained(base, str(adapter), is_trainable=is_trainable)
        stored = set(load_peft_weights(str(adapter), device="cpu"))
    except Exception as error:  # a stranger's files: the loaders raise whatever they stumble over
        raise ModelError(f"{wrong}. ({kind_and_line(error)})") from error
    # peft ignores tensors the base has no place for, so a smaller base would pass unnoticed. Embeddings, which an
    # adapter may bring along, do have their place. To guess whether an adapter needs them, peft would ask the hub about
    # the base.
    wanted = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if wanted - stored or stored - wanted - set(adapted.state_dict()):
        raise ModelError(f"{wrong}. (Its tensors do not match the model's layers.)")
    return adapted  # type: ignore[return-value]


def _merged_if_possible(adapted: PreTrainedModel) -> PreTrainedModel:
    """The model with the adapter added to its weights, which spares a CPU many small products for every token.

    In bf16, texts and likelihoods are then as close to fp32's as they are with the adapter apart. An adapter
    that cannot be merged, or on embeddings that input and output share, stays apart.
    """
    from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    tuner = cast(Any, adapted).base_model
    embeddings = adapted.get_input_embeddings(), adapted.get_output_embeddings()  # type: ignore[no-untyped-call]
    is_shared = adapted.config.get_text_config().tie_word_embeddings
    is_adapted = any(isinstance(one, BaseTunerLayer | AuxiliaryTrainingWrapper) for one in embeddings)
    if not isinstance(tuner, BaseTuner) or (is_shared and is_adapted):
        return adapted
    try:
        return cast(PreTrainedModel, tuner.merge_and_unload())
    except (NotImplementedError, ValueError):  # how peft says, before it changes anything, that a kind cannot be merged
        logger.debug("the adapter stays apart from the weights", exc_info=True)
        return adapted


def best_dtype(device_map: str) -> torch.dtype:
    """bf16 where the hardware computes in it, else fp16 on a GPU and fp32 on a CPU, which emulate it slowly.

    `FIPO_DTYPE`, float32 or bfloat16, decides for both. Raises `InputError` if it is anything else.
    """
    if wish := os.environ.get("FIPO_DTYPE"):
        if wish not in ("float32", "bfloat16"):
            raise InputError(f"FIPO_DTYPE is {wish!r}, but must be float32, bfloat16 or unset")
        return cast(torch.dtype, getattr(torch, wish))
    if device_map != "cpu" and torch.accelerator.is_available():
        return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported(False) else torch.float16
    capabilities = torch.cpu.get_capabilities()
    is_native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16")
    return torch.bfloat16 if is_native else torch.float32


def _four_bit() -> Any:
    with explain_missing("4bit", "bitsandbytes"):
        import bitsandbytes  # noqa: F401
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
