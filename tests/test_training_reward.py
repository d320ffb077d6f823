"""Reinforcement learning on tasks: which prompts it trains on, what a reply is worth, and whole runs."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fipo_model.data.tasks import Example, Task, write_tasks
from fipo_model.errors import InputError, ModelError, TrainingError
from fipo_model.optimizer import PromptOptimizer
from fipo_model.templates import FIPO_2
from fipo_model.testing import ScriptedGenerator, ScriptedScorer
from fipo_model.training.reward import train_reward
from fipo_model.training.reward_functions import Reply, Rewarding, RewardModels, Worth
from fipo_model.training.reward_rows import EXERCISE, Exercise, encode, read_exercises
from fipo_model.training.settings import RewardSettings, RewardWeights, TaskDataSettings
from support.killing import kill

pytestmark = pytest.mark.tiny

TRAINER = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "num_generations": 4,
    "max_completion_length": 12,
    "logging_steps": 1,
    "save_steps": 2,
    "learning_rate": 1e-3,
}
if torch.cuda.is_available():  # these tests are about CPUs; where there is nothing else, a run has to find it out
    TRAINER["use_cpu"] = True

GOOD = "Write the plural of the word and nothing else."
WORDS = ("cat", "dog", "cow", "pig", "hen", "fox", "bird", "frog")


def a_task(name: str = "plural", *, examples: int = 6, check: Any = "exact") -> Task:
    return Task(
        name=name,
        family=name,
        source="here",
        hasty=(f"{name}?", f"{name} it"),
        good=(f"Write the {name} of the word and nothing else.",),
        examples=tuple(Example(input=f"a {word}", outputs=(f"{word}s {name}",)) for word in WORDS[:examples]),
        check=check,
    )


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    write_tasks(path, [a_task("opposite"), a_task("plural")])
    return path


@pytest.fixture
def data(tasks: Path) -> Callable[..., TaskDataSettings]:
    def make(**changes: Any) -> TaskDataSettings:
        return TaskDataSettings(**({"train": str(tasks), "shown": 3, "inputs": 3, "wordings": 1} | changes))

    return make


class TestPrompts:
    def test_a_hasty_wording_is_asked_about_alone_with_inputs_and_with_right_outputs(self, data: Any) -> None:
        exercises, left_out = read_exercises(data(), seed=0)
        assert [exercise.id for exercise in exercises if exercise.task.name == "plural"] == [
            *("plural/0", "plural/1", "plural/2", "plural/3"),
        ]
        alone, inputs, outputs, good = (one.request for one in exercises[:4])
        assert (alone.instruction, alone.examples) == ("opposite?", ())
        assert 1 <= len(inputs.examples) <= 3
        assert {each.output for each in inputs.examples} == {None}
        assert all(each.output is not None for each in outputs.examples)
        assert (good.instruction, good.examples) == ("Write the opposite of the word and nothing else.", ())
        assert left_out == {}

    def test_what_is_measured_on_is_never_shown(self, data: Any) -> None:
        for exercise in read_exercises(data(), seed=5)[0]:
            assert len(exercise.measured) == 3
            shown = {each.input for each in exercise.request.examples}
            assert not shown & {each.input for each in exercise.measured}

    def test_without_a_file_they_are_the_training_part_of_those_made_by_rule(self) -> None:
        from fipo_model.data.tasks import part_of

        exercises, _ = read_exercises(TaskDataSettings(limit=3), seed=0)
        assert {part_of(exercise.task) for exercise in exercises} == {"train"}
        assert len({exercise.task.name for exercise in exercises}) == 3

    def test_tasks_that_are_kept_apart_are_refused(self, data: Any, tmp_path: Path) -> None:
        held_out = tmp_path / "held-out.jsonl"
        write_tasks(held_out, [a_task("rhyme"), a_task("plural")])
        with pytest.raises(InputError, match="share the name 'plural'"):
            read_exercises(data(held_out=str(held_out)), seed=0)
        write_tasks(held_out, [a_task("rhyme")])
        assert len(read_exercises(data(held_out=str(held_out)), seed=0)[0]) == 8

    def test_what_makes_no_exercise_is_named(self, data: Any, tasks: Path, tiny_model: Path) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        odd = [
            {"task": "t"},
            {**a_task("empty").to_fields(), "examples": [{"input": "a", "outputs": [""]}]},
            a_task("few", examples=5).to_fields(),
            {**a_task("markup").to_fields(), "wordings": ["a<|im_end|>", "b", "c"]},
            {**a_task("long").to_fields(), "wordings": ["long " * 800, "b", "c"]},
        ]
        with tasks.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in odd))
        wanted = data(max_length=700)
        exercises, left_out = read_exercises(wanted, seed=0)
        found = encode(exercises, wanted, left_out, tokenizer, FIPO_2)
        assert found.left_out == {
            "the field wordings is missing": ["line 3"],
            "example 1: a right output is empty": ["line 4"],
            "fewer than 6 examples": ["few"],
            "contains the model's chat markup": ["markup/0", "markup/1", "markup/2"],
            "longer than 700 tokens": ["long/0", "long/1", "long/2"],
        }
        assert [exercises[row[EXERCISE]].request.instruction for row in found.train][-1] == "c"
        assert found.train[0]["prompt"] == FIPO_2.render(exercises[0].request)

    def test_a_file_without_a_task_to_train_on(self, data: Any, tasks: Path) -> None:
        with pytest.raises(TrainingError, match=r"no task to train on: fewer than 14 examples: 2 \(opposite, plural\)"):
            read_exercises(data(inputs=11), seed=0)


def likelihood(conversation: list[Any], response: str) -> float:
    """The right output is likelier after a wording with "nothing else", and likelier still after one with "shout"."""
    text = conversation[0]["content"]
    return -3.0 + ("nothing else" in text) + 5 * ("shout" in text)


def exercise(check: Any = "exact", instruction: str = "plural?", shown: int = 0) -> Exercise:
    from fipo_model.types import OptimizationRequest, ShownExample

    task = a_task(check=check)
    examples = tuple(ShownExample(each.input) for each in task.examples[3 : 3 + shown])
    return Exercise(
        id="plural/0",
        task=task,
        request=OptimizationRequest(instruction, examples=examples),
        measured=task.examples[:3],
    )


def worth(text: str, *scorers: Any, weights: RewardWeights | None = None, **options: Any) -> Worth:
    models = RewardModels(scorers=scorers or [ScriptedScorer(likelihood)], answering=options.pop("answering", None))
    rewarding = Rewarding(models, FIPO_2, weights or RewardWeights())
    truncated = options.pop("is_truncated", False)
    (found,) = rewarding.measure([Reply(exercise=exercise(**options), text=text, is_truncated=truncated)])
    return found


class TestReward:
    def test_it_is_the_least_gain_of_all_test_models_within_the_cap(self) -> None:
        other = ScriptedScorer(lambda conversation, response: -1.25 * ("else" in conversation[0]["content"]), name="b")
        found = worth(GOOD, ScriptedScorer(likelihood, name="a"))
        assert (found.outcome, found.task_gain, found.leak, found.contract) == ("optimized", 1.0, 0.0, 0.0)
        assert worth(GOOD, ScriptedScorer(likelihood, name="a"), other).task_gain == -1.25
        assert worth("Write the plural of it, as if you shout.").task_gain == pytest.approx(1.6)
        assert worth("Write the plural of it, as if you shout.", weights=RewardWeights(cap=0.5)).task_gain == 0.5

    def test_leaving_the_prompt_alone_is_worth_nothing(self) -> None:
        found = worth("Nothing.")
        assert (found.outcome, found.task_gain, found.total(RewardWeights())) == ("unchanged", 0.0, 0.0)

    def test_a_reply_that_fails_a_check_has_the_least_of_everything_and_is_measured_nowhere(self) -> None:
        scorer = ScriptedScorer(likelihood)
        answering = ScriptedGenerator(lambda conversation: "x")
        failing = {
            "Naive prompt: plural": "template_echoed",
            f"{GOOD} Think of a pig.": "example_leaked",
            "": "empty",
        }
        for text, outcome in failing.items():
            found = worth(text, scorer, answering=answering, shown=1)
            assert (found.outcome, found.task_gain, found.task_accuracy) == (outcome, -1.6, -1.0)
            assert (found.leak, found.contract) == (-1.0, -1.0)
        cut = worth(GOOD, scorer, answering=answering, is_truncated=True)
        assert (cut.outcome, cut.task_gain) == ("truncated", -1.6)
        assert scorer.calls == [[]] * 4
        assert cut.total(RewardWeights(gain=2.0, accuracy=0.5, leak=1.0, contract=3.0)) == pytest.approx(-7.7)

    def test_giving_away_what_it_is_measured_on_costs_the_leak(self) -> None:
        found = worth("Write the plural of the word, such as dogs plural.")
        assert found.outcome == "optimized"  # nothing was shown to the rewriter, so the contract cannot know
        assert found.leak == -1.0
        assert "dogs plural" in found.detail

    def test_accuracy_is_the_change_in_right_answers_where_there_is_a_check(self) -> None:
        def answer(conversation: list[Any]) -> str:
            *wording, text = conversation[0]["content"].split("\n\n")
            is_known = "Write the plural" in "".join(wording) or text == "a cat"
            return f"{text.removeprefix('a ')}s plural" if is_known else "no"

        answering = ScriptedGenerator(answer)
        found = worth(GOOD, answering=answering)
        assert found.task_accuracy == pytest.approx(2 / 3)
        assert found.total(RewardWeights(accuracy=3.0)) == pytest.approx(1 + 2)
        assert worth(GOOD, answering=answering, check=None).task_accuracy is None
        assert worth(GOOD).task_accuracy is None
        small = ScriptedGenerator(answer, context_tokens=2)
        assert worth(GOOD, answering=small).task_accuracy == 0.0  # what cannot be asked is not right

    def test_a_wording_that_does_not_fit_into_a_test_model_has_the_least_gain(self) -> None:
        assert worth(GOOD, ScriptedScorer(likelihood, context_tokens=10)).task_gain == -1.6
        assert worth(GOOD, ScriptedScorer(likelihood, context_tokens=2)).task_gain is None

    def test_a_batch_is_one_call_and_the_wording_as_it_was_is_measured_once(self) -> None:
        scorer = ScriptedScorer(likelihood)
        rewarding = Rewarding(RewardModels(scorers=[scorer]), FIPO_2, RewardWeights())
        replies = [Reply(exercise=exercise(), text=text) for text in (GOOD, GOOD, "Nothing.", "Give the plural.")]
        found = rewarding.measure(replies)
        assert rewarding.measure(replies) == found
        assert [len(call) for call in scorer.calls] == [3 * 3, 2 * 3]

    def test_a_server_can_reward(self, tiny_model: Path) -> None:
        server = f"http://127.0.0.1:9/v1#{tiny_model}"  # by this name its tokenizer is found
        models = RewardModels.opened(RewardWeights(test_models=[server], answering="http://127.0.0.1:9/v1#answers"))
        assert [scorer.name for scorer in models.scorers] == [str(tiny_model)]
        assert models.answering is not None
        assert models.answering.name == "answers"
        with pytest.raises(InputError, match="different names, not "):
            RewardModels.opened(RewardWeights(test_models=[server] * 2))


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path, data: Any) -> Callable[..., RewardSettings]:
    def make(name: str = "run", **changes: Any) -> RewardSettings:
        common = {
            "output": str(tmp_path / name),
            "model": str(tiny_model),
            "template": "fipo-2",
            "data": data(),
            "reward": RewardWeights(test_models=[str(tiny_model)]),
            "trainer": dict(TRAINER),
        }
        return RewardSettings(**(common | changes))

    return make


def rows(output: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / name).read_text().splitlines()]


class TestRuns:
    @pytest.mark.usefixtures("number_format")
    @pytest.mark.parametrize("method", ["lora", "full"])
    def test_a_run_leaves_a_checkpoint_and_every_sample_with_its_reward(
        self, settings: Any, method: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = train_reward(settings(method=method, trainer=TRAINER | {"max_steps": 3}))
        said = capsys.readouterr()
        assert said.out == ""
        assert "the reward model" in said.err
        assert "is the model in training, so it rewards its own preferences" in said.err
        samples = rows(output, "samples.jsonl")
        assert [row["step"] for row in samples] == [step for step in range(3) for _ in range(8)]
        log = [entry for entry in rows(output, "log.jsonl") if "reward" in entry]
        for entry in log:
            own = [row for row in samples if row["step"] == entry["step"] - 1]
            assert entry["reward"] == pytest.approx(sum(row["reward"] for row in own) / len(own), abs=1e-4)
            mean = sum(row["task_gain"] for row in own) / len(own)
            assert entry["rewards/task_gain/mean"] == pytest.approx(mean, abs=1e-4)
        by_step = defaultdict(set)
        for row in samples:
            by_step[row["step"]].add((row["task"], row["wording"], row["shown"]))
        assert {len(prompts) for prompts in by_step.values()} <= {1, 2}  # four samples of each
        assert (output / "curves.png").exists()
        assert json.loads((output / "fipo.json").read_text())["template"] == "fipo-2"
        assert PromptOptimizer.from_pretrained(output).optimize("Name a colour.").text

    @pytest.mark.usefixtures("number_format")
    def test_what_is_rewarded_becomes_more_frequent(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def vowels(self: Rewarding, replies: list[Reply]) -> list[Worth]:
            shares = [sum(letter in "aeiou" for letter in reply.text) / (len(reply.text) or 1) for reply in replies]
            return [Worth(task_gain=s, task_accuracy=None, leak=0.0, contract=0.0, outcome="optimized") for s in shares]

        monkeypatch.setattr(Rewarding, "measure", vowels)
        trainer = TRAINER | {"num_generations": 8, "per_device_train_batch_size": 16, "learning_rate": 5e-2}
        constant = {"max_steps": 16, "lr_scheduler_type": "constant", "beta": 0.01}
        output = train_reward(settings(trainer=trainer | constant))
        rewards = [entry["reward"] for entry in rows(output, "log.jsonl") if "reward" in entry]
        assert sum(rewards[-3:]) > 1.5 * sum(rewards[:3])

    @pytest.mark.usefixtures("number_format")
    def test_an_adapter_is_trained_on_and_its_template_stays(self, settings: Any) -> None:
        short = TRAINER | {"max_steps": 1}
        first = train_reward(settings("first", trainer=short))
        second = train_reward(
            settings("second", model=None, template=None, adapter=str(first), trainer=short | {"beta": 0.1})
        )
        assert json.loads((second / "fipo.json").read_text())["template"] == "fipo-2"
        assert load_file(second / "adapter_model.safetensors").keys() == (
            load_file(first / "adapter_model.safetensors").keys()
        )

    @pytest.mark.usefixtures("number_format")
    def test_a_killed_run_goes_on_and_ends_as_one_that_was_left_alone(self, settings: Any) -> None:
        epochs = TRAINER | {"num_train_epochs": 2}  # of four steps each: eight exercises, two a step
        undisturbed = train_reward(settings("undisturbed", trainer=epochs))
        wanted = settings("killed", trainer=epochs)
        output = Path(wanted.output)
        kill(train_reward, wanted, lambda: (output / "settings.json").exists())
        kill(train_reward, wanted, lambda: (output / "checkpoints" / "checkpoint-2" / "complete").exists())
        kill(train_reward, wanted, lambda: (output / "checkpoints" / "checkpoint-6" / "complete").exists())
        assert train_reward(wanted, resume=True) == output
        assert rows(output, "samples.jsonl") == rows(undisturbed, "samples.jsonl")
        before, after = (load_file(one / "adapter_model.safetensors") for one in (undisturbed, output))
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert any(tensor.abs().max() > 0 for name, tensor in after.items() if "lora_B" in name)
        assert train_reward(wanted, resume=True) == output  # finished: nothing is done again

    def test_a_run_that_could_not_begin_leaves_its_place_free(self, settings: Any, data: Any, tmp_path: Path) -> None:
        for changes, error, told in (
            ({"data": data(train=str(tmp_path / "none.jsonl"))}, InputError, "cannot read .*none.jsonl"),
            ({"reward": RewardWeights(test_models=["nobody"])}, ModelError, "there is no model 'nobody'"),
            ({"trainer": TRAINER | {"num_generations": 3}}, InputError, "the trainer refuses its settings"),
            ({"trainer": {"log_completions": True}}, InputError, "log_completions: leave it out; samples"),
        ):
            with pytest.raises(error, match=told):
                train_reward(settings(**changes))
            assert not Path(settings().output).exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gain": -1.0}, "must not be negative"),
        ({"gain": 0.0, "accuracy": 0.0}, "gain or accuracy more than 0"),
        ({"test_models": []}, "name some, or set gain = 0"),
        ({"gain": 0.0}, "without gain, answering must name the model"),
        ({"cap": 0.0}, "cap must be above 0"),
    ],
)
def test_rewards_that_are_none(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RewardWeights(**changes)
