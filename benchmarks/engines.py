"""One model on both engines in one run: tokens a second for one prompt, and for batches.

    OMP_NUM_THREADS=1 python benchmarks/engines.py qwen2.5-coder-0.5b

Prints tokens per second of processor time (which neighbours disturb little) and of wall time, with their ratios.
"""

import os
import sys
import time

from fipo_model import Sampling
from fipo_model.backends.opening import open_generator
from fipo_model.generation import Generator, Message, complete

TOPICS = (
    "cats dogs ships trees rain war tea maths bread gold ants pens lamps Rome jazz ice "
    "wool salt moss clay dust figs kites mills nuts oars pins rugs silk tar urns vines"
).split()
SIZES = (1, 16, 32)
REPLY = Sampling(max_new_tokens=64)


def main(model: str) -> None:
    """Load both, and ask each in turn."""
    opened: dict[str, Generator] = {}
    for engine in ("transformers", "llamacpp"):
        os.environ["FIPO_ENGINE"] = engine
        opened[engine] = open_generator(model, adapter="none")
        complete(opened[engine], ask(1), Sampling(max_new_tokens=2))
    for size in SIZES:
        found = {engine: speeds(generator, size) for engine, generator in opened.items()}
        for engine, (by_processor, by_clock) in found.items():
            print(f"{size:3} {engine:13} {by_processor:7.1f} tokens/s of processor time {by_clock:7.1f} by the clock")
        ours, theirs = found["llamacpp"], found["transformers"]
        print(f"{size:3} ratio         {ours[0] / theirs[0]:7.2f} {ours[1] / theirs[1]:36.2f}", flush=True)


def ask(size: int) -> list[list[Message]]:
    """The given number of prompts that have long answers."""
    return [[{"role": "user", "content": f"Write about {topic} in detail."}] for topic in TOPICS[:size]]


def speeds(generator: Generator, size: int) -> tuple[float, float]:
    """New tokens per second of processor time, and by the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    tokens = sum(done.completion_tokens for done in complete(generator, ask(size), REPLY))
    return tokens / (time.process_time() - processor), tokens / (time.perf_counter() - clock)


if __name__ == "__main__":
    main(sys.argv[1])
