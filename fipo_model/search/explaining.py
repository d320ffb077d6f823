"""Why no rewrite was used, in plain words, and what the user can do about it. Pure."""

from collections import Counter
from collections.abc import Sequence

from fipo_model.search.evidence import beats, lead, worst_chance
from fipo_model.search.examples import Example
from fipo_model.search.metrics import Metric, contains, text_of
from fipo_model.search.proposing import Proposed
from fipo_model.search.scoreboard import Scoreboard
from fipo_model.search.subject import Measured

_LONGEST_SHOWN = 120


def explained(
    board: Scoreboard, best: str, arms: Sequence[str], examples: Sequence[int], *, significance: float
) -> str | None:
    """Why none of some arms replaced the best so far; None where they were simply no better."""
    complete = [board.pairs(arm, best, examples) for arm in arms if board.has(arm, examples)]
    ahead = [pairs for pairs in complete if beats(pairs, significance=1)]
    if ahead:
        luck = _luck(min(map(worst_chance, ahead)), significance)
        return f"a rewrite leads on the {len(examples)} examples, but the lead could be luck: {luck}"
    perfect = board.best_pairs("", best, examples)
    if perfect is not None and lead(perfect) <= 0:
        return f"every one of the {len(examples)} examples is right already: there is nothing to gain"
    if perfect is not None and not beats(perfect, significance=significance):
        luck = _luck(worst_chance(perfect), significance)
        return f"on {len(examples)} examples even being right about everything could be luck: {luck}"
    if (score := board.only_score) is not None:
        said = f"every run scored {score:g}, with what is there and with every rewrite, so none could lead"
        return f"{said}; try a metric that tells more answers apart, another model, or other examples"
    return _unmoved(board, best, arms, examples)


def _unmoved(board: Scoreboard, best: str, arms: Sequence[str], examples: Sequence[int]) -> str | None:
    """What to say where arms were measured, and no example's score differs from that of the best so far."""
    tried = {arm: [one for one in examples if board.has(arm, [one])] for arm in arms}
    pairs = [pair for arm, own in tried.items() if own for pair in board.pairs(arm, best, own)]
    if not pairs or any(list(ours) != list(theirs) for ours, theirs in pairs):
        return None
    said = "no rewrite changed the score of any example it was tried on"
    return f"{said}; try more rewrites (candidates), another model to rewrite, or harder examples"


def count_refusals(rows: Sequence[Proposed]) -> str:
    """What to say where no proposal could be tried: the only one's detail, or how many there were of each outcome."""
    if len(rows) == 1:
        return rows[0].detail
    counted = ", ".join(f"{count} {outcome}" for outcome, count in Counter(row.outcome for row in rows).most_common())
    return f"none of {len(rows)} rewrites passed the checks, so none was compared: {counted}"


def _luck(probability: float, significance: float) -> str:
    """How easily a lead comes about by chance."""
    return (
        f"words that change nothing get such a lead in {probability:.0%} of comparisons, and at most "
        f"{significance:.0%} is accepted (significance={significance:g}). More examples tell."
    )


def never_right(board: Scoreboard, arm: str, examples: Sequence[Example], metric: Metric) -> str | None:
    """For a search in which every run scored 0, an answer and the right one side by side; otherwise None.

    If an answer contains the right output, that one is shown: then the metric needs changing.
    """
    if board.only_score != 0:
        return None
    numbers = [number for number in range(len(examples)) if board.has(arm, [number])]
    answered = [
        (examples[number], one.response)
        for number, one in zip(numbers, board.measurements(arm, numbers), strict=True)
        if isinstance(one, Measured) and one.response is not None
    ]
    within = [(example, said) for example, said in answered if _is_within(example, said)]
    said = f"every answer scored 0 by the metric {metric.name}, so no wording could lead"
    if metric.needs_reference:
        said = f"the model never gave a right answer: every one scored 0 by the metric {metric.name}"
    for example, answer in (within or answered)[:1]:
        said += f". To the input {_shortened(example.shown.input)!r} the model answered {_shortened(answer)!r}"
        if example.outputs:
            said += f", and right is {_shortened(text_of(example.outputs[0]))!r}"
    if within:
        return f"{said}, which is in it: the metric contains would count that"
    return f"{said}. Try another metric, another model, or check the examples"


def _is_within(example: Example, answer: str) -> bool:
    return any(contains(output, answer, example.input) for output in example.outputs)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
