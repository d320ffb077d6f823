"""The contenders: how each optimizer compiles a program, with its own settings for a small budget."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import dspy

from fipo_integrations.dspy import FIPO, FIPOProposer, SearchSettings
from fipo_model import PromptOptimizer
from fipo_model.comparing.optimizers.tasks import Data, is_right, score_with_feedback


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

    auto: Literal["light"] | None
    copro_breadth: int
    copro_depth: int
    mipro_candidates: int | None
    mipro_trials: int | None
    gepa_full_evals: int | None


EFFORTS = {
    # COPRO has no such setting; these are its defaults.
    "light": Effort(
        auto="light",
        copro_breadth=10,
        copro_depth=3,
        mipro_candidates=None,
        mipro_trials=None,
        gepa_full_evals=None,
    ),
    # For trying this out: less than what anybody recommends.
    "least": Effort(
        auto=None,
        copro_breadth=3,
        copro_depth=1,
        mipro_candidates=2,
        mipro_trials=2,
        gepa_full_evals=3,
    ),
}

Compile = Callable[[Bench, dspy.Module], dspy.Module]


def _leave_alone(bench: Bench, student: dspy.Module) -> dspy.Module:
    return student


def _compile_fipo(bench: Bench, student: dspy.Module) -> dspy.Module:
    compiled: dspy.Module = FIPO(optimizer=bench.rewriter).compile(student)
    return compiled


def _make_searching_fipo(bench: Bench, *, demos: int | Literal["auto"]) -> FIPO:
    search = SearchSettings(seed=bench.seed, demos=demos)
    return FIPO(optimizer=bench.sampler, metric=is_right, search=search, num_threads=bench.num_threads)


def _compile_fipo_with_metric(bench: Bench, student: dspy.Module) -> dspy.Module:
    return _search(_make_searching_fipo(bench, demos="auto"), bench, student)


def _compile_fipo_instructions(bench: Bench, student: dspy.Module) -> dspy.Module:
    return _search(_make_searching_fipo(bench, demos=0), bench, student)


def _search(fipo: FIPO, bench: Bench, student: dspy.Module) -> dspy.Module:
    compiled: dspy.Module = fipo.compile(student, trainset=bench.data.trainset, valset=bench.data.valset)
    return compiled


def _compile_fipo_then_bootstrap(bench: Bench, student: dspy.Module) -> dspy.Module:
    student.set_lm(bench.task_model)  # BetterTogether asks for it
    steps = {"fipo": _make_searching_fipo(bench, demos=0), "bootstrap": dspy.BootstrapFewShot(metric=is_right)}
    compiled: dspy.Module = dspy.BetterTogether(metric=is_right, **steps).compile(
        student,
        trainset=bench.data.trainset,
        valset=bench.data.valset,
        num_threads=bench.num_threads,
        seed=bench.seed,
        strategy=" -> ".join(steps),
    )
    if compiled.flag_compilation_error_occurred:
        raise RuntimeError("a step of BetterTogether failed; its log says why")
    return compiled


def _compile_bootstrap(bench: Bench, student: dspy.Module) -> dspy.Module:
    optimizer = dspy.BootstrapFewShot(metric=is_right)
    compiled: dspy.Module = optimizer.compile(student, trainset=bench.data.trainset)
    return compiled


def _compile_mipro(bench: Bench, student: dspy.Module) -> dspy.Module:
    effort = EFFORTS[bench.effort]
    optimizer = dspy.MIPROv2(
        metric=is_right,
        prompt_model=bench.proposer,
        task_model=bench.task_model,
        auto=effort.auto,
        num_candidates=effort.mipro_candidates,
        num_threads=bench.num_threads,
        seed=bench.seed + 1,  # it takes 0 for none
    )
    compiled: dspy.Module = optimizer.compile(
        student,
        trainset=bench.data.trainset,
        valset=bench.data.valset,
        num_trials=effort.mipro_trials,
        minibatch=effort.auto is not None,
    )
    return compiled


def _compile_copro(bench: Bench, student: dspy.Module) -> dspy.Module:
    effort = EFFORTS[bench.effort]
    optimizer = dspy.COPRO(
        prompt_model=bench.proposer, metric=is_right, breadth=effort.copro_breadth, depth=effort.copro_depth
    )
    # It scores its candidates on its trainset; the others use the valset for that.
    quiet = {"num_threads": bench.num_threads, "display_progress": False, "display_table": False}
    compiled: dspy.Module = optimizer.compile(student, trainset=bench.data.valset, eval_kwargs=quiet)
    return compiled


def _compile_gepa(bench: Bench, student: dspy.Module) -> dspy.Module:
    return _evolve(bench, student, {"reflection_lm": bench.proposer})


def _compile_gepa_with_fipo(bench: Bench, student: dspy.Module) -> dspy.Module:
    proposer = FIPOProposer(optimizer=bench.sampler, program=student, seed=bench.seed)
    return _evolve(bench, student, {"instruction_proposer": proposer})


def _evolve(bench: Bench, student: dspy.Module, proposing: dict[str, Any]) -> dspy.Module:
    effort = EFFORTS[bench.effort]
    optimizer = dspy.GEPA(
        metric=score_with_feedback,
        auto=effort.auto,
        max_full_evals=effort.gepa_full_evals,
        num_threads=bench.num_threads,
        seed=bench.seed,
        **proposing,
    )
    compiled: dspy.Module = optimizer.compile(student, trainset=bench.data.trainset, valset=bench.data.valset)
    return compiled


STUDENT = "student"
FIPO_ROWS = ("fipo-metric", "fipo-instructions", "fipo", "fipo-bootstrap")
RIVALS = ("mipro", "copro", "gepa")
"""Those that FIPO's calls, time and score are held against."""
CONTENDERS: dict[str, tuple[str, Compile]] = {
    STUDENT: ("the program as it was", _leave_alone),
    "fipo": ("FIPO without a metric", _compile_fipo),
    "fipo-metric": ("FIPO with the metric", _compile_fipo_with_metric),
    "fipo-instructions": ("FIPO with the metric, without demonstrations", _compile_fipo_instructions),
    "fipo-bootstrap": ("the same, then BootstrapFewShot", _compile_fipo_then_bootstrap),
    "bootstrap": ("BootstrapFewShot", _compile_bootstrap),
    "mipro": ("MIPROv2", _compile_mipro),
    "copro": ("COPRO", _compile_copro),
    "gepa": ("GEPA", _compile_gepa),
    "gepa-fipo": ("GEPA with FIPOProposer", _compile_gepa_with_fipo),
}
"""What each is called and does, the cheap ones first: a run that is stopped has those for every task."""
