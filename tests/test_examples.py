"""Every example runs, on the default weights and offline, and ends as its page says it does."""

import asyncio
import re
from xml.etree import ElementTree

import pytest

from support.examples import EXAMPLES, example

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def examples_on_the_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))  # they import `downstream`, as they do when they are run


def test_the_quickstart_keeps_the_three_promises(capsys: pytest.CaptureFixture[str]):
    example("quickstart").main()
    printed = capsys.readouterr().out
    _, gained, lost, chosen, langchain, dspy = re.split(r"\n\d\. .*─\n", printed)
    assert gained.count("of 10 right") == 2  # with both prompts
    refused, _, accepted = lost.partition("turned down: ")
    assert "at most 50 words" in refused
    assert accepted.startswith("lost the number '50 words'")
    assert "passes" in accepted
    assert "of 10 right  (your prompt alone)" in chosen
    assert "\nFIPO's  " in langchain
    assert "\nFIPO's  " in dspy
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) <= 100


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_readmes_pictures_are_small_and_fetch_nothing(name: str):
    picture = (EXAMPLES.parent / "docs" / "images" / f"demo-{name}.svg").read_text(encoding="utf-8")
    assert len(picture.encode()) < 60_000
    root = ElementTree.fromstring(picture)
    assert "fipo" in "".join(root.itertext())
    assert re.findall(r"https?://[^\"' ]+|url\([^#]", picture) == ["http://www.w3.org/2000/svg"]


def test_the_chain_with_notes_answers_with_both_prompts(capsys: pytest.CaptureFixture[str]):
    example("rag_chain").main()
    printed = capsys.readouterr().out
    assert "1 of 1 text rewritten" in printed
    assert "five euros" in printed.partition("optimized:")[2]


def test_the_classifying_chain_gives_out_tickets(capsys: pytest.CaptureFixture[str]):
    example("classification_chain").main()
    printed = capsys.readouterr().out
    assert "original: " in printed
    assert "optimized: " in printed.partition("original: ")[2]


def test_the_agents_prompt_is_rewritten_once_for_four_steps(capsys: pytest.CaptureFixture[str]):
    example("agent").main()
    printed = capsys.readouterr().out
    assert "tool: The opening hours on Saturday are: 8 to 13." in printed
    assert "model steps: 4; rewriting steps: 1 [" in printed  # its prompt says enough; weights to come may differ


def test_requests_that_come_together_are_answered_together(capsys: pytest.CaptureFixture[str]):
    asyncio.run(example("service").serve())
    assert "8 together" in capsys.readouterr().out
