"""The prompts before and after, as data for the page's script.

The differences are computed here, so that the script need not do so for thousands of examples. The same pieces hold
both texts, so neither is stored twice.
"""

import math
from collections.abc import Sequence
from typing import Any

from fipo_model.evaluation.results import Example
from fipo_model.pages.changes import differences, outcome_in_words


def example_data(examples: Sequence[Example]) -> dict[str, Any]:
    """All examples, and the words for their outcomes."""
    outcomes = sorted({example.outcome for example in examples})
    return {
        "words": {outcome: outcome_in_words(outcome) for outcome in outcomes},
        "examples": [_example(example) for example in examples],
    }


def _example(example: Example) -> dict[str, Any]:
    proposed = None
    if example.proposed is not None and example.proposed != example.text:
        proposed = differences(example.naive, example.proposed)
    return {
        "id": example.id,
        "system": example.system,
        "data": example.data,
        "outcome": example.outcome,
        "detail": example.detail,
        "change": differences(example.naive, example.text),
        "proposed": proposed,
        "context": example.context,
        "golden": example.golden_response,
        # JSON cannot express a gain that is not finite.
        "gains": {model: gain if math.isfinite(gain) else None for model, gain in example.gains.items()},
    }
