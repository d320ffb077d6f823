"""What resumable jobs stand on: one process on an output, its settings, and ledgers of what is finished."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fipo_model import PromptOptimizer, jsonl
from fipo_model.bulk import optimize_file
from fipo_model.errors import InputError
from fipo_model.jobs import (
    SETTINGS,
    append,
    claimed_directory,
    claimed_file,
    completed,
    differences,
    finished_rows,
    is_vacant,
)
from fipo_model.testing import ScriptedGenerator

POSIX = pytest.mark.skipif(not hasattr(signal, "pause"), reason="needs POSIX signals")

HOLDING = """
import signal, sys
from pathlib import Path
from fipo_model import jobs
claim, output, ready, told = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where the tests run
with getattr(jobs, claim)(Path(output), kind="a job") as job:
    if told == "told":
        job.begin({"seed": 0})
    Path(ready).touch()
    signal.pause()
"""

REWRITING = """
import signal, sys
from pathlib import Path
from fipo_model import PromptOptimizer
from fipo_model.bulk import optimize_file
from fipo_model.testing import ScriptedGenerator
source, target, ready = map(Path, sys.argv[1:])
def reply(conversation):
    if "number 2" in conversation[-1]["content"]:
        ready.touch()
        signal.pause()
    return "Explain it with one example."
optimize_file(PromptOptimizer(ScriptedGenerator(reply)), source, target, batch_size=1, report=lambda *_: None)
"""


@contextmanager
def running(code: str, ready: Path, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs `code` and has said that it is where it should be."""
    with ready.with_name("stderr").open("wb") as said:
        child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=said)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ready.exists(), ready.with_name("stderr").read_text()
        yield child
    finally:
        child.kill()
        child.wait()


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


# One process at a time


@POSIX
@pytest.mark.parametrize("claim", [claimed_directory, claimed_file])
def test_a_second_process_is_told_at_once_and_takes_over_when_the_first_is_dead(tmp_path: Path, claim: Any) -> None:
    output, ready = tmp_path / "out", tmp_path / "ready"
    with running(HOLDING, ready, claim.__name__, output, ready, "told") as first:
        started = time.monotonic()
        for _ in range(2):  # who is told leaves the claim as it is
            with (
                pytest.raises(InputError, match=rf"another process \(pid {first.pid}\) is at work on {output};"),
                claim(output, kind="a job"),
            ):
                raise AssertionError("it was let in")
        assert time.monotonic() - started < 5
        first.kill()
        first.wait()
        with claim(output, kind="a job") as job:
            assert job.settings is None  # it had noted something, but done nothing
            job.begin({"seed": 1})
            append(job.directory / "rows.jsonl", [{"id": 1}])
        assert names(job.directory) == ["rows.jsonl", SETTINGS]


@POSIX
@pytest.mark.parametrize("told", ["told", "silent"])
def test_ctrl_c_leaves_no_claim(tmp_path: Path, told: str) -> None:
    output, ready = tmp_path / "out", tmp_path / "ready"
    with running(HOLDING, ready, "claimed_directory", output, ready, told) as child:
        child.send_signal(signal.SIGINT)
        assert child.wait() != 0
    assert "KeyboardInterrupt" in (tmp_path / "stderr").read_text()
    assert not output.exists()


def test_threads_of_one_process_are_kept_apart_too(tmp_path: Path) -> None:
    with (
        claimed_directory(tmp_path / "out", kind="a job"),
        pytest.raises(InputError, match="this process is at work on"),
        claimed_directory(tmp_path / "out", kind="a job"),
    ):
        raise AssertionError("it was let in")


CROWDING = """
import os, sys
from pathlib import Path
from fipo_model.errors import InputError
from fipo_model.jobs import claimed_directory
output, busy = map(Path, sys.argv[1:])
entered = 0
while entered < 40:
    try:
        with claimed_directory(output, kind="a job"):
            os.close(os.open(busy, os.O_CREAT | os.O_EXCL))  # fails where another one is in
            busy.unlink()
            entered += 1
    except InputError as error:
        assert "at work on" in str(error), error
"""


def test_there_are_never_two_in_a_place_that_many_enter_and_leave(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CROWDING, str(tmp_path / "out"), str(tmp_path / "busy")]
    crowd = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [one.communicate()[1] for one in crowd] == [""] * 3
    assert names(tmp_path) in ([], ["out"])


@POSIX
def test_two_bulk_runs_on_one_output(tmp_path: Path) -> None:
    source, target, ready = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "ready"
    source.write_text("".join(json.dumps({"instruction": f"Explain topic number {i}."}) + "\n" for i in range(4)))
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)
    loaded = []

    def load() -> PromptOptimizer:
        loaded.append(True)
        return PromptOptimizer(ScriptedGenerator(lambda _: "Explain it with one example."))

    def run(output: Path) -> None:
        optimize_file(load, source, output, batch_size=1, report=lambda *_: None)

    with running(REWRITING, ready, source, target, ready) as first:
        for output in (target, link):
            with pytest.raises(InputError, match=rf"another process \(pid {first.pid}\)"):
                run(output)
        assert not loaded  # it was told before the model was loaded
        first.kill()
        first.wait()
    assert [row["id"] for row in finished_rows(target, "id")] == [1, 2]
    run(link)
    assert [row["id"] for row in finished_rows(target, "id")] == [1, 2, 3, 4]
    assert names(tmp_path) == ["in.jsonl", "link.jsonl", "out.jsonl", "out.jsonl.work", "ready", "stderr"]
    assert names(tmp_path / "out.jsonl.work") == [SETTINGS]


# What a job was told


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    with claimed_directory(tmp_path / "out", kind="a job") as job:
        job.begin({"seed": 0, "data": {"limit": None, "path": "a"}, "names": ("x", "y")})
        append(job.directory / "rows.jsonl", [{"id": 1}])
    with claimed_directory(tmp_path / "out", kind="a job") as job:
        job.begin({"seed": 0, "data": {"limit": None, "path": "a"}, "names": ["x", "y"], "new": None})
    changed = r"data\.limit was not set and is now 5; names was \[\"x\", \"y\"\] and is now not set\. Resume it with"
    with claimed_directory(tmp_path / "out", kind="a job") as job:
        job.check({"seed": 0})
        with pytest.raises(InputError, match=rf"out holds a job with other settings: {changed}"):
            job.begin({"seed": 0, "data": {"limit": 5, "path": "a"}})
    assert names(tmp_path / "out") == ["rows.jsonl", SETTINGS]


def test_what_a_reader_understands_comes_before_digests() -> None:
    before = {"examples": "0d8ccbe4aa12ff00", "rows": "24 (0d8ccbe4aa12)", "seed": 0, "added": 12345678}
    now = {"examples": "ffccbe4aa12ff000", "rows": "24 (ffccbe4aa12f)", "seed": 1, "added": 87654321}
    told = [one.split()[0] for one in differences(before, now).split("; ")]
    assert told == ["seed", "added", "examples", "rows"]


def test_many_and_long_differences_are_shortened() -> None:
    told = differences({}, {f"key{i}": "x" * 1000 for i in range(10)})
    assert told.endswith("; and 4 more")
    assert len(told) < 1000


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_settings_do_not_differ_from_themselves_on_disk(settings: dict[str, Any]) -> None:
    noted = json.loads(json.dumps(settings, ensure_ascii=False).encode("utf-8", "replace"))
    assert differences(noted, settings) == ""


def test_no_note_has_a_password(tmp_path: Path) -> None:
    server = "http://ann:secret@host:8000/v1#m"
    told = {"judge": f"m at {server}", "systems": {"served": {"models": [server]}}, "mail": "ann@host"}
    with claimed_directory(tmp_path / "out", kind="a job") as job:
        job.begin(told)
        append(job.directory / "rows.jsonl", [{"id": 1}])
    assert "secret" not in (tmp_path / "out" / SETTINGS).read_text()
    with claimed_directory(tmp_path / "out", kind="a job") as job:
        assert job.settings == {
            "judge": "m at http://host:8000/v1#m",
            "systems": {"served": {"models": ["http://host:8000/v1#m"]}},
            "mail": "ann@host",
        }
        job.begin(told)  # the same, whatever the password
        with pytest.raises(InputError) as refused:
            job.begin({**told, "judge": "http://ann:secret@other/v1#m"})
    assert "secret" not in str(refused.value)


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text('{"seed": ')
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(InputError, match=r"settings\.json is damaged: not JSON"), claimed_directory(tmp_path, kind="x"):
        raise AssertionError("it was let in")


# A job that could not begin


@pytest.mark.parametrize("claim", [claimed_directory, claimed_file])
@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt])
def test_a_job_that_fails_before_it_wrote_anything_leaves_nothing(tmp_path: Path, claim: Any, error: Any) -> None:
    output = tmp_path / "out"

    def fail() -> None:
        with claim(output, kind="a job") as job:
            job.begin({"seed": 0})
            if job.is_file:
                jsonl.check_writable(output)
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []
    with claim(output, kind="a job") as job:
        job.begin({"seed": 1})
        append(job.directory / "rows.jsonl", [{"id": 1}])
    before = names(job.directory)
    with pytest.raises(InputError, match="seed was 1 and is now 0"):
        fail()
    assert names(job.directory) == before


def test_a_job_that_failed_later_keeps_its_note(tmp_path: Path) -> None:
    def fail(output: Path) -> None:
        with claimed_file(output, kind="a job") as job:
            job.begin({"seed": 0})
            append(output, [{"id": 1}])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "out.jsonl")
    assert names(tmp_path / "out.jsonl.work") == [SETTINGS]


def test_what_is_somebody_elses_is_refused_and_left_alone(tmp_path: Path) -> None:
    directory, file = tmp_path / "directory", tmp_path / "file"
    directory.mkdir()
    (directory / "notes").write_text("mine")
    file.write_text("mine")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / SETTINGS).write_text('{"color": "red"}')

    def begin(claim: Any, output: Path) -> None:
        with claim(output, kind="a job") as job:
            job.begin({"seed": 0})

    for claim, output, told in (
        (claimed_directory, directory, "is not empty and does not hold a job"),
        (claimed_directory, file, "cannot write to .*file: not a directory"),
        (claimed_directory, file / "out", "cannot write to .*file/out: Not a directory"),
        (claimed_directory, theirs, 'with other settings: color was "red" and is now not set'),
        (claimed_file, file, r"does not hold a job \(there is no file\.work/settings\.json"),
        (claimed_file, directory, "not a file"),
        (claimed_file, tmp_path / "nowhere" / "out", "cannot write to .*nowhere"),
    ):
        with pytest.raises(InputError, match=told):
            begin(claim, output)
    assert names(tmp_path) == ["directory", "file", "theirs"]
    assert (names(directory), names(theirs)) == (["notes"], [SETTINGS])
    assert file.read_text() == "mine"


def test_a_directory_is_vacant_until_a_first_file_is_whole(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    assert is_vacant(directory)
    directory.mkdir()
    with jsonl.replacing(directory / SETTINGS):
        (killed,) = directory.iterdir()
        assert is_vacant(directory)  # as a kill at this moment would leave it
    assert not killed.exists()
    assert not is_vacant(directory)
    assert is_vacant(directory, apart_from={SETTINGS})
    assert not is_vacant(directory / SETTINGS)


def test_folders_without_files_are_no_results(tmp_path: Path) -> None:
    output = tmp_path / "out"

    def fail_early(seed: int) -> None:
        with claimed_directory(output, kind="a job") as job:
            job.begin({"seed": seed})
            (output / "measured" / "deep").mkdir(parents=True)
            raise RuntimeError("early")

    for seed in (0, 1):
        with pytest.raises(RuntimeError, match="early"):
            fail_early(seed)
        assert not output.exists()
    (output / "measured" / "deep").mkdir(parents=True)
    assert is_vacant(output)
    (output / "measured" / "deep" / "rows.jsonl").touch()
    assert not is_vacant(output)
    (output / "measured" / "deep" / "rows.jsonl").unlink()
    (output / "link").symlink_to(tmp_path)
    assert not is_vacant(output)


@POSIX
def test_a_killed_job_with_nothing_but_folders_leaves_its_output_free(tmp_path: Path) -> None:
    output, ready = tmp_path / "out", tmp_path / "ready"
    with running(HOLDING, ready, "claimed_directory", output, ready, "told") as child:
        (output / "measured" / "deep").mkdir(parents=True)
        child.kill()
        child.wait()
    with claimed_directory(output, kind="a job") as job:
        assert job.settings is None


# Ledgers


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_half_written_line_is_cut_off_and_made_again(tmp_path: Path, cut: int) -> None:
    path, asked = tmp_path / "sub" / "rows.jsonl", []

    def double(batch: Any) -> list[dict[str, int]]:
        asked.append(list(batch))
        return [{"double": 2 * number} for number in batch]

    items = {f"n{i}": i for i in range(5)}
    whole = completed(path, items, double, at_once=2)
    before = path.read_bytes()
    assert asked == [[0, 1], [2, 3], [4]]
    path.write_bytes(before[:-cut])
    assert completed(path, items, double, at_once=2) == whole
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"mine", b'{"my": 1}', b'{"my": 1}\n', b"[]\n", b"\n", b'{"key": []}\n', b'{"key": "a"}\n\xff\n']
)
def test_a_line_of_somebody_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"rows\.jsonl is not this job's output: its line \d is damaged, or not a row"):
        completed(path, {"a": 1, "b": 2}, lambda batch: [{} for _ in batch])
    assert path.read_bytes() == content


def test_each_batch_is_on_disk_before_the_next_begins(tmp_path: Path) -> None:
    path, seen, told = tmp_path / "rows.jsonl", [], []

    def compute(batch: Any) -> list[dict[str, int]]:
        seen.append(path.read_bytes().count(b"\n") if path.exists() else 0)
        return [{"value": one} for one in batch]

    completed(path, {str(i): i for i in range(5)}, compute, at_once=2, report=told.append)
    assert (seen, told) == ([0, 2, 4], [2, 4, 5])


FULL = """
import resource, sys
from pathlib import Path
from fipo_model import jobs, jsonl
from fipo_model.errors import FipoError
path, what = Path(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    if what == "ledger":
        jobs.completed(path, {str(i): i for i in range(50)}, lambda batch: [{"value": i} for i in batch], at_once=2)
    else:
        jsonl.write_json(path, list(range(1000)))
except FipoError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits on the size of a file")
@pytest.mark.parametrize("what", ["ledger", "whole"])
def test_a_disk_that_is_full_is_told_in_one_line_and_the_job_resumes(tmp_path: Path, what: str) -> None:
    path = tmp_path / "rows.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, str(path), what], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (told,) = done.stdout.splitlines()
    assert told.startswith(f"cannot write to {path}: File too large")
    if what == "whole":
        assert names(tmp_path) == []
    else:
        found = completed(path, {str(i): i for i in range(50)}, lambda batch: [{"value": i} for i in batch])
        assert [fields["value"] for fields in found.values()] == list(range(50))
