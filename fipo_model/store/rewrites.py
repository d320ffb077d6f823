"""The rewrites in a file, looked up before a model is asked."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fipo_model import places
from fipo_model.errors import InputError
from fipo_model.store import file
from fipo_model.store.entries import (
    Entry,
    State,
    edited,
    entry_of,
    is_news,
    kept,
    key_of,
    result_of,
    row_of,
    without_empty,
)
from fipo_model.types import OptimizationRequest, OptimizedPrompt, check_text

logger = logging.getLogger("fipo_model.store")

Results = list[OptimizedPrompt | InputError]

_CHECK_SECONDS = 1.0
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
        self._known = file.Known()
        self._seen: object = None  # of the file when it was last read, or could not be
        self._checker: threading.Thread | None = None
        if is_frozen and not places.exists(self.path):
            raise InputError(f"there is no {self.path}; a frozen store needs the file that was reviewed")
        self.reload()

    def __len__(self) -> int:
        return len(self._known.rows)

    def __contains__(self, request: OptimizationRequest) -> bool:
        """Whether there is an entry for a request, whatever was decided."""
        self._notice()
        return key_of(request) in self._known.rows

    def reload(self) -> None:
        """Read the file again. Raises `InputError` if that fails; the rows then stay as they were."""
        with self._lock:
            self._load(None)

    def entries(self, state: State | None = None) -> list[Entry]:
        """What is in the file, the oldest prompts first; of one state, if that is given."""
        self._notice()
        found = [entry_of(row) for row in self._known.rows.values()]
        return [entry for entry in found if state in (None, entry.state)]

    def find(self, key: str) -> Entry:
        """The entry with this key, or a key that begins like this. Raises `InputError` if there is none, or several."""
        self._notice()
        return entry_of(self._row(key))

    def recall(self, request: OptimizationRequest) -> OptimizedPrompt | None:
        """The entry for a request, whatever its examples and feedback."""
        self._notice()
        row = self._known.rows.get(key_of(request))
        if row is None or (self.only_approved and row.get("state", "pending") == "pending"):
            return None
        return result_of(request, entry_of(row))

    def keep(self, results: Sequence[OptimizedPrompt], *, evidence: str = "") -> None:
        """Add results to the file as pending; if a prompt has several, the last one that is a rewrite counts.

        Approved texts stay, a text that was rejected does not come back, and one that has `evidence` gives way only to
        one that has some, too. Raises `InputError` if the file cannot be written; then nothing was added.
        """
        check_text("evidence", evidence)
        if self.is_frozen or not results:
            return
        rows = [row_of(result, evidence) for result in results]
        with self._writing():
            known, news = self._known, dict[str, dict[str, Any]]()
            for row in rows:
                key = row["key"]
                if is_news(row, news.get(key, known.rows.get(key)), known.rejected.get(key, ())):
                    news[key] = row
            self._add(list(news.values()))

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

        `evidence` takes the place of what the rows have. If the text is new, they lose theirs, and its proposer.

        Raises `InputError` for a frozen store, for a key that is not there and for words that cannot be written, and
        like `keep`.
        """
        if self.is_frozen:
            raise InputError(f"{self.path} is frozen, so nothing in it can be approved or rejected")
        for name, words in (("by", by), ("why", why), ("evidence", evidence), ("text", text or "")):
            check_text(name, words)
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
        rows = self._known.rows
        found = [name for name in rows if name == key or (len(key) >= _SHORTEST and name.startswith(key))]
        if len(found) != 1:
            what = "more than one rewrite" if found else "no rewrite"
            raise InputError(f"{self.path} has {what} with the key {key!r}; `fipo store list {self.path}` shows all")
        return rows[found[0]]

    def _notice(self) -> None:
        """Read what others changed. A file that cannot be read just now leaves what was read before."""
        try:
            if self._seen != file.signature(self.path):
                self._read_on()
        except InputError as error:
            self._tell(error)

    def _read_on(self) -> None:
        """Read what others added, which is quick: an event loop may be waiting. Whatever else changed is read anew."""
        with self._lock:
            if self._seen == file.signature(self.path):
                return  # this process was writing, and has read it
            self._load(self._known)
            if not self._known.is_sure and (self._checker is None or not self._checker.is_alive()):
                self._checker = threading.Thread(target=self._check, name="fipo-store", daemon=True)
                self._checker.start()

    def _check(self) -> None:
        """Look for edits that came together with additions, and did not change the length of what was there before.

        It reads the whole file, so it runs in a thread of its own, and not for each addition.
        """
        while self._checker is threading.current_thread():
            time.sleep(_CHECK_SECONDS)
            try:
                self._make_sure()
            except InputError as error:
                self._tell(error)
                self._checker = None

    def _make_sure(self) -> None:
        known = self._known
        is_same = file.is_still_there(self.path, known)
        with self._lock:
            if not is_same:
                self._load(None)
            elif known is self._known:
                self._known = replace(known, is_sure=True)
            if self._known.is_sure:
                self._checker = None

    def _tell(self, error: InputError) -> None:
        logger.warning("%s The rewrites stay as they were read before.", error)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Locks the file for this thread and process, with its content up to date.

        Raises `InputError` if it cannot be read: whoever edited it has to mend it first.
        """
        # The file first: callers who only look something up need the lock, and must not wait for other processes.
        with file.alone(self.path):
            known = self._known
            is_current = known.is_sure and known.signature == file.signature(self.path)
            is_same = is_current or file.is_still_there(self.path, known)  # not in the lock, for it takes longer
            with self._lock:
                if not is_current:
                    self._load_surely(is_same)
                yield

    def _load_surely(self, is_same: bool) -> None:
        """Read on, if what is known is known to be in the file, and anew if not."""
        if not is_same:
            self._load(None)
        elif self._known.signature != file.signature(self.path):
            self._load(self._known)
        self._known = replace(self._known, is_sure=True)

    def _add(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        file.add(self.path, rows)
        self._load_surely(is_same=True)

    def _load(self, known: file.Known | None) -> None:
        """Read what is not yet known; all of it if that is nothing."""
        self._seen = file.signature(self.path)  # also where it cannot be read, which is told once
        self._known = file.read(self.path, known)
        self._seen = self._known.signature

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.path, self.is_frozen, self.only_approved))

    def __deepcopy__(self, memo: dict[int, object]) -> "RewriteStore":
        return self


def _reopened(path: Path, is_frozen: bool, only_approved: bool) -> RewriteStore:
    return RewriteStore(path, is_frozen=is_frozen, only_approved=only_approved)
