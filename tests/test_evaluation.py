"""The parts of an evaluation that need no model: intervals, what is kept on disk, what is counted."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fipo_model.data.records import Record
from fipo_model.data.split import is_held_out
from fipo_model.errors import InputError
from fipo_model.evaluation import measures, statistics
from fipo_model.evaluation.results import (
    BenchmarkAccuracy,
    GoldenGain,
    Kept,
    Leaked,
    PreferenceAccuracy,
    Results,
    Rewriting,
    Seconds,
)
from fipo_model.evaluation.settings import EvaluationSettings, SystemSettings
from fipo_model.evaluation.summary import summary, verdict
from fipo_model.evaluation.systems import System
from fipo_model.jobs import completed
from fipo_model.optimizer import PromptOptimizer
from fipo_model.recipes import read
from fipo_model.testing import ScriptedGenerator


class TestIntervals:
    def test_of_a_mean_covers_the_true_mean_as_often_as_it_says(self):
        source = random.Random(1)
        covered = 0
        for draw in range(200):
            found = statistics.mean([source.gauss(0.3, 1.0) for _ in range(60)], seed=draw)
            assert found.low < found.value < found.high
            covered += found.low <= 0.3 <= found.high
        assert 0.90 <= covered / 200 <= 0.99

    def test_of_a_mean_is_reproduced_by_its_seed(self):
        values = [random.Random(2).gauss(0, 1) for _ in range(30)]
        values = [value + index for index, value in enumerate(values)]
        assert statistics.mean(values, seed=4) == statistics.mean(values, seed=4)
        assert statistics.mean(values, seed=4) != statistics.mean(values, seed=5)

    def test_of_equal_values_has_no_width_and_of_one_value_is_refused(self):
        assert statistics.mean([0.5, 0.5, 0.5]) == statistics.Interval(value=0.5, low=0.5, high=0.5)
        with pytest.raises(InputError, match="at least two"):
            statistics.mean([0.5])

    @pytest.mark.parametrize("values", [[1 - 2 / 3, 2 / 3 - 1 / 3] * 5, [0.5 - 0.4] * 9 + [0.3 - 0.2], [0, 1e-120, 0]])
    def test_of_values_that_differ_by_rounding_has_no_width(self, values):
        found = statistics.mean(values)
        assert found.low == found.value == found.high == pytest.approx(values[0])

    def test_of_a_share_has_a_width_where_nothing_happened(self):
        # Wilson's interval for 0 of 10, as in the literature: [0, 0.2775].
        found = statistics.share(0, 10)
        assert (found.value, found.low) == (0, 0)
        assert found.high == pytest.approx(0.2775, abs=1e-4)
        with pytest.raises(InputError, match="at least one"):
            statistics.share(0, 0)


class TestLedger:
    @settings(max_examples=50)
    @given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 12))
    def test_goes_on_where_it_was_killed(self, tmp_path_factory, items, at_once, calls_before_the_kill):
        path = tmp_path_factory.mktemp("ledger") / "sub" / "file.jsonl"
        wanted = {f"key {index}\n": index for index in range(items)}
        asked = []

        def compute(batch):
            if len(asked) == calls_before_the_kill:
                raise KeyboardInterrupt
            asked.append(list(batch))
            return [{"square": number * number} for number in batch]

        for _ in range(2):
            try:
                found = completed(path, wanted, compute, at_once=at_once)
            except KeyboardInterrupt:
                calls_before_the_kill = -1  # and the next attempt is left alone
        assert found == {key: {"square": number * number} for key, number in wanted.items()}
        assert list(found) == list(wanted)
        assert sorted(number for batch in asked for number in batch) == list(range(items))  # nothing was computed twice

    def test_a_half_written_line_is_computed_again(self, tmp_path):
        path = tmp_path / "file.jsonl"
        path.write_bytes(b'{"key": "a", "n": 1}\n{"key": "b", "n"')
        assert completed(path, {"a": 0, "b": 0}, lambda batch: [{"n": 2}]) == {"a": {"n": 1}, "b": {"n": 2}}
        assert path.read_bytes() == b'{"key": "a", "n": 1}\n{"key": "b", "n": 2}\n'


RECORDS = {
    "numbers": Record(id="numbers", instruction="Add 3 and 4.", golden_response="The sum is 7.", chosen="Add 3 to 4."),
    "url": Record(id="url", instruction="Open https://example.org/a for {name}.", rejected="Open it for me."),
}


def rewrites(**texts):
    naive = {key: record.instruction for key, record in RECORDS.items()}
    return {
        key: {"outcome": "optimized" if text != naive[key] else "unchanged", "text": text, "proposed": text}
        for key, text in {**naive, **texts}.items()
    }


def counted(made):
    return measures.count_rewriting(RECORDS, made, system="ours", data="bpo", seconds=None, seed=0)


class TestCounts:
    def test_what_is_kept_is_counted_among_the_prompts_that_have_it(self):
        made = rewrites(numbers="Add 3 and 5, please.")
        made["url"] |= {"proposed": "Open https://example.org/b for {name}.", "outcome": "url_lost"}
        found = counted(made)
        assert found.kept["numbers"] == Kept(of=1, proposed=0, final=0)
        assert found.kept["urls"] == Kept(of=1, proposed=0, final=1)
        assert found.kept["placeholders"] == Kept(of=1, proposed=1, final=1)
        assert found.kept["code"].of == 0
        assert found.outcomes == {"optimized": 1, "url_lost": 1}
        assert found.rewritten.value == 0.5

    def test_an_answer_in_the_prompt_is_a_leak(self):
        assert counted(rewrites(numbers="Add 3 and 4. The sum is 7.")).leaked == Leaked(of=1, leaks=1)
        assert counted(rewrites()).leaked.leaks == 0

    def test_gains_are_paired_and_what_is_left_out_has_a_reason(self):
        key = measures.likelihood_key
        measured = {key("numbers", "Add 3 and 4."): {"value": -2.0}, key("numbers", "Sum 3, 4"): {"value": -1.5}}
        assert measures.find_gains(RECORDS, rewrites(numbers="Sum 3, 4"), measured) == (
            {"numbers": 0.5},
            {"no golden response": 1},
        )
        measured[key("numbers", "Sum 3, 4")] = {"error": "too long"}
        assert measures.find_gains(RECORDS, rewrites(numbers="Sum 3, 4"), measured)[1]["too long"] == 1

    def test_a_golden_gain_counts_better_worse_and_unchanged(self):
        named = {"system": "ours", "data": "bpo", "test_model": "m", "seed": 0}
        found = measures.count_gains({"a": 0.5, "b": -0.1, "c": 0.0, "d": 0.2}, {}, **named)
        assert found.gain.value == pytest.approx(0.15)
        assert (found.better.value, found.worse.value) == (0.5, 0.25)
        assert found.unchanged == 0.25
        assert measures.count_gains({"a": 0.5}, {}, **named) is None

    def test_pairs_take_the_rejected_rewrite_from_a_system_where_the_record_has_none(self):
        made = rewrites(numbers="Add numbers.")
        assert measures.find_pairs(RECORDS, made)[0] == {"numbers": ("Add 3 to 4.", "Add numbers.")}
        assert measures.find_pairs(RECORDS, None) == (
            {},
            {"no rejected rewrite": 1, "no chosen rewrite": 1},
        )

    def test_a_pair_that_is_too_long_is_left_out_of_the_preference_accuracy(self):
        found = {"a": {"margin": 0.5}, "b": {"error": "too long"}, "c": {"margin": -0.5}}
        accuracy = measures.count_preferred(found, {"no chosen rewrite": 2}, system="ours", data="bpo")
        assert (accuracy.rows, accuracy.accuracy.value) == (2, 0.5)
        assert accuracy.left_out == {"no chosen rewrite": 2, "too long": 1}
        assert measures.count_preferred({"b": found["b"]}, {}, system="ours", data="bpo") is None


def test_the_95th_percentile_of_times_is_never_longer_than_the_longest(monkeypatch):
    system = System("ours", SystemSettings(), 0)
    monkeypatch.setattr(system, "_optimizer", PromptOptimizer(ScriptedGenerator(lambda _: "Rewritten.")))
    clock = iter([0, 1, 10, 12, 20, 23])  # one, two and three seconds
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert system.time([RECORDS["numbers"]] * 3) == {"p50": 2, "p95": pytest.approx(2.9)}


class TestControls:
    def test_say_what_they_are_and_leave_or_repeat_or_take_the_reference(self):
        def text(kind):
            return System("control", SystemSettings(kind=kind), 0).rewrite([RECORDS["numbers"]])[0]["text"]

        assert text("identity") == "Add 3 and 4."
        assert text("repeat") == "Add 3 and 4.\n\nAdd 3 and 4."
        assert text("reference") == "Add 3 to 4."

    def test_a_missing_reference_is_no_rewrite(self):
        (found,) = System("control", SystemSettings(kind="reference"), 0).rewrite([RECORDS["url"]])
        assert (found["outcome"], found["text"]) == ("error", RECORDS["url"].instruction)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('output = "x"\ndata = {}\nsystems = {}', "at least one data set"),
        ('output = "x"\npreference = "y"\ndata.d.path = "f"\nsystems.s.kind = "identity"', "no system 'y'"),
        ('output = "x"\ndata.d.path = "f"\nsystems.s.kind = "idle"', "systems.s.kind"),
        ('output = "x"\ndata.d = {path = "f", held_out = 2.0}\nsystems.s = {}', "held_out"),
        ('output = "x"\ndata.d.path = "f"\nsystems.s = {kind = "repeat", model = "m"}', "has no model"),
        ('output = "x"\ndata.d.path = "f"\nsystems.s = {kind = "repeat", candidates = 8}', "and so no candidates"),
        ('output = "x"\ndata.d.path = "f"\nsystems.s = {}\nbenchmarks.limit = 0', "limit must be at least 1"),
        ('output = "x"\ndata.d.path = "f"\nsystems.naive.kind = "identity"', "cannot be called 'naive'"),
        ('output = "x"\ndata."a/b".path = "f"\nsystems.s = {}', "cannot be called 'a/b'"),
        ('output = "x"\nspeed = 3\ndata.d.path = "f"\nsystems.s = {}', "speed: there is no such setting"),
    ],
)
def test_recipes_that_cannot_be_used_are_refused_with_the_reason(tmp_path, recipe, message):
    path = tmp_path / "eval.toml"
    path.write_text(recipe)
    with pytest.raises(InputError, match=message):
        read(path, EvaluationSettings)


def test_the_recipe_that_comes_along_can_be_used():
    settings = read(Path(__file__).parents[1] / "examples" / "recipes" / "eval.toml", EvaluationSettings)
    assert {system.kind for system in settings.systems.values()} == {"optimizer", "repeat", "reference"}
    assert settings.data["bpo"].held_out == settings.data["oneprompted"].held_out
    settings = read(Path(__file__).parents[1] / "examples" / "recipes" / "eval-tasks.toml", EvaluationSettings)
    assert settings.tasks is not None
    assert set(settings.systems) == {"optimizer", "untrained"}


def test_the_held_out_part_is_the_share_asked_for_and_the_same_for_everyone():
    ids = [f"record {number}" for number in range(4000)]
    kept = [record for record in ids if is_held_out(record, 0.35, 0)]
    assert 0.32 < len(kept) / len(ids) < 0.38
    assert set(kept) <= {record for record in ids if is_held_out(record, 0.5, 0)}
    assert kept != [record for record in ids if is_held_out(record, 0.35, 1)]


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.01, 0.2, "better"), (-0.2, -0.01, "worse"), (-0.1, 0.1, "no difference shown")]
)
def test_no_more_is_claimed_than_an_interval_allows(low, high, said):
    assert said in verdict(statistics.Interval(value=0.0, low=low, high=high))


def test_the_summary_has_a_line_for_every_figure():
    interval = statistics.Interval(value=0.5, low=0.4, high=0.6)
    of = {"system": "ours", "data": "bpo", "rows": 9}
    nothing = {"systems": {}, "bad_rows": {}, "made": None}
    results = Results(
        title="Ours",
        rewriting=[
            Rewriting(
                **of,
                outcomes={},
                rewritten=interval,
                kept={"urls": Kept(of=2, proposed=1, final=2)},
                length_ratio=None,
                leaked=Leaked(of=0, leaks=0),
                seconds=Seconds(p50=1.5, p95=2.0),
            )
        ],
        golden_gain=[
            GoldenGain(
                **of,
                test_model="m",
                gain=interval,
                better=interval,
                worse=interval,
                unchanged=0.0,
                left_out={},
            )
        ],
        preference=[PreferenceAccuracy(**of, accuracy=interval, left_out={})],
        benchmarks=[
            BenchmarkAccuracy(
                **{"system": "ours", "rows": 9, "benchmark": "piqa", "level": "instance", "scoring": "letter"},
                test_model="m",
                naive=interval,
                optimized=interval,
                difference=interval,
                outcomes={},
                leaks=0,
            )
        ],
        **nothing,
    )
    lines = list(summary(results))
    assert len(lines) == 4
    assert "urls 1/2" in lines[0]
    assert "1.50 s" in lines[0]
    assert "[+0.4000, +0.6000]" in lines[1]


@pytest.mark.parametrize("told", [{"model": ""}, {"adapter": ""}, {"template": ""}, {"judge": True}])
def test_a_control_is_told_nothing_that_only_a_model_could_heed(told):
    with pytest.raises(ValueError, match="a control of the kind repeat has no model"):
        SystemSettings(kind="repeat", **told)
