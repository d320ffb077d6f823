"""Paths that nobody may look at, and names that no file can have, are told in one line at every door."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fipo_model import cli, places
from fipo_model.errors import InputError
from fipo_model.models.registry import DEFAULT
from support.files import write
from support.permissions import needs_capabilities, without_roots_powers

LONG = "x" * 300
ROW = {"id": 1, "prompt": "Explain rain.", "good_res": "Yes.", "bad_res": "No.", "optimized_prompt": "Explain it well."}
RECIPE = b"""
output = "unset"
[data.own]
path = "rows.jsonl"
[systems.repeat]
kind = "repeat"
"""
DOORS = {
    "model": ("optimize", "hi", "--model", "PLACE"),
    "gguf": ("optimize", "hi", "--model", "gguf:PLACE"),
    "adapter": ("optimize", "hi", "--adapter", "PLACE"),
    "template": ("optimize", "hi", "--template", "PLACE"),
    "context": ("optimize", "hi", "--context", "PLACE"),
    "input": ("optimize", "--input", "PLACE", "--output", "out.jsonl"),
    "output": ("optimize", "--input", "rows.jsonl", "--output", "PLACE"),
    "rank": ("data", "rank", "rows.jsonl", "PLACE", "--repeat"),
    "rank's input": ("data", "rank", "PLACE", "out.jsonl", "--repeat"),
    "stats": ("data", "stats", "PLACE"),
    "diversify": ("data", "diversify", "rows.jsonl", "PLACE"),
    "diversify's input": ("data", "diversify", "PLACE", "out.jsonl"),
    "build": ("data", "build", "rows.jsonl", "PLACE", "--strong", "http://127.0.0.1:9/v1#m", "--dry-run"),
    "build's input": ("data", "build", "PLACE", "out.jsonl", "--strong", "http://127.0.0.1:9/v1#m", "--dry-run"),
    "eval": ("eval", "recipe.toml", "--set", "output=PLACE"),
    "recipe": ("eval", "PLACE"),
    "merge": ("weights", "merge", "PLACE", "out"),
    "merge's output": ("weights", "merge", "PLACE/adapter", "PLACE"),
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that everybody may use, with `locked`, which will be."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o777)
        locked = folder / "locked"
        locked.mkdir()
        write(folder / "rows.jsonl", ROW)
        (folder / "recipe.toml").write_bytes(RECIPE)
        monkeypatch.chdir(folder)
        yield folder
        locked.chmod(0o700)


@pytest.fixture
def locked(here: Path) -> Iterator[Path]:
    place = here / "locked"
    place.chmod(0)
    with without_roots_powers():
        yield place / "it"


def told(arguments: tuple[str, ...], place: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> str:
    """What a command says of a place that it cannot use; anything but FIPO's own errors passes through."""
    monkeypatch.setattr(sys, "argv", ["fipo", *(argument.replace("PLACE", place) for argument in arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("fipo: error: ")]
    assert len(error) == 1
    return error[0]


@needs_capabilities
@pytest.mark.parametrize("arguments", DOORS.values(), ids=DOORS)
def test_what_nobody_may_look_at_is_told_in_a_line(locked: Path, monkeypatch, capfd, arguments):
    assert "Permission denied" in told(arguments, str(locked), monkeypatch, capfd)


@pytest.mark.parametrize("arguments", DOORS.values(), ids=DOORS)
def test_a_name_that_is_too_long_is_told_in_a_line(here: Path, monkeypatch, capfd, arguments):
    told(arguments, str(here / LONG), monkeypatch, capfd)


@pytest.mark.parametrize("length", [245, 250, 252, 255])
@pytest.mark.parametrize("door", ["output", "rank", "diversify", "build"])
def test_a_name_to_which_nothing_can_be_added_is_told_first(here: Path, monkeypatch, capfd, door, length):
    if length == 245 and door != "build":
        pytest.skip("only the reports of build have so long an ending")
    error = told(DOORS[door], str(here / ("y" * length)), monkeypatch, capfd)
    assert "too long" in error
    assert not [name for name in os.listdir(here) if name.startswith("y")]


@needs_capabilities
@pytest.mark.parametrize("command", [("list",), ("path",), ("verify",), ("pull",), ("remove", "smollm2-135m")])
@pytest.mark.parametrize("how", ["locked", "long"])
def test_a_cache_that_cannot_be_looked_at_is_told_in_a_line(locked: Path, monkeypatch, capfd, command, how):
    monkeypatch.setenv("FIPO_CACHE", str(locked.parent if how == "locked" else locked.parents[1] / LONG))
    assert "FIPO_CACHE" in told(("weights", *command), "", monkeypatch, capfd)


@needs_capabilities
@pytest.mark.parametrize("mode", [0, 0o444])
def test_weights_that_cannot_be_read_are_in_the_list_and_stay(here: Path, monkeypatch, capfd, mode):
    monkeypatch.setenv("FIPO_CACHE", str(here))
    kept = here / DEFAULT.name
    kept.mkdir()
    (kept / "config.json").touch()
    kept.chmod(mode)
    with without_roots_powers():
        monkeypatch.setattr(sys, "argv", ["fipo", "weights", "list"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        assert "yes, but it" in capfd.readouterr().out
        for command in (("path",), ("verify",), ("pull",), ("remove", "default")):
            assert "Permission denied" in told(("weights", *command), "", monkeypatch, capfd)
    kept.chmod(0o700)
    assert os.listdir(kept) == ["config.json"]


def test_a_link_that_leads_to_itself_is_told_in_a_line(here: Path, monkeypatch, capfd):
    (here / "loop").symlink_to(here / "loop")
    for door in ("model", "output", "rank", "build", "merge's output", "eval"):
        told(DOORS[door], str(here / "loop"), monkeypatch, capfd)


def test_what_is_there_is_told_from_what_is_not(tmp_path: Path):
    (tmp_path / "file").touch()
    found = [
        (places.exists(one), places.is_file(one), places.is_directory(one))
        for one in (tmp_path, tmp_path / "file", tmp_path / "no", tmp_path / "file" / "no")
    ]
    assert found == [(True, False, True), (True, True, False), (False, False, False), (False, False, False)]
    with pytest.raises(InputError, match="null"):
        places.exists(tmp_path / "a\0b")
