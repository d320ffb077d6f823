"""What an evaluation found. `Results.to_fields` is the only way from here to results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fipo_model.evaluation.statistics import Interval
from fipo_model.evaluation.task_gain import TaskGain

FORMAT = 1
"""Of results.json. Raised when a field is renamed, removed or means something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """For the prompts with literals of a kind, in how many proposals and prompts to use all of them survived."""

    of: int
    proposed: int
    final: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaked:
    """How many of the prompts to use give the golden response away, out of those with one."""

    of: int
    leaks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """How long a prompt alone takes: the median and the 95th percentile."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """What a system made of the prompts of a data set."""

    system: str
    data: str
    rows: int
    outcomes: Mapping[str, int]
    rewritten: Interval
    """The share of prompts that were changed."""
    kept: Mapping[str, Kept]
    """By kinds of literals."""
    length_ratio: Interval | None
    """Words of the changed prompts, new to old; None for fewer than two."""
    leaked: Leaked
    seconds: Seconds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenGain:
    """How much likelier golden responses became under a test model, in nats per token."""

    system: str
    data: str
    test_model: str
    rows: int
    gain: Interval
    better: Interval
    """The share of prompts whose golden response became likelier."""
    worse: Interval
    unchanged: float
    left_out: Mapping[str, int]
    """How many prompts could not be measured, by the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceAccuracy:
    """In how many pairs of rewrites a system's adapter made the better one likelier, compared with its base."""

    system: str
    data: str
    rows: int
    accuracy: Interval
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkAccuracy:
    """How many questions a test model answers correctly, in the original and rewritten by a system."""

    system: str
    benchmark: str
    level: str
    scoring: str
    test_model: str
    rows: int
    naive: Interval
    optimized: Interval
    difference: Interval
    outcomes: Mapping[str, int]
    leaks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """What a system or a control makes of the wordings of tasks, given that much."""

    system: str
    given: str
    """With a hasty wording: `prompt` (nothing more), `inputs`, `outputs` (with their inputs); `good wording`: one of
    these alone; `control`: no model was asked."""
    wordings: int
    gains: Sequence[TaskGain]
    """Under each test model and the least of them, against the same wording as it was; a task counts once."""
    outcomes: Mapping[str, int]
    left_alone: Interval | None
    """The share of wordings that the system found good as they were."""
    refused: Interval | None
    """The share whose proposal was turned down, for the reasons in `outcomes`."""
    leaked: Interval | None
    """The share of additions with phrases of training targets that nothing in the task calls for."""
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAccuracy:
    """How often a model's greedy answers are right, over the tasks whose outputs can be checked."""

    system: str
    given: str
    model: str
    tasks: int
    hasty: Interval
    rewritten: Interval
    difference: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResults:
    """What was measured on held-out tasks."""

    tasks: int
    inputs: int
    shown: int
    changes: Sequence[TaskChange]
    accuracy: Sequence[TaskAccuracy]
    notes: Sequence[str]
    """What a reader must know of the figures: a test model that is the rewriter, tasks that could not be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemDescription:
    """What a reader of the results has to know about a system."""

    kind: str
    what: str
    model: str
    template: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the figures were measured on."""

    cpu: str
    cores: int | None
    gpu: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How results came about: what a reader needs to reproduce them, or to know why they cannot."""

    started: str
    """In UTC."""
    seconds: float
    """What the last start took, not those before it."""
    commit: str | None
    versions: Mapping[str, str]
    hardware: Hardware
    seed: int
    settings: Mapping[str, Any]

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Made":
        """Reads back what was written."""
        return cls(**{**fields, "hardware": Hardware(**fields["hardware"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that an evaluation measured."""

    title: str
    systems: Mapping[str, SystemDescription]
    rewriting: Sequence[Rewriting]
    golden_gain: Sequence[GoldenGain]
    preference: Sequence[PreferenceAccuracy]
    benchmarks: Sequence[BenchmarkAccuracy]
    bad_rows: Mapping[str, Sequence[str]]
    """Why rows of each data set could not be used."""
    made: Made
    tasks: TaskResults | None = None

    def to_fields(self) -> dict[str, Any]:
        """The fields of results.json, in their order; those of tasks only where they were measured."""
        fields = {"format": FORMAT, **asdict(self)}
        if self.tasks is None:
            del fields["tasks"]
        return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt before and after, for the page."""

    id: str
    system: str
    data: str
    naive: str
    text: str
    """The prompt to use."""
    proposed: str | None
    outcome: str
    detail: str
    context: str | None
    golden_response: str | None
    gains: Mapping[str, float]
    """In nats per token, by test model."""
