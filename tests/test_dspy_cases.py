"""Programs as the public tutorials have them, written anew: each is compiled, runs, and can be saved."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

import dspy
import pytest
from dspy.utils import DummyLM
from pydantic import BaseModel

from fipo_integrations.dspy import FIPO
from support.conversations import naive_in
from support.dspy_programs import any_lead, fipo, instructions, optimizer, outcomes, task_lm

pytestmark = pytest.mark.usefixtures("no_dspy_cache")

CARE = "Read all of it before you reply."


def careful(asked: list[Any]) -> str:
    return f"{naive_in(asked)} {CARE}"


def reply(**fields: object) -> str:
    """A reply in the form that DSPy's chat adapter reads."""
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return "\n\n".join([*(f"[[ ## {name} ## ]]\n{text}" for name, text in shown.items()), "[[ ## completed ## ]]"])


def right_with_care(right: dict[str, object], wrong: dict[str, object]) -> dspy.LM:
    """A task model that is right once it is told to read everything."""
    return task_lm(lambda instruction, _: reply(**(right if CARE in instruction else wrong)))


def compiled_with(metric: Any, student: dspy.Module, lm: dspy.LM, data: list[dspy.Example]) -> dspy.Module:
    with dspy.context(lm=lm):
        using = fipo(careful, metric=metric, num_threads=1, search=any_lead(candidates=2))
        return using.compile(student, trainset=data[:2], valset=data)


class MultiHop(dspy.Module):
    """Searches twice, then answers."""

    def __init__(self, search: Callable[[str], list[str]]) -> None:
        super().__init__()
        self.search = search
        self.query = dspy.ChainOfThought(dspy.Signature("question, notes: list[str] -> query", "Write a search query."))
        self.note = dspy.Predict(dspy.Signature("question, passages: list[str] -> note", "Note what helps."))
        self.answer = dspy.Predict(dspy.Signature("question, notes: list[str] -> answer", "Answer the question."))

    def forward(self, question: str) -> dspy.Prediction:
        notes: list[str] = []
        for _ in range(2):
            query = self.query(question=question, notes=notes).query
            notes.append(self.note(question=question, passages=self.search(query)).note)
        return dspy.Prediction(answer=self.answer(question=question, notes=notes).answer, notes=notes)


def test_a_multi_hop_program_gets_better_in_the_hop_that_was_wrong():
    def model(instruction: str, asked: str) -> str:
        if "Write a search query" in instruction:
            return reply(reasoning="so", query="capital of the country" if CARE in instruction else "country")
        if "Note what helps" in instruction:
            return reply(note="Bern is it" if "found it" in asked else "nothing")
        return reply(answer="Bern" if "Bern is it" in asked else "unknown")

    data = [dspy.Example(question=f"Question {n}?", answer="Bern").with_inputs("question") for n in range(4)]
    student = MultiHop(lambda query: ["found it"] if "capital" in query else ["other"])
    metric = dspy.evaluate.answer_exact_match
    compiled = compiled_with(lambda example, got, trace=None: metric(example, got), student, task_lm(model), data)
    assert compiled.score == 100
    assert CARE in instructions(compiled)["query.predict"]
    assert instructions(compiled)["answer"] == "Answer the question."


class Classify(dspy.Signature):
    """Classify what the customer of a bank wants."""

    text: str = dspy.InputField()
    label: Literal["card_lost", "card_late", "rate"] = dspy.OutputField()
    confidence: float = dspy.OutputField(ge=0, le=1)


@pytest.mark.parametrize(
    ("addition", "outcome"),
    [("Say card_lost where it is unclear.", "golden_leaked"), (CARE, "optimized")],
)
def test_classification_with_literal_labels(addition, outcome):
    using = FIPO(optimizer=optimizer(lambda asked: f"{naive_in(asked)} {addition}"))
    assert outcomes(using.compile(dspy.ChainOfThought(Classify))) == {"predict": outcome}


class Person(BaseModel):
    name: str
    role: Literal["author", "reviewer"]


class Extract(dspy.Signature):
    """Extract the people from the text."""

    text: str = dspy.InputField()
    people: list[Person] = dspy.OutputField()


def test_extraction_of_pydantic_models_with_a_metric_that_says_why():
    right = [{"name": "Ann", "role": "author"}]

    def metric(example, got, trace=None):
        score = len({one.name for one in got.people} & set(example.names)) / len(example.names)
        return dspy.Prediction(score=score, feedback=f"{score:.0%} of the names were found.")

    lm = right_with_care({"people": right}, {"people": []})
    data = [dspy.Example(text=f"Text {n} by Ann.", names=["Ann"]).with_inputs("text") for n in range(4)]
    compiled = compiled_with(metric, dspy.Predict(Extract), lm, data)
    assert (compiled.score, instructions(compiled)) == (100, {"self": f"Extract the people from the text. {CARE}"})
    with dspy.context(lm=lm):
        assert compiled(text="By Ann.").people == [Person(name="Ann", role="author")]


class Support(dspy.Module):
    """What a facility's help desk does with a message: three predictors, one answer."""

    def __init__(self) -> None:
        super().__init__()
        urgency = dspy.Signature("message -> urgency: Literal['low', 'medium', 'high']", "Read the urgency.")
        mood = dspy.Signature("message -> sentiment: Literal['good', 'neutral', 'bad']", "Read the sentiment.")
        topics = dspy.Signature("message -> categories: list[str]", "Find the categories.")
        self.urgency, self.mood, self.topics = map(dspy.ChainOfThought, (urgency, mood, topics))

    def forward(self, message: str) -> dspy.Prediction:
        return dspy.Prediction(
            urgency=self.urgency(message=message).urgency,
            sentiment=self.mood(message=message).sentiment,
            categories=self.topics(message=message).categories,
        )


def test_facility_support_with_labels_in_json_and_a_metric_of_three_parts():
    def model(instruction: str, _: str) -> str:
        urgency = "high" if CARE in instruction else "low"
        return reply(reasoning="so", urgency=urgency, sentiment="bad", categories=["cleaning"])

    def metric(example, got, trace=None, pred_name=None, pred_trace=None):
        gold = json.loads(example.answer)
        return sum(getattr(got, name) == value for name, value in gold.items()) / len(gold)

    gold = json.dumps({"urgency": "high", "sentiment": "bad", "categories": ["cleaning"]})
    data = [dspy.Example(message=f"Message {n}", answer=gold).with_inputs("message") for n in range(4)]
    compiled = compiled_with(metric, Support(), task_lm(model), data)
    assert compiled.score == 100
    changed = {name for name, text in instructions(compiled).items() if CARE in text}
    assert changed == {"urgency.predict"}


def test_a_metric_as_those_for_aime_compares_whole_numbers_and_fails_on_text():
    def metric(example, got, trace=None, pred_name=None, pred_trace=None):
        try:
            given = int(got.answer)
        except ValueError:
            return dspy.Prediction(score=0, feedback=f"Give a whole number. The correct answer is '{example.answer}'.")
        return dspy.Prediction(score=int(given == int(example.answer)), feedback="Check every step.")

    lm = right_with_care({"reasoning": "so", "answer": "204"}, {"reasoning": "so", "answer": "about 200"})
    data = [dspy.Example(problem=f"Problem {n}", answer="204").with_inputs("problem") for n in range(4)]
    solve = dspy.ChainOfThought(dspy.Signature("problem -> answer", "Solve the problem and give the answer."))
    compiled = compiled_with(metric, solve, lm, data)
    assert compiled.score == 100


def test_an_agent_with_tools_keeps_them():
    def lookup(name: str) -> str:
        """Looks a name up."""
        return "found"

    student = dspy.ReAct(dspy.Signature("question -> answer", "Answer the question."), tools=[lookup])
    compiled = fipo(careful).compile(student)
    text = instructions(compiled)["react"]
    assert text.startswith(f"Answer the question. {CARE}\n\nYou are an Agent.")
    assert "lookup" in text


QA = dspy.Signature("question -> answer", "Answer the question.")
QUESTIONS = [dspy.Example(question=f"Question {n}?", answer="right").with_inputs("question") for n in range(4)]


def equal(example: dspy.Example, got: dspy.Prediction, trace: object = None) -> bool:
    return bool(example.answer == got.answer)


def saying(answer: str) -> DummyLM:
    """A task model that can do everything and always says the same."""
    return DummyLM([{"answer": answer}] * 40)


class Async(dspy.Module):
    """Runs under asyncio only."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict(QA)

    async def aforward(self, question: str) -> dspy.Prediction:
        return await self.answer.acall(question=question)


def test_a_program_for_asyncio_is_compiled_as_syncify_makes_it():
    compiled = compiled_with(equal, dspy.syncify(Async(), in_place=False), saying("right"), QUESTIONS)
    assert compiled.score == 100
    plain = fipo(careful).compile(Async())

    async def run() -> str:
        with dspy.context(lm=saying("right")):
            return (await plain.acall(question="?")).answer

    assert asyncio.run(run()) == "right"


def test_a_compiled_program_can_be_streamed():
    lm = right_with_care({"answer": "right"}, {"answer": "wrong"})
    compiled = compiled_with(equal, dspy.Predict(QA), lm, QUESTIONS)

    async def last() -> Any:
        found = None
        with dspy.context(lm=saying("right")):
            async for part in dspy.streamify(compiled)(question="?"):
                found = part
        return found

    assert asyncio.run(last()).answer == "right"


def test_a_saved_program_is_the_same_loaded_and_compiles_again(tmp_path):
    lm = right_with_care({"reasoning": "so", "answer": "right"}, {"reasoning": "so", "answer": "wrong"})
    compiled = compiled_with(equal, dspy.ChainOfThought(QA), lm, QUESTIONS)
    compiled.save(tmp_path / "program.json")
    again = dspy.ChainOfThought(QA)
    again.load(tmp_path / "program.json")
    assert instructions(again) == instructions(compiled)
    assert set(outcomes(fipo(lambda asked: f"{naive_in(asked)} Think first.").compile(again)).values()) == {"optimized"}
