"""Where rows come from and go to, without a cluster: folders, Parquet, object storage, and what refuses."""

import os
import sys
from pathlib import Path

import pytest

from fipo_model.cli import app
from fipo_model.errors import InputError, MissingExtraError
from fipo_model.jsonl import BadRow
from support.files import write
from support.object_storage import at, storing

SETTINGS = {"model": "scripted", "template": "fipo-1", "candidates": 1}


@pytest.fixture
def storage():
    from fipo_model.bulk import storage

    return storage


def row(number, **changes):
    texts = ("instruction", "naive_instruction", "outcome", "detail", "model", "template")
    return {"id": number, "seconds": 0.5} | {name: f"{name} {number}" for name in texts} | changes


def read(storage, location):
    return list(storage.read_items(storage.Place.of(location)))


def save(storage, location, rows, *, settings=SETTINGS, proposals=False):
    """What was done before, after adding these rows as a run does."""
    with storage.claimed_parts(location) as parts:
        done = parts.begin(settings, has_proposals=proposals)
        parts.expect_ids(each["id"] for each in rows)
        for each in rows:
            parts.add([each])
        return done


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_folder_of_parts_knows_what_it_holds(tmp_path: Path, storage, ending: str) -> None:
    target = str(tmp_path / f"out.{ending}")
    assert save(storage, target, [row(1), row(2)]) == {}
    assert save(storage, target, [row(3)]).keys() == {"1", "2"}
    done = save(storage, target, [])
    assert done == {str(number): hash(f"naive_instruction {number}") for number in (1, 2, 3)}
    parts = [name for name in os.listdir(target) if name.startswith("part-")]
    assert (len(parts), {name.rpartition(".")[2] for name in parts}) == (2, {ending})
    assert sorted(fields["id"] for _, fields in read(storage, target)) == [1, 2, 3]
    with pytest.raises(InputError, match=r'with other settings: model was "scripted" and is now "mine"'):
        save(storage, target, [row(4)], settings={**SETTINGS, "model": "mine"})


def test_parquet_has_one_type_of_id_and_what_the_model_proposed(tmp_path: Path, storage) -> None:
    target = str(tmp_path / "out.parquet")
    proposals = [{"text": "x", "outcome": "too_long", "detail": "9 words", "unchecked": ()}]
    save(storage, target, [row(1, proposals=proposals), row("line 7", proposals=[])], proposals=True)
    ((_, first), (_, second)) = read(storage, target)
    assert (first["id"], second["id"]) == ("1", "line 7")
    assert first["proposals"] == [{"text": "x", "outcome": "too_long", "detail": "9 words"}]


def test_ids_keep_their_type_when_a_table_is_resumed(tmp_path: Path, storage) -> None:
    mixed, numbers = str(tmp_path / "mixed.parquet"), str(tmp_path / "numbers.parquet")
    save(storage, mixed, [row(1), row("a")])
    save(storage, mixed, [row(2)])  # what was left is a number only
    assert sorted(fields["id"] for _, fields in read(storage, mixed)) == ["1", "2", "a"]
    save(storage, numbers, [row(1)])
    with pytest.raises(InputError, match=r"ids in .*numbers\.parquet are numbers, but 'a' is not"):
        save(storage, numbers, [row(2), row("a")])
    assert save(storage, numbers, [row(2)]).keys() == {"1"}
    assert sorted(fields["id"] for _, fields in read(storage, numbers)) == [1, 2]


def test_ids_that_are_too_large_for_a_column_of_numbers_are_texts(tmp_path: Path, storage) -> None:
    # Such as unsigned hashes of 64 bits. They once failed when the first part was written, after the model's work.
    large, numbers = str(tmp_path / "large.parquet"), str(tmp_path / "numbers.parquet")
    save(storage, large, [row(1), row(2**63), row(-(2**63) - 1)])
    assert save(storage, large, [row(2)]).keys() == {"1", str(2**63), str(-(2**63) - 1)}
    assert sorted(fields["id"] for _, fields in read(storage, large)) == sorted(map(str, (1, 2, 2**63, -(2**63) - 1)))
    edges = [2**63 - 1, -(2**63)]
    save(storage, numbers, [row(edge) for edge in edges])
    assert [fields["id"] for _, fields in read(storage, numbers)] == edges
    with pytest.raises(
        InputError,
        match=rf"ids in .*numbers\.parquet are signed numbers of 64 bits, but {2**63} does not fit\..*\.jsonl",
    ):
        save(storage, numbers, [row(2**63)])
    assert len(read(storage, numbers)) == 2
    lines = str(tmp_path / "lines.jsonl")
    save(storage, lines, [row(1)])
    save(storage, lines, [row(2**63)])
    assert sorted(fields["id"] for _, fields in read(storage, lines)) == [1, 2**63]


def test_what_was_finished_is_written_whatever_ends_the_run(tmp_path: Path, storage) -> None:
    target = str(tmp_path / "out.jsonl")

    def stopped() -> None:
        with storage.claimed_parts(target) as parts:
            parts.begin(SETTINGS, has_proposals=False)
            parts.add([row(1)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert save(storage, target, []).keys() == {"1"}


def test_a_folder_is_one_processs_and_not_somebody_elses(tmp_path: Path, storage) -> None:
    target = str(tmp_path / "out.jsonl")
    with storage.claimed_parts(target), pytest.raises(InputError, match="at work on"):
        save(storage, target, [])
    (tmp_path / "mine.jsonl").mkdir()
    write(tmp_path / "mine.jsonl" / "data.jsonl", row(1))
    with pytest.raises(InputError, match="is not empty and does not hold rewritten prompts"):
        save(storage, str(tmp_path / "mine.jsonl"), [])
    assert os.listdir(tmp_path / "mine.jsonl") == ["data.jsonl"]
    with pytest.raises(InputError, match=r"end it with \.parquet or \.jsonl"):
        save(storage, str(tmp_path / "out"), [])


def test_rows_of_several_files_need_ids_and_are_told_by_file_and_line(tmp_path: Path, storage) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "b.jsonl", {"id": 2, "instruction": "B"}, b"no", {"instruction": "C"})
    write(tmp_path / "in" / "a.jsonl", {"id": 1, "instruction": "A"})
    write(tmp_path / "in" / "_note.jsonl", {"id": 3})
    found = read(storage, str(tmp_path / "in"))
    assert [item[1]["id"] for item in found if not isinstance(item, BadRow)] == [1, 2]
    told = [item.reason for item in found if isinstance(item, BadRow)]
    assert told[0].startswith("b.jsonl, line 2: not JSON")
    assert told[1] == "b.jsonl, line 3: rows from several files need ids of their own"
    assert len({item.line if isinstance(item, BadRow) else item[0] for item in found}) == 4


def test_parquet_is_read_and_what_only_says_so_is_not(tmp_path: Path, storage) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    table = pa.table({"id": [7, 8], "instruction": ["A", "B"], "keep": [["x"], None]})
    write_table(table, tmp_path / "in.parquet")
    assert read(storage, str(tmp_path / "in.parquet"))[0] == (1, {"id": 7, "instruction": "A", "keep": ["x"]})
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(InputError, match=r"^cannot read .*no\.parquet: "):
        read(storage, str(tmp_path / "no.parquet"))
    with pytest.raises(InputError, match="it does not exist"):
        read(storage, str(tmp_path / "absent.jsonl"))


def test_object_storage_is_read_and_written_like_a_folder(storage) -> None:
    with storing() as (place, objects):
        target = at(place, "runs/out.parquet")
        assert save(storage, target, [row(1), row(2)]) == {}
        assert save(storage, target, [row(3)]).keys() == {"1", "2"}
        assert sorted(fields["id"] for _, fields in read(storage, target)) == [1, 2, 3]
        objects["in.jsonl"] = b'{"id": "a", "instruction": "A"}\n'
        assert read(storage, at(place, "in.jsonl")) == [(1, {"id": "a", "instruction": "A"})]


def test_a_bucket_that_refuses_is_one_line_without_its_keys(storage) -> None:
    with storing(refuses=True) as (place, _), pytest.raises(InputError) as told:
        save(storage, at(place, "out.parquet"), [])
    assert str(told.value).startswith("cannot write to s3://bucket/out.parquet: ")
    assert "ACCESS_DENIED" in str(told.value)
    assert "\n" not in str(told.value)
    assert "mysecret" not in str(told.value)
    with pytest.raises(InputError, match=r"cannot use nowhere://bucket/out\.parquet: "):
        save(storage, "nowhere://bucket/out.parquet", [])


def test_without_ray_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "fipo_model.bulk.ray", raising=False)
    with pytest.raises(MissingExtraError, match=r"'ray', which is not installed: pip install '\.\[ray\]'"):
        import fipo_model.bulk.ray  # noqa: F401


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--input", "in.parquet", "--output", "out.jsonl"], "URLs and Parquet need --engine ray"),
        (["--input", "in.jsonl", "--output", "s3://bucket/out.jsonl"], "URLs and Parquet need --engine ray"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--workers", "2"], "--workers needs --engine ray"),
        (
            ["--input", "-", "--output", "out.jsonl", "--engine", "ray"],
            "with --engine ray, --input and --output must be",
        ),
        (["A prompt.", "--engine", "ray"], "with --engine ray, --input and --output must be"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: list[str], words: str) -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["optimize", *options])
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())
