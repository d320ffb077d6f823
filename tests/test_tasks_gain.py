"""Task gain: how much likelier right outputs become, how often replies are right, and what a wording gives away."""

import pytest

from fipo_model.data.tasks import (
    Change,
    Example,
    Gain,
    Task,
    accuracy,
    capped_gain,
    gains,
    leak,
    likelihoods,
)
from fipo_model.data.tasks.making import make_tasks
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.evaluation.task_gain import LEAST, task_gain, task_gains
from fipo_model.testing import ScriptedGenerator, ScriptedScorer

CAPS = (Example(input="a b", outputs=("A B",)), Example(input="c", outputs=("C",)))


def task(examples=CAPS, check="exact"):
    return Task(
        name="t",
        family="f",
        source="s",
        hasty=("caps",),
        good=("Write it in capitals.",),
        examples=examples,
        check=check,
    )


def scorer(figures, **options):
    """A figure by the beginning of what is asked; nothing is likelier than the shorter output."""
    return ScriptedScorer(
        lambda conversation, response: figures[conversation[0]["content"].split()[0]] - 0.1 * len(response), **options
    )


def change(before="caps", after="Write", examples=CAPS):
    return Change(before=before, after=after, examples=examples)


def test_what_is_measured_is_the_right_output_after_wording_empty_line_and_input():
    model = scorer({"caps": -3.0})
    (found,) = likelihoods(model, [("caps now", CAPS)])
    assert found == [pytest.approx(-3.3), pytest.approx(-3.1)]
    assert model.calls == [
        [
            ([{"role": "user", "content": "caps now\n\na b"}], "A B"),
            ([{"role": "user", "content": "caps now\n\nc"}], "C"),
        ]
    ]


def test_of_several_right_outputs_the_likeliest_counts():
    (found,) = likelihoods(
        scorer({"caps": 0.0}), [("caps", (Example(input="x", outputs=("long one", "it", "other")),))]
    )
    assert found == [pytest.approx(-0.2)]


def test_each_question_is_asked_once_in_one_call():
    model = scorer({"caps": -2.0, "Write": -1.0, "Shout": -0.5})
    first, second = gains([model], [change(), change(after="Shout")])
    assert (first.least, second.least) == (pytest.approx(1.0), pytest.approx(1.5))
    assert [len(call) for call in model.calls] == [6]


def test_an_input_counts_for_no_more_than_the_cap():
    assert capped_gain([-9.0, -2.0], [-1.0, -2.4]) == pytest.approx((1.6 - 0.4) / 2)
    assert capped_gain([-1.0, -2.0], [-9.0, -2.0]) == pytest.approx(-0.8)
    assert capped_gain([-9.0], [-1.0], cap=5.0) == 5.0
    (found,) = gains([scorer({"caps": -9.0, "Write": -1.0})], [change()])
    assert found.least == pytest.approx(1.6)


def test_the_least_gain_of_the_models_counts():
    models = [scorer({"caps": -2.0, "Write": -1.0}, name="one"), scorer({"caps": -1.0, "Write": -1.25}, name="two")]
    (found,) = gains(models, [change()])
    assert found.by_model == {"one": pytest.approx(1.0), "two": pytest.approx(-0.25)}
    assert found.least == pytest.approx(-0.25)


def test_a_change_that_is_too_long_comes_with_its_error_and_the_others_are_measured():
    model = scorer({"caps": -2.0, "Write": -1.0}, context_tokens=8)
    short, long = gains([model], [change(), change(after="Write " + "word " * 20)])
    assert short.least == pytest.approx(1.0)
    assert isinstance(long, PromptTooLongError)


def test_gains_need_models_that_can_be_told_apart_and_examples():
    with pytest.raises(InputError, match="different names, not none"):
        gains([], [change()])
    with pytest.raises(InputError, match="not scripted, scripted"):
        gains([scorer({}), scorer({})], [change()])
    with pytest.raises(InputError, match="at least one example"):
        change(examples=())


def test_accuracy_tells_for_each_wording_which_replies_are_right():
    def reply(conversation):
        wording, _, text = conversation[0]["content"].partition("\n\n")
        return text.upper() if wording.startswith("Write") or text == "c" else text

    model = ScriptedGenerator(reply)
    assert accuracy(model, task(), ["caps", "Write it in capitals."]) == [[False, True], [True, True]]
    assert model.batch_sizes == [4]


def test_accuracy_of_a_wording_that_is_too_long_is_its_error():
    model = ScriptedGenerator(lambda conversation: "C", context_tokens=70)
    short, long = accuracy(model, task(), ["caps", "word " * 20])
    assert short == [False, True]
    assert isinstance(long, PromptTooLongError)


def test_accuracy_needs_a_check():
    with pytest.raises(InputError, match="the outputs of task 't' cannot be checked"):
        accuracy(ScriptedGenerator(lambda conversation: ""), task(check=None), ["caps"])


SHOWN = (
    Example(input="banana", outputs=("bananas",)),
    Example(input="Maria paid 45 euros for the old green lamp in Oslo.", outputs=("Oslo",)),
    Example(input="Write to ann@post.example now", outputs=("the answer",)),
)
LABELLED = tuple(Example(input=f"text {n}", outputs=("spam",), choices=("spam", "not spam")) for n in range(2))


@pytest.mark.parametrize(
    ("wording", "gives_away"),
    [
        ("Write the plural of the word.", None),
        ("Copy the place where something was paid.", None),
        ("Write the plural, such as bananas.", "a right output, 'bananas'"),
        ("Find the city, e.g. oslo.", "a right output, 'Oslo'"),
        ("Say what a banana becomes.", "a detail of an input, 'banana'"),
        ("Where did she pay 45 of them?", "a detail of an input, '45'"),
        ("Answer the mail of ann@post.example.", "a detail of an input, 'ann@post.example'"),
        ("Where is the old green lamp now?", "a detail of an input, 'the old green lamp'"),
    ],
)
def test_wordings_that_give_away_outputs_or_details_are_told(wording, gives_away):
    found = leak(wording, "where", SHOWN)
    assert found is None if gives_away is None else found is not None and found.endswith(gives_away)


def test_what_the_prompt_says_itself_is_not_given_away():
    assert leak("Say where Oslo is, and 45 bananas", "where is Oslo, with 45 bananas", SHOWN) is None


def test_labels_may_be_named_if_all_of_them_are():
    assert leak("Answer spam or not spam.", "junk?", LABELLED) is None
    assert leak("Is it spam?", "junk?", LABELLED) == "gives away a right output, 'spam'"
    mixed = (*LABELLED, Example(input="text 3", outputs=("spam",), choices=("spam", "ham")))
    assert leak("Answer spam or not spam.", "junk?", mixed) == "gives away a right output, 'spam'"
    pronouns = (Example(input="My aunt came.", outputs=("she",), choices=("he", "she", "it")),)
    assert leak("Answer he, she or it.", "pronoun", pronouns) is None


def test_one_letter_is_given_away_in_quotation_marks_only():
    shown = (Example(input="pillow", outputs=("p",)), Example(input="ask", outputs=("a",)))
    assert leak("Write a letter, the p of the word", "letter", shown) is None
    assert leak('Write "p".', "letter", shown) == "gives away a right output, 'p'"


def test_a_part_of_a_number_is_not_the_number():
    shown = (Example(input="54 inches", outputs=("137.2 cm",)),)
    assert leak("Multiply by 2.54.", "cm", shown) is None
    assert leak("Multiply 54 by 2.5.", "cm", shown) == "names a detail of an input, '54'"


def test_tasks_are_summed_up_with_intervals_and_shares():
    figures = [0.5, 0.3, 0.005, -0.005, -0.2, 0.6, 0.4, 0.2]
    one, two, least = task_gains([Gain(by_model={"one": figure, "two": 1.0}) for figure in figures])
    assert (one.model, two.model, least.model) == ("one", "two", LEAST)
    assert one.gain.value == least.gain.value == pytest.approx(sum(figures) / 8)
    assert one.gain.low < one.gain.value < one.gain.high
    assert (one.tasks, one.better.value, one.worse.value) == (8, 5 / 8, 1 / 8)
    assert one.better.low < 5 / 8 < one.better.high
    assert (two.gain.low, two.worse.value) == (1.0, 0.0)
    assert task_gain("one", figures, seed=1).gain.value == one.gain.value
    assert [each.model for each in task_gains([Gain(by_model={"one": 0.1}), Gain(by_model={"one": 0.2})])] == ["one"]


def test_too_few_tasks_and_tasks_of_different_models_are_refused():
    with pytest.raises(InputError, match="at least two measured tasks, and there are 0"):
        task_gains([])
    with pytest.raises(InputError, match="at least two measured tasks, and there are 1"):
        task_gains([Gain(by_model={"one": 0.1})])
    with pytest.raises(InputError, match="measured by the same test models"):
        task_gains([Gain(by_model={"one": 0.1}), Gain(by_model={"two": 0.2})])


@pytest.mark.real
def test_good_wordings_beat_hasty_ones_under_real_weights(small_weights):
    from fipo_model.backends.opening import open_scorer

    tasks = {each.name: each for each in make_tasks(examples=8)}
    changes = [
        Change(before=each.hasty[0], after=each.good[0], examples=each.examples)
        for each in (tasks["fruit_or_vegetable"], tasks["json_array"])
    ]
    found = gains([open_scorer("default")], changes)
    assert [round(gain.least, 2) for gain in found if gain.least < 0.1] == []
