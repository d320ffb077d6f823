"""The gateway's page in a real browser: from a prompt to a saved rewrite, by mouse and by keyboard, on any screen."""

import json
from pathlib import Path
from typing import Any

import pytest

from fipo_model.optimizer import PromptOptimizer
from fipo_model.serve.settings import ServeSettings
from fipo_model.store import RewriteStore
from support.browsing import find, wait
from support.conversations import AddingInTurn
from support.gateways import Running, gateway
from support.pages import HOSTILE

pytestmark = pytest.mark.browser

PROMPT = "Summarize {article} in 3 bullet points."
ADDED = [(added, -0.1) for added in (" Be brief.", " Add a {summary}.", " Write for sailors.", "")]
KEEPS = "Keeps all that must survive"
TOKEN = "a-token-of-some-length"


@pytest.fixture
def door(tmp_path: Path) -> Any:
    with gateway(ServeSettings(log="nothing"), store=RewriteStore(tmp_path / "store.jsonl")) as running:
        running.rewriting.optimizer = PromptOptimizer(AddingInTurn(*ADDED))
        yield running


@pytest.fixture
def page(browser: Any, door: Running) -> Any:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # reading empties it
    browser.get(f"{door.address}/")
    wait(browser, lambda: "proposing" in find(browser, "#about").text)
    return browser


def texts(page: Any, selector: str) -> list[str]:
    return [element.text for element in page.find_elements("css selector", selector)]


def keys(page: Any, *names: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    chain = ActionChains(page)
    for name in names:
        held, _, key = name.rpartition("+")
        pressed = getattr(Keys, key, key)
        if held:
            chain.key_down(getattr(Keys, held)).send_keys(pressed).key_up(getattr(Keys, held))
        else:
            chain.send_keys(pressed)
    chain.perform()


def propose(page: Any, prompt: str = PROMPT) -> None:
    find(page, "#prompt").send_keys(prompt)
    find(page, "#propose").click()
    wait(page, lambda: find(page, "#progress").text.endswith(".") and not find(page, "#stop").is_displayed())


def test_from_a_prompt_to_a_saved_rewrite_and_both_tried(page: Any, door: Running, tmp_path: Path) -> None:
    find(page, "#prompt").send_keys(PROMPT)
    wait(page, lambda: "{article} variable" in texts(page, "#keeps li"))
    assert page.execute_script("return [...document.querySelectorAll('#backdrop mark')].map(e => e.textContent)") == [
        "Summarize",
        "{article}",
        "3",
        "bullet points",
    ]
    find(page, "#propose").click()
    wait(page, lambda: find(page, "#progress").text == "2 to choose from, 1 turned down.")
    assert page.execute_script("return document.querySelector('#proposals ins').textContent") == "added:  Be brief."
    find(page, "#refused-title").click()
    assert find(page, "#refused .verdict").text == "Turned down: it invented the variable '{summary}'"
    find(page, "#proposals button").click()
    wait(page, lambda: find(page, "#verdict").text == KEEPS)
    rewrite = find(page, "#rewrite")
    assert rewrite.get_attribute("value") == f"{PROMPT} Be brief."
    rewrite.send_keys(" Name 9 rivers.")
    wait(page, lambda: "invented the number" in find(page, "#verdict").text)
    rewrite.clear()
    rewrite.send_keys(f"{PROMPT} Be kind.")
    wait(page, lambda: "Be kind." in find(page, "#changes").text)
    find(page, "#save").click()
    wait(page, lambda: find(page, "#saved").text.startswith("Saved in"))
    (entry,) = RewriteStore(tmp_path / "store.jsonl").entries("approved")
    assert (entry.naive, entry.text) == (PROMPT, f"{PROMPT} Be kind.")
    find(page, "#input").send_keys("The tide rises.")
    find(page, "#ask").click()
    wait(page, lambda: find(page, "#tried").text == "Both replies are there.")
    assert texts(page, ".reply") == ["01234", "01234"]
    asked = [json.loads(request["body"])["messages"] for request in door.upstream.requests if request["body"]]
    assert {each[0]["content"] for each in asked} == {
        "Summarize The tide rises. in 3 bullet points.",
        "Summarize The tide rises. in 3 bullet points. Be kind.",
    }
    assert page.get_log("browser") == []


def test_it_can_be_used_by_keyboard_alone(page: Any) -> None:
    assert page.switch_to.active_element.get_attribute("id") == "prompt"
    page.switch_to.active_element.send_keys(PROMPT)
    keys(page, "CONTROL+ENTER")
    wait(page, lambda: find(page, "#progress").text == "2 to choose from, 1 turned down.")
    for _ in range(20):
        keys(page, "TAB")
        if page.switch_to.active_element.text == "Choose this":
            break
    keys(page, "ENTER")
    wait(page, lambda: find(page, "#verdict").text == KEEPS)
    assert page.switch_to.active_element.get_attribute("id") == "rewrite-title"
    keys(page, "TAB")
    assert page.switch_to.active_element.get_attribute("id") == "rewrite"
    assert find(page, ".chosen button").get_attribute("aria-pressed") == "true"


def test_whoever_does_not_see_the_page_is_told_what_happens(page: Any) -> None:
    propose(page)
    for place in ("progress", "saved", "tried", "verdict"):
        assert find(page, f"#{place}").get_attribute("role") == "status"
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('input, textarea, select, button')].filter(e => !(e.labels?.length || "
        "e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert unnamed == []


def test_examples_are_added_taken_away_and_shown_to_the_model(page: Any, door: Running) -> None:
    find(page, "#examples-box summary").click()
    wait(page, lambda: find(page, "#examples textarea").is_displayed())
    find(page, "#add-example").click()
    first, second = page.find_elements("css selector", "#examples li")
    first.find_element("css selector", "textarea").send_keys("zebra tides")
    second.find_element("css selector", "button").click()
    assert len(page.find_elements("css selector", "#examples li")) == 1
    seen: list[str] = []
    model = AddingInTurn(*ADDED)
    ask = model.generate

    def listen(conversations: Any, sampling: Any, *, samples: int = 1) -> Any:
        seen.append(conversations[0][-1]["content"])
        return ask(conversations, sampling, samples=samples)

    model.generate = listen  # type: ignore[method-assign]
    door.rewriting.optimizer = PromptOptimizer(model)
    propose(page)
    assert all("zebra tides" in text for text in seen)


def test_a_hostile_text_is_shown_and_nothing_else_happens(page: Any) -> None:
    page.execute_script("document.getElementById('prompt').value = arguments[0]", HOSTILE)
    propose(page, " x")
    assert page.execute_script("return document.querySelectorAll('main img, iframe').length") == 0
    assert page.execute_script("return window.injected") is None
    assert HOSTILE[:60] in page.execute_script("return document.querySelector('.proposal .text').textContent")


def test_the_page_asks_nobody_else(page: Any, door: Running) -> None:
    propose(page)
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert all(url.startswith(f"{door.address}/") for url in sent)
    assert page.get_log("browser") == []


def test_what_goes_wrong_is_told_on_the_page(page: Any, door: Running, tmp_path: Path) -> None:
    find(page, "#propose").click()
    assert find(page, "#progress").text == "Write a prompt first."
    propose(page)
    find(page, "#proposals button").click()
    (tmp_path / "store.jsonl").mkdir()
    find(page, "#save").click()
    wait(page, lambda: find(page, "#saved").text.startswith("Nothing was saved: "))
    find(page, "#ask").click()
    wait(page, lambda: find(page, "#tried").text == "Give an input first: it takes the place of article.")
    find(page, "#input").send_keys("The tide rises.")
    find(page, "#model").send_keys("error")
    find(page, "#ask").click()
    wait(page, lambda: find(page, "#tried").text == "out of order")


def test_a_gateway_with_a_token_asks_for_it(browser: Any) -> None:
    with gateway(ServeSettings(log="nothing", token=TOKEN)) as running:
        browser.get(f"{running.address}/")
        wait(browser, lambda: find(browser, "#asking-token").is_displayed())
        find(browser, "#token").send_keys(TOKEN)
        keys(browser, "ENTER")
        wait(browser, lambda: "scripted" in find(browser, "#about").text)


@pytest.mark.parametrize("odd", ["a token with spaces", "a–token–with–dashes", "a-token-of-some-length\u200b"])
def test_a_token_that_no_header_can_hold_is_told_and_asked_for_again(browser: Any, odd: str) -> None:
    with gateway(ServeSettings(log="nothing", token=TOKEN)) as running:
        browser.get(f"{running.address}/")
        wait(browser, lambda: find(browser, "#asking-token").is_displayed())
        find(browser, "#token").send_keys(odd)
        keys(browser, "ENTER")
        wait(browser, lambda: find(browser, "#token-said").text.startswith("This token has a space in it, or"))
        find(browser, "#token").send_keys(TOKEN)
        keys(browser, "ENTER")
        wait(browser, lambda: "scripted" in find(browser, "#about").text)


@pytest.mark.parametrize("before", ["", "a-wrong-token-of-some-length", "a wrong token of some length"])
def test_whoever_has_no_token_can_close_the_dialog(browser: Any, before: str) -> None:
    with gateway(ServeSettings(log="nothing", token=TOKEN)) as running:
        browser.get(f"{running.address}/")
        wait(browser, lambda: find(browser, "#asking-token").is_displayed())
        if before:
            find(browser, "#token").send_keys(before)
            keys(browser, "ENTER")
            wait(browser, lambda: find(browser, "#token").get_attribute("value") == "")
            wait(browser, lambda: find(browser, "#asking-token").is_displayed())
        keys(browser, "ESCAPE")
        wait(browser, lambda: "needs its token" in find(browser, "#progress").text)
        assert not find(browser, "#asking-token").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone_and_texts_stand_out(page: Any, scheme: str) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        propose(page, f"{PROMPT} {'longword' * 20}")
        find(page, "#proposals button").click()
        wait(page, lambda: find(page, "#trying").is_displayed())
        assert page.execute_script("return [innerWidth, document.scrollingElement.scrollWidth]") == [390, 390]
        assert min(page.execute_script(CONTRASTS).values()) >= 4.5
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# WCAG 2.2, section 1.4.3: the contrast of a text with what it stands on.
CONTRASTS = """
const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) + 0.05;
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = numbers(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = {};
const all = document.querySelectorAll('h1, h2, h3, p, li, b, label, button, summary, ins, input, textarea, select');
for (const e of all) {
  if (!e.checkVisibility() || e.closest('[aria-hidden]') || e.disabled) continue;
  const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
  found[`${e.tagName} ${e.className} ${e.textContent.slice(0, 20)}`] = Math.max(a, b) / Math.min(a, b);
}
return found;
"""
