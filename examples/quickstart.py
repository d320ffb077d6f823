"""FIPO in a minute, on the default weights: something gained, nothing lost, chosen on evidence.

    pip install '.[cpu,langchain,dspy]'
    python examples/quickstart.py

Prompts and rows are fixed; everything that is printed about them happens while you watch. They were picked to be easy
to follow, so they measure nothing. The figures, with intervals, are in the model card of the default weights.
"""

import difflib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import dspy
from downstream import base_model, langchain_model
from langchain_core.prompts import ChatPromptTemplate
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fipo_integrations.dspy import FIPO, PlainAdapter, local_lm
from fipo_integrations.langchain import optimize_chain
from fipo_model import Generator, OptimizationRequest, PromptOptimizer, Sampling
from fipo_model.data.tasks import Example, Task, is_right, part_of
from fipo_model.data.tasks.making import make_tasks
from fipo_model.generation import Message, complete
from fipo_model.pages.changes import outcome_in_words, verdict_in_words
from fipo_model.search import SearchSettings

WIDTH = 100
ROWS = 10
LONGEST_ANSWER = 16  # tokens: right answers here have ten at most

# Tasks of fipo_model/data/tasks/making, from the parts that the default weights have not learned from.
GAINED, GAINED_PROMPT = "extract_quotation", "words in quotation marks"
CHOSEN, CHOSEN_PROMPT = "snake_case", "snake case"

STRICT_PROMPT = "Summarize the customer's complaint for the shop's owner in at most 50 words. Never mention prices."
# What another model might write instead.
FULL_REWRITES = (
    "Write a concise summary of the customer's complaint for the shop's owner. Never mention prices.",
    "Write a summary of the customer's complaint in at most 50 words, so that the shop's owner sees at once what went "
    "wrong. Never mention prices.",
)

ORDER_PROMPT, ORDER_INPUT = "get the order number", "Hello, my order A-48213 of 3 May has not arrived. Where is it?"
MAIL_PROMPT, MAIL_INPUT = "first email address", "Write to anna@bakery.example or, on Sundays, to tom@bakery.example."

MARKS = {"✓": "green", "○": "yellow", "✗": "red"}

console = Console(highlight=False)
console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH


def main() -> None:
    """All three promises, then LangChain and DSPy, and how long it took."""
    for name in ("dspy", "fipo.dspy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    started = time.perf_counter()
    with console.status("loading the default weights"):
        optimizer = PromptOptimizer.from_pretrained()
        model = base_model()
    console.print(f"[bold]{optimizer.rewriter.name}[/] rewrites; [bold]{model.name}[/], its bare base, answers.")
    something_gained(optimizer, model)
    nothing_lost(optimizer)
    chosen_on_evidence(optimizer, model)
    in_langchain(optimizer, model)
    in_dspy(optimizer, model)
    console.print(f"\nDone in {time.perf_counter() - started:.0f} s, on this machine alone.")


def something_gained(optimizer: PromptOptimizer, model: Generator) -> None:
    """A lazy prompt, its rewrite, and what both get from a model on the same rows."""
    title("1. Something gained", f'optimizer.optimize("{GAINED_PROMPT}")')
    with console.status("rewriting"):
        result = optimizer.optimize(GAINED_PROMPT)
    show_change(GAINED_PROMPT, result.text, result.outcome, result.detail)
    task = task_named(GAINED)
    show_answers(model, task, task.examples[:ROWS], (GAINED_PROMPT, result.text))


def nothing_lost(optimizer: PromptOptimizer) -> None:
    """Two full rewrites by somebody else: one that drops a constraint, and one that does not."""
    title("2. Nothing lost", "optimizer.rewriter.check(rewrite, request)")
    request = OptimizationRequest(STRICT_PROMPT)
    table = Table.grid(padding=(0, 2))
    table.add_row("yours", Text(STRICT_PROMPT))
    for rewrite in FULL_REWRITES:
        found = optimizer.rewriter.check(rewrite, request)
        style = "green" if found.outcome == "optimized" else "red"
        said = "passes" if found.outcome == "optimized" else verdict_in_words(found.outcome, found.detail)
        table.add_row("rewrite", Text(rewrite))
        table.add_row("", Text(said, style=style))
    console.print(table)


def chosen_on_evidence(optimizer: PromptOptimizer, model: Generator) -> None:
    """Ten examples decide among a prompt and some rewrites; ten others show what the choice does to the answers."""
    title("3. Chosen on evidence", f'optimizer.search("{CHOSEN_PROMPT}", ten_examples, metric="exact", models=[model])')
    task = task_named(CHOSEN)
    deciding, others = task.examples[:ROWS], task.examples[ROWS : 2 * ROWS]
    with console.status("searching"):
        found = optimizer.search(
            CHOSEN_PROMPT,
            [(example.input, example.outputs[0]) for example in deciding],
            metric="exact",
            models=[model],
            settings=SearchSettings(candidates=4, max_metric_calls=40),
        )
    scores = {next(iter(trial.changed.values()), CHOSEN_PROMPT): trial for trial in found.trials}  # the last of each
    for text, trial in scores.items():
        added = one_line(text.removeprefix(CHOSEN_PROMPT)) or "(your prompt alone)"
        console.print(marked(f"{trial.score * trial.examples:2.0f} of {trial.examples:2} right", added))
    refused = sum(not one.is_usable for one in found.texts[0].candidates)
    console.print(f"{found.metric_calls} answers were scored. {refused} more proposals were turned down unmeasured.\n")
    show_change(CHOSEN_PROMPT, found.text, found.outcome, found.texts[0].detail)
    show_answers(model, task, others, (CHOSEN_PROMPT, found.text))


def in_langchain(optimizer: PromptOptimizer, model: Generator) -> None:
    """A chain, and the same chain with its prompt rewritten."""
    title("4. In LangChain", "better, report = optimize_chain(chain, optimizer=optimizer)")
    prompt = ChatPromptTemplate.from_messages([("system", ORDER_PROMPT), ("human", "{mail}")])
    chain = prompt | langchain_model(model, max_tokens=LONGEST_ANSWER)
    with console.status("rewriting"):
        better, report = optimize_chain(chain, optimizer=optimizer)
    change = report.changes[0]
    show_change(change.naive, change.text, change.outcome, change.detail)
    show_replies(ORDER_INPUT, *(one.invoke({"mail": ORDER_INPUT}).text for one in (chain, better)))


def in_dspy(optimizer: PromptOptimizer, model: Generator) -> None:
    """A program, and the same program with its instruction rewritten."""
    title("5. In DSPy", "compiled = FIPO(optimizer=optimizer).compile(program)")
    program = dspy.Predict(dspy.Signature("text -> address", MAIL_PROMPT))
    with console.status("rewriting"):
        compiled = FIPO(optimizer=optimizer).compile(program)
    row = compiled.fipo_report["predictors"][0]
    show_change(row["naive"], row["text"], row["outcome"], row["detail"])
    with dspy.context(lm=local_lm(model, max_tokens=LONGEST_ANSWER), adapter=PlainAdapter()):
        show_replies(MAIL_INPUT, *(one(text=MAIL_INPUT).address for one in (program, compiled)))


def task_named(name: str) -> Task:
    """A task that is made by rule, with the same rows every time."""
    return next(task for task in make_tasks(examples=2 * ROWS) if task.name == name)


def show_answers(model: Generator, task: Task, examples: Sequence[Example], prompts: tuple[str, str]) -> None:
    """What a model answers to two prompts on the same rows, and how many of the answers are right."""
    with console.status("answering"):
        replies = {prompt: answers(model, prompt, examples) for prompt in dict.fromkeys(prompts)}
    table = Table(box=None, padding=(0, 2, 0, 0), width=console.width)
    table.add_column("input", no_wrap=True, ratio=2)
    table.add_column("right", no_wrap=True, min_width=max(len(example.outputs[0]) for example in examples))
    for heading in ("answer to yours", "answer to FIPO's"):
        table.add_column(heading, no_wrap=True, ratio=3)
    verdicts = []
    for example, *said in zip(examples, *(replies[prompt] for prompt in prompts), strict=True):
        row = [verdict(task, example, reply) for reply in said]
        cells = [Text(f"{mark} {one_line(reply)}", style=MARKS[mark]) for mark, reply in zip(row, said, strict=True)]
        table.add_row(Text(one_line(example.input)), example.outputs[0], *cells)
        verdicts.append(row)
    console.print(table)
    first = task.examples.index(examples[0]) + 1
    console.print(
        f"Rows {first} to {first + len(examples) - 1} of the task {task.name} ({part_of(task)}: not trained on)"
    )
    for whose, column in zip(("yours", "FIPO's"), zip(*verdicts, strict=True), strict=True):
        alone, among_words = column.count("✓"), column.count("○")
        console.print(
            f"[bold]{whose:6} {alone:2} of {len(column)} right[/] (✓), and {among_words} more among other words (○)"
        )


def verdict(task: Task, example: Example, reply: str) -> str:
    """Whether a reply is a right output and nothing else, contains one among other words, or is wrong."""
    if is_right(replace(task, check="text"), example, reply):
        return "✓"
    return "○" if is_right(task, example, reply) else "✗"


def answers(model: Generator, prompt: str, examples: Sequence[Example]) -> list[str]:
    """The greedy answers of a model, in one batch."""
    conversations: list[list[Message]] = [[{"role": "user", "content": f"{prompt}\n\n{one.input}"}] for one in examples]
    return [reply.text for reply in complete(model, conversations, Sampling(max_new_tokens=LONGEST_ANSWER))]


def show_change(naive: str, text: str, outcome: str, detail: str) -> None:
    """The prompt to use with its new lines, or why there are none."""
    for line in difflib.ndiff(naive.splitlines(), text.splitlines()):
        mark, content = line[0], line[2:]
        if content and mark != "?":
            console.print(marked(mark, content, {"+": "green", "-": "red"}.get(mark, "")))
    if naive == text:
        why = "" if outcome == "unchanged" or not detail else f": {detail}"
        console.print(Text(f"   ({outcome_in_words(outcome)}{why})", style="yellow"))
    console.print()


def show_replies(asked: str, before: str, after: str) -> None:
    """What a model replies to one input, without and with the rewrite."""
    for name, said in (("input", asked), ("yours", before), ("FIPO's", after)):
        console.print(marked(f"{name:6}", one_line(said)))


def marked(mark: str, text: str, style: str = "") -> Table:
    """A text with a mark to the left of every line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text(mark, style=style), Text(text, style=style))
    return grid


def title(promise: str, call: str) -> None:
    """A heading, and the line of Python below it that does what follows."""
    console.print()
    console.rule(Text(promise, style="bold"), align="left")
    console.print(Text(f">>> {call}\n", style="cyan"))


def one_line(text: str) -> str:
    """A text with its line breaks as spaces."""
    return " ".join(text.split())


if __name__ == "__main__":
    main()
