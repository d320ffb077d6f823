"""A comparison, from its settings to its results. Everything measured is kept as it comes, so that it can resume.

OUTPUT/settings.json says what was compared, OUTPUT/prompts.json what happened to the prompts. OUTPUT/measured/ has
every run and score; results.json and report.html are made of these.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import islice, product
from pathlib import Path
from typing import Any

from langchain_core.globals import get_llm_cache
from langchain_core.runnables import Runnable

from fipo_integrations.langchain import Report, optimize_chain
from fipo_model import PromptOptimizer, jobs, jsonl
from fipo_model.comparing.chains import counting
from fipo_model.comparing.chains.metrics import Metric
from fipo_model.comparing.chains.page import render_page
from fipo_model.comparing.chains.rows import Row
from fipo_model.comparing.chains.running import SIDES, Chains, Progress, Run, run_batch, time_alone
from fipo_model.errors import InputError
from fipo_model.jobs import completed
from fipo_model.objects import fingerprint
from fipo_model.search import SearchSettings

RESULTS, PAGE = "results.json", "report.html"
_PROMPTS, _MEASURED, _SEARCH = "prompts.json", "measured", "search"
_FREE = ("output", "metric", "seed", "timed", "max_seconds")
"""Settings that change no answer of a chain: an output made with different values of these can be resumed."""

Begin = Callable[[str, int], Progress]
"""Told what begins and in how many steps; gives back what to call after some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a comparison."""

    chain: str
    data: str
    output: str
    metric: str
    examples: str | None = None
    """The file of those on which the twin's prompts are chosen; without one, the rewriter decides."""
    max_seconds: float | None = None
    """Nothing new is tried on them after so long."""
    answerer: Mapping[str, str] | None
    """Who answers a chain that is only a prompt: the options that name it."""
    optimizer_model: str | None
    roles: tuple[str, ...] | None
    limit: int | None
    max_tokens: int | None
    batch_size: int
    repeat: int
    timed: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One comparison: its settings, the rows, and the metric."""

    settings: Settings
    rows: Sequence[Row]
    bad_rows: Sequence[str]
    metric: Metric
    examples: Sequence[Row] = ()
    """Those on which the twin's prompts are chosen; none of them is among the rows."""

    def __post_init__(self) -> None:
        shown = {_as_key(row.input) for row in self.examples}
        if both := [row.id for row in self.rows if _as_key(row.input) in shown]:
            raise InputError(
                f"{len(both)} of the {len(self.rows)} rows are examples, too, such as {both[0]!r}: a chain that was "
                "chosen on them would look better than it is. Leave them out of one file"
            )

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return Path(self.settings.output)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The output directory for this process alone. Raises `InputError` if it belongs to another comparison."""
        asked = json.dumps([[row.id, row.input] for row in self.rows], sort_keys=True).encode("utf-8", "replace")
        chosen_on = json.dumps([[row.input, row.reference] for row in self.examples], sort_keys=True)
        chosen_on_hash = sha256(chosen_on.encode("utf-8", "replace")).hexdigest()[:12]
        wanted = {
            **{name: value for name, value in asdict(self.settings).items() if name not in _FREE},
            "rows": f"{len(self.rows)} ({sha256(asked).hexdigest()[:12]})",
            **({"chosen on": f"{len(self.examples)} ({chosen_on_hash})"} if self.examples else {}),
            "version of the chain's file": fingerprint(self.settings.chain),
        }
        with jobs.claimed_directory(self.folder, kind="a comparison", option="--output") as job:
            job.begin(wanted)
            yield

    def twin(self, chain: Runnable[Any, Any], optimizer: PromptOptimizer) -> tuple[Chains, Report]:
        """Both chains, and what happened to the prompts. Raises `InputError` if earlier runs had other prompts."""
        made, report = optimize_chain(
            chain,
            optimizer=optimizer,
            roles=self.settings.roles,  # type: ignore[arg-type]
            examples=[(row.input, row.reference) for row in self.examples],
            metric=self.metric.given if self.examples else None,
            search=self._search() if self.examples else None,
        )
        found = {change.where: {"original": change.naive, "optimized": change.text} for change in report.changes}
        noted = self.folder / _PROMPTS
        if not noted.exists():
            jsonl.write_json(noted, found)
        elif changed := jobs.differences(json.loads(noted.read_text(encoding="utf-8")), found):
            raise InputError(
                f"{self.folder} holds a comparison with other prompts: {changed}. Choose another --output."
            )
        return dict(zip(SIDES, (chain, made), strict=True)), report

    def _search(self) -> SearchSettings:
        return SearchSettings(
            seed=self.settings.seed, max_seconds=self.settings.max_seconds, log_dir=self.folder / _SEARCH
        )

    def measure(self, chains: Chains, begin: Begin) -> list[dict[str, Any]]:
        """Every row with what both chains made of it, how it scores, and how long the first rows took alone."""
        repeat, size = self.settings.repeat, self.settings.batch_size
        runs: dict[str, Run] = {}
        for number, row in product(range(repeat), self.rows):
            runs[f"{number}:{row.id}"] = Run(row, len(runs))
        progress = begin(f"both chains on {len(self.rows)} rows" + (f", {repeat} times" * (repeat > 1)), len(runs))
        ask = partial(run_batch, chains, size, len(runs), progress)
        answers: dict[str, dict[str, Any]] = {}
        scores: dict[str, dict[str, Any]] = {}
        # A broken metric shows with the first batch, not when everything has been paid for.
        for part in (dict(islice(runs.items(), size)), runs):
            answers = completed(self._file("runs"), part, ask, at_once=size)
            scored = {key: (run.row, answers[key]) for key, run in part.items()}
            scores = completed(self._file(f"scores-{self._scores_version()}"), scored, self._scores, at_once=size)
        alone = self._alone(chains, begin)
        measured = []
        for row in self.rows:
            own = [_merged(answers[key], scores[key]) for key in _keys(row, repeat)]
            measured.append({**asdict(row), "runs": own, "seconds_alone": alone.get(row.id)})
        return measured

    def write(self, results: Mapping[str, Any]) -> None:
        """The results, and the page made of them."""
        jsonl.write_json(self.folder / RESULTS, results)
        with jsonl.replacing(self.folder / PAGE) as file:
            file.write(render_page(results).encode())

    def _alone(self, chains: Chains, begin: Begin) -> dict[str, dict[str, Any]]:
        timed = {row.id: Run(row, place) for place, row in enumerate(self.rows[: self.settings.timed])}
        if not timed:
            return {}
        compute = partial(time_alone, chains, begin("rows one by one, to time them", len(timed)))
        return completed(self._file("alone"), timed, compute, at_once=1)

    def _scores(self, answered: Sequence[tuple[Row, Mapping[str, Any]]]) -> list[dict[str, float | None]]:
        return [{side: self._score(row, answer[side]) for side in SIDES} for row, answer in answered]

    def _score(self, row: Row, answer: Mapping[str, Any]) -> float | None:
        return None if answer["error"] is not None else self.metric.score(row, answer["output"])

    def _scores_version(self) -> str:
        """Changes where the metric or the references do."""
        made_with = [self.metric.name, self.metric.version, [row.reference for row in self.rows]]
        return sha256(json.dumps(made_with, sort_keys=True).encode("utf-8", "replace")).hexdigest()[:12]

    def _file(self, name: str) -> Path:
        return self.folder / _MEASURED / f"{name}.jsonl"


def compare(
    comparison: Comparison,
    chain: Runnable[Any, Any],
    optimizer: PromptOptimizer,
    *,
    begin: Begin,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run a comparison whose output is claimed, or the rest of an interrupted one; write its results and its page.

    If no prompt was rewritten, both chains are the same, and neither is run.
    """
    started = datetime.now(UTC)
    chains, report = comparison.twin(chain, optimizer)
    say(str(report))
    if get_llm_cache() is not None:
        say("LangChain's cache is on (set_llm_cache): times and repeats may be those of cached answers")
    settings = comparison.settings
    summary = {"chain": settings.chain, "metric": settings.metric, "prompts": counting.count_prompts(report)}
    records: list[dict[str, Any]] = []
    if report.is_rewritten:
        records = comparison.measure(chains, begin)
        summary |= counting.summarize(records, seed=settings.seed)
    else:
        summary["verdict"] = "nothing rewritten"
    results = {
        "format": 1,
        "title": f"{settings.chain} and its optimized twin",
        "summary": summary,
        "report": report.as_dict(),
        "optimizer": {"model": optimizer.rewriter.name, "template": optimizer.rewriter.template.name},
        "bad_rows": list(comparison.bad_rows),
        "made": _made(settings, started),
        "rows": records,
    }
    written: dict[str, Any] = json.loads(json.dumps(results).encode("utf-8", "replace"))
    comparison.write(written)
    return written


def _made(settings: Settings, started: datetime) -> dict[str, Any]:
    from fipo_model.evaluation.made import describe_run  # loads torch, so not before the settings are checked

    seconds = (datetime.now(UTC) - started).total_seconds()
    return asdict(
        describe_run(
            asdict(settings),
            seed=settings.seed,
            started=started,
            seconds=seconds,
            more_packages=("langchain-core",),
        )
    )


def _as_key(given: str | dict[str, Any]) -> str:
    return json.dumps(given, sort_keys=True)


def _keys(row: Row, repeat: int) -> list[str]:
    return [f"{number}:{row.id}" for number in range(repeat)]


def _merged(answers: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    return {side: {**answers[side], "score": scores[side]} for side in SIDES}
