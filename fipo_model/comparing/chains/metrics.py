"""How good an output is, by the metrics of a search: one of FIPO's, or any function of one's own."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from fipo_model import search
from fipo_model.comparing.chains.rows import Row
from fipo_model.errors import FipoError, InputError
from fipo_model.objects import fingerprint, load_object
from fipo_model.search.metrics import BUILT_IN, plain, text_of


class MetricError(FipoError):
    """A metric gave no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric by the name that it has on the command line."""

    name: str
    given: str | Callable[..., Any]
    """What a search takes: the name of one of FIPO's, or the user's function."""
    known: search.Metric

    @classmethod
    def of(cls, name: str, given: str | Callable[..., Any]) -> "Metric":
        """The metric that a search makes of it. Raises `InputError` for what is none."""
        return cls(name=name, given=given, known=replace(search.as_metric(given), name=name))

    def unfit(self, reference: Any) -> str:
        """Say why a row with this reference cannot be scored; empty if it can. A user's function may need none."""
        reason = self.known.unfit(reference)
        # A search refuses empty right outputs whatever its metric is; here only the one that finds them everywhere.
        is_everywhere = self.name == "contains" and not reason and not plain(text_of(reference))
        return "the right output is empty" if is_everywhere else reason

    def score(self, row: Row, output: Any) -> float:
        """Score an output. Raises `MetricError` that names the row."""
        where = f"row {row.id!r} (line {row.line})"
        try:
            found = self.known.function(*deepcopy((row.reference, output, row.input)))
        except Exception as error:
            raise MetricError(f"{where}: the metric {self.name} raised {type(error).__name__}: {error}") from error
        try:
            return search.judgement(found, metric=self.name).score
        except InputError as error:
            raise MetricError(f"{where}: {error}") from error

    @property
    def version(self) -> str | None:
        """Changes when the file of a user's function does."""
        return None if self.known.needs_reference else fingerprint(self.name)


def find_metric(name: str) -> Metric:
    """Find a built-in metric, or the function that `module:function` names. Raises `InputError`."""
    if name in BUILT_IN:
        return Metric.of(name, name)
    if ":" not in name:
        raise InputError(f"there is no metric {name!r}; choose from {', '.join(BUILT_IN)}, or name a module:function")
    function = load_object(name, "a metric")
    if not callable(function):
        raise InputError(f"{name} is not a function (reference, output, input) or (reference, output)")
    return Metric.of(name, function)
