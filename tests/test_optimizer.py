"""A prompt comes back better, or as it was with the reason; and it costs no more model calls than it must."""

import asyncio
import contextvars
import copy
import itertools
import pickle
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fipo_model import FIPO_2, FidelitySettings, LLMJudge, OptimizationRequest, PromptOptimizer, Sampling, optimizer
from fipo_model.backends.batching import BatchingGenerator
from fipo_model.errors import InputError, ModelError, PromptTooLongError
from fipo_model.rewriter import Rewriter
from fipo_model.testing import ScriptedGenerator
from fipo_model.types import OUTCOMES, ShownExample
from support.conversations import naive_in

PATIENCE = 20  # seconds after which the event loop counts as blocked
MORE = "Answer in one short sentence, and give the reason."


def improve(conversation) -> str:
    return f"{naive_in(conversation)} {MORE}"


def improving(**options) -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(improve), **options)


def saying(reply: str, **options) -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(lambda conversation: reply), **options)


class Samples(ScriptedGenerator):
    """Gives the replies in turn, and records how it was asked to decode and how often."""

    def __init__(self, *replies: str) -> None:
        super().__init__(improve)
        self.replies = replies
        self.samplings: list[Sampling] = []
        self.samples: list[int] = []

    def generate(self, conversations, sampling, *, samples=1):
        self.samplings.append(sampling)
        self.samples.append(samples)
        done = super().generate(conversations, replace(sampling, temperature=0.0))
        if not self.replies:
            return [own * samples for own in done]
        texts = itertools.islice(itertools.cycle(self.replies), samples)
        return [[replace(own[0], text=text) for text in texts] for own in done]


def judge_by(score) -> LLMJudge:
    """A judge who prefers the prompt with the higher score, and cannot decide between equal ones."""

    def script(conversation) -> str:
        first, rest = conversation[-1]["content"].split("Prompt A:\n")[1].split("\n\nPrompt B:\n")
        second = rest.split("\n\nWhich prompt")[0]
        if score(first) == score(second):
            return "Neither"
        return "A" if score(first) > score(second) else "B"

    return LLMJudge(ScriptedGenerator(script))


# --- one prompt


def test_examples_may_be_given_as_pairs_or_rows_and_the_model_is_shown_four():
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: "Explain rain."))
    rows = [("a", "1"), {"input": "b", "output": "2"}, ("c", "3"), ("d", "4"), ("e", "5")]
    shown = optimizer.optimize("rain", examples=rows).request.examples
    assert [(one.input, one.output) for one in shown] == [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")]
    assert asyncio.run(optimizer.aoptimize("rain", examples=rows)).request.examples == shown
    asked = FIPO_2.render(OptimizationRequest("rain", examples=shown))[-1]["content"]
    assert "Input: d" in asked
    assert "Input: e" not in asked
    alike = [("a", "1"), ("b", "1"), ("c", "2"), ("d", "1"), ("e", "3")]  # different outputs come first
    assert [one.input for one in optimizer.optimize("rain", examples=alike).request.examples] == [*"acebd"]
    with pytest.raises(InputError, match="example 1: it must be a pair"):
        optimizer.optimize("rain", examples=["a"])
    with pytest.raises(InputError, match=r"optimizer.optimize\(prompt, examples=rows\) takes pairs"):
        OptimizationRequest("rain", examples=[("a", "1")])


def test_a_prompt_comes_back_rewritten() -> None:
    made = improving()
    result = made.optimize("Name a colour.")
    assert result.text == f"Name a colour. {MORE}"
    assert (result.outcome, result.is_rewritten, result.detail) == ("optimized", True, "")
    assert result.request == OptimizationRequest("Name a colour.")
    assert (result.model, result.template) == ("scripted", "fipo-1")
    assert [(c.text, c.outcome) for c in result.candidates] == [(result.text, "optimized")]
    assert made.rewriter.generator.batch_sizes == [1]


def test_a_single_rewrite_is_decoded_greedily_with_room_for_its_word_limit() -> None:
    generator = Samples()
    PromptOptimizer(generator, seed=5).optimize("Name a colour.")
    assert generator.samplings == [Sampling(max_new_tokens=2 * 60 + 16, seed=5)]


def test_the_wrapping_of_a_reply_is_not_part_of_the_rewrite() -> None:
    assert saying('Golden prompt: "Name one colour."').optimize("Name a colour.").text == "Name one colour."


CONTEXT = "The quick brown fox jumps over the lazy dog near the river bank every single morning before breakfast."
SILVER = "The capital of that large country is the city of Paris."
FAILURES = {
    "unchanged": (OptimizationRequest("Name a colour."), "Name  a colour."),
    "empty": (OptimizationRequest("Name a colour."), " \n"),
    "truncated": (OptimizationRequest("Name a colour."), "Name a colour now. " * 40),
    "template_echoed": (OptimizationRequest("Name a colour."), "Name a colour.\nSilver response: blue, as a colour."),
    "answered": (
        OptimizationRequest("Name the capital of the country.", silver_response=SILVER),
        f"Name the capital. {SILVER}",
    ),
    "placeholder_lost": (OptimizationRequest("Translate {text} into French."), "Translate the text into French."),
    "placeholder_invented": (OptimizationRequest("Translate this text."), "Translate this text into {language}."),
    "literal_lost": (OptimizationRequest("Greet <name> warmly.", keep=("<name>",)), "Greet the guest very warmly."),
    "url_lost": (OptimizationRequest("Summarize https://a.example/x."), "Summarize https://a.example/y briefly."),
    "email_lost": (OptimizationRequest("Write to me@a.example today."), "Write to you@a.example today, briefly."),
    "code_lost": (OptimizationRequest("Explain `x += y` simply."), "Explain the statement simply, step by step."),
    "quotation_lost": (OptimizationRequest('Translate "good day" soon.'), "Translate the greeting soon, please."),
    "number_lost": (OptimizationRequest("Name 7 colours."), "Name several colours."),
    "example_leaked": (
        OptimizationRequest("plural?", examples=(ShownExample("house", "houses"), ShownExample("mouse", "mice"))),
        "plural?\n\nWrite the plural of the word house.",
    ),
    "golden_leaked": (
        OptimizationRequest("Name the capital.", golden_response="Antananarivo"),
        "Name the capital, which is Antananarivo.",
    ),
    "context_copied": (OptimizationRequest("Summarize the story.", context=CONTEXT), f"Summarize the story. {CONTEXT}"),
    "off_topic": (OptimizationRequest("Describe volcanoes briefly."), "Write something funny about modern kitchens."),
    "placeholder_doubled": (OptimizationRequest("Explain {text} well."), "Explain {text} well, and only {text}."),
    "order_changed": (
        OptimizationRequest("Turn {a} into {b}: from {a} to {b}."),
        "Turn {b} into {a}: from {b} to {a}.",
    ),
    "input_requested": (OptimizationRequest("Summarize it."), "Please provide the text you want me to summarize."),
    "language_changed": (OptimizationRequest("Explain how rain forms."), "Explique comment la pluie se forme."),
    "token_lost": (OptimizationRequest("Summarize <|user|> now."), "Summarize the user now, please."),
    "path_lost": (OptimizationRequest("Open /etc/hosts now."), "Open the file of hosts now."),
    "example_lost": (OptimizationRequest("Label it. good -> yes"), "Label it, and say yes if it is good."),
    "number_invented": (OptimizationRequest("Name colours."), "Name 12 colours."),
    "negation_lost": (OptimizationRequest("Do not mention cats."), "Mention cats."),
    "negation_invented": (OptimizationRequest("Mention cats."), "Do not mention cats."),
    "bound_lost": (OptimizationRequest("Use only blue colours."), "Use blue colours."),
    "language_lost": (OptimizationRequest("Describe the words of french cooks."), "Describe the words of cooks."),
    "language_invented": (OptimizationRequest("Translate the words."), "Translate the words to french."),
    "name_lost": (OptimizationRequest("Describe the mayor of Bonn."), "Describe the mayor of the town."),
    "name_invented": (OptimizationRequest("Describe the mayor."), "Describe the mayor of Bonn."),
    "label_lost": (OptimizationRequest("Classify it as good or bad."), "Classify it as good."),
    "label_invented": (OptimizationRequest("Classify it as good or bad."), "Classify it as good, bad or odd."),
    "format_lost": (OptimizationRequest("List colours as bullets."), "List colours."),
    "format_invented": (OptimizationRequest("List colours."), "List colours as json."),
    "form_contradicted": (
        OptimizationRequest("glue", examples=(ShownExample("a b", "a-b"),)),
        "glue\n\nGlue the parts and write each on its own line.",
    ),
    "manner_lost": (OptimizationRequest("Write a funny letter."), "Write a letter."),
    "manner_contradicted": (OptimizationRequest("Write a short letter."), "Write a short letter. Make it lengthy."),
    "task_invented": (OptimizationRequest("plural?"), "plural?\n\nSolve the riddle about the train."),
    "task_lost": (OptimizationRequest("Proofread the letter."), "Send the letter."),
    "sentence_lost": (
        OptimizationRequest("Describe volcanoes. Mention their shape and their height."),
        "Describe volcanoes well.",
    ),
    "too_long": (OptimizationRequest("Name a colour.", max_words=5), "Name one single bright colour now please."),
    "repetitive": (OptimizationRequest("Name a colour."), "Name a colour quickly. " * 12),
    "not_preferred": (OptimizationRequest("Name a colour."), f"Name a colour. {MORE}"),
}


@pytest.mark.parametrize("outcome", FAILURES)
def test_whatever_is_wrong_with_a_rewrite_the_prompt_stays_as_it_was_and_it_is_said(outcome: str) -> None:
    request, reply = FAILURES[outcome]
    result = saying(reply, judge=judge_by(lambda text: -len(text))).optimize(request)
    assert result.outcome == outcome
    assert result.text == request.instruction
    assert not result.is_rewritten
    assert result.detail
    assert [candidate.outcome for candidate in result.candidates] == [outcome]


def test_every_outcome_but_success_is_tried_above() -> None:
    assert set(FAILURES) == set(OUTCOMES) - {"optimized", "refused", "uncertain"}


@pytest.mark.parametrize(
    ("ending", "outcome", "detail"),
    [
        ({"is_refused": True, "note": "the policy forbids it"}, "refused", "the policy forbids it"),
        ({"is_truncated": True, "note": "nobody knows why"}, "truncated", "nobody knows why"),
        ({"is_truncated": True}, "truncated", "cut off after 5 tokens"),
        ({"text": "", "note": "the model called a tool"}, "empty", "the model called a tool"),
        ({"text": "<think>\nHm."}, "empty", "the model thought, but did not reply"),
    ],
)
def test_a_reply_that_did_not_end_well_is_not_used_and_says_how(ending, outcome, detail) -> None:
    class Ending(ScriptedGenerator):
        def generate(self, conversations, sampling, *, samples=1):
            found = super().generate(conversations, sampling, samples=samples)
            return [[replace(completion, **ending) for completion in own] for own in found]

    result = PromptOptimizer(Ending(lambda _: "Name a colour, please now.")).optimize("Name a colour.")
    assert (result.text, result.outcome) == ("Name a colour.", outcome)
    assert detail in result.detail


@pytest.mark.parametrize(
    ("least", "likelihood", "outcome"),
    [(-0.8, -0.9, "uncertain"), (-0.8, -0.8, "optimized"), (-0.8, None, "optimized"), (None, -9.0, "optimized")],
)
def test_a_guess_of_the_rewriter_is_not_used(least, likelihood, outcome) -> None:
    class Telling(ScriptedGenerator):
        def generate(self, conversations, sampling, *, samples=1):
            assert sampling.with_likelihood is (least is not None)  # it is asked only where it decides
            found = super().generate(conversations, sampling, samples=samples)
            return [[replace(completion, log_likelihood=likelihood) for completion in own] for own in found]

    rewriter = Rewriter(Telling(lambda _: "Name a colour, please now."), least_likelihood=least)
    result = PromptOptimizer.from_rewriter(rewriter).optimize("Name a colour.")
    assert result.outcome == outcome
    assert ("limit -0.80" in result.detail) is (outcome == "uncertain")


def test_a_rule_that_is_not_enforced_does_not_object() -> None:
    request, reply = FAILURES["number_lost"]
    assert saying(reply, settings=FidelitySettings().without("number_lost")).optimize(request).text == reply


@given(
    st.lists(st.sampled_from(["Translate", "{text}", "into", "French", "{x}", "Sure!", "\n", "7", '"'])).map(" ".join)
    | st.text(max_size=30)
)
@settings(deadline=None, max_examples=100)
def test_whatever_the_model_says_a_prompt_is_returned_that_can_be_used(reply: str) -> None:
    request = OptimizationRequest("Translate {text} into 7 languages.")
    result = saying(reply).optimize(request)
    if result.outcome == "optimized":
        assert result.text in reply
        assert result.text.split() != request.instruction.split()
        assert "{text}" in result.text
        assert "7" in result.text
        assert "{x}" not in result.text
    else:
        assert result.text == request.instruction


# --- several candidates, and the judge


def test_candidates_without_a_judge_are_refused() -> None:
    with pytest.raises(InputError, match=r"needs a judge, for example judge=LLMJudge\(generator\)"):
        improving(candidates=2)


@pytest.mark.parametrize("candidates", [0, -1])
def test_less_than_one_candidate_is_refused(candidates: int) -> None:
    with pytest.raises(InputError, match=f"candidates must be a whole number of at least 1, not {candidates}"):
        improving(candidates=candidates)


def test_all_candidates_of_all_prompts_are_sampled_in_one_batch() -> None:
    generator = Samples()
    made = PromptOptimizer(generator, candidates=3, judge=judge_by(len), seed=4)
    made.optimize_batch(["Name a colour.", "Name a fruit."])
    assert [naive_in(c) for c in generator.calls[0]] == ["Name a colour.", "Name a fruit."]
    assert generator.samples == [3]
    assert generator.samplings == [Sampling(max_new_tokens=136, temperature=0.8, top_p=0.95, seed=4)]


def test_the_seed_reaches_the_samples() -> None:
    made = improving(candidates=2, judge=judge_by(len), seed=9)
    assert made.optimize("Name a colour.").text.endswith("(sample-9.0)")


SHORT, MIDDLE, LONG = "Name one colour.", "Name one bright colour.", "Name one very bright and warm colour."


@pytest.mark.parametrize("replies", [(SHORT, MIDDLE, LONG), (LONG, SHORT, MIDDLE), (MIDDLE, LONG, SHORT)])
def test_the_judges_favourite_wins_wherever_it_stands(replies: tuple[str, ...]) -> None:
    result = PromptOptimizer(Samples(*replies), candidates=3, judge=judge_by(len)).optimize("Name a colour.")
    assert (result.text, result.outcome) == (LONG, "optimized")
    assert [c.text for c in result.candidates] == list(replies)
    assert [c.outcome for c in result.candidates].count("optimized") == 1
    assert all(c.detail for c in result.candidates if c.outcome == "not_preferred")


def test_a_rewrite_that_was_beaten_by_a_later_one_says_so() -> None:
    result = PromptOptimizer(Samples(MIDDLE, LONG), candidates=2, judge=judge_by(len)).optimize("Name a colour.")
    assert [c.detail for c in result.candidates] == ["a later rewrite won: preferred in both orders", ""]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("A", "by position"), ("B", "by position"), ("Both", "neither A nor B"), ("", "neither A nor B")],
)
def test_a_judge_who_cannot_decide_keeps_the_prompt_as_it_was(reply: str, reason: str) -> None:
    judge = LLMJudge(ScriptedGenerator(lambda conversation: reply))
    result = PromptOptimizer(Samples(SHORT, LONG), candidates=2, judge=judge).optimize("Name a colour.")
    assert (result.text, result.outcome) == ("Name a colour.", "not_preferred")
    assert [c.outcome for c in result.candidates] == ["not_preferred", "not_preferred"]
    assert reason in result.detail


def test_the_prompt_stays_if_no_rewrite_beats_it_in_both_orders() -> None:
    judge = judge_by(lambda text: -len(text))
    result = PromptOptimizer(Samples(LONG, MIDDLE), candidates=2, judge=judge).optimize("Name a colour.")
    assert (result.text, result.outcome) == ("Name a colour.", "not_preferred")


def test_rewrites_that_failed_a_check_are_not_judged_and_equal_ones_only_once() -> None:
    judge = judge_by(len)
    made = PromptOptimizer(Samples("", SHORT, SHORT, "", LONG), candidates=5, judge=judge)
    result = made.optimize("Name a colour.")
    assert [c.outcome for c in result.candidates] == ["empty", "not_preferred", "optimized"]
    assert judge.generator.batch_sizes == [2, 2]  # each of the two rewrites in both orders, one turn after the other


def test_nothing_is_judged_where_nothing_passed_and_the_first_failure_is_told() -> None:
    judge = judge_by(len)
    result = PromptOptimizer(Samples("", "Sure, red."), candidates=2, judge=judge).optimize("Name a colour.")
    assert (result.text, result.outcome) == ("Name a colour.", "empty")
    assert judge.generator.calls == []


def test_a_turn_of_the_tournament_is_one_batch_for_all_prompts() -> None:
    judge = judge_by(len)
    made = PromptOptimizer(ScriptedGenerator(improve), candidates=2, judge=judge)
    results = made.optimize_batch(["Name a colour.", "Name a fruit.", "Name a town."])
    assert judge.generator.batch_sizes == [6, 6]
    assert [result.text.split(" Answer")[0] for result in results] == [
        "Name a colour.",
        "Name a fruit.",
        "Name a town.",
    ]


def test_with_one_candidate_the_judge_is_a_gate() -> None:
    assert improving(judge=judge_by(len)).optimize("Name a colour.").is_rewritten
    assert improving(judge=judge_by(lambda text: -len(text))).optimize("Name a colour.").outcome == "not_preferred"


# --- the memo


def test_a_prompt_that_comes_again_costs_nothing() -> None:
    made = improving(judge=judge_by(len))
    first = made.optimize("Name a colour.")
    assert made.optimize("Name a colour.") == first
    assert made.optimize_batch(["Name a colour.", OptimizationRequest("Name a colour.")]) == [first, first]
    assert made.rewriter.generator.batch_sizes == [1]
    assert made.judge.generator.batch_sizes == [2]


def test_only_the_new_prompts_of_a_batch_are_asked() -> None:
    made = improving()
    made.optimize("Name a colour.")
    results = made.optimize_batch(["Name a fruit.", "Name a colour.", "Name a town."])
    assert made.rewriter.generator.batch_sizes == [1, 2]
    assert [r.request.instruction for r in results] == ["Name a fruit.", "Name a colour.", "Name a town."]


def test_a_request_that_differs_in_anything_is_asked_anew() -> None:
    made = improving()
    made.optimize("Name a colour.")
    made.optimize(OptimizationRequest("Name a colour.", context="Paint."))
    made.optimize(OptimizationRequest("Name a colour.", max_words=50))
    assert made.rewriter.generator.batch_sizes == [1, 1, 1]


def test_the_memo_is_bounded_and_forgets_what_was_not_asked_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "_MEMO_SIZE", 2)
    made = improving()
    made.optimize_batch(["Name a colour.", "Name a fruit."])
    made.optimize("Name a colour.")
    made.optimize("Name a town.")  # takes the place of the fruit
    made.optimize_batch(["Name a colour.", "Name a town."])
    assert made.rewriter.generator.batch_sizes == [2, 1]
    made.optimize("Name a fruit.")
    assert made.rewriter.generator.batch_sizes == [2, 1, 1]
    assert len(made._memo) == 2


def test_a_batch_larger_than_the_memo_is_answered_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "_MEMO_SIZE", 2)
    prompts = [f"Name colour number {number}." for number in range(9)]
    assert [result.text for result in improving().optimize_batch(prompts)] == [f"{prompt} {MORE}" for prompt in prompts]


def test_samples_are_not_remembered() -> None:
    made = improving(candidates=2, judge=judge_by(len))
    made.optimize("Name a colour.")
    made.optimize("Name a colour.")
    assert made.rewriter.generator.batch_sizes == [1, 1]


def test_a_failure_of_the_model_is_raised_and_not_remembered() -> None:
    replies = iter([ModelError("the model is gone"), "Name one colour."])

    def script(conversation) -> str:
        if isinstance(reply := next(replies), ModelError):
            raise reply
        return reply

    made = PromptOptimizer(ScriptedGenerator(script))
    with pytest.raises(ModelError, match="gone"):
        made.optimize_each(["Name a colour."])
    assert made.optimize("Name a colour.").text == "Name one colour."


# --- batches


def test_no_prompts_cost_no_call() -> None:
    made = improving()
    assert made.optimize_batch([]) == []
    assert made.rewriter.generator.calls == []


def test_one_result_for_each_in_order_and_duplicates_cost_one() -> None:
    made = improving()
    prompts = ["Name a colour.", "Name a fruit.", OptimizationRequest("Name a colour."), "Name a fruit."]
    results = made.optimize_batch(prompts)
    assert [r.text for r in results] == [f"Name a {thing}. {MORE}" for thing in ("colour", "fruit", "colour", "fruit")]
    assert made.rewriter.generator.batch_sizes == [2]


def test_each_length_class_is_one_call_and_the_order_stays() -> None:
    generator = Samples()
    made = PromptOptimizer(generator)
    long, longer = ("Consider these words: " + " ".join(f"w{n}" for n in range(count)) for count in (40, 100))
    requests = [long, "Name a colour.", longer, OptimizationRequest("Name a fruit.", max_words=60), f"{long} Really."]
    results = made.optimize_batch(requests)
    assert [r.request.instruction for r in results] == [
        long,
        "Name a colour.",
        longer,
        "Name a fruit.",
        f"{long} Really.",
    ]
    assert all(r.text.startswith(r.request.instruction) and r.is_rewritten for r in results)
    asked = zip(generator.batch_sizes, generator.samplings, strict=True)
    assert Counter((size, sampling.max_new_tokens) for size, sampling in asked) == Counter(
        [(2, 2 * 120 + 16), (2, 2 * 60 + 16), (1, 2 * 240 + 16)]
    )


def test_a_batch_needs_a_list_of_prompts() -> None:
    # A lone string was once taken for a list of one-letter prompts.
    made = improving()
    for call in (made.optimize_batch, made.optimize_each):
        with pytest.raises(InputError, match="a list of prompts, not a str; for a single one, use optimize"):
            call("Name a colour.")
    assert made.rewriter.generator.calls == []


TOO_LONG = "Name " + "very " * 25 + "many colours."


@pytest.mark.parametrize("candidates", [1, 3])
def test_prompts_that_cannot_be_used_do_not_stop_the_others(candidates: int) -> None:
    generator = ScriptedGenerator(improve, context_tokens=220)
    made = PromptOptimizer(generator, candidates=candidates, judge=judge_by(len))
    prompts = ["Name a colour.", TOO_LONG, "", "Name a fruit.", None, f"{TOO_LONG} Now.", TOO_LONG, "a\ud800"]
    colour, long, blank, fruit, nothing, longer, again, broken = made.optimize_each(prompts)
    assert [colour.is_rewritten, fruit.is_rewritten] == [True, True]
    assert [fruit.request.instruction, colour.request.instruction] == ["Name a fruit.", "Name a colour."]
    for place, error in ((1, long), (5, longer), (6, again)):
        assert isinstance(error, PromptTooLongError)
        assert error.index == place
        assert (error.limit, error.tokens > 220) == (220, True)
    assert "the prompt is empty" in str(blank)
    assert "a prompt must be a text, not NoneType" in str(nothing)
    assert "not valid UTF-8" in str(broken)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [(None, "not NoneType$"), (7, "not int$"), (["Name a colour."], r"not list \(optimize_batch takes several\)")],
)
def test_what_is_not_one_prompt_is_refused_wherever_one_is_taken(prompt: Any, said: str) -> None:
    made, rows = PromptOptimizer(ScriptedGenerator(lambda _: "")), [("a", "b")] * 4
    for take in (
        lambda: made.optimize(prompt),
        lambda: made.search(prompt, rows, metric="exact", models=[made.rewriter.generator]),
        lambda: made.headroom(prompt, rows, metric="exact", models=[made.rewriter.generator]),
    ):
        with pytest.raises(InputError, match=f"^a prompt must be a text, {said}"):
            take()


def test_a_batch_raises_the_first_prompts_error_with_its_place() -> None:
    made = PromptOptimizer(ScriptedGenerator(improve, context_tokens=220))
    with pytest.raises(PromptTooLongError) as caught:
        made.optimize_batch(["Name a colour.", "Name a colour.", TOO_LONG, ""])
    assert caught.value.index == 2
    with pytest.raises(InputError, match="empty"):
        made.optimize_batch(["Name a colour.", "", TOO_LONG])


def test_a_single_prompt_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(InputError, match="empty"):
        improving().optimize(" ")


# --- asyncio, threads, other processes


class NeedsTheLoop(ScriptedGenerator):
    """Answers once the event loop has come round, which it does not while it is blocked."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(improve)
        self.loop = loop
        self.stood_still = False

    def generate(self, conversations, sampling, *, samples=1):
        came_round = threading.Event()
        self.loop.call_soon_threadsafe(came_round.set)
        self.stood_still = self.stood_still or not came_round.wait(timeout=PATIENCE)
        if self.stood_still:
            raise ModelError("the event loop stood still while the model was at work")
        return super().generate(conversations, sampling, samples=samples)


async def test_concurrent_calls_share_batches_and_leave_the_event_loop_alone() -> None:
    # How long the loop is blocked, which a busy machine decides with, is measured by benchmarks/test_langchain.py.
    prompts = [f"Name colour number {number}." for number in range(200)]
    generator = NeedsTheLoop(asyncio.get_running_loop())
    made = PromptOptimizer(BatchingGenerator(generator))
    results = await asyncio.gather(*(made.aoptimize(prompt) for prompt in prompts))
    assert [result.text for result in results] == [f"{prompt} {MORE}" for prompt in prompts]
    assert len(generator.batch_sizes) <= 50


async def test_aoptimize_is_optimize() -> None:
    made = improving()
    assert await made.aoptimize("Name a colour.") == made.optimize("Name a colour.")
    with pytest.raises(InputError, match="empty"):
        await made.aoptimize("")


async def test_aoptimize_batch_is_optimize_batch() -> None:
    made = improving()
    prompts = ["Name a colour.", OptimizationRequest("Name a fruit.")]
    assert await made.aoptimize_batch(prompts) == made.optimize_batch(prompts)
    assert made.rewriter.generator.batch_sizes == [2]


async def test_aoptimize_each_is_optimize_each() -> None:
    rewritten, blank = await improving().aoptimize_each(["Name a colour.", ""])
    assert rewritten.text == f"Name a colour. {MORE}"
    assert isinstance(blank, InputError)


async def test_context_variables_reach_the_model() -> None:
    caller = contextvars.ContextVar("caller", default="nobody")
    caller.set("somebody")
    made = PromptOptimizer(ScriptedGenerator(lambda conversation: f"Name one colour, {caller.get()}."))
    assert (await made.aoptimize("Name a colour.")).text == "Name one colour, somebody."


async def test_a_copy_or_pickle_of_a_used_optimizer_works_and_remembers_nothing() -> None:
    generator = BatchingGenerator(ScriptedGenerator(improve))
    made = PromptOptimizer(generator, judge=LLMJudge(ScriptedGenerator(prefer_b_of_two)), seed=3)
    expected = await made.aoptimize("Name a colour.")
    for twin in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert not twin._memo
        assert twin.rewriter.seed == 3
        assert (twin.rewriter.template, twin.rewriter.settings) == (made.rewriter.template, made.rewriter.settings)
        assert await twin.aoptimize("Name a colour.") == expected
        assert twin.optimize("Name a fruit.").request.instruction == "Name a fruit."
    assert copy.deepcopy(made).rewriter.generator is generator
    assert len(made._memo) == 1


def prefer_b_of_two(conversation) -> str:
    return "B"


def test_threads_share_one_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "_MEMO_SIZE", 3)  # so that remembering and forgetting meet
    made = improving()
    prompts = [f"Name colour number {number % 5}." for number in range(400)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(made.optimize, prompts))
    finally:
        sys.setswitchinterval(interval)
    assert [result.text for result in results] == [f"{prompt} {MORE}" for prompt in prompts]
    assert len(made._memo) <= 3


def test_an_optimizer_can_be_told_what_every_rewrite_must_keep_and_how_long_it_may_be() -> None:
    made = saying("Explain rain and all of its many kinds, please.")
    kept = made.keeping("gently").keeping("slowly")
    assert made.optimize("Explain rain gently.").outcome == "optimized"
    assert kept.optimize("Explain rain gently.").outcome == "literal_lost"
    assert kept.optimize("Explain rain.").outcome == "optimized"  # the prompt has nothing of what is to be kept
    assert kept.rewriter.check("Explain rain.", OptimizationRequest("Explain rain slowly.")).outcome == "literal_lost"
    short = made.keeping(max_words=5)
    assert short.optimize("Explain rain.").outcome == "too_long"
    assert "at most 5 words" in short.rewriter.generator.calls[-1][0][-1]["content"]
    assert short.optimize(OptimizationRequest("Explain rain.", max_words=20)).outcome == "optimized"
    assert short.rewriter.generator is made.rewriter.generator
    for wrong in ({"keep": "Ann"}, {"keep": (1,)}, {"max_words": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            replace(made.rewriter, **wrong)


def test_an_optimizer_can_be_held_to_other_rules() -> None:
    naive = "Describe how rivers shape a valley."
    made = saying("Describe how rivers shape a wide, gentle valley over time.")
    strict = made.checking(FidelitySettings(strict_wording=True))
    assert made.optimize(naive).text == "Describe how rivers shape a wide, gentle valley over time."
    assert strict.optimize(naive).text.startswith(f"{naive}\n\n")
    assert strict.rewriter.generator is made.rewriter.generator
