"""What a compile will cost, before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import dspy
from dspy.adapters import ChatAdapter
from dspy.dsp.utils.settings import settings as dspy_settings

from fipo_integrations.dspy.demos import BATCH, SETS, TRIES, give, set_of_labels
from fipo_integrations.dspy.evaluation import runs_at_once
from fipo_integrations.dspy.instructions import Protected, Target
from fipo_integrations.dspy.local import is_local
from fipo_integrations.dspy.programs import all_predictors, copied
from fipo_integrations.dspy.search import SearchSettings, most_further, to_hear, to_show
from fipo_model import FIPO_1, PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.search import cost, replies_needed, schedule

_CHARACTERS_PER_TOKEN = 4  # a rule of thumb for English; other scripts take more tokens
_MEASURED = 50  # examples whose lengths are averaged
_TOKENS_PER_WORD = 2  # how many the rewriter has room for


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Upper bounds for the calls of a compile, and a guess at its tokens from the lengths of the texts."""

    metric_calls: int
    """At most so many."""
    program_runs: int
    """At most so many, each with as many calls of the task model as the program makes."""
    task_model_calls: int
    """At most so many for a program that calls each of its predictors once; an agent calls them more often."""
    rewriter_calls: int
    """Conversations with the rewriter and its judge at most, in one or two batches and the judge's."""
    task_model_tokens: int
    """A guess, for a program that calls each of its predictors once: the messages for an average example, with the
    demonstrations that the search tries. Replies, and what predictors pass to each other, are not counted."""
    rewriter_tokens: int
    """A guess, replies included. The judge's are not."""
    seconds: float | None
    """For the program runs, where `seconds_per_run` was given; the rewriter's time is not in it."""
    runs_at_once: int | None = None
    """How many runs go on at a time in `seconds`: `num_threads`, or 1 where a `local_lm` answers."""

    def __str__(self) -> str:
        rewrites = f"{self.rewriter_calls:,} calls of the rewriter (about {self.rewriter_tokens:,} tokens)"
        if not self.program_runs:
            return f"No runs of the program, and at most {rewrites}."
        said = (
            f"At most {self.program_runs:,} runs of the program with {self.task_model_calls:,} calls of its language "
            f"model (about {self.task_model_tokens:,} tokens), and {rewrites}."
        )
        if self.seconds is None:
            return said
        return (
            f"{said} The runs take {self.seconds:,.0f} s at most, {self.runs_at_once} at a time; the rewriter's time "
            "is not included."
        )


def count_at_once(student: dspy.Module, num_threads: int | None) -> int:
    """How many runs of a program go on at a time; a model in this process answers one after another."""
    lms = [predictor.lm or dspy_settings.lm for predictor in all_predictors(student)]
    return 1 if any(map(is_local, lms)) else runs_at_once(num_threads)


def estimate(
    student: dspy.Module,
    targets: Sequence[Target | Protected],
    settings: SearchSettings,
    *,
    optimizer: PromptOptimizer | None,
    trainset: Sequence[dspy.Example],
    devset: Sequence[dspy.Example] | None,
) -> Estimate:
    """The cost of a compile with a metric on `devset`, or without a metric where `devset` is None."""
    usable = [target for target in targets if isinstance(target, Target)]
    program = copied(student)
    if devset is None:
        runs = min(1, len(trainset)) if settings.student_responses and usable else 0
        tokens = runs * _tokens_per_run(program, trainset)
    else:
        shown = to_show(student, trainset, devset, settings)
        plain, showing = _metric_calls(settings, len(usable), trainset, devset, shown)
        runs = plain + showing
        tokens = plain * _tokens_per_run(program, devset)
        give(program, set_of_labels(program, shown, settings.most_demonstrations, names={one.name for one in targets}))
        tokens += showing * _tokens_per_run(program, devset)
    replies = 1 if optimizer is None else optimizer.rewriter.samples
    if devset is not None:
        replies = replies_needed(settings.rewrites)
    judged = devset is None and optimizer is not None and optimizer.judge is not None
    return Estimate(
        metric_calls=0 if devset is None else runs,
        program_runs=runs,
        task_model_calls=runs * len(all_predictors(program)),
        rewriter_calls=len(usable) * replies * (3 if judged else 1),  # the judge is asked in both orders
        task_model_tokens=tokens,
        rewriter_tokens=replies * sum(_tokens_per_rewrite(target, optimizer) for target in usable),
        seconds=None,
    )


def _metric_calls(
    settings: SearchSettings,
    predictors: int,
    trainset: Sequence[dspy.Example],
    devset: Sequence[dspy.Example],
    shown: Sequence[dspy.Example],
) -> tuple[int, int]:
    """At most so many calls for instructions and for runs to take demonstrations from, and so many for those."""
    deciding = min(len(devset), settings.most_examples or len(devset))
    measured = {id(example) for example in devset} if deciding == len(devset) else set()
    heard = [trainset[number] for number in to_hear(trainset, settings)] if predictors else []
    traced = sum(id(example) not in measured for example in heard)
    each = cost(schedule(settings.rewrites, examples=deciding, minibatch=settings.minibatch_size))
    plain, showing = deciding + traced + settings.rounds * predictors * each, 0
    if shown:
        further = min(len(shown), most_further(deciding, settings))
        tried = min(TRIES * settings.demonstrations, len(shown))
        plain += max(further, tried)
        first = max(BATCH, settings.minibatch_size)
        showing = tried + cost(schedule(SETS, examples=deciding + further, minibatch=first))
    if settings.max_metric_calls is None:
        return plain, showing
    plain = min(plain, settings.max_metric_calls)
    return plain, min(showing, settings.max_metric_calls - plain)


def _tokens_per_run(program: dspy.Module, examples: Sequence[dspy.Example]) -> int:
    """What an average example makes the predictors' messages long, in the format that the program will use."""
    adapter = dspy_settings.adapter or ChatAdapter()
    some = examples[:_MEASURED]
    characters = 0
    for predictor in all_predictors(program):
        signature = predictor.signature
        for example in some:
            inputs = {name: example[name] for name in signature.input_fields if example.get(name) is not None}
            messages = adapter.format(signature, predictor.demos, inputs)
            characters += sum(len(str(message["content"])) for message in messages)
    return characters // max(1, len(some)) // _CHARACTERS_PER_TOKEN


def _tokens_per_rewrite(target: Target, optimizer: PromptOptimizer | None) -> int:
    template = FIPO_1 if optimizer is None else optimizer.rewriter.template
    try:
        request = target.request()
    except InputError:  # it will not be sent
        return 0
    asked = sum(len(message["content"]) for message in template.render(request))
    return asked // _CHARACTERS_PER_TOKEN + _TOKENS_PER_WORD * request.word_limit
