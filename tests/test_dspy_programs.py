"""Programs of unusual shapes, and data of unusual types: what is copied, told apart, hidden and left alone."""

import datetime
import enum
import functools
import logging
from collections.abc import Callable
from typing import Annotated, Any, Literal

import dspy
import pytest
from dspy.evaluate import SemanticF1
from dspy.teleprompt import BootstrapFewShot, BootstrapFewShotWithRandomSearch
from pydantic import AfterValidator, Field, create_model

from fipo_integrations.dspy import FIPO, FIPOProposer, SearchSettings
from fipo_integrations.dspy.programs import identity
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.rewriter import Rewriter
from fipo_model.search import Budget, digest_of, digest_of_data
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.dspy_programs import (
    ANIMALS,
    GUIDANCE,
    Answer,
    Counting,
    Ticket,
    Zoo,
    answering,
    any_lead,
    better_with_guidance,
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


class Only(dspy.Module):
    """One part, which is asked for the answer."""

    def __init__(self, answer: dspy.Module) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, question: str) -> dspy.Prediction:
        return self.answer(question=question)


class Remembers(Only):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(dspy.Predict(Answer))
        self.memory: list[str] = []

    def forward(self, question: str) -> dspy.Prediction:
        self.memory.append(question)
        return super().forward(question)


class Counts(Only):
    """Counts its calls under a name that DSPy's optimizers use, too."""

    def __init__(self) -> None:
        super().__init__(dspy.Predict(Answer))
        self.total_calls = 0
        self.score = [1, 2]

    def forward(self, question: str) -> dspy.Prediction:
        self.total_calls += 1
        return super().forward(question)


class Unique(Only):
    """There is only one of it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Unique":
        return self


class Locked(Only):
    """There is no copy of it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Locked":
        raise TypeError("cannot copy me")


# Copies


def test_what_a_program_does_to_itself_on_training_examples_is_not_in_the_result(tmp_path):
    student = Remembers()
    for _ in range(2):  # the second is resumed
        with dspy.context(lm=task_lm(better_with_guidance)):
            compiled = fipo(**search_options(log_dir=tmp_path)).compile(student, trainset=examples(), valset=examples())
        assert compiled.memory == student.memory == []


@pytest.mark.parametrize("metric", [None, exact])
@pytest.mark.parametrize(
    ("part", "said"), [(Unique, "shares the predictor 'inner.answer'"), (Locked, "cannot copy me")]
)
def test_a_program_that_gives_no_copy_of_itself_is_refused_and_stays_as_it_is(metric, part, said):
    student = Only(part(dspy.Predict(Answer)))
    student.inner = student.answer
    del student.answer
    with dspy.context(lm=task_lm(better_with_guidance)), pytest.raises(InputError, match=said):
        fipo(metric=metric).compile(student, trainset=examples())
    assert instructions(student) == {"inner.answer": "Answer the question."}


def test_attributes_of_the_programs_own_survive_every_compile_whatever_they_are_called():
    with dspy.context(lm=task_lm(better_with_guidance)):
        first = fipo(metric=exact).compile(Counts(), trainset=examples())
        second = fipo(metric=exact).compile(first, trainset=examples())
        third = fipo().compile(second)
    for compiled in (first, second, third):
        assert (compiled.total_calls, compiled.score) == (0, [1, 2])
    assert not hasattr(third, "candidate_programs")


def test_the_statistics_of_dspys_own_optimizers_are_not_taken_for_ours():
    student = Only(dspy.Predict(Answer))
    with dspy.context(lm=task_lm(lambda *_: answering("right"))):
        theirs = BootstrapFewShotWithRandomSearch(metric=exact, num_candidate_programs=1, num_threads=1).compile(
            student, trainset=examples()
        )
        theirs.total_calls, theirs.score = 7, theirs.candidate_programs[0]["score"]  # as MIPROv2 attaches them
        ours = fipo(metric=exact).compile(theirs, trainset=examples())
    assert ours.total_calls == ours.fipo_report["metric_calls"] != 7
    assert ours.fipo_report["attached"] == ["score", "candidate_programs", "trial_logs", "total_calls"]


def test_a_compiled_predictor_in_a_program_stays_as_it_is_like_a_compiled_module(caplog):
    with dspy.context(lm=task_lm(better_with_guidance)):
        part = BootstrapFewShot(metric=exact, max_bootstrapped_demos=1, max_labeled_demos=1).compile(
            dspy.Predict(Answer), trainset=examples()
        )
    caplog.set_level(logging.INFO, "fipo.dspy")
    compiled = fipo().compile(Only(part))
    assert instructions(compiled) == {"answer": "Answer the question."}
    assert "answer stays as it is: it is already compiled" in caplog.text
    assert outcomes(fipo().compile(part)) == {"self": "optimized"}  # by itself it is the program, compiled or not


def test_an_estimate_counts_the_calls_of_compiled_sub_modules_too():
    student = Only(dspy.ChainOfThought(Answer))
    student.answer._compiled = True
    student.check = dspy.Predict(Answer)
    estimate = fipo(metric=exact).estimate(student, trainset=examples(), valset=examples())
    assert estimate.task_model_calls == 2 * estimate.program_runs


# What tells one compile from another


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (datetime.date(2020, 1, 1), datetime.date(2024, 1, 1)),
        (Colour.RED, Colour.BLUE),
        ((dspy.Image("http://a.example/1.png"),), (dspy.Image("http://a.example/2.png"),)),
        ({(1, 2): "a"}, {(1, 3): "a"}),
        ({1: "a", "b": "c"}, {1: "a", "b": "d"}),
        ({datetime.date(2020, 1, 1): 1}, {datetime.date(2020, 1, 2): 1}),
        ({1, 2}, {1, 3}),
        (b"a", b"b"),
        (1, "1"),
        (None, "None"),
    ],
)
def test_a_digest_tells_values_apart_whatever_their_types(one, other):
    def of(value: Any) -> str:
        return digest_of_data([dspy.Example(question="A cat?", label=value).with_inputs("question")])

    assert of(one) == of(one) != of(other)


def test_what_has_no_text_of_its_own_counts_by_its_type():
    assert digest_of_data([object()]) == digest_of_data([object()])
    assert digest_of_data({"b": 1, "a": 2}) == digest_of_data({"a": 2, "b": 1})


class Lower:
    """A validator whose text is an address in memory."""

    def __call__(self, value: str) -> str:
        return value.lower()


def test_a_type_whose_text_has_an_address_is_the_same_in_every_process():
    def program() -> dspy.Module:
        kind = Annotated[str, AfterValidator(Lower())]
        return dspy.Predict(dspy.Signature("question -> labels").with_updated_fields("labels", type_=list[kind]))

    assert identity(program()) == identity(program())


class Judge:
    """A metric that asks a model, through a predictor or on its own."""

    def __init__(self, instructions: str, **options: object) -> None:
        self.predict = dspy.Predict(dspy.Signature("answer -> verdict: bool", instructions), **options)
        self.lm = dspy.LM("openai/judge", api_key="none", temperature=0.5)

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> bool:
        return bool(self.predict(answer=prediction.answer).verdict)


def test_a_judge_is_known_again_after_it_was_asked_and_told_from_another():
    judge, again = Judge("Is it right?"), Judge("Is it right?")
    judge.lm.history.append({"prompt": "Is it right?"})
    judge.predict.history.append({"prompt": "Is it right?"})
    assert digest_of(judge) == digest_of(again) == digest_of(judge)
    others = [
        Judge("Is it short?"),
        Judge("Is it right?", temperature=1.0),
        Judge("Is it right?"),
        Judge("Is it right?"),
    ]
    others[2].lm.kwargs["temperature"] = 0.0
    others[3].predict.demos = [dspy.Example(answer="no", verdict=False)]
    assert len({digest_of(judge), *map(digest_of, others)}) == 5


@pytest.mark.parametrize("make", [SemanticF1, lambda: SemanticF1(threshold=0.1).forward])
def test_dspys_own_judge_is_known_again(make):
    assert digest_of(make()) == digest_of(make()) != digest_of(SemanticF1(threshold=0.2))


def named(module: dspy.Module) -> Any:
    """A metric that asks a judge of its module, as they are mostly written."""
    names = {"__name__": __name__, "judge": module}
    exec("def metric(example, prediction, trace=None): return judge(answer=prediction.answer).verdict", names)
    return names["metric"]


def asking(instructions: str, kind: type = dspy.Predict, **options: Any) -> dspy.Module:
    module = kind(dspy.Signature("answer -> verdict: bool", instructions))
    module.set_lm(dspy.LM(**{"model": "openai/judge", "api_key": "none", **options}))
    return module


@pytest.mark.parametrize("kind", [dspy.Predict, dspy.ChainOfThought])
def test_a_judge_that_a_metric_names_is_told_from_another_and_from_its_renewed_key(kind):
    same, renewed = (asking("Is it right?", kind, api_key=key) for key in ("old", "new"))
    others = [
        asking("Is it short?", kind),
        asking("Is it right?", kind, model="openai/better"),
        asking("Is it right?", kind, temperature=0.5),
        asking("Is it right?", kind, api_base="http://localhost:1"),
    ]
    assert digest_of(named(same)) == digest_of(named(renewed))
    assert len({digest_of(named(one)) for one in (same, *others)}) == 5


def of_type(annotation: Any) -> dspy.Module:
    return dspy.Predict(dspy.Signature({"mail": (str, dspy.InputField()), "sort": (annotation, dspy.OutputField())}))


def enum_of(*names: str) -> Any:
    return enum.Enum("Sort", {name: name for name in names}, module=__name__)


def model_of(**fields: Any) -> Any:
    return create_model("Sort", __module__=__name__, **fields)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Literal["a", "b"], Literal["a", "c"]),
        (enum_of("a", "b"), enum_of("a", "b", "c")),
        (list[enum_of("a", "b")], list[enum_of("a", "b", "c")]),
        (model_of(topic=(str, ...)), model_of(topic=(str, ...), urgent=(bool, ...))),
        (model_of(topic=(Literal["a"], ...)), model_of(topic=(Literal["a", "b"], ...))),
        (model_of(topic=(enum_of("a"), ...)), model_of(topic=(enum_of("b"), ...))),
        (model_of(topic=(str, Field(description="short"))), model_of(topic=(str, Field(description="long")))),
        (Annotated[str, AfterValidator(Lower())], Annotated[str, AfterValidator(str.upper)]),
    ],
)
def test_a_student_with_another_type_of_output_is_another_one(one, other):
    """Types counted by their names: a compile was resumed with the scores of an Enum with fewer members."""
    assert identity(of_type(one)) == identity(of_type(one)) != identity(of_type(other))


def test_adapters_are_told_apart_by_what_they_hold():
    def under(adapter: Any) -> dict[str, str]:
        with dspy.context(adapter=adapter):
            return identity(of_type(str))

    first, second, again = (dspy.TwoStepAdapter(dspy.LM(f"openai/{name}", api_key="x")) for name in ("a", "b", "a"))
    assert under(first) == under(again) != under(second)
    assert under(None) == under(dspy.ChatAdapter()) != under(dspy.JSONAdapter())


def test_a_model_with_renewed_credentials_is_the_same():
    def by(**options: Any) -> dict[str, str]:
        with dspy.context(lm=dspy.LM("bedrock/model", **options)):
            return identity(of_type(str))

    assert by(aws_session_token="a") == by(aws_session_token="b") == by(extra_headers={"Authorization": "Bearer c"})
    assert by(aws_region_name="a") != by(aws_region_name="b")


class Hinted(Only):
    """Takes a hint and does not use it."""

    def forward(self, question: str, hint: str = "") -> dspy.Prediction:
        return super().forward(question)


def hinted(*inputs: str) -> list[dspy.Example]:
    return [dspy.Example(question=one.question, hint="", answer="right").with_inputs(*inputs) for one in examples()]


def with_frozen(instruction: str) -> dspy.Module:
    program = Hinted(dspy.Predict(Answer))
    program.frozen = dspy.ChainOfThought(Answer.with_instructions(instruction))
    program.frozen._compiled = True
    return program


def typed(kind: Any) -> dspy.Module:
    return Hinted(dspy.Predict(Answer.with_updated_fields("answer", type_=kind)))


def warm(temperature: float, key: str = "k") -> dspy.LM:
    lm = task_lm(better_with_guidance)
    lm.kwargs |= {"temperature": temperature, "api_key": key}
    return lm


FIRST: dict[str, Callable[[], Any]] = {
    "student": lambda: with_frozen("Answer."),
    "valset": lambda: hinted("question"),
    "lm": lambda: warm(0.5),
    "predictors": lambda: {"answer"},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"valset": lambda: hinted("question", "hint")}, "valset"),
        ({"student": lambda: with_frozen("Answer in verse.")}, "student"),
        ({"student": lambda: typed(str)}, "student"),
        ({"lm": lambda: warm(1.0)}, "task_settings"),
        ({"lm": lambda: warm(0.5, key="another")}, None),
        ({"predictors": lambda: ["answer"]}, None),
    ],
)
def test_a_log_dir_belongs_to_the_data_and_the_program_and_to_how_the_model_is_asked(tmp_path, changes, said):
    def compiled(using: dict[str, Callable[[], Any]]) -> Any:
        with dspy.context(lm=using["lm"]()):
            options = search_options(log_dir=tmp_path)
            return fipo(**options, predictors=using["predictors"]()).compile(
                using["student"](), valset=using["valset"]()
            )

    before = compiled(FIRST)
    if said is None:
        assert compiled(FIRST | changes).fipo_report["metric_calls_resumed"] == before.total_calls
    else:
        with pytest.raises(InputError, match=rf"other settings: {said}"):
            compiled(FIRST | changes)


def test_the_types_of_fields_belong_to_the_program(tmp_path):
    def compiled(kind: Any) -> None:
        with dspy.context(lm=task_lm(lambda *_: answering("right"))):
            fipo(**search_options(log_dir=tmp_path)).compile(typed(kind), valset=hinted("question"))

    compiled(Literal["right", "wrong"])
    with pytest.raises(InputError, match=r"other settings: student"):
        compiled(Literal["right", "left"])


@pytest.mark.parametrize(
    "content", [b'{"key": "a", "value": 1}\n', b'{"settings": {}}\n{"settings": {}}\n', b"[1]\n", b"3\n"]
)
def test_a_file_that_is_no_journal_is_refused(tmp_path, content):
    (tmp_path / "evaluations.jsonl").write_bytes(content)
    said = r"evaluations\.jsonl already exists and does not hold a compile"
    with pytest.raises(InputError, match=said), dspy.context(lm=task_lm(better_with_guidance)):
        fipo(**search_options(log_dir=tmp_path)).compile(Zoo(), valset=examples())


def test_the_report_of_a_resumed_compile_names_the_model_that_proposed(tmp_path, monkeypatch):
    proposer = PromptOptimizer(ScriptedGenerator(lambda asked: f"{naive_in(asked)} {GUIDANCE}"))
    monkeypatch.setattr(Rewriter, "from_pretrained", lambda *, role: proposer.rewriter)
    models = []
    for _ in range(2):
        with dspy.context(lm=task_lm(better_with_guidance)):
            compiled = FIPO(**search_options(log_dir=tmp_path)).compile(Zoo(), valset=examples())
        models.append(compiled.fipo_report["model"])
    assert models == [proposer.rewriter.name] * 2


# What the rewriter may say, and sees


@pytest.mark.parametrize(
    "kind",
    [
        Literal["refund", "delivery"],
        list[Literal["refund", "delivery"]],
        Literal["refund", "delivery"] | None,
        enum.Enum("Topic", {"A": "refund", "B": "delivery"}),
    ],
)
@pytest.mark.parametrize(
    ("addition", "outcome"),
    [("Say `refund` or `delivery`.", "optimized"), ("Say that it is a refund.", "golden_leaked")],
)
def test_the_values_of_a_type_are_all_named_or_none_wherever_they_are_in_it(kind, addition, outcome):
    student = dspy.Predict(Ticket.with_updated_fields("topic", type_=kind))
    compiled = fipo(lambda conversation: f"{naive_in(conversation)} {addition}").compile(student)
    assert outcomes(compiled) == {"self": outcome}


def agent() -> dspy.Module:
    signature = dspy.Signature(
        {
            "task": (str, dspy.InputField()),
            "tools": (list[dspy.Tool], dspy.InputField()),
            "outputs": (dspy.ToolCalls, dspy.OutputField()),
        },
        "Call the tools that help.",
    )
    return dspy.Predict(signature)


def test_a_predictor_that_is_given_tools_is_protected_whatever_its_fields_are_called():
    assert outcomes(fipo().compile(agent())) == {"self": "protected"}
    propose = FIPOProposer(optimizer=PromptOptimizer(ScriptedGenerator("Do it well.")), program=agent())
    assert propose({"self": "Call the tools that help."}, {"self": []}, ["self"]) == {
        "self": "Call the tools that help."
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: dspy.BestOfN(module=dspy.Predict(Answer), N=1, reward_fn=lambda *_: 1.0, threshold=1.0),
        lambda: dspy.Refine(module=dspy.Predict(Answer), N=1, reward_fn=lambda *_: 1.0, threshold=1.0),
    ],
)
def test_what_the_copies_of_a_module_said_are_its_predictors_responses(make):
    using = fipo(**search_options(candidates=3))
    with dspy.context(lm=task_lm(better_with_guidance)):
        using.compile(make(), trainset=examples(["A bird?"]), valset=examples())
    shown = sent(using, "Answer the question.")
    assert any("Silver response (what the naive prompt got):\nwrong\n" in text for text in shown)


def test_a_label_of_none_is_no_golden_response():
    using = fipo()
    using.compile(dspy.Predict(Answer), trainset=[dspy.Example(question="A cat?", answer=None).with_inputs("question")])
    assert not any("None" in text for text in sent(using, "Answer the question."))


def test_where_the_budget_allows_no_training_run_the_labels_are_shown():
    using = fipo(**search_options(candidates=3, max_metric_calls=6))
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples(), valset=examples())
    assert compiled.total_calls == 6
    assert any("Golden response (" in text for text in sent(using, "Answer the question."))


# What ended a search


def test_a_larger_budget_asks_no_more_of_the_student_once_the_rewriter_has_answered(tmp_path):
    def compiled(budget: int) -> tuple[int, Any]:
        task = Counting(lambda *_: answering("wrong"))
        with dspy.context(lm=task.lm):
            options = search_options(candidates=3, max_metric_calls=budget, log_dir=tmp_path)
            found = fipo(**options).compile(dspy.Predict(Answer), trainset=examples(), valset=examples())
        return task.calls, found

    assert compiled(6)[0] == 6
    calls, longer = compiled(60)
    assert calls == 6  # two more rewrites on three examples
    assert longer.fipo_report["metric_calls_resumed"] == 6
    assert longer.total_calls == 12


@pytest.mark.parametrize(("budget", "stopped"), [(6, "max_metric_calls"), (None, None)])
def test_rewrites_that_nobody_compared_are_not_said_to_be_no_better(budget, stopped):
    using = fipo(**search_options(candidates=6, max_metric_calls=budget, student_responses=False))
    with dspy.context(lm=task_lm(lambda *_: answering("wrong"))):
        report = using.compile(dspy.Predict(Answer), valset=examples()).fipo_report
    assert report["stopped_by"] == stopped
    (row,) = report["predictors"]
    assert row["outcome"] == ("out_of_budget" if budget else "not_preferred")


def test_a_search_that_ended_after_its_time_and_compared_everything_was_not_stopped(monkeypatch):
    now = [0.0]
    timed = functools.partial(Budget, clock=lambda: now[0])
    monkeypatch.setattr("fipo_model.search.settings.Budget", timed)

    def slow(example, prediction, trace=None):
        now[0] += 1
        return exact(example, prediction)

    search = any_lead(candidates=1, max_seconds=5.5)  # three for the student, three for the rewrite
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = fipo(metric=slow, num_threads=1, search=search).compile(dspy.Predict(Answer), valset=examples())
    assert now[0] == 6
    assert compiled.fipo_report["stopped_by"] is None
    assert compiled.score == 100


# Arguments that are none


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: fipo(num_threads=-1), "num_threads must be at least 1"),
        (lambda: fipo().compile(Zoo), "must be a program"),
        (lambda: fipo().estimate(None), "must be a program"),
        (lambda: fipo().estimate(Zoo(), seconds_per_run="2"), "seconds_per_run must be a number, not '2'"),
        (lambda: fipo().compile(Zoo(), trainset=5), "the trainset must be a list of dspy.Example, not a int"),
        (lambda: SearchSettings(metric_threshold=None), "metric_threshold must be a number, not None"),
        (lambda: SearchSettings(student_responses="no"), "student_responses must be True, False or None, not 'no'"),
        (lambda: fipo().compile(Zoo(), trainset=[{"question": "A cat?"}]), "example 0 of the trainset is a dict"),
        (lambda: fipo(metric=lambda *_: "0.5").compile(Zoo(), valset=examples(ANIMALS)), "must return a number"),
    ],
)
def test_arguments_that_cannot_be_used_are_said_to_be(wrong, said):
    with dspy.context(lm=task_lm(better_with_guidance)), pytest.raises(InputError, match=said):
        wrong()
