"""Every notebook runs from its first cell to its last, on the default weights and offline.

python tests/test_notebooks.py      runs them in Jupyter's kernel, and stores what they print

The tests run them in IPython without a kernel: Jupyter's client sometimes waits for ever for its own heartbeat, which
opens a socket while the sockets are being closed (jupyter_client 8.10, pyzmq 27.3).
"""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))
LARGEST = 60_000
"""Bytes of a notebook with its outputs."""


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs; raises what a cell raises."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    return notebook


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs if output.get("name") == "stdout")


EXPECTED = {
    "any_prompt": "your prompt",
    "langchain_rag": "1 of 1 text rewritten",
    "dspy_program": "runs of the program",
}


@pytest.mark.real
@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path, tmp_path: Path):
    command = [sys.executable, "-m", "IPython", "--no-banner", path.name]
    ran = subprocess.run(
        command,
        cwd=path.parent,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert EXPECTED[path.stem] in ran.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stored_and_small_and_of_no_machine(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST
    assert EXPECTED[path.stem] in printed(notebook)
    text = path.read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(Path(__file__).parents[2]) not in text
    assert all(output.get("name") != "stderr" for cell in notebook.cells for output in cell.get("outputs", ()))


def store(path: Path) -> None:
    """Run a notebook, and store it without progress bars and warnings."""
    notebook = executed(path)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for wanted in NOTEBOOKS:
        store(wanted)
        sys.stdout.write(f"{wanted.name}: {wanted.stat().st_size} bytes\n")
