"""`fipo eval`: a recipe in, results.json and a page out."""

from pathlib import Path
from typing import Annotated

import typer

from fipo_model.cli.notes import note
from fipo_model.pages.numbers import counted


def evaluate(
    recipe: Annotated[Path, typer.Argument(help="TOML file with the settings.")],
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: key=value, such as seed=1 or data.bpo.limit=20."),
    ] = None,
) -> None:
    """Compare prompts with their rewrites, as a TOML recipe says. Run the same command again to resume."""
    from fipo_model import recipes
    from fipo_model.evaluation.run import ADDITIONS, PAGE, RESULTS
    from fipo_model.evaluation.run import evaluate as run
    from fipo_model.evaluation.settings import EvaluationSettings
    from fipo_model.evaluation.summary import summary

    settings = recipes.read(recipe, EvaluationSettings, tuple(changes or ()))
    results = run(settings, say=note)
    for data, rows in results.bad_rows.items():
        note(f"{data}: {counted(len(rows), 'row')} could not be used; the first: {rows[0]}")
    for line in summary(results):
        note(line)
    output = Path(settings.output)
    typer.echo(output / RESULTS)
    typer.echo(output / PAGE)
    if results.tasks is not None:
        typer.echo(output / ADDITIONS)
