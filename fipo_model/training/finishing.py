"""The end of a run, and what it leaves in its directory."""

import json
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fipo_model.addresses import hide_passwords
from fipo_model.errors import explain_missing
from fipo_model.jobs import SETTINGS
from fipo_model.jsonl import write_json
from fipo_model.training.processes import say
from fipo_model.training.report import draw_curves
from fipo_model.training.rows import TrainingSet, in_words
from fipo_model.training.settings import RunSettings

with explain_missing("train", "transformers"):
    from transformers.trainer import Trainer

SUMMARY = "summary.json"
"""Written last: where it is, the run is finished."""


def is_finished(output: Path) -> bool:
    """Whether a run has come to its end there."""
    return (output / SUMMARY).exists()


def finish(trainer: Trainer, output: Path, note: dict[str, Any], data: TrainingSet, seconds: float) -> None:
    """Move what was saved into place, with `note` as fipo.json; the summary, written last, says that all is there."""
    saved = output / "saving"
    is_adapter = (saved / "adapter_config.json").exists()
    for file in saved.iterdir():
        # An adapter uses its base's tokenizer. The trainer's own settings are pickled, and in fipo.json anyway.
        is_wanted = (
            file.name.startswith("adapter_") if is_adapter else file.suffix in (".safetensors", ".json", ".jinja")
        )
        if file.is_file() and is_wanted:
            file.replace(output / file.name)
    shutil.rmtree(saved)
    write_json(output / "fipo.json", hide_passwords(note))
    draw_curves(trainer.state.log_history, output / "curves.png")
    if data.left_out:
        say(f"rows left out: {in_words(data.left_out)}; all of them are named in {SUMMARY}")
    summary = {
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 1),
        "rows": {"trained on": len(data.train), "held out": len(data.held_out or ())},
        "left_out": data.left_out,
        "last": {name: value for entry in trainer.state.log_history for name, value in entry.items()},
        **_versions(),
    }
    shutil.rmtree(str(trainer.args.output_dir), ignore_errors=True)
    write_json(output / SUMMARY, summary)


def hand_over(checkpoint: Path, output: Path, settings: RunSettings, summary: dict[str, Any]) -> None:
    """Make the last round's checkpoint the run's own; its summary is written last and says that everything is there."""
    for file in checkpoint.iterdir():
        if file.name not in (SUMMARY, SETTINGS):
            shutil.copyfile(file, output / file.name)
    note = json.loads((checkpoint / "fipo.json").read_text(encoding="utf-8"))
    write_json(output / "fipo.json", note | {"training": hide_passwords(asdict(settings))})
    write_json(output / SUMMARY, {**summary, **_versions()})


def _versions() -> dict[str, dict[str, str]]:
    return {"versions": {name: version(name) for name in ("fipo", "torch", "transformers", "trl", "peft")}}
