"""Meaning before evidence: which rewrites of a prompt may be measured at all, given all examples that decide."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fipo_model.contract.straying import Ground, strays
from fipo_model.fidelity import RULES
from fipo_model.rewriter import Rewriter
from fipo_model.search.examples import Example
from fipo_model.types import Candidate, OptimizationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """The request to a rewriter, and everything that the deciding examples tell about it."""

    rewriter: Rewriter
    request: OptimizationRequest
    ground: Ground

    @classmethod
    def of(
        cls, rewriter: Rewriter, request: OptimizationRequest, examples: Sequence[Example], *, is_answered: bool = False
    ) -> "Meaning":
        """The rewriter has seen a few of the examples; here all count.

        Rewrites in its own words may be tried. With a metric (`is_answered`), only rewrites that ask for something else
        are turned down, because the metric sees the form.
        """
        settings = replace(rewriter.settings, strict_wording=False)
        shown = tuple(example.shown for example in examples)
        ground = Ground(
            wordings="\n".join(part for part in (request.instruction, request.context, request.feedback) if part),
            is_well_worded=False,
            inputs=tuple(one.input for one in shown),
            outputs=tuple(right for example in examples for right in example.rights),
            is_answered=is_answered,
        )
        rewriter = replace(rewriter, settings=settings)
        return cls(rewriter=rewriter, request=replace(request, examples=shown), ground=ground)

    def check(self, candidate: Candidate) -> Candidate:
        """The candidate, or why it is not measured: by the contract, or because it strays from the task.

        The contract is asked again, since all examples say more than the few that were shown: a rewrite may give away
        one of them, and the form of every right output is not an invention.
        """
        if candidate.outcome != "optimized" and candidate.outcome not in RULES:
            return candidate
        found = self.rewriter.check(candidate.text, self.request)
        found = replace(found, log_likelihood=candidate.log_likelihood)
        if found.outcome == "form_contradicted" and candidate.outcome == "optimized" and self.ground.is_answered:
            found = candidate
        if found.outcome != "optimized" or "task_invented" not in self.rewriter.settings.enforced:
            return found
        if self.ground.is_answered and not self.ground.outputs:
            return found  # the subject of right outputs is unknown
        added = candidate.text.replace(self.request.instruction, "", 1)
        reason = strays(added, self.ground)
        return found if reason is None else replace(found, outcome="task_invented", detail=reason)
