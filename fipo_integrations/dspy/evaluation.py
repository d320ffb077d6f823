"""A program as the subject of a search. dspy.Evaluate runs its variants; what it does not report is kept here."""

import functools
import inspect
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import dspy
from dspy.dsp.utils.settings import settings
from dspy.evaluate import Evaluate

from fipo_integrations.dspy import demos
from fipo_integrations.dspy.programs import executed, with_texts
from fipo_integrations.dspy.responses import Step, as_text, steps
from fipo_model.errors import InputError
from fipo_model.search import (
    Failed,
    Judgement,
    Measured,
    Measurement,
    Note,
    Run,
    UnmeasurableError,
    digest,
    digest_of,
    failure,
    judgement,
    own_inputs,
)

logger = logging.getLogger("fipo.dspy")

# So many runs that fail alike, spread over the examples, stand for all.
_FEW = 5
_FURTHER = ("trace", "pred_name", "pred_trace")


class Metric:
    """A user's metric as a function that returns a finite number and perhaps a comment.

    Raises `InputError` for what is no metric, with what to pass instead.
    """

    def __init__(self, metric: Callable[..., Any]) -> None:
        _check_callable(metric)
        self._metric = metric
        self._unused, self._named = _further_arguments(metric)
        self.misuse: InputError | None = None
        """Set once the metric returned what is no number. That is a mistake in the metric, not a failed example."""

    @property
    def name(self) -> str:
        """The function's name, or the class of a callable object."""
        return metric_name(self._metric)

    @property
    def identity(self) -> str:
        """What tells it from any other metric, even one of the same name."""
        return f"{self.name} ({digest_of(self._metric)})"

    def __call__(self, example: dspy.Example, prediction: Any) -> float:
        """The score; raises whatever the metric raises."""
        return self.judge(example, prediction).score

    def judge(self, example: dspy.Example, prediction: Any) -> Judgement:
        """The score with its comment; raises whatever the metric raises."""
        value = self._metric(example, prediction, *self._unused, **self._named)
        try:
            return judgement(value, metric=self.name)
        except InputError as error:
            self.misuse = error
            raise

    def measured(self, example: dspy.Example, prediction: Any) -> Measured:
        """The same as a measurement; raises whatever the metric raises."""
        judged = self.judge(example, prediction)
        response = answer_of(example, prediction) or None
        return Measured(scores=(judged.score,), best=judged.best, feedback=judged.feedback, response=response)


def _check_callable(metric: object) -> None:
    if isinstance(metric, type):
        raise InputError(f"metric must be a function or an object, not the class {metric.__name__}: pass an instance")
    if not callable(metric):
        named = " (only PromptOptimizer.search knows metrics by name)" if isinstance(metric, str) else ""
        raise InputError(
            f"metric must be a function, not {metric!r:.80}{named}: write one, such as "
            "lambda example, prediction, trace=None: example.answer == prediction.answer"
        )


def _further_arguments(metric: Callable[..., Any]) -> tuple[Sequence[None], Mapping[str, None]]:
    """None for what a metric for MIPROv2 or GEPA insists on (`_FURTHER`), and a search does not have.

    Raises `InputError` for a metric that takes something else.
    """
    try:
        signature = inspect.signature(metric)
        unused, named = _required(signature)
        signature.bind(None, None, *unused, **named)
    except TypeError as error:
        raise InputError(
            f"the metric {metric_name(metric)} must take (example, prediction), or also {', '.join(_FURTHER)}: {error}"
        ) from error
    except ValueError:
        logger.debug("the metric does not say what it takes; that will show")  # so do some written in C
        return (), {}
    return unused, named


def _required(signature: inspect.Signature) -> tuple[Sequence[None], Mapping[str, None]]:
    required = [one for one in signature.parameters.values() if one.default is one.empty]
    by_place = [one for one in required if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    named = {one.name: None for one in required if one.kind is one.KEYWORD_ONLY and one.name in _FURTHER}
    return [None] * min(len(by_place) - 2, len(_FURTHER)), named


def metric_name(metric: Callable[..., Any]) -> str:
    """The function's name, or the class of a callable object."""
    return getattr(metric, "__name__", type(metric).__name__)


class Kept(TypedDict, total=False):
    """What a traced run leaves beside its score. Plain data."""

    calls: dict[str, demos.Fields]
    """By predictor, what may be shown of its last call."""
    steps: list[Step]
    """What each predictor put out, in the order they were called."""


class _SideBySide(dspy.Module):
    """Several programs as one, so that DSPy runs all of them in one evaluation: an extra input says whose turn it is.

    What they raise is remembered. A single program is saved and inspected as if it were not wrapped.
    """

    _TURN = "fipo_run"

    def __init__(self, programs: Sequence[dspy.Module], *, traced: Collection[int] = ()) -> None:
        super().__init__()
        self.programs = list({id(one): one for one in programs}.values())
        self._turns = programs
        self._traced = traced
        self.traces: dict[int, list[tuple[Any, Any, Any]]] = {}
        """By their turns, the calls of the predictors in runs that were to be traced."""
        self._errors: dict[int, Exception] = {}
        self.known: dict[int, Any] = {}
        """By their turns, the predictions of runs that are not made again."""

    @classmethod
    def example(cls, example: dspy.Example, turn: int) -> dspy.Example:
        """A copy of the example for one of the runs."""
        twin: dspy.Example = example.copy(**{cls._TURN: turn}).with_inputs(*example.inputs().keys(), cls._TURN)
        return twin

    def forward(self, **inputs: Any) -> Any:
        """That program's prediction."""
        turn = inputs.pop(self._TURN)
        if turn in self.known:
            return self.known[turn]
        own = own_inputs(inputs)
        try:
            if turn not in self._traced:
                return self._turns[turn](**own)
            with dspy.context(trace=[]):
                prediction = self._turns[turn](**own)
                self.traces[turn] = list(settings.trace)
                return prediction
        except Exception as error:
            self._errors[turn] = error
            raise

    def failure(self, turn: int) -> Failed:
        """Why a run gave nothing."""
        error = self._errors.get(turn)
        return Failed(cause="DSPy ended it", is_passing=False) if error is None else _raised("program", error)

    def calls_to_show(self, turn: int, prediction: Any, example: dspy.Example) -> dict[str, demos.Fields]:
        """What may be shown of a traced run."""
        return demos.calls_to_show(self._turns[turn], self.traces[turn], prediction, example)

    def steps(self, turn: int) -> list[Step]:
        """What the predictors put out in a traced run."""
        return steps(self._turns[turn], self.traces[turn])

    def named_parameters(self) -> Any:
        if len(self.programs) == 1:
            return self.programs[0].named_parameters()
        return super().named_parameters()


class Variants:
    """A program with other instructions, on examples: a `Subject`. Each variant is copied only once.

    Copies are kept, as the candidates of a compiled program. After the examples that decide come those that
    demonstrations are taken from. On these, a variant is run without what it shows of the same example, and what was
    said in the run is kept with its score. So is what the student says on the examples that are to be heard.
    """

    def __init__(
        self,
        student: dspy.Module,
        texts: Mapping[str, str],
        examples: Sequence[dspy.Example],
        metric: Metric,
        *,
        to_show: Sequence[dspy.Example],
        to_hear: Mapping[int, dspy.Example],
        evaluate: Callable[..., Evaluate],
    ) -> None:
        self.texts = dict(texts)
        """The student's instructions, by predictor."""
        self.student = student
        places = {id(example): place for place, example in enumerate((*examples, *to_show))}
        others = [example for example in to_hear.values() if id(example) not in places]
        places |= {id(example): place for place, example in enumerate(others, start=len(examples) + len(to_show))}
        # Copies, so that two occurrences of one example can be told apart. `copy` forgets the inputs before DSPy 3.4.
        self.examples: Sequence[dspy.Example] = [
            example.with_inputs(*example.inputs().keys()) for example in (*examples, *to_show, *others)
        ]
        self._deciding = len(examples)
        self.shown = range(len(examples), len(examples) + len(to_show))
        """The numbers of the examples that demonstrations are taken from."""
        self.heard = {number: places[id(example)] for number, example in to_hear.items()}
        """The numbers here of the examples on which it is kept what the student's predictors say."""
        self._metric = metric
        self._evaluation = evaluate
        self._programs: dict[str, dspy.Module] = {}
        self.is_untried = False
        """Whether the next runs are the first ones: then a few of them go ahead."""

    def __len__(self) -> int:
        """How many examples decide."""
        return self._deciding

    def program(self, arm: str, texts: Mapping[str, str]) -> dspy.Module:
        """The student with the texts of an arm; the same one whenever it is asked for."""
        if arm not in self._programs:
            self._programs[arm] = self.fresh(texts)
        return self._programs[arm]

    def _program_for(self, run: Run) -> dspy.Module:
        """The program of an arm, for a shown example without what it shows of it."""
        shown = run.texts.get(demos.DEMOS, "")
        if run.example not in self.shown or not shown:
            return self.program(run.arm, run.texts)
        texts = {**run.texts, demos.DEMOS: demos.apart_from(shown, run.example - len(self))}
        return self.program(digest(texts), texts)

    def _is_heard(self, run: Run) -> bool:
        return run.example in self.heard.values() and run.texts == self.texts

    def _kept(self, together: _SideBySide, turn: int, run: Run, prediction: Any) -> Kept:
        """What is kept of a traced run, each part where it is asked for."""
        kept = Kept()
        if run.example in self.shown:
            kept["calls"] = together.calls_to_show(turn, prediction, self.examples[run.example])
        if self._is_heard(run):
            kept["steps"] = together.steps(turn)
        return kept

    def fresh(self, texts: Mapping[str, str]) -> dspy.Module:
        """A new copy of the student with these instructions, and the demonstrations that go with them."""
        made = with_texts(self.student, texts)
        demos.give(made, texts.get(demos.DEMOS, ""))
        return made

    def measure(self, runs: Sequence[Run], note: Note) -> list[Measurement]:
        """All runs in one evaluation, after a few of the first ones.

        Raises `InputError` where the metric returns no number, and `UnmeasurableError` where those few fail alike: so
        would all others, as they do without a language model.
        """
        traced = {turn for turn, run in enumerate(runs) if run.example in self.shown or self._is_heard(run)}
        together = _SideBySide([self._program_for(run) for run in runs], traced=traced)
        found: dict[int, Measurement] = {}
        evaluate = functools.partial(self._evaluate, together, runs, found, note)
        if self.is_untried and len(runs) > _FEW:
            few = [number * len(runs) // _FEW for number in range(_FEW)]
            together.known = dict(zip(few, evaluate(few), strict=True))
            _check_few([found[turn] for turn in few], of=len(runs))
        self.is_untried = False
        evaluate(range(len(runs)))
        return [found[turn] for turn in range(len(runs))]

    def _evaluate(
        self,
        together: _SideBySide,
        runs: Sequence[Run],
        found: dict[int, Measurement],
        note: Note,
        turns: Sequence[int],
    ) -> list[Any]:
        """The predictions of some of the runs, whose measurements are added to what was found."""
        devset = [_SideBySide.example(self.examples[runs[turn].example], turn) for turn in turns]
        # Bound to these runs, because DSPy may leave a slow example running until the next evaluation.
        by_example = {id(one): turn for turn, one in zip(turns, devset, strict=True)}
        metric = functools.partial(self._scored, together, runs, by_example, found, note)
        is_full = len(together.programs) == 1 and {runs[turn].example for turn in turns} == {*range(len(self))}
        # The caller counts failures.
        evaluate = self._evaluation(devset=devset, metric=metric, max_errors=len(runs) + 1)
        kind = "eval_full" if is_full else "eval_minibatch"
        result = executed(lambda: evaluate(together, callback_metadata={"metric_key": kind}))
        if self._metric.misuse is not None:
            raise self._metric.misuse
        for turn in turns:
            found.setdefault(turn, together.failure(turn))
        return [prediction for _, prediction, _ in result.results]

    def _scored(
        self,
        together: _SideBySide,
        runs: Sequence[Run],
        turns: Mapping[int, int],
        found: dict[int, Measurement],
        note: Note,
        example: dspy.Example,
        prediction: Any,
    ) -> float:
        turn = turns[id(example)]
        if (known := found.get(turn)) is not None:
            return known.scores[0] if isinstance(known, Measured) else 0.0
        run, own = runs[turn], self.examples[runs[turn].example]
        try:
            measured = self._metric.measured(own, prediction)
        except Exception as error:
            found[turn] = replace(_raised("metric", error), is_unscored=True)
            raise
        if turn in together.traces:
            measured = replace(measured, kept=self._kept(together, turn, run, prediction))
        found[turn] = measured
        note(run, measured)
        return measured.scores[0]


def answer_of(example: dspy.Example, outputs: Any) -> str:
    """What a prediction has, or the example itself, where the example has a right value; reasoning has none."""
    if not isinstance(outputs, dspy.Example):
        return ""
    names = example.labels().keys()
    return as_text({name: str(outputs[name]) for name in names if outputs.get(name) is not None})


def _check_few(found: Sequence[Measurement], *, of: int) -> None:
    """Raise `UnmeasurableError` if they failed alike; failures that pass, as rate limits do, are tried again."""
    first = found[0]
    if isinstance(first, Failed) and not first.is_passing and all(one == first for one in found):
        raise UnmeasurableError(
            f"{len(found)} of {of} examples were tried and failed alike, so the others were not run; {first.cause}"
        )


def _raised(by: str, error: Exception) -> Failed:
    found = failure(error)
    return replace(found, cause=f"the {by} raised {found.cause}")


def runs_at_once(num_threads: int | None) -> int:
    """How many runs DSPy makes at a time."""
    threads: int = num_threads or settings.num_threads
    return threads
