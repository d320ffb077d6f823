"""The page of an evaluation in a real browser: it finds, sorts and filters, runs nothing it shows, and asks nobody."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fipo_model.evaluation.page import render_page
from fipo_model.evaluation.results import Example
from support.browsing import count, find, ids, search
from support.evaluation_results import MODEL, RESULTS, an_example
from support.pages import HOSTILE

pytestmark = pytest.mark.browser


def examples() -> list[Example]:
    """45 of two systems with known gains, one of them hostile and the worst, one without a gain."""
    made = [
        an_example(
            f"e{i}", system="optimizer" if i % 3 else "repeat", text=f"Tell me about the Rhine {i}.", gain=i / 100
        )
        for i in range(43)
    ]
    made[7] = replace(made[7], text=made[7].naive, proposed="Say 7 zebras.", outcome="number_lost", detail="2026")
    hostile = an_example("<i>odd</i>", naive=HOSTILE, text=f"{HOSTILE} more", gain=-1.0)
    hostile = replace(hostile, detail=HOSTILE, context=HOSTILE, golden_response=HOSTILE)
    return [*made, an_example("no gain"), hostile]


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Any:
    return opened(browser, tmp_path, examples())


def opened(browser: Any, directory: Path, shown: list[Example]) -> Any:
    file = directory / "page.html"
    file.write_text(render_page(RESULTS, shown), encoding="utf-8")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # reading empties it
    browser.get(file.as_uri())
    return browser


def choose(page: Any, select: str, value: str) -> None:
    find(page, f"#{select} option[value='{value}']").click()


def test_the_worst_come_first_and_buttons_change_the_order(page: Any) -> None:
    assert ids(page)[:3] == ["<i>odd</i>", "e0", "e1"]
    assert find(page, "[data-order=worst]").get_attribute("aria-pressed") == "true"
    find(page, "[data-order=best]").click()
    assert ids(page)[:2] == ["e42", "e41"]
    assert find(page, "[data-order=worst]").get_attribute("aria-pressed") == "false"
    choose(page, "system", "=optimizer")
    find(page, "[data-order=file]").click()
    assert ids(page)[:3] == ["e1", "e2", "e4"]


def test_a_search_finds_words_anywhere_in_an_example(page: Any) -> None:
    search(page, "RHINE 41", "1 of 45 examples", first="e41")
    search(page, "zebras", "1 of 45 examples", first="e7")
    search(page, "nowhere to be found", "0 of 45 examples")
    assert not find(page, "#more").is_displayed()
    search(page, "rhine 4", "4 of 45 examples", first="e4")
    assert ids(page) == ["e4", "e40", "e41", "e42"]


def test_filters_narrow_the_list_and_say_how_many_are_left(page: Any) -> None:
    choose(page, "system", "=repeat")
    assert count(page) == "15 of 45 examples"
    choose(page, "system", "")
    choose(page, "outcome", "=number_lost")
    assert (count(page), ids(page)) == ("1 of 45 examples", ["e7"])
    assert "lacks or changes a number, its unit or what it counts (2026)" in find(page, "#list .outcome").text
    assert "Proposed and turned down" in find(page, "#list").text


def test_more_are_shown_when_asked_for_and_those_without_a_gain_come_last(page: Any) -> None:
    assert count(page) == "45 of 45 examples, the first 20 listed"
    find(page, "#more").send_keys("\ue007")  # Enter: the keyboard is enough
    assert len(ids(page)) == 40
    assert page.switch_to.active_element.text.startswith("e19")
    assert find(page, "#more").text == "Show 5 more"
    find(page, "#more").click()
    assert len(ids(page)) == 45
    assert ids(page)[-1] == "no gain"
    assert not find(page, "#more").is_displayed()


def test_words_that_changed_are_marked_and_both_prompts_can_be_read(page: Any) -> None:
    search(page, "Rhine 41", "1 of 45 examples", first="e41")
    inserted = [element.text for element in page.find_elements("css selector", "#list ins")]
    deleted = [element.text for element in page.find_elements("css selector", "#list del")]
    assert (inserted, deleted) == (["the Rhine 41"], ["rivers"])
    assert f"+0.410 ({MODEL})" in find(page, "#list .gain").text
    find(page, "#list summary").click()
    texts = [element.text for element in page.find_elements("css selector", "#list details .text")]
    assert texts == ["Tell me about rivers.", "Tell me about the Rhine 41."]


def test_a_hostile_text_is_shown_and_nothing_else_happens(page: Any) -> None:
    search(page, "onerror", "1 of 45 examples", first="<i>odd</i>")
    for summary in page.find_elements("css selector", "#list summary"):
        summary.click()
    shown = page.execute_script("return [...document.querySelectorAll('#list details .text')].map(e => e.textContent)")
    assert shown == [HOSTILE, f"{HOSTILE} more", HOSTILE, HOSTILE]
    assert page.execute_script("return document.querySelectorAll('img, iframe, i, b').length") == 0
    assert page.execute_script("return document.scripts.length") == 2
    assert page.execute_script("return window.injected") is None


def test_the_page_asks_nobody_and_the_console_stays_empty(page: Any) -> None:
    find(page, "#more").click()
    search(page, "rhine", "43 of 45 examples, the first 20 listed", first="e0")
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert sent == [page.current_url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone_and_colours_follow_the_reader(page: Any, scheme: str) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        assert page.execute_script("return [innerWidth, document.scrollingElement.scrollWidth]") == [390, 390]
        paper = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}[scheme]
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_thousands_of_examples_open_at_once(browser: Any, tmp_path: Path) -> None:
    many = [
        an_example(f"e{i}", text=f"Tell me about river {i}. {'Write clearly. ' * 20}", gain=0.1) for i in range(5000)
    ]
    page = opened(browser, tmp_path, many)
    assert count(page) == "5,000 of 5,000 examples, the first 20 listed"
    page.execute_cdp_cmd("Performance.enable", {})
    page.refresh()
    metrics = {one["name"]: one["value"] for one in page.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    assert metrics["ScriptDuration"] < 1
    search(page, "river 4321.", "1 of 5,000 examples", first="e4321")


def test_a_page_without_examples_says_so(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, tmp_path, [])
    assert count(page) == "No examples were kept."
    assert not find(page, "#controls").is_displayed()
