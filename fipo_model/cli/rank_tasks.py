"""`fipo data rank-tasks`: preference rows from tasks, by how likely a rewriter's additions make right outputs."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fipo_model import jobs, jsonl
from fipo_model.addresses import show_address
from fipo_model.cli.notes import note
from fipo_model.errors import InputError
from fipo_model.models.files import hashes_of
from fipo_model.pages.numbers import counted

if TYPE_CHECKING:
    from fipo_model.data.tasks.ranking import Question
    from fipo_model.generation import Scorer
    from fipo_model.rewriter import Rewriter


def rank_tasks(  # noqa: PLR0913 - one parameter for each option
    source: Annotated[Path, typer.Argument(metavar="TASKS", help="JSONL file of tasks (docs/tasks.md).")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file of rows to write, or to resume.")],
    *,
    model: Annotated[str | None, typer.Option(help="Rewriter to sample from; see docs/models.md for names.")] = None,
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter for it, or none.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Rewrites to sample for each wording.")] = 6,
    wordings: Annotated[int, typer.Option(min=1, help="Hasty wordings of each task.")] = 2,
    inputs: Annotated[int, typer.Option(min=1, help="Inputs to measure each rewrite on.")] = 8,
    test_model: Annotated[
        list[str] | None,
        typer.Option(help="Model that measures right outputs; may be repeated. Default: smollm2-135m."),
    ] = None,
    margin: Annotated[float, typer.Option(min=0, help="Ignore gains below this, in nats per token.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Seed for sampling and for the examples shown.")] = 0,
) -> None:
    """Rank rewrites of hasty wordings by how much their tasks gain. The smallest gain among the test models counts.

    A row has the best rewrite as chosen and the worst as rejected. If none gains, the wording itself is the best one.
    """
    from fipo_model.data.tasks.ranking import Ranked, rank

    jsonl.check_apart(source, target)
    told = {
        "model": model and show_address(model),  # a note is no place for passwords
        "adapter": adapter,
        "samples": samples,
        "wordings": wordings,
        "inputs": inputs,
        "test_models": test_model and [show_address(each) for each in test_model],
        "margin": margin,
        "seed": seed,
    }
    tally: Counter[str] = Counter()
    with jobs.claimed_file(target, kind="a ranking of tasks") as job:
        content = hashes_of({"tasks": source})
        job.check(told)
        done = {row["id"] for row in jobs.finished_rows(target, "id", "ranked")}
        asked = [each for each in _questions(source, (inputs, wordings, seed), tally) if each.id not in done]
        job.begin(told, content=content)
        jsonl.check_writable(target)
        rewriter = _rewriter(model, adapter, samples, seed)
        for found in rank(asked, rewriter, _scorers(test_model or ["smollm2-135m"], rewriter)):
            if isinstance(found, Ranked):
                fields = found.to_fields(rewriter.template, margin)
                jobs.append(target, [fields])
                tally["with a preference" if "chosen" in fields else "without spread"] += 1
            else:
                tally["unusable"] += 1
                note(f"{found[0].id}: {found[1]}")
    note(
        f"{counted(tally['with a preference'], 'wording')} with a preference, {tally['without spread']} without one, "
        f"{counted(len(done), 'was', 'were')} there before, {tally['unusable']} could not be used; see {target}"
    )
    if tally["unusable"]:
        sys.exit(1)


def _questions(source: Path, drawn: tuple[int, int, int], tally: Counter[str]) -> "Iterator[Question]":
    from fipo_model.data.tasks.ranking import questions
    from fipo_model.data.tasks.reading import read_tasks

    inputs, wordings, seed = drawn
    for task in read_tasks(source):
        try:
            if isinstance(task, jsonl.BadRow):
                raise InputError(str(task))
            yield from questions([task], inputs=inputs, wordings=wordings, seed=seed)
        except InputError as error:
            tally["unusable"] += 1
            note(str(error))


def _rewriter(model: str | None, adapter: str | None, samples: int, seed: int) -> "Rewriter":
    from fipo_model.rewriter import Rewriter

    return Rewriter.from_pretrained(model, adapter=adapter, samples=samples, seed=seed)


def _scorers(names: Sequence[str], rewriter: "Rewriter") -> "list[Scorer]":
    from fipo_model.backends.opening import open_scorer

    scorers = [open_scorer(name) for name in names]
    if any(scorer.name == rewriter.name for scorer in scorers):
        note(f"{rewriter.name} is both the rewriter and a test model, so it may prefer its own words")
    return scorers
