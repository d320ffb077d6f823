"""Results in a few lines for a terminal: what was seen, with its interval, and no more."""

from collections.abc import Iterator, Mapping
from typing import Any


def summary(results: Mapping[str, Any]) -> Iterator[str]:
    """One line for each figure, the optimizers' and the controls'."""
    for entry in results["rewriting"]:
        kept = ", ".join(f"{name} {k['proposed']}/{k['of']}" for name, k in entry["kept"].items() if k["of"])
        time = f", {entry['seconds']['p50']:.2f} s a prompt" if entry["seconds"] else ""
        yield (
            f"{entry['system']} on {entry['data']}: {entry['rewritten']['value']:.0%} of {entry['rows']} prompts "
            f"rewritten{time}{f'; proposals kept {kept}' if kept else ''}"
        )
    for entry in results["golden_gain"]:
        yield (
            f"{entry['system']} on {entry['data']}, {entry['test_model']}: golden response {_signed(entry['gain'])} "
            f"nats per token ({entry['rows']} prompts: {entry['better']['value']:.0%} better, "
            f"{entry['worse']['value']:.0%} worse){verdict(entry['gain'])}"
        )
    for entry in results["preference"]:
        accuracy = _share(entry["accuracy"])
        yield f"{entry['system']} on {entry['data']}: preference accuracy {accuracy} ({entry['rows']} pairs)"
    for entry in results["benchmarks"]:
        yield (
            f"{entry['system']} on {entry['benchmark']} ({entry['level']}, {entry['scoring']}, {entry['rows']} rows, "
            f"{entry['test_model']}): accuracy {entry['naive']['value']:.1%}, then {entry['optimized']['value']:.1%}, "
            f"difference {_signed(entry['difference'])}{verdict(entry['difference'])}"
        )


def verdict(change: Mapping[str, float]) -> str:
    """What an interval allows to say of a change."""
    if change["low"] > 0:
        return ": better"
    return ": worse" if change["high"] < 0 else ": no difference shown"


def _signed(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:+.4f} [{interval['low']:+.4f}, {interval['high']:+.4f}]"


def _share(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.1%} [{interval['low']:.1%}, {interval['high']:.1%}]"
