"""`fipo train`: a recipe in, a directory that `fipo optimize --model` takes out."""

from pathlib import Path
from typing import Annotated

import typer

from fipo_model.cli.notes import note

app = typer.Typer(
    help="Train a rewriter on preference data or tasks, from a TOML recipe. Examples are in examples/recipes.",
    no_args_is_help=True,
)

Recipe = Annotated[Path, typer.Argument(help="TOML file with the settings.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting: key=value, such as data.limit=100 or trainer.learning_rate=1e-4."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")]


@app.command()
def sft(recipe: Recipe, *, changes: Changes = None, resume: Resume = False) -> None:
    """Supervised training: learn to write the chosen rewrites."""
    from fipo_model.training.settings import SFTSettings, load_recipe
    from fipo_model.training.sft import train_sft

    _done(train_sft(load_recipe(recipe, SFTSettings, tuple(changes or ())), resume=resume))


@app.command()
def preference(recipe: Recipe, *, changes: Changes = None, resume: Resume = False) -> None:
    """Preference training (DPO, IPO and others): learn to prefer the chosen rewrites to the rejected ones."""
    from fipo_model.training.preference import train_preference
    from fipo_model.training.settings import PreferenceSettings, load_recipe

    _done(train_preference(load_recipe(recipe, PreferenceSettings, tuple(changes or ())), resume=resume))


@app.command()
def iterative(recipe: Recipe, *, changes: Changes = None, resume: Resume = False) -> None:
    """Train in rounds. After each, the model's rewrites that a judge prefers take the place of the naive prompts."""
    from fipo_model.training.iterative import train_iterative
    from fipo_model.training.settings import IterativeSettings, load_recipe

    _done(train_iterative(load_recipe(recipe, IterativeSettings, tuple(changes or ())), resume=resume))


@app.command()
def reward(recipe: Recipe, *, changes: Changes = None, resume: Resume = False) -> None:
    """Reinforcement learning (GRPO): reward a rewrite for its effect on the inputs of its task."""
    from fipo_model.training.reward import train_reward
    from fipo_model.training.settings import RewardSettings, load_recipe

    _done(train_reward(load_recipe(recipe, RewardSettings, tuple(changes or ())), resume=resume))


def _done(output: Path) -> None:
    from fipo_model.training.processes import is_first_process

    if not is_first_process():
        return
    note(f"done. Use it with: fipo optimize --model {output} ...")
    typer.echo(output)
