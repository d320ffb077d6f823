"""The directory beside the output in which a job keeps what it has paid for, so that it can be killed at any moment.

`settings.json` is what the job was started with; `<stage>.jsonl` holds the replies as the models gave them, a line for
each record; `calls.jsonl` what was sent, noted before it goes out. Everything else follows from these and the input.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fipo_model import jsonl
from fipo_model.data.collection.cases import STAGES, Reply, Stage
from fipo_model.errors import InputError, explain_missing
from fipo_model.judge import Verdict


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a stage has cost so far. Tokens of conversations whose replies never came back are not known."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Workplace:
    """What is known of a job, in memory and in its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.steps: dict[tuple[str, Stage], Reply | Verdict] = {}
        """What came back, by record and stage."""
        self.spent: dict[Stage, Spent] = {stage: Spent() for stage in STAGES}
        self.settings: dict[str, Any] | None = None
        """What the job was started with; None before its first run."""

    @property
    def calls(self) -> int:
        """How many conversations were sent so far, over all runs."""
        return sum(spent.calls for spent in self.spent.values())

    def load(self) -> None:
        """Read what earlier runs left behind; a last line that was not finished is cut off."""
        if (self.directory / "settings.json").exists():
            self.settings = _read_settings(self.directory / "settings.json")
        for stage in STAGES:
            _replay(self._file(stage), partial(self._remember, stage))
        _replay(self._file("calls"), self._count)

    def agree(self, settings: dict[str, Any]) -> None:
        """Raise `InputError` that names the first of these settings that is not what the job was started with."""
        for name, value in settings.items() if self.settings is not None else ():
            if (before := (self.settings or {}).get(name)) != value:
                raise InputError(
                    f"{self.directory} holds a job with another {name}: {_shown(before)}, not {_shown(value)}. Go on "
                    "with the settings it was started with, or choose another output."
                )

    def begin(self, settings: dict[str, Any]) -> None:
        """Note what the job is started with, or check that it is what it was started with."""
        self.agree(settings)
        if self.settings is None:
            replace_file(self.directory / "settings.json", [json.dumps(settings, indent=2).encode()])
            self.settings = settings

    def keep(self, stage: Stage, steps: Iterable[tuple[str, Reply | Verdict]]) -> None:
        """Add what came back."""
        with jsonl.opened(self._file(stage), "ab") as file:
            for number, step in steps:
                self.steps[number, stage] = step
                file.write(jsonl.encode_object({"id": number, **asdict(step)}))

    def spend(self, stage: Stage, calls: int = 0, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        """Add to what a stage has cost."""
        fields = {"calls": calls, "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        with jsonl.opened(self._file("calls"), "ab") as file:
            file.write(jsonl.encode_object({"stage": stage, **fields}))
        self._count(stage, **fields)

    def _remember(self, stage: Stage, id: str, **fields: Any) -> None:
        self.steps[id, stage] = Verdict(**fields) if stage == "judge" else Reply(**fields)

    def _count(self, stage: Stage, calls: int, prompt_tokens: int, completion_tokens: int) -> None:
        spent = self.spent[stage]
        spent.calls += calls
        spent.prompt_tokens += prompt_tokens
        spent.completion_tokens += completion_tokens

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}.jsonl"


@contextmanager
def opened_workplace(target: Path) -> Iterator[Workplace]:
    """The workplace of the job that writes `target`, for this process alone; a job that never began leaves nothing.

    Raises `InputError` if the output or the directory is somebody else's, or another process is at work there.
    """
    with explain_missing("train", "filelock"):
        import filelock

    directory = target.parent / f"{target.name}.work"
    settings, lock = directory / "settings.json", filelock.FileLock(directory / "lock", timeout=0)
    if not settings.exists():
        if target.exists():
            raise InputError(f"{target} already exists and is not the output of such a job. Choose another output.")
        if not jsonl.is_vacant(directory, apart_from="lock"):
            raise InputError(f"{directory} already exists and is not FIPO's. Choose another output.")
    try:
        directory.mkdir(exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(f"another process is building {target}; wait for it, or choose another output") from error
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}") from error
    try:
        workplace = Workplace(directory)
        workplace.load()
        yield workplace
    finally:
        lock.release()
        if not settings.exists():
            shutil.rmtree(directory)


def sha256_of(path: Path) -> str:
    """The hash of a file's content."""
    digest = hashlib.sha256()
    with jsonl.opened(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def replace_file(path: Path, content: Iterable[bytes]) -> None:
    """Write a file so that it is either the old one or the whole new one, even if this process is killed."""
    with jsonl.replacing(path) as file:
        file.writelines(content)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        with jsonl.opened(path) as file:
            return jsonl.parse_object(file.read())
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _replay(path: Path, take: Callable[..., None]) -> None:
    """Hand the fields of each line of a file to `take`."""
    for line, content in jsonl.finished_lines(path):
        try:
            take(**jsonl.parse_object(content))
        except (InputError, TypeError, KeyError) as error:
            raise InputError(f"{path} is damaged on line {line}: {error}") from error


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
