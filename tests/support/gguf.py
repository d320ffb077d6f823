"""GGUF files of small models, of Qwen's and Llama's form, written here with random weights."""

from pathlib import Path

LAYERS, WIDTH, HEADS, INNER = 2, 64, 4, 96

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = [*map(chr, range(33, 127)), "Ġ", "Ċ", "ab"]
# Both engines end a reply with the third, and one of them with an <|endoftext|>, too.
SPECIALS = ["<|spare|>", "<|im_start|>", "<|im_end|>"]


def write_gguf(
    file: Path,
    *,
    has_head: bool = False,
    architecture: str = "qwen2",
    says: str | None = None,
    context: int = 256,
) -> Path:
    """The file of a small model; with a matrix of its own for the output, if it is to have one.

    `says` is what it calls its architecture, where that is not what it is.
    """
    from gguf import GGUFWriter

    writer = GGUFWriter(file, says or architecture)
    _describe(writer, context)
    for name, tensor in _random_tensors(has_head, has_bias=architecture == "qwen2").items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _describe(writer, context: int) -> None:
    """What the file says of its model and its tokenizer."""
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*WORDS, *SPECIALS])
    writer.add_token_types([1] * len(WORDS) + [3] * len(SPECIALS))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(len(WORDS) + 2)
    writer.add_pad_token_id(len(WORDS))
    writer.add_chat_template(TEMPLATE)


def _random_tensors(has_head: bool, *, has_bias: bool):
    import numpy as np

    random = np.random.default_rng(0)
    shapes = {"attn_output.weight": (WIDTH, WIDTH), "ffn_down.weight": (WIDTH, INNER)}
    shapes |= {f"attn_{part}.weight": (WIDTH, WIDTH) for part in "qkv"}
    if has_bias:
        shapes |= {f"attn_{part}.bias": (WIDTH,) for part in "qkv"}
    shapes |= {f"ffn_{part}.weight": (INNER, WIDTH) for part in ("gate", "up")}
    made = {
        f"blk.{layer}.{name}": 0.3 * random.standard_normal(shape)
        for layer in range(LAYERS)
        for name, shape in shapes.items()
    }
    made |= {f"blk.{layer}.{norm}_norm.weight": np.ones(WIDTH) for layer in range(LAYERS) for norm in ("attn", "ffn")}
    made |= {"output_norm.weight": np.ones(WIDTH)}
    made["token_embd.weight"] = 0.3 * random.standard_normal((len(WORDS) + len(SPECIALS), WIDTH))
    if has_head:  # the same but for a rounding
        made["output.weight"] = made["token_embd.weight"] + 1e-2
    # Cut to what bf16 holds, so that nothing is lost where a model is stored or computed in it.
    cut = np.uint32(0xFFFF0000)
    return {name: (tensor.astype(np.float32).view(np.uint32) & cut).view(np.float32) for name, tensor in made.items()}
