"""Speed of training on the default weights against TRL as it comes. `make bench`; figures and targets are in README.md.

Both train the same rows (BPO's, from the development data), with the same loss, adapter, learning rate and batch size,
for one epoch, in fp32. Only the epoch is timed; the held-out loss after it shows that both learnt the same.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from fipo_model import FIPO_1
from fipo_model.backends.transformers.loading import load_base
from fipo_model.data import Diversification, Record, diversify, read_records
from fipo_model.jsonl import encode_object
from fipo_model.models.registry import DEFAULT
from fipo_model.training import rows
from fipo_model.training.run import make_config
from fipo_model.training.settings import DataSettings
from fipo_model.training.trainers import LENGTH, PreferenceTrainer, RewritingTrainer

BPO = Path(__file__).parents[2] / "shared" / "data" / "prompt_pairs" / "bpo.jsonl"
ROUNDS = 3
SAMPLE = 32  # fewer rows than this are too few to group by length

pytestmark = [
    pytest.mark.skipif(not BPO.exists(), reason="needs the development data in ../shared/data"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`use_return_dict` is deprecated:FutureWarning"),
]


def data(tmp_path: Path, *, pairs: bool, longest: int, limit: int | None = None) -> rows.TrainingSet:
    """BPO's rows in the eight types; they have no rejected rewrite, so the naive prompt stands in for it."""
    file = tmp_path / "rows.jsonl"
    found = [record for record in read_records(BPO) if isinstance(record, Record)]
    made = diversify(found, Diversification(), template=FIPO_1)
    with file.open("wb") as target:
        for record, row in zip(found, made, strict=True):
            target.write(encode_object(row.to_fields() | {"rejected": record.instruction}))
    settings = DataSettings(train=str(file), max_length=longest, held_out=0.2, limit=limit)
    _, tokenizer = load_base(DEFAULT.name, "cpu", False)
    return rows.load(settings, tokenizer, FIPO_1, seed=0, pairs=pairs)


def train(cls: Any, data: rows.TrainingSet, output: Path, **settings: Any) -> tuple[float, float]:
    """Seconds of one epoch, and the held-out loss after it."""
    model, tokenizer = load_base(DEFAULT.name, "cpu", False)
    values = {"output_dir": str(output), "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4}
    values |= {"learning_rate": 2e-4, "bf16": False, "use_cpu": True, "max_length": None, "num_train_epochs": 1}
    values |= {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "seed": 1}
    trainer = cls(
        model=model,
        args=make_config(SFTConfig if issubclass(cls, SFTTrainer) else DPOConfig, values | settings),
        train_dataset=data.train,
        eval_dataset=data.held_out,
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    return seconds, float(trainer.evaluate()["eval_loss"])


def in_turns(
    benchmark: Any, ours: Callable[[], tuple[float, float]], theirs: Callable[[], tuple[float, float]]
) -> tuple[float, float, float]:
    """How many times faster ours is, by medians of rounds in turns, and both held-out losses."""
    pairs = [(theirs(), ours()) for _ in range(ROUNDS)]
    their_seconds, our_seconds = (statistics.median(turn[side][0] for turn in pairs) for side in (0, 1))
    ratio, their_loss, our_loss = their_seconds / our_seconds, pairs[-1][0][1], pairs[-1][1][1]
    benchmark.extra_info.update(ratio=ratio, our_seconds=our_seconds, their_seconds=their_seconds)
    benchmark.pedantic(lambda: None)
    print(
        f"\n{benchmark.name}: {ratio:.2f} times ({our_seconds:.1f} s against {their_seconds:.1f} s); held-out loss "
        f"{our_loss:.4f} against {their_loss:.4f}"
    )
    return ratio, our_loss, their_loss


def test_preference_training_against_trl_as_it_comes(benchmark: Any, tmp_path: Path) -> None:
    """Gradient checkpointing and a random order are TRL's defaults; the reference is computed in the epoch by both."""
    found = data(tmp_path, pairs=True, longest=640, limit=16)
    settings = {"loss_type": "ipo", "beta": 0.5}
    print(f"\n{len(found.train)} pairs, {sum(found.train[LENGTH]) / len(found.train):.0f} tokens on average, packed")
    ratio, ours, theirs = in_turns(
        benchmark,
        lambda: train(PreferenceTrainer, found, tmp_path / "ours", gradient_checkpointing=False, **settings),
        lambda: train(DPOTrainer, found, tmp_path / "theirs", **settings),
    )
    assert ours == pytest.approx(theirs, rel=0.02)
    assert ratio >= 1.4


def pads_to(length: int) -> type[SFTTrainer]:
    """A trainer that pads as the original project does: every row to the longest one of the whole set."""

    class PadsToTheLongest(SFTTrainer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.data_collator.pad_to_multiple_of = length

    return PadsToTheLongest


def test_sft_against_padding_to_the_longest_row(benchmark: Any, tmp_path: Path) -> None:
    """A sample of all rows, evenly over their lengths."""
    whole = data(tmp_path, pairs=False, longest=2048)
    lengths = list(whole.train[LENGTH])
    print(f"\n{len(lengths)} rows, {sum(lengths) / len(lengths):.0f} tokens on average, {max(lengths)} at most")
    rows_of = len(lengths) // SAMPLE
    held_out = whole.held_out
    assert held_out is not None
    sample = replace(
        whole,
        train=whole.train.select(range(rows_of // 2, len(lengths), rows_of)),
        held_out=held_out.select(range(0, len(held_out), 10)),
    )
    ratio, ours, theirs = in_turns(
        benchmark,
        lambda: train(RewritingTrainer, sample, tmp_path / "ours", gradient_checkpointing=False),
        lambda: train(pads_to(max(lengths)), sample, tmp_path / "theirs", gradient_checkpointing=False),
    )
    assert ours == pytest.approx(theirs, rel=0.02)
    assert ratio >= 3
