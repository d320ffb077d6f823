"""The gateway between a client and an upstream: what is changed, what is not, and what a client is told."""

import asyncio
import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from fipo_model import OptimizationRequest
from fipo_model.backends.engine import Engine
from fipo_model.errors import ServerError
from fipo_model.generation import Completion
from fipo_model.optimizer import PromptOptimizer
from fipo_model.serve.connecting import Stream
from fipo_model.serve.forwarding import while_there
from fipo_model.serve.rewriting import Rewriting
from fipo_model.serve.running import make_server
from fipo_model.serve.settings import Limits, ServeSettings
from fipo_model.store import RewriteStore, key_of
from fipo_model.testing import ScriptedGenerator
from support.gateways import (
    DONE,
    EVENTS,
    FakeUpstream,
    Running,
    certify_localhost,
    exchange,
    gateway,
    helpful,
    replying,
)
from support.servers import free_port

SYSTEM = {"role": "system", "content": "Explain tides."}
USER = {"role": "user", "content": "How high?"}
LARGE = 2_000_000


def settings(**changes: Any) -> ServeSettings:
    return ServeSettings(**{"log": "nothing", "limits": Limits(stopping_time=2), **changes})


def ask(running: Running, *messages: Any, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    body = {"model": "echo", "messages": list(messages or (SYSTEM, USER)), **fields}
    return httpx.post(f"{running.base_url}/chat/completions", json=body, headers=headers, timeout=10)


def sent(running: Running) -> list[Any]:
    return json.loads(running.upstream.requests[-1]["body"])["messages"]


@pytest.fixture
def door() -> Any:
    with gateway() as running:
        yield running


def test_the_systems_text_is_rewritten_on_its_way_and_the_client_is_told(door: Running):
    reply = ask(door)
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["message"]["content"] == "Re: How high?"
    assert sent(door) == [{**SYSTEM, "content": "Explain tides. Be brief."}, USER]
    assert reply.headers["x-fipo-outcome"] == "optimized"
    assert reply.headers["x-upstream"] == "fake"


def test_an_upstream_cannot_say_what_became_of_a_prompt(door: Running):
    assert ask(door, headers={"x-fipo": "off"}).headers.get_list("x-fipo-outcome") == ["off"]
    assert "x-fipo-outcome" not in httpx.get(f"{door.base_url}/models").headers


def test_a_rewrite_that_loses_something_is_not_sent_and_the_client_is_told_why():
    with gateway(script=lambda _: "Explain {x} – naïvely\r\nx-evil: 1") as running:
        reply = ask(running)
        assert sent(running) == [SYSTEM, USER]
        assert reply.headers["x-fipo-outcome"] == "placeholder_invented"
        assert "{x}" in reply.headers["x-fipo-detail"]
        assert "x-evil" not in reply.headers


def test_a_detail_with_any_character_is_one_header():
    def fail(_: Any) -> str:
        return "Erkläre „Gezeiten“ für {größe}\r\nx-evil: 1"

    with gateway(script=fail) as running:
        reply = ask(running, {"role": "system", "content": "Erkläre die Gezeiten für 100 % der Kinder."})
        assert reply.status_code == 200
        assert reply.headers["x-fipo-detail"].isascii()
        assert "x-evil" not in reply.headers


def test_the_users_last_text_is_rewritten_where_that_is_asked_for():
    with gateway(settings(roles=("system", "user"))) as running:
        reply = ask(running, SYSTEM, {"role": "user", "content": "Hello there."}, {"role": "assistant"}, USER)
        assert [each.get("content") for each in sent(running)] == [
            "Explain tides. Be brief.",
            "Hello there.",
            None,
            "How high? Be brief.",
        ]
        assert reply.headers["x-fipo-outcome"] == "optimized, optimized"


def test_a_request_can_switch_it_off(door: Running):
    reply = ask(door, headers={"x-fipo": "off"})
    assert sent(door) == [SYSTEM, USER]
    assert reply.headers["x-fipo-outcome"] == "off"
    assert "x-fipo" not in door.upstream.requests[-1]["headers"]
    assert door.generator.calls == []


def test_each_text_is_rewritten_once(door: Running):
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: ask(door), range(8)))
    assert {reply.headers["x-fipo-outcome"] for reply in replies} == {"optimized"}
    ask(door)
    assert door.generator.batch_sizes == [1]


class Batching:
    """A model that answers many at once, as those of this machine do."""

    name = "batching"

    def __init__(self) -> None:
        self.engine = Engine(gathering_seconds=0.1)
        self.batches: list[int] = []

    def generate(self, conversations: Any, sampling: Any, *, samples: int = 1) -> Any:
        def work(asked: list[Any]) -> list[Any]:
            self.batches.append(len(asked))
            text = "Explain tides number {} to a child."
            return [[Completion(text=text, is_truncated=False, prompt_tokens=1, completion_tokens=1)] for _ in asked]

        return self.engine.share("same", conversations, work)


def test_different_texts_at_once_meet_in_one_batch(door: Running):
    model = Batching()
    door.rewriting.optimizer = PromptOptimizer(model)
    texts = [{"role": "system", "content": f"Explain tides in place {number}."} for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda text: ask(door, text), texts))
    assert {reply.status_code for reply in replies} == {200}
    assert sum(model.batches) == 16
    assert len(model.batches) <= 4


def kept(path: Path) -> dict[str, Any]:
    """The first row of a store, which is written while the reply is on its way."""
    for _ in range(500):
        if path.exists() and (lines := path.read_text().splitlines(keepends=True)) and lines[0].endswith("\n"):
            return dict(json.loads(lines[0]))
        time.sleep(0.02)
    raise AssertionError("nothing was kept")


def test_the_stores_rewrites_come_first_and_new_ones_are_kept(tmp_path: Path):
    path = tmp_path / "store.jsonl"
    request = OptimizationRequest("Explain tides.")
    row = {"key": key_of(request), "naive": "Explain tides.", "text": "Explain the tides to a sailor."}
    path.write_text(json.dumps(row) + "\n")
    with gateway(store=RewriteStore(path)) as running:
        ask(running)
        assert sent(running)[0]["content"] == "Explain the tides to a sailor."
        assert running.generator.calls == []
        ask(running, {"role": "system", "content": "Explain rain."})
    # The gateway has written before it ends.
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()][1] == "Explain rain. Be brief."


def test_what_another_gateway_or_a_person_writes_into_the_store_is_used(tmp_path: Path):
    path = tmp_path / "store.jsonl"
    with gateway(store=RewriteStore(path)) as one, gateway(store=RewriteStore(path)) as other:
        ask(one)
        row = kept(path)
        path.write_text(json.dumps({**row, "text": "Explain tides to sailors."}) + "\n")
        ask(other)
        assert sent(other)[0]["content"] == "Explain tides to sailors."
        path.write_text("no row of a store\n")  # is told, and what was read before is used
        ask(other)
        assert sent(other)[0]["content"] == "Explain tides to sailors."


def test_where_rewrites_need_approval_they_wait_for_it(tmp_path: Path):
    path = tmp_path / "store.jsonl"
    with gateway(store=RewriteStore(path, only_approved=True)) as running:
        for _ in range(2):
            assert ask(running).headers["x-fipo-outcome"] == "unreviewed"
            assert sent(running) == [SYSTEM, USER]
        assert len(running.generator.calls) == 1
        key = kept(path)["key"]
        store = RewriteStore(path)
        store.decide([key], "approved", by="Ann")
        assert ask(running).headers["x-fipo-outcome"] == "optimized"
        assert sent(running)[0]["content"] == "Explain tides. Be brief."
        store.decide([key], "rejected", by="Ann", why="too short")
        reply = ask(running)
        assert (reply.headers["x-fipo-outcome"], sent(running)) == ("not_preferred", [SYSTEM, USER])
        assert "too short" in reply.headers["x-fipo-detail"]


@pytest.mark.parametrize("only_approved", [False, True])
def test_a_rewrite_that_somebody_removes_from_the_store_is_no_longer_remembered(tmp_path: Path, only_approved: bool):
    path = tmp_path / "store.jsonl"
    with gateway(store=RewriteStore(path, only_approved=only_approved)) as running:
        ask(running)
        row = kept(path)
        time.sleep(0.1)  # the gateway learns that it was written
        path.write_text("")
        ask(running)
        assert kept(path) == row  # proposed anew, to be reviewed
        for _ in range(2):
            ask(running)
        assert len(path.read_text().splitlines()) == 1


def test_a_frozen_store_needs_no_model(tmp_path: Path):
    path = tmp_path / "store.jsonl"
    path.write_text("")
    with gateway(store=RewriteStore(path, is_frozen=True)) as running:
        reply = ask(running)
        assert reply.headers["x-fipo-outcome"] == "unchanged"
        assert "frozen" in reply.headers["x-fipo-detail"]
        assert sent(running) == [SYSTEM, USER]


AS_JSON = {"response_format": {"type": "json_object"}}
ALONE = "Explain tides. Answer with the verdict and nothing else."


@pytest.mark.parametrize(
    "fields", [AS_JSON, {"tools": [], "tool_choice": {"type": "function", "function": {"name": "reply"}}}]
)
def test_a_rewrite_asks_for_no_other_form_than_the_request(fields: dict[str, Any]):
    with gateway(script=lambda _: ALONE) as running:
        for _ in range(2):  # the second time each is known, and not taken for the other
            assert ask(running, **fields).headers["x-fipo-outcome"] == "form_contradicted"
            assert sent(running) == [SYSTEM, USER]
            assert ask(running).headers["x-fipo-outcome"] == "optimized"
            assert ask(running, response_format={"type": "text"}).headers["x-fipo-outcome"] == "optimized"


@pytest.mark.parametrize(("text", "is_used"), [("Explain tides. Be brief.", True), (ALONE, False)])
def test_what_a_store_has_for_a_prompt_is_used_in_any_form_that_it_does_not_contradict(
    tmp_path: Path, text: str, is_used: bool
):
    path = tmp_path / "store.jsonl"
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: text))
    RewriteStore(path).keep([optimizer.optimize("Explain tides.")])
    with gateway(store=RewriteStore(path, is_frozen=True)) as running:
        assert ask(running).headers["x-fipo-outcome"] == "optimized"
        assert ask(running, **AS_JSON).headers["x-fipo-outcome"] == ("optimized" if is_used else "unchanged")


def test_a_store_that_cannot_be_written_costs_nothing_but_the_store(tmp_path: Path, caplog: Any):
    path = tmp_path / "full" / "store.jsonl"
    store = RewriteStore(path)
    path.parent.write_text("")  # no directory can be made here
    with gateway(store=store) as running:
        assert ask(running).headers["x-fipo-outcome"] == "optimized"
        assert ask(running).headers["x-fipo-outcome"] == "optimized"
        assert "fipo_store_failures_total 1.0" in httpx.get(f"{running.address}/metrics").text
    assert "rewrites are kept in memory only" in caplog.text


def test_after_the_deadline_the_users_own_text_goes_on_and_the_rewrite_is_there_next_time():
    is_free = threading.Event()

    def slowly(conversation: Any) -> str:
        is_free.wait(10)
        return "Explain tides. Be brief."

    with gateway(settings(deadline=0.2), script=slowly) as running:
        started = time.monotonic()
        reply = ask(running)
        assert time.monotonic() - started < 1.5
        assert (reply.status_code, reply.headers["x-fipo-outcome"]) == (200, "late")
        assert sent(running) == [SYSTEM, USER]
        is_free.set()
        for _ in range(100):
            if ask(running).headers["x-fipo-outcome"] == "optimized":
                break
            time.sleep(0.02)
        assert sent(running)[0]["content"] == "Explain tides. Be brief."
    assert len(running.generator.calls) == 1


class Interrupted(Rewriting):
    """Has a rewrite arrive just after the last one was written."""

    late: ClassVar = ["Explain rain.", "Explain fog."]

    async def write(self, store: RewriteStore, work: Any) -> str:
        if self.late and self.optimizer is not None:
            result = self.optimizer.optimize(self.late.pop())
            asyncio.get_running_loop().call_soon(self._keep, result)
        work()
        return ""


async def test_a_rewrite_that_comes_when_others_were_just_written_is_written_too(tmp_path: Path):
    store = RewriteStore(tmp_path / "store.jsonl")
    rewriting = Interrupted(PromptOptimizer(ScriptedGenerator(helpful)), store)
    await rewriting.rewrite("Explain tides.")
    await asyncio.sleep(0.1)
    assert [entry.naive for entry in store.entries()] == ["Explain tides.", "Explain fog.", "Explain rain."]
    await rewriting.close()


def test_the_deadline_holds_for_long_bodies_while_many_rewrites_are_under_way():
    is_free = threading.Event()

    def slowly(_: Any) -> str:
        is_free.wait(20)
        return "Explain tides. Be brief."

    with gateway(settings(deadline=0.2), script=slowly) as running, ThreadPoolExecutor(80) as pool:
        texts = [{"role": "system", "content": f"Explain topic {number}."} for number in range(80)]
        assert {reply.headers["x-fipo-outcome"] for reply in pool.map(lambda text: ask(running, text), texts)} == {
            "late"
        }
        try:
            started = time.monotonic()
            reply = ask(running, SYSTEM, {"role": "user", "content": "x" * LARGE})
            checked = httpx.post(f"{running.address}/api/commitments", json={"text": "Name 3 rivers."}, timeout=10)
            assert time.monotonic() - started < 3
        finally:
            is_free.set()
    assert (reply.headers["x-fipo-outcome"], checked.status_code) == ("late", 200)


def test_a_rewriter_that_fails_changes_nothing_and_is_left_in_peace_for_a_while():
    def fail(_: Any) -> str:
        raise ServerError("http://secret@rewriter is down: Explain tides.")

    with gateway(script=fail) as running:
        for text in ("Explain tides.", "Explain rain."):
            reply = ask(running, {"role": "system", "content": text})
            assert (reply.status_code, reply.headers["x-fipo-outcome"]) == (200, "failed")
            assert "secret" not in str(reply.headers)
            assert sent(running) == [{"role": "system", "content": text}]
        assert len(running.generator.calls) == 1


def test_texts_that_cannot_be_rewritten_go_on_as_they_are():
    with gateway() as running:
        for text in ("x" * 20_001, "\ud83d"):
            body = json.dumps({"model": "echo", "messages": [{"role": "system", "content": text}]})
            reply = httpx.post(f"{running.base_url}/chat/completions", content=body)
            assert (reply.status_code, reply.headers["x-fipo-outcome"]) == (200, "skipped")
            assert running.upstream.requests[-1]["body"] == body.encode()
        assert running.generator.calls == []


NOT_CHATS = [
    b"",
    b"[]",
    b"{}",
    b"not json",
    b'{"messages": 3}',
    b'{"messages": [3]}',
    b'{"messages": [{"role": "system", "content": "Explain tides."}]',
    b'{"messages": [{"role": "system", "content": "Explain tides."}]} more',
    b'{"messages": [{"role": "system", "content": "Explain tides."}], "messages": []}',
    b'{"messages": [{"role": "system", "content": "a", "content": "Explain tides."}]}',
    b'{"messages": [{"role": ["system"], "content": "Explain tides."}]}',
    b'{"messages": [{"role": "system", "content": {"text": "Explain tides."}}]}',
    b'{"messages": [{"role": "system", "content": ""}]}',
    '{"messages": [{"role": "system", "content": "Explain tides."}]}'.encode("utf-16"),
    b'\xff{"messages": [{"role": "system", "content": "Explain tides."}]}',
    b'{"messages":' + b"[" * 100_000,
    b'{"messages": [{"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}',
]


@pytest.mark.parametrize("body", NOT_CHATS)
def test_what_is_no_chat_is_forwarded_as_it_is(door: Running, body: bytes):
    reply = httpx.post(f"{door.base_url}/chat/completions", content=body)
    assert "x-fipo-outcome" not in reply.headers
    assert door.upstream.requests[-1]["body"] == body
    assert door.generator.calls == []


def test_nothing_but_the_text_changes_not_even_white_space():
    before = (
        b'{ "model" :"echo","temperature":1.0e0, "big": 123456789012345678901234567890,\n "messages":[\t{"content":[ '
        b'{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo\\u003d"}} ,'
        b'{"type":"input_audio","input_audio":{"data":"\\u00e9\\/","format":"wav"}},'
        b'{"text":"'
    )
    after = (
        b'","type":"text"}],"role":"user"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",'
        b'"function":{"name":"f","arguments":"{\\"a\\": 1}"}}]},{"role":"tool","tool_call_id":"1","content":"\xf0\x9f'
        b'\xa6\x9c"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}], "x": -0.0 }  \n'
    )
    with gateway(settings(roles=("user",))) as running:
        body = before + b'Caf\\u00e9 \\"tides\\" please.' + after
        reply = httpx.post(f"{running.base_url}/chat/completions", content=body)
        assert reply.headers["x-fipo-outcome"] == "optimized"
        expected = before + 'Café \\"tides\\" please. Be brief.'.encode() + after
        assert running.upstream.requests[-1]["body"] == expected


def test_a_stream_passes_byte_for_byte_and_as_it_comes(door: Running):
    body = {"model": "echo", "stream": True, "messages": [SYSTEM, USER]}
    with httpx.stream("POST", f"{door.base_url}/chat/completions", json=body) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["x-fipo-outcome"] == "optimized"
        pieces = list(reply.iter_raw())
    assert b"".join(pieces) == b"".join(EVENTS) + DONE
    assert len(pieces) > 1


def test_a_stream_that_breaks_off_upstream_breaks_off_for_the_client(door: Running):
    body = {"model": "cut", "stream": True, "messages": [SYSTEM, USER]}
    received: list[bytes] = []
    with httpx.stream("POST", f"{door.base_url}/chat/completions", json=body) as reply:
        pieces = reply.iter_raw()
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(pieces)
    assert b"".join(received) == b"".join(EVENTS[:2])
    with pytest.raises(httpx.RemoteProtocolError):
        ask(door, model="cut")
    assert "fipo_upstream_failures_total 2.0" in httpx.get(f"{door.address}/metrics").text


@pytest.mark.parametrize("model", ["endless", "slow"])
def test_a_client_that_goes_away_ends_the_upstreams_work(door: Running, model: str):
    body = {"model": model, "stream": model == "endless", "messages": [SYSTEM, USER]}
    ask(door)  # what is read once only takes its time
    with httpx.Client(timeout=0.5) as client:
        if model == "slow":
            with pytest.raises(httpx.ReadTimeout):
                client.post(f"{door.base_url}/chat/completions", json=body)
        else:
            with client.stream("POST", f"{door.base_url}/chat/completions", json=body) as reply:
                next(reply.iter_raw())
    assert door.upstream.left.wait(1.5)
    for _ in range(100):
        told = httpx.get(f"{door.address}/metrics").text
        if "fipo_abandoned_total 1.0" in told and "fipo_in_flight 0.0" in told:
            break
        time.sleep(0.02)
    else:
        pytest.fail(told)


def by_hand(first_line: bytes, more: bytes = b"", **fields: Any) -> bytes:
    body = json.dumps({"messages": [SYSTEM, USER], **fields}).encode()
    length = str(len(body)).encode()
    return first_line + b"\r\nhost: localhost\r\ncontent-length: " + length + b"\r\n" + more + b"\r\n" + body


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("first_line", "more"),
    [
        (b"POST /v1/chat/completions HTTP/1.0", b""),
        (b"POST /v1/chat/completions HTTP/1.1", b"connection: close\r\n"),
    ],
)
def test_a_client_that_only_listens_after_its_last_request_gets_the_whole_reply(
    door: Running, first_line: bytes, more: bytes, is_streamed: bool
):
    door.upstream.delay = 0.3
    request = by_hand(first_line, more, model="slow", stream=is_streamed)
    said = exchange(door.address, request, is_all=True)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (DONE if is_streamed else b"Re: How high?") in said
    assert not door.upstream.left.is_set()


def test_a_client_that_only_listened_and_is_gone_ends_the_upstreams_work_when_it_is_sent_something(door: Running):
    request = by_hand(b"POST /v1/chat/completions HTTP/1.0", model="endless", stream=True)
    host, _, port = door.address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        assert connection.recv(100)
    assert door.upstream.left.wait(2)


class Wire(asyncio.Transport):
    """A transport to nobody, which remembers what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bytes] = []

    def write(self, data: Any) -> None:
        self.told.append(bytes(data))

    def close(self) -> None:
        self.told.append(b"close")

    def is_closing(self) -> bool:
        return b"close" in self.told


async def test_what_is_written_in_one_turn_is_sent_together():
    server = make_server(FakeUpstream(), Limits())
    config: Any = server.config
    protocol = config.http(config=config, server_state=server.server_state, app_state={})
    wire = Wire()
    protocol.connection_made(wire)
    for part in (b"head", b"", b"body"):
        protocol.transport.write(part)
    await asyncio.sleep(0)
    assert wire.told == [b"headbody"]
    protocol.transport.write(b"more")
    protocol.transport.close()
    await asyncio.sleep(0)
    assert wire.told == [b"headbody", b"more", b"close"]
    protocol.connection_lost(None)


class Held(Wire):
    """One that remembers whether the other side is made to wait."""

    is_held = False

    def pause_reading(self) -> None:
        self.is_held = True

    def resume_reading(self) -> None:
        self.is_held = False


async def test_a_server_that_sends_faster_than_the_client_reads_waits_until_most_of_it_is_read():
    stream, wire = Stream(), Held()
    stream.connection_made(wire)
    piece = 64 * 2**10
    stream.data_received(b"x" * 8 * piece)
    held = []
    for _ in range(8):
        held.append(wire.is_held)
        assert len(await stream.read(piece)) == piece
    assert held == [True, True, True, True, False, False, False, False]  # up to 256 KiB may wait to be read


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_client_that_leaves_as_its_reply_ends_is_no_fault(is_late: bool):
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    both = asyncio.Event()

    async def receive() -> dict[str, str]:
        await both.wait()
        return {"type": "http.disconnect"}

    async def work() -> str:
        if is_late:
            await asyncio.sleep(0)
        await both.wait()
        return "done"

    asyncio.get_running_loop().call_later(0.02, both.set)
    assert await while_there(work(), receive) == "done"
    await asyncio.sleep(0.02)
    assert faults == []


def test_an_upstreams_error_is_the_clients_to_read(door: Running):
    reply = ask(door, model="error")
    assert (reply.status_code, reply.json()) == (500, {"error": {"message": "out of order"}})
    assert reply.headers["x-fipo-outcome"] == "optimized"


def test_everything_else_under_v1_is_forwarded(door: Running):
    reply = httpx.put(
        f"{door.base_url}/files/a%20b?x=1&y=%2F", content=b"\x00\x01", headers={"authorization": "Bearer k", "x-a": "b"}
    )
    assert reply.status_code == 200
    request = door.upstream.requests[-1]
    assert (request["method"], request["path"], request["query"]) == ("PUT", "/v1/files/a%20b", "x=1&y=%2F")
    assert (request["body"], request["headers"]["authorization"], request["headers"]["x-a"]) == (
        b"\x00\x01",
        "Bearer k",
        "b",
    )
    assert httpx.get(f"{door.address}/elsewhere").status_code == 404


def test_headers_of_one_connection_stay_on_it_and_none_is_added(door: Running):
    httpx.post(
        f"{door.base_url}/embeddings",
        content=b"{}",
        headers={"connection": "close, x-hop", "x-hop": "1", "te": "trailers", "proxy-authorization": "p", "x-a": "b"},
    )
    headers = door.upstream.requests[-1]["headers"]
    assert "x-hop" not in headers
    assert not {"te", "proxy-authorization", "transfer-encoding"} & headers.keys()
    assert headers["content-length"] == "2"
    assert headers["host"] not in door.address


def test_a_cookie_of_one_client_is_no_other_clients(door: Running):
    first = ask(door)
    assert first.headers["set-cookie"] == "a=b"
    ask(door)
    assert "cookie" not in door.upstream.requests[-1]["headers"]
    ask(door, headers={"cookie": "c=d"})
    assert door.upstream.requests[-1]["headers"]["cookie"] == "c=d"


def test_a_proxy_is_for_other_machines(monkeypatch: pytest.MonkeyPatch):
    from fipo_model.serve.remote import _proxy_for

    monkeypatch.setenv("https_proxy", "http://a:b@proxy.example:3128")
    monkeypatch.setenv("no_proxy", "near.example")
    found = _proxy_for("https://api.example/v1")
    assert found is not None
    assert (bytes(found.url), found.auth) == (b"http://proxy.example:3128/", (b"a", b"b"))
    assert _proxy_for("https://near.example/v1") is None
    assert _proxy_for("https://localhost/v1") is None


@pytest.mark.parametrize("stray", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nSTRAY"])
def test_what_an_upstream_says_unasked_is_nobodys_reply(stray: bytes):
    from fipo_model.serve.remote import RemoteUpstream

    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine"
    with replying(reply + stray, times=2) as behind, gateway(upstream=RemoteUpstream(f"{behind}/v1")) as running:
        assert ask(running).text == "mine"
        assert ask(running).status_code == (502 if stray else 200)
        assert ask(running).text == "mine"


async def test_a_server_with_tls_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from fipo_model.serve.remote import RemoteUpstream
    from fipo_model.serve.upstream import Call

    certificate = certify_localhost(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(LARGE)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        upstream = RemoteUpstream(f"https://localhost:{server.sockets[0].getsockname()[1]}/v1")
        call = Call(method="POST", path=b"/x", query=b"", headers=[], body=b"0123456789" * (LARGE // 10))
        async with upstream.open(call) as reply:
            assert b"".join([chunk async for chunk in reply.chunks]) == call.body
        await upstream.close()


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b"", 502),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 502),
        (b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nno chunk\r\n", None),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", None),
    ],
)
def test_an_upstream_that_speaks_no_http_is_told_apart_from_a_reply(reply: bytes, status: int | None):
    from fipo_model.serve.remote import RemoteUpstream

    with replying(reply) as behind, gateway(upstream=RemoteUpstream(f"{behind}/v1")) as running:
        if status is None:  # the reply had begun, and must not look whole
            with pytest.raises(httpx.RemoteProtocolError):
                ask(running)
        else:
            answer = ask(running)
            assert answer.status_code == status
            assert answer.json()["error"]["type"] == "fipo_gateway"
        assert httpx.get(f"{running.address}/healthz").text == "ok\n"


def test_a_reply_in_chunks_has_no_length_whatever_the_upstream_says():
    from fipo_model.serve.remote import RemoteUpstream

    both = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"
    with replying(both) as behind, gateway(upstream=RemoteUpstream(f"{behind}/v1")) as running:
        reply = ask(running)
        assert (reply.text, "content-length" in reply.headers) == ("0123456789", False)
        assert 'fipo_requests_total{status="200"} 1.0' in httpx.get(f"{running.address}/metrics").text


@pytest.mark.parametrize("is_between", [False, True])
def test_a_gateway_that_is_its_own_upstream_says_so_at_once(is_between: bool):
    from fipo_model.serve.remote import RemoteUpstream

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    other: Any = gateway(upstream=RemoteUpstream(f"{address}/v1")) if is_between else nullcontext(None)
    with other as between:
        behind = between.address if between else address
        with gateway(upstream=RemoteUpstream(f"{behind}/v1"), port=port) as running:
            reply = ask(running)
    assert reply.status_code == 508
    assert "its own upstream" in reply.json()["error"]["message"]


def test_a_client_cannot_make_a_gateway_believe_that_it_is_its_own_upstream(door: Running):
    assert ask(door, headers={"x-fipo-via": "0123456789abcdef"}).status_code == 200
    via = door.upstream.requests[-1]["headers"]["x-fipo-via"]
    assert via.startswith("0123456789abcdef,")
    assert ask(door, headers={"x-fipo-via": "a", "x-fipo-x": "b"}).status_code == 200
    assert "x-fipo-x" not in door.upstream.requests[-1]["headers"]


def test_no_upstream_and_one_that_is_silent_are_told_in_words():
    from fipo_model.serve.remote import RemoteUpstream

    with gateway(upstream=RemoteUpstream("http://user:secret@127.0.0.1:9/v1")) as running:
        reply = ask(running)
        assert reply.status_code == 502
        assert "cannot be reached" in reply.json()["error"]["message"]
        assert "secret" not in reply.text
    limits = Limits(reply_time=0.3, stopping_time=2)
    with gateway(settings(limits=limits)) as running:
        reply = ask(running, model="slow")
        assert (reply.status_code, "in time" in reply.text) == (504, True)


def test_a_password_in_the_upstreams_address_is_for_clients_without_a_key():
    from fipo_model.serve.remote import RemoteUpstream
    from support.gateways import running as serving

    fake = FakeUpstream()
    with serving(fake) as behind:
        address = behind.replace("http://", "http://user:pass@") + "/v1"
        with gateway(upstream=RemoteUpstream(address)) as running:
            ask(running)
            ask(running, headers={"authorization": "Bearer own"})
    assert [request["headers"]["authorization"] for request in fake.requests] == ["Basic dXNlcjpwYXNz", "Bearer own"]


def test_metrics_count_and_name_no_prompt(door: Running):
    ask(door)
    ask(door, headers={"x-fipo": "off", "authorization": "Bearer key"})
    httpx.get(f"{door.base_url}/models?secret=1")
    told = httpx.get(f"{door.address}/metrics").text
    assert 'fipo_outcomes_total{outcome="optimized",role="system"} 1.0' in told
    assert 'fipo_requests_total{status="200"} 3.0' in told
    assert not [word for word in ("tides", "secret", "key") if word in told]


@pytest.mark.parametrize(
    ("log", "has_lines", "has_prompts"), [("nothing", 0, 0), ("requests", 1, 0), ("prompts", 1, 1)]
)
def test_a_log_has_prompts_only_where_somebody_asks_for_them(log: str, has_lines: int, has_prompts: int, caplog: Any):
    caplog.set_level("INFO", "fipo_model.serve")
    with gateway(settings(log=log)) as running:
        ask(running, headers={"authorization": "Bearer key"})
    assert ("POST /v1/chat/completions 200" in caplog.text) == bool(has_lines)
    assert ("tides" in caplog.text) == bool(has_prompts)
    assert "key" not in caplog.text


def test_streams_end_before_the_gateway_does():
    received: list[bytes] = []
    is_begun = threading.Event()

    def read(address: str) -> None:
        body = {"model": "echo", "stream": True, "messages": [SYSTEM]}
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body) as reply:
            for piece in reply.iter_raw():
                received.append(piece)
                is_begun.set()

    with gateway() as running:
        reader = threading.Thread(target=read, args=(running.address,))
        reader.start()
        assert is_begun.wait(5)
    reader.join()
    assert b"".join(received) == b"".join(EVENTS) + DONE
