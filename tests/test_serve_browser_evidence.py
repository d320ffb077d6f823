"""The gateway's page in a real browser: evidence on examples, what is true of replies, and that no work is lost."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fipo_model.errors import ServerError
from fipo_model.generation import Message
from fipo_model.optimizer import PromptOptimizer
from fipo_model.rewriter import Rewriter
from fipo_model.serve.local import LocalUpstream
from fipo_model.serve.remote import RemoteUpstream
from fipo_model.serve.settings import ServeSettings
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.browsing import find, wait
from support.conversations import AddingInTurn
from support.gateways import Running, gateway, replying
from support.servers import completion, serving

pytestmark = pytest.mark.browser

PROMPT = "topic of the ticket"
# Something that invents a variable, something that the model is not sure of, and something good.
ADDED = ((" Add a {summary}.", -0.1), (" Be vague.", -9.0), (" Be brief.", -0.1))
RULE = " Case and a full stop at the end do not matter."
ROWS = [(f"Ticket {number}.", "billing" if number % 2 else "delivery") for number in range(10)]
KEEPS = "Keeps all that must survive"


def answer(conversation: list[Message]) -> str:
    """Right if the system message has the labels, and half of the time if it is to answer always the same."""
    if conversation[0]["role"] != "system":
        return f"alone: {conversation[0]['content']}"
    if "Always" in conversation[0]["content"]:
        return "billing"
    number = int(conversation[-1]["content"].split()[1].strip("."))
    right = " Billing. " if number % 2 else "delivery"
    return right if "Answer with one of" in conversation[0]["content"] else "I do not know."


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Running]:
    store = RewriteStore(tmp_path / "store.jsonl")
    upstream = LocalUpstream(ScriptedGenerator(answer))
    with gateway(ServeSettings(log="nothing"), store=store, upstream=upstream) as running:
        running.rewriting.optimizer = PromptOptimizer.from_rewriter(
            Rewriter(AddingInTurn(*ADDED), least_likelihood=-1.0)
        )
        yield running


@pytest.fixture
def page(browser: Any, door: Running) -> Any:
    return opened(browser, door)


def opened(browser: Any, door: Running) -> Any:
    browser.get(f"{door.address}/")
    wait(browser, lambda: "answers when" in find(browser, "#about").text)
    return browser


def paste(page: Any, text: str) -> None:
    """A text from the clipboard into the field that has the focus."""
    page.execute_script(
        "const data = new DataTransfer(); data.setData('text/plain', arguments[0]);"
        "document.activeElement.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, "
        "cancelable: true}))",
        text,
    )


def fields(page: Any) -> list[list[str]]:
    return page.execute_script(
        "return [...document.querySelectorAll('#examples li')].map(r => [...r.querySelectorAll('textarea')].map("
        "f => f.value))"
    )


def give_examples(page: Any, rows: list[tuple[str, str]]) -> None:
    find(page, "#examples-box summary").click()
    wait(page, lambda: find(page, "#examples textarea").is_displayed())
    find(page, "#examples textarea").click()
    paste(page, "\n".join(f"{given}\t{right}" for given, right in rows))
    wait(page, lambda: fields(page) == [list(row) for row in rows])


def propose(page: Any, prompt: str = PROMPT) -> None:
    find(page, "#prompt").send_keys(prompt)
    find(page, "#propose").click()
    wait(page, lambda: find(page, "#proposals button") and not find(page, "#stop").is_displayed())


def run(page: Any) -> None:
    find(page, "#run").click()
    wait(page, lambda: find(page, "#ran").text.startswith(("Done", "Stopped", "Fill", "The")))
    wait(page, lambda: not find(page, "#stop-run").is_displayed())


def of_module(page: Any, name: str, expression: str) -> Any:
    script = f"const done = arguments[0]; import('/{name}.js').then(m => done({expression}))"
    return page.execute_async_script(script)


def test_from_a_hasty_prompt_with_examples_to_a_rewrite_with_evidence(page: Any, tmp_path: Path) -> None:
    give_examples(page, ROWS)
    propose(page)
    assert "Answer with one of: billing, delivery" in find(page, "#proposals .text").text
    find(page, "#proposals button").click()
    wait(page, lambda: find(page, "#verdict").text == KEEPS)
    run(page)
    assert find(page, "#score").text == f"Right answers: your prompt 0 of 10, the rewrite 10 of 10.{RULE}"
    assert find(page, "#luck").text.endswith("in less than 1 % of such trials, so this is probably more than luck.")
    shown = page.execute_script(
        "return [...document.querySelectorAll('#rows tr:first-child td')].map(e => e.textContent)"
    )
    assert shown == ["delivery", "wrong: I do not know.", "right: delivery"]
    find(page, "#save").click()
    wait(page, lambda: find(page, "#saved").text.startswith("Saved in"))
    (entry,) = RewriteStore(tmp_path / "store.jsonl").entries("approved")
    assert entry.evidence.endswith("; right on 10 of 10 examples, the prompt on 0")
    find(page, "#prompt").send_keys("s")
    wait(page, lambda: find(page, "#stale-results").is_displayed() and find(page, "#stale-proposals").is_displayed())
    assert not find(page, "#proposals button").is_enabled()
    assert find(page, "#saved").text == ""
    find(page, "#back").click()
    wait(page, lambda: not find(page, "#stale-proposals").is_displayed())


def test_a_difference_that_may_be_luck_is_called_so(page: Any) -> None:
    give_examples(page, ROWS[:4])
    propose(page)
    find(page, "#proposals button").click()
    run(page)
    assert "in 13 % of such trials, so this may be luck. So few examples" in find(page, "#luck").text


@pytest.mark.parametrize(
    ("wins", "losses", "expected"), [(5, 0, 0.0625), (6, 0, 0.03125), (0, 10, 2**-9), (3, 3, 1.0), (8, 2, 112 / 1024)]
)
def test_luck_is_counted_as_the_sign_test_does(page: Any, wins: int, losses: int, expected: float) -> None:
    assert of_module(page, "evidence", f"m.chance({wins}, {losses})") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("reply", "right", "expected"),
    [(" Billing.\n", "billing", True), ("billing", "Billing.", True), ("billing!", "billing", False), ("", "a", False)],
)
def test_an_answer_is_right_if_it_is_the_same_but_for_case_space_and_a_full_stop(
    page: Any, reply: str, right: str, expected: bool
) -> None:
    asked = f"m.isRight({json.dumps(reply)}, {json.dumps(right)})"
    assert of_module(page, "evidence", asked) is expected


@pytest.mark.parametrize(
    ("rights", "expected"),
    [(["LISBON", "Oslo"], True), (["camelCase"], True), (["Lisbon", "a"], False), (["A"], False)],
)
def test_case_counts_where_right_answers_are_capitals_on_purpose(page: Any, rights: list[str], expected: bool) -> None:
    assert of_module(page, "evidence", f"m.caseMatters({json.dumps(rights)})") is expected
    asked = "m.isRight('Lisbon', 'LISBON', { byCase: true }) || !m.isRight('LISBON.', 'LISBON', { byCase: true })"
    assert of_module(page, "evidence", asked) is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a\tb\n"two ""quoted""\nlines"\tc\r\n', [["a", "b"], ['two "quoted"\nlines', "c"]]),
        ("input,output\na,b\nc,d", [["a", "b"], ["c", "d"]]),
        ('"one, two",b\nc,d', [["one, two", "b"], ["c", "d"]]),
        ('{"input": "a", "output": "b"}', [["a", "b"]]),
        ('{ "input": "a", "output": "b" }\n\n{ "input": "c" }\n', [["a", "b"], ["c", ""]]),
        ('{"input": "a", "output": "b", "reference": "c"}', [["a", "c"]]),
        ('{"input": "a", "outputs": ["b", "c"]}\n{"inputs": "d", "answer": 4}', [["a", "b"], ["d", "4"]]),
        ('{"input": "a", "output": {"b": [1, {}], "c": "d"}}', [["a", '{"b": [1, {}], "c": "d"}']]),
        ('{"input": {"text": "a"}, "output": "b"}', [["a", "b"]]),
        ('{"input": {"text": "a", "n": 2}, "output": "b"}', [["text: a\nn: 2", "b"]]),
        ('{"question": "a", "answer": "b"}', []),
        ('{"input": "a", "output": "b"}\n{"input": " ", "output": "b"}', []),
        ("Hello, world", []),
        ("A list, of things\nand more, but, not a table", []),
    ],
)
def test_tables_are_told_from_texts(page: Any, text: str, expected: list[list[str]]) -> None:
    assert of_module(page, "examples", f"m.pairsIn({json.dumps(text)})") == expected


def test_the_limit_on_examples_is_told_in_time_and_half_an_example_is_marked(page: Any) -> None:
    find(page, "#examples-box summary").click()
    wait(page, lambda: find(page, "#examples textarea").is_displayed())
    find(page, "#examples textarea").send_keys("an input alone")
    find(page, "#add-example").click()
    wait(page, lambda: find(page, "#examples .lack").text.startswith("Without a right answer"))
    paste(page, "\n".join(f"{number}\tright" for number in range(120)))
    wait(page, lambda: "There is no room for the other 21" in find(page, "#examples-said").text)
    assert not find(page, "#add-example").is_enabled()
    assert len(fields(page)) == 100


def test_a_reload_keeps_everything_that_was_typed(page: Any) -> None:
    give_examples(page, ROWS[:3])
    propose(page, "Tell {name} about it.")
    find(page, "#proposals button").click()
    find(page, "#rewrite").send_keys(" Mine.")
    wait(page, lambda: find(page, "#values textarea").is_displayed())
    find(page, "#values textarea").send_keys("Ida")
    find(page, "#input").send_keys("a question")
    cards = len(page.find_elements("css selector", ".proposal"))
    page.refresh()
    wait(page, lambda: len(page.find_elements("css selector", ".proposal")) == cards)
    assert find(page, "#prompt").get_attribute("value") == "Tell {name} about it."
    assert find(page, "#rewrite").get_attribute("value").endswith(" Mine.")
    assert fields(page) == [list(row) for row in ROWS[:3]]
    wait(page, lambda: find(page, "#values textarea").get_attribute("value") == "Ida")
    assert find(page, "#input").get_attribute("value") == "a question"


def test_another_choice_keeps_the_text_that_was_edited(page: Any) -> None:
    propose(page)
    find(page, "#proposals button").click()
    find(page, "#rewrite").send_keys(" Mine.")
    mine = find(page, "#rewrite").get_attribute("value")
    page.find_elements("css selector", "#proposals button")[1].click()
    assert find(page, "#rewrite").get_attribute("value") != mine
    find(page, ".mine button").click()
    assert find(page, "#rewrite").get_attribute("value") == mine
    find(page, "#rewrite").send_keys(" More.")
    find(page, "#propose").click()
    wait(page, lambda: not find(page, "#stop").is_displayed())
    assert find(page, "#rewrite").get_attribute("value") == f"{mine} More."
    assert find(page, ".mine .text").text.endswith("Mine.")


def test_what_was_turned_down_or_is_unsure_can_be_used_and_saved_by_who_decides(page: Any, tmp_path: Path) -> None:
    propose(page)
    unsure = page.find_elements("css selector", "#proposals .unsure")
    assert [each.text for each in unsure] == ["The model is not sure of this one. Read it, or try it on examples."]
    find(page, "#refused-title").click()
    find(page, "#refused button").click()
    differs = "Differs from your prompt: the rewrite invented the variable"
    wait(page, lambda: find(page, "#verdict").text.startswith(differs))
    assert find(page, "#save").text == "Save anyway"
    find(page, "#save").click()
    wait(page, lambda: find(page, "#saved").text.startswith("Saved in"))
    (entry,) = RewriteStore(tmp_path / "store.jsonl").entries("approved")
    assert entry.text.endswith("{summary}.")
    assert entry.evidence.count("the variable") == 1


def test_a_second_visit_knows_what_was_saved_and_can_take_it_back(page: Any, door: Running, tmp_path: Path) -> None:
    def save(text: str, expected: str) -> None:
        find(page, "#rewrite").clear()
        find(page, "#rewrite").send_keys(text)
        wait(page, lambda: text.split()[-1] in find(page, "#changes").text)
        find(page, "#save").click()
        wait(page, lambda: expected in find(page, "#saved").text)

    propose(page)
    find(page, "#own").click()
    save(f"{PROMPT} Be quick.", "Saved in")
    save(f"{PROMPT} Be slow.", "in place of an earlier rewrite")
    find(page, "#undo").click()
    wait(page, lambda: find(page, "#saved").text == "The earlier rewrite is back.")
    page.execute_script("sessionStorage.clear(); addEventListener('pagehide', () => sessionStorage.clear())")
    page = opened(page, door)
    assert find(page, "#prompt").get_attribute("value") == ""
    find(page, "#prompt").send_keys(PROMPT)
    wait(page, lambda: find(page, "#known-text").text.startswith("A rewrite for this prompt is saved"))
    find(page, "#show-known").click()
    assert find(page, "#rewrite").get_attribute("value") == f"{PROMPT} Be quick."
    find(page, "#stored-box summary").click()
    wait(page, lambda: find(page, "#stored button").is_displayed())
    page.find_elements("css selector", "#stored button")[1].click()
    wait(page, lambda: find(page, "#stored-said").text.startswith("Rejected"))
    assert [entry.state for entry in RewriteStore(tmp_path / "store.jsonl").entries()] == ["rejected"]
    wait(page, lambda: find(page, "#known-text").text.startswith("A rewrite for this prompt was rejected"))


def test_an_input_goes_where_a_program_would_put_it(page: Any) -> None:
    find(page, "#prompt").send_keys("Tell {name} about {thing}.")
    find(page, "#own").click() if find(page, "#own").is_displayed() else propose(page, "")
    find(page, "#proposals button").click()
    wait(page, lambda: len(page.find_elements("css selector", "#values textarea")) == 2)
    find(page, "#ask").click()
    wait(page, lambda: find(page, "#tried").text == "Fill in name and thing first.")
    for field, value in zip(page.find_elements("css selector", "#values textarea"), ("Ida", "tides"), strict=True):
        field.send_keys(value)
    find(page, "#ask").click()
    wait(page, lambda: find(page, "#before").text == "alone: Tell Ida about tides.")


ENDLESS = b'data: {"choices":[{"index":0,"delta":{"content":"half of it"}}]}\n\n'


@pytest.mark.parametrize("length", [b"", b"content-length: 900\r\n"], ids=["looks complete", "is cut"])
def test_a_reply_that_breaks_off_is_called_so(browser: Any, length: bytes) -> None:
    reply = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n" + length + b"\r\n" + ENDLESS
    with replying(reply) as behind, gateway(upstream=RemoteUpstream(f"{behind}/v1")) as running:
        page = opened(browser, running)
        propose(page)
        find(page, "#proposals button").click()
        find(page, "#ask").click()
        wait(page, lambda: "broke off" in find(page, "#tried").text)
        assert find(page, "#before-end").text == "Not complete."
        assert "there" not in find(page, "#tried").text


def test_answers_are_not_sampled_unless_the_model_refuses_to_be_told_how(browser: Any) -> None:
    def answering(request: dict[str, Any], _: int) -> Any:
        refused = ({"error": {"message": "'temperature' does not support 0 with this model."}}, 400)
        return refused if "temperature" in request else completion("fine")

    with serving(answering) as (behind, requests), gateway(upstream=RemoteUpstream(f"{behind}/v1")) as running:
        page = opened(browser, running)
        propose(page)
        find(page, "#proposals button").click()
        find(page, "#ask").click()
        wait(page, lambda: (find(page, "#before").text, find(page, "#after").text) == ("fine", "fine"))
    assert sorted(request.get("temperature", -1) for request in requests) == [-1, -1, 0, 0]


def test_a_gateway_that_is_gone_is_told_in_words(browser: Any) -> None:
    with gateway() as running:
        page = opened(browser, running)
        propose(page)
        find(page, "#proposals button").click()
    find(page, "#ask").click()
    for place in ("tried", "progress"):
        wait(page, lambda place=place: "does not answer. Is it still running?" in find(page, f"#{place}").text)
        find(page, "#propose").click()


def test_marks_stay_on_their_words_in_a_prompt_that_scrolls(page: Any) -> None:
    long = "Rule: answer in at most 40 words, and never name the customer. " * 35
    page.execute_script("document.getElementById('prompt').value = arguments[0]", long)
    find(page, "#prompt").send_keys("x")
    wait(page, lambda: find(page, "#backdrop mark"))
    page.execute_script("const e = document.getElementById('prompt'); e.scrollTop = e.scrollHeight")
    time.sleep(0.3)
    sizes = page.execute_script(
        "return ['prompt', 'backdrop'].map(i => document.getElementById(i)).map(e => [e.clientWidth, e.scrollHeight, "
        "e.scrollTop])"
    )
    assert sizes[0] == sizes[1]
    assert len(page.find_elements("css selector", "#keeps li")) <= 24


def test_the_same_answer_to_everything_is_no_success(page: Any) -> None:
    give_examples(page, ROWS)
    propose(page)
    find(page, "#own").click()
    find(page, "#rewrite").send_keys(" Always.")
    run(page)
    assert find(page, "#score").text == f"Right answers: your prompt 0 of 10, the rewrite 5 of 10.{RULE}"
    assert "almost the same answer to every input" in find(page, "#luck").text


def test_a_run_can_be_stopped_and_counts_what_is_complete(browser: Any) -> None:
    with gateway(upstream=LocalUpstream(ScriptedGenerator(lambda conversation: time.sleep(0.2) or "x"))) as running:
        page = opened(browser, running)
        give_examples(page, ROWS)
        propose(page)
        find(page, "#proposals button").click()
        find(page, "#run").click()
        wait(page, lambda: " of 10 " in find(page, "#ran").text)
        find(page, "#stop-run").click()
        wait(page, lambda: find(page, "#ran").text.startswith("Stopped after"))
        assert not find(page, "#stop-run").is_displayed()


def test_a_rewrite_that_is_edited_during_a_run_is_no_part_of_it(browser: Any) -> None:
    model = ScriptedGenerator(lambda conversation: time.sleep(0.2) or "x")
    with gateway(upstream=LocalUpstream(model)) as running:
        page = opened(browser, running)
        give_examples(page, ROWS)
        propose(page)
        find(page, "#proposals button").click()
        find(page, "#run").click()
        wait(page, lambda: " of 10 " in find(page, "#ran").text)
        find(page, "#rewrite").send_keys(" Of another mind.")
        wait(page, lambda: find(page, "#ran").text == "Done.")
        assert find(page, "#stale-results").is_displayed()
        assert of_module(page, "evidence", "m.countedNow()") is None
    assert not any("Of another mind." in str(call) for call in model.calls)


def test_a_key_that_no_header_can_hold_is_told(browser: Any) -> None:
    with gateway() as running:
        page = opened(browser, running)
        propose(page)
        find(page, "#proposals button").click()
        find(page, "#key").send_keys("sk–with–dashes")
        find(page, "#ask").click()
        wait(page, lambda: find(page, "#tried").text.startswith("The key has a space in it, or a character"))
        assert not [each for each in running.upstream.requests if each["body"]]


def test_a_search_that_failed_is_not_taken_for_one_that_found_nothing(page: Any, door: Running) -> None:
    def fail(_: Any) -> str:
        raise ServerError("the model is down")

    door.rewriting.optimizer = PromptOptimizer(ScriptedGenerator(fail))
    find(page, "#prompt").send_keys(PROMPT)
    find(page, "#propose").click()
    wait(page, lambda: find(page, "#progress").text.endswith("down") and not find(page, "#stop").is_displayed())
    for _ in range(2):
        page.refresh()
        wait(page, lambda: find(page, "#progress").text == "0 to choose from. The search was cut short.")


def test_a_model_that_answers_nothing_is_told_once_and_not_counted(browser: Any) -> None:
    with gateway() as running:
        page = opened(browser, running)
        give_examples(page, ROWS)
        propose(page)
        find(page, "#proposals button").click()
        wait(page, lambda: find(page, "#model").get_attribute("value") or find(page, "#model").send_keys("error"))
        page.execute_script("document.getElementById('model').value = 'error'")
        find(page, "#run").click()
        wait(page, lambda: find(page, "#ran").text == "out of order")
        assert not find(page, "#score").is_displayed()
        assert len([each for each in running.upstream.requests if each["body"]]) < 10


def test_who_proposes_sees_what_comes_of_it(page: Any) -> None:
    phone = {"width": 390, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        give_examples(page, ROWS)
        propose(page)
        places = "const r = document.getElementById(arguments[0]).getBoundingClientRect(); return [r.top, r.bottom]"
        top, bottom = page.execute_script(places, "progress")
        assert 0 <= top < bottom <= 700
        find(page, "#proposals button").click()
        top, _ = page.execute_script(places, "rewrite-title")
        assert 0 <= top < 700
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_frozen_gateway_says_why_nothing_is_proposed_and_shows_what_is_saved(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    with gateway(store=RewriteStore(path)) as running:
        fields = {"prompt": PROMPT, "text": f"{PROMPT} Be quick."}
        httpx.post(f"{running.address}/api/save", json=fields)
    with gateway(store=RewriteStore(path, is_frozen=True)) as running:
        page = opened(browser, running)
        assert find(page, "#no-rewriter").is_displayed()
        assert find(page, "#no-store").is_displayed()
        find(page, "#prompt").send_keys(PROMPT)
        wait(page, lambda: find(page, "#known").is_displayed())
        find(page, "#show-known").click()
        assert find(page, "#rewrite").get_attribute("value") == f"{PROMPT} Be quick."
