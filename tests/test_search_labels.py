"""Right outputs that are labels: a rule names them all, and the contract and the evidence decide."""

from dataclasses import replace

import pytest

from fipo_model import OptimizationRequest, ShownExample
from fipo_model.forms import label_sentence
from fipo_model.search import read_examples
from fipo_model.search.asking import Part
from fipo_model.search.page import render_page
from fipo_model.search.proposals import Seen
from fipo_model.search.proposing import RewriterProposer
from fipo_model.search.splitting import split
from fipo_model.search.words import sentences
from fipo_model.testing import ScriptedScorer
from support.prompt_searches import GUIDANCE, PROMPT, model, rewriting, settings

TOPICS = ("World", "Sports", "Sci/Tech")
NEWS = [(f"item {number}", TOPICS[number % 3]) for number in range(24)]


def test_labels_are_named_by_rule_where_no_rewriter_names_them_all():
    def follows(asked) -> str:
        text = asked[-1]["content"]
        return TOPICS[int(text.split()[-1]) % 3] if all(one in text for one in TOPICS) else "news"

    using, task = rewriting(lambda naive: f"{naive}\n\nName the topic."), model(follows)
    found = using.search("topic", NEWS, metric="exact", models=[task])
    assert found.text == "topic\n\nAnswer with one of: Sci/Tech, Sports, World"
    assert [row.origin for row in found.texts[0].candidates][:2] == ["rewriter", "labels"]
    assert "made by rule: yours, followed by the labels of the right outputs" in " ".join(sentences(found))
    assert "could be luck" not in " ".join(sentences(found))
    lost = replace(found.held_out, gain=replace(found.held_out.gain, low=-0.4, high=-0.1))
    assert "could be luck" not in " ".join(sentences(replace(found, held_out=lost)))
    unsure = replace(found.held_out, gain=replace(found.held_out.gain, low=0.0))
    assert "includes 0, so on new examples the gain could be luck" in " ".join(
        sentences(replace(found, held_out=unsure))
    )
    assert "a rule that adds the labels" in render_page(found)
    by_likelihood = ScriptedScorer(lambda asked, right: -1.0 if "Sci/Tech, Sports" in asked[0]["content"] else -2.0)
    assert using.search("topic", NEWS, models=[by_likelihood]).text == found.text


@pytest.mark.parametrize("prompt", ["Klassifiziere den Text als gut oder schlecht.", "Classez le texte selon son ton."])
def test_labels_are_named_in_english_whatever_the_language_of_the_prompt(prompt):
    rows = [(f"Text {number}", "gut" if number % 2 else "schlecht") for number in range(24)]

    def follows(asked) -> str:
        text = asked[-1]["content"]
        return dict(rows)[text.rsplit("\n\n", 1)[1]] if "Answer with one of: gut, schlecht" in text else "?"

    found = rewriting(lambda naive: naive).search(prompt, rows, metric="exact", models=[model(follows)])
    assert found.text == f"{prompt}\n\nAnswer with one of: gut, schlecht"


def test_where_there_are_no_labels_a_rule_states_the_form_of_the_right_outputs():
    dates = [(f"note {number}", f"2026-01-{number:02}") for number in range(1, 25)]

    def follows(asked) -> str:
        text = asked[-1]["content"]
        return dict(dates)[text.rsplit("\n\n", 1)[1]] if "YYYY-MM-DD" in text else "soon"

    using = rewriting(lambda naive: f"{naive}\n\nName the day.")
    found = using.search("due", dates, metric="exact", models=[model(follows)])
    assert found.text == "due\n\nReply with a date in the form YYYY-MM-DD and nothing else."
    assert [row.origin for row in found.texts[0].candidates][:2] == ["rewriter", "form"]
    assert "made by rule: yours, followed by the form of the right outputs" in " ".join(sentences(found))
    assert "a rule that states the form" in render_page(found)


def test_the_contract_and_the_evidence_decide_about_labels_as_about_everything():
    short = OptimizationRequest("topic", max_words=4)
    found = rewriting().search(short, NEWS, metric="exact", models=[model(lambda _: "news")])
    assert [row.outcome for row in found.texts[0].candidates if row.origin == "labels"] == ["too_long"]
    kept = rewriting().search("topic", NEWS, metric="exact", models=[model(lambda _: "World")])
    assert [row.outcome for row in kept.texts[0].candidates if row.origin == "labels"] == ["optimized"]
    assert kept.text == "topic"


@pytest.mark.parametrize("seed", range(20))
def test_no_label_is_lost_to_the_held_out_third(seed):
    labels = ["plumber", "electrician", "locksmith", *["plumber", "electrician"] * 4, "locksmith"]
    rows = [(f"message {number}", label) for number, label in enumerate(labels)]
    deciding, aside, _ = split(read_examples(rows), None, seed=seed)
    assert len(aside) == 4
    assert {one.outputs[0] for one in deciding} == set(labels)
    assert len({one.outputs[0] for one in aside}) > 1
    found = rewriting().search(
        "trade", rows, metric="exact", models=[model(lambda _: "x")], settings=settings(seed=seed)
    )
    named = "trade\n\nAnswer with one of: electrician, locksmith, plumber"
    assert named in [row.text for row in found.texts[0].candidates if row.is_usable]


def test_labels_that_only_held_out_examples_have_are_not_named():
    known = [*NEWS, ("item 100", "Business"), ("item 103", "Business")]
    deciding, aside = known[:24], known[24:]
    found = rewriting().search("topic", deciding, metric="exact", models=[model(lambda _: "x")], held_out=aside)
    assert not any("Business" in row.text for row in found.texts[0].candidates)


def test_a_second_turn_does_not_propose_the_labels_again(tmp_path):
    options = {"metric": "exact", "models": [model(lambda _: "World")], "settings": settings(turns=2, log_dir=tmp_path)}
    for _ in range(2):  # and a resumed search still knows who wrote them
        found = rewriting().search("topic", NEWS, **options)
        assert [row.origin for row in found.texts[0].candidates].count("labels") == 1


def test_of_several_texts_none_gets_the_labels_of_what_comes_last():
    parts = [Part(name=name, request=OptimizationRequest(f"topic of the {name}")) for name in ("mail", "item")]
    shown = {number: ShownExample(given, output) for number, (given, output) in enumerate(NEWS)}
    own = rewriting().rewriter
    for some in (parts, parts[:1]):
        outputs = [output for _, output in NEWS]
        proposer = RewriterProposer(rewriter=own, parts=some, candidates=4, seed=0, shown=shown, outputs=outputs)
        found = proposer.propose(Seen(texts={one.name: one.request.instruction for one in parts}, measurements={}))
        origins = {row.origin for rows in found.by_text.values() for row in rows}
        assert ("labels" in origins) == (len(some) == 1)


@pytest.mark.parametrize(
    ("outputs", "prompt"),
    [
        (["yes", "yes", "no"], "topic"),  # seen once
        (["yes"] * 4, "topic"),
        ([*"abcdefg"] * 2, "topic"),  # too many
        (["yes", "yes", None, None], "topic"),
        (["red, green", "blue"] * 2, "topic"),
        (["one of those rather long sentences", "no"] * 2, "topic"),
        (["{a}", "no"] * 2, "topic"),
        (["yes", "no"] * 2, "Is it so? Say Yes or No."),  # they are named already
    ],
)
def test_what_is_no_small_set_of_labels_or_known_is_not_named(outputs, prompt):
    assert label_sentence(prompt, outputs) is None


@pytest.mark.parametrize(
    "labels", [("1", "2", "3"), ("yes", "no"), ("not spam", "spam"), ("A+", "B"), ("été", "hiver")]
)
def test_the_contract_lets_labels_of_any_kind_be_named(labels):
    rows = [(f"item {number} of it", labels[number % len(labels)]) for number in range(10)]
    found = rewriting().search("grade", rows, metric="exact", models=[model(lambda _: "x")])
    assert [row.outcome for row in found.texts[0].candidates if row.origin == "labels"] == ["optimized"]


DATES = [(f"note {number}", f"2026-01-{number:02}") for number in range(1, 9)]


def naming_the_date():
    return rewriting(lambda naive: f"{naive}\n\nName the date.")


@pytest.mark.parametrize(("worse_on", "chosen"), [(3, "YYYY-MM-DD"), (1, "Name the date.")])
def test_without_a_metric_a_rewriter_must_beat_the_rule_by_more_than_luck(worse_on, chosen):
    def likely(asked, right) -> float:
        text = asked[0]["content"]
        if "YYYY-MM-DD" in text:
            return -1.0
        if "Name the date." in text:
            return -1.3 if int(right[-2:]) <= worse_on else -0.8
        return -2.0

    found = naming_the_date().search("due date", DATES, models=[ScriptedScorer(likely)])
    likeliest = max(found.trials, key=lambda trial: trial.score)
    assert "Name the date." in likeliest.changed["prompt"]
    assert chosen in found.text


def test_words_for_the_form_are_no_other_task():
    found = naming_the_date().search("due", DATES, models=[ScriptedScorer(lambda asked, right: -1.0)])
    outcomes = {row.origin: row.outcome for row in found.texts[0].candidates[:2]}
    assert outcomes == {"rewriter": "task_invented", "form": "optimized"}


def test_with_a_metric_the_higher_score_decides_between_a_rewriter_and_the_rule():
    def follows(asked) -> str:
        text, note = asked[-1]["content"], asked[-1]["content"].rsplit("\n\n", 1)[1]
        known = "Name the date." in text or ("YYYY-MM-DD" in text and note != "note 8")
        return dict(DATES)[note] if known else "soon"

    found = naming_the_date().search("due date", DATES, metric="exact", models=[model(follows)])
    assert found.text == "due date\n\nName the date."


def test_of_equals_the_rule_is_used():
    def follows(asked) -> str:
        text, note = asked[-1]["content"], asked[-1]["content"].rsplit("\n\n", 1)[1]
        return dict(DATES)[note] if "date." in text or "YYYY-MM-DD" in text else "soon"

    found = naming_the_date().search("due date", DATES, metric="exact", models=[model(follows)])
    assert [row.origin for row in found.texts[0].candidates][:2] == ["rewriter", "form"]
    assert "YYYY-MM-DD" in found.text


def test_a_rule_that_brings_about_one_answer_for_everything_is_not_used_though_it_scores_as_much():
    rows = [(f"mail {number}", "yes" if number % 2 else "no") for number in range(8)]

    def follows(asked) -> str:
        text, number = asked[-1]["content"], int(asked[-1]["content"].split()[-1])
        if "Answer with one of" in text:
            return "yes"
        varied = ("yes" if number % 2 else "no") if number < 4 else ("no" if number % 2 else "maybe")
        return varied if "Say whether it is spam.\n\n" in text else "hm"  # samples end otherwise

    using = rewriting(lambda naive: f"{naive}\n\nSay whether it is spam.")
    found = using.search("spam?", rows, metric="exact", models=[model(follows)])
    assert {trial.score for trial in found.trials if trial.examples == 8} == {0.0, 0.5}
    assert found.text == "spam?\n\nSay whether it is spam."


IMBALANCED = [("negative", "neg")] * 4 + [("positive", "pos")] * 56


@pytest.mark.parametrize(
    ("metric", "answers"),
    [
        ("exact", ("positive", "negative")),
        ("exact", ("pos", "neg")),
        ("contains", ("It is positive.", "It is negative.")),
        (lambda right, said: said[:1].lower() == right[:1], ("P", "N")),
    ],
)
def test_whether_one_answer_for_almost_everything_is_right_is_for_the_metric_to_say(metric, answers):
    rows = [{"input": f"film {number}", "outputs": list(right)} for number, right in enumerate(IMBALANCED)]

    def follows(asked) -> str:
        text = asked[-1]["content"]
        return answers[int(text.split()[-1]) < 4] if GUIDANCE in text else "well"

    found = rewriting().search(PROMPT, rows, metric=metric, models=[model(follows)], settings=settings())
    assert found.texts[0].outcome == "optimized", found.texts[0].detail
