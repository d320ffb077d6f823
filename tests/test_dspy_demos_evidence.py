"""The examples that demonstrations come from decide, too, and none of them is run with a demonstration of itself."""

import functools
import itertools
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dspy
import pytest

from fipo_integrations.dspy import SearchSettings, local_lm
from fipo_integrations.dspy.demos import BATCH, FOLDS, SETS, apart_from
from fipo_integrations.dspy.search import to_show
from fipo_model.search import cost, schedule
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.dspy_programs import ANIMALS, Answer, answering, exact, examples, fipo

pytestmark = pytest.mark.usefixtures("no_dspy_cache")

TRAINED, DECIDING = 12, 8
"""The numbers of animals: those below 12 may be shown, the next eight decide."""


class Pair(dspy.Module):
    """Two predictors, each of which sees the question."""

    def __init__(self):
        super().__init__()
        self.think = dspy.Predict(dspy.Signature("question -> idea", "Have an idea."))
        self.answer = dspy.Predict(dspy.Signature("question, idea -> answer", "Answer."))

    def forward(self, question):
        return self.answer(question=question, idea=self.think(question=question).idea)


class InThreads(dspy.Module):
    """Calls its predictor in threads of its own."""

    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict(Answer)

    def forward(self, question):
        one = dspy.Example(question=question).with_inputs("question")
        return dspy.Parallel(num_threads=2, disable_progress_bar=True)([(self.answer, one), (self.answer, one)])[0]


class Copies(dspy.Module):
    """Calls copies of its predictor."""

    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict(Answer)

    def forward(self, question):
        best = dspy.BestOfN(self.answer, N=2, reward_fn=lambda inputs, prediction: 0.0, threshold=1.0)
        return best(question=question)


class InAPool(dspy.Module):
    """Calls its predictor in a thread that DSPy knows nothing of, with some of its demonstrations."""

    def __init__(self):
        super().__init__()
        self.answer = dspy.Predict(Answer)

    def forward(self, question):
        # A new thread has none of the settings of the one that starts it.
        run = functools.partial(self.answer, question=question, lm=dspy.settings.lm, demos=self.answer.demos[:14])
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(run).result()


class Asked(ScriptedGenerator):
    """A model that remembers what it was asked, by the number of the animal and how many demonstrations there were."""

    def __init__(self, is_right=lambda number, is_shown: True):
        self.seen: list[tuple[int, list[int]]] = []
        self._lock = threading.Lock()
        self._is_right = is_right
        super().__init__(self._answer)

    def _answer(self, asked):
        *shown, own = [number_in(turn["content"]) for turn in asked if turn["role"] == "user"]
        with self._lock:
            self.seen.append((own, shown))
        if "Have an idea." in asked[0]["content"]:
            return "[[ ## idea ## ]]\nnone"
        return answering("right" if self._is_right(own, bool(shown)) else "wrong")


def number_in(text: str) -> int:
    return int(re.findall(r"animal number (\d+)", text)[-1])


def compiled_with(model, *, student=None, threads=1, trainset=ANIMALS[:TRAINED], deciding=DECIDING, **options):
    settings = SearchSettings(**{"demos": "auto", "student_responses": False, **options})
    using = fipo(naive_in, metric=exact, num_threads=threads, search=settings)
    valset = examples(ANIMALS[TRAINED : TRAINED + deciding])
    with dspy.context(lm=local_lm(model, max_tokens=1000)):
        return using.compile(student or dspy.Predict(Answer), trainset=examples(trainset), valset=valset)


def only_shown(number, is_shown):
    return is_shown


def at_home(number, is_shown):
    """Right about training examples, and about the others only with demonstrations."""
    return is_shown or number < TRAINED


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("program", [lambda: dspy.Predict(Answer), Pair, InThreads, InAPool, Copies])
def test_no_example_is_run_with_a_demonstration_of_itself(program, threads):
    model = Asked(only_shown)
    compiled = compiled_with(model, student=program(), threads=threads)
    assert all(own not in shown for own, shown in model.seen)
    trained = [(own, len(shown)) for own, shown in model.seen if own < TRAINED and shown]
    assert {own for own, _ in trained} == set(range(TRAINED))  # they were measured with demonstrations
    assert max(count for _, count in trained) == TRAINED - TRAINED // FOLDS
    assert compiled.score == 100.0


def test_an_example_that_is_there_twice_does_not_see_its_own_answer_either():
    model = Asked(only_shown)
    compiled_with(model, trainset=[*ANIMALS[:TRAINED], *ANIMALS[:TRAINED]])
    assert all(own not in shown for own, shown in model.seen)


def leading_by_two(number, is_shown):
    """With demonstrations it is right about two more of those that decide, which could well be luck."""
    return number > 0 and (is_shown or number < TRAINED or number >= TRAINED + 2)


def really_leading(number, is_shown):
    return is_shown or (number < TRAINED and number % 2) or number >= TRAINED + 2


def lucky(number, is_shown):
    return leading_by_two(number, is_shown) if number >= TRAINED else not is_shown


@pytest.mark.parametrize(
    ("is_right", "count", "why"),
    [
        (really_leading, 4, None),
        (leading_by_two, 0, "on the 20 examples, but the lead could be luck: a set of .* 25%"),
        (lucky, 0, None),
    ],
)
def test_a_lead_that_could_be_luck_is_decided_by_the_training_examples(is_right, count, why):
    compiled = compiled_with(Asked(is_right))
    assert len(compiled.demos) == count
    assert compiled.fipo_report["scores"]["student"]["examples"] == DECIDING
    if why:
        assert re.search(why, compiled.fipo_report["demonstrations"])


def only_on_training_examples(number, is_shown):
    return number % 2 if number >= TRAINED else is_shown


def test_what_leads_on_the_training_examples_alone_is_not_used():
    compiled = compiled_with(Asked(lambda number, is_shown: is_shown or (number >= TRAINED and number % 2)), demos=1)
    assert compiled.demos  # it leads on both
    compiled = compiled_with(Asked(only_on_training_examples), deciding=10, trainset=ANIMALS[:6])
    assert compiled.demos == []
    said = "a set of demonstrations leads on 16 examples, but not on the 10 that are no training examples"
    assert said in compiled.fipo_report["demonstrations"]


def test_no_run_is_spent_on_a_set_that_can_no_longer_lead_where_it_must():
    model = Asked(lambda number, is_shown: number % 2)  # a set could still win on the training examples
    assert compiled_with(model).demos == []
    assert not any(shown for own, shown in model.seen if own < TRAINED)


def test_nothing_is_run_for_demonstrations_once_the_instruction_is_enough():
    def script(asked):
        return answering("right" if "carefully" in asked[0]["content"] else "wrong")

    using = fipo(metric=exact, num_threads=1, search=SearchSettings(student_responses=False))
    model = ScriptedGenerator(script)
    with dspy.context(lm=local_lm(model, max_tokens=1000)):
        compiled = using.compile(
            dspy.Predict(Answer), trainset=examples(ANIMALS[:TRAINED]), valset=examples(ANIMALS[TRAINED:])
        )
    assert compiled.score == 100.0
    asked = [number_in(one[-1]["content"]) for call in model.calls for one in call]
    assert min(asked) >= TRAINED
    assert "all 12 examples are right already" in compiled.fipo_report["demonstrations"]


def test_a_set_that_fails_more_on_the_deciding_examples_is_not_used():
    """It fails less on the training examples, so it does not fail more on all of them."""

    def metric(example, prediction, trace=None):
        number = number_in(example.question)
        is_shown = prediction.answer == "shown"
        if number == (TRAINED if is_shown else TRAINED - 1):
            raise ValueError("no score")
        return is_shown or number > TRAINED + 4

    def script(asked):
        return answering("shown" if len(asked) > 2 else "wrong")

    using = fipo(naive_in, metric=metric, num_threads=1, search=SearchSettings(student_responses=False))
    with dspy.context(lm=local_lm(ScriptedGenerator(script), max_tokens=1000)):
        compiled = using.compile(
            dspy.Predict(Answer), trainset=examples(ANIMALS[:TRAINED]), valset=examples(ANIMALS[TRAINED:])
        )
    assert compiled.demos == []
    assert compiled.fipo_report["scores"]["compiled"]["failed"] == 0


class Fails(Asked):
    """A model that fails on some animals, as often as it is asked without demonstrations, or always."""

    def __init__(self, is_right, error, numbers, *, is_mended_by_demos=False):
        super().__init__(is_right)
        self._error, self._numbers, self._is_mended = error, numbers, is_mended_by_demos

    def _answer(self, asked):
        answer = super()._answer(asked)
        number, shown = self.seen[-1]
        if number in self._numbers and not (self._is_mended and shown):
            raise self._error
        return answer


@pytest.mark.parametrize("error", [TimeoutError("slow"), ValueError("broken")])
@pytest.mark.parametrize(("place", "of"), [(0, 13), (5, 13), (12, 13), (8, 9)])
def test_a_training_example_that_always_fails_costs_only_itself(error, place, of):
    trainset = [f"How many legs has animal number {100 + number}?" for number in range(of)]
    order = to_show(dspy.Predict(Answer), examples(trainset), [], SearchSettings())
    model = Fails(only_shown, error, [number_in(order[place].question)])
    compiled = compiled_with(model, trainset=trainset, patience=0.0)
    assert (len(compiled.demos) >= 4, compiled.score) == (True, 100.0)
    assert compiled.fipo_report["stopped_by"] is None
    shown = [own for own, shown in model.seen if shown and own in model._numbers]
    # With labels it is tried again; but where nothing was measured, sets could not be compared.
    assert len(shown) <= (1 if isinstance(error, TimeoutError) else 4 * 5)


def test_failures_that_demonstrations_mend_are_evidence_as_wrong_answers_are():
    failing = [*range(1, TRAINED, 2), TRAINED, TRAINED + 1]
    broken = Fails(lambda number, is_shown: True, ValueError("no JSON"), failing, is_mended_by_demos=True)
    wrong = Asked(lambda number, is_shown: is_shown or number not in failing)
    for model in (broken, wrong):
        compiled = compiled_with(model)
        assert (len(compiled.demos), compiled.score) == (4, 100.0)


def test_no_set_is_run_where_the_metric_cannot_score():
    def metric(example, prediction, trace=None):
        if number_in(example.question) < TRAINED // 2:
            raise AttributeError("this one has no right answer")
        return exact(example, prediction)

    model = Asked(only_shown)
    using = fipo(naive_in, metric=metric, num_threads=1, search=SearchSettings(student_responses=False))
    with dspy.context(lm=local_lm(model, max_tokens=1000)):
        compiled = using.compile(
            dspy.Predict(Answer), trainset=examples(ANIMALS[:TRAINED]), valset=examples(ANIMALS[TRAINED:])
        )
    assert compiled.demos
    sets = {tuple(shown) for own, shown in model.seen if TRAINED // 2 <= own < TRAINED and shown}
    again = [own for own, shown in model.seen if own < TRAINED // 2 and shown]
    assert sets
    assert len(again) <= 4 * TRAINED // 2  # once with labels, and three times more because that failed


def test_an_outage_while_training_examples_are_run_decides_nothing(tmp_path):
    class Lost(Asked):
        """A model that goes away once a training example is run."""

        def _answer(self, asked):
            answer = super()._answer(asked)
            if any(number < TRAINED for number, _ in self.seen):
                raise TimeoutError("429")
            return answer

    lost = Lost(really_leading)
    first = compiled_with(lost, log_dir=tmp_path, patience=0.0)
    assert (first.demos, first.fipo_report["stopped_by"]) == ([], "unreachable")
    assert "could not be reached" in first.fipo_report["demonstrations"]
    resumed, fresh = compiled_with(Asked(really_leading), log_dir=tmp_path), compiled_with(Asked(really_leading))
    assert [dict(one) for one in resumed.demos] == [dict(one) for one in fresh.demos]
    assert fresh.demos


@pytest.mark.parametrize("budget", [20, 40, 50, 60])
def test_a_compile_that_resumes_with_a_larger_budget_ends_as_a_new_one(budget, tmp_path):
    """Its training examples were run with another instruction, which says nothing about the one that it finds now."""

    def script(asked):
        number, is_shown = number_in(asked[-1]["content"]), len(asked) > 2
        is_careful = "carefully" in asked[0]["content"]
        if number >= TRAINED:
            is_right = (is_careful or number not in range(13, 17)) and (is_shown or number not in (12, 23))
        else:
            is_right = is_careful and not (is_shown and number < 3)
        return answering("right" if is_right else "wrong")

    def compiled(**options):
        sayings = itertools.chain(["Be brief.", "Use plain language.", "Do it carefully."], itertools.repeat("Think."))
        settings = SearchSettings(student_responses=False, **options)
        using = fipo(lambda asked: f"{naive_in(asked)} {next(sayings)}", metric=exact, num_threads=1, search=settings)
        with dspy.context(lm=local_lm(ScriptedGenerator(script), max_tokens=1000)):
            return using.compile(
                dspy.Predict(Answer), trainset=examples(ANIMALS[:TRAINED]), valset=examples(ANIMALS[TRAINED:])
            )

    compiled(log_dir=tmp_path, max_metric_calls=budget + TRAINED)
    resumed, fresh = compiled(log_dir=tmp_path), compiled()
    assert "carefully" in fresh.signature.instructions
    for one in (resumed, fresh):
        del one.fipo_report["metric_calls_resumed"]
    assert resumed.fipo_report == fresh.fipo_report
    assert resumed.demos == fresh.demos == []


@pytest.mark.parametrize("kill", [3, TRAINED + 3])
def test_every_run_for_demonstrations_is_kept_at_once(kill, tmp_path):
    """Runs as it is, and again with labelled examples: a kill costs what was under way."""

    class Dies(Asked):
        def _answer(self, asked):
            answer = super()._answer(asked)
            if sum(own < TRAINED for own, _ in self.seen) == kill:
                raise KeyboardInterrupt
            return answer

    killed, after = Dies(only_shown), Asked(only_shown)
    with pytest.raises(KeyboardInterrupt):
        compiled_with(killed, log_dir=tmp_path)
    compiled = compiled_with(after, log_dir=tmp_path)
    assert compiled.demos
    assert len(killed.seen) + len(after.seen) <= compiled.total_calls + 1


def test_a_budget_that_is_enough_is_used(tmp_path):
    enough = compiled_with(Asked(really_leading), demos=4)
    assert enough.demos
    for more in (0, 10, 20):
        again = compiled_with(Asked(really_leading), demos=4, max_metric_calls=enough.total_calls + more)
        assert again.demos == enough.demos
        assert again.total_calls == enough.total_calls


def test_runs_with_labelled_examples_leave_what_comparing_sets_takes():
    def few_help(asked):
        shown = sum(turn["role"] == "assistant" for turn in asked)
        return answering("right" if 0 < shown <= 4 else "wrong")

    def compiled(budget):
        settings = SearchSettings(student_responses=False, max_metric_calls=budget)
        using = fipo(naive_in, metric=exact, num_threads=1, search=settings)
        with dspy.context(lm=local_lm(ScriptedGenerator(few_help), max_tokens=1000)):
            return using.compile(
                dspy.Predict(Answer), trainset=examples(ANIMALS[:TRAINED]), valset=examples(ANIMALS[TRAINED:])
            )

    assert [len(compiled(budget).demos) for budget in (72, 84, None)] == [4, 4, 4]


def test_a_run_is_not_repeated_where_no_labelled_example_is_left_to_show():
    model = Asked(only_shown)
    assert compiled_with(model, demos=1, max_examples=DECIDING).demos
    alone = [own for own, shown in model.seen if own < TRAINED and not shown]
    assert sorted(alone) == sorted(set(alone))


def test_after_max_seconds_the_program_is_not_run_again_with_labelled_examples():
    class Slow(Asked):
        def _answer(self, asked):
            time.sleep(0.1 * (number_in(asked[-1]["content"]) < TRAINED))
            return super()._answer(asked)

    model = Slow(only_shown)
    compiled = compiled_with(model, max_seconds=1.0)
    assert compiled.demos == []
    assert not any(shown for _, shown in model.seen)
    assert "max_seconds" in compiled.fipo_report["demonstrations"]


def test_a_set_that_leads_where_it_decides_and_loses_elsewhere_is_said_to():
    compiled = compiled_with(Asked(lambda number, is_shown: is_shown == (number >= TRAINED) or number >= TRAINED + 4))
    assert compiled.demos == []
    said = "a set of demonstrations leads on 8 examples, but not if training examples count, too"
    assert said in compiled.fipo_report["demonstrations"]


def test_inputs_without_a_text_of_their_own_are_told_apart():
    class Document:
        def __init__(self, text):
            self.text = text

    class Reading(dspy.Module):
        def __init__(self):
            super().__init__()
            self.answer = dspy.Predict(Answer)

        def forward(self, document):
            return self.answer(question=document.text)

    rows = [dspy.Example(document=Document(one), answer="right").with_inputs("document") for one in ANIMALS]
    assert len(to_show(Reading(), [*rows[:TRAINED], rows[0], rows[-1]], rows[TRAINED:], SearchSettings())) == TRAINED
    using = fipo(naive_in, metric=exact, num_threads=1, search=SearchSettings(student_responses=False))
    with dspy.context(lm=local_lm(Asked(at_home), max_tokens=1000)):
        compiled = using.compile(Reading(), trainset=rows[:TRAINED], valset=rows[TRAINED:])
    with dspy.context(lm=local_lm(Asked(only_shown), max_tokens=1000)):
        without = using.compile(Reading(), trainset=rows[:TRAINED], valset=rows[TRAINED:])
    assert (len(compiled.answer.demos), without.answer.demos) == (4, [])
    said = "none: no run scored 1 or more, and no training example has the inputs and outputs of a predictor"
    assert without.fipo_report["demonstrations"] == said


def test_predictors_that_are_left_out_get_no_demonstrations():
    settings = SearchSettings(student_responses=False)
    using = fipo(naive_in, metric=exact, num_threads=1, predictors=["answer"], search=settings)
    with dspy.context(lm=local_lm(Asked(only_shown), max_tokens=1000)):
        compiled = using.compile(Pair(), trainset=examples(ANIMALS[:TRAINED]), valset=examples(ANIMALS[TRAINED:]))
    assert (len(compiled.think.demos), len(compiled.answer.demos)) == (0, 4)


@pytest.mark.parametrize("same", ["id", "answer", "order"])
def test_an_example_is_known_by_its_inputs(same):
    """Not by other fields, such as an id, nor by how a dictionary is ordered."""

    def given(questions, number):
        for question in questions:
            fields = {"question": question, "answer": "right", "id": 0}
            fields |= {"id": {"id": number}, "answer": {"answer": f"right{number}"}, "order": {}}[same]
            ordered = dict(sorted(fields.items(), reverse=bool(number)))
            yield dspy.Example(**ordered).with_inputs("question")

    trainset = [*given(ANIMALS[:TRAINED], 0), *given(ANIMALS[:TRAINED], 1), *given(ANIMALS[TRAINED:], 1)]
    shown = to_show(dspy.Predict(Answer), trainset, [*given(ANIMALS[TRAINED:], 0)], SearchSettings())
    assert sorted(number_in(one.question) for one in shown) == list(range(TRAINED))


def test_a_set_is_taken_apart_into_four():
    text = json.dumps({"a": [{"row": row, "fields": {}} for row in (5, 7, 2, 9, 4)], "b": [{"row": 7, "fields": {}}]})
    parts = {row: json.loads(apart_from(text, row)) for row in range(10)}
    shown = {row: [demo["row"] for demo in one["a"]] for row, one in parts.items()}
    assert shown[5] == shown[4] == [7, 2, 9]
    assert (shown[7], parts[7]["b"]) == ([5, 2, 9, 4], [])
    assert parts[0] == json.loads(text)
    assert apart_from("", 3) == ""


def test_runs_that_demonstrations_are_taken_from_are_not_paid_for_twice():
    model = Asked(really_leading)
    compiled = compiled_with(model)
    assert len(model.seen) == compiled.total_calls
    assert len([own for own, shown in model.seen if own < TRAINED and not shown]) == TRAINED


@pytest.mark.parametrize(
    ("compared", "further"),
    [
        (DECIDING, 0),
        (3 * DECIDING, 0),  # so many sets are proposed: of runs, of these in another order, and of the first four
        (3 * DECIDING + 2 * 2, 2),  # after the first batch there are two
        (3 * DECIDING + 2 * TRAINED, TRAINED),
    ],
)
def test_training_examples_get_what_the_budget_leaves_once_all_sets_are_compared(compared, further):
    instructions = compiled_with(Asked(at_home), demos=0).total_calls
    model, budget = Asked(at_home), instructions + TRAINED + compared
    compiled = compiled_with(model, max_metric_calls=budget)
    assert compiled.demos
    assert len({own for own, shown in model.seen if own < TRAINED and shown}) == further
    assert len(model.seen) == compiled.total_calls <= budget
    assert compiled.fipo_report["stopped_by"] == (None if further == TRAINED else "max_metric_calls")


def test_many_deciding_examples_are_enough():
    many = [f"How many legs has animal number {number}?" for number in range(100, 140)]
    model = Asked(lambda number, is_shown: is_shown or number < 100)
    using = fipo(naive_in, metric=exact, num_threads=1, search=SearchSettings(student_responses=False))
    with dspy.context(lm=local_lm(model, max_tokens=1000)):
        compiled = using.compile(dspy.Predict(Answer), trainset=examples(ANIMALS[:4]), valset=examples(many))
    assert compiled.demos
    assert not any(shown for own, shown in model.seen if own < 100)


def test_a_program_that_seldom_succeeds_is_tried_again_with_labelled_examples():
    model = Asked(lambda number, is_shown: is_shown or number == 3)
    settings = {"demos": 4, "student_responses": False}
    compiled = compiled_with(model, student=Pair(), **settings)
    thoughts = [demo for demo in compiled.think.demos if "idea" in demo]
    assert len(thoughts) == 4  # no label says what an idea is
    assert all(own not in shown for own, shown in model.seen)
    assert len(model.seen) == 2 * compiled.total_calls
    using = fipo(naive_in, metric=exact, search=SearchSettings(**settings))
    with dspy.context(lm=local_lm(model)):
        told = using.estimate(Pair(), examples(ANIMALS[:TRAINED]), examples(ANIMALS[TRAINED : TRAINED + DECIDING]))
        using.search = replace(using.search, demos=0)
        plain = using.estimate(Pair(), examples(ANIMALS[:TRAINED]), examples(ANIMALS[TRAINED : TRAINED + DECIDING]))
    assert compiled.total_calls <= told.metric_calls
    compared = cost(schedule(SETS, examples=DECIDING + TRAINED, minibatch=BATCH))
    assert told.metric_calls - plain.metric_calls == 2 * TRAINED + compared


def test_without_labels_it_is_not_tried_again():
    model = Asked(lambda number, is_shown: False)
    using = fipo(naive_in, metric=lambda example, prediction: False, num_threads=1, search=SearchSettings(demos=4))
    unlabelled = [dspy.Example(question=question).with_inputs("question") for question in ANIMALS]
    with dspy.context(lm=local_lm(model, max_tokens=1000)):
        using.compile(dspy.Predict(Answer), trainset=unlabelled[:TRAINED], valset=unlabelled[TRAINED:])
    asked = [own for own, _ in model.seen if own < TRAINED]
    assert not any(shown for _, shown in model.seen)
    assert max(map(asked.count, asked)) <= 2  # for responses, and to take demonstrations from


def test_no_more_decide_than_the_settings_allow():
    model = Asked(at_home)
    assert compiled_with(model, max_examples=DECIDING).demos
    assert not any(shown for own, shown in model.seen if own < TRAINED)


def test_the_programs_that_were_compared_show_everything():
    compiled = compiled_with(Asked(only_shown))
    for one in compiled.candidate_programs:
        demos = one["program"].demos
        assert type(demos) is list
        assert {type(demo) for demo in demos} <= {dspy.Example}
