"""What a job will cost, before it costs anything. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from fipo_model.data.collection.cases import Case, Stage
from fipo_model.data.collection.prompts import naive_prompt, rewrite_tokens
from fipo_model.data.collection.settings import BuildSettings
from fipo_model.types import count_words

JUDGE_CALLS = 2
"""Conversations `LLMJudge` sends for a pair: one for each order."""

# English, with today's vocabularies.
_TOKENS_PER_WORD = 1.4
_VERDICT_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is left to do if no record fails on the way.

    Tokens are guessed from words, with replies at their longest.
    """

    records: int
    calls: int
    prompt_tokens: int
    reply_tokens: int

    def __str__(self) -> str:
        return (
            f"up to about {self.calls} calls for {self.records} records, with {self.prompt_tokens} prompt tokens and "
            f"{self.reply_tokens} reply tokens"
        )


def estimate(cases: Iterable[Case], settings: BuildSettings, *, judge_calls: int = JUDGE_CALLS) -> Estimate:
    """The cost of finishing these cases with a judge that sends `judge_calls` conversations for a pair."""
    fixed = round(
        _TOKENS_PER_WORD * count_words((settings.template.optimizer_system or "") + settings.template.optimizer)
    )
    records = calls = prompts = replies = 0
    for case in cases:
        sizes = _sizes(case, settings)
        records += case.stage is not None
        for stage in case.stages_to_ask:
            times, prompt, reply = 1, sizes["naive"], sizes.get(stage, 0)
            if stage in ("chosen", "rejected"):
                prompt = fixed + sizes["naive"] + sizes["silver"] + sizes["golden"]
            elif stage == "judge":
                times, prompt, reply = judge_calls, fixed + sum(sizes.values()), _VERDICT_TOKENS
            calls += times
            prompts += times * prompt
            replies += times * reply
    return Estimate(records=records, calls=calls, prompt_tokens=prompts, reply_tokens=replies)


def calls_left(case: Case, judge_calls: int) -> int:
    """How many conversations finishing a case takes."""
    return sum(judge_calls if stage == "judge" else 1 for stage in case.stages_to_ask)


def _sizes(case: Case, settings: BuildSettings) -> dict[Stage | str, int]:
    """Tokens of the record's parts; for missing parts, the most they may have."""
    record = case.record
    rewrite = rewrite_tokens(record, settings.max_words)
    longest = {"silver": settings.response_tokens, "golden": settings.response_tokens}
    parts = {
        "naive": naive_prompt(record),
        "silver": record.silver_response,
        "golden": record.golden_response,
        "chosen": record.chosen,
        "rejected": record.rejected,
    }
    return {
        name: longest.get(name, rewrite) if text is None else round(_TOKENS_PER_WORD * count_words(text))
        for name, text in parts.items()
    }
