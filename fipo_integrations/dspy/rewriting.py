"""Asks the rewriter, which is loaded when first needed; its rewrites of one instruction differ by what it sees."""

import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fipo_integrations.dspy.instructions import Target
from fipo_integrations.dspy.responses import Responses
from fipo_model import OptimizationRequest, PromptOptimizer, Proposal, Rewriter, ShownExample
from fipo_model.errors import InputError
from fipo_model.search import naming_labels

_LOADING = threading.Lock()  # one for all, because what holds a lock could not be copied
# Of the samples for one example's responses, about two are useful; others repeat each other, change nothing or fail.
_SAMPLES = 4
_USED = 2


class LazyOptimizer:
    """The given optimizer, or FIPO's own weights, loaded when first needed.

    Where something else decides (`is_proposing`), these are the weights that propose many rewrites; otherwise the
    default ones, which propose one safe rewrite.
    """

    def __init__(self, optimizer: PromptOptimizer | None, *, is_proposing: bool) -> None:
        self._optimizer = optimizer
        self._is_proposing = is_proposing

    @property
    def name(self) -> str | None:
        """The name of its model; None while there is none."""
        return None if self._optimizer is None else self._optimizer.rewriter.name

    @property
    def loaded(self) -> PromptOptimizer | None:
        """The optimizer, if there is one yet."""
        return self._optimizer

    def ready(self) -> PromptOptimizer:
        """The optimizer, loaded now if it was not before."""
        with _LOADING:
            if self._optimizer is None:
                own = Rewriter.from_pretrained(role="proposing" if self._is_proposing else "rewriting")
                self._optimizer = PromptOptimizer.from_rewriter(own)
            return self._optimizer


def examples_needed(candidates: int) -> int:
    """How many examples' responses that many candidates take: the first needs none, the others come in pairs."""
    return math.ceil((candidates - 1) / _USED)


def requests_needed(candidates: int) -> int:
    """How many replies the rewriter writes for that many candidates for one predictor."""
    return 1 + _SAMPLES * examples_needed(candidates)


def decide(
    optimizer: PromptOptimizer, targets: Sequence[Target], seen: Mapping[str, Responses]
) -> dict[str, list[dict[str, str]]]:
    """One rewrite for each target, all requested in one batch; the optimizer's checks and its judge decide.

    The candidates of a target by its name, the decisive one first; it alone may have the outcome "optimized".
    """
    found, requests = _requests(
        optimizer.rewriter, [(target, seen.get(target.name, Responses())) for target in targets]
    )
    decided = optimizer.optimize_each([request for _, request in requests]) if requests else []
    for (target, _), result in zip(requests, decided, strict=True):
        if isinstance(result, InputError):
            found[target.name] = [_unusable(target, result)]
            continue
        first = next(c for c in result.candidates if c.outcome == result.outcome)
        others = [candidate for candidate in result.candidates if candidate is not first]
        found[target.name] = [target.checked(candidate) for candidate in (first, *others)]
    return found


def propose(
    rewriter: Rewriter,
    targets: Sequence[Target],
    seen: Sequence[Mapping[str, Responses]],
    *,
    candidates: int,
    seed: int,
) -> dict[str, list[dict[str, str]]]:
    """The candidates for each target by its name, up to the limit, and refused ones, from two batches in all.

    What the rewriter is unsure of is among them, because a metric decides. The first is the rewrite of the instruction
    alone. The others are sampled with `seed`, and what the rewriter sees beside the instruction varies: the responses
    on one of the examples of `seen` after another.
    """
    rewriter = rewriter.bold
    found, requests = _requests(rewriter, [(target, Responses()) for target in targets])
    greedy = replace(rewriter, samples=1, seed=seed).propose([request for _, request in requests])
    usable = []
    for (target, _), proposal in zip(requests, greedy, strict=True):
        found[target.name] = _rows(target, [proposal])
        if not isinstance(proposal, InputError):
            usable.append(target)
    if (needed := examples_needed(candidates)) > 0:
        sampled = _sample(replace(rewriter, seed=seed), usable, seen, needed)
        for target in usable:
            rows = [*found[target.name], *_rows(target, sampled[target.name])]
            found[target.name] = _distinct(rows, accepted=candidates)
    return found


def name_labels(rewriter: Rewriter, target: Target, solved: Sequence[ShownExample]) -> list[dict[str, str]]:
    """The instruction with all labels behind it, which small rewriters rarely name; none if outputs are no labels."""
    text = naming_labels(target.task, [one.output for one in solved])
    if text is None:
        return []
    _, requests = _requests(rewriter, [(target, Responses(examples=tuple(solved)))])
    return [target.checked(rewriter.bold.check(text, request)) for _, request in requests]


def _sample(
    rewriter: Rewriter, targets: Sequence[Target], seen: Sequence[Mapping[str, Responses]], needed: int
) -> dict[str, list[Proposal]]:
    """Samples for each target, by its name, from what was seen of it on a number of examples.

    A target that was seen on fewer examples gets more samples from each of these to make up for it.
    """
    wanted: defaultdict[int, list[tuple[Target, Responses]]] = defaultdict(list)
    for target in targets:
        variants = [one[target.name] for one in seen if target.name in one] or [Responses()]
        variants = list(dict.fromkeys(variants))[:needed]
        samples = _SAMPLES * needed // len(variants)
        wanted[samples] += [(target, variant) for variant in variants]
    sampled: dict[str, list[Proposal]] = {target.name: [] for target in targets}
    for samples, group in wanted.items():
        _, asked = _requests(rewriter, group)
        proposals = replace(rewriter, samples=samples).propose([request for _, request in asked])
        for (target, _), proposal in zip(asked, proposals, strict=True):
            sampled[target.name].append(proposal)
    return sampled


def _distinct(rows: Sequence[dict[str, str]], *, accepted: int) -> list[dict[str, str]]:
    """The rows with every text once, and at most the given number that passed the checks."""
    once = {row["text"]: row for row in reversed(rows)}
    kept = [row for row in rows if once.get(row["text"]) is row]
    passed = [row for row in kept if row["outcome"] == "optimized"][:accepted]
    return [row for row in kept if row["outcome"] != "optimized" or row in passed]


def _requests(
    rewriter: Rewriter,
    wanted: Sequence[tuple[Target, Responses]],
) -> tuple[dict[str, list[dict[str, str]]], list[tuple[Target, OptimizationRequest]]]:
    """What can be asked, and why the rest cannot, by the target's name."""
    unusable, requests = {}, []
    for target, one in wanted:
        try:
            request = target.request(silver=one.silver, golden=one.golden)
            requests.append((target, replace(_roomy(request, rewriter), examples=one.examples, feedback=one.feedback)))
        except InputError as error:
            unusable[target.name] = [_unusable(target, error)]
    return unusable, requests


def _roomy(request: OptimizationRequest, rewriter: Rewriter) -> OptimizationRequest:
    """The request with as many words as an addition may have: good instructions of programs are longer than prompts."""
    if rewriter.max_words is not None:
        return request
    return replace(request, max_words=max(rewriter.settings.most_added_words, request.word_limit))


def _rows(target: Target, proposals: Sequence[Proposal]) -> list[dict[str, str]]:
    """The candidates as plain data: the first of every proposal comes before the second of any."""
    rows: list[tuple[int, dict[str, str]]] = []
    for proposal in proposals:
        if isinstance(proposal, InputError):
            rows.append((0, _unusable(target, proposal)))
        else:
            rows += [(place, target.checked(candidate)) for place, candidate in enumerate(proposal)]
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _unusable(target: Target, error: InputError) -> dict[str, str]:
    return {"text": target.task, "outcome": "unusable", "detail": str(error)}
