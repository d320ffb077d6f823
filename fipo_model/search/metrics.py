"""How good an output is: a few common metrics, or any function of the user's, and reading what that returns."""

import inspect
import json
import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fipo_model.errors import InputError
from fipo_model.json_values import are_same, parse_json
from fipo_model.search.identity import digest_of

Function = Callable[[Any, Any, Any], Any]
"""From the reference, the output and the input to a score: a number or a bool, and more is better."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_AROUND = "\"'`*“”‘’.!"
_FENCE = re.compile(r"```(?:json)?[ \t]*\n?(.*?)```", re.DOTALL | re.IGNORECASE)
_FEEDBACK = ("feedback", "comment", "reason", "explanation")


def exact(reference: Any, output: Any, _: Any) -> bool:
    """Score whether both are the same: as JSON where the reference is not a text, otherwise as plain texts.

    Case, white space, quotation marks around the text and a full stop after it do not count.
    """
    if isinstance(reference, str):
        return plain(reference) == plain(text_of(output))
    return _is_same(reference, read_json(output))


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
    found = read_json(output)
    if not isinstance(found, Mapping):
        return 0.0
    equal = [name in found and _is_same(value, found[name]) for name, value in reference.items()]
    return sum(equal) / len(equal)


BUILT_IN: Mapping[str, Function] = {"exact": exact, "contains": contains, "f1": f1, "json_fields": json_fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A function with its name and a digest, because a changed metric measures something else."""

    name: str
    function: Function
    needs_reference: bool

    @property
    def is_exact(self) -> bool:
        """Whether it is FIPO's `exact`: an answer is right or wrong as a whole."""
        return self.function is exact

    @property
    def is_of_texts(self) -> bool:
        """Whether it is one of FIPO's that compare objects as the texts they are written as."""
        return self.function in (contains, f1)

    @property
    def identity(self) -> str:
        """Its name and a digest of its code."""
        return self.name if self.needs_reference else f"{self.name} ({digest_of(self.function)})"

    def unfit(self, reference: Any) -> str:
        """Say why an example with this reference cannot be scored; empty if it can. One's own may need none."""
        if not self.needs_reference:
            return ""
        if reference is None:
            return f"there is no right output (`output`, `outputs` or `reference`), which the metric {self.name} needs"
        if self.name == "json_fields" and not (isinstance(reference, Mapping) and reference):
            return "the right output must be an object with fields, which the metric json_fields compares"
        return ""


def as_metric(metric: str | Callable[..., Any]) -> Metric:
    """The built-in metric of a name, or a function (reference, output, input) -> number.

    Functions of two arguments are called with the reference and the output. Raises `InputError`.
    """
    if isinstance(metric, str):
        if metric not in BUILT_IN:
            raise InputError(f"there is no metric {metric!r}; choose from {', '.join(BUILT_IN)}, or pass a function")
        return Metric(name=metric, function=BUILT_IN[metric], needs_reference=True)
    if not callable(metric):
        raise InputError(f"a metric is a name or a function, not a {type(metric).__name__}")
    name = getattr(metric, "__name__", type(metric).__name__)
    if _takes(metric, 3):
        return Metric(name=name, function=metric, needs_reference=False)
    if not _takes(metric, 2):
        raise InputError(f"the metric {name} must take (reference, output, input) or (reference, output)")
    return Metric(name=name, function=_Short(metric), needs_reference=False)


@dataclass(frozen=True, slots=True)
class _Short:
    """A metric that does not look at the input."""

    function: Callable[[Any, Any], Any]

    def __call__(self, reference: Any, output: Any, _: Any) -> Any:
        return self.function(reference, output)


def _takes(function: Callable[..., Any], arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # some written in C do not tell
        return True
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a metric returned, read."""

    score: float
    best: float | None
    """The highest score there is: a bool says so, a number does not."""
    feedback: str | None


def judgement(value: Any, *, metric: str) -> Judgement:
    """Read what a metric returned: a bool, a number, or something with a `score` and perhaps `feedback` or a `comment`.

    Raises `InputError` for anything that is not a number: that is a mistake in the metric, not a wrong output.
    """
    score, feedback = _parts(value)
    try:
        number = float("" if isinstance(score, str | bytes) else score)  # the text "0.5" is not a number, either
    except (TypeError, ValueError) as error:
        forgotten = " (is a return missing?)" if value is None else ""
        raise InputError(
            f"the metric {metric} must return a number{forgotten}, a bool or a result with a score, not "
            f"{type(value).__name__}"
        ) from error
    if not math.isfinite(number):
        raise InputError(f"the metric {metric} must return a number, a bool or a result with a score, not {number}")
    return Judgement(score=number, best=1.0 if isinstance(score, bool) else None, feedback=feedback)


def _parts(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, Mapping) and "score" in value:
        said = [value.get(name) for name in _FEEDBACK]
        return value["score"], next((str(one) for one in said if one), None)
    if not isinstance(value, bool | int | float) and hasattr(value, "score"):
        said = [getattr(value, name, None) for name in _FEEDBACK]
        return value.score, next((str(one) for one in said if one), None)
    return value, None


def text_of(value: Any) -> str:
    """Write a value as text: as JSON unless it is a text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def plain(text: str) -> str:
    """Strip a text of what does not count in a comparison; a text that consists only of that stays."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_AROUND).strip() or folded


def read_json(output: Any) -> Any:
    """Read a text as JSON, alone or in a fenced block; anything else stays as it is."""
    if not isinstance(output, str):
        return output
    fenced = _FENCE.search(output)
    for text in (output, fenced[1] if fenced else output):
        with suppress(ValueError):
            return parse_json(text)
    return output


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", folded).split()


def _is_same(expected: Any, found: Any) -> bool:
    return are_same(expected, found, texts=lambda one, other: plain(one) == plain(other))
