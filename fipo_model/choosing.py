"""Which of the proposals takes the naive prompt's place, if any does. Pure, but for what the judge asks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fipo_model.errors import InputError
from fipo_model.judge import Comparison, Judge
from fipo_model.rewriter import Proposal, Rewriter
from fipo_model.types import Candidate, OptimizationRequest, OptimizedPrompt, Outcome


@dataclass(frozen=True, slots=True)
class Choice:
    """The proposals for one request as they stand after the choice, and the one to use; None for the naive prompt."""

    candidates: tuple[Candidate, ...]
    winner: Candidate | None

    @property
    def outcome(self) -> Outcome:
        """What happened to the request: "optimized", or why its prompt was kept."""
        if self.winner is not None:
            return "optimized"
        # A rewrite that got as far as the judge explains most; otherwise the first stands for all.
        reached = [each.outcome for each in self.candidates if each.outcome == "not_preferred"]
        return reached[0] if reached else self.candidates[0].outcome


def choose(
    judge: Judge | None, requests: Sequence[OptimizationRequest], proposals: Sequence[Proposal]
) -> list[Choice | InputError]:
    """One choice for each request, in order.

    The naive prompt keeps its place unless a rewrite passes every check and the judge, if there is one, prefers it.
    """
    if judge is not None:
        return _hold_tournaments(judge, requests, proposals)
    return [each if isinstance(each, InputError) else Choice(each, _first_passed(each)) for each in proposals]


def conclude(rewriter: Rewriter, request: OptimizationRequest, choice: Choice) -> OptimizedPrompt:
    """The result of a choice among the proposals of `rewriter`."""
    return OptimizedPrompt(
        text=request.instruction if choice.winner is None else choice.winner.text,
        request=request,
        outcome=choice.outcome,
        candidates=choice.candidates,
        model=rewriter.name,
        template=rewriter.template.name,
    )


def _first_passed(candidates: Sequence[Candidate]) -> Candidate | None:
    return next((candidate for candidate in candidates if candidate.outcome == "optimized"), None)


class _Tournament:
    """Each acceptable rewrite of a request in turn against the best so far, the naive prompt first."""

    def __init__(self, request: OptimizationRequest, candidates: Sequence[Candidate]) -> None:
        self.request = request
        self.candidates = list(candidates)
        self.waiting = [place for place, each in enumerate(candidates) if each.outcome == "optimized"]
        self.holder: int | None = None

    def next_comparison(self) -> Comparison:
        """The rewrite whose turn it is, against the one in use."""
        held = self.request.instruction if self.holder is None else self.candidates[self.holder].text
        challenger = self.candidates[self.waiting[0]].text
        return Comparison(request=self.request, incumbent=held, challenger=challenger)

    def settle(self, *, is_won: bool, reason: str) -> None:
        """Note how the comparison ended."""
        challenger = self.waiting.pop(0)
        if not is_won:
            self._mark_beaten(challenger, reason)
            return
        if self.holder is not None:
            self._mark_beaten(self.holder, f"a later rewrite won: {reason}")
        self.holder = challenger

    def result(self) -> Choice:
        winner = None if self.holder is None else self.candidates[self.holder]
        return Choice(tuple(self.candidates), winner)

    def _mark_beaten(self, place: int, reason: str) -> None:
        self.candidates[place] = replace(self.candidates[place], outcome="not_preferred", detail=reason)


def _hold_tournaments(
    judge: Judge, requests: Sequence[OptimizationRequest], proposals: Sequence[Proposal]
) -> list[Choice | InputError]:
    """One batch of comparisons for each turn, over all requests."""
    held: dict[int, _Tournament] = {}
    for place, proposal in enumerate(proposals):
        if not isinstance(proposal, InputError):
            held[place] = _Tournament(requests[place], proposal)
    while going := [tournament for tournament in held.values() if tournament.waiting]:
        verdicts = judge.prefer([tournament.next_comparison() for tournament in going])
        for tournament, verdict in zip(going, verdicts, strict=True):
            tournament.settle(is_won=verdict.winner == "challenger", reason=verdict.reason)
    return [each if isinstance(each, InputError) else held[place].result() for place, each in enumerate(proposals)]
