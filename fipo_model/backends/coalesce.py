"""Single calls from many threads become one batch.

Frameworks that run steps in parallel (LangChain's RunnableParallel, DSPy's Evaluate, asyncio through threads) call a
model once for each item. A local model answers sixteen prompts in little more than the time of one, so the calls that
arrive while it is busy, or within a moment of each other, are put together.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fipo_model.errors import PromptTooLongError
from fipo_model.generation import Completion, Generator, Message, Sampling

# Long enough for threads that were started together to arrive, and a hundredth of the shortest real completion.
_GATHERING_SECONDS = 0.005


@dataclass(slots=True, eq=False)
class _Call:
    conversations: Sequence[list[Message]]
    sampling: Sampling
    completions: list[Completion] | None = None
    error: BaseException | None = None
    is_done: bool = False


class CoalescingGenerator:
    """A Generator around another one: concurrent calls with equal sampling settings are served as one.

    There is no thread of its own: of the calls that wait, one leads, gathers those that can go with it, and hands each
    its completions or its error. Every call gets what it would have got alone; a conversation that is too long fails
    only the call it came with.
    """

    def __init__(self, generator: Generator, *, gathering_seconds: float = _GATHERING_SECONDS) -> None:
        self.generator = generator
        self.gathering_seconds = gathering_seconds
        self._waiting: list[_Call] = []
        self._is_led = False
        self._turn = threading.Condition()  # guards the two above; notified when a leader has finished

    @property
    def name(self) -> str:
        """The wrapped generator's name."""
        return self.generator.name

    def generate(self, conversations: Sequence[list[Message]], sampling: Sampling) -> list[Completion]:
        """Continue each conversation, together with what other threads ask for meanwhile."""
        if not conversations:
            return []
        call = _Call(conversations, sampling)
        with self._turn:
            self._waiting.append(call)
            self._turn.wait_for(lambda: call.is_done or not self._is_led)
            self._is_led = self._is_led or not call.is_done
        if not call.is_done:
            self._lead(call)
        if call.error is not None:
            raise call.error
        return call.completions or []

    def _lead(self, call: _Call) -> None:
        """Gather what can go with `call`, serve all of it, and let the next one lead."""
        try:
            time.sleep(self.gathering_seconds)
            self._serve(self._companions(call))
        finally:
            with self._turn:
                self._waiting = [other for other in self._waiting if other is not call]
                self._is_led = False
                self._turn.notify_all()

    def _companions(self, leader: _Call) -> list[_Call]:
        """Take the leader and what can share its batch off the list.

        Samples are told apart by how often a conversation occurs in a batch. Sampling calls that share a conversation
        therefore go separately, or each would get the other's samples.
        """
        with self._turn:
            chosen, taken = [leader], _keys(leader)
            for call in self._waiting:
                if call is leader or call.sampling != leader.sampling:
                    continue
                if leader.sampling.is_greedy or not taken & _keys(call):
                    chosen.append(call)
                    taken |= _keys(call)
            self._waiting = [call for call in self._waiting if call not in chosen]
        return chosen

    def _serve(self, calls: list[_Call]) -> None:
        """Run the calls as one batch and give each its share."""
        while calls:
            merged = [conversation for call in calls for conversation in call.conversations]
            try:
                completions = iter(self.generator.generate(merged, calls[0].sampling))
            except PromptTooLongError as error:
                culprit, index = _owner(calls, error.index)
                culprit.error = PromptTooLongError(index=index, tokens=error.tokens, limit=error.limit)
                culprit.is_done = True
                calls = [call for call in calls if call is not culprit]
                continue
            except BaseException as error:  # noqa: BLE001 - whatever it is, no caller may wait for ever
                for call in calls:
                    call.error = error
                    call.is_done = True
                return
            for call in calls:
                call.completions = [next(completions) for _ in call.conversations]
                call.is_done = True
            return

    def __deepcopy__(self, memo: dict[int, object]) -> "CoalescingGenerator":
        return self  # a copy would no longer share batches, which is all this is for

    def __reduce__(self) -> tuple[type["CoalescingGenerator"], tuple[Generator]]:
        return (type(self), (self.generator,))


def _keys(call: _Call) -> set[str]:
    return {repr(conversation) for conversation in call.conversations}


def _owner(calls: list[_Call], index: int) -> tuple[_Call, int]:
    for call in calls:
        if index < len(call.conversations):
            return call, index
        index -= len(call.conversations)
    raise IndexError("the generator named a conversation outside the batch")
