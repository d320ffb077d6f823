"""The page for strangers: its code runs, in order, with scripted models."""

import re
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest

import fipo_integrations.dspy as integration
from fipo_integrations.dspy import local
from fipo_model.rewriter import Rewriter
from fipo_model.testing import ScriptedGenerator
from support.dspy_programs import optimizer, task_lm

pytestmark = pytest.mark.usefixtures("no_dspy_cache")

PAGE = (Path(__file__).parents[1] / "docs" / "dspy.md").read_text(encoding="utf-8")
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CODE = set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)))


def sort_ticket(instruction: str, ticket: str) -> str:
    topic = "refund" if "money" in ticket and "carefully" in instruction else "delivery"
    return f"[[ ## reasoning ## ]]\nIt says so.\n\n[[ ## topic ## ]]\n{topic}\n\n[[ ## completed ## ]]"


@pytest.fixture
def _scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(Rewriter, "from_pretrained", lambda *, role: optimizer().rewriter)
    unused = ScriptedGenerator(lambda _: "never asked")
    monkeypatch.setattr(local, "open_generator", lambda model, **_: unused if isinstance(model, str) else model)
    monkeypatch.setattr(dspy, "configure", lambda **_: None)  # what is in use below stays so
    monkeypatch.chdir(tmp_path)
    with dspy.context(lm=task_lm(sort_ticket)):
        yield


@pytest.mark.usefixtures("_scripted")
def test_the_code_on_the_page_runs_and_does_what_the_page_says(capsys):
    assert len(BLOCKS) == PAGE.count("```python") == 6
    names: dict[str, object] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"block {number} of docs/dspy.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "predict optimized refund, delivery or other" in shown
    assert re.search(r"^At most \d+ runs of the program .* 1 at a time; the rewriter's time", shown, re.MULTILINE)
    assert "\n100.0 {'value': 50.0" in shown
    assert re.search(r"\n(\d+) of \1 were not paid for again", shown)
    assert Path("runs/tickets/report.json").exists()
    assert "carefully" in names["compiled"].predict.signature.instructions


@pytest.mark.real
@pytest.mark.parametrize("page", [PAGE, README], ids=["dspy.md", "README"])
def test_what_the_first_program_is_said_to_become_it_becomes(page, capsys, default_weights: Path):
    """A stranger's first program once stayed as it was, because the rewriter was a little unsure of its words."""
    code, printed = re.search(
        r"^```python\n(import dspy\nfrom fipo_integrations[^`]*)^```\n\n```\n([^`]*)^```", page, re.MULTILINE
    ).groups()
    exec(compile(code, "the first program", "exec"), {"__name__": "first"})
    shown = capsys.readouterr().out
    words = set(re.findall(r"\w+", printed))
    assert "Judge" in shown or "Decide" in shown
    assert len(words & set(re.findall(r"\w+", shown))) >= 0.8 * len(words)  # rounding may change a word


def test_the_names_on_the_page_exist():
    named = {
        "candidates",
        "minibatch_size",
        "significance",
        "max_metric_calls",
        "max_seconds",
        "metric_threshold",
        "log_dir",
    }
    assert named <= CODE & set(integration.SearchSettings.__dataclass_fields__)
    assert {name for name in integration.__all__ if name in PAGE} == set(integration.__all__)
