"""The plain case: a prompt, examples, and a metric or right outputs that decide."""

import json
import re
import socket
import time
from dataclasses import replace
from functools import partial

import pytest

from fipo_model import FidelitySettings, OptimizationRequest, PromptOptimizer, ShownExample
from fipo_model.errors import InputError, ModelError, ServerError
from fipo_model.search import Example, SearchResult, as_metric, judgement, read_examples
from fipo_model.search.asking import Part
from fipo_model.search.budget import Budget
from fipo_model.search.examples import filled, misfit
from fipo_model.search.metrics import contains, exact, f1, json_fields
from fipo_model.search.proposals import Proposed, Seen, distinct
from fipo_model.search.proposing import RewriterProposer
from fipo_model.search.splitting import split
from fipo_model.testing import ScriptedGenerator, ScriptedScorer
from support.prompt_searches import GUIDANCE, PROMPT, ROWS, answering, likely, model, rewriting, settings


def test_a_metric_decides_and_the_gain_is_that_on_examples_that_decided_nothing():
    found = rewriting().search(PROMPT, ROWS, metric="exact", models=[model()])
    assert found.text.startswith(f"{PROMPT} {GUIDANCE}")
    assert (found.chosen_on.before.examples, found.held_out.before.examples) == (16, 8)
    assert found.held_out.after.score == 1
    assert found.held_out.gain.value == 1 - found.held_out.before.score
    assert "metric exact" in found.measured_by
    assert SearchResult.from_fields(json.loads(json.dumps(found.to_fields()))) == SearchResult.from_fields(
        found.to_fields()
    )


def test_right_outputs_alone_decide_by_their_likelihood_under_every_model():
    agree = ScriptedScorer(likely, name="one"), ScriptedScorer(likely, name="two")
    assert rewriting().search(PROMPT, ROWS[:8], models=agree).chosen_on.gain.value == 1
    against = ScriptedScorer(lambda asked, response: -3.0 - likely(asked, response), name="two")
    kept = rewriting().search(PROMPT, ROWS[:8], models=[agree[0], against])
    assert (kept.text, kept.outcome) == (PROMPT, "not_preferred")
    assert kept.held_out is None  # eight are too few to set some aside


@pytest.mark.parametrize("metric", ["exact", None])
def test_a_server_where_nothing_listens_is_told_at_once_and_not_waited_for(metric):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        spec = f"http://127.0.0.1:{probe.getsockname()[1]}/v1#m"
    began = time.monotonic()
    needed = "cannot be reached .* running on that port" if metric else "give a metric .* with its tokenizer"
    with pytest.raises((ServerError, ModelError), match=needed):
        rewriting().search(PROMPT, ROWS, metric=metric, models=[spec])
    assert time.monotonic() - began < 10


NONSENSE = "Write the word with a space between the letters and the digit, as it stands in the text."


@pytest.mark.parametrize(
    ("proposed", "outcome"),
    [
        (NONSENSE, "task_invented"),  # what was seen: +1.41 and +0.53 nats per token
        ("Write the text in capital letters.", "format_invented"),
        ("Write it in small letters, such as amber door.", "example_leaked"),
        ("Write the text in lowercase letters.", "optimized"),
    ],
)
def test_meaning_comes_before_likelihood_and_every_example_that_decides_tells_it(proposed, outcome):
    """The rewriter is shown none of the examples here, or four of twelve; a search knows what all of them say."""
    colours = ("red", "blue", "green", "white", "black", "brown", "pink", "amber")
    things = [f"{colour} {what}" for colour in colours for what in ("flute", "door")]
    rows = [(thing.title(), thing) for thing in things]
    anything_else = ScriptedScorer(lambda asked, response: -1.0 if len(asked[0]["content"]) > 40 else -3.0)
    using = rewriting(lambda naive: f"{naive}\n\n{proposed}")
    found = using.search("lower", rows, models=[anything_else])
    assert found.texts[0].candidates[0].outcome == outcome
    was_measured = any(proposed in trial.changed.get("prompt", "") for trial in found.trials)
    assert was_measured == (outcome == "optimized")


@pytest.mark.parametrize(
    ("proposed", "outcome"),
    [
        ("Count the words and sort them.", "task_invented"),
        ("Say it about film 3, as you would of others.", "example_leaked"),
        ("Explain it in one sentence before the verdict.", "optimized"),
    ],
)
def test_meaning_comes_before_a_metric_too(proposed, outcome):
    """A small model may happen to answer well after anything; here it does after every rewrite."""
    words = ("sea", "war", "love", "home", "time", "rain", "city", "king")
    rows = [(f"film {word}", "hated" if number % 2 else "liked") for number, word in enumerate(words)]
    rows = [*rows, ("film 3", "liked"), ("film 30", "hated")]

    def after_anything(asked) -> str:
        prompt, given = asked[-1]["content"].rsplit("\n\n", 1)
        right = dict(rows)[given]
        return right if prompt != "liked or hated?" else "maybe"

    using, task = rewriting(lambda naive: f"{naive}\n\n{proposed}"), model(after_anything)
    found = using.search("liked or hated?", rows, metric="contains", models=[task])
    assert found.texts[0].candidates[0].outcome == outcome
    was_run = any(proposed in asked[-1]["content"] for call in task.calls for asked in call)
    assert was_run == (outcome == "optimized")


def test_where_no_right_output_is_known_nothing_is_said_to_be_in_none():
    using = rewriting(lambda naive: f"{naive}\n\nWrite the digits of the rating it deserves.")
    rows = [{"input": f"{word} film"} for word in ("sad", "fine", "long", "old")]
    task = model(lambda asked: "7" if "digits" in asked[-1]["content"] else "seven")
    found = using.search("rate", rows, metric=lambda reference, output: output.isdigit(), models=[task])
    assert found.texts[0].candidates[0].outcome == "optimized"


def test_a_rule_of_meaning_that_is_turned_off_stays_off():
    rows = [("Red Flute", "red flute"), ("Blue Door", "blue door")] * 4
    rows = [(f"{given}{'!' * n}", f"{right}{'!' * n}") for n, (given, right) in enumerate(rows)]
    longer = ScriptedScorer(lambda asked, response: -1.0 if len(asked[0]["content"]) > 60 else -3.0)
    lax = PromptOptimizer(
        ScriptedGenerator(lambda asked: f"lower\n\n{NONSENSE}"),
        settings=FidelitySettings().without("task_invented"),
    )
    assert lax.search("lower", rows, models=[longer]).is_rewritten


def test_no_single_input_decides_by_its_likelihood():
    def one_only(asked, response):
        text = asked[0]["content"]
        return -0.1 if GUIDANCE in text and text.endswith("film 3") else -2.1 if GUIDANCE in text else -2.0

    found = rewriting().search(PROMPT, ROWS[:8], models=[ScriptedScorer(one_only)], settings=settings(significance=1))
    lead = found.trials[-1].score
    assert lead <= (1.6 - 0.1 * (found.trials[-1].examples - 1)) / found.trials[-1].examples + 1e-9


def test_of_several_right_outputs_the_best_counts():
    rows = [{"input": f"film {n}", "outputs": ["never", "yes" if n % 2 else "no"]} for n in range(8)]
    assert rewriting().search(PROMPT, rows, metric="exact", models=[model()]).chosen_on.after.score == 1


def test_what_the_rewriter_is_shown_are_examples_with_wrong_answers_first_and_what_the_metric_said():
    def says(reference, output, given):
        return {"score": reference == output, "comment": f"{given} should be {reference}"}

    using = rewriting(lambda naive: f"{naive} Look closely.")
    using.search(PROMPT, ROWS[:8], metric=says, models=[model()], settings=settings(candidates=3))
    asked = [one[-1]["content"] for call in using.rewriter.generator.calls for one in call]
    assert "film" not in asked[0].replace(PROMPT, "")  # the prompt alone
    shown = next(text for text in asked if "should be" in text)
    assert "film 1" in shown
    assert len(asked) > 1


async def test_it_never_blocks_the_event_loop():
    found = await rewriting().asearch(PROMPT, ROWS[:8], models=[ScriptedScorer(likely)])
    assert GUIDANCE in found.text


def test_variables_of_the_prompt_are_filled_in():
    assert filled("Translate {text} to French.", "cat") == "Translate cat to French."
    assert filled("Translate.", "cat") == "Translate.\n\ncat"
    assert filled("Say {{a}} to {b}.", {"a": "hi", "b": 3}) == "Say hi to 3."
    assert filled("Nenne die {größe}.", "Breite") == "Nenne die Breite."
    code = "What does `import { port } from 'x'` do?"
    assert filled(code, "Be brief.") == f"{code}\n\nBe brief."  # no variable: a rewrite need not keep it, either
    assert filled("Say it to {b}.", {"b": "Ann", "text": "hi"}) == "Say it to Ann.\n\nhi"


@pytest.mark.parametrize(
    ("prompt", "given", "said"),
    [
        ("Due date: {invoice}", {"inv": "no. 3"}, r"has \{invoice\}, but the input has 'inv'"),
        ("Due {date} of {{ invoice }}.", "no. 3", r"has \{date\} and \{invoice\}, but the input is a single text"),
        (
            "Due {{invoice}}",
            {"invoice": "3", "x": "1"},
            r"has \{invoice\} and no place for 'x'; the input has 'invoice'",
        ),
        ("Due ${invoice}", {"invoice": "no. 3"}, r"has \$\{invoice\}, which is not filled: a variable is written"),
        ("Due {invoice!r}", {"invoice": "no. 3"}, r"has \{invoice!r\}, which is not filled"),
        ("Due __invoice__", {"invoice": "no. 3"}, "has __invoice__, which is not filled"),
    ],
)
def test_no_prompt_is_measured_whose_variables_an_input_does_not_fill(prompt, given, said):
    """A model once got the variable as it stands, and the result looked like evidence."""
    using, task = rewriting(), model(lambda _: "yes")
    options = {"metric": "exact", "models": [task]}
    with pytest.raises(InputError, match=f"^example 1: the prompt {said}"):
        using.search(prompt, [(given, "yes")] * 4, **options)
    with pytest.raises(InputError, match=f"^example 1: the prompt {said}"):
        using.headroom(prompt, [(given, "yes")] * 4, **options)
    assert (using.rewriter.generator.calls, task.calls) == ([], [])


def test_every_row_must_fill_the_prompt_and_those_held_out_too():
    rows = [({"film": given}, output) for given, output in ROWS]
    wrong = ({"flim": "film 30"}, "yes")
    said = r"the prompt has \{film\}, but the input has 'flim'"
    with pytest.raises(InputError, match=f"^example 25: {said}"):
        rewriting().search(f"{PROMPT} {{film}}", [*rows, wrong], metric="exact", models=[model()])
    with pytest.raises(InputError, match=f"^held-out example 1: {said}"):
        rewriting().search(f"{PROMPT} {{film}}", rows, metric="exact", models=[model()], held_out=[wrong])


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        ("Say the mood.", {"text": "hi", "by": "Ann"}),
        ("What does `import { port } from 'x'` do?", {"port": "1"}),
        ('Return {"mood": "sad"} or {}.', {"mood": "sad"}),
        ('Return {"mood": ...} for {text}.', "hi"),
        (r"Solve \frac{a}{b}, as in [a].", {"a": "3"}),
        ("Say {a} to {b}, then {a}.", {"b": "Ann", "a": "hi"}),
    ],
)
def test_braces_that_are_no_variables_and_prompts_without_any_take_every_input(prompt, given):
    assert misfit(prompt, given) is None


def test_what_must_be_kept_is_kept():
    request = OptimizationRequest("Say whether the film Acme is liked.", keep=("Acme",))
    found = rewriting(lambda naive: f"Say if the film is liked. {GUIDANCE}").search(
        request, ROWS, metric="exact", models=[model()]
    )
    assert found.text == request.instruction
    assert found.texts[0].candidates[0].outcome != "optimized"


def test_it_is_said_how_many_rewrites_were_tried_and_which_of_them_are_the_rewriters(tmp_path):
    options = {"metric": "exact", "models": [model()], "settings": settings(log_dir=tmp_path)}
    found = rewriting().search(PROMPT, ROWS, **options)
    count = len({one.arm for one in found.trials}) - 1
    assert f"{count} rewrites were tried. It took {found.metric_calls} measurements." in str(found).splitlines()
    assert "The rewriter is scripted." in str(found).splitlines()
    table = (tmp_path / "report.html").read_text().partition("what does well is tried on more examples")[2]
    numbers = re.findall(r"<tr[^>]*>\s*<t[hd][^>]*>\s*(\d+)\s*<", table)
    assert len(numbers) == len(found.trials)
    assert len(set(numbers)) == 1 + count  # on more examples it is the same attempt


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("unchanged", "rewriter")], "The rewriter is scripted; it had nothing to add."),
        ([("task_invented", "rewriter")] * 2, "The rewriter is scripted; none of its proposals passed the checks (2)."),
        ([("optimized", "rewriter")], "The rewriter is scripted."),
    ],
)
def test_what_a_rule_made_is_not_taken_for_the_rewriters(rows, said):
    found = rewriting().search(PROMPT, ROWS[:8], metric="exact", models=[model()])
    rows = [Proposed(text="x", outcome=outcome, origin=origin) for outcome, origin in [*rows, ("optimized", "labels")]]
    trials = [one for one in found.trials if not one.changed] + [replace(found.trials[-1], examples=n) for n in (4, 8)]
    told = replace(found, texts=[replace(found.texts[0], candidates=rows)], trials=trials)
    assert said in str(told).splitlines()
    assert "1 rewrite was tried." in str(told)


# Why nothing won


def hopeless(said: str, **options) -> SearchResult:
    """A search in which every answer is the same, whatever the prompt."""
    options = {"metric": "exact", **options}
    return rewriting().search(PROMPT, ROWS, models=[model(lambda _: said)], **options)


def test_where_no_answer_is_right_one_is_shown_beside_the_right_one_with_what_to_try(tmp_path):
    found = hopeless("Well, I would say that it is yes!", settings=settings(log_dir=tmp_path))
    assert (found.outcome, found.chosen_on.before.score) == ("not_preferred", 0)
    assert found.texts[0].detail.startswith("every run scored 0, with the present text and with every rewrite, so")
    (said,) = found.notes
    assert said.startswith("the model never gave a right answer: every one scored 0 by the metric exact. To the input")
    assert "the model answered 'Well, I would say that it is yes!'; the right output is 'yes', which the answer" in said
    assert said.endswith("The metric contains would count it")
    assert "never gave a right answer" in (tmp_path / "report.html").read_text()
    (elsewhere,) = hopeless("I am a computer.").notes
    assert "answered 'I am a computer.'; the right output is '" in elsewhere
    assert elsewhere.endswith("Try another metric or another model, or check the examples")
    # Of a metric of one's own nobody knows whether 0 is wrong.
    (own,) = hopeless("I am a computer.", metric=lambda reference, output: 0).notes
    assert own.startswith("every answer scored 0 by the metric <lambda>, so no wording could lead")


def test_where_no_rewrite_can_be_run_it_is_still_said_that_no_answer_was_right():
    using = rewriting(lambda naive: "Tell me a story about the sea and its ships.")
    brief = OptimizationRequest(f"{PROMPT} Answer yes or no.", max_words=10)  # no room for a rule's sentence, either
    found = using.search(brief, ROWS, metric="exact", models=[model(lambda _: "I am a computer.")])
    assert not any(row.is_usable for row in found.texts[0].candidates)
    assert found.notes[0].startswith("the model never gave a right answer")


@pytest.mark.parametrize(
    ("answer", "metric", "detail"),
    [
        ("half", lambda reference, output: 0.5, "every run scored 0.5, with the present text and with every rewrite,"),
        ("yes", "exact", "no rewrite changed the score of any example it was tried on; try more rewrites"),
    ],
)
def test_where_all_scores_are_the_same_that_is_the_reason(answer, metric, detail):
    found = hopeless(answer, metric=metric)
    assert found.outcome == "not_preferred"
    assert found.detail.startswith(detail)
    assert str(found).startswith(f"not_preferred: {detail}")
    (note,) = found.notes
    assert note.startswith(f"with the text to use, the model answers '{answer}' to 16 of 16 inputs")


def test_a_lead_that_could_be_luck_is_told_in_plain_words():
    def right_about_two_more(asked) -> str:
        number = int(asked[-1]["content"].split()[-1])
        is_right = number > (5 if GUIDANCE in asked[-1]["content"] else 7)
        return "yes" if bool(number % 2) == is_right else "no"

    found = rewriting().search(PROMPT, ROWS[:8], metric="exact", models=[model(right_about_two_more)])
    assert found.texts[0].detail == (
        "a rewrite leads on the 8 examples, but the lead could be luck: a rewrite that changes nothing would take "
        "such a lead in 25% of comparisons, and at most 20% is accepted (significance=0.2). More examples would tell."
    )


def test_likelihoods_are_no_answers():
    found = rewriting().search(PROMPT, ROWS, models=[ScriptedScorer(lambda asked, response: -2.0)])
    assert found.notes == []


def test_where_the_engine_has_no_likelihoods_the_free_way_out_comes_first(monkeypatch, caplog):
    """It once followed the advice to fetch a second model, which would not have helped."""
    monkeypatch.setenv("FIPO_ENGINE", "llamacpp")
    with (
        caplog.at_level("INFO"),
        pytest.raises(ModelError, match=r'^give a metric \(metric="exact", or --metric exact'),
    ):
        rewriting().search(PROMPT, ROWS)
    with pytest.raises(ModelError, match=r"Without a metric, likelihoods decide, but llama\.cpp does not report"):
        rewriting().headroom(PROMPT, ROWS)
    assert caplog.messages == []


# Input that cannot be used


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (
            ROWS[:2],
            {},
            r"at least 3 examples, but there are 2: on fewer, even being right about all of them could be luck",
        ),
        (ROWS[:3], {"metric": "exact", "settings": settings(significance=0.1)}, "at least 4 examples"),
        ([*ROWS, {"input": "film 99"}], {}, "example .* has no right output, and there is no metric"),
        ([*ROWS[:13], {"input": "film 13"}, *ROWS[14:]], {}, "example 14 has no right output"),
        ([{"input": "film 1"}] * 4, {"metric": "exact"}, "there is no right output .*, which the metric exact needs"),
        (ROWS, {"metric": "json_fields"}, "must be an object with fields"),
        (["film"], {}, r"example 1: it must be a pair .* not 'film'"),
        ([{"text": "film"}], {}, r"there is no `input`; its fields are 'text'"),
        ([("", "yes")] * 3, {}, "an input is empty"),
        ([("film", " ")] * 3, {}, "a right output is empty"),
        ("rows", {}, "must be a list of rows, not a str"),
        (ROWS, {"metric": "exakt"}, "there is no metric 'exakt'; choose from exact"),
        (ROWS, {"metric": lambda one: 1}, r"must take \(reference, output, input\)"),
        (ROWS, {"metric": 3}, "a metric is a name or a function"),
    ],
)
def test_examples_and_metrics_that_cannot_decide_are_said_to_be(rows, options, said):
    models = [model()] if options else [ScriptedScorer(likely)]
    using = rewriting()
    with pytest.raises(InputError, match=said):
        using.search(PROMPT, rows, models=models, **options)
    assert using.rewriter.generator.calls == []


def test_a_budget_too_small_counts_the_examples_held_out():
    with pytest.raises(InputError, match=r"on 24 examples: that takes at least 48"):
        rewriting().search(PROMPT, ROWS, metric="exact", models=[model()], settings=settings(max_metric_calls=47))
    found = rewriting().search(PROMPT, ROWS, metric="exact", models=[model()], settings=settings(max_metric_calls=48))
    assert found.is_rewritten
    assert found.metric_calls == 48


def test_an_example_that_is_repeated_counts_once_and_never_decides_and_tells_the_gain():
    twice = rewriting().search(PROMPT, [*ROWS, *ROWS], metric="exact", models=[model()])
    once = rewriting().search(PROMPT, ROWS, metric="exact", models=[model()])
    assert (twice.chosen_on, twice.held_out) == (once.chosen_on, once.held_out)
    assert "24 of the examples are repeated and count once" in twice.notes
    few = [ROWS[0], ROWS[1], ROWS[2]] * 8
    assert rewriting().search(PROMPT, few, metric="exact", models=[model()]).held_out is None
    known = rewriting().search(PROMPT, ROWS, metric="exact", models=[model()], held_out=[*ROWS[:4], *HELD_OUT])
    assert known.held_out.before.examples == 8
    with pytest.raises(InputError, match="every held-out example also decides"):
        rewriting().search(PROMPT, ROWS, metric="exact", models=[model()], held_out=ROWS[:4])
    with pytest.raises(InputError, match="at least 3 examples that are not repeated, but there are 1"):
        rewriting().search(PROMPT, ROWS[:1] * 4, metric="exact", models=[model()])


def test_the_same_input_with_two_outputs_is_on_one_side():
    both = [(given, output) for given, _ in ROWS for output in ("yes", "no")]
    parts = split(read_examples(both), None, seed=0)
    assert (len(parts.deciding), len(parts.aside)) == (32, 16)
    assert not {one.input for one in parts.deciding} & {one.input for one in parts.aside}


@pytest.mark.parametrize(
    "changed",
    [
        {"silver_response": "liked"},
        {"golden_response": "yes"},
        {"feedback": "too long"},
        {"examples": (ShownExample("film 200", "yes"),)},
        {"context": "films"},
        {"max_words": 70},
        {"keep": ("film",)},
    ],
)
def test_a_search_of_another_request_does_not_resume(tmp_path, changed):
    options = {"metric": "exact", "models": [model()], "settings": settings(log_dir=tmp_path)}
    rewriting().search(PROMPT, ROWS[:8], **options)
    with pytest.raises(InputError, match=r"other settings: .* choose another log_dir \(--out\)"):
        rewriting().search(OptimizationRequest(PROMPT, **changed), ROWS[:8], **options)


@pytest.mark.parametrize(
    ("fidelity", "said"),
    [
        (FidelitySettings().without("answered"), r'rules_off was not set and is now \["answered"\]'),
        (FidelitySettings(most_added_words=30), "most_added_words was not set and is now 30"),
        (FidelitySettings(may_repeat=True), "may_repeat was not set and is now true"),
    ],
)
def test_a_search_with_other_rules_does_not_resume(tmp_path, fidelity, said):
    options = {"metric": "exact", "models": [model()], "settings": settings(log_dir=tmp_path)}
    using = rewriting()
    for _ in range(2):
        using.search(PROMPT, ROWS[:8], **options)
    with pytest.raises(InputError, match=said):
        PromptOptimizer(using.rewriter.generator, settings=fidelity).search(PROMPT, ROWS[:8], **options)


def test_where_every_rewrite_is_refused_the_prompt_stays_and_it_is_said_why():
    prompt = f"{PROMPT} Answer yes or no."
    brief = OptimizationRequest(prompt, max_words=len(prompt.split()) + 1)
    using = rewriting(lambda naive: "Tell me a story about the sea and its ships.")
    found = using.search(brief, ROWS, metric="exact", models=[model()])
    assert found.text == prompt
    assert found.outcome not in ("optimized", "not_preferred")
    assert found.texts[0].detail
    assert found.metric_calls == 16  # nothing was left to compare, and nothing is held out for it


def test_a_metric_that_fails_for_some_outputs_counts_nothing_there():
    def picky(reference, output, given):
        if output != "yes":
            raise ValueError("not yes")
        return output == reference

    found = rewriting().search(PROMPT, ROWS, metric=picky, models=[model()])
    assert 0 < found.chosen_on.before.failed < 16
    assert found.first_failure == "the metric picky raised ValueError: not yes"


def test_a_metric_that_returns_no_number_is_a_mistake_and_no_failure():
    with pytest.raises(InputError, match=r"the metric missing must return a number \(is a return missing\?\)"):
        rewriting().search(PROMPT, ROWS, metric=missing, models=[model()])


def missing(reference, output, given):
    """Forgets to return."""


def test_a_metric_that_does_not_agree_with_itself_is_said_to():
    turns = iter(range(10_000))
    found = rewriting().search(PROMPT, ROWS, metric=lambda *_: next(turns) % 3, models=[model()])
    assert any("to the same output: its scores are partly luck" in note for note in found.notes)
    assert rewriting().search(PROMPT, ROWS, metric=lambda *_: 1.0, models=[model()]).notes == []


def test_a_server_that_refuses_now_and_then_fails_one_run_and_not_its_batch():
    calls = []

    def sometimes(asked):
        calls.append(asked)
        if len(calls) % 5 == 0:
            raise ServerError("429")
        return answering(asked)

    options = settings(patience=0.001)
    found = rewriting().search(PROMPT, ROWS, metric="exact", models=[model(sometimes)], settings=options)
    assert found.is_rewritten
    assert found.chosen_on.before.missing == 0
    assert found.tried_again > 0
    assert "429" in found.first_failure


HELD_OUT = [(f"film {number}", "yes" if number % 2 else "no") for number in range(100, 108)]


def test_a_model_that_goes_away_before_the_held_out_examples_gives_no_gain_there():
    def dies(asked):
        if int(asked[-1]["content"].split()[-1]) >= 100 and GUIDANCE in asked[-1]["content"]:
            raise ServerError("down")
        return answering(asked)

    options = settings(patience=0.001)
    found = rewriting().search(PROMPT, ROWS, metric="exact", models=[model(dies)], settings=options, held_out=HELD_OUT)
    assert (found.is_rewritten, found.held_out) == (True, None)
    gone = "a model that could not be reached ended the search before the gain on held-out examples was measured"
    assert gone in found.notes
    assert found.first_failure == "ServerError: down"
    assert found.tried_again > 0


def test_what_the_held_out_examples_cost_is_in_the_cost():
    found = rewriting().search(PROMPT, ROWS, metric="exact", models=[model()], settings=settings(price=0.01))
    assert found.held_out is not None
    assert found.cost == pytest.approx(0.01 * found.metric_calls)


def test_what_is_tried_again_on_held_out_examples_keeps_to_the_money_too():
    def fails(reference, output, given):
        if int(given.split()[-1]) >= 100:
            raise ValueError("broken")
        return reference == output

    options = settings(price=0.01, max_cost=0.5, candidates=1)
    found = rewriting().search(PROMPT, ROWS[:16], metric=fails, models=[model()], settings=options, held_out=HELD_OUT)
    assert found.is_rewritten
    assert found.tried_again == 2
    assert found.cost == pytest.approx(0.5)


def test_money_that_is_gone_is_not_spent_on_held_out_examples():
    spent = [0.0]

    def pays(asked):
        spent[0] += 0.01
        return answering(asked)

    options = settings(price=lambda: spent[0], max_cost=0.48, candidates=1)
    found = rewriting().search(
        PROMPT, ROWS[:16], metric="exact", models=[model(pays)], settings=options, held_out=HELD_OUT
    )
    assert found.is_rewritten
    assert found.held_out is not None
    assert found.cost == pytest.approx(0.48)
    spent[0] = 0.0
    options = settings(price=lambda: spent[0], max_cost=0.47, candidates=1)
    found = rewriting().search(
        PROMPT, ROWS[:16], metric="exact", models=[model(pays)], settings=options, held_out=HELD_OUT
    )
    assert (found.is_rewritten, found.held_out, found.cost) == (True, None, pytest.approx(0.32))
    assert found.notes[-1].startswith("max_cost ended the search")


def test_a_prompt_that_is_too_long_for_a_model_is_a_failure_of_its_own():
    short = ScriptedScorer(likely, context_tokens=len(PROMPT.split()) + 6)
    found = rewriting(lambda naive: f"{naive} {GUIDANCE} {'It is about films. ' * 4}").search(
        PROMPT, ROWS[:8], models=[short]
    )
    assert found.text == PROMPT


# Resuming


def test_an_interrupted_search_resumes_and_a_changed_metric_is_refused(tmp_path):
    def dies(asked):
        if len(answered) == 20:
            raise KeyboardInterrupt
        answered.append(asked)
        return answering(asked)

    answered: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        rewriting().search(PROMPT, ROWS, metric="exact", models=[model(dies)], settings=settings(log_dir=tmp_path))
    rest = model()
    found = rewriting().search(PROMPT, ROWS, metric="exact", models=[rest], settings=settings(log_dir=tmp_path))
    assert found.metric_calls_resumed == 16
    assert found.metric_calls == 16 + sum(rest.batch_sizes)
    again = model()
    same = rewriting().search(PROMPT, ROWS, metric="exact", models=[again], settings=settings(log_dir=tmp_path))
    assert again.calls == []
    assert same.text == found.text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["texts"][0]["text"] == found.text
    assert "What was gained" in (tmp_path / "report.html").read_text()
    with pytest.raises(InputError, match="other settings: metric was"):
        rewriting().search(PROMPT, ROWS, metric="contains", models=[again], settings=settings(log_dir=tmp_path))


def test_likelihoods_resume_although_they_are_gains_over_the_prompt(tmp_path):
    first = rewriting().search(
        PROMPT, ROWS, models=[ScriptedScorer(likely)], settings=settings(log_dir=tmp_path, max_metric_calls=48)
    )
    lines = (tmp_path / "evaluations.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "evaluations.jsonl").write_text("".join(lines[:18]))
    again = rewriting().search(
        PROMPT, ROWS, models=[ScriptedScorer(likely)], settings=settings(log_dir=tmp_path, max_metric_calls=48)
    )
    assert again.chosen_on == first.chosen_on
    assert again.held_out == first.held_out


# Metrics, examples, proposals


@pytest.mark.parametrize(
    ("metric", "reference", "output", "score"),
    [
        (exact, "Paris", ' "paris." ', 1),
        (exact, "Paris", "It is Paris", 0),
        (exact, {"a": 1}, '```json\n{"a": 1}\n```', 1),
        (exact, {"a": 1}, '{"a": true}', 0),
        (contains, "Paris", "it is PARIS, of course", 1),
        (f1, "a red car", "the red bus", 0.5),
        (json_fields, {"a": 1, "b": "x"}, 'Here: ```{"a": 1, "b": "y"}```', 0.5),
        (json_fields, {"a": 1}, "none", 0),
    ],
)
def test_metrics_compare_what_counts(metric, reference, output, score):
    assert metric(reference, output, None) == score


def test_what_metrics_return_is_read():
    class Prediction:
        score, feedback = 0.5, "too long"

    assert judgement(True, metric="m") == judgement({"score": True}, metric="m")
    assert (judgement(True, metric="m").best, judgement(1, metric="m").best) == (1.0, None)
    assert judgement(Prediction(), metric="m").feedback == "too long"
    assert judgement({"score": 1, "comment": "good"}, metric="m").feedback == "good"
    assert as_metric(lambda reference, output: 1).function("a", "b", "c") == 1


def test_examples_come_as_people_have_them():
    rows = [
        ("a", "b"),
        {"input": "a", "reference": "b"},
        {"input": "a", "outputs": ["b"]},
        ShownExample("a", "b"),
        Example(input="a", outputs=("b",)),
    ]
    assert read_examples(rows) == [Example(input="a", outputs=("b",))] * 5
    assert read_examples([{"input": {"x": "a"}, "output": {"y": 1}}])[0].outputs == ({"y": 1},)


def test_rewrites_that_ask_the_same_are_tried_once():
    rows = [
        Proposed(text="Sort the words by length.", outcome="optimized"),
        Proposed(text="Sort words by their length!", outcome="optimized"),
        Proposed(text="", outcome="empty"),
        Proposed(text="Sort the words by their first letter.", outcome="optimized"),
        Proposed(text="Sort the words by their last letter.", outcome="optimized"),
    ]
    found = distinct(rows, usable=2)
    assert [row.outcome for row in found] == ["optimized", "repeated", "empty", "optimized"]
    assert distinct(rows[:2], usable=2, known=["sort by length the words"])[0].outcome == "repeated"


@pytest.mark.tiny
def test_models_in_this_process_answer_and_measure(tiny_model, tmp_path):
    rows = [(f"film {number}", "yes") for number in range(4)]
    using = rewriting()
    by_likelihood = using.search(PROMPT, rows, models=[str(tiny_model)], settings=settings(log_dir=tmp_path))
    tried = [trial for trial in by_likelihood.trials if trial.changed]
    assert tried
    assert all(-1.6 <= trial.score <= 1.6 and trial.missing == trial.failed == 0 for trial in tried)
    assert by_likelihood.chosen_on.before.score == 0
    again = using.search(PROMPT, rows, models=[str(tiny_model)], settings=settings(log_dir=tmp_path))
    assert again.metric_calls_resumed == again.metric_calls == by_likelihood.metric_calls
    answered = using.search(PROMPT, rows, metric="contains", models=[str(tiny_model)])
    assert answered.chosen_on.before.failed == 0


def test_what_follows_a_text_in_its_place_is_never_sent_and_never_lost():
    tail = "\n\nReply to the tool."
    generator = ScriptedGenerator(lambda asked: f"{asked[-1]['content'].splitlines()[1]} {GUIDANCE}")
    part = Part(
        name="one",
        request=OptimizationRequest(PROMPT),
        place=lambda text: text + tail,
        taken=lambda text: text.removesuffix(tail),
    )
    proposer = RewriterProposer(rewriter=PromptOptimizer(generator).rewriter, parts=[part], candidates=4, seed=0)
    for turn in (0, 1):
        found = proposer.propose(Seen(texts={"one": PROMPT + tail}, measurements={}, turn=turn))
        first = next(row.text for row in found.by_text["one"] if row.is_usable)
        assert first == f"{PROMPT} {GUIDANCE}{tail}"
    assert not any("tool" in turns[-1]["content"] for call in generator.calls for turns in call)


@pytest.mark.parametrize("candidates", [1, 2, 4, 8])
def test_as_many_samples_are_asked_for_whatever_there_is_to_show(candidates):
    def asked_for(shown):
        replies = []
        counted = ScriptedGenerator(lambda asked: replies.append(asked) or "no")
        rewriter = PromptOptimizer(counted).rewriter
        part = Part(name="one", request=OptimizationRequest(PROMPT))
        proposer = RewriterProposer(rewriter=rewriter, parts=[part], candidates=candidates, seed=0, shown=shown)
        proposer.propose(Seen(texts={"one": PROMPT}, measurements={}))
        return len(replies)

    many = {number: ShownExample(given, output) for number, (given, output) in enumerate(ROWS)}
    expected = 1 + 4 * -(-(candidates - 1) // 2)
    assert asked_for({}) == asked_for(many) == expected


def test_rewrites_in_other_words_may_be_tried_where_examples_decide():
    naive, said = "Describe how rivers shape a valley.", "Describe how rivers shape a wide, gentle valley over time."
    strict = rewriting(lambda _: said).checking(FidelitySettings(strict_wording=True))
    assert strict.optimize(naive).text != said
    part = Part(name="one", request=OptimizationRequest(naive))
    proposer = RewriterProposer(rewriter=strict.rewriter, parts=[part], candidates=1, seed=0)
    found = proposer.propose(Seen(texts={"one": naive}, measurements={}))
    assert [row.text for row in found.by_text["one"] if row.is_usable] == [said]
    rows = [(f"valley {number}", "steep" if number % 2 else "flat") for number in range(8)]
    for metric, models in (("exact", [model(lambda _: "flat")]), (None, [ScriptedScorer(likely)])):
        first = strict.search(naive, rows, metric=metric, models=models).texts[0].candidates[0]
        assert (first.text, first.outcome) == (said, "optimized")


def test_a_search_whose_time_is_up_uses_what_leads_on_the_examples_so_far(monkeypatch):
    """The rewrite that led by 1 nat on eight of fourteen examples was once thrown away."""
    now = [0.0]
    monkeypatch.setattr("fipo_model.search.settings.Budget", partial(Budget, clock=lambda: now[0]))

    def slowly(asked, response) -> float:
        now[0] += 1
        return likely(asked, response)

    for seconds, count in ((1000, 16), (60, 8)):
        now[0] = 0.0
        found = rewriting().search(
            PROMPT, ROWS, models=[ScriptedScorer(slowly)], settings=settings(max_seconds=seconds)
        )
        assert GUIDANCE in found.text
        assert (found.chosen_on.after.examples, found.outcome) == (count, "optimized")
        assert found.stopped_by == (None if seconds == 1000 else "max_seconds")
        assert (found.held_out is None) == (seconds == 60)
        assert "No examples were held out" not in str(found)
    assert "max_seconds ended the search before the gain on held-out examples was measured" in found.notes
    now[0] = 0.0
    kept = rewriting().search(PROMPT, ROWS, models=[ScriptedScorer(slowly)], settings=settings(max_seconds=16))
    assert kept.detail == "max_seconds ended the search before any rewrite was measured"
