"""What a search did, in sentences: for a page, and for the command line."""

from collections.abc import Iterator, Mapping

from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.numbers import NOT_MEASURED, Interval, counted, is_measured, level, say_interval, signed
from fipo_model.search.budget import say_limit, say_remedy
from fipo_model.search.headroom import Headroom, Verdict
from fipo_model.search.proposals import Origin
from fipo_model.search.results import Compared, Level, SearchResult
from fipo_model.search.scoring import PromptScores
from fipo_model.search.shortening import shortened
from fipo_model.search.wordings import Kind

_LONGEST_SHOWN = 80
_OUTCOMES = {
    "not_preferred": "left alone: no rewrite was shown to be better",
    "out_of_budget": "left alone: the budget ran out first",
    "repeated": "not tried: it asks for the same as another",
    "unusable": "left alone: it could not be rewritten",
}
_ORIGINS: Mapping[Origin, str] = {
    "rewriter": "the rewriter",
    "labels": "a rule that adds the labels",
    "form": "a rule that states the form of the right outputs",
}


def sentences(result: SearchResult) -> Iterator[str]:
    """What a search did, in words."""
    rewritten = sum(one.is_rewritten for one in result.texts)
    were = "text was" if len(result.texts) == 1 else "texts were"
    yield f"{rewritten} of {len(result.texts)} {were} rewritten. Scores are {result.measured_by}."
    if result.is_rewritten:
        yield say_compared("examples that decided", result.chosen_on)
        if result.held_out is not None:
            yield say_compared("held-out examples", result.held_out)
            if (gain := result.held_out.gain) is not None and is_measured(gain) and gain.low <= 0 <= gain.high:
                yield "That interval includes 0, so on new examples the gain could be luck."
    again = f", and {counted(result.tried_again, 'retry', 'retries')} of failed runs" if result.tried_again else ""
    resumed = f", {result.metric_calls_resumed} of them in an earlier run" if result.metric_calls_resumed else ""
    yield f"{_say_tried(result)} It took {counted(result.metric_calls, 'measurement')}{resumed}{again}."
    if result.first_failure is not None:
        yield f"The first failure: {result.first_failure}"
    if result.stopped_by is not None:
        yield _sentence(f"{say_limit(result.stopped_by)} ended the search before everything was compared")
    yield from map(_sentence, result.notes)
    yield from _say_authors(result)


def _say_tried(result: SearchResult) -> str:
    """How many other texts were run, whoever wrote them."""
    tried = {one.arm for one in result.trials if one.changed}
    return f"{counted(len(tried), 'rewrite')} {'was' if len(tried) == 1 else 'were'} tried."


def _say_authors(result: SearchResult) -> Iterator[str]:
    """Who wrote what was tried, and what the rewriter had to add."""
    rows = [one for text in result.texts for one in text.candidates]
    if any(one.is_usable and one.origin == "rewriter" for one in rows):
        yield f"The rewriter is {result.model}."
    elif result.model is not None:
        refused = sum(one.origin == "rewriter" and one.outcome not in ("unchanged", "repeated") for one in rows)
        why = f"none of its proposals passed the checks ({refused})" if refused else "it had nothing to add"
        yield f"The rewriter is {result.model}; {why}."
    by_rule = {one.text: one.origin for one in rows if one.origin != "rewriter"}
    for origin in dict.fromkeys(by_rule[text.text] for text in result.texts if text.text in by_rule):
        yield f"The text to use was made by rule: yours, followed by the {origin} of the right outputs."


def say_compared(where: str, found: Compared) -> str:
    """Scores before and after on some examples (`where` in the plural), with the gain."""
    gain = "" if found.gain is None else f", {_say_gain(found.gain)}"
    scores = f"from {found.before.score:.3g} to {found.after.score:.3g}"
    return f"On the {counted(found.after.examples, where.replace('examples', 'example'), where)}: {scores}{gain}."


def _say_gain(gain: Interval) -> str:
    if not is_measured(gain):
        return f"a gain that was {NOT_MEASURED}"
    bounds = f"{level(gain)} interval {signed(gain.low)} to {signed(gain.high)}"
    return f"a gain of {signed(gain.value)} ({bounds})"


def say_origin(origin: Origin) -> str:
    """Who wrote a proposal."""
    return _ORIGINS[origin]


def say_outcome(outcome: str) -> str:
    """An outcome in words for a reader."""
    return _OUTCOMES.get(outcome) or outcome_in_words(outcome)


_KINDS: Mapping[Kind, str] = {
    "yours": "your prompt",
    "empty": "the input alone",
    "fullest": "your prompt with solved examples",
    "form": "your prompt in another form",
    "rewrite": "a rewrite",
}
_ADVICE: Mapping[Verdict, str] = {
    "worth it": "A better wording can gain a lot here: a search is worth the time.",
    "unclear": "These examples cannot tell how much a better wording would gain. Try more examples.",
    "not worth it": "A better wording would gain little here: a search would most likely keep your prompt.",
}


def headroom_sentences(found: Headroom) -> Iterator[str]:
    """In words, how far apart wordings are."""
    yield f"Measured on {found.examples} examples in {found.seconds:.0f} s. Scores are {found.measured_by}."
    for one in found.wordings:
        gain = "" if one.gain is None or one.kind == "yours" else f", gain {say_interval(one.gain, signed)} over yours"
        yield f"{_KINDS[one.kind]}: score {one.score:.3g}{gain}: {shortened(one.text, most=_LONGEST_SHOWN)}"
    figures = {
        "What your prompt has gained over the input alone": found.done,
        "What solved examples would still gain": found.left,
        "What the best rewrite gains": found.gain,
        "The best wording over the worst that says the same": found.spread,
    }
    for what, figure in figures.items():
        if figure is not None:
            yield f"{what}: {say_interval(figure, signed)}."
    if found.stopped_by is not None:
        yield _sentence(f"{say_limit(found.stopped_by)} ended this before every wording was measured")
    if found.verdict == "unclear" and found.stopped_by is not None:
        too_little = "Too little was measured to tell how much a better wording would gain."
        yield f"{too_little} {say_remedy(found.stopped_by)}"
    else:
        yield "Your prompt gets every example right." if found.is_perfect else _ADVICE[found.verdict]


def score_lines(found: PromptScores) -> Iterator[str]:
    """What prompts got on the same rows: a line for each."""
    for number, one in enumerate(found.prompts):
        gain = "" if number == 0 else f", gain {say_interval(one.gain, signed)} over the first"
        yield f"score {one.level.score:.3g}{gain}{_say_lost(one.level)}: {shortened(one.text, most=_LONGEST_SHOWN)}"


def score_remarks(found: PromptScores) -> Iterator[str]:
    """What the scores of prompts are, and what else there is to know."""
    yield f"Measured on {counted(found.rows, 'row')}. Scores are {found.measured_by}."
    gains = [one.gain for one in found.prompts if one.gain is not None]
    if gains:
        ranges = f"The ranges in parentheses are {level(gains[0])} intervals."
        yield f"{ranges} A gain whose interval includes 0 could be luck."
    if found.first_failure is not None:
        yield f"The first failure: {found.first_failure}"
    yield from map(_sentence, found.notes)


def _say_lost(found: Level) -> str:
    lost = {"failed and count as 0": found.failed, "could not be measured": found.missing}
    return "".join(f" ({counted(count, 'row')} {what})" for what, count in lost.items() if count)


def _sentence(said: str) -> str:
    """A remark with a capital and a full stop; a setting's name stays as one writes it."""
    return f"{said}." if "_" in said.partition(" ")[0] else f"{said[:1].upper()}{said[1:]}."
