"""The rewriter's evaluation on both engines: how many rewrites are the same, and whether one engine's gain more.

    python benchmarks/engine_texts.py OUT.jsonl [--tasks TASKS.jsonl] [--limit N]

One hasty and one good wording of each held-out task is rewritten by the default weights on transformers and on
llama.cpp: the hasty one alone, with four inputs, and with their right outputs; the good one alone. The gain is measured
on eight other inputs, by the same scorers for both. OUT.jsonl gets a row for each rewrite. Prints by what was given how
many texts and outcomes are the same, the mean gain of either engine's in nats per token, and the difference over tasks
with its 95 % interval.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from fipo_model import PromptOptimizer
from fipo_model.backends.opening import open_scorer
from fipo_model.data.tasks.gain import Change, gains
from fipo_model.errors import PromptTooLongError
from fipo_model.evaluation import statistics
from fipo_model.evaluation.held_out import read_held_out
from fipo_model.evaluation.held_out.wordings import Request, requests_for
from fipo_model.evaluation.settings import TaskSettings
from fipo_model.jsonl import encode_object
from fipo_model.types import OptimizedPrompt

ENGINES = ("transformers", "llamacpp")
MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")


def rewritten(engine: str, requests: Sequence[Request]) -> list[OptimizedPrompt]:
    """What the default weights make of the requests on an engine, one at a time, as a person would ask."""
    os.environ["FIPO_ENGINE"] = engine
    optimizer = PromptOptimizer.from_pretrained()
    return [optimizer.optimize(request.to_optimizer()) for request in requests]


def measured(requests: Sequence[Request], texts: Sequence[str]) -> list[dict[str, float]]:
    """The gain of each text over its request's wording, under each model."""
    os.environ["FIPO_ENGINE"] = "transformers"
    changes = [
        Change(before=request.before, after=text, examples=request.drawn.measured)
        for request, text in zip(requests, texts, strict=True)
    ]
    found = gains([open_scorer(name) for name in MODELS], changes)
    return [{} if isinstance(gain, PromptTooLongError) else dict(gain.by_model) for gain in found]


def rows_of(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """A row for each request, with both engines' texts, outcomes and gains."""
    results = {engine: rewritten(engine, requests) for engine in ENGINES}
    found = {engine: measured(requests, [result.text for result in by]) for engine, by in results.items()}
    rows = []
    for place, request in enumerate(requests):
        row: dict[str, Any] = {"task": request.drawn.task.name, "given": request.given, "wording": request.before}
        for engine in ENGINES:
            result = results[engine][place]
            row[engine] = {"text": result.text, "outcome": result.outcome, "gain": found[engine][place]}
        rows.append(row)
    return rows


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Print how the engines differ, by what the rewriter was given."""
    by_given: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_given[row["given"]].append(row)
    for given, some in by_given.items():
        one, other = ([row[engine] for row in some] for engine in ENGINES)
        same = {what: sum(a[what] == b[what] for a, b in zip(one, other, strict=True)) for what in ("text", "outcome")}
        print(f"{given}: {same['text']} texts and {same['outcome']} outcomes of {len(some)} are the same")
        for name in MODELS:
            pairs = [
                (a["gain"][name], b["gain"][name])
                for a, b in zip(one, other, strict=True)
                if name in a["gain"] and name in b["gain"]
            ]
            difference = statistics.mean([theirs - ours for ours, theirs in pairs])
            means = [fmean(side) for side in zip(*pairs, strict=True)]
            shown = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
            print(f"  {name}: {ENGINES[0]} {means[0]:+.3f}, {ENGINES[1]} {means[1]:+.3f}, difference {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tasks", help="a file of tasks; without it, FIPO's own held-out ones")
    parser.add_argument("--limit", type=int, help="use only so many tasks, the first ones")
    options = parser.parse_args()
    settings = replace(TaskSettings(wordings=1), path=options.tasks, limit=options.limit)
    rows = rows_of(requests_for(read_held_out(settings, seed=0).tasks, settings.wordings))
    options.out.write_bytes(b"".join(map(encode_object, rows)))
    report(rows)


if __name__ == "__main__":
    main()
