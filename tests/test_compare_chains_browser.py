"""The page of a comparison in a real browser: it finds, sorts and filters, and runs nothing that it shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from fipo_model.comparing.chains import counting
from fipo_model.comparing.chains.page import render_page
from support.browsing import count, find, ids, search
from support.chains import a_run
from support.pages import HOSTILE

pytestmark = pytest.mark.browser


def results() -> dict[str, Any]:
    """25 rows: a hostile one that became worse, one that failed, three that became better, and 20 that stayed."""
    rows = [a_row(f"s{i}", 1, 1) for i in range(17)] + [a_row(f"r{i}", 0, i % 2) for i in range(6)]
    rows += [a_row("<i>odd</i>", 1, 0, text=HOSTILE), a_row("broken", 1, None)]
    change = {"where": "first.prompt.template", "naive": f"Say it. {HOSTILE}", "text": f"Say it briefly. {HOSTILE}"}
    made = {
        **{"started": "2026-11-23T02:00:00Z", "seconds": 12.5, "commit": None, "seed": 7},
        "versions": {"fipo": "0.1.0"},
        "hardware": {"cpu": "a processor", "cores": 2, "gpu": None},
        "settings": {"batch_size": 8, "chain": "chains.py:chain"},
    }
    prompts = {"texts": 1, "rewritten": 1, "words": {"original": 2, "optimized": 3}, "length_ratio": 1.5}
    return {
        "title": HOSTILE,
        "summary": {
            **{"chain": "chains.py:chain", "metric": "exact", "prompts": prompts},
            **counting.summarize(rows, seed=0),
        },
        "report": {
            "changes": [{**change, "outcome": "optimized", "detail": HOSTILE, "candidates": []}],
            "unreached": [{"where": "last", "reason": HOSTILE}],
        },
        "optimizer": {"model": "a-model", "template": "fipo-1"},
        "bad_rows": [f"line 9: {HOSTILE}"],
        "made": made,
        "rows": rows,
    }


def a_row(name: str, before: float, after: float | None, *, text: str = "A river.") -> dict[str, Any]:
    run = {"original": a_run(before, output=text), "optimized": a_run(after, output={"said": f"{text} {name}"})}
    if after is None:
        run["optimized"]["error"] = f"ValueError: {HOSTILE}"
    inputs = {"input": {"country": f"of {name}", "nested": text}, "reference": f"{text} Truly {name}"}
    return {"id": name, "line": 3, **inputs, "runs": [run], "seconds_alone": {"original": 1.0, "optimized": 1.5}}


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Any:
    file = tmp_path / "report.html"
    file.write_text(render_page(results()), encoding="utf-8")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # reading empties it
    browser.get(file.as_uri())
    return browser


def test_a_search_finds_inputs_references_outputs_and_errors(page: Any) -> None:
    search(page, "OF R3", "1 of 25 rows", first="r3")
    search(page, "truly r4", "1 of 25 rows", first="r4")
    search(page, '"said":"a river. s4', "0 of 25 rows")
    search(page, '"said": "a river. s4"', "1 of 25 rows", first="s4")
    search(page, "valueerror", "1 of 25 rows", first="broken")
    search(page, "nowhere to be found", "0 of 25 rows")
    assert not find(page, "#more").is_displayed()


def test_the_worst_come_first_and_buttons_and_the_filter_change_the_list(page: Any) -> None:
    assert ids(page)[:3] == ["<i>odd</i>", "broken", "r0"]  # then those that were and stay wrong
    assert count(page) == "25 of 25 rows, the first 20 listed"
    find(page, "[data-order=best]").click()
    assert ids(page)[:3] == ["r1", "r3", "r5"]
    find(page, "[data-order=file]").click()
    assert ids(page)[:2] == ["s0", "s1"]
    find(page, "#change option[value='=better']").click()
    assert (count(page), ids(page)) == ("3 of 25 rows", ["r1", "r3", "r5"])
    assert "better (+100.0 points)" in find(page, "#list h3").text
    find(page, "#change option[value='=failed']").click()
    assert ids(page) == ["broken"]
    assert find(page, "#list .failed").text.startswith("ValueError: </script>")


def test_a_failure_on_a_scale_of_its_own_is_no_gain_and_comes_last(browser: Any, tmp_path: Path) -> None:
    measured = results()
    rows = [a_row("failed", -5, None), a_row("better", -5, -4), a_row("worse", -5, -6)]
    measured |= {"rows": rows, "summary": measured["summary"] | counting.summarize(rows, seed=0)}
    (tmp_path / "page.html").write_text(render_page(measured), encoding="utf-8")
    browser.get((tmp_path / "page.html").as_uri())
    assert ids(browser) == ["worse", "better", "failed"]
    find(browser, "[data-order=best]").click()
    assert ids(browser) == ["better", "worse", "failed"]
    titles = browser.execute_script("return [...document.querySelectorAll('#list h3')].map(e => e.textContent)")
    assert titles[-1].endswith("line 3 \u00b7 failed")


def test_more_rows_are_shown_when_asked_for(page: Any) -> None:
    find(page, "#more").send_keys("\ue007")  # Enter: the keyboard is enough
    assert len(ids(page)) == 25
    assert not find(page, "#more").is_displayed()


def test_hostile_texts_are_shown_and_nothing_else_happens(page: Any) -> None:
    search(page, "odd", "1 of 25 rows", first="<i>odd</i>")
    shown = page.execute_script("return [...document.querySelectorAll('#list .text')].map(e => e.textContent)")
    output = json.dumps({"said": f"{HOSTILE} <i>odd</i>"}, ensure_ascii=False)
    assert shown == [f"country: of <i>odd</i>\nnested: {HOSTILE}", f"{HOSTILE} Truly <i>odd</i>", HOSTILE, output]
    assert page.execute_script("return document.querySelectorAll('img, iframe, i, b').length") == 0
    assert page.execute_script("return document.scripts.length") == 2
    assert page.execute_script("return window.injected") is None
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert sent == [page.current_url]


def test_nothing_scrolls_sideways_on_a_phone(page: Any) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        assert page.execute_script("return [innerWidth, document.scrollingElement.scrollWidth]") == [390, 390]
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_comparison_without_rows_says_so(browser: Any, tmp_path: Path) -> None:
    nothing = results()
    nothing["rows"] = []
    prompts = {**nothing["summary"]["prompts"], "rewritten": 0}
    nothing["summary"] = {"chain": "c", "metric": "exact", "prompts": prompts, "verdict": "nothing rewritten"}
    (tmp_path / "page.html").write_text(render_page(nothing), encoding="utf-8")
    browser.get((tmp_path / "page.html").as_uri())
    assert count(browser) == "No row was run."
    assert not find(browser, "#controls").is_displayed()
