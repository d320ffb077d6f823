"""What two workers of a Ray cluster are worth against one process: `python benchmarks/ray_workers.py MODEL [ROWS]`.

The same rows are rewritten by `optimize_file` in this process, with one thread, and then by `optimize_files` with two
workers of one thread each. The clock runs from the first batch written to the last, so neither loading the model nor
starting the cluster counts. Two cores must be idle.
"""

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from fipo_model import PromptOptimizer
from fipo_model.bulk import Tally, optimize_file
from fipo_model.bulk.ray import Pool, optimize_files
from fipo_model.jsonl import BadRow, encode_object

TARGET = 1.7
BATCH = 16


class Clock:
    """Rows a second between the first report of written rows and the last."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def __call__(self, tally: Tally, bad: BadRow | None) -> None:
        if tally.written:
            self.seen.append((time.perf_counter(), tally.written))

    @property
    def rows_a_second(self) -> float:
        (start, before), (end, after) = self.seen[0], self.seen[-1]
        return (after - before) / (end - start)


def main(model: str, count: int) -> None:
    """Measure both, one after the other."""
    make = partial(PromptOptimizer.from_pretrained, model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = ({"id": n, "instruction": f"Explain topic {n} to a child, briefly."} for n in range(count))
        (folder / "in.jsonl").write_bytes(b"".join(map(encode_object, rows)))
        alone, together = Clock(), Clock()
        optimize_file(make, folder / "in.jsonl", folder / "one.jsonl", batch_size=BATCH, report=alone)
        pool = Pool(workers=2, batch_size=BATCH)
        optimize_files(make, str(folder / "in.jsonl"), str(folder / "two.jsonl"), pool=pool, report=together)
    ratio = together.rows_a_second / alone.rows_a_second
    print(f"one process {alone.rows_a_second:.2f} rows/s, two workers {together.rows_a_second:.2f}: {ratio:.2f} times")
    print(f"target {TARGET}: {'met' if ratio >= TARGET else 'missed'}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
