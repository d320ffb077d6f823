"""`fipo compare`: what both comparisons share, and what they say where something is missing."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fipo_model.cli import app
from fipo_model.comparing.failures import describe_failure
from fipo_model.comparing.intervals import mean_interval
from fipo_model.evaluation import made

# What Python says of a package that is not installed, whatever is.
WITHOUT = """
import sys

class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without)
from fipo_model.cli import main
main()
"""
COMMANDS = {"chain": ["chain", "x:y", "--data", "rows.jsonl"], "optimizers": ["optimizers", "--data", "sets"]}


def compare(command: str, absent: str, folder: Path) -> Any:
    """Run a command in a process of its own, in which a package is not installed."""
    arguments = [sys.executable, "-c", WITHOUT.format(absent=absent), "compare", *COMMANDS[command]]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.parametrize(
    ("command", "absent", "extra"),
    [("chain", "scipy", "compare"), ("chain", "langchain_core", "compare"), ("optimizers", "dspy", "optimizers")],
)
def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, command: str, absent: str, extra: str) -> None:
    done = compare(command, absent, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    advice = f"this needs the package '{absent}', which is not installed: pip install '.[{extra}]', in a clone of FIPO"
    assert done.stderr == f"fipo: error: {advice}\n"


def test_a_dspy_that_is_too_old_is_told_apart_from_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "dspy").mkdir()
    (tmp_path / "dspy" / "__init__.py").touch()  # DSPy before 3.4 has no engines
    done = compare("optimizers", "nothing", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fipo: error: this needs the package 'dspy.lm15'")


@pytest.mark.parametrize("command", COMMANDS)
def test_neither_comparison_guesses_where_the_data_are(command: str) -> None:
    without_data = COMMANDS[command][:-2]
    done = CliRunner().invoke(app, ["compare", *without_data])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Missing option '--data'" in done.stderr


def test_a_failure_is_short_and_can_be_written() -> None:
    assert describe_failure(ValueError("no"), most=100) == "ValueError: no"
    assert describe_failure(ValueError("half \ud83d"), most=100).encode() == b"ValueError: half ?"
    assert describe_failure(ValueError("x" * 50), most=20) == "ValueError: xxxxxxxx"


def test_of_one_value_there_is_no_interval() -> None:
    assert mean_interval([0.5], seed=0) is None
    found = mean_interval([0.0, 1.0, 1.0, 0.0], seed=0)
    assert found is not None
    assert found["low"] < found["value"] == 0.5 < found["high"]


def test_a_run_is_described_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    run = made.describe_run({}, seed=0, started=datetime.now(UTC), seconds=1.0)
    assert run.hardware.gpu is None
