"""What users of DSPy's other optimizers expect: names, models, messages, and programs as they come from elsewhere."""

import logging
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM

from fipo_integrations.dspy import FIPO, FIPOProposer, SearchSettings
from fipo_integrations.dspy.language_model import LanguageModelGenerator
from fipo_integrations.dspy.page import render_page
from fipo_integrations.dspy.programs import left_alone
from fipo_model import Completion, Message, PromptOptimizer, Sampling
from fipo_model.errors import FipoError, InputError
from fipo_model.search import SearchSettings as PlainSearchSettings
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.dspy_programs import (
    GUIDANCE,
    Answer,
    any_lead,
    better_with_guidance,
    exact,
    examples,
    fipo,
    instructions,
    optimizer,
    outcomes,
    task_lm,
)

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


# Names


def test_settings_go_by_dspys_names_too():
    using = FIPO(metric=exact, auto="light", seed=3, max_metric_calls=50, log_dir="runs", verbose=True)
    assert using.search == SearchSettings(auto="light", seed=3, max_metric_calls=50, log_dir="runs")
    assert using.display_progress
    both = FIPO(search=SearchSettings(candidates=2), seed=3, demos=2).search
    assert both == SearchSettings(candidates=2, seed=3, demos=2)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: FIPO(num_candidates=3), InputError, r"FIPO has no num_candidates.*SearchSettings\(candidates"),
        (lambda: FIPO(reflection_lm=None), InputError, "prompt_model"),
        (lambda: FIPO(max_bootstrapped_demos=4), InputError, "FIPO has no max_bootstrapped_demos; use demos"),
        (lambda: FIPO(max_labeled_demos=4), InputError, "use demos"),
        (lambda: FIPO(num_trials=9), InputError, "use max_metric_calls"),
        (lambda: FIPO(breadth=9), InputError, r"SearchSettings\(candidates"),
        (lambda: FIPO(depth=3), InputError, r"SearchSettings\(turns"),
        (lambda: FIPO(teacher_settings={}), InputError, "leave it out: FIPO takes golden responses"),
        (lambda: FIPO(minibatch_size=3), InputError, r"use FIPO\(search=SearchSettings\(minibatch_size=\.\.\.\)\)"),
        (lambda: FIPO(significance=1), InputError, r"SearchSettings\(significance"),
        (lambda: FIPO(exact), InputError, r"FIPO takes its arguments by name: pass metric=\.\.\., not <function exact"),
        (lambda: FIPO().compile(dspy.Predict(Answer), examples()), InputError, r"FIPO\.compile .*pass trainset="),
        (lambda: FIPO().compile(dspy.Predict(Answer), requires_permission_to_run=False), InputError, "never asks"),
        (lambda: FIPO().compile(dspy.Predict(Answer), num_trials=9), InputError, "max_metric_calls"),
        (lambda: FIPO().compile(dspy.Predict(Answer), metric=exact), InputError, r"an argument of FIPO\(\.\.\.\)"),
        (lambda: FIPO(max_errors=3), InputError, "dspy.configure"),
        (lambda: FIPO(optimiser=None), TypeError, "unexpected keyword argument 'optimiser'"),
        (lambda: FIPO(auto="huge"), InputError, "auto must be one of light, medium, heavy"),
        (lambda: FIPO().compile(dspy.Predict(Answer), seed=3), InputError, r"seed is an argument of FIPO\(\.\.\.\)"),
        (lambda: FIPO().compile(dspy.Predict(Answer), trainsett=[]), TypeError, "trainsett"),
        (lambda: FIPO(prompt_model="openai/gpt"), InputError, "must be a DSPy language model"),
        (lambda: FIPO(prompt_model=DummyLM([]), optimizer=optimizer()), InputError, "give one"),
    ],
)
def test_a_name_that_is_none_is_told_where_what_is_meant_is(wrong, error, said):
    with pytest.raises(error, match=said):
        wrong()


class Answering:
    def __call__(self, example, prediction):
        return 1.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"metric": "exact"},
            r"metric must be a function, not 'exact' \(only PromptOptimizer\.search knows .*: write one",
        ),
        ({"metric": 1.0}, r"metric must be a function, not 1\.0: write one, such as lambda example, prediction"),
        ({"metric": Answering}, "not the class Answering: pass an instance"),
        ({"metric": lambda example: 1.0}, r"must take \(example, prediction\)"),
        ({"optimizer": "qwen2.5-coder-0.5b"}, r"PromptOptimizer\.from_pretrained\(\.\.\.\), not 'qwen"),
        ({"search": {"candidates": 4}}, "search must be a SearchSettings from fipo_integrations.dspy, not {'cand"),
        ({"search": PlainSearchSettings()}, "search must be a SearchSettings from fipo_integrations.dspy"),
        ({"num_threads": "4"}, "num_threads must be at least 1, .* not '4'"),
        ({"predictors": [dspy.Predict("a -> b")]}, r"predictors must be names, as in program\.named_predictors"),
    ],
)
def test_what_cannot_work_is_an_error_as_it_is_given(wrong, said):
    with pytest.raises(InputError, match=said):
        FIPO(**wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"optimizer": "qwen2.5-coder-0.5b"}, "optimizer must be a PromptOptimizer"),
        ({"program": dspy.Predict}, "program must be a program, an instance"),
        ({"golden": "answer"}, "golden must be a function of a record, not 'answer'"),
    ],
)
def test_so_it_is_for_gepas_proposer(wrong, said):
    with pytest.raises(InputError, match=said):
        FIPOProposer(**wrong)


@pytest.mark.parametrize("metric", [Answering(), lambda example, prediction, trace=None: 1.0, dspy.Predict("a -> b")])
def test_whatever_takes_an_example_and_a_prediction_is_a_metric(metric):
    assert FIPO(metric=metric).metric is metric


@pytest.mark.parametrize("is_tracked", [True, False])
def test_track_stats_decides_what_is_attached_beside_the_report(is_tracked):
    with dspy.context(lm=task_lm(better_with_guidance)):
        using = fipo(metric=exact, num_threads=1, track_stats=is_tracked)
        compiled = using.compile(dspy.Predict(Answer), valset=examples())
    assert hasattr(compiled, "candidate_programs") == hasattr(compiled, "trial_logs") == is_tracked
    assert compiled.fipo_report["scores"]["compiled"]["score"] == 100


@pytest.mark.parametrize(
    ("search", "valset", "said"),
    [
        (SearchSettings(), "examples", "valset is not used"),
        (SearchSettings(candidates=2, max_metric_calls=9), None, "candidates, max_metric_calls is not used"),
        (SearchSettings(seed=4, student_responses=True), None, None),
    ],
)
def test_what_is_for_a_search_is_said_to_be_of_no_use_without_a_metric(caplog, search, valset, said):
    with dspy.context(lm=task_lm(better_with_guidance)):
        fipo(search=search).compile(dspy.Predict(Answer), valset=valset and examples())
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [said in one for one in warned] == ([] if said is None else [True])


# Any language model as the rewriter


def rewriting_lm(seen: list[str]) -> dspy.LM:
    def reply(system: str, asked: str) -> str:
        seen.append(asked)
        naive = naive_in([{"role": "user", "content": asked[asked.index("Naive prompt:") :]}])
        return f"<think>Hm.</think>{naive} {GUIDANCE}"

    return task_lm(reply)


@pytest.mark.parametrize("metric", [None, exact])
def test_a_language_model_of_dspys_rewrites(metric):
    seen: list[str] = []
    using = FIPO(prompt_model=rewriting_lm(seen), metric=metric, search=any_lead(candidates=2), num_threads=1)
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples())
    assert instructions(compiled) == {"self": f"Answer the question. {GUIDANCE}"}
    assert using.get_params()["optimizer"] == compiled.fipo_report["model"] == "local/scripted"
    assert all("You rewrite prompts" in text for text in seen)


def test_samples_of_a_language_model_are_asked_for_one_by_one_past_its_cache():
    asked: list[dict[str, Any]] = []

    class Old(dspy.BaseLM):
        def __call__(self, prompt: str, **options: Any) -> list[str]:  # as every language model may be called
            asked.append(options)
            return [f"{prompt} {len(asked)}"]

    generator = LanguageModelGenerator(Old("old"))
    turns = [{"role": "system", "content": "Rewrite."}, {"role": "user", "content": "Go."}]
    (found,) = generator.generate([turns], Sampling(temperature=0.8, seed=2), samples=3)
    assert len({one.text for one in found}) == 3
    assert all(one.text.startswith("Rewrite.\n\nGo.") for one in found)
    assert len({one["rollout_id"] for one in asked}) == 3
    generator.generate([turns], Sampling())
    assert asked[-1] == {}
    assert generator.generate([], Sampling()) == []
    with pytest.raises(InputError, match="greedy decoding has one completion"):
        generator.generate([turns], Sampling(), samples=2)
    with pytest.raises(InputError, match="samples must be at least 1"):
        generator.generate([turns], Sampling(), samples=0)


def test_a_reply_that_a_language_model_cut_off_is_truncated_and_a_failure_names_it():
    ends = task_lm(lambda *_: "one two three " * 400)
    ((found,),) = LanguageModelGenerator(ends).generate([[{"role": "user", "content": "Go."}]], Sampling())
    assert found.is_truncated
    assert found.completion_tokens > 0

    def fails(*_: str) -> str:
        raise ValueError("no key")

    with pytest.raises(FipoError, match=r"prompt_model local/scripted failed: .*no key"):
        LanguageModelGenerator(task_lm(fails)).generate([[{"role": "user", "content": "Go."}]], Sampling())


@pytest.mark.parametrize(
    ("reason", "is_truncated", "is_refused"),
    [
        ("stop", False, False),
        ("STOP", False, False),
        ("end_turn", False, False),
        (None, False, False),
        ("length", True, False),
        ("max_tokens", True, False),
        ("content_filter", False, True),
        ("refusal", False, True),
        ("error", True, False),
        ("tool_calls", True, False),
        ("some_new_reason", True, False),
    ],
)
def test_a_reply_counts_as_finished_only_if_it_ended_in_a_known_way(reason, is_truncated, is_refused):
    found = ended({"choices": [SimpleNamespace(finish_reason=reason)]})
    assert (found.is_truncated, found.is_refused) == (is_truncated, is_refused)
    assert bool(found.note) == (is_truncated or is_refused)
    alone = ended({"finish_reason": reason})
    assert (alone.is_truncated, alone.is_refused) == (is_truncated, is_refused)


@pytest.mark.parametrize(("status", "is_truncated"), [("completed", False), ("incomplete", True)])
def test_a_reply_of_the_responses_api_says_by_its_status_whether_it_is_finished(status, is_truncated):
    assert ended({"status": status}).is_truncated == is_truncated


def test_half_a_reply_that_a_filter_ended_is_no_rewrite():
    class Filtered(Ending):
        def __call__(self, prompt: str, **options: Any) -> list[str]:
            super().__call__(prompt, **options)
            return ["Answer the question. Consider every part"]

    found = PromptOptimizer(LanguageModelGenerator(Filtered({"finish_reason": "content_filter"}))).optimize(
        "Answer the question."
    )
    assert not found.is_rewritten


class Ending(dspy.BaseLM):
    """A language model whose replies end as its history says."""

    def __init__(self, response: dict[str, Any]) -> None:
        super().__init__("ending")
        self.response = SimpleNamespace(**response)

    def __call__(self, prompt: str, **options: Any) -> list[str]:
        self.history.append({"response": self.response, "usage": {}})
        return ["Half a"]


def ended(response: dict[str, Any]) -> Completion:
    ((found,),) = LanguageModelGenerator(Ending(response)).generate([[{"role": "user", "content": "Go."}]], Sampling())
    return found


# Messages


SHOWN = """
import dspy, logging
{setup}
from fipo_integrations.dspy import FIPO
from fipo_model import PromptOptimizer
from fipo_model.testing import ScriptedGenerator
{after}
said = PromptOptimizer(ScriptedGenerator(lambda _: "Answer the question in one short sentence."))
FIPO(optimizer=said).compile(dspy.Predict(dspy.Signature("question -> answer", "Answer the question.")))
"""


@pytest.mark.parametrize(
    ("setup", "after", "times"),
    [
        ("", "", 1),
        ("logging.basicConfig(level=logging.INFO)", "", 1),
        ("", "logging.basicConfig(level=logging.INFO)", 1),
        ("", "dspy.disable_logging()", 0),
        ("logging.getLogger('fipo.dspy').setLevel(logging.WARNING)", "", 0),
    ],
)
def test_what_became_of_instructions_is_shown_where_dspys_messages_are(setup, after, times):
    program = SHOWN.format(setup=setup, after=after)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr.count("self: optimized") == times
    assert ran.stdout == ""


# Programs as they come


class Deep(dspy.Module):
    """Has predictors where DSPy does not look for them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict(Answer)
        self.steps = [[dspy.Predict(Answer)], {"a": dspy.ChainOfThought(Answer)}]

    def forward(self, question: str) -> Any:
        return self.first(question=question)


def test_predictors_that_dspy_hides_are_named(caplog):
    compiled = fipo().compile(Deep())
    assert outcomes(compiled) == {"first": "optimized"}
    assert list(left_alone(Deep())) == ["steps[0][0]", "steps[1][a].predict"]
    assert "steps[0][0] stays as it is: DSPy neither finds nor saves it" in caplog.text
    assert left_alone(dspy.ReAct(Answer, tools=[])) == {}


def test_predictors_that_dspy_hides_are_in_the_report_and_whoever_names_one_hears_why():
    told = fipo().compile(Deep()).fipo_report
    assert list(told["left_alone"]) == ["steps[0][0]", "steps[1][a].predict"]
    assert "steps[0][0]</code> stays as it is: DSPy neither finds" in render_page(told)
    assert "stays as it is" not in render_page({name: one for name, one in told.items() if name != "left_alone"})
    with pytest.raises(InputError, match=r"no predictor 'steps\[0\]\[0\]' .*neither finds nor saves it"):
        fipo(predictors=["steps[0][0]"]).compile(Deep())


def mipro_compiled(program: dspy.Module) -> dspy.Module:
    """As MIPROv2 leaves a program."""
    candidates = [{"score": 50.0, "program": program.deepcopy(), "full_eval": True} for _ in range(3)]
    program.candidate_programs, program.mb_candidate_programs = candidates[:1], candidates[1:]
    program.trial_logs, program.total_calls, program.prompt_model_total_calls, program.score = {}, 9, 4, 50.0
    return program


def copro_compiled(program: dspy.Module) -> dspy.Module:
    program.candidate_programs = [{"score": 50.0, "program": program.deepcopy()}]
    program.total_calls, program.results_best, program.results_latest = 9, {}, {}
    return program


class Plain(dspy.Module):
    """One predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict(Answer)

    def forward(self, question: str) -> Any:
        return self.answer(question=question)


@pytest.mark.parametrize("compiled", [mipro_compiled, copro_compiled])
@pytest.mark.parametrize("is_inner", [False, True])
def test_what_other_optimizers_attached_is_no_part_of_the_program(caplog, compiled, is_inner):
    def made(inner: dspy.Module) -> dspy.Module:
        program = Plain()
        program.answer = inner
        return program if is_inner else inner

    before, after = made(Plain()), made(compiled(Plain()))
    data = {"trainset": examples(), "valset": examples()}
    assert fipo(metric=exact).estimate(after, **data) == fipo(metric=exact).estimate(before, **data)
    assert left_alone(after) == {}
    result = fipo().compile(after)
    assert "stays as it is" not in caplog.text
    if not is_inner:
        left = {"mb_candidate_programs", "prompt_model_total_calls", "results_best", "results_latest", "total_calls"}
        assert not left & vars(result).keys()


def test_thoughts_of_a_rewriter_are_no_part_of_an_instruction():
    reply = "<think>\nThe user wants a better one.\n</think>\n\nAnswer the question in one sentence."
    says = ScriptedGenerator(lambda _: reply)
    compiled = FIPO(optimizer=PromptOptimizer(says)).compile(dspy.Predict(Answer))
    assert instructions(compiled) == {"self": "Answer the question in one sentence."}


def test_a_better_instruction_may_be_as_long_as_those_of_real_programs():
    long = (
        "Answer the question. Read the whole question before you begin, and note which part of it matters most. Think "
        "of what a visitor would already know, and leave that out. Where the question has several parts, reply to each "
        "of them in turn, with the most important first. Use plain words in short sentences, and explain every term "
        "that a child may not have heard before. Check that nothing in your reply contradicts the question, then "
        "remove whatever does not help to understand it."
    )
    seen: list[str] = []

    def says(asked: list[Message]) -> str:
        seen.append(asked[-1]["content"])
        return long

    compiled = fipo(says).compile(dspy.Predict(Answer))
    assert len(long.split()) > 66
    assert (outcomes(compiled), instructions(compiled)) == ({"self": "optimized"}, {"self": long})
    assert "at most 200 words" in seen[0]
