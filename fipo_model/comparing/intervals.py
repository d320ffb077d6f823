"""Intervals as results have them: plain fields, or nothing where too little was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fipo_model.evaluation import statistics


def mean_interval(values: Sequence[float], *, seed: int) -> dict[str, Any] | None:
    """Take the mean with its interval, as `statistics.mean` does; None of fewer than two values."""
    return asdict(statistics.mean(values, seed=seed)) if len(values) > 1 else None


def read_interval(fields: Mapping[str, Any] | None) -> statistics.Interval | None:
    """Rebuild an interval from its fields; None where too little was measured."""
    return None if fields is None else statistics.Interval(**fields)
