"""A run's reports: lines on stderr, a log file, and curves."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from fipo_model.errors import explain_missing

with explain_missing("train", "transformers"):
    from transformers import TrainerCallback

# The values for the terminal; everything else is in the file.
_SHOWN = {
    "loss": "loss",
    "reward": "reward",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "eval_loss": "held-out loss",
    "eval_rewards/accuracies": "held-out accuracy",
}
_PANELS = {
    "loss": ("loss", "eval_loss"),
    "reward": ("reward",),
    "reward margin": ("rewards/margins", "eval_rewards/margins"),
    "share of pairs in the right order": ("rewards/accuracies", "eval_rewards/accuracies"),
}


class LogToFile(TrainerCallback):
    """Writes every logged value as a line of JSON, and the main ones to stderr.

    After a stop, the file is written anew from what the checkpoint remembers, so that no step is there twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started = 0.0
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._started, self._first_step = time.monotonic(), state.global_step
        if state.is_world_process_zero:
            self.path.write_text("".join(json.dumps(entry) + "\n" for entry in state.log_history), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**logs, "step": state.global_step}) + "\n")
        shown = [f"{label} {logs[name]:.4g}" for name, label in _SHOWN.items() if name in logs]
        if shown:
            sys.stderr.write(
                f"fipo: step {state.global_step} of {state.max_steps}: {', '.join(shown)}{self._left(state)}\n"
            )

    def _left(self, state: Any) -> str:
        done = state.global_step - self._first_step
        if not done:
            return ""
        minutes = (time.monotonic() - self._started) / done * (state.max_steps - state.global_step) / 60
        return f" ({minutes:.0f} min left)" if minutes >= 1 else ""


def draw_curves(history: list[dict[str, float]], path: Path) -> None:
    """A picture of loss, margin and accuracy over the steps, training and held-out, without empty panels."""
    with explain_missing("train", "matplotlib"):
        from matplotlib.figure import Figure

    panels = {}
    for title, names in _PANELS.items():
        lines = {name: [(entry["step"], entry[name]) for entry in history if name in entry] for name in names}
        if any(lines.values()):
            panels[title] = lines
    figure = Figure(figsize=(5 * max(len(panels), 1), 4), layout="constrained")
    for axes, (title, lines) in zip(
        figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels.items(), strict=False
    ):
        for name, points in lines.items():
            if points:
                label = "held out" if name.startswith("eval_") else "training"
                axes.plot(
                    *zip(*points, strict=True), label=label, marker="o" if len(points) < 20 else None, markersize=3
                )
        axes.set_xlabel("step")
        axes.set_title(title)
        axes.legend()
    figure.savefig(path, dpi=120)
