"""What an evaluation of an optimizer and its control found, for the tests of its page."""

from dataclasses import replace

from fipo_model.evaluation.results import (
    BenchmarkAccuracy,
    Example,
    GoldenGain,
    Hardware,
    Kept,
    Leaked,
    Made,
    PreferenceAccuracy,
    Results,
    Rewriting,
    Seconds,
    SystemDescription,
)
from fipo_model.evaluation.statistics import Interval

MODEL = "small-model"


def interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


def a_gain(system: str = "optimizer", value: float = 0.031, low: float = 0.012, high: float = 0.05) -> GoldenGain:
    return GoldenGain(
        system=system,
        data="bpo",
        test_model=MODEL,
        rows=102,
        gain=interval(value, low, high),
        better=interval(0.45, 0.36, 0.54),
        worse=interval(0.2, 0.13, 0.28),
        unchanged=0.35,
        left_out={"no golden response": 3},
    )


def a_rewriting(system: str = "optimizer") -> Rewriting:
    return Rewriting(
        system=system,
        data="bpo",
        rows=102,
        outcomes={"optimized": 70, "number_lost": 32},
        rewritten=interval(0.69, 0.6, 0.77),
        kept={"placeholders": Kept(of=12, proposed=11, final=12), "urls": Kept(of=0, proposed=0, final=0)},
        length_ratio=None,
        leaked=Leaked(of=99, leaks=1),
        seconds=Seconds(p50=1.25, p95=2.0),
    )


def a_preference() -> PreferenceAccuracy:
    accuracy = interval(0.6, 0.4, 0.8)
    return PreferenceAccuracy(system="optimizer", data="bpo", rows=9, accuracy=accuracy, left_out={})


def a_benchmark(
    difference: Interval, *, level: str = "instance", scoring: str = "likelihood", benchmark: str = "piqa"
) -> BenchmarkAccuracy:
    return BenchmarkAccuracy(
        system="optimizer",
        benchmark=benchmark,
        level=level,
        scoring=scoring,
        test_model=MODEL,
        rows=100,
        naive=interval(0.6, 0.5, 0.7),
        optimized=interval(0.5, 0.4, 0.6),
        difference=difference,
        outcomes={"optimized": 60, "unchanged": 40},
        leaks=0,
    )


def a_system(kind: str = "optimizer", words: str = "A sentence.") -> SystemDescription:
    return SystemDescription(kind=kind, what=words, model="a-model", template="fipo-2")


MADE = Made(
    started="2026-11-22T22:00:00Z",
    seconds=512.3,
    commit=None,
    versions={"fipo": "0.1.0", "torch": "2.13.0"},
    hardware=Hardware(cpu="a processor", cores=2, gpu=None),
    seed=7,
    settings={"data": {"rows": 102, "files": ["a.jsonl", "b.jsonl"]}, "judge": None, "strict": True},
)
RESULTS = Results(
    title="An evaluation",
    systems={"repeat": a_system("repeat"), "optimizer": a_system()},
    rewriting=[a_rewriting()],
    golden_gain=[a_gain(), a_gain("repeat", 0.0, 0.0, 0.0)],
    preference=[a_preference()],
    benchmarks=[a_benchmark(interval(-0.1, -0.15, -0.05))],
    bad_rows={},
    made=MADE,
)
NOTHING = replace(RESULTS, rewriting=[], golden_gain=[], preference=[], benchmarks=[])


def an_example(
    name: str = "e1",
    *,
    system: str = "optimizer",
    naive: str = "Tell me about rivers.",
    text: str = "Tell me about the Rhine.",
    gain: float | None = None,
) -> Example:
    return Example(
        id=name,
        system=system,
        data="bpo",
        naive=naive,
        text=text,
        proposed=text,
        outcome="optimized",
        detail="",
        context=None,
        golden_response=None,
        gains={} if gain is None else {MODEL: gain},
    )
