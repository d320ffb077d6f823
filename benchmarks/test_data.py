"""Speed and memory of the work on preference data, on rows made up here with the lengths of the paper's data set.

Every figure is measured in a process of its own: its wall time, the start included, and its peak memory (`VmHWM`, so on
Linux only). `ru_maxrss` will not do: a process inherits it from the one that started it, which has run other tests.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORDS = 30_000
_WORDS = "the of a river prompt write explain list in about people year model answer question detail steps with".split()
_MIB = 2**20

_PEAK = """
import sys
from pathlib import Path
from fipo_model.cli import main
try:
    main()
finally:
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def pop_rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows in the format of POP; 2.4 kB each, as in the paper's (69.1 MB for 30,000)."""
    source = random.Random(0)

    def text(least: int, most: int) -> str:
        return " ".join(source.choices(_WORDS, k=source.randint(least, most)))

    for number in range(count):
        yield {
            "id": number,
            "raw_prompt": text(5, 60),
            "text003_response_based_raw": text(10, 120),
            "gpt4_response_based_raw": text(30, 250),
            "gpt4_optimized_prompt": text(30, 150),
            "chatgpt_optimized_prompt": text(20, 120),
        }


def short_rows(count: int) -> Iterator[dict[str, Any]]:
    """Records whose ids and sources are all different, which is what could pile up."""
    for number in range(count):
        yield {
            "id": f"row-{number}",
            "source": f"source {number}",
            "instruction": "word " * (number % 2_000 // 100 + 1),
        }


def write(path: Path, rows: Iterator[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def measured(*arguments: str | Path) -> tuple[float, float, str]:
    """Seconds and peak MiB of one command `fipo data ...`, and what it printed."""
    command = [sys.executable, "-c", _PEAK, "data", *map(str, arguments)]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"COLUMNS": "100"})
    return time.perf_counter() - started, int(done.stderr.split()[-1]) / 1024, done.stdout


def test_diversifying_30_000_records(benchmark: Any, tmp_path: Path) -> None:
    source, target = write(tmp_path / "pop.jsonl", pop_rows(RECORDS)), tmp_path / "rows.jsonl"
    figures: list[tuple[float, float, str]] = []
    benchmark.pedantic(lambda: figures.append(measured("diversify", source, target)), rounds=3)
    seconds, peak = benchmark.stats.stats.median, max(figure[1] for figure in figures)
    benchmark.extra_info.update(peak_mib=peak, input_mib=source.stat().st_size / _MIB)
    print(f"\n{RECORDS} records diversified in {seconds:.1f} s, peak memory {peak:.0f} MiB")
    with target.open(encoding="utf-8") as file:
        assert sum(1 for _ in file) == RECORDS
    assert seconds < 10
    assert peak < 300


def test_statistics_of_a_million_lines_take_no_more_memory_than_of_ten_thousand(benchmark: Any, tmp_path: Path) -> None:
    peaks = {}
    for lines in (10_000, 1_000_000):
        source = write(tmp_path / "records.jsonl", short_rows(lines))
        seconds, peaks[lines], printed = measured("stats", source, "--json")
        assert json.loads(printed)["records"] == lines
        print(f"\nstatistics of {lines} lines: {seconds:.1f} s, peak memory {peaks[lines]:.0f} MiB")
    benchmark.extra_info.update({f"peak_mib_{lines}": peak for lines, peak in peaks.items()})
    benchmark.pedantic(lambda: None)
    assert peaks[1_000_000] - peaks[10_000] <= 20
