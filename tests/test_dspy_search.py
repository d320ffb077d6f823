"""Compiling with a metric: what the rewriter is shown, what a search may cost, and that it survives a kill."""

import functools
import itertools
import json
import logging
import random
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import dspy
import pytest
from dspy.evaluate import Evaluate
from dspy.utils.parallelizer import ParallelExecutor

from fipo_integrations.dspy import FIPO, SearchSettings, evaluation, responses
from fipo_model import Message, PromptOptimizer, Sampling
from fipo_model.errors import InputError
from fipo_model.jobs import claimed_file
from fipo_model.search import Budget
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.dspy_programs import (
    ANIMALS,
    GUIDANCE,
    QUESTIONS,
    Answer,
    Counting,
    Zoo,
    answering,
    any_lead,
    better_with_guidance,
    careful,
    exact,
    examples,
    fipo,
    instructions,
    outcomes,
    search_options,
    sent,
    task_lm,
)

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


class Pipeline(dspy.Module):
    """Two predictors in a row; the labels are what the second one puts out."""

    def __init__(self) -> None:
        super().__init__()
        self.search = dspy.Predict(dspy.Signature("question -> query", "Write a query."))
        self.answer = dspy.Predict(dspy.Signature("question, query -> answer", "Answer from the query."))

    def forward(self, question: str) -> dspy.Prediction:
        return self.answer(question=question, query=self.search(question=question).query)


def in_a_row(instruction: str, question: str) -> str:
    """The query is good if it is asked for with care or about cats; the answer is right if the query is good."""
    if "Write a query." in instruction:
        return f"[[ ## query ## ]]\n{'good' if GUIDANCE in instruction or 'cat' in question else 'poor'} query"
    return answering("right" if "good query" in question else "wrong")


class Unnumbered(ScriptedGenerator):
    """Samples are what the script says, and no more than that."""

    def generate(self, conversations, sampling, *, samples=1):
        greedy = Sampling(max_new_tokens=sampling.max_new_tokens)
        turns = [super(Unnumbered, self).generate(conversations, greedy) for _ in range(samples)]
        return [[sample for (sample,) in own] for own in zip(*turns, strict=True)]


# What the rewriter is shown


def test_labels_are_golden_and_what_the_student_said_is_silver():
    using = fipo(**search_options(candidates=3))
    with dspy.context(lm=task_lm(in_a_row)):
        using.compile(Pipeline(), trainset=examples(["A bird?"]), valset=examples(["A cat?", "An ant?"]))
    plain, first, *others = sent(using, "Answer from")
    assert "response" not in plain.replace("the response should look like", "")
    assert others == []  # four samples of one conversation
    assert "Silver response (what the naive prompt got):\nwrong\n" in first
    assert "Golden response (what it should get, do not give it away):\nright\n" in first


@pytest.mark.parametrize(("question", "kind"), [("A cat?", "Golden"), ("A bird?", "Silver")])
def test_what_an_inner_predictor_said_is_golden_where_the_metric_says_success(question, kind):
    using = fipo(**search_options(candidates=3))
    with dspy.context(lm=task_lm(in_a_row)):
        using.compile(Pipeline(), trainset=examples([question]), valset=examples(["A cat?", "An ant?"]))
    shown = sent(using, "Write a query")[1]
    assert f"{kind} response (" in shown
    assert f":\n{'good' if kind == 'Golden' else 'poor'} query\n" in shown
    assert ("Golden" if kind == "Silver" else "Silver") not in shown


def test_success_is_what_the_threshold_says():
    def half(example, prediction, trace=None):
        return 0.5

    for threshold, kind in [(0.5, "Golden"), (0.6, "Silver")]:
        using = fipo(metric=half, search=any_lead(candidates=3, metric_threshold=threshold))
        with dspy.context(lm=task_lm(in_a_row)):
            using.compile(Pipeline(), trainset=examples(["A bird?"]))
        assert f"{kind} response (" in sent(using, "Write a query")[1]


def test_several_output_fields_are_named():
    class Two(dspy.Module):
        def __init__(self):
            super().__init__()
            self.answer = dspy.ChainOfThought(Answer)

        def forward(self, question):
            return self.answer(question=question)

    def reply(instruction: str, question: str) -> str:
        return f"[[ ## reasoning ## ]]\nLegs are counted.\n\n{answering('wrong')}"

    using = fipo(**search_options(candidates=2))
    with dspy.context(lm=task_lm(reply)):
        using.compile(Two(), trainset=examples(["A bird?"]))
    shown = sent(using, "Answer the question.")[1]
    assert "got):\nreasoning: Legs are counted.\nanswer: wrong\n" in shown
    assert "give it away):\nright\n" in shown


def test_without_a_metric_labels_are_golden_and_the_program_is_not_called():
    task = Counting(in_a_row)
    using = fipo()
    with dspy.context(lm=task.lm):
        compiled = using.compile(Pipeline(), trainset=examples(["A bird?"]))
    assert task.calls == 0
    assert using.optimizer.rewriter.generator.batch_sizes == [2]
    assert "give it away):\nright\n" in sent(using, "Answer from")[0]
    assert "response (" not in sent(using, "Write a query")[0]
    assert set(outcomes(compiled).values()) == {"optimized"}


def test_without_a_metric_the_student_is_run_only_if_asked():
    task = Counting(in_a_row)
    using = fipo(search=any_lead(student_responses=True))
    with dspy.context(lm=task.lm):
        using.compile(Pipeline(), trainset=examples(["A bird?"]))
    assert task.calls == 2
    assert "got):\nwrong\n" in sent(using, "Answer from")[0]
    assert "got):\npoor query\n" in sent(using, "Write a query")[0]


def test_with_a_metric_the_student_need_not_be_run_for_responses():
    task = Counting(in_a_row)
    using = fipo(**search_options(candidates=1, student_responses=False), predictors=["answer"])
    with dspy.context(lm=task.lm):
        using.compile(Pipeline(), trainset=examples(["A bird?"]), valset=examples(["An ant?"]))
    assert task.calls == 2 * 2


STEPS = ("slow", "small", "careful", "plain", "steady", "calm")


def test_repeated_and_refused_rewrites_do_not_take_the_place_of_others():
    def rewrite(conversation: list[Message]) -> str:
        return next(replies)(naive_in(conversation))

    def kept(naive: str) -> str:
        return naive

    def numbered(number: int) -> Callable[[str], str]:
        return lambda naive: f"{naive} Take {STEPS[number]} steps."

    # The greedy one leaves the instruction alone; of the samples, the first two are refused and the next is repeated.
    replies = iter([kept, lambda naive: "", lambda naive: "Sure!", *[numbered(n) for n in (1, 1, 2, 3, 4, 5)]])
    generator = Unnumbered(rewrite)
    using = FIPO(optimizer=PromptOptimizer(generator), predictors=["answer"], **search_options(candidates=4))
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(Zoo(), valset=examples())
    found = compiled.fipo_report["predictors"][0]["candidates"]
    accepted = [row["text"].removeprefix("Answer the question. ") for row in found if row["outcome"] == "optimized"]
    assert accepted == [f"Take {STEPS[number]} steps." for number in (1, 2, 3, 4)]
    assert sorted({row["outcome"] for row in found}) == ["answered", "empty", "optimized", "unchanged"]


def test_labels_that_two_predictors_could_put_out_belong_to_the_one_that_did_last():
    class Draft(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = dspy.Predict(Answer.with_instructions("Answer at first."))
            self.last = dspy.Predict(Answer.with_instructions("Answer at last."))

        def forward(self, question):
            self.first(question=question)
            return self.last(question=question)

    trainset = examples(["A bird?"])
    without = fipo()
    without.compile(Draft(), trainset=trainset)
    assert not any("Golden response (" in text for text in sent(without, "Answer at"))
    with_runs = fipo(**search_options(candidates=2))
    with dspy.context(lm=task_lm(lambda instruction, question: answering("wrong"))):
        with_runs.compile(Draft(), trainset=trainset)
    assert "Golden response (" in sent(with_runs, "Answer at last.")[1]
    assert "Golden response (" not in sent(with_runs, "Answer at first.")[1]


def test_training_examples_that_fail_are_said_and_give_labels_only(caplog):
    class Fragile(Zoo):
        def forward(self, question):
            if "train" in question:
                raise RuntimeError("no trains here")
            return super().forward(question)

    using = fipo(**search_options(candidates=2))
    with dspy.context(lm=task_lm(better_with_guidance)):
        using.compile(Fragile(), trainset=examples(["A train?"]), valset=examples())
    assert "1 of 1 training examples failed and give no responses; RuntimeError: no trains here" in caplog.text
    assert "Silver" not in sent(using, "Answer the question.")[1]
    assert "Golden response (" in sent(using, "Answer the question.")[1]


# Candidates and their choice


def only_sample(number: str) -> Callable[[str, str], str]:
    """A task model that is right about everything only under one of the sampled rewrites."""
    return lambda instruction, question: answering("right" if f"(sample-{number})" in instruction else "wrong")


def test_candidates_come_from_two_batches_and_the_best_of_them_wins():
    using = fipo(**search_options(candidates=4, seed=5, minibatch_size=2), predictors=["answer"])
    with dspy.context(lm=task_lm(only_sample("5.1"))):
        compiled = using.compile(Zoo(), valset=examples())
    assert using.optimizer.rewriter.generator.batch_sizes == [1, 1]
    assert [row["outcome"] for row in compiled.fipo_report["predictors"][0]["candidates"]] == ["optimized"] * 4
    assert instructions(compiled)["answer"] == f"Answer the question. {GUIDANCE} (sample-5.1)"
    assert compiled.score == 100.0


class Busy:
    """A metric that takes its time and remembers how many runs were scored at one time."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, example, prediction, trace=None):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.1)
        with self._lock:
            self._now -= 1
        return exact(example, prediction)


def test_candidates_run_side_by_side_on_no_more_threads_than_there_may_be():
    metric = Busy()
    search = any_lead(candidates=4, minibatch_size=2, seed=5)
    using = fipo(metric=metric, num_threads=6, search=search, predictors=["answer"])
    with dspy.context(lm=task_lm(only_sample("5.1"))):
        compiled = using.compile(Zoo(), valset=examples(["A cat?", "A bird?", "An ant?", "A bear?"]))
    assert 4 < metric.most <= 6
    assert compiled.score == 100.0


def test_a_metric_that_returns_no_number_for_one_of_several_candidates_is_said():
    def sometimes(example, prediction, trace=None):
        return None if prediction.answer == "right" else 0.0

    using = fipo(metric=sometimes, num_threads=8, search=any_lead(candidates=4, minibatch_size=2, seed=5))
    with (
        dspy.context(lm=task_lm(only_sample("5.1"))),
        pytest.raises(InputError, match=r"sometimes must return a number \(is a return missing\?\)"),
    ):
        using.compile(Zoo(), valset=examples())


def test_one_candidate_that_always_fails_takes_nothing_from_those_beside_it():
    def picky(example, prediction, trace=None):
        if prediction.answer == "right":
            raise ValueError("cannot say")
        return 0.5 if prediction.answer == "fine" else 0.0

    def reply(instruction: str, question: str) -> str:
        return answering({"(sample-5.0)": "right", "(sample-5.1)": "fine"}.get(instruction[-12:], "wrong"))

    search = any_lead(candidates=4, minibatch_size=4, seed=5)
    using = fipo(metric=picky, num_threads=16, search=search, predictors=["answer"])
    with dspy.context(lm=task_lm(reply), max_errors=3):
        compiled = using.compile(Zoo(), valset=examples([f"Question {n}?" for n in range(8)]))
    assert instructions(compiled)["answer"].endswith("(sample-5.1)")
    assert compiled.score == 50.0


def test_the_metric_sees_the_users_own_examples():
    seen = []

    def metric(example, prediction, trace=None):
        seen.append((example.toDict(), set(example.inputs().keys())))
        return exact(example, prediction)

    with dspy.context(lm=task_lm(better_with_guidance)):
        fipo(metric=metric, num_threads=16, search=any_lead(candidates=4)).compile(Zoo(), trainset=examples())
    own = [(example.toDict(), {"question"}) for example in examples()]
    assert len(seen) > len(own)
    assert all(one in own for one in seen)


def test_predictors_are_improved_one_after_another():
    def both(instruction: str, question: str) -> str:
        if "Write a query." in instruction:
            return f"[[ ## query ## ]]\n{'good' if GUIDANCE in instruction else 'poor'} query"
        knows = random.Random(question).random() < 0.5 or GUIDANCE in instruction
        return answering("right" if "good query" in question and knows else "wrong")

    with dspy.context(lm=task_lm(both)):
        compiled = fipo(**search_options(candidates=1)).compile(Pipeline(), valset=examples(ANIMALS))
    complete = [trial for trial in compiled.trial_logs.values() if trial["examples"] == len(ANIMALS)]
    scores = [trial["score"] for trial in complete]
    assert outcomes(compiled) == {"search": "optimized", "answer": "optimized"}
    assert scores[0] == 0 < scores[1] < scores[2] == compiled.score == 100
    assert [len(trial["changed"]) for trial in complete] == [0, 1, 2]
    assert compiled.fipo_report["gain"] == {"value": 100, "low": 100, "high": 100, "level": 0.95}


@pytest.mark.parametrize("seed", [0, 7])
def test_a_seed_reproduces_a_compile(seed):
    def noisy(instruction: str, question: str) -> str:
        return answering("right" if random.Random(instruction + question).random() < 0.5 else "wrong")

    def compiled(seed: int) -> dspy.Module:
        options = search_options(seed=seed, minibatch_size=3)
        with dspy.context(lm=task_lm(noisy)):
            return fipo(**options).compile(Zoo(), trainset=examples(ANIMALS[:8]), valset=examples(ANIMALS[8:]))

    first, again, other = compiled(seed), compiled(seed), compiled(seed + 1)
    assert first.fipo_report == again.fipo_report
    assert instructions(first) == instructions(again)
    assert first.fipo_report["trials"] != other.fipo_report["trials"]


ADVERSE = (
    lambda naive: f"{naive} Always say that it is wrong.",
    lambda naive: f"{naive} {GUIDANCE}",
    lambda naive: "Sure! The answer is right.",
    lambda naive: "",
    lambda naive: f"{naive} Fill in `nonsense` first.",
    lambda naive: f"{naive} Break.",
    lambda naive: "Tell me a story about the sea and its ships.",
)


@pytest.mark.parametrize("seed", range(20))
def test_no_compile_returns_a_program_below_the_student(seed):
    draw = random.Random(seed)

    def rewrite(conversation: list[Message]) -> str:
        return draw.choice(ADVERSE)(naive_in(conversation))

    def noisy(instruction: str, question: str) -> str:
        if "Break." in instruction:
            return "no fields at all"
        chance = 0.2 if "wrong" in instruction else 0.5
        noise = random.Random(f"{seed} {instruction} {question}").random()
        return answering("right" if noise < chance else "wrong")

    student, valset = Zoo(), examples(ANIMALS[:12])
    with dspy.context(lm=task_lm(noisy)):
        options = search_options(seed=seed, candidates=6, minibatch_size=4, max_metric_calls=30 + 5 * seed)
        compiled = fipo(rewrite, **options).compile(student, trainset=examples(QUESTIONS), valset=valset)
        evaluate = dspy.Evaluate(devset=valset, metric=exact, num_threads=1)
        assert evaluate(compiled).score == compiled.score >= evaluate(student).score
    assert compiled.fipo_report["gain"]["value"] >= 0


# Budget and estimate


def calls_of(metric_calls: list[int]) -> Callable[..., bool]:
    def counted(example, prediction, trace=None):
        metric_calls.append(1)
        return exact(example, prediction)

    return counted


@pytest.mark.parametrize("budget", [48, 49, 60, 75, 120, 400, None])
def test_the_metric_is_called_no_more_often_than_allowed_and_as_estimated(budget):
    calls: list[int] = []
    task = Counting(better_with_guidance)
    search = any_lead(candidates=5, minibatch_size=4, max_metric_calls=budget)
    using = fipo(metric=calls_of(calls), num_threads=1, search=search)
    data = {"trainset": examples(), "valset": examples(ANIMALS)}
    with dspy.context(lm=task.lm):
        expected = using.estimate(Zoo(), **data)
        assert (calls, task.calls, using.optimizer.rewriter.generator.calls) == ([], 0, [])
        compiled = using.compile(Zoo(), **data)
    assert len(calls) == compiled.total_calls <= expected.metric_calls
    assert task.calls <= expected.program_runs <= expected.task_model_calls
    assert sum(using.optimizer.rewriter.generator.batch_sizes) <= expected.rewriter_calls
    assert budget is None or expected.metric_calls <= budget
    assert outcomes(compiled)["answer"] == "optimized"


def test_an_estimate_is_exact_where_nothing_is_dropped():
    rising = itertools.count()
    using = fipo(**search_options(candidates=5, minibatch_size=4) | {"metric": lambda *_: next(rising)})
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(Zoo(), trainset=examples(), valset=examples(ANIMALS))
    expected = using.estimate(Zoo(), examples(), examples(ANIMALS))
    # 24 for the student, 2 for responses, and for each predictor 5 x 4, 3 x 4 more and 2 x 16 more.
    assert compiled.total_calls == expected.metric_calls == 24 + 2 + 2 * (20 + 12 + 32)


def test_an_estimate_without_a_metric_is_one_rewrite_for_each_predictor_and_no_call():
    found = fipo().estimate(Zoo(), trainset=examples())
    assert (found.metric_calls, found.program_runs, found.task_model_calls, found.rewriter_calls) == (0, 0, 0, 2)
    assert found.task_model_tokens == 0 < found.rewriter_tokens
    assert fipo(search=any_lead(student_responses=True)).estimate(Zoo(), examples()).program_runs == 1
    assert FIPO().estimate(Zoo()).rewriter_calls == 2


def test_an_estimate_has_a_time_only_if_a_rate_is_given():
    using = fipo(**search_options(candidates=1))
    assert using.estimate(Zoo(), valset=examples()).seconds is None
    found = using.estimate(Zoo(), valset=examples(), seconds_per_run=2.0)
    assert found.seconds == 2.0 * found.program_runs == 2.0 * 3 * 3


def test_a_budget_that_allows_no_comparison_is_an_error_before_anything_runs():
    task, using = Counting(better_with_guidance), fipo(**search_options(max_metric_calls=5))
    with dspy.context(lm=task.lm), pytest.raises(InputError, match=r"at least 6\. Raise it, or pass fewer examples"):
        using.compile(Zoo(), valset=examples())
    assert (task.calls, using.optimizer.rewriter.generator.calls) == (0, [])


def test_predictors_the_budget_does_not_reach_are_named():
    using = fipo(**search_options(candidates=1, max_metric_calls=6))
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(Zoo(), valset=examples())
    assert outcomes(compiled) == {"answer": "optimized", "sort.predict": "out_of_budget"}
    assert compiled.fipo_report["stopped_by"] == "max_metric_calls"


def test_predictors_share_what_is_left_of_the_budget():
    search = search_options(candidates=5, minibatch_size=4, max_metric_calls=24 + 2 + 2 * 24)
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(**search).compile(Zoo(), trainset=examples(), valset=examples(ANIMALS))
    assert outcomes(compiled) == {"answer": "optimized", "sort.predict": "out_of_budget"}
    detail = compiled.fipo_report["predictors"][1]["detail"]
    assert detail == "max_metric_calls ended the search before all its rewrites were compared"
    assert compiled.fipo_report["stopped_by"] == "max_metric_calls"


def test_batches_are_drawn_and_not_the_beginning_of_the_valset():
    asked: list[str] = []

    def noted(example, prediction, trace=None):
        asked.append(example.question)
        return exact(example, prediction)

    def first_batch(seed: int) -> set[str]:
        asked.clear()
        search = any_lead(candidates=4, minibatch_size=6, seed=seed)
        with dspy.context(lm=task_lm(better_with_guidance)):
            fipo(metric=noted, num_threads=1, search=search).compile(Zoo(), valset=examples(ANIMALS))
        return set(asked[24:30])

    assert set(ANIMALS[:6]) != first_batch(0) != first_batch(1)


def test_when_the_time_is_up_the_best_so_far_comes_back(monkeypatch):
    now = [0.0]
    timed = functools.partial(Budget, clock=lambda: now[0])
    monkeypatch.setattr("fipo_model.search.settings.Budget", timed)

    def slow(example, prediction, trace=None):
        now[0] += 1
        return exact(example, prediction)

    def compiled(seconds: float) -> dspy.Module:
        now[0] = 0.0
        search = any_lead(candidates=1, max_seconds=seconds)
        with dspy.context(lm=task_lm(better_with_guidance)):
            return fipo(metric=slow, num_threads=1, search=search).compile(Zoo(), valset=examples())

    assert set(outcomes(compiled(3)).values()) == {"out_of_budget"}
    assert outcomes(compiled(6)) == {"answer": "optimized", "sort.predict": "out_of_budget"}
    assert compiled(6).fipo_report["stopped_by"] == "max_seconds"


@pytest.mark.parametrize(
    "options",
    [
        {"candidates": 0},
        {"minibatch_size": 0},
        {"significance": 0.0},
        {"significance": 1.5},
        {"max_metric_calls": 0},
        {"max_seconds": -1.0},
    ],
)
def test_settings_that_make_no_sense_are_errors(options):
    with pytest.raises(InputError, match=next(iter(options))):
        SearchSettings(**options)


# log_dir


def test_a_lead_that_chance_may_give_is_not_used_and_the_report_says_so():
    using = fipo(metric=exact, num_threads=1, search=SearchSettings())
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(Zoo(), valset=examples(["A bird?", "An ant?"]))
        sure = using.compile(Zoo(), valset=examples(["A bird?", "An ant?", "A bee?"]))
    row = compiled.fipo_report["predictors"][0]
    assert (row["outcome"], row["text"]) == ("not_preferred", "Answer the question.")
    assert "on the 2 examples even one that is right about everything would lead as chance" in row["detail"]
    assert "with probability 0.25; that must be at most significance=0.2. More examples tell." in row["detail"]
    assert sure.fipo_report["predictors"][0]["outcome"] == "optimized"


def test_a_resumed_compile_may_ask_for_more_certainty(tmp_path):
    task = Counting(better_with_guidance)
    sure, unsure = (resumable(task, tmp_path, significance=significance) for significance in (1.0, 0.001))
    assert sure.fipo_report["predictors"][0]["outcome"] == "optimized"
    assert unsure.fipo_report["predictors"][0]["outcome"] == "not_preferred"
    assert unsure.fipo_report["metric_calls_resumed"] > 0


def test_the_report_is_written(tmp_path):
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(**search_options(log_dir=tmp_path / "new")).compile(Zoo(), valset=examples())
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report == compiled.fipo_report
    assert report["predictors"][0]["naive"] == "Answer the question."
    assert GUIDANCE in report["predictors"][0]["text"]
    alone = fipo(search=any_lead(log_dir=tmp_path / "alone")).compile(Zoo())
    assert json.loads((tmp_path / "alone" / "report.json").read_text()) == alone.fipo_report


def resumable(task: Counting, directory: Path, **options: object) -> dspy.Module:
    settings = {"candidates": 4, "minibatch_size": 2, "log_dir": directory, **options}
    with dspy.context(lm=task.lm):
        using = fipo(**search_options(**settings))
        return using.compile(Zoo(), trainset=examples(), valset=examples(ANIMALS[:8]))


def without_costs(report: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in report.items() if name != "metric_calls_resumed"}


# The two runs for responses, calls 9 and 10, are remembered together.
@pytest.mark.parametrize(("killed_at", "kept"), [(1, 0), (5, 4), (9, 8), (10, 8), (12, 11), (20, 19), (24, 23)])
def test_a_compile_that_is_killed_goes_on_where_it_was(tmp_path, killed_at, kept):
    whole = Counting(better_with_guidance)
    expected = resumable(whole, tmp_path / "whole")

    def dies(instruction: str, question: str) -> str:
        if task.calls == killed_at:
            raise KeyboardInterrupt
        return better_with_guidance(instruction, question)

    task = Counting(dies)
    with pytest.raises(KeyboardInterrupt):
        resumable(task, tmp_path / "killed")
    rest = Counting(better_with_guidance)
    resumed = resumable(rest, tmp_path / "killed")
    assert rest.calls == whole.calls - kept
    assert without_costs(resumed.fipo_report) == without_costs(expected.fipo_report)
    assert resumed.fipo_report["metric_calls_resumed"] == kept
    again = Counting(better_with_guidance)
    resumable(again, tmp_path / "killed")
    assert again.calls == 0


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
import dspy
from support.dspy_programs import Zoo, any_lead, better_with_guidance, exact, examples, fipo, task_lm

calls = []
def dies(instruction, question):
    calls.append(1)
    if len(calls) == 7:
        os._exit(9)
    return better_with_guidance(instruction, question)

dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
dspy.configure(lm=task_lm(dies))
search = any_lead(candidates=2, log_dir=sys.argv[1])
fipo(metric=exact, num_threads=1, search=search).compile(Zoo(), valset=examples())
"""


def test_what_a_process_paid_for_survives_its_end_and_a_torn_line_is_repaired(tmp_path):
    log = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", KILLED, log, Path(__file__).parent], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    file = log / "evaluations.jsonl"
    whole = file.read_bytes()
    assert len(whole.splitlines()) == 6 + 1  # the scores, the proposals
    file.write_bytes(whole + b'{"key": "score torn')

    with dspy.context(lm=task_lm(better_with_guidance)):
        using = fipo(metric=exact, num_threads=1, search=any_lead(candidates=2, log_dir=log))
        compiled = using.compile(Zoo(), valset=examples())
    assert compiled.fipo_report["metric_calls_resumed"] == 6
    assert using.optimizer.rewriter.generator.calls == []
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert file.read_bytes().startswith(whole)
    assert len({line.get("key") for line in lines}) == len(lines) == 1 + compiled.total_calls


def test_other_settings_are_refused_with_the_difference(tmp_path):
    task = Counting(better_with_guidance)
    resumable(task, tmp_path)
    with pytest.raises(InputError, match=r"other settings: seed was 0, is now 1\."):
        resumable(task, tmp_path, seed=1)
    with dspy.context(lm=task.lm), pytest.raises(InputError, match=r"student was .*valset was "):
        fipo(**search_options(log_dir=tmp_path)).compile(dspy.Predict(Answer), valset=examples())


def test_two_compiles_do_not_share_a_log_dir(tmp_path):
    journal = tmp_path / "evaluations.jsonl"
    with claimed_file(journal, kind="a compile"), pytest.raises(InputError, match=r"at work on .*another log_dir"):
        resumable(Counting(better_with_guidance), tmp_path)


def test_a_larger_budget_goes_on_with_what_was_paid_for(tmp_path):
    first, second = Counting(better_with_guidance), Counting(better_with_guidance)
    short = resumable(first, tmp_path, max_metric_calls=18)
    longer = resumable(second, tmp_path, max_metric_calls=100)
    assert outcomes(short)["sort.predict"] == "out_of_budget"
    assert outcomes(longer)["sort.predict"] == "not_preferred"
    assert longer.fipo_report["metric_calls_resumed"] == first.calls


def test_failed_examples_are_tried_again_when_a_compile_is_resumed(tmp_path):
    down = [True]

    def flaky(instruction: str, question: str) -> str:
        if down[0] and question.count("number 3?"):
            raise RuntimeError("the server is down")
        return better_with_guidance(instruction, question)

    assert resumable(Counting(flaky), tmp_path).fipo_report["scores"]["student"]["failed"] == 1
    down[0] = False
    assert resumable(Counting(flaky), tmp_path).fipo_report["scores"]["student"]["failed"] == 0


@pytest.mark.parametrize("content", [b"not json\n", b'{"settings": \xff}\n'])
def test_a_log_dir_that_holds_something_else_is_an_error(tmp_path, content):
    (tmp_path / "evaluations.jsonl").write_bytes(content)
    with pytest.raises(InputError, match="Choose another log_dir"):
        resumable(Counting(better_with_guidance), tmp_path)


def test_a_log_dir_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="log_dir"):
        resumable(Counting(better_with_guidance), tmp_path / "file")
    with pytest.raises(InputError, match="log_dir"):
        fipo(search=any_lead(log_dir=tmp_path / "file")).compile(Zoo())


# Input that cannot be used, or only in part


@pytest.mark.parametrize("metric", [None, exact])
def test_examples_that_do_not_name_their_inputs_are_an_error(metric):
    bare = [*examples(), dspy.Example(question="A cat?", answer="right")]
    with pytest.raises(InputError, match=r"example 3 of the trainset .* \.with_inputs"):
        fipo(metric=metric).compile(Zoo(), trainset=bare)
    if metric is not None:
        with pytest.raises(InputError, match=r"example 3 of the valset"):
            fipo(metric=metric).compile(Zoo(), trainset=examples(), valset=bare)


@pytest.mark.parametrize("metric", [None, exact])
def test_a_program_without_predictors_comes_back_with_a_warning(metric, caplog):
    class Nothing(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer="right")

    compiled = fipo(metric=metric).compile(Nothing(), trainset=examples())
    assert "no predictor that may be rewritten" in caplog.text
    assert compiled.fipo_report["predictors"] == []
    assert metric is None or compiled.score == 100.0


def test_frozen_sub_modules_are_named_in_the_log(caplog):
    student = Zoo()
    student.sort._compiled = True
    with caplog.at_level(logging.INFO, logger="fipo.dspy"):
        fipo().compile(student)
    assert "sort is compiled already and stays as it is" in caplog.text


def test_a_name_given_twice_and_two_predictors_of_one_name_are_errors():
    with pytest.raises(InputError, match="more than once"):
        fipo(predictors=["answer", "answer"])
    student = dspy.Module()
    student.steps = [dspy.Predict(Answer)]
    setattr(student, "steps[0]", dspy.Predict(Answer))
    with pytest.raises(InputError, match=r"two predictors called 'steps\[0\]'"):
        fipo().compile(student)


def test_a_teacher_is_not_used_and_that_is_said(caplog):
    class Untouchable(dspy.Module):
        def forward(self, question):
            raise AssertionError("the teacher was called")

    with caplog.at_level(logging.INFO, logger="fipo.dspy"), dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(metric=exact).compile(Zoo(), trainset=examples(), teacher=Untouchable())
    assert compiled.score == 100.0
    assert "does not use the teacher" in caplog.text


def test_a_student_without_a_language_model_is_an_error_and_the_rewriter_is_not_asked():
    using = fipo(metric=exact)
    with dspy.context(lm=None), pytest.raises(InputError, match="is a language model set"):
        using.compile(Zoo(), trainset=examples())
    assert using.optimizer.rewriter.generator.calls == []


def test_a_student_that_fails_too_often_is_an_error_that_says_what_to_do(tmp_path):
    class Fragile(Zoo):
        def forward(self, question):
            if int(question.split()[-1].rstrip("?")) >= 10:
                raise RuntimeError("too many animals")
            return super().forward(question)

    task, using = Counting(better_with_guidance), fipo(**search_options(log_dir=tmp_path))
    with dspy.context(lm=task.lm):
        with pytest.raises(InputError, match=r"max_errors=10, which dspy\.configure\(max_errors=\.\.\.\) raises"):
            using.compile(Fragile(), valset=examples(ANIMALS))
        assert using.optimizer.rewriter.generator.calls == []
        with dspy.context(max_errors=100):
            compiled = using.compile(Fragile(), valset=examples(ANIMALS))
    assert compiled.fipo_report["scores"]["compiled"] == {
        "score": 41.67,
        "failed": 14,
        "examples": 24,
        "missing": 0,
    }
    assert compiled.fipo_report["metric_calls_resumed"] == 10


def test_an_instruction_too_long_for_the_rewriter_stays_and_the_others_are_searched():
    student = Zoo()
    student.sort.predict.signature = student.sort.predict.signature.with_instructions("Sort the ticket. " * 99)
    generator = ScriptedGenerator(careful, context_tokens=700)
    with dspy.context(lm=task_lm(better_with_guidance)):
        using = FIPO(optimizer=PromptOptimizer(generator), metric=exact, search=any_lead())
        compiled = using.compile(student, trainset=examples())
    assert outcomes(compiled) == {"answer": "optimized", "sort.predict": "unusable"}
    assert "tokens" in compiled.fipo_report["predictors"][1]["detail"]


def test_responses_too_long_for_the_rewriter_cost_only_their_candidates():
    long = [dspy.Example(question="A bird?", answer="right " * 400).with_inputs("question")]
    generator = ScriptedGenerator(careful, context_tokens=700)
    with dspy.context(lm=task_lm(better_with_guidance)):
        rewriter = PromptOptimizer(generator)
        using = FIPO(optimizer=rewriter, metric=exact, search=any_lead(candidates=3), predictors=["answer"])
        compiled = using.compile(Zoo(), trainset=long, valset=examples())
    candidates = compiled.fipo_report["predictors"][0]["candidates"]
    assert [row["outcome"] for row in candidates] == ["optimized", "unusable"]
    assert outcomes(compiled) == {"answer": "optimized"}


def test_an_example_that_is_there_twice_counts_twice():
    twice = examples(["A cat?"]) * 2 + examples(["A bird?"])
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(**search_options(candidates=1)).compile(Zoo(), valset=twice)
    assert compiled.fipo_report["scores"]["student"] == {"score": 66.67, "failed": 0, "examples": 3, "missing": 0}


def test_a_metric_that_takes_other_arguments_is_an_error_before_anything_runs():
    task, using = Counting(better_with_guidance), fipo(metric=lambda gold, pred, trace: True)
    with dspy.context(lm=task.lm), pytest.raises(InputError, match=r"must take \(example, prediction\): .*'trace'"):
        using.compile(Zoo(), valset=examples())
    assert task.calls == 0


# Language models are shared, not copied


@pytest.mark.parametrize("metric", [None, exact])
def test_language_models_and_what_cannot_be_copied_are_shared_and_predictors_are_not_split(metric):
    lm = task_lm(better_with_guidance)  # a copy of one in this process would be a copy of its weights
    student = Zoo()
    student.twin = student.answer
    student.answer.lm = student.sort.predict.lm = lm
    student.sort._compiled = True
    student.clients = {"all": [threading.Lock(), student.answer]}
    student.judge = lm
    compiled = fipo(metric=metric).compile(student, trainset=examples())
    assert compiled.judge is lm
    assert compiled.clients["all"][0] is student.clients["all"][0]
    assert compiled.clients["all"][1] is compiled.answer is not student.answer
    assert compiled.twin is compiled.answer
    assert compiled.answer.lm is compiled.sort.predict.lm is lm
    assert instructions(student)["answer"] == "Answer the question."
    assert GUIDANCE in instructions(compiled)["answer"]


def test_a_number_of_the_programs_own_called_score_survives_every_compile():
    student = Zoo()
    student.score = 0.7
    with dspy.context(lm=task_lm(better_with_guidance)):
        first = fipo(metric=exact).compile(student, trainset=examples())
        second = fipo(metric=exact).compile(first, trainset=examples())
    assert (first.score, second.score) == (0.7, 0.7)
    assert second.total_calls == second.fipo_report["metric_calls"]


def test_threads_may_search_with_the_same_optimizer():
    using, found = fipo(**search_options(candidates=3)), []

    def work() -> None:
        with dspy.context(lm=task_lm(better_with_guidance)):
            found.append(using.compile(Zoo(), trainset=examples()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [program.score for program in found] == [100.0] * 3
    assert len({json.dumps(program.fipo_report) for program in found}) == 1


@pytest.mark.parametrize(
    ("module", "runner", "name"),
    [(evaluation, Evaluate, "__call__"), (responses, ParallelExecutor, "execute")],
)
def test_what_another_thread_broke_as_it_began_is_begun_anew(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, runner: type, name: str
):
    broken, bars = [], weakref.WeakSet([Zoo])

    def breaking(self, *args, **kwargs):
        broken.append(self)
        if len(broken) == 1:
            bars.remove(self)  # the KeyError of one who is not in it
        if len(broken) == 2:
            for _ in bars:  # the RuntimeError of a set that changes
                bars.data.clear()
        return getattr(runner, name)(self, *args, **kwargs)

    monkeypatch.setattr(module, runner.__name__, type(runner.__name__, (runner,), {name: breaking}))
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(**search_options(candidates=3)).compile(Zoo(), trainset=examples())
    assert compiled.score == 100.0
    assert len(broken) > 2


def test_any_other_key_error_is_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Evaluate, "__call__", lambda *_, **__: {}["missing"])
    with dspy.context(lm=task_lm(better_with_guidance)), pytest.raises(KeyError, match="missing"):
        fipo(**search_options(candidates=3)).compile(Zoo(), trainset=examples())


# Failures of the model, and what they must not decide


def test_refused_calls_decide_nothing():
    """Three "429" in the student's run once made a neutral rewrite win by 18.75 points."""
    calls = itertools.count()

    def refusing(instruction: str, question: str) -> str:
        if next(calls) < 3:
            raise RuntimeError("429")
        return answering("right")

    search = any_lead(patience=0.0)
    with dspy.context(lm=task_lm(refusing)):
        compiled = fipo(metric=exact, num_threads=1, search=search).compile(
            dspy.Predict(Answer), valset=examples(ANIMALS)
        )
    report = compiled.fipo_report
    assert report["scores"]["student"] == {"score": 100.0, "failed": 0, "examples": 24, "missing": 0}
    assert report["tried_again"] in (2, 3)  # DSPy 3.2 calls twice, with another adapter, before an example fails
    assert report["first_failure"].startswith("the program raised ")
    assert report["first_failure"].endswith("429")
    assert outcomes(compiled) == {"self": "not_preferred"}


@pytest.mark.parametrize("seed", range(4))
def test_random_failures_of_the_model_change_no_choice(seed):
    def compiled(share: float) -> dspy.Module:
        draw = random.Random(seed)

        def flaky(instruction: str, question: str) -> str:
            if draw.random() < share:
                raise RuntimeError("Rate limit reached")
            return better_with_guidance(instruction, question)

        search = SearchSettings(seed=seed, patience=0.0)
        with dspy.context(lm=task_lm(flaky)):
            return fipo(metric=exact, num_threads=1, search=search).compile(
                dspy.Predict(Answer), valset=examples(ANIMALS)
            )

    sound, shaken = compiled(0.0), compiled(0.2)
    assert instructions(sound) == instructions(shaken)
    assert shaken.fipo_report["tried_again"] > 0


def test_a_program_is_copied_once_for_each_candidate():
    class Index(list):
        copies = 0

        def __deepcopy__(self, memo: object) -> "Index":
            Index.copies += 1
            return self

    class Rag(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.index = Index()
            self.answer = dspy.Predict(Answer)

        def forward(self, question: str) -> dspy.Prediction:
            return self.answer(question=question)

    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(**search_options(candidates=4)).compile(Rag(), valset=examples(ANIMALS))
    # The student and four candidates; one that is compiled, one that is left alone, one that is run for responses.
    assert Index.copies <= 5 + 3 < compiled.total_calls
    assert all(candidate["program"].history == [] for candidate in compiled.candidate_programs)


def test_a_metric_of_the_same_name_that_does_something_else_is_another_metric(tmp_path):
    for metric, is_same in ((lambda e, p: e.answer == p.answer, True), (lambda e, p: e.answer != p.answer, False)):
        using = fipo(metric=metric, search=any_lead(log_dir=tmp_path))
        with dspy.context(lm=task_lm(better_with_guidance)):
            if is_same:
                using.compile(Zoo(), valset=examples())
                continue
            with pytest.raises(InputError, match=r"metric was .<lambda> \(\w+\)., is now .<lambda> \(\w+\)"):
                using.compile(Zoo(), valset=examples())


def test_a_program_that_only_asyncio_can_run_is_told_how_to_be_run():
    class Async(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answer = dspy.Predict(Answer)

        async def aforward(self, question: str) -> dspy.Prediction:
            return self.answer(question=question)

    with dspy.context(lm=task_lm(better_with_guidance)):
        with pytest.raises(InputError, match=r"no forward.*dspy\.syncify\(program\)"):
            fipo(metric=exact).compile(Async(), valset=examples())
        assert fipo(metric=exact).compile(dspy.syncify(Async()), valset=examples()).score == 100.0


def test_what_a_metric_says_with_its_score_is_read():
    def with_feedback(example, prediction, trace=None):
        return dspy.Prediction(score=float(exact(example, prediction)), feedback="say what is right")

    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(metric=with_feedback).compile(Zoo(), valset=examples())
    assert compiled.score == 100.0


def test_the_rewriter_sees_several_examples_at_once_and_what_the_metric_said():
    def with_feedback(example, prediction, trace=None):
        return dspy.Prediction(score=float(exact(example, prediction)), feedback=f"Mind {example.question}")

    using = fipo(metric=with_feedback, search=any_lead(candidates=8), num_threads=1)
    with dspy.context(lm=task_lm(better_with_guidance)):
        using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS[:6]), valset=examples(ANIMALS[6:]))
    shown = sent(using, "Answer the question.")
    together = [text for text in shown if sum(animal in text for animal in ANIMALS[:6]) > 1]
    assert len(together) == 1
    assert together[0].count("right") == 4
    assert sum("Mind How many legs" in text for text in shown) == 1


def test_what_a_predictor_takes_from_another_one_is_not_made_up():
    using = fipo(**search_options(candidates=8))
    with dspy.context(lm=task_lm(in_a_row)):
        using.compile(Pipeline(), trainset=examples(ANIMALS[:6]), valset=examples(["A bird?"]))
    assert not any(animal in text for text in sent(using, "Answer from the query.") for animal in ANIMALS)


def test_progress_tells_the_trial_its_score_and_what_was_tried(caplog):
    with caplog.at_level(logging.INFO, logger="fipo.dspy"), dspy.context(lm=task_lm(better_with_guidance)):
        fipo(**search_options(candidates=1)).compile(dspy.Predict(Answer), valset=examples())
    told = [record.getMessage() for record in caplog.records if record.name == "fipo.dspy"]
    assert told[:2] == [
        "trial 1: 0.333 on 3 examples: what is there",
        f"trial 2: 1 on 3 examples: Answer the question. {GUIDANCE}",
    ]
