"""A model of this machine behind the gateway, whose words are passed on as they come."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import httpx
import pytest

from fipo_model.errors import ModelError, PromptTooLongError
from fipo_model.generation import Completion
from fipo_model.serve.local import LocalUpstream
from support.gateways import Running, gateway

ASKED = [{"role": "user", "content": "How high?"}]


class Saying:
    """A model that says pieces, as they are made."""

    name = "saying"

    def __init__(self, pieces: Callable[[], Iterable[str]]) -> None:
        self.pieces = pieces
        self.is_closed = threading.Event()

    def stream(self, conversation: Any, sampling: Any) -> Iterator[Completion]:
        text, tokens = "", 0
        try:
            for tokens, piece in enumerate(self.pieces(), 1):
                text += piece
                yield Completion(text=text, is_truncated=True, prompt_tokens=3, completion_tokens=tokens)
            yield Completion(text=text, is_truncated=False, prompt_tokens=3, completion_tokens=tokens)
        finally:
            self.is_closed.set()

    def generate(self, conversations: Any, sampling: Any, *, samples: int = 1) -> Any:
        whole = Completion(text="at once", is_truncated=False, prompt_tokens=3, completion_tokens=2)
        return [[whole] * samples for _ in conversations]


def ask(running: Running, **fields: Any) -> httpx.Response:
    return httpx.post(f"{running.base_url}/chat/completions", json={"messages": ASKED, **fields}, timeout=10)


def streamed(running: Running, **fields: Any) -> Any:
    body = {"messages": ASKED, "stream": True, **fields}
    return httpx.stream("POST", f"{running.base_url}/chat/completions", json=body, timeout=10)


def pieces_of(events: Iterable[str]) -> Iterator[str]:
    for event in events:
        if event.startswith("data: {") and (text := json.loads(event[6:])["choices"][0]["delta"].get("content")):
            yield text


def test_words_arrive_while_the_model_still_speaks():
    is_read = threading.Event()

    def pieces() -> Iterator[str]:
        for word in ("High ", "as a ", "house."):
            yield word
            assert is_read.wait(10)

    with gateway(upstream=LocalUpstream(Saying(pieces))) as running, streamed(running) as reply:
        found = pieces_of(reply.iter_lines())
        assert next(found) == "High "
        is_read.set()
        assert list(found) == ["as a ", "house."]


def endless() -> Iterator[str]:
    while True:
        yield "on and "
        time.sleep(0.02)


STOPS = [
    ("How high? High.", ["gh"], "How hi"),
    ("one\n\ntwo", ["\n\n"], "one"),
    ("one\ntwo\n", ["\n\n"], "one\ntwo\n"),
    ("aaab", ["aab"], "a"),
    ("abc", ["abc", "b"], "a"),
    ("xabcd", ["bc", "abc"], "x"),
    ("🦜🦜 naïve", ["🦜 "], "🦜"),
    ("never", ["x" * 1000, "r!"], "never"),
    ("never", ["never"], ""),
]


@pytest.mark.parametrize(("text", "stops", "expected"), STOPS)
def test_stops_cut_exactly_however_the_text_comes(text: str, stops: list[str], expected: str):
    model = Saying(list)
    with gateway(upstream=LocalUpstream(model)) as running:
        for size in (1, 2, 3, 100):
            pieces = [text[place : place + size] for place in range(0, len(text), size)]
            # A text that is cut is followed by more without end.
            model.pieces = lambda pieces=pieces: chain(pieces, [] if expected == text else endless())
            whole = ask(running, stop=stops).json()
            model.is_closed.clear()
            with streamed(running, stop=stops) as reply:
                found = "".join(pieces_of(reply.iter_lines()))
            assert found == whole["choices"][0]["message"]["content"] == expected
            assert whole["choices"][0]["finish_reason"] == "stop"
            assert whole["usage"]["completion_tokens"] <= len(pieces)
            assert model.is_closed.wait(2)


def test_characters_are_never_split():
    text = "naïve 🦜👩‍🔬 流れ"
    with gateway(upstream=LocalUpstream(Saying(lambda: text))) as running, streamed(running) as reply:
        received = list(reply.iter_raw())
    assert "".join(pieces_of("".join(piece.decode() for piece in received).splitlines())) == text


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_client_that_goes_away_ends_the_computation(is_streamed: bool):
    model = Saying(endless)
    with gateway(upstream=LocalUpstream(model)) as running:
        if is_streamed:
            with streamed(running) as reply:
                next(reply.iter_raw())
        else:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{running.base_url}/chat/completions", json={"messages": ASKED}, timeout=0.3)
        assert model.is_closed.wait(2)


@pytest.mark.parametrize("error", [ModelError("How high?"), ZeroDivisionError("How high?")])
def test_a_model_that_breaks_down_in_the_middle_breaks_the_reply_off(error: Exception):
    def pieces() -> Iterator[str]:
        yield "High "
        raise error

    with gateway(upstream=LocalUpstream(Saying(pieces))) as running:
        received: list[bytes] = []
        with streamed(running) as reply, pytest.raises(httpx.RemoteProtocolError):
            received.extend(reply.iter_raw())
        assert ask(running).status_code == 502
        assert "fipo_upstream_failures_total 2.0" in httpx.get(f"{running.address}/metrics").text


@pytest.mark.parametrize("is_streamed", [False, True])
def test_what_fails_before_the_first_word_has_a_status_of_its_own(is_streamed: bool):
    def refuse() -> Iterator[str]:
        raise PromptTooLongError(index=0, tokens=9, limit=8)

    with gateway(upstream=LocalUpstream(Saying(refuse))) as running:
        assert ask(running, stream=is_streamed).status_code == 400


def test_several_samples_are_computed_first():
    with gateway(upstream=LocalUpstream(Saying(lambda: ["High."]))) as running:
        choices = ask(running, n=2).json()["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["at once"] * 2


def test_stops_without_end_are_refused():
    with gateway(upstream=LocalUpstream(Saying(lambda: ["High."]))) as running:
        assert ask(running, stop=["x"] * 17).status_code == ask(running, stop="x" * 1001).status_code == 400
