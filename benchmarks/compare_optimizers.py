"""Compare FIPO with DSPy's optimizers: scores with intervals, calls, tokens, time, and a page.

    python benchmarks/compare_optimizers.py --output runs/optimizers
    python benchmarks/compare_optimizers.py --tasks sst2 --optimizers fipo,fipo-metric,mipro --seeds 1
    python benchmarks/compare_optimizers.py --server http://localhost:8000/v1 --name my-model
    python benchmarks/compare_optimizers.py --survey

Everybody gets the same programs, examples, task model, threads and machine, and no cache. By default the task model,
which also proposes for DSPy's optimizers, is the model of the default weights as it was before FIPO's training. The
same command goes on after any stop. The last line of stdout is the summary as JSON; exit codes are 1 for a run that
could not finish and 2 for options and files that cannot be used.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from exiting import exiting

from fipo_model import Generator
from fipo_model.cli.notes import note
from fipo_model.errors import InputError

if TYPE_CHECKING:
    from optimizers.job import Settings
    from optimizers.running import Runner

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_DATA = Path(__file__).parents[2] / "shared" / "data" / "classification"


@app.command(help=__doc__.split("\n\n")[0])
def compare(  # noqa: PLR0913 - one parameter for each option
    *,
    output: Annotated[Path, typer.Option(help="Directory to write, or to go on in.")] = Path("runs/optimizers"),
    data: Annotated[Path, typer.Option(help="Folder of the classification sets.")] = _DATA,
    tasks: Annotated[str | None, typer.Option(help="Names of tasks, with commas.  [default: all]")] = None,
    optimizers: Annotated[str | None, typer.Option(help="Names of optimizers, with commas.  [default: all]")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often everybody compiles, each time on other examples.")] = 3,
    effort: Annotated[str, typer.Option(help="light, as DSPy calls it, or least, to try this out.")] = "light",
    train: Annotated[int, typer.Option(min=4, help="Examples to learn from.")] = 20,
    limit_val: Annotated[int, typer.Option(min=4, help="Examples to select on.")] = 20,
    limit_test: Annotated[int, typer.Option(min=4, help="Examples to test on, the same for every seed.")] = 100,
    model: Annotated[str | None, typer.Option(help="Directory or hub id of the task model.")] = None,
    server: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server instead.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model the server serves.")] = None,
    optimizer_model: Annotated[
        str | None, typer.Option(help="Directory or hub id of the model that rewrites, instead of FIPO's own.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a task model's reply.")] = 12,
    proposal_tokens: Annotated[int, typer.Option(min=8, help="Most tokens of a proposal or a reflection.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="Examples that are run at a time.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the intervals.")] = 0,
    survey: Annotated[bool, typer.Option(help="Only measure naive instructions on rows of the train split.")] = False,
) -> None:
    """Check what was asked for, compare, and show what was found."""
    if (server is None) != (name is None) or (server is not None and model is not None):
        raise typer.BadParameter("--server ADDRESS and --name MODEL go together, and without --model")
    with exiting():
        from optimizers.contenders import CONTENDERS, EFFORTS
        from optimizers.job import Settings, claimed, run
        from optimizers.tasks import TASKS

        if effort not in EFFORTS:
            raise InputError(f"--effort takes {' or '.join(EFFORTS)}, not {effort!r}")
        settings = Settings(
            output=str(output),
            data=str(data),
            tasks=_names(tasks, TASKS),
            contenders=_names(optimizers, CONTENDERS),
            seeds=seeds,
            effort=effort,
            train=train,
            val=limit_val,
            test=limit_test,
            model=f"{name} at {server}" if server else model or "default weights, before FIPO's training",
            rewriter=optimizer_model or _own_weights(),
            max_tokens=max_tokens,
            proposal_tokens=proposal_tokens,
            num_threads=threads,
            seed=seed,
        )
        if survey:
            _survey(data, _generator(model, server, name), max_tokens)
            return
        with claimed(settings):
            runner = _runner(settings, _generator(model, server, name), optimizer_model)
            results = run(settings, runner, say=note)
    _show(results["summary"], output)


def _names(text: str | None, known: dict[str, Any]) -> tuple[str, ...]:
    return tuple(known) if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _generator(model: str | None, server: str | None, name: str | None) -> Generator:
    """Who answers the tasks; threads that ask a model in this process at one time share a batch."""
    if server is not None and name is not None:
        from fipo_model.backends.openai import OpenAIGenerator

        return OpenAIGenerator(server, name=name)
    from fipo_model import weights
    from fipo_model.backends.coalesce import CoalescingGenerator
    from fipo_model.backends.hf import TransformersGenerator, load_generator

    if model is None:
        return CoalescingGenerator(TransformersGenerator.from_pretrained(weights.ready()))
    return CoalescingGenerator(load_generator(model))


def _own_weights() -> str:
    """FIPO's own weights with a digest of each adapter: a new training makes new records."""
    from fipo_model import weights

    return ", ".join(
        f"{adapter.name} ({hashlib.sha256((adapter / 'adapter_model.safetensors').read_bytes()).hexdigest()[:12]})"
        for adapter in (weights.DEFAULT_ADAPTER, weights.PROPOSER_ADAPTER)
    )


def _runner(settings: "Settings", generator: Generator, optimizer_model: str | None) -> "Runner":
    import dspy
    from optimizers.running import Runner

    from fipo_model import PromptOptimizer, weights

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    dspy.disable_logging()
    logging.getLogger("dspy").setLevel(logging.ERROR)  # every reply that is cut off at max_tokens is a warning
    return Runner(
        generator,
        rewriter=PromptOptimizer.from_pretrained(optimizer_model),
        sampler=PromptOptimizer.from_pretrained(optimizer_model or weights.PROPOSER_ADAPTER),
        max_tokens=settings.max_tokens,
        proposal_tokens=settings.proposal_tokens,
        num_threads=settings.num_threads,
        effort=settings.effort,
    )


def _survey(data: Path, generator: Generator, max_tokens: int) -> None:
    from optimizers.tasks import survey
    from rich.console import Console
    from rich.table import Table

    found = survey(data, generator, rows=60, max_tokens=max_tokens)
    table = Table("data set", "naive instruction", "right", "names a label", "usable")
    for one in found:
        shares = (f"{one[key]:.0%}" for key in ("score", "named"))
        table.add_row(one["dataset"], one["instruction"], *shares, "yes" if one["usable"] else "no")
    Console().print(table)
    typer.echo(json.dumps(found))


def _show(summary: dict[str, Any], output: Path) -> None:
    from optimizers.job import PAGE
    from optimizers.words import AGAINST, HEADER, against_rivals, sentences, table_rows
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:  # a file has room for the tables, and rich takes 80 columns for it
        console.width = 160
    for text in sentences(summary):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    tables = [(task, HEADER, table_rows(rows)) for task, rows in summary["tasks"].items()]
    for title, header, rows in [("FIPO against its rivals", AGAINST, against_rivals(summary)), *tables]:
        table = Table(*header, box=SIMPLE, title=title, title_justify="left")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    typer.echo(output / PAGE)
    typer.echo(json.dumps(summary | {"page": str(output / PAGE)}))


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")  # GEPA shows its bars whoever asks
    app()
