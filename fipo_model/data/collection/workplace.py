"""The directory beside the output in which a job keeps what it has paid for, so that it can be killed at any moment.

`settings.json` is what the job was started with; `<stage>.jsonl` holds the replies as the models gave them, a line for
each record; `calls.jsonl` holds what was sent, noted before it goes out. Everything else follows from these and the
input. A job that fails before the first reply leaves none of these files. If it is killed then, what was sent still
counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl
from fipo_model.data.collection.cases import STAGES, Reply, Stage
from fipo_model.errors import InputError
from fipo_model.judge import Verdict
from fipo_model.models import files

ACCOUNTS = "calls.jsonl"


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a stage has cost so far. Tokens of conversations whose replies never came back are not known."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Workplace:
    """What is known of a job, in memory and in its directory."""

    def __init__(self, job: jobs.Job) -> None:
        """Read what earlier runs left behind; a last line that was not finished is cut off."""
        self._job = job
        self.directory = job.directory
        self.steps: dict[tuple[str, Stage], Reply | Verdict] = {}
        """What came back, by record and stage."""
        self.spent: dict[Stage, Spent] = {stage: Spent() for stage in STAGES}
        for stage in STAGES:
            _replay(self._file(stage), "id", partial(self._remember, stage))
        _replay(self.directory / ACCOUNTS, "stage", self._count)

    @property
    def settings(self) -> dict[str, Any] | None:
        """What the job was started with; None before its first run."""
        return self._job.settings

    @property
    def calls(self) -> int:
        """How many conversations were sent so far, over all runs."""
        return sum(spent.calls for spent in self.spent.values())

    def begin(self, settings: dict[str, Any]) -> None:
        """Record the job's settings, or check that they are those of its first start."""
        self._job.begin(settings)

    def keep(self, stage: Stage, steps: Sequence[tuple[str, Reply | Verdict]]) -> None:
        """Add what came back."""
        jobs.append(self._file(stage), ({"id": number, **asdict(step)} for number, step in steps))
        self.steps |= {(number, stage): step for number, step in steps}

    def spend(self, stage: Stage, calls: int = 0, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        """Add to what a stage has cost."""
        fields = {"calls": calls, "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        jobs.append(self.directory / ACCOUNTS, [{"stage": stage, **fields}])
        self._count(stage, **fields)

    def _remember(self, stage: Stage, id: str, **fields: Any) -> None:
        self.steps[id, stage] = Verdict(**fields) if stage == "judge" else Reply(**fields)

    def _count(self, stage: Stage, calls: int, prompt_tokens: int, completion_tokens: int) -> None:
        spent = self.spent[stage]
        spent.calls += calls
        spent.prompt_tokens += prompt_tokens
        spent.completion_tokens += completion_tokens

    def _file(self, stage: Stage) -> Path:
        return self.directory / f"{stage}.jsonl"


def sha256_of(path: Path) -> str:
    """The hash of a file's content. Raises `InputError` where it cannot be read."""
    jsonl.opened(path).close()
    return files.sha256_of(path)


def _replay(path: Path, first: str, take: Callable[..., None]) -> None:
    """Hand the fields of each line of a file to `take`."""
    for line, fields in enumerate(jobs.finished_rows(path, first), start=1):
        try:
            take(**fields)
        except (TypeError, KeyError) as error:
            raise InputError(f"{path} is damaged on line {line}: {error}") from error
