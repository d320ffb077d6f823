"""Preference rows from tasks: what a rewriter samples for hasty wordings, ranked by the task's gain.

The reward is on responses: an addition is worth how much likelier it makes right outputs on inputs that it was not
shown, under the test model that likes it least (`gain`). A small model's likelihood alone rewards wordings that bring
about the form of an output, whatever they say; so meaning comes first, and an addition that asks for something else is
never scored.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fipo_model.contract.straying import Ground, strays
from fipo_model.data.diversify import TrainingRow
from fipo_model.data.tasks.gain import Change, Gain, gains
from fipo_model.data.tasks.leaking import leak
from fipo_model.data.tasks.task import Example, Task
from fipo_model.data.tasks.teaching import SHOWINGS, Showing, request_showing
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.generation import Scorer
from fipo_model.rewriter import Rewriter
from fipo_model.templates import Template
from fipo_model.types import Candidate, OptimizationRequest

# Enough wordings for full batches, but few enough to lose if killed.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A hasty wording as a rewriter is asked about it, and the examples that its rewrites are measured on."""

    task: Task
    wording: str
    showing: Showing
    request: OptimizationRequest
    measured: tuple[Example, ...]

    @property
    def id(self) -> str:
        """One for each wording and what is shown beside it."""
        return f"{self.task.name}/{self.wording}/{self.showing}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The rewrites of one wording, from the best to the worst, and those that were ruled out."""

    question: Question
    gains: tuple[tuple[str, Gain], ...]
    failed: tuple[tuple[str, str], ...]
    """Rewrites, with what is wrong with them."""

    def row(self, template: Template, margin: float) -> TrainingRow | None:
        """The best rewrite against the worst. None where nothing is worse than the best by more than `margin`.

        The wording itself is the best where no rewrite gains more than `margin`. Where none is worse, one that was
        ruled out is the rejected one.
        """
        wording = self.question.wording
        scored = [(text, gain.least) for text, gain in self.gains]
        best, reached = max([(wording, margin), *scored], key=lambda pair: pair[1])
        reached = 0.0 if best == wording else reached
        worst, least = min([(wording, 0.0), *scored], key=lambda pair: pair[1])
        if least >= reached - margin:
            worst = next((text for text, _ in self.failed), best)
        if worst == best:
            return None
        return TrainingRow(
            id=self.question.id,
            kind="rewriting",
            type=f"ranked, {self.question.showing}",
            prompt=template.render(self.question.request),
            chosen=template.reply_for(best, wording),
            rejected=template.reply_for(worst, wording),
        )

    def to_fields(self, template: Template, margin: float) -> dict[str, Any]:
        """A line of a file: the training row, if there is one, and all that was measured."""
        row = self.row(template, margin)
        ranked = [{"text": text, "gain": dict(gain.by_model)} for text, gain in self.gains]
        failed = [{"text": text, "reason": reason} for text, reason in self.failed]
        return {"id": self.question.id, **(row.to_fields() if row else {}), "ranked": ranked, "failed": failed}


def questions(tasks: Iterable[Task], *, inputs: int, wordings: int = 2, seed: int = 0) -> Iterator[Question]:
    """The first hasty wordings of each task, each shown in another way; drawn from the seed and the task's name.

    Raises `InputError` for a task without `inputs` examples beside those that are shown.
    """
    for task in tasks:
        source = random.Random(f"{seed} {task.name}")
        first = source.randrange(len(SHOWINGS))
        for place, wording in enumerate(task.hasty[:wordings]):
            showing = SHOWINGS[(first + place) % len(SHOWINGS)]
            request = request_showing(wording, showing, task, source)
            seen = {example.input for example in request.examples}
            rest = [example for example in task.examples if example.input not in seen]
            if len(rest) < inputs:
                raise InputError(f"task {task.name!r} has {len(rest)} examples to measure on, but {inputs} are needed")
            measured = tuple(source.sample(rest, inputs))
            yield Question(task=task, wording=wording, showing=showing, request=request, measured=measured)


def rank(
    asked: Iterable[Question], rewriter: Rewriter, scorers: Sequence[Scorer]
) -> Iterator[Ranked | tuple[Question, InputError]]:
    """Rank what a rewriter proposes for each wording; one that cannot be used (too long) comes with its error.

    What it is unsure of is measured as well: most samples are unlikely, and the gain tells which of them are good.
    """
    rest, bold = iter(asked), rewriter.bold
    while batch := list(islice(rest, _AT_ONCE)):
        yield from _rank_batch(batch, bold, scorers)


def objection(addition: str, question: Question) -> str | None:
    """In words, why an addition is ruled out before scoring: it asks for something else, or gives something away."""
    task = question.task
    ground = Ground(
        wordings="\n".join(task.wordings),
        is_well_worded=True,
        inputs=tuple(example.input for example in task.examples),
        outputs=tuple(output for example in task.examples for output in example.outputs),
    )
    return strays(addition, ground) or leak(addition, question.wording, question.measured)


def _rank_batch(
    batch: Sequence[Question], rewriter: Rewriter, scorers: Sequence[Scorer]
) -> Iterator[Ranked | tuple[Question, InputError]]:
    proposals = rewriter.propose([question.request for question in batch])
    sorted_out = [
        () if isinstance(proposed, InputError) else _sorted_out(question, proposed)
        for question, proposed in zip(batch, proposals, strict=True)
    ]
    changes = [
        Change(before=question.wording, after=text, examples=question.measured)
        for question, own in zip(batch, sorted_out, strict=True)
        for text, reason in own
        if reason is None
    ]
    measured = iter(gains(scorers, changes)) if changes else iter(())
    for question, proposed, own in zip(batch, proposals, sorted_out, strict=True):
        scored = [(text, next(measured)) for text, reason in own if reason is None]
        if isinstance(proposed, InputError):
            yield question, proposed
            continue
        yield _ranked(question, scored, [(text, reason) for text, reason in own if reason is not None])


def _sorted_out(question: Question, proposed: Sequence[Candidate]) -> list[tuple[str, str | None]]:
    """Each distinct rewrite with what is wrong with it, if anything; the wording itself needs no measuring."""
    found: dict[str, str | None] = {}
    for candidate in proposed:
        if candidate.outcome == "unchanged" or not candidate.text.strip():
            continue
        addition = candidate.text.removeprefix(question.wording)
        reason = objection(addition, question) if candidate.outcome == "optimized" else candidate.outcome
        found.setdefault(candidate.text, reason)
    return list(found.items())


def _ranked(
    question: Question, scored: Sequence[tuple[str, Gain | PromptTooLongError]], failed: Sequence[tuple[str, str]]
) -> Ranked:
    fitting = [(text, gain) for text, gain in scored if not isinstance(gain, PromptTooLongError)]
    too_long = [(text, str(gain)) for text, gain in scored if isinstance(gain, PromptTooLongError)]
    best_first = sorted(fitting, key=lambda pair: -pair[1].least)
    return Ranked(question=question, gains=tuple(best_first), failed=(*failed, *too_long))
