"""Task gain and task accuracy on tasks that no model was trained on: what a rewritten wording does to many inputs."""

from fipo_model.evaluation.held_out.drawing import HeldOut, read_held_out
from fipo_model.evaluation.held_out.job import Models, TaskJob, open_models

__all__ = ["HeldOut", "Models", "TaskJob", "open_models", "read_held_out"]
