"""Texts of templates through the optimizer, all in one batch, and back only where every variable survived."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from fipo_integrations.langchain.default import default_optimizer
from fipo_integrations.langchain.examples import Shown
from fipo_integrations.langchain.report import PromptChange, Report, Unreached
from fipo_integrations.langchain.variables import TemplateFormat, TemplateText, VariablesChangedError, take_apart
from fipo_model import Candidate, Comparison, Judge, OptimizationRequest, OptimizedPrompt, PromptOptimizer
from fipo_model.errors import InputError


@dataclass(frozen=True, slots=True)
class Slot:
    """A text in a template, and where it stands."""

    where: str
    text: str
    format: TemplateFormat | None
    """None: static text."""


def rewrite(slots: Sequence[Slot], optimizer: PromptOptimizer | None, examples: Sequence[Shown] = ()) -> Report:
    """What becomes of each text; the optimizer is called once for all of them."""
    unreached: list[Unreached] = []
    taken: list[tuple[Slot, TemplateText, list[OptimizationRequest]]] = []
    for slot in slots:
        try:
            text = take_apart(slot.text, slot.format)
            if not text.has_words:
                raise InputError("it has no words besides its variables" if text.instruction else "it is empty")
            taken.append((slot, text, _requests(text, examples)))
        except (InputError, VariablesChangedError) as error:
            unreached.append(Unreached(where=slot.where, reason=str(error)))
    if not taken:
        return Report(changes=(), unreached=tuple(unreached))
    groups = [requests for *_, requests in taken]
    results = _optimized(groups, optimizer or default_optimizer(), has_examples=bool(examples))
    changes = []
    for (slot, text, _), result in zip(taken, results, strict=True):
        if isinstance(result, InputError):
            unreached.append(Unreached(where=slot.where, reason=str(result)))
        else:
            changes.append(_change(slot, text, result))
    return Report(changes=tuple(changes), unreached=tuple(unreached))


def _requests(text: TemplateText, examples: Sequence[Shown]) -> list[OptimizationRequest]:
    plain = OptimizationRequest(text.instruction, context=text.context, keep=text.fields)
    return [_with_example(plain, example) for example in examples] or [plain]


def _with_example(plain: OptimizationRequest, example: Shown) -> OptimizationRequest:
    contexts = [part for part in (plain.context, example.inputs) if part]
    return replace(
        plain,
        context="\n\n".join(contexts) or None,
        silver_response=example.silver_response,
        golden_response=example.golden_response,
    )


def _change(slot: Slot, text: TemplateText, result: OptimizedPrompt) -> PromptChange:
    kept = PromptChange(
        where=slot.where,
        naive=slot.text,
        text=slot.text,
        outcome=result.outcome,
        detail=result.detail,
        candidates=result.candidates,
    )
    if not result.is_rewritten:
        return kept
    try:
        return replace(kept, text=text.rewritten(result.text))
    except VariablesChangedError as error:
        return replace(kept, outcome="variables_changed", detail=str(error))


def _optimized(
    groups: Sequence[list[OptimizationRequest]], optimizer: PromptOptimizer, *, has_examples: bool
) -> list[OptimizedPrompt | InputError]:
    """A result for each text, whose requests differ in their examples only."""
    flat = [request for group in groups for request in group]
    if not has_examples:
        return optimizer.optimize_each(flat)
    proposals = iter(optimizer.rewriter.propose(flat))
    return [_best_for_all(group, [next(proposals) for _ in group], optimizer) for group in groups]


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
    # What is fine for the example it was written for may give away another one's golden response.
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
    # As everywhere: a rewrite that got as far as the judge explains most.
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
    """The rewrite with the most wins less losses against the naive prompt, if there are more wins."""
    comparisons = []
    for text, request in product(texts, requests):
        comparisons.append(Comparison(request=request, incumbent=request.instruction, challenger=text))
    balance: Counter[str] = Counter()
    for comparison, verdict in zip(comparisons, judge.prefer(comparisons), strict=True):
        balance[comparison.challenger] += {"challenger": 1, "incumbent": -1, "tie": 0}[verdict.winner]
    best, wins = balance.most_common(1)[0]
    return best if wins > 0 else None
