"""The page about the search: its code runs, in order, with scripted models."""

import re
from pathlib import Path

import pytest

import fipo_model.search
from fipo_model import PromptOptimizer
from fipo_model.backends import opening
from fipo_model.models.registry import CARDS
from fipo_model.search import SearchSettings
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

PAGE = (Path(__file__).parents[1] / "docs" / "search.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CODE = set(re.findall(r"`([A-Za-z_]+)`", re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)))
CARE = "Consider every part of it carefully."


def answers(asked) -> str:
    text = asked[-1]["content"]
    return "positive" if "fine" in text or CARE not in text else "negative"


def test_the_code_on_the_page_runs_and_does_what_the_page_says(monkeypatch, tmp_path, capsys):
    scripted = PromptOptimizer(ScriptedGenerator(lambda asked: f"{naive_in(asked)} {CARE}"))
    proposes_many = {card.name: scripted for card in CARDS if "proposing" in card.adapters}
    monkeypatch.setattr(PromptOptimizer, "from_pretrained", proposes_many.__getitem__)
    monkeypatch.setattr(opening, "open_generator", lambda spec, role: ScriptedGenerator(answers, name=spec))
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) == PAGE.count("```python") == 5
    names: dict[str, object] = {"sort_mail": lambda text, mail: CARE in text or "order" in mail}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"block {number} of docs/search.md", "exec"), names)
    shown = capsys.readouterr().out
    assert f"Is the review positive? {CARE}\noptimized" in shown
    assert f"over the first: Is the review positive? {CARE}" in shown
    assert "{'sort': 'Sort the mail. Consider every part of it carefully.'}" in shown
    assert (tmp_path / "runs" / "reviews" / "report.html").is_file()


@pytest.mark.parametrize("name", sorted(set(SearchSettings.__dataclass_fields__) - {"seed", "max_examples"}))
def test_the_page_tells_what_a_setting_does(name):
    assert name in CODE or f"{name}=" in PAGE


@pytest.mark.parametrize("name", ["Subject", "Measured", "Proposer", "RewriterProposer", "Part", "Search"])
def test_names_that_the_page_tells_to_use_exist(name):
    assert name in CODE
    assert name in fipo_model.search.__all__
