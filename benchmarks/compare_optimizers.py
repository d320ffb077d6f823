"""The table of optimizers in README.md: six tasks, five seeds, two task models, all of DSPy's optimizers.

`OMP_NUM_THREADS=1 python benchmarks/compare_optimizers.py ../shared/data runs/optimizers` goes through four stages, the
cheap ones first, and may be stopped at any time: the same command resumes. OUTPUT/MODEL/report.html has a table of the
results so far. `--stages 1` stops after the first stage; `--quick` is a trial of everything with far too few rows.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
CHEAP, DEAR = "student,fipo-metric,bootstrap,mipro", "gepa,copro"
STAGES = [(model, contenders) for contenders in (CHEAP, DEAR) for model in MODELS]
# They have labels to compare answers with, and a model of 135M is sometimes right on them.
FROM_TASKS = ("logical_fallacy_detection", "winowhy", "banking77_eight")
SIZES = {"--seeds": 5, "--train": 16, "--limit-val": 16, "--limit-test": 60, "--proposal-tokens": 64}
QUICK = {"--seeds": 1, "--train": 6, "--limit-val": 6, "--limit-test": 12, "--proposal-tokens": 32, "--effort": "least"}


def main() -> None:
    """Write the data sets and run what is left of each stage. The exit code is that of the first stage that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path, help="where classification/, tasks.jsonl and more_tasks.jsonl are")
    parser.add_argument("output", type=Path)
    parser.add_argument("--stages", type=int, default=len(STAGES))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    write_sets(options.shared, options.output / "sets")
    for model, contenders in STAGES[: options.stages]:
        command = [*compare(options.output, model, contenders, quick=options.quick)]
        if code := subprocess.run(command, env={"OMP_NUM_THREADS": "1", **os.environ}, check=False).returncode:
            sys.exit(code)


def compare(output: Path, model: str, contenders: str, *, quick: bool) -> Iterator[str]:
    """The command of a stage."""
    folder = output / (f"{model}-quick" if quick else model)
    yield from (sys.executable, "-m", "fipo_model.cli", "compare", "optimizers", "--data", str(output / "sets"))
    yield from ("--output", str(folder), "--model", model, "--optimizers", contenders)
    for option, value in (QUICK if quick else SIZES).items():
        yield from (option, str(value))


def write_sets(shared: Path, folder: Path) -> None:
    """The data sets as `fipo compare optimizers` wants them. Half of each task's examples are for testing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("sst2", "agnews"):
        shutil.copyfile(shared / "classification" / f"{name}.jsonl", folder / f"{name}.jsonl")
    for name in ("tasks", "more_tasks"):
        for line in (shared / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            task = json.loads(line)
            if task["task"] in FROM_TASKS:
                rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_of(task["examples"]))
                (folder / f"{task['task']}.jsonl").write_text(rows, encoding="utf-8")


def rows_of(examples: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """A row for each example, by turns to train on and to test with."""
    for number, example in enumerate(examples):
        outputs = example["outputs"]
        assert isinstance(outputs, list)
        split = "test" if number % 2 else "train"
        yield {"text": example["input"], "label": outputs[0], "labels": example["choices"], "split": split}


if __name__ == "__main__":
    main()
