"""Successive halving on a budget: what it may spend, what it may return, and that it finds what is better."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test

from fipo_model.search import Budget, Failed
from fipo_model.search.evidence import Score, beats, chance, lead, mean, paired_interval
from fipo_model.search.halving import Rules, Rung, cost, evenly, schedule, select
from support.subjects import Table, board_of

# Bootstraps take a while on a busy machine.
slow = settings(deadline=None, max_examples=40)

SCORES = st.sampled_from([None, -1.0, 0.0, 0.25, 1.0])
ZEROS_AND_ONES: dict[str, list[Score]] = {"0": [0.0] * 20, **{str(arm): [1.0] * 20 for arm in range(1, 6)}}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Score]]:
    """What the incumbent "0" and a few challengers get on a few examples."""
    examples = draw(st.integers(1, 24))
    arms = draw(st.integers(1, 9))
    row = st.lists(SCORES, min_size=examples, max_size=examples)
    return {str(arm): draw(row) for arm in range(arms)}


def choose(
    table: dict[str, list[Score]],
    *,
    minibatch: int = 4,
    max_calls: int | None = None,
    significance: float = 1.0,
    best: float | None = None,
) -> tuple[str, Table]:
    asked = Table(table, best=best)
    board = board_of(asked, Budget(max_calls=max_calls))
    incumbent, *challengers = [board.add({"text": arm}) for arm in table]
    order = random.Random(0).sample(range(len(asked)), len(asked))
    rules = Rules(minibatch=minibatch, significance=significance)
    chosen, *_ = select(board, incumbent, challengers, order=order, rules=rules)
    return board.texts(chosen)["text"], asked


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 60), st.integers(1, 20), st.integers(0, 200) | st.just(math.inf))
def test_a_schedule_costs_no_more_than_it_may_and_ends_on_all_examples(arms, examples, minibatch, calls):
    rungs = schedule(arms, examples=examples, minibatch=minibatch, calls=calls)
    assert cost(rungs) <= calls
    assert bool(rungs) == (calls >= examples)
    if rungs:
        assert rungs[-1].examples == examples
        assert rungs[0].arms <= arms
        assert [r.arms for r in rungs] == sorted((r.arms for r in rungs), reverse=True)
        assert all(a.examples < b.examples for a, b in itertools.pairwise(rungs))
        # What an estimate says for all candidates holds for fewer, and within any budget.
        assert cost(rungs) <= cost(schedule(12, examples=examples, minibatch=minibatch))


def test_the_arms_are_halved_while_the_batches_double():
    assert schedule(8, examples=50, minibatch=8) == (Rung(8, 8), Rung(4, 16), Rung(2, 32), Rung(2, 50))
    assert cost(schedule(8, examples=50, minibatch=8)) == 8 * 8 + 4 * 8 + 2 * 34
    # With less to spend there is one finalist, then there are fewer arms.
    assert schedule(8, examples=50, minibatch=8, calls=150) == (Rung(8, 8), Rung(4, 16), Rung(2, 32), Rung(1, 50))
    assert schedule(8, examples=50, minibatch=8, calls=60) == (Rung(2, 8), Rung(1, 16), Rung(1, 32), Rung(1, 50))
    assert schedule(4, examples=6, minibatch=8) == (Rung(4, 6),)


@slow
@given(tables(), st.integers(1, 8), st.integers(0, 120))
def test_no_score_is_asked_for_twice_and_none_beyond_the_budget(table, minibatch, extra):
    budget = len(table["0"]) + extra
    _, asked = choose(table, minibatch=minibatch, max_calls=budget)
    assert len(asked.pairs) == len(set(asked.pairs)) <= budget


@slow
@given(tables(), st.integers(1, 8), st.none() | st.integers(24, 120))
def test_the_incumbent_only_leaves_for_what_is_better_on_all_examples(table, minibatch, budget):
    chosen, asked = choose(table, minibatch=minibatch, max_calls=budget)
    if chosen != "0":
        assert mean(table[chosen]) > mean(table["0"])
        assert table[chosen].count(None) <= table["0"].count(None)
        assert {example for arm, example in asked.pairs if arm == chosen} == set(range(len(table["0"])))


@slow
@given(tables())
def test_a_tie_keeps_the_incumbent(table):
    assert choose(dict.fromkeys(table, table["0"]))[0] == "0"


@slow
@given(tables(), st.integers(1, 8))
def test_the_same_scores_lead_to_the_same_choice(table, minibatch):
    first, second = (choose(table, minibatch=minibatch) for _ in range(2))
    assert (first[0], first[1].pairs) == (second[0], second[1].pairs)


@slow
@given(st.lists(st.floats(0, 1), min_size=2, max_size=10, unique=True), st.integers(1, 40), st.integers(1, 8))
def test_the_best_arm_is_found_where_there_is_no_noise(levels, examples, minibatch):
    table: dict[str, list[Score]] = {str(arm): [level] * examples for arm, level in enumerate(levels)}
    assert levels[int(choose(table, minibatch=minibatch)[0])] == pytest.approx(max(levels))


def test_it_finds_a_better_arm_under_noise_more_cheaply_than_asking_for_everything():
    found, spent = 0, 0
    for seed in range(10):
        draw = random.Random(seed)
        chances = [0.4, *[0.4] * 6, 0.8, 0.3]
        table: dict[str, list[Score]] = {
            str(arm): [float(draw.random() < chance) for _ in range(80)] for arm, chance in enumerate(chances)
        }
        chosen, asked = choose(table, minibatch=16)
        found += chosen == "7"
        spent += len(asked.pairs)
    assert found >= 8
    assert spent < 0.6 * 10 * 9 * 80


def test_a_hopeless_arm_goes_no_further():
    table: dict[str, list[Score]] = {"0": [1.0] * 40, "1": [0.0] * 40, "2": [0.0] * 40, "3": [1.0] * 39 + [0.0]}
    _, asked = choose(table, minibatch=8)
    assert sum(arm == "1" for arm, _ in asked.pairs) == 8


def test_failing_is_no_way_to_win():
    penalties: dict[str, list[Score]] = {"0": [-1.0] * 10, "1": [None] * 10, "2": [-1.0] * 9 + [-0.5]}
    assert choose(penalties)[0] == "2"
    assert not beats([([None, None], [-1.0, -1.0])], significance=1)
    assert beats([([None, 1.0], [None, 0.0])], significance=1)


@pytest.mark.parametrize(("wins", "losses", "expected"), [(0, 0, 1), (3, 0, 1 / 8), (4, 1, 6 / 32), (1, 1, 3 / 4)])
def test_chance_is_that_of_a_fair_coin_where_scores_are_right_or_wrong(wins, losses, expected):
    ours, theirs = [1.0] * wins + [0.0] * losses + [1.0], [0.0] * wins + [1.0] * losses + [1.0]
    assert chance(ours, theirs) == expected


@slow
@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=9))
def test_chance_is_that_of_scipy(pairs):
    differences = [(one or 0.0) - (other or 0.0) for one, other in pairs]
    expected = permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert chance(*zip(*pairs, strict=True)) == pytest.approx(expected.pvalue)


def test_chance_among_many_differences_is_close_to_the_binomial_one():
    ours, theirs = [1.0] * 30 + [0.0] * 20, [0.0] * 30 + [1.0] * 20
    assert chance(ours, theirs) == pytest.approx(binomtest(30, 50, alternative="greater").pvalue, abs=0.03)
    assert 0 < chance([1.0] * 60, [0.0] * 60) < 0.001


def test_a_lead_that_chance_may_give_keeps_the_incumbent():
    table: dict[str, list[Score]] = {"0": [0.0] * 8, "1": [1.0] * 2 + [0.0] * 6, "2": [1.0] * 3 + [0.0] * 5}
    assert choose(table, significance=0.2)[0] == "2"
    assert choose(table, significance=0.1)[0] == "0"
    # The leader's own losses make it less sure than one that never lost.
    table = {"0": [0.0] * 10 + [1.0] * 3, "1": [1.0] * 7 + [0.0] * 6, "2": [1.0] * 3 + [0.0] * 7 + [1.0] * 3}
    assert choose(table, significance=0.2)[0] == "1"
    assert choose(table, significance=0.15)[0] == "2"


def test_who_is_behind_after_the_first_batch_or_does_not_lead_after_a_later_one_goes_no_further():
    zeros, ones = [0.0] * 16, [1.0] * 16
    assert asked_for({"0": ones, "1": zeros, "2": zeros}) == {"0": 16, "1": 4, "2": 4}
    assert asked_for({"0": ones, "1": ones, "2": ones, "3": ones}) == {"0": 16, "1": 8, "2": 8, "3": 4}
    assert asked_for({"0": zeros, "1": zeros, "2": zeros, "3": ones}) == {"0": 16, "1": 8, "2": 4, "3": 16}


def asked_for(table: dict[str, list[Score]]) -> dict[str, int]:
    pairs = choose(table)[1].pairs
    return {arm: sum(one == arm for one, _ in pairs) for arm in table}


def chosen_within(limit: float, **rules):
    """What is chosen if every call takes a second and so many are allowed, with the board and the time it took."""
    now = [0.0]

    class Slow(Table):
        def measure(self, runs, note):
            now[0] += 1
            return super().measure(runs, note)

    board = board_of(Slow(ZEROS_AND_ONES), Budget(max_seconds=limit, clock=lambda: now[0]))
    start, *others = [board.add({"text": arm}) for arm in ZEROS_AND_ONES]
    found = select(board, start, others, order=range(20), rules=Rules(minibatch=4, significance=0.2, **rules))
    assert now[0] <= limit
    return found, board, start


@pytest.mark.parametrize("limit", range(1, 15))
def test_when_the_time_is_up_nothing_new_begins_and_what_is_unfinished_is_not_chosen(limit):
    (chosen, ended_by, _), board, start = chosen_within(limit)
    assert ended_by == ("max_seconds" if limit < 13 else None)
    assert chosen == start or board.has(chosen, range(20))
    # The incumbent, five arms on a batch, three on the next, then twice the finalists one after the other.
    assert board.texts(chosen)["text"] == ("0" if limit < 12 else "1")


@pytest.mark.parametrize("limit", range(1, 15))
def test_when_the_time_is_up_the_last_whole_batch_may_decide(limit):
    (chosen, ended_by, examples), board, _ = chosen_within(limit, may_end_early=True)
    assert ended_by == ("max_seconds" if limit < 13 else None)
    # All five challengers are measured on the first batch after six calls, three of them on the next one after nine.
    is_decided = limit >= 6
    assert board.texts(chosen)["text"] == ("1" if is_decided else "0")
    assert len(examples) == (20 if limit < 6 or limit > 12 else 4 if limit < 9 else 8 if limit < 11 else 16)
    assert board.has(chosen, examples)


@pytest.mark.parametrize(
    ("runs_at_once", "groups"),
    [(1, [1] * 13), (4, [1] * 13), (8, [1, 2, 2, 1, 2, 1, 1, 1, 2]), (24, [1, 5, 3, 2, 2]), (1000, [1, 5, 3, 2, 2])],
)
def test_as_many_arms_are_asked_for_together_as_may_run_at_once(runs_at_once, groups):
    asked = Table(ZEROS_AND_ONES)
    board = board_of(asked, runs_at_once=runs_at_once)
    start, *others = [board.add({"text": arm}) for arm in ZEROS_AND_ONES]
    chosen = select(board, start, others, order=range(20), rules=Rules(minibatch=4, significance=0.2))
    assert chosen == (others[0], None, range(20))
    assert asked.groups == groups
    assert len(asked.pairs) == len(set(asked.pairs)) == board.budget.calls == 20 + 5 * 4 + 3 * 4 + 2 * 12


def test_calls_made_elsewhere_count():
    board = board_of(Table({"0": [1.0] * 10}), Budget(max_calls=10))
    arm = board.add({"text": "0"})
    board.budget.charge(3)
    assert board.budget.calls_left == 7
    assert board.measure([arm], range(10)) == "max_metric_calls"
    assert board.measure([arm], range(7)) is None
    assert (board.budget.calls, board.budget.calls_left) == (10, 0)


def test_money_is_a_bound_as_calls_are():
    board = board_of(Table({"0": [1.0] * 10}), Budget(max_cost=0.7, price=0.1))
    arm = board.add({"text": "0"})
    assert board.measure([arm], range(8)) == "max_cost"
    assert board.measure([arm], range(7)) is None
    assert board.budget.calls_left == 0
    assert board.budget.cost == pytest.approx(0.7)
    assert board.measure([arm], range(8)) == "max_cost"


def test_money_may_be_counted_by_somebody_else():
    spent = [5.0]  # before the search

    class Paid(Table):
        def measure(self, runs, note):
            spent[0] += 1.0 * len(runs)
            return super().measure(runs, note)

    board = board_of(Paid({"0": [1.0] * 10}), Budget(max_cost=4, price=lambda: spent[0]))
    arm = board.add({"text": "0"})
    assert [board.measure([arm], range(end)) for end in (3, 5, 4)] == [None, "max_cost", None]
    assert board.budget.cost == 4


# What cannot change the choice


def test_no_run_is_spent_where_even_the_best_would_prove_nothing():
    almost = {"0": [1.0] * 14 + [0.0] * 2, "1": [1.0] * 16}
    assert choose(almost, significance=0.2)[0] == "0"
    assert len(choose(almost, significance=0.2)[1].pairs) == 32
    chosen, asked = choose(almost, significance=0.2, best=1.0)  # two wins come by chance one time in four
    assert chosen == "0"
    assert len(asked.pairs) == 16
    assert choose({"0": [1.0] * 13 + [0.0] * 3, "1": [1.0] * 16}, significance=0.2, best=1.0)[0] == "1"


@slow
@given(tables(), st.integers(1, 8), st.sampled_from([0.05, 0.2, 0.5, 1.0]))
def test_knowing_the_best_score_loses_no_winner(table, minibatch, significance):
    plain, known = (choose(table, minibatch=minibatch, significance=significance, best=best)[0] for best in (None, 1.0))
    # Who could not win takes no place in the halving from who can.
    assert known != "0" or plain == "0"


# Missing measurements


def test_what_was_not_measured_is_compared_with_nothing():
    board = board_of(Table({"0": [0.0] * 4 + [1.0] * 4, "1": [0.0] * 4 + [1.0] * 4}))
    gone = Failed(cause="TimeoutError", is_passing=True)
    board._measuring = Gone(board._measuring, gone, arm="0", examples=(4, 5, 6))
    ours, theirs = board.add({"text": "1"}), board.add({"text": "0"})
    board.measure([ours, theirs], range(8))
    assert board.pairs(ours, theirs, range(8)) == [([0.0] * 4 + [1.0], [0.0] * 4 + [1.0])]
    assert lead(board.pairs(ours, theirs, range(8))) == 0
    assert (board.missing(theirs, range(8)), board.failed(theirs, range(8)), board.level(theirs, range(8))) == (
        3,
        0,
        0.2,
    )


class Gone:
    """Some runs of an arm are not measured."""

    def __init__(self, asked, gone, *, arm, examples):
        self.asked, self.gone, self.arm, self.examples = asked, gone, arm, examples

    def measure(self, runs, note):
        found = self.asked.measure(runs, note)
        is_gone = [run.texts["text"] == self.arm and run.example in self.examples for run in runs]
        return [self.gone if gone else one for gone, one in zip(is_gone, found, strict=True)]


def test_the_judge_who_likes_it_least_decides():
    up, down, flat = ([1.0] * 8, [0.0] * 8), ([-1.0] * 8, [0.0] * 8), ([0.1] * 8, [0.0] * 8)
    assert lead([up, flat]) == pytest.approx(0.1)
    assert beats([up, flat], significance=0.01)
    assert not beats([up, down], significance=1)


@slow
@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=30))
def test_the_interval_holds_the_mean_difference_and_turns_with_the_sides(pairs):
    ours, theirs = [list(side) for side in zip(*pairs, strict=True)]
    found, turned = paired_interval(ours, theirs), paired_interval(theirs, ours)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(mean(ours) - mean(theirs))
    assert turned.value == pytest.approx(-found.value)
    assert found == paired_interval(ours, theirs)


def test_of_one_example_no_interval_is_made_up():
    assert paired_interval([1.0], [0.0]) is None


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says():
    draw, covered = random.Random(1), 0
    for _ in range(100):
        ours: list[Score] = [float(draw.random() < 0.7) for _ in range(40)]
        theirs: list[Score] = [float(draw.random() < 0.5) for _ in range(40)]
        found = paired_interval(ours, theirs)
        covered += found.low <= 0.2 <= found.high
    assert 0.87 <= covered / 100 <= 1


@pytest.mark.parametrize("count", [1, 2, 7, 12, 16, 33])
@pytest.mark.parametrize("seed", range(5))
def test_every_beginning_of_an_even_order_has_its_share(count, seed):
    source = random.Random(seed)
    order = source.sample(range(count), count)
    solved = {one: source.random() < 0.4 for one in order}
    found = evenly(order, lambda one: solved[one])
    assert sorted(found) == sorted(order)
    share = sum(solved.values()) / count
    for length in (2**power for power in range(count.bit_length())):
        assert abs(sum(solved[one] for one in found[:length]) - share * length) < 2


def test_among_equals_an_even_order_goes_by_the_order_given():
    assert evenly([3, 1, 2, 0], lambda _: 0) == [3, 2, 1, 0]
    assert evenly([0, 1, 2, 3], lambda _: 0) == [0, 2, 1, 3]
