"""What must survive in a prompt, as the page marks it: whole, each thing once, where it stands."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fipo_model.contract.letters import RUNS
from fipo_model.serve.proposing import marks
from support.files import SHARED_DATA

LETTER = re.compile(rf"(?![{RUNS}_])[^\W\d]")  # of a script with spaces between words
WORDS = ("billing", "positive", "e-mail", "other", "not sure", "SHIPPING", "bug", "a", "r", "Überweisung", "réponse")
FRAMES = (
    "Classify it as {}.",
    "label: {}",
    "classify this support ticket: {}. one word",
    "Say which team handles this: {}. Reply with one word.",
    "is it {}?",
    "Answer {} and explain your choice in 2 sentences, at most 30 words, as JSON.",
    "Pick one of these labels:\n{}\nSee https://www.a-b.com/x or `f(x)` in 'src/a.py'.",
)


def joined(items: list[str], comma: str, last: str) -> str:
    return comma.join(items[:-1]) + last + items[-1]


prompts = st.builds(
    lambda frame, *list_: frame.format(joined(*list_)),
    st.sampled_from(FRAMES),
    st.lists(st.sampled_from(WORDS), min_size=2, max_size=6, unique=True),
    st.sampled_from((", ", "/", " / ", " | ", " or ", ",", '", "')),
    st.sampled_from((", ", " or ", ", or ", "/", " and ")),
)


def labels(prompt: str) -> list[str]:
    return [each["text"] for each in marks(prompt) if each["kind"] == "label"]


def check_marks(prompt: str) -> None:
    """Each is a part of the prompt at its place, of whole words, and no two of a kind share a place."""
    taken: dict[str, int] = {}
    for mark in marks(prompt):
        start, end = mark["start"], mark["end"]
        assert prompt[start:end] == mark["text"] == mark["text"].strip() != "", mark
        assert not (LETTER.match(prompt[start]) and start and LETTER.match(prompt[start - 1])), mark
        assert not (LETTER.match(prompt[end - 1]) and LETTER.match(prompt[end : end + 1])), mark
        assert start >= taken.get(mark["kind"], 0), mark
        taken[mark["kind"]] = end


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "classify this support ticket as billing, shipping, account or other. one word",
            ["billing", "shipping", "account", "other"],
        ),
        (
            "classify this support ticket: billing, shipping, account or other. one word",
            ["billing", "shipping", "account", "other"],
        ),
        ("Label the review: positive, negative or neutral.", ["positive", "negative", "neutral"]),
        ("classify ticket: shipping, billing or other", ["shipping", "billing", "other"]),
        ("Say which team handles this: billing, shipping, other.", ["billing", "shipping", "other"]),
        ('Reply "yes" or "no".', ["yes", "no"]),
        ("bug report, feature request or question?", ["bug report", "feature request", "question"]),
        ("Classify it.\n- spam\n- ham\n- not sure", ["spam", "ham", "not sure"]),
        ("Classify it:\n1. spam: no ham\n2. ham\n3. unsure", ["spam", "ham", "unsure"]),
        ("Pick one: x, y or r.", ["x", "y", "r"]),
        ("Explain tides.", []),
        ("What is this?\n\ndef f(self, a, b, c):\n    return [a, b, c]\n", []),
        ("Fix this sentence: she goes to school, park or beach every day", []),
    ],
)
def test_every_label_is_marked_whole_and_once(prompt: str, expected: list[str]) -> None:
    assert labels(prompt) == expected
    check_marks(prompt)


def test_a_label_is_marked_in_its_own_line() -> None:
    prompt = "Classify it:\n- spam: no ham\n- ham\n- unsure"
    places = {mark["text"]: mark["start"] for mark in marks(prompt)}
    assert places["ham"] == prompt.index("- ham") + 2


@settings(max_examples=300, deadline=None)
@given(prompts)
def test_marks_are_parts_of_the_prompt_on_word_borders_without_overlaps(prompt: str) -> None:
    check_marks(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "A summary in 43 wordswww.ft.com/content",
        "Visit https://www.b.net/x and www.c.org.",
        "Describe `getUserName()` and ```\n  user_id = 3\n```.",
        "Write an essay in simple, non-technical language as a markdown table.",
        "把「早上好」翻译成英文。",
        "아시아의 강 다섯 개를 말하세요.",
        'Print "Report:\\n{report}" and then explain it.',
    ],
)
def test_marks_of_a_kind_do_not_overlap(prompt: str) -> None:
    check_marks(prompt)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("tasks.jsonl", ("wordings",)),
        ("more_tasks.jsonl", ("wordings",)),
        ("prompt_pairs/bpo.jsonl", ("instruction", "optimized")),
        ("prompt_pairs/train.jsonl", ("instruction",)),
    ],
)
def test_marks_of_strangers_prompts_are_whole(file: str, fields: tuple[str, ...]) -> None:
    with (SHARED_DATA / file).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for value in (row[field] for row in rows for field in fields):
        for prompt in value if isinstance(value, list) else [value]:
            check_marks(prompt)
