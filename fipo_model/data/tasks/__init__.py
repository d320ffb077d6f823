"""Tasks as data: what somebody wants done to many inputs, hasty and good wordings of it, and right outputs.

Those that are made by rule come from `fipo_model.data.tasks.making`.
"""

from fipo_model.data.tasks.checking import is_right
from fipo_model.data.tasks.gain import Change, Gain, accuracy, capped_gain, gains, likelihoods
from fipo_model.data.tasks.leaking import leak
from fipo_model.data.tasks.reading import parse_task, read_tasks, write_tasks
from fipo_model.data.tasks.splitting import PARTS, Part, check_disjoint, part_of
from fipo_model.data.tasks.task import Check, Example, Task

__all__ = [
    "PARTS",
    "Change",
    "Check",
    "Example",
    "Gain",
    "Part",
    "Task",
    "accuracy",
    "capped_gain",
    "check_disjoint",
    "gains",
    "is_right",
    "leak",
    "likelihoods",
    "parse_task",
    "part_of",
    "read_tasks",
    "write_tasks",
]
