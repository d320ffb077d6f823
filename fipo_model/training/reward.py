"""Reinforcement learning on the worth of rewrites: GRPO with the task gain and other parts as the reward."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl
from fipo_model.backends.engine import here
from fipo_model.errors import explain_missing
from fipo_model.models.names import Checkpoint, resolve
from fipo_model.training import reward_rows
from fipo_model.training.finishing import is_finished
from fipo_model.training.processes import is_first_process, say
from fipo_model.training.reward_functions import Reply, Rewarding, RewardModels, Worth
from fipo_model.training.reward_rows import EXERCISE, Exercise
from fipo_model.training.run import claimed, common_arguments, execute, make_config, prepare, starting_point
from fipo_model.training.settings import RewardSettings
from fipo_model.training.trainers import RewardTrainer

with explain_missing("train", "transformers", "trl"):
    from transformers import TrainerCallback
    from trl import GRPOConfig

SAMPLES = "samples.jsonl"
# TRL's 1e-6 is for all weights; adapters need about ten times as much. A starting point, not the result of a search.
_LEARNING_RATE = {"lora": 2e-5, "qlora": 2e-5, "full": 1e-6}
# An addition is a sentence or two. One that has not ended by then gets the least reward.
_MOST_TOKENS = 64


@here()
def train_reward(settings: RewardSettings, *, resume: bool = False) -> Path:
    """Train a model by what its rewrites do to tasks; gives the directory that `PromptOptimizer.from_pretrained` loads.

    OUTPUT/samples.jsonl has every sample with its reward. `resume` starts from the last checkpoint of a run that was
    stopped, or returns at once if it was finished. Raises `InputError` for settings that cannot be used or tasks that
    are kept apart, `TrainingError` if the run cannot continue.
    """
    with claimed(settings, resume=resume) as output:
        if is_finished(output):
            return output
        exercises, left_out = reward_rows.read_exercises(settings.data, seed=settings.seed)
        _say_who_measures(settings)
        config = make_config(GRPOConfig, _arguments(settings, output))
        models = RewardModels.opened(settings.reward)
        run = prepare(settings, output, config, partial(reward_rows.encode, exercises, settings.data, left_out))
        rewarding = Rewarding(models, run.template, settings.reward)
        functions = _Functions(rewarding, exercises, _Samples(output / SAMPLES))

        def make_trainer() -> RewardTrainer:
            trainer = RewardTrainer(
                model=run.model,
                reward_funcs=[getattr(functions, name) for name in _weights(settings)],
                args=config,
                train_dataset=run.data.train,
                processing_class=run.tokenizer,
                peft_config=run.peft_config,
                callbacks=[functions.samples],
            )
            functions.end_tokens = frozenset(trainer.eos_token_ids)
            return trainer

        return execute(make_trainer, run, settings, resume=resume)


def _weights(settings: RewardSettings) -> dict[str, float]:
    """The parts of the reward that count, each with its weight."""
    reward = settings.reward
    accuracy = 0.0 if reward.answering is None else reward.accuracy
    weights = {"task_gain": reward.gain, "task_accuracy": accuracy, "leak": reward.leak, "contract": reward.contract}
    return {name: weight for name, weight in weights.items() if weight}


def _arguments(settings: RewardSettings, output: Path) -> dict[str, Any]:
    defaults = {"learning_rate": _LEARNING_RATE[settings.method], "max_completion_length": _MOST_TOKENS}
    decided = {
        "reward_weights": list(_weights(settings).values()),
        "remove_unused_columns": False,
        "log_completions": False,
    }
    return common_arguments(settings, output, defaults) | decided


def _say_who_measures(settings: RewardSettings) -> None:
    """A model that rewards its own rewrites teaches what pleases it; the user should know that."""
    trained = starting_point(settings)
    names = [*settings.reward.test_models, *([settings.reward.answering] if settings.reward.answering else [])]
    for name in dict.fromkeys(names):
        found = resolve(name, role=None)
        if isinstance(found, Checkpoint) and found.base == trained.base:
            whose = "the model" if found.adapter == trained.adapter else "the base of the model"
            say(f"the reward model {name} is {whose} in training, so it rewards its own preferences; name others, too")


class _Samples(TrainerCallback):
    """Writes every sample with its reward as a line of JSON; after a stop, samples to be redrawn are removed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        rows = jobs.finished_rows(self.path, "step")
        kept = [row for row in rows if row["step"] < state.global_step]
        with jsonl.replacing(self.path) as file:
            file.writelines(map(jsonl.encode_object, kept))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write samples; of several processes only the first writes its own."""
        if is_first_process():
            jobs.append(self.path, rows)


class _Functions:
    """The parts of the reward as TRL asks for them, one after the other, of the same replies."""

    def __init__(self, rewarding: Rewarding, exercises: Sequence[Exercise], samples: _Samples) -> None:
        self.rewarding = rewarding
        self.exercises = exercises
        self.samples = samples
        self.end_tokens: frozenset[int] = frozenset()
        self._asked: list[Reply] = []
        self._found: list[Worth] = []

    def task_gain(self, completions: Any, completion_ids: Any, **columns: Any) -> list[float | None]:
        """How much likelier right outputs become."""
        return [worth.task_gain for worth in self._measured(completions, completion_ids, columns)]

    def task_accuracy(self, completions: Any, completion_ids: Any, **columns: Any) -> list[float | None]:
        """How many more answers are right."""
        return [worth.task_accuracy for worth in self._measured(completions, completion_ids, columns)]

    def leak(self, completions: Any, completion_ids: Any, **columns: Any) -> list[float | None]:
        """Whether answers or details are given away."""
        return [worth.leak for worth in self._measured(completions, completion_ids, columns)]

    def contract(self, completions: Any, completion_ids: Any, **columns: Any) -> list[float | None]:
        """Whether a check failed."""
        return [worth.contract for worth in self._measured(completions, completion_ids, columns)]

    def _measured(self, completions: Any, completion_ids: Any, columns: dict[str, Any]) -> list[Worth]:
        """The worth of each reply, measured when its first part is asked for."""
        replies = [
            Reply(exercise=self.exercises[number], text=message["content"], is_truncated=ids[-1] not in self.end_tokens)
            for number, (message,), ids in zip(columns[EXERCISE], completions, completion_ids, strict=True)
        ]
        if replies != self._asked:
            self._asked, self._found = replies, self.rewarding.measure(replies)
            self.samples.add(self._rows(columns["trainer_state"].global_step))
        return self._found

    def _rows(self, step: int) -> Iterator[dict[str, Any]]:
        for reply, worth in zip(self._asked, self._found, strict=True):
            request = reply.exercise.request
            yield {
                "step": step,
                "task": reply.exercise.task.name,
                "wording": request.instruction,
                "shown": len(request.examples),
                "reply": reply.text,
                "reward": worth.total(self.rewarding.weights),
                **worth.to_fields(),
            }
