"""GGUF files, converted and loaded as they are: tiny ones of Qwen's form, written here."""

import pytest

from fipo_model.errors import ModelError
from fipo_model.generation import Sampling, complete

pytestmark = [pytest.mark.tiny, pytest.mark.filterwarnings("ignore:Possible set union:FutureWarning")]

LAYERS, WIDTH, HEADS, INNER = 2, 64, 4, 96


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = [*map(chr, range(33, 127)), "Ġ", "Ċ", "ab"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def describe(writer):
    """What the file says of its model and its tokenizer."""
    writer.add_context_length(256)
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


def random_tensors(has_head):
    import numpy as np

    random = np.random.default_rng(0)
    shapes = {"attn_output.weight": (WIDTH, WIDTH), "ffn_down.weight": (WIDTH, INNER)}
    shapes |= {f"attn_{part}.weight": (WIDTH, WIDTH) for part in "qkv"} | {
        f"attn_{part}.bias": (WIDTH,) for part in "qkv"
    }
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


@pytest.fixture(scope="module")
def make_gguf(tmp_path_factory):
    """Writes the file of a small Qwen 2; with a matrix of its own for the output, if it is to have one."""
    from gguf import GGUFWriter

    def make(*, has_head):
        file = tmp_path_factory.mktemp("gguf") / "small.gguf"
        writer = GGUFWriter(file, "qwen2")
        describe(writer)
        for name, tensor in random_tensors(has_head).items():
            writer.add_tensor(name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return file

    return make


def tensors(directory):
    from safetensors.torch import load_file

    return load_file(directory / "model.safetensors")


@pytest.mark.parametrize("has_head", [True, False])
@pytest.mark.parametrize("shares_embeddings", [True, False])
def test_a_converted_model_keeps_one_matrix_where_the_published_one_has_one(
    make_gguf, tmp_path, has_head, shares_embeddings
):
    import torch

    from fipo_model.backends.transformers.loading import load_base
    from fipo_model.models.conversion import convert

    file = make_gguf(has_head=has_head)
    convert(file, tmp_path / "made", shares_embeddings=shares_embeddings)
    has_two = has_head and not shares_embeddings
    assert ("lm_head.weight" in tensors(tmp_path / "made")) == has_two
    model, tokenizer = load_base(str(tmp_path / "made"), "cpu", False, dtype=torch.float32)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == (not has_two)
    as_it_is, _ = load_base(f"gguf:{file}", "cpu", False, dtype=torch.float32)
    # What is kept is the output's matrix.
    torch.testing.assert_close(model.lm_head.weight, as_it_is.lm_head.weight, rtol=2**-7, atol=1e-6)
    assert tokenizer.chat_template == TEMPLATE


def test_a_gguf_file_answers_like_its_conversion(make_gguf, tmp_path):
    from fipo_model.backends.transformers.generator import TransformersGenerator
    from fipo_model.models.conversion import convert

    file = make_gguf(has_head=False)
    convert(file, tmp_path / "made", shares_embeddings=True)
    asked, greedy = [[{"role": "user", "content": "Name a colour."}]], Sampling(max_new_tokens=4)
    loaded = TransformersGenerator.from_pretrained(f"gguf:{file}")
    assert loaded.name == "small.gguf"
    said = complete(loaded, asked, greedy)
    assert said[0].completion_tokens > 0
    assert said == complete(TransformersGenerator.from_pretrained(tmp_path / "made"), asked, greedy)


def test_a_gguf_file_cannot_be_quantized_again(make_gguf, tmp_path):
    from fipo_model.backends.transformers.loading import load_base

    with pytest.raises(ModelError, match="is quantized already; load it without 4 bits"):
        load_base(f"gguf:{make_gguf(has_head=False)}", "cpu", load_in_4bit=True)


def test_a_damaged_gguf_file_is_told_so(tmp_path):
    from fipo_model.backends.transformers.loading import load_base

    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"cannot load the model 'gguf:.*small\.gguf': the file is damaged"):
        load_base(f"gguf:{tmp_path / 'small.gguf'}", "cpu", load_in_4bit=False)
