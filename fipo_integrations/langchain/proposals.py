"""Passes texts of templates through the optimizer in one batch, and uses only those whose variables all survived."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from fipo_integrations.langchain.asking import Asking, Results
from fipo_integrations.langchain.examples import Shown
from fipo_integrations.langchain.report import PromptChange, Report, Unreached
from fipo_integrations.langchain.variables import TemplateText, VariablesChangedError, take_apart
from fipo_integrations.langchain.walking import Slot
from fipo_model import Candidate, Comparison, Judge, OptimizationRequest, OptimizedPrompt, PromptOptimizer, ShownExample
from fipo_model.errors import InputError
from fipo_model.search import to_show

ALREADY = "FIPO has rewritten it already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A text to rewrite, and the request for it."""

    slot: Slot
    text: TemplateText
    request: OptimizationRequest


class NothingToRewriteError(InputError):
    """A text that is not an instruction, or was rewritten before."""


def take(slots: Sequence[Slot], asking: Asking) -> tuple[list[Taken], list[Unreached]]:
    """The texts that can be rewritten, and why the others cannot."""
    taken: list[Taken] = []
    unreached: list[Unreached] = []
    for slot in slots:
        try:
            taken.append(take_one(slot, asking))
        except (InputError, VariablesChangedError) as error:
            unreached.append(Unreached(where=slot.where, reason=str(error)))
    return taken, unreached


def take_one(slot: Slot, asking: Asking) -> Taken:
    """A text and the request for it; raises `InputError` or `VariablesChangedError` where it cannot be rewritten."""
    if slot.is_made and not asking.force:
        raise NothingToRewriteError(ALREADY)
    text = take_apart(slot.text, slot.format)
    if not text.has_words:
        reason = "it has no words besides its variables" if text.instruction else "it is empty"
        raise NothingToRewriteError(reason)
    if text.has_only_labels:
        raise NothingToRewriteError("it has only labels besides its variables, and no instruction")
    context = "\n\n".join(part for part in (text.context, slot.context) if part) or None
    request = asking.request(text.instruction, context=context, keep=text.fields, fixed_form=slot.fixed_form)
    return Taken(slot=slot, text=text, request=request)


def rewrite(slots: Sequence[Slot], asking: Asking, examples: Sequence[Shown] = ()) -> Report:
    """What becomes of each text; the optimizer is called once for all of them."""
    taken, unreached = take(slots, asking)
    changes = []
    if taken:
        results = asking.stored([one.request for one in taken], lambda asked: _optimized(asked, asking, examples))
        for one, result in zip(taken, results, strict=True):
            if isinstance(result, InputError):
                unreached.append(Unreached(where=one.slot.where, reason=str(result)))
            else:
                changes.append(change_of(one, result))
    return Report(changes=tuple(changes), unreached=tuple(unreached))


@lru_cache(maxsize=1024)
def _rewritten(text: TemplateText, instruction: str) -> str:
    return text.rewritten(instruction)


def change_of(taken: Taken, result: OptimizedPrompt) -> PromptChange:
    """What a result makes of a template's text: nothing where a variable would be lost."""
    slot = taken.slot
    kept = PromptChange(
        where=slot.where,
        naive=slot.text,
        text=slot.text,
        outcome=result.outcome,
        detail=result.detail,
        candidates=result.candidates,
    )
    return _changed(kept, taken, result.text) if result.is_rewritten else kept


def tried(taken: Taken, instruction: str) -> PromptChange:
    """What another instruction makes of a template's text while it is tried."""
    slot = taken.slot
    kept = PromptChange(where=slot.where, naive=slot.text, text=slot.text, outcome="unchanged")
    if instruction == taken.request.instruction:
        return kept
    return _changed(replace(kept, outcome="optimized"), taken, instruction)


def _changed(kept: PromptChange, taken: Taken, instruction: str) -> PromptChange:
    try:
        return replace(kept, text=_rewritten(taken.text, instruction))
    except VariablesChangedError as error:
        return replace(kept, outcome="variables_changed", detail=str(error))


def _optimized(requests: Sequence[OptimizationRequest], asking: Asking, examples: Sequence[Shown]) -> Results:
    optimizer = asking.opened
    if not examples:
        return optimizer.optimize_each(requests)
    # A template for additions has a place for several examples; a judge compares on one at a time.
    if optimizer.rewriter.template.is_addition and optimizer.judge is None:
        results = optimizer.optimize_each([_with_all(request, examples) for request in requests])
        return _of(results, requests)
    groups = [[_with_example(request, example) for example in examples] for request in requests]
    proposals = iter(optimizer.rewriter.propose([each for group in groups for each in group]))
    found = [_best_for_all(group, [next(proposals) for _ in group], optimizer) for group in groups]
    return _of(found, requests)


def _of(results: Results, requests: Sequence[OptimizationRequest]) -> Results:
    """The results as those of the requests without examples, by which a store finds them."""
    return [
        replace(result, request=request) if isinstance(result, OptimizedPrompt) else result
        for result, request in zip(results, requests, strict=True)
    ]


def _with_all(plain: OptimizationRequest, examples: Sequence[Shown]) -> OptimizationRequest:
    shown = [
        ShownExample(
            one.inputs,
            output=one.golden_response,
            # What a prompt got is shown as wrong, so only where it is known to be.
            response=None if one.golden_response in (None, one.silver_response) else one.silver_response,
        )
        for one in examples
        if one.inputs
    ]
    return replace(plain, examples=to_show(shown))


def _with_example(plain: OptimizationRequest, example: Shown) -> OptimizationRequest:
    contexts = [part for part in (plain.context, example.inputs) if part]
    return replace(
        plain,
        context="\n\n".join(contexts) or None,
        silver_response=example.silver_response,
        golden_response=example.golden_response,
    )


def _best_for_all(
    requests: list[OptimizationRequest],
    proposals: Sequence[tuple[Candidate, ...] | InputError],
    optimizer: PromptOptimizer,
) -> OptimizedPrompt | InputError:
    """The rewrite that holds for every example: by the judge where there is one, else the one proposed most often."""
    errors = [proposal for proposal in proposals if isinstance(proposal, InputError)]
    if len(errors) == len(proposals):
        return errors[0]
    candidates = [c for proposal in proposals if not isinstance(proposal, InputError) for c in proposal]
    votes = Counter(candidate.text for candidate in candidates if candidate.outcome == "optimized")
    # A rewrite that is fine for its own example may give away another one's golden response.
    checked = {text: [optimizer.rewriter.check(text, request) for request in requests] for text in votes}
    for text, checks in checked.items():
        if objection := next((check for check in checks if check.outcome != "optimized"), None):
            candidates = [objection if candidate.text == text else candidate for candidate in candidates]
            del votes[text]
    best = max(votes, key=lambda text: votes[text], default=None)
    if best is not None and optimizer.judge is not None:
        best = _preferred(list(votes), requests, optimizer.judge)
        if best is None:
            why = "it did not win on more examples than it lost"
            candidates = [replace(c, outcome="not_preferred", detail=why) if c.text in votes else c for c in candidates]
    # As elsewhere, a rewrite that got as far as the judge explains most.
    lost = next((c.outcome for c in candidates if c.outcome == "not_preferred"), candidates[0].outcome)
    return OptimizedPrompt(
        text=best or requests[0].instruction,
        request=requests[0],
        outcome="optimized" if best else lost,
        candidates=tuple(candidates),
        model=optimizer.rewriter.name,
        template=optimizer.rewriter.template.name,
    )


def _preferred(texts: list[str], requests: list[OptimizationRequest], judge: Judge) -> str | None:
    """The rewrite with the most wins minus losses against the naive prompt, if wins prevail."""
    comparisons = []
    for text, request in product(texts, requests):
        comparisons.append(Comparison(request=request, incumbent=request.instruction, challenger=text))
    balance: Counter[str] = Counter()
    for comparison, verdict in zip(comparisons, judge.prefer(comparisons), strict=True):
        balance[comparison.challenger] += {"challenger": 1, "incumbent": -1, "tie": 0}[verdict.winner]
    best, wins = balance.most_common(1)[0]
    return best if wins > 0 else None
