"""A second adapter is asked about a prompt alone to which the first adds nothing."""

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from fipo_model import FIPO_2, OptimizationRequest, PromptOptimizer, Rewriter
from fipo_model.backends.opening import Unopened, open_generator, open_second
from fipo_model.bulk import Halves
from fipo_model.bulk.files import settings_of
from fipo_model.errors import ModelError
from fipo_model.evaluation.naming import hash_adapter
from fipo_model.generation import Sampling, Second, complete
from fipo_model.search.asking import Part
from fipo_model.search.proposals import Seen
from fipo_model.search.proposing import RewriterProposer
from fipo_model.testing import ScriptedGenerator
from fipo_model.types import ShownExample
from support.telling import Telling

PROMPT = "why is rye bread so dense"
ENDING = "Give the main reason first."


def rewriter(first, second, *, least=-0.05, **options):
    own = Second(second, least_likelihood=least)
    return Rewriter(first, template=FIPO_2, least_likelihood=-0.75, second=own, **options)


def optimized(request, first, second, **options):
    return PromptOptimizer.from_rewriter(rewriter(first, second, **options)).optimize(request)


@pytest.mark.parametrize(
    ("reply", "likelihood", "outcome"),
    [
        ("Nothing.", -0.1, "optimized"),
        ("Write about rye bread.", -2.0, "optimized"),  # not sure
        ("Say why bread is dense.", -0.1, "optimized"),  # its own
        ("Give three reasons.", -0.1, "number_invented"),  # refused for another reason
    ],
)
def test_it_is_asked_where_the_first_adds_nothing_for_sure(reply, likelihood, outcome):
    second = Telling(ENDING, -0.01)
    result = optimized(PROMPT, Telling(reply, likelihood), second)
    assert result.outcome == outcome
    is_asked = bool(second.batch_sizes)
    assert is_asked is (reply == "Nothing." or likelihood == -2.0)
    assert result.text.endswith(ENDING) is is_asked


def test_it_has_a_limit_of_its_own_and_without_its_addition_the_first_says_why():
    result = optimized(PROMPT, Telling("Write about rye bread.", -2.0), Telling(ENDING, -0.06))
    assert (result.text, result.outcome) == (PROMPT, "uncertain")
    assert "limit -0.75" in result.detail
    left_alone = optimized(PROMPT, Telling("Nothing."), Telling("Nothing."))
    assert (left_alone.text, left_alone.outcome) == (PROMPT, "unchanged")


@pytest.mark.parametrize(
    "known",
    [
        {"examples": (ShownExample("rye"),)},
        {"context": "A text about bread."},
        {"golden_response": "It has less gluten."},
        {"silver_response": "Bread is dense."},
        {"feedback": "Too long."},
    ],
)
def test_a_prompt_that_is_more_than_asked_once_is_left_to_the_first(known):
    second = Telling(ENDING)
    assert optimized(OptimizationRequest(PROMPT, **known), Telling("Nothing."), second).outcome == "unchanged"
    assert not second.batch_sizes


def test_the_rewriters_limit_holds_for_it_too():
    words = "Give the main reason first, then all the others in the order of their weight."
    result = optimized(PROMPT, Telling("Nothing."), Telling(words, -0.01), max_words=19)
    assert (result.text, result.outcome) == (PROMPT, "unchanged")
    roomy = optimized(PROMPT, Telling("Nothing."), Telling(words, -0.01), max_words=21)
    assert roomy.text == f"{PROMPT}\n\n{words}"


def test_all_that_wait_for_it_share_one_call():
    prompts = [f"why is bread number {place} so dense" for place in range(6)]
    second = Telling(ENDING, -0.01)
    first = Telling({prompt: "Nothing." if place % 2 else "Say why." for place, prompt in enumerate(prompts)})
    results = PromptOptimizer.from_rewriter(rewriter(first, second)).optimize_batch(prompts)
    assert [result.text.endswith(ENDING) for result in results] == [False, True] * 3
    assert (first.batch_sizes, second.batch_sizes) == ([6], [3])


def test_neither_a_search_nor_the_halves_of_a_rewrite_ask_it():
    second = Telling(ENDING, -0.01)
    own = rewriter(Telling("Nothing."), second)
    parts = [Part(name="prompt", request=OptimizationRequest(PROMPT))]
    proposer = RewriterProposer(rewriter=own, parts=parts, candidates=1, seed=0)
    proposer.propose(Seen(texts={"prompt": PROMPT}, measurements={}))
    assert not second.batch_sizes
    assert Halves.of(own).rewriter.second is None  # it holds no model


def test_samples_are_the_firsts_alone():
    second = Telling(ENDING)
    rewriter(Telling("Write about rye bread.", -2.0), second, samples=3).propose([OptimizationRequest(PROMPT)])
    assert not second.batch_sizes


def test_rows_that_were_written_with_another_are_not_mixed_with_its_own():
    own = rewriter(Telling(""), Telling(""))
    others = (own, replace(own, second=None), replace(own, second=Second(Telling(""), least_likelihood=-2.0)))
    noted = [settings_of(PromptOptimizer.from_rewriter(one))["second"] for one in others]
    assert len(set(noted)) == 3


def test_a_generator_that_is_not_open_yet_opens_when_it_is_asked_and_again_after_a_copy():
    opened = []

    def open_it():
        opened.append(True)
        return ScriptedGenerator(lambda conversation: "Blue.")

    generator = Unopened("second", open_it)
    assert (generator.name, opened) == ("second", [])
    asked = [{"role": "user", "content": "Name a colour."}]
    for _ in range(2):
        assert complete(generator, [asked], Sampling())[0].text == "Blue."
    assert len(opened) == 1
    complete(copy.deepcopy(generator), [asked], Sampling())
    assert len(opened) == 2


@pytest.fixture
def two_adapters(tiny_model, tmp_path):
    """A checkpoint with a second adapter in it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    for seed, folder in enumerate((tmp_path / "run", tmp_path / "run" / "other")):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        adapted = get_peft_model(base, LoraConfig(target_modules="all-linear", init_lora_weights=False))
        adapted.save_pretrained(folder)
        note = {"template": "fipo-2", "base_model": str(tiny_model), "least_likelihood": -0.75 + seed}
        (folder / "fipo.json").write_text(json.dumps(note if seed else note | {"second": "other"}))
    return tmp_path / "run"


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_checkpoint_opens_with_both(two_adapters):
    own = Rewriter.from_pretrained(two_adapters)
    assert (own.least_likelihood, own.second.least_likelihood) == (-0.75, 0.25)
    alone = open_generator(two_adapters / "other")
    asked = [[{"role": "user", "content": f"Name a colour {number}."}] for number in range(4)]
    said = complete(own.second.generator, asked, Sampling(max_new_tokens=8))
    assert said == complete(alone, asked, Sampling(max_new_tokens=8))
    assert said != complete(own.generator, asked, Sampling(max_new_tokens=8))
    again = pickle.loads(pickle.dumps(own.second.generator))
    assert complete(again, asked, Sampling(max_new_tokens=8)) == said
    assert Rewriter.from_pretrained(two_adapters, role="proposing").second is None
    assert open_second(own.generator, "http://localhost:1/v1#m") is None


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_second_adapter_that_is_not_there_is_told_so(two_adapters: Path):
    (two_adapters / "other" / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"other holds no PEFT adapter"):
        Rewriter.from_pretrained(two_adapters)


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["../elsewhere", "..", "", "."])
def test_a_second_adapter_is_a_folder_beside_the_notes(two_adapters: Path, name: str):
    (two_adapters / "fipo.json").write_text(json.dumps({"second": name}))
    with pytest.raises(ModelError, match=r"fipo\.json is damaged: .*'second'"):
        Rewriter.from_pretrained(two_adapters)


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("note", "why"),
    [({"second": "more"}, "only two"), ({"template": "fipo-1"}, "was not trained with the template")],
)
def test_a_second_adapter_that_does_not_belong_is_refused(two_adapters: Path, note: dict[str, str], why: str):
    file = two_adapters / "other" / "fipo.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | note))
    with pytest.raises(ModelError, match=why):
        Rewriter.from_pretrained(two_adapters)


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_evaluation_knows_both_adapters_and_their_limits(two_adapters: Path):
    before = hash_adapter(str(two_adapters), role="rewriting")
    note = json.loads((two_adapters / "other" / "fipo.json").read_text())
    (two_adapters / "other" / "fipo.json").write_text(json.dumps(note | {"least_likelihood": -2}))
    changed = hash_adapter(str(two_adapters), role="rewriting")
    (two_adapters / "fipo.json").write_text('{"template": "fipo-2"}')
    assert len({before, changed, hash_adapter(str(two_adapters), role="rewriting")}) == 3


@pytest.mark.real
def test_the_default_weights_answer_with_either_adapter_on_llama_cpp(default_weights, monkeypatch):
    monkeypatch.setenv("FIPO_ENGINE", "llamacpp")
    prompts = ["checklist before handing back a rental van", "topic of the ticket"]
    single, task = PromptOptimizer.from_pretrained().optimize_batch(prompts)
    assert single.text.endswith("Group it by purpose, with the most important things first.")
    assert task.text.endswith("State the topic of the ticket and nothing else.")
