"""The student's runs on training examples: paid once, retried, kept with their scores, and on inputs of their own."""

import datetime
import functools
import json
import random
from types import SimpleNamespace

import dspy
import pytest
from dspy.utils.exceptions import LMRateLimitError

from fipo_integrations.dspy import SearchSettings, local_lm
from fipo_integrations.dspy.report import statistics
from fipo_model.search import Budget
from fipo_model.search.results import Level
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.dspy_programs import (
    ANIMALS,
    GUIDANCE,
    Answer,
    Counting,
    answering,
    better_with_guidance,
    exact,
    examples,
    fipo,
    search_options,
    sent,
    task_lm,
)

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


def test_what_decides_is_not_run_again_for_what_the_rewriter_sees():
    task = Counting(lambda *_: answering("wrong"))
    using = fipo(**search_options(candidates=2, demos=0))
    with dspy.context(lm=task.lm):
        expected = using.estimate(dspy.Predict(Answer), examples(ANIMALS))
        compiled = using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS))
        alone = fipo(**search_options(candidates=2, demos=0, student_responses=False))
        assert expected.metric_calls == alone.estimate(dspy.Predict(Answer), examples(ANIMALS)).metric_calls
    assert task.calls == compiled.total_calls <= expected.metric_calls
    assert any("Silver response" in text and "wrong" in text for text in sent(using, "Answer the question."))


def test_examples_that_do_not_decide_are_run_once_each(tmp_path):
    asked = []

    def dies(instruction: str, question: str) -> str:
        asked.append(question)
        if len(asked) == 8 + 3:
            raise KeyboardInterrupt
        return answering("wrong")

    def compile_with(answer) -> dspy.Module:
        settings = search_options(candidates=8, demos=0, max_metric_calls=40, log_dir=tmp_path)
        with dspy.context(lm=task_lm(answer)):
            return fipo(**settings).compile(
                dspy.Predict(Answer), trainset=examples(ANIMALS[8:]), valset=examples(ANIMALS[:8])
            )

    with pytest.raises(KeyboardInterrupt):
        compile_with(dies)
    again = Counting(lambda *_: answering("wrong"))
    resumed = compile_with(again)
    assert resumed.fipo_report["metric_calls_resumed"] == 10  # two of them on training examples
    assert again.calls == resumed.total_calls - 10


class Chat(dspy.Module):
    """Appends what was said to the conversation that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("history: dspy.History, question -> answer")

    def forward(self, history: dspy.History, question: str) -> dspy.Prediction:
        said = self.answer(history=history, question=question)
        history.messages.append({"question": question, "answer": said.answer})
        return said


@pytest.mark.parametrize("has_valset", [False, True])
def test_a_program_that_changes_its_inputs_changes_them_for_one_run(has_valset):
    """A conversation grew from candidate to candidate, which was taken for the last one's merit."""

    def rows(questions: list[str]) -> list[dspy.Example]:
        made = [dspy.Example(question=one, answer="right", history=dspy.History(messages=[])) for one in questions]
        return [one.with_inputs("history", "question") for one in made]

    talkative = ScriptedGenerator(lambda asked: answering("right" if len(asked) > 2 else "wrong"))
    own, others = rows(ANIMALS[:12]), rows(ANIMALS[12:])
    with dspy.context(lm=local_lm(talkative, max_tokens=500)):
        compiled = fipo(**search_options(candidates=2)).compile(
            Chat(), trainset=own, **({"valset": others} if has_valset else {})
        )
    assert compiled.score == 0
    assert not any(example.history.messages for example in (*own, *others))


@pytest.mark.parametrize("seed", range(20))
def test_failures_on_training_examples_change_no_choice(seed):
    """A rewriter that goes by what the student said: 16 of 20 seeds made the same choice as without failures."""

    def rewrite(conversation) -> str:
        advice = GUIDANCE if "Silver response" in conversation[-1]["content"] else "Say it briefly."
        return f"{naive_in(conversation)} {advice}"

    def chosen(share: float) -> str:
        draw = random.Random(seed)

        def fails(instruction: str, question: str) -> str:
            if draw.random() < share:
                raise LMRateLimitError("slow down")
            return better_with_guidance(instruction, question)

        settings = SearchSettings(candidates=3, demos=0, patience=0.02, seed=seed)
        with dspy.context(lm=task_lm(fails)):
            compiled = fipo(rewrite, metric=exact, num_threads=1, search=settings).compile(
                dspy.Predict(Answer), trainset=examples(ANIMALS[12:]), valset=examples(ANIMALS[:12])
            )
        return compiled.signature.instructions

    assert chosen(0.2) == chosen(0.0)


def test_what_is_only_heard_is_never_shown():
    """An example of the trainset with the inputs of one that decides: as a demonstration it would tell the answer."""
    deciding, twins = examples(ANIMALS[:8]), examples(ANIMALS[:8])
    shows = ScriptedGenerator(lambda asked: answering("right" if len(asked) > 2 else "wrong"))
    with dspy.context(lm=local_lm(shows, max_tokens=500)):
        compiled = fipo(naive_in, metric=exact, num_threads=1).compile(
            dspy.Predict(Answer), trainset=[*twins, *examples(ANIMALS[8:])], valset=deciding
        )
    shown = {demo.question for program in compiled.candidate_programs for demo in program["program"].demos}
    assert shown
    assert shown.isdisjoint(ANIMALS[:8])


class Checked(dspy.Module):
    """A draft, and a compiled part whose predictor has the same signature."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict(Answer)
        self.check = dspy.ChainOfThought(Answer)
        self.check.predict.signature = Answer
        self.check._compiled = True

    def forward(self, question: str) -> dspy.Prediction:
        draft = self.draft(question=f"Draft: {question}")
        return self.check(question=f"Check {draft.answer}: {question}")


def test_calls_of_a_compiled_part_are_not_taken_for_those_of_another_predictor():
    def answer(asked) -> str:
        draft = "draft good" if len(asked) > 2 else "draft bad"
        question = asked[-1]["content"]
        return answering(draft if "Draft" in question else "right" if "good" in question else "wrong")

    with dspy.context(lm=local_lm(ScriptedGenerator(answer), max_tokens=500)):
        compiled = fipo(naive_in, metric=lambda example, prediction: 1.0, num_threads=1).compile(
            Checked(), trainset=examples(ANIMALS[:12]), valset=examples(ANIMALS[12:])
        )
    shown = [demo for row in compiled.candidate_programs for demo in row["program"].draft.demos if "answer" in demo]
    assert not any(demo.question.startswith("Check") for demo in shown)


def test_a_run_that_ended_with_its_process_is_not_shown(tmp_path, monkeypatch):
    """What was said and its score once went to disk one after the other, and a kill fell between them."""
    from fipo_model.search import Journal

    put, is_first = Journal.put, True

    def dies(self, key, value):
        put(self, key, value)
        if is_first and "animal number 1" in str(value) and "'answer': 'wrong'" in str(value):
            raise KeyboardInterrupt

    def answer(asked) -> str:
        is_right = len(asked) > 2 or (not is_first and "1" in asked[-1]["content"])
        return f"[[ ## reasoning ## ]]\nBecause.\n\n{answering('right' if is_right else 'wrong')}"

    def compiled() -> dspy.Module:
        with dspy.context(lm=local_lm(ScriptedGenerator(answer), max_tokens=500)):
            return fipo(naive_in, metric=exact, num_threads=1, search=SearchSettings(log_dir=tmp_path)).compile(
                dspy.ChainOfThought(Answer), trainset=examples(ANIMALS[:12]), valset=examples(ANIMALS[12:])
            )

    monkeypatch.setattr(Journal, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        compiled()
    is_first = False
    demos = compiled().predict.demos
    assert demos
    assert all(demo.answer == "right" for demo in demos)


@pytest.mark.parametrize("kind", [datetime.date, dict[str, datetime.date]])
def test_what_has_a_form_in_json_can_be_shown(kind):
    def right(number: int) -> object:
        day = datetime.date(2026, 1, 1 + number)
        return day if kind is datetime.date else {"due": day}

    def answer(asked) -> str:
        number = int(asked[-1]["content"].split("animal number ")[1].split("?")[0])
        said = json.dumps(right(number if len(asked) > 2 else 30), default=str).strip('"')
        return f"[[ ## day ## ]]\n{said}\n\n[[ ## completed ## ]]"

    rows = [dspy.Example(question=one, day=right(number)).with_inputs("question") for number, one in enumerate(ANIMALS)]
    program = dspy.Predict(dspy.Signature("question -> day").with_updated_fields("day", type_=kind))
    with dspy.context(lm=local_lm(ScriptedGenerator(answer), max_tokens=500)):
        compiled = fipo(naive_in, metric=lambda row, said, trace=None: row.day == said.day, num_threads=1).compile(
            program, trainset=rows[:12], valset=rows[12:]
        )
    assert compiled.score == 100
    assert len(compiled.demos) > 1


def test_demonstrations_that_the_time_did_not_reach_are_said_to_be_out_of_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("fipo_model.search.settings.Budget", functools.partial(Budget, clock=lambda: now[0]))

    def slow(row, said, trace=None) -> bool:
        now[0] += 1
        return exact(row, said)

    settings = SearchSettings(candidates=2, max_seconds=13, student_responses=False)
    with dspy.context(lm=task_lm(lambda *_: answering("wrong"))):
        compiled = fipo(metric=slow, num_threads=1, search=settings).compile(
            dspy.Predict(Answer), trainset=examples(ANIMALS[:12]), valset=examples(ANIMALS[12:])
        )
    said = "none: max_seconds ended the search before any set of demonstrations was measured"
    assert compiled.fipo_report["demonstrations"] == said


def test_candidates_come_best_first_by_the_scores_that_are_shown():
    """Where runs are missing, an arm is compared on other examples than those that it is ranked by."""
    scores = {"first": 0.5, "second": 0.75}
    search = SimpleNamespace(
        measured=lambda: list(scores),
        compared=lambda arm: SimpleNamespace(after=Level(score=scores[arm], failed=0, examples=4, missing=2)),
        variant=lambda arm: arm,
    )
    measured = SimpleNamespace(scores=SimpleNamespace(compiled=SimpleNamespace(score=75.0)), trials=[], metric_calls=8)
    assert [row["program"] for row in statistics(search, measured)["candidate_programs"]] == ["second", "first"]
