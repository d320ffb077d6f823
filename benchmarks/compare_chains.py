"""Compare a LangChain chain with its optimized twin: paired scores with intervals, time, tokens, and a page.

    python benchmarks/compare_chains.py my_app.chains:chain --data rows.jsonl
    python benchmarks/compare_chains.py prompts.py:classify --data rows.jsonl --metric f1 --output runs/classify
    python benchmarks/compare_chains.py prompts.py:classify --data rows.jsonl --server http://localhost:8000/v1 --name m
    python benchmarks/compare_chains.py prompts.py:classify --data rows.jsonl --chat-model my_app.models:model

CHAIN is a chain, a function without arguments that makes one, or only a prompt, which is then answered by the model
that --model, --server or --chat-model names, or by the default weights as they were before FIPO's training. A row of
the data has an `input`, as the chain takes it, and a `reference`, as the metric wants it. The same command goes on
after any stop. The last line of stdout is the summary as JSON; exit codes are 1 for a run that could not finish and 2
for options and files that cannot be used.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from exiting import exiting
from rich.markup import escape

from fipo_model.cli.notes import note
from fipo_model.errors import InputError

if TYPE_CHECKING:
    from comparing.job import Comparison, Settings
    from langchain_core.runnables import Runnable

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_MAX_TOKENS = 128


@app.command(help=__doc__.split("\n\n")[0])
def compare(  # noqa: PLR0913 - one parameter for each option
    chain: Annotated[str, typer.Argument(help="module:attribute or path/to/file.py:attribute.")],
    *,
    data: Annotated[Path, typer.Option(help="JSONL file of rows with `input` and `reference`.")],
    output: Annotated[Path, typer.Option(help="Directory to write, or to go on in.")] = Path("runs/compare"),
    metric: Annotated[
        str, typer.Option(help="exact, contains, f1, json_fields, or a module:function(reference, output, input).")
    ] = "exact",
    model: Annotated[str | None, typer.Option(help="Directory or hub id of the model that answers a prompt.")] = None,
    server: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server that answers it.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model the server serves.")] = None,
    chat_model: Annotated[
        str | None, typer.Option(help="module:attribute of a LangChain model that answers it.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help=f"Most tokens of an answer to a prompt.  [default: {_MAX_TOKENS}]")
    ] = None,
    optimizer_model: Annotated[
        str | None, typer.Option(help="Directory or hub id of the model that rewrites, instead of FIPO's own.")
    ] = None,
    roles: Annotated[
        str | None, typer.Option(help="Whose messages are rewritten: system, human, or system,human.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Use only the first so many rows.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows asked at a time; the chains take turns.")] = 8,
    repeat: Annotated[int, typer.Option(min=1, help="Ask every row so often, for models that sample.")] = 1,
    timed: Annotated[int, typer.Option(min=0, help="Rows that are asked again one by one, for the time.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the intervals, and of answers that are sampled.")] = 0,
) -> None:
    """Check what was asked for, compare, and show what was found."""
    from comparing.job import Comparison, Settings
    from comparing.loading import load_chain
    from comparing.metrics import find_metric
    from comparing.rows import read_rows

    answerer = _answerer(model, server, name, chat_model)
    with exiting():
        chosen = find_metric(metric)
        rows, bad = read_rows(data, chosen.unfit, limit)
        settings = Settings(
            chain=chain,
            data=str(data),
            output=str(output),
            metric=metric,
            answerer=answerer,
            optimizer_model=optimizer_model,
            roles=_roles(roles),
            limit=limit,
            max_tokens=max_tokens,
            batch_size=batch_size,
            repeat=repeat,
            timed=timed,
            seed=seed,
        )
        comparison = Comparison(settings=settings, rows=rows, bad_rows=bad, metric=chosen)
        found = load_chain(chain)
        for reason in bad:
            note(f"left out, {reason}")
        results = _compared(comparison, found)
    _show(results["summary"], output)


def _answerer(model: str | None, server: str | None, name: str | None, chat_model: str | None) -> dict[str, str] | None:
    """Who answers a chain that is only a prompt, as the options that say so; None if none does."""
    if (server is None) != (name is None):
        raise typer.BadParameter("--server ADDRESS and --name MODEL go together: a server may serve several models")
    if sum(option is not None for option in (model, server, chat_model)) > 1:
        raise typer.BadParameter("--model, --server and --chat-model each name who answers; give one of them")
    given = {"model": model, "server": server, "name": name, "chat_model": chat_model}
    return {option: value for option, value in given.items() if value is not None} or None


def _roles(text: str | None) -> tuple[str, ...] | None:
    roles = None if text is None else tuple(role.strip() for role in text.split(","))
    if roles is not None and not set(roles) <= {"system", "human"}:
        raise InputError(f"--roles takes system, human or system,human, not {text!r}")
    return roles


def _compared(comparison: "Comparison", chain: "Runnable[Any, Any]") -> dict[str, Any]:
    """The results; what loads models comes after everything that can be refused without them."""
    from comparing.job import compare as run
    from comparing.loading import answered_by, needs_model
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fipo_model import PromptOptimizer

    settings = comparison.settings
    if not needs_model(chain) and (settings.answerer is not None or settings.max_tokens is not None):
        raise InputError(
            f"{settings.chain} has a model of its own; --model, --server, --chat-model and --max-tokens are for a "
            "chain that is only a prompt"
        )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with comparison.claimed(), Progress(*columns, console=Console(stderr=True)) as progress:
        if needs_model(chain):
            chain = answered_by(chain, _model(comparison.settings))
        optimizer = PromptOptimizer.from_pretrained(settings.optimizer_model, seed=settings.seed)

        def begin(what: str, steps: int) -> Callable[[int], None]:
            task = progress.add_task(what, total=steps)
            return lambda done: progress.advance(task, done)

        return run(comparison, chain, optimizer, begin=begin, say=note)


def _model(settings: "Settings") -> Any:
    from comparing.loading import load_object

    from fipo_integrations.langchain import GeneratorChatModel
    from fipo_model import Generator

    options = settings.answerer or {}
    if "chat_model" in options:
        if settings.max_tokens is not None:
            raise InputError("--chat-model brings its own settings; leave --max-tokens out")
        return load_object(options["chat_model"], "a chat model")
    generator: Generator
    if "server" in options:
        from fipo_model.backends.openai import OpenAIGenerator

        generator = OpenAIGenerator(options["server"], name=options["name"])
    else:
        from fipo_model import weights
        from fipo_model.backends.coalesce import CoalescingGenerator
        from fipo_model.backends.hf import load_generator

        generator = CoalescingGenerator(load_generator(options.get("model", weights.DEFAULT_MODEL)))
    return GeneratorChatModel(generator=generator, max_tokens=settings.max_tokens or _MAX_TOKENS, seed=settings.seed)


def _show(summary: dict[str, Any], output: Path) -> None:
    from comparing.job import PAGE
    from comparing.words import sentences, table_rows
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for sentence in sentences(summary):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if "scale" in summary:
        table = Table(
            "a row",
            "original",
            "optimized",
            "difference",
            box=SIMPLE,
            title="with 95 % intervals",
            title_justify="left",
        )
        for row in table_rows(summary):
            table.add_row(*map(escape, row))
        console.print(table)
    typer.echo(output / PAGE)
    typer.echo(json.dumps(summary | {"page": str(output / PAGE)}))


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DELAY", "5")  # bars are for what takes long, not for loading 270 MB
    app()
