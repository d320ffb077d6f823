"""The page's files and its API, without a browser."""

import json
import re
import threading
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from fipo_model import OptimizationRequest
from fipo_model.serve import proposing
from fipo_model.serve.settings import ServeSettings
from fipo_model.store import RewriteStore
from support.gateways import Running, gateway
from support.pages import HOSTILE, Page

MOST_BYTES = 100_000


@pytest.fixture
def door(tmp_path: Path) -> Any:
    with gateway(ServeSettings(log="nothing"), store=RewriteStore(tmp_path / "store.jsonl")) as running:
        yield running


def post(running: Running, name: str, **fields: Any) -> httpx.Response:
    return httpx.post(f"{running.address}/api/{name}", json=fields)


def test_the_page_is_light_and_asks_nobody_else(door: Running):
    page = httpx.get(f"{door.address}/")
    paths = {value for _, found in Page(page.text).elements for name, value in found.items() if name in ("src", "href")}
    local = {path for path in paths if path and not path.startswith("#")}
    assert local == {"/icon.svg", "/page.js"}
    scripts = {f"/{file.name}" for file in files("fipo_model.serve").joinpath("page").iterdir() if ".js" in file.name}
    texts = {path: httpx.get(f"{door.address}{path}") for path in ("/", *local, *scripts)}
    assert {reply.status_code for reply in texts.values()} == {200}
    assert sum(len(reply.content) for reply in texts.values()) <= MOST_BYTES
    addresses = {found for reply in texts.values() for found in re.findall(r"https?://[^\"' ]+", reply.text)}
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", "".join(r.text for r in texts.values())
    )
    for reply in texts.values():
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_every_file_of_the_page_is_served(door: Running):
    for file in files("fipo_model.serve").joinpath("page").iterdir():
        path = "/" if file.name in ("index.html", "page.css") else f"/{file.name}"
        link, text = '<link rel="stylesheet" href="/page.css">', file.read_text()
        served = httpx.get(f"{door.address}{path}").text
        assert all(part in served for part in text.split(link))


def test_every_field_and_button_has_a_name():
    page = files("fipo_model.serve").joinpath("page", "index.html").read_text()
    elements = Page(page).elements
    labelled = {found["for"] for tag, found in elements if tag == "label"}
    fields = {found["id"] for tag, found in elements if tag in ("input", "textarea", "select")}
    assert fields <= labelled
    assert all(
        f">{words}" in page for words in ("Propose rewrites", "Run both on my examples", "Ask with both", "Save")
    )
    assert 'lang="en"' in page


def test_commitments_come_with_their_places_in_characters(door: Running):
    text = "🦜 Name {x} in 3 words."
    found = post(door, "commitments", text=text).json()["commitments"]
    assert {"kind": "variable", "text": "{x}", "start": 7, "end": 10} in found
    assert all(text[each["start"] : each["end"]] == each["text"] for each in found)
    assert [each["start"] for each in found] == sorted(each["start"] for each in found)


def lines_of(reply: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in reply.text.splitlines()]


def test_proposals_come_one_by_one_with_what_is_wrong_with_them(door: Running):
    *found, end = lines_of(post(door, "propose", prompt="Explain tides."))
    assert end == {"end": True}
    assert (found[0]["text"], found[0]["outcome"]) == ("Explain tides. Be brief.", "optimized")
    assert found[0]["changes"] == [["=", "Explain tides."], ["+", " Be brief."]]
    assert len({each["text"] for each in found}) == len(found) > 1
    assert len(door.generator.calls) == 3


def test_a_refused_proposal_says_why_and_examples_reach_the_rewriter():
    with gateway(script=lambda _: "Explain {x}.") as running:
        examples = [{"input": "zebra tides", "output": "stripes"}, {"input": "moon"}]
        found = lines_of(post(running, "propose", prompt="Explain tides.", examples=examples))[0]
        assert (found["outcome"], found["fault"]) == ("placeholder_invented", "invented the variable '{x}'")
        assert "zebra tides" in running.generator.calls[0][0][-1]["content"]


def test_a_rewriter_that_fails_is_told_and_its_words_are_not():
    def fail(_: Any) -> str:
        raise RuntimeError("secret words")

    with gateway(script=fail) as running:
        assert lines_of(post(running, "propose", prompt="Explain.")) == [
            {"error": "the rewriter failed (RuntimeError)"}
        ]


def test_ones_own_words_are_judged_as_the_models_are(door: Running):
    good = post(door, "check", prompt="Name 3 rivers.", text="Name 3 rivers. Be brief.").json()
    bad = post(door, "check", prompt="Name 3 rivers.", text="Name some rivers.").json()
    assert (good["outcome"], bad["outcome"]) == ("optimized", "number_lost")


def test_what_is_saved_is_what_the_gateway_uses_from_then_on(door: Running, tmp_path: Path):
    chosen = "Explain the tides to a sailor."
    assert post(door, "save", prompt="Explain tides.", text=chosen).json()["store"] == str(tmp_path / "store.jsonl")
    stored = RewriteStore(tmp_path / "store.jsonl").recall(OptimizationRequest("Explain tides."))
    assert stored is not None
    assert stored.text == chosen
    entry = RewriteStore(tmp_path / "store.jsonl").entries("approved")[0]
    said = "chosen on the page; passed FIPO's checks"
    assert (entry.by, entry.evidence.partition(":")[0]) == ("somebody on the gateway's page", said)
    assert post(door, "save", prompt="Explain tides.", text="Explain {x}.").status_code == 200
    entry = RewriteStore(tmp_path / "store.jsonl").entries("approved")[0]
    assert entry.text == "Explain {x}."
    post(door, "save", prompt="Explain tides.", text=chosen)
    body = {"model": "echo", "messages": [{"role": "system", "content": "Explain tides."}]}
    httpx.post(f"{door.base_url}/chat/completions", json=body)
    assert json.loads(door.upstream.requests[-1]["body"])["messages"][0]["content"] == chosen


def test_what_was_known_of_a_saved_text_does_not_stay_with_another(door: Running, tmp_path: Path):
    def saved(text: str) -> tuple[str, str, str]:
        assert post(door, "save", prompt="Name 3 rivers.", text=text).status_code == 200
        (entry,) = RewriteStore(tmp_path / "store.jsonl").entries("approved")
        return entry.text, entry.model, entry.evidence

    body = {"model": "echo", "messages": [{"role": "system", "content": "Name 3 rivers."}]}
    httpx.post(f"{door.base_url}/chat/completions", json=body)
    while not RewriteStore(tmp_path / "store.jsonl").entries():
        time.sleep(0.02)
    proposed = "Name 3 rivers. Be brief."
    assert saved(proposed)[:2] == (proposed, "scripted")
    by_hand = saved("Name 3 rivers. Be quick.")
    assert by_hand == ("Name 3 rivers. Be quick.", "", "chosen on the page; passed FIPO's checks")
    text, _, evidence = saved("Name some rivers.")
    assert text == "Name some rivers."
    assert evidence.startswith("chosen on the page; FIPO's checks object: it ")
    assert "turned down" not in evidence


@pytest.mark.parametrize(
    ("form", "suffix", "has"),
    [
        ("text", ".txt", "Explain {x}."),
        ("chat", "-chat.json", '"system"'),
        ("promptfoo", ".yaml", "zebra"),
        ("python", ".py", "="),
    ],
)
def test_a_rewrite_is_exported_as_on_the_command_line(door: Running, form: str, suffix: str, has: str):
    examples = [{"input": "zebra", "output": "stripes"}]
    found = post(door, "export", prompt="Tell {x}.", text="Explain {x}.", examples=examples, form=form).json()
    assert found["name"].endswith(suffix)
    assert has in found["content"]
    assert post(door, "export", prompt="a", text="b", form="exe").status_code == 422


def test_what_cannot_be_saved_is_told(door: Running, tmp_path: Path):
    with gateway() as running:
        assert "no store" in post(running, "save", prompt="a", text="b").json()["error"]
    (tmp_path / "store.jsonl").mkdir()
    reply = post(door, "save", prompt="Explain tides.", text="Explain the tides.")
    assert (reply.status_code, "cannot" in reply.json()["error"]) == (507, True)


def test_odd_texts_are_only_texts(door: Running):
    for name in ("commitments", "check", "save"):
        assert post(door, name, prompt=HOSTILE, text=HOSTILE).status_code == 200
    assert post(door, "check", prompt="", text="a").status_code == 422


def test_the_state_tells_what_the_page_shows_and_no_password(door: Running, tmp_path: Path):
    state = httpx.get(f"{door.address}/api/state").json()
    assert (state["rewriter"], state["roles"]) == ("scripted", ["system"])
    assert state["store"] == str(tmp_path / "store.jsonl")


@pytest.mark.parametrize("name", ["commitments", "propose", "check", "save", "export"])
def test_texts_longer_than_those_that_are_rewritten_are_refused(door: Running, name: str):
    """60,000 question marks kept everybody else waiting for two minutes."""
    long = "?" * 60_000
    reply = httpx.post(f"{door.address}/api/{name}", json={"text": long, "prompt": long, "form": "chat"})
    assert reply.status_code == 422
    assert "20000 characters" in reply.json()["error"]


@pytest.mark.parametrize("name", ["check", "propose"])
def test_what_changed_in_a_text_is_found_out_without_keeping_others_waiting(
    door: Running, monkeypatch: pytest.MonkeyPatch, name: str
):
    threads = []
    monkeypatch.setattr(proposing, "differences", lambda *_: threads.append(threading.current_thread().name) or [])
    reply = httpx.post(f"{door.address}/api/{name}", json={"text": "Explain seas.", "prompt": "Explain tides."})
    assert reply.status_code == 200
    assert threads
    assert all(each.startswith(("asyncio_", "fipo-caller")) for each in threads)
