"""`fipo tune`: the wording of a prompt that does best on examples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from fipo_model.cli.examples import read_rows
from fipo_model.cli.notes import note, say
from fipo_model.cli.optimize import SPEC_HELP, STORE_HELP, read_prompt, show_result, tell_state
from fipo_model.cli.server import address_of
from fipo_model.errors import InputError
from fipo_model.models.registry import DEFAULT
from fipo_model.search import Effort, Example, SearchResult, SearchSettings
from fipo_model.search.metrics import BUILT_IN
from fipo_model.search.reporting import PAGE
from fipo_model.store import RewriteStore
from fipo_model.types import OUTCOMES, Candidate, OptimizationRequest, OptimizedPrompt, Outcome

# What `fipo worth-it` takes as well.
ExamplesOption = Annotated[
    Path, typer.Option(help="JSONL file of rows with `input` and `output` (or `outputs`, `reference`).")
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        help="How answers are scored: exact, contains, f1, json_fields or module:function(reference, output, input). "
        "Without a metric, a prompt is scored by how likely it makes the right outputs (needs the extra `local`)."
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        help=f"A model the prompt is for, which answers or scores; may be repeated. By default, {DEFAULT.name} without "
        f"FIPO's adapter and, without a metric, also the smallest other model on this machine. {SPEC_HELP}"
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(help="Address of an OpenAI-compatible server with the model --name. Default: OPENAI_BASE_URL."),
]
NameOption = Annotated[str | None, typer.Option(help="Name of the model on that server.")]
RewriterOption = Annotated[
    str | None,
    typer.Option(help=f"Model that proposes rewrites; by default, {DEFAULT.name} with FIPO's adapter."),
]


def tune(  # noqa: PLR0913 - one parameter for each option
    prompt: Annotated[str, typer.Argument(help="The prompt, or - to read it from stdin.")],
    *,
    examples: ExamplesOption,
    held_out: Annotated[
        Path | None, typer.Option(help="Rows that only measure the gain; by default, a third of --examples.")
    ] = None,
    metric: MetricOption = None,
    model: ModelsOption = None,
    server: ServerOption = None,
    name: NameOption = None,
    optimizer_model: RewriterOption = None,
    keep: Annotated[list[str] | None, typer.Option(help="Text that every rewrite must keep; may be repeated.")] = None,
    max_words: Annotated[int | None, typer.Option(min=1, help="The most words a rewrite may have.")] = None,
    auto: Annotated[str | None, typer.Option(help="Effort: light, medium or heavy.")] = None,
    candidates: Annotated[int | None, typer.Option(min=1, help="Rewrites to try; by default 6.")] = None,
    max_metric_calls: Annotated[int | None, typer.Option(min=1, help="Take at most this many measurements.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Start nothing new after this many seconds.")] = None,
    seed: Annotated[int, typer.Option(help="Seed for sampling and for which rows are held out.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the report and every measurement; name it again to resume.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help=STORE_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Use examples to find a better wording for a prompt. Prints the prompt to use: a rewrite, or yours unchanged.

    A rewrite is used only if its lead on the examples is too large to be luck. Stderr shows the models, what was tried,
    and the gain on held-out examples. Run the same command with the same --out to resume.
    """
    models = named_models(model, server, name)
    request = OptimizationRequest(read_prompt(prompt), keep=tuple(keep or ()), max_words=max_words)
    if store is not None and (known := RewriteStore(store, only_approved=True).recall(request)) is not None:
        show_result(known, as_json=as_json)
        tell_state(RewriteStore(store), request)
        return
    rows, aside = read_rows(examples), None if held_out is None else read_rows(held_out)
    settings = SearchSettings(
        auto=cast("Effort | None", auto),
        candidates=candidates,
        max_metric_calls=max_metric_calls,
        max_seconds=max_seconds,
        seed=seed,
        log_dir=out,
    )
    try:
        result = _search(
            request, rows, aside, settings, metric=named_metric(metric), models=models, own=optimizer_model
        )
    except KeyboardInterrupt as error:
        kept = "run the same command again to resume" if out else "nothing was kept: with --out it could be resumed"
        note(f"stopped; {kept}")
        raise typer.Exit(130) from error
    _show(result, out, as_json=as_json)
    if store is not None:
        _keep(request, result, RewriteStore(store))


def _keep(request: OptimizationRequest, result: SearchResult, store: RewriteStore) -> None:
    """Add a search's result to a store, with its measurements."""
    from fipo_model.search.words import sentences

    (text,) = result.texts
    # A search has outcomes of its own, such as a budget that ran out: then nothing was preferred.
    outcome: Outcome = next((each for each in OUTCOMES if each == text.outcome), "not_preferred")
    told = Candidate(text=text.text, outcome=outcome, detail=text.detail)
    found = OptimizedPrompt(
        text=text.text, request=request, outcome=outcome, candidates=(told,), model=result.model or "", template=""
    )
    store.keep([found], evidence=" ".join(sentences(result)))
    tell_state(store, request)


def _search(
    request: OptimizationRequest,
    rows: list[Example],
    aside: list[Example] | None,
    settings: SearchSettings,
    *,
    metric: str | Callable[..., Any] | None,
    models: list[str],
    own: str | None,
) -> SearchResult:
    from fipo_model.rewriter import Rewriter
    from fipo_model.search.tuning import Yardstick, search_prompt

    yardstick = Yardstick.opened(metric, models)  # first, because a name may be wrong
    # Where something else chooses, the weights that propose many rewrites are the right ones.
    rewriter = Rewriter.from_pretrained(own, role="proposing", seed=settings.seed)
    return search_prompt(rewriter, request, examples=rows, yardstick=yardstick, settings=settings, held_out=aside)


def named_models(model: list[str] | None, server: str | None, name: str | None) -> list[str]:
    """What --model, --server and --name stand for."""
    address = address_of(server, name)
    return [*(model or ()), *([] if address is None else [f"{address}#{name}"])]


def named_metric(metric: str | None) -> str | Callable[..., Any] | None:
    """What --metric names. Raises `InputError`."""
    if metric is None or metric in BUILT_IN:
        return metric
    if ":" not in metric:
        raise InputError(f"there is no metric {metric!r}; choose from {', '.join(BUILT_IN)}, or name a module:function")
    from fipo_model.objects import load_object

    function = load_object(metric, "a metric")
    if not callable(function):
        raise InputError(f"{metric} is not a function (reference, output, input) -> number")
    return cast("Callable[..., Any]", function)


def _show(result: SearchResult, out: Path | None, *, as_json: bool) -> None:
    from fipo_model.search.words import say_outcome, sentences

    (text,) = result.texts
    note(f"outcome: {say_outcome(text.outcome)}" + (f" ({text.detail})" if text.detail else ""))
    for sentence in sentences(result):
        note(sentence)
    if out is not None:
        note(f"report: {out / PAGE}")
    say(json.dumps(result.to_fields(), ensure_ascii=False) if as_json else result.text)
