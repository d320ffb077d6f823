"""What a search is about: something that can be run with other texts in its place, and scored. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Run:
    """One thing to measure: the subject with these texts, by their names, in their places, on one example."""

    arm: str
    """The digest of the texts: runs of the same texts have the same."""
    texts: Mapping[str, str]
    example: int

    def __hash__(self) -> int:
        return hash((self.arm, self.example))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The result of a run: one score from a metric, or one from each of several judges. Higher is better."""

    scores: tuple[float, ...]
    best: float | None = None
    """The highest score there is, where that is known: runs that could not change a choice are saved then."""
    response: str | None = None
    """What was said, for whoever proposes other texts."""
    feedback: str | None = None
    """What the metric said about it."""
    kept: Any = None
    """What else the subject keeps of the run; plain data."""

    def to_fields(self) -> dict[str, Any]:
        """Its form in a journal; missing parts are left out."""
        fields = {"best": self.best, "response": self.response, "feedback": self.feedback, "kept": self.kept}
        return {"scores": list(self.scores), **{name: one for name, one in fields.items() if one is not None}}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Measured":
        """The measurement from which `to_fields` made these."""
        return cls(**{**fields, "scores": tuple(fields["scores"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A run without a score.

    Where the transport failed (`is_passing`: a rate limit, a time-out), nothing was measured: the run is tried again,
    and compared with nothing. Otherwise the subject or its metric failed, possibly because of the texts; that counts as
    0.
    """

    cause: str
    is_passing: bool
    is_unscored: bool = False
    """Whether it ran, and only the metric failed: perhaps nothing can be scored there, for want of a right output."""


Measurement = Measured | Failed
"""What a run came to."""
Note = Callable[[Run, Measured], None]
"""Called with each measurement as soon as it exists, so that it is saved even if the process is killed.

May be called from several threads at once.
"""


class Subject(Protocol):
    """A program, a chain or a prompt with a model, whose texts may be replaced."""

    @property
    def texts(self) -> Mapping[str, str]:
        """The texts it has, by their names."""
        ...

    def __len__(self) -> int:
        """How many examples there are to measure it on."""
        ...

    def measure(self, runs: Sequence[Run], note: Note) -> Sequence[Measurement]:
        """One measurement for each run, in order.

        An exception in a run comes back as `failure(error)`. A user's mistake, such as a metric that returns no number,
        is raised. You may call `note` before this returns, but need not.
        """
        ...


def digest(texts: Mapping[str, str]) -> str:
    """A short name for texts, the same in every process."""
    content = dumps(sorted(texts.items()), ensure_ascii=False).encode("utf-8", "replace")
    return sha256(content).hexdigest()[:16]
