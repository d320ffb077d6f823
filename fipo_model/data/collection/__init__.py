"""A preference data set of the user's own prompts: the paper's collection of POP (section 3.2), made repeatable.

with prepare(Path("prompts.jsonl"), Path("pairs.jsonl"), BuildSettings(max_calls=1000)) as job:
    print(job.estimate)
    build(job, weak=weak, strong=strong)  # two Generators
"""

from fipo_model.data.collection.cases import REASONS, STAGES, Stage
from fipo_model.data.collection.estimate import Estimate, estimate
from fipo_model.data.collection.job import Job, Progress, build, prepare
from fipo_model.data.collection.prompts import COLLECTION_1
from fipo_model.data.collection.settings import BuildSettings

__all__ = [
    "COLLECTION_1",
    "REASONS",
    "STAGES",
    "BuildSettings",
    "Estimate",
    "Job",
    "Progress",
    "Stage",
    "build",
    "estimate",
    "prepare",
]
