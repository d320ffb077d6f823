"""Every code block of docs/langchain.md runs, in order, as it stands there."""

import re
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel

from fipo_integrations.langchain import default
from fipo_model import PromptOptimizer
from fipo_model.backends import opening
from fipo_model.testing import ScriptedGenerator

PAGE = Path(__file__).parents[1] / "docs" / "langchain.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def rewrite(conversation: list) -> str:
    naive = conversation[-1]["content"].removeprefix("Naive prompt:\n").partition("\n\n")[0]
    return f"{naive} Answer in plain sentences and give a reason for each statement."


def test_every_block_of_the_page_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    optimizer = PromptOptimizer(ScriptedGenerator(rewrite))
    monkeypatch.setattr(PromptOptimizer, "from_pretrained", lambda *args, **kwargs: optimizer)
    monkeypatch.setattr(opening, "open_generator", lambda *args, **kwargs: optimizer.rewriter.generator)
    default._load.cache_clear()
    names = {"model": FakeListChatModel(responses=["Yes."])}
    for place, block in enumerate(BLOCKS):
        exec(compile(block, f"{PAGE.name}, block {place}", "exec"), names)
    default._load.cache_clear()
    assert len(BLOCKS) >= 10
    assert names["report"].is_rewritten
    printed = capsys.readouterr().out
    assert "messages[0].prompt.template: optimized" in printed
    assert "optimized Name three rivers. -> Name three rivers. Answer in plain sentences" in printed
