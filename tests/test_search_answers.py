"""What answers tell a search beside their scores: when there is nothing to gain, and when a lead means nothing."""

import itertools
import math
import re
from typing import ClassVar

import dspy
import pytest

from fipo_integrations.dspy import FIPO
from fipo_model import OptimizationRequest, ShownExample
from fipo_model.errors import InputError
from fipo_model.search import (
    Failed,
    Measured,
    Part,
    Proposals,
    Proposed,
    RewriterProposer,
    Search,
    Seen,
    as_metric,
    read_examples,
)
from fipo_model.search.prompts import longest_answer
from fipo_model.testing import ScriptedGenerator
from support.dspy_programs import any_lead, task_lm
from support.prompt_searches import GUIDANCE, model, rewriting, settings

TRADES = ("plumber", "electrician", "locksmith")
ROWS = [(f"message {number}", TRADES[number % 3]) for number in range(18)]


def trade_of(content: str) -> str:
    return TRADES[int(re.findall(r"message (\d+)", content)[-1]) % 3]


def test_one_answer_for_everything_is_not_chosen_however_much_it_leads():
    spellings = itertools.cycle(("plumber", "Plumber.", '"PLUMBER"'))
    task = model(lambda asked: next(spellings) if "one of" in asked[-1]["content"] else "It depends.")
    found = rewriting().search("trade", ROWS, metric="exact", models=[task], settings=settings())
    assert (found.text, found.outcome) == ("trade", "not_preferred")
    assert found.detail.startswith("a rewrite leads, but with it the model answers 'plumber' to 12 of 12 inputs")


def test_the_next_best_is_chosen_instead_if_it_tells_inputs_apart():
    rows = [(f"message {number}", "plumber" if number % 5 else "electrician") for number in range(10)]
    by_message = dict(rows)

    def answers(asked) -> str:
        content = asked[-1]["content"]
        message = content.splitlines()[-1]
        if GUIDANCE in content:
            return by_message[message] if int(message.split()[-1]) < 7 else "It depends."
        return "plumber" if "one of" in content else "It depends."

    found = rewriting().search(
        "trade", rows, metric="exact", models=[model(answers)], settings=settings(minibatch_size=10)
    )
    scores = {trial.changed["prompt"]: trial.score for trial in found.trials if trial.changed}
    assert scores["trade\n\nAnswer with one of: electrician, plumber"] > scores[f"trade {GUIDANCE}"]
    assert found.text == f"trade {GUIDANCE}"


class Answering:
    """A subject that is half right with one text, by one answer for everything, and never with another."""

    texts: ClassVar = {"text": "trade"}

    def __len__(self) -> int:
        return 8

    def measure(self, runs, note):
        return [
            Measured(scores=(float(run.example % 2),), response="yes")
            if run.texts["text"] == "constant"
            else Measured(scores=(0.0,), response=f"It depends on {run.example}.")
            for run in runs
        ]


class ByTurn:
    """Proposes one text in each turn."""

    def propose(self, seen):
        text = ("constant", "useless")[seen.turn]
        return Proposals(model="scripted", by_text={"text": [Proposed(text=text, outcome="optimized")]})


@pytest.mark.parametrize(("turns", "reason"), [(1, "hardly tells them apart"), (2, "no rewrite changed the score")])
def test_the_last_turn_says_why_nothing_was_chosen(turns, reason):
    rules = settings(turns=turns, significance=1.0)
    made = Search(subject=Answering(), proposer=ByTurn(), settings=rules, rights=["no", "yes"] * 4)
    assert made.run() == made.start
    assert reason in made.reasons["text"]


def test_where_everything_is_right_already_no_rewriter_is_asked():
    using = rewriting()
    found = using.search("trade", ROWS, metric="exact", models=[model(lambda asked: trade_of(asked[-1]["content"]))])
    assert (found.text, found.outcome) == ("trade", "unchanged")
    assert found.detail == "all 12 examples are right already, so there is nothing to gain"
    assert using.rewriter.generator.calls == []
    assert found.metric_calls == 12


def test_what_one_answer_for_everything_would_score_is_said_for_comparison():
    rows = [(f"message {number}", "no" if number % 4 else "yes") for number in range(8)]
    task = model(lambda asked: "no" if int(asked[-1]["content"].split()[-1]) % 2 else "perhaps")
    found = rewriting().search("urgent", rows, metric="exact", models=[task])
    assert (
        "for comparison: 'no' as the answer to everything would score 0.75 on the examples that decided" in found.notes
    )
    by_likeness = rewriting().search("urgent", rows, metric="f1", models=[task])
    assert not any("for comparison" in note for note in by_likeness.notes)


def test_proposing_leaves_time_for_measuring():
    """With `max_seconds=30`, a user's search once proposed for 338 s and compared nothing."""
    parts = [Part(name="prompt", request=OptimizationRequest("trade"))]
    shown = {number: ShownExample(given, right) for number, (given, right) in enumerate(ROWS)}
    for seconds, batches in ((math.inf, [1, 3]), (60, [1, 1, 1, 1]), (0, [1])):
        own = rewriting().rewriter
        proposer = RewriterProposer(rewriter=own, parts=parts, candidates=7, seed=0, shown=shown)
        seen = Seen(texts={"prompt": "trade"}, measurements={}, seconds_left=seconds)
        assert proposer.propose(seen).by_text["prompt"]
        assert own.generator.batch_sizes == batches


def test_samples_that_would_come_too_late_are_not_requested(monkeypatch):
    """With `max_seconds=150`, a user's search once proposed for 120 s, and measured nothing."""
    now = [0.0]
    monkeypatch.setattr("fipo_model.search.asking.time.monotonic", lambda: now[0])
    shown = {number: ShownExample(given, right) for number, (given, right) in enumerate(ROWS)}
    for seconds, batches in ((200, [1, 1, 1, 1]), (60, [1, 1]), (20, [1])):

        def slowly(naive):
            now[0] += 5
            return f"{naive} {GUIDANCE}"

        own = rewriting(slowly).rewriter
        parts = [Part(name="prompt", request=OptimizationRequest("trade"))]
        proposer = RewriterProposer(rewriter=own, parts=parts, candidates=7, seed=0, shown=shown)
        proposer.propose(Seen(texts={"prompt": "trade"}, measurements={}, seconds_left=seconds))
        assert own.generator.batch_sizes == batches


def test_settings_of_another_form_are_said_to_be():
    with pytest.raises(InputError, match=r"SearchSettings\(max_seconds=60\), say, not a dict"):
        rewriting().search("trade", ROWS, metric="exact", models=[model()], settings={"max_seconds": 60})


@pytest.mark.parametrize(
    ("metric", "outputs", "most"),
    [
        ("exact", ("yes", "no"), 3 + 16),
        ("exact", ("été", "no"), 5 + 16),
        ("exact", ({"a": 1}, "no"), 256),  # as JSON it may be laid out in any way
        ("contains", ("yes", "no"), 256),
        (lambda reference, output: output == reference, ("yes", "no"), 256),
    ],
)
def test_answers_end_where_they_can_no_longer_be_exactly_right(metric, outputs, most):
    examples = read_examples([(f"film {number}", output) for number, output in enumerate(outputs)])
    assert longest_answer(as_metric(metric), examples) == most


def test_a_model_that_thinks_first_gets_the_room_for_it():
    class Thinking(ScriptedGenerator):
        def __init__(self):
            super().__init__(lambda asked: f"<think>{'so ' * 40}</think>{trade_of(asked[-1]['content'])}")

    found = rewriting().search("trade", ROWS, metric="exact", models=[Thinking()])
    assert found.detail == "all 12 examples are right already, so there is nothing to gain"


@pytest.mark.parametrize(("said", "text"), [("plumber", "who"), (None, "who\n\nAnswer with one of: ")])
def test_a_compile_does_not_choose_one_answer_for_everything_either(said, text):
    def answer(instruction: str, message: str) -> str:
        return f"[[ ## who ## ]]\n{(said or trade_of(message)) if 'one of' in instruction else 'It depends.'}"

    rows = [dspy.Example(message=message, who=who).with_inputs("message") for message, who in ROWS]
    program = dspy.Predict(dspy.Signature("message -> who", "who"))
    using = FIPO(optimizer=rewriting(), metric=lambda one, said: one.who == said.who, search=any_lead(candidates=2))
    with dspy.context(lm=task_lm(answer)):
        compiled = using.compile(program, trainset=rows)
    assert compiled.signature.instructions.startswith(text)
    assert ("tells them apart" in compiled.fipo_report["predictors"][0]["detail"]) == (said is not None)


def test_an_answer_that_echoes_all_labels_is_no_reason_for_another_metric():
    teams = ("billing", "workshop", "delivery")
    rows = [(f"mail {number}", teams[number % 3]) for number in range(9)]
    echo = model(lambda _: "It is billing, workshop or delivery.")
    assert "The metric contains would count it" not in str(
        rewriting().search("team", rows, metric="exact", models=[echo])
    )
    right = model(lambda asked: f"It is {teams[int(asked[-1]['content'].split()[-1]) % 3]}.")
    assert "The metric contains would count it" in str(rewriting().search("team", rows, metric="exact", models=[right]))


# Several models


def right_where(is_right, name):
    """A model that is right about the trades of some messages, and says of the others that it depends."""

    def answers(asked) -> str:
        content = asked[-1]["content"]
        number = int(re.findall(r"message (\d+)", content)[-1])
        return trade_of(content) if is_right(number) else f"It depends on {number}."

    return model(answers, name=name)


def test_a_model_that_is_never_right_is_not_told_with_the_answers_of_another():
    """Scores of 0 and 1 once came with "the model answered 'plumber'; the right output is 'plumber'"."""
    wrong, other = right_where(lambda _: False, "wrong"), right_where(lambda number: number % 2, "other")
    for models in ([wrong, other], [other, wrong]):
        (said,) = rewriting().search("trade", ROWS, metric="exact", models=models).notes
        assert said.startswith(
            "with the text to use, one of the 2 models never gave a right answer: every one scored 0"
        )
        assert "answered" not in said
    (own,) = rewriting().search("trade", ROWS, metric=lambda one, said: one == said, models=[other, wrong]).notes
    assert own.startswith("with the text to use, every answer of one of the 2 models scored 0 by the metric <lambda>")


def test_models_that_are_right_about_different_examples_are_not_said_to_be_never_right():
    models = [right_where(lambda number: number % 2, "odd"), right_where(lambda number: not number % 2, "even")]
    (said,) = rewriting().search("trade", ROWS, metric="exact", models=models).notes
    assert said.startswith("for comparison: ")


def test_where_no_model_is_ever_right_an_answer_of_one_is_shown():
    models = [right_where(lambda _: False, name) for name in ("one", "two")]
    (said,) = rewriting().search("trade", ROWS, metric="exact", models=models).notes
    assert said.startswith("none of the 2 models ever gave a right answer: every one scored 0 by the metric exact. To")
    assert "one of them answered 'It depends on " in said


def test_one_answer_for_everything_is_that_of_one_model():
    models = [right_where(lambda number: number % 2, "other"), model(lambda _: "plumber", name="constant")]
    found = rewriting().search("trade", ROWS, metric="exact", models=models)
    assert found.notes[0].startswith("with the text to use, one of the 2 models answers 'plumber' to 12 of 12 inputs")
    assert found.notes[0].endswith("its score is about what one answer for everything gets")


def test_one_model_that_is_right_about_everything_leaves_nothing_to_gain_and_is_told_as_one():
    """No lead under every model is possible then; it was once said that all examples were right."""
    perfect, poor = right_where(lambda _: True, "perfect"), right_where(lambda number: number % 2, "poor")
    for models in ([perfect, poor], [poor, perfect]):
        using = rewriting()
        found = using.search("trade", ROWS, metric="exact", models=models)
        assert found.detail == (
            "one of the 2 models is already right about all 12 examples, so no rewrite could lead under every model"
        )
        assert using.rewriter.generator.calls == []
    both = rewriting().search("trade", ROWS, metric="exact", models=[perfect, perfect])
    assert both.detail == "all 12 examples are right already, so there is nothing to gain"


def test_examples_that_could_not_be_measured_are_not_said_to_be_right():
    class PartlyDown:
        texts: ClassVar = {"text": "trade"}

        def __len__(self) -> int:
            return 8

        def measure(self, runs, note):
            down = Failed(cause="ServerError: down", is_passing=True)
            return [down if run.example < 3 else Measured(scores=(1.0,), best=1.0) for run in runs]

    made = Search(subject=PartlyDown(), proposer=ByTurn(), settings=settings())
    assert made.run() == made.start
    assert made.reasons["text"] == "all 5 examples that were measured are right already, so there is nothing to gain"
