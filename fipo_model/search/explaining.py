"""Why no rewrite was used, in plain words, and what the user can do about it. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence

from fipo_model.forms import are_labels
from fipo_model.search.evidence import beats, leads, mean, worst_chance
from fipo_model.search.examples import Example
from fipo_model.search.halving import REWRITE, Rules
from fipo_model.search.metrics import Metric, contains, plain
from fipo_model.search.proposals import Proposed
from fipo_model.search.scoreboard import Scoreboard
from fipo_model.search.shortening import shortened
from fipo_model.search.subject import Failed, Measured

_LONGEST_SHOWN = 120
# This share of answers that are alike, of at least so many.
_ALIKE, _FEWEST_ALIKE = 0.9, 6


def explained(
    board: Scoreboard, best: str, arms: Sequence[str], examples: Sequence[int], *, rules: Rules
) -> str | None:
    """Why none of some arms replaced the best so far; None where they were simply no better."""
    if (said := all_right(board, best, examples)) is not None:
        return said
    what, significance = rules.candidate, rules.significance
    if (said := next(filter(None, (_left_out(board, arm, best, examples, what) for arm in arms)), None)) is not None:
        return said
    complete = {arm: board.pairs(arm, best, examples) for arm in arms if board.has(arm, examples)}
    ahead = [arm for arm, pairs in complete.items() if leads(pairs)]
    first = examples[: rules.must_lead_on]
    if convincing := [complete[arm] for arm in ahead if leads(board.pairs(arm, best, first))]:
        luck = _luck(min(map(worst_chance, convincing)), rules)
        return f"a {what} leads on the {len(examples)} examples, but the lead could be luck: {luck}"
    if ahead:
        return f"a {what} leads on {len(examples)} examples, but not on the {len(first)} that are no training examples"
    if any(leads(board.pairs(arm, best, first)) for arm in arms if board.has(arm, first)):
        return f"a {what} leads on {len(first)} examples, but not if training examples count, too"
    perfect = board.best_pairs("", best, examples)
    if perfect is not None and not beats(perfect, significance=significance):
        luck = _luck(worst_chance(perfect), rules)
        return f"on {len(examples)} examples, even getting everything right could be luck: {luck}"
    if (score := board.only_score) is not None:
        said = f"every run scored {score:g}, with the present text and with every {what}, so none could lead"
        return f"{said}; try a metric that distinguishes more answers, another model, or other examples"
    return _unmoved(board, best, arms, examples, what)


def all_right(board: Scoreboard, arm: str, examples: Sequence[int]) -> str | None:
    """Why nothing can lead where an arm has the highest score there is on every example; None where one can.

    A lead counts only if it is one under every model, so a single model without a mistake is enough.
    """
    pairs = board.best_pairs("", arm, examples)
    perfect = [pair for pair in pairs or () if pair[0] and mean(pair[0]) <= mean(pair[1])]
    if not perfect:
        return None
    count, models = len(perfect[0][0]), board.judges
    right = f"all {count} examples" if count == len(examples) else f"all {count} examples that were measured"
    if len(perfect) == models:
        return f"{right} are right already, so there is nothing to gain"
    who = f"{_some(len(perfect), models)} {'is' if len(perfect) == 1 else 'are'}"
    return f"{who} already right about {right}, so no rewrite could lead under every model"


def _left_out(board: Scoreboard, arm: str, best: str, examples: Sequence[int], what: str) -> str | None:
    """What to say of an arm that leads only where it could be measured; None of another."""
    tried = [one for one in examples if board.has(arm, [one]) and not board.missing(best, [one])]
    ran = [one for one in tried if not board.missing(arm, [one])]
    if not leads(board.pairs(arm, best, ran)) or leads(board.pairs(arm, best, tried)):
        return None
    causes = (one.cause for one in board.measurements(arm, tried) if isinstance(one, Failed) and one.is_passing)
    said = f"a {what} leads on the {len(ran)} examples on which it could be measured, but would not if it were wrong on"
    cause = shortened(next(causes), most=_LONGEST_SHOWN)
    return f"{said} the {len(tried) - len(ran)} others, where every attempt failed: {cause}"


def _unmoved(board: Scoreboard, best: str, arms: Sequence[str], examples: Sequence[int], what: str) -> str | None:
    """What to say where arms were measured, and no example's score differs from that of the best so far."""
    tried = {arm: [one for one in examples if board.has(arm, [one])] for arm in arms}
    pairs = [pair for arm, own in tried.items() if own for pair in board.pairs(arm, best, own)]
    if not pairs or any(list(ours) != list(theirs) for ours, theirs in pairs):
        return None
    more = "more rewrites (candidates), another model to rewrite, or " if what == REWRITE else ""
    return f"no {what} changed the score of any example it was tried on; try {more}harder examples"


def count_refusals(rows: Sequence[Proposed]) -> str:
    """What to say where no proposal could be tried: the only one's detail, or how many there were of each outcome."""
    if len(rows) == 1:
        return rows[0].detail
    counted = ", ".join(f"{count} {outcome}" for outcome, count in Counter(row.outcome for row in rows).most_common())
    return f"none of {len(rows)} rewrites passed the checks, so none was compared: {counted}"


def _luck(probability: float, rules: Rules) -> str:
    """How easily a lead comes about by chance."""
    return (
        f"a {rules.candidate} that changes nothing would take such a lead in {probability:.0%} of comparisons, and at "
        f"most {rules.significance:.0%} is accepted (significance={rules.significance:g}). More examples would tell."
    )


def notes_on_answers(board: Scoreboard, arm: str, examples: Sequence[Example], metric: Metric) -> list[str]:
    """What is to be said of the answers an arm gets: none is right, all are the same, or what such ones would score."""
    rights = rights_of(examples)
    said = never_right(board, arm, examples, metric) or _always_the_same(board, arm, rights)
    if said is not None:
        return [said]
    same = best_single_answer(rights) if metric.is_exact else None
    return [] if same is None else [f"{same} on the examples that decided"]


def best_single_answer(rights: Sequence[str | None]) -> str | None:
    """What one answer for everything would score by `exact`, where right outputs are labels."""
    known = [right for right in rights if right is not None]
    if len(known) < len(rights) or not are_labels(known):
        return None
    ((answer, count),) = Counter(known).most_common(1)
    return f"for comparison: {answer!r} as the answer to everything would score {count / len(known):.3g}"


def rights_of(examples: Sequence[Example]) -> list[str | None]:
    """The first right output of each example as text."""
    return [next(iter(one.rights), None) for one in examples]


def one_answer(board: Scoreboard, arm: str, rights: Sequence[str | None], *, rules: Rules) -> str | None:
    """Why a lead of an arm says nothing: it gives (almost) all inputs one answer, although different ones are right."""
    said = _alike(board, arm, rights)
    return None if said is None else f"a {rules.candidate} leads, but with it {said}"


def never_right(board: Scoreboard, arm: str, examples: Sequence[Example], metric: Metric) -> str | None:
    """What to say, and what to try, where an arm got nothing but 0 from one of the models; otherwise None.

    Where none of them ever got more, an answer is shown beside the right one: one that contains it, if there is any,
    because then the metric needs changing. Where they disagree none is: it would be the last model's.
    """
    answered = _answered(board, arm, len(examples))
    silent = sum(not any(scores[judge] for _, _, scores in answered) for judge in range(board.judges))
    if not answered or not silent:
        return None
    said = _say_zeros(silent, board.judges, metric)
    if board.only_score != 0:
        said = f"with the text to use, {said}"
    elif not metric.needs_reference:
        said += ", so no wording could lead"
    if silent == board.judges:
        answers = [(examples[number], answer) for number, answer, _ in answered]
        rights = {right for example in examples for right in example.rights}
        within = [(example, answer) for example, answer in answers if _names_alone(example, answer, rights)]
        said += _say_answer(*(within or answers)[0], who="the model" if board.judges == 1 else "one of them")
        if within:
            return f"{said}, which the answer contains. The metric contains would count it"
    if (highest := max(trial.mean for trial in board.trials)) > 0:
        return (
            f"{said}. Rewrites scored up to {highest:.3g} on some of the examples; more time or more examples may tell"
        )
    return f"{said}. Try another metric or another model, or check the examples"


def _say_zeros(silent: int, models: int, metric: Metric) -> str:
    """That so many of the models got nothing but 0. Of a metric of one's own nobody knows whether that is wrong."""
    scored = f"scored 0 by the metric {metric.name}"
    if not metric.needs_reference:
        return f"every answer {scored}" if silent == models else f"every answer of {_some(silent, models)} {scored}"
    never = f"{_some(silent, models)} never" if silent < models else f"none of the {models} models ever"
    return f"{'the model never' if models == 1 else never} gave a right answer: every one {scored}"


def _say_answer(example: Example, answer: str, *, who: str) -> str:
    """An answer beside the right one, if there is one."""
    said = f". To the input {_shown(example.shown.input)!r} {who} answered {_shown(answer)!r}"
    return f"{said}; the right output is {_shown(example.rights[0])!r}" if example.rights else said


def one_of(models: int) -> str:
    """Whose an answer is: of several models only the last one's are known."""
    return "the model" if models == 1 else _some(1, models)


def _some(count: int, models: int) -> str:
    return f"{'one' if count == 1 else count} of the {models} models"


def _always_the_same(board: Scoreboard, arm: str, rights: Sequence[str | None]) -> str | None:
    """The same of the text to use, which may be the original."""
    said = _alike(board, arm, rights)
    return None if said is None else f"with the text to use, {said}"


def _alike(board: Scoreboard, arm: str, rights: Sequence[str | None]) -> str | None:
    answered = _answered(board, arm, len(rights))
    said, scores = [each[1] for each in answered], [mean(each[2]) for each in answered]
    same = same_answer(said, [rights[each[0]] for each in answered], scores)
    if same is None:
        return None
    alike = f"{one_of(board.judges)} answers {_shown(same[0])!r} to {same[1]} of {len(answered)} inputs"
    score = "the score" if board.judges == 1 else "its score"
    return f"{alike}, so it hardly tells them apart: {score} is about what one answer for everything gets"


def same_answer(
    answers: Sequence[str], rights: Sequence[str | None], scores: Sequence[float]
) -> tuple[str, int] | None:
    """The answer that (almost) all inputs get, and how many; None where there is none, or only one is right.

    Nor is there one where most inputs for which it has not the highest score get another: then it is right so often.
    """
    if len(answers) < _FEWEST_ALIKE or len({*rights} - {None}) < 2:
        return None
    ((same, count),) = Counter(map(plain, answers)).most_common(1)
    if count < _ALIKE * len(answers):
        return None
    elsewhere = [plain(said) != same for said in answers]
    in_need = sum(is_other or score < max(scores) for is_other, score in zip(elsewhere, scores, strict=True))
    if sum(elsewhere) > in_need / 2:
        return None
    return next(" ".join(said.split()) for said in answers if plain(said) == same), count


def _answered(board: Scoreboard, arm: str, count: int) -> list[tuple[int, str, Sequence[float]]]:
    """By the numbers of the examples, what the (last) model answered, and the score that each of them got."""
    numbers = [number for number in range(count) if board.has(arm, [number])]
    found = zip(numbers, board.measurements(arm, numbers), strict=True)
    return [
        (number, one.response, one.scores)
        for number, one in found
        if isinstance(one, Measured) and one.response is not None
    ]


def _names_alone(example: Example, answer: str, rights: Collection[str]) -> bool:
    """Whether an answer has its right output in it, and none that is right elsewhere, as an echo of all labels does."""
    others = [right for right in rights if not any(right in own for own in example.rights)]
    is_within = any(contains(own, answer, example.input) for own in example.rights)
    return is_within and not any(contains(right, answer, example.input) for right in others)


def _shown(text: str) -> str:
    return shortened(text, most=_LONGEST_SHOWN)
