"""`fipo serve` as a process: what it says when it starts, when it cannot, and when it is told to stop."""

import asyncio
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fipo_model.serve.descriptors import tell_shortage_once
from fipo_model.serve.opening import lacks_v1
from fipo_model.serve.running import make_server
from fipo_model.serve.settings import Limits
from support.gateways import DONE, EVENTS, FakeUpstream, running
from support.servers import completion, free_port, serving

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "FIPO_TOKEN"}


def fipo(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fipo_model.cli", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)


@contextmanager
def started(*options: str, before: Any = None) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command, and its address once it has said it."""
    command = [sys.executable, "-m", "fipo_model.cli", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=before)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"its page (http://\S+?)/$", said.strip())
        assert found is not None, said + process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def frozen(tmp_path: Path) -> list[str]:
    """The options of a gateway that loads no model."""
    (tmp_path / "store.jsonl").write_text("")
    return ["--store", str(tmp_path / "store.jsonl"), "--frozen"]


def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path, frozen: list[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        wrong = [
            (["--upstream", "http://localhost:1/v1", "--port", port], "Address already in use"),
            ([], "--upstream"),
            (["--upstream", "http://localhost:1/v1", "--host", "0.0.0.0"], "FIPO_TOKEN"),
            (["--upstream", "http://localhost:1/v1", "--frozen"], "--store"),
            (["--upstream", "http://localhost:1/v1#name", "--port", "0", *frozen], "leave out"),
            (["--upstream", "no-such-model", "--port", "0", *frozen], "no-such-model"),
            (["--upstream", "http://localhost:1/v1", "--roles", "tool"], "tool"),
            (["--upstream", "http://localhost:1/v1", "--log", "everything"], "everything"),
        ]
        for options, words in wrong:
            found = fipo(*options)
            assert (found.returncode, found.stdout) == (1, "")
            assert found.stderr.count("\n") == 1, found.stderr
            assert words in found.stderr


def test_a_store_that_is_none_is_told(tmp_path: Path):
    (tmp_path / "store.jsonl").write_text('{"key": 3}\n')
    found = fipo("--upstream", "http://localhost:1/v1", "--store", str(tmp_path / "store.jsonl"))
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)
    assert "line 1" in found.stderr


def test_it_forwards_logs_no_prompt_and_finishes_streams_when_told_to_stop(frozen: list[str]):
    received: list[bytes] = []
    is_begun = threading.Event()

    def read(address: str) -> None:
        body: Any = {"model": "echo", "stream": True, "messages": [{"role": "system", "content": "Explain tides."}]}
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body) as reply:
            for piece in reply.iter_raw():
                received.append(piece)
                is_begun.set()

    with running(FakeUpstream()) as behind, started("--upstream", f"{behind}/v1", *frozen) as (process, address):
        assert httpx.get(f"{address}/healthz").text == "ok\n"
        reader = threading.Thread(target=read, args=(address,))
        reader.start()
        assert is_begun.wait(20)
        process.send_signal(signal.SIGTERM)
        reader.join()
        assert process.wait(20) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    assert b"".join(received) == b"".join(EVENTS) + DONE
    assert re.search(r"fipo: POST /v1/chat/completions 200 \d+ ms system=unchanged\n", told)
    assert told.endswith("fipo: stopped\n")
    assert "tides" not in told


@pytest.mark.parametrize("model", ["rewriter", "upstream"])
def test_a_model_that_is_asked_does_not_keep_it_from_stopping(model: str):
    is_asked, is_free = threading.Event(), threading.Event()

    def slowly(_: Any, __: int) -> Any:
        is_asked.set()
        is_free.wait(60)
        return completion()

    body = {"model": "m", "messages": [{"role": "system", "content": "Explain tides."}]}
    with serving(slowly) as (slow, _), running(FakeUpstream()) as fast:
        behind = slow if model == "upstream" else f"{fast}/v1"
        options = ["--upstream", behind, "--model", f"{slow}#m", "--deadline", "100", "--grace", "0.9"]
        try:
            with started(*options) as (process, address), ThreadPoolExecutor(1) as pool:
                asking = pool.submit(httpx.post, f"{address}/v1/chat/completions", json=body, timeout=30)
                assert is_asked.wait(20)
                if model == "rewriter":
                    assert asking.result().headers["x-fipo-outcome"] == "late"
                before = time.monotonic()
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
                assert time.monotonic() - before < 5
                assert process.stderr is not None
                assert process.stderr.read().endswith("fipo: stopped\n")
        finally:
            is_free.set()


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_what_is_under_way_when_it_stops_leaves_no_traceback(frozen: list[str], signals: list[signal.Signals]):
    grace = "0.5" if len(signals) == 1 else "20"
    half = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc"
    with running(FakeUpstream()) as behind, ExitStack() as held:
        options = ["--upstream", f"{behind}/v1", "--grace", grace, *frozen]
        process, address = held.enter_context(started(*options))
        host, _, port = address.removeprefix("http://").rpartition(":")
        body = b'{"model": "endless", "stream": true}'
        whole = half.replace(b"100", str(len(body)).encode())[:-3] + body
        for request in (half, whole):
            connection = held.enter_context(socket.create_connection((host, int(port)), timeout=20))
            connection.sendall(request)
        assert connection.recv(100)
        for each in signals:
            process.send_signal(each)
            time.sleep(0.5)
        assert process.wait(20) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    assert "Traceback" not in told
    assert told.endswith("fipo: stopped\n")


def with_descriptors(soft: int, hard: int) -> Any:
    """What a child process does before it begins, so that it may have so many files open."""
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this system gives too few descriptors")
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_as_many_descriptors_as_the_system_allows_are_taken(frozen: list[str]):
    options = ["--upstream", "http://localhost:1/v1", "--max-connections", "200", *frozen]
    with started(*options, before=with_descriptors(100, 500)) as (process, address):
        assert httpx.get(f"{address}/healthz").text == "ok\n"  # from now on a signal ends it in peace
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "fipo: stopped\n"


def test_without_descriptors_there_are_fewer_connections_and_no_tracebacks(frozen: list[str]):
    options = ["--upstream", "http://localhost:1/v1", *frozen]
    with ExitStack() as held, started(*options, before=with_descriptors(128, 128)) as (process, address):
        host, _, port = address.removeprefix("http://").rpartition(":")
        for _ in range(160):
            held.enter_context(socket.create_connection((host, int(port)), timeout=5))
        time.sleep(2.5)  # asyncio tries again every second
        held.close()
        for _ in range(100):
            if is_back := httpx.get(f"{address}/healthz", timeout=20).text == "ok\n":
                break
            time.sleep(0.1)
        assert is_back
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        told = process.stderr.read().splitlines()
    assert told == [
        "fipo: there are file descriptors for 32 connections, not for 1100; "
        "`ulimit -n 2264` before the start would be enough",
        "fipo: there are no more file descriptors; new connections wait until others have ended",
        "fipo: stopped",
    ]


async def test_the_next_attempt_to_accept_is_silent_if_nobody_listens_any_more(caplog: Any):
    loop: Any = asyncio.get_running_loop()
    tell_shortage_once(loop)
    with socket.socket() as listener:
        pass
    loop.call_exception_handler(
        {"message": "accept", "exception": OSError(errno.EMFILE, "too many"), "socket": listener}
    )
    loop.call_soon(loop._start_serving, None, listener)  # as asyncio does after a second
    await asyncio.sleep(0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    loop.call_exception_handler({"message": "something else"})
    assert caplog.records[-1].levelname == "ERROR"


@contextmanager
def unwritable(kind: str) -> Iterator[int]:
    """A file descriptor to which nothing can be written: a full disk, or a pipe that nobody reads any more."""
    if kind == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("kind", ["full disk", "closed pipe"])
def test_a_log_that_cannot_be_written_costs_nothing_but_the_log(kind: str):
    body = {"model": "echo", "messages": [{"role": "system", "content": "Explain tides."}]}
    port = str(free_port())
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "fipo_model.cli", "serve", "--port", port]
    with serving(lambda _, __: ({}, 401)) as (failing, _), running(FakeUpstream()) as behind:
        command += ["--upstream", f"{behind}/v1", "--model", f"{failing}#m"]
        with unwritable(kind) as log, subprocess.Popen(command, stderr=log, env=ENVIRONMENT) as process:
            try:
                with httpx.Client(transport=httpx.HTTPTransport(retries=7), timeout=20) as client:
                    assert client.get(f"{address}/healthz").text == "ok\n"
                    for _ in range(2):
                        reply = client.post(f"{address}/v1/chat/completions", json=body)
                        assert (reply.status_code, reply.headers["x-fipo-outcome"]) == (200, "failed")
                    lost = re.search(r"fipo_lost_log_lines ([\d.]+)", client.get(f"{address}/metrics").text)
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            finally:
                process.kill()
    assert lost is not None
    assert float(lost[1]) >= 4  # the address, the rewriter's failure, two requests


def test_a_fraction_of_a_second_is_grace_too():
    assert make_server(FakeUpstream(), Limits(stopping_time=0.9)).config.timeout_graceful_shutdown == 0.9


def listing(statuses: dict[str, int]) -> Any:
    """A server that has a status for each path that it may be asked for."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            status = statuses[scope["path"]]
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})

    return app


@pytest.mark.parametrize(
    ("base", "statuses", "is_forgotten"),
    [
        ("", {"/models": 404, "/v1/models": 200}, True),
        ("/api/", {"/api/models": 404, "/api/v1/models": 401}, True),  # asks for a key
        ("", {"/models": 200, "/v1/models": 200}, False),
        ("", {"/models": 404, "/v1/models": 404}, False),
        ("", {"/models": 404, "/v1/models": 503}, False),
        ("/v1", {"/v1/models": 404, "/v1/v1/models": 200}, False),
    ],
)
def test_a_forgotten_v1_is_noticed(base: str, statuses: dict[str, int], is_forgotten: bool):
    with running(listing(statuses)) as address:
        assert lacks_v1(f"{address}{base}") is is_forgotten


def test_an_upstream_that_is_not_there_yet_is_not_waited_for():
    assert not lacks_v1("http://127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = time.monotonic()
        assert not lacks_v1(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - before < 10


def test_a_forgotten_v1_is_said_in_one_line(frozen: list[str]):
    with running(listing({"/models": 404, "/v1/models": 200})) as root:
        command = [sys.executable, "-m", "fipo_model.cli", "serve", "--port", "0", "--upstream", root, *frozen]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
            assert process.stderr is not None
            said = process.stderr.readline()
            process.kill()
    assert said == f"fipo: {root} has no models, but {root}/v1 has: start again with --upstream {root}/v1\n"
