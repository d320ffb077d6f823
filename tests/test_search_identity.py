"""What tells metrics and data apart when a search is resumed, and what does not."""

import dataclasses
import datetime
import decimal
import enum
import functools
import importlib.util
import itertools
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from fipo_model.search import digest_of, digest_of_data, without_credentials


class Mode(enum.Enum):
    STRICT = 1
    LENIENT = 2


@dataclasses.dataclass
class Options:
    most: float


class Limits(BaseModel):
    most: float


class Plain:
    def __init__(self, most: float) -> None:
        self.most = most


PAIRS = [
    ([["refund", "return"], ["delivery"]], [["refund"], ["return", "delivery"]]),
    ({"a": {"x": 1}, "y": 2}, {"a": {"x": 1, "y": 2}}),
    ([1, 2], (1, 2)),
    ([Mode.STRICT, Mode.LENIENT, Mode.STRICT], [Mode.STRICT, Mode.LENIENT, Mode.LENIENT]),
    (Mode.STRICT, Mode.LENIENT),
    (datetime.date(2026, 1, 1), datetime.date(2025, 1, 1)),
    (decimal.Decimal("0.5"), decimal.Decimal("0.9")),
    (Path("a"), Path("b")),
    (Counter("aab"), Counter("abb")),
    (Options(0.5), Options(0.9)),
    (Limits(most=0.5), Limits(most=0.9)),
    (Plain(0.5), Plain(0.9)),
    (SimpleNamespace(most=0.5), SimpleNamespace(most=0.9)),
    ({"deep": [Plain(Options(0.5))]}, {"deep": [Plain(Options(0.9))]}),
    (functools.partial(max, default=1), functools.partial(max, default=2)),
]


def by_global(value: Any) -> Any:
    names = {"__name__": __name__, "VALUE": value}
    exec("def metric(right, said): return VALUE", names)
    return names["metric"]


def by_default(value: Any) -> Any:
    def metric(right, said, value=value):
        return value

    return metric


def by_closure(value: Any) -> Any:
    return lambda right, said: value


def by_argument(value: Any) -> Any:
    return functools.partial(max, key=value)


@pytest.mark.parametrize("hold", [by_global, by_default, by_closure, by_argument])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_whatever_value_a_metric_uses_tells_it_from_another(one, other, hold):
    """Values that had no text of their own did not count, and of nested ones the nesting did not."""
    assert digest_of(hold(one)) == digest_of(hold(one)) != digest_of(hold(other))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_data_are_told_apart_by_all_that_they_hold(one, other):
    assert digest_of_data([one]) == digest_of_data([one]) != digest_of_data([other])


def test_of_long_arrays_every_number_counts():
    numpy = pytest.importorskip("numpy")
    one, same, other = (numpy.arange(5000) for _ in range(3))
    other[2500] += 1
    assert digest_of_data([one]) == digest_of_data([same]) != digest_of_data([other])
    assert digest_of(by_global(one)) == digest_of(by_global(same)) != digest_of(by_global(other))


def test_what_does_not_tell_what_it_holds_counts_as_itself_alone_among_data_and_not_at_all_in_a_metric():
    one, other = threading.Lock(), threading.Lock()
    assert digest_of_data([one]) == digest_of_data([one]) != digest_of_data([other])
    assert digest_of(by_global(one)) == digest_of(by_global(other))


def test_an_attribute_is_no_global_of_the_same_name():
    """`prediction.answer` once counted as the notebook's variable `answer`."""
    names: dict[str, Any] = {"__name__": "notebook"}
    exec("def metric(example, prediction): return any(example.answer == one for one in [prediction.answer])", names)
    before = digest_of(names["metric"])
    names["answer"] = "what the compiled program said"
    assert digest_of(names["metric"]) == before
    exec("def metric(example, prediction): return any(one == answer for one in [prediction])", names)
    before = digest_of(names["metric"])
    names["answer"] = "another"
    assert digest_of(names["metric"]) != before


class Client:
    """Asks somebody, and keeps count."""

    def __init__(self, most: float) -> None:
        self.most = most
        self.calls = 0
        self.seen: list[str] = []

    def ask(self, said: str) -> float:
        self._count()
        self.seen.append(said)
        return self.most

    def _count(self) -> None:
        self.calls += 1

    def allow(self, most: float) -> None:
        self.most = most

    @functools.cached_property
    def prepared(self) -> object:
        return object()

    def grade(self, right: str, said: str) -> float:
        return self.ask(said)

    def __call__(self, right: str, said: str) -> float:
        return self.ask(said)


LOG: list[str] = []
CACHE: dict[str, float] = {}
TALLY = Counter[str]()
LIMITS = {"most": 1.0}
CLIENT = Client(1.0)
OPTIONS = SimpleNamespace(most=1.0, calls=0)
CALLS, FIRST = 0, None


def logs(right, said):
    LOG.append(said)
    TALLY[said] += 1
    return LIMITS["most"]


def caches(right, said):
    return CACHE.setdefault(said, LIMITS["most"])


def counts(right, said):
    global CALLS, FIRST
    CALLS += 1
    if FIRST is None:
        FIRST = Client(1.0)
    OPTIONS.calls += 1
    return OPTIONS.most


def asks(right, said):
    return CLIENT.ask(said) if CLIENT.prepared else 0.0


def remembers(right, said, cache={}):  # noqa: B006 - as people do
    cache[said] = right
    return LIMITS["most"]


def enclosed():
    calls, seen = 0, []

    def metric(right, said):
        nonlocal calls
        calls += 1
        seen.append(said)
        return LIMITS["most"]

    return metric


@pytest.mark.parametrize(
    "metric", [logs, caches, counts, asks, remembers, enclosed(), CLIENT, CLIENT.grade, by_closure(CLIENT)]
)
def test_what_a_metric_changes_as_it_runs_makes_it_no_other_one(metric):
    before = digest_of(metric)
    metric("right", "said")
    assert digest_of(metric) == before


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        (logs, lambda most: LIMITS.update(most=most)),
        (counts, lambda most: setattr(OPTIONS, "most", most)),
        (asks, CLIENT.allow),
        (CLIENT, CLIENT.allow),
    ],
)
def test_what_others_change_does(metric, change):
    before = digest_of(metric)
    change(2.0)
    assert digest_of(metric) != before
    change(1.0)
    assert digest_of(metric) == before


def test_metrics_and_data_are_the_same_in_every_process():
    code = """
        import enum, dataclasses, re
        from fipo_model.search import digest_of, digest_of_data

        Mode = enum.Enum("Mode", ["A", "B", "C"])
        @dataclasses.dataclass(frozen=True)
        class Options:
            modes: frozenset = frozenset(Mode)
            pattern: re.Pattern = re.compile("a", re.I)
        OPTIONS = {Options(): {"x", "y", "z"}, Options(frozenset()): {Mode.A, Mode.B}}
        def metric(right, said): return OPTIONS and said in {"x", "y", "z"}
        print(digest_of(metric), digest_of_data([OPTIONS, Mode.A]))
    """
    said = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in range(4)
    }
    assert len(said) == 1


def test_credentials_are_no_settings():
    kept = {"max_tokens": 9, "temperature": 0, "api_base": "http://a", "stop": ["x"], "logprobs": 1, "monkey": 1}
    renewed = (
        "api_key aws_secret_access_key aws_session_token azure_ad_token azure_ad_token_provider token extra_headers"
    )
    renewed += " headers Authorization vertex_credentials password client_secret aws_access_key_id"
    assert without_credentials({**kept, **dict.fromkeys(renewed.split(), "x")}) == kept


EDITS = {
    "a field's default": "class Held(BaseModel):\n    most: int = {}",
    "a field's limit": "class Held(BaseModel):\n    most: int = Field(1, ge={})",
    "a nested field": "class Inner(BaseModel):\n    most: int = {}\nclass Held(BaseModel):\n    inner: Inner = Inner()",
    "a validator of a nested type": (
        "def checked(value):\n    return min(value, {})\n"
        "class Inner(BaseModel):\n    most: Annotated[int, AfterValidator(checked)] = 1\n"
        "class Held(BaseModel):\n    inner: list[Inner] = []"
    ),
    "a dataclass's default": "@dataclass\nclass Held:\n    most: int = {}",
    "a private attribute": "class Held:\n    _most = {}",
    "what makes an object": "class Held:\n    def __init__(self):\n        self.most = {}",
    "what compares objects": "class Held:\n    def __eq__(self, other):\n        return {}",
    "an inner class": "class Held:\n    class Inner:\n        most = {}",
    "a named tuple's default": "class Held(NamedTuple):\n    most: int = {}",
    "a constant that a default names": "MOST = {}\nclass Held:\n    most = field(default=MOST)",
}


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The digest of a metric whose module has this source."""
    numbers = itertools.count()

    def digest(source: str) -> str:
        file = tmp_path / f"edited{next(numbers)}.py"
        file.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("edited", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "edited", module)
        spec.loader.exec_module(module)
        return digest_of(module.metric)

    return digest


@pytest.mark.parametrize("source", EDITS.values(), ids=EDITS)
def test_all_that_a_class_says_counts(source, edited):
    around = (
        "from dataclasses import dataclass, field\nfrom typing import Annotated, NamedTuple\n"
        "from pydantic import AfterValidator, BaseModel, Field\n"
        "{}\ndef metric(right, said):\n    return Held() == said\n"
    )
    before, after = (around.format(source.format(value)) for value in (1, 2))
    assert edited(before) != edited(after)
    head, rest = before.split("class Held")
    documented = rest.replace(":\n    ", ':  # for now\n    "What is held."\n\n    ', 1)
    assert edited(before) == edited(f"{head}class Held{documented}")


def test_what_a_users_decorator_and_modules_do_counts(edited, monkeypatch):
    decorated = (
        "import functools\nclass Times:\n    def __init__(self, function):\n"
        "        functools.update_wrapper(self, function)\n        self.function = function\n"
        "    def __call__(self, *given):\n        return self.function(*given) * {}\n"
        "@Times\ndef metric(right, said):\n    return right == said\n"
    )
    assert edited(decorated.format(1)) != edited(decorated.format(2))
    helpers = ModuleType("helpers")
    monkeypatch.setitem(sys.modules, "helpers", helpers)
    using = "import helpers\ndef metric(right, said):\n    return helpers.score(right, said, helpers.MOST)\n"
    digests = set()
    for most, score in ((1, by_default(1)), (2, by_default(1)), (2, by_default(2))):
        helpers.MOST, helpers.score, helpers.unused = most, score, object()
        digests.add(edited(using))
    assert len(digests) == 3


def test_types_that_refuse_to_be_asked_what_is_theirs_are_read():
    class Row(TypedDict):
        colour: str

    class Judge(Protocol):
        def judge(self, said: str) -> float: ...

    assert digest_of(by_closure(Row)) != digest_of(by_closure(Judge))


def test_what_is_renewed_makes_no_other_metric(monkeypatch: pytest.MonkeyPatch):
    held = [Plain(1), Plain(1)]
    for key, one in zip("ab", held, strict=True):
        one.api_key, one.headers = key, ["name", "age"]
    assert digest_of(by_closure(held[0])) == digest_of(by_closure(held[1]))
    held[1].headers.append("city")
    assert digest_of(by_closure(held[0])) != digest_of(by_closure(held[1]))
    parts = [functools.partial(max, api_key=key) for key in "ab"]
    assert digest_of(by_closure(parts[0])) == digest_of(by_closure(parts[1]))
    assert digest_of_data({"password": "a"}) != digest_of_data({"password": "b"})
    before = digest_of(by_closure(os.environ))
    monkeypatch.setenv("ANOTHER_VARIABLE", "1")
    assert digest_of(by_closure(os.environ)) == before


def test_a_list_that_a_class_names_and_others_fill_makes_it_no_other_one(edited):
    source = (
        "SEEN = []\nclass Log:\n    def __init__(self, log=SEEN):\n        self.log = log\n"
        "{}def metric(right, said):\n    return Log() and right == said\n"
    )
    assert edited(source.format("")) == edited(source.format("SEEN.append(1)\n"))
