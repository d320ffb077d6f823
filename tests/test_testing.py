"""The scripted generator keeps the contract, and the contract finds out a generator that does not."""

import copy
import inspect
import itertools
import pickle
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest

from fipo_model import Completion, Generator, Message, Sampling
from fipo_model.errors import PromptTooLongError
from fipo_model.generation import Scorer, complete
from fipo_model.testing import GeneratorContract, ScorerContract, ScriptedGenerator, ScriptedScorer

Samples: TypeAlias = list[list[Completion]]


def echo(conversation: list[Message]) -> str:
    return f"You said: {conversation[-1]['content']}"


class TestScriptedGenerator(GeneratorContract):
    oversized_words = 500

    def make(self) -> Generator:
        return ScriptedGenerator(echo, context_tokens=200)


class Broken(ScriptedGenerator):
    """Keeps the contract until a subclass breaks one promise of it."""

    def __init__(self) -> None:
        super().__init__(echo)


def change(done: Samples, how: Callable[[Completion], Completion]) -> Samples:
    return [[how(completion) for completion in row] for row in done]


class RefusesNothing(Broken):
    """It has no limit, where its contract below names one."""


class FailsOnAnEmptyList(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        conversations[0]
        return super().generate(conversations, sampling, samples=samples)


class Nameless(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.name = ""


class Reverses(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return super().generate(conversations, sampling, samples=samples)[::-1]


class SortsByLength(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return super().generate(sorted(conversations, key=lambda c: len(c[-1]["content"])), sampling, samples=samples)


class LosesTheLast(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return super().generate(conversations, sampling, samples=samples)[: max(1, len(conversations) - 1)]


class LooksAtTheBatch(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return change(done, lambda c: replace(c, text=f"{len(done)} {c.text}"))


class IsNeverTheSame(Broken):
    _number = itertools.count()

    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return change(done, lambda c: replace(c, text=f"{next(self._number)}"))


class SamplesWithoutSeed(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return done if sampling.is_greedy else change(done, lambda c: replace(c, text=f"{c.text} {random.random()}"))


class SeedsAllButTheFirst(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        if len(done) > 1 and not sampling.is_greedy:
            done[0] = [replace(c, text=f"{random.random()}") for c in done[0]]
        return done


class SamplesByPlace(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        if sampling.is_greedy:
            return done
        return [[replace(c, text=f"{c.text} {place}") for c in row] for place, row in enumerate(done)]


class SamplesByCompany(Broken):
    """Tells samples apart by how often a conversation occurs, as the seam once asked for."""

    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        if sampling.is_greedy:
            return done
        before = [sum(other == one for other in conversations[:place]) for place, one in enumerate(conversations)]
        return [[replace(c, text=f"{c.text} {n}") for c in row] for n, row in zip(before, done, strict=True)]


class SamplesByTheirNumber(Broken):
    """A sample depends on how many are asked for."""

    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return change(done, lambda c: replace(c, text=f"{c.text} {samples}"))


class RepeatsOneSample(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return [row[:1] * samples for row in super().generate(conversations, sampling, samples=samples)]


class LosesASample(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return [row[: max(1, samples - 1)] for row in super().generate(conversations, sampling, samples=samples)]


class RepeatsGreedily(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        if not sampling.is_greedy:
            return super().generate(conversations, sampling, samples=samples)
        return [row * samples for row in super().generate(conversations, sampling)]


class TakesNoSamplesForNothing(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return super().generate(conversations, sampling, samples=samples) if samples else [[] for _ in conversations]


class SamplesGreedily(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        greedy = Sampling(max_new_tokens=sampling.max_new_tokens)
        return [row * samples for row in super().generate(conversations, greedy)]


class IgnoresTheSeed(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return super().generate(conversations, replace(sampling, seed=0), samples=samples)


class HidesThatItWasCutOff(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return change(done, lambda c: replace(c, is_truncated=False))


class TellsUnasked(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return change(done, lambda c: replace(c, log_likelihood=-1.0))


class SaysOtherThingsWhenMeasured(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return change(done, lambda c: replace(c, text=f"{c.text} {sampling.with_likelihood}"))


class TalksOn(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        return change(done, lambda c: replace(c, completion_tokens=99))


class InterpretsText(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        [c[-1]["content"].format() for c in conversations]
        return super().generate(conversations, sampling, samples=samples)


class SkipsEmptyText(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        return super().generate([c for c in conversations if c[-1]["content"]], sampling, samples=samples)


class CountsPadding(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        done = super().generate(conversations, sampling, samples=samples)
        most = max((c.prompt_tokens for row in done for c in row), default=0)
        return change(done, lambda c: replace(c, prompt_tokens=most))


class MixesUpThreads(Broken):
    def __init__(self) -> None:
        super().__init__()
        self._together = threading.Barrier(4)
        self._last: Sequence[list[Message]] = []

    def generate(self, conversations, sampling, *, samples=1):
        self._last = conversations
        if threading.current_thread() is not threading.main_thread():
            self._together.wait(5)
        return super().generate(self._last, sampling, samples=samples)


class NamesTheWrongPlace(Broken):
    def generate(self, conversations, sampling, *, samples=1):
        if any(len(conversation[-1]["content"]) > 1000 for conversation in conversations):
            raise PromptTooLongError(index=0, tokens=1000, limit=200)
        return super().generate(conversations, sampling, samples=samples)


class StreamsItsTextTwice(Broken):
    def stream(self, conversation, sampling):
        ((done,),) = self.generate([conversation], sampling)
        yield replace(done, text=done.text[:1], is_truncated=True)
        yield replace(done, text=done.text * 2)


class StreamsOtherWords(Broken):
    def stream(self, conversation, sampling):
        ((done,),) = self.generate([conversation], sampling)
        yield replace(done, text=f"not {done.text}", is_truncated=True)
        yield done


class StreamsInOnePiece(Broken):
    def stream(self, conversation, sampling):
        yield self.generate([conversation], sampling)[0][0]


PROMISES = [name for name, _ in inspect.getmembers(GeneratorContract, inspect.isfunction) if name.startswith("test_")]
# What each broken generator is found out by, at least.
BREACHES = [
    (FailsOnAnEmptyList, "test_an_empty_list_gives_an_empty_list"),
    (Nameless, "test_it_has_a_name"),
    (Reverses, "test_one_out_for_each_in_in_order_under_mixed_lengths"),
    (SortsByLength, "test_one_out_for_each_in_in_order_under_mixed_lengths"),
    (LosesTheLast, "test_one_out_for_each_in_in_order_under_mixed_lengths"),
    (LooksAtTheBatch, "test_one_out_for_each_in_in_order_under_mixed_lengths"),
    (IsNeverTheSame, "test_greedy_is_deterministic"),
    (SamplesWithoutSeed, "test_a_seed_reproduces_samples_whatever_else_is_asked"),
    (SeedsAllButTheFirst, "test_a_seed_reproduces_samples_whatever_else_is_asked"),
    (SamplesByPlace, "test_a_seed_reproduces_samples_whatever_else_is_asked"),
    (SamplesByCompany, "test_a_seed_reproduces_samples_whatever_else_is_asked"),
    (SamplesByTheirNumber, "test_a_seed_reproduces_samples_whatever_else_is_asked"),
    (RepeatsGreedily, "test_greedy_has_one_sample"),
    (TakesNoSamplesForNothing, "test_greedy_has_one_sample"),
    (RepeatsOneSample, "test_samples_of_one_prompt_differ_and_so_do_seeds"),
    (LosesASample, "test_samples_of_one_prompt_differ_and_so_do_seeds"),
    (SamplesGreedily, "test_samples_of_one_prompt_differ_and_so_do_seeds"),
    (IgnoresTheSeed, "test_samples_of_one_prompt_differ_and_so_do_seeds"),
    (HidesThatItWasCutOff, "test_a_cut_off_completion_says_so"),
    (TellsUnasked, "test_how_likely_a_completion_was_is_a_mean_log_probability_or_unknown"),
    (SaysOtherThingsWhenMeasured, "test_how_likely_a_completion_was_is_a_mean_log_probability_or_unknown"),
    (RefusesNothing, "test_a_conversation_that_does_not_fit_is_refused_by_its_index"),
    (NamesTheWrongPlace, "test_a_conversation_that_does_not_fit_is_refused_by_its_index"),
    (InterpretsText, "test_odd_text_is_just_text"),
    (SkipsEmptyText, "test_odd_text_is_just_text"),
    (CountsPadding, "test_counts_are_of_this_conversation"),
    (TalksOn, "test_counts_are_of_this_conversation"),
    (StreamsItsTextTwice, "test_a_stream_grows_to_what_is_generated"),
    (StreamsOtherWords, "test_a_stream_grows_to_what_is_generated"),
    (StreamsInOnePiece, "test_a_stream_grows_to_what_is_generated"),
    (MixesUpThreads, "test_threads_may_call_at_once"),
]


def contract_for(broken: type[Broken]) -> GeneratorContract:
    class Contract(GeneratorContract):
        oversized_words = 500

        def make(self) -> Generator:
            return broken()

    return Contract()


@pytest.mark.parametrize(("broken", "promise"), BREACHES, ids=lambda value: getattr(value, "__name__", value))
def test_the_contract_finds_out_a_broken_generator(broken: type[Broken], promise: str) -> None:
    with pytest.raises((AssertionError, LookupError)):
        getattr(contract_for(broken), promise)()


def test_every_promise_of_the_contract_is_broken_once_above() -> None:
    assert {promise for _, promise in BREACHES} == set(PROMISES)


@pytest.mark.parametrize("promise", PROMISES)
def test_the_generator_the_broken_ones_are_made_of_keeps_every_other_promise(promise: str) -> None:
    if "does_not_fit" not in promise:
        getattr(contract_for(Broken), promise)()


def ask(text: str) -> list[Message]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def test_a_script_decides_each_reply_and_every_call_is_recorded() -> None:
    generator = ScriptedGenerator(lambda conversation: conversation[-1]["content"].upper(), name="loud")
    replies = complete(generator, [ask("one"), ask("two")], Sampling())
    generator.generate([ask("three")], Sampling())
    assert replies == [
        Completion(text=text, is_truncated=False, prompt_tokens=3, completion_tokens=1) for text in ("ONE", "TWO")
    ]
    assert generator.calls == [[ask("one"), ask("two")], [ask("three")]]
    assert generator.batch_sizes == [2, 1]
    assert generator.name == "loud"


def test_samples_carry_their_seed_and_number() -> None:
    generator = ScriptedGenerator(lambda conversation: "Yes.")
    replies = generator.generate([ask("one"), ask("two")], Sampling(temperature=1.0, seed=3), samples=2)
    assert [[sample.text for sample in row] for row in replies] == [["Yes. (sample-3.0)", "Yes. (sample-3.1)"]] * 2


def test_words_over_the_limit_are_cut_and_it_says_so() -> None:
    generator = ScriptedGenerator(lambda conversation: conversation[-1]["content"])
    cut, whole = complete(generator, [ask("one two three"), ask("one two")], Sampling(max_new_tokens=2))
    assert (cut.text, cut.is_truncated, cut.completion_tokens) == ("one two", True, 2)
    assert (whole.text, whole.is_truncated, whole.completion_tokens) == ("one two", False, 2)


def test_the_context_holds_prompt_and_reply_and_nothing_is_generated_when_it_does_not() -> None:
    generator = ScriptedGenerator(echo, context_tokens=13)
    generator.generate([ask("one")], Sampling(max_new_tokens=10))
    with pytest.raises(PromptTooLongError) as caught:
        generator.generate([ask("one"), ask("one two")], Sampling(max_new_tokens=10))
    assert (caught.value.index, caught.value.tokens, caught.value.limit) == (1, 14, 13)
    assert generator.batch_sizes == [1]


def test_a_pickled_scripted_generator_says_the_same_and_has_been_asked_nothing() -> None:
    generator = ScriptedGenerator(echo, name="other", context_tokens=20)
    expected = generator.generate([ask("one")], Sampling(max_new_tokens=5))
    twin = pickle.loads(pickle.dumps(generator))
    assert (twin.name, twin.context_tokens, twin.calls) == ("other", 20, [])
    assert twin.generate([ask("one")], Sampling(max_new_tokens=5)) == expected


def test_a_deep_copy_is_the_same_generator_so_that_its_calls_can_be_seen() -> None:
    generator = ScriptedGenerator(echo)
    assert copy.deepcopy([generator])[0] is generator


def rate(conversation: list[Message], response: str) -> float:
    return -float(len(conversation[-1]["content"]) + sum(map(ord, response)))


class TestScriptedScorer(ScorerContract):
    oversized_words = 500

    def make(self) -> Scorer:
        return ScriptedScorer(rate, context_tokens=200)


class BrokenScorer(ScriptedScorer):
    """Keeps the contract until a subclass breaks one promise of it."""

    def __init__(self) -> None:
        super().__init__(rate)


class ScoresAnything(BrokenScorer):
    """It has no limit, where its contract below names one."""


class ScoresNothingBadly(BrokenScorer):
    def log_likelihoods(self, pairs):
        pairs[0]
        return super().log_likelihoods(pairs)


class NamelessScorer(BrokenScorer):
    def __init__(self) -> None:
        super().__init__()
        self.name = ""


class ScoresInReverse(BrokenScorer):
    def log_likelihoods(self, pairs):
        return super().log_likelihoods(pairs)[::-1]


class ScoresByCompany(BrokenScorer):
    def log_likelihoods(self, pairs):
        return [value - 0.01 * len(pairs) for value in super().log_likelihoods(pairs)]


class LosesAPair(BrokenScorer):
    def log_likelihoods(self, pairs):
        return super().log_likelihoods(pairs)[: max(1, len(pairs) - 1)]


class ScoresAboveZero(BrokenScorer):
    def log_likelihoods(self, pairs):
        return [-value for value in super().log_likelihoods(pairs)]


class ScoresAlike(BrokenScorer):
    def log_likelihoods(self, pairs):
        return [-1.0 for _ in super().log_likelihoods(pairs)]


class NamesTheWrongPair(BrokenScorer):
    def log_likelihoods(self, pairs):
        if any(len(response) > 1000 for _, response in pairs):
            raise PromptTooLongError(index=0, tokens=1000, limit=200)
        return super().log_likelihoods(pairs)


class ScoresEmptyResponses(BrokenScorer):
    def log_likelihoods(self, pairs):
        return [self.script(*pair) for pair in pairs]


class ScoresOnlyTidyText(BrokenScorer):
    def log_likelihoods(self, pairs):
        return super().log_likelihoods([(c, r) for c, r in pairs if "{" not in r])


SCORER_PROMISES = [
    name for name, _ in inspect.getmembers(ScorerContract, inspect.isfunction) if name.startswith("test_")
]
SCORER_BREACHES = [
    (ScoresNothingBadly, "test_an_empty_list_gives_an_empty_list"),
    (NamelessScorer, "test_it_has_a_name"),
    (ScoresInReverse, "test_a_figure_for_each_pair_in_order_whatever_else_is_asked"),
    (ScoresByCompany, "test_a_figure_for_each_pair_in_order_whatever_else_is_asked"),
    (LosesAPair, "test_a_figure_for_each_pair_in_order_whatever_else_is_asked"),
    (ScoresAboveZero, "test_figures_are_log_probabilities_and_tell_responses_apart"),
    (ScoresAlike, "test_figures_are_log_probabilities_and_tell_responses_apart"),
    (ScoresAnything, "test_a_pair_that_does_not_fit_is_refused_by_its_index"),
    (NamesTheWrongPair, "test_a_pair_that_does_not_fit_is_refused_by_its_index"),
    (ScoresEmptyResponses, "test_an_empty_response_is_refused"),
    (ScoresOnlyTidyText, "test_odd_text_is_just_text"),
]


def scorer_contract_for(broken: type[BrokenScorer]) -> ScorerContract:
    class Contract(ScorerContract):
        oversized_words = 500

        def make(self) -> Scorer:
            return broken()

    return Contract()


@pytest.mark.parametrize(("broken", "promise"), SCORER_BREACHES, ids=lambda value: getattr(value, "__name__", value))
def test_the_contract_finds_out_a_broken_scorer(broken: type[BrokenScorer], promise: str) -> None:
    with pytest.raises((AssertionError, LookupError)):
        getattr(scorer_contract_for(broken), promise)()


def test_every_promise_of_the_scorers_contract_is_broken_once_above() -> None:
    assert {promise for _, promise in SCORER_BREACHES} == set(SCORER_PROMISES)


@pytest.mark.parametrize("promise", SCORER_PROMISES)
def test_the_scorer_the_broken_ones_are_made_of_keeps_every_other_promise(promise: str) -> None:
    if "does_not_fit" not in promise:
        getattr(scorer_contract_for(BrokenScorer), promise)()


def test_a_scripted_scorer_records_its_calls_and_its_context_holds_prompt_and_response() -> None:
    scorer = ScriptedScorer(rate, name="stern", context_tokens=5)
    assert scorer.log_likelihoods([(ask("one"), "two")]) == [rate(ask("one"), "two")]
    with pytest.raises(PromptTooLongError) as caught:
        scorer.log_likelihoods([(ask("one"), "two"), (ask("one"), "two three four")])
    assert (caught.value.index, caught.value.tokens, caught.value.limit) == (1, 6, 5)
    assert (scorer.name, scorer.calls) == ("stern", [[(ask("one"), "two")]])
