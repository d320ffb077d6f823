"""`fipo score`: prompts on the same rows, side by side."""

import json
from typing import Annotated

import typer

from fipo_model.cli.examples import read_rows
from fipo_model.cli.notes import note, say
from fipo_model.cli.optimize import read_prompt
from fipo_model.cli.tune import (
    ExamplesOption,
    MetricOption,
    ModelsOption,
    NameOption,
    ServerOption,
    named_metric,
    named_models,
)


def score(  # noqa: PLR0913 - one parameter for each option
    prompts: Annotated[
        list[str], typer.Argument(help="The prompts, each of which is compared with the first. - reads one from stdin.")
    ],
    *,
    examples: ExamplesOption,
    metric: MetricOption = None,
    model: ModelsOption = None,
    server: ServerOption = None,
    name: NameOption = None,
    seed: Annotated[int, typer.Option(help="Seed for the intervals.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, with each answer.")] = False,
) -> None:
    """Score prompts on the same rows: the mean score of each, and its gain over the first.

    Use rows on which none of the prompts was chosen, such as new ones after `fipo tune`. Nothing is rewritten.
    """
    from fipo_model.search.scoring import score_prompts
    from fipo_model.search.tuning import Yardstick
    from fipo_model.search.words import score_lines, score_remarks

    models, scored_by, rows = named_models(model, server, name), named_metric(metric), read_rows(examples)
    texts = [read_prompt(one) for one in prompts]
    found = score_prompts(texts, rows, yardstick=Yardstick.opened(scored_by, models), seed=seed)
    for remark in score_remarks(found):
        note(remark)
    say(json.dumps(found.to_fields(), ensure_ascii=False) if as_json else "\n".join(score_lines(found)))
