"""Benchmarks: rows in, examples and questions apart, prompts as they should be, correctness back in the rows' order."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fipo_model.errors import InputError, ServerError
from fipo_model.evaluation.benchmarks import (
    BENCHMARKS,
    Question,
    choose,
    leaks,
    load_questions,
    naive_prompt,
)
from fipo_model.evaluation.settings import ServerSettings

ROWS: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [
        {
            "id": f"g{n}",
            "question": f"Two and {n}?",
            "answer": f"{n + 2:,}",
            "rationale": f"2+{n}=<<2+{n}={n + 2}>>{n + 2}",
        }
        for n in (1, 5, 998)
    ],
    "piqa": [
        {"id": f"p{n}", "question": f"How to open box {n}?", "choices": [f"Lift lid {n}.", "Wait."], "answer": n % 2}
        for n in range(4)
    ],
    "cosmosqa": [
        {
            **{"id": f"c{n}", "context": f"It rained on day {n}.", "question": f"Why the umbrella {n}?"},
            **{"choices": ["To stay dry.", "To eat.", "None.", f"For day {n}."], "answer": n % 4},
        }
        for n in range(4)
    ],
    "mmlu": [
        {
            **{"id": f"m{n}", "task": ("law", "logic")[n % 2], "question": f"Which is number {n}?"},
            **{"choices": [f"It is {k}" for k in "wxyz"], "answer": n % 4},
        }
        for n in range(6)
    ],
    "bbh": [
        {"id": f"b{n}", "task": "snarks", "question": f"Which is odd {n}?\nOptions:\n(A) one\n(B) two", "answer": "(B)"}
        for n in range(3)
    ]
    + [
        {"id": f"n{n}", "task": "navigate", "question": f"Are we back {n}?\nOptions:\n- Yes \n- No", "answer": "No"}
        for n in range(3)
    ]
    + [
        {"id": f"t{n}", "task": "boolean", "question": f"{n}: not {n % 2 == 0} is", "answer": str(n % 2 != 0)}
        for n in range(4)
    ]
    + [{"id": f"s{n}", "task": "sorting", "question": f"Sort: b{n} a{n}", "answer": f"A{n}  b{n}"} for n in range(3)],
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows as a benchmark's file and gives the directory."""

    def write(benchmark: str, rows: list[dict[str, Any]] | None = None) -> Path:
        lines = [json.dumps(row) for row in (ROWS[benchmark] if rows is None else rows)]
        (tmp_path / f"{benchmark}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path

    return write


def test_rows_become_questions(written: Callable[..., Path]) -> None:
    assert load_questions("cosmosqa", written("cosmosqa"))[1] == Question(
        id="c1",
        benchmark="cosmosqa",
        context="It rained on day 1.",
        question="Why the umbrella 1?",
        choices=("To stay dry.", "To eat.", "None.", "For day 1."),
        answer=1,
    )
    gsm8k = load_questions("gsm8k", written("gsm8k"))[0]
    assert (gsm8k.answer, gsm8k.rationale, gsm8k.choices) == ("3", "2+1=<<2+1=3>>3", None)
    assert load_questions("mmlu", str(written("mmlu")))[1].group == "logic"


def test_the_options_are_taken_out_of_bbh_questions(written: Callable[..., Path]) -> None:
    by_id = {question.id: question for question in load_questions("bbh", written("bbh"))}
    assert (by_id["b0"].question, by_id["b0"].choices, by_id["b0"].answer) == ("Which is odd 0?", ("one", "two"), 1)
    assert (by_id["n0"].question, by_id["n0"].choices, by_id["n0"].answer) == ("Are we back 0?", ("Yes", "No"), 1)
    assert (by_id["t0"].choices, by_id["t0"].answer) == (("False", "True"), 0)  # the answers of the task
    assert (by_id["s0"].choices, by_id["s0"].answer) == (None, "A0  b0")  # every answer differs, so it is written


def test_a_bbh_answer_that_is_no_option_leaves_the_question_as_it_is(written: Callable[..., Path]) -> None:
    row = {
        "id": "r",
        "task": "ruin_names",
        "question": "Funny?\nOptions:\n(A) dearth\n(B) wind",
        "answer": "dearth, wind",
    }
    question = load_questions("bbh", written("bbh", [row]))[0]
    assert (question.question, question.choices, question.answer) == (row["question"], None, "dearth, wind")


def test_a_choice_that_is_the_word_none_survives_pandas(written: Callable[..., Path]) -> None:
    row = ROWS["mmlu"][0] | {"choices": ["SRAM", float("nan")], "answer": 1}
    assert load_questions("mmlu", written("mmlu", [row]))[0].choices == ("SRAM", "None")


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("piqa", {"answer": 2}, "field answer: the index of a choice, 0 to 1, is expected, not 2"),
        ("piqa", {"answer": True}, "field answer: the index of a choice"),
        ("piqa", {"choices": ["Lift.", 3]}, "field choices: text is expected at place 1, not 3"),
        ("piqa", {"choices": "Lift."}, "field choices: a list of 2 to 26 texts is expected"),
        ("piqa", {"question": " "}, "field question: text is expected"),
        ("cosmosqa", {"context": None}, "field context: text is expected, not None"),
        ("mmlu", {"task": 3}, "field task: text is expected, not 3"),
        ("gsm8k", {"answer": "many"}, "field answer: a number as text is expected"),
        ("gsm8k", {"rationale": None}, "field rationale: text is expected"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_line(
    written: Callable[..., Path], name: str, change: dict[str, Any], named: str
) -> None:
    directory = written(name, [ROWS[name][0], ROWS[name][1] | change])
    with pytest.raises(InputError) as raised:
        load_questions(name, directory)
    assert f"{name}.jsonl, line 2, {named}" in str(raised.value)


def test_what_cannot_be_read_is_named(written: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no benchmark 'arc'; the benchmarks are gsm8k"):
        load_questions("arc", tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*piqa\.jsonl"):
        load_questions("piqa", tmp_path)
    with pytest.raises(InputError, match=r"line 2, field id: 'p0' occurs twice"):
        load_questions("piqa", written("piqa", [ROWS["piqa"][0]] * 2))
    (tmp_path / "piqa.jsonl").write_text("[]")
    with pytest.raises(InputError, match=r"piqa\.jsonl, line 1: not a JSON object"):
        load_questions("piqa", tmp_path)


def grouped(sizes: dict[str, int]) -> list[Question]:
    return [
        Question(
            id=f"{group}{n}", benchmark="mmlu", group=group, question=f"Q {group}{n}", choices=("a", "b"), answer=0
        )
        for group, size in sizes.items()
        for n in range(size)
    ]


def test_examples_are_never_scored_and_rows_depend_only_on_seed_and_id() -> None:
    questions = grouped({"law": 12, "logic": 9, "small": 3})
    examples, scored = choose(questions, shots=3)
    assert {question.group for question in examples} == {"law", "logic"}  # `small` borrows
    assert len(examples) == 6
    assert sorted([q.id for q in examples + scored]) == sorted(q.id for q in questions)
    assert choose(questions[::-1], shots=3) == (examples, scored)
    assert choose(questions, shots=3, seed=1)[0] != examples


def test_a_limit_covers_the_groups_and_a_larger_one_only_adds() -> None:
    questions = grouped({"law": 40, "logic": 9, "small": 3})
    examples, few = choose(questions, shots=2, limit=3)
    more_examples, more = choose(questions, shots=2, limit=10)
    assert {question.group for question in few} == {"law", "logic", "small"}
    assert (more[:3], more_examples) == (few, examples)
    assert len(more) == 10


@pytest.mark.parametrize(("shots", "limit"), [(-1, None), (2, 0), (3, None)])
def test_examples_that_cannot_be_taken_are_refused(shots: int, limit: int | None) -> None:
    with pytest.raises(InputError):
        choose(grouped({"law": 4, "logic": 4}), shots=shots, limit=limit)


def test_an_optimizer_is_given_the_question_and_sees_passage_and_options(written: Callable[..., Path]) -> None:
    request = naive_prompt(load_questions("cosmosqa", written("cosmosqa"))[0])
    assert request.instruction == "Why the umbrella 0?"
    assert request.context == "It rained on day 0.\n\nOptions:\nA. To stay dry.\nB. To eat.\nC. None.\nD. For day 0."
    assert naive_prompt(load_questions("gsm8k", written("gsm8k"))[0]).context is None


PIQA = Question(
    id="p", benchmark="piqa", question="How to dry a dog?", choices=("Use a towel.", "Use an oven"), answer=0
)
GSM8K = Question(id="g", benchmark="gsm8k", question="9 and 9?", answer="1,018", rationale="9+9")


@pytest.mark.parametrize(
    ("question", "rewritten", "expected"),
    [
        (PIQA, "How do you dry a wet dog? Use a  TOWEL", True),
        (PIQA, "How do you dry a wet dog? Use towels?", False),
        (PIQA, "How to dry a dog: use a towel or use an oven?", False),
        (PIQA, "How to dry a dog? The answer is (A).", True),
        (PIQA, "How to dry a dog? Option A", True),
        (PIQA, "How to dry a dog? The answer is (B).", False),
        (PIQA, "Answer a question: how to dry a dog?", False),
        (PIQA, "Answer A short question.", False),
        (GSM8K, "9 and 9, that is 1018?", True),
        (GSM8K, "9 and 9, that is 1,018?", True),
        (GSM8K, "9 and 9, not 10187 or 1018.5?", False),
        (replace(GSM8K, question="9 of 1018?"), "Of 1018, 9?", False),
        (replace(PIQA, context="Use a towel."), "Dry a dog? Use a towel.", False),
        (replace(GSM8K, benchmark="bbh", answer="barn damp"), "Sort damp, barn. Barn damp", True),
    ],
)
def test_a_rewrite_that_gives_the_answer_away_leaks(question: Question, rewritten: str, expected: bool) -> None:
    assert leaks(question, question.question, rewritten) is expected


@pytest.mark.shared
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_development_data_can_be_used(name: str) -> None:
    from conftest import SHARED_DATA

    questions = load_questions(name, SHARED_DATA / "benchmarks")
    examples, scored = choose(questions, shots=BENCHMARKS[name].shots, limit=60)
    groups = {question.group for question in questions}
    assert len({question.group for question in scored}) == min(60, len(groups))
    assert len(examples) >= BENCHMARKS[name].shots
    if name == "bbh":
        written = {question.group for question in questions if question.choices is None}
        # Two rows of the set have an answer that is none of their options.
        assert written == {
            *("dyck_languages", "multistep_arithmetic_two", "object_counting", "word_sorting"),
            *("movie_recommendation", "ruin_names"),
        }


@pytest.fixture
def scoring() -> ModuleType:
    from fipo_model.evaluation.benchmarks import scoring

    return scoring


@pytest.mark.tiny
def test_rows_of_the_hub_get_our_shape() -> None:
    from fipo_model.evaluation.benchmarks import rows

    given = {
        "gsm8k": {"question": "2 and 998?", "answer": "2+998=<<2+998=1000>>1000\n#### 1,000"},
        "bbh": {"input": "Odd?\nOptions:\n(A) one\n(B) two", "target": "(B)"},
        "piqa": {"goal": "Open?", "sol1": "Lift.", "sol2": "Wait.", "label": 1},
        "cosmosqa": {
            **{"id": "x", "context": "Rain.", "question": "Why?", "label": 3},
            **{f"answer{n}": f"Reason {n}" for n in range(4)},
        },
        "mmlu": {"question": "Law?", "subject": "law", "choices": ["a", "b", "c", "d"], "answer": 2},
    }
    task = {"bbh": {"task": "snarks"}}
    got = {}
    for name, row in given.items():
        card = BENCHMARKS[name]
        fields = {"id": "1", **task.get(name, {}), **card.hub.normalise(row)}
        (got[name],) = rows.parse(card, [("here", fields)])
    assert (got["gsm8k"].answer, got["gsm8k"].rationale) == ("1000", "2+998=<<2+998=1000>>1000")
    assert (got["bbh"].question, got["bbh"].choices, got["bbh"].answer) == ("Odd?", ("one", "two"), 1)
    assert (got["piqa"].question, got["piqa"].choices, got["piqa"].answer) == ("Open?", ("Lift.", "Wait."), 1)
    assert (got["cosmosqa"].context, got["cosmosqa"].choices[3], got["cosmosqa"].answer) == ("Rain.", "Reason 3", 3)
    assert (got["mmlu"].group, got["mmlu"].choices, got["mmlu"].answer) == ("law", ("a", "b", "c", "d"), 2)


def knowing(knows: Callable[[str], bool]) -> Any:
    """A model of lm-eval's that answers the rows it knows correctly, all others wrongly, and keeps the prompts."""
    from lm_eval.api.model import LM

    class Knowing(LM):
        def __init__(self) -> None:
            super().__init__()
            self.prompts: dict[str, str] = {}

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            found = []
            for request in requests:
                self.prompts[request.doc["id"]] = request.args[0]
                is_gold = request.idx == request.doc["answer"]
                found.append((-0.1 if is_gold == knows(request.doc["id"]) else -500.0, False))
            return found

        def generate_until(self, requests: list[Any]) -> list[str]:
            self.prompts |= {request.doc["id"]: request.args[0] for request in requests}
            # As models write: a number that comes last, or a line with its own case and white space.
            return [
                f" 7 and so\nit is ${request.doc['answer']}.00\n"
                if request.doc["id"].startswith("g") and knows(request.doc["id"])
                else f" {request.doc['answer'].upper()} \nand more"
                if knows(request.doc["id"])
                else "7 0 0"
                for request in requests
            ]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError

    return Knowing()


CASES = [(name, way) for name in BENCHMARKS for way in ("likelihood", "letter") if (name, way) != ("gsm8k", "letter")]


@pytest.mark.tiny
@pytest.mark.parametrize(("name", "way"), CASES)
def test_correctness_comes_back_in_the_order_of_the_rows(
    scoring: ModuleType, written: Callable[..., Path], name: str, way: str
) -> None:
    questions = load_questions(name, written(name))
    # Groups and ways of answering mixed: lm-eval sorts them apart.
    questions = questions[::2] + questions[1::2]
    texts = [question.question for question in questions]
    some = {question.id for question in questions[::3]}
    for knows in (lambda _: True, lambda _: False, lambda identity: identity in some):
        found = scoring.score(knowing(knows), questions, texts=texts, examples=[], scoring=way)
        assert found == [knows(question.id) for question in questions]


@pytest.mark.tiny
@pytest.mark.parametrize(("name", "way"), CASES)
def test_only_the_question_that_is_asked_is_rewritten(
    scoring: ModuleType, written: Callable[..., Path], name: str, way: str
) -> None:
    examples, scored = choose(load_questions(name, written(name)), shots=1)
    naive, rewritten = knowing(lambda _: True), knowing(lambda _: True)
    scoring.score(naive, scored, texts=[q.question for q in scored], examples=examples, scoring=way)
    texts = [f"Please {{% think %}} about {{{{row}}}} {q.id}." for q in scored]
    scoring.score(rewritten, scored, texts=texts, examples=examples, scoring=way)
    for question, text in zip(scored, texts, strict=True):
        before, after = naive.prompts[question.id], rewritten.prompts[question.id]
        assert before.count(f"Question: {question.question}\n") == 1
        assert after == before.replace(f"Question: {question.question}\n", f"Question: {text}\n")
        shown = [example.id for example in examples if f"Question: {example.question}\n" in after]
        assert shown == [example.id for example in examples if example.group == question.group]
        assert before.count("Question: ") == 2


@pytest.mark.tiny
def test_the_prompts_read_as_they_should(scoring: ModuleType, written: Callable[..., Path]) -> None:
    def prompt(benchmark: str, way: str, description: str = "") -> str:
        questions = load_questions(benchmark, written(benchmark))[:2]
        lm = knowing(lambda _: True)
        ask, example = questions[1:], questions[:1]
        texts = [q.question for q in ask]
        scoring.score(lm, ask, texts=texts, examples=example, scoring=way, description=description)
        return str(lm.prompts[ask[0].id])

    assert prompt("piqa", "likelihood", "Say {{how}}.") == (
        "Say {{how}}.\n\nQuestion: How to open box 0?\nAnswer: Lift lid 0.\n\nQuestion: How to open box 1?\nAnswer:"
    )
    assert prompt("piqa", "letter") == (
        "Question: How to open box 0?\nA. Lift lid 0.\nB. Wait.\nAnswer: A\n\n"
        "Question: How to open box 1?\nA. Lift lid 1.\nB. Wait.\nAnswer:"
    )
    assert prompt("cosmosqa", "likelihood") == (
        "It rained on day 0.\n\nQuestion: Why the umbrella 0?\nAnswer: To stay dry.\n\n"
        "It rained on day 1.\n\nQuestion: Why the umbrella 1?\nAnswer:"
    )
    assert prompt("bbh", "letter") == (
        "Question: Which is odd 0?\nOptions:\n(A) one\n(B) two\nAnswer: B\n\n"
        "Question: Which is odd 1?\nOptions:\n(A) one\n(B) two\nAnswer:"
    )
    assert prompt("gsm8k", "likelihood") == (
        "Question: Two and 1?\nAnswer: 2+1=3\nThe answer is 3.\n\nQuestion: Two and 5?\nAnswer:"
    )


@pytest.mark.tiny
def test_a_group_without_examples_borrows(scoring: ModuleType) -> None:
    examples, scored = choose(grouped({"law": 6, "small": 2}), shots=2)
    lm = knowing(lambda _: True)
    scoring.score(lm, scored, texts=[q.question for q in scored], examples=examples, scoring="letter")
    assert all(lm.prompts["small0"].count(f"Question: {example.question}\n") == 1 for example in examples)


@pytest.mark.tiny
def test_a_long_choice_is_not_at_a_disadvantage(scoring: ModuleType, written: Callable[..., Path]) -> None:
    from lm_eval.api.model import LM

    class PerCharacter(LM):
        """Every character is likely by the same measure, those of the first choice a little more so."""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return [(-len(request.args[1].strip()) * (2.0 + request.idx / 10), False) for request in requests]

        def generate_until(self, requests: list[Any]) -> list[str]:
            raise NotImplementedError

        loglikelihood_rolling = generate_until

    question = load_questions("piqa", written("piqa"))[0]
    assert len(question.choices[0]) > 2 * len(question.choices[1])
    assert scoring.score(PerCharacter(), [question], texts=["Open?"], examples=[], scoring="likelihood") == [True]


@pytest.mark.tiny
def test_the_letter_is_the_likeliest_as_our_own_measure_has_it(
    scoring: ModuleType, tiny_model: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    from fipo_model.backends.transformers.model import LoadedModel
    from fipo_model.backends.transformers.scorer import TransformersScorer

    texts = ["Name a colour.", "Tell a story.", "Invent a word.", "Compare two prompts.", "Answer it.", "Say so."]
    questions = [
        Question(id=f"q{n}", benchmark="mmlu", question=text, choices=("one", "two", "three"), answer=0)
        for n, text in enumerate(texts)
    ]
    loaded = LoadedModel.from_pretrained(tiny_model)
    measure = TransformersScorer(loaded)
    expected = []
    for text in texts:
        asked = {"role": "user", "content": f"Question: {text}\nA. one\nB. two\nC. three\nAnswer:"}
        prompt = [{"role": "system", "content": "Be brief.\n\n"}, asked]
        nats = measure.log_likelihoods([(prompt, letter) for letter in "ABC"])
        expected.append(nats.index(max(nats)))
    assert len(set(expected)) > 1
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    lm = scoring.test_model(loaded)
    assert lm.model is loaded.model
    for answer in range(3):
        rows = [replace(question, answer=answer) for question in questions]
        found = scoring.score(lm, rows, texts=texts, examples=[], scoring="letter", description="Be brief.")
        assert found == [right == answer for right in expected]
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tiny
@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_model_from_a_directory_answers_every_benchmark(
    scoring: ModuleType, tiny_model: Path, written: Callable[..., Path], name: str, way: str
) -> None:
    examples, scored = choose(load_questions(name, written(name)), shots=1, limit=2)
    lm = scoring.test_model(tiny_model)
    texts = [question.question for question in scored]
    first = scoring.score(lm, scored, texts=texts, examples=examples, scoring=way)
    again = scoring.score(lm, scored[::-1], texts=texts[::-1], examples=examples, scoring=way)
    assert (len(first), again[::-1]) == (len(scored), first)


@pytest.mark.tiny
def test_generated_answers_come_in_batches_and_likelihoods_do_not(
    scoring: ModuleType, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, sizes = scoring.test_model(tiny_model), []
    generate, forward = lm._model_generate, lm._model_call
    monkeypatch.setattr(
        lm, "_model_generate", lambda context, **kw: sizes.append(len(context)) or generate(context, **kw)
    )
    monkeypatch.setattr(lm, "_model_call", lambda inps, **kw: sizes.append(len(inps)) or forward(inps, **kw))
    three = [replace(GSM8K, id=str(place), question=f"{place} and 9?") for place in range(3)]
    scoring.score(lm, three, texts=[q.question for q in three], examples=[], scoring="likelihood")
    assert sizes == [3]
    scoring.score(lm, [PIQA], texts=["Dry?"], examples=[], scoring="likelihood")
    assert set(sizes[1:]) == {1}


@pytest.mark.tiny
def test_a_prompt_that_would_be_cut_is_refused(scoring: ModuleType, tiny_model: Path) -> None:
    lm = scoring.test_model(tiny_model)
    for question in (PIQA, GSM8K):
        with pytest.raises(InputError, match=rf"the question {question.id} .* needs \d+ tokens, .* holds 512"):
            scoring.score(lm, [question], texts=["xyzzy " * 300], examples=[], scoring="likelihood")


@pytest.mark.tiny
def test_what_cannot_be_scored_is_refused(scoring: ModuleType) -> None:
    lm = knowing(lambda _: True)
    refused = [
        ({"examples": [PIQA]}, "the row p is an in-context example"),
        ({"texts": []}, "1 questions, but 0 texts"),
        ({"texts": [" "]}, "the text for the row p is empty"),
        ({"scoring": "length"}, "scoring must be one of likelihood, letter"),
    ]
    for change, message in refused:
        with pytest.raises(InputError, match=message):
            scoring.score(lm, [PIQA], **({"texts": ["Dry?"], "examples": [], "scoring": "letter"} | change))
    assert scoring.score(lm, [], texts=[], examples=[], scoring="letter") == []


@pytest.mark.tiny
def test_a_model_without_a_chat_template_is_asked_in_plain_text(
    scoring: ModuleType, altered: Callable[..., Path]
) -> None:
    directory = altered()
    (directory / "chat_template.jinja").unlink()
    lm = scoring.test_model(directory)
    assert lm.tokenizer.chat_template is None
    assert len(scoring.score(lm, [PIQA], texts=["Dry?"], examples=[], scoring="letter")) == 1


@pytest.mark.tiny
def test_the_tasks_run_under_lm_eval_itself(scoring: ModuleType, written: Callable[..., Path]) -> None:
    from lm_eval.tasks import TaskManager

    directory = str(written("bbh"))
    for name, more in {"piqa": {}, "cosmosqa": {}, "gsm8k": {}, "bbh": {"group": "snarks"}}.items():
        written(name, [row | {"id": f"{row['id']}{k}"} for k in range(4) for row in ROWS[name]])
        metadata = {"source": directory, "limit": 3, **more}
        manager = TaskManager(include_path=str(scoring._TASKS), include_defaults=False, metadata=metadata)
        tasks = [task for task in manager.all_subtasks if task.startswith(f"fipo_{name}") and "generated" not in task]
        assert len(tasks) == (1 if name == "gsm8k" else 2)
        for task in manager.load(tasks)["tasks"].values():
            assert len(task.eval_docs) == 3
            assert task.config.num_fewshot == BENCHMARKS[name].shots == len(task.fewshot_docs())
            assert (
                task.fewshot_context(task.eval_docs[0], BENCHMARKS[name].shots).count("Question: ")
                == BENCHMARKS[name].shots + 1
            )


@pytest.fixture
def completions() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives prompts' likelihoods: the higher a token's number, the likelier. And what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            logprobs = [[-100.0 + token / 10 for token in ids] + [0.0] for ids in asked[-1]["prompt"]]
            tops = [[{"x": value} for value in row] for row in logprobs]
            choices = [
                {"index": n, "text": "", "logprobs": {"token_logprobs": row, "top_logprobs": top}}
                for n, (row, top) in enumerate(zip(logprobs, tops, strict=True))
            ]
            content = json.dumps({"choices": choices}).encode()
            self.send_response(200 if self.path == "/v1/completions" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.tiny
def test_a_server_is_asked_for_likelihoods(
    scoring: ModuleType, tiny_model: Path, completions: tuple[str, list[dict[str, Any]]]
) -> None:
    url, asked = completions
    lm = scoring.test_model(ServerSettings(base_url=f"{url}/v1", name="m", tokenizer=str(tiny_model)))
    letters = [replace(PIQA, id=str(n), answer=n) for n in range(2)]
    # The tokens of letters are in the order of the alphabet.
    shown = {"examples": [replace(PIQA, id="example")], "scoring": "letter", "description": "Be brief."}
    assert scoring.score(lm, letters, texts=["Dry?"] * 2, **shown) == [False, True]
    assert {row["model"] for row in asked} == {"m"}
    options = "\nA. Use a towel.\nB. Use an oven\nAnswer:"
    assert {lm.tokenizer.decode(row["prompt"][0]) for row in asked} == {
        "<|im_start|>system\nBe brief.\n\n<|im_end|>\n<|im_start|>user\n"
        f"Question: {PIQA.question}{options} A\n\nQuestion: Dry?{options}<|im_end|>\n<|im_start|>assistant\n{letter}"
        for letter in "AB"
    }
    broken = scoring.test_model(ServerSettings(base_url=url, name="m", tokenizer=str(tiny_model)))
    broken.max_retries = 1
    with pytest.raises(ServerError, match="the test model's server failed"):
        scoring.score(broken, letters, texts=["Dry?"] * 2, examples=[], scoring="letter")
    with pytest.raises(ServerError, match="cannot load the tokenizer 'nowhere'"):
        scoring.test_model(ServerSettings(base_url=url, name="nowhere"))


@pytest.mark.tiny
def test_lm_eval_is_kept_quiet_but_for_what_is_no_progress_bar(
    scoring: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    def noisy() -> None:
        sys.stdout.write("chatter\n")
        sys.stderr.write("\r 50%|###  |\r100%|#####|\n")

    with scoring._quiet():
        noisy()
    assert capfd.readouterr() == ("", "chatter\n")
