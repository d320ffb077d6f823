"""What a rewriter learns from tasks: rows as users show their prompts, and preferences by what right outputs gain."""

import random
import sys
from dataclasses import replace

import pytest

from fipo_model import FIPO_2, Rewriter, cli
from fipo_model.backends import opening
from fipo_model.cli import rank_tasks
from fipo_model.data.diversify import TrainingRow, parse_training_row
from fipo_model.data.tasks import Example, Task, write_tasks
from fipo_model.data.tasks.making import make_tasks
from fipo_model.data.tasks.ranking import Ranked, objection, questions, rank
from fipo_model.data.tasks.teaching import SHOWINGS, request_showing, shown, teaching_rows
from fipo_model.errors import InputError
from fipo_model.jsonl import read_objects
from fipo_model.templates import NOTHING
from fipo_model.testing import ScriptedGenerator, ScriptedScorer
from support.telling import Telling

NOUNS = ("house", "tree", "mouse", "dog", "cat", "pen", "book", "lamp", "road", "sea", "star", "wall", "door", "cup")
PLURAL = Task(
    name="plural",
    family="nouns",
    source="test",
    hasty=("plural?", "more than one"),
    good=("Write the plural of the noun.", "Put the noun into the plural and write that word only."),
    examples=tuple(Example(input=noun, outputs=(f"{noun}s",)) for noun in NOUNS),
)
GOOD, OTHER, BAD = "Write the plural of the given noun.", "Translate the phrase to Czech.", "Write the noun."


def text_of(row: TrainingRow) -> str:
    return row.prompt[-1]["content"]


@pytest.fixture(scope="module")
def rows() -> list[TrainingRow]:
    return list(teaching_rows(make_tasks(examples=12), FIPO_2))


class TestTeaching:
    def test_every_way_of_showing_is_taught_and_that_there_may_be_nothing_to_add(self, rows):
        types = {row.type for row in rows}
        assert {f"hasty, {showing}" for showing in SHOWINGS} <= types
        assert {f"complete, {showing}" for showing in SHOWINGS[:3]} <= types
        assert all((row.chosen == f"{NOTHING}.") == row.type.startswith("complete") for row in rows)

    def test_what_is_shown_beside_a_wording_is_what_the_type_says(self, rows):
        for row in rows:
            text = text_of(row)
            assert ("Input: " in text) == (not row.type.endswith("alone"))
            assert ("Right output: " in text) == row.type.endswith(("outputs", "feedback"))
            assert ("Wrong output: " in text) == ("Feedback on what it got:" in text) == row.type.endswith("feedback")

    def test_nothing_is_taught_that_the_contract_refuses(self):
        task = replace(PLURAL, good=("Write the plural of the noun in German, such as Haus.",))
        types = {row.type for row in teaching_rows([task], FIPO_2) if row.chosen != f"{NOTHING}."}
        assert types == set()

    def test_alone_a_wording_is_shown_only_where_it_says_what_is_meant(self):
        rows = list(teaching_rows([PLURAL], FIPO_2))
        alone = {text_of(row).splitlines()[1] for row in rows if row.type == "hasty, alone"}
        assert alone == {"plural?"}

    def test_rows_are_the_same_for_the_same_seed_and_do_not_hang_on_other_tasks(self, rows):
        tasks = list(make_tasks(examples=12))
        some = [row for row in rows if row.id.startswith(f"{tasks[5].name}/")]
        assert list(teaching_rows([tasks[5]], FIPO_2)) == some
        assert list(teaching_rows([tasks[5]], FIPO_2, seed=1)) != some

    def test_rows_can_be_trained_on(self, rows):
        assert all(parse_training_row(row.to_fields()) == row for row in rows)

    def test_a_wrong_output_is_another_examples(self):
        first, second = shown("feedback", PLURAL.examples[:2])
        assert (first.output, first.response, second.response) == ("houses", "trees", None)

    def test_long_inputs_are_shown_only_where_there_are_no_others(self):
        long = Example(input="x " * 200, outputs=("y",))
        task = replace(PLURAL, examples=(long, *PLURAL.examples))
        for seed in range(20):
            request = request_showing("plural?", "inputs", task, random.Random(seed))
            assert all(len(example.input) < 100 for example in request.examples)
        only = replace(PLURAL, examples=(long,))
        assert len(request_showing("plural?", "inputs", only, random.Random(0)).examples) == 1


class Sampling(ScriptedGenerator):
    """Its n-th sample for each conversation is the n-th reply."""

    def __init__(self, *replies: str, context_tokens: int | None = None) -> None:
        super().__init__(lambda conversation: "", context_tokens=context_tokens)
        self.replies = replies

    def generate(self, conversations, sampling, *, samples=1):
        completions = super().generate(conversations, sampling, samples=samples)
        texts = self.replies[:samples]
        return [[replace(each, text=text) for each, text in zip(own, texts, strict=True)] for own in completions]


def rewriter(*replies: str, **options: int) -> Rewriter:
    return Rewriter(Sampling(*replies, **options), template=FIPO_2, samples=len(replies))


def scorer(name: str, **figures: float) -> ScriptedScorer:
    """The log-probability per token by the first word of the addition, 0 where there is none."""

    def score(conversation, response):
        added = conversation[0]["content"].split("\n\n")[1:-1]
        return figures.get(added[0].split()[0], 0.0) if added else 0.0

    return ScriptedScorer(score, name=name)


class TestRanking:
    def test_questions_measure_on_other_inputs_than_they_show(self):
        asked = list(questions([PLURAL], inputs=8))
        assert [question.wording for question in asked] == ["plural?", "more than one"]
        assert len({question.showing for question in asked}) == 2
        for question in asked:
            measured = {example.input for example in question.measured}
            assert len(measured) == 8
            assert not measured & {example.input for example in question.request.examples}

    def test_a_task_with_too_few_examples_is_named(self):
        few = replace(PLURAL, examples=PLURAL.examples[:4])
        with pytest.raises(InputError, match="examples to measure on, but 8 are needed"):
            list(questions([few], inputs=8))

    def question(self):
        return next(iter(questions([PLURAL], inputs=8)))

    @pytest.mark.parametrize(
        ("addition", "reason"),
        [
            (GOOD, None),
            ("Reply with the plural only, in one word.", None),
            (OTHER, "no content word"),
            (
                "Write the plural of the noun and solve the word problem with fractions.",
                "words new to the task",
            ),
            ("Write the plural, such as houses.", "gives away a right output"),
            ("Write the output.", None),
        ],
    )
    def test_what_asks_for_something_else_is_out(self, addition, reason):
        measured = PLURAL.examples[:8]
        found = objection(addition, replace(self.question(), measured=measured))
        assert (found is None) if reason is None else (reason in found)

    def ranked(self, *replies: str, **figures: dict[str, float]) -> Ranked:
        scorers = [scorer(name, **of) for name, of in (figures or {"one": {"Write": 0.5, "Put": 1.0}}).items()]
        (found,) = rank([self.question()], rewriter(*replies), scorers)
        assert isinstance(found, Ranked)
        return found

    def test_the_best_is_preferred_to_the_worst(self):
        row = self.ranked(GOOD, "Put the noun into the plural.").row(FIPO_2, 0.02)
        assert row is not None
        assert (row.chosen, row.rejected) == ("Put the noun into the plural.", f"{NOTHING}.")
        assert row.prompt == FIPO_2.render(self.question().request)

    def test_of_several_test_models_the_least_gain_counts_and_each_is_told(self):
        found = self.ranked(
            GOOD, "Put the noun into the plural.", one={"Write": 0.5, "Put": 1.0}, two={"Write": 0.4, "Put": -1.0}
        )
        assert [gain.by_model for _, gain in found.gains] == [{"one": 0.5, "two": 0.4}, {"one": 1.0, "two": -1.0}]
        row = found.row(FIPO_2, 0.02)
        assert row is not None
        assert (row.chosen, row.rejected) == (GOOD, "Put the noun into the plural.")

    def test_the_wording_itself_is_the_best_where_nothing_gains(self):
        row = self.ranked(GOOD, "Put the noun into the plural.", one={"Write": 0.01, "Put": -1.0}).row(FIPO_2, 0.02)
        assert row is not None
        assert (row.chosen, row.rejected) == (f"{NOTHING}.", "Put the noun into the plural.")

    def test_what_asks_for_something_else_is_never_scored_and_is_rejected_where_nothing_loses(self):
        found = self.ranked(GOOD, OTHER, one={"Write": 0.01, "Translate": 9.0})
        assert [text for text, _ in found.gains] == [f"plural?\n\n{GOOD}"]
        row = found.row(FIPO_2, 0.02)
        assert row is not None
        assert (row.chosen, row.rejected) == (f"{NOTHING}.", OTHER)

    def test_there_is_no_row_without_spread(self):
        assert self.ranked(GOOD, one={"Write": 0.01}).row(FIPO_2, 0.02) is None
        assert self.ranked(f"{NOTHING}.", one={}).row(FIPO_2, 0.02) is None

    def test_a_line_has_the_row_and_all_that_was_measured(self):
        found = self.ranked(GOOD, OTHER)
        fields = found.to_fields(FIPO_2, 0.02)
        assert fields["ranked"] == [{"text": f"plural?\n\n{GOOD}", "gain": {"one": 0.5}}]
        assert [each["text"] for each in fields["failed"]] == [f"plural?\n\n{OTHER}"]
        assert parse_training_row(fields) == found.row(FIPO_2, 0.02)

    def test_what_the_rewriter_is_unsure_of_is_measured_too(self):
        unsure = Rewriter(Telling(GOOD, likelihood=-3.0), template=FIPO_2, samples=2, least_likelihood=-0.75)
        assert {one.outcome for one in unsure.propose([self.question().request])[0]} == {"uncertain"}
        (found,) = rank([self.question()], unsure, [scorer("one", Write=0.5)])
        assert isinstance(found, Ranked)
        assert len(found.gains) == 2
        assert found.failed == ()

    def test_wordings_come_in_their_order_and_one_that_is_too_long_with_its_error(self):
        usual = self.question()
        long = replace(usual, request=replace(usual.request, context="word " * 1000))
        first, second = rank([long, usual], rewriter(GOOD, OTHER, context_tokens=600), [scorer("one", Write=1.0)])
        assert isinstance(first, tuple)
        assert isinstance(first[1], InputError)
        assert isinstance(second, Ranked)

    def test_an_addition_that_does_not_fit_into_a_test_models_context_is_out(self):
        model = ScriptedScorer(lambda conversation, response: 0.0, name="one", context_tokens=6)
        (found,) = rank([self.question()], rewriter("Write the plural of the given noun now."), [model])
        assert isinstance(found, Ranked)
        assert found.gains == ()
        assert len(found.failed) == 1


class TestCommands:
    def run(self, *arguments: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["fipo", "data", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return int(ended.value.code or 0)

    @pytest.fixture
    def tasks(self, tmp_path):
        file = tmp_path / "tasks.jsonl"
        write_tasks(file, [PLURAL])
        return file

    def test_rows_are_written_for_sft(self, tasks, tmp_path):
        assert self.run("teach", tasks, tmp_path / "rows.jsonl") == 0
        found = [parse_training_row(row) for _, row in read_objects(tmp_path / "rows.jsonl")]
        assert found == list(teaching_rows([PLURAL], FIPO_2))

    def test_a_line_that_is_no_task_is_named_and_the_rest_goes_on(self, tasks, tmp_path, capsys):
        with tasks.open("a", encoding="utf-8") as file:
            file.write('{"task": "broken"}\n')
        assert self.run("teach", tasks, tmp_path / "rows.jsonl") == 1
        assert "line 2" in capsys.readouterr().err
        assert (tmp_path / "rows.jsonl").stat().st_size > 0

    @pytest.fixture
    def models(self, monkeypatch):
        monkeypatch.setattr(rank_tasks, "_rewriter", lambda *_: rewriter(GOOD, "Put the noun into the plural."))
        monkeypatch.setattr(rank_tasks, "_scorers", lambda *_: [scorer("one", Write=0.5, Put=1.0)])

    def test_a_ranking_writes_rows_to_train_on_and_goes_on_where_it_was(self, tasks, tmp_path, models, capsys):
        target = tmp_path / "ranked.jsonl"
        assert self.run("rank-tasks", tasks, target) == 0
        assert "2 wordings with a preference" in capsys.readouterr().err
        whole = target.read_bytes()
        target.write_bytes(whole.splitlines(keepends=True)[0] + b'{"id": "plural/mo')  # killed in the second
        assert self.run("rank-tasks", tasks, target) == 0
        assert "1 was there" in capsys.readouterr().err
        assert target.read_bytes() == whole

    def test_other_settings_are_refused_for_what_is_there(self, tasks, tmp_path, models, capsys):
        assert self.run("rank-tasks", tasks, tmp_path / "ranked.jsonl") == 0
        assert self.run("rank-tasks", tasks, tmp_path / "ranked.jsonl", "--margin", 0.5) == 1
        assert "margin" in capsys.readouterr().err.splitlines()[-1]
        tasks.write_text(tasks.read_text() + "\n")
        assert self.run("rank-tasks", tasks, tmp_path / "ranked.jsonl") == 1
        assert "content.tasks" in capsys.readouterr().err.splitlines()[-1]

    def test_a_task_with_too_few_examples_is_named_and_the_rest_goes_on(self, tmp_path, models, capsys):
        file = tmp_path / "tasks.jsonl"
        write_tasks(file, [replace(PLURAL, name="few", examples=PLURAL.examples[:3]), PLURAL])
        assert self.run("rank-tasks", file, tmp_path / "ranked.jsonl") == 1
        told = capsys.readouterr().err
        assert "'few' has" in told
        assert "2 wordings with a preference" in told

    def test_a_rewriter_that_is_its_own_test_model_is_told_so(self, tasks, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(opening, "open_scorer", lambda name: scorer("scripted", Write=0.5))
        monkeypatch.setattr(rank_tasks, "_rewriter", lambda *_: rewriter(GOOD))
        assert self.run("rank-tasks", tasks, tmp_path / "ranked.jsonl") == 0
        assert "is both the rewriter and a test model" in capsys.readouterr().err
