"""What `fipo serve` costs, and whether it holds: `python benchmarks/gateway.py latency|streams|deadline|paint`.

A gateway and an upstream run as separate processes on this machine; this process is the client. `latency`: a known
prompt at 50 requests a second, in turns with the upstream itself. `streams`: many at a time, for a while, from an
upstream that sometimes fails or dawdles; each event is checked to belong to its own request. `deadline`: unknown
prompts. `paint`: the page in Chromium.
"""

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fipo_model import OptimizationRequest
from fipo_model.store import key_of

KNOWN = "Explain tides."
EVENTS = 20
PAINTS = 16
FAILING, SLOW = 0.05, 0.05


async def upstream(scope: Any, receive: Any, send: Any) -> None:
    """Repeats the last text, whole or in events. Requests fail, break off or take long if their text says so."""
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    fields = json.loads(body)
    said = fields["messages"][-1]["content"]
    media_type = b"text/event-stream" if fields.get("stream") else b"application/json"
    if "slow" in said:
        await asyncio.sleep(2)
    status = 500 if "failing" in said else 200
    reply = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
    length = [] if fields.get("stream") and status == 200 else [(b"content-length", str(len(reply)).encode())]
    headers = [(b"content-type", media_type), *length]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if length:
        await send({"type": "http.response.body", "body": reply})
        return
    for number in range(EVENTS):
        if "cut" in said and number == EVENTS // 2:
            return
        event = f"data: {json.dumps({'id': said, 'number': number})}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def serve_upstream() -> None:
    """Run the upstream, and print its address."""
    from fipo_model.serve.running import address_of, bind, serve
    from fipo_model.serve.settings import Limits, ServeSettings

    listener = bind(ServeSettings(port=0))
    print(address_of(listener), flush=True)
    serve(upstream, listener, Limits(connections=100_000))


@contextmanager
def process(command: list[str], found: str) -> Iterator[tuple[int, str]]:
    """A process and its address, as soon as it prints that."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            said = ""
            while not (match := re.search(found, said)):
                line = running.stdout.readline() if running.stdout else ""
                if not line:
                    sys.exit(said)
                said += line
            yield running.pid, match[1]
        finally:
            running.terminate()


@contextmanager
def gateway(*options: str, store: bool = True) -> Iterator[tuple[int, str, str]]:
    """A gateway in front of an upstream: its process, its address and the upstream's."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "store.jsonl"
        row = {"key": key_of(OptimizationRequest(KNOWN)), "naive": KNOWN, "text": f"{KNOWN} Be brief."}
        path.write_text(json.dumps(row) + "\n")
        own = ["--store", str(path), "--frozen"] if store else []
        with process([sys.executable, __file__, "upstream"], r"(http://\S+)") as (_, behind):
            command = [sys.executable, "-m", "fipo_model.cli", "serve", "--upstream", f"{behind}/v1", "--port", "0"]
            command += ["--log", "nothing", "--max-connections", "100000", *own, *options]
            with process(command, r"its page (http://\S+?)/\s") as (pid, address):
                yield pid, address, behind


class Connection:
    """A kept-alive connection for one request at a time: less work than a whole client library."""

    def __init__(self, address: str) -> None:
        self.host, _, port = address.removeprefix("http://").rpartition(":")
        self.port = int(port)
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, said: str, *, system: str = KNOWN, stream: bool = False) -> tuple[int, bytes]:
        """The status of a reply, and as much of its body as came."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
        body = json.dumps({"model": "m", "stream": stream, "messages": messages}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self.host}\r\ncontent-length: {len(body)}\r\n\r\n"
        if self.streams is not None and self.streams[0].at_eof():  # servers close what is idle
            self.close()
        self.streams = self.streams or await asyncio.open_connection(self.host, self.port)
        reader, writer = self.streams
        writer.write(head.encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(told.split()[1])
        length = re.search(r"content-length: (\d+)", told)
        if length:
            return status, await reader.readexactly(int(length[1]))
        received = b""
        try:
            async for chunk in chunks(reader):
                received += chunk
        except asyncio.IncompleteReadError:
            self.close()
        return status, received

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a reply (RFC 9112, section 7.1)."""
    while size := int((await reader.readuntil(b"\r\n")), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


async def paced(address: str, seconds: float, rate: float) -> list[float]:
    """The milliseconds each request took; they begin at a steady pace, however long the others take."""
    free: list[Connection] = []
    taken: list[float] = []

    async def one(number: int) -> None:
        connection = free.pop() if free else Connection(address)
        started = time.perf_counter()
        status, body = await connection.ask(f"number {number}")
        taken.append(1000 * (time.perf_counter() - started))
        assert status == 200, body
        assert f"number {number}" in body.decode()
        free.append(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            group.create_task(one(number))
    for connection in free:
        connection.close()
    return taken


def quantiles(taken: list[float]) -> str:
    ordered = sorted(taken)
    return f"p50 {statistics.median(ordered):.2f} ms, p99 {ordered[int(0.99 * len(ordered))]:.2f} ms"


def latency(seconds: float, rate: float) -> None:
    """Rounds of the upstream alone and of the gateway in front of it, in turns."""
    direct: list[float] = []
    through: list[float] = []
    with gateway() as (pid, address, behind):
        asyncio.run(paced(address, 2, rate))  # connections, caches
        asyncio.run(paced(behind, 2, rate))
        used = 0.0
        idle, began = idle_seconds(), time.perf_counter()
        for _ in range(4):
            direct += asyncio.run(paced(behind, seconds / 4, rate))
            before = processor_seconds(pid)
            through += asyncio.run(paced(address, seconds / 4, rate))
            used += processor_seconds(pid) - before
        busy = 1 - (idle_seconds() - idle) / (time.perf_counter() - began)
        metrics = urllib.request.urlopen(f"{address}/metrics").read().decode()
    added = [statistics.median(through) - statistics.median(direct)]
    added += [sorted(through)[int(0.99 * len(through))] - sorted(direct)[int(0.99 * len(direct))]]
    print(f"{len(through)} requests at {rate:g}/s: upstream {quantiles(direct)}; gateway {quantiles(through)}")
    print(
        f"added: p50 {added[0]:.2f} ms, p99 {added[1]:.2f} ms; processor {1000 * used / len(through):.2f} ms a request"
    )
    print(f"the cores that this may use were busy for {busy:.0%} of the time, with this and whatever else ran")
    total, count = (read_number(rf"preparing_seconds_{name} (\S+)", metrics) for name in ("sum", "count"))
    print(f"from a chat's body to what is sent upstream: {1000 * total / count:.3f} ms on average")


def streams(many: int, seconds: float) -> None:
    """Many streams at a time; what came of them, and the gateway's memory."""
    counts: Counter[str] = Counter()
    with gateway() as (pid, address, _):
        memory = asyncio.run(streaming(address, pid, many, seconds, counts))
        time.sleep(1)
        metrics = urllib.request.urlopen(f"{address}/metrics").read().decode()
        left = read_number(r"(?m)^fipo_in_flight (\S+)", metrics)
    print(f"{many} at a time for {seconds:.0f} s: {dict(counts)}; left in flight {left:.0f}")
    third = len(memory) // 3
    print(f"memory: {max(memory[:third]):.0f} MiB in the first third, {max(memory[-third:]):.0f} MiB in the last")
    if counts["mixed up"] or counts["lost"] or left:
        sys.exit("requests were lost, mixed up or left behind")


async def streaming(address: str, pid: int, many: int, seconds: float, counts: Counter[str]) -> list[float]:
    chance = random.Random(21)
    memory: list[float] = []
    last = time.monotonic() + seconds

    async def client(place: int) -> None:
        connection = Connection(address)
        turn = 0
        while time.monotonic() < last:
            turn += 1
            drawn = chance.random()
            how = "failing" if drawn < FAILING / 2 else "cut" if drawn < FAILING else "fine"
            how = "slow" if FAILING <= drawn < FAILING + SLOW else how
            said = f"{place}.{turn} {how}"
            try:
                counts[judged(said, how, *await connection.ask(said, stream=True))] += 1
            except (OSError, asyncio.IncompleteReadError, ValueError):
                counts["lost"] += 1
                connection.close()
        connection.close()

    async with asyncio.TaskGroup() as group:
        for place in range(many):
            group.create_task(client(place))
            await asyncio.sleep(1 / many)
        while time.monotonic() < last:
            memory.append(mebibytes(pid))
            await asyncio.sleep(1)
    return memory


def judged(said: str, how: str, status: int, body: bytes) -> str:
    """What came of a request: a correct reply, one mixed up with another, or none."""
    events = [json.loads(line[6:]) for line in body.decode().split("\n\n") if line.startswith("data: {")]
    if any(event["id"] != said for event in events) or [e["number"] for e in events] != list(range(len(events))):
        return "mixed up"
    if how == "failing":
        return "failed as asked" if status == 500 else "lost"
    expected = EVENTS // 2 if how == "cut" else EVENTS
    is_whole = body.endswith(b"data: [DONE]\n\n") != (how == "cut")
    return ("cut as asked" if how == "cut" else how) if len(events) == expected and is_whole else "lost"


def deadline(many: int) -> None:
    """Unknown prompts, one after another, with the default weights at work on each."""
    with gateway("--deadline", "300", store=False) as (_, address, behind):
        asyncio.run(one_by_one(address, 2))
        direct, through = asyncio.run(one_by_one(behind, many)), asyncio.run(one_by_one(address, many))
    more = [one - statistics.median(direct) for one in through]
    print(f"{many} unknown prompts: {statistics.median(more):.0f} ms more than the upstream, {max(more):.0f} at most")


async def one_by_one(address: str, many: int) -> list[float]:
    connection = Connection(address)
    taken = []
    for number in range(many):
        started = time.perf_counter()
        await connection.ask("Go on.", system=f"Explain why {random.random()} of all tides are high. {number}")
        taken.append(1000 * (time.perf_counter() - started))
        await asyncio.sleep(0.5)
    connection.close()
    return taken


def paint() -> None:
    """First paint of the page as Chromium measures it, in turns with that of a word of plain text."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.browsing import start_browser  # type: ignore[import-not-found]

    script = "return performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)"
    taken: dict[str, list[float]] = {"/": [], "/healthz": []}
    with gateway() as (_, address, _), TemporaryDirectory() as profile:
        browser = start_browser(Path(profile))
        for number in range(PAINTS + 1):
            for path, found in taken.items():
                browser.get(f"{address}{path}")
                time.sleep(0.5)
                found += browser.execute_script(script) if number else []  # a browser's first one takes longer
        browser.quit()
    for path, found in taken.items():
        print(f"first paint of {path}: {min(found):.0f} ms at best, {statistics.median(found):.0f} ms median")


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_seconds() -> float:
    """How long the cores that this process may use have done nothing, on average (proc(5))."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    own = [int(fields[4]) for fields in lines if fields[0] in {f"cpu{core}" for core in os.sched_getaffinity(0)}]
    return statistics.mean(own) / os.sysconf("SC_CLK_TCK")


def read_number(pattern: str, text: str) -> float:
    """The number that a pattern finds in a text."""
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"nothing looks like {pattern}")
    return float(found[1])


def mebibytes(pid: int) -> float:
    """Memory that a process has (proc(5))."""
    return read_number(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["latency", "streams", "deadline", "paint", "upstream"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--many", type=int, default=100, help="streams at a time, or prompts")
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    told = parser.parse_args()
    work = {
        "latency": lambda: latency(told.seconds, told.rate),
        "streams": lambda: streams(told.many, told.seconds),
        "deadline": lambda: deadline(told.many),
        "paint": paint,
        "upstream": serve_upstream,
    }
    with suppress(KeyboardInterrupt):
        work[told.what]()


if __name__ == "__main__":
    main()
