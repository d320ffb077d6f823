"""What is compared: optimizers, and controls that need no model."""

import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fipo_model.data.records import Record
from fipo_model.errors import InputError
from fipo_model.evaluation.results import SystemDescription
from fipo_model.evaluation.settings import SystemSettings
from fipo_model.optimizer import PromptOptimizer
from fipo_model.templates import find_template
from fipo_model.types import OptimizationRequest, OptimizedPrompt

_WHAT = {
    "identity": "every prompt as it is",
    "repeat": "every prompt said twice, which alone makes a small model more certain",
    "reference": "the rewrites that came with the data",
}


class System:
    """One way to make a new prompt from a naive one, loaded when first used."""

    def __init__(self, name: str, settings: SystemSettings, seed: int) -> None:
        self.name = name
        self.settings = settings
        self._seed = seed
        self._optimizer: PromptOptimizer | None = None

    @property
    def is_optimizer(self) -> bool:
        return self.settings.kind == "optimizer"

    def optimizer(self) -> PromptOptimizer:
        """The optimizer of a system that is one."""
        if self._optimizer is None:
            wanted = self.settings
            self._optimizer = PromptOptimizer.from_pretrained(
                wanted.model,
                adapter=wanted.adapter,
                template=find_template(wanted.template) if wanted.template else None,
                judge=wanted.judge,
                candidates=wanted.candidates,
                seed=self._seed,
            )
        return self._optimizer

    def describe(self) -> SystemDescription:
        """What a reader of the results has to know about it."""
        if not self.is_optimizer:
            what = _WHAT[self.settings.kind]
            return SystemDescription(kind=self.settings.kind, what=what, model="none", template="none")
        rewriter = self.optimizer().rewriter
        sampled = f", the best of {rewriter.samples} samples" if rewriter.samples > 1 else ""
        what = f"rewrites by {rewriter.name}{sampled}"
        by = {"model": rewriter.name, "template": rewriter.template.name}
        return SystemDescription(kind=self.settings.kind, what=what, **by)

    def rewrite(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        """For each record the prompt to use (`text`), the proposal, and what happened to it."""
        if not self.is_optimizer:
            return [self._control(record) for record in records]
        return self.rewrite_requests([request_of(record) for record in records])

    def rewrite_requests(self, requests: Sequence[OptimizationRequest]) -> list[dict[str, Any]]:
        """`rewrite` of an optimizer, whatever is shown to it."""
        results = self.optimizer().optimize_each(requests)
        return [_as_fields(result, request.instruction) for result, request in zip(results, requests, strict=True)]

    def time(self, records: Sequence[Record]) -> dict[str, float] | None:
        """Seconds for one prompt at a time: the median and the 95th percentile. None where no model is asked."""
        if not self.is_optimizer or len(records) < 2:
            return None
        optimizer = copy.copy(self.optimizer())  # which remembers no result
        seconds = []
        for record in records:
            started = time.perf_counter()
            optimizer.optimize_each([request_of(record)])
            seconds.append(time.perf_counter() - started)
        # Inclusive: never longer than the longest seen.
        p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
        return {"p50": statistics.median(seconds), "p95": p95}

    def _control(self, record: Record) -> dict[str, Any]:
        naive = record.instruction
        if self.settings.kind == "reference" and record.chosen is None:
            return {"outcome": "error", "detail": "the record has no chosen rewrite", "text": naive, "proposed": None}
        texts = {"identity": naive, "repeat": f"{naive}\n\n{naive}", "reference": record.chosen or naive}
        text = texts[self.settings.kind]
        return {
            "outcome": "unchanged" if text == naive else "optimized",
            "detail": "",
            "text": text,
            "proposed": text,
        }


def request_of(record: Record) -> OptimizationRequest:
    """A record as an optimizer meets it in use: the prompt and its context, without responses."""
    return OptimizationRequest(record.instruction, context=record.context)


def judged_request_of(record: Record) -> OptimizationRequest:
    """A record with its golden response, for measuring by that."""
    return replace(request_of(record), golden_response=record.golden_response)


def _as_fields(result: OptimizedPrompt | InputError, naive: str) -> dict[str, Any]:
    if isinstance(result, InputError):
        return {"outcome": "error", "detail": str(result), "text": naive, "proposed": None}
    proposed = next((c.text for c in result.candidates if c.outcome == result.outcome), None)
    return {"outcome": result.outcome, "detail": result.detail, "text": result.text, "proposed": proposed}
