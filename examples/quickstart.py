"""FIPO on its own, in a LangChain chain and in DSPy programs, without and with a metric; on the default weights.

    python examples/quickstart.py

The same small model rewrites and answers. Whether a rewrite helps is measured: by how much likelier a good response
becomes. Where one was turned down or nothing was proposed, your prompt is kept, unchanged, and the table says why.
"""

import logging
import time
from dataclasses import replace

import dspy
import dspy_classification
from downstream import PlainAdapter, langchain_model
from dspy_lm import dspy_model
from langchain_core.prompts import ChatPromptTemplate
from rich.console import Console
from rich.table import Table

from fipo_integrations.dspy import FIPO
from fipo_integrations.langchain import FIPORunnable
from fipo_model import OptimizationRequest, OptimizedPrompt, PromptOptimizer
from fipo_model.backends.transformers.generator import TransformersGenerator
from fipo_model.backends.transformers.scorer import TransformersScorer
from fipo_model.likelihood import golden_log_likelihoods
from fipo_model.models.registry import DEFAULT

console = Console()

# Prompts, and a good response to each: only for measuring, the optimizer does not see them.
RESPONSES = {
    OptimizationRequest("Tell me about photography techniques."): (
        "Good photographs start with light. Learn how aperture, shutter speed and ISO work together, use the rule of "
        "thirds to place your subject, try long exposures for moving water and a shallow depth of field for portraits."
    ),
    OptimizationRequest("Explain recursion to a {audience} in 3 sentences."): (
        "Recursion is when a function solves a problem by calling itself on a smaller piece of it. Each call waits for "
        "the answer of the next, until a piece is so small that its answer is known. Then the answers are put together."
    ),
    OptimizationRequest(
        "Summarize the text.", context="Rain falls when droplets in a cloud grow too heavy to float."
    ): ("When the droplets in a cloud become too heavy, they fall as rain."),
    OptimizationRequest('Translate "good morning" into French.'): '"Good morning" in French is "Bonjour".',
    OptimizationRequest("How do I keep basil alive on a windowsill?"): (
        "Give your basil six hours of sunlight, water it when the top of the soil feels dry, and make sure that the "
        "pot drains well. Pinch off the flowers and harvest from the top, so the plant stays bushy."
    ),
}
NAIVE_PROMPTS = [*RESPONSES]


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


def on_its_own(optimizer: PromptOptimizer, model: TransformersGenerator) -> None:
    """A batch of prompts, one model call."""
    results = optimizer.optimize_batch(NAIVE_PROMPTS)
    show("1. On its own", results)
    gains = measured([result for result in results if result.is_rewritten], model)
    better = sum(gain > 0 for gain in gains)
    mean = f", {sum(gains) / len(gains):+.3f} nats per token on average" if gains else ""
    console.print(
        f"{len(gains)} of {len(results)} prompts were rewritten. A good response became likelier after {better} of them"
        f"{mean}.\nFive prompts prove nothing: the figures with intervals are in the model card.\n"
    )


def measured(results: list[OptimizedPrompt], model: TransformersGenerator) -> list[float]:
    """What each rewrite changes in the log-likelihood of a good response."""
    prompts = []
    for result in results:
        request = replace(result.request, golden_response=RESPONSES[result.request])
        prompts += [(request, result.request.instruction), (request, result.text)]
    found = [float(value) for value in golden_log_likelihoods(TransformersScorer(model.loaded), prompts)]
    return [after - before for before, after in zip(found[::2], found[1::2], strict=True)]


def in_langchain(optimizer: PromptOptimizer, model: TransformersGenerator) -> None:
    """`prompt | fipo | model`: the system prompt is rewritten on its way, the user's message is not touched."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Answer the question about {topic} briefly."), ("human", "{question}")]
    )
    fipo = FIPORunnable(optimizer=optimizer)
    chain = prompt | fipo | langchain_model(model)
    asked = {"topic": "geography", "question": "What is the capital of France?"}
    console.print("[bold]2. In a LangChain chain:[/] prompt | fipo | model")
    naive = prompt.invoke(asked).to_messages()[0].text
    console.print(f"naive system prompt: {_plain(naive)}\noutcome: {optimizer.optimize(naive).outcome}")
    for message in (prompt | fipo).invoke(asked).to_messages():  # remembered: this asks the model nothing again
        console.print(f"{message.type}: {_plain(message.text)}")
    console.print(f"ai: {_plain(chain.invoke(asked).text)}\n")


def in_dspy(optimizer: PromptOptimizer, model: TransformersGenerator) -> None:
    """Compile a program: every predictor's instruction in one batch, no metric and no labels needed."""
    program = dspy.Predict(dspy.Signature("question -> answer", "Answer the question about geography."))
    compiled = FIPO(optimizer=optimizer).compile(program)
    console.print("[bold]3. In a DSPy program:[/] FIPO().compile(program)")
    for row in compiled.fipo_report["predictors"]:
        console.print(
            f"{row['name']}: {row['outcome']}\n  naive: {_plain(row['naive'])}\n  to use: {_plain(row['text'])}"
        )
    with dspy.context(lm=dspy_model(model), adapter=PlainAdapter()):
        console.print(f"answer: {_plain(compiled(question='What is the capital of France?').answer)}\n")


def where_a_metric_chooses() -> None:
    """Compile a program with examples and a metric: many candidates, and one is used only where it is better."""
    console.print(
        "[bold]4. In a DSPy program with a metric:[/] FIPO(metric=...).compile(program, trainset=..., valset=...)"
    )
    dspy_classification.main()
    console.print()


def main() -> None:
    """Run them all, and say how long it took."""
    logging.getLogger("dspy").setLevel(logging.ERROR)
    started = time.perf_counter()
    with console.status("loading the default weights"):
        optimizer = PromptOptimizer.from_pretrained()
        model = TransformersGenerator.from_pretrained(DEFAULT.name)  # untrained: it answers and measures
    for show_it in (on_its_own, in_langchain, in_dspy):
        show_it(optimizer, model)
    where_a_metric_chooses()
    console.print(f"Done in {time.perf_counter() - started:.0f} s, without a network, on {optimizer.rewriter.name}.")


if __name__ == "__main__":
    main()
