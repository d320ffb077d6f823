"""Prepares a comparison: everything is checked first, and only then is its model loaded."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import Runnable

from fipo_integrations.langchain import GeneratorChatModel
from fipo_model.comparing.chains.job import Comparison, Settings
from fipo_model.comparing.chains.loading import add_model, load_chain, needs_model
from fipo_model.comparing.chains.metrics import Metric, find_metric
from fipo_model.comparing.chains.rows import Row, read_rows
from fipo_model.comparing.opening import open_answerer
from fipo_model.errors import InputError
from fipo_model.objects import load_object


@contextmanager
def opened_comparison(
    settings: Settings, *, max_tokens: int, say: Callable[[str], None]
) -> Iterator[tuple[Comparison, Runnable[Any, Any]]]:
    """Read the rows, find metric and chain, claim the output, and give a chain that is only a prompt its model.

    `max_tokens` limits an answer where the settings do not. Raises `InputError`.
    """
    metric = find_metric(settings.metric)
    rows, bad = read_rows(Path(settings.data), metric.unfit, settings.limit)
    examples, bad_examples = _read_examples(settings, metric)
    comparison = Comparison(settings=settings, rows=rows, bad_rows=bad, metric=metric, examples=examples)
    chain = load_chain(settings.chain)
    for reason in (*bad, *bad_examples):
        say(f"left out, {reason}")
    if not needs_model(chain):
        _refuse_answerer(settings)
    with comparison.claimed():
        if needs_model(chain):
            chain = add_model(chain, _open_model(settings, max_tokens))
        yield comparison, chain


def _read_examples(settings: Settings, metric: Metric) -> tuple[Sequence[Row], list[str]]:
    """What the twin's prompts are chosen on, and why lines of that file cannot be used."""
    if settings.examples is None:
        return (), []
    rows, bad = read_rows(Path(settings.examples), metric.unfit, None)
    return rows, [f"{settings.examples}, {reason}" for reason in bad]


def _refuse_answerer(settings: Settings) -> None:
    if settings.answerer is not None or settings.max_tokens is not None:
        raise InputError(
            f"{settings.chain} has a model of its own; --model, --server, --chat-model and --max-tokens are for a "
            "chain that is only a prompt"
        )


def _open_model(settings: Settings, max_tokens: int) -> Any:
    """Open what the settings name: a LangChain model, or a generator as one."""
    options = settings.answerer or {}
    if "chat_model" in options:
        if settings.max_tokens is not None:
            raise InputError("--chat-model brings its own settings; leave --max-tokens out")
        return load_object(options["chat_model"], "a chat model")
    generator = open_answerer(model=options.get("model"), server=options.get("server"), name=options.get("name"))
    return GeneratorChatModel(generator=generator, max_tokens=settings.max_tokens or max_tokens, seed=settings.seed)
