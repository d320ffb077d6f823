"""The rewrites in a file, looked up before a model is asked."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fipo_model import places
from fipo_model.errors import InputError
from fipo_model.store import file
from fipo_model.store.entries import Entry, State, edited, entry_of, kept, key_of, result_of, row_of, without_empty
from fipo_model.types import OptimizationRequest, OptimizedPrompt

logger = logging.getLogger("fipo_model.store")

Results = list[OptimizedPrompt | InputError]

_SHORTEST = 4  # characters of the beginning of a key


class RewriteStore:
    """The rewrites in a file, which is created with the first one.

    With `is_frozen`, nothing is added and prompts that are not in the store stay as they are: production then uses
    reviewed rewrites only, and loads no model. With `only_approved`, rewrites that are not approved count as absent.
    Rejected rewrites are never used, and not asked for again. Safe to share between threads and processes. Others'
    additions, edits and decisions take effect with the next prompt.
    """

    def __init__(self, path: str | Path, *, is_frozen: bool = False, only_approved: bool = False) -> None:
        """Raises `InputError` if the file cannot be read, or a line is not a row of a store."""
        self.path = Path(path)
        self.is_frozen = is_frozen
        self.only_approved = only_approved
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}
        self._seen: object = None
        self._read: object = None  # of the file that the rows are from
        if is_frozen and not places.exists(self.path):
            raise InputError(f"there is no {self.path}; a frozen store needs the file that was reviewed")
        self.reload()

    def __len__(self) -> int:
        return len(self._rows)

    def reload(self) -> None:
        """Read the file again. Raises `InputError` if that fails; the rows then stay as they were."""
        with self._lock:
            self._load()

    def entries(self, state: State | None = None) -> list[Entry]:
        """What is in the file, the oldest prompts first; of one state, if that is given."""
        self._notice()
        found = [entry_of(row) for row in self._rows.values()]
        return [entry for entry in found if state in (None, entry.state)]

    def find(self, key: str) -> Entry:
        """The entry with this key, or a key that begins like this. Raises `InputError` if there is none, or several."""
        self._notice()
        return entry_of(self._row(key))

    def recall(self, request: OptimizationRequest) -> OptimizedPrompt | None:
        """The entry for a request, whatever its examples and feedback."""
        self._notice()
        row = self._rows.get(key_of(request))
        if row is None or (self.only_approved and row.get("state", "pending") == "pending"):
            return None
        return result_of(request, entry_of(row))

    def keep(self, results: Sequence[OptimizedPrompt], *, evidence: str = "") -> None:
        """Add results to the file as pending; if a prompt has several, the last one counts.

        Approved texts stay, and so does the rejection of the same text. Raises `InputError` if the file cannot be
        written; then nothing was added.
        """
        if self.is_frozen or not results:
            return
        rows = [row_of(result, evidence) for result in results]
        with self._writing():
            self._add([row for row in rows if self._is_news(row)])

    def decide(
        self,
        keys: Sequence[str],
        state: State,
        *,
        by: str,
        why: str = "",
        text: str | None = None,
        evidence: str = "",
    ) -> list[Entry]:
        """Approve or reject the rewrites with these keys; a `text` replaces the proposed one.

        If that text is new, `evidence` is the evidence for it; the old text's evidence and proposer are dropped.

        Raises `InputError` for a frozen store and for a key that is not there, and like `keep`.
        """
        if self.is_frozen:
            raise InputError(f"{self.path} is frozen, so nothing in it can be approved or rejected")
        told = {"state": state, "by": by, "why": why, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        with self._writing():
            rows = [self._row(key) for key in keys]
            changed = [without_empty({**row, **told, **edited(row, text, evidence)}) for row in rows]
            self._add(changed)
        return [entry_of(row) for row in changed]

    def optimized(
        self, requests: Sequence[OptimizationRequest], optimize: Callable[[list[OptimizationRequest]], Results]
    ) -> Results:
        """A result for each request, from the file or from `optimize`, whose results are kept."""
        found = [self.recall(request) for request in requests]
        unknown = [request for request, known in zip(requests, found, strict=True) if known is None]
        if self.is_frozen:
            lacks = "does not have it approved" if self.only_approved else "does not have it"
            new: Results = [kept(request, f"{self.path} {lacks}, and is frozen") for request in unknown]
        else:
            new = optimize(unknown) if unknown else []
            self.keep([result for result in new if isinstance(result, OptimizedPrompt)])
        rest = iter(new)
        return [next(rest) if known is None else known for known in found]

    def _row(self, key: str) -> dict[str, Any]:
        rows = self._rows
        found = [name for name in rows if name == key or (len(key) >= _SHORTEST and name.startswith(key))]
        if len(found) != 1:
            what = "more than one rewrite" if found else "no rewrite"
            raise InputError(f"{self.path} has {what} with the key {key!r}; `fipo store list {self.path}` shows all")
        return rows[found[0]]

    def _notice(self) -> None:
        """Read what others changed. A file that cannot be read just now leaves what was read before."""
        try:
            if self._seen != file.signature(self.path):
                self.reload()
        except InputError as error:
            logger.warning("%s The rewrites stay as they were read before.", error)

    def _is_news(self, row: Mapping[str, Any]) -> bool:
        known = self._rows.get(row["key"])
        if known is None or known.get("state") == "approved":
            return known is None
        if known.get("state") == "rejected":
            return bool(known["text"] != row["text"])
        return known != row

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Locks the file for this thread and process, with its content up to date."""
        # The file first: callers who only look something up need the lock, and must not wait for other processes.
        with file.alone(self.path), self._lock:
            # Also a file that could not be read: whoever edited it has to mend it first.
            if self._read != file.signature(self.path):
                self._load()
            yield

    def _add(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        file.add(self.path, rows)
        self._rows = self._rows | {row["key"]: row for row in rows}  # a new one: others may be reading
        self._read = self._seen = file.signature(self.path)

    def _load(self) -> None:
        self._seen = file.signature(self.path)  # taken first: what is added while it is read is seen the next time
        self._rows = file.read(self.path)
        self._read = self._seen

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.path, self.is_frozen, self.only_approved))

    def __deepcopy__(self, memo: dict[int, object]) -> "RewriteStore":
        return self


def _reopened(path: Path, is_frozen: bool, only_approved: bool) -> RewriteStore:
    return RewriteStore(path, is_frozen=is_frozen, only_approved=only_approved)
