"""The prompts before and after, as data for the page's script.

The differences are made here, so that the script has nothing to compute for thousands of examples; the same pieces hold
both texts, so that neither is stored twice.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fipo_model.pages.changes import differences, outcome_in_words


def example_data(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All examples, and the words for their outcomes."""
    outcomes = sorted({example["outcome"] for example in examples})
    return {
        "words": {outcome: outcome_in_words(outcome) for outcome in outcomes},
        "examples": [_example(example) for example in examples],
    }


def _example(example: Mapping[str, Any]) -> dict[str, Any]:
    proposed = example["proposed"]
    is_turned_down = proposed is not None and proposed != example["text"]
    return {
        "id": example["id"],
        "system": example["system"],
        "data": example["data"],
        "outcome": example["outcome"],
        "detail": example["detail"],
        "change": differences(example["naive"], example["text"]),
        "proposed": differences(example["naive"], proposed) if is_turned_down else None,
        "context": example["context"],
        "golden": example["golden_response"],
        # JSON has no word for a gain that is not finite.
        "gains": {model: gain if _is_finite(gain) else None for model, gain in example["gains"].items()},
    }


def _is_finite(gain: float | None) -> bool:
    return gain is not None and math.isfinite(gain)
