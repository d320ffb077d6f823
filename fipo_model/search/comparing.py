"""The original compared with the winner, on the examples that decided and on those that did not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fipo_model.search.budget import Budget, Limit, say_limit
from fipo_model.search.evidence import least_interval
from fipo_model.search.measuring import Measuring
from fipo_model.search.results import Compared, Level
from fipo_model.search.scoreboard import Scoreboard


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The measurements on examples that decided nothing, and their cost."""

    compared: Compared | None = None
    limit: Limit | None = None
    """What ended it before all was measured."""
    is_missing: bool = False
    """Whether there were too few examples to hold some out."""
    budget: Budget = field(default_factory=Budget)
    measuring: Measuring | None = None
    resumed: int = 0

    @property
    def notes(self) -> list[str]:
        """Notes for where nothing could be compared."""
        if self.is_missing:
            return ["no examples were held out (twelve are needed), so expect a smaller gain on new ones"]
        if self.limit is None:
            return []
        return [f"{say_limit(self.limit)} ended the search before the gain on held-out examples was measured"]


def compared(board: Scoreboard, start: str, best: str, examples: Sequence[int], *, seed: int) -> Compared:
    """Two arms on the same examples; their scores are of those on which both ran."""
    gain = least_interval(board.pairs(best, start, examples), seed=seed)
    both = [one for one in examples if not board.missing(start, [one]) and not board.missing(best, [one])]
    return Compared(before=level(board, start, examples, both), after=level(board, best, examples, both), gain=gain)


def level(board: Scoreboard, arm: str, examples: Sequence[int], both: Sequence[int]) -> Level:
    """An arm's results on examples; its score is the one on `both`."""
    return Level(
        score=board.level(arm, both),
        failed=board.failed(arm, examples),
        examples=len(examples),
        missing=board.missing(arm, examples),
    )
