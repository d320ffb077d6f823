"""Supervised fine-tuning."""

from functools import partial
from pathlib import Path

from fipo_model.errors import explain_missing
from fipo_model.training import rows
from fipo_model.training.finishing import is_finished
from fipo_model.training.run import arguments, claimed, execute, make_config, prepare
from fipo_model.training.settings import SFTSettings
from fipo_model.training.trainers import RewritingTrainer

with explain_missing("train", "trl"):
    from trl import SFTConfig

# 2e-5 is the paper's, for all weights of a 13B and a 70B model. At 3e-4 an adapter for the default weights was seen to
# learn within one epoch of 1,468 public pairs; it is a starting point, not the result of a search.
_LEARNING_RATE = {"lora": 3e-4, "qlora": 3e-4, "full": 2e-5}


def train_sft(settings: SFTSettings, *, resume: bool = False) -> Path:
    """Train a model to write the chosen rewrites; gives the directory that `PromptOptimizer.from_pretrained` loads.

    Only the reply is learnt. `resume` starts from the last checkpoint of a run that was stopped, or returns at once if
    it was finished. Raises `InputError` for settings that cannot be used, `TrainingError` if the run cannot continue.
    """
    with claimed(settings, resume=resume) as output:
        if is_finished(output):
            return output
        values = arguments(settings, output, {"learning_rate": _LEARNING_RATE[settings.method]})
        config = make_config(SFTConfig, values)
        run = prepare(settings, output, config, partial(rows.load, settings.data, seed=settings.seed, pairs=False))

        def make_trainer() -> RewritingTrainer:
            return RewritingTrainer(
                model=run.model,
                args=config,
                train_dataset=run.data.train,
                eval_dataset=run.data.held_out,
                processing_class=run.tokenizer,
                peft_config=run.peft_config,
            )

        return execute(make_trainer, run, settings, resume=resume)
