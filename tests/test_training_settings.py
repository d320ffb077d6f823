"""Recipes: what they may say, and what they are told when they say something else."""

import re
from pathlib import Path

import pytest

from fipo_model.errors import InputError, ModelError
from fipo_model.training.settings import (
    DataSettings,
    IterativeSettings,
    LoraSettings,
    PreferenceSettings,
    RewardSettings,
    RunSettings,
    SFTSettings,
    load_recipe,
)

pytestmark = pytest.mark.tiny

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
KINDS: dict[str, type[RunSettings]] = {
    "sft": SFTSettings,
    "dpo": PreferenceSettings,
    "ipo": PreferenceSettings,
    "qlora": PreferenceSettings,
    "ipl": IterativeSettings,
    "paper-70b": IterativeSettings,
    "default": SFTSettings,
    "tasks": SFTSettings,
    "tasks-ipo": PreferenceSettings,
    "reward": RewardSettings,
    "reward-4b": RewardSettings,
}
SMALL = 'output = "run"\n[data]\ntrain = "pairs.jsonl"\n'


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text(SMALL)
    return file


@pytest.mark.parametrize("name", KINDS)
def test_the_recipes_that_come_along_can_be_used(name: str) -> None:
    settings = load_recipe(RECIPES / f"{name}.toml", KINDS[name])
    assert settings.trainer["learning_rate"] > 0


def test_no_recipe_is_left_out_of_that_test() -> None:
    # test_evaluation.py has the recipes of `fipo eval`.
    assert {file.stem for file in RECIPES.glob("*.toml")} == {*KINDS, "eval", "eval-tasks"}


def test_a_small_recipe_has_the_defaults(recipe: Path) -> None:
    expected = PreferenceSettings(output="run", data=DataSettings(train="pairs.jsonl"))
    assert load_recipe(recipe, PreferenceSettings) == expected
    # The paper's, where an adapter does not need another.
    assert (expected.loss, expected.beta, expected.log_ratios) == ("ipo", 0.01, "sum")


def test_settings_can_be_changed_for_one_run(recipe: Path) -> None:
    changes = ("lora.r=8", "model=org/name-7b", "trainer.learning_rate=1e-4", 'data.parts="none"', "adapter = runs/sft")
    settings = load_recipe(recipe, SFTSettings, changes)
    assert settings.lora == LoraSettings(r=8)
    assert (settings.model, settings.data.parts) == ("org/name-7b", "none")
    assert settings.trainer == {"learning_rate": 1e-4}
    assert settings.adapter == "runs/sft"


def test_everything_that_is_wrong_is_told_at_once(recipe: Path) -> None:
    recipe.write_text(
        'output = "run"\nmodle = "x"\nbeta = "a"\nlog_ratios = "product"\n[data]\ntrain = "f"\nheld_out = 2.0\n'
        '[lora]\nr = 0\n[trainer]\nlearning_rat = 1\noutput_dir = "x"\ntrain_sampling_strategy = "random"\n'
    )
    with pytest.raises(InputError) as caught:
        load_recipe(recipe, PreferenceSettings)
    told = str(caught.value)
    for part in (
        "modle: there is no such setting",
        "beta: input should be a valid number",
        "log_ratios: input should be 'sum' or 'mean'",
        "data: held_out must be in [0, 1), but is 2.0",
        "lora: r and alpha must be at least 1",
        "trainer.learning_rat: DPOConfig has no such setting; did you mean learning_rate?",
        "trainer.output_dir: set output instead",
        "trainer.train_sampling_strategy: leave it out; batches are always grouped by length",
    ):
        assert part in told
    assert told.count("\n") == 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("output = ", "is not TOML in UTF-8"),
        ('output = "x"\n', "data: field required"),
        (SMALL + "[trainer]\nlearning_rate = 1e-4\n[model]\nname = 1\n", "model: input should be a valid string"),
        (SMALL + "limit = 0\n", "limit at least 1"),
        (SMALL + 'format = "alpaca"\n', "data.format: input should be 'own', 'pop' or 'bpo'"),
        ('data = "pairs.jsonl"\noutput = "x"\n', "data: input should be"),
        ('trainer = "fast"\n' + SMALL, "trainer: input should be"),
    ],
)
def test_a_recipe_that_cannot_be_used(recipe: Path, text: str, told: str) -> None:
    recipe.write_text(text)
    with pytest.raises(InputError, match=re.escape(told)):
        load_recipe(recipe, SFTSettings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("beta = 0.0\n", "beta must be a number above 0, but is 0.0"),
        ('loss = "sigmoid"\nlog_ratios = "mean"\n', "log_ratios = 'mean' is only for the loss 'ipo'"),
        ("trainer.ld_alpha = 0.5\n", "trainer.ld_alpha changes TRL's own IPO, which works on means"),
        ("trainer.use_weighting = true\n", "trainer.use_weighting changes TRL's own IPO"),
        ('trainer.f_divergence_type = "js_divergence"\n', "trainer.f_divergence_type changes TRL's own IPO"),
        ('trainer.num_train_epochs = "3"\n', "trainer.num_train_epochs: input should be a valid number, not '3'"),
        ("margin = -0.1\n", "margin must be at least 0"),
        ("max_new_tokens = 0\n", "max_new_tokens at least 1"),
        ('test_models = ["m"]\n', "test_models and margin are for the judge 'likelihood', not 'self'"),
        ("margin = 0.1\n", "test_models and margin are for the judge 'likelihood', not 'self'"),
        ('method = "full"\nlora.r = 4\n', "so there is no adapter for [lora] to describe"),
    ],
)
def test_what_would_be_ignored_or_fail_in_training_is_refused_at_once(recipe: Path, text: str, told: str) -> None:
    recipe.write_text(text + SMALL)
    with pytest.raises(InputError, match=re.escape(told)):
        load_recipe(recipe, IterativeSettings)


def test_ipo_on_means_and_other_losses_take_what_ipo_on_sums_cannot(recipe: Path) -> None:
    recipe.write_text("trainer.ld_alpha = 0.5\n" + SMALL)
    for change in ('log_ratios="mean"', 'loss="sigmoid"'):
        assert load_recipe(recipe, PreferenceSettings, (change,)).trainer == {"ld_alpha": 0.5}
    harmless = ("trainer.ld_alpha=0.5", 'loss="sigmoid"', "trainer.use_weighting=false", "trainer.eval_steps=1")
    assert load_recipe(recipe, PreferenceSettings, harmless).trainer["eval_steps"] == 1


def test_supervised_training_is_not_sent_to_settings_it_does_not_have(recipe: Path) -> None:
    recipe.write_text('trainer = {loss_type = "dft", beta = 0.1, packing = true}\n' + SMALL)
    with pytest.raises(InputError) as caught:
        load_recipe(recipe, SFTSettings)
    for part in (
        "trainer.loss_type: leave it out; what is learnt is the likelihood of the chosen rewrite",
        "trainer.packing: leave it out; every row stands alone",
        "trainer.beta: SFTConfig has no such setting",
    ):
        assert part in str(caught.value)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the recipe"):
        load_recipe(tmp_path / "absent.toml", SFTSettings)


@pytest.mark.parametrize("change", ["lora.r", "=3", "output.deeper=1"])
def test_a_change_that_cannot_be_made(recipe: Path, change: str) -> None:
    with pytest.raises(InputError, match="--set"):
        load_recipe(recipe, SFTSettings, (change,))


def test_no_name_is_not_the_default(recipe: Path) -> None:
    from fipo_model.training.sft import train_sft

    settings = load_recipe(recipe, SFTSettings, ("model=", f"output={recipe.parent / 'out'}"))
    assert settings.model == ""
    with pytest.raises(ModelError, match="there is no model ''"):
        train_sft(settings)
    assert not (recipe.parent / "out").exists()


def test_settings_of_the_wrong_type_are_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        IterativeSettings(output="x", data=DataSettings(train="f"), rounds=0)
    with pytest.raises(ValueError, match="learning_rate"):
        SFTSettings(output="x", data=DataSettings(train="f"), learning_rate=1)  # type: ignore[call-arg]
