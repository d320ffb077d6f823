"""Both chains on the same rows, in turns, with each run's output, time and cost."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import BaseModel

from fipo_integrations.langchain.evidence import have_failed_together, stop_on_interrupt
from fipo_model.comparing.chains.rows import Row
from fipo_model.comparing.failures import OutageError, describe_failure

Chains = Mapping[str, Runnable[Any, Any]]
"""The two chains by the names of their sides."""
Progress = Callable[[int], None]

SIDES = ("original", "optimized")
_LONGEST_ERROR = 2000


@dataclass(frozen=True, slots=True)
class Run:
    """One row to ask both chains, and its place among all of them."""

    row: Row
    place: int


class Usage(BaseCallbackHandler):
    """The tokens of every call of a model within one run.

    LangChain's own handler skips calls whose model does not give its name, and does not count those that report
    nothing. Here that must not look like fewer tokens.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[int, int] | None] = []

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Note what a model reports of a call."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        message = generation.message if isinstance(generation, ChatGeneration) else None
        usage = message.usage_metadata if isinstance(message, AIMessage) else None
        # Every call has a prompt, so zero tokens for it mean that a server reports nothing.
        known = usage is not None and usage["input_tokens"] > 0
        self._calls.append((usage["input_tokens"], usage["output_tokens"]) if usage and known else None)

    def as_fields(self) -> dict[str, int | None]:
        """How many calls there were, and their tokens if all of them reported these."""
        known = [call for call in self._calls if call is not None]
        is_known = bool(known) and len(known) == len(self._calls)
        return {
            "calls": len(self._calls),
            "input_tokens": sum(given for given, _ in known) if is_known else None,
            "output_tokens": sum(made for _, made in known) if is_known else None,
        }


def run_batch(
    chains: Chains, batch_size: int, total: int, progress: Progress, runs: Sequence[Run]
) -> list[dict[str, dict[str, Any]]]:
    """Ask both chains a batch, and return the runs of each row by side. The sides take turns at going first.

    Raises `OutageError` if all of it failed in the same way: a wrong input or a server that is down is not a result.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for side in _order_sides(runs[0].place // batch_size):
        found[side] = _ask(chains[side], [run.row for run in runs])
    errors = {fields["error"] for side in SIDES for fields in found[side]}
    if len(errors) == 1 and None not in errors and (len(runs) > 1 or total == 1):
        raise OutageError(
            f"all {len(runs)} rows from line {runs[0].row.line} on failed in both chains in the same way, so nothing "
            f"more was run; run the same command again once that is fixed. {errors.pop()}"
        )
    progress(len(runs))
    return [{side: found[side][place] for side in SIDES} for place in range(len(runs))]


def time_alone(chains: Chains, progress: Progress, runs: Sequence[Run]) -> list[dict[str, float | None]]:
    """Time each chain on each row by itself, in seconds, as one user would wait for it; None where it failed."""
    found = []
    for run in runs:
        found.append({side: _time_one(chains[side], run.row) for side in _order_sides(run.place)})
        progress(1)
    return found


def _order_sides(turn: int) -> tuple[str, ...]:
    return SIDES if turn % 2 == 0 else SIDES[::-1]


def _ask(chain: Runnable[Any, Any], rows: Sequence[Row]) -> list[dict[str, Any]]:
    started = time.perf_counter()
    outputs, usages = _collect_outputs(chain, rows)
    seconds = (time.perf_counter() - started) / len(rows)
    stop_on_interrupt(outputs)
    return [
        {**_record_outcome(output), "seconds": seconds, **usage.as_fields()}
        for output, usage in zip(outputs, usages, strict=True)
    ]


def _collect_outputs(chain: Runnable[Any, Any], rows: Sequence[Row]) -> tuple[list[Any], list[Usage]]:
    usages = [Usage() for _ in rows]
    # All rows at once; for a row alone a limit of one would hold up the parallel steps inside its chain.
    at_once = len(rows) if len(rows) > 1 else None
    configs = [RunnableConfig(callbacks=[usage], max_concurrency=at_once) for usage in usages]
    # A chain may change its input, and the other one must not see that.
    inputs = [deepcopy(row.input) for row in rows]
    try:
        outputs: list[Any] = chain.batch(inputs, configs, return_exceptions=True)
    except Exception as error:  # noqa: BLE001 - a step that lets one row's error fail the whole batch
        outputs = [error] * len(rows)
    if not have_failed_together(outputs):
        return outputs, usages
    alone = [_collect_outputs(chain, [row]) for row in rows]
    return [outputs[0] for outputs, _ in alone], [usages[0] for _, usages in alone]


def _time_one(chain: Runnable[Any, Any], row: Row) -> float | None:
    given = deepcopy(row.input)
    started = time.perf_counter()
    try:
        chain.invoke(given)
    except Exception:  # noqa: BLE001 - counted as failed when the batch ran; how fast it fails is of no interest
        return None
    return time.perf_counter() - started


def _record_outcome(output: Any) -> dict[str, Any]:
    if isinstance(output, Exception):
        return {"output": None, "error": describe_failure(output, most=_LONGEST_ERROR)}
    return {"output": as_data(output), "error": None}


def as_data(output: Any) -> Any:
    """Turn a chain's output into JSON values: messages become their text, objects their fields."""
    if isinstance(output, BaseMessage):
        output = str(output.text)
    try:
        text = json.dumps(output, ensure_ascii=False, default=_as_fields)
    except (TypeError, ValueError, RecursionError):  # keys that are not texts, or an object that contains itself
        text = json.dumps(str(output), ensure_ascii=False)
    # Half of a surrogate pair could not be written to a file, and a page's JSON has no NaN.
    return json.loads(text.encode("utf-8", "replace"), parse_constant=str)


def _as_fields(thing: Any) -> Any:
    if isinstance(thing, BaseMessage):
        return str(thing.text)
    return thing.model_dump(mode="json") if isinstance(thing, BaseModel) else str(thing)
