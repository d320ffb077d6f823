"""A Generator that joins concurrent calls of someone else's generator into one."""

from collections.abc import Sequence
from functools import partial

from fipo_model.backends.engine import GATHERING_SECONDS, Engine
from fipo_model.generation import Completion, Generator, Message, Sampling, check_samples


class BatchingGenerator:
    """A Generator around another one: concurrent calls with equal settings are served as one, in a thread of its own.

    For generators in this process that answer many conversations in little more than the time of one, and do not batch
    calls themselves as FIPO's own on transformers does. Every call gets what it would have got alone; a conversation
    that is too long fails only the call it came with.
    """

    def __init__(self, generator: Generator, *, gathering_seconds: float = GATHERING_SECONDS) -> None:
        self.generator = generator
        self.gathering_seconds = gathering_seconds
        self._engine = Engine(gathering_seconds=gathering_seconds)

    @property
    def name(self) -> str:
        """The wrapped generator's name."""
        return self.generator.name

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation, together with what other threads ask for meanwhile."""
        check_samples(sampling, samples)
        work = partial(self.generator.generate, sampling=sampling, samples=samples)
        return self._engine.share((sampling, samples), conversations, work)

    def __deepcopy__(self, memo: dict[int, object]) -> "BatchingGenerator":
        return self  # a copy would no longer share batches, which is all this is for

    def __reduce__(self) -> tuple[object, ...]:
        return (partial(type(self), gathering_seconds=self.gathering_seconds), (self.generator,))
