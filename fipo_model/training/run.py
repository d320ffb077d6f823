"""What every training run has around its trainer: the model, the directory, resuming, and what is left at the end.

OUTPUT/checkpoints holds what a run needs to resume (torch's own formats among it) and is removed when the run is done;
what remains is safetensors, fipo.json, summary.json, log.jsonl and curves.png.
"""

import errno
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from fipo_model import places
from fipo_model.backends.transformers.loading import best_device, best_dtype, load_base, with_adapter
from fipo_model.errors import InputError, TrainingError, explain_missing
from fipo_model.jobs import claimed_directory
from fipo_model.models.files import hashes_of
from fipo_model.models.names import Checkpoint, resolve_local, template_file
from fipo_model.models.registry import SMALLEST
from fipo_model.templates import Template, find_template
from fipo_model.training import rows
from fipo_model.training.finishing import finish
from fipo_model.training.processes import is_first_process
from fipo_model.training.report import LogToFile
from fipo_model.training.settings import LoraSettings, RewardSettings, RunSettings, SFTSettings, trainer_problems
from fipo_model.training.trainers import last_checkpoint

with explain_missing("train", "torch", "transformers", "peft", "trl", "datasets", "safetensors"):
    import torch
    from peft import LoraConfig
    from safetensors import SafetensorError
    from torch.nn import Linear
    from transformers import PreTrainedTokenizerBase, PrinterCallback
    from transformers.trainer import Trainer
    from transformers.trainer_utils import IntervalStrategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a trainer is made of, and where it writes."""

    output: Path
    base_model: str
    """As fipo.json is to name it: a base that FIPO knows by its name, wherever its weights lie."""
    template: Template
    template_file: Path | None
    model: Any
    tokenizer: Any
    peft_config: LoraConfig | None
    data: rows.TrainingSet


@contextmanager
def claimed(settings: RunSettings, *, resume: bool) -> Iterator[Path]:
    """The run's directory, with its settings noted. Raises `InputError` if it holds another run, or may not resume.

    Among several processes, the first one claims it for all.
    """
    if problems := trainer_problems(type(settings), settings.trainer):
        raise InputError("; ".join(problems))
    output = Path(settings.output)
    if not is_first_process():
        yield output
        return
    content = hashes_of(_files(settings))
    with claimed_directory(output, kind="a training run") as job:
        if job.settings is not None and not resume:
            raise InputError(f"{output} already holds a run. Resume it (--resume), or choose another output.")
        job.begin(asdict(settings), content=content)
        yield output


def _files(settings: RunSettings) -> dict[str, str | Path | None]:
    """The files that a run learns from: a checkpoint goes on in the middle of them."""
    files: dict[str, str | Path | None] = {"template": settings.template}
    if isinstance(settings, SFTSettings | RewardSettings):
        files["data.train"] = settings.data.train
    if settings.adapter is not None:  # what it was when the run began is the reference of preference training
        files["adapter"] = Path(settings.adapter) / "adapter_model.safetensors"
    return files


def arguments(settings: SFTSettings, output: Path, defaults: dict[str, Any]) -> dict[str, Any]:
    """`common_arguments` for learning from rows, some of which are held out."""
    evaluated = {
        "eval_strategy": "steps" if settings.data.held_out else "no",
        "eval_steps": 0.25,
        "eval_on_start": bool(settings.data.held_out),
    }
    # Longer rows were left out; nothing is to be cut.
    return common_arguments(settings, output, evaluated | defaults) | {"max_length": None}


def common_arguments(settings: RunSettings, output: Path, defaults: dict[str, Any]) -> dict[str, Any]:
    """For TRL's config: FIPO's defaults, then the user's `[trainer]`, then what the settings decide."""
    device = _device(settings)
    dtype = best_dtype(device)
    common = {
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 1,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "cosine",
        "logging_steps": 5,
        "save_steps": 50,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": device != "cpu",
        "ddp_find_unused_parameters": False,
        # Unless told, transformers assumes that bf16 needs a GPU, and refuses it where there is none.
        "use_cpu": device == "cpu",
        # Both mean autocast: products are computed in the short format, while what is trained and its optimizer's
        # state stay in fp32 (an adapter on a base in the short format, too: peft sees to it).
        "bf16": dtype is torch.bfloat16,
        "fp16": dtype is torch.float16,
    }
    decided = {
        "output_dir": str(output / "checkpoints"),
        "seed": settings.seed,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "logging_nan_inf_filter": False,
    }
    return {**common, **defaults, **settings.trainer, **decided}


def _device(settings: RunSettings) -> str:
    """Where a run computes: where inference does, unless `[trainer]` keeps it off the GPU."""
    return "cpu" if settings.trainer.get("use_cpu") else best_device()


Config = TypeVar("Config")


def make_config(kind: Callable[..., Config], values: dict[str, Any]) -> Config:
    """TRL's config from `arguments`. Raises `InputError` with TRL's own reason if it refuses them."""
    with _without_old_names():
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            raise InputError(f"the trainer refuses its settings: {error}") from error


Read = Callable[[PreTrainedTokenizerBase, Template], rows.TrainingSet]
"""Reads the data for a model with this tokenizer that is asked by this template."""


def prepare(settings: RunSettings, output: Path, config: Any, read: Read) -> Run:
    """Load the model, put an adapter on it, and read the data.

    The trainer's config must exist before the model is loaded (ZeRO-3 loads it in parts); it loses its evaluation where
    no row was held out.
    """
    checkpoint = starting_point(settings)
    is_full = settings.method == "full"
    model, tokenizer = load_base(
        checkpoint.base,
        # A quantized model cannot be moved later; any other is placed by the trainer, on as many GPUs as there are.
        best_device() if settings.method == "qlora" else None,
        settings.method == "qlora",
        dtype=torch.float32 if is_full else _number_format(config),
    )
    if checkpoint.adapter is not None:
        model = with_adapter(model, Path(checkpoint.adapter), checkpoint.base, is_trainable=True)
    template = checkpoint.template if settings.template is None else find_template(settings.template)
    data = read(tokenizer, template)
    if data.held_out is None:
        config.eval_strategy, config.eval_on_start = IntervalStrategy.NO, False
    return Run(
        output=output,
        base_model=checkpoint.base,
        template=template,
        template_file=_template_file(settings, checkpoint),
        model=model,
        tokenizer=tokenizer,
        peft_config=None if is_full or checkpoint.adapter is not None else _lora(settings, model),
        data=data,
    )


def _number_format(config: Any) -> torch.dtype:
    """The number format of a run's matrix products, and of a base under an adapter."""
    if config.bf16:
        return torch.bfloat16
    return torch.float16 if config.fp16 else torch.float32


def starting_point(settings: RunSettings) -> Checkpoint:
    """What a run begins with."""
    # Without a name: the bare small base, not FIPO's own adapter on it, unless that is named.
    start = SMALLEST.name if settings.model is None and settings.adapter is None else settings.model
    checkpoint = resolve_local(start, settings.adapter, role=None)
    if checkpoint.adapter is not None:
        if settings.method == "full":
            raise InputError("method 'full' cannot train an adapter; merge it first with: fipo weights merge")
        _refuse_other_form(settings.lora, Path(checkpoint.adapter))
    return checkpoint


def _refuse_other_form(wanted: LoraSettings, adapter: Path) -> None:
    own = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    names = {"r": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "target_modules": "target_modules"}
    for name, name_there in names.items():
        value, before, default = getattr(wanted, name), own.get(name_there), getattr(LoraSettings(), name)
        is_same = sorted(value) == sorted(before) if isinstance(value, list) and before else value == before
        if value != default and not is_same:
            raise InputError(
                f"lora.{name} is {value!r}, but the adapter {adapter} was made with {before!r}, which stays. Leave it "
                "out, or train a new adapter (on the model that this one is merged into: fipo weights merge)."
            )


def _template_file(settings: RunSettings, checkpoint: Checkpoint) -> Path | None:
    """The template's file, if it is not one of FIPO's own; it is stored with the trained model."""
    if settings.template is None:
        return template_file(Path(checkpoint.adapter or checkpoint.base))
    file = Path(settings.template)
    return file if places.is_file(file) else None


def _lora(settings: RunSettings, model: Any) -> LoraConfig:
    lora = settings.lora
    targets = lora.target_modules
    if targets == "all-linear":
        # By their short names. peft would list every layer's full name, and such an adapter also fits a base that has
        # more layers, which nobody would notice.
        head = model.get_output_embeddings()
        linear = (name for name, module in model.named_modules() if isinstance(module, Linear) and module is not head)
        targets = sorted({name.rpartition(".")[2] for name in linear})
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
    )


def execute(make_trainer: Callable[[], Trainer], run: Run, settings: RunSettings, *, resume: bool) -> Path:
    """Train, from the last checkpoint if there is one and it is wanted, and leave the finished directory."""
    started = time.perf_counter()
    with explained(settings), _without_old_names():
        try:
            trainer = make_trainer()
        except ValueError as error:
            raise InputError(f"TRL or peft refuses the settings: {error}") from error
        trainer.remove_callback(PrinterCallback)  # it prints to stdout
        trainer.add_callback(LogToFile(run.output / "log.jsonl"))
        last = last_checkpoint(Path(str(trainer.args.output_dir))) if resume else None
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        trainer.save_model(str(run.output / "saving"))
        if trainer.is_world_process_zero():
            told = asdict(settings)
            if run.peft_config is None:  # all weights, or an adapter that has its own form
                del told["lora"]
            note = {"template": run.template.name, "base_model": run.base_model, "training": told}
            note["number_format"] = str(_number_format(trainer.args)).removeprefix("torch.")
            if run.template_file is not None:
                note["template"] = run.template_file.name
                shutil.copyfile(run.template_file, run.output / run.template_file.name)
            finish(trainer, run.output, note, run.data, time.perf_counter() - started)
        trainer.accelerator.wait_for_everyone()
    return run.output


@contextmanager
def explained(settings: RunSettings) -> Iterator[None]:
    """For code that can run out of memory or disk space: says what to do about it."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "the GPU's memory is too small for this run. In this order: halve trainer.per_device_train_batch_size and "
            "double trainer.gradient_accumulation_steps; set gradient_checkpointing = true; lower data.max_length; "
            "method = 'qlora'; or several GPUs (accelerate launch, see examples/recipes)."
        ) from error
    except (OSError, SafetensorError) as error:
        is_full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        what = "the disk is full" if is_full else f"{error}"
        raise TrainingError(
            f"cannot write to {settings.output}: {what}. What was saved before is complete; continue with --resume."
        ) from error


@contextmanager
def _without_old_names() -> Iterator[None]:
    """TRL still uses names that transformers is about to drop; users can do nothing about that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.* is deprecated", FutureWarning)
        yield
