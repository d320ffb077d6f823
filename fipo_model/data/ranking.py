"""Preference data from known-good responses: rewrites are ranked by their effect on these.

The reward is on the response: a rewrite is as good as it makes the golden response likelier under every test model
(rejection sampling as in RAFT, arXiv 2304.06767, with a likelihood for the reward model). Nobody has to compare
prompts, and a prompt that no rewrite improves teaches the model to leave it alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from fipo_model.data.records import Record
from fipo_model.errors import InputError
from fipo_model.rewriter import Proposal, Rewriter
from fipo_model.types import Candidate, OptimizationRequest, Outcome

# Enough records for full batches, but few enough to lose if killed.
_RECORDS_AT_ONCE = 16

Propose = Callable[[Sequence[Record]], Sequence[Proposal]]
"""Rewrites of each record's prompt; those with the outcome "optimized" are measured."""

Measure = Callable[[Sequence[tuple[OptimizationRequest, str]]], Sequence[float | InputError]]
"""How good each prompt is in the place of its request's instruction, in nats per token; an error if it is too long.
`fipo_model.likelihood.golden_log_likelihoods` of one test model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A record's rewrites from the best to the worst, and those that failed a check."""

    record: Record
    gains: tuple[tuple[str, float], ...]
    """Each rewrite that passed the checks, with what it gains over the naive prompt: the least of the test models'."""
    failed: tuple[tuple[str, Outcome], ...]

    def pair(self, margin: float) -> Record:
        """The record with the best rewrite as `chosen` and the worst as `rejected`.

        Chosen is the naive prompt itself where no rewrite gains more than `margin`; rejected is a rewrite that loses
        more than `margin` against chosen, else one that failed a check, else none.
        """
        naive = self.record.instruction
        best, gain = self.gains[0] if self.gains else (naive, 0.0)
        chosen, reached = (best, gain) if gain > margin else (naive, 0.0)
        worst, least = self.gains[-1] if self.gains else (naive, 0.0)
        rejected = worst if least < reached - margin else next((text for text, _ in self.failed if text.strip()), None)
        is_same = rejected is not None and rejected.strip() == chosen.strip()
        return replace(self.record, chosen=chosen, rejected=None if is_same else rejected)

    def to_fields(self, margin: float) -> dict[str, Any]:
        """The pair as a line of a file of records, with all measurements."""
        failed = [{"text": text, "outcome": outcome} for text, outcome in self.failed]
        ranked = [{"text": text, "gain": round(gain, 5)} for text, gain in self.gains]
        return {**self.pair(margin).to_fields(), "ranked": ranked, "failed": failed}


def sampled(rewriter: Rewriter) -> Propose:
    """Proposes what a rewriter samples for each prompt, shown alone as at inference, be it ever so unsure."""
    bold = rewriter.bold
    return lambda records: bold.propose(
        [OptimizationRequest(record.instruction, context=record.context) for record in records]
    )


def repeated(records: Sequence[Record]) -> list[Proposal]:
    """Proposes each prompt said twice, which makes a small model surer of what was asked (arXiv 2512.14982)."""
    return [_one(f"{record.instruction}\n\n{record.instruction}") for record in records]


def added_reference(records: Sequence[Record]) -> list[Proposal]:
    """Proposes each prompt followed by the record's own chosen rewrite, where it has one."""
    return [() if r.chosen is None else _one(f"{r.instruction}\n\n{r.chosen}") for r in records]


def rank(
    records: Iterable[Record], proposing: Sequence[Propose], measures: Sequence[Measure]
) -> Iterator[Ranked | tuple[Record, InputError]]:
    """Rank all proposals for each record; a record that cannot be used (too long) comes with its error."""
    rest = iter(records)
    while batch := list(islice(rest, _RECORDS_AT_ONCE)):
        yield from _rank_batch(batch, proposing, measures)


def _rank_batch(
    records: Sequence[Record], proposing: Sequence[Propose], measures: Sequence[Measure]
) -> Iterator[Ranked | tuple[Record, InputError]]:
    proposals = zip(*(propose(records) for propose in proposing), strict=True)
    rows = [_together(record, own) for record, own in zip(records, proposals, strict=True)]
    prompts: list[tuple[OptimizationRequest, str]] = []
    for record, row in zip(records, rows, strict=True):
        if not isinstance(row, InputError):
            prompts += [(_request(record), text) for text in (record.instruction, *_passed(row))]
    measured = zip(*(measure(prompts) for measure in measures), strict=True)
    for record, row in zip(records, rows, strict=True):
        if isinstance(row, InputError):
            yield record, row
            continue
        naive, *others = islice(measured, 1 + len(_passed(row)))
        errors = [value for values in (naive, *others) for value in values if isinstance(value, InputError)]
        if errors:
            yield record, errors[0]
        else:
            yield _ranked(record, row, [_least_gain(values, naive) for values in others])


def _together(record: Record, proposed: Sequence[Proposal]) -> list[Candidate] | InputError:
    """All proposals for one record, without repeats."""
    if record.golden_response is None:
        return InputError("there is no golden response to rank by")
    candidates: list[Candidate] = []
    for some in proposed:
        if isinstance(some, InputError):
            return some
        candidates += some
    return list({candidate.text.strip(): candidate for candidate in candidates}.values())


def _ranked(record: Record, candidates: Sequence[Candidate], gains: Sequence[float]) -> Ranked:
    ranked = sorted(zip(_passed(candidates), gains, strict=True), key=lambda pair: -pair[1])
    failed = tuple((c.text, c.outcome) for c in candidates if c.outcome not in ("optimized", "unchanged"))
    return Ranked(record=record, gains=tuple(ranked), failed=failed)


def _least_gain(values: Sequence[Any], naive: Sequence[Any]) -> float:
    return min(float(value - before) for value, before in zip(values, naive, strict=True))


def _passed(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.text for candidate in candidates if candidate.outcome == "optimized"]


def _request(record: Record) -> OptimizationRequest:
    return OptimizationRequest(record.instruction, context=record.context, golden_response=record.golden_response)


def _one(text: str) -> tuple[Candidate, ...]:
    return (Candidate(text=text, outcome="optimized"),)
