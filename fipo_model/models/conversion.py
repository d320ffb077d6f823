"""From a GGUF file to an ordinary model directory: bf16 safetensors, tokenizer and chat template."""

from pathlib import Path
from typing import Any, cast

from fipo_model.errors import explain_missing

with explain_missing("local", "torch", "transformers", "gguf"):
    import gguf as _gguf  # noqa: F401 - transformers reports its absence less clearly
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert(gguf: Path, target: Path, *, shares_embeddings: bool) -> None:
    """Write `gguf`'s model to the directory `target`.

    With `shares_embeddings`, a file that has a separate matrix for the output loses the one for the input. Both are
    roundings of the one matrix that was published, and the output's is the finer one (docs/models.md has figures).
    Takes four to six bytes of memory for each parameter.
    """
    # Left to itself, transformers keeps GGUF weights packed: slow to run and impossible to train.
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    if shares_embeddings and not model.config.tie_word_embeddings:
        model.get_input_embeddings().weight = model.get_output_embeddings().weight
        model.config.tie_word_embeddings = True
        model.tie_weights()
    model.save_pretrained(target)
    cast(Any, AutoTokenizer).from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)
