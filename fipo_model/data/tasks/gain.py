"""Task gain: how much likelier another wording of a task makes right outputs. Pure, except for the models it asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from fipo_model.data.tasks.checking import is_right
from fipo_model.data.tasks.task import Example, Task
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.generation import Completion, Generator, Message, Sampling, Scorer, complete_each, score_each
from fipo_model.search.examples import filled
from fipo_model.search.prompts import CAP

Pair = tuple[list[Message], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A wording, its replacement, and the examples on which they are compared."""

    before: str
    after: str
    examples: tuple[Example, ...]

    def __post_init__(self) -> None:
        if not self.examples:
            raise InputError("a gain needs at least one example")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What a change of wording does under each test model, in nats per token."""

    by_model: Mapping[str, float]

    @property
    def least(self) -> float:
        """The gain that counts: a wording that pleases only one model has found its weakness, not better words."""
        return min(self.by_model.values())


def gains(scorers: Sequence[Scorer], changes: Sequence[Change]) -> list[Gain | PromptTooLongError]:
    """The gain of each change under all test models, each asked once; an error in the place of one that is too long.

    Raises `InputError` without a test model, or for two of one name.
    """
    names = [scorer.name for scorer in scorers]
    if not names or len(set(names)) < len(names):
        raise InputError(f"a gain needs test models with different names, not {', '.join(names) or 'none'}")
    wordings = [(wording, change.examples) for change in changes for wording in (change.before, change.after)]
    found = {scorer.name: likelihoods(scorer, wordings) for scorer in scorers}
    return [
        _gain({name: (of[2 * place], of[2 * place + 1]) for name, of in found.items()}) for place in range(len(changes))
    ]


def likelihoods(
    scorer: Scorer, wordings: Sequence[tuple[str, Sequence[Example]]]
) -> list[list[float] | PromptTooLongError]:
    """For each wording the log-probability of every example's right output after it, in nats per token.

    Of several right outputs the likeliest counts. Repeated questions are computed once.
    """
    wanted = [_pairs(wording, examples) for wording, examples in wordings]
    pairs = {_key(pair): pair for each in wanted for own in each for pair in own}
    scored = dict(zip(pairs, score_each(scorer, list(pairs.values())), strict=True))
    return [_best([[scored[_key(pair)] for pair in own] for own in each]) for each in wanted]


def capped_gain(before: Sequence[float], after: Sequence[float], *, cap: float = CAP) -> float:
    """The mean change over inputs, none of which counts for more than `cap`."""
    return fmean(max(-cap, min(cap, new - old)) for old, new in zip(before, after, strict=True))


def accuracy(
    generator: Generator, task: Task, wordings: Sequence[str], *, max_new_tokens: int = 64
) -> list[list[bool] | PromptTooLongError]:
    """For each wording and each of the task's examples, whether the greedy reply is right.

    Raises `InputError` for a task whose outputs cannot be checked.
    """
    if task.check is None:
        raise InputError(f"the outputs of task {task.name!r} cannot be checked; only their likelihood can be measured")
    conversations = [_conversation(wording, example) for wording in wordings for example in task.examples]
    replies = iter(complete_each(generator, conversations, Sampling(max_new_tokens=max_new_tokens)))
    return [_judged(task, [next(replies) for _ in task.examples]) for _ in wordings]


def _judged(task: Task, replies: Sequence[Completion | PromptTooLongError]) -> list[bool] | PromptTooLongError:
    right = []
    for example, reply in zip(task.examples, replies, strict=True):
        if isinstance(reply, PromptTooLongError):
            return reply
        right.append(is_right(task, example, reply.text))
    return right


def _gain(sides: Mapping[str, tuple[list[float] | PromptTooLongError, ...]]) -> Gain | PromptTooLongError:
    by_model = {}
    for name, (before, after) in sides.items():
        if isinstance(before, PromptTooLongError):
            return before
        if isinstance(after, PromptTooLongError):
            return after
        by_model[name] = capped_gain(before, after)
    return Gain(by_model=by_model)


def _best(scored: Sequence[Sequence[float | PromptTooLongError]]) -> list[float] | PromptTooLongError:
    best = []
    for outputs in scored:
        known = []
        for value in outputs:
            if isinstance(value, PromptTooLongError):
                return value
            known.append(value)
        best.append(max(known))
    return best


def _pairs(wording: str, examples: Sequence[Example]) -> list[list[Pair]]:
    return [[(_conversation(wording, example), output) for output in example.outputs] for example in examples]


def _conversation(wording: str, example: Example) -> list[Message]:
    return [{"role": "user", "content": filled(wording, example.input)}]


def _key(pair: Pair) -> tuple[str, str]:
    (message,), output = pair
    return message["content"], output
