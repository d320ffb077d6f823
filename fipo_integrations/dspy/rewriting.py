"""Asks the rewriter, which is loaded when first needed; its rewrites of one instruction differ by what it sees."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from fipo_integrations.dspy.instructions import Target
from fipo_integrations.dspy.responses import Responses
from fipo_model import OptimizationRequest, PromptOptimizer, Rewriter, ShownExample
from fipo_model.errors import InputError
from fipo_model.forking import PerProcess
from fipo_model.search import Part, Proposed, Question, Seen, ask

_LOADING = PerProcess(threading.Lock)  # one for all, because what holds a lock could not be copied

_NOTHING = Seen(texts={}, measurements={})


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
        with _LOADING.value:
            if self._optimizer is None:
                own = Rewriter.from_pretrained(role="proposing" if self._is_proposing else "rewriting")
                self._optimizer = PromptOptimizer.from_rewriter(own)
            return self._optimizer


def decide(
    optimizer: PromptOptimizer, targets: Sequence[Target], seen: Mapping[str, Responses]
) -> dict[str, list[Proposed]]:
    """One rewrite for each target, all requested in one batch; the optimizer's checks and its judge decide.

    The candidates of a target by its name, the decisive one first; it alone may have the outcome "optimized".
    """
    found: dict[str, list[Proposed]] = {}
    requests = []
    for target in targets:
        try:
            requests.append((target, _request(target, optimizer.rewriter, seen.get(target.name, Responses()))))
        except InputError as error:
            found[target.name] = [_unusable(target, error)]
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
    solved: Mapping[str, Sequence[ShownExample]] | None = None,
    state: Seen = _NOTHING,
) -> dict[str, list[Proposed]]:
    """Other instructions for each target, by its name: usable ones, up to the limit, and refused ones.

    The first is the rewrite of the instruction alone. For the others, what the rewriter sees varies: what `seen` holds
    of a target, one after another. `solved` are examples of a target, whose outputs may be labels; `state` is that of
    the search, if there is one.
    """
    found: dict[str, list[Proposed]] = {}
    questions = []
    for target in targets:
        try:
            alone = _request(target, rewriter, Responses())
        except InputError as error:
            found[target.name] = [_unusable(target, error)]
            continue
        own = (solved or {}).get(target.name, ())
        variants = dict.fromkeys(one[target.name] for one in seen if target.name in one) or [Responses()]
        questions.append(
            Question(
                part=Part(name=target.name, request=alone, place=target.instruction, check=target.checked),
                alone=alone,
                varied=_requests(target, rewriter, variants),
                outputs=[one.output for one in own],
                solved=own,
                tried=state.tried.get(target.name, ()),
            )
        )
    return found | ask(rewriter, questions, candidates=candidates, seed=seed, seconds=state.seconds_left)


def _requests(target: Target, rewriter: Rewriter, variants: Iterable[Responses]) -> list[OptimizationRequest]:
    """The requests with what was seen, without what cannot be shown."""
    found = []
    for one in variants:
        with suppress(InputError):
            found.append(_request(target, rewriter, one))
    return found


def _request(target: Target, rewriter: Rewriter, seen: Responses) -> OptimizationRequest:
    """The request with what was seen, and as many words as an addition may have.

    Good instructions of programs are longer than prompts. Raises like `Target.request`.
    """
    request = replace(
        target.request(silver=seen.silver, golden=seen.golden), examples=seen.examples, feedback=seen.feedback
    )
    if rewriter.max_words is not None:
        return request
    return replace(request, max_words=max(rewriter.settings.most_added_words, request.word_limit))


def _unusable(target: Target, error: InputError) -> Proposed:
    return Proposed(text=target.task, outcome="unusable", detail=str(error))
