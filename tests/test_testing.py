"""The scripted generator keeps the contract, and the contract finds out a generator that does not."""

import copy
import inspect
import itertools
import pickle
import random
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from fipo_model import Completion, Generator, Message, Sampling
from fipo_model.errors import PromptTooLongError
from fipo_model.testing import GeneratorContract, ScriptedGenerator


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


class RefusesNothing(Broken):
    """It has no limit, where its contract below names one."""


class FailsOnAnEmptyList(Broken):
    def generate(self, conversations, sampling):
        conversations[0]
        return super().generate(conversations, sampling)


class Nameless(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.name = ""


class Reverses(Broken):
    def generate(self, conversations, sampling):
        return super().generate(conversations, sampling)[::-1]


class SortsByLength(Broken):
    def generate(self, conversations, sampling):
        return super().generate(sorted(conversations, key=lambda c: len(c[-1]["content"])), sampling)


class LosesTheLast(Broken):
    def generate(self, conversations, sampling):
        return super().generate(conversations, sampling)[: max(1, len(conversations) - 1)]


class LooksAtTheBatch(Broken):
    def generate(self, conversations, sampling):
        done = super().generate(conversations, sampling)
        return [replace(c, text=f"{len(done)} {c.text}") for c in done]


class IsNeverTheSame(Broken):
    _number = itertools.count()

    def generate(self, conversations, sampling):
        return [replace(c, text=f"{next(self._number)}") for c in super().generate(conversations, sampling)]


class SamplesWithoutSeed(Broken):
    def generate(self, conversations, sampling):
        seed = sampling.seed if sampling.is_greedy else random.random()
        done = super().generate(conversations, sampling)
        return done if sampling.is_greedy else [replace(c, text=f"{c.text} {seed}") for c in done]


class SeedsAllButTheFirst(Broken):
    def generate(self, conversations, sampling):
        done = super().generate(conversations, sampling)
        if len(done) > 1 and not sampling.is_greedy:
            done[0] = replace(done[0], text=f"{random.random()}")
        return done


class SamplesByPlace(Broken):
    def generate(self, conversations, sampling):
        done = super().generate(conversations, sampling)
        return done if sampling.is_greedy else [replace(c, text=f"{c.text} {i}") for i, c in enumerate(done)]


class SamplesGreedily(Broken):
    def generate(self, conversations, sampling):
        return super().generate(conversations, Sampling(max_new_tokens=sampling.max_new_tokens))


class IgnoresTheSeed(Broken):
    def generate(self, conversations, sampling):
        return super().generate(conversations, replace(sampling, seed=0))


class HidesThatItWasCutOff(Broken):
    def generate(self, conversations, sampling):
        return [replace(c, is_truncated=False) for c in super().generate(conversations, sampling)]


class TalksOn(Broken):
    def generate(self, conversations, sampling):
        return [replace(c, completion_tokens=99) for c in super().generate(conversations, sampling)]


class InterpretsText(Broken):
    def generate(self, conversations, sampling):
        [c[-1]["content"].format() for c in conversations]
        return super().generate(conversations, sampling)


class SkipsEmptyText(Broken):
    def generate(self, conversations, sampling):
        return super().generate([c for c in conversations if c[-1]["content"]], sampling)


class CountsPadding(Broken):
    def generate(self, conversations, sampling):
        done = super().generate(conversations, sampling)
        return [replace(c, prompt_tokens=max(d.prompt_tokens for d in done)) for c in done]


class MixesUpThreads(Broken):
    def __init__(self) -> None:
        super().__init__()
        self._together = threading.Barrier(4)
        self._last: Sequence[list[Message]] = []

    def generate(self, conversations, sampling):
        self._last = conversations
        if threading.current_thread() is not threading.main_thread():
            self._together.wait(5)
        return super().generate(self._last, sampling)


class NamesTheWrongPlace(Broken):
    def generate(self, conversations, sampling):
        if any(len(conversation[-1]["content"]) > 1000 for conversation in conversations):
            raise PromptTooLongError(index=0, tokens=1000, limit=200)
        return super().generate(conversations, sampling)


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
    (SamplesGreedily, "test_samples_of_one_prompt_differ_and_so_do_seeds"),
    (IgnoresTheSeed, "test_samples_of_one_prompt_differ_and_so_do_seeds"),
    (HidesThatItWasCutOff, "test_a_cut_off_completion_says_so"),
    (RefusesNothing, "test_a_conversation_that_does_not_fit_is_refused_by_its_index"),
    (NamesTheWrongPlace, "test_a_conversation_that_does_not_fit_is_refused_by_its_index"),
    (InterpretsText, "test_odd_text_is_just_text"),
    (SkipsEmptyText, "test_odd_text_is_just_text"),
    (CountsPadding, "test_counts_are_of_this_conversation"),
    (TalksOn, "test_counts_are_of_this_conversation"),
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
    replies = generator.generate([ask("one"), ask("two")], Sampling())
    generator.generate([ask("three")], Sampling())
    assert replies == [
        Completion(text=text, is_truncated=False, prompt_tokens=3, completion_tokens=1) for text in ("ONE", "TWO")
    ]
    assert generator.calls == [[ask("one"), ask("two")], [ask("three")]]
    assert generator.batch_sizes == [2, 1]
    assert generator.name == "loud"


def test_samples_carry_their_seed_and_number() -> None:
    generator = ScriptedGenerator(lambda conversation: "Yes.")
    replies = generator.generate([ask("one"), ask("two"), ask("one")], Sampling(temperature=1.0, seed=3))
    assert [reply.text for reply in replies] == ["Yes. (sample-3.0)", "Yes. (sample-3.0)", "Yes. (sample-3.1)"]


def test_words_over_the_limit_are_cut_and_it_says_so() -> None:
    cut, whole = ScriptedGenerator(lambda conversation: conversation[-1]["content"]).generate(
        [ask("one two three"), ask("one two")], Sampling(max_new_tokens=2)
    )
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
