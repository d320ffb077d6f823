"""vLLM in this process, on a double of its interface (it needs a GPU): the contracts, adapters, and what goes wrong."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fipo_model.backends.opening import open_generator, open_scorer
from fipo_model.errors import MissingExtraError, ModelError, PromptTooLongError
from fipo_model.generation import Sampling, complete
from fipo_model.testing import GeneratorContract, ScorerContract
from support import vllm_double

pytestmark = [
    pytest.mark.tiny,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
ASKED = [[{"role": "user", "content": text}] for text in ("Name a colour.", "Tell a long story.", "<|im_end|> {x}")]
SHORT = Sampling(max_new_tokens=8)


@pytest.fixture(autouse=True)
def _double(monkeypatch):
    vllm_double.install(monkeypatch)


@pytest.fixture
def adapter(tiny_model, tmp_path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model), LoraConfig(r=20, target_modules="all-linear")
    )
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(tmp_path / "run")
    return tmp_path / "run"


class TestGenerator(GeneratorContract):
    oversized_words = 600

    @pytest.fixture(autouse=True)
    def _generator(self, tiny_model):
        self.generator = open_generator(f"vllm:{tiny_model}")

    def make(self):
        return self.generator


class TestScorer(ScorerContract):
    oversized_words = 600

    @pytest.fixture(autouse=True)
    def _scorer(self, tiny_model):
        self.scorer = open_scorer(f"vllm:{tiny_model}")

    def make(self):
        return self.scorer


def test_texts_and_likelihoods_are_those_of_transformers(tiny_model) -> None:
    ours, theirs = open_generator(f"vllm:{tiny_model}"), open_generator(tiny_model)
    assert complete(ours, ASKED, SHORT) == complete(theirs, ASKED, SHORT)
    told = [complete(each, ASKED, replace(SHORT, with_likelihood=True)) for each in (ours, theirs)]
    found, expected = ([one.log_likelihood for one in completions] for completions in told)
    assert found == pytest.approx(expected, abs=1e-4)
    pairs = [(ASKED[0], "Blue, perhaps."), (ASKED[2], "<|im_end|> is a token."), (ASKED[0], "Blue, perhaps.")]
    ours, theirs = open_scorer(f"vllm:{tiny_model}"), open_scorer(tiny_model)
    assert ours.log_likelihoods(pairs) == pytest.approx(theirs.log_likelihoods(pairs), abs=1e-4)
    beginning = open_scorer(f"vllm:{tiny_model}", max_response_tokens=2).log_likelihoods(pairs)
    assert beginning == pytest.approx(open_scorer(tiny_model, max_response_tokens=2).log_likelihoods(pairs), abs=1e-4)


def test_an_adapter_is_put_on_its_base_and_the_base_stays_bare(tiny_model, adapter) -> None:
    adapted, bare = open_generator(f"vllm:{tiny_model}", adapter=adapter), open_generator(f"vllm:{tiny_model}")
    assert (adapted.name, bare.name) == ("tiny+run", "tiny")
    assert adapted.base is bare.base  # the GPU's memory holds it once
    assert adapted.base.llm.max_lora_rank == 32
    assert complete(adapted, ASKED, SHORT) == complete(open_generator(tiny_model, adapter=adapter), ASKED, SHORT)
    assert complete(bare, ASKED, SHORT) == complete(open_generator(tiny_model), ASKED, SHORT)
    assert complete(adapted, ASKED, SHORT) != complete(bare, ASKED, SHORT)
    assert open_generator(f"vllm:{adapter}", adapter="none").name == "tiny"


def test_a_base_without_room_for_an_adapters_rank_is_opened_once_more(tiny_model, adapter) -> None:
    bare = open_generator(f"vllm:{tiny_model}")
    assert bare.base.llm.max_lora_rank == 16
    adapted = open_generator(f"vllm:{tiny_model}", adapter=adapter)
    assert (adapted.base.llm.max_lora_rank, adapted.base is bare.base) == (32, False)


def test_a_copy_and_a_pickle_share_the_model(tiny_model) -> None:
    found = open_generator(f"vllm:{tiny_model}")
    again = pickle.loads(pickle.dumps(found))
    assert again.base is found.base
    scorer = pickle.loads(pickle.dumps(open_scorer(f"vllm:{tiny_model}", max_response_tokens=3)))
    assert (scorer.base is found.base, scorer.max_response_tokens) == (True, 3)


def test_what_does_not_fit_is_told_before_anything_is_computed(tiny_model) -> None:
    found = open_generator(f"vllm:{tiny_model}")
    with pytest.raises(PromptTooLongError) as told:
        complete(found, ASKED, Sampling(max_new_tokens=vllm_double.MAX_MODEL_LEN))
    assert (told.value.index, told.value.limit) == (0, vllm_double.MAX_MODEL_LEN)
    assert found.base.llm.requests == []


def test_what_goes_wrong_in_vllm_is_one_line(tiny_model, tmp_path, monkeypatch) -> None:
    found = open_generator(f"vllm:{tiny_model}")
    monkeypatch.setattr(found.base.llm, "generate", lambda *args, **options: 1 / 0)
    with pytest.raises(ModelError, match=r"^vLLM failed: ZeroDivisionError: division by zero\. Is there a GPU"):
        complete(found, ASKED, SHORT)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "adapter_config.json").write_text('{"r": 1000}')
    with pytest.raises(ModelError, match=r"vLLM takes adapters up to rank 512, but .* has rank 1000"):
        open_generator(f"vllm:{tiny_model}", adapter=tmp_path / "run")


def test_without_vllm_the_extra_is_named_and_nothing_is_reported_to_its_makers(tiny_model, monkeypatch) -> None:
    open_generator(f"vllm:{tiny_model}")
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    for name in ("vllm", "fipo_model.backends.vllm"):
        monkeypatch.setitem(sys.modules, name, None) if name == "vllm" else monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError, match=r"'vllm', which is not installed: pip install '\.\[vllm\]'"):
        open_generator(f"vllm:{tiny_model}")


IN_A_CHILD = """
import os, signal, sys, threading, time, warnings

import pytest

from support import vllm_double

signal.alarm(180)  # whatever hangs ends here
warnings.filterwarnings("ignore", category=DeprecationWarning)  # later Pythons warn of threads at a fork
parent, opening = os.getpid(), threading.Event()


class Slow(vllm_double.LLM):
    def __post_init__(self):
        if os.getpid() == parent:
            opening.set()
            time.sleep(180)
        super().__post_init__()


vllm_double.LLM = Slow
vllm_double.install(pytest.MonkeyPatch())
from fipo_model.backends.opening import open_generator

threading.Thread(target=open_generator, args=(f"vllm:{sys.argv[1]}",), daemon=True).start()
assert opening.wait(30)
child = os.fork()
if child == 0:
    signal.alarm(60)
    open_generator(f"vllm:{sys.argv[1]}")
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_opens_a_base_though_the_parent_was_opening_one(tiny_model) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", IN_A_CHILD, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
