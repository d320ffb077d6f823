"""What both comparisons say in the same way."""

from collections.abc import Callable, Mapping
from typing import Any

from fipo_model.pages.markup import percent

Summary = Mapping[str, Any]
Say = Callable[[float], str]
"""How a figure is written."""


def say_percent_alone(share: float) -> str:
    """Write a share in per cent without the sign, for a column whose header has it."""
    return percent(share).removesuffix(" %")
