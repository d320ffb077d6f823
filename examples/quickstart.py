"""FIPO in three places: on its own, in a LangChain chain and in a DSPy program. Offline, on the default weights.

    python examples/quickstart.py

The same small model rewrites and answers. It is not trained to rewrite yet: most of what it proposes is turned down by
the fidelity checks or the judge, and then your prompt is kept, unchanged. That is the point of showing it.
"""

import logging
import time

import dspy
from downstream import PlainAdapter, dspy_model, langchain_model
from langchain_core.prompts import ChatPromptTemplate
from rich.console import Console
from rich.table import Table

from fipo_integrations.dspy import FIPO
from fipo_integrations.langchain import FIPORunnable
from fipo_model import LLMJudge, OptimizationRequest, OptimizedPrompt, PromptOptimizer

console = Console()

NAIVE_PROMPTS = [
    OptimizationRequest("Tell me about photography techniques."),
    OptimizationRequest("Explain recursion to a {audience} in 3 sentences."),
    OptimizationRequest("Summarize the text.", context="Rain falls when droplets in a cloud grow too heavy to float."),
    OptimizationRequest('Translate "good morning" into French.'),
    OptimizationRequest("Write a haiku about the sea."),
]


def show(title: str, results: list[OptimizedPrompt]) -> None:
    """A table of what was asked, what the model proposed and which prompt to use."""
    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("naive prompt", ratio=3)
    table.add_column("candidate of the model", ratio=4)
    table.add_column("outcome", ratio=2)
    table.add_column("prompt to use", ratio=3)
    for result in results:
        candidate = result.candidates[0].text
        proposed = candidate if len(candidate) <= 160 else f"{candidate[:157]}..."
        reason = f"{result.outcome}\n{result.detail}".strip()
        table.add_row(*map(_plain, (result.request.instruction, proposed, reason, result.text)))
    console.print(table)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")  # rich reads square brackets as markup


def on_its_own(optimizer: PromptOptimizer) -> None:
    """A batch of prompts, one model call."""
    show("1. On its own", optimizer.optimize_batch(NAIVE_PROMPTS))


def in_a_judged_search(optimizer: PromptOptimizer) -> None:
    """Several candidates for one prompt; only one that beats the naive prompt in both orders is used."""
    searching = PromptOptimizer(optimizer.generator, judge=LLMJudge(optimizer.generator), candidates=4, seed=0)
    result = searching.optimize(NAIVE_PROMPTS[0])
    outcomes = ", ".join(candidate.outcome for candidate in result.candidates)
    console.print(f"\n[bold]Four candidates and a judge:[/] {outcomes}\nprompt to use: {_plain(result.text)}\n")


def in_langchain(optimizer: PromptOptimizer) -> None:
    """`prompt | fipo | model`: the system prompt is rewritten on its way, the user's message is not touched."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Answer the question about {topic} briefly."), ("human", "{question}")]
    )
    fipo = FIPORunnable(optimizer=optimizer)
    chain = prompt | fipo | langchain_model(optimizer.generator)
    asked = {"topic": "geography", "question": "What is the capital of France?"}
    console.print("[bold]2. In a LangChain chain:[/] prompt | fipo | model")
    naive = prompt.invoke(asked).to_messages()[0].text
    console.print(f"naive system prompt: {_plain(naive)}\noutcome: {optimizer.optimize(naive).outcome}")
    for message in (prompt | fipo).invoke(asked).to_messages():  # remembered: this asks the model nothing again
        console.print(f"{message.type}: {_plain(message.text)}")
    console.print(f"ai: {_plain(chain.invoke(asked).text)}\n")


def in_dspy(optimizer: PromptOptimizer) -> None:
    """Compile a program: every predictor's instruction in one batch, no metric and no labels needed."""
    program = dspy.Predict(dspy.Signature("question -> answer", "Answer the question about geography."))
    compiled = FIPO(optimizer=optimizer).compile(program)
    console.print("[bold]3. In a DSPy program:[/] FIPO().compile(program)")
    for row in compiled.fipo_report["predictors"]:
        console.print(
            f"{row['name']}: {row['outcome']}\n  naive: {_plain(row['naive'])}\n  to use: {_plain(row['text'])}"
        )
    with dspy.context(lm=dspy_model(optimizer.generator), adapter=PlainAdapter()):
        console.print(f"answer: {_plain(compiled(question='What is the capital of France?').answer)}\n")


def main() -> None:
    """Run the three, and say how long it took."""
    logging.getLogger("dspy").setLevel(logging.ERROR)
    started = time.perf_counter()
    with console.status("loading the default weights"):
        optimizer = PromptOptimizer.from_pretrained()
    on_its_own(optimizer)
    in_a_judged_search(optimizer)
    in_langchain(optimizer)
    in_dspy(optimizer)
    console.print(f"Done in {time.perf_counter() - started:.0f} s, without a network, on {optimizer.generator.name}.")


if __name__ == "__main__":
    main()
