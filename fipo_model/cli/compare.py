"""`fipo compare`: a LangChain chain with its optimized twin, and FIPO with DSPy's own optimizers."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fipo_model.cli.notes import note
from fipo_model.cli.server import address_of
from fipo_model.errors import FipoError, InputError
from fipo_model.generation import Generator

app = typer.Typer(
    help="Find out whether FIPO beats a chain's own prompts, or DSPy's optimizers.",
    no_args_is_help=True,
)

_MAX_TOKENS = 128
_COLUMNS_OF_A_FILE = 160

Server = Annotated[
    str | None,
    typer.Option(
        help="Address of an OpenAI-compatible server that answers, instead of a local model. Default: OPENAI_BASE_URL."
    ),
]
ServerModel = Annotated[str | None, typer.Option(help="Name of the model on that server.")]
OptimizerModel = Annotated[
    str | None, typer.Option(help="Model that rewrites instead of FIPO's own; see `fipo optimize --help` for names.")
]
ShownTable = tuple[str, Sequence[str], Iterable[Sequence[str]]]
"""A table's title, its header and its rows."""


@app.command("chain")
def compare_chain(  # noqa: PLR0913 - one parameter for each option
    chain: Annotated[str, typer.Argument(metavar="CHAIN", help="module:attribute or path/to/file.py:attribute.")],
    *,
    data: Annotated[Path, typer.Option(help="JSONL file of rows with `input` and `output` (or `reference`).")],
    output: Annotated[Path, typer.Option(help="Directory to write to, or to resume in.")] = Path("runs/compare"),
    metric: Annotated[
        str, typer.Option(help="exact, contains, f1, json_fields, or a module:function(reference, output, input).")
    ] = "exact",
    examples: Annotated[
        Path | None,
        typer.Option(
            help="JSONL file of other rows: the twin's prompts are chosen on them, by the metric. Without it, the "
            "rewriter decides."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model that answers a prompt: a name from `fipo weights list`, a directory, a hub id or http://…/v1#NAME."
        ),
    ] = None,
    server: Server = None,
    name: ServerModel = None,
    chat_model: Annotated[
        str | None, typer.Option(help="module:attribute of a LangChain model that answers instead of a local one.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help=f"The most tokens in an answer; by default {_MAX_TOKENS}.")
    ] = None,
    optimizer_model: OptimizerModel = None,
    roles: Annotated[
        str | None, typer.Option(help="Whose messages are rewritten: system, human, or system,human.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Use only this many rows, beginning with the first.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Run this many rows at a time; the chains take turns.")] = 8,
    repeat: Annotated[int, typer.Option(min=1, help="Run each row this many times, for models that sample.")] = 1,
    timed: Annotated[int, typer.Option(min=0, help="Run this many rows again, one by one, to measure latency.")] = 10,
    max_seconds: Annotated[
        float | None, typer.Option(help="With --examples: try nothing new after this many seconds.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for the intervals and for sampled answers.")] = 0,
) -> None:
    """Compare a LangChain chain with its optimized twin: paired scores with intervals, time, tokens, and a page.

    CHAIN is a chain, a function without arguments that makes one, or just a prompt. A prompt is answered by the model
    that --model, --server or --chat-model names, or by the default weights without FIPO's adapter. Each row of the
    data has an `input` for the chain and the right `output` for the metric:

    {"input": {"question": "What is the capital of Peru?"}, "output": "Lima"}

    With --examples, the metric decides on other rows which prompts the twin gets, and the data show what that gains.

    Run the same command again to resume. The last line of stdout is the summary as JSON; the exit code is 1 for a run
    that could not finish and 2 for options and files that cannot be used.
    """
    answerer = _name_answerer(model=model, server=server, name=name, chat_model=chat_model)
    with _exiting():
        from fipo_model.comparing.chains.job import PAGE, Settings, compare
        from fipo_model.comparing.chains.opening import opened_comparison
        from fipo_model.comparing.chains.words import HEADER, sentences, table_rows
        from fipo_model.optimizer import PromptOptimizer

        settings = Settings(
            chain=chain,
            data=str(data),
            output=str(output),
            metric=metric,
            examples=None if examples is None else str(examples),
            max_seconds=max_seconds,
            answerer=answerer,
            optimizer_model=optimizer_model,
            roles=_parse_roles(roles),
            limit=limit,
            max_tokens=max_tokens,
            batch_size=batch_size,
            repeat=repeat,
            timed=timed,
            seed=seed,
        )
        with (
            opened_comparison(settings, max_tokens=_MAX_TOKENS, say=note) as (comparison, opened),
            _showing_progress() as begin,
        ):
            optimizer = PromptOptimizer.from_pretrained(optimizer_model, seed=seed)
            summary = compare(comparison, opened, optimizer, begin=begin, say=note)["summary"]
    is_measured = "scale" in summary
    tables: list[ShownTable] = [("with 95 % intervals", HEADER, table_rows(summary))] if is_measured else []
    _show(summary, sentences(summary), tables, output / PAGE)


@app.command("optimizers")
def compare_optimizers(  # noqa: PLR0913 - one parameter for each option
    *,
    data: Annotated[
        Path, typer.Option(help="Folder of data sets (NAME.jsonl) whose rows have split, text, label and labels.")
    ],
    output: Annotated[Path, typer.Option(help="Directory to write to, or to resume in.")] = Path("runs/optimizers"),
    tasks: Annotated[str | None, typer.Option(help="Tasks, separated by commas; by default, all with data.")] = None,
    optimizers: Annotated[str | None, typer.Option(help="Optimizers, separated by commas; by default, all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Compile this many times, on different examples each time.")] = 3,
    effort: Annotated[
        Literal["light", "least"], typer.Option(help="light (DSPy's own preset), or least, for a quick trial.")
    ] = "light",
    train: Annotated[int, typer.Option(min=4, help="Examples to learn from.")] = 20,
    limit_val: Annotated[int, typer.Option(min=4, help="Examples to select on.")] = 20,
    limit_test: Annotated[int, typer.Option(min=4, help="Examples to test on, the same for every seed.")] = 100,
    model: Annotated[str | None, typer.Option(help="The task model; see `fipo optimize --help` for names.")] = None,
    server: Server = None,
    name: ServerModel = None,
    optimizer_model: OptimizerModel = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The most tokens in a task model's reply.")] = 12,
    proposal_tokens: Annotated[int, typer.Option(min=8, help="The most tokens in a proposal or a reflection.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="Run this many examples at a time.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed for the intervals.")] = 0,
    survey: Annotated[bool, typer.Option(help="Only measure the naive instructions, on the train split.")] = False,
) -> None:
    """Compare FIPO with DSPy's optimizers: scores with intervals, calls, tokens, time, and a page.

    All get the same programs, examples, task model, threads and machine, and no cache. By default, the task model is
    the base of the default weights, without FIPO's adapter. It also writes the proposals of DSPy's optimizers.

    Run the same command again to resume. The last line of stdout is the summary as JSON; the exit code is 1 for a run
    that could not finish and 2 for options and files that cannot be used.
    """
    server = address_of(server, name)
    if server is not None and model is not None:
        raise typer.BadParameter("--model and --server each say which model answers; give only one")
    # GEPA always shows its bars; tqdm reads this once, when it is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    with _exiting():
        from fipo_model.comparing.opening import open_answerer
        from fipo_model.comparing.optimizers.contenders import CONTENDERS
        from fipo_model.comparing.optimizers.job import PAGE, Settings, claimed, run
        from fipo_model.comparing.optimizers.opening import describe_own_weights, open_runner
        from fipo_model.comparing.optimizers.tasks import tasks_of
        from fipo_model.comparing.optimizers.words import sentences, tables

        settings = Settings(
            output=str(output),
            data=str(data),
            tasks=_split_names(tasks, tasks_of(data)),
            contenders=_split_names(optimizers, CONTENDERS),
            seeds=seeds,
            effort=effort,
            train=train,
            val=limit_val,
            test=limit_test,
            model=f"{name} at {server}" if server else model or "default weights, before FIPO's training",
            rewriter=optimizer_model or describe_own_weights(),
            max_tokens=max_tokens,
            proposal_tokens=proposal_tokens,
            num_threads=threads,
            seed=seed,
        )
        if survey:
            _survey(data, open_answerer(model=model, server=server, name=name), max_tokens)
            return
        with claimed(settings):
            runner = open_runner(settings, open_answerer(model=model, server=server, name=name), optimizer_model)
            summary = run(settings, runner, say=note)["summary"]
    _show(summary, sentences(summary), tables(summary), output / PAGE)


@contextmanager
def _exiting() -> Iterator[None]:
    """Turn our own errors into one line on stderr and an exit code."""
    try:
        yield
    except FipoError as error:
        note(f"error: {error}")
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from error
    except KeyboardInterrupt as error:
        note("stopped; run the same command again to resume")
        raise typer.Exit(130) from error


def _name_answerer(
    *, model: str | None, server: str | None, name: str | None, chat_model: str | None
) -> dict[str, str] | None:
    """Name the options that say who answers a chain that is only a prompt; None if none was given."""
    server = address_of(server, name)
    if sum(option is not None for option in (model, server, chat_model)) > 1:
        raise typer.BadParameter("--model, --server and --chat-model each say which model answers; give only one")
    options = {"model": model, "server": server, "name": name, "chat_model": chat_model}
    given = {option: value for option, value in options.items() if value is not None}
    return given or None


def _parse_roles(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    roles = tuple(role.strip() for role in text.split(","))
    if not set(roles) <= {"system", "human"}:
        raise InputError(f"--roles takes system, human or system,human, not {text!r}")
    return roles


def _split_names(text: str | None, known: Iterable[str]) -> tuple[str, ...]:
    """Split names at commas; all known names where nothing is given."""
    if text is None:
        return tuple(known)
    return tuple(name.strip() for name in text.split(",") if name.strip())


@contextmanager
def _showing_progress() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Show a bar on stderr for each part of the work that begins."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def begin(what: str, steps: int) -> Callable[[int], None]:
            task = progress.add_task(what, total=steps)
            return lambda done: progress.advance(task, done)

        yield begin


def _survey(data: Path, generator: Generator, max_tokens: int) -> None:
    """Measure the candidate naive instructions, and print which may be used."""
    from fipo_model.comparing.optimizers.survey import HEADER, survey, table_rows

    found = survey(data, generator, max_tokens=max_tokens)
    _print_tables([("", HEADER, table_rows(found))])
    typer.echo(json.dumps(found))


def _show(summary: Mapping[str, Any], said: Iterable[str], tables: Iterable[ShownTable], page: Path) -> None:
    """Print the findings in words, in tables, and as a last line of JSON."""
    for sentence in said:
        typer.echo(sentence)
    _print_tables(tables)
    typer.echo(page)
    typer.echo(json.dumps({**summary, "page": str(page)}))


def _print_tables(tables: Iterable[ShownTable]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:  # a file has room for the tables, and rich takes 80 columns for it
        console.width = _COLUMNS_OF_A_FILE
    for title, header, rows in tables:
        table = Table(*header, box=SIMPLE, title=title or None, title_justify="left")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
