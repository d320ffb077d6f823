"""What must also hold on a GPU; `make gpu`."""

from functools import cache
from pathlib import Path

import pytest

from fipo_model import Generator, PromptOptimizer, Sampling
from fipo_model.generation import complete
from fipo_model.testing import GeneratorContract

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("own_number_format")]


class TestTransformersGeneratorOnAGPU(GeneratorContract):
    @pytest.fixture(autouse=True)
    def _model(self, tiny_model: Path) -> None:
        self.directory = tiny_model

    def make(self) -> Generator:
        return _load(self.directory)


@cache
def _load(directory: Path) -> Generator:
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_pretrained(directory, device_map="cuda")


def test_real_weights_run_on_the_gpu_in_its_own_number_format(small_weights: Path) -> None:
    import torch

    from fipo_model.backends.transformers.generator import TransformersGenerator

    generator = TransformersGenerator.from_pretrained(small_weights)
    assert generator.model.device.type == "cuda"
    assert generator.model.dtype == (torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16)
    assert complete(generator, [[{"role": "user", "content": "Name a colour."}]], Sampling(max_new_tokens=8))[0].text
    assert len(PromptOptimizer(generator).optimize_batch([f"Tell me about {n} rivers." for n in range(64)])) == 64


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tiny_model: Path) -> None:
    import torch

    generator = _load(tiny_model)
    asked = [[{"role": "user", "content": f"Name {n} colours."}] for n in range(64)]
    expected = [c.text for c in complete(generator, asked, Sampling(max_new_tokens=8))]  # type: ignore[arg-type]
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 24 * 2**20) / total)
    try:
        found = [c.text for c in complete(generator, asked, Sampling(max_new_tokens=8))]  # type: ignore[arg-type]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found == expected
