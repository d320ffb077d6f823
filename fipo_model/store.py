"""Rewrites that outlive a process: a file of JSON lines, to read, to edit and to keep under version control.

A row is found by what it was made from, so that it holds wherever the same text comes again, and for nothing else. What
stands under `text` is used as it is: whoever edits it has the last word.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fipo_model import jsonl, places
from fipo_model.errors import InputError
from fipo_model.types import OUTCOMES, Candidate, OptimizationRequest, OptimizedPrompt, Outcome

_PATIENCE = 10.0  # seconds; another process only adds some lines
_FIELDS = ("key", "naive", "text")

Results = list[OptimizedPrompt | InputError]


class RewriteStore:
    """The rewrites in a file, which is made when the first one is kept.

    A store that `is_frozen` is never added to, and prompts it does not have stay as they are: production then runs what
    was reviewed, and loads no model. Safe to share between threads and processes; another's rows are seen when
    something is kept, or `reload` is called.
    """

    def __init__(self, path: str | Path, *, is_frozen: bool = False) -> None:
        """Raises `InputError` where the file cannot be read, or a line is no row of a store."""
        self.path = Path(path)
        self.is_frozen = is_frozen
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}
        if is_frozen and not places.exists(self.path):
            raise InputError(f"there is no {self.path}; a frozen store needs the file that was reviewed")
        self.reload()

    def __len__(self) -> int:
        return len(self._rows)

    def reload(self) -> None:
        """Read the file again, with what others added or edited."""
        with self._lock:
            self._rows = self._read()

    def recall(self, request: OptimizationRequest) -> OptimizedPrompt | None:
        """What stands in the file for a request, whatever examples and feedback it comes with."""
        row = self._rows.get(key_of(request))
        return None if row is None else _result(request, row)

    def keep(self, results: Sequence[OptimizedPrompt]) -> None:
        """Add results to the file; of several for one prompt the last one counts."""
        if self.is_frozen or not results:
            return
        with self._lock, _alone(self.path):
            self._rows = self._read()
            rows = [row for row in map(_row, results) if self._rows.get(row["key"]) != row]
            with jsonl.opened(self.path, "ab") as file:
                file.write(b"".join(map(jsonl.encode_object, rows)))
            self._rows.update((row["key"], row) for row in rows)

    def optimized(
        self, requests: Sequence[OptimizationRequest], optimize: Callable[[list[OptimizationRequest]], Results]
    ) -> Results:
        """A result for each request: from the file, and of those it lacks what `optimize` finds, which is kept."""
        found = [self.recall(request) for request in requests]
        unknown = [request for request, known in zip(requests, found, strict=True) if known is None]
        if self.is_frozen:
            new: Results = [_kept(request, self.path) for request in unknown]
        else:
            new = optimize(unknown) if unknown else []
            self.keep([result for result in new if isinstance(result, OptimizedPrompt)])
        rest = iter(new)
        return [next(rest) if known is None else known for known in found]

    def _read(self) -> dict[str, dict[str, Any]]:
        if not places.exists(self.path):
            jsonl.check_file(self.path)
            return {}
        rows = {}
        for read in jsonl.read_objects(self.path):
            if isinstance(read, jsonl.BadRow):
                raise InputError(f"{self.path}, {read}. Mend the line, or remove it.")
            line, row = read
            if not all(isinstance(row.get(name), str) for name in _FIELDS):
                raise InputError(f"{self.path}, line {line}: no row of a store, which has {', '.join(_FIELDS)}")
            rows[row["key"]] = row
        return rows

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.path, self.is_frozen))

    def __deepcopy__(self, memo: dict[int, object]) -> "RewriteStore":
        return self


def key_of(request: OptimizationRequest) -> str:
    """A short name for what a rewrite is made from: the prompt, its context, and what must be kept."""
    parts = [request.instruction, request.context, list(request.keep), request.max_words]
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "replace")).hexdigest()[:24]


def _reopened(path: Path, is_frozen: bool) -> RewriteStore:
    return RewriteStore(path, is_frozen=is_frozen)


def _alone(path: Path) -> Any:
    import filelock  # it takes 70 ms, which a single prompt need not wait for

    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE)


def _row(result: OptimizedPrompt) -> dict[str, Any]:
    request = result.request
    fields = {"key": key_of(request), "naive": request.instruction, "text": result.text, "outcome": result.outcome}
    told = {"detail": result.detail, "context": request.context, "model": result.model, "template": result.template}
    return {**fields, **{name: value for name, value in told.items() if value}}


def _result(request: OptimizationRequest, row: dict[str, Any]) -> OptimizedPrompt:
    text = row["text"] if row["text"].strip() else request.instruction
    is_rewritten = text != request.instruction
    told: Outcome = next((each for each in OUTCOMES if each == row.get("outcome") != "optimized"), "unchanged")
    outcome: Outcome = "optimized" if is_rewritten else told
    return OptimizedPrompt(
        text=text,
        request=request,
        outcome=outcome,
        candidates=(Candidate(text=text, outcome=outcome, detail="" if is_rewritten else str(row.get("detail", ""))),),
        model=str(row.get("model", "")),
        template=str(row.get("template", "")),
    )


def _kept(request: OptimizationRequest, path: Path) -> OptimizedPrompt:
    text = request.instruction
    candidate = Candidate(text=text, outcome="unchanged", detail=f"{path} does not have it, and is frozen")
    return OptimizedPrompt(
        text=text, request=request, outcome="unchanged", candidates=(candidate,), model="", template=""
    )
