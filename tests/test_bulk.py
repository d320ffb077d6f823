"""Bulk files: streaming, row errors, and going on after any kind of stop."""

import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fipo_model import OptimizationRequest, PromptOptimizer, ShownExample
from fipo_model.bulk import Halves, Row, Tally, optimize_file, optimize_stream, read_rows
from fipo_model.bulk.rows import failed_id, parse_row, parse_rows
from fipo_model.errors import InputError, ServerError
from fipo_model.fidelity import FidelitySettings
from fipo_model.generation import Message
from fipo_model.jsonl import BadRow, check_writable, count_lines, parse_objects
from fipo_model.judge import LLMJudge
from fipo_model.testing import ScriptedGenerator
from support.files import read


def improve(conversation: list[Message]) -> str:
    naive = conversation[-1]["content"].split("Naive prompt:\n")[1].split("\n\n")[0]
    return f"{naive} Give one example for each point."


def make_optimizer(name: str = "scripted") -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(improve, name=name))


def write_rows(path: Path, count: int) -> Path:
    rows = ({"id": f"r{i}", "instruction": f"Explain topic number {i} to a child."} for i in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(source: Path, target: Path, *, batch_size: int = 2, optimizer: PromptOptimizer | None = None) -> list[BadRow]:
    bad: list[BadRow] = []

    def report(tally: Tally, row: BadRow | None) -> None:
        if row is not None:
            bad.append(row)

    optimize_file(optimizer or make_optimizer(), source, target, batch_size=batch_size, report=report)
    return bad


def test_every_row_gets_one_output_row_with_all_fields_in_order(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", 5)
    assert run(source, tmp_path / "out.jsonl") == []
    rows = read(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(5)]
    fields = ["id", "instruction", "naive_instruction", "outcome", "detail", "seconds", "model", "template"]
    assert list(rows[0]) == fields
    assert rows[3]["instruction"] == "Explain topic number 3 to a child. Give one example for each point."
    assert rows[3]["naive_instruction"] == "Explain topic number 3 to a child."
    assert (rows[3]["outcome"], rows[3]["model"], rows[3]["template"]) == ("optimized", "scripted", "fipo-1")


def test_a_row_says_why_its_prompt_was_kept_and_on_request_what_was_proposed(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", 2)
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: "Explain topics to a child."))
    optimize_file(
        optimizer, source, tmp_path / "out.jsonl", batch_size=2, report=lambda tally, row: None, proposals=True
    )
    (first, _) = read(tmp_path / "out.jsonl")
    assert (first["outcome"], first["detail"]) == ("number_lost", "lost the number '0'")
    (proposal,) = first["proposals"]
    assert proposal["text"] == "Explain topics to a child."
    assert (proposal["outcome"], proposal["detail"]) == (first["outcome"], first["detail"])


def test_rows_may_name_what_to_keep_and_how_long_a_rewrite_may_be(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    prompt = "Explain rain to Ann."
    rows = [
        {"id": 1, "instruction": prompt, "keep": ["to Ann"]},
        {"id": 2, "instruction": prompt, "max_words": 5},
        {"id": 3, "instruction": prompt, "keep": None, "max_words": ""},
        {"id": 4, "instruction": prompt, "keep": "Ann"},
        {"id": 5, "instruction": prompt, "keep": ["Bob"]},
        {"id": 6, "instruction": prompt, "max_words": "7"},
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: "Explain rain and all its kinds, for Ann."))
    bad = run(source, tmp_path / "out.jsonl", optimizer=optimizer)
    assert [row["outcome"] for row in read(tmp_path / "out.jsonl")] == ["literal_lost", "too_long", "optimized"]
    assert [row.line for row in bad] == [4, 5, 6]
    for row, words in zip(bad, ("tuple of texts", "does not contain", "whole number"), strict=True):
        assert words in row.reason


def test_a_report_comes_first_of_what_was_done_before(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    run(source, target)
    seen: list[tuple[int, int]] = []

    def report(tally: Tally, row: BadRow | None) -> None:
        seen.append((tally.already_done, tally.written))

    optimize_file(make_optimizer(), write_rows(source, 5), target, batch_size=1, report=report)
    assert seen == [(3, 0), (3, 1), (3, 2)]


def test_rows_go_to_a_stream_without_a_file_of_their_own(tmp_path: Path) -> None:
    written: list[bytes] = []
    tally = optimize_stream(
        make_optimizer(),
        write_rows(tmp_path / "in.jsonl", 3),
        written.append,
        batch_size=2,
        report=lambda tally, row: None,
    )
    assert [part.count(b"\n") for part in written] == [2, 1]
    assert [json.loads(line)["id"] for line in b"".join(written).splitlines()] == ["r0", "r1", "r2"]
    assert (tally.written, tally.rewritten, tally.refused) == (3, 3, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["in.jsonl"]


def test_rows_go_to_the_model_in_batches(tmp_path: Path) -> None:
    optimizer = make_optimizer()
    run(write_rows(tmp_path / "in.jsonl", 5), tmp_path / "out.jsonl", batch_size=2, optimizer=optimizer)
    assert isinstance(optimizer.rewriter.generator, ScriptedGenerator)
    assert optimizer.rewriter.generator.batch_sizes == [2, 2, 1]


def test_a_second_run_does_nothing_twice(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 4), tmp_path / "out.jsonl"
    run(source, target)
    before, again = target.read_bytes(), make_optimizer()
    run(source, target, optimizer=again)
    assert target.read_bytes() == before
    assert isinstance(again.rewriter.generator, ScriptedGenerator)
    assert sum(again.rewriter.generator.batch_sizes) == 0


@pytest.mark.parametrize("cut", [1, 10, 60, 400])
def test_a_half_written_last_line_is_repaired(tmp_path: Path, cut: int) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 6), tmp_path / "out.jsonl"
    run(source, target)
    whole = [(row["id"], row["instruction"]) for row in read(target)]
    target.write_bytes(target.read_bytes()[:-cut])
    run(source, target)
    assert [(row["id"], row["instruction"]) for row in read(target)] == whole


def test_a_server_that_dies_midway_loses_nothing(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 6), tmp_path / "out.jsonl"

    def dying(conversation: list[Message]) -> str:
        if "number 4" in conversation[-1]["content"]:
            raise ServerError("the server at http://127.0.0.1:1/v1 cannot be reached")
        return improve(conversation)

    with pytest.raises(ServerError):
        run(source, target, optimizer=PromptOptimizer(ScriptedGenerator(dying)))
    assert [row["id"] for row in read(target)] == ["r0", "r1", "r2", "r3"]
    run(source, target)
    assert [row["id"] for row in read(target)] == [f"r{i}" for i in range(6)]


def test_lines_that_cannot_be_used_are_named_with_number_and_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    lines = [
        b'{"id": "a", "instruction": "Explain rain to a child."}',
        b"not json",
        b'{"id": "b", "text": "x"}',
        b'{"id": "c", "instruction": "caf\xe9"}',
        b"[1]",
        b'{"id": "d", "instruction": "  "}',
        b'{"id": "a", "instruction": "Explain snow to a child."}',
        b"",
        b'{"id": "e", "instruction": 5}',
        b'{"id": [1], "instruction": "Explain fog to a child."}',
        b'{"instruction": "Explain hail to a child."}',
    ]
    source.write_bytes(b"\n".join(lines))
    bad = run(source, tmp_path / "out.jsonl")
    assert [row.line for row in bad] == [2, 3, 4, 5, 6, 7, 9, 10]
    reasons = [str(row) for row in bad]
    for reason, words in zip(
        reasons,
        ["not JSON", "'instruction'", "UTF-8", "object", "empty", "line 1", "must be text", "id"],
        strict=True,
    ):
        assert words in reason
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["a", 11]


def test_a_prompt_that_is_too_long_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", 3)
    with source.open("a") as file:
        file.write(json.dumps({"id": "long", "instruction": "word " * 3000}) + "\n")
    optimizer = PromptOptimizer(ScriptedGenerator(improve, context_tokens=800))
    bad = run(source, tmp_path / "out.jsonl", optimizer=optimizer, batch_size=10)
    assert [row.line for row in bad] == [4]
    assert "800" in bad[0].reason
    assert len(read(tmp_path / "out.jsonl")) == 3


def test_output_of_another_model_or_of_somebody_else_is_refused(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    run(source, target)
    with pytest.raises(InputError, match='other settings: model was "scripted" and is now "another"'):
        run(source, target, optimizer=make_optimizer("another"))
    target.write_text('{"my": "data"}\n')
    with pytest.raises(InputError, match="not a row written by FIPO"):
        run(source, target)
    assert target.read_text() == '{"my": "data"}\n'


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    run(source, target)
    before = target.read_bytes()
    write_rows(source, 3)
    generator = ScriptedGenerator(improve, name="scripted")
    for changed, told in (
        ({"judge": LLMJudge(generator)}, 'judge was not set and is now "LLMJudge on scripted"'),
        ({"judge": LLMJudge(generator), "candidates": 2, "seed": 3}, "candidates was 1 and is now 2; seed was not set"),
        ({"settings": FidelitySettings().without("too_long")}, r"fidelity was \["),
        ({"settings": FidelitySettings(strict_wording=True)}, "strict_wording was not set and is now true"),
        ({"settings": FidelitySettings(may_repeat=True)}, "may_repeat was not set and is now true"),
    ):
        with pytest.raises(InputError, match=rf"out\.jsonl holds .* with other settings: .*{told}"):
            run(source, target, optimizer=PromptOptimizer(generator, **changed))
        assert target.read_bytes() == before
    bold = PromptOptimizer.from_rewriter(replace(PromptOptimizer(generator).rewriter, least_likelihood=-1.0))
    with pytest.raises(InputError, match=r"least_likelihood was not set and is now -1\.0"):
        run(source, target, optimizer=bold)
    run(source, target, optimizer=PromptOptimizer(generator, seed=3))  # which changes nothing that is greedy
    assert len(read(target)) == 3


def test_an_output_of_before_settings_were_noted_is_judged_by_its_rows(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    run(source, target)
    shutil.rmtree(tmp_path / "out.jsonl.work")
    with pytest.raises(InputError, match='model was "scripted" and is now "another"'):
        run(source, target, optimizer=make_optimizer("another"))
    assert not (tmp_path / "out.jsonl.work").exists()  # nothing false was noted
    run(write_rows(source, 3), target)
    assert len(read(target)) == 3
    assert json.loads((tmp_path / "out.jsonl.work" / "settings.json").read_text())["candidates"] == 1


def test_ctrl_c_keeps_what_was_finished_and_a_start_that_failed_leaves_nothing(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 4), tmp_path / "out.jsonl"

    def stopped(at: str) -> None:
        def reply(conversation: list[Message]) -> str:
            if at in conversation[-1]["content"]:
                raise KeyboardInterrupt
            return improve(conversation)

        with pytest.raises(KeyboardInterrupt):
            run(source, target, batch_size=1, optimizer=PromptOptimizer(ScriptedGenerator(reply)))

    stopped("number 0")
    assert [file.name for file in tmp_path.iterdir()] == ["in.jsonl"]
    stopped("number 2")
    assert [row["id"] for row in read(target)] == ["r0", "r1"]
    assert [file.name for file in (tmp_path / "out.jsonl.work").iterdir()] == ["settings.json"]
    run(source, target)
    assert [row["id"] for row in read(target)] == ["r0", "r1", "r2", "r3"]


@pytest.mark.parametrize(
    "foreign",
    [
        '{"my": "precious", "config": [1, 2, 3]}',
        '{"instruction": "The only copy of my prompt."}',
        '{"id": "a", "instruction": "The only copy of my prompt."}',
        '{"id": [1], "naive_instruction": "x", "model": "scripted", "template": "fipo-1"}\n',
        "my notes",
    ],
)
def test_somebody_elses_file_is_not_wiped_if_it_is_one_line_without_an_end(tmp_path: Path, foreign: str) -> None:
    # It was once taken for a line that an earlier run did not finish, and cut off.
    source, target = write_rows(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    target.write_text(foreign)
    with pytest.raises(InputError, match="not this job's output"):
        run(source, target)
    assert target.read_text() == foreign


@pytest.mark.parametrize("kept", [1, 7, 8, 20])
def test_a_job_killed_in_its_first_row_goes_on(tmp_path: Path, kept: int) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 1), tmp_path / "out.jsonl"
    run(source, target)
    target.write_bytes(target.read_bytes()[:kept])
    run(source, target)
    assert [row["id"] for row in read(target)] == ["r0"]


def test_a_row_that_lacks_only_its_end_of_line_is_not_made_again(tmp_path: Path) -> None:
    source, target = write_rows(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    run(source, target)
    whole, again = target.read_bytes(), make_optimizer()
    target.write_bytes(whole[:-1])
    run(source, target, optimizer=again)
    assert target.read_bytes() == whole
    assert isinstance(again.rewriter.generator, ScriptedGenerator)
    assert sum(again.rewriter.generator.batch_sizes) == 0


def test_an_output_of_other_prompts_under_the_same_ids_is_refused(tmp_path: Path) -> None:
    # An edited input: its rows were once taken for done, and their old results left to stand for them.
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"instruction": "Explain rain."}\n{"instruction": "Explain snow."}\n')
    run(source, target)
    before = target.read_bytes()
    new = '{"id": "new", "instruction": "Explain wind."}\n'
    for first in ('{"instruction": "Explain rain."}\n', new):  # nor is a new row before it written
        source.write_text(f'{first}{{"instruction": "Explain hail."}}\n')
        with pytest.raises(InputError, match=r"another input.*the id 2 .* line 2"):
            run(source, target, batch_size=1)
        assert target.read_bytes() == before


def test_a_pipe_is_read_and_never_written_to(tmp_path: Path) -> None:
    source, pipe = write_rows(tmp_path / "in.jsonl", 2), tmp_path / "pipe"
    os.mkfifo(pipe)
    assert count_lines(pipe) is None  # counting would have used it up
    for refuse in (lambda: check_writable(pipe), lambda: run(source, pipe)):
        with pytest.raises(InputError, match=r"cannot write to .*pipe: not a file"):
            refuse()
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(source.read_bytes())
    run(Path(f"/dev/fd/{reading}"), tmp_path / "out.jsonl")
    os.close(reading)
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["r0", "r1"]


def test_what_is_no_id_and_what_is_no_text_is_told_from_what_is_not_there(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    rows = [
        {"id": None, "instruction": "Explain rain.", "context": "", "golden_response": None},
        {"id": True, "instruction": "Explain snow."},
        {"id": "a", "instruction": "Explain hail.", "context": 0},
        {"id": "b", "instruction": "Explain fog.", "silver_response": []},
        {"id": "c", "instruction": "Explain dew.", "examples": [{"output": "wet"}]},
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [str(row) for row in run(source, tmp_path / "out.jsonl")] == [
        "line 2: the id must be text or a whole number",
        "line 3: context must be text, not int",
        "line 4: silver_response must be text, not list",
        "line 5: example 1: there is no `input`; its fields are 'output'",
    ]
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [1]


def ids_written(*lines: str) -> list[int | str]:
    """The ids under which rows are written where those that cannot be used are written, too."""
    rows = parse_rows(parse_objects(line.encode() for line in lines))
    return [row.id if isinstance(row, Row) else failed_id(row) for row in rows]


def test_no_two_rows_have_one_id_whether_they_can_be_used_or_not(tmp_path: Path) -> None:
    # With Ray, one id was written twice, and a job killed in between refused to go on.
    lines = [
        '{"id": "x", "instruction": ""}',
        '{"id": "x", "instruction": "Summarize the text."}',
        '{"id": "y", "instruction": "Explain rain."}',
        '{"id": "y", "instruction": ""}',
        '{"id": "z", "instruction": ""}',
        '{"id": "z", "instruction": ""}',
    ]
    assert ids_written(*lines) == ["x", "line 2", "y", "line 4", "z", "line 6"]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(lines))
    bad = run(source, tmp_path / "out.jsonl")
    assert str(bad[1]) == "line 2: the id 'x' was already used on line 1"
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["y"]


def test_a_row_that_calls_itself_a_line_is_not_taken_for_a_row_that_cannot_be_used() -> None:
    before = ids_written('{"id": "line 2", "instruction": "Explain rain."}', "not JSON", '{"id": "y"}')
    after = ids_written("not JSON", '{"id": "line 1", "instruction": "Explain rain."}', '{"instruction": ""}')
    for ids in (before, after):
        assert len(set(ids)) == 3
    assert (before[0], after[0]) == ("line 2", "line 1")


def test_a_row_may_have_examples() -> None:
    rows = [{"input": "bill 7", "output": "7 euros"}, {"input": "bill 8"}]
    request = parse_row(1, {"instruction": "amount", "examples": rows}).request
    assert request.examples == (ShownExample("bill 7", "7 euros"), ShownExample("bill 8"))


def test_an_id_that_cannot_be_written_costs_only_its_row(tmp_path: Path) -> None:
    # It once ended the job when the row was written, and again each time the job was started anew.
    source = tmp_path / "in.jsonl"
    source.write_text(
        '{"id": "a\\ud83d", "instruction": "Explain rain."}\n{"id": "b", "instruction": "Explain fog."}\n'
    )
    (bad,) = run(source, tmp_path / "out.jsonl")
    assert str(bad).startswith("line 1: id is not valid UTF-8 text")
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["b"]


def test_a_byte_order_mark_is_not_part_of_the_first_row(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": "a", "instruction": "Explain rain."}\n', encoding="utf-8-sig")
    assert run(source, tmp_path / "out.jsonl") == []
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["a"]


def test_input_and_output_may_not_be_the_same_file(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", 2)
    before = source.read_bytes()
    with pytest.raises(InputError, match="same file"):
        run(source, source)
    assert source.read_bytes() == before


def test_an_unwritable_output_and_a_missing_input_are_clear(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", 1)
    with pytest.raises(InputError, match=r"cannot write to .*nowhere"):
        run(source, tmp_path / "nowhere" / "out.jsonl")
    with pytest.raises(InputError, match=r"cannot read .*absent\.jsonl"):
        count_lines(tmp_path / "absent.jsonl")


def test_reading_streams(tmp_path: Path) -> None:
    rows = read_rows(write_rows(tmp_path / "in.jsonl", 3))
    first = next(rows)
    assert isinstance(first, Row)
    assert (first.line, first.id) == (1, "r0")


def test_the_halves_of_a_rewrite_travel_without_the_model_and_make_the_same_rows(tmp_path: Path) -> None:
    optimizer = make_optimizer()
    source, target = write_rows(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    run(source, target, optimizer=optimizer)
    halves = pickle.loads(pickle.dumps(Halves.of(optimizer.rewriter)))
    made = []
    for row in read_rows(source):
        assert isinstance(row, Row)
        (completions,) = optimizer.rewriter.generator.generate([halves.render(row)], halves.sampling(row))
        made.append(halves.check(row, completions))
    assert made == [{**row, "seconds": 0.0} for row in read(target)]
    with pytest.raises(InputError, match="scripted is not here"):
        halves.rewriter.propose([OptimizationRequest("Explain rain.")])


@pytest.mark.parametrize(("fields", "hint"), [({"input": "a", "output": "b"}, True), ({"text": "a"}, False)])
def test_rows_that_are_the_examples_of_a_prompt_are_told_where_they_belong(fields, hint):
    with pytest.raises(InputError, match="no field 'instruction'") as error:
        parse_row(1, fields)
    assert ("--examples" in str(error.value)) == hint
