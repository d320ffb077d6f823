"""`fipo data build`: preference data for your own prompts, collected from two models."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fipo_model.cli.notes import note
from fipo_model.data.records import Format
from fipo_model.errors import FipoError
from fipo_model.pages.numbers import counted

if TYPE_CHECKING:
    from fipo_model.data.collection import Job


def build(  # noqa: PLR0913 - one parameter for each option
    source: Annotated[Path, typer.Argument(metavar="IN", help="JSONL file of records, or of instructions alone.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file of records to write, or to resume.")],
    *,
    weak: Annotated[
        str, typer.Option(help="The weaker model: a name, a directory, a hub id, or http://HOST:PORT/v1#NAME.")
    ] = "default",
    strong: Annotated[
        str, typer.Option(help="The stronger model, which also judges, named in the same way.")
    ] = "default",
    max_calls: Annotated[
        int | None, typer.Option(min=0, help="Send the two models at most this many conversations, over all runs.")
    ] = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep failed records and mark them, instead of dropping them.")
    ] = False,
    max_words: Annotated[int | None, typer.Option(min=1, help="The most words a rewrite may have.")] = None,
    response_tokens: Annotated[int, typer.Option(min=1, help="The most tokens a response may have.")] = 512,
    similarity: Annotated[
        float, typer.Option(min=0, max=1, help="Drop prompts at least this similar to an earlier one; 0 keeps all.")
    ] = 0.8,
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature; 0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed for sampling.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Process this many records at a time.")] = 32,
    format_: Annotated[Format | None, typer.Option("--format", help="Format of IN; detected by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, then exit.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Start without asking.")] = False,
) -> None:
    """Collect a preference data set for your own prompts from a weaker and a stronger model.

    Both answer and rewrite each prompt; the rewrites are checked and judged. Run the same command again to resume.
    If some lines cannot be used, it writes the rest and exits with 1.
    """
    _check_models(weak, strong)
    from fipo_model.data.collection import BuildSettings, prepare

    settings = BuildSettings(
        max_words=max_words,
        response_tokens=response_tokens,
        temperature=temperature,
        seed=seed,
        similarity=similarity or None,
        format=format_,
        max_calls=max_calls,
        batch_size=batch_size,
        keep_failed=keep_failed,
    )
    with prepare(source, target, settings) as job:
        _say_what_is_to_be_done(job)
        if dry_run:
            return
        if not yes and job.estimate.calls and sys.stdin.isatty():
            typer.confirm("fipo: continue?", abort=True, err=True)
        made = _build(job, weak, strong)
    _say_what_was_done(made, target)


def _check_models(weak: str, strong: str) -> None:
    from fipo_model.models.names import resolve

    # Not FIPO's own adapter on the default weights: it has learnt to rewrite, and the weaker model has to answer, too.
    if resolve(weak, role=None) == resolve(strong, role=None):
        raise typer.BadParameter("the weaker and the stronger model are the same; name another with --strong")


def _build(job: "Job", weak: str, strong: str) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fipo_model.backends.opening import open_generator
    from fipo_model.data.collection import Progress as Step
    from fipo_model.data.collection import build as build_data

    generators = open_generator(weak, role=None), open_generator(strong, role=None)
    columns = (TextColumn("records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            decided = len(job.cases) - job.estimate.records
            bar = progress.add_task("records", total=len(job.cases), completed=decided)

            def report(step: Step) -> None:
                progress.update(bar, completed=step.decided)

            return build_data(job, weak=generators[0], strong=generators[1], report=report)
    except (FipoError, KeyboardInterrupt):
        if job.workplace.steps:
            note(f"finished work is kept in {job.workplace.directory}; run the same command to resume from there")
        raise


def _say_what_is_to_be_done(job: "Job") -> None:
    for row in job.bad_rows:
        note(str(row))
    failed = sum(case.failure is not None for case in job.cases)
    accepted = sum(case.is_accepted for case in job.cases)
    note(f"{counted(len(job.cases), 'record')}, of which {accepted} are done and {failed} failed or repeat another")
    allowed = job.settings.max_calls
    bound = "" if allowed is None else f"; {max(0, allowed - job.workplace.calls)} of {allowed} calls are left"
    note(f"to do: {job.estimate}{bound}")


def _say_what_was_done(made: dict[str, Any], target: Path) -> None:
    records = made["records"]
    note(
        f"{counted(records['accepted'], 'pair')} from {counted(records['read'], 'record')} written to {target}, "
        f"{records['failed']} failed, {counted(made['calls']['sent'], 'call')} sent in all; see {target}.report.html"
    )
    if not made["is_complete"]:
        note(
            f"stopped at --max-calls: {counted(records['waiting'], 'record is', 'records are')} waiting. To continue, "
            f"run the command again with --max-calls above {made['calls']['allowed']}"
        )
    if made["bad_rows"]:
        note(f"{counted(made['bad_rows'], 'line')} could not be used")
        sys.exit(1)
