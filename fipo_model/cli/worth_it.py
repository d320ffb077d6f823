"""`fipo worth-it`: whether a search for a better wording is worth its time, estimated beforehand."""

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
    RewriterOption,
    ServerOption,
    named_metric,
    named_models,
)
from fipo_model.search.headroom import MAX_SECONDS, Headroom, measure_headroom


def worth_it(  # noqa: PLR0913 - one parameter for each option
    prompt: Annotated[str, typer.Argument(help="The prompt, or - to read it from stdin.")],
    *,
    examples: ExamplesOption,
    metric: MetricOption = None,
    model: ModelsOption = None,
    server: ServerOption = None,
    name: NameOption = None,
    optimizer_model: RewriterOption = None,
    max_seconds: Annotated[float, typer.Option(help="Start nothing new after this many seconds.")] = MAX_SECONDS,
    seed: Annotated[int, typer.Option(help="Seed for the rewrites and for which examples are measured.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Estimate how much `fipo tune` could gain before you run it. Usually takes under a minute.

    Measures your prompt, the input alone, other forms of the same words, a few rewrites, and your prompt with solved
    examples. Prints "worth it", "not worth it" or "unclear"; the figures go to stderr.
    """
    from fipo_model.rewriter import Rewriter
    from fipo_model.search.tuning import Yardstick

    models, scored_by, rows = named_models(model, server, name), named_metric(metric), read_rows(examples)
    text = read_prompt(prompt)
    yardstick = Yardstick.opened(scored_by, models)  # first, because a name may be wrong
    rewriter = Rewriter.from_pretrained(optimizer_model, role="proposing", seed=seed)
    found = measure_headroom(rewriter, text, examples=rows, yardstick=yardstick, max_seconds=max_seconds, seed=seed)
    _show(found, as_json=as_json)


def _show(found: Headroom, *, as_json: bool) -> None:
    from fipo_model.search.words import headroom_sentences

    for sentence in headroom_sentences(found):
        note(sentence)
    say(json.dumps(found.to_fields(), ensure_ascii=False) if as_json else found.verdict)
