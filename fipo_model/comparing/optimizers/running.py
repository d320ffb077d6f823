"""One compile and its test, as a record of plain data: its cost, its result, and how that scores."""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy
from dspy.evaluate import Evaluate
from dspy.signatures import make_signature

from fipo_integrations.dspy import local_lm
from fipo_model import Generator, PromptOptimizer
from fipo_model.comparing.failures import OutageError, describe_failure
from fipo_model.comparing.optimizers.contenders import CONTENDERS, Bench, Compile
from fipo_model.comparing.optimizers.models import Answering, FirstOutput, Meter, Metered, Role
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
        """Compile a task's program and test it. An optimizer that raises is recorded as failed, with what it cost.

        Raises `OutageError` where a model is to blame. `known` are the records so far: a program that was tested
        before, such as an unchanged one, is not tested again.
        """
        bench = self._make_bench(data, seed)
        student = TASKS[task].student()
        found: dict[str, Any] = {"task": task, "contender": contender, "seed": seed}
        with dspy.context(lm=bench.task_model, adapter=FirstOutput(), max_errors=_SILENT):
            compiled, costs, error = self._compile(CONTENDERS[contender][1], bench, student)
            found |= {"error": error, "costs": costs}
            if compiled is None:
                return found
            program = _describe(task, compiled)
            twin = _find_tested(known, program["digest"])
            scores = self._test(compiled, data) if twin is None else twin["test"]
        return found | {
            "program": program,
            "test": scores,
            "score": sum(scores) / len(scores),
            "protected": _read_protection(compiled),
            "proposals": _read_proposals(compiled),
        }

    def without_metric(self, contender: str = "fipo") -> dict[str, Any]:
        """Measure the cost of compiling a program of five predictors without a metric."""
        program = dspy.Module()
        for name, text in _FIVE.items():
            setattr(program, name, dspy.Predict(make_signature(f"message -> {name}", text)))
        bench = self._make_bench(Data(trainset=[], valset=[], testset=[]), seed=0)
        compiled, costs, error = self._compile(CONTENDERS[contender][1], bench, program)
        outcomes = [] if compiled is None else [row["outcome"] for row in compiled.fipo_report["predictors"]]
        return {"costs": costs, "error": error, "outcomes": outcomes}

    def _make_bench(self, data: Data, seed: int) -> Bench:
        def make_model(role: Role, max_tokens: int) -> dspy.LM:
            return local_lm(Answering(self._generator, self.meter, role), max_tokens=max_tokens, seed=seed)

        def make_rewriter(own: PromptOptimizer) -> PromptOptimizer:
            # A new one for every compile, because they remember earlier requests. Instructions of programs come with
            # their fields, so a second model would never be asked.
            metered = Metered(own.rewriter.generator, self.meter, "rewriter")
            own_rewriter = replace(own.rewriter, generator=metered, second=None)
            return PromptOptimizer.from_rewriter(own_rewriter, judge=own.judge)

        return Bench(
            task_model=make_model("task", self._max_tokens),
            proposer=make_model("proposer", self._proposal_tokens),
            rewriter=make_rewriter(self._rewriter),
            sampler=make_rewriter(self._sampler),
            data=data,
            seed=seed,
            num_threads=self._num_threads,
            effort=self._effort,
        )

    def _compile(
        self, make: Compile, bench: Bench, student: dspy.Module
    ) -> tuple[dspy.Module | None, dict[str, Any], str | None]:
        """The program if the optimizer gave one, what it cost, and what went wrong if it gave none."""
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

    def _test(self, program: dspy.Module, data: Data) -> list[float]:
        evaluate = Evaluate(devset=data.testset, metric=is_right, num_threads=self._num_threads, display_progress=False)
        result = evaluate(program)
        self._raise_outage()
        return [float(score) for _, _, score in result.results]

    def _raise_outage(self) -> None:
        outage = self.meter.outage
        if outage is not None:
            raise OutageError(f"a model failed; run the same command again once that is fixed: {outage}") from outage


def _describe(task: str, program: dspy.Module) -> dict[str, Any]:
    """Describe the parts of a program that the task model sees, and how long they are."""
    predictors: dict[str, dict[str, Any]] = {}
    for name, predictor in program.named_predictors() or _frozen_predictors(program):
        instruction = predictor.signature.instructions
        predictors[name] = {"instruction": instruction, "demos": list(_shown_demos(predictor))}
    known = json.dumps([task, predictors], sort_keys=True)
    return {
        "predictors": predictors,
        "words": sum(map(count_words, _texts_of(predictors))),
        "demos": sum(len(one["demos"]) for one in predictors.values()),
        "digest": hashlib.sha256(known.encode("utf-8", "replace")).hexdigest()[:16],
    }


def _shown_demos(predictor: Any) -> Iterator[dict[str, str]]:
    """The demos as the adapter writes them: those with an answer, each with only the signature's fields."""
    answer = next(iter(predictor.signature.output_fields))
    for demo in predictor.demos:
        if demo.get(answer):
            yield {field: str(demo[field]) for field in predictor.signature.fields if field in demo}


def _texts_of(predictors: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for one in predictors.values():
        yield one["instruction"]
        for demo in one["demos"]:
            yield from demo.values()


def _frozen_predictors(program: dspy.Module) -> Sequence[tuple[str, Any]]:
    return [(name, one) for name, one in vars(program).items() if isinstance(one, dspy.Predict)]


def _find_tested(known: Known, digest: str) -> Mapping[str, Any] | None:
    """Find the record of a program with the same texts, for the same task."""
    for record in known.values():
        if record["error"] is None and record["program"]["digest"] == digest:
            return record
    return None


def _read_protection(program: dspy.Module) -> dict[str, float] | None:
    """Read the valset scores that FIPO reports for the student and for the program it returned."""
    scores = _report_of(program).get("scores")
    return None if scores is None else {side: scores[side]["score"] for side in ("student", "compiled")}


def _read_proposals(program: dspy.Module) -> dict[str, list[dict[str, str]]]:
    """Read what FIPO's rewriter proposed for each predictor, and what happened to it."""
    rows = _report_of(program).get("predictors", [])
    return {row["name"]: [dict(one) for one in row["candidates"]] for row in rows}


def _report_of(program: dspy.Module) -> Mapping[str, Any]:
    """The report that FIPO leaves on a program; empty where FIPO did not compile it."""
    return getattr(program, "fipo_report", None) or {}
