"""The seam's own few promises: settings that make sense, and one conversation's error kept from the others."""

from dataclasses import FrozenInstanceError

import pytest

from fipo_model import Completion, PromptOptimizer, Rewriter, Sampling
from fipo_model.backends.opening import open_generator, open_scorer
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.generation import check_samples, complete_each, generate_each, score_each
from fipo_model.testing import ScriptedGenerator, ScriptedScorer
from support.conversations import ask, echo


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("max_new_tokens", 0, "max_new_tokens must be at least 1, not 0"),
        ("temperature", -0.1, "temperature must not be negative, but is -0.1"),
        ("top_p", 0.0, r"top_p must be in \(0, 1\], but is 0.0"),
        ("top_p", 1.1, r"top_p must be in \(0, 1\], but is 1.1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: str, value: float, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Sampling(**{setting: value})


def test_decoding_is_greedy_unless_a_temperature_is_given() -> None:
    assert Sampling().is_greedy
    assert Sampling(seed=3, top_p=0.5).is_greedy
    assert not Sampling(temperature=0.1).is_greedy


def test_settings_are_frozen_and_equal_by_value() -> None:
    assert hash(Sampling(seed=1)) == hash(Sampling(seed=1))
    with pytest.raises(FrozenInstanceError):
        Sampling().seed = 2  # type: ignore[misc]


def test_each_conversation_gets_its_completion_or_its_error_in_its_place() -> None:
    generator = ScriptedGenerator(echo, context_tokens=20)
    conversations = [ask(text) for text in ("a", "long " * 20, "b", "longer " * 30, "c")]
    results = complete_each(generator, conversations, Sampling(max_new_tokens=5))
    said = [result.text if isinstance(result, Completion) else result.index for result in results]
    assert said == ["Re: a", 1, "Re: b", 3, "Re: c"]
    assert all(isinstance(results[place], PromptTooLongError) for place in (1, 3))
    assert generator.batch_sizes == [3]


def test_nothing_to_ask_gives_nothing() -> None:
    assert complete_each(ScriptedGenerator(echo), [], Sampling()) == []


def test_if_nothing_fits_every_place_has_its_error() -> None:
    results = complete_each(ScriptedGenerator(echo, context_tokens=1), [ask("a"), ask("b")], Sampling())
    assert [result.index for result in results] == [0, 1]


def test_a_model_that_miscounts_is_found_out() -> None:
    class LosesOne(ScriptedGenerator):
        def generate(self, conversations, sampling, *, samples=1):
            return super().generate(conversations, sampling, samples=samples)[1:]

    with pytest.raises(ValueError, match="shorter"):
        complete_each(LosesOne(echo), [ask("a"), ask("b")], Sampling())


def test_the_samples_of_a_conversation_come_together() -> None:
    generator = ScriptedGenerator(echo, context_tokens=20)
    asked = [ask("a"), ask("long " * 20), ask("a")]
    first, too_long, second = generate_each(generator, asked, Sampling(max_new_tokens=9, temperature=1.0), samples=2)
    assert [sample.text for sample in first] == ["Re: a (sample-0.0)", "Re: a (sample-0.1)"]
    assert second == first
    assert too_long.index == 1


@pytest.mark.parametrize(
    ("sampling", "samples", "complaint"),
    [
        (Sampling(), 2, "greedy decoding has one completion, not 2: set a sampling temperature above 0"),
        (Sampling(temperature=1.0), 0, "samples must be at least 1, not 0"),
    ],
)
def test_samples_that_decoding_cannot_give_are_refused(sampling: Sampling, samples: int, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_samples(sampling, samples)


def test_each_pair_gets_its_figure_or_its_error_in_its_place() -> None:
    scorer = ScriptedScorer(lambda conversation, response: -float(len(response)), context_tokens=9)
    pairs = [(ask("a"), "yes"), (ask("long " * 9), "yes"), (ask("a"), "no")]
    first, too_long, second = score_each(scorer, pairs)
    assert (first, second, too_long.index) == (-3.0, -2.0, 1)
    assert len(scorer.calls) == 1


class ChatModel:
    """Another library's, with a method of the same name that takes and gives other things."""

    name = "chat"

    def generate(self, messages):
        raise NotImplementedError

    def invoke(self, message):
        raise NotImplementedError


@pytest.mark.parametrize("model", [5, b"default", ["default"], ChatModel(), ScriptedScorer(lambda *_: 0.0)])
def test_what_is_no_generator_is_told_at_once(model: object) -> None:
    for make in (Rewriter, PromptOptimizer, open_generator):
        with pytest.raises(InputError, match=r"a model is a name .* or a Generator, an object with"):
            make(model)


@pytest.mark.parametrize("model", [5, ChatModel(), ScriptedGenerator(echo)])
def test_what_is_no_scorer_is_told_at_once(model: object) -> None:
    with pytest.raises(InputError, match=r"a model is a name .* or a Scorer"):
        open_scorer(model)


def test_what_is_a_generator_or_a_scorer_is_taken_as_it_is() -> None:
    generator, scorer = ScriptedGenerator(echo), ScriptedScorer(lambda *_: 0.0)
    assert open_generator(generator) is generator
    assert open_scorer(scorer) is scorer


@pytest.mark.parametrize(("setting", "value"), [("samples", "3"), ("samples", 0), ("seed", "x")])
def test_numbers_that_are_none_are_told_before_a_model_is_loaded(setting: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{setting} must be a whole number"):
        Rewriter.from_pretrained("/nowhere", **{setting: value})


@pytest.mark.parametrize("prompts", ["Name a colour.", None, 5])
def test_what_is_no_list_of_prompts_is_told(prompts: object) -> None:
    with pytest.raises(InputError, match="this takes a list of prompts, not a"):
        PromptOptimizer(ScriptedGenerator(echo)).optimize_batch(prompts)
