"""Whatever a model writes, a template keeps its variables: random templates against adversarial rewrites.

`FIPO_PROPERTY_CASES=20000 pytest tests/test_langchain_properties.py` tries more of them.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import SystemMessage
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.utils.mustache import ChevronError

from fipo_integrations.langchain import OUTCOMES, optimize_prompt
from fipo_integrations.langchain.variables import take_apart
from fipo_model import FIPO_1, FIPO_2, Message, PromptOptimizer
from fipo_model.fidelity import FidelitySettings
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.langchain_prompts import LENIENT, dumped, replying

CASES = int(os.environ.get("FIPO_PROPERTY_CASES", "300"))
THOROUGH = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
BRIEF = settings(THOROUGH, max_examples=max(1, CASES // 4))

NAMES = ("a", "b", "größe", "a_1")
# No letter of a value occurs in any literal, so that each value can be counted.
VALUES = {name: f"ZQ{place}Q" for place, name in enumerate(NAMES)}
WORDS = ("Explain", "the tide", "to a child.", "größer", "日本", "🦜", "1.", "\n", "\n\n", " ", '"', "é\u0301")
BRACES = ("{", "}", "{}", "{{", "}}", "{x", "x}", '{"k": 1}', "{{x}}", "{{{x}}}", "{a}", "{{a}}", "{a!r}", "{{a", "{{!")
HEADS = ("", "Explain ", "Tell me why: ", "Answer the question below.\n\n", "Read this {}, then answer:\n")
TAG = re.compile(r"\{\{\{?.*?\}\}\}?|\{[^{}]*\}", re.DOTALL)
SCENES: tuple[dict[str, Any], ...] = (
    {
        "on": True,
        "off": False,
        "list": [{"a": "ZQinnerQ"}, {"b": "ZQotherQ"}, "ZQplainQ"],
        "person": {"name": "ZQnameQ"},
    },
    {"on": {"b": "ZQownQ"}, "off": [], "list": [], "person": {"name": "ZQnameQ", "a": "ZQhersQ"}},
)


@dataclass(frozen=True)
class Change:
    """One thing a model does to a prompt: at a place, to a tag or with a text."""

    kind: str
    place: int
    text: str

    def __call__(self, prompt: str) -> str:
        if self.kind == "add":
            place = self.place % (len(prompt) + 1)
            return prompt[:place] + self.text + prompt[place:]
        tags = list(TAG.finditer(prompt))
        if not tags:
            return prompt + self.text
        tag = tags[self.place % len(tags)]
        other = tags[(self.place // 3) % len(tags)]
        if self.kind == "swap":
            first, second = sorted((tag, other), key=lambda each: each.start())
            between = prompt[first.end() : second.start()] + first[0] if first is not second else ""
            return prompt[: first.start()] + second[0] + between + prompt[second.end() :] + self.text
        new = {
            "drop": "",
            "double": tag[0] + self.text + tag[0],
            "rename": re.sub(r"\w+", "other", tag[0], count=1),
            "replace": self.text,
            "copy": other[0],
            "wrap": f"{{{tag[0]}}}",
            "brace": f"{{{tag[0]}",
            "open": tag[0][:-1],
            "unwrap": tag[0][1:-1],
            "convert": tag[0].replace("}", "!r}", 1),
        }[self.kind]
        return prompt[: tag.start()] + new + prompt[tag.end() :]


KINDS = ("swap", "brace", "drop", "double", "rename", "replace", "copy", "wrap", "open", "unwrap", "convert")


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _field(rng: Random) -> str:
    conversion, spec = rng.choice(["", "", "!r", "!s", "!a"]), rng.choice(["", "", "", ":>12", ":^9", ":*<10s"])
    return f"{{{rng.choice(NAMES)}{conversion}{spec}}}"


def _f_string(rng: Random) -> str:
    def part() -> str:
        return rng.choice([rng.choice(WORDS), _field(rng), _field(rng), _doubled(rng.choice(BRACES))])

    return _doubled(rng.choice(HEADS)) + "".join(part() for _ in range(rng.randint(1, 9)))


def _variable(rng: Random) -> str:
    opening, closing = rng.choice([("{{", "}}"), ("{{", "}}"), ("{{ ", " }}"), ("{{{", "}}}"), ("{{& ", "}}")])
    return f"{opening}{rng.choice([*NAMES, *NAMES, 'person.name', 'list.0', '.'])}{closing}"


def _section(rng: Random, depth: int) -> str:
    key, inside = rng.choice(["on", "off", "list", "person", "a"]), rng.randint(0, 3)
    return f"{{{{{rng.choice('##^')}{key}}}}}{''.join(_part(rng, depth - 1) for _ in range(inside))}{{{{/{key}}}}}"


def _part(rng: Random, depth: int) -> str:
    loose = rng.choice(["{", "}", "{}", "{x}", "}}", '{"k": 1}', "{{! a note }}"])
    parts = [rng.choice(WORDS), rng.choice(WORDS), _variable(rng), _variable(rng), loose]
    return rng.choice([*parts, _section(rng, depth)] if depth else parts)


def _mustache(rng: Random) -> str:
    return rng.choice(HEADS) + "".join(_part(rng, 2) for _ in range(rng.randint(1, 7)))


def _noise(rng: Random) -> str:
    tag = rng.choice(["{{#a}}", "{{/a}}", "{{=<% %>=}}", "{{> a}}", "{{! note }}"])
    return rng.choice([rng.choice(WORDS), rng.choice(BRACES), _field(rng), _variable(rng), tag])


def _rewrite(rng: Random) -> Callable[[str], str]:
    def edit(kind: str, text: str) -> Change:
        return Change(kind, rng.randrange(200), text)

    plain = [*WORDS, " Be brief.", " Think first.", "{", "}", "{k}", "{{k"]
    attitude = rng.random()
    if attitude < 0.3:  # faithful, but for what is added anywhere
        edits = [edit("add", rng.choice(plain)) for _ in range(rng.randint(1, 3))]
    elif attitude < 0.6:  # one mistake
        edits = [edit(rng.choice(KINDS), rng.choice(["", *plain]))]
    elif attitude < 0.85:  # many
        edits = [edit(rng.choice([*KINDS, "add", "add"]), _noise(rng)) for _ in range(rng.randint(1, 4))]
    else:  # about something else
        text = "".join(_noise(rng) for _ in range(rng.randint(0, 8)))
        return lambda prompt: text
    return lambda prompt: reduce(lambda text, change: change(text), edits, prompt)


SENTENCES = (
    "You help the customers of a bakery.",
    "Answer the question with what stands in the notes, and stay polite to everybody who asks.",
    "Use {a} where you can; do not mention the price list.",
    "Translate what the user writes into {größe}, word by word.",
)
LABELS = ("Question", "Thought", "Action Input", "Observation", "Final Answer", "Notes", "Chat History")
DOCUMENTS = ("<notes>\nWe open at seven, said Ann.\n</notes>", '"""\n{a_1}\n"""', "```\n{b}\n```", "{b}")


def _wrapped(rng: Random) -> str:
    """Some sentences, their lines broken anywhere."""
    words = " ".join(rng.sample(SENTENCES, rng.randint(1, 3))).split(" ")
    return "".join(word + (rng.choice(["\n", " ", " ", " "])) for word in words).strip()


def _planted(rng: Random) -> tuple[str, list[str]]:
    """A template as people write them, and the lines in it that nobody may touch."""
    labels = rng.sample(LABELS, rng.randint(0, 4))
    protocol = [f"{label}: what to {rng.choice(['say', 'do', 'think'])}" for label in labels]
    used = [f"{label}:{rng.choice(['', ' {b}', ' {a_1}'])}" for label in labels]
    blocks = [_wrapped(rng)]
    kept = []
    if len(protocol) > 1 and rng.random() < 0.5:
        blocks.append("\n".join(["Use this format:\n", *protocol]))
        kept += protocol
    if rng.random() < 0.6:
        blocks.append(rng.choice(DOCUMENTS))
        kept += blocks[-1].splitlines()
    blocks.append("\n".join(used))
    return "\n\n".join(block for block in blocks if block), [*kept, *used]


def _renaming(rng: Random) -> Callable[[str], str]:
    """What models do to such templates: rename labels, change documents, drop what a line says, add a sentence."""
    old, new = rng.sample([*LABELS, "seven", "notes", "what to say", "\n"], 2)
    added = rng.choice(["", "\n\nKeep all names.", " Be precise."])
    return lambda prompt: prompt.replace(old, new, rng.randint(1, 3)) + added


# Chosen by a seed: strategies built of strategies would try much the same thing again and again.
SEEDS = st.integers(0, 2**64 - 1).map(Random)
F_STRING, MUSTACHE = SEEDS.map(_f_string), SEEDS.map(_mustache)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="Z"), max_size=40)
REWRITE: st.SearchStrategy[Callable[[str], str]] = st.one_of(
    *[SEEDS.map(_rewrite)] * 9, ANY_TEXT.map(lambda text: lambda prompt: text)
)


def rendered(template: PromptTemplate) -> list[str]:
    return [template.format(**VALUES, **scene) for scene in SCENES]


def sentinels(text: str) -> Counter[str]:
    return Counter(re.findall(r"ZQ\w+?Q", text))


def holds(text: str, form: Any, rewrite: Callable[[str], str], rules: FidelitySettings) -> str:
    """Whether a rewrite is used; fails where it is and the template is no longer what it was."""
    try:
        template = PromptTemplate.from_template(text, template_format=form)
        before = rendered(template)
    except (ChevronError, ValueError, KeyError, IndexError):
        assume(False)  # LangChain itself has no use for this one
    dump = dumped(template)
    new, report = optimize_prompt(template, optimizer=replying(rewrite, settings=rules))
    assert dumped(template) == dump
    if not report.is_rewritten:
        assert new is template
        return next(iter([*(change.outcome for change in report.changes), "left out"]))
    assert new.metadata[OUTCOMES] == ["optimized"]
    assert new.template != template.template
    assert sorted(new.input_variables) == sorted(template.input_variables)
    for old, now in zip(before, rendered(new), strict=True):
        assert sentinels(now) == sentinels(old)
    return "rewritten"


def tried(texts: st.SearchStrategy[str], form: str, rules: FidelitySettings, how: settings) -> Counter[str]:
    """What became of as many random templates as are asked for."""
    found: Counter[str] = Counter()

    @how
    @given(text=texts, rewrite=REWRITE)
    def check(text: str, rewrite: Callable[[str], str]) -> None:
        outcome = holds(text, form, rewrite, rules)
        event(outcome)
        found[outcome] += 1

    check()
    return found


class TestWhateverAModelWrites:
    @pytest.mark.parametrize(("texts", "form"), [(F_STRING, "f-string"), (MUSTACHE, "mustache")], ids=["f", "mustache"])
    def test_a_template_keeps_its_variables_or_stays_itself(self, texts: Any, form: str):
        found = tried(texts, form, LENIENT, THOROUGH)
        assert found["rewritten"] > 0.1 * found.total(), found
        assert found["variables_changed"] > 0.05 * found.total(), found

    @pytest.mark.parametrize(("texts", "form"), [(F_STRING, "f-string"), (MUSTACHE, "mustache")], ids=["f", "mustache"])
    def test_it_does_so_under_every_rule_as_well(self, texts: Any, form: str):
        found = tried(texts, form, FidelitySettings(), THOROUGH)
        assert found["rewritten"] > 0.01 * found.total(), found  # about 4 in 100 are

    @BRIEF
    @given(text=F_STRING.map(lambda text: text.replace("\n", " ")), rewrite=REWRITE)
    @example(text="Answer from the notes: {a}", rewrite=lambda prompt: "Answer by {a}-notes:")  # found in 20,000
    def test_an_f_strings_rewrite_renders_as_it_was_written(self, text: str, rewrite: Callable[[str], str]):
        template = PromptTemplate.from_template(text)
        new, report = optimize_prompt(template, optimizer=replying(rewrite, settings=LENIENT))
        if not report.is_rewritten:
            return
        # Of those that only the data have, the model was shown none: what it writes that reads like one is plain text.
        fields = take_apart(text, "f-string").fields
        pattern = re.compile("|".join(map(re.escape, fields)) or "(?!)")
        written = report.changes[0].candidates[0].text.strip()
        expected = pattern.sub(lambda field: field[0].format(**VALUES), written)
        # What is added comes before the data, and what stands after the instruction is no part of what was written.
        assert not Counter(expected.split()) - Counter(new.format(**VALUES).split())

    @BRIEF
    @given(text=st.one_of(F_STRING, MUSTACHE), rewrite=REWRITE)
    def test_a_static_message_reads_as_it_was_written(self, text: str, rewrite: Callable[[str], str]):
        chat = ChatPromptTemplate.from_messages([SystemMessage(text), ("human", "{a}")])
        new, report = optimize_prompt(chat, optimizer=replying(rewrite, settings=LENIENT))
        message = new.format_messages(a="Why?")[0]
        if report.is_rewritten:
            assert not Counter(report.changes[0].candidates[0].text.split()) - Counter(message.content.split())
        else:
            assert new is chat
            assert message.content == text

    @BRIEF
    @given(texts=st.lists(F_STRING, min_size=1, max_size=4), rewrites=st.lists(REWRITE, min_size=4, max_size=4))
    def test_each_message_of_a_chat_gets_its_own_rewrite(self, texts: list[str], rewrites: list[Callable[[str], str]]):
        chat = ChatPromptTemplate.from_messages([("system", text) for text in texts])

        def script(conversation: list[Message]) -> str:
            naive = conversation[-1]["content"]
            return rewrites[len(naive) % 4](naive.removeprefix("Naive prompt:\n").rpartition("\n\nRewrite")[0])

        optimizer = PromptOptimizer(ScriptedGenerator(script), settings=LENIENT)
        new, report = optimize_prompt(chat, optimizer=optimizer, roles=("system",))
        places = [change.where for change in report.changes] + [part.where for part in report.unreached]
        assert sorted(places) == [f"messages[{place}].prompt.template" for place in range(len(texts))]
        before, after = chat.format_messages(**VALUES), new.format_messages(**VALUES)
        changed = {change.where for change in report.changes if change.outcome == "optimized"}
        for place, (old, now) in enumerate(zip(before, after, strict=True)):
            assert sentinels(now.content) == sentinels(old.content)
            assert f"messages[{place}].prompt.template" in changed or now.content == old.content

    @THOROUGH
    @given(rng=SEEDS)
    def test_labels_and_documents_stay_and_sentences_are_never_cut(self, rng: Random):
        (text, kept), is_addition = _planted(rng), rng.random() < 0.5
        reply = "Keep all names." if is_addition else None
        rewrite = _renaming(rng)
        optimizer = PromptOptimizer(
            ScriptedGenerator(lambda conversation: reply or rewrite(naive_in(conversation))),
            template=FIPO_2 if is_addition else FIPO_1,
        )
        template = PromptTemplate.from_template(text)
        new, report = optimize_prompt(template, optimizer=optimizer)
        assert sorted(new.input_variables) == sorted(template.input_variables)
        event("rewritten" if report.is_rewritten else "kept")
        place = 0
        for line in kept:
            place = new.template.find(line, place)
            assert place >= 0, line
            place += len(line)
        if is_addition and report.is_rewritten:
            before, _, after = new.template.partition("Keep all names.")
            assert (before + after).split() == text.split()
            ends = ".:!?\"'`>}"  # of sentences, and of what is data
            assert not before.strip() or before.rstrip()[-1] in ends
