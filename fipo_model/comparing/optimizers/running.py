"""One compile and its test, as a record of plain data: what it cost, what came out, and how that scores."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dspy
from dspy.evaluate import Evaluate

from fipo_model import Generator, PromptOptimizer
from fipo_model.comparing.failures import OutageError, describe_failure
from fipo_model.comparing.optimizers.contenders import CONTENDERS, STUDENT, Bench
from fipo_model.comparing.optimizers.models import Meter, Metered, PlainAdapter, language_model
from fipo_model.comparing.optimizers.stopwatch import Stopwatch
from fipo_model.comparing.optimizers.tasks import TASKS, Data, is_right
from fipo_model.types import count_words

_LONGEST_ERROR = 1000
_FIVE = {
    "topic": "say what its about",
    "tone": "whats the mood",
    "summary": "make it short",
    "reply": "answer the customer nicely",
    "check": "is the reply ok?",
}
_SILENT = 10**9  # errors that DSPy counts before it gives up: here every failed row is counted instead

Known = Mapping[str, Mapping[str, Any]]


class Runner:
    """Compiles and tests programs with one set of models."""

    def __init__(
        self,
        generator: Generator,
        *,
        rewriter: PromptOptimizer,
        sampler: PromptOptimizer,
        max_tokens: int,
        proposal_tokens: int,
        num_threads: int,
        effort: str,
    ) -> None:
        self.meter = Meter()
        self._generator = generator
        self._rewriter = rewriter
        self._sampler = sampler
        self._max_tokens = max_tokens
        self._proposal_tokens = proposal_tokens
        self._num_threads = num_threads
        self._effort = effort

    def record(self, task: str, contender: str, seed: int, data: Data, known: Known) -> dict[str, Any]:
        """What a contender makes of a task. An optimizer that raises is recorded as failed, with what it cost.

        Raises `OutageError` where a model is to blame. `known` are the records so far: a program that was tested
        before, as one that came back unchanged was, is not tested again.
        """
        bench = self._bench(data, seed)
        student = TASKS[task].student()
        found = {"task": task, "contender": contender, "seed": seed, "error": None}
        with dspy.context(lm=bench.task_model, adapter=PlainAdapter(), max_errors=_SILENT):
            compiled, costs, error = self._compiled(CONTENDERS[contender][1], bench, student)
            found |= {"costs": costs}
            if compiled is None:
                return found | {"error": error}
            found |= _described(task, compiled)
            twin = _tested(known, found["program"]["digest"])
            scores = self._tested(compiled, data) if twin is None else twin["test"]
        return (
            found
            | {"test": scores, "score": sum(scores) / len(scores), "protected": _protection(compiled)}
            | {"proposals": _proposals(compiled)}
        )

    def without_metric(self, contender: str = "fipo") -> dict[str, Any]:
        """What it takes to compile a program of five predictors without a metric."""
        program = dspy.Module()
        for name, text in _FIVE.items():
            setattr(program, name, dspy.Predict(dspy.Signature(f"message -> {name}", text)))
        bench = self._bench(Data(trainset=[], valset=[], testset=[]), seed=0)
        compiled, costs, error = self._compiled(CONTENDERS[contender][1], bench, program)
        outcomes = [] if compiled is None else [row["outcome"] for row in compiled.fipo_report["predictors"]]
        return {"costs": costs, "error": error, "outcomes": outcomes}

    def _bench(self, data: Data, seed: int) -> Bench:
        def model(role: Any, max_tokens: int) -> dspy.LM:
            return language_model(Metered(self._generator, self.meter, role), max_tokens=max_tokens, seed=seed)

        def rewriter(own: PromptOptimizer) -> PromptOptimizer:
            # A new one for every compile: they remember what they were asked before.
            return PromptOptimizer(Metered(own.generator, self.meter, "rewriter"), template=own.template)

        return Bench(
            task_model=model("task", self._max_tokens),
            proposer=model("proposer", self._proposal_tokens),
            rewriter=rewriter(self._rewriter),
            sampler=rewriter(self._sampler),
            data=data,
            seed=seed,
            num_threads=self._num_threads,
            effort=self._effort,
        )

    def _compiled(
        self, make: Callable[[Bench, dspy.Module], dspy.Module], bench: Bench, student: dspy.Module
    ) -> tuple[dspy.Module | None, dict[str, Any], str | None]:
        compiled, error = None, None
        self.meter.reset()
        with Stopwatch() as watch, contextlib.redirect_stdout(io.StringIO()):  # COPRO prints every proposal
            try:
                compiled = make(bench, student)
            except Exception as problem:  # noqa: BLE001 - a stranger's failure is what is to be recorded
                error = describe_failure(problem, most=_LONGEST_ERROR)
        costs = {**watch.as_fields(), "models": self.meter.as_fields()}
        self._raise_outage()
        return compiled, costs, error

    def _tested(self, program: dspy.Module, data: Data) -> list[float]:
        evaluate = Evaluate(devset=data.testset, metric=is_right, num_threads=self._num_threads, display_progress=False)
        result = evaluate(program)
        self._raise_outage()
        return [float(score) for _, _, score in result.results]

    def _raise_outage(self) -> None:
        if (outage := self.meter.outage) is not None:
            raise OutageError(f"a model failed; the same command goes on when that is mended: {outage}") from outage


def _described(task: str, program: dspy.Module) -> dict[str, Any]:
    """What of a program the task model is shown, and how long that is."""
    predictors: dict[str, dict[str, Any]] = {}
    for name, predictor in program.named_predictors() or _frozen(program):
        fields = predictor.signature.fields
        answer = next(iter(predictor.signature.output_fields))
        shown = [{key: str(demo[key]) for key in fields if key in demo} for demo in predictor.demos if demo.get(answer)]
        predictors[name] = {"instruction": predictor.signature.instructions, "demos": shown}
    texts = [
        text
        for one in predictors.values()
        for text in (one["instruction"], *(value for demo in one["demos"] for value in demo.values()))
    ]
    known = json.dumps([task, predictors], sort_keys=True)
    return {
        "program": {
            "predictors": predictors,
            "words": sum(map(count_words, texts)),
            "demos": sum(len(one["demos"]) for one in predictors.values()),
            "digest": hashlib.sha256(known.encode("utf-8", "replace")).hexdigest()[:16],
        }
    }


def _frozen(program: dspy.Module) -> Sequence[tuple[str, Any]]:
    return [(name, one) for name, one in vars(program).items() if isinstance(one, dspy.Predict)]


def _tested(known: Known, digest: str) -> Mapping[str, Any] | None:
    """The record of a program with the same texts, for the same task."""
    return next((one for one in known.values() if one["error"] is None and one["program"]["digest"] == digest), None)


def _protection(program: dspy.Module) -> dict[str, float] | None:
    """The scores on the valset that FIPO reports of the student and of what it returned."""
    scores = (getattr(program, "fipo_report", None) or {}).get("scores")
    return None if scores is None else {side: scores[side]["score"] for side in ("student", "compiled")}


def _proposals(program: dspy.Module) -> dict[str, list[dict[str, str]]]:
    """What FIPO's rewriter proposed for each predictor, and what became of it."""
    rows = (getattr(program, "fipo_report", None) or {}).get("predictors", [])
    return {row["name"]: [dict(one) for one in row["candidates"]] for row in rows}


__all__ = ["STUDENT", "Known", "OutageError", "Runner"]
