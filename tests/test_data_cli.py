"""`fipo data`: what goes to stdout and stderr, the exit codes, and files that are whole or not there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fipo_model.data import Diversification, Record, TrainingRow, diversify, parse_training_row, read_records
from fipo_model.jobs import append, claimed_file
from fipo_model.jsonl import encode_object
from fipo_model.templates import load_template
from support.files import SHARED_DATA, write

ROW = {
    "instruction": "Tell me about rain.",
    "silver_response": "Rain is wet.",
    "golden_response": "Rain is water that falls from clouds.",
    "chosen": "Explain how rain forms, in three steps.",
    "rejected": "Say more about rain.",
    "source": "made up",
}


def rows_in(path: Path) -> list[TrainingRow]:
    return [parse_training_row(json.loads(line)) for line in path.read_bytes().splitlines()]


def expected_rows(source: Path, settings: Diversification | None = None) -> list[TrainingRow]:
    return list(diversify((item for item in read_records(source) if isinstance(item, Record)), settings))


def fipo_data(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fipo_model.cli", "data", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, encoding="utf-8")
    assert "Traceback" not in done.stderr
    return done


def in_process(*arguments: str | Path) -> int:
    """The command without a process of its own: the exit code. Output is for `capsys`."""
    from fipo_model import cli

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fipo", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


def test_diversify_writes_the_rows_and_nothing_to_stdout(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in", *(ROW | {"id": number} for number in range(20))), tmp_path / "out"
    done = fipo_data("diversify", source, target)
    assert (done.returncode, done.stdout) == (0, "")
    assert rows_in(target) == expected_rows(source)
    assert "20 rows (20 rewriting) from 20 records written to" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_diversify_does_as_its_options_say(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in", *(ROW | {"id": number} for number in range(20))), tmp_path / "out"
    assert in_process("diversify", source, target, "--parts", "none", "--iterative", "--seed", "3") == 0
    assert rows_in(target) == expected_rows(source, Diversification(parts="none", iterative=True, seed=3))
    assert in_process("diversify", source, target, "--seed", "3") == 0
    assert rows_in(target) == expected_rows(source, Diversification(seed=3))
    assert rows_in(target) != expected_rows(source)


def test_diversify_asks_with_another_template(tmp_path: Path) -> None:
    texts = {
        "optimizer": "Improve S_P O_C in G_N words",
        "s_r": "(S_R)",
        "g_r": "(G_R)",
        "discriminator": "R_P: P_A or P_B? G_R",
    }
    (tmp_path / "prompts.json").write_text(json.dumps(texts))
    source, target = write(tmp_path / "in", ROW), tmp_path / "out"
    assert in_process("diversify", source, target, "--parts", "all", "--template", tmp_path / "prompts.json") == 0
    [row] = rows_in(target)
    assert [message["content"] for message in row.prompt] == [
        "Improve Tell me about rain. (Rain is wet.)(Rain is water that falls from clouds.) in 60 words"
    ]
    records = [record for record in read_records(source) if isinstance(record, Record)]
    template = load_template(tmp_path / "prompts.json")
    assert [row] == list(diversify(records, Diversification(parts="all"), template=template))


def test_lines_that_cannot_be_used_are_named_the_rest_is_written_and_the_exit_code_is_1(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ROW, b"broken", ROW | {"rejected": ROW["chosen"]}, {"text": "x"}, ROW)
    done = fipo_data("diversify", source, tmp_path / "out")
    assert done.returncode == 1
    for words in ("line 2: not JSON", "line 3: chosen and rejected are equal", "line 4: needed fields are missing"):
        assert words in done.stderr
    assert "2 rows (2 rewriting) from 2 records written" in done.stderr
    assert "3 lines could not be used" in done.stderr
    assert len(rows_in(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"question": "Rain?"}], "needed fields are missing"),
        ([], "holds no usable record"),
        ([{"instruction": "Rain?", "golden_response": "Wet."}], "has a chosen rewrite"),
    ],
)
def test_what_gives_no_rows_is_an_error_and_leaves_the_output_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[dict[str, Any]], words: str
) -> None:
    (tmp_path / "out").write_text("earlier")
    assert in_process("diversify", write(tmp_path / "in", *lines), tmp_path / "out") == 1
    assert words in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_earlier_output_is_replaced_whole_and_through_a_link(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ROW)
    (tmp_path / "there").write_text("earlier\n" * 1000)
    (tmp_path / "out").symlink_to(tmp_path / "there")
    assert in_process("diversify", source, tmp_path / "out") == 0
    assert (tmp_path / "out").is_symlink()
    assert rows_in(tmp_path / "there") == expected_rows(source)


def test_the_output_may_not_be_the_input_nor_a_pipe_nor_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in", ROW)
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = source.read_bytes()
    for target, words in (
        (source, "same file"),
        (tmp_path / "link", "same file"),
        (tmp_path / "folder", "not a file"),
        (tmp_path / "pipe", "not a file"),
        (tmp_path / "nowhere" / "out", "cannot write to"),
    ):
        assert in_process("diversify", source, target) == 1
        assert words in capsys.readouterr().err
    assert source.read_bytes() == before
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    "foreign",
    [
        b'{"a": 1}\n',
        b'{"id": "1", "instruction": "Somebody else\'s."}\n',
        b'{"id": "1", "instruction": "The only copy of my prompt."}',
        b"my notes",
    ],
)
def test_rank_neither_adds_to_nor_cuts_what_it_did_not_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], foreign: bytes
) -> None:
    source, target = write(tmp_path / "in", ROW), tmp_path / "out"
    target.write_bytes(foreign)
    assert in_process("rank", source, target, "--candidates", "0", "--repeat") == 1
    assert "not this job's output: its line 1" in capsys.readouterr().err
    assert target.read_bytes() == foreign


def test_rank_refuses_other_settings_and_a_second_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write(tmp_path / "in", ROW), tmp_path / "out"
    with claimed_file(target, kind="a ranking"):
        assert in_process("rank", source, target) == 1
    assert f"is at work on {target}; wait until it is done" in capsys.readouterr().err
    before = {"model": None, "candidates": 8, "repeat": False, "reference": False, "test_models": ["a"], "margin": 0.01}
    with claimed_file(target, kind="a ranking") as job:
        job.begin(before | {"max_response_tokens": 128, "seed": 0})
        append(target, [{"id": "1", "ranked": []}])
    assert in_process("rank", source, target, "--margin", "0.5", "--test-model", "b") == 1
    told = 'other settings: test_models was ["a"] and is now ["b"]; margin was 0.01 and is now 0.5. Resume it'
    assert told in capsys.readouterr().err


def ranked(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What `rank --reference` writes for a row."""
    text = f"{row['instruction']}\n\n{row['chosen']}"
    return {**row, "chosen": text, "ranked": [{"text": text, "gain": 0.5}], "failed": [], **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"instruction": "Tell me about snow."},
        {"context": "For a child."},
        {"golden_response": "Drops."},
        {"silver_response": "Rain."},
        {"chosen": "Explain rain."},
    ],
)
def test_rank_refuses_an_output_that_was_made_from_other_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str]
) -> None:
    # An edited record was once taken for done, and its old pair left to stand for it.
    row, new = {**ROW, "id": "1"}, {**ROW, "id": "2", "golden_response": "New."}
    source, target = tmp_path / "in", write(tmp_path / "out", ranked(row))
    before = target.read_bytes()
    write(source, new, {**row, **changes})
    assert in_process("rank", source, target, "--candidates", "0", "--reference") == 1
    assert "was made from another input: its row with the id '1' is of another record" in capsys.readouterr().err
    assert target.read_bytes() == before


def test_rank_goes_by_the_records_of_each_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {**ROW, "id": "1"}
    again = {**row, "instruction": "Tell me about snow."}
    # Without --reference the record's own rewrites change nothing, nor does a row's order.
    source = write(tmp_path / "in", {**row, "chosen": "Explain."}, again)
    target = write(tmp_path / "out", ranked(row), ranked(again))  # as they were written before
    before = target.read_bytes()
    assert in_process("rank", source, target, "--candidates", "0", "--repeat") == 1
    told = capsys.readouterr().err
    assert "fipo: 1: an earlier record has this id, too" in told
    assert "0 records ranked, 1 was there before, 1 could not be used" in told
    assert target.read_bytes() == before


def test_rank_does_not_write_to_its_input_or_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    source.write_bytes(before := encode_object(ROW) + encode_object(ROW)[:-1])
    os.mkfifo(tmp_path / "pipe")
    for target, words in ((source, "same file"), (tmp_path / "pipe", "not a file")):
        assert in_process("rank", source, target, "--candidates", "0", "--repeat") == 1
        assert words in capsys.readouterr().err
    assert source.read_bytes() == before


def test_an_input_that_is_not_there_is_clear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert in_process("diversify", tmp_path / "absent.jsonl", tmp_path / "out") == 1
    assert "there is no file" in capsys.readouterr().err
    assert in_process("stats", tmp_path / "absent.jsonl") == 1
    assert "cannot read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in", ROW)
    assert in_process("diversify", source, tmp_path / "out", "--parts", "some") == 2
    assert "diversified" in capsys.readouterr().err
    assert in_process("stats", source, "--format", "alpaca") == 2
    assert "bpo" in capsys.readouterr().err


def test_stats_prints_tables(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ROW, ROW | {"source": "[bold]\x1b[31mred"}, b"broken")
    done = fipo_data("stats", source)
    assert done.returncode == 0
    for words in ("records", "made up", "[bold]?[31mred", "golden_response", "median", "not JSON"):
        assert words in done.stdout
    assert "\x1b[31mred" not in done.stdout
    assert "line 3: not JSON" in done.stderr


def test_stats_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in", ROW, b"broken")
    assert in_process("stats", source, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["training_rows"], found["bad_lines"]) == (1, 0, 1)
    assert found["sources"] == {"made up": 1}
    assert found["parts"]["instruction"] == {"count": 1, "mean": 4, "median": 4, "p90": 4, "p99": 4, "max": 4}
    assert found["first_bad"][0]["line"] == 2


def test_a_named_format_is_kept_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"prompt": "Rain?", "optimized_prompt": "Explain rain."}
    source = write(tmp_path / "in", row, ROW)
    assert in_process("diversify", source, tmp_path / "out", "--format", "bpo") == 1
    assert "line 2: needed fields are missing (bpo needs" in capsys.readouterr().err
    assert [row.chosen for row in rows_in(tmp_path / "out")] == ["Explain rain."]
    assert in_process("stats", source, "--format", "bpo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["bad_lines"] == 1


@pytest.mark.shared
@pytest.mark.parametrize("name", ["train", "bpo"])
def test_the_shared_pairs_become_training_rows(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = SHARED_DATA / "prompt_pairs" / f"{name}.jsonl", tmp_path / "out"
    assert in_process("diversify", source, target, "--iterative") == 0
    assert rows_in(target) == expected_rows(source, Diversification(iterative=True))
    assert in_process("stats", target, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kinds"] == ({"rewriting": 2299} if name == "train" else {"rewriting": 300, "answering": 300})
    assert found["bad_lines"] == 0
