"""What both comparisons say in the same way."""

from collections.abc import Mapping
from typing import Any

from fipo_model.pages.numbers import percent

Summary = Mapping[str, Any]


def say_percent_alone(share: float) -> str:
    """Write a share in per cent without the sign, for a column whose header has it."""
    return percent(share).removesuffix(" %")
