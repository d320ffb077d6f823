"""A comparison, from its settings to its results. Every record is kept as it comes, so that it can resume.

OUTPUT/settings.json says what is compared, OUTPUT/results.jsonl has one record for each contender, task and seed, and
summary.json and report.html are made from these.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl
from fipo_model.comparing.optimizers.contenders import CONTENDERS, STUDENT
from fipo_model.comparing.optimizers.counting import key, summarize
from fipo_model.comparing.optimizers.page import render_page
from fipo_model.comparing.optimizers.running import Runner
from fipo_model.comparing.optimizers.tasks import TASKS, Data, fingerprint, read_data
from fipo_model.errors import InputError
from fipo_model.jobs import completed

RESULTS, SPEED, SUMMARY, PAGE = (
    "results.jsonl",
    "without-metric.jsonl",
    "summary.json",
    "report.html",
)
_FREE = ("output", "tasks", "contenders", "seeds", "seed", "data")
"""Settings that change no record: a comparison resumes with others. Of the data, the content counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a comparison."""

    output: str
    data: str
    tasks: tuple[str, ...]
    contenders: tuple[str, ...]
    seeds: int
    effort: str
    train: int
    val: int
    test: int
    model: str
    rewriter: str
    max_tokens: int
    proposal_tokens: int
    num_threads: int
    seed: int = 0

    def __post_init__(self) -> None:
        for what, named, known in (("task", self.tasks, TASKS), ("optimizer", self.contenders, CONTENDERS)):
            if not named:
                raise InputError(f"name at least one {what} of {', '.join(known)}")
            if unknown := [name for name in named if name not in known]:
                raise InputError(f"there is no {what} {unknown[0]!r}; the {what}s are {', '.join(known)}")


@contextmanager
def claimed(settings: Settings) -> Iterator[None]:
    """The output directory for this process alone. Raises `InputError` if it belongs to another comparison."""
    data = {TASKS[name].dataset: fingerprint(Path(settings.data), TASKS[name].dataset) for name in settings.tasks}
    kept = {name: value for name, value in asdict(settings).items() if name not in _FREE}
    told = kept | {"dspy": version("dspy")}
    students = _students(settings.tasks)
    with jobs.claimed_directory(Path(settings.output), kind="a comparison", option="--output") as job:
        # Tasks may be added. A directory from before the data was recorded resumes with the data that it is given.
        noted = {name: (job.settings or {}).get(name, {}) for name in ("data", "students")}
        now: dict[str, Mapping[str, Any]] = {"data": data, "students": students}
        job.check(told | {name: noted[name] | _among(now[name], noted[name]) for name in now})
        job.note(told | {name: noted[name] | dict(now[name]) for name in now})
        yield


def _among(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _students(tasks: Sequence[str]) -> dict[str, dict[str, str]]:
    """The naive instructions, so that records of another version of the tasks are not mixed with these."""
    return {
        name: {part: one.signature.instructions for part, one in TASKS[name].student().named_predictors()}
        for name in tasks
    }


def run(settings: Settings, runner: Runner, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Run a comparison whose output is claimed, or the rest of an interrupted one; write its results and its page.

    Seeds are the outer loop and tasks the inner one, so that a stopped run has the same seeds for every task. The page
    is rewritten after every record.
    """
    folder, started = Path(settings.output), datetime.now(UTC)
    names = (STUDENT, *(name for name in settings.contenders if name != STUDENT))
    cells: dict[str, tuple[str, str, int]] = {}
    for seed, name, task in product(range(settings.seeds), names, settings.tasks):
        cells[key(task, name, seed)] = (task, name, seed)
    speed = completed(folder / SPEED, {"fipo": "fipo"}, lambda _: [runner.without_metric()])["fipo"]
    known = _known(folder)

    def compute(part: Any) -> list[dict[str, Any]]:
        ((task, name, seed),) = part
        say(f"{len(known)} records; seed {seed}, {name}, {task}")
        record = runner.record(task, name, seed, _data(settings, task, seed), known)
        known[key(task, name, seed)] = record
        if record["error"] is not None:
            say(f"{name} failed on {task}: {record['error']}")
        _finish(settings, known, speed, started)
        return [record]

    completed(folder / RESULTS, cells, compute, at_once=1)
    return _finish(settings, known, speed, started)


def _known(folder: Path) -> dict[str, dict[str, Any]]:
    return {record.pop("key"): record for record in jobs.finished_rows(folder / RESULTS, "key")}


def _data(settings: Settings, task: str, seed: int) -> Data:
    return read_data(
        Path(settings.data), TASKS[task], seed=seed, train=settings.train, val=settings.val, test=settings.test
    )


def _finish(
    settings: Settings, known: Mapping[str, Mapping[str, Any]], speed: Mapping[str, Any], started: datetime
) -> dict[str, Any]:
    from fipo_model.evaluation.made import describe_run  # loads torch, so not before the settings are checked

    folder = Path(settings.output)
    tasks = tuple(task for task in TASKS if any(record["task"] == task for record in known.values()))
    summary = summarize(known, tasks, seed=settings.seed) | {"without_metric": speed}
    made = describe_run(
        {**asdict(settings), "records": len(known)},
        seed=settings.seed,
        started=started,
        seconds=(datetime.now(UTC) - started).total_seconds(),
        more_packages=("dspy", "gepa", "optuna"),
    )
    results: dict[str, Any] = json.loads(
        json.dumps({"summary": summary, "made": asdict(made)}).encode("utf-8", "replace")
    )
    jsonl.write_json(folder / SUMMARY, results)
    with jsonl.replacing(folder / PAGE) as file:
        file.write(render_page(results, known).encode("utf-8", "replace"))
    return results
