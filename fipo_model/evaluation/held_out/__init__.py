"""Task gain and task accuracy on tasks that nobody was trained on: what a rewritten wording does to many inputs."""

from fipo_model.evaluation.held_out.drawing import HeldOut, read_held_out
from fipo_model.evaluation.held_out.job import measure_tasks

__all__ = ["HeldOut", "measure_tasks", "read_held_out"]
