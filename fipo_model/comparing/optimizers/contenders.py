"""Everybody who takes part: how each optimizer compiles a program, with its own settings for a small budget."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dspy

from fipo_integrations.dspy import FIPO, FIPOProposer, SearchSettings
from fipo_model import PromptOptimizer
from fipo_model.comparing.optimizers.tasks import Data, is_right, with_feedback


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a compile is given: the same models, data and threads for everybody."""

    task_model: dspy.LM
    proposer: dspy.LM
    """Writes and reflects for DSPy's optimizers."""
    rewriter: PromptOptimizer
    """FIPO's default weights, or those it was told to use."""
    sampler: PromptOptimizer
    """FIPO's weights for where a metric chooses, or those it was told to use."""
    data: Data
    seed: int
    num_threads: int
    effort: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What the optimizers that have a choice may spend."""

    auto: str | None
    copro_breadth: int
    copro_depth: int
    mipro_candidates: int
    mipro_trials: int
    gepa_full_evals: int


EFFORTS = {
    # COPRO has no such word; these are its defaults.
    "light": Effort(
        auto="light", copro_breadth=10, copro_depth=3, mipro_candidates=0, mipro_trials=0, gepa_full_evals=0
    ),
    # For trying the script out: less than what anybody recommends.
    "least": Effort(auto=None, copro_breadth=3, copro_depth=1, mipro_candidates=2, mipro_trials=2, gepa_full_evals=3),
}

Compile = Callable[[Bench, dspy.Module], dspy.Module]


def _student(bench: Bench, student: dspy.Module) -> dspy.Module:
    return student


def _fipo(bench: Bench, student: dspy.Module) -> dspy.Module:
    return FIPO(optimizer=bench.rewriter).compile(student)


def _searching(bench: Bench) -> FIPO:
    search = SearchSettings(seed=bench.seed)
    return FIPO(optimizer=bench.sampler, metric=is_right, search=search, num_threads=bench.num_threads)


def _fipo_with_metric(bench: Bench, student: dspy.Module) -> dspy.Module:
    return _searching(bench).compile(student, trainset=bench.data.trainset, valset=bench.data.valset)


def _fipo_then_bootstrap(bench: Bench, student: dspy.Module) -> dspy.Module:
    student.set_lm(bench.task_model)  # BetterTogether asks for it
    steps = {"fipo": _searching(bench), "bootstrap": dspy.BootstrapFewShot(metric=is_right)}
    compiled = dspy.BetterTogether(metric=is_right, **steps).compile(
        student,
        trainset=bench.data.trainset,
        valset=bench.data.valset,
        num_threads=bench.num_threads,
        seed=bench.seed,
        strategy=" -> ".join(steps),
    )
    if compiled.flag_compilation_error_occurred:
        raise RuntimeError("a step of BetterTogether failed; its log says how")
    return compiled


def _bootstrap(bench: Bench, student: dspy.Module) -> dspy.Module:
    return dspy.BootstrapFewShot(metric=is_right).compile(student, trainset=bench.data.trainset)


def _mipro(bench: Bench, student: dspy.Module) -> dspy.Module:
    effort = EFFORTS[bench.effort]
    optimizer = dspy.MIPROv2(
        metric=is_right,
        prompt_model=bench.proposer,
        task_model=bench.task_model,
        auto=effort.auto,
        num_candidates=effort.mipro_candidates or None,
        num_threads=bench.num_threads,
        seed=bench.seed + 1,  # it takes 0 for none
    )
    given = {"trainset": bench.data.trainset, "valset": bench.data.valset}
    if effort.auto is not None:
        return optimizer.compile(student, **given)
    return optimizer.compile(student, **given, num_trials=effort.mipro_trials, minibatch=False)


def _copro(bench: Bench, student: dspy.Module) -> dspy.Module:
    effort = EFFORTS[bench.effort]
    optimizer = dspy.COPRO(
        prompt_model=bench.proposer, metric=is_right, breadth=effort.copro_breadth, depth=effort.copro_depth
    )
    # What it calls its trainset is what it scores its candidates on, which for the others is the valset.
    quiet = {"num_threads": bench.num_threads, "display_progress": False, "display_table": False}
    return optimizer.compile(student, trainset=bench.data.valset, eval_kwargs=quiet)


def _gepa(bench: Bench, student: dspy.Module) -> dspy.Module:
    return _evolved(bench, student, reflection_lm=bench.proposer)


def _gepa_with_fipo(bench: Bench, student: dspy.Module) -> dspy.Module:
    proposer = FIPOProposer(optimizer=bench.sampler, program=student, seed=bench.seed)
    return _evolved(bench, student, instruction_proposer=proposer)


def _evolved(bench: Bench, student: dspy.Module, **proposing: Any) -> dspy.Module:
    effort = EFFORTS[bench.effort]
    optimizer = dspy.GEPA(
        metric=with_feedback,
        auto=effort.auto,
        max_full_evals=effort.gepa_full_evals or None,
        num_threads=bench.num_threads,
        seed=bench.seed,
        **proposing,
    )
    return optimizer.compile(student, trainset=bench.data.trainset, valset=bench.data.valset)


STUDENT = "student"
FIPO_ROWS = ("fipo-metric", "fipo", "fipo-bootstrap")
RIVALS = ("mipro", "copro", "gepa")
"""Those that FIPO's calls, time and score are held against."""
CONTENDERS: dict[str, tuple[str, Compile]] = {
    STUDENT: ("the program as it was", _student),
    "fipo": ("FIPO without a metric", _fipo),
    "fipo-metric": ("FIPO with the metric", _fipo_with_metric),
    "fipo-bootstrap": ("FIPO with the metric, then BootstrapFewShot", _fipo_then_bootstrap),
    "bootstrap": ("BootstrapFewShot", _bootstrap),
    "mipro": ("MIPROv2", _mipro),
    "copro": ("COPRO", _copro),
    "gepa": ("GEPA", _gepa),
    "gepa-fipo": ("GEPA with FIPOProposer", _gepa_with_fipo),
}
"""What each is called and does, the cheap ones first: a run that is stopped has those for every task."""
