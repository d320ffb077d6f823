"""Putting the questions to the models and the judge, counted and bounded."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence

from fipo_model.data.collection.cases import STAGES, Case, Reply, Stage
from fipo_model.data.collection.prompts import ask_naively, request_of, rewrite_tokens
from fipo_model.data.collection.settings import BuildSettings
from fipo_model.data.collection.workplace import Workplace
from fipo_model.data.records import Record
from fipo_model.errors import PromptTooLongError
from fipo_model.generation import Completion, Generator, Message, Sampling, complete
from fipo_model.judge import Comparison, Judge
from fipo_model.replies import spoken


def ask_for(
    stage: Stage, cases: Sequence[Case], generator: Generator, workplace: Workplace, settings: BuildSettings
) -> None:
    """Ask for a part of each record, and keep the replies; records with the same question share one."""
    groups: defaultdict[int, dict[str, tuple[list[Message], list[str]]]] = defaultdict(dict)
    words = settings.max_words
    for case in cases:
        if stage in ("silver", "golden"):
            conversation, tokens = ask_naively(case.record), settings.response_tokens
        else:
            request = request_of(case.record, words)
            conversation, tokens = settings.template.render(request), rewrite_tokens(case.record, words)
        groups[tokens].setdefault(repr(conversation), (conversation, []))[1].append(case.record.id)
    for tokens, group in groups.items():
        for replies in _replies(list(group.values()), generator, settings.sampling(tokens)):
            workplace.keep(stage, replies)


def _replies(
    group: list[tuple[list[Message], list[str]]], generator: Generator, sampling: Sampling
) -> Iterator[list[tuple[str, Reply]]]:
    """The replies to conversations with the ids of the records that asked, as they come."""
    while group:
        try:
            completions = complete(generator, [conversation for conversation, _ in group], sampling)
        except PromptTooLongError as error:
            # Kept at once: should the run end here, the next one need not find out again.
            _, ids = group.pop(error.index)
            yield [(number, Reply(too_long=str(error))) for number in ids]
            continue
        replies: list[tuple[str, Reply]] = []
        for completion, (conversation, ids) in zip(completions, group, strict=True):
            asked = conversation[-1]["content"]
            text = "" if completion.is_refused else spoken(_valid(completion.text), asked)
            reply = Reply(text=text, is_truncated=completion.is_truncated)
            replies += [(number, reply) for number in ids]
        yield replies
        return


def ask_judge(cases: Sequence[Case], judge: Judge, workplace: Workplace, settings: BuildSettings) -> None:
    """Have the two rewrites of each record compared, and keep the verdicts."""
    comparisons = [_comparison(case.record, settings.max_words) for case in cases]
    if comparisons:
        verdicts = judge.prefer(comparisons)
        workplace.keep("judge", [(c.record.id, v) for c, v in zip(cases, verdicts, strict=True)])


def _comparison(record: Record, max_words: int | None) -> Comparison:
    request = request_of(record, max_words)
    return Comparison(request=request, incumbent=record.rejected or "", challenger=record.chosen or "")


def _valid(text: str) -> str:
    # A server's JSON may hold half a surrogate pair, which no file could.
    return text.encode("utf-8", "replace").decode("utf-8")


class BoundReached(Exception):
    """The allowed calls do not suffice for the next questions."""


class Meter:
    """Counts conversations before they are sent, and stops at the bound."""

    def __init__(self, workplace: Workplace, max_calls: int | None) -> None:
        self.stage: Stage = STAGES[0]
        self._workplace = workplace
        self._max_calls = sys.maxsize if max_calls is None else max_calls

    @property
    def spent(self) -> int:
        """Conversations sent so far, over all runs."""
        return self._workplace.calls

    @property
    def room(self) -> int:
        """Conversations that may still be sent."""
        return self._max_calls - self.spent

    def send(self, calls: int) -> None:
        """Note that many conversations, or raise `BoundReached`."""
        if calls > self.room:
            raise BoundReached
        self._workplace.spend(self.stage, calls=calls)

    def give_back(self, calls: int) -> None:
        """Take that many off again, because they got no reply and are sent anew."""
        self._workplace.spend(self.stage, calls=-calls)

    def receive(self, completions: Sequence[Completion]) -> None:
        """Note what the replies took."""
        prompts = sum(completion.prompt_tokens for completion in completions)
        replies = sum(completion.completion_tokens for completion in completions)
        self._workplace.spend(self.stage, prompt_tokens=prompts, completion_tokens=replies)


class Metered:
    """A Generator whose conversations are counted. One that was too long counts as well: a server may charge for it.

    Those that were sent beside it, and are sent again without it, count once.
    """

    def __init__(self, generator: Generator, meter: Meter) -> None:
        self.name = generator.name
        self._generator = generator
        self._meter = meter

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation, or raise `BoundReached`."""
        if not conversations:
            return []
        self._meter.send(len(conversations) * samples)
        try:
            completions = self._generator.generate(conversations, sampling, samples=samples)
        except PromptTooLongError:
            self._meter.give_back((len(conversations) - 1) * samples)
            raise
        self._meter.receive([sample for own in completions for sample in own])
        return completions
