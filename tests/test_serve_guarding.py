"""Who may ask a gateway, and how much: other sites, other machines, too much, too slowly, paths that lead elsewhere."""

import json
import random
import socket
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest

from fipo_model.errors import InputError
from fipo_model.serve.chats import find_prompts, replaced
from fipo_model.serve.settings import Limits, ServeSettings
from support.gateways import Running, exchange, gateway

TOKEN = "a-token-of-some-length"


def settings(**changes: Any) -> ServeSettings:
    return ServeSettings(**{"log": "nothing", "limits": Limits(stopping_time=2), **changes})


@pytest.fixture(scope="module")
def door() -> Any:
    with gateway() as running:
        yield running


@pytest.fixture(scope="module")
def hurried() -> Any:
    """A gateway with little patience and room."""
    limits = Limits(body=1000, header=4096, header_time=0.4, body_time=0.4, connections=8, stopping_time=1)
    with gateway(settings(limits=limits)) as running:
        yield running


def get(running: Running, path: str = "/v1/models", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(f"{running.address}{path}", headers=named)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "127.0.0.1:80"}, 200),
        ({"host": "[::1]:80"}, 200),
        ({"host": "rebound.example"}, 421),
        ({"host": "localhost.example"}, 421),
        ({"host": "127.0.0.1.example:8300"}, 421),
        ({"host": "127.0.0.1@rebound.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "localhost", "origin": "http://localhost"}, 200),
        ({"host": "localhost:1", "origin": "http://localhost:2"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 403),
    ],
)
def test_other_sites_and_other_names_are_not_answered(door: Running, headers: dict[str, str], status: int):
    before = len(door.upstream.requests)
    assert get(door, **headers).status_code == status
    assert len(door.upstream.requests) - before == (status == 200)
    assert get(door, "/api/state", **headers).status_code == status


def test_a_link_on_another_site_opens_the_page(door: Running):
    assert get(door, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status_code == 200
    assert get(door, "/page.js", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status_code == 403


def test_with_a_token_every_name_is_answered_to_those_who_know_it():
    with gateway(settings(token=TOKEN)) as running:
        assert get(running, host="gateway.example").status_code == 401
        assert get(running, host="gateway.example", x_fipo_token="a-token-of-some-lengtH").status_code == 401
        assert get(running, "/metrics").status_code == 401
        assert get(running, "/api/state").status_code == 401
        assert get(running, "/").status_code == 200
        assert get(running, "/healthz").status_code == 200
        assert running.upstream.requests == []
        reply = get(running, host="gateway.example", x_fipo_token=TOKEN, authorization="Bearer upstream-key")
        assert reply.status_code == 200
        headers = running.upstream.requests[-1]["headers"]
        assert headers["authorization"] == "Bearer upstream-key"
        assert TOKEN not in str(headers)
        assert get(running, origin="https://evil.example", x_fipo_token=TOKEN).status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "gateway.example"])
def test_another_interface_needs_a_token(host: str):
    with pytest.raises(InputError, match="token"):
        ServeSettings(host=host)
    assert ServeSettings(host=host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize("changes", [{"token": "short"}, {"token": "a token with many spaces"}, {"roles": ("tool",)}])
def test_settings_that_make_no_sense_are_told(changes: dict[str, Any]):
    with pytest.raises(InputError):
        ServeSettings(**changes)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/v1/models/a%20b/c:d@e", 200),
        (b"/v1/../metrics", 400),
        (b"/v1/./models", 400),
        (b"/v1/%2e%2e/admin", 400),
        (b"/v1/%252e%252e/admin", 400),
        (b"/v1/%25252525252e/x", 400),
        (b"/v1/a%2f..%2fb", 400),
        (b"/v1/a%2Fb", 400),
        (b"/v1/a%3fb", 400),
        (b"/v1/a%23b", 400),
        (b"/v1/a%5c..", 400),
        (b"/v1/a\\..", 400),
        (b"/v1//admin", 400),
        (b"/v1/%0d%0ax:1", 400),
        (b"/v1/a%00", 400),
        (b"/%76%31/models", 404),
        (b"//v1/models", 404),
        (b"/admin", 404),
        (b"http://other.example/v1/models", 404),
        (b"/v1", 404),
    ],
)
def test_paths_that_servers_read_in_different_ways_are_refused(door: Running, path: bytes, status: int):
    before = len(door.upstream.requests)
    said = exchange(door.address, b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert said.split(b"\r\n")[0].split()[1] == str(status).encode()
    assert len(door.upstream.requests) - before == (status == 200)


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\nhost: localhost\r\nx: a\rb\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\nhost : localhost\r\n\r\n",
        b"GET /v1/x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
)
def test_requests_that_smuggle_another_are_refused(door: Running, request_: bytes):
    before = len(door.upstream.requests)
    said = exchange(door.address, request_, seconds=1)
    assert said.split(b"\r\n")[0].split()[1] in (b"400", b"501")
    assert len(door.upstream.requests) == before


def test_a_body_that_is_too_large_is_refused_before_it_is_read(hurried: Running):
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    told = exchange(hurried.address, head + b"content-length: 20971520\r\n\r\n", seconds=2)
    assert told.startswith(b"HTTP/1.1 413 ")
    chunks = b"200\r\n" + b"x" * 512 + b"\r\n"
    told = exchange(hurried.address, head + b"transfer-encoding: chunked\r\n\r\n" + 3 * chunks, seconds=2)
    assert told.startswith(b"HTTP/1.1 413 ")
    assert hurried.upstream.requests == []


def test_twenty_mebibytes_do_no_harm(door: Running):
    before = len(door.upstream.requests)
    body = json.dumps({"messages": [{"role": "system", "content": "x" * (20 * 2**20)}]})
    with suppress(httpx.WriteError):  # where it is told before it has sent everything
        assert httpx.post(f"{door.base_url}/chat/completions", content=body).status_code == 413
    assert len(door.upstream.requests) == before
    body = json.dumps({"model": "m", "messages": [{}] * (3 * 2**20)})  # which would take a gigabyte
    started = time.monotonic()
    assert httpx.post(f"{door.base_url}/chat/completions", content=body, timeout=30).status_code == 200
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("rest", ["x", " ", " x"])
def test_what_follows_a_body_costs_next_to_nothing(rest: str):
    body = '{"messages": [{"role": "system", "content": "Explain tides."}]}'
    before = time.thread_time()
    found = find_prompts(body + rest * (2**24 // len(rest)), ("system",))
    assert time.thread_time() - before < 0.7
    assert len(found) == (rest == " ")


def test_large_headers_and_slow_ones_end_the_connection(hurried: Running):
    said = exchange(hurried.address, b"GET /v1/x HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 9000)
    assert said.split(b"\r\n")[0].split()[1] in (b"400", b"431")
    for begun in (b"", b"GET /v1/x HTTP/1.1\r\nhost: lo"):
        started = time.monotonic()
        assert exchange(hurried.address, begun) == b""
        assert time.monotonic() - started < 2
    host, _, port = hurried.address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:  # a letter now and then is no excuse
        started = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - started < 5:
                connection.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("path", "more"), [(b"/v1/x", b"x: " + b"a" * 5000), (b"/v1/" + b"a" * 5000, b""), (b"/v1/x", b"a:\r\n" * 1000)]
)
def test_large_headers_that_arrive_at_once_are_refused(hurried: Running, path: bytes, more: bytes):
    said = exchange(hurried.address, b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n" + more + b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 431 ")
    assert hurried.upstream.requests == []
    small = b"GET /v1/" + b"a" * 1500 + b" HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 1500 + b"\r\n\r\n"
    assert exchange(hurried.address, small).startswith(b"HTTP/1.1 200 ")
    hurried.upstream.requests.clear()


@pytest.mark.parametrize("target", [b"/v1/models", b"localhost:80"])
def test_nobody_gets_a_tunnel(door: Running, target: bytes, caplog: pytest.LogCaptureFixture):
    before = len(door.upstream.requests)
    said = exchange(door.address, b"CONNECT " + target + b" HTTP/1.1\r\nhost: localhost\r\n\r\nabc")
    assert said.startswith(b"HTTP/1.1 405 ")
    assert b"no tunnels" in said
    assert len(door.upstream.requests) == before
    assert "Exception" not in caplog.text


def test_a_second_request_on_a_connection_may_not_dawdle_either(hurried: Running):
    whole = b"GET /v1/x HTTP/1.1\r\nhost: localhost\r\n\r\n"
    started = time.monotonic()
    said = exchange(hurried.address, whole + whole[:20])
    assert said.count(b"HTTP/1.1 200") == 1
    assert time.monotonic() - started < 2


def test_a_slow_body_is_told(hurried: Running):
    head = b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc"
    assert exchange(hurried.address, head, seconds=3).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/x HTTP/1.1\r\nhost: rebound.example", b"421"),
        (b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example", b"403"),
        (b"POST /nowhere HTTP/1.1\r\nhost: localhost", b"404"),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost", b"200"),
    ],
)
def test_whoever_is_answered_may_not_go_on_with_a_body_for_ever(hurried: Running, head: bytes, status: bytes):
    host, _, port = hurried.address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head + b"\r\ncontent-length: 100000\r\n\r\n")
        assert connection.recv(65536).split()[1] == status
        started = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - started < 5:
                connection.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() - started < 2


def test_whoever_is_refused_before_the_end_of_a_body_is_told_and_may_ask_again(hurried: Running):
    host, _, port = hurried.address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\n")
        time.sleep(0.1)
        connection.sendall(b"abc")
        assert connection.recv(65536).split()[1] == b"404"
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(65536).split()[1] == b"200"


def test_a_slow_reply_is_no_slow_request(hurried: Running):
    body = {"model": "slow", "messages": [{"role": "user", "content": "Hi."}]}
    hurried.upstream.delay = 1.0
    assert httpx.post(f"{hurried.base_url}/chat/completions", json=body).status_code == 200


def test_too_many_connections_are_told(hurried: Running):
    host, _, port = hurried.address.removeprefix("http://").rpartition(":")
    time.sleep(0.6)  # what others opened is closed
    held = [socket.create_connection((host, int(port))) for _ in range(12)]
    try:
        time.sleep(0.1)  # an HTTP client would take too long to make: those that wait are closed after 0.4 s
        said = exchange(hurried.address, b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in held:
            connection.close()
    time.sleep(0.2)
    assert get(hurried).status_code == 200


def _odd(chance: random.Random, value: Any) -> Any:
    """A value with something in it replaced, left out or doubled."""
    odd = [None, True, 0, -1, 1e308, "", "x", "\ud800", "\u0000", [], {}, [[]], {"a": 1}, "{x}" * 9, "🦜", value]
    if chance.random() < 0.04:
        return chance.choice(odd)
    if isinstance(value, dict):
        return {
            chance.choice([*[name] * 30, name.upper(), ""]): _odd(chance, each)
            for name, each in value.items()
            if chance.random() > 0.02
        }
    return (
        [_odd(chance, each) for each in value for _ in range(chance.choice([1, 1, 1, 1, 2]))]
        if isinstance(value, list)
        else value
    )


_CHAT = {
    "model": "echo",
    "messages": [
        {"role": "system", "content": "Explain tides."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "How?"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"arguments": "{}"}}]},
    ],
    "stream": False,
    "tools": [],
}


def _fuzzed(chance: random.Random) -> bytes:
    body = json.dumps(_odd(chance, _CHAT), ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        at = chance.randrange(len(body) + 1)
        body = (
            body[:at]
            + chance.choice([b"", b"\x00", b"\xff", b'"', b"{", b"}", b",", b"\\", b"[" * 50])
            + body[at + 1 :]
        )
    return body


def test_of_ten_thousand_odd_bodies_nothing_but_the_text_changes():
    chance = random.Random(21)
    found = 0
    for _ in range(10_000):
        text = _fuzzed(chance).decode("utf-8", "replace")
        for prompt in find_prompts(text, ("system", "user")):
            found += 1
            assert json.loads(text[slice(*prompt.span)]) == prompt.text
            changed = replaced(text, {prompt.span: "OTHER"})
            assert changed.replace('"OTHER"', text[slice(*prompt.span)], 1) == text
            assert _places(json.loads(changed), json.loads(text)) == 1
    assert found > 2000


def _places(one: Any, other: Any) -> int:
    """In how many places two values differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return sum(_places(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return sum(map(_places, one, other))
    return int(one != other)


def test_odd_requests_never_bring_about_an_error_of_ours(door: Running):
    chance = random.Random(22)
    paths = ["chat/completions", "models", "chat/completions?x=%00", "a" * 3000, "é"]
    with httpx.Client(base_url=door.base_url) as client:
        for _ in range(400):
            name = chance.choice(["x-fipo", "x-a", "accept", "content-type", "content-encoding"])
            value = chance.choice([b"off", b"\xff\xfe", b"gzip", b"a" * 2000, b""])
            path = chance.choice(paths)
            method = chance.choice(["POST", "POST", "GET", "DELETE", "OPTIONS", "PATCH", "ODD"])
            reply = client.request(method, path, content=_fuzzed(chance), headers={name: value})
            assert reply.headers.get("x-upstream") == "fake" or reply.status_code in (400, 404), reply.text
            assert reply.status_code < 500 or reply.headers["x-upstream"] == "fake"
    assert "fipo_in_flight 0.0" in httpx.get(f"{door.address}/metrics").text


@pytest.mark.parametrize("name", ["commitments", "propose", "check", "save"])
def test_odd_requests_to_the_pages_api_are_told_what_is_wrong(door: Running, name: str):
    chance = random.Random(23)
    like = {"prompt": "Explain tides.", "text": "Explain tides. Be brief.", "examples": [{"input": "a", "output": "b"}]}
    with httpx.Client(base_url=f"{door.address}/api/") as client:
        for _ in range(60):
            reply = client.post(
                name, content=json.dumps(_odd(chance, like)), headers={"content-type": "application/json"}
            )
            assert reply.status_code in (200, 400, 422), reply.text
            assert reply.status_code == 200 or reply.json()["error"]
        assert client.post(name, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
        assert client.post(name, content=b"[" * 10**6, headers={"content-type": "application/json"}).status_code == 400
        assert client.post(name, json={"text": "x" * 2**21}).status_code == 413
        assert client.get(name).status_code == 405
