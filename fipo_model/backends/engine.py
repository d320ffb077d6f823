"""One thread for everything that models compute on a device. It joins calls from many threads into one batch.

Callers come from many threads: DSPy's, LangChain's, asyncio's. Frameworks that run steps in parallel call a model once
for each item. A local model answers sixteen prompts in little more than the time of one, so the calls that arrive while
it is busy, or within a moment of each other, are put together.

There is another reason for a single thread. GNU's OpenMP, which torch uses on Linux, keeps a team of threads for every
thread that ever computed. Once there are more of these than cores, none waits actively any more, and each of the
hundreds of products for a token begins by waking one up. On two cores, a token of the default weights then takes 1.5
times as long.
"""

import contextvars
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from fipo_model.callers import wait_for_all
from fipo_model.errors import ModelError, PromptTooLongError
from fipo_model.forking import PerProcess

# Long enough for the next of several threads started together to arrive, and a hundredth of the shortest real
# completion. If they never stop arriving, the wait ends after this many such moments.
GATHERING_SECONDS = 0.005
_MOST_MOMENTS = 10

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_Result = TypeVar("_Result")


@dataclass(slots=True, eq=False)
class _Call:
    """What one caller waits for; `is_wanted` until the caller has it or was interrupted."""

    key: Hashable
    items: Sequence[Any]
    work: Callable[[list[Any]], Sequence[Any]]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    answers: "Future[list[Any]]" = field(default_factory=Future)
    is_wanted: bool = True


class _Own(threading.local):
    """What a thread that computes is working on; None in every other thread."""

    calls: list[_Call] | None = None


class _Threads:
    """What an engine has in one process."""

    def __init__(self) -> None:
        self.waiting: list[_Call] = []
        self.lock = threading.Lock()  # guards `waiting`
        self.turn = threading.RLock()  # held by whoever computes
        self.computing = ThreadPoolExecutor(1, thread_name_prefix="fipo-engine")  # starts its thread when needed


class Engine:
    """Computes what its callers ask for, one piece of work after another, as long as somebody waits for it.

    Work runs with the context variables of the caller it began with. A caller that is interrupted (Ctrl-C) or
    has gone (`callers.in_thread`) does not wait for the end; see `go_on`. Work that asks any engine for more work does
    that itself, at once.
    """

    def __init__(self, *, gathering_seconds: float = GATHERING_SECONDS) -> None:
        self.gathering_seconds = gathering_seconds

    def run(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns or raises."""
        (result,) = self._answers(None, [None], lambda _: [work()])
        return cast(_Result, result)

    def share(
        self, key: Hashable, items: Sequence[_Item], work: Callable[[list[_Item]], Sequence[_Answer]]
    ) -> list[_Answer]:
        """What `work` answers to each item, together with items that others ask for meanwhile under an equal key.

        An equal key means the same work. Every caller gets what it would have got alone. Where the work fails, each
        call is tried alone. But a `PromptTooLongError` says which call it belongs to, and the others still go together.
        """
        return self._answers(key, items, work) if items else []

    def _answers(self, key: Hashable, items: Sequence[Any], work: Callable[[list[Any]], Sequence[Any]]) -> list[Any]:
        threads = self._threads
        if _own.calls is not None:
            with threads.turn:
                return list(work(list(items)))
        call = _Call(key, items, work)
        try:
            with threads.lock:
                threads.waiting.append(call)
            threads.computing.submit(self._serve)
            wait_for_all([call.answers])
            return call.answers.result()
        finally:
            call.is_wanted = False
            call.answers = Future()  # the old one may hold an error, whose traceback holds the call and thus the model

    def _serve(self) -> None:
        """Answer the call that has waited longest, and those that can go with it. Submitted once for each call."""
        calls = self._take(lambda call: True, most=1)
        if not calls:  # all that waited went with another
            return
        first = calls[0]
        if first.key is not None:
            self._gather(first.key)
            calls += self._take(lambda call: call.key == first.key)
        first.context.run(self._compute, calls)

    def _take(self, is_meant: Callable[[_Call], bool], *, most: int | None = None) -> list[_Call]:
        """Take calls off the list, together with those that nobody wants any more."""
        threads = self._threads
        with threads.lock:
            wanted = [call for call in threads.waiting if call.is_wanted]
            taken = [call for call in wanted if is_meant(call)][:most]
            threads.waiting = [call for call in wanted if call not in taken]
        return taken

    def _gather(self, key: Hashable) -> None:
        """Wait until no call has come for a moment: threads take time to start, and the more there are, the longer."""
        seen, last = -1, time.monotonic() + _MOST_MOMENTS * self.gathering_seconds
        while time.monotonic() < last:
            waiting = sum(call.key == key for call in list(self._threads.waiting))
            if waiting == seen:
                return
            seen = waiting
            time.sleep(self.gathering_seconds)

    def _compute(self, calls: list[_Call]) -> None:
        with self._threads.turn:
            _own.calls = calls
            try:
                _answer([calls])
            finally:
                _own.calls = None

    @property
    def _threads(self) -> _Threads:
        known = _engines.value
        return known.get(self) or known.setdefault(self, _Threads())


_own = _Own()
_engines: PerProcess[WeakKeyDictionary[Engine, _Threads]] = PerProcess(WeakKeyDictionary)
_devices: dict[str, Engine] = {}


def engine_of(device: str) -> Engine:
    """The engine that computes on a device, in torch's words for it: "cpu", "cuda:0"."""
    return _devices.setdefault(device, Engine())


@contextmanager
def here() -> Iterator[None]:
    """Lets the caller's own thread compute, for a job that itself trains or scores with the same models.

    Others who use them meanwhile have their turn between its pieces of work.
    """
    before = _own.calls
    _own.calls = before if before is not None else []
    try:
        yield
    finally:
        _own.calls = before


def go_on() -> None:
    """Called by long work now and then; raises to end it where nobody waits for it any more."""
    if _own.calls and not any(call.is_wanted for call in _own.calls):
        raise CancelledError


def _answer(groups: list[list[_Call]]) -> None:
    """Do the work of each group's calls as one, and give each call its share or its error."""
    while groups:
        group = [call for call in groups.pop(0) if call.is_wanted]
        items = [item for call in group for item in call.items]
        if not items:
            continue
        try:
            shares = iter(_counted(group[0].work(items), len(items)))
        except BaseException as error:  # noqa: BLE001 - a stranger's failure, which the callers must hear of
            groups = _fail(group, error) + groups
            continue
        for call in group:
            call.answers.set_result([next(shares) for _ in call.items])


def _counted(answers: Sequence[Any], wanted: int) -> Sequence[Any]:
    if len(answers) != wanted:
        raise ModelError(
            f"the model gave {len(answers)} answers to {wanted} questions, so they cannot be matched. "
            "This is a bug in its generator."
        )
    return answers


def _fail(calls: list[_Call], error: BaseException) -> list[list[_Call]]:
    """Give an error to the call it belongs to, and return how the others are to be answered."""
    if len(calls) == 1 or not isinstance(error, Exception):
        for call in calls:
            call.answers.set_exception(error)
        return []
    if isinstance(error, PromptTooLongError):
        index = error.index
        for place, call in enumerate(calls):
            if index < len(call.items):
                call.answers.set_exception(error.at(index))
                return [calls[:place] + calls[place + 1 :]]
            index -= len(call.items)
    return [[call] for call in calls]
