"""What `fipo tune` gains with eight right answers and no metric, on tasks that it was not trained on.

    python benchmarks/tune.py TASKS.jsonl OUT.jsonl [--choosing NAME ...] [--measuring NAME ...]

For the first hasty wording of each task: eight examples choose among the rewrites, and eight others, which decided
nothing, measure the gain under each of the measuring models, in nats per token, 1.6 at most for an input. OUT.jsonl
gets a row for each task; the next start reads it and goes on from there. Prints means with 95 % intervals over tasks.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fipo_model.backends.opening import open_scorer
from fipo_model.data.tasks.gain import Change, gains
from fipo_model.data.tasks.reading import read_tasks
from fipo_model.data.tasks.task import Task
from fipo_model.generation import Scorer
from fipo_model.jsonl import encode_object
from fipo_model.rewriter import Rewriter
from fipo_model.search import Example, SearchSettings, paired_interval
from fipo_model.search.tuning import Yardstick, search_prompt

EIGHT = 8
MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
NOTICED = 0.01


def measured(task: Task, rewriter: Rewriter, choosing: Sequence[Scorer], measuring: Sequence[Scorer]) -> dict[str, Any]:
    """A task's row."""
    prompt, began = task.hasty[0], time.monotonic()
    drawn = random.Random(f"tune{task.name}").sample(list(task.examples), 2 * EIGHT)
    found = search_prompt(
        rewriter,
        prompt,
        examples=[Example(input=one.input, outputs=one.outputs[:1]) for one in drawn[:EIGHT]],
        yardstick=Yardstick(metric=None, models=choosing),
        settings=SearchSettings(),
    )
    seconds = time.monotonic() - began
    (gain,) = gains(measuring, [Change(before=prompt, after=found.text, examples=tuple(drawn[EIGHT:]))])
    return {
        "task": task.name,
        "prompt": prompt,
        "text": found.text,
        "outcome": found.outcome,
        "gain": {} if isinstance(gain, Exception) else dict(gain.by_model),
        "measurements": found.metric_calls,
        "seconds": round(seconds, 1),
    }


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Print the mean gain under each model, and how many tasks became better or worse."""
    for name in rows[0]["gain"]:
        values = [row["gain"].get(name, 0.0) for row in rows]
        interval = paired_interval(values, [0.0] * len(values))
        shown = "" if interval is None else f" [{interval.low:+.2f}, {interval.high:+.2f}]"
        better, worse = (sum(sign * value > NOTICED for value in values) for sign in (1, -1))
        print(f"{name}: {sum(values) / len(values):+.2f}{shown}, {better} better, {worse} worse of {len(values)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--choosing", nargs="+", default=MODELS, help="the models that choose")
    parser.add_argument("--measuring", nargs="+", default=MODELS, help="the models under which the gain is measured")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.is_file() else []
    opened = {name: open_scorer(name) for name in dict.fromkeys([*options.choosing, *options.measuring])}
    choosing, measuring = ([opened[name] for name in names] for names in (options.choosing, options.measuring))
    rewriter = Rewriter.from_pretrained(role="proposing")
    known = {row["task"] for row in rows}
    for task in read_tasks(options.tasks):
        if not isinstance(task, Task) or task.name in known or len(task.examples) < 2 * EIGHT:
            continue
        rows.append(measured(task, rewriter, choosing, measuring))
        with options.out.open("ab") as file:
            file.write(encode_object(rows[-1]))
        print(rows[-1], file=sys.stderr)
    report(rows)


if __name__ == "__main__":
    main()
