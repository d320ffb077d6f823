"""What a comparison of chains keeps of a run."""

from typing import Any


def a_run(score: float | None, **fields: Any) -> dict[str, Any]:
    error = "ValueError: no" if score is None else None
    usual = {"output": "x", "error": error, "score": score, "seconds": 0.5, "calls": 1}
    return {**usual, "input_tokens": 10, "output_tokens": 2, **fields}
