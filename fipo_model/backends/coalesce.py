"""Single calls from many threads become one batch.

Frameworks that run steps in parallel (LangChain's RunnableParallel, DSPy's Evaluate, asyncio through threads) call a
model once for each item. A local model answers sixteen prompts in little more than the time of one, so the calls that
arrive while it is busy, or within a moment of each other, are put together.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fipo_model.errors import ModelError, PromptTooLongError
from fipo_model.forking import survive_forks
from fipo_model.generation import Completion, Generator, Message, Sampling, check_samples

# Long enough for the next of the threads that were started together to arrive, and a hundredth of the shortest real
# completion. Where they never stop arriving, so many of these moments are the most.
_GATHERING_SECONDS = 0.005
_MOST_MOMENTS = 10


@dataclass(slots=True, eq=False)
class _Call:
    conversations: Sequence[list[Message]]
    sampling: Sampling
    samples: int
    completions: list[list[Completion]] | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.completions is not None or self.error is not None


class CoalescingGenerator:
    """A Generator around another one: concurrent calls with equal sampling settings are served as one.

    There is no thread of its own: of the calls that wait, one leads, gathers those that can go with it, and hands each
    its completions or its error. Every call gets what it would have got alone; a conversation that is too long fails
    only the call it came with, and an interrupted leader only itself.
    """

    def __init__(self, generator: Generator, *, gathering_seconds: float = _GATHERING_SECONDS) -> None:
        self.generator = generator
        self.gathering_seconds = gathering_seconds
        self._after_fork()
        survive_forks(self)

    def _after_fork(self) -> None:
        self._waiting: list[_Call] = []
        self._leader: _Call | None = None
        self._turn = threading.Condition()  # guards the two above; notified when a leader has finished

    @property
    def name(self) -> str:
        """The wrapped generator's name."""
        return self.generator.name

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation, together with what other threads ask for meanwhile."""
        check_samples(sampling, samples)
        if not conversations:
            return []
        call = _Call(conversations, sampling, samples)
        try:
            with self._turn:
                self._waiting.append(call)
                self._turn.wait_for(lambda: call.is_done or self._leader is None)
                if not call.is_done:
                    self._leader = call
            if self._leader is call:
                self._gather()
                self._serve(self._companions(call))
        finally:
            self._leave(call)
        if call.error is not None:
            raise call.error
        return call.completions or []

    def _gather(self) -> None:
        """Wait until nobody came for a moment: threads take their time to start, the more so the more there are."""
        seen, last = 0, time.monotonic() + _MOST_MOMENTS * self.gathering_seconds
        while seen < (seen := len(self._waiting)) and time.monotonic() < last:
            time.sleep(self.gathering_seconds)

    def _leave(self, call: _Call) -> None:
        """However a call ends, it is off the list, and if it led, the next one can."""
        with self._turn:
            self._waiting = [other for other in self._waiting if other is not call]
            if self._leader is call:
                self._leader = None
                self._turn.notify_all()

    def _companions(self, leader: _Call) -> list[_Call]:
        """The leader and what can share its batch."""
        with self._turn:
            others = [call for call in self._waiting if call is not leader and not call.is_done]
        alike = (leader.sampling, leader.samples)
        return [leader, *(call for call in others if (call.sampling, call.samples) == alike)]

    def _serve(self, calls: list[_Call]) -> None:
        """Run the calls as one batch and give each its share."""
        while calls:
            merged = [conversation for call in calls for conversation in call.conversations]
            try:
                completions = self.generator.generate(merged, calls[0].sampling, samples=calls[0].samples)
                if len(completions) != len(merged):
                    raise ModelError(f"{self.name} answered {len(completions)} times to {len(merged)} conversations")
            except PromptTooLongError as error:
                culprit, index = _owner(calls, error.index)
                culprit.error = error.at(index)
                calls = [call for call in calls if call is not culprit]
                continue
            except Exception as error:  # noqa: BLE001 - a stranger's failure, which each of the callers must hear of
                for call in calls:
                    call.error = error
                return
            shares = iter(completions)
            for call in calls:
                call.completions = [next(shares) for _ in call.conversations]
            return

    def __deepcopy__(self, memo: dict[int, object]) -> "CoalescingGenerator":
        return self  # a copy would no longer share batches, which is all this is for

    def __reduce__(self) -> tuple[object, ...]:
        return (partial(type(self), gathering_seconds=self.gathering_seconds), (self.generator,))


def _owner(calls: list[_Call], index: int) -> tuple[_Call, int]:
    for call in calls:
        if index < len(call.conversations):
            return call, index
        index -= len(call.conversations)
    raise IndexError("the generator named a conversation outside the batch")
