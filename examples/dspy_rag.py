"""A DSPy program of two predictors, one that searches notes and one that answers from them, compiled without a metric.

pip install '.[cpu,dspy]'
python examples/dspy_rag.py
"""

import logging
import re

import dspy

from fipo_integrations.dspy import FIPO, PlainAdapter, local_lm

NOTES = [
    "The pool opens at seven in the morning and closes at nine in the evening.",
    "A ticket for one day costs six euros, for ten days fifty euros.",
    "Lockers need a coin of one euro, which comes back.",
    "Children under six swim for free, but not alone.",
    "On Mondays the pool is closed for cleaning.",
]
QUESTIONS = ["When does the pool close?", "What does a ticket cost?", "Is the pool open on Mondays?"]


class Query(dspy.Signature):
    """Say in a few words what to look up."""

    question: str = dspy.InputField()
    query: str = dspy.OutputField(desc="words to search the notes with")


class Answer(dspy.Signature):
    """Answer the visitor of a swimming pool from the notes."""

    notes: str = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField(desc="one sentence")


class Desk(dspy.Module):
    """Looks up notes for a question, and answers it from them."""

    def __init__(self) -> None:
        super().__init__()
        self.search = dspy.Predict(Query)
        self.answer = dspy.Predict(Answer)

    def forward(self, question: str) -> dspy.Prediction:
        """The answer."""
        query = self.search(question=question).query
        return self.answer(notes=look_up(f"{question} {query}"), question=question)


def look_up(query: str) -> str:
    """The two notes that share the most words with a query."""
    asked = set(re.findall(r"\w{4,}", query.lower()))
    ranked = sorted(NOTES, key=lambda note: -len(asked & set(re.findall(r"\w{4,}", note.lower()))))
    return "\n".join(ranked[:2])


def main() -> None:
    """Compile the program, and answer the questions with both."""
    logging.getLogger("dspy.clients.lm").setLevel(logging.ERROR)  # it warns about every reply that is cut off
    program = Desk()
    compiled = FIPO().compile(program)

    for row in compiled.fipo_report["predictors"]:
        print(f"{row['name']}: {row['outcome']} {row['detail']}\n  before: {row['naive']}\n  after:  {row['text']}")
    asked = [dspy.Example(question=question).with_inputs("question") for question in QUESTIONS]
    with dspy.context(lm=local_lm(max_tokens=24), adapter=PlainAdapter()):
        answers = [each.batch(asked, num_threads=len(asked), disable_progress_bar=True) for each in (program, compiled)]
    for question, before, after in zip(QUESTIONS, *answers, strict=True):
        print(f"\n{question}\n  original: {before.answer}\n  compiled: {after.answer}")
    print("\nWhich is better was not measured: for that, give FIPO a metric, as in dspy_classification.py.")


if __name__ == "__main__":
    main()
