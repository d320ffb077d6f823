"""The search as a whole: what it may choose, spend and wait for, and that it survives failures and kills."""

import itertools
import json
import random
import sqlite3
import subprocess
import sys
from http.client import IncompleteRead
from socket import gaierror
from types import ModuleType, SimpleNamespace

import pytest

from fipo_model.errors import InputError, ServerError
from fipo_model.search import (
    Failed,
    Journal,
    Measured,
    Run,
    Search,
    SearchSettings,
    UnmeasurableError,
    as_metric,
    digest_of,
    failure,
    opened_journal,
)
from fipo_model.search.explaining import same_answer
from fipo_model.search.measuring import Measuring
from support.subjects import Flaky, Offered, Table

RATE_LIMIT = Failed(cause="RateLimitError: 429", is_passing=True)
BROKEN = Failed(cause="KeyError: 'x'", is_passing=False)


def noisy(levels: dict[str, float], *, examples: int = 24, seed: int = 0) -> dict[str, list[float]]:
    """Right or wrong answers, as often right as each text's level says."""
    draw = random.Random(seed)
    return {text: [float(draw.random() < level) for _ in range(examples)] for text, level in levels.items()}


def search(subject, *others: str, journal: Journal | None = None, **options) -> Search:
    settings = SearchSettings(**{"patience": 0.0, **options})
    return Search(subject=subject, proposer=Offered({"text": others}), settings=settings, journal=journal or Journal())


def chosen(one: Search) -> str:
    return one.board.texts(one.run())["text"]


def test_a_better_text_wins_and_a_worse_one_does_not():
    table = noisy({"naive": 0.4, "better": 0.9, "worse": 0.1})
    one = search(Table(table), "worse", "better")
    assert chosen(one) == "better"
    assert chosen(search(Table(table), "worse")) == "naive"
    (changed,) = one.changes(one.board.add({"text": "better"}))
    assert (changed.outcome, changed.text) == ("optimized", "better")


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_chosen_that_is_below_the_beginning(seed):
    draw = random.Random(seed)
    table = noisy({"naive": 0.5, **{f"text {n}": draw.random() for n in range(6)}}, seed=seed)
    one = search(Table(table), *list(table)[1:], max_metric_calls=60 + 5 * seed, significance=1.0, seed=seed)
    best = one.run()
    before, after = (one.board.level(arm, one.examples) for arm in (one.start, best))
    assert after >= before
    assert one.budget.calls <= 60 + 5 * seed


def test_two_texts_are_improved_one_after_another():
    class Both(Table):
        """Right about everything where both texts are good; the second one helps only beside a good first one."""

        def measure(self, runs, note):
            good = [(run.texts["first"] == "A", run.texts["second"] == "B") for run in runs]
            return [Measured(scores=(float(first) + float(first and second),)) for first, second in good]

    subject = Both({"a": [0.0] * 8})
    subject.texts, count = {"first": "a", "second": "b"}, 8
    Both.__len__ = lambda self: count
    offered = Offered({"first": ["x", "A"], "second": ["B", "y"]})
    one = Search(subject=subject, proposer=offered, settings=SearchSettings())
    assert one.board.texts(one.run()) == {"first": "A", "second": "B"}


# Failures


@pytest.mark.parametrize("kind", ["429", "crash"])
def test_random_failures_of_one_run_in_five_change_no_choice(kind):
    same = 0
    for seed in range(20):
        table = noisy({"naive": 0.45, "much better": 0.9, "same": 0.45, "worse": 0.2}, seed=seed)
        error = ServerError("429") if kind == "429" else RuntimeError("crashed")
        flaky = Flaky(Table(table), share=0.2, seed=seed, failed=lambda error=error: failure(error))
        options = {"seed": seed, "patience": 0.001}
        sound, shaken = (search(subject, *list(table)[1:], **options) for subject in (Table(table), flaky))
        same += chosen(sound) == chosen(shaken)
        assert flaky.failures > 5
    assert same >= 19


def test_three_refusals_in_the_first_runs_let_nothing_neutral_win():
    """Found with a public program: a failed call counted as a wrong answer, and 18.75 points were gained by nothing."""
    table = {"naive": [1.0] * 16, "neutral": [1.0] * 16}

    class Refusing(Table):
        refused = 0

        def measure(self, runs, note):
            found = super().measure(runs, note)
            for place, run in enumerate(runs):
                if run.texts["text"] == "naive" and run.example < 3:
                    found[place] = failure(RuntimeError("429"))
            return found

    one = search(Refusing(table), "neutral", significance=1.0)
    assert chosen(one) == "naive"
    assert one.compared(one.start).before.missing == 3
    assert one.compared(one.start).gain.value == 0


def test_a_model_that_is_down_for_a_minute_is_waited_for():
    now, slept = [0.0], []

    class Down(Table):
        def measure(self, runs, note):
            found = super().measure(runs, note)
            return [RATE_LIMIT] * len(runs) if 0 < now[0] < 60 or len(self.groups) == 2 else found

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    one = search(Down({"naive": [0.0] * 8, "better": [1.0] * 8}), "better", patience=90.0)
    one.measuring._sleep = sleep
    assert chosen(one) == "better"
    assert 60 <= sum(slept) <= 90
    assert slept == sorted(slept)


def test_a_model_that_stays_down_ends_the_search_with_the_best_so_far():
    class Down(Table):
        def measure(self, runs, note):
            found = super().measure(runs, note)
            return found if len(self.groups) == 1 else [RATE_LIMIT] * len(runs)

    one = search(Down({"naive": [0.0] * 8, "better": [1.0] * 8}), "better")
    assert chosen(one) == "naive"
    assert one.stopped_by == "unreachable"
    (changed,) = one.changes(one.start)
    assert changed.detail == "a model that could not be reached ended the search before every rewrite was compared"
    told = one.result(one.start, measured_by="a table")
    assert (
        "A model that could not be reached ended the search before everything was compared." in str(told).splitlines()
    )
    with pytest.raises(UnmeasurableError, match=r"could not be reached for 0 seconds; RateLimitError: 429"):
        search(Flaky(Table({"naive": [0.0]}), share=1, seed=0, failed=lambda: RATE_LIMIT)).run()


def test_a_model_that_is_gone_is_not_asked_again_whatever_ended_a_text_before():
    """The calls allowed ended the first text, the model was gone at the second, and was asked for the third again."""
    asked = []

    class Going:
        texts = dict.fromkeys("abc", "old")

        def __len__(self):
            return 8

        def measure(self, runs, note):
            new = [name for name, text in runs[0].texts.items() if text != "old"]
            asked.extend(new)
            return [RATE_LIMIT if "b" in asked else Measured(scores=(0.0,)) for _ in runs]

    offered = Offered({name: [f"new {number}" for number in range(6)] for name in "abc"})
    options = SearchSettings(patience=0, turns=2, max_metric_calls=72)
    one = Search(subject=Going(), proposer=offered, settings=options)
    assert one.run() == one.start
    assert one.limits == {"a": "max_metric_calls", "b": "unreachable", "c": "unreachable"}
    assert "c" not in asked
    assert len(offered.seen) == 1  # nor is there a second turn


def test_waiting_ends_with_the_time_there_is():
    slept = []
    one = search(Flaky(Table({"n": [0.0] * 4}), share=1, seed=0, failed=lambda: RATE_LIMIT), max_seconds=10)
    clock = itertools.count(step=4)
    one.budget._clock, one.budget._deadline = lambda: next(clock), 10
    one.measuring = Measuring(one.subject, one.budget, patience=90, sleep=slept.append)
    one.board._measuring = one.measuring
    with pytest.raises(UnmeasurableError):
        one.run()
    assert len(slept) < 3


def test_nothing_is_waited_for_beyond_the_time_there_is():
    now, asked = [0.0], []

    class Down(Table):
        def measure(self, runs, note):
            asked.append(now[0])
            return [RATE_LIMIT] * len(runs)

    def sleep(seconds: float) -> None:
        now[0] += seconds

    one = search(Down({"n": [0.0] * 4}), max_seconds=10, patience=90.0)
    one.budget._clock, one.budget._deadline, one.measuring._sleep = lambda: now[0], 10, sleep
    with pytest.raises(UnmeasurableError):
        one.run()
    assert len(asked) > 1
    assert max(asked) < 10


def test_a_choice_that_does_not_stand_leaves_the_examples_that_decide_as_they_were():
    """A second step led on the first batch alone, and was dropped; the first one was then told of that batch."""
    batches = [random.Random(f"0 {name}").sample(range(16), 16)[:8] for name in ("one", "two")]
    lost = sorted({*batches[1]} - {*batches[0]})  # where "b" is not measured, the original is right and "c" is not
    seen = len(batches[1]) - len(lost)
    table = {
        "n": [float(number in lost) for number in range(16)],
        "b": [0.75] * 16,
        "c": [0.0 if number in lost else 0.9 * len(lost) / seen for number in range(16)],
    }

    class Partly(Table):
        is_down = False

        def measure(self, runs, note):
            asked = ["c" if run.texts["two"] == "c" else run.texts["one"] for run in runs]
            self.is_down |= any(
                arm == "c" and run.example not in batches[1] for arm, run in zip(asked, runs, strict=True)
            )
            gone = [self.is_down or (arm == "b" and run.example in lost) for arm, run in zip(asked, runs, strict=True)]
            return [
                RATE_LIMIT if one else self._measurement(self.table[arm][run.example])
                for one, arm, run in zip(gone, asked, runs, strict=True)
            ]

    subject = Partly(table)
    subject.texts, Partly.__len__ = {"one": "n", "two": "n"}, lambda self: 16
    options = SearchSettings(patience=0, minibatch_size=8, significance=1.0)
    offered = Offered({"one": ["b"], "two": ["c"]})
    one = Search(subject=subject, proposer=offered, settings=options, may_end_early=True)
    best = one.run()
    assert one.board.texts(best) == {"one": "b", "two": "n"}
    assert one.stopped_by == "unreachable"
    assert (len(one.examples), one.compared(best).after.examples) == (16, 16)
    assert (one.compared(best).before.missing, one.compared(best).after.missing) == (0, len(lost))
    assert one.compared(best).before.score == 0  # of those on which both ran


def test_what_always_fails_is_said_with_its_first_cause():
    broken = Flaky(Table({"n": [0.0] * 4}), share=1, seed=0, failed=lambda: failure(KeyError("no field")))
    with pytest.raises(UnmeasurableError, match=r"all 4 examples failed; KeyError: 'no field'"):
        search(broken).run()


def test_a_failure_of_its_own_counts_as_nothing_and_failing_more_never_wins():
    table = {"naive": [0.0] * 8 + [1.0] * 8, "braver": [1.0] * 15 + [None]}
    assert chosen(search(Table(table), "braver")) == "naive"
    table = {"naive": [None] * 8 + [1.0] * 8, "sound": [1.0] * 16}
    assert chosen(search(Table(table), "sound")) == "sound"


def answered(status: int, said: str = "no") -> Exception:
    """An error as HTTP clients raise it, with a response."""
    error = RuntimeError(said)
    error.response = SimpleNamespace(status_code=status)
    return error


def throttled(status: int) -> Exception:
    """An error as botocore raises it, whose response is a dictionary."""
    error = type("ClientError", (Exception,), {})("An error occurred when calling the operation")
    error.response = {"ResponseMetadata": {"HTTPStatusCode": status}}
    return error


@pytest.mark.parametrize(
    ("error", "is_passing"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (ServerError("busy"), True),
        (RuntimeError("429"), True),
        (RuntimeError("Rate limit reached for requests"), True),
        (type("RateLimitError", (Exception,), {})("slow down"), True),
        (type("APIStatusError", (Exception,), {"status_code": 503})("no"), True),
        (type("APIStatusError", (Exception,), {"status_code": 400})("no"), False),
        (RuntimeError("there are 429,000 rows"), False),
        (ValueError("could not read '503 Main Street'"), False),
        (KeyError("timeout"), False),
        (RuntimeError("broken"), False),
        (RuntimeError("HTTP 503 from upstream"), True),
        (RuntimeError("Error code: 429 - slow down"), True),
        (RuntimeError("row 429 has no label"), False),
        (RuntimeError("there is no connection between these two"), False),
        (gaierror(-2, "Name or service not known"), True),
        (RuntimeError("[Errno 113] No route to host"), True),
        (type("ReadError", (type("TransportError", (Exception,), {}),), {})("bytes are missing"), True),
        (answered(503), True),
        (answered(400, "(4000 tokens in the messages, 500 in the completion): error 500, timeout"), False),
        (type("AdapterParseError", (Exception,), {})("The reply was: 'Rate limit, error 429, timeout'"), False),
        (type("ContextWindowExceededError", (Exception,), {})("error: 504 tokens are too many"), False),
        # Words of a program's own errors
        (RuntimeError("429 Too Many Requests"), True),
        (Exception("rate limit exceeded"), True),
        (RuntimeError("Request to the model timed out"), True),
        (RuntimeError("You exceeded your current quota"), True),
        (sqlite3.OperationalError("no such column: quota"), False),
        (sqlite3.OperationalError("no such column: timeout"), False),
        (RuntimeError("the answer has no quotation"), False),
        (RuntimeError("that is not an accurate limit"), False),
        (RuntimeError("the customer wrote 'connection refused'"), False),
        (RuntimeError("Failed to run: CodeInterpreterError: TimeoutError: timed out"), False),
        (type("CodeInterpreterError", (RuntimeError,), {})("Connection refused"), False),
        (subprocess.TimeoutExpired("python", 5), False),
        (type("NoQuotationError", (Exception,), {})("none"), False),
        (type("ConnectionMissing", (KeyError,), {})("none"), False),
        # An error that quotes a reply may have the status of a server's.
        (type("JSONSchemaValidationError", (Exception,), {"status_code": 500})("'rate limit'"), False),
        *[(answered(status), True) for status in (500, 520, 521, 523, 530)],
        *[(answered(status), False) for status in (401, 404, 501, 505)],
        (throttled(429), True),
        (throttled(400), False),
        (IncompleteRead(b""), True),
        # An apostrophe is no quotation, and neither are quotation marks around a name.
        (RuntimeError("Couldn't connect to the server: connection refused"), True),
        (RuntimeError("The model's server is overloaded"), True),
        (RuntimeError("model 'gpt-4o' is overloaded"), True),
        (RuntimeError("the reply 'overloaded' is no label"), False),
        (RuntimeError("Remote end closed connection without response"), True),
        (RuntimeError("The server had an error while processing your request"), True),
        (RuntimeError("RESOURCE_EXHAUSTED"), True),
        (RuntimeError("received 503 from server"), True),
        (RuntimeError("status_code: 429"), True),
        (RuntimeError("An error occurred (ServiceUnavailableException) when calling the model"), True),
        (RuntimeError("model has no attribute timeout"), False),
        (RuntimeError("request has no timeout set"), False),
        (RuntimeError("invalid code: 503"), False),
        (RuntimeError("error: 500 tokens exceed the limit"), False),
        (RuntimeError("the rate limit must be positive"), False),
        (type("APIStatusError", (Exception,), {"status_code": "429"})("no"), True),
        (RuntimeError("500 is not in [1, 2]"), False),
        (RuntimeError("503 tokens, at most 100"), False),
        (RuntimeError("error: 429 != 430"), False),
        (RuntimeError("code 503 is not one of the labels"), False),
        (RuntimeError("the method is overloaded"), False),
        (type("LocalProtocolError", (type("TransportError", (Exception,), {}),), {})("illegal header"), False),
        (ExceptionGroup("unhandled errors in a TaskGroup", [answered(429), TimeoutError()]), True),
        (ExceptionGroup("unhandled errors in a TaskGroup", [answered(429), KeyError("x")]), False),
    ],
)
def test_what_passes_is_told_from_what_does_not(error, is_passing):
    assert failure(error).is_passing is is_passing
    wrapped = RuntimeError("the call failed")
    wrapped.__cause__ = error
    assert failure(wrapped).is_passing is is_passing


def test_the_last_error_that_is_known_decides():
    reply = type("AdapterParseError", (Exception,), {})("no JSON")
    reply.__context__ = TimeoutError()  # a first attempt; the second was answered
    assert not failure(reply).is_passing
    timeout = TimeoutError()
    timeout.__context__ = type("AdapterParseError", (Exception,), {})("no JSON")
    assert failure(timeout).is_passing


@pytest.mark.parametrize("missed", [KeyError("k"), AttributeError("_client"), FileNotFoundError("cache.json")])
def test_what_a_cache_misses_says_nothing_of_the_call_that_follows(missed):
    error = RuntimeError("Rate limit exceeded")
    error.__context__ = missed
    assert failure(error).is_passing


def test_no_key_in_an_address_is_told():
    said = failure(
        RuntimeError("400 for https://a.example/v1/models?key=AIzaSECRET&alt=json, https://me:pw@b.example/")
    )
    assert said.cause == "RuntimeError: 400 for https://a.example/v1/models?key=…&alt=json, https://b.example/"
    path = "cannot read s3://bucket/2026@1/rows.jsonl"
    assert failure(RuntimeError(path)).cause == f"RuntimeError: {path}"
    said = failure(RuntimeError("Max retries exceeded with url: /v1/models?key=AIzaSECRET (refused)"))
    assert said.cause == "RuntimeError: Max retries exceeded with url: /v1/models?key=… (refused)"


def test_a_time_out_that_was_handled_is_no_cause_unless_it_is_named():
    def raised(error: Exception, *, cause: BaseException | None = None) -> Exception:
        error.__context__, error.__cause__ = TimeoutError(), cause
        error.__suppress_context__ = cause is not None
        return error

    assert failure(raised(RuntimeError("the call failed"))).is_passing
    assert failure(raised(ValueError("the call failed"), cause=TimeoutError())).is_passing
    assert not failure(raised(KeyError("answer"))).is_passing
    hidden = RuntimeError("no number in the answer")
    hidden.__context__, hidden.__suppress_context__ = TimeoutError(), True  # as by `from None`
    assert not failure(hidden).is_passing


@pytest.mark.parametrize("significance", [0.2, 1.0])
def test_nothing_wins_by_what_could_not_be_measured(significance):
    """Wrong answers that were taken for outages once left a rewrite with 8 right answers of 16 only these 8."""

    class Absent(Table):
        def measure(self, runs, note):
            found = super().measure(runs, note)
            gone = [run.texts["text"] == "absent" and run.example >= 8 for run in runs]
            return [RATE_LIMIT if one else measured for one, measured in zip(gone, found, strict=True)]

    naive = [0.0, 1.0] * 4 + [1.0] * 8
    table = {"naive": naive, "absent": [1.0] * 16, "better": [1.0] * 16}
    alone = search(Absent(table), "absent", significance=significance)
    assert chosen(alone) == "naive"
    assert "on which it could be measured, but would not if it were wrong on the" in alone.reasons["text"]
    assert alone.reasons["text"].endswith("RateLimitError: 429")
    assert chosen(search(Absent(table), "absent", "better", significance=significance)) == "better"


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ({0: BROKEN, 5: BROKEN}, "2 of 8 runs failed and count as 0; KeyError: 'x'"),
        ({0: RATE_LIMIT, 5: RATE_LIMIT}, "2 of 8 runs failed and were not measured; RateLimitError: 429"),
        (
            {0: BROKEN, 4: RATE_LIMIT, 5: RATE_LIMIT},
            "3 of 8 runs failed: 2 of them were not measured, and the other counts as 0; KeyError: 'x'",
        ),
        (
            {0: RATE_LIMIT, 4: BROKEN, 5: BROKEN},
            "3 of 8 runs failed: 1 of them was not measured, and the others count as 0; RateLimitError: 429",
        ),
    ],
)
def test_it_is_said_which_failures_count_as_nothing_and_which_were_not_measured(failures, said, caplog):
    """Where the model was out of reach it once said "48 of them were not measured, and the others count as 0"."""

    class Failing(Table):
        def measure(self, runs, note):
            found = super().measure(runs, note)
            return [failures.get(run.example, one) for run, one in zip(runs, found, strict=True)]

    search(Failing({"naive": [0.0] * 8})).run()
    assert caplog.messages[0] == said


@pytest.mark.parametrize(("patience", "asked"), [(0.0, 1), (0.1, 7)])
def test_without_patience_a_model_out_of_reach_is_not_asked_again(patience, asked):
    down = Flaky(Table({"naive": [0.0] * 4}), share=1, seed=0, failed=lambda: RATE_LIMIT)
    one = search(down, patience=patience)
    one.measuring._sleep = lambda _: None
    with pytest.raises(UnmeasurableError, match=f"could not be reached for {patience:g} seconds"):
        one.run()
    assert len(down.subject.groups) == asked


# Budgets


def test_a_budget_too_small_for_one_comparison_says_the_least_that_works():
    table = {"naive": [0.0] * 8, "better": [1.0] * 8}
    with pytest.raises(InputError, match=r"max_metric_calls=15 is too small .* at least 16\."):
        search(Table(table), "better", max_metric_calls=15).run()
    with pytest.raises(InputError, match=r"max_cost=0\.1 is too small .* at 0\.01 a run, that takes at least 0\.16\."):
        search(Table(table), "better", max_cost=0.1, price=0.01).run()
    assert chosen(search(Table(table), "better", max_metric_calls=16)) == "better"
    assert chosen(search(Table(table), "better", max_cost=0.16, price=0.01)) == "better"


@pytest.mark.parametrize("most", [0.16, 0.2, 0.24, 0.3])
def test_what_is_tried_again_keeps_to_the_money_too(most):
    table = {"naive": [0.0] * 8, "better": [1.0] * 8}
    flaky = Flaky(Table(table), share=0.6, seed=1, failed=lambda: failure(KeyError("x")))
    one = search(flaky, "better", max_cost=most, price=0.01)
    one.run()
    assert one.measuring.tried_again > 0
    assert len(flaky.subject.pairs) * 0.01 == pytest.approx(one.budget.cost)
    assert one.budget.cost <= most + 1e-9


class Paid(Table):
    """Tells what was spent so far as an account does; a run costs so much, each try of it again."""

    def __init__(self, table, price: float) -> None:
        super().__init__(table)
        self.price, self.spent = price, 3.0  # some of it before the search

    def measure(self, runs, note):
        self.spent += self.price * len(runs)
        return super().measure(runs, note)


@pytest.mark.parametrize("runs_at_once", [1, 64])
@pytest.mark.parametrize("most", [0.08, 0.16, 0.17, 0.25, 0.4, 0.77, 1.3, 5.0])
def test_where_an_account_tells_the_price_no_batch_begins_that_it_cannot_pay(most, runs_at_once):
    table = noisy({"naive": 0.4, "better": 0.9, "worse": 0.1, "other": 0.5, "good": 0.8}, examples=8)
    paid = Paid(table, 0.01)
    one = Search(
        subject=paid,
        proposer=Offered({"text": list(table)[1:]}),
        settings=SearchSettings(max_cost=most, price=lambda: paid.spent, patience=0.0, significance=1.0),
        runs_at_once=runs_at_once,
    )
    best = one.board.texts(one.run())["text"]
    assert one.budget.cost <= most + 1e-9
    assert (best == "naive") == (most < 0.16)  # 0.16 is the least that compares anything
    assert (one.stopped_by == "max_cost") == (most < 0.4)


def test_an_account_that_cannot_pay_for_the_beginning_is_known_after_one_run():
    paid = Paid({"naive": [0.0] * 8}, 1.0)
    with pytest.raises(UnmeasurableError, match="max_cost was reached"):
        search(paid, "better", max_cost=5.0, price=lambda: paid.spent).run()
    assert len(paid.pairs) == 1


def test_what_an_earlier_start_paid_for_is_not_paid_again_from_an_account(tmp_path):
    table = {"naive": [0.0] * 8, "better": [1.0] * 8}
    for most, runs in ((0.08, 8), (0.08, 8), (0.01, 0)):
        paid = Paid(table, 0.01)
        with opened_journal(tmp_path, {}) as journal:
            one = search(paid, "better", max_cost=most, price=lambda paid=paid: paid.spent, journal=journal)
            chosen(one)
        assert len(paid.pairs) == runs
    assert one.board.resumed == 16


@pytest.mark.parametrize(
    "options",
    [
        {"candidates": 0},
        {"minibatch_size": 0},
        {"significance": 0.0},
        {"significance": 1.5},
        {"max_metric_calls": 0},
        {"max_seconds": -1.0},
        {"max_examples": 0},
        {"patience": -1},
        {"auto": "mighty"},
        {"max_cost": 1.0},
        {"candidates": "4"},
        {"candidates": True},
        {"turns": 1.5},
        {"max_metric_calls": float("nan")},
        {"max_seconds": "60"},
        {"significance": None},
        {"seed": None},
        {"price": "cheap"},
        {"log_dir": 5},
    ],
)
def test_settings_that_make_no_sense_are_errors(options):
    with pytest.raises(InputError, match=next(iter(options))):
        SearchSettings(**options)


class Silent(Table):
    """A model that answers no run with some texts, and from some run on nothing at all."""

    def __init__(self, table, *, texts=(), ends_after=10**6):
        super().__init__(table)
        self.silent, self.ends_after = texts, ends_after

    def measure(self, runs, note):
        found = super().measure(runs, note)
        is_down = len(self.pairs) > self.ends_after
        return [
            RATE_LIMIT if is_down or run.texts["text"] in self.silent else one
            for run, one in zip(runs, found, strict=True)
        ]


def test_texts_that_always_time_out_are_no_outage():
    table = {"naive": [0.0] * 8, "slow": [1.0] * 8, "slower": [1.0] * 8, "better": [1.0] * 8}
    one = search(Silent(table, texts=("slow", "slower")), "slow", "slower", "better")
    assert chosen(one) == "better"
    assert one.stopped_by is None
    down = search(Silent(table, ends_after=8), "slow", "slower", "better")
    assert chosen(down) == "naive"
    assert down.stopped_by == "unreachable"


def test_nobody_asks_after_an_outage_when_the_time_is_up():
    subject = Silent({"naive": [0.0] * 8, "slow": [1.0] * 8}, texts=("slow",))
    one = search(subject, "slow")
    one.budget._clock, one.budget._deadline = lambda: len(subject.pairs), 12
    assert chosen(one) == "naive"
    assert one.stopped_by == "max_seconds"
    assert subject.pairs[-1][0] == "slow"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("n" * 24, ("n", 24)),
        ("n" * 22 + "yy", None),  # and the last two are the ones that need it
        ("yy" + "n" * 22, ("n", 22)),
        ("n" * 23 + "y", ("n", 23)),
        ("ny" * 12, None),
    ],
)
def test_one_answer_for_almost_everything_may_be_right(answers, expected):
    rights = ["n"] * 22 + ["y"] * 2
    scores = [float(said == right) for said, right in zip(answers, rights, strict=True)]
    assert same_answer(answers, rights, scores) == expected


def test_one_answer_where_half_need_another_says_nothing():
    assert same_answer("n" * 22 + "yy", ["n", "y"] * 12, [1, 0] * 11 + [0, 1]) == ("n", 22)


def test_an_effort_says_how_many_candidates_and_examples_where_nothing_else_does():
    assert (SearchSettings().rewrites, SearchSettings().most_examples) == (6, None)
    assert (SearchSettings(auto="light").rewrites, SearchSettings(auto="light").most_examples) == (4, 32)
    assert SearchSettings(auto="heavy", candidates=3, max_examples=5).rewrites == 3
    table = {"naive": [0.0] * 400, "better": [1.0] * 400}
    one = search(Table(table), "better", auto="light")
    assert chosen(one) == "better"
    assert one.budget.calls == 64
    # Without any bound a search has one all the same.
    assert SearchSettings().calls_for(2, 24) == 24 + 2 * (24 + 4 * 3 + 2 * 16 + 0)


# Kills, and what is changed between


class Killed(Table):
    """Dies at one of its measurements."""

    def __init__(self, table, *, at):
        super().__init__(table)
        self.at = at

    def measure(self, runs, note):
        found = []
        for run in runs:
            self.at -= 1
            if self.at == 0:
                raise KeyboardInterrupt
            found += super().measure([run], note)
            note(run, found[-1])
        return found


@pytest.mark.parametrize("at", [1, 5, 8, 9, 14, 20, 33])
def test_a_search_that_is_killed_anywhere_resumes_where_it_was(tmp_path, at):
    table = noisy({"naive": 0.4, "a": 0.9, "b": 0.5, "c": 0.2}, examples=16)
    whole = search(Table(table), "a", "b", "c")
    expected = whole.run()
    with pytest.raises(KeyboardInterrupt), opened_journal(tmp_path, {"seed": 0}) as journal:
        search(Killed(table, at=at), "a", "b", "c", journal=journal).run()
    rest = Table(table)
    with opened_journal(tmp_path, {"seed": 0}) as journal:
        resumed = search(rest, "a", "b", "c", journal=journal)
        assert resumed.run() == expected
    assert len(rest.pairs) == whole.budget.calls - (at - 1)
    assert resumed.board.resumed == at - 1
    assert resumed.attempts() == whole.attempts()


def test_what_failed_is_tried_again_when_a_search_is_resumed(tmp_path):
    broken = {"naive": [0.0, None, 0.0, 0.0], "better": [1.0] * 4}
    with opened_journal(tmp_path, {}) as journal:
        first = search(Table(broken), "better", journal=journal, significance=1.0)
        first.run()
    assert first.board.failed(first.start, range(4)) == 1
    with opened_journal(tmp_path, {}) as journal:
        again = search(Table({**broken, "naive": [0.0] * 4}), "better", journal=journal, significance=1.0)
        again.run()
    assert again.board.failed(again.start, range(4)) == 0


def test_a_changed_metric_is_another_one_although_it_is_called_the_same(tmp_path):
    first, second, same = (lambda a, b: a == b), (lambda a, b: a != b), (lambda a, b: a == b)
    assert digest_of(first) == digest_of(same) != digest_of(second)

    def within(most):
        return lambda a, b: abs(a - b) < most

    assert digest_of(within(1)) == digest_of(within(1)) != digest_of(within(2))

    class Close:
        def __init__(self, most):
            self.most = most

        def __call__(self, a, b):
            return abs(a - b) < self.most

    assert digest_of(Close(1)) == digest_of(Close(1)) != digest_of(Close(2))
    short = [as_metric(lambda a, b: a == b), as_metric(lambda a, b: a != b), as_metric(lambda a, b: a == b)]
    assert short[0].identity == short[2].identity != short[1].identity  # of two arguments, which FIPO wraps
    with opened_journal(tmp_path, {"metric": digest_of(first)}) as journal:
        journal.put("key", 1)
    with (
        pytest.raises(InputError, match="metric was another one"),
        opened_journal(tmp_path, {"metric": digest_of(second)}),
    ):
        pass


CLASS = """
import dataclasses, functools
{decorator}
class Close:
    most: int = 1
    hidden: int = dataclasses.field(default=1, repr=False)

    def __call__(self, reference, output):
        return self.is_close(reference, output)

    def is_close(self, reference, output):
        return abs(reference - output) <= self.most + self.hidden

@functools.lru_cache
def cached(reference, output):
    return reference <= output

class Judge:
    def __init__(self, most):
        self.most = most

    def grade(self, reference, output):
        return self.is_close(reference, output)

    def is_close(self, reference, output):
        return output < self.most
"""


@pytest.mark.parametrize("decorator", ["@dataclasses.dataclass", "@dataclasses.dataclass(frozen=True, slots=True)"])
@pytest.mark.parametrize(
    ("metric", "old", "new"),
    [
        ("Close()", "return self.is_close(reference, output)", "return self.is_close(output, reference)"),
        ("Close()", "<= self.most + self.hidden", "> self.most + self.hidden"),
        ("Close()", "Close()", "Close(2)"),
        ("Close()", "Close()", "Close(hidden=2)"),
        ("cached", "<= output", "> output"),
        ("Judge(1).grade", "Judge(1)", "Judge(2)"),
        ("Judge(1).grade", "output < self.most", "output > self.most"),
    ],
)
def test_an_object_is_told_from_another_by_its_code_and_its_values_however_it_prints(decorator, metric, old, new):
    """A dataclass prints its values alone: with another comparison in its code it had the same digest."""

    def read(code: str) -> list[str]:
        module = sys.modules["of_mine"] = ModuleType("of_mine")  # dataclasses look there
        exec(code, module.__dict__)
        return [digest_of(module.found), as_metric(module.found).identity]

    code = CLASS.format(decorator=decorator) + f"\nfound = {metric}\n"
    try:
        first, same, other = read(code), read(code), read(code.replace(old, new, 1))
    finally:
        del sys.modules["of_mine"]
    assert first == same
    assert first[0] != other[0]
    assert first[1] != other[1]


class Unsaved:
    """A metric that holds what cannot be saved."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __getstate__(self) -> None:
        raise TypeError("cannot pickle a connection")

    def __call__(self, reference: str, output: str, given: str) -> bool:
        return len(output) < self.most


def test_a_metric_that_cannot_be_saved_is_told_from_another():
    assert digest_of(Unsaved(1)) == digest_of(Unsaved(1)) != digest_of(Unsaved(2))


USES = """
import enum, functools, json
LEAST = 1
class Level(enum.Enum):
    RIGHT = 7
class Text:
    marks = ".!"
    def __init__(self, said): self.said = said
    @property
    def bare(self): return self.said.rstrip(self.marks)
    @staticmethod
    def of(said): return Text(said.casefold())
@functools.lru_cache
def cached(text): return text.title()
def plain(text): return plain(text[1:]) if text[:1] == " " else Text.of(text.strip()).bare
cut = functools.partial(str.split, sep=",")
def metric(reference, output, given):
    return any(plain(one) == cut(cached(output)) for one in [reference]) and LEAST and Level.RIGHT
def unused(): return 1
"""


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("strip", "lower", False),
        ("LEAST = 1", "LEAST = 2", False),
        ("RIGHT = 7", "RIGHT = 8", False),
        ("rstrip", "lstrip", False),
        (".!", "!", False),
        ("casefold", "upper", False),
        ("title", "lower", False),
        ('sep=","', 'sep=";"', False),
        ("return 1", "return 2", True),
        ("json", "re", True),
    ],
)
def test_what_a_metric_uses_of_its_module_tells_it_from_another(old, new, is_same):
    def read(code: str) -> str:
        names: dict[str, object] = {"__name__": "of_mine"}
        exec(code, names)
        return digest_of(names["metric"])

    assert read(USES) == read(USES)
    assert (read(USES) == read(USES.replace(old, new, 1))) is is_same


def test_measurements_survive_json():
    measured = Measured(scores=(0.5, 1.0), best=1.0, response="x", feedback="too long")
    assert Measured.from_fields(json.loads(json.dumps(measured.to_fields()))) == measured


def test_what_fails_everywhere_is_tried_once_more_and_what_fails_here_and_there_three_times():
    def tries(share: float) -> int:
        flaky = Flaky(Table({"n": [0.0] * 10}), share=share, seed=1, failed=lambda: failure(KeyError("x")))
        one = search(flaky)
        one.measuring.measure([Run("n", {"text": "n"}, number) for number in range(10)], lambda *_: None)
        return one.measuring.tried_again

    assert tries(1.0) == 10
    assert tries(0.0) == 0
    assert 0 < tries(0.4) <= 12


def test_a_second_turn_begins_with_the_best_so_far_and_knows_what_lost():
    class Growing(Offered):
        def propose(self, seen):
            self.by_text = {"text": [f"{seen.texts['text']}+", f"{seen.texts['text']}-"]}
            return super().propose(seen)

    levels = {"n": 0.1, "n+": 0.5, "n-": 0.1, "n++": 0.95, "n+-": 0.1}
    proposer = Growing({})
    one = Search(
        subject=Table(noisy(levels, examples=40)), proposer=proposer, settings=SearchSettings(turns=2, patience=0)
    )
    assert chosen(one) == "n++"
    assert [seen.tried for seen in proposer.seen] == [{}, {"text": ["n+", "n-"]}]
    assert len(one.changes(one.start)[0].candidates) == 4
    assert SearchSettings(auto="heavy").rounds == 2
