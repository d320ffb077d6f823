"""From instructions to preference pairs: the paper's collection as a bounded job that survives being killed.

A batch of records goes through all stages before the next one begins, so that a stopped job has whole pairs to show for
its cost. Replies are kept as they come; what they make of a record is worked out anew every time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl
from fipo_model.data.collection.asking import BoundReached, Meter, Metered, ask_for, ask_judge
from fipo_model.data.collection.cases import STAGES, Case, Failure, Stage, take
from fipo_model.data.collection.estimate import JUDGE_CALLS, Estimate, calls_left, estimate
from fipo_model.data.collection.prompts import naive_prompt
from fipo_model.data.collection.report import Report, make_report
from fipo_model.data.collection.settings import BuildSettings
from fipo_model.data.collection.workplace import ACCOUNTS, Workplace, sha256_of
from fipo_model.data.records import Record, read_records
from fipo_model.generation import Generator
from fipo_model.jsonl import BadRow
from fipo_model.judge import Judge, LLMJudge

# The suffixes of the report and its page, added to the output's name.
_REPORT, _PAGE = ".report.json", ".report.html"


@dataclass(slots=True, kw_only=True)
class Job:
    """What is to be done, and how far it has got."""

    target: Path
    settings: BuildSettings
    workplace: Workplace
    input_sha256: str
    cases: list[Case]
    """Every record of the input, in its order."""
    bad_rows: list[BadRow]

    @property
    def estimate(self) -> Estimate:
        """What is left, judged by a language model in both orders."""
        return estimate(self.cases, self.settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many records are decided, out of how many, and how many conversations were sent for that."""

    decided: int
    records: int
    calls: int


@contextmanager
def prepare(source: Path, target: Path, settings: BuildSettings | None = None) -> Iterator[Job]:
    """The job that makes `target` from the records in `source`, as far as it has got; nothing is asked yet.

    What has come back is kept in a directory beside `target` (its name and ".work"), which is this process's alone
    meanwhile. Raises `InputError` for files that cannot be used, for a job begun with other settings or another input,
    and where another process is at work. Takes some kilobytes of memory for each record.
    """
    settings = settings or BuildSettings()
    for written in (target, _beside(target, _REPORT), _beside(target, _PAGE)):  # before anything is paid for
        jsonl.check_file(written)
    target = target.resolve()
    jsonl.check_apart(source, target)
    digest = sha256_of(source)
    with jobs.claimed_file(target, kind="a data set", accounts=(ACCOUNTS,)) as claimed:
        claimed.check({"input_sha256": digest, **settings.deciding()})
        workplace = Workplace(claimed)
        records: list[Record] = []
        bad_rows: list[BadRow] = []
        for item in read_records(source, format=settings.format):
            if isinstance(item, BadRow):
                bad_rows.append(item)
            else:
                records.append(item)
        failures = _failures_before_asking(records, settings.similarity)
        cases = [Case(record=record, failure=failures.get(place)) for place, record in enumerate(records)]
        job = Job(
            target=target,
            settings=settings,
            workplace=workplace,
            input_sha256=digest,
            cases=cases,
            bad_rows=bad_rows,
        )
        _settle(job, range(len(cases)))
        yield job


def build(
    job: Job,
    *,
    weak: Generator,
    strong: Generator,
    judge: Judge | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    page: bool = True,
) -> dict[str, Any]:
    """Do what is left of a job, within its bound; write its output and its report, and return the report.

    The report goes beside the output, its name and ".report.json", and with `page` also as ".report.html".

    The weak model answers the naive prompt (silver) and rewrites it (rejected); the strong one answers (golden) and
    rewrites (chosen) too. `judge` compares the two rewrites, the rejected one being the incumbent: by default the
    strong model, in both orders. What another judge sends is not counted. Raises what the models raise; what came back
    before is kept, and the same call resumes.
    """
    render = _page_renderer() if page else None  # its lack must show before anything is paid for
    names = {"weak": weak.name, "strong": strong.name}
    names["judge"] = type(judge).__qualname__ if judge else f"LLMJudge on {strong.name}"
    started_with = {"input_sha256": job.input_sha256, **job.settings.deciding(), **names}
    job.workplace.begin(started_with)
    with suppress(BoundReached):
        _run(job, weak, strong, judge, report)
    made = make_report(job.cases, job.bad_rows, job.workplace, job.settings)
    fields = made.to_fields()
    if render is not None:
        with jsonl.replacing(_beside(job.target, _PAGE)) as file:
            file.write(render(made, job.cases, job.target.name).encode())
    jsonl.write_json(_beside(job.target, _REPORT), fields)
    with jsonl.replacing(job.target) as file:
        file.writelines(_rows(job.cases, job.settings.keep_failed))
    return fields


def _run(job: Job, weak: Generator, strong: Generator, judge: Judge | None, report: Callable[[Progress], None]) -> None:
    meter = Meter(job.workplace, job.settings.max_calls)
    weak, strong = Metered(weak, meter), Metered(strong, meter)
    asked: dict[Stage, Generator] = {"silver": weak, "golden": strong, "chosen": strong, "rejected": weak}
    judge_calls = 0 if judge else JUDGE_CALLS
    judge = judge or LLMJudge(strong, template=job.settings.template)
    waiting = [place for place, case in enumerate(job.cases) if case.stage is not None]
    while batch := _affordable(job, waiting, meter.room, judge_calls):
        for stage in STAGES:
            meter.stage = stage
            places = [place for place in batch if job.cases[place].stage == stage]
            cases = [job.cases[place] for place in places]
            if stage == "judge":
                ask_judge(cases, judge, job.workplace, job.settings)
            else:
                ask_for(stage, cases, asked[stage], job.workplace, job.settings)
            _settle(job, places)
        waiting = waiting[len(batch) :]
        report(Progress(decided=len(job.cases) - len(waiting), records=len(job.cases), calls=meter.spent))


def _failures_before_asking(records: Sequence[Record], similarity: float | None) -> dict[int, Failure]:
    """Records that repeat an earlier one, by place."""
    failures: dict[int, Failure] = {}
    places: dict[str, int] = {}
    for place, record in enumerate(records):
        if places.setdefault(record.id, place) != place:
            failures[place] = Failure(reason="repeated_id", detail=f"an earlier record has the id {record.id!r} too")
    if similarity is None:
        return failures
    from fipo_model.data.collection.near_duplicates import find_near_duplicates

    once = list(places.values())
    found = find_near_duplicates([naive_prompt(records[place]) for place in once], similarity)
    for index, (first, alike) in found.items():
        detail = f"resembles the record {records[once[first]].id!r} (similarity {alike:.2f})"
        failures[once[index]] = Failure(reason="near_duplicate", detail=detail)
    return failures


def _settle(job: Job, places: Sequence[int]) -> None:
    """Take each case as far as the known replies allow."""
    for place in places:
        case = job.cases[place]
        while case.stage is not None:
            step = case.given or job.workplace.steps.get((case.record.id, case.stage))
            if step is None:
                break
            case = take(case, step, job.settings)
        job.cases[place] = case


def _affordable(job: Job, waiting: Sequence[int], room: int, judge_calls: int) -> list[int]:
    """The next batch: as many records as can be finished with the calls that are left."""
    batch = []
    for place in waiting[: job.settings.batch_size]:
        room -= calls_left(job.cases[place], judge_calls)
        if room < 0:
            break
        batch.append(place)
    return batch


def _rows(cases: Sequence[Case], keep_failed: bool) -> Iterator[bytes]:
    """The lines of the output: accepted records, and failed ones if they are to be kept.

    A failed record has `failed` (the reason) and `failed_detail`, and its rewrites have other names, so that nothing
    mistakes them for a preference. A repeated id is never written.
    """
    for case in cases:
        if case.is_accepted:
            yield jsonl.encode_object(case.record.to_fields())
        elif keep_failed and case.failure is not None and case.failure.reason != "repeated_id":
            fields = case.record.to_fields()
            rewrites = {"chosen": fields.pop("chosen", None), "rejected": fields.pop("rejected", None)}
            if case.reached in rewrites and case.failure.text is not None:
                rewrites[case.reached] = case.failure.text
            marks = {"failed": case.failure.reason, "failed_detail": case.failure.detail}
            marks |= {f"failed_{name}": text for name, text in rewrites.items() if text is not None}
            yield jsonl.encode_object(fields | marks)


def _beside(target: Path, ending: str) -> Path:
    return target.parent / f"{target.name}{ending}"


def _page_renderer() -> Callable[[Report, Sequence[Case], str], str]:
    from fipo_model.data.collection.page import render_page

    return render_page
