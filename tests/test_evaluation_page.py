"""The page of an evaluation: what it says, that it says no more than was seen, and that no text breaks out of it."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from fipo_model.evaluation.page import render_page
from fipo_model.evaluation.page.summary import summarize
from fipo_model.evaluation.results import Kept
from fipo_model.evaluation.statistics import Interval
from fipo_model.pages.changes import OUTCOME_WORDS, differences
from fipo_model.pages.figures import IntervalChart, ShareChart, ShareRow, span_of, ticks
from fipo_model.pages.numbers import percent, points, signed
from fipo_model.pages.rendering import environment
from fipo_model.types import Outcome
from support.evaluation_results import (
    MADE,
    MODEL,
    NOTHING,
    RESULTS,
    a_benchmark,
    a_gain,
    a_rewriting,
    a_system,
    an_example,
    interval,
)
from support.pages import HOSTILE, Page


def drawn(chart: IntervalChart | ShareChart) -> str:
    """A chart as it is on a page."""
    macros = environment().get_template("fipo_model.pages/figures.html.j2").module
    return str(macros.interval_chart(chart) if isinstance(chart, IntervalChart) else macros.share_chart(chart))


def chart_of(rows: list[tuple[str, Interval | None]], span: Any, say: Any) -> IntervalChart:
    return IntervalChart(caption="A caption.", rows=rows, span=span, reference=0.0, say=say)


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_shown_gain_is_said_with_its_interval_and_what_became_of_the_prompts() -> None:
    assert summarize(replace(RESULTS, golden_gain=[a_gain()])) == [
        f"Over 102 prompts (bpo, test model {MODEL}), the rewrites of “optimizer” changed the golden response's "
        "log-likelihood by +0.031 nats per token (95 % interval +0.012 to +0.050); 45 % became better, 20 % worse, "
        "35 % were left alone."
    ]


def test_the_summary_is_about_the_first_system_that_is_no_control_whatever_its_name() -> None:
    systems = {"twice": a_system("repeat"), "repeat": a_system("optimizer")}
    gains = [a_gain("twice", 0.04, 0.01, 0.07), a_gain("repeat")]
    sentence, other = summarize(replace(RESULTS, systems=systems, golden_gain=gains))
    assert "the rewrites of “repeat” changed" in sentence
    assert "“twice” changed it by +0.040" in other
    del systems["twice"]
    (alone,) = summarize(replace(RESULTS, systems=systems, golden_gain=gains[1:]))
    assert "the rewrites changed" in alone


def test_measurements_of_one_benchmark_are_told_apart() -> None:
    ways = [(level, scoring) for level in ("instance", "task") for scoring in ("likelihood", "letter")]
    rows = [a_benchmark(interval(0.01, -0.1, 0.1), level=level, scoring=scoring) for level, scoring in ways]
    results = replace(RESULTS, golden_gain=[], benchmarks=rows)
    _, *sentences = summarize(results)
    assert len(set(sentences)) == 4
    assert f"100 prompts of piqa (task, letter, test model {MODEL}), the rewrites" in sentences[-1]
    named = re.findall(r'class="name" dir="auto">(optimizer: [^<]*)<', render_page(results, []))
    assert named == [f"optimizer: piqa, {level}, {scoring}, {MODEL} (100)" for level, scoring in ways]


@pytest.mark.parametrize("bounds", [(-0.01, 0.05), (0.0, 0.05), (-0.05, 0.0)])
def test_an_interval_that_includes_nothing_shows_no_difference(bounds: tuple[float, float]) -> None:
    (sentence,) = summarize(replace(RESULTS, golden_gain=[a_gain("optimizer", sum(bounds) / 2, *bounds)]))
    assert sentence.startswith("No difference was shown: over 102 prompts")
    assert "which includes 0" in sentence


def test_a_loss_is_said_plainly() -> None:
    (sentence,) = summarize(replace(RESULTS, golden_gain=[a_gain("optimizer", -0.03, -0.05, -0.01)]))
    assert sentence.startswith("The rewrites of “optimizer” made prompts worse: over 102 prompts")
    assert "−0.030 nats per token (95 % interval −0.050 to −0.010)" in sentence


def test_several_measurements_are_counted_and_none_is_picked() -> None:
    rows = [a_gain(), replace(a_gain("optimizer", -0.03, -0.05, -0.01), data="dolly")]
    headline, *each = summarize(replace(RESULTS, golden_gain=rows))
    assert headline.startswith("“optimizer” was measured 2 times: better in 1, worse in 1.")
    assert len(each) == 2


def test_a_control_that_gains_no_less_is_named() -> None:
    rows = [a_gain(), a_gain("repeat", 0.04, 0.01, 0.07), a_gain("identity", 0.0, 0.0, 0.0)]
    _, other = summarize(replace(RESULTS, golden_gain=rows))
    assert other == f"On the same prompts (bpo, {MODEL}), “repeat” changed it by +0.040, no less than this."


def test_without_a_gain_the_summary_says_what_was_not_measured() -> None:
    assert summarize(NOTHING) == ["Nothing was measured."]
    (rewritten,) = summarize(replace(NOTHING, rewriting=[a_rewriting()]))
    assert rewritten.startswith("Of 102 prompts (bpo), 70 were rewritten by “optimizer” and 32 left alone; whether")
    (worse,) = summarize(replace(RESULTS, golden_gain=[]))
    assert worse.startswith("The rewrites of “optimizer” made prompts worse: over 100 prompts of piqa")
    assert "by −10.0 percentage points" in worse
    (preferred,) = summarize(replace(RESULTS, golden_gain=[], benchmarks=[]))
    assert "“optimizer” found the better of two prompts in 60 %" in preferred
    assert "no more than chance would explain" in preferred
    assert preferred.endswith("whether rewrites help was not measured.")


def test_a_mean_over_nothing_is_not_a_finding() -> None:
    nothing = replace(a_gain("optimizer", float("nan"), float("nan"), float("nan")), rows=0)
    results = replace(RESULTS, golden_gain=[nothing])
    assert "could not be compared" in summarize(results)[0]
    assert "nan" not in render_page(results, [])


def test_figures_tables_and_settings_need_no_script() -> None:
    text = render_page(RESULTS, [an_example()])
    page = Page(text)
    for part in (
        "An evaluation",
        "rewritten",
        "turned down: lacks or changes a number, its unit or what it counts",
        "placeholders",
        "data.rows",
        "102",
    ):
        assert part in page.texts
    assert "+0.031 (+0.012 to +0.050)" in page.texts
    assert "−10.0 (−15.0 to −5.0)" in page.texts
    assert "urls" not in page.texts  # there was none to keep
    labels = [attributes["aria-label"] for attributes in page.tags("svg") if attributes.get("role") == "img"]
    assert len(labels) == 7
    assert all(labels)
    assert "better: 45 %, left alone: 35 %, worse: 20 %" in labels
    assert page.tags("noscript")


def test_what_was_not_measured_is_said_in_a_sentence() -> None:
    page = render_page(NOTHING, [])
    assert page.count(" not measured.</p>") == 6


def test_every_control_has_a_label_and_every_link_a_target() -> None:
    page = Page(render_page(RESULTS, [an_example()]))
    labelled = {attributes["for"] for attributes in page.tags("label")}
    fields = {attributes["id"] for attributes in (*page.tags("input"), *page.tags("select"))}
    assert labelled == fields == {"search", "system", "data", "outcome", "model"}
    targets = {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}
    links = {attributes["href"] for attributes in page.tags("a")}
    assert links <= targets
    assert len(links) == 8


def test_no_text_breaks_out_of_its_place() -> None:
    example = an_example(HOSTILE, system=HOSTILE, naive=HOSTILE, text=f"{HOSTILE} more", gain=0.1)
    example = replace(example, detail=HOSTILE, context=HOSTILE, golden_response=HOSTILE, outcome=HOSTILE)
    results = replace(
        RESULTS,
        title=HOSTILE,
        systems={HOSTILE: replace(a_system(words=HOSTILE), model=HOSTILE, template=HOSTILE)},
        golden_gain=[replace(a_gain(HOSTILE), data=HOSTILE, left_out={HOSTILE: 1}, test_model=HOSTILE)],
        rewriting=[
            replace(a_rewriting(HOSTILE), outcomes={HOSTILE: 1}, kept={HOSTILE: Kept(of=1, proposed=1, final=1)})
        ],
        benchmarks=[a_benchmark(interval(-0.1, -0.15, -0.05), benchmark=HOSTILE, level=HOSTILE)],
        made=replace(MADE, settings={HOSTILE: HOSTILE}),
    )
    text = render_page(results, [example])
    page, plain = Page(text), Page(render_page(RESULTS, [an_example()]))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    assert len(page.tags("script")) == 2
    assert HOSTILE in page.texts
    (found,) = embedded(text)["examples"]
    assert found["id"] == found["detail"] == found["context"] == found["golden"] == HOSTILE
    assert found["change"] == [["=", HOSTILE], ["+", " more"]]


def test_half_a_surrogate_pair_can_be_written(tmp_path: Path) -> None:
    page = render_page(replace(RESULTS, title="half \ud83d"), [an_example(text="half \ud83d")])
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert embedded(page)["examples"][0]["change"][-1] == ["+", "half \ud83d"]


def test_the_page_names_nothing_outside_itself_and_lets_only_its_own_script_run() -> None:
    text = render_page(RESULTS, [an_example()])
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert all(
        str(value).startswith("#") for _, given in page.elements for key, value in given.items() if key == "href"
    )
    assert not [key for _, given in page.elements for key in given if key == "src" or key.startswith("on")]
    policy = next(given["content"] for given in page.tags("meta") if "http-equiv" in given)
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    assert policy == f"default-src 'none'; {allowed}; form-action 'none'"


def test_the_same_results_give_the_same_page() -> None:
    shown = [an_example(str(i), gain=i / 7) for i in range(30)]
    assert render_page(RESULTS, shown) == render_page(RESULTS, shown)


def test_a_proposal_is_told_apart_from_the_prompt_to_use() -> None:
    kept = replace(an_example(text="Tell me about rivers."), proposed="Name rivers.", outcome="off_topic")
    data = embedded(render_page(RESULTS, [kept, an_example()]))
    turned_down, accepted = data["examples"]
    assert turned_down["change"] == [["=", "Tell me about rivers."]]
    assert "".join(text for sign, text in turned_down["proposed"] if sign != "-") == "Name rivers."
    assert accepted["proposed"] is None
    assert data["words"] == {
        "off_topic": "turned down: shares hardly any content words with your prompt",
        "optimized": "rewritten",
    }


def test_a_gain_that_is_not_finite_does_not_break_the_data() -> None:
    data = embedded(render_page(RESULTS, [an_example(gain=float("-inf"))]))
    assert data["examples"][0]["gains"] == {MODEL: None}


DIFFERENT = [
    ("Tell me about rivers.", "Tell me about the Rhine.", "Tell me about [-rivers][+the Rhine]."),
    ("Explain rain", "Explain rain to a child", "Explain rain[+ to a child]"),
    ("a  b\n", "a b", "a[-  ][+ ]b[-\n]"),
    ("", "new", "[+new]"),
    ("same", "same", "same"),
    ("雨を説明", "雪を説明", "[-雨][+雪]を説明"),
]


@pytest.mark.parametrize(("before", "after", "marked"), DIFFERENT)
def test_differences_are_words(before: str, after: str, marked: str) -> None:
    pieces = differences(before, after)
    assert "".join(text if sign == "=" else f"[{sign}{text}]" for sign, text in pieces) == marked


def test_differences_of_very_long_prompts_hold_both_texts_too() -> None:
    book = " ".join(f"word{i % 50} and" for i in range(3000))
    before, after = f"Begin. {book} End.", f"Begin. Please: {book[200:]} {HOSTILE} End."
    pieces = differences(before, after)
    assert "".join(text for sign, text in pieces if sign != "+") == before
    assert "".join(text for sign, text in pieces if sign != "-") == after
    assert (pieces[0], pieces[-1]) == (("=", "Begin. "), ("=", " End."))
    assert differences(book, f"{book} more") == [("=", book), ("+", " more")]


def test_every_outcome_has_words() -> None:
    assert set(OUTCOME_WORDS) == set(get_args(Outcome))


def test_a_number_never_loses_its_sign_or_becomes_nothing() -> None:
    assert [signed(x) for x in (0, 0.0312, -0.0312, 0.00004, -0.0004)] == [
        "0",
        "+0.031",
        "−0.031",
        "+0.00004",
        "−0.0004",
    ]
    assert [percent(x) for x in (0, 0.001, 0.5, 0.998, 1)] == ["0 %", "under 1 %", "50 %", "over 99 %", "100 %"]
    assert [points(x) for x in (0, 0.02, -0.02, 0.0002)] == ["0", "+2.0", "−2.0", "+0.02"]


def test_ticks_are_round_few_and_within_the_span() -> None:
    assert ticks((-0.02, 0.05)) == [-0.02, 0.0, 0.02, 0.04]
    assert ticks((0.0, 1.0)) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    for width in (1e-6, 0.003, 7.0, 12345.0):
        marks = ticks((-width / 3, width))
        assert 0.0 in marks
        assert 2 <= len(marks) <= 8
        assert all(-width / 3 <= mark <= width * (1 + 1e-9) for mark in marks)


@pytest.mark.parametrize(
    ("span", "say", "labels"),
    [
        ((-0.0007, 0.0013), signed, ["0", "+0.001"]),
        ((0.38, 0.5), percent, ["40 %", "45 %"]),
        ((-0.001, 0.011), points, ["0", "+0.5", "+1.0"]),
        ((-0.02, 0.05), signed, ["0", "+0.020", "+0.040"]),
    ],
)
def test_a_tick_without_a_text_that_stands_for_it_is_not_drawn(span: Any, say: Any, labels: list[str]) -> None:
    chart = chart_of([("a", None)], span, say)
    assert re.findall(r'text-anchor="middle">([^<]*)<', drawn(chart)) == labels


def test_a_span_holds_every_interval_and_the_line_of_reference() -> None:
    assert span_of([interval(0.3, 0.2, 0.4), None], reference=0.0) == (0.0, 0.4)
    low, high = span_of([], reference=0.0, least=0.02)
    assert (low, high) == (-0.01, 0.01)


def test_dots_say_on_which_side_of_the_line_an_interval_lies() -> None:
    rows = [("up", interval(2, 1, 3)), ("down", interval(-2, -3, -1)), ("both", interval(0, -1, 1)), ("none", None)]
    text = drawn(chart_of(rows, (-4.0, 4.0), signed))
    found = re.findall(r'class="strip (\w+)" role="img" aria-label="([^"]*)"', text)
    words = ("is above", "is below", "includes")
    expected = [f"The 95 % interval {word} 0." for word in words]
    assert found == list(zip(("good", "bad", "open"), expected, strict=True))
    assert re.findall(r'<circle cx="([^"]*)"', text) == ["73.50%", "26.50%", "50.00%"]
    assert "not measured" in text


def test_bars_stand_side_by_side() -> None:
    rows = [ShareRow("a <row>", {"yes": 0.25, "no": 0.75}, "a sentence")]
    text = drawn(ShareChart(caption="A caption.", rows=rows, kinds={"yes": "good", "no": "bad"}))
    assert re.findall(r'<rect class="(\w+)" x="([^"]*)" width="([^"]*)"', text) == [
        ("good", "0.00%", "25.00%"),
        ("bad", "25.00%", "75.00%"),
    ]
    assert "a &lt;row&gt;" in text
