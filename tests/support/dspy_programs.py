"""Programs, data and models for the tests of DSPy: an optimizer that asks for care, and a task it helps with."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import dspy

from fipo_integrations.dspy import FIPO, SearchSettings, local_lm
from fipo_model import FidelitySettings, Message, PromptOptimizer, Rewriter
from fipo_model.generation import Second
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

GUIDANCE = "Consider every part of it carefully."
QUESTIONS = ("How many legs has a cat?", "How many legs has a bird?", "How many legs has an ant?")
ANIMALS = [f"How many legs has animal number {number}?" for number in range(24)]


def careful(conversation: list[Message]) -> str:
    """A rewrite that keeps everything and adds guidance."""
    return f"{naive_in(conversation)} {GUIDANCE}"


def optimizer(
    script: Callable[[list[Message]], str] = careful, *, context_tokens: int | None = None
) -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(script, context_tokens=context_tokens))


class Unsure(ScriptedGenerator):
    """Finds its own replies unlikely."""

    def generate(self, conversations, sampling, *, samples=1):
        found = super().generate(conversations, sampling, samples=samples)
        return [[replace(one, log_likelihood=-2.0) for one in own] for own in found]


def unsure() -> PromptOptimizer:
    """An optimizer that guesses, in its own words, and has a second model."""
    second = Second(ScriptedGenerator(lambda _: "Never asked."), least_likelihood=-9.0)
    own = Rewriter(
        Unsure(careful), settings=FidelitySettings(strict_wording=True), least_likelihood=-0.75, second=second
    )
    return PromptOptimizer.from_rewriter(own)


def fipo(script: Callable[[list[Message]], str] = careful, **options: object) -> FIPO:
    """FIPO with a scripted model."""
    return FIPO(optimizer=optimizer(script), **{"search": any_lead(), **options})


def any_lead(**options: object) -> SearchSettings:
    """Settings of a search that takes any lead for one: the examples of these tests are few."""
    return SearchSettings(**{"significance": 1.0, **options})


def search_options(**options: object) -> dict[str, object]:
    """What `fipo` takes to compile with a metric, in one thread."""
    return {"metric": exact, "num_threads": 1, "search": any_lead(**options)}


def sent(using: FIPO, beginning: str) -> list[str]:
    """What the rewriter was told about one instruction."""
    calls = using.optimizer.rewriter.generator.calls
    texts = [conversation[-1]["content"] for call in calls for conversation in call]
    return [text for text in texts if text.startswith(f"Naive prompt:\n{beginning}")]


def answering(answer: str) -> str:
    """A reply as a task model writes it for DSPy."""
    return f"[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]"


def better_with_guidance(instruction: str, question: str) -> str:
    """Right about everything if the instruction asks for care, else about cats only."""
    return answering("right" if GUIDANCE in instruction or "cat" in question else "wrong")


def task_lm(answer: Callable[[str, str], str]) -> dspy.LM:
    """A task model: `answer` decides its reply to a question from the instruction it was given."""
    generator = ScriptedGenerator(lambda asked: answer(asked[0]["content"], asked[-1]["content"]))
    return local_lm(generator, max_tokens=1000)


class Counting:
    """A scripted task model that counts its calls."""

    def __init__(self, answer: Callable[[str, str], str]) -> None:
        self.calls = 0
        self._answer = answer
        self._lock = threading.Lock()
        self.lm = task_lm(self)

    def __call__(self, instruction: str, question: str) -> str:
        with self._lock:
            self.calls += 1
        return self._answer(instruction, question)


def examples(questions: Sequence[str] = QUESTIONS) -> list[dspy.Example]:
    return [dspy.Example(question=question, answer="right").with_inputs("question") for question in questions]


def exact(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> bool:
    return example.answer == prediction.answer


class Answer(dspy.Signature):
    """Answer the question."""

    question: str = dspy.InputField(desc="what a visitor of the zoo wants to know")
    answer: str = dspy.OutputField()


class Ticket(dspy.Signature):
    """Sort the ticket of a customer."""

    ticket: str = dspy.InputField()
    topic: Literal["refund", "delivery"] = dspy.OutputField()
    urgency: float = dspy.OutputField(desc="how soon somebody must look at it", ge=0, le=1)


class Zoo(dspy.Module):
    """Two predictors, one of them used."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict(Answer, temperature=0.3)
        self.sort = dspy.ChainOfThought(Ticket)

    def forward(self, question: str) -> dspy.Prediction:
        return self.answer(question=question)


def instructions(program: dspy.Module) -> dict[str, str]:
    return {name: predictor.signature.instructions for name, predictor in program.named_predictors()}


def outcomes(program: dspy.Module) -> dict[str, str]:
    return {row["name"]: row["outcome"] for row in program.fipo_report["predictors"]}
