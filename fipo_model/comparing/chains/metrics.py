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
        """Why a row with this reference cannot be scored; empty if it can. A function of one's own may need none."""
        if not self.is_built_in:
            return ""
        if reference is None:
            return f"there is no `reference`, which the metric {self.name} compares with"
        if self.name == "json_fields" and (not isinstance(reference, dict) or not reference):
            return "`reference` must be an object with fields, which the metric json_fields compares"
        return "" if self.name != "contains" or plain(text_of(reference)) else "`reference` is empty"

    def score(self, row: Row, output: Any) -> float:
        """The score of an output. Raises `MetricError` that names the row."""
        where = f"the metric {self.name} on row {row.id!r} (line {row.line})"
        try:
            found = self.function(*deepcopy((row.reference, output, row.input)))
        except Exception as error:
            raise MetricError(f"{where} raised {type(error).__name__}: {error}") from error
        if not isinstance(found, Real | np.bool_):  # a bool is a Real too
            raise MetricError(f"{where} gave {found!r}, which is not a number")
        if not math.isfinite(value := float(found)):
            raise MetricError(f"{where} gave {value}, which cannot be averaged")
        return value

    @property
    def version(self) -> str | None:
        """Changes when the file of a function of one's own does."""
        return None if self.is_built_in else fingerprint(self.name)


def find_metric(name: str) -> Metric:
    """A built-in metric, or the function that `module:function` names. Raises `InputError`."""
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
    """Whether both are the same: as JSON where the reference is no text, else apart from what does not count.

    That is case, white space, quotation marks around the text and a full stop after it.
    """
    if isinstance(reference, str):
        return plain(reference) == plain(text_of(output))
    return _same(reference, _as_json(output))


def contains(reference: Any, output: Any, _: Any) -> bool:
    """Whether the reference occurs in the output, apart from case and white space."""
    return plain(text_of(reference)) in plain(text_of(output))


def f1(reference: Any, output: Any, _: Any) -> float:
    """Overlap of words, as SQuAD scores answers (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1).

    Case, punctuation and English articles do not count. 1 where both have no words.
    """
    expected, found = (Counter(_words(text_of(value))) for value in (reference, output))
    if not expected or not found:
        return float(expected == found)
    common = (expected & found).total()
    return 2 * common / (expected.total() + found.total())


def json_fields(reference: Mapping[str, Any], output: Any, _: Any) -> float:
    """Share of the reference's fields that the output has with an equal value; 0 where it is no JSON object."""
    found = _as_json(output)
    if not isinstance(found, Mapping):
        return 0.0
    return sum(name in found and _same(value, found[name]) for name, value in reference.items()) / len(reference)


BUILT_IN: Mapping[str, Function] = {"exact": exact, "contains": contains, "f1": f1, "json_fields": json_fields}


def text_of(value: Any) -> str:
    """A value as text: JSON unless it is one."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain(text: str) -> str:
    """A text without what does not count in a comparison; what consists of nothing else stays."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_AROUND).strip() or folded


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", folded).split()


def _as_json(output: Any) -> Any:
    """What a text says as JSON, alone or in a fenced block; anything else as it is."""
    if not isinstance(output, str):
        return output
    try:
        return parse_json_markdown(output, parser=json.loads)
    except ValueError:
        return output


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, str) and isinstance(found, str):
        return plain(expected) == plain(found)
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_same(value, found[name]) for name, value in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_same, expected, found))
    return bool(expected == found) and isinstance(expected, bool) == isinstance(found, bool)  # True == 1 in Python
