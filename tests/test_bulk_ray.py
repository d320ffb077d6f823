"""Bulk work on a Ray cluster: formats, rows that fail, and processes that are killed in the middle."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest

from fipo_model.bulk.files import Tally
from fipo_model.errors import ModelError, ServerError
from fipo_model.jsonl import BadRow
from support.files import read, write
from support.ray_work import PIDS, make_none, make_optimizer, make_unreachable

ROOT = Path(__file__).parents[1]
COUNT = 48
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers' room on this machine: the folder of their process ids, and the cluster's address."""
    pids = tmp_path_factory.mktemp("pids")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "tests"))))
        patch.setenv(PIDS, str(pids))
        import ray

        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=0,
            object_store_memory=100 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield pids, ray.get_runtime_context().gcs_address
        ray.shutdown()
        with warnings.catch_warnings():  # Ray leaves its processes' handles to the garbage collector
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def rows(count=COUNT):
    return [{"id": number, "instruction": f"Explain topic number {number} to a child."} for number in range(count)]


def run(source, target, report=lambda tally, bad: None, optimizer=make_optimizer):
    from fipo_model.bulk.ray import Pool, optimize_files

    return optimize_files(optimizer, str(source), str(target), pool=Pool(workers=2, batch_size=4), report=report)


def test_a_worker_that_is_killed_costs_nothing_and_rows_that_fail_are_rows(cluster, tmp_path) -> None:
    pids, _ = cluster
    lines = [*rows(), b"not json", {"id": 3, "instruction": "Again."}, {"id": 99, "instruction": "word " * 4000}]
    source, target = write(tmp_path / "in.jsonl", *lines), tmp_path / "out.parquet"
    before, killed, told = set(os.listdir(pids)), [], []

    def report(tally: Tally, bad: BadRow | None) -> None:
        told.append(bad)
        at_work = set(os.listdir(pids)) - before
        if tally.written >= 8 and at_work and not killed:
            killed.append(min(at_work))
            os.kill(int(killed[0]), signal.SIGKILL)

    tally = run(source, target, report)
    assert killed
    assert (tally.written, tally.rewritten, tally.bad) == (COUNT, COUNT, 3)
    from pyarrow.parquet import read_table

    found = read_table(target).to_pylist()
    assert Counter(row["id"] for row in found) == Counter([*map(str, range(COUNT)), "line 49", "line 50", "99"])
    by_id = {row["id"]: row for row in found}
    assert by_id["7"]["instruction"] == "Explain topic number 7 to a child. Give one example for each point."
    assert [by_id[name]["outcome"] for name in ("7", "line 49", "99")] == ["optimized", "failed", "failed"]
    assert "not JSON" in by_id["line 49"]["detail"]
    assert "3000" in by_id["99"]["detail"]
    assert len([bad for bad in told if bad is not None]) == 3
    again = run(source, target)
    assert (again.already_done, again.written, again.bad) == (COUNT + 3, 0, 0)
    assert len(read_table(target)) == COUNT + 3


def test_a_writing_process_that_is_killed_is_resumed_and_every_id_is_there_once(cluster, tmp_path) -> None:
    _, address = cluster
    source, target = write(tmp_path / "in.jsonl", *rows()), tmp_path / "out.jsonl"
    program = [sys.executable, "-m", "support.ray_work", str(source), str(target)]
    with (tmp_path / "log").open("w") as log:
        driver = subprocess.Popen(program, env=os.environ | {"RAY_ADDRESS": address}, stdout=log, stderr=log)
        while driver.poll() is None and (not target.exists() or target.read_bytes().count(b"\n") < 8):
            time.sleep(0.01)
        driver.kill()
        assert driver.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    with target.open("ab") as file:
        file.write(b'{"id": 4')  # what it was about to write
    first = target.read_bytes().count(b"\n")
    assert 8 <= first < COUNT
    tally = run(source, target)
    assert (tally.already_done, tally.written) == (first, COUNT - first)
    assert Counter(row["id"] for row in read(target)) == Counter(range(COUNT))
    assert json.loads((tmp_path / "out.jsonl.work" / "settings.json").read_text())["model"] == "scripted"


def test_a_workers_error_is_the_jobs_in_one_line(cluster, tmp_path) -> None:
    source, target = write(tmp_path / "in.jsonl", *rows(12)), tmp_path / "out.jsonl"
    with pytest.raises(ModelError, match=r"^there is no model 'mine'$"):
        run(source, target, optimizer=make_none)
    assert not target.exists()
    with pytest.raises(ServerError, match=r"^the server cannot be reached$"):
        run(source, target, optimizer=make_unreachable)
    assert 7 not in [row["id"] for row in (read(target) if target.exists() else [])]


def test_a_dataset_keeps_its_ids_whatever_they_are(cluster) -> None:
    import ray.data

    from fipo_model.bulk.ray import Pool, optimize

    given = [{"id": f"row {number}", "instruction": "Name a colour.", "context": "x"} for number in range(3)]
    dataset = ray.data.from_items([*given, {"id": "none", "instruction": "", "context": ""}])
    found = optimize(dataset, make_optimizer, pool=Pool(workers=1)).take_all()
    assert {row["id"]: row["outcome"] for row in found} == {
        "row 0": "optimized",
        "row 1": "optimized",
        "row 2": "optimized",
        "none": "failed",
    }
