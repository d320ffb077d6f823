"""How good an output is: a few common metrics, and any function of one's own."""

import inspect
import json
import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from langchain_core.utils.json import parse_json_markdown

from fipo_model.comparing.chains.loading import fingerprint, load_object
from fipo_model.comparing.chains.rows import Row
from fipo_model.errors import FipoError, InputError

Function = Callable[[Any, Any, Any], Any]
"""From the reference, the output and the input to a score: a number or a bool, and more is better."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_AROUND = "\"'`*“”‘’.!"


class MetricError(FipoError):
    """A metric that gave no score."""


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
            return f"there is no `reference`, which the metric {self.name} compares with"
        has_fields = isinstance(reference, dict) and bool(reference)
        if self.name == "json_fields" and not has_fields:
            return "`reference` must be an object with fields, which the metric json_fields compares"
        if self.name == "contains" and not plain(text_of(reference)):
            return "`reference` is empty"
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
        raise InputError(f"there is no metric {name!r}; there are {', '.join(BUILT_IN)}, or name a module:function")
    function = load_object(name, "a metric")
    if not callable(function):
        raise InputError(f"{name} is no function (reference, output, input) -> number")
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError as error:
        raise InputError(f"{name} must take three arguments, (reference, output, input): {error}") from error
    except ValueError:  # some written in C do not tell
        pass
    return Metric(name=name, function=function, is_built_in=False)


def exact(reference: Any, output: Any, _: Any) -> bool:
    """Score whether both are the same: as JSON where the reference is not a text, else apart from what does not count.

    Case, white space, quotation marks around the text and a full stop after it do not count.
    """
    if isinstance(reference, str):
        return plain(reference) == plain(text_of(output))
    return _is_same(reference, _read_json(output))


def contains(reference: Any, output: Any, _: Any) -> bool:
    """Score whether the reference occurs in the output, apart from case and white space."""
    return plain(text_of(reference)) in plain(text_of(output))


def f1(reference: Any, output: Any, _: Any) -> float:
    """Score the overlap of words, as SQuAD does (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1).

    Case, punctuation and English articles do not count. 1 where both have no words.
    """
    expected, found = (Counter(_words(text_of(value))) for value in (reference, output))
    if not expected or not found:
        return float(expected == found)
    common = (expected & found).total()
    return 2 * common / (expected.total() + found.total())


def json_fields(reference: Mapping[str, Any], output: Any, _: Any) -> float:
    """Score the share of the reference's fields that the output has with an equal value; 0 where it has no fields."""
    found = _read_json(output)
    if not isinstance(found, Mapping):
        return 0.0
    equal = [name in found and _is_same(value, found[name]) for name, value in reference.items()]
    return sum(equal) / len(equal)


BUILT_IN: Mapping[str, Function] = {"exact": exact, "contains": contains, "f1": f1, "json_fields": json_fields}


def text_of(value: Any) -> str:
    """Write a value as text: as JSON unless it is a text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain(text: str) -> str:
    """Strip a text of what does not count in a comparison; a text of nothing else stays."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_AROUND).strip() or folded


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", folded).split()


def _read_json(output: Any) -> Any:
    """Read a text as JSON, alone or in a fenced block; anything else stays as it is."""
    if not isinstance(output, str):
        return output
    try:
        return parse_json_markdown(output, parser=json.loads)
    except ValueError:
        return output


def _is_same(expected: Any, found: Any) -> bool:
    if isinstance(expected, str) and isinstance(found, str):
        return plain(expected) == plain(found)
    if isinstance(expected, dict) and isinstance(found, dict):
        has_the_names = expected.keys() == found.keys()
        return has_the_names and all(_is_same(value, found[name]) for name, value in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_is_same, expected, found))
    are_of_a_kind = isinstance(expected, bool) == isinstance(found, bool)  # True == 1 in Python
    return are_of_a_kind and bool(expected == found)
