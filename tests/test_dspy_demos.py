"""Demonstrations: searched after the instructions, on the same budget and the same evidence."""

import json
import random
import re
from enum import Enum
from typing import Literal

import dspy
import pytest

from fipo_integrations.dspy import PlainAdapter, SearchSettings, local_lm, render_page
from fipo_integrations.dspy.demos import as_fields, calls_to_show, count_of, give, set_of_labels, sets_of
from fipo_integrations.dspy.search import to_show, without_demonstrations
from fipo_model.errors import InputError
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.dspy_programs import (
    ANIMALS,
    Answer,
    Zoo,
    answering,
    any_lead,
    exact,
    examples,
    fipo,
    instructions,
)

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


def shown_how(asked) -> str:
    """Right about everything after a demonstration, else about animals with an odd number."""
    number = int(asked[-1]["content"].split("animal number ")[1].split("?")[0])
    return answering("right" if len(asked) > 2 or number % 2 else "wrong")


def compiled_with(demos, script=shown_how, *, student=None, **options):
    using = fipo(naive_in, metric=exact, num_threads=1, search=any_lead(demos=demos, **options))
    with dspy.context(lm=local_lm(ScriptedGenerator(script), max_tokens=1000)):
        return using.compile(
            student or dspy.Predict(Answer), trainset=examples(ANIMALS[:12]), valset=examples(ANIMALS[12:])
        )


@pytest.mark.parametrize(("demos", "count"), [("auto", 4), (2, 2), (0, 0)])
def test_demonstrations_are_added_where_they_help(demos, count):
    compiled = compiled_with(demos)
    assert len(compiled.demos) == count == compiled.fipo_report["demos"]
    assert compiled.score == (100.0 if count else 50.0)
    if count:
        assert {tuple(demo) for demo in compiled.demos} == {("question", "answer")}
        assert f"Demonstrations: {count} for self." in render_page(compiled.fipo_report)
        assert "What was gained" in render_page(compiled.fipo_report)


def test_a_first_batch_of_what_the_program_solves_does_not_end_the_comparison():
    """All sets were once dropped after a batch that had whatever the program is right about, though they led on all."""
    deciding = [f"How many legs has animal number {number}?" for number in range(100, 116)]
    first = random.Random("0 (demonstrations)").sample(range(16), 16)[:8]
    solved = {100 + number for number in first}
    missed = 100 + first[0]

    def script(asked):
        number = int(asked[-1]["content"].split("animal number ")[1].split("?")[0])
        is_right = number != missed if len(asked) > 2 else number in solved or number < 100
        return answering("right" if is_right else "wrong")

    using = fipo(naive_in, metric=exact, num_threads=1, search=SearchSettings(demos="auto"))
    with dspy.context(lm=local_lm(ScriptedGenerator(script), max_tokens=1000)):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS[:12]), valset=examples(deciding))
    assert compiled.demos
    assert compiled.score == pytest.approx(100 * 15 / 16)


def test_demonstrations_that_do_not_help_are_left_out():
    compiled = compiled_with("auto", lambda asked: answering("wrong" if len(asked) > 2 else "right"))
    assert compiled.demos == []
    assert compiled.score == 100.0


def test_what_the_program_had_stays_before_them_and_a_saved_program_has_them(tmp_path):
    student = dspy.Predict(Answer)
    student.demos = [dspy.Example(question="How many legs has animal number 99?", answer="right")]
    # Two more turns of conversation are there from the beginning, so only more of them help.
    compiled = compiled_with(
        2, lambda asked: shown_how(asked if len(asked) > 4 else [asked[0], asked[-1]]), student=student
    )
    assert compiled.demos[0]["question"].endswith("99?")
    assert len(compiled.demos) == 3
    assert len(student.demos) == 1
    compiled.save(tmp_path / "program.json")
    again = dspy.Predict(Answer)
    again.load(tmp_path / "program.json")
    assert len(again.demos) == 3


def test_inner_predictors_are_shown_what_they_said_in_runs_that_succeeded():
    class Pipeline(dspy.Module):
        def __init__(self):
            super().__init__()
            self.search = dspy.Predict(dspy.Signature("question -> query", "Write a query."))
            self.answer = dspy.Predict(dspy.Signature("question, query -> answer", "Answer from the query."))

        def forward(self, question):
            return self.answer(question=question, query=self.search(question=question).query)

    def script(asked):
        if "Write a query." in asked[0]["content"]:
            return f"[[ ## query ## ]]\n{'good' if len(asked) > 2 else 'bad'} query"
        return answering("right") if "good query" in asked[-1]["content"] else shown_how([asked[0], asked[-1]])

    compiled = compiled_with(2, script, student=Pipeline())
    assert compiled.score == 100.0
    assert [sorted(demo.keys()) for demo in compiled.search.demos] == [["query", "question"]] * len(
        compiled.search.demos
    )
    assert compiled.search.demos
    assert {demo["answer"] for demo in compiled.answer.demos} == {"right"}


@pytest.mark.parametrize("budget", [24, 40, 60, 200])
def test_they_cost_what_the_budget_and_the_estimate_allow(budget):
    using = fipo(metric=exact, num_threads=1, search=any_lead(demos="auto", candidates=3, max_metric_calls=budget))
    data = {"trainset": examples(ANIMALS[:12]), "valset": examples(ANIMALS[12:])}
    with dspy.context(lm=local_lm(ScriptedGenerator(shown_how), max_tokens=1000)):
        expected = using.estimate(dspy.Predict(Answer), **data)
        compiled = using.compile(dspy.Predict(Answer), **data)
    assert compiled.total_calls <= expected.metric_calls <= budget


def test_an_estimate_counts_the_tokens_of_what_is_sent():
    data = {"trainset": examples(ANIMALS[:12]), "valset": examples(ANIMALS[12:])}
    with dspy.context(lm=local_lm(ScriptedGenerator(shown_how), max_tokens=1000)):
        told = {
            demos: fipo(metric=exact, search=any_lead(demos=demos)).estimate(dspy.Predict(Answer), **data)
            for demos in (0, 2, 8)
        }
        with dspy.context(adapter=PlainAdapter()):
            plain = fipo(metric=exact, search=any_lead(demos=0)).estimate(dspy.Predict(Answer), **data)
    per_run = {demos: one.task_model_tokens / one.program_runs for demos, one in told.items()}
    assert per_run[0] < per_run[2] < per_run[8]
    assert plain.task_model_tokens < told[0].task_model_tokens / 2  # without the frame that DSPy's adapter adds
    student = dspy.Predict(Answer)
    student.demos = examples(ANIMALS[:8])
    own = fipo(metric=exact, search=any_lead(demos=0)).estimate(student, **data)
    assert own.task_model_tokens > told[0].task_model_tokens


def test_a_search_for_demonstrations_resumes_after_a_kill(tmp_path):
    calls = []

    def dies(asked):
        calls.append(asked)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return shown_how(asked)

    whole = compiled_with("auto", log_dir=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        compiled_with("auto", dies, log_dir=tmp_path / "killed")
    again = compiled_with("auto", log_dir=tmp_path / "killed")
    assert [dict(demo) for demo in again.demos] == [dict(demo) for demo in whole.demos]
    assert again.fipo_report["metric_calls_resumed"] >= 12


def test_sets_are_of_successful_runs_and_of_labels():
    given = examples(f"q{number}" for number in range(7))
    good = [(row, {"self": {"question": f"q{row}", "answer": "right"}, "other": {}}) for row in (0, 3, 4)]
    sets = sets_of(dspy.Predict(Answer), good, given, names={"self"}, count=2, most=6)
    found = [json.loads(one) for one in sets]
    rows = [[demo["row"] for demo in one["self"]] for one in found]
    labels = [0, 1, 2, 3, 4, 5]
    assert rows == [[0, 3, 1, 2, 4, 5], [0, 3], [3, 4, 6, 5, 2, 1], labels, labels[:2]]  # none is shown twice
    demos = [demo for one in found for demo in one["self"]]
    assert all(demo["fields"]["question"] == f"q{demo['row']}" for demo in demos)
    assert {demo["fields"]["answer"] for demo in demos} == {"right"}
    assert {name for one in found for name in one} == {"self"}
    assert sets_of(dspy.Predict(Answer), good, given, names=(), count=2, most=6) == []
    assert [count_of(json.dumps(one)) for one in found] == [6, 2, 6, 6, 2]
    assert count_of("") == 0


class Drafting(dspy.Module):
    """The draft, what checks it, and the answer, which has the same name as the draft."""

    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question -> answer")
        self.verify = dspy.Predict("question, answer -> verdict: str, note: list[str]")
        self.final = dspy.ChainOfThought("question, verdict -> answer")


def test_a_right_output_takes_the_place_of_what_the_program_returned():
    program = Drafting()
    trace = [
        (program.draft, {"question": "q"}, dspy.Prediction(answer="an earlier one")),
        (program.draft, {"question": "q"}, dspy.Prediction(answer="a draft")),
        (program.verify, {"question": "q", "answer": "a draft"}, dspy.Prediction(verdict="no", note=["n"])),
        (
            program.final.predict,
            {"question": "q", "verdict": "no"},
            dspy.Prediction(reasoning="why", answer="right, I think"),
        ),
        (dspy.Predict("a -> b"), {"a": "x"}, dspy.Prediction(b="y")),  # it has no name in the program
    ]
    example = dspy.Example(question="q", answer="right", verdict=None, note=object()).with_inputs("question")
    returned = dspy.Prediction(answer="right, I think", verdict="no")
    shown = calls_to_show(program, trace, returned, example)
    assert shown == {
        "draft": {"question": "q", "answer": "a draft"},
        "verify": {"question": "q", "answer": "a draft", "verdict": "no", "note": ["n"]},
        "final.predict": {"question": "q", "verdict": "no", "reasoning": "why", "answer": "right"},
    }
    assert trace[3][2].answer == "right, I think"  # it is the program's own
    kept = calls_to_show(program, trace, "right, I think", example)  # nobody knows whose answer that is
    assert kept["final.predict"]["answer"] == "right, I think"


class Mood(Enum):
    """How somebody feels."""

    GOOD = "good"
    BAD = "bad"


@pytest.mark.parametrize(
    ("signature", "said", "right", "shown"),
    [
        ("text -> answer", "four", ["4", "four"], "four"),  # the metric takes any of several
        ("text -> answer", "four", 4, 4),
        ("text -> answer", "4 legs", "4", "4"),
        ("text -> answer", "four", None, "four"),
        ("text -> answer: int", 5, "five", 5),
        ("text -> answer: int", 5, "4", "4"),
        ("text -> answer: Literal['good', 'bad']", "good", 1, "good"),
        ("text -> answer: Literal['good', 'bad']", "good", "bad", "bad"),
        ("text -> answer: Literal['1', '2']", "2", 1, 1),
        ("text -> answer: list[str]", ["a"], ["a", "b"], ["a", "b"]),
        ("text -> answer: Mood", Mood.GOOD, "bad", "bad"),
        ("text -> answer: Mood", Mood.GOOD, Mood.BAD, "bad"),
        ("text -> answer: Mood", Mood.GOOD, True, "good"),
        ("text -> reasoning, answer", "41", "42", "41"),  # the reasoning led to 41
        ("text -> reasoning, answer", "It is 42.", 42, 42),
    ],
)
def test_only_a_value_of_the_field_takes_the_place_of_what_was_said(signature, said, right, shown):
    program = dspy.Predict(dspy.Signature(signature, custom_types={"Mood": Mood, "Literal": Literal}))
    reasons = {"reasoning": "because"} if "reasoning" in signature else {}
    returned = dspy.Prediction(**reasons, answer=said)
    example = dspy.Example(text="t", answer=right).with_inputs("text")
    found = calls_to_show(program, [(program, {"text": "t"}, returned)], returned, example)
    assert found == {"self": {"text": "t", **reasons, "answer": shown}}
    labelled = set_of_labels(program, [example], 1, names={"self"})
    if not reasons:  # which no example has
        assert bool(labelled) == (shown == getattr(right, "value", right))


def test_a_part_does_not_get_the_answer_for_the_whole():
    """A program may ask for each sentence, and return something else for the text."""
    program = dspy.Predict("sentence -> tone")
    trace = [(program, {"sentence": one}, dspy.Prediction(tone=one)) for one in ("bad", "good")]
    example = dspy.Example(text="bad, good", tone="bad").with_inputs("text")
    found = calls_to_show(program, trace, dspy.Prediction(tone="bad"), example)
    assert found == {"self": {"sentence": "good", "tone": "good"}}


def test_what_is_not_plain_is_no_demonstration():
    assert as_fields({"a": 1}, {"b": ["x"]}) == {"a": 1, "b": ["x"]}
    assert as_fields({"a": dspy.History(messages=[])}, {"b": "x"}) is None
    assert as_fields({"a": object()}, {}) is None
    program = Zoo()
    give(program, "")
    assert program.answer.demos == []


@pytest.mark.parametrize("demos", [-1, "many", None, 1.5, True])
def test_a_number_of_demonstrations_that_makes_no_sense_is_an_error(demos):
    with pytest.raises(InputError, match="demos must be a number"):
        SearchSettings(demos=demos)


def test_instructions_and_demonstrations_go_together():
    def script(asked):
        is_careful, is_shown = "carefully" in asked[0]["content"], len(asked) > 2
        if is_careful and is_shown:
            return answering("right")
        return shown_how([asked[0], asked[-1]]) if is_careful else answering("wrong")

    using = fipo(metric=exact, num_threads=1, search=any_lead(demos=2))
    with dspy.context(lm=local_lm(ScriptedGenerator(script), max_tokens=1000)):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS[:12]), valset=examples(ANIMALS[12:]))
    assert "carefully" in instructions(compiled)["self"]
    assert (len(compiled.demos), compiled.score) == (2, 100.0)


def test_no_example_that_decides_is_a_demonstration(caplog):
    using = fipo(naive_in, metric=exact, num_threads=1, search=any_lead(demos=2))
    with dspy.context(lm=local_lm(ScriptedGenerator(shown_how), max_tokens=1000)):
        alone = using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS))
        same = using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS), valset=examples(ANIMALS))
    # Without a valset some are set aside for it, and where all of them decide there are none.
    assert alone.fipo_report["scores"]["compiled"]["examples"] == 24 - 6
    assert len(alone.demos) == 2
    assert same.demos == []
    assert "every example of the trainset decides" in caplog.text


def test_an_example_that_the_program_shows_already_is_not_shown_again():
    """Nor is it measured on: it would see its own answer."""
    student = Zoo()
    given = [dspy.Example(question=question, answer="right", id=0).with_inputs("question") for question in ANIMALS[:6]]
    student.predictors()[-1].demos = [given[0], given[1].toDict() | {"note": "said before"}]
    assert {one.question for one in to_show(student, given, [], SearchSettings())} == {*ANIMALS[2:6]}


@pytest.mark.parametrize("demos", [1, 2, 3])
def test_a_number_of_demonstrations_is_the_most_there_are(demos):
    def needs_many(asked) -> str:
        return answering("right" if len(asked) > 2 * demos else "wrong")

    compiled = compiled_with(demos, needs_many)
    assert (len(compiled.demos), compiled.score) == (demos, 100.0)
    needs_more = compiled_with(demos, lambda asked: answering("right" if len(asked) > 2 * demos + 2 else "wrong"))
    assert (needs_more.demos, needs_more.score) == ([], 0.0)


@pytest.mark.parametrize(
    ("demos", "trainset", "said"),
    [
        ("auto", [], "none, because no example can be spared"),
        ("auto", ANIMALS[12:], "none, because no example can be spared"),
        ("auto", ANIMALS[:12], "4 for self"),
        (0, ANIMALS[:12], ""),
    ],
)
def test_the_report_and_the_log_say_what_became_of_them(demos, trainset, said, caplog):
    using = fipo(naive_in, metric=exact, num_threads=1, search=any_lead(demos=demos))
    with dspy.context(lm=local_lm(ScriptedGenerator(shown_how), max_tokens=1000)), caplog.at_level("INFO"):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples(trainset), valset=examples(ANIMALS[12:]))
    assert compiled.fipo_report["demonstrations"].startswith(said)
    assert ("\ndemonstrations: " in caplog.text or " demonstrations: " in caplog.text) == bool(said)


@pytest.mark.parametrize(("trainset", "deciding"), [(3, 3), (35, 35), (36, 24), (60, 48)])
def test_by_default_examples_are_set_aside_for_them_only_if_there_are_enough(trainset, deciding):
    numbered = examples(f"animal number {number}?" for number in range(trainset))
    assert len(without_demonstrations(numbered, SearchSettings())) == deciding
    assert len(to_show(dspy.Predict(Answer), numbered, numbered[:deciding], SearchSettings())) == trainset - deciding
    assert len(without_demonstrations(numbered, SearchSettings(demos=0))) == trainset


def test_by_default_a_valset_alone_is_enough_to_show_the_trainset(caplog):
    using = fipo(naive_in, metric=exact, num_threads=1)
    with dspy.context(lm=local_lm(ScriptedGenerator(shown_how), max_tokens=1000)), caplog.at_level("INFO"):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS[:12]), valset=examples(ANIMALS[12:]))
    assert (len(compiled.demos), compiled.score) == (4, 100.0)
    assert ": 4 demonstrations" in caplog.text
    assert re.search("on 8 examples: .*demonstration", caplog.text)  # fewer would drop good sets by chance
    assert not re.search("on 4 examples: .*demonstration", caplog.text)
    assert "How many legs" not in "".join(re.findall("trial .*", caplog.text))
