"""An evaluation from a recipe: everything measured is kept as it comes, and the results are made from that.

OUTPUT/settings.json has the settings, OUTPUT/measured/ every rewrite and every figure of every item, and results.json
and report.html are made from these.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fipo_model import jsonl
from fipo_model.backends.engine import here
from fipo_model.backends.opening import open_scorer
from fipo_model.data.hub import open_records
from fipo_model.data.records import Record
from fipo_model.data.split import is_held_out
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.evaluation import measures
from fipo_model.evaluation.held_out import HeldOut, TaskJob, open_models, read_held_out
from fipo_model.evaluation.made import describe_run
from fipo_model.evaluation.naming import fingerprint_system, hash_adapter, name_test_models
from fipo_model.evaluation.page import render_page
from fipo_model.evaluation.preference import margins
from fipo_model.evaluation.results import (
    BenchmarkAccuracy,
    Example,
    GoldenGain,
    PreferenceAccuracy,
    Results,
    Rewriting,
    Seconds,
)
from fipo_model.evaluation.settings import DataSettings, EvaluationSettings
from fipo_model.evaluation.systems import System, judged_request_of
from fipo_model.jobs import claimed_directory, completed
from fipo_model.likelihood import golden_log_likelihoods
from fipo_model.models.files import hashes_of
from fipo_model.types import OptimizationRequest

if TYPE_CHECKING:
    from fipo_model.evaluation.accuracy import Benchmarks

RESULTS, PAGE, ADDITIONS = "results.json", "report.html", "additions.jsonl"

Say = Callable[[str], None]


@here()
def evaluate(settings: EvaluationSettings, *, say: Say = lambda text: None) -> Results:
    """Run an evaluation, or the rest of an interrupted one, and write its results and its page.

    `say` is told of the progress. Raises `InputError` for data or settings that cannot be used, and if the output
    directory belongs to other settings or other adapters.
    """
    held_out = None if settings.tasks is None else read_held_out(settings.tasks, seed=settings.seed)
    told, content = _told(settings, held_out), hashes_of(_files(settings))
    with claimed_directory(Path(settings.output), kind="an evaluation") as claimed:
        claimed.begin(told, content=content)
        return _evaluate(settings, held_out, claimed.output, say=say)


def _evaluate(settings: EvaluationSettings, held_out: HeldOut | None, output: Path, *, say: Say) -> Results:
    started, clock = datetime.now(UTC), time.perf_counter()
    job = _Job(settings, held_out, output / "measured", say=say)
    results = Results(
        title=settings.title,
        systems={system.name: system.describe() for system in job.systems},
        rewriting=job.rewriting(),
        golden_gain=job.golden_gain(),
        preference=job.preference(),
        tasks=None if job.tasks is None else job.tasks.run(job.systems, say),
        benchmarks=job.benchmarks(),
        bad_rows=job.bad_rows,
        made=describe_run(asdict(settings), seed=settings.seed, started=started, seconds=time.perf_counter() - clock),
    )
    jsonl.write_json(output / RESULTS, results.to_fields())
    if job.tasks is not None:
        with jsonl.replacing(output / ADDITIONS) as file:
            file.writelines(map(jsonl.encode_object, job.tasks.rows()))
    with jsonl.replacing(output / PAGE) as file:
        file.write(render_page(results, list(job.examples())).encode())
    return results


def _told(settings: EvaluationSettings, held_out: HeldOut | None) -> dict[str, Any]:
    """What the figures depend on besides files: the settings, the adapters behind their names, the tasks drawn."""
    specs = [*settings.test_models, *(settings.tasks.answering if settings.tasks is not None else [])]
    answering = {spec: hash_adapter(spec) for spec in specs}
    return {
        **asdict(settings),
        "drawn_tasks": None if held_out is None else held_out.digest(),
        "adapters": {name: fingerprint_system(system) for name, system in settings.systems.items()},
        "test_model_adapters": {name: adapter for name, adapter in answering.items() if adapter is not None},
    }


def _files(settings: EvaluationSettings) -> dict[str, str | Path | None]:
    """The files that figures depend on, because what was measured is kept by the ids in them. Tasks have a digest."""
    files: dict[str, str | Path | None] = {f"data.{name}": data.path for name, data in settings.data.items()}
    if settings.benchmarks is not None and settings.benchmarks.path is not None:
        folder = Path(settings.benchmarks.path)
        files |= {f"benchmarks.{name}": folder / f"{name}.jsonl" for name in settings.benchmarks.names}
    return files | {f"systems.{name}.template": system.template for name, system in settings.systems.items()}


class _Job:
    """What the parts of one evaluation share: the records, the systems, and the files of what was measured."""

    def __init__(self, settings: EvaluationSettings, held_out: HeldOut | None, folder: Path, *, say: Say) -> None:
        self.settings = settings
        self.folder = folder
        self.say = say
        self.bad_rows: dict[str, list[str]] = {}
        self.data = {name: self._read(name, wanted) for name, wanted in settings.data.items()}
        self.systems = [System(name, wanted, settings.seed) for name, wanted in settings.systems.items()]
        self.test_models = name_test_models(settings)
        self._rewrites: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._gains: dict[tuple[str, str, str], dict[str, float]] = {}
        for system in self.systems:  # a model that cannot be loaded should show now, not after hours
            system.describe()
        for name in self.test_models.values():
            open_scorer(name)
        self._benchmarks = self._read_benchmarks()
        self.tasks: TaskJob | None = None
        if settings.tasks is not None and held_out is not None:
            models = open_models(settings)
            self.tasks = TaskJob(held_out, models, settings.tasks, folder=folder / "tasks", seed=settings.seed)

    def _read(self, name: str, wanted: DataSettings) -> dict[str, Record]:
        records: dict[str, Record] = {}
        for item in open_records(wanted.path, format=wanted.format):
            if not isinstance(item, Record):
                self.bad_rows.setdefault(name, []).append(str(item))
            elif wanted.held_out is None or is_held_out(item.id, wanted.held_out, wanted.split_seed):
                if item.id in records:
                    self.bad_rows.setdefault(name, []).append(f"the id {item.id} occurs twice; the first row counts")
                records.setdefault(item.id, item)
        if not records:
            raise InputError(f"{wanted.path} has no records to evaluate on")
        return dict(islice(records.items(), wanted.limit))

    def rewriting(self) -> list[Rewriting]:
        """Every system's rewrites of every data set, counted."""
        found: list[Rewriting] = []
        for system in self.systems:
            for data, records in self.data.items():
                self.say(f"{system.name}: rewriting {data} ({len(records)} prompts)")
                rewrites = completed(self._file("rewrites", system.name, data), records, system.rewrite)
                self._rewrites[system.name, data] = rewrites
                timed = list(records.values())[: self.settings.timed_prompts]
                latency = completed(self._file("seconds", system.name, data), {"all": timed}, partial(_timed, system))
                seconds = latency["all"]["seconds"]
                found.append(
                    measures.count_rewriting(
                        records,
                        rewrites,
                        system=system.name,
                        data=data,
                        seconds=None if seconds is None else Seconds(**seconds),
                        seed=self.settings.seed,
                    )
                )
        return found

    def golden_gain(self) -> list[GoldenGain]:
        """What the rewrites do to the golden responses under every test model."""
        found: list[GoldenGain] = []
        for test_model, source in self.test_models.items():
            for data, records in self.data.items():
                self.say(f"{test_model}: measuring golden responses of {data}")
                measured = self._likelihoods(test_model, source, data)
                for system in self.systems:
                    gains, left_out = measures.find_gains(records, self._rewrites[system.name, data], measured)
                    self._gains[system.name, data, test_model] = gains
                    counted = measures.count_gains(
                        gains,
                        left_out,
                        system=system.name,
                        data=data,
                        test_model=test_model,
                        seed=self.settings.seed,
                    )
                    if counted is not None:
                        found.append(counted)
        return found

    def _likelihoods(self, test_model: str, source: str, data: str) -> dict[str, dict[str, Any]]:
        prompts: dict[str, tuple[OptimizationRequest, str]] = {}
        for key, record in self.data[data].items():
            if record.golden_response is None:
                continue
            request = judged_request_of(record)
            proposed = (self._rewrites[system.name, data][key]["text"] for system in self.systems)
            for text in (record.instruction, *proposed):
                prompts[measures.likelihood_key(key, text)] = (request, text)
        measure = open_scorer(source, max_response_tokens=self.settings.max_response_tokens)

        def compute(batch: Sequence[tuple[OptimizationRequest, str]]) -> list[dict[str, Any]]:
            return [
                {"error": "too long for the test model"} if isinstance(value, PromptTooLongError) else {"value": value}
                for value in golden_log_likelihoods(measure, batch)
            ]

        return completed(self._file("golden", test_model, data), prompts, compute)

    def preference(self) -> list[PreferenceAccuracy]:
        """How often each optimizer's adapter made the chosen of two rewrites likelier, compared with its base."""
        found: list[PreferenceAccuracy] = []
        for system in self.systems:
            for data, records in self.data.items():
                rejecting = self._rewrites.get((self.settings.preference or "", data))
                pairs, left_out = measures.find_pairs(records, rejecting)
                # A model without an adapter is its own base, so there is nothing to compare.
                if not pairs or fingerprint_system(system.settings) is None:
                    continue
                self.say(f"{system.name}: preference accuracy on {data} ({len(pairs)} pairs)")
                compute = partial(margins, system, records, pairs)
                ledger = completed(self._file("preference", system.name, data), {key: key for key in pairs}, compute)
                counted = measures.count_preferred(ledger, left_out, system=system.name, data=data)
                if counted is not None:
                    found.append(counted)
        return found

    def _read_benchmarks(self) -> "Benchmarks | None":
        if self.settings.benchmarks is None:
            return None
        from fipo_model.evaluation.accuracy import Benchmarks  # brings lm-eval, which takes seconds to import

        return Benchmarks(self.settings.benchmarks, self.folder, self.settings.seed)

    def benchmarks(self) -> list[BenchmarkAccuracy]:
        """Task accuracy, naive compared with optimized."""
        wanted, measured = self.settings.benchmarks, self._benchmarks
        if wanted is None or measured is None:
            return []
        found: list[BenchmarkAccuracy] = []
        for system in self.systems:
            if system.name in wanted.systems or (not wanted.systems and system.is_optimizer):
                self.say(f"{system.name}: the benchmarks {', '.join(wanted.names)}")
                found += measured.accuracies(system, self.test_models)
        return found

    def examples(self) -> Iterator[Example]:
        """Every prompt of every system that uses a model, before and after, for the page."""
        changing = [system for system in self.systems if system.settings.kind != "identity"]
        for system, (data, records) in product(changing, self.data.items()):
            yield from (self._example(system.name, data, record) for record in records.values())
        if self.tasks is not None:
            yield from self.tasks.examples()

    def _example(self, system: str, data: str, record: Record) -> Example:
        rewrite = self._rewrites[system, data][record.id]
        gains = {test_model: self._gains[system, data, test_model] for test_model in self.test_models}
        return Example(
            id=record.id,
            system=system,
            data=data,
            naive=record.instruction,
            text=rewrite["text"],
            proposed=rewrite["proposed"],
            outcome=rewrite["outcome"],
            detail=rewrite["detail"],
            context=record.context,
            golden_response=record.golden_response,
            gains={test_model: found[record.id] for test_model, found in gains.items() if record.id in found},
        )

    def _file(self, *parts: str) -> Path:
        *folders, last = (part.replace("/", "_") for part in parts)
        return self.folder.joinpath(*folders, f"{last}.jsonl")


def _timed(system: System, batches: Sequence[list[Record]]) -> list[dict[str, Any]]:
    return [{"seconds": system.time(records)} for records in batches]
