"""TRL's trainers as FIPO runs them: the same losses, in length-grouped batches, without waste and without telemetry."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fipo_model.errors import TrainingError, explain_missing
from fipo_model.training.pairs import LabelledOnly, SharedPrompts, can_share_prompts

with explain_missing("train", "torch", "transformers", "peft", "trl", "datasets"):
    import torch
    from accelerate.utils import is_peft_model
    from transformers.trainer import Trainer
    from transformers.trainer_pt_utils import get_length_grouped_indices
    from trl import DPOTrainer, GRPOTrainer, SFTTrainer
    from trl.trainer.utils import RepeatSampler

LENGTH = "length"
"""The column of a training set that holds a row's number of tokens."""


# Written into a checkpoint when everything else is there: a stop while one is saved leaves a directory like any other.
_COMPLETE = "complete"


def last_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was saved to the end; incomplete ones would be in the way, and are removed."""
    complete: dict[int, Path] = {}
    for path in directory.glob("checkpoint-*"):
        if (path / _COMPLETE).exists():
            complete[int(path.name.removeprefix("checkpoint-"))] = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return complete[max(complete)] if complete else None


class LengthGroupedSampler(torch.utils.data.Sampler[int]):
    """Rows of similar length together, in an order that depends on the seed and the epoch alone.

    transformers' own sampler draws from the global state, groups by the batch of one process, and so orders two
    processes, or a resumed run, differently. `batch_size` is that of an optimizer step, over all processes.
    """

    def __init__(self, lengths: list[int], *, batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer when an epoch begins, a resumed one too."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        yield from get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)


class _Careful(Trainer):
    """What every trainer does beyond TRL: it stops if weights are lost, and sends nothing."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not math.isfinite(loss.item()):
            raise self._diverged(f"the loss is {loss.item()}")
        return loss

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Keep only what a run can resume from."""
        if not all(p.isfinite().all() for p in self.model.parameters() if p.requires_grad):
            raise self._diverged("some of the trained weights are not finite numbers")
        super()._save_checkpoint(*args, **kwargs)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            (Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / _COMPLETE).touch()

    def _diverged(self, what: str) -> TrainingError:
        last = last_checkpoint(Path(self.args.output_dir))
        good = "No checkpoint was saved before that" if last is None else f"The last good checkpoint is {last}"
        return TrainingError(
            f"{what} at step {self.state.global_step + 1}. {good}. Start a run with another output and a lower "
            "learning_rate, a longer warm-up or a smaller max_grad_norm in [trainer]. To continue "
            "from a checkpoint, give it to that run as its adapter (or as its model, if all weights are trained)."
        )

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint's facts are in its fipo.json and summary.json; TRL's card would add a page about TRL."""


class _OnRows(_Careful):
    """For trainers that learn from rows as they are: batches by length, and no needless computation."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        lengths = list(self.train_dataset[LENGTH])  # what is passed has lost the column by now
        per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return LengthGroupedSampler(lengths, batch_size=per_step, seed=self.args.seed)

    def _backbone(self, model: Any) -> torch.nn.Module:
        """What computes a model's hidden states, under the adapter if there is one."""
        model = self.accelerator.unwrap_model(model)
        causal = model.get_base_model() if is_peft_model(model) else model
        return causal.base_model  # type: ignore[no-any-return]


class RewritingTrainer(_OnRows, SFTTrainer):
    """Supervised: only the reply is learnt, and the head is computed only for the reply."""

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(LabelledOnly(model, self._backbone(model)), inputs, *args, **kwargs)


class PreferenceTrainer(_OnRows, DPOTrainer):
    """Preference losses as in TRL, with each prompt computed once, and IPO also on summed log-ratios."""

    sums_log_ratios = False
    """IPO as in the paper and its own code: the log-ratio of a whole reply. TRL takes the mean per token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.precompute_ref_logps = True  # to TRL's loss they are: _compute_loss sees to it

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        return super().compute_ref_log_probs(self._sharing(model), inputs)

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        if "ref_chosen_logps" not in inputs:
            reference = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
            inputs = {**inputs, **dict(zip(("ref_chosen_logps", "ref_rejected_logps"), reference, strict=True))}
        if not self.sums_log_ratios:
            return super()._compute_loss(self._sharing(model), inputs, return_outputs)
        log_probs = torch.empty(0)

        def remembering(**kwargs: Any) -> Any:
            nonlocal log_probs
            output = self._sharing(model)(**kwargs)
            log_probs = output.log_probs
            return output

        # For TRL's metrics; its own loss, on means, is dropped.
        super()._compute_loss(remembering, inputs, False)
        chosen, rejected = log_probs.sum(dim=1).chunk(2)
        difference = (chosen - inputs["ref_chosen_logps"]) - (rejected - inputs["ref_rejected_logps"])
        # Azar et al. 2023 (arXiv 2310.12036), equation 17, whose tau is beta.
        return ((difference - 1 / (2 * self.beta)) ** 2).mean()

    def _sharing(self, model: Any) -> Any:
        # The reference may be a model of its own, with layers of its own.
        can_share = can_share_prompts(self.accelerator.unwrap_model(model))
        return SharedPrompts(model, self._backbone(model)) if can_share else model


class RewardTrainer(_Careful, GRPOTrainer):
    """GRPO (arXiv 2402.03300) as in TRL; an interrupted run resumes with the prompts it would have had."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return _EpochSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )


class _EpochSampler(RepeatSampler):
    """TRL's sampler, whose order in an epoch depends on that epoch's number, not on the epochs drawn before it."""

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer when an epoch begins, a resumed one too."""
        if self.shuffle:
            self.generator.manual_seed(self.seed + epoch)
