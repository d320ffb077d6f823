"""GGUF files, converted and loaded as they are: tiny ones of Qwen's form."""

import pytest

from fipo_model.errors import ModelError
from fipo_model.generation import Sampling, complete
from support.gguf import TEMPLATE, write_gguf

pytestmark = [pytest.mark.tiny, pytest.mark.filterwarnings("ignore:Possible set union:FutureWarning")]


@pytest.fixture
def make_gguf(tmp_path):
    def make(*, has_head):
        return write_gguf(tmp_path / "small.gguf", has_head=has_head)

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

    with pytest.raises(ModelError, match="is already quantized; load it without load_in_4bit"):
        load_base(f"gguf:{make_gguf(has_head=False)}", "cpu", load_in_4bit=True)


def test_a_damaged_gguf_file_is_told_so(tmp_path):
    from fipo_model.backends.transformers.loading import load_base

    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"cannot load the model 'gguf:.*small\.gguf': the file is damaged"):
        load_base(f"gguf:{tmp_path / 'small.gguf'}", "cpu", load_in_4bit=False)
