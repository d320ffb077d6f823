"""A chain that answers from notes it looks up, and the same chain with its prompt rewritten. Offline.

pip install '.[cpu,langchain]'
python examples/rag_chain.py
"""

import re

from downstream import base_model, langchain_model
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from fipo_integrations.langchain import optimize_chain
from fipo_model import PromptOptimizer

NOTES = [
    "The library opens at nine in the morning and closes at eight in the evening.",
    "Books can be kept for four weeks, films for one week.",
    "A lost library card costs five euros to replace.",
    "Children read for free; adults pay twenty euros a year.",
    "The reading room on the second floor is silent; the cafe on the ground floor is not.",
]
QUESTIONS = ["How long can I keep a book?", "What does a lost card cost?", "When does the library close?"]


def look_up(question: str) -> str:
    """The two notes that share the most words with the question."""
    asked = set(re.findall(r"\w{4,}", question.lower()))
    ranked = sorted(NOTES, key=lambda note: -len(asked & set(re.findall(r"\w{4,}", note.lower()))))
    return "\n".join(ranked[:2])


def main() -> None:
    """Answer the questions with both chains."""
    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "answer from the notes"),
            ("human", "Notes:\n{notes}\n\nQuestion: {question}"),
        ]
    )
    model = langchain_model(base_model(), max_tokens=24)
    chain = {"notes": RunnableLambda(look_up), "question": RunnablePassthrough()} | prompt | model | StrOutputParser()

    optimized, report = optimize_chain(chain, optimizer=PromptOptimizer.from_pretrained())

    print(f"{report}\n")
    for question, before, after in zip(QUESTIONS, chain.batch(QUESTIONS), optimized.batch(QUESTIONS), strict=True):
        print(f"{question}\n  original:  {before.strip()}\n  optimized: {after.strip()}\n")


if __name__ == "__main__":
    main()
