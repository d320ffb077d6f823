"""What a search did, in sentences: for a page, and for the command line."""

from collections.abc import Iterator

from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.numbers import level, say_interval, signed
from fipo_model.search.results import Compared, SearchResult

_OUTCOMES = {
    "not_preferred": "left alone: no rewrite was shown to be better",
    "out_of_budget": "left alone: the budget did not reach it",
    "repeated": "not tried: it asks what another one does",
    "unusable": "left alone: it could not be rewritten",
}


def sentences(result: SearchResult) -> Iterator[str]:
    """What a search did, in words."""
    rewritten = sum(one.is_rewritten for one in result.texts)
    were = "text was" if len(result.texts) == 1 else "texts were"
    yield f"{rewritten} of {len(result.texts)} {were} rewritten. Scores are {result.measured_by}."
    if result.is_rewritten:
        yield _say_compared("the examples that decided", result.chosen_on)
        if result.held_out is None:
            yield "Nothing was measured on examples that decided nothing: on others, expect less."
        else:
            yield _say_compared("examples that decided nothing", result.held_out)
    again = f", and {result.tried_again} runs again because they had failed" if result.tried_again else ""
    resumed = f", {result.metric_calls_resumed} of them in an earlier start" if result.metric_calls_resumed else ""
    yield f"It took {result.metric_calls} measurements{resumed}{again}."
    if result.first_failure is not None:
        yield f"The first failure: {result.first_failure}"
    if result.stopped_by is not None:
        yield f"{result.stopped_by} ended the search before everything was compared."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in result.notes)
    if result.model is not None:
        yield f"The rewrites are by {result.model}."


def _say_compared(where: str, found: Compared) -> str:
    gain = "" if found.gain is None else f": {say_interval(found.gain, signed)}, a {level(found.gain)} interval"
    return f"On {where} ({found.after.examples}) from {found.before.score:.3g} to {found.after.score:.3g}{gain}."


def say_outcome(outcome: str) -> str:
    """What a reader is told about an outcome."""
    return _OUTCOMES.get(outcome) or outcome_in_words(outcome)
