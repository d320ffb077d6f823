"""Choosing among variants by their scores on examples, within a budget, whatever the variants are.

The variants are arms of a best-arm identification problem and go through successive halving (Jamieson & Talwalkar 2016,
arXiv 1502.07943): all are scored on a small batch of examples, the better half on one twice as large, and so on. Every
comparison is paired, that is, made on the same examples. The incumbent is scored on all of them. Only a challenger that
was scored on all of them too, and whose lead is too large to be luck, replaces it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fipo_model.search.budget import Limit
from fipo_model.search.evidence import Pair, beats, fails_more, lead, leads
from fipo_model.search.scoreboard import Scoreboard

REWRITE = "rewrite"
_FINALISTS = 2


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the halving: how many arms are scored on how many examples, including those of the rung before."""

    arms: int
    examples: int


def cost(rungs: Sequence[Rung]) -> int:
    """How many scores a schedule takes at most."""
    before = (0, *(rung.examples for rung in rungs))
    return sum(rung.arms * (rung.examples - seen) for rung, seen in zip(rungs, before, strict=False))


def schedule(arms: int, *, examples: int, minibatch: int, calls: float = math.inf) -> tuple[Rung, ...]:
    """The halving of `arms` challengers down to the finalists, who are scored on all `examples`.

    Where that takes more than `calls` scores, there is one finalist instead of two. If that does not suffice, the last
    arms are left out. Empty if `calls` do not suffice for a single arm.
    """
    for entrants in range(arms, 0, -1):
        for finalists in range(min(entrants, _FINALISTS), 0, -1):
            rungs = _rungs(entrants, finalists, examples, minibatch)
            if cost(rungs) <= calls:
                return rungs
    return ()


def _rungs(arms: int, finalists: int, examples: int, minibatch: int) -> tuple[Rung, ...]:
    rungs = []
    while minibatch < examples:  # finalists go from batch to batch, too, so one that does not lead costs no more calls
        rungs.append(Rung(arms, minibatch))
        arms, minibatch = max(finalists, math.ceil(arms / 2)), 2 * minibatch
    return (*rungs, Rung(arms, examples))


class Choice(NamedTuple):
    """The arm to use, what ended the comparison before all challengers were in it, and the examples that decided."""

    arm: str
    limit: Limit | None
    examples: Sequence[int]


def select(
    board: Scoreboard,
    incumbent: str,
    challengers: Sequence[str],
    *,
    order: Sequence[int],
    rules: "Rules",
    calls: float = math.inf,
) -> Choice:
    """The best challenger that beats the incumbent on all examples of `order`, else the incumbent.

    Batches are the beginnings of `order`. At most `calls` scores are requested, not counting the incumbent's. A
    challenger goes no further if it is behind after the first batch, does not lead after a later one, or could not win
    even with the best scores on the rest. If a limit ends this, and the rules allow it, the last whole batch decides.
    """
    if limit := board.measure([incumbent], order):
        return Choice(incumbent, limit, order)
    allowed = min(calls, board.budget.calls_left)
    rungs = schedule(len(challengers), examples=len(order), minibatch=rules.minibatch, calls=allowed)
    if sum(rung.arms for rung in rungs[:1]) < len(challengers):
        limit = board.budget.scarce
    alive = [arm for arm in challengers if _can_win(board, arm, incumbent, order, rules)]
    decided_on = order
    for number, rung in enumerate(rungs):
        batch, alive = order[: rung.examples], alive[: rung.arms]
        if reached := board.measure(alive, batch):
            limit = reached
            if number and rules.may_end_early:
                decided_on = order[: rungs[number - 1].examples]
            break
        pairs = {arm: board.pairs(arm, incumbent, batch) for arm in alive}
        ranked = _ranked(alive, pairs, may_tie=number == 0)
        alive = [arm for arm in ranked if _can_win(board, arm, incumbent, order, rules)]
    return Choice(best_of(board, incumbent, challengers, order=decided_on, rules=rules), limit, decided_on)


def evenly(order: Sequence[int], key: Callable[[int], float]) -> list[int]:
    """An order in which every beginning has its share of high and low keys; among equals, `order` decides.

    The places are those of van der Corput's sequence (1935), whose beginnings are spread over the whole.
    """
    ranked = sorted(order, key=key)
    turns = sorted(range(len(ranked)), key=_van_der_corput)
    return [example for _, example in sorted(zip(turns, ranked, strict=True))]


def _van_der_corput(number: int) -> float:
    """The number's binary digits mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8, …"""
    return sum(2.0 ** -(place + 1) for place in range(number.bit_length()) if number >> place & 1)


def best_of(
    board: Scoreboard, incumbent: str, challengers: Sequence[str], *, order: Sequence[int], rules: "Rules"
) -> str:
    """Of the challengers that were measured on all examples the best that beats the incumbent; else the incumbent."""
    final = {arm: board.pairs(arm, incumbent, order) for arm in challengers if board.has(arm, order)}
    ahead = [arm for arm in final if leads(board.pairs(arm, incumbent, order[: rules.must_lead_on]))]
    better = [arm for arm in ahead if beats(final[arm], significance=rules.significance)]

    def rank(arm: str) -> tuple[float, int]:
        size = sum(map(len, board.texts(arm).values())) if rules.prefers_brief else 0
        return lead(final[arm]), -size

    return max(better, key=rank, default=incumbent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How arms are compared."""

    minibatch: int
    """The size of the first batch."""
    significance: float
    """How improbable by chance a lead must be."""
    may_end_early: bool = False
    """Whether fewer examples may decide if a limit is reached before all could."""
    must_lead_on: int | None = None
    """On so many examples at the beginning of the order an arm must also lead, and not fail more often."""
    prefers_brief: bool = False
    """Whether of equally good arms the one with the shortest texts is used, and not the first."""
    candidate: str = REWRITE
    """What the arms differ in, in words."""


def _can_win(board: Scoreboard, arm: str, incumbent: str, order: Sequence[int], rules: Rules) -> bool:
    """Whether an arm could beat the incumbent with the best scores on whatever it has not been measured on yet."""
    pairs, first = (board.best_pairs(arm, incumbent, part) for part in (order, order[: rules.must_lead_on]))
    if pairs is None or first is None:
        return True
    return leads(first) and beats(pairs, significance=rules.significance)


def _ranked(arms: Sequence[str], pairs: dict[str, list[Pair]], *, may_tie: bool) -> list[str]:
    """The arms that go on, best first; at equal scores they keep their order."""
    hopeful = [arm for arm in arms if lead(pairs[arm]) > 0 or (may_tie and lead(pairs[arm]) == 0)]
    return sorted(hopeful, key=lambda arm: (any(fails_more(*pair) for pair in pairs[arm]), -lead(pairs[arm])))
