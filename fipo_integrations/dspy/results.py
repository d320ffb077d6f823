"""What a compile did. `Report.to_fields` is the only way from here to `fipo_report`, which is plain data.

Outcomes of instructions are those of any searched text; but scores are percentages here, as DSPy gives
them, and gains percentage points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fipo_model.search import Changed, Interval, Level, Proposed


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The program before and after."""

    student: Level
    compiled: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A program that was tried: its number, the instructions that are not the student's, and its score so far."""

    program: str
    changed: Mapping[str, str]
    score: float
    failed: int
    examples: int
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a compile with a metric measured, and spent on that."""

    seed: int
    scores: Scores
    gain: Interval | None
    """None where there were too few examples to say anything of it, or nothing was compared with the student."""
    trials: Sequence[Attempt]
    metric_calls: int
    metric_calls_resumed: int
    """How many of them were made in an earlier start."""
    stopped_by: str | None
    tried_again: int = 0
    """How many runs were made again because they had failed."""
    first_failure: str | None = None
    """The cause of the first failed run."""
    demos: int = 0
    """How many demonstrations were added to the predictor that got the most."""
    demonstrations: str = ""
    """What became of them, in words."""
    attached: Sequence[str] = ()
    """The names of the statistics that the program got as attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a compile did."""

    model: str | None
    """The name of the model that proposed."""
    predictors: Sequence[Changed]
    measured: Measured | None
    """None without a metric."""
    left_alone: Mapping[str, str] = field(default_factory=dict)
    """The names of parts that DSPy lets nobody change, with the reason."""

    def to_fields(self) -> dict[str, Any]:
        """Plain data: dictionaries, lists, texts and numbers."""
        fields: dict[str, Any] = {
            "model": self.model,
            "predictors": [_to_fields(one) for one in self.predictors],
        }
        measured = {"scores": None} if self.measured is None else _to_fields(self.measured)
        return {**fields, **measured, "left_alone": dict(self.left_alone)}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Report":
        """The report from which `to_fields` made these, in this version or an earlier one."""
        predictors = []
        for one in fields["predictors"]:
            candidates = [Proposed(**candidate) for candidate in one["candidates"]]
            predictors.append(Changed(**{**one, "candidates": candidates}))
        measured = None if fields["scores"] is None else _measured(fields)
        alone = fields.get("left_alone", {})
        return cls(model=fields["model"], predictors=predictors, measured=measured, left_alone=alone)


def _to_fields(value: Changed | Measured) -> dict[str, Any]:
    # JSON has only lists, and what is read back should equal what was written.
    return {name: list(one) if isinstance(one, tuple) else one for name, one in asdict(value).items()}


def _measured(fields: Mapping[str, Any]) -> Measured:
    scores, gain = fields["scores"], fields["gain"]
    return Measured(
        seed=fields["seed"],
        scores=Scores(student=Level(**scores["student"]), compiled=Level(**scores["compiled"])),
        gain=None if gain is None else Interval(**gain),
        trials=[Attempt(**trial) for trial in fields["trials"]],
        metric_calls=fields["metric_calls"],
        metric_calls_resumed=fields["metric_calls_resumed"],
        stopped_by=fields["stopped_by"],
        tried_again=fields.get("tried_again", 0),
        first_failure=fields.get("first_failure"),
        demos=fields.get("demos", 0),
        demonstrations=fields.get("demonstrations", ""),
        attached=fields.get("attached", ()),
    )
