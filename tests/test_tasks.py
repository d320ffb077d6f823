"""Tasks as data: files and their faults, checks of replies, parts by family, and `fipo data tasks`."""

import json
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fipo_model.data.tasks import PARTS, Example, Task, check_disjoint, is_right, parse_task, part_of, read_tasks
from fipo_model.data.tasks.reading import write_tasks
from fipo_model.data.tasks.task import CHECKS, is_number
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow
from fipo_model.search.examples import filled
from support.files import SHARED_DATA, read, write

ROW = {
    "task": "rhyme",
    "source": "made up",
    "wordings": ["rhyme", "rhymes?", "Write a word that rhymes with the given one."],
    "examples": [{"input": "cat", "outputs": ["hat", "bat"]}, {"input": "tree", "outputs": ["bee"]}],
}
LABELLED = [
    {"task": "subj", "text": text, "label": label, "labels": ["subjective", "objective"], "split": split}
    for text, label, split in (
        ("a dull film .", "subjective", "train"),
        ("he goes home .", "objective", "train"),
        ("a dull film .", "subjective", "train"),
        ("she is lost .", "objective", "test"),
    )
]


def task(**fields):
    return parse_task(ROW | fields)


def of(*pairs, check=None, choices=None):
    examples = tuple(Example(input=text, outputs=(right,), choices=choices) for text, right in pairs)
    return Task(name="t", family="f", source="s", hasty=("do",), good=("Do it.",), examples=examples, check=check)


def read_one(tmp_path, row, **options):
    (found,) = read_tasks(write(tmp_path / "tasks.jsonl", row), **options)
    return found


def test_a_task_is_read_with_the_first_two_wordings_as_the_hasty_ones(tmp_path):
    found = read_one(tmp_path, ROW)
    assert (found.name, found.family, found.check, found.labels) == ("rhyme", "rhyme", None, None)
    assert found.hasty == ("rhyme", "rhymes?")
    assert found.good == ("Write a word that rhymes with the given one.",)
    assert found.examples[0] == Example(input="cat", outputs=("hat", "bat"))


def test_a_file_may_say_how_many_wordings_are_hasty_and_what_the_family_is(tmp_path):
    found = read_one(
        tmp_path, ROW | {"hasty": 1, "family": "sounds", "check": "text", "licence": "MIT", "note": "short"}
    )
    assert (found.hasty, len(found.good), found.family) == (("rhyme",), 2, "sounds")
    assert (found.check, found.licence, found.note) == ("text", "MIT", "short")


def test_public_tasks_stay_with_their_siblings():
    assert {task(task=name).family for name in ("addsub", "svamp")} == {"word_problems"}
    assert task(task="second_word_letter").family == "letters"
    assert task(task="addsub", family="mine").family == "mine"


def test_how_outputs_are_checked_follows_from_them_where_nobody_says_so():
    one = {"input": "a", "outputs": ["12"]}
    assert task(examples=[one, {"input": "b", "outputs": ["-0.5"]}]).check == "number"
    assert task(examples=[one | {"choices": ["12", "x"]}]).check == "choice"
    assert task(examples=[one, {"input": "b", "outputs": ["x"]}]).check is None
    assert task(examples=[one], check="exact").check == "exact"
    assert task(examples=[one, {"input": "b", "outputs": ["1_000"]}]).check is None


def test_an_input_that_comes_twice_has_the_right_outputs_of_both(tmp_path):
    twice = [{"input": "cat", "outputs": ["hat"]}, {"input": "cat", "outputs": ["mat", "hat"]}]
    assert task(examples=twice).examples == (Example(input="cat", outputs=("hat", "mat")),)


def test_what_is_written_is_read_again(tmp_path):
    choices = [
        {"input": text, "outputs": [right], "choices": ["yes", "no"]} for text, right in (("a", "yes"), ("b", "no"))
    ]
    first, second = task(hasty=1, check="contains", note="n", licence="MIT"), task(task="other", examples=choices)
    assert write_tasks(tmp_path / "out", [first, second]) == 2
    assert list(read_tasks(tmp_path / "out")) == [first, second]
    assert read(tmp_path / "out")[1]["labels"] == ["yes", "no"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"task": None}, "the field task is missing"),
        ({"task": 5}, "task must be text, not int"),
        ({"task": " "}, "name is empty"),
        ({"source": None}, "the field source is missing"),
        ({"licence": 1}, "licence must be text, not int"),
        ({"family": 3}, "family must be text, not int"),
        ({"wordings": None}, "the field wordings is missing"),
        ({"wordings": "rhyme"}, "wordings must be a list of texts"),
        ({"wordings": ["a", "b"]}, "of 2, none is left to be good"),
        ({"wordings": ["a", "b", " "]}, "a wording is empty"),
        ({"wordings": ["a", "b", "a"]}, "the wording 'a' occurs twice"),
        ({"wordings": ["a", "b", "{x} of {y}"]}, "has {x} and {y}, but the input is a single text"),
        ({"hasty": 0}, "hasty must be the number of hasty wordings, at least 1, not 0"),
        ({"hasty": True}, "hasty must be the number"),
        ({"check": "guess"}, "check must be one of exact, text, choice, number, contains, json, not 'guess'"),
        ({"check": "choice"}, "the input 'cat' has no choices"),
        ({"check": "number"}, "a right output of 'cat' is not one"),
        ({"check": "json"}, "a right output of 'cat' is not one"),
        ({"check": "json", "examples": [{"input": "cat", "outputs": ["[" * 1000 + "]" * 1000]}]}, "'cat' is not one"),
        ({"examples": None}, "the field examples is missing"),
        ({"examples": {}}, "examples must be a list"),
        ({"examples": []}, "there is no example"),
        ({"examples": ["cat"]}, "example 1: not an object"),
        ({"examples": [*ROW["examples"], {"outputs": ["x"]}]}, "example 3: the field input is missing"),
        ({"examples": [{"input": "", "outputs": ["x"]}]}, "example 1: input is empty"),
        ({"examples": [{"input": "x"}]}, "example 1: the field outputs is missing"),
        ({"examples": [{"input": "x", "outputs": "y"}]}, "example 1: outputs must be a list of texts"),
        ({"examples": [{"input": "x", "outputs": []}]}, "example 1: there is no right output"),
        ({"examples": [{"input": "x", "outputs": [" "]}]}, "example 1: a right output is empty"),
        ({"examples": [{"input": "x", "outputs": ["y"], "choices": ["y"]}]}, "choices needs at least two"),
        ({"examples": [{"input": "x", "outputs": ["y"], "choices": ["a", "b"]}]}, "'y' is not among the choices"),
    ],
)
def test_a_fault_is_named_with_its_line_and_the_rest_goes_on(tmp_path, fields, fault):
    file = write(tmp_path / "tasks.jsonl", ROW | {"task": "good"}, ROW | fields)
    good, bad = read_tasks(file)
    assert good.name == "good"
    assert isinstance(bad, BadRow)
    assert bad.line == 2
    assert fault in bad.reason


def test_a_task_with_fewer_examples_than_asked_for_is_named(tmp_path):
    other = ROW | {"task": "long", "examples": [{"input": str(n), "outputs": ["x"]} for n in range(5)]}
    few, many = read_tasks(write(tmp_path / "tasks.jsonl", ROW, other), examples=3)
    assert few == BadRow(line=1, reason="task 'rhyme' has 2 examples, but 3 were asked for")
    assert [example.input for example in many.examples] == ["0", "1", "2"]


def test_two_tasks_of_one_name_and_a_file_without_tasks_are_told(tmp_path):
    first, second = read_tasks(write(tmp_path / "tasks.jsonl", ROW, ROW))
    assert isinstance(first, Task)
    assert second == BadRow(line=2, reason="there is another task named 'rhyme'")
    with pytest.raises(InputError, match="holds no usable task; line 1: not JSON"):
        list(read_tasks(write(tmp_path / "bad.jsonl", b"{")))
    with pytest.raises(InputError, match="cannot read"):
        list(read_tasks(tmp_path / "absent"))


def test_labelled_texts_become_one_task_without_the_test_split(tmp_path):
    (found,) = read_tasks(write(tmp_path / "subj.jsonl", *LABELLED))
    assert (found.name, found.check, found.labels) == ("subj", "choice", ("subjective", "objective"))
    assert [example.input for example in found.examples] == ["a dull film .", "he goes home ."]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"split": None}, "the field split is missing"),
        ({"task": "mine"}, "there are no wordings for the set 'mine', only for agnews, sst2, subj, trec, sst-5"),
        ({"task": ["subj"]}, "task must be text, not list"),
        ({"text": 5}, "text must be text, not int"),
        ({"label": {}}, "label must be text, not dict"),
        ({"labels": 5}, "labels must be a list of texts"),
        ({"labels": "subjective"}, "labels must be a list of texts"),
        ({"labels": [["subjective"], "objective"]}, "labels must be a list of texts"),
        ({"split": ["train"]}, "split must be text, not list"),
        ({"label": "good"}, "the right output 'good' is not among the choices"),
    ],
)
def test_faults_of_labelled_texts_are_named(tmp_path, fields, fault):
    bad, good = read_tasks(write(tmp_path / "subj.jsonl", LABELLED[0], LABELLED[1] | fields))
    assert (bad.line, bad.reason) == (2, fault)
    assert isinstance(good, Task)


def test_of_labelled_texts_that_repeat_the_first_counts_however_many_there_are(tmp_path):
    many = [LABELLED[number % 3] | {"text": f"it is {number} ."} for number in range(20_000)]
    repeated = [row | {"label": "objective"} for row in many]
    file = write(tmp_path / "subj.jsonl", *many, *repeated)
    begin = time.process_time()
    (found,) = read_tasks(file)
    assert time.process_time() - begin < 8  # comparing each with all others takes 20 s
    assert len(found.examples) == len(many)
    assert found.examples[0].outputs == ("subjective",)


def test_a_set_without_a_training_split_has_no_task(tmp_path):
    with pytest.raises(InputError, match="holds no usable task; line 1: there is no example"):
        list(read_tasks(write(tmp_path / "subj.jsonl", LABELLED[3])))


@pytest.mark.shared
@pytest.mark.parametrize(("file", "tasks"), [("tasks", 23), ("more_tasks", 23)])
def test_every_shared_task_is_read_and_written_again(tmp_path, file, tasks):
    found = list(read_tasks(SHARED_DATA / f"{file}.jsonl", examples=30))
    assert sum(isinstance(each, Task) for each in found) == len(found) == tasks
    write_tasks(tmp_path / "out", found)
    assert list(read_tasks(tmp_path / "out")) == found


@pytest.mark.shared
@pytest.mark.parametrize("name", ["agnews", "sst2", "subj", "trec", "sst-5"])
def test_every_shared_set_of_labelled_texts_is_a_task(name):
    (found,) = read_tasks(SHARED_DATA / "classification" / f"{name}.jsonl", examples=100)
    rows = read(SHARED_DATA / "classification" / f"{name}.jsonl")
    assert {example.input for example in found.examples} <= {row["text"] for row in rows if row["split"] == "train"}


@pytest.mark.parametrize(
    ("wording", "sent"),
    [
        ("Shout:", "Shout:\n\na {b} \\1"),
        ("{text} -> caps", "a {b} \\1 -> caps"),
        ("{{ text }} and {{text}}", "a {b} \\1 and a {b} \\1"),
        ("{name}: {text}", "{name}: {text}\n\na {b} \\1"),
        ("as {name, age}", "as {name, age}\n\na {b} \\1"),
    ],
)
def test_the_input_follows_an_empty_line_or_fills_the_only_variable(wording, sent):
    assert filled(wording, "a {b} \\1") == sent


@pytest.mark.parametrize(
    ("check", "right", "good", "bad"),
    [
        ("exact", "NASA", ["NASA", ' "NASA." ', "NASA\n"], ["nasa", "It is NASA", "", "NA SA"]),
        ("exact", "- a\n- b", ["- a\n-  b\n"], ["- b\n- a", "- a - b", "a, b"]),
        ("exact", "<", ["<", "`<`"], [">", "1 < 2"]),
        ("text", "hat", ["Hat", "hat.", "'HAT'"], ["a hat", "bat"]),
        ("number", "1200", ["1,200", "It is 1200.0.", "3 times 400 is 1200"], ["120", "1200 and 3", "none", ""]),
        ("number", "-5", ["-5", "x = -5", "(-5)", "**-5**"], ["5", "10-5"]),
        ("number", "15", ["pages 10-15", "15.", "+15", "1.5e1", "10 - 15"], ["-15", "15e1"]),
        ("number", ".5", [".5", "0.5", "It is .50.", "5e-1"], ["5", "-.5", "1.5"]),
        ("number", "1e-3", ["1e-3", "0.001", "1E-3."], ["3", "-3", "1e3", "1e99999999999999999999"]),
        ("contains", "10 June", ["On 10 June at 5", "10 june"], ["110 June", "10 Junes"]),
        (
            "json",
            '{"a": [1, true]}',
            ['{ "a":[1,true] }', '```json\n{"a": [1, true]}\n```'],
            ['{"a": [1, 1]}', "a", "", "[" * 1000 + "]" * 1000, "[" * 300 + "]" * 300],
        ),
        ("json", '{"a": [12]}', ['{"a": [12.0]}', '{"a": [1.2e1]}'], ['{"a": ["12"]}', '{"a": 12}']),
        ("json", '{"a": 1, "b": "2"}', ['{"b": "2", "a": 1}'], ['{"a": 1, "b": 2}', '{"a": 1}']),
    ],
)
def test_replies_are_checked_as_the_task_says(check, right, good, bad):
    one = of(("x", right), check=check)
    assert [reply for reply in good if not is_right(one, one.examples[0], reply)] == []
    assert [reply for reply in bad if is_right(one, one.examples[0], reply)] == []


@given(st.text(st.sampled_from("0123456789.,eE+-_ ٣"), min_size=1, max_size=8).filter(is_number))
@example(".5")
@example("1e-3")
@example("5.e3")
@example("-.5E+1")
@example(" +7. ")
def test_what_counts_as_a_number_is_right_as_its_own_reply(output):
    one = of(("x", output), check="number")
    assert is_right(one, one.examples[0], output)
    assert is_right(one, one.examples[0], f"Of 3-4 it is {output}.")


@pytest.mark.parametrize(
    ("right", "good", "bad"),
    [
        ("urgent", ["urgent", "It is Urgent!"], ["not urgent", "urgent or not urgent", "", "later"]),
        ("not urgent", ["not urgent", "**Not urgent**"], ["urgent"]),
    ],
)
def test_a_choice_is_right_if_no_other_one_is_named(right, good, bad):
    one = of(("x", right), check="choice", choices=("urgent", "not urgent"))
    assert [reply for reply in good if not is_right(one, one.examples[0], reply)] == []
    assert [reply for reply in bad if is_right(one, one.examples[0], reply)] == []


def test_any_of_several_right_outputs_is_right_and_a_task_without_a_check_is_refused():
    rhyme = task(check="text")
    assert is_right(rhyme, rhyme.examples[0], "bat")
    assert set(CHECKS) == {"exact", "text", "choice", "number", "contains", "json"}
    with pytest.raises(InputError, match="the outputs of task 'rhyme' cannot be checked"):
        is_right(task(), task().examples[0], "bat")


def test_parts_are_decided_by_the_family_alone():
    families = [f"family {number}" for number in range(2000)]
    parts = [part_of(task(family=family)) for family in families]
    assert parts == [part_of(task(family=family, task="other", source="else")) for family in families]
    shares = {part: parts.count(part) / len(parts) for part in PARTS}
    assert shares == {
        "train": pytest.approx(0.7, abs=0.03),
        "development": pytest.approx(0.15, abs=0.03),
        "held-out": pytest.approx(0.15, abs=0.03),
    }
    # Whoever measured on a task yesterday must not train on it today.
    assert {name: part_of(task(family=name)) for name in ("casing", "weekdays", "letters")} == {
        "casing": "held-out",
        "weekdays": "development",
        "letters": "train",
    }


def test_tasks_that_overlap_are_refused_with_what_they_share():
    learnt, apart = of(("a", "b"), ("c", "d")), of(("e", "f"), ("c", "d"), ("g", "h"))
    other = replace(apart, name="u", family="g", good=("Do that.",))
    check_disjoint([learnt], [replace(other, examples=other.examples[:1])])
    with pytest.raises(InputError, match="share the name 't'"):
        check_disjoint([learnt], [replace(other, name="t")])
    with pytest.raises(InputError, match="share the family 'f'"):
        check_disjoint([learnt], [replace(other, family="f")])
    with pytest.raises(InputError, match="share the wording 'do it'"):
        check_disjoint([learnt], [replace(other, good=("do  it",))])
    with pytest.raises(InputError, match="task 't' and the held-out task 'u' have the same examples"):
        check_disjoint([learnt], [other])


@pytest.mark.shared
def test_shared_tasks_do_not_overlap_across_parts_either():
    found = [each for file in ("tasks", "more_tasks") for each in read_tasks(SHARED_DATA / f"{file}.jsonl")]
    for one, other in (("train", "held-out"), ("train", "development"), ("development", "held-out")):
        check_disjoint([t for t in found if part_of(t) == one], [t for t in found if part_of(t) == other])


class TestCommand:
    def run(self, *arguments):
        from fipo_model import cli

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["fipo", "data", "tasks", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return int(ended.value.code or 0)

    def test_made_tasks_and_those_of_files_are_written(self, tmp_path, capsys):
        also = write(tmp_path / "mine", ROW)
        assert self.run(tmp_path / "out", "--also", also, "--examples", 2) == 0
        rows = read(tmp_path / "out")
        assert rows[-1]["task"] == "rhyme"
        assert len(rows) > 250
        assert {len(row["examples"]) for row in rows} == {2}
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"{len(rows)} tasks (" in printed.err
        assert sum(isinstance(each, Task) for each in read_tasks(tmp_path / "out")) == len(rows)

    def test_a_split_has_the_tasks_of_one_part_and_all_splits_have_all(self, tmp_path):
        assert self.run(tmp_path / "all", "--examples", 2) == 0
        names = {}
        for part in PARTS:
            assert self.run(tmp_path / part, "--examples", 2, "--split", part, "--seed", 5) == 0
            found = list(read_tasks(tmp_path / part))
            assert {part_of(each) for each in found} == {part}
            names[part] = {each.name for each in found}
        assert sorted(name for part in names.values() for name in part) == sorted(
            row["task"] for row in read(tmp_path / "all")
        )

    def test_a_seed_changes_examples_only(self, tmp_path):
        for seed in (0, 1):
            assert self.run(tmp_path / str(seed), "--examples", 3, "--seed", seed) == 0
        first, second = (read(tmp_path / str(seed)) for seed in (0, 1))
        assert [row | {"examples": 0, "labels": 0} for row in first] == [
            row | {"examples": 0, "labels": 0} for row in second
        ]
        assert first != second

    def test_what_cannot_be_used_is_named_and_the_rest_written(self, tmp_path, capsys):
        also = write(tmp_path / "mine", ROW, ROW | {"task": "uppercase"}, ROW | {"task": "few", "examples": []})
        assert self.run(tmp_path / "out", "--also", also, "--examples", 2) == 1
        printed = capsys.readouterr().err
        assert f"{also}, there is another task named 'uppercase'" in printed
        assert f"{also}, line 3: there is no example" in printed
        assert "2 could not be used" in printed
        assert read(tmp_path / "out")[-1]["task"] == "rhyme"

    def test_the_output_is_not_the_input_and_stays_where_nothing_can_be_written(self, tmp_path, capsys):
        file = write(tmp_path / "mine", ROW)
        before = file.read_bytes()
        assert self.run(file, "--also", file) != 0
        assert "the input and the output are the same file" in capsys.readouterr().err
        assert self.run(file, "--examples", 5000) != 0
        assert "different examples, but 5000 were asked for" in capsys.readouterr().err
        assert file.read_bytes() == before


def test_a_line_of_a_file_of_tasks_is_json_with_the_fields_of_the_shared_ones():
    fields = json.loads(json.dumps(task().to_fields()))
    assert set(fields) == {"task", "family", "source", "hasty", "wordings", "examples"}
