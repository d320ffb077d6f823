"""How long something took, without the time in which this process was not allowed to run at all."""

import threading
import time
from types import TracebackType

_TICK_SECONDS = 0.5
_PAUSE_SECONDS = 10.0
"""Silences longer than this are a stop (SIGSTOP, a machine asleep): even a busy machine lets a thread run sooner."""


class Stopwatch:
    """Wall and processor time of a `with` block; pauses are recorded separately, and are not in the wall time."""

    def __init__(self, *, tick: float = _TICK_SECONDS, pause: float = _PAUSE_SECONDS) -> None:
        self._tick, self._pause = tick, pause
        self._done = threading.Event()
        self._paused = 0.0

    def __enter__(self) -> "Stopwatch":
        self._started, self._worked = time.perf_counter(), time.process_time()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        self.seconds = time.perf_counter() - self._started - self._paused
        self.processor_seconds = time.process_time() - self._worked

    def as_fields(self) -> dict[str, float]:
        """What was measured."""
        return {
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "paused_seconds": self._paused,
        }

    def _watch(self) -> None:
        last = time.perf_counter()
        while not self._done.wait(self._tick):
            now = time.perf_counter()
            if now - last > self._pause:
                self._paused += now - last - self._tick
            last = now
