"""The DSPy optimizer: what it rewrites, what it leaves alone, and that the result is never worse than the student."""

import copy
import inspect
import json
import logging
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import cloudpickle
import dspy
import pytest
from dspy.teleprompt import BetterTogether, BootstrapFewShot, Teleprompter
from dspy.utils.callback import BaseCallback

from fipo_integrations.dspy import FIPO, SearchSettings
from fipo_model import Comparison, Message, PromptOptimizer, Verdict
from fipo_model.errors import FipoError, InputError
from fipo_model.rewriter import Rewriter
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.dspy_programs import (
    GUIDANCE,
    QUESTIONS,
    Answer,
    Ticket,
    Zoo,
    answering,
    any_lead,
    better_with_guidance,
    careful,
    exact,
    examples,
    fipo,
    instructions,
    optimizer,
    outcomes,
    task_lm,
)

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


class FailsOn(dspy.Module):
    """Answers, but raises on the questions that have `word` in them once its instruction asks for care."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.answer = dspy.Predict(Answer)
        self.word = word

    def forward(self, question: str) -> dspy.Prediction:
        if GUIDANCE in self.answer.signature.instructions and self.word in question:
            raise RuntimeError("no care possible")
        return self.answer(question=question)


def sent(using: FIPO) -> list[str]:
    """Every instruction the rewriter has been asked about."""
    return [naive_in(conversation) for call in using.optimizer.rewriter.generator.calls for conversation in call]


# What DSPy expects of an optimizer


def test_it_is_a_direct_teleprompter_with_the_keywords_dspy_passes():
    parameters = inspect.signature(FIPO.compile).parameters
    assert FIPO in Teleprompter.__subclasses__()
    assert "compile" in vars(FIPO)
    assert list(parameters) == ["self", "student", "trainset", "teacher", "valset", "others"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("trainset", "teacher", "valset"))


def test_the_constructor_stores_its_arguments_and_get_params_gives_them_as_data():
    rewriter = optimizer()
    options = {"num_threads": 3, "predictors": ["answer"], "display_progress": True, "track_stats": False}
    search = SearchSettings(candidates=2, max_metric_calls=50, seed=3, log_dir=Path("runs"))
    using = FIPO(optimizer=rewriter, metric=exact, search=search, **options)
    assert (using.optimizer, using.metric, using.search) == (rewriter, exact, search)
    assert {name: getattr(using, name) for name in options} == options
    shown = {**asdict(search), "log_dir": "runs"}
    assert using.get_params() == {"optimizer": "scripted", "metric": "exact", "search": shown, **options}
    assert json.loads(json.dumps(using.get_params())) == using.get_params()
    assert set(using.get_params()) == {*inspect.signature(FIPO).parameters, "track_stats"} - {"others"}
    priced = FIPO(search=SearchSettings(max_cost=1.0, price=lambda: 0.0)).get_params()
    assert json.loads(json.dumps(priced))["search"]["price"] == "<lambda>"
    assert FIPO().get_params() == {
        "optimizer": None,
        "metric": None,
        "search": asdict(SearchSettings()),
        "num_threads": None,
        "predictors": None,
        "display_progress": False,
        "track_stats": True,
    }


@pytest.mark.skipif(not hasattr(BaseCallback, "on_compile_start"), reason="DSPy has compile callbacks since 3.3.1")
def test_compile_reports_its_start_and_end_to_dspys_callbacks():
    seen = []

    class Log(BaseCallback):
        def on_compile_start(self, call_id, instance, inputs):
            seen.append("compile")

        def on_compile_end(self, call_id, outputs, exception=None):
            seen.append("compiled")

        def on_evaluate_start(self, call_id, instance, inputs):
            seen.append(inputs["callback_metadata"]["metric_key"])

    with dspy.context(lm=task_lm(better_with_guidance), callbacks=[Log()]):
        once = any_lead(candidates=4, minibatch_size=2)
        for threads in (1, 8):
            using = fipo(metric=exact, search=once, predictors=["answer"], num_threads=threads)
            using.compile(Zoo(), trainset=examples())
    # One after the other, four candidates and then two; with more threads those of a batch are one evaluation.
    alone, together = (["compile", "eval_full", *["eval_minibatch"] * batches, "compiled"] for batches in (6, 2))
    assert seen == alone + together


def test_without_dspy_the_error_names_the_extra():
    code = "import sys; sys.modules['dspy'] = None; import fipo_integrations.dspy"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert "MissingExtraError: this needs the package 'dspy', which is not installed: pip install '.[dspy]'" in (
        shown.stderr
    )


# What is rewritten


def test_the_compiled_program_is_new_and_the_student_is_as_it_was():
    student = Zoo()
    before = instructions(student)
    compiled = fipo().compile(student)
    assert compiled is not student
    assert isinstance(compiled, Zoo)
    assert instructions(student) == before
    assert not hasattr(student, "fipo_report")
    assert instructions(compiled) == {name: f"{text} {GUIDANCE}" for name, text in before.items()}


def test_only_the_instruction_of_a_predictor_changes():
    student = Zoo()
    student.answer.demos = [dspy.Example(question="How many legs has a cow?", answer="4")]
    student.set_lm(dspy.LM("openai/never-called"))
    student._compiled = True
    compiled = fipo().compile(student)
    before, after = student.answer.dump_state(), compiled.answer.dump_state()
    assert before["signature"].pop("instructions") != after["signature"].pop("instructions")
    assert before == after
    assert compiled.answer.config == {"temperature": 0.3}
    assert compiled.answer.lm is student.answer.lm
    assert compiled._compiled is True
    assert list(compiled.sort.predict.signature.fields) == ["ticket", "reasoning", "topic", "urgency"]
    assert compiled.sort.predict.signature.fields["topic"].annotation == Literal["refund", "delivery"]


def test_a_signature_shared_with_other_programs_is_not_touched():
    other = dspy.Predict(Answer)
    fipo().compile(Zoo())
    assert Answer.instructions == other.signature.instructions == "Answer the question."


def test_all_instructions_go_out_in_one_batch():
    using = fipo()
    using.compile(Zoo())
    assert using.optimizer.rewriter.generator.batch_sizes == [2]


def test_the_rewriter_is_shown_the_fields_but_the_result_is_the_instruction_alone():
    using = fipo()
    compiled = using.compile(Zoo())
    answer, sort = (conversation[-1]["content"] for conversation in using.optimizer.rewriter.generator.calls[0])
    assert "question: {question} (what a visitor of the zoo wants to know)\n\n" in answer
    assert "topic: one of refund, delivery\n" in sort
    assert "urgency: float: how soon somebody must look at it: greater than or equal to: 0" in sort
    assert "${" not in answer + sort
    assert all("fields" not in text for text in instructions(compiled).values())


def test_a_default_instruction_is_rewritten_with_its_fields_as_context():
    using = fipo()
    compiled = using.compile(dspy.ChainOfThought("question -> answer"))
    assert "question: {question}\n" in str(using.optimizer.rewriter.generator.calls[0][0][-1]["content"])
    naive = "Given the fields `question`, produce the fields `answer`."
    assert instructions(compiled) == {"predict": f"{naive} {GUIDANCE}"}


def test_a_variable_in_a_rewrite_is_refused_because_nothing_would_fill_it():
    using = fipo(lambda asked: f"{naive_in(asked)} Look at {{question}} first.")
    compiled = using.compile(dspy.Predict(Answer))
    assert outcomes(compiled) == {"self": "placeholder_invented"}


def test_a_default_instruction_stays_when_its_rewrite_forgets_the_fields():
    student = dspy.Predict("question -> answer")
    compiled = fipo(lambda conversation: "Given what was asked, produce a good reply.").compile(student)
    assert instructions(compiled) == instructions(student)
    assert outcomes(compiled) == {"self": "code_lost"}


def test_an_optimizer_brings_what_every_rewrite_must_keep_and_how_long_it_may_be():
    student = dspy.Predict(Answer)
    naive = instructions(student)["self"]
    word = naive.split()[-1]
    made = optimizer(lambda conversation: f"{naive_in(conversation).replace(word, 'well.')} Consider every part of it.")
    found = {
        name: outcomes(FIPO(optimizer=using).compile(student))["self"]
        for name, using in (("as it is", made), ("kept", made.keeping(word)), ("short", made.keeping(max_words=4)))
    }
    assert found == {"as it is": "optimized", "kept": "literal_lost", "short": "too_long"}


@pytest.mark.parametrize("predictors", [["answer"], {"answer"}, ("answer",)])
def test_only_the_named_predictors_are_rewritten(predictors):
    using = fipo(predictors=predictors)
    compiled = using.compile(Zoo())
    assert outcomes(compiled) == {"answer": "optimized"}
    assert sent(using) == ["Answer the question."]
    assert compiled.sort.predict.signature.instructions == Ticket.instructions


def test_a_name_the_program_does_not_have_is_an_error_that_lists_the_names():
    with pytest.raises(InputError, match=r"'sort'.*has 'answer', 'sort.predict'"):
        fipo(predictors=["sort"]).compile(Zoo())
    for wrong in ("answer", 5):
        with pytest.raises(InputError, match=rf"a collection of names, such as \['answer'\], not {wrong!r}"):
            fipo(predictors=wrong)


def test_a_shared_predictor_stays_shared_and_is_sent_once():
    class Twice(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = self.second = dspy.Predict(Answer)

    using = fipo()
    compiled = using.compile(Twice())
    assert compiled.first is compiled.second
    assert sent(using) == ["Answer the question."]
    assert GUIDANCE in compiled.second.signature.instructions


def test_predictors_in_lists_and_dicts_are_found():
    class Many(dspy.Module):
        def __init__(self):
            super().__init__()
            self.several = [dspy.Predict(Answer), dspy.Predict(Ticket)]
            self.named = {"a": dspy.ChainOfThought(Answer)}

    compiled = fipo().compile(Many())
    assert outcomes(compiled) == dict.fromkeys(["several[0]", "several[1]", "named['a'].predict"], "optimized")


# What is left alone


def _zoo_tool(animal: str) -> str:
    """Says where an animal lives."""
    return "cage 3"


class Agent(dspy.ReAct):
    """An agent of the user's own, with a predictor beside the protocol."""

    def __init__(self) -> None:
        super().__init__(Answer, tools=[_zoo_tool])
        self.polish = dspy.Predict(Ticket)


class Explorer(dspy.RLM):
    """A kind of RLM of the user's own."""


class HandMade(dspy.Module):
    """A copy of ReAct, as people write them."""

    def __init__(self) -> None:
        super().__init__()
        self.step = dspy.Predict(dspy.Signature("question -> next_tool_name", "Use the tools. Reply with a name."))


def _deprecated(kind: str) -> dspy.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return dspy.CodeAct(Answer, tools=[_zoo_tool]) if kind == "CodeAct" else dspy.ProgramOfThought(Answer)


@pytest.mark.parametrize(
    ("make", "protected", "rewritten"),
    [
        (lambda: dspy.ReAct(Answer, tools=[_zoo_tool]), set(), {"react", "extract.predict"}),
        pytest.param(
            lambda: dspy.ReActV2(Answer, tools=[_zoo_tool]),
            {"react"},
            set(),
            marks=pytest.mark.skipif(not hasattr(dspy, "ReActV2"), reason="DSPy has ReActV2 since 3.3"),
        ),
        (lambda: dspy.RLM(Answer), {"generate_action"}, {"extract"}),
        (lambda: _deprecated("CodeAct"), {"codeact"}, {"extractor.predict"}),
        (
            lambda: _deprecated("ProgramOfThought"),
            {"code_generate.predict", "code_regenerate.predict", "generate_output.predict"},
            set(),
        ),
        (Agent, set(), {"react", "extract.predict", "polish"}),
        (lambda: Explorer(Answer), {"generate_action"}, {"extract"}),
        (HandMade, {"step"}, set()),
    ],
)
def test_an_agents_protocol_is_not_sent_and_what_is_beside_it_is_rewritten(make, protected, rewritten):
    class Program(dspy.Module):
        def __init__(self):
            super().__init__()
            self.steps = [make()]

    student = Program()
    using = fipo()
    compiled = using.compile(student)
    expected = dict.fromkeys(protected, "protected") | dict.fromkeys(rewritten, "optimized")
    assert outcomes(compiled) == {f"steps[0].{name}": outcome for name, outcome in expected.items()}
    assert len(sent(using)) == len(rewritten)
    before, after = instructions(student), instructions(compiled)
    assert {name for name in before if before[name] != after[name]} == {f"steps[0].{name}" for name in rewritten}
    assert outcomes(fipo().compile(make())) == expected


def test_frozen_sub_modules_stay_as_they_are():
    student = Zoo()
    student.sort._compiled = True
    using = fipo()
    compiled = using.compile(student)
    assert sent(using) == ["Answer the question."]
    assert compiled.sort.predict.signature.instructions == Ticket.instructions


@pytest.mark.parametrize(
    ("addition", "outcome"),
    [
        ("Look at `animal` first.", "field_invented"),
        ("Look at `ticket` first.", "optimized"),
        ("Say `refund` when money is wanted, or `delivery`.", "optimized"),
        ("Say that it is a REFUND.", "golden_leaked"),
        ("Say whether money is refunded.", "optimized"),
        ("Be brief.", "optimized"),
    ],
)
def test_a_rewrite_names_only_the_signatures_fields_and_all_choices_or_none(addition, outcome):
    compiled = fipo(lambda conversation: f"{naive_in(conversation)} {addition}").compile(dspy.Predict(Ticket))
    assert outcomes(compiled) == {"self": outcome}
    text = f"{Ticket.instructions} {addition}" if outcome == "optimized" else Ticket.instructions
    assert instructions(compiled) == {"self": text}


def test_a_choice_that_the_instruction_names_itself_may_stay():
    student = dspy.Predict(Ticket.with_instructions("Is it a refund?"))
    assert outcomes(fipo().compile(student)) == {"self": "optimized"}


def test_code_in_the_students_own_instruction_may_stay():
    naive = "Translate the text, but leave `foo_bar` alone."
    compiled = fipo().compile(dspy.Predict(dspy.Signature("text -> translation", naive)))
    assert instructions(compiled) == {"self": f"{naive} {GUIDANCE}"}


def test_an_instruction_that_cannot_be_sent_does_not_keep_the_others_from_it():
    class Three(dspy.Module):
        def __init__(self):
            super().__init__()
            self.blank = dspy.Predict(Answer.with_instructions("  "))
            self.long = dspy.Predict(Answer.with_instructions("Answer the question. " * 30))
            self.good = dspy.Predict(Answer)

    student = Three()
    compiled = FIPO(optimizer=optimizer(context_tokens=600)).compile(student)
    assert outcomes(compiled) == {"blank": "unusable", "long": "unusable", "good": "optimized"}
    assert all(row["detail"] for row in compiled.fipo_report["predictors"] if row["outcome"] == "unusable")
    assert instructions(compiled) == {**instructions(student), "good": f"Answer the question. {GUIDANCE}"}


def test_a_program_without_predictors_is_copied():
    using = fipo()
    compiled = using.compile(dspy.Module())
    assert compiled.fipo_report["predictors"] == []
    assert using.optimizer.rewriter.generator.calls == []


# The report


def test_the_report_says_what_became_of_every_instruction():
    def script(conversation):
        return "Sure! 42." if "ticket" in naive_in(conversation) else careful(conversation)

    report = fipo(script).compile(Zoo()).fipo_report
    answer, sort = report["predictors"]
    assert report["model"] == "scripted"
    assert report["scores"] is None
    assert answer["name"] == "answer"
    assert answer["naive"] == "Answer the question."
    assert answer["text"] == f"Answer the question. {GUIDANCE}"
    assert answer["candidates"] == [
        {"text": answer["text"], "outcome": "optimized", "detail": "", "origin": "rewriter", "log_likelihood": None}
    ]
    assert (answer["outcome"], answer["detail"]) == ("optimized", "")
    assert sort["text"] == sort["naive"] == Ticket.instructions
    assert (sort["outcome"], sort["candidates"][0]["text"]) == ("answered", "Sure! 42.")
    assert "begins like a reply" in sort["detail"]


def test_the_reports_text_is_what_dspy_shows_the_model():
    rewrite = "Answer the question:\n    - briefly,\n    - carefully."
    compiled = fipo(lambda conversation: rewrite).compile(dspy.Predict(Answer))
    assert compiled.fipo_report["predictors"][0]["text"] == instructions(compiled)["self"]


def test_what_became_of_the_instructions_is_logged_and_nothing_is_printed(caplog, capsys):
    with caplog.at_level(logging.INFO, logger="fipo.dspy"):
        FIPO(optimizer=optimizer()).compile(Zoo())
    assert [record.getMessage() for record in caplog.records if record.name == "fipo.dspy"] == [
        "rewriting 2 instructions (answer, sort.predict) with scripted",
        "answer: optimized",
        "sort.predict: optimized",
    ]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": None}, "rewriting 1 instruction (self) with scripted"),
        (
            {"metric": exact},
            "rewriting 1 instruction (self) with scripted; the program is measured first, on up to 3 examples",
        ),
    ],
)
def test_what_will_be_done_is_said_before_the_first_wait(caplog, options, said):
    said_before: list[str] = []

    def note_what_was_said() -> None:
        if not said_before:
            said_before.extend(record.getMessage() for record in caplog.records if record.name == "fipo.dspy")

    def rewrite(conversation):
        note_what_was_said()
        return careful(conversation)

    def answer(instruction, question):
        note_what_was_said()
        return better_with_guidance(instruction, question)

    with caplog.at_level(logging.INFO, logger="fipo.dspy"), dspy.context(lm=task_lm(answer)):
        fipo(rewrite, **options).compile(dspy.Predict(Answer), valset=examples() if options["metric"] else None)
    assert said in said_before


# With a metric


def compile_measured(
    student: dspy.Module,
    lm: dspy.LM,
    *,
    metric: Callable[..., object] = exact,
    questions: Sequence[str] = QUESTIONS,
    script: Callable[[list[Message]], str] = careful,
) -> dspy.Module:
    once = any_lead(candidates=1)
    with dspy.context(lm=lm):
        using = fipo(script, metric=metric, num_threads=1, predictors=["answer"], search=once)
        return using.compile(student, trainset=examples(questions))


def test_a_better_program_is_returned_with_its_score_and_all_candidates():
    student = Zoo()
    compiled = compile_measured(student, task_lm(better_with_guidance))
    assert GUIDANCE in instructions(compiled)["answer"]
    assert compiled.score == 100.0
    assert [candidate["score"] for candidate in compiled.candidate_programs] == [100.0, 33.33]
    best, worst = (candidate["program"] for candidate in compiled.candidate_programs)
    assert instructions(best) == instructions(compiled)
    assert instructions(worst) == instructions(student)
    assert compiled.fipo_report["scores"] == {
        "student": {"score": 33.33, "failed": 0, "examples": 3, "missing": 0},
        "compiled": {"score": 100.0, "failed": 0, "examples": 3, "missing": 0},
    }
    assert compiled.fipo_report["gain"] == {"value": 66.67, "low": 0.0, "high": 100.0, "level": 0.95}
    assert compiled.total_calls == compiled.fipo_report["metric_calls"] == 6
    assert [trial["score"] for trial in compiled.trial_logs.values()] == [33.33, 100.0]
    assert student.history == compiled.history == []


def graded(example, prediction, trace=None):
    """A number, which does not say that there is nothing above 1."""
    return float(exact(example, prediction))


def test_where_there_is_nothing_to_gain_no_rewrite_is_run():
    compiled = compile_measured(Zoo(), task_lm(lambda *_: answering("right")))
    assert compiled.total_calls == 3
    assert (
        "all 3 examples are right already, so there is nothing to gain"
        in compiled.fipo_report["predictors"][0]["detail"]
    )


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        (lambda instruction, question: answering("right"), (100.0, 100.0)),
        (lambda instruction, question: answering("wrong"), (0.0, 0.0)),
        (lambda instruction, question: answering("wrong" if GUIDANCE in instruction else "right"), (100.0, 0.0)),
    ],
    ids=["tie", "tie at nothing", "worse"],
)
def test_the_original_instructions_stay_unless_the_score_is_higher(answer, scores, caplog):
    student = Zoo()
    compiled = compile_measured(student, task_lm(answer), metric=graded)
    assert compiled is not student
    assert instructions(compiled) == instructions(student)
    assert outcomes(compiled) == {"answer": "not_preferred"}
    row = compiled.fipo_report["predictors"][0]
    assert row["text"] == row["naive"] != row["candidates"][0]["text"]
    assert compiled.fipo_report["scores"]["compiled"] == compiled.fipo_report["scores"]["student"]
    assert compiled.fipo_report["gain"]["value"] == 0
    assert compiled.score == scores[0]
    assert tuple(candidate["score"] for candidate in compiled.candidate_programs) == scores
    assert instructions(compiled.candidate_programs[0]["program"]) == instructions(student)


def test_the_valset_decides_and_the_trainset_stands_in_for_it(caplog):
    cats, all_animals = examples(["How many legs has a cat?"] * 2), examples()
    with dspy.context(lm=task_lm(better_with_guidance)):
        using = fipo(metric=exact)
        assert outcomes(using.compile(Zoo(), trainset=all_animals, valset=cats))["answer"] == "unchanged"
        assert outcomes(using.compile(Zoo(), trainset=cats, valset=all_animals))["answer"] == "optimized"
        with caplog.at_level(logging.INFO, logger="fipo.dspy"):
            assert outcomes(using.compile(Zoo(), trainset=all_animals, valset=[]))["answer"] == "optimized"
    assert "without a valset, the 3 examples of the trainset decide" in caplog.text


@pytest.mark.parametrize("data", [{}, {"trainset": []}, {"trainset": [], "valset": []}])
def test_a_metric_without_examples_is_an_error_before_anything_is_sent(data):
    using = fipo(metric=exact)
    with pytest.raises(InputError, match=r"valset=\[...\] or trainset=\[...\]"):
        using.compile(Zoo(), **data)
    assert using.optimizer.rewriter.generator.calls == []


def test_when_nothing_was_rewritten_only_the_student_is_measured():
    # Of two right outputs no rule states the form.
    compiled = compile_measured(Zoo(), task_lm(better_with_guidance), script=naive_in, questions=QUESTIONS[:2])
    assert set(outcomes(compiled).values()) == {"unchanged"}
    assert compiled.score < 100
    assert compiled.total_calls == 2
    assert len(compiled.candidate_programs) == 1


@pytest.mark.parametrize(
    ("count", "failed"),
    [(2, "all 2 examples failed"), (12, "5 of 12 examples were tried and failed alike, so the others were not run")],
    ids=["within max_errors", "beyond max_errors"],
)
def test_a_metric_that_always_crashes_is_an_error_that_names_it(count, failed):
    def crashing(example, prediction, trace=None):
        raise KeyError("no such label")

    with pytest.raises(InputError, match=f"{failed}; the metric raised KeyError: 'no such label'"):
        compile_measured(Zoo(), task_lm(better_with_guidance), metric=crashing, questions=["A cat?"] * count)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, r"must return a number \(is a return missing\?\).*not NoneType"),
        ("good", "not str"),
        (float("nan"), "not nan"),
    ],
)
def test_a_metric_that_returns_no_number_is_an_error_that_says_so(returned, said):
    def odd(example, prediction, trace=None):
        return returned

    with pytest.raises(InputError, match=f"the metric odd {said}" if returned is None else said):
        compile_measured(Zoo(), task_lm(better_with_guidance), metric=odd)


def test_a_program_that_cannot_run_at_all_is_an_error_with_advice():
    with (
        dspy.context(lm=task_lm(lambda *_: "in no form")),
        pytest.raises(InputError, match=r"all 3 examples failed; .*is a language model set"),
    ):
        fipo(metric=exact).compile(Zoo(), trainset=examples())


@pytest.mark.parametrize("count", [2, 12], ids=["within max_errors", "beyond max_errors"])
def test_a_rewrite_that_breaks_the_program_is_not_used(count):
    student = FailsOn("cat")
    compiled = compile_measured(student, task_lm(better_with_guidance), metric=graded, questions=["A cat?"] * count)
    assert instructions(compiled) == instructions(student)
    row = compiled.fipo_report["predictors"][0]
    assert row["outcome"] == "not_preferred"
    (trial,) = compiled.fipo_report["trials"][1:]  # that of the first batch, behind which it goes no further
    assert trial["failed"] == trial["examples"] == min(count, 4)
    assert compiled.score == 100.0


def test_failed_examples_are_counted_and_logged(caplog):
    student = FailsOn("cat")
    compiled = compile_measured(student, task_lm(better_with_guidance), questions=[*QUESTIONS, "A bird?", "An ant?"])
    assert compiled.fipo_report["scores"]["student"] == {"score": 20.0, "failed": 0, "examples": 5, "missing": 0}
    last = compiled.trial_logs[len(compiled.trial_logs) - 1]
    assert (last["score"], last["failed"], last["examples"]) == (80.0, 1, 5)
    assert "1 of 1 runs failed and count as 0; the program raised RuntimeError: no care possible" in caplog.text


def test_failing_is_no_way_to_a_better_score():
    def penalty(example, prediction, trace=None):
        return -1.0

    compiled = compile_measured(FailsOn("cat"), task_lm(better_with_guidance), metric=penalty)
    assert compiled.trial_logs[1]["score"] > compiled.trial_logs[0]["score"]
    assert outcomes(compiled) == {"answer": "not_preferred"}


def test_a_metric_may_be_a_module():
    class Grader(dspy.Module):
        def forward(self, example, prediction):
            return dspy.Prediction(score=float(example.answer == prediction.answer))

    compiled = compile_measured(Zoo(), task_lm(better_with_guidance), metric=Grader())
    assert compiled.score == 100.0
    assert FIPO(metric=Grader()).get_params()["metric"] == "Grader"


def test_usage_can_be_tracked_while_compiling():
    with dspy.context(track_usage=True):
        assert compile_measured(Zoo(), task_lm(better_with_guidance)).score == 100.0


# The result is an ordinary program


def test_nothing_attached_becomes_a_parameter():
    compiled = compile_measured(Zoo(), task_lm(better_with_guidance))
    assert list(instructions(compiled)) == list(instructions(Zoo()))


def test_a_sub_module_called_score_survives():
    class Essay(dspy.Module):
        def __init__(self):
            super().__init__()
            self.score = dspy.Predict(Answer)

        def candidate_programs(self):
            return "mine"

        def forward(self, question):
            return self.score(question=question)

    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(metric=exact).compile(Essay(), trainset=examples())
    assert GUIDANCE in compiled.score.signature.instructions
    assert compiled.candidate_programs() == "mine"
    assert compiled.fipo_report["scores"]["compiled"]["score"] == 100.0


def test_the_report_is_plain_data_and_copies_with_the_program():
    compiled = compile_measured(Zoo(), task_lm(better_with_guidance))
    assert json.loads(json.dumps(compiled.fipo_report)) == compiled.fipo_report
    for again in (compiled.deepcopy(), copy.deepcopy(compiled)):
        assert again.fipo_report == compiled.fipo_report
        assert instructions(again) == instructions(compiled)
        assert [c["score"] for c in again.candidate_programs] == [100.0, 33.33]


def test_the_optimizer_cannot_be_reached_from_the_program():
    pickled = cloudpickle.dumps(compile_measured(Zoo(), task_lm(better_with_guidance)))
    assert b"PromptOptimizer" not in pickled
    assert b"fipo_integrations" not in pickled


def test_a_whole_program_can_be_saved_and_loaded(tmp_path):
    compiled = compile_measured(Zoo(), task_lm(better_with_guidance))
    compiled.save(tmp_path / "program", save_program=True)
    loaded = dspy.load(tmp_path / "program", allow_pickle=True)
    assert instructions(loaded) == instructions(compiled)
    assert loaded.fipo_report == compiled.fipo_report
    assert loaded.score == 100.0


def test_saved_instructions_load_where_fipo_is_not_installed(tmp_path):
    compiled = fipo().compile(dspy.ChainOfThought(Answer))
    compiled.save(tmp_path / "program.json")
    code = (
        "import sys; sys.modules['fipo_model'] = sys.modules['fipo_integrations'] = None\n"
        "import dspy; program = dspy.ChainOfThought('question -> answer'); program.load(sys.argv[1])\n"
        "print(program.predict.signature.instructions)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "program.json"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == f"Answer the question. {GUIDANCE}"


def test_compiling_again_starts_from_the_compiled_program_without_its_statistics():
    def politely(conversation):
        return f"{naive_in(conversation)} Stay polite."

    first = compile_measured(Zoo(), task_lm(better_with_guidance))
    second = compile_measured(first, task_lm(better_with_guidance), script=politely)
    assert second.fipo_report["scores"]["student"]["score"] == 100.0
    assert not any(hasattr(candidate["program"], "candidate_programs") for candidate in second.candidate_programs)
    third = fipo(politely).compile(first)
    assert instructions(third)["answer"] == f"Answer the question. {GUIDANCE} Stay polite."
    assert third.fipo_report["scores"] is None
    assert not hasattr(third, "candidate_programs")
    assert not hasattr(third, "score")
    assert first.score == 100.0


# How it runs


def test_the_same_program_gives_the_same_instructions():
    assert instructions(fipo().compile(Zoo())) == instructions(fipo().compile(Zoo()))


def test_the_optimizers_seed_decides_among_samples():
    class Newest:
        def prefer(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
            return [Verdict(winner="challenger", reason="newer") for _ in comparisons]

    def compiled(seed: int) -> dict[str, str]:
        sampling = PromptOptimizer(ScriptedGenerator(careful), judge=Newest(), candidates=2, seed=seed)
        return instructions(FIPO(optimizer=sampling).compile(Zoo()))

    assert compiled(0) == compiled(0) != compiled(1)


async def test_it_can_be_compiled_from_a_running_loop():
    using = fipo(metric=exact)
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = await dspy.asyncify(using.compile)(Zoo(), trainset=examples())
        assert instructions(using.compile(Zoo(), valset=examples())) == instructions(compiled)
    assert compiled.score == 100.0


def test_threads_may_compile_the_same_student_with_the_same_optimizer():
    using, student, compiled = fipo(), Zoo(), []
    threads = [threading.Thread(target=lambda: compiled.append(using.compile(student))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(program) for program in compiled}) == 4
    assert all(GUIDANCE in text for program in compiled for text in instructions(program).values())
    assert all(GUIDANCE not in text for text in instructions(student).values())


@pytest.mark.parametrize("metric", [None, exact])
def test_it_takes_part_in_better_together(metric):
    student = Zoo()
    student.set_lm(task_lm(better_with_guidance))
    together = BetterTogether(metric=exact, fipo=fipo(metric=metric), boot=BootstrapFewShot(metric=exact))
    compiled = together.compile(student, trainset=examples(QUESTIONS * 2), valset=examples(), strategy="fipo -> boot")
    scores = {candidate["strategy"]: candidate["score"] for candidate in compiled.candidate_programs}
    assert scores == {"": 33.33, "fipo": 100.0, "fipo -> boot": 100.0}
    assert not compiled.flag_compilation_error_occurred
    assert all(predictor.lm is not None for predictor in compiled.predictors())


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for FIPO's own weights: every load gives a scripted rewriter, and is remembered by its role."""
    loaded: list[str] = []

    def from_pretrained(*, role: str) -> Rewriter:
        time.sleep(0.05)  # long enough for the other threads to arrive
        loaded.append(role)
        return optimizer().rewriter

    monkeypatch.setattr(Rewriter, "from_pretrained", from_pretrained)
    return loaded


def test_the_default_weights_are_loaded_once_and_only_when_needed(loads):
    using = FIPO()
    using.compile(HandMade())
    assert loads == []
    threads = [threading.Thread(target=using.compile, args=(Zoo(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["rewriting"]
    assert instructions(using.compile(Zoo()))["answer"] == f"Answer the question. {GUIDANCE}"
    assert using.get_params()["optimizer"] is None


def test_where_a_metric_chooses_the_weights_that_propose_many_things_are_loaded(loads):
    with dspy.context(lm=task_lm(better_with_guidance)):
        FIPO(metric=exact).compile(Zoo(), valset=examples())
    assert loads == ["proposing"]


def test_a_model_that_fails_is_not_hidden():
    def broken(conversation):
        raise FipoError("the server is down")

    with pytest.raises(FipoError, match="the server is down"):
        fipo(broken).compile(Zoo())


def test_it_can_be_copied_with_its_optimizer():
    twin = copy.deepcopy(fipo(num_threads=2))
    assert twin.get_params() == fipo(num_threads=2).get_params()
    assert GUIDANCE in instructions(twin.compile(Zoo()))["answer"]
