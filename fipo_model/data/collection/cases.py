"""One record on its way through the collection, changed by each reply. Pure, so that a resumed job can replay it."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from fipo_model import fidelity
from fipo_model.data.collection.prompts import request_of
from fipo_model.data.collection.settings import BuildSettings
from fipo_model.data.records import Record
from fipo_model.judge import Verdict
from fipo_model.types import OUTCOMES, Outcome

Stage = Literal["silver", "golden", "chosen", "rejected", "judge"]

STAGES: tuple[Stage, ...] = get_args(Stage)
"""In this order; a record that fails at one is spared the others."""

REASONS = (
    *("repeated_id", "near_duplicate", "silver_prompt_too_long", "silver_empty"),
    *("golden_prompt_too_long", "golden_empty", "golden_truncated"),
    "chosen_prompt_too_long",
    *(f"chosen_{outcome}" for outcome in OUTCOMES if outcome not in ("optimized", "not_preferred")),
    *("rejected_prompt_too_long", "rejected_empty", "rejected_truncated", "chosen_equals_rejected"),
    *("judge_tie", "judge_prefers_rejected"),
)
"""Everything a record can fail for. `chosen_<outcome>` is an outcome of the fidelity checks, or of the model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's reply when asked for a part, or why it could not be asked."""

    text: str = ""
    is_truncated: bool = False
    too_long: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a record is not a pair to learn from: one of `REASONS`, the details in words, and the text it concerns."""

    reason: str
    detail: str
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A record, filled in as far as its stages have got."""

    record: Record
    failure: Failure | None = None
    stages_done: int = 0
    is_silver_truncated: bool = False
    rejected_outcome: Outcome | None = None
    """What the fidelity checks say of the rejected rewrite, which need not pass them."""
    verdict: Verdict | None = None

    @property
    def stage(self) -> Stage | None:
        """The stage it has come to; None when it is decided."""
        return None if self.failure is not None or self.stages_done == len(STAGES) else STAGES[self.stages_done]

    @property
    def reached(self) -> Stage:
        """The last stage it came to, decided or not."""
        return STAGES[min(self.stages_done, len(STAGES) - 1)]

    @property
    def given(self) -> Reply | None:
        """What the input already holds for the stage; it is kept as it is and not asked for."""
        text = None if self.stage is None else _part(self.record, self.stage)
        return None if text is None else Reply(text=text)

    @property
    def stages_to_ask(self) -> tuple[Stage, ...]:
        """The stages for which a model or the judge must still be asked, if the record fails at none."""
        left = () if self.stage is None else STAGES[self.stages_done :]
        return tuple(stage for stage in left if _part(self.record, stage) is None)

    @property
    def is_accepted(self) -> bool:
        """Whether it passed everything."""
        return self.failure is None and self.stage is None


def take(case: Case, step: Reply | Verdict, settings: BuildSettings) -> Case:
    """The case after its stage: with the new part, or failed."""
    stage = case.stage or "judge"
    if isinstance(step, Verdict):
        return _take_verdict(case, step)
    if step.too_long is not None:
        return _fail(case, f"{stage}_prompt_too_long", step.too_long)
    if stage == "chosen":
        return _take_chosen(case, step, settings)
    if stage == "rejected":
        return _take_rejected(case, step, settings)
    return _take_response(case, step)


def _part(record: Record, stage: Stage) -> str | None:
    parts = {
        "silver": record.silver_response,
        "golden": record.golden_response,
        "chosen": record.chosen,
        "rejected": record.rejected,
        "judge": None,
    }
    return parts[stage]


def _take_response(case: Case, reply: Reply) -> Case:
    part = case.stage
    if not reply.text.strip():
        return _fail(case, f"{part}_empty", "the model replied with nothing")
    if part == "silver":
        # The weak model's answer is not checked, because nothing is learnt from it.
        record = replace(case.record, silver_response=reply.text)
        return _advance(replace(case, record=record, is_silver_truncated=reply.is_truncated))
    if reply.is_truncated:
        return _fail(case, "golden_truncated", "the golden response was cut off", reply.text)
    return _advance(replace(case, record=replace(case.record, golden_response=reply.text)))


def _take_chosen(case: Case, reply: Reply, settings: BuildSettings) -> Case:
    text = reply.text if case.given is not None else settings.template.rewrite(reply.text, case.record.instruction)
    if reply.is_truncated:
        return _fail(case, "chosen_truncated", "the rewrite was cut off", text)
    request = request_of(case.record, settings.max_words)
    checked = fidelity.check(text, request, settings.fidelity, settings.template)
    if checked.outcome != "optimized":
        return _fail(case, f"chosen_{checked.outcome}", checked.detail, text)
    if _is_same(text, case.record.rejected):
        return _fail(case, "chosen_equals_rejected", "both rewrites are the same", text)
    return _advance(replace(case, record=replace(case.record, chosen=text)))


def _take_rejected(case: Case, reply: Reply, settings: BuildSettings) -> Case:
    text = reply.text if case.given is not None else settings.template.rewrite(reply.text, case.record.instruction)
    if not text.strip():
        return _fail(case, "rejected_empty", "the model replied with nothing")
    if reply.is_truncated:
        return _fail(case, "rejected_truncated", "the rewrite was cut off", text)
    if _is_same(text, case.record.chosen):
        return _fail(case, "chosen_equals_rejected", "both rewrites are the same", text)
    checked = fidelity.check(text, request_of(case.record, settings.max_words), settings.fidelity, settings.template)
    record = replace(case.record, rejected=text)
    return _advance(replace(case, record=record, rejected_outcome=checked.outcome))


def _take_verdict(case: Case, verdict: Verdict) -> Case:
    judged = _advance(replace(case, verdict=verdict))
    if verdict.winner == "challenger":
        return judged
    reason = "judge_tie" if verdict.winner == "tie" else "judge_prefers_rejected"
    return replace(judged, failure=Failure(reason=reason, detail=verdict.reason))


def _advance(case: Case) -> Case:
    return replace(case, stages_done=case.stages_done + 1)


def _fail(case: Case, reason: str, detail: str, text: str | None = None) -> Case:
    return replace(case, failure=Failure(reason=reason, detail=detail, text=text))


def _is_same(text: str, other: str | None) -> bool:
    return text.strip() == (other or "").strip()
