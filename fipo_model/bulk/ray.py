"""Many prompts on a Ray cluster: a model in each worker, and one process that reads and writes.

`optimize` is a step for a dataset of Ray Data; `optimize_files` is `fipo optimize --engine ray`. That command hands the
rows to the workers and itself writes what comes back. If a worker dies, Ray asks another one. If the writing process
dies, what it has written is done, and the next start asks for the rest. So every id is there once.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fipo_model import jobs, jsonl, places
from fipo_model.bulk.files import Done, Report, Tally, check_prompt, finished, settings_of
from fipo_model.bulk.rows import Row, RowId, failed_id, failed_row, optimize_rows, parse_row, parse_rows
from fipo_model.bulk.storage import Place, claimed_parts, read_items, schema_of
from fipo_model.errors import FipoError, InputError, ModelError, ServerError, explain_missing, first_line
from fipo_model.jsonl import BadRow
from fipo_model.optimizer import PromptOptimizer

with explain_missing("ray", "ray", "pyarrow"):
    import pyarrow as pa
    import ray
    import ray.data
    from ray.exceptions import RayError

Opening = PromptOptimizer | Callable[[], PromptOptimizer] | str
"""What a worker rewrites with: an optimizer, a function that makes one, or a model's name."""

_ON_RETRYING = "Failed to apply UDF transform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The workers: how many, and what each may use."""

    workers: int | None = None
    """By default as many as the cluster has room for."""
    cpus: float = 1.0
    gpus: float | None = None
    """By default one, where the cluster has any."""
    batch_size: int = 32
    """Rows that a worker is given at a time."""


def optimize(
    dataset: "ray.data.Dataset", optimizer: Opening = "default", *, pool: Pool | None = None, proposals: bool = False
) -> "ray.data.Dataset":
    """A dataset with a rewrite of each row of `dataset`, lazily; each worker opens the model once.

    Rows have `instruction`, an `id` of any type, and perhaps `context`, `silver_response`, `golden_response`,
    `examples`, `keep` and `max_words`; what comes out are the columns of `optimize_file`. A row that cannot be used
    comes out with the outcome "failed". Ray's checkpoints (`DataContext.checkpoint_config`) make a pipeline with this
    step resumable.
    """
    room = _room(pool or Pool())
    return dataset.map_batches(
        _Worker,
        fn_constructor_args=(optimizer, proposals),
        batch_format="pyarrow",
        batch_size=room.batch_size,
        compute=ray.data.ActorPoolStrategy(size=room.workers),
        num_cpus=room.cpus,
        num_gpus=room.gpus,
    )


def optimize_files(
    optimizer: Opening, source: str, target: str, *, pool: Pool, report: Report, proposals: bool = False
) -> Tally:
    """Optimize every row of `source` into `target`, each a path or a URL; `fipo_model.bulk.optimize_file` on a cluster.

    `source` is a JSONL or Parquet file, or a folder of such. `target` is a JSONL file on this machine, or a folder of
    parts whose name ends in .parquet or .jsonl. Rows that cannot be used are written, too, with the outcome "failed".
    Rows come in no order. Joins the cluster of RAY_ADDRESS, or starts one on this machine for the time being.
    Raises `InputError` for what cannot be read or written, and the workers' own `FipoError`s.
    """
    with ExitStack() as stack:
        output = stack.enter_context(_claimed(target))  # report refusals before anything is started
        rows = parse_rows(read_items(Place.of(source)))
        if isinstance(output, _File):
            jsonl.check_apart(Path(source), Path(target))
        stack.enter_context(_connected())
        with _explained():
            settings = _settings_on_a_worker(optimizer, pool)
            done = output.begin(settings, has_proposals=proposals)
            tally = Tally(already_done=len(done))
            report(tally, None)
            run = _Run(output, settings, tally, report)
            asked = run.begin(_waiting(rows, done, source))
            if asked:
                blocks = -(-len(asked) // pool.batch_size)
                dataset = optimize(
                    ray.data.from_items(asked, override_num_blocks=blocks), optimizer, pool=pool, proposals=proposals
                )
                del asked
                for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    run.take(table.to_pylist())
        run.check_complete()
        return tally


class _Worker:
    """Runs in a worker. Ray makes it once, and calls it for each batch."""

    def __init__(self, optimizer: Opening, has_proposals: bool) -> None:
        self.optimizer = _opened(optimizer)
        self.settings = settings_of(self.optimizer)
        self.has_proposals = has_proposals

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The output rows of input rows."""
        made: list[dict[str, Any]] = []
        usable: list[Row] = []
        given = batch.to_pylist()
        for place, fields in enumerate(given):
            try:
                usable.append(parse_row(place, {**fields, "id": place}))
            except InputError as error:
                made.append(self._failed(BadRow(line=place, reason=str(error), id=place), fields))
        for row in optimize_rows(self.optimizer, usable, has_proposals=self.has_proposals):
            made.append(self._failed(row, given[row.line]) if isinstance(row, BadRow) else row)
        rows = [{**row, "id": given[row["id"]].get("id")} for row in made]
        id_type = batch.schema.field("id").type if "id" in batch.column_names else pa.null()
        return pa.Table.from_pylist(rows, schema=schema_of(id_type, has_proposals=self.has_proposals))

    def _failed(self, bad: BadRow, fields: Mapping[str, Any]) -> dict[str, Any]:
        return failed_row(bad, prompt=str(fields.get("instruction") or ""), settings=self.settings)


def _opened(optimizer: Opening) -> PromptOptimizer:
    if isinstance(optimizer, PromptOptimizer):
        return optimizer
    return PromptOptimizer.from_pretrained(optimizer) if isinstance(optimizer, str) else optimizer()


def _settings_on_a_worker(optimizer: Opening, pool: Pool) -> dict[str, Any]:
    """The settings that rewrites depend on.

    The model is opened on a worker, so its errors show before anything else.
    """
    room = _room(pool)
    ask = ray.remote(num_cpus=room.cpus, num_gpus=room.gpus, max_retries=0)(lambda: settings_of(_opened(optimizer)))
    found: dict[str, Any] = ray.get(ask.remote())
    return found


def _room(pool: Pool) -> Pool:
    """The pool, with what it leaves open filled in from the cluster."""
    has = ray.cluster_resources()
    gpus = pool.gpus if pool.gpus is not None else float(has.get("GPU", 0) >= 1)
    fitting = min(has.get("CPU", 0) / pool.cpus if pool.cpus else 1, has.get("GPU", 0) / gpus if gpus else float("inf"))
    if fitting < 1:
        raise InputError(
            f"the cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs, but one worker needs "
            f"{pool.cpus:g} and {gpus:g}"
        )
    return Pool(workers=pool.workers or int(fitting), cpus=pool.cpus, gpus=gpus, batch_size=pool.batch_size)


class _Run:
    """Rows in progress: which are under way, and which came back."""

    def __init__(self, output: "_Output", settings: Mapping[str, Any], tally: Tally, report: Report) -> None:
        self.output = output
        self.settings = settings
        self.tally = tally
        self.report = report
        self.ids: dict[int, RowId] = {}
        """Of the rows that are under way, by their lines."""

    def begin(self, rows: Iterable[Row | BadRow]) -> list[dict[str, Any]]:
        """The rows that can be used, from now on under way; the others are written."""
        bad: list[BadRow] = []
        usable: list[dict[str, Any]] = []
        for row in rows:
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                self.ids[row.line] = row.id
                usable.append(_fields(row))
        written = [failed_row(row, prompt="", settings=self.settings) for row in bad]
        self.output.expect_ids([*self.ids.values(), *(row["id"] for row in written)])
        self.output.add(written)
        for row in bad:
            self.tally.count(row)
            self.report(self.tally, row)
        return usable

    def take(self, made: Sequence[dict[str, Any]]) -> None:
        """Write rows that came back. One that is no longer awaited has come a second time."""
        own = [(row["id"], {**row, "id": self.ids.pop(row["id"])}) for row in made if row["id"] in self.ids]
        self.output.add([row for _, row in own])
        for line, row in own:
            if row["outcome"] == "failed":
                bad = BadRow(line=line, reason=row["detail"], id=row["id"])
                self.tally.count(bad)
                self.report(self.tally, bad)
            else:
                self.tally.count(row)
        self.report(self.tally, None)

    def check_complete(self) -> None:
        """Raise `ModelError` where rows were lost, which must not happen."""
        if self.ids:
            raise ModelError(f"Ray did not return {len(self.ids)} rows. The others are written; start again to resume.")


def _fields(row: Row) -> dict[str, Any]:
    asked = row.request
    return {
        "id": row.line,
        "instruction": asked.instruction,
        "context": asked.context,
        "silver_response": asked.silver_response,
        "golden_response": asked.golden_response,
        "examples": [{"input": one.input, "output": one.output} for one in asked.examples],
        "max_words": asked.max_words,
        "keep": list(asked.keep),
    }


def _waiting(rows: Iterable[Row | BadRow], done: Done, source: str) -> Iterator[Row | BadRow]:
    for row in rows:
        if str(_written_id(row)) not in done:
            yield row
        else:
            check_prompt(row, done, Place.of(source).shown)


def _written_id(row: Row | BadRow) -> RowId:
    return row.id if isinstance(row, Row) else failed_id(row)


class _Output(Protocol):
    """Where rows are written."""

    def begin(self, settings: Mapping[str, Any], *, has_proposals: bool) -> Done:
        """Record the job's settings, or check them, and return what is already there."""
        ...

    def expect_ids(self, ids: Iterable[RowId]) -> None:
        """Told of all ids that are to come, before the first row."""
        ...

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows, now or soon."""
        ...


class _File:
    """A JSONL file on this machine, as `optimize_file` writes it."""

    def __init__(self, job: jobs.Job) -> None:
        self.job = job

    def begin(self, settings: Mapping[str, Any], *, has_proposals: bool) -> Done:
        self.job.check(settings)
        done = finished(self.job.output, settings)
        self.job.begin(settings)
        return done

    def expect_ids(self, ids: Iterable[RowId]) -> None:
        """Nothing depends on them."""

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        jobs.append(self.job.output, rows)


@contextmanager
def _claimed(target: str) -> Iterator[_Output]:
    if "://" in target or not target.endswith(".jsonl") or places.is_directory(target):
        with claimed_parts(target) as parts:
            yield parts
        return
    with jobs.claimed_file(Path(target), kind="rewritten prompts", needs_note=False) as job:
        jsonl.check_writable(Path(target))
        yield _File(job)


@contextmanager
def _connected() -> Iterator[None]:
    """A cluster; only FIPO's own output reaches the terminal."""
    context = ray.data.DataContext.get_current()
    loud = logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.raise_original_map_exception, loud.level
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # a wrapped error loses its cause on the way
    loud.setLevel(logging.CRITICAL)
    is_ours = not ray.is_initialized()
    if is_ours:
        # Ray reports its use to its makers unless told not to. A cluster that starts now reads this.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ServerError(f"cannot reach or start a Ray cluster: {first_line(error)}") from error
    try:
        yield
    finally:
        context.enable_progress_bars, context.raise_original_map_exception, level = before
        loud.setLevel(level)
        if is_ours:
            ray.shutdown()


@contextmanager
def _explained() -> Iterator[None]:
    """Unwraps our own errors, which Ray wraps on their way from a worker."""
    try:
        yield
    except RayError as error:
        own = _own_cause(error)
        if own is not None:
            raise own from error
        raise ModelError(
            f"Ray stopped the job: {first_line(error)}. What was written is kept: start again to resume"
        ) from error


def _own_cause(error: BaseException | None) -> FipoError | None:
    """Our own error at the root of others.

    Ray gives its error the cause's class as well, with a worker's traceback as its message, and Ray Data adds to ours
    how to retry.
    """
    found: FipoError | None = None
    for _ in range(10):  # a chain of causes may be circular
        if error is None:
            break
        if isinstance(error, FipoError) and not isinstance(error, RayError):
            found = error
        error = getattr(error, "cause", None) or error.__cause__
    if found is not None:
        found.args = (str(found).partition(_ON_RETRYING)[0].rstrip(), *found.args[1:])
    return found
