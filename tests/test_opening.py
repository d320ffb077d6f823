"""One spec opens every kind of model, to generate and to score with."""

import pytest

from fipo_model import FIPO_1, Rewriter, Sampling
from fipo_model.backends.opening import Manner, manner_of, open_generator, open_scorer
from fipo_model.errors import InputError, ModelError
from fipo_model.generation import complete
from fipo_model.testing import ScriptedGenerator, ScriptedScorer

COLOUR = [{"role": "user", "content": "Name a colour."}]


def test_a_model_that_is_made_already_is_given_back() -> None:
    generator, scorer = ScriptedGenerator(lambda conversation: "Blue."), ScriptedScorer(lambda *pair: -1.0)
    assert open_generator(generator) is generator
    assert open_scorer(scorer) is scorer
    assert manner_of(generator) == Manner(template=FIPO_1)
    with pytest.raises(InputError, match="an adapter cannot be given with a generator that is already built"):
        open_generator(generator, adapter="run")
    with pytest.raises(InputError, match="max_response_tokens cannot be given with a scorer that is already built"):
        open_scorer(scorer, max_response_tokens=9)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_servers_address_with_a_name_is_a_model_of_that_server(scheme: str) -> None:
    from fipo_model.backends.openai import OpenAIGenerator

    found = open_generator(f"{scheme}://localhost:8000/v1#Qwen/Qwen2.5-Coder-1.5B")
    assert isinstance(found, OpenAIGenerator)
    assert (found.base_url, found.name) == (f"{scheme}://localhost:8000/v1", "Qwen/Qwen2.5-Coder-1.5B")
    assert manner_of(f"{scheme}://localhost:8000/v1#m") == Manner(template=FIPO_1)


def test_a_servers_address_without_a_name_says_how_to_add_it() -> None:
    for open_one in (open_generator, open_scorer, manner_of):
        with pytest.raises(ModelError, match="add its name, http://localhost:8000/v1#NAME"):
            open_one("http://localhost:8000/v1")
    with pytest.raises(ModelError, match="an adapter cannot be put on a model behind a server"):
        open_generator("http://localhost:8000/v1#m", adapter="run")


@pytest.mark.tiny
def test_a_server_scores_with_the_tokenizer_of_its_models_name(tiny_model) -> None:
    from fipo_model.backends.openai import OpenAIScorer

    found = open_scorer(f"http://localhost:8000/v1#{tiny_model}", max_response_tokens=9)
    assert isinstance(found, OpenAIScorer)
    assert (found.name, found.tokenizer, found.max_response_tokens) == (str(tiny_model), None, 9)


@pytest.mark.tiny
def test_a_directory_is_loaded_once_for_generating_and_scoring(tiny_model) -> None:
    generator, scorer = open_generator(tiny_model), open_scorer(str(tiny_model), max_response_tokens=2)
    assert generator.loaded is scorer.loaded
    assert (generator.name, scorer.name, scorer.max_response_tokens) == ("tiny", "tiny", 2)
    assert complete(generator, [COLOUR], Sampling(max_new_tokens=4))[0].completion_tokens > 0
    assert scorer.log_likelihoods([(COLOUR, "Blue.")])[0] < 0


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_is_opened_on_its_base_with_its_template(tiny_model, tmp_path) -> None:
    import json

    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), LoraConfig(target_modules="all-linear"))
    adapted.save_pretrained(tmp_path / "run")
    texts = {"optimizer": "S_P O_C G_N", "s_r": "S_R", "g_r": "G_R", "discriminator": "R_P G_R P_A P_B"}
    (tmp_path / "run" / "mine.json").write_text(json.dumps(texts))
    (tmp_path / "run" / "fipo.json").write_text(json.dumps({"template": "mine.json", "base_model": str(tiny_model)}))
    by_itself, on_its_base = open_generator(tmp_path / "run"), open_generator(tiny_model, adapter=tmp_path / "run")
    assert by_itself == on_its_base
    assert by_itself.name == "tiny+run"
    assert open_scorer(tmp_path / "run").loaded is by_itself.loaded
    manner = manner_of(tmp_path / "run")
    assert manner == manner_of(tiny_model, adapter=tmp_path / "run")
    assert manner.template != FIPO_1
    assert not manner.settings.strict_wording


@pytest.mark.tiny
def test_a_local_model_that_was_not_trained_to_rewrite_is_held_to_strict_wording(tiny_model) -> None:
    assert manner_of(tiny_model).settings.strict_wording
    assert Rewriter.from_pretrained(tiny_model).settings.strict_wording
    assert manner_of("qwen2.5-coder-0.5b", adapter="none").settings.strict_wording
    assert not manner_of("qwen2.5-coder-0.5b").settings.strict_wording
    assert not manner_of().settings.strict_wording


@pytest.mark.real
def test_without_a_spec_it_is_fipos_own_rewriter_and_the_bare_base_scores(default_weights) -> None:
    own, bare = open_generator(), open_generator(role=None)
    assert own.name.startswith(f"{bare.name}+")
    assert open_scorer().loaded is bare.loaded
    assert open_generator(adapter="none") == bare
