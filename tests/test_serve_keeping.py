"""The page's API: proposals from examples, messages for a comparison, what is saved and taken back, and stopping."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fipo_model.backends.crew import do_all
from fipo_model.generation import Completion
from fipo_model.optimizer import PromptOptimizer
from fipo_model.serve.settings import ServeSettings
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.gateways import Running, gateway, helpful

JSON = {"content-type": "application/json"}
MEASURED = "On 30 examples a gain of +0.4."
LABELLED = [{"input": f"Ticket {number}.", "output": "billing" if number % 2 else "delivery"} for number in range(10)]


@pytest.fixture
def store(tmp_path: Path) -> RewriteStore:
    return RewriteStore(tmp_path / "store.jsonl")


@pytest.fixture
def door(store: RewriteStore) -> Iterator[Running]:
    with gateway(ServeSettings(log="nothing"), store=store) as running:
        yield running


def post(running: Running, name: str, **fields: Any) -> httpx.Response:
    return httpx.post(f"{running.address}/api/{name}", json=fields)


def proposed(running: Running, **fields: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in post(running, "propose", **fields).text.splitlines()]


def test_labels_of_the_right_answers_are_proposed_by_rule_and_the_model_sees_other_examples_each_time(door: Running):
    first, *_ = proposed(door, prompt="topic of the ticket", examples=LABELLED)
    assert first["text"] == "topic of the ticket\n\nAnswer with one of: billing, delivery"
    assert (first["outcome"], first["is_by_rule"]) == ("optimized", True)
    asked = [calls[0][-1]["content"] for calls in door.generator.calls]
    seen = [[number for number in range(10) if f"Ticket {number}." in text] for text in asked]
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 8, 9]]


def test_labels_are_proposed_in_english_for_a_prompt_in_another_language(door: Running):
    prompt = "Klassifiziere den Text des Kunden nach seinem Thema."
    first, *_ = proposed(door, prompt=prompt, examples=LABELLED)
    assert (first["outcome"], first["text"]) == ("optimized", f"{prompt}\n\nAnswer with one of: billing, delivery")


def test_there_may_be_as_many_examples_as_the_page_says(door: Running):
    most = httpx.get(f"{door.address}/api/state").json()["examples"]
    assert post(door, "check", prompt="a b", text="a b c", examples=[["x", "y"]] * most).status_code == 200
    reply = post(door, "check", prompt="a b", text="a b c", examples=[["x", "y"]] * (most + 1))
    assert (reply.status_code, str(most) in reply.json()["error"]) == (422, True)


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("prompt", "given", "values", "expected"),
    [
        ("topic?", "I was charged.", {}, [system("topic?"), user("I was charged.")]),
        ("topic?", " ", {}, [user("topic?")]),
        ("Topic of {text}?", "I pay.", {}, [user("Topic of I pay.?")]),
        ("Topic of {{ text }}?", "I pay.", {}, [user("Topic of I pay.?")]),
        ("Speak for {firm}.", "Hello", {"firm": "Acme"}, [system("Speak for Acme."), user("Hello")]),
        ("{a} or {b}", "", {"a": "1", "b": "2", "c": "3"}, [user("1 or 2")]),
        ('Reply with {"a": 1}', "x", {}, [system('Reply with {"a": 1}'), user("x")]),
    ],
)
def test_what_is_compared_is_what_a_program_would_send(
    door: Running, prompt: str, given: str, values: dict[str, str], expected: list[dict[str, str]]
):
    found = post(door, "messages", before=prompt, after="Be brief.", input=given, values=values).json()
    assert found["before"] == expected


def test_where_the_users_message_is_rewritten_prompt_and_input_are_one():
    with gateway(ServeSettings(log="nothing", roles=("user",))) as running:
        found = post(running, "messages", before="topic?", after="topic? Be brief.", input="I pay.").json()
    assert found == {"before": [user("topic?\n\nI pay.")], "after": [user("topic? Be brief.\n\nI pay.")]}


def test_a_variable_without_a_value_is_told(door: Running):
    for prompt, given in (("{a} and {b}", "x"), ("{a}", "")):
        reply = post(door, "messages", before=prompt, after="x", input=given, values={"b": " "})
        assert (reply.status_code, "a" in reply.json()["error"]) == (422, True)
    assert post(door, "messages", before="a", after="b", input="c", values=["d"]).status_code == 422


def test_the_store_is_shown_and_decided_on(door: Running, store: RewriteStore):
    saved = post(door, "save", prompt="Explain tides.", text="Explain tides. Be brief.").json()
    assert saved["before"] is None
    again = post(door, "save", prompt="Explain tides.", text="Explain tides. Be kind.").json()
    assert again["before"]["text"] == "Explain tides. Be brief."
    key = again["stored"]["key"]
    found = httpx.get(f"{door.address}/api/rewrites").json()
    assert found["all"] == 1
    assert found["rewrites"][0]["changes"] == [["=", "Explain tides."], ["+", " Be kind."]]
    assert post(door, "decide", key=key, state="approved", text="Explain tides. Be brief.").status_code == 200
    assert post(door, "commitments", text="Explain tides.").json()["stored"]["text"] == "Explain tides. Be brief."
    assert post(door, "decide", key=key, state="rejected").status_code == 200
    assert [entry.state for entry in store.entries()] == ["rejected"]
    assert post(door, "commitments", text="Explain seas.").json()["stored"] is None


@pytest.mark.parametrize(
    "fields", [{"key": "nothing", "state": "approved"}, {"key": 1, "state": "approved"}, {"key": "a"}]
)
def test_a_decision_on_nothing_is_refused(door: Running, fields: dict[str, Any]):
    assert post(door, "decide", **fields).status_code == 422


def test_a_frozen_store_is_shown_and_not_changed(tmp_path: Path, store: RewriteStore):
    with gateway(store=store) as running:
        key = post(running, "save", prompt="Explain tides.", text="Explain tides. Be brief.").json()["stored"]["key"]
    with gateway(store=RewriteStore(store.path, is_frozen=True)) as running:
        assert httpx.get(f"{running.address}/api/rewrites").json()["all"] == 1
        assert httpx.get(f"{running.address}/api/state").json()["has_store"]
        assert post(running, "decide", key=key, state="rejected").status_code == 422


def test_what_the_examples_said_is_kept_as_evidence(door: Running, store: RewriteStore):
    counted = {"before": 4, "after": 7, "of": 10}
    post(door, "save", prompt="Explain tides.", text="Explain tides. Be brief.", counted=counted)
    (entry,) = store.entries("approved")
    assert entry.evidence == "chosen on the page; passed FIPO's checks; right on 7 of 10 examples, the prompt on 4"
    for wrong in ({"before": 4}, {**counted, "after": 11}, {**counted, "of": True}, 7):
        assert post(door, "save", prompt="a b", text="a b c", counted=wrong).status_code == 422


def kept(store: RewriteStore, evidence: str) -> str:
    """A rewrite that others put into the store: its key."""
    store.keep([PromptOptimizer(ScriptedGenerator(helpful)).optimize("Explain tides.")], evidence=evidence)
    return store.entries()[0].key


@pytest.mark.parametrize("state", ["approved", "rejected", "pending"])
def test_a_decision_on_the_page_keeps_the_evidence_of_the_text(door: Running, store: RewriteStore, state: str):
    key = kept(store, MEASURED)
    text = store.entries()[0].text
    for fields in ({}, {"text": text}):
        assert post(door, "decide", key=key, state=state, **fields).status_code == 200
        assert [(entry.state, entry.evidence) for entry in store.entries()] == [(state, MEASURED)]
    post(door, "decide", key=key, state=state, text=f"{text} Be kind.")
    assert [entry.evidence for entry in store.entries()] == ["chosen on the page"]


def test_saving_a_text_that_a_search_found_adds_to_its_evidence(door: Running, store: RewriteStore):
    kept(store, MEASURED)
    text = store.entries()[0].text
    for after in (7, 8):  # again, with other examples
        counted = {"before": 4, "after": after, "of": 10}
        post(door, "save", prompt="Explain tides.", text=text, counted=counted)
        (entry,) = store.entries("approved")
        said = f"chosen on the page; passed FIPO's checks; right on {after} of 10 examples, the prompt on 4"
        assert entry.evidence == f"{MEASURED}; {said}"
    post(door, "save", prompt="Explain tides.", text=f"{text} Be kind.")
    assert MEASURED not in store.entries()[0].evidence


def test_what_the_checks_object_to_is_said_once(door: Running, store: RewriteStore):
    for _ in range(2):
        post(door, "save", prompt="Explain tides.", text="Explain {tides}.")
        (entry,) = store.entries("approved")
        assert entry.evidence.startswith("chosen on the page; FIPO's checks object: it")
        assert entry.evidence.count("object") == 1


def test_whoever_goes_back_to_the_earlier_rewrite_gets_its_evidence_back(door: Running, store: RewriteStore):
    key = kept(store, MEASURED)
    before = post(door, "save", prompt="Explain tides.", text="Explain tides kindly.").json()["before"]
    undo = {name: before[name] for name in ("key", "state", "text", "evidence")}
    assert post(door, "decide", **undo).status_code == 200
    assert [(entry.state, entry.evidence) for entry in store.entries()] == [("pending", MEASURED)]
    assert post(door, "decide", key=key, state="approved", text="x", evidence=3).status_code == 422
    half = json.dumps({"key": key, "state": "approved", "text": "x", "evidence": "\ud83d"})
    assert httpx.post(f"{door.address}/api/decide", content=half, headers=JSON).status_code == 422


class Waiting:
    """A model that works until nobody waits for it any more."""

    name = "waiting"

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def generate(self, conversations: Any, sampling: Any, *, samples: int = 1) -> list[list[Completion]]:
        def work(is_over: threading.Event) -> list[list[Completion]]:
            self.begun.set()
            is_over.wait(10)
            self.ended.set()
            return []

        return do_all([work], most=1)[0]


def test_a_page_that_is_left_or_stopped_ends_the_models_work_for_it(door: Running):
    first, second = Waiting(), Waiting()

    def asked(model: Waiting) -> Any:
        door.rewriting.optimizer = PromptOptimizer(model)
        return httpx.stream("POST", f"{door.address}/api/propose", json={"prompt": "Explain tides."})

    with asked(first):
        assert first.begun.wait(5)
        with asked(second) as reply:
            lines = reply.iter_lines()  # kept, because httpx leaves when an iterator is thrown away
            assert json.loads(next(lines)) == {"waiting": True}
            assert second.begun.wait(5)
        assert second.ended.wait(3)
        assert not first.ended.is_set()
    assert first.ended.wait(3)
    time.sleep(0.3)
    door.rewriting.optimizer = PromptOptimizer(door.generator)
    assert "waiting" not in proposed(door, prompt="Explain tides.")[0]
