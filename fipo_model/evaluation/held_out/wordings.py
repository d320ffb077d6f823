"""Replacements for a task's wordings: rewrites by several systems, each shown more or less, and controls."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fipo_model.data.tasks import Example
from fipo_model.evaluation.held_out.drawing import Drawn
from fipo_model.types import OptimizationRequest, ShownExample

Given = Literal["prompt", "inputs", "outputs", "good wording", "control"]
"""What a rewriter is given: a hasty wording alone, with inputs, with inputs and right outputs; or a good wording alone.
A control is given nothing, because it asks no model."""

REPEATED, BEST = "repeated", "best wording"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How wordings were replaced: by which system or control, and what it was given."""

    system: str
    given: Given


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A wording of a task, and the one that takes its place."""

    drawn: Drawn
    way: Way
    before: str
    after: str
    outcome: str
    detail: str = ""
    proposed: str | None = None

    @property
    def addition(self) -> str:
        """What was added; the whole proposal where it does not begin with the wording, nothing where there is none."""
        proposed = self.after if self.proposed is None else self.proposed
        return proposed.removeprefix(self.before).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A wording that is to be rewritten, with what is shown of its task."""

    drawn: Drawn
    before: str
    given: Given

    @property
    def key(self) -> str:
        return json.dumps([self.given, self.drawn.task.name, self.before], ensure_ascii=False)

    def to_optimizer(self) -> OptimizationRequest:
        """The request as a rewriter gets it."""
        if self.given in ("inputs", "outputs"):
            shown = tuple(_shown(example, self.given) for example in self.drawn.shown)
            return OptimizationRequest(self.before, examples=shown)
        return OptimizationRequest(self.before)


def requests_for(tasks: Sequence[Drawn], wordings: int) -> list[Request]:
    """Everything that a system is asked: some hasty wordings of each task in three ways, and as many good ones."""
    found = []
    for drawn in tasks:
        given: Given
        for given in ("prompt", "inputs", "outputs"):
            found += [Request(drawn=drawn, before=text, given=given) for text in drawn.task.hasty[:wordings]]
        found += [Request(drawn=drawn, before=text, given="good wording") for text in drawn.task.good[:wordings]]
    return found


def changes_of(system: str, requests: Sequence[Request], rewrites: Mapping[str, Mapping[str, Any]]) -> Iterator[Change]:
    """What a system made of its requests; `rewrites` by their keys, as `System.rewrite_requests` gives them."""
    for request in requests:
        found = rewrites[request.key]
        yield Change(
            drawn=request.drawn,
            way=Way(system=system, given=request.given),
            before=request.before,
            after=found["text"],
            outcome=found["outcome"],
            detail=found["detail"],
            proposed=found["proposed"],
        )


def controls(tasks: Sequence[Drawn], best: Mapping[str, str], wordings: int) -> Iterator[Change]:
    """Each hasty wording said twice, and the best good one (`best`, by the task's name) in its place."""
    for drawn in tasks:
        for before in drawn.task.hasty[:wordings]:
            others = {REPEATED: f"{before}\n\n{before}", BEST: best[drawn.task.name]}
            for name, after in others.items():
                way = Way(system=name, given="control")
                yield Change(drawn=drawn, way=way, before=before, after=after, outcome="optimized")


def _shown(example: Example, given: Given) -> ShownExample:
    return ShownExample(example.input, output=example.outputs[0] if given == "outputs" else None)
