"""Every DSPy example runs, on the default weights and offline, and ends as its page says it does.

What the default weights make of an instruction changes with their training; what is checked here must not.
"""

import logging
import re
from collections.abc import Iterator

import pytest

from support.examples import example

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def warnings_about_long_replies_as_before() -> Iterator[None]:
    logger = logging.getLogger("dspy.clients.lm")
    before = logger.level
    yield
    logger.setLevel(before)


def test_the_classifier_is_compiled_within_its_budget_and_never_below(capsys: pytest.CaptureFixture[str]):
    example("dspy_classification").main()
    printed = capsys.readouterr().out
    assert re.search(r"at most \d+ runs of the program", printed)
    runs, before, after = re.search(r"(\d+) runs; ([\d.]+) % before, ([\d.]+) % after", printed).groups()
    assert int(runs) <= 60
    assert float(after) >= float(before)
    assert "95 % interval" in printed
    assert re.search(r"On 9 others, which took no part: [\d.]+ % before, [\d.]+ % after", printed)


def test_both_predictors_have_an_outcome_and_every_question_two_answers(capsys: pytest.CaptureFixture[str]):
    example("dspy_rag").main()
    printed = capsys.readouterr().out
    assert re.search(r"^search: \w+", printed, re.MULTILINE)
    assert re.search(r"^answer: \w+", printed, re.MULTILINE)
    assert printed.count("  original: ") == printed.count("  compiled: ") == 3
    assert "six euros" in printed


def test_the_agents_protocol_is_untouched_and_it_still_uses_its_tool(capsys: pytest.CaptureFixture[str]):
    example("dspy_agent").main()
    printed = capsys.readouterr().out
    assert "byte for byte the same: True" in printed
    assert "opening_hours({'day': 'Saturday'})" in printed
    assert "The opening hours on Sunday are: 9 to 11." in printed
