"""What models compute in: the machine's own choice, the user's, and that FIPO works in both formats.

Other tests compute in fp32, see conftest.py.
"""

import pytest

from fipo_model import PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.generation import Sampling
from fipo_model.testing import GeneratorContract

PROMPTS = [
    "Tell me about rivers.",
    "Write a poem about the moon in exactly 4 lines.",
    "sentiment?",
    "What is the capital of France? Answer in one word.",
    "List three advantages of trains over planes, and say for each of them who profits from it and why.",
]
PAIRS = [
    ([{"role": "user", "content": prompt}], answer)
    for prompt in PROMPTS
    for answer in ("Paris.", "They carry water from the hills to the sea, and towns grow where two of them meet.")
]


def load(directory):
    # Imported here, so that collecting this file for a run without these tests does not wait for torch.
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_pretrained(directory)


def measure(generator, pairs):
    from fipo_model.backends.transformers.scorer import TransformersScorer

    return TransformersScorer(generator.loaded).log_likelihoods(pairs)


@pytest.mark.tiny
@pytest.mark.usefixtures("number_format")
class TestContractInBothFormats(GeneratorContract):
    oversized_words = 600

    @pytest.fixture(autouse=True)
    def _generator(self, number_format, tiny_model):
        self.generator = load(tiny_model)
        assert str(self.generator.model.dtype) == f"torch.{number_format}"

    def make(self):
        return self.generator

    def test_a_seed_reproduces_samples_whatever_else_is_asked(self):
        if str(self.generator.model.dtype) == "torch.float32":
            super().test_a_seed_reproduces_samples_whatever_else_is_asked()
            return
        # In bf16, rounding depends on the shape of a batch, and decides between two tokens now and then.
        asked, sampling = [PAIRS[0][0], PAIRS[2][0]], Sampling(max_new_tokens=12, temperature=1.0, seed=3)
        first = self.generator.generate(asked, sampling, samples=2)
        assert first == self.generator.generate(asked, sampling, samples=2)


@pytest.mark.tiny
def test_the_user_decides_what_is_computed_in(tiny_model, monkeypatch):
    import torch

    exact = load(tiny_model)
    assert exact.model.dtype == torch.float32
    monkeypatch.setenv("FIPO_DTYPE", "bfloat16")
    rounded = load(tiny_model)  # not the one that is loaded already
    assert rounded.model.dtype == torch.bfloat16
    assert exact.model.dtype == torch.float32
    for wrong in ("bf16", "float16", "FLOAT32", "4"):
        monkeypatch.setenv("FIPO_DTYPE", wrong)
        with pytest.raises(InputError, match=f"FIPO_DTYPE is '{wrong}', but must be float32, bfloat16 or unset"):
            load(tiny_model)


@pytest.mark.tiny
@pytest.mark.parametrize("unset", [None, ""])
def test_otherwise_the_machine_does(tiny_model, own_number_format, monkeypatch, unset):
    import torch

    from fipo_model.backends.transformers.loading import best_device, best_dtype

    if unset is not None:
        monkeypatch.setenv("FIPO_DTYPE", unset)
    assert load(tiny_model).model.dtype == best_dtype(best_device())
    if torch.cpu.get_capabilities().get("avx512_bf16") and not torch.cuda.is_available():
        assert load(tiny_model).model.dtype == torch.bfloat16


@pytest.mark.real
def test_the_default_optimizer_works_in_what_a_user_of_this_machine_has(default_weights, own_number_format):
    results = PromptOptimizer.from_pretrained().optimize_batch(PROMPTS)
    for prompt, result in zip(PROMPTS, results, strict=True):
        assert prompt in result.text  # what the default adapter was trained for: to leave it, or to add to it
        assert result.candidates


@pytest.mark.real
def test_company_changes_likelihoods_and_replies_of_real_weights_by_rounding_only(small_weights, number_format):
    generator = load(small_weights)
    # bf16 keeps 8 bits, so a logit of 40 is rounded by up to 0.16; how rows of a batch are, depends on the processor.
    rounding = {"float32": 1e-3, "bfloat16": 0.2}[number_format]
    together = measure(generator, PAIRS)
    assert [measure(generator, [pair])[0] for pair in PAIRS[:4]] == pytest.approx(together[:4], abs=rounding)
    assert max(together) - min(together) > 1

    asked, brief = [[{"role": "user", "content": prompt}] for prompt in PROMPTS], Sampling(max_new_tokens=8)
    in_company = [replies[0].text for replies in generator.generate(asked, brief)]
    alone = [generator.generate([one], brief)[0][0].text for one in asked[:3]]
    if number_format == "float32":
        assert in_company[:3] == alone
    # In bf16 two tokens are often as likely as each other, and from there on the texts differ, but not in likelihood.
    found = [measure(generator, list(zip(asked[:3], said, strict=True))) for said in (in_company[:3], alone)]
    assert found[0] == pytest.approx(found[1], abs=rounding)


@pytest.mark.real
def test_bf16_measures_what_fp32_measures_but_for_rounding(small_weights, monkeypatch):
    exact = measure(load(small_weights), PAIRS)
    monkeypatch.setenv("FIPO_DTYPE", "bfloat16")
    rounded = measure(load(small_weights), PAIRS)
    assert rounded == pytest.approx(exact, abs=0.1)
    assert rounded != exact
