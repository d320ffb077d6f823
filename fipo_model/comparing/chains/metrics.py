"""How good an output is: a few common metrics, and any function of one's own."""

import inspect
import math
from copy import deepcopy
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from fipo_model.comparing.chains.rows import Row
from fipo_model.errors import FipoError, InputError
from fipo_model.objects import fingerprint, load_object
from fipo_model.search.metrics import BUILT_IN, Function, plain, text_of


class MetricError(FipoError):
    """A metric gave no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A function with its name, and which references it can use."""

    name: str
    function: Function
    is_built_in: bool

    def unfit(self, reference: Any) -> str:
        """Say why a row with this reference cannot be scored; empty if it can. A user's function may need none."""
        if not self.is_built_in:
            return ""
        if reference is None:
            return f"there is no `output` (or `reference`), which the metric {self.name} needs"
        has_fields = isinstance(reference, dict) and bool(reference)
        if self.name == "json_fields" and not has_fields:
            return "the right output must be an object with fields, which the metric json_fields compares"
        if self.name == "contains" and not plain(text_of(reference)):
            return "the right output is empty"
        return ""

    def score(self, row: Row, output: Any) -> float:
        """Score an output. Raises `MetricError` that names the row."""
        where = f"the metric {self.name} on row {row.id!r} (line {row.line})"
        try:
            found = self.function(*deepcopy((row.reference, output, row.input)))
        except Exception as error:
            raise MetricError(f"{where} raised {type(error).__name__}: {error}") from error
        if not isinstance(found, Real | np.bool_):  # a bool is a Real too
            raise MetricError(f"{where} gave {found!r}, which is not a number")
        value = float(found)
        if not math.isfinite(value):
            raise MetricError(f"{where} gave {value}, which cannot be averaged")
        return value

    @property
    def version(self) -> str | None:
        """Changes when the file of a user's function does."""
        return None if self.is_built_in else fingerprint(self.name)


def find_metric(name: str) -> Metric:
    """Find a built-in metric, or the function that `module:function` names. Raises `InputError`."""
    if name in BUILT_IN:
        return Metric(name=name, function=BUILT_IN[name], is_built_in=True)
    if ":" not in name:
        raise InputError(f"there is no metric {name!r}; choose from {', '.join(BUILT_IN)}, or name a module:function")
    function = load_object(name, "a metric")
    if not callable(function):
        raise InputError(f"{name} is not a function (reference, output, input) -> number")
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError as error:
        raise InputError(f"{name} must take three arguments, (reference, output, input): {error}") from error
    except ValueError:  # some written in C do not tell
        pass
    return Metric(name=name, function=function, is_built_in=False)
