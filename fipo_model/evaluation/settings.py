"""The settings of an evaluation: the recipe of `fipo eval`."""

from dataclasses import field
from typing import Literal, get_args

from fipo_model.data.records import Format
from fipo_model.data.tasks.splitting import Part
from fipo_model.errors import explain_missing
from fipo_model.evaluation.benchmarks.cards import BenchmarkName
from fipo_model.models.registry import SMALLEST
from fipo_model.recipes import STRICT

with explain_missing("eval", "pydantic"):
    from pydantic.dataclasses import dataclass as checked


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class DataSettings:
    """Prompts to rewrite, with golden responses and reference rewrites where there are any."""

    path: str
    """A JSONL file of records, or a hub data set."""
    format: Format | None = None
    held_out: float | None = None
    """Evaluate only on the part that a training run with the same share and `split_seed` keeps apart."""
    split_seed: int = 0
    limit: int | None = None
    """Use only so many records, the first ones."""

    def __post_init__(self) -> None:
        if self.held_out is not None and not 0 < self.held_out <= 1:
            raise ValueError(f"held_out must be in (0, 1], but is {self.held_out}")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class SystemSettings:
    """Something that makes a new prompt from a naive one: an optimizer, or a control."""

    kind: Literal["optimizer", "identity", "repeat", "reference"] = "optimizer"
    """`identity` leaves every prompt alone, `repeat` says it twice, `reference` is the record's own chosen rewrite."""
    model: str | None = None
    """For an optimizer: a model's name (docs/models.md), or by default FIPO's own weights."""
    adapter: str | None = None
    """A PEFT adapter's directory, or 'none' for the base as it was before FIPO's training."""
    template: str | None = None
    """A template's name or file; by default the model's own."""
    candidates: int = 1
    judge: bool = False

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError("candidates must be at least 1")
        is_told = any(given is not None for given in (self.model, self.adapter, self.template))
        if self.kind != "optimizer" and (is_told or self.judge or self.candidates > 1):
            raise ValueError(f"a control of the kind {self.kind} has no model, and so no candidates")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class ServerSettings:
    """A test model behind an OpenAI-compatible server that gives likelihoods of prompts (completions with `echo`)."""

    base_url: str
    """Usually ends in /v1. A key is read from OPENAI_API_KEY."""
    name: str
    """The model's name there. No other test model may have it."""
    tokenizer: str | None = None
    """Directory or hub id of its tokenizer, by default the hub id `name`."""
    context: int = 4096
    """Tokens its context holds. A server does not say, and would cut what is longer."""


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class BenchmarkSettings:
    """Task accuracy on the paper's five benchmarks."""

    path: str | None = None
    """A directory of JSONL files, one for each benchmark; by default the hub's data sets."""
    names: list[BenchmarkName] = field(default_factory=lambda: [*get_args(BenchmarkName)])
    systems: list[str] = field(default_factory=list)
    """Which of the systems are measured; by default all that are optimizers."""
    levels: list[Literal["instance", "task"]] = field(default_factory=lambda: ["instance"])
    """`instance`: each question is rewritten, as in the paper. `task`: one instruction for each benchmark is."""
    scorings: list[Literal["likelihood", "letter"]] = field(default_factory=lambda: ["likelihood"])
    """By the likelihood of the choices' texts, or as in the paper by the option's letter."""
    limit: int | None = None
    """Rows of each benchmark, drawn by the seed."""
    servers: list[ServerSettings] = field(default_factory=list)
    """More test models, for the benchmarks only."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class TaskSettings:
    """Task gain and task accuracy: does a rewritten wording serve every input of a task, under every test model?"""

    path: str | None = None
    """A JSONL file of tasks (docs/tasks.md); without it, FIPO's own tasks of the `part`."""
    part: Part = "held-out"
    train: str | None = None
    """The file of tasks that systems were trained on, refused where the two overlap. Its good wordings are what leaked
    phrases are looked for in; without it, those of FIPO's own training part."""
    wordings: int = 2
    """So many hasty wordings of each task are rewritten, and so many good ones; fewer where there are not so many."""
    inputs: int = 8
    """Right outputs are measured on so many examples of each task; on as many others the best good wording is chosen,
    with which rewrites are compared."""
    shown: int = 4
    """So many more a rewriter is shown: their inputs alone, and with their right outputs."""
    answering: list[str] = field(default_factory=list)
    """Models that answer greedily, for the accuracy on tasks whose outputs can be checked."""
    max_new_tokens: int = 64
    """The most tokens an answer may have."""
    limit: int | None = None
    """Use only so many tasks, the first ones."""

    def __post_init__(self) -> None:
        numbers = ("wordings", "inputs", "shown", "max_new_tokens", "limit")
        wrong = [name for name in numbers if getattr(self, name) is not None and getattr(self, name) < 1]
        if wrong:
            raise ValueError(f"{wrong[0]} must be at least 1")


def _usual_systems() -> dict[str, SystemSettings]:
    return {"optimizer": SystemSettings(), "untrained": SystemSettings(adapter="none")}


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class EvaluationSettings:
    """An evaluation of optimizers and controls on the same prompts."""

    output: str
    """Directory of the results. An evaluation that is run again with the same settings resumes there."""
    title: str = "Naive prompts against optimized ones"
    data: dict[str, DataSettings] = field(default_factory=dict)
    systems: dict[str, SystemSettings] = field(default_factory=_usual_systems)
    """By default FIPO's own weights, and their base before training."""
    tasks: TaskSettings | None = None
    test_models: list[str] = field(default_factory=lambda: [SMALLEST.name])
    """Under which golden responses and right outputs are measured and benchmarks answered: any names of models
    (docs/models.md)."""
    max_response_tokens: int | None = None
    """Measure only the golden responses' first tokens; by default all of them."""
    preference: str | None = None
    """The system whose rewrites stand for the rejected ones where a record has none, to measure preference accuracy."""
    benchmarks: BenchmarkSettings | None = None
    timed_prompts: int = 20
    """So many prompts of each data set are also rewritten one at a time, for the latency."""
    seed: int = 0
    """Of the samples, the bootstrap and the benchmarks' rows."""

    def __post_init__(self) -> None:
        if not self.systems or not (self.data or self.tasks):
            raise ValueError("an evaluation needs at least one data set or [tasks], and at least one system")
        # Results are filed under these names, and those of the prompts as they were under "naive".
        if unusable := [name for name in (*self.data, *self.systems) if not name or "/" in name]:
            raise ValueError(f"a data set or system cannot be called {unusable[0]!r}: use a name without /")
        if "naive" in self.systems:
            raise ValueError("a system cannot be called 'naive': that is the name of the original prompts")
        named = [*([self.preference] if self.preference else []), *(self.benchmarks.systems if self.benchmarks else [])]
        if unknown := [name for name in named if name not in self.systems]:
            raise ValueError(f"there is no system {unknown[0]!r}; the systems are {', '.join(self.systems)}")
        if (self.max_response_tokens is not None and self.max_response_tokens < 1) or self.timed_prompts < 0:
            raise ValueError("max_response_tokens must be at least 1, timed_prompts not negative")
