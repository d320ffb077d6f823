"""The settings of training runs: one frozen dataclass for each method, and recipes in TOML that fill them."""

import math
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from fipo_model import recipes
from fipo_model.data.diversify import Parts
from fipo_model.data.records import Format
from fipo_model.errors import explain_missing
from fipo_model.models.registry import SMALLEST
from fipo_model.recipes import STRICT

with explain_missing("train", "pydantic"):
    from pydantic import TypeAdapter, ValidationError
    from pydantic.dataclasses import dataclass as checked


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class DataSettings:
    """Which rows a model is trained on."""

    train: str
    """A JSONL file of records or of training rows, or a hub data set."""
    format: Format | None = None
    """The records' format, where it is not to be recognised from their fields."""
    parts: Parts = "diversified"
    """Which responses a rewriting row shows; see `Diversification`."""
    iterative: bool = False
    """Whether to add answering and discrimination rows; see `Diversification`."""
    held_out: float = 0.05
    """Share of the records kept for evaluation, chosen by their ids."""
    max_length: int = 2048
    """The most tokens a row may have, prompt and reply together. Longer rows are counted and left out, never cut."""
    limit: int | None = None
    """Use only so many records, the first ones."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out must be in [0, 1), but is {self.held_out}")
        if self.max_length < 2 or (self.limit is not None and self.limit < 1):
            raise ValueError("max_length must be at least 2, and limit at least 1")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class LoraSettings:
    """The adapter (Hu et al. 2021, arXiv 2106.09685)."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"
    """The choice of the paper's own code is ["q_proj", "v_proj"]."""

    def __post_init__(self) -> None:
        if self.r < 1 or self.alpha < 1 or not 0 <= self.dropout < 1:
            raise ValueError("r and alpha must be at least 1, and dropout in [0, 1)")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class RunSettings:
    """The settings of every training run, whatever it learns from."""

    output: str
    """Directory of the run; what `PromptOptimizer.from_pretrained` loads when it is done."""
    model: str | None = None
    """Base model: a registered name, a directory or a hub id; by default `smollm2-135m`."""
    adapter: str | None = None
    """Adapter to continue training, such as the output of an earlier run."""
    method: Literal["lora", "full", "qlora"] = "lora"
    lora: LoraSettings = field(default_factory=LoraSettings)
    template: str | None = None
    """One of FIPO's templates by its name, or a file in the layout of the paper's code; by default the model's own."""
    seed: int = 0
    gradient_checkpointing: bool = False
    """Less memory for activations, which are computed twice."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Handed to TRL's own config untouched."""

    def __post_init__(self) -> None:
        if self.method == "full" and self.lora != LoraSettings():
            raise ValueError("method 'full' trains all weights, so there is no adapter for [lora] to describe")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class SFTSettings(RunSettings):
    """Supervised fine-tuning: the chosen rewrite is learnt word for word."""

    data: DataSettings


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class PreferenceSettings(SFTSettings):
    """Preference training: the chosen rewrite is to become likelier than the rejected one."""

    loss: str = "ipo"
    """`sigmoid` (DPO), `ipo`, or another of TRL's by its name."""
    beta: float = 0.01
    """Weight of the reference model. IPO asks for a margin of 1 / (2 beta) between the log-ratios, see `log_ratios`."""
    log_ratios: Literal["sum", "mean"] = "sum"
    """What IPO compares. `sum`, as in the paper and its own code: log-ratios of whole replies; beta 0.01 asks for
    a margin of 50 nats over a reply. `mean`, TRL's convention: log-ratios per token; beta 0.01 would ask for 50
    nats per token, and 0.5 to 1 is about what 0.01 is for `sum`."""

    def __post_init__(self) -> None:
        RunSettings.__post_init__(self)  # slots: there is no super() here
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta must be a number above 0, but is {self.beta}")
        if self.log_ratios == "mean" and self.loss != "ipo":
            raise ValueError(f"log_ratios = 'mean' is only for the loss 'ipo'; {self.loss!r} always takes sums")
        changed = [name for name, value in _ON_MEANS.items() if self.trainer.get(name, value) != value]
        if changed and self.log_ratios == "sum" and self.loss == "ipo":
            raise ValueError(
                f"trainer.{changed[0]} changes TRL's own IPO, which works on means. Set log_ratios = 'mean' (and a "
                "beta that fits it), choose another loss, or leave this out."
            )


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class IterativeSettings(PreferenceSettings):
    """Iterative preference learning (paper, algorithm 1)."""

    rounds: int = 3
    """Rounds of one epoch; the first is the warm-up on the original data."""
    judge: Literal["self", "likelihood"] | str = "self"
    """Who decides whether a rewrite replaces the naive prompt: the model in training, the golden response's likelihood
    under `test_models`, or another model by any name (docs/models.md), a server's address too."""
    test_models: list[str] = field(default_factory=list)
    """For the likelihood judge; by default the base model."""
    margin: float = 0.0
    """For the likelihood judge: how much likelier, in nats per token."""
    max_new_tokens: int = 256
    """The most tokens an answer to a rewritten prompt may have."""

    def __post_init__(self) -> None:
        PreferenceSettings.__post_init__(self)
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, not {self.rounds}")
        if not 0 <= self.margin < math.inf or self.max_new_tokens < 1:
            raise ValueError("margin must be at least 0, and max_new_tokens at least 1")
        if self.judge != "likelihood" and (self.test_models or self.margin):
            raise ValueError(f"test_models and margin are for the judge 'likelihood', not {self.judge!r}")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class TaskDataSettings:
    """Which tasks rewrites are for, and what is shown of them."""

    train: str | None = None
    """A JSONL file of tasks (docs/tasks.md); by default FIPO's own, of the training part."""
    held_out: str | None = None
    """A file of the tasks that are kept apart: a run on tasks that overlap with them is refused."""
    wordings: int = 2
    """So many hasty wordings of each task are rewritten; fewer where there are not so many."""
    good_wordings: int = 1
    """So many good ones, too, so that leaving them alone is learnt."""
    shown: int = 4
    """A hasty wording is rewritten with nothing shown, with one to so many inputs, and with their right outputs."""
    inputs: int = 8
    """The reward of a wording is measured on so many other examples of its task."""
    max_length: int = 1024
    """The most tokens a request for a rewrite may have. Longer ones are counted and left out, never cut."""
    limit: int | None = None
    """Use only so many tasks, the first ones."""

    def __post_init__(self) -> None:
        at_least_one = ("wordings", "inputs", "max_length", "limit")
        wrong = [name for name in at_least_one if getattr(self, name) is not None and getattr(self, name) < 1]
        if wrong or self.shown < 0 or self.good_wordings < 0:
            raise ValueError(f"{', '.join(at_least_one)} must be at least 1, and shown and good_wordings at least 0")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class RewardWeights:
    """What a rewritten wording is worth: the sum of its parts, each by its weight."""

    test_models: list[str] = field(default_factory=lambda: [SMALLEST.name])
    """Under which right outputs should become likelier, any names of models (docs/models.md); the least gain counts."""
    answering: str | None = None
    """The model whose greedy answers should become right, on tasks with a check; without it, accuracy is no part."""
    gain: float = 1.0
    """Of the task gain in nats per token, within `cap` on both sides."""
    cap: float = 1.6
    accuracy: float = 1.0
    """Of the change in the share of right answers."""
    leak: float = 1.0
    """Of what a wording loses that gives away a right output or a detail of an input the reward is measured on."""
    contract: float = 1.0
    """Of what a reply loses that fails a check. It has the least of every other part, too, and is measured nowhere."""
    max_new_tokens: int = 32
    """The most tokens an answer may have."""

    def __post_init__(self) -> None:
        weights = (self.gain, self.accuracy, self.leak, self.contract)
        if not all(0 <= weight < math.inf for weight in weights) or not self.gain + self.accuracy:
            raise ValueError("gain, accuracy, leak and contract must not be negative, and gain or accuracy more than 0")
        if not 0 < self.cap < math.inf or self.max_new_tokens < 1:
            raise ValueError("cap must be above 0, and max_new_tokens at least 1")
        if self.gain and not self.test_models:
            raise ValueError("a task gain needs test_models: name some, or set gain = 0")
        if not self.gain and self.answering is None:
            raise ValueError("without gain, answering must name the model whose answers should become right")


@checked(frozen=True, slots=True, kw_only=True, config=STRICT)
class RewardSettings(RunSettings):
    """Reinforcement learning (GRPO): a rewrite is worth what it does to the inputs of its task."""

    data: TaskDataSettings = field(default_factory=TaskDataSettings)
    reward: RewardWeights = field(default_factory=RewardWeights)


Settings = TypeVar("Settings", bound=RunSettings)

# Settings that TRL's IPO heeds but FIPO's, on summed log-ratios, does not, with TRL's defaults.
_ON_MEANS = {"ld_alpha": None, "use_weighting": False, "f_divergence_type": "reverse_kl"}

# What FIPO sets itself in TRL's config, and what a user does instead.
_OURS_IN_ALL = {
    "output_dir": "set output instead",
    "seed": "set seed instead",
    "gradient_checkpointing": "set gradient_checkpointing instead",
    "push_to_hub": "leave it out; FIPO uploads nothing",
}
_OURS = _OURS_IN_ALL | {
    "max_length": "set data.max_length instead",
    "train_sampling_strategy": "leave it out; batches are always grouped by length",
    "length_column_name": "leave it out; batches are always grouped by length",
}
_OURS_IN_SFT = _OURS | {
    "loss_type": "leave it out; what is learnt is the likelihood of the chosen rewrite",
    "packing": "leave it out; every row stands alone, in batches of similar length",
}
_OURS_IN_PREFERENCE = _OURS | {"loss_type": "set loss instead", "beta": "set beta instead"}
_OURS_IN_REWARD = _OURS_IN_ALL | {
    "reward_weights": "set [reward] instead",
    "remove_unused_columns": "leave it out; the reward needs those columns",
    "log_completions": "leave it out; samples.jsonl has all completions",
}
_PLAIN = {int, float, bool, str, type(None)}


def load_recipe(path: str | Path, kind: type[Settings], overrides: tuple[str, ...] = ()) -> Settings:
    """Settings from a recipe, see `recipes.read`. What is wrong with `[trainer]` is told together with the rest."""
    return recipes.read(path, kind, overrides, also=lambda table: trainer_problems(kind, table.get("trainer")))


def trainer_problems(kind: type[RunSettings], table: object) -> list[str]:
    """What is wrong with a `[trainer]` table."""
    if not isinstance(table, dict):
        return []
    known, ours = _config_of(kind)
    problems = [f"trainer.{key}: {ours[key]}" for key in table if key in ours]
    unknown = [key for key in table if key not in known.__dataclass_fields__ and key not in ours]
    problems += [f"trainer.{key}: {known.__name__} has no such setting{_similar(key, known)}" for key in unknown]
    types = get_type_hints(known)
    set_here = {key: value for key, value in table.items() if key in types and key not in ours}
    return problems + [problem for key, value in set_here.items() for problem in _wrong_type(key, value, types[key])]


def _config_of(kind: type[RunSettings]) -> tuple[Any, dict[str, str]]:
    """TRL's config for a kind of training, and what FIPO sets in it."""
    with explain_missing("train", "trl"):
        from trl import DPOConfig, GRPOConfig, SFTConfig

    if issubclass(kind, RewardSettings):
        return GRPOConfig, _OURS_IN_REWARD
    return (DPOConfig, _OURS_IN_PREFERENCE) if issubclass(kind, PreferenceSettings) else (SFTConfig, _OURS_IN_SFT)


def _wrong_type(key: str, value: object, wanted: Any) -> list[str]:
    """What is wrong with a value of a plain type; TRL itself checks all others."""
    if not set(get_args(wanted) or (wanted,)) <= _PLAIN:
        return []
    try:
        TypeAdapter(wanted).validate_python(value, strict=True)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        return [f"trainer.{key}: {message[0].lower()}{message[1:]}, not {value!r}"]
    return []


def _similar(key: str, known: Any) -> str:
    import difflib

    close = difflib.get_close_matches(key, known.__dataclass_fields__, n=1)
    return f"; did you mean {close[0]}?" if close else ""
