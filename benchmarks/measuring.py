"""Comparisons as ratios within one run, because machines differ and are shared."""

import statistics
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 3


def in_turns(benchmark: Any, ours: Callable[[], object], **peers: Callable[[], object]) -> dict[str, float]:
    """Median time of each peer over ours; the peers run before each of our rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in peers}

    def run_peers() -> None:
        for name, peer in peers.items():
            started = time.perf_counter()
            peer()
            seconds[name].append(time.perf_counter() - started)

    benchmark.pedantic(ours, setup=run_peers, rounds=ROUNDS)
    own = benchmark.stats.stats.median
    ratios = {name: statistics.median(times) / own for name, times in seconds.items()}
    benchmark.extra_info.update(ratios)
    for name, ratio in ratios.items():
        peer_seconds = statistics.median(seconds[name])
        print(f"\n{benchmark.name}: {ratio:.2f} times the speed of {name} ({own:.2f} s against {peer_seconds:.2f} s)")
    return ratios
