"""What a compile survives: kills, other settings, input that cannot be used, threads, and models that fail."""

import itertools
import json
import logging
import os
import random
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import dspy
import pytest
from dspy.evaluate import Evaluate

from fipo_integrations.dspy import FIPO, SearchSettings
from fipo_model import FidelitySettings, PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.jobs import claimed_file
from fipo_model.testing import ScriptedGenerator
from support.dspy_programs import (
    ANIMALS,
    GUIDANCE,
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
    task_lm,
)
from support.forks import fork_while_locked

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


# log_dir


def test_a_resumed_compile_may_ask_for_more_certainty(tmp_path):
    task = Counting(
        lambda instruction, question: better_with_guidance(instruction, question.replace("number 0", "cat"))
    )
    sure, unsure = (resumable(task, tmp_path, significance=significance) for significance in (1.0, 0.004))
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


@pytest.mark.parametrize(("killed_at", "kept"), [(1, 0), (5, 4), (9, 8), (10, 9), (12, 11), (20, 19), (24, 23)])
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
    with pytest.raises(InputError, match=r"other settings: seed was 0 and is now 1\."):
        resumable(task, tmp_path, seed=1)
    with pytest.raises(InputError, match=r"other settings: demos was \"auto\" and is now 4\."):  # of 16, and of 4
        resumable(task, tmp_path, demos=4)
    with dspy.context(lm=task.lm), pytest.raises(InputError, match=r"student was .*valset was "):
        fipo(**search_options(log_dir=tmp_path)).compile(dspy.Predict(Answer), valset=examples())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (FidelitySettings().without("answered"), r'rules_off was not set and is now \["answered"\]'),
        (FidelitySettings(most_added_words=30), "most_added_words was not set and is now 30"),
        (FidelitySettings(may_repeat=True), "may_repeat was not set and is now true"),
    ],
)
def test_rules_that_were_turned_off_meanwhile_are_other_settings(tmp_path, settings, said):
    compiling = search_options(log_dir=tmp_path)
    with dspy.context(lm=Counting(better_with_guidance).lm):
        for _ in range(2):
            fipo(**compiling).compile(dspy.Predict(Answer), valset=examples())
        using = fipo(**compiling).optimizer
        other = PromptOptimizer(using.rewriter.generator, settings=settings)
        with pytest.raises(InputError, match=said):
            FIPO(optimizer=other, **compiling).compile(dspy.Predict(Answer), valset=examples())


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


class Two(dspy.Signature):
    """Answer from the text."""

    question: str = dspy.InputField()
    text: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Greeting(dspy.Signature):
    """Answer the message."""

    message: str = dspy.InputField(default="Hello, cat.")
    answer: str = dspy.OutputField()


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        (dspy.Predict("message -> answer"), "input 'message'"),
        (dspy.ChainOfThought("message -> answer"), "input 'message'"),
        (dspy.Predict("message, thread -> answer"), "inputs 'message' and 'thread'"),
    ],
)
def test_examples_with_none_of_the_programs_inputs_are_an_error_before_anything_runs(program, wanted):
    """A whole search ran on empty inputs, and ended with the advice to try harder examples."""
    task, using = Counting(better_with_guidance), fipo(metric=exact)
    rows = {"trainset": [dspy.Example(message="Hi.").with_inputs("message")], "valset": examples()}
    with dspy.context(lm=task.lm), pytest.raises(InputError) as caught:
        using.compile(program, **rows)
    assert str(caught.value) == f"example 0 of the valset lacks the program's {wanted}; it has 'question'"
    assert (task.calls, using.optimizer.rewriter.generator.calls) == (0, [])


@pytest.mark.parametrize(
    "program",
    [
        dspy.Predict(Two),  # DSPy warns of what is missing, and runs it
        dspy.Predict("message: str | None -> answer"),
        dspy.Predict(Greeting),
        Zoo(),
    ],
    ids=["some", "optional", "default", "a forward of its own"],
)
def test_examples_that_dspy_would_run_are_run(program):
    with dspy.context(lm=task_lm(better_with_guidance)):
        rows = [one.copy(number=1).with_inputs("question", "number") for one in examples()]
        if isinstance(program, Zoo):
            rows = examples()
        assert fipo(metric=exact, search=any_lead(candidates=1)).compile(program, valset=rows).score > 0


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
    assert "sort stays as it is: it is already compiled" in caplog.text


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


def test_a_student_without_a_language_model_is_an_error_before_anything_runs(caplog):
    using = fipo(metric=exact)
    with dspy.context(lm=None), pytest.raises(InputError, match="needs a language model, and none is set"):
        using.compile(Zoo(), trainset=examples())
    assert using.optimizer.rewriter.generator.calls == []
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("options", [{"metric": exact}, {"search": SearchSettings(student_responses=True)}])
def test_a_program_without_a_language_model_is_told_so_however_it_asks(options):
    class Caught(dspy.Module):
        def __init__(self, *predictors):
            super().__init__()
            self.first, self.second = predictors

        def forward(self, question):
            try:
                self.first(question=question)
            except Exception:  # noqa: BLE001 - as programs that have a second way do
                return dspy.Prediction(answer="none")
            return self.second(question=question)

    for student in (Caught(dspy.Predict(Answer), dspy.ChainOfThought(Answer)), dspy.ReAct(Answer, tools=[])):
        with dspy.context(lm=None), pytest.raises(InputError, match="needs a language model, and none is set"):
            fipo(**options).compile(student, trainset=examples())


def test_a_program_that_brings_its_language_model_needs_no_other():
    class Inside(dspy.Module):
        """Sets its model as it runs."""

        def __init__(self, lm):
            super().__init__()
            self.predict, self.lm = dspy.Predict(Answer), lm

        def forward(self, question):
            with dspy.context(lm=self.lm):
                return self.predict(question=question)

    tasks = [Counting(better_with_guidance) for _ in range(3)]
    own, inside = Zoo(), Inside(tasks[1].lm)
    own.set_lm(tasks[0].lm)
    half = Zoo()
    half.answer.lm = tasks[2].lm  # its other predictor is never called
    for student, task in zip((own, inside, half), tasks, strict=True):
        with dspy.context(lm=None):
            compiled = fipo(**search_options(candidates=1)).compile(student, valset=examples())
        assert compiled.score == 100.0
        assert task.calls == compiled.total_calls  # finding out took none


def test_a_program_that_asks_no_language_model_needs_none():
    class Looking(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer="right")

    with dspy.context(lm=None):
        assert fipo(metric=exact).compile(Looking(), valset=examples()).score == 100.0


def without_its_label(example, prediction, trace=None):
    return example.team == prediction.answer


@pytest.mark.parametrize(
    ("metric", "lm", "said"),
    [
        (exact, task_lm(lambda *_: "in no form"), r"the program raised .*\(is a language model set\?"),
        (without_its_label, task_lm(better_with_guidance), "the metric raised AttributeError: .*'team'"),
    ],
)
def test_what_fails_alike_on_a_few_examples_is_not_run_on_the_others(caplog, metric, lm, said):
    """Every one of 16 examples failed twice, with a line each, before the sentence that says why."""
    using = fipo(metric=metric, num_threads=8)
    with (
        dspy.context(lm=lm),
        pytest.raises(InputError, match=f"5 of 24 examples were tried and failed alike, .* not run; {said}"),
    ):
        using.compile(dspy.Predict(Answer), valset=examples(ANIMALS))
    assert len([one for one in caplog.records if one.levelno >= logging.ERROR]) == 5
    assert using.optimizer.rewriter.generator.calls == []


@pytest.mark.parametrize("error", ["Rate limit reached", "429", "number {number}"])
def test_a_few_examples_that_fail_for_a_while_or_each_in_its_own_way_end_nothing(error):
    """Only what is lasting and alike says anything about the other examples; a run is made once all the same."""
    judged: list[str] = []

    def fails_first(example, prediction, trace=None):
        judged.append(example.question)
        if len(judged) <= 5:
            raise RuntimeError(error.format(number=len(judged)))
        return exact(example, prediction)

    search = any_lead(candidates=1, patience=0.01)
    with dspy.context(lm=task_lm(better_with_guidance)):
        using = fipo(metric=fails_first, num_threads=1, search=search)
        report = using.compile(dspy.Predict(Answer), valset=examples(ANIMALS)).fipo_report
    assert report["tried_again"] == 5
    assert report["scores"]["student"] == {"score": 0.0, "failed": 0, "examples": 24, "missing": 0}
    assert len(judged) == 5 + 2 * 24
    assert report["predictors"][0]["outcome"] == "optimized"


def test_a_student_that_fails_too_often_is_an_error_that_says_what_to_do(tmp_path):
    class Fragile(Zoo):
        def forward(self, question):
            if int(question.split()[-1].rstrip("?")) >= 10:
                raise RuntimeError("too many animals")
            return super().forward(question)

    task, using = Counting(better_with_guidance), fipo(**search_options(log_dir=tmp_path))
    with dspy.context(lm=task.lm):
        with pytest.raises(InputError, match=r"max_errors=10; raise that with dspy\.configure\(max_errors=\.\.\.\)"):
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


def gepas(gold, pred, trace, pred_name, pred_trace):
    assert (trace, pred_name, pred_trace) == (None, None, None)
    return exact(gold, pred)


def mipros(example, pred, trace):
    assert trace is None
    return exact(example, pred)


def keyword_only(example, prediction, *, trace, pred_name=3):
    assert (trace, pred_name) == (None, 3)
    return exact(example, prediction)


def anything(*rows, **options):
    assert options == {}
    return exact(*rows)


class AsAnObject:
    def __call__(self, gold, pred, trace, pred_name=None):
        return mipros(gold, pred, trace)


@pytest.mark.parametrize("metric", [gepas, mipros, keyword_only, anything, AsAnObject()])
def test_a_metric_as_dspys_other_optimizers_take_it_works(metric):
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(metric=metric, search=any_lead(candidates=1)).compile(Zoo(), valset=examples())
    assert (compiled.score, compiled.fipo_report["first_failure"]) == (100.0, None)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (lambda example: 1, "too many positional arguments"),
        (lambda example, prediction, *, weight: 1, "'weight'"),
        (lambda example, prediction, trace, name, other, weight: 1, "'weight'"),
    ],
)
def test_a_metric_that_takes_other_arguments_is_an_error_as_it_is_given(metric, said):
    with pytest.raises(InputError, match=rf"must take \(example, prediction\), .*{said}"):
        fipo(metric=metric)


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


def test_what_another_thread_broke_as_it_began_is_begun_anew(monkeypatch: pytest.MonkeyPatch):
    broken, bars = [], weakref.WeakSet([Zoo])

    def breaking(self, *args, **kwargs):
        broken.append(self)
        if len(broken) == 1:
            bars.remove(self)  # the KeyError of one who is not in it
        if len(broken) == 2:
            for _ in bars:  # the RuntimeError of a set that changes
                bars.data.clear()
        return evaluate(self, *args, **kwargs)

    evaluate = Evaluate.__call__
    monkeypatch.setattr(Evaluate, "__call__", breaking)
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

    search = any_lead(patience=0.01)
    with dspy.context(lm=task_lm(refusing)):
        compiled = fipo(metric=exact, num_threads=1, search=search).compile(
            dspy.Predict(Answer), valset=examples(ANIMALS)
        )
    report = compiled.fipo_report
    assert report["scores"]["student"] == {"score": 100.0, "failed": 0, "examples": 24, "missing": 0}
    assert report["tried_again"] in (2, 3)  # DSPy 3.2 calls twice, with another adapter, before an example fails
    assert report["first_failure"].startswith("the program raised ")
    assert report["first_failure"].endswith("429")
    assert outcomes(compiled) == {"self": "unchanged"}


@pytest.mark.parametrize("seed", range(4))
def test_random_failures_of_the_model_change_no_choice(seed):
    def compiled(share: float) -> dspy.Module:
        draw = random.Random(seed)

        def flaky(instruction: str, question: str) -> str:
            if draw.random() < share:
                raise RuntimeError("Rate limit reached")
            return better_with_guidance(instruction, question)

        search = SearchSettings(seed=seed, patience=0.01)
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
            with pytest.raises(InputError, match=r"metric was .<lambda> \(\w+\). and is now .<lambda> \(\w+\)"):
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("lock", "work"),
    [("rewriting._LOADING", "optimizer.ready()"), ("proposer._COUNTING", "own({}, {}, [])")],
)
def test_a_process_forked_while_a_lock_was_held_goes_on(lock, work):
    setup = """
    from fipo_integrations.dspy import FIPOProposer, proposer, rewriting
    from fipo_model import PromptOptimizer
    from fipo_model.testing import ScriptedGenerator

    given = PromptOptimizer(ScriptedGenerator(lambda asked: "Hi."))
    optimizer = rewriting.LazyOptimizer(given, is_proposing=False)
    own = FIPOProposer(optimizer=given)
    """
    assert fork_while_locked(setup, lock=lock, work=work) == 0
