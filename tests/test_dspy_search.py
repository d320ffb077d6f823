"""Compiling with a metric: what the rewriter is shown, what a search may cost, and that it survives a kill."""

import functools
import itertools
import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Literal

import dspy
import pytest

from fipo_integrations.dspy import FIPO, SearchSettings, render_page
from fipo_integrations.dspy.instructions import targets
from fipo_integrations.dspy.results import Report
from fipo_integrations.dspy.rewriting import LazyOptimizer
from fipo_integrations.dspy.search import ProgramProposer
from fipo_model import Message, PromptOptimizer, Sampling
from fipo_model.errors import InputError
from fipo_model.search import Budget, Seen, chance, fewest_pairs
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
    exact,
    examples,
    fipo,
    instructions,
    optimizer,
    outcomes,
    search_options,
    sent,
    task_lm,
    unsure,
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
            using.compile(Pipeline(), trainset=examples(["A bird?"]), valset=examples(["An ant?", "A bee?"]))
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
        using.compile(Two(), trainset=examples(["A bird?"]), valset=examples(["An ant?", "A bee?"]))
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
    using = fipo(**search_options(candidates=1, student_responses=False, demos=0), predictors=["answer"])
    with dspy.context(lm=task.lm):
        using.compile(Pipeline(), trainset=examples(["A bird?"]), valset=examples(["An ant?", "A bee?"]))
    assert task.calls == 2 * 2 * 2


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
        with_runs.compile(Draft(), trainset=trainset, valset=examples(["An ant?", "A bee?"]))
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
    assert "1 of 1 runs failed and count as 0; the program raised RuntimeError: no trains here" in caplog.text
    assert "Silver" not in sent(using, "Answer the question.")[1]
    assert "Golden response (" in sent(using, "Answer the question.")[1]


# Candidates and their choice


TEAMS = ("account", "billing", "hardware", "network")
MESSAGES = [dspy.Example(message=f"Message {n}", team=TEAMS[n % 4]).with_inputs("message") for n in range(12)]


def typed(*teams: str) -> type[dspy.Signature]:
    plain = dspy.Signature("message -> team", "Say which team.")
    return plain.with_updated_fields("team", type_=Literal[teams]) if teams else plain


def knows_the_teams(instruction: str, message: str) -> str:
    """Right only if all teams are named behind the instruction."""
    number = int(re.findall(r"Message (\d+)", message)[-1])
    is_told = f"Answer with one of: {', '.join(TEAMS)}" in instruction
    return f"[[ ## team ## ]]\n{TEAMS[number % 4] if is_told else 'Room 4'}\n\n[[ ## completed ## ]]"


def is_right_team(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> bool:
    return example.team == prediction.team


def test_labels_are_named_by_rule_where_no_rewriter_names_them_all(tmp_path):
    """Not one of a user's 13 proposals listed the four teams that the trainset has."""
    for _ in range(2):  # and a resumed compile still knows who wrote them
        using = fipo(metric=is_right_team, num_threads=1, search=any_lead(candidates=3, turns=2, log_dir=tmp_path))
        with dspy.context(lm=task_lm(knows_the_teams)):
            compiled = using.compile(dspy.Predict(typed()), trainset=MESSAGES)
        (row,) = compiled.fipo_report["predictors"]
        assert row["text"] == f"Say which team.\n\nAnswer with one of: {', '.join(TEAMS)}"
        origins = [one["origin"] for one in row["candidates"]]
        assert origins[:2] == ["rewriter", "labels"]
        assert origins.count("labels") == 1


class TwoOutputs(dspy.Signature):
    """Say which team."""

    message: str = dspy.InputField()
    team: str = dspy.OutputField()
    reply: str = dspy.OutputField()


def in_two_steps() -> dspy.Module:
    program = Pipeline()
    program.answer = dspy.Predict(dspy.Signature("message, query -> team", "Say which team."))
    return program


def putting_out_twice() -> dspy.Module:
    program = in_two_steps()
    program.check = dspy.Predict(dspy.Signature("message -> team", "Check the team."))
    return program


def labelled(**fields: object) -> list[dspy.Example]:
    return [dspy.Example(**{**row.toDict(), **fields}).with_inputs("message", "query") for row in MESSAGES]


@pytest.mark.parametrize(
    ("program", "rows", "expected"),
    [
        (dspy.ChainOfThought(typed()), MESSAGES, ["optimized"]),
        (dspy.Predict(typed(*TEAMS)), MESSAGES, ["optimized"]),
        (dspy.Predict(typed(*TEAMS, "other")), MESSAGES, ["golden_leaked"]),  # as the contract says
        (dspy.Predict(TwoOutputs), labelled(reply="Yes."), []),
        (dspy.Predict(typed().with_updated_fields("team", type_=list[str])), labelled(team=["account"]), []),
        (in_two_steps(), MESSAGES, ["optimized"]),  # its second predictor takes what no example has
        (putting_out_twice(), MESSAGES, []),
    ],
    ids=["reasoning", "literal", "more values", "two outputs", "lists", "two predictors", "two with the same output"],
)
def test_labels_are_named_where_a_predictor_puts_out_nothing_else_and_no_other_one_does(program, rows, expected):
    proposer = ProgramProposer(
        student=program,
        targets=targets(program),
        trainset=rows,
        optimizer=LazyOptimizer(optimizer(), is_proposing=True),
        settings=any_lead(candidates=3, student_responses=False),
    )
    found = proposer.propose(Seen(texts=instructions(program), measurements={}))
    proposed = [row for own in found.by_text.values() for row in own]
    assert [row.outcome for row in proposed if row.origin == "labels"] == expected


@pytest.mark.parametrize(("metric", "outcome"), [(exact, "optimized"), (None, "uncertain")])
def test_a_metric_decides_about_what_the_rewriter_is_unsure_of(metric, outcome):
    """Of 35 proposals in a user's searches, 28 were refused as guesses, and the metric was asked about none of them."""
    using = FIPO(optimizer=unsure(), metric=metric, search=any_lead(candidates=4), num_threads=1)
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples())
    assert outcomes(compiled) == {"self": outcome}
    assert {row["outcome"] for row in compiled.fipo_report["predictors"][0]["candidates"]} == {outcome}


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
    using = fipo(**search_options(candidates=5, minibatch_size=4, demos=0) | {"metric": lambda *_: next(rising)})
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


@pytest.mark.parametrize(
    ("lm", "own", "threads", "at_once"),
    [
        (dspy.LM("openai/some"), None, 4, 4),
        (dspy.LM("openai/some"), None, None, 8),  # DSPy's own setting
        (task_lm(better_with_guidance), None, 4, 1),  # it is in this process
        (dspy.LM("openai/some"), task_lm(better_with_guidance), 4, 1),  # so is one predictor's
        (None, None, 4, 4),
    ],
)
def test_an_estimated_time_is_shared_by_the_runs_that_go_on_together(lm, own, threads, at_once):
    student = Zoo()
    student.answer.lm = own
    with dspy.context(lm=lm):
        found = fipo(**search_options() | {"num_threads": threads}).estimate(
            student, valset=examples(), seconds_per_run=2.0
        )
    assert (found.seconds, found.runs_at_once) == (2.0 * found.program_runs / at_once, at_once)


def test_an_estimate_is_printed_as_sentences():
    using = fipo(**search_options(candidates=1))
    found = using.estimate(Zoo(), valset=examples(ANIMALS * 20), seconds_per_run=2.0)
    printed = str(found)
    for number in (found.program_runs, found.task_model_calls, found.task_model_tokens, found.rewriter_calls):
        assert f" {number:,} " in printed
    assert printed.startswith("At most 1,440 runs of the program with 2,880 calls")
    assert printed.endswith("The runs take 2,880 s at most, 1 at a time; the rewriter's time is not included.")
    assert "take" not in str(using.estimate(Zoo(), valset=examples()))
    assert str(fipo().estimate(Zoo())).startswith("No runs of the program, and at most 2 calls of the rewriter")


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
    assert detail == "max_metric_calls ended the search before any rewrite was measured"
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


def test_a_lead_that_could_be_luck_is_not_used_and_the_report_says_so():
    using = fipo(metric=exact, num_threads=1, search=SearchSettings())
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(Zoo(), valset=examples(["A bird?", "An ant?", "A cat?"]))
        sure = using.compile(Zoo(), valset=examples(["A bird?", "An ant?", "A bee?"]))
    row = compiled.fipo_report["predictors"][0]
    assert (row["outcome"], row["text"]) == ("not_preferred", "Answer the question.")
    assert row["detail"] == (
        "on 3 examples, even getting everything right could be luck: a rewrite that changes nothing would take such "
        "a lead in 25% of comparisons, and at most 20% is accepted (significance=0.2). More examples would tell."
    )
    assert sure.fipo_report["predictors"][0]["outcome"] == "optimized"


@pytest.mark.parametrize(
    ("given", "search", "said"),
    [
        (2, {}, "at least 3 examples, but there are 2"),
        (4, {"max_examples": 2}, "at least 3 examples, but there are 2"),
        (3, {"significance": 0.1}, "at least 4 examples, but there are 3"),
        (1, {"significance": 1}, "at least 2 examples, but there are 1"),
    ],
)
def test_too_few_examples_to_choose_anything_are_told_before_anything_runs(given, search, said):
    task, using = Counting(better_with_guidance), fipo(metric=exact, search=SearchSettings(**search))
    for begin in (using.estimate, using.compile):
        with dspy.context(lm=task.lm), pytest.raises(InputError, match=said):
            begin(Zoo(), trainset=[], valset=examples()[:1] * given)
    assert task.calls == 0
    assert using.optimizer.rewriter.generator.calls == []


@pytest.mark.parametrize("significance", [1.0, 0.5, 0.25, 0.2, 0.125, 0.1, 0.05, 0.01])
def test_as_many_examples_as_are_told_could_convince_and_one_fewer_could_not(significance):
    needed = fewest_pairs(significance)
    assert chance([1.0] * needed, [0.0] * needed) <= significance
    assert needed == 1 or chance([1.0] * (needed - 1), [0.0] * (needed - 1)) > significance


def test_where_every_rewrite_was_refused_it_says_so_and_claims_no_gain(caplog):
    """13 refusals once ended as if one rewrite had been refused, with a gain of 0 to 0 at 95 %."""
    replies = itertools.cycle(["Sure!", "", "Answer the question. Fill in `it` first."])
    using = FIPO(optimizer=PromptOptimizer(Unnumbered(lambda _: next(replies))), **search_options(candidates=4))
    with caplog.at_level(logging.INFO, logger="fipo.dspy"), dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(dspy.Predict(Answer), valset=examples())
    report = compiled.fipo_report
    (row,) = report["predictors"]
    counted = "1 answered, 1 empty, 1 task_invented"
    assert row["outcome"] == "answered"
    assert row["detail"] == f"none of 3 rewrites passed the checks, so none was compared: {counted}"
    assert f"self: answered ({row['detail']})" in caplog.text
    assert report["gain"] is None
    assert report["scores"]["student"] == report["scores"]["compiled"]
    assert "What was gained" not in render_page(report)
    assert Report.from_fields(report).to_fields() == report


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
        using.compile(Pipeline(), trainset=examples(ANIMALS[:6]), valset=examples(["A bird?", "A bee?"]))
    assert not any(animal in text for text in sent(using, "Answer from the query.") for animal in ANIMALS)


def test_progress_tells_the_trial_its_score_and_what_was_tried(caplog):
    with caplog.at_level(logging.INFO, logger="fipo.dspy"), dspy.context(lm=task_lm(better_with_guidance)):
        fipo(**search_options(candidates=1)).compile(dspy.Predict(Answer), valset=examples())
    told = [record.getMessage() for record in caplog.records if record.name == "fipo.dspy"]
    assert told[1:3] == [
        "trial 1: 0.333 on 3 examples: the texts as they are",
        f"trial 2: 1 on 3 examples: Answer the question. {GUIDANCE}",
    ]
