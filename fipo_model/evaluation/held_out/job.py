"""Held-out tasks as part of an evaluation: rewrite, choose the best wording, measure, answer, count."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fipo_model.backends.opening import open_generator, open_scorer
from fipo_model.data.tasks import Gain, capped_gain
from fipo_model.data.tasks.phrases import leaked_phrases
from fipo_model.errors import InputError
from fipo_model.evaluation.held_out.asking import Figures, Use, uses_of
from fipo_model.evaluation.held_out.counting import Measured, count_accuracy, count_change
from fipo_model.evaluation.held_out.drawing import Drawn, HeldOut
from fipo_model.evaluation.held_out.wordings import Change, Request, Way, changes_of, controls, requests_for
from fipo_model.evaluation.naming import find_rewriters_among, name_answering_models, name_test_models
from fipo_model.evaluation.results import Example, TaskAccuracy, TaskResults
from fipo_model.evaluation.settings import EvaluationSettings, TaskSettings
from fipo_model.evaluation.systems import System
from fipo_model.generation import Generator, Scorer
from fipo_model.jobs import completed

_REWRITTEN_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models that measure: test models, answering models, and remarks about them."""

    scorers: Mapping[str, Scorer]
    generators: Mapping[str, Generator]
    notes: Sequence[str] = ()


def open_models(settings: EvaluationSettings) -> Models:
    """The models of an evaluation's tasks.

    Raises like `open_scorer`, so that a missing model shows before hours go by.
    """
    test_models, answering = name_test_models(settings), name_answering_models(settings)
    if not test_models:
        raise InputError("measuring tasks needs test models: name some in test_models")
    return Models(
        scorers={name: open_scorer(spec) for name, spec in test_models.items()},
        generators={name: open_generator(spec, role=None) for name, spec in answering.items()},
        notes=list(find_rewriters_among(settings, test_models | answering)),
    )


class TaskJob:
    """The measurements on held-out tasks, kept in `folder` as they come."""

    def __init__(self, held_out: HeldOut, models: Models, settings: TaskSettings, *, folder: Path, seed: int) -> None:
        self.held_out = held_out
        self.models = models
        self.settings = settings
        self.folder = folder
        self.seed = seed
        self.figures = Figures(folder)
        self.measured: list[Measured] = []

    def run(self, systems: Sequence[System], say: Callable[[str], None]) -> TaskResults:
        """Do what is left to do, and count."""
        changes: list[Change] = []
        for system in systems:
            if system.is_optimizer:
                changes += self._rewritten(system, say)
        changes += controls(self.held_out.tasks, self._choose_best(say), self.settings.wordings)
        self._score(_uses(changes), say)
        phrases = leaked_phrases([_with_its_task(change) for change in changes], self.held_out.targets.values())
        self.measured = [
            Measured(change=change, gain=self._gain(change), phrases=found)
            for change, found in zip(changes, phrases, strict=True)
        ]
        by_way: dict[Way, list[Measured]] = defaultdict(list)
        for one in self.measured:
            by_way[one.change.way].append(one)
        return TaskResults(
            tasks=len(self.held_out.tasks),
            inputs=self.settings.inputs,
            shown=self.settings.shown,
            changes=[count_change(way, found, seed=self.seed) for way, found in by_way.items()],
            accuracy=list(self._accuracies(by_way, say)),
            notes=[*self.models.notes, *self.held_out.bad_rows],
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every wording and what took its place, to be read one by one."""
        for one in self.measured:
            change, gain = one.change, one.gain
            yield {
                "task": change.drawn.task.name,
                "system": change.way.system,
                "given": change.way.given,
                "wording": change.before,
                "addition": change.addition,
                "outcome": change.outcome,
                "detail": change.detail,
                "gain": {} if isinstance(gain, str) else dict(gain.by_model),
                "least": None if isinstance(gain, str) else gain.least,
                "leaked_phrases": list(one.phrases),
                "text": change.after,
            }

    def examples(self) -> Iterator[Example]:
        """The same for the page."""
        for one in self.measured:
            change = one.change
            yield Example(
                id=f"{change.drawn.task.name}: {change.before}",
                system=change.way.system,
                data=f"tasks: {change.way.given}",
                naive=change.before,
                text=change.after,
                proposed=change.proposed,
                outcome=change.outcome,
                detail=change.detail,
                context=None,
                golden_response=None,
                gains={} if isinstance(one.gain, str) else one.gain.by_model,
            )

    def _rewritten(self, system: System, say: Callable[[str], None]) -> Iterator[Change]:
        requests = requests_for(self.held_out.tasks, self.settings.wordings)
        say(f"{system.name}: rewriting wordings of tasks ({len(requests)})")

        def compute(batch: Sequence[Request]) -> list[dict[str, Any]]:
            return system.rewrite_requests([request.to_optimizer() for request in batch])

        items = {request.key: request for request in requests}
        file = self.folder / "rewrites" / f"{system.name}.jsonl"
        yield from changes_of(system.name, requests, completed(file, items, compute, at_once=_REWRITTEN_AT_ONCE))

    def _choose_best(self, say: Callable[[str], None]) -> dict[str, str]:
        """By task, the good wording whose least gain over the first hasty one is highest, on examples kept for that."""
        tasks = self.held_out.tasks
        self._score(
            (use for one in tasks for text in (one.task.hasty[0], *one.task.good) for use in _deciding(one, text)), say
        )

        return {one.task.name: max(one.task.good, key=partial(self._deciding_gain, one)) for one in tasks}

    def _deciding_gain(self, one: Drawn, text: str) -> float:
        gain = self._compared(_deciding(one, one.task.hasty[0]), _deciding(one, text))
        return -math.inf if isinstance(gain, str) else gain.least

    def _score(self, uses: Iterable[Use], say: Callable[[str], None]) -> None:
        wanted = list(uses)
        for name, scorer in self.models.scorers.items():
            say(f"{name}: measuring right outputs of tasks (at most {len(wanted)})")
            self.figures.score(name, scorer, wanted)

    def _gain(self, change: Change) -> Gain | str:
        task, examples = change.drawn.task, change.drawn.measured
        return self._compared(uses_of(task, change.before, examples), uses_of(task, change.after, examples))

    def _compared(self, before: Sequence[Use], after: Sequence[Use]) -> Gain | str:
        by_model = {}
        for name in self.models.scorers:
            old, new = self.figures.likelihoods(name, before), self.figures.likelihoods(name, after)
            if isinstance(old, str):
                return old
            if isinstance(new, str):
                return new
            by_model[name] = capped_gain(old, new)
        return Gain(by_model=by_model)

    def _accuracies(self, by_way: dict[Way, list[Measured]], say: Callable[[str], None]) -> Iterator[TaskAccuracy]:
        """The accuracies of hasty wordings and of their replacements, on tasks with a check."""
        changes = {
            way: [one.change for one in found if one.change.drawn.task.check is not None]
            for way, found in by_way.items()
            if way.given != "good wording"
        }
        for name, generator in self.models.generators.items():
            uses = _uses(change for own in changes.values() for change in own)
            say(f"{name}: answering tasks (at most {len(uses)} questions)")
            self.figures.answer(name, generator, uses, max_new_tokens=self.settings.max_new_tokens)
            for way, own in changes.items():
                counted = count_accuracy(way, name, self._shares(name, own), seed=self.seed)
                if counted is not None:
                    yield counted

    def _shares(self, model: str, changes: Iterable[Change]) -> dict[str, list[tuple[float, float]]]:
        """By task, each wording's accuracy before and after the change, except for those that are too long."""
        shares: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for change in changes:
            task, examples = change.drawn.task, change.drawn.measured
            old, new = (
                self.figures.right(model, uses_of(task, text, examples)) for text in (change.before, change.after)
            )
            if not isinstance(old, str) and not isinstance(new, str):
                shares[task.name].append((fmean(old), fmean(new)))
        return shares


def _uses(changes: Iterable[Change]) -> list[Use]:
    """The uses needed to compare both sides of some changes, each once."""
    found: dict[str, Use] = {}
    for change in changes:
        for text in (change.before, change.after):
            for use in uses_of(change.drawn.task, text, change.drawn.measured):
                found.setdefault(use.key, use)
    return list(found.values())


def _deciding(one: Drawn, text: str) -> list[Use]:
    return uses_of(one.task, text, one.deciding)


def _with_its_task(change: Change) -> tuple[str, list[str]]:
    """The addition, if it is used, and all texts that may call for its words."""
    drawn = change.drawn
    examples = (*drawn.shown, *drawn.deciding, *drawn.measured)
    texts = [text for one in examples for text in (one.input, *one.outputs, *(one.choices or ()))]
    is_used = change.outcome == "optimized" and change.way.given != "control"
    return (change.addition if is_used else "", [change.before, *drawn.task.good, *texts])
