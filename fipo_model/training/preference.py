"""Preference training: DPO, IPO and TRL's other losses on pairs."""

from functools import partial
from pathlib import Path

from fipo_model.errors import explain_missing
from fipo_model.training import rows
from fipo_model.training.finishing import is_finished
from fipo_model.training.run import arguments, claimed, execute, make_config, prepare
from fipo_model.training.settings import PreferenceSettings
from fipo_model.training.trainers import PreferenceTrainer

with explain_missing("train", "trl"):
    from trl import DPOConfig

# 5e-7 is the paper's, for all weights of a 13B and a 70B model. The best value for an adapter on a small model is not
# known yet; 5e-5 moves it without breaking it.
_LEARNING_RATE = {"lora": 5e-5, "qlora": 5e-5, "full": 5e-7}


def train_preference(settings: PreferenceSettings, *, resume: bool = False) -> Path:
    """Train a model to prefer the chosen rewrites; gives the directory that `PromptOptimizer.from_pretrained` loads.

    The reference is the model as it was when the run began: the base without the new adapter, or the adapter that is
    trained on. `resume` starts from the last checkpoint of a run that was stopped, or returns at once if it was
    finished. Raises `InputError` for settings that cannot be used, `TrainingError` if the run cannot continue.
    """
    with claimed(settings, resume=resume) as output:
        if is_finished(output):
            return output
        # Kept for several epochs, computed once; in a single one the base under the adapter is as quick.
        precomputes = settings.trainer.get("num_train_epochs", 1) > 1
        defaults = {"learning_rate": _LEARNING_RATE[settings.method], "precompute_ref_log_probs": precomputes}
        method = {"loss_type": settings.loss, "beta": settings.beta}
        config = make_config(DPOConfig, arguments(settings, output, defaults) | method)
        run = prepare(settings, output, config, partial(rows.load, settings.data, seed=settings.seed, pairs=True))

        def make_trainer() -> PreferenceTrainer:
            trainer = PreferenceTrainer(
                model=run.model,
                args=config,
                train_dataset=run.data.train,
                eval_dataset=run.data.held_out,
                processing_class=run.tokenizer,
                peft_config=run.peft_config,
            )
            trainer.sums_log_ratios = settings.loss == "ipo" and settings.log_ratios == "sum"
            return trainer

        return execute(make_trainer, run, settings, resume=resume)
