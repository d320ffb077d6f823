"""How well `fipo worth-it` predicts what a search gains, compared on the same tasks.

    python benchmarks/worth_it.py TASKS.jsonl OUT.jsonl [--model NAME] [--skip N] [--limit N]

For the first hasty wording of each task with short inputs: the headroom on 16 examples, and what two searches gain on
24 others that decided nothing, under the same model. One has FIPO's own rewriter propose; the other has the good
wordings that people wrote, and so shows what a better rewriter could find. OUT.jsonl gets a row for each task; the next
start reads it and goes on from there. Prints the rank correlation of each figure with both gains, and how often each
verdict was followed by a gain.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from fipo_model.data.tasks.reading import read_tasks
from fipo_model.data.tasks.task import Task
from fipo_model.jsonl import encode_object
from fipo_model.rewriter import Rewriter
from fipo_model.search import Example, Proposals, Proposed, Search, SearchSettings, Seen, measure_headroom
from fipo_model.search.prompts import PROMPT
from fipo_model.search.tuning import Yardstick, search_prompt

LOOKED_AT, TOLD_BY = 16, 24
LONGEST_INPUT = 300
GOOD_WORDINGS = 6
NOTICED = 0.01
FIGURES = ("left", "share left", "spread", "best rewrite")


@dataclass(frozen=True)
class PeoplesWordings:
    """Proposes what people wrote."""

    wordings: tuple[str, ...]

    def propose(self, seen: Seen) -> Proposals:
        rows = [Proposed(text=text, outcome="optimized") for text in self.wordings[:GOOD_WORDINGS]]
        return Proposals(model=None, by_text={PROMPT: rows})


def tasks(path: Path) -> Iterator[Task]:
    """The tasks with enough examples and only short inputs."""
    for task in read_tasks(path):
        if not isinstance(task, Task) or len(task.examples) < LOOKED_AT + TOLD_BY:
            continue
        if max(len(one.input) for one in task.examples[: LOOKED_AT + TOLD_BY]) <= LONGEST_INPUT:
            yield task


def measured(task: Task, rewriter: Rewriter, yardstick: Yardstick) -> dict[str, Any]:
    """A task's row."""
    prompt = task.hasty[0]
    examples = [Example(input=one.input, outputs=one.outputs) for one in task.examples]
    looked_at, told_by = examples[:LOOKED_AT], examples[LOOKED_AT : LOOKED_AT + TOLD_BY]
    found = measure_headroom(rewriter, prompt, examples=looked_at, yardstick=yardstick)
    own = search_prompt(
        rewriter, prompt, examples=looked_at, yardstick=yardstick, settings=SearchSettings(), held_out=told_by
    )
    search = Search(
        subject=yardstick.of(prompt, looked_at),
        proposer=PeoplesWordings(task.good),
        settings=SearchSettings(minibatch_size=8),
        runs_at_once=64,
    )
    best = search.run()
    peoples = search.held_out(yardstick.of(prompt, told_by), best, runs_at_once=64).compared
    return {
        "task": task.name,
        "headroom": found.to_fields(),
        "gained": 0.0 if own.held_out is None or own.held_out.gain is None else own.held_out.gain.value,
        "gained by people's": 0.0 if peoples is None or peoples.gain is None else peoples.gain.value,
    }


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures that might predict a gain."""
    found = row["headroom"]
    done, left = (found[name]["value"] for name in ("done", "left"))
    return {
        "left": left,
        "share left": left / max(NOTICED, left + done),
        "spread": found["spread"]["value"],
        "best rewrite": found["gain"]["value"] if found["gain"] else 0.0,
    }


def report(rows: list[dict[str, Any]]) -> None:
    """Print how well each figure predicted the gains."""
    for name in ("gained", "gained by people's"):
        gains = [row[name] for row in rows]
        print(f"{name}: mean {sum(gains) / len(gains):+.3f}, {sum(gain > NOTICED for gain in gains)} of {len(gains)}")
        for figure in FIGURES:
            told = spearmanr([figures(row)[figure] for row in rows], gains)
            print(f"  rank correlation with {figure}: {told.statistic:+.2f} (p = {told.pvalue:.3f})")
        for verdict in ("worth it", "unclear", "not worth it"):
            own = [row[name] for row in rows if row["headroom"]["verdict"] == verdict]
            better = sum(gain > NOTICED for gain in own)
            mean = f", mean gain {sum(own) / len(own):+.3f}" if own else ""
            print(f"  {verdict}: {better} of {len(own)} gained{mean}")
    print(f"{len(rows)} tasks; {max(row['headroom']['seconds'] for row in rows):.0f} s at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--skip", type=int, default=0, help="Leave out so many tasks at the beginning.")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.is_file() else []
    chosen = list(tasks(options.tasks))[options.skip :][: options.limit]
    if not chosen:
        parser.error(
            f"{options.tasks} has no task with {LOOKED_AT + TOLD_BY} examples (see `fipo data tasks --examples`)"
        )
    rewriter = Rewriter.from_pretrained(role="proposing")
    yardstick = Yardstick.opened(None, [options.model])
    for task in chosen:
        if task.name not in {row["task"] for row in rows}:
            rows.append(measured(task, rewriter, yardstick))
            with options.out.open("ab") as file:
                file.write(encode_object(rows[-1]))
            print(task.name, figures(rows[-1]), rows[-1]["gained"], rows[-1]["gained by people's"], file=sys.stderr)
    report(rows)


if __name__ == "__main__":
    main()
