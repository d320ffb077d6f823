"""What a search did. `to_fields` is the only way from here to plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fipo_model.search.evidence import Interval
from fipo_model.search.proposals import Proposed


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What happened to a text."""

    name: str
    naive: str
    text: str
    """What to use now."""
    outcome: str
    detail: str
    candidates: Sequence[Proposed]

    @property
    def is_rewritten(self) -> bool:
        return self.text != self.naive


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A mean score, its number of examples, how many of these failed, and how many more went unmeasured."""

    score: float
    failed: int
    examples: int
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The original and the winner, on the same examples."""

    before: Level
    after: Level
    gain: Interval | None
    """Of the examples on which both were measured; None where there are too few, or nothing but the original ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A set of texts that was tried: its number, the texts that differ from the original, and its score."""

    arm: str
    changed: Mapping[str, str]
    score: float
    failed: int
    examples: int
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search did, and the texts to use."""

    model: str | None
    """The name of the model that proposed."""
    measured_by: str
    """What the scores are."""
    texts: Sequence[Changed]
    chosen_on: Compared
    """Scores on the examples that decided: this gain is that of the winner, so expect less on new data."""
    held_out: Compared | None
    """Scores on examples that decided nothing; None where there were too few to set some aside."""
    trials: Sequence[Attempt]
    metric_calls: int
    metric_calls_resumed: int
    """How many of them were made before the search was resumed."""
    tried_again: int
    """How many runs were made again because they had failed."""
    cost: float
    stopped_by: str | None
    first_failure: str | None
    """The cause of the first failed run."""
    notes: Sequence[str]
    """Remarks, for example that the metric scores the same output differently."""
    seed: int

    @property
    def text(self) -> str:
        """The text to use, if the search was for a single text."""
        return self.texts[0].text

    @property
    def outcome(self) -> str:
        """The outcome, if the search was for a single text."""
        return self.texts[0].outcome

    @property
    def detail(self) -> str:
        """Why the outcome is what it is, if the search was for a single text."""
        return self.texts[0].detail

    @property
    def is_rewritten(self) -> bool:
        """Whether any text has changed."""
        return any(one.is_rewritten for one in self.texts)

    def __str__(self) -> str:
        """What the search did, in sentences."""
        from fipo_model.search.words import sentences  # it is made of results

        return "\n".join([*(f"{one.outcome}: {one.detail}" for one in self.texts if one.detail), *sentences(self)])

    def to_fields(self) -> dict[str, Any]:
        """Plain data: dictionaries, lists, texts and numbers."""
        fields: dict[str, Any] = _as_json(asdict(self))
        return fields

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "SearchResult":
        """The result from which `to_fields` made these."""
        held_out = fields["held_out"]
        return cls(
            **{
                **fields,
                "texts": [_changed(one) for one in fields["texts"]],
                "chosen_on": _compared(fields["chosen_on"]),
                "held_out": None if held_out is None else _compared(held_out),
                "trials": [Attempt(**one) for one in fields["trials"]],
            }
        )


def _as_json(value: Any) -> Any:
    """Tuples as lists, so that reading JSON gives what was written."""
    if isinstance(value, dict):
        return {name: _as_json(one) for name, one in value.items()}
    return [_as_json(one) for one in value] if isinstance(value, list | tuple) else value


def _changed(fields: Mapping[str, Any]) -> Changed:
    return Changed(**{**fields, "candidates": [Proposed(**one) for one in fields["candidates"]]})


def _compared(fields: Mapping[str, Any]) -> Compared:
    gain = fields["gain"]
    return Compared(
        before=Level(**fields["before"]),
        after=Level(**fields["after"]),
        gain=None if gain is None else Interval(**gain),
    )
