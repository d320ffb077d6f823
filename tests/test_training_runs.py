"""Whole training runs on the tiny model: what they leave, what they refuse, and that a killed one goes on."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fipo_model.backends.transformers.loading import load_base, with_adapter
from fipo_model.data.diversify import diversify
from fipo_model.data.records import Record
from fipo_model.errors import InputError, ModelError, TrainingError
from fipo_model.jobs import claimed_directory
from fipo_model.models.files import sha256_of
from fipo_model.optimizer import PromptOptimizer
from fipo_model.templates import FIPO_1, FIPO_2
from fipo_model.training import iterative, rows
from fipo_model.training.iterative import train_iterative
from fipo_model.training.preference import train_preference
from fipo_model.training.settings import DataSettings, IterativeSettings, LoraSettings, PreferenceSettings, SFTSettings
from fipo_model.training.sft import train_sft
from fipo_model.training.trainers import LengthGroupedSampler, PreferenceTrainer, RewritingTrainer
from support.killing import kill

pytestmark = pytest.mark.tiny

WORDS = ["colour", "town", "story", "word", "name", "quiet", "small", "long", "invent", "tell", "better", "keep"]
TRAINER = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "logging_steps": 1,
    "save_steps": 2,
    "learning_rate": 1e-3,
}
if torch.cuda.is_available():  # these tests are about CPUs; where there is nothing else, a run has to find it out
    TRAINER["use_cpu"] = True

BOTH_NUMBER_FORMATS = pytest.mark.usefixtures("number_format")


def text(first: str, number: int, words: int) -> str:
    return " ".join([first, *(WORDS[(number * 7 + 5 * i) % len(WORDS)] for i in range(words))]) + "."


@pytest.fixture
def data(tmp_path: Path) -> str:
    """24 records of several lengths, with responses and both rewrites."""
    file = tmp_path / "pairs.jsonl"
    rows = [
        {
            "id": f"r{i}",
            "instruction": text("Name", i, 1 + i % 4),
            "silver_response": text("A", i, 2),
            "golden_response": text("The", i, 3 + i % 3),
            "chosen": text("Tell", i, 2 + i % 5),
            "rejected": text("Keep", i, 1 + i % 6),
        }
        for i in range(24)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path, data: str) -> Callable[..., Any]:
    def make(kind: Any = SFTSettings, name: str = "run", **changes: Any) -> Any:
        common = {
            "output": str(tmp_path / name),
            "model": str(tiny_model),
            "data": DataSettings(train=data, max_length=400, held_out=0.2),
            "trainer": dict(TRAINER),
        }
        return kind(**(common | changes))

    return make


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "adapter_model.safetensors")


def summary(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "summary.json").read_text())


@BOTH_NUMBER_FORMATS
def test_a_run_leaves_a_checkpoint_that_the_optimizer_loads(settings: Callable[..., Any], tiny_model: Path) -> None:
    output = train_sft(settings())
    assert sorted(file.name for file in output.iterdir()) == [
        *("adapter_config.json", "adapter_model.safetensors", "curves.png", "fipo.json", "log.jsonl"),
        *("settings.json", "summary.json"),
    ]
    note = json.loads((output / "fipo.json").read_text())
    assert (note["template"], note["base_model"]) == ("fipo-1", str(tiny_model))
    assert note["training"]["trainer"]["learning_rate"] == 1e-3
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, summary(output)["steps"] + 1))
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    assert losses[-1] < losses[0]
    optimizer = PromptOptimizer.from_pretrained(output)
    assert optimizer.rewriter.generator.name == "tiny+run"
    assert optimizer.optimize("Name a colour.").text


def test_training_changes_the_adapter_and_nothing_else(settings: Callable[..., Any], tiny_model: Path) -> None:
    before = load_file(tiny_model / "model.safetensors")
    output = train_preference(settings(PreferenceSettings))
    after = load_file(tiny_model / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    found = weights_of(output)
    assert any(tensor.abs().max() > 0 for name, tensor in found.items() if "lora_B" in name)
    # The base under the adapter is the base as it was.
    adapted = with_adapter(load_base(str(tiny_model), "cpu", False)[0], output, "tiny")
    under = {name.replace(".base_layer", ""): p for name, p in adapted.named_parameters() if "lora_" not in name}
    assert all(torch.equal(under[f"base_model.model.{name}"], before[name]) for name in before)


@BOTH_NUMBER_FORMATS
def test_all_weights_can_be_trained(settings: Callable[..., Any], tiny_model: Path) -> None:
    output = train_sft(settings(method="full"))
    before, after = load_file(tiny_model / "model.safetensors"), load_file(output / "model.safetensors")
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name].float(), after[name]) for name in before if "proj" in name)
    assert not [file for file in output.iterdir() if file.suffix in (".bin", ".pt", ".pth")]
    assert PromptOptimizer.from_pretrained(output).optimize("Name a colour.").text


@BOTH_NUMBER_FORMATS
@pytest.mark.parametrize("loss", ["ipo", "sigmoid"])
def test_all_weights_can_be_trained_on_preferences(settings: Callable[..., Any], loss: str) -> None:
    # The reference is a model of its own then, and was computed through the layers of the one in training.
    wanted = settings(PreferenceSettings, method="full", loss=loss, beta=0.1, trainer=TRAINER | {"max_steps": 2})
    output = train_preference(wanted)
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert log[0]["eval_rewards/margins"] == 0  # at the start it is its own reference
    assert [entry["eval_rewards/margins"] for entry in log if "eval_rewards/margins" in entry][-1] != 0
    assert "lora" not in json.loads((output / "fipo.json").read_text())["training"]


@BOTH_NUMBER_FORMATS
@pytest.mark.parametrize(
    ("loss", "log_ratios"), [("sigmoid", "sum"), ("ipo", "sum"), ("ipo", "mean"), ("hinge", "sum")]
)
def test_preferences_are_learnt(settings: Callable[..., Any], loss: str, log_ratios: str) -> None:
    wanted = settings(PreferenceSettings, loss=loss, log_ratios=log_ratios, beta=0.1)
    log = summary(train_preference(wanted))["last"]
    assert log["eval_rewards/margins"] > 0
    assert log["eval_rewards/accuracies"] > 0.5


@BOTH_NUMBER_FORMATS
def test_a_run_goes_on_training_an_adapter_with_that_as_its_reference(settings: Callable[..., Any]) -> None:
    first = train_sft(settings(name="first"))
    second = train_preference(settings(PreferenceSettings, name="second", model=None, adapter=str(first)))
    before, after = weights_of(first), weights_of(second)
    assert before.keys() == after.keys()
    assert not all(torch.equal(before[name], after[name]) for name in before)
    log = [json.loads(line) for line in (second / "log.jsonl").read_text().splitlines()]
    assert log[0]["eval_rewards/margins"] == 0  # at the start it is its own reference


def test_the_template_a_model_was_trained_with_goes_with_it(settings: Callable[..., Any], tmp_path: Path) -> None:
    texts = {
        "optimizer": "Better, please (G_N words): S_P O_C",
        "s_r": "Silver: S_R",
        "g_r": "Golden: G_R",
        "discriminator": "R_P P_A P_B G_R",
    }
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(texts))
    output = train_sft(settings(template=str(file)))
    file.unlink()
    assert PromptOptimizer.from_pretrained(output).rewriter.template.name == "prompts"
    # It also stays with what is trained on from there, where nobody names it again.
    further = train_preference(settings(PreferenceSettings, "further", model=None, adapter=str(output)))
    assert json.loads((further / "prompts.json").read_text()) == texts
    assert PromptOptimizer.from_pretrained(further).rewriter.template.name == "prompts"


def test_nothing_is_sent_and_nothing_is_said_on_stdout(
    settings: Callable[..., Any], monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from trl.trainer import base_trainer

    monkeypatch.delenv("CI", raising=False)  # with it, TRL sends nothing anyway
    sent: list[Any] = []
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda **facts: sent.append(facts))
    train_sft(settings())
    assert sent == []
    assert capsys.readouterr().out == ""


class TestIterative:
    @BOTH_NUMBER_FORMATS
    def test_rounds_replace_what_the_judge_prefers(self, settings: Callable[..., Any], data: str) -> None:
        wanted = settings(IterativeSettings, rounds=2, judge="likelihood", max_new_tokens=12)
        output = train_iterative(wanted)
        rounds = [json.loads(line) for line in (output / "rounds.jsonl").read_text().splitlines()]
        assert [row["round"] for row in rounds] == [1, 2]
        assert rounds[1]["judge_tried_on"] > 0

        def stage(name: str) -> dict[str, dict[str, Any]]:
            lines = (output / "round-2" / f"{name}.jsonl").read_text().splitlines()
            return {row["id"]: row for row in map(json.loads, lines)}

        before = {row["id"]: row for row in map(json.loads, Path(data).read_text().splitlines())}
        rewrites, verdicts, answers, after = map(stage, ("rewrites", "verdicts", "answers", "records"))
        assert after.keys() == before.keys() > rewrites.keys()  # held-out records are not touched
        won = {i for i, verdict in verdicts.items() if verdict["winner"] == "challenger"}
        assert answers.keys() == won
        assert rounds[1]["replaced"] == len(won)
        for i, row in after.items():
            assert (row["chosen"], row["rejected"]) == (before[i]["chosen"], before[i]["rejected"])
            assert row["instruction"] == (rewrites[i]["text"] if i in won else before[i]["instruction"])
        assert PromptOptimizer.from_pretrained(output).optimize("Name a colour.").text

    @BOTH_NUMBER_FORMATS
    def test_a_round_goes_on_with_all_the_weights_of_the_one_before(self, settings: Callable[..., Any]) -> None:
        shape = {"rounds": 2, "judge": "likelihood", "max_new_tokens": 5, "trainer": TRAINER | {"max_steps": 1}}
        output = train_iterative(settings(IterativeSettings, method="full", **shape))
        second = json.loads((output / "round-2" / "checkpoint" / "settings.json").read_text())
        assert (second["model"], second["adapter"]) == (str(output / "round-1" / "checkpoint"), None)
        assert PromptOptimizer.from_pretrained(output).optimize("Name a colour.").text

    def test_likelihoods_are_measured_with_the_base_by_default(
        self, settings: Callable[..., Any], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        adapter = tmp_path / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_model)}))
        (adapter / "adapter_model.safetensors").touch()
        judging: list[list[str]] = []

        def note(chosen: IterativeSettings) -> None:
            judging.append(chosen.test_models)
            raise InputError("that is enough")

        monkeypatch.setattr(iterative, "_load_judging_models", note)
        for start in ({"model": str(tiny_model)}, {"model": None, "adapter": str(adapter)}):
            with pytest.raises(InputError, match="that is enough"):
                train_iterative(settings(IterativeSettings, rounds=2, judge="likelihood", **start))
        assert judging == [[str(tiny_model)]] * 2

    def test_a_judge_that_cannot_be_loaded_is_told_before_anything_is_trained(
        self, settings: Callable[..., Any], tiny_model: Path
    ) -> None:
        for told in ({"judge": "likelyhood"}, {"judge": "likelihood", "test_models": ["likelyhood"]}):
            with pytest.raises(ModelError, match="there is no model 'likelyhood'"):
                train_iterative(settings(IterativeSettings, rounds=2, **told))
        with pytest.raises(InputError, match="cosin"):  # what the first round's training is told
            train_iterative(settings(IterativeSettings, trainer=TRAINER | {"lr_scheduler_type": "cosin"}))
        assert not Path(settings().output).exists()
        # So the same place can be used.
        one_round = {"rounds": 1, "judge": str(tiny_model), "trainer": TRAINER | {"max_steps": 1}}
        assert (train_iterative(settings(IterativeSettings, **one_round)) / "summary.json").exists()

    def test_a_replaced_record_has_the_rewrite_and_its_answer(
        self, settings: Callable[..., Any], monkeypatch: Any
    ) -> None:
        from fipo_model.judge import Verdict
        from fipo_model.training import iterative

        class Pleased:
            def prefer(self, comparisons: Any) -> list[Verdict]:
                return [Verdict(winner="challenger", reason="always") for _ in comparisons]

        monkeypatch.setattr(iterative._Round, "_judge", lambda *_: Pleased())
        monkeypatch.setattr(
            iterative,
            "_rewrite",
            lambda _, batch: [
                {"text": f"Better: {r.instruction}", "outcome": "optimized", "detail": ""} for r in batch
            ],
        )
        output = train_iterative(settings(IterativeSettings, rounds=2, max_new_tokens=5))
        found = json.loads((output / "round-2" / "report.json").read_text())
        assert found["replaced"] == found["records"] > 10
        assert found["judge_right"] == found["judge_tried_on"]
        rows = [json.loads(line) for line in (output / "round-2" / "records.jsonl").read_text().splitlines()]
        replaced = [row for row in rows if row["instruction"].startswith("Better: ")]
        answers = (output / "round-2" / "answers.jsonl").read_text().splitlines()
        texts = {row["id"]: row["text"] for row in map(json.loads, answers)}
        assert len(replaced) == found["replaced"]
        assert all(row["silver_response"] == texts[row["id"]] for row in replaced if texts[row["id"]])


class TestKilled:
    """SIGKILL at every stage; the run that goes on ends with the weights of an undisturbed one."""

    @BOTH_NUMBER_FORMATS
    @pytest.mark.parametrize("method", ["sft", "preference"])
    def test_in_training(self, settings: Callable[..., Any], method: str) -> None:
        kind, train = (SFTSettings, train_sft) if method == "sft" else (PreferenceSettings, train_preference)
        epochs = TRAINER | {"num_train_epochs": 2}
        undisturbed = weights_of(train(settings(kind, "undisturbed", trainer=epochs)))
        wanted = settings(kind, "killed", trainer=epochs)
        output = Path(wanted.output)
        output.mkdir()
        (output / ".settings.json.part").touch()  # killed while it noted its settings
        # In the first epoch, in the second, and while nothing is there yet.
        kill(train, wanted, lambda: (output / "settings.json").exists())
        kill(train, wanted, lambda: (output / "checkpoints" / "checkpoint-2").exists())  # half saved
        kill(train, wanted, lambda: (output / "checkpoints" / "checkpoint-8").exists())
        found = weights_of(train(wanted, resume=True))
        assert all(torch.equal(found[name], undisturbed[name]) for name in undisturbed)
        assert train(wanted, resume=True) == output  # finished: nothing is done again

    @BOTH_NUMBER_FORMATS
    def test_in_rounds(self, settings: Callable[..., Any]) -> None:
        changes = {"rounds": 2, "judge": "likelihood", "max_new_tokens": 12}
        undisturbed = train_iterative(settings(IterativeSettings, "undisturbed", **changes))
        wanted = settings(IterativeSettings, "killed", **changes)
        output = Path(wanted.output)
        second = output / "round-2"
        for there in (
            output / "round-1" / "records.jsonl",
            output / "round-1" / "checkpoint" / "summary.json",
            second / "rewrites.jsonl",
            second / "verdicts.jsonl",
            second / "records.jsonl",
            second / "checkpoint" / "checkpoints" / "checkpoint-2",
        ):
            kill(train_iterative, wanted, there.exists)
        train_iterative(wanted, resume=True)
        for name in ("rewrites", "verdicts", "answers", "records"):
            found = (second / f"{name}.jsonl").read_text()
            assert found == (undisturbed / "round-2" / f"{name}.jsonl").read_text(), name
        before = weights_of(undisturbed)
        assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(output).items())


class TestRefused:
    def test_another_run_in_the_same_place(self, settings: Callable[..., Any]) -> None:
        train_sft(settings())
        with pytest.raises(InputError, match="already holds a run"):
            train_sft(settings())
        with pytest.raises(InputError, match=r"seed was 0 and is now 1\. .* choose another output"):
            train_sft(settings(seed=1), resume=True)

    @pytest.mark.parametrize("what", ["data.train", "template"])
    def test_a_run_whose_files_were_edited(
        self, settings: Callable[..., Any], data: str, tmp_path: Path, what: str
    ) -> None:
        # It once went on with other rows, or another template, than it had begun with.
        template = tmp_path / "prompts.json"
        layout = {"optimizer": "S_P O_C G_N", "s_r": "S_R", "g_r": "G_R", "discriminator": "R_P P_A P_B G_R"}
        template.write_text(json.dumps(layout))
        wanted = settings(template=str(template), trainer=TRAINER | {"max_steps": 1})
        output = train_sft(wanted)
        file = Path(data) if what == "data.train" else template
        before = file.read_bytes()
        file.write_bytes(before + b"\n")
        told = rf"content\.{what} was another one\. Resume it"
        with pytest.raises(InputError, match=told):
            train_sft(wanted, resume=True)
        file.write_bytes(before)
        assert train_sft(wanted, resume=True) == output
        file.unlink()  # what is finished needs it no more
        assert train_sft(wanted, resume=True) == output

    def test_a_run_whose_adapter_was_trained_again(self, settings: Callable[..., Any]) -> None:
        # Preferences are learnt against the adapter as it was when the run began.
        once = TRAINER | {"max_steps": 1}
        adapter = train_sft(settings(name="first", trainer=once))
        wanted = settings(PreferenceSettings, "second", adapter=str(adapter), trainer=once)
        train_preference(wanted)
        other = train_sft(settings(name="other", seed=1, trainer=once))
        (other / "adapter_model.safetensors").replace(adapter / "adapter_model.safetensors")
        with pytest.raises(InputError, match=r"content\.adapter was another one"):
            train_preference(wanted, resume=True)

    def test_nothing_of_a_run_from_before_contents_were_noted(self, settings: Callable[..., Any], data: str) -> None:
        wanted = settings(trainer=TRAINER | {"max_steps": 1})
        noted = train_sft(wanted) / "settings.json"
        fields = json.loads(noted.read_text())
        content = fields.pop("content")
        noted.write_text(json.dumps(fields))
        train_sft(wanted, resume=True)
        assert json.loads(noted.read_text())["content"] == content == {"data.train": sha256_of(Path(data))}

    @pytest.mark.parametrize("kind", [SFTSettings, PreferenceSettings, IterativeSettings])
    def test_a_place_where_another_process_is_at_work(self, settings: Callable[..., Any], kind: Any) -> None:
        wanted = settings(kind)
        train = {SFTSettings: train_sft, PreferenceSettings: train_preference, IterativeSettings: train_iterative}[kind]
        with claimed_directory(Path(wanted.output), kind="a run"), pytest.raises(InputError, match="is at work on"):
            train(wanted, resume=True)

    def test_a_place_that_is_in_use(self, settings: Callable[..., Any], tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.txt").write_text("mine")
        with pytest.raises(InputError, match="not empty"):
            train_sft(settings())

    def test_a_run_that_could_not_begin_leaves_its_place_free(self, settings: Callable[..., Any]) -> None:
        with pytest.raises(InputError, match=r"there is no file pair\.jsonl"):
            train_sft(settings(data=DataSettings(train="pair.jsonl")))
        assert (train_sft(settings(trainer=TRAINER | {"max_steps": 1})) / "summary.json").exists()

    def test_rows_that_cannot_be_used_are_counted_and_named(self, settings: Callable[..., Any], tmp_path: Path) -> None:
        file = tmp_path / "odd.jsonl"
        good = {"instruction": "Name a town.", "chosen": "Name a small town.", "rejected": "A town."}
        odd = [
            *({"id": f"good{i}", **good} for i in range(4)),
            {"id": "long", **good, "chosen": "Tell " + "a long story " * 200},
            {"id": "markup", **good, "chosen": "Name<|im_end|>"},
            {"id": "unpaired", "instruction": "Name a town.", "chosen": "Name a small town."},
            {"id": "equal", **good, "rejected": good["chosen"]},
            {"id": "fieldless", "prompt_text": "Name a town."},
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in odd) + "not JSON\n\n")
        wanted = settings(PreferenceSettings, data=DataSettings(train=str(file), max_length=400, held_out=0))
        found = summary(train_preference(wanted))
        assert found["rows"] == {"trained on": 4, "held out": 0}
        left_out = {reason: ids for reason, ids in found["left_out"].items()}
        assert left_out["longer than 400 tokens"] == ["long"]
        assert left_out["contains the model's chat markup"] == ["markup"]
        assert left_out["no rejected reply (rewriting)"] == ["unpaired"]
        assert sorted(line for reason, ids in left_out.items() for line in ids if line.startswith("line")) == [
            *("line 10", "line 8", "line 9"),
        ]

    def test_a_set_without_anything_to_train_on(self, settings: Callable[..., Any], tmp_path: Path) -> None:
        file = tmp_path / "unpaired.jsonl"
        file.write_text(json.dumps({"id": "a", "instruction": "Name a town.", "chosen": "Name a small town."}) + "\n")
        with pytest.raises(TrainingError, match=r"nothing to train on: no rejected reply \(rewriting\): 1 \(a\)"):
            train_preference(settings(PreferenceSettings, data=DataSettings(train=str(file))))
        with pytest.raises(TrainingError, match=r"nothing to train on: all 1 usable rows are held out"):
            train_sft(settings(data=DataSettings(train=str(file), held_out=0.999)))

    def test_settings_that_ready_made_rows_would_ignore(self, settings: Callable[..., Any], tmp_path: Path) -> None:
        file = tmp_path / "rows.jsonl"
        record = Record(id="a", instruction="Name a town.", chosen="Name a small town.")
        file.write_text("".join(json.dumps(row.to_fields()) + "\n" for row in diversify([record], template=FIPO_2)))
        ready = {"train": str(file), "held_out": 0.0}
        with pytest.raises(InputError, match=r"data\.parts and data\.iterative would have no effect"):
            train_sft(settings(data=DataSettings(**ready, parts="none", iterative=True)))
        with pytest.raises(InputError, match=r"row a of .* was not made with the template 'fipo-1'"):
            train_sft(settings(data=DataSettings(**ready)))
        output = train_sft(settings(data=DataSettings(**ready), template="fipo-2"))
        assert json.loads((output / "fipo.json").read_text())["template"] == "fipo-2"

    def test_another_form_than_the_adapters_own(self, settings: Callable[..., Any]) -> None:
        small, short = LoraSettings(r=4, alpha=8, target_modules=["v_proj", "q_proj"]), TRAINER | {"max_steps": 1}
        first = train_sft(settings(name="first", lora=small, trainer=short))
        with pytest.raises(InputError, match=r"lora\.r is 8, but the adapter .* was made with 4"):
            train_sft(settings(adapter=str(first), lora=LoraSettings(r=8)))
        for name, lora in (("same", small), ("unsaid", LoraSettings())):
            second = train_sft(settings(name=name, adapter=str(first), lora=lora, trainer=short))
            assert json.loads((second / "adapter_config.json").read_text())["r"] == 4
            assert "lora" not in json.loads((second / "fipo.json").read_text())["training"]

    def test_a_token_of_white_space_is_no_chat_markup(
        self, settings: Callable[..., Any], altered: Callable[..., Path], tmp_path: Path
    ) -> None:
        from transformers import AutoTokenizer

        model = altered()
        tokenizer = AutoTokenizer.from_pretrained(model)
        tokenizer.add_tokens(["\n", "  "])  # as Gemma's has them
        tokenizer.save_pretrained(model)
        file = tmp_path / "lines.jsonl"
        file.write_text(json.dumps({"instruction": "Name\na  town.", "chosen": "Name\na small  town."}) + "\n")
        loaded = rows.load(DataSettings(train=str(file), held_out=0.0), tokenizer, FIPO_1, seed=0, pairs=False)
        assert (len(loaded.train), loaded.left_out) == (1, {})

    def test_an_adapter_of_another_base(self, settings: Callable[..., Any], altered: Callable[..., Path]) -> None:
        first = train_sft(settings(name="first"))
        from transformers import AutoConfig, AutoModelForCausalLM

        deeper = altered(config={"num_hidden_layers": 3})
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(deeper)).save_pretrained(deeper)
        with pytest.raises(ModelError, match="does not fit"):
            train_sft(settings(name="second", model=str(deeper), adapter=str(first)))

    def test_the_trainers_own_refusal(self, settings: Callable[..., Any]) -> None:
        with pytest.raises(InputError, match=r"the trainer refuses .* cosin"):
            train_sft(settings(trainer=TRAINER | {"lr_scheduler_type": "cosin"}))
        with pytest.raises(InputError, match="did you mean learning_rate"):
            train_sft(settings(trainer={"learning_rat": 1}))
        with pytest.raises(InputError, match=r"peft refuses .*quite_another"):
            train_sft(settings(name="lora", lora=LoraSettings(target_modules=["quite_another"])))


class TestStopped:
    def test_a_loss_that_is_no_number(self, settings: Callable[..., Any], monkeypatch: Any) -> None:
        computed = PreferenceTrainer._compute_loss
        steps = []

        def diverging(self: Any, *args: Any) -> Any:
            steps.append(self.model.training)
            loss = computed(self, *args)
            return loss * float("nan") if steps.count(True) > 7 else loss

        monkeypatch.setattr(PreferenceTrainer, "_compute_loss", diverging)
        wanted = settings(PreferenceSettings)
        with pytest.raises(
            TrainingError, match=r"the loss is nan at step 4\. The last good checkpoint is .*checkpoint-2\. "
        ):
            train_preference(wanted)
        assert (Path(wanted.output) / "checkpoints" / "checkpoint-2" / "complete").exists()
        monkeypatch.undo()
        # What the message advises, and going on as if nothing had been: both can be done.
        last = Path(wanted.output) / "checkpoints" / "checkpoint-2"
        slower = settings(PreferenceSettings, "anew", adapter=str(last), trainer=TRAINER | {"learning_rate": 1e-4})
        assert summary(train_preference(slower))["steps"] == 5
        assert summary(train_preference(wanted, resume=True))["steps"] == 5

    def test_a_full_disk(self, settings: Callable[..., Any], monkeypatch: Any) -> None:
        def full(*args: Any, **kwargs: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(RewritingTrainer, "_save_checkpoint", full)
        with pytest.raises(TrainingError, match="the disk is full"):
            train_sft(settings())

    def test_too_little_gpu_memory(self, settings: Callable[..., Any], monkeypatch: Any) -> None:
        def exhausted(*args: Any, **kwargs: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(RewritingTrainer, "compute_loss", exhausted)
        with pytest.raises(TrainingError, match="per_device_train_batch_size"):
            train_sft(settings())


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [(i * 37) % 100 for i in range(800)]
    sampler = LengthGroupedSampler(lengths, batch_size=8, seed=3)
    first = list(sampler)
    torch.manual_seed(99)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert sorted(sampler) == sorted(first) == list(range(800))
    assert list(sampler) != first
    spread = [max(group) - min(group) for group in zip(*[iter([lengths[i] for i in first])] * 8, strict=True)]
    assert sum(spread) / len(spread) < 20  # of 100


@BOTH_NUMBER_FORMATS
def test_two_processes_train_as_one_with_twice_the_accumulation(settings: Callable[..., Any], tmp_path: Path) -> None:
    # 24 records without a held-out part fill every batch; else processes repeat rows to fill up the last one.
    whole = DataSettings(train=settings().data.train, max_length=400, held_out=0)
    alone = train_sft(settings(name="alone", data=whole))
    pair = settings(name="pair", data=whole, trainer=TRAINER | {"gradient_accumulation_steps": 1})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"output = {json.dumps(pair.output)}\nmodel = {json.dumps(pair.model)}\n"
        f"[data]\ntrain = {json.dumps(whole.train)}\nmax_length = 400\nheld_out = 0\n[trainer]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in pair.trainer.items())
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "fipo_model.cli", "train", "sft", str(recipe)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]

    def losses(output: str | Path) -> list[float]:
        log = (Path(output) / "log.jsonl").read_text().splitlines()
        return [entry["loss"] for entry in map(json.loads, log) if "loss" in entry]

    assert losses(pair.output) == pytest.approx(losses(alone), rel=1e-3)
    before = weights_of(alone)
    for name, tensor in weights_of(Path(pair.output)).items():
        torch.testing.assert_close(tensor, before[name], atol=1e-3, rtol=1e-2)
