"""What models are asked about tasks: how likely right outputs are, and what they answer.

Results are kept as they come.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fipo_model.data.tasks import Example, Task, is_right, likelihoods
from fipo_model.errors import PromptTooLongError
from fipo_model.generation import Generator, Message, Sampling, Scorer, complete_each
from fipo_model.jobs import completed
from fipo_model.search.examples import filled

TOO_LONG = "too long for the test model"
# Enough to fill batches of rows of about one length.
_SCORED_AT_ONCE, _ANSWERED_AT_ONCE = 256, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A wording used on one example of a task."""

    task: Task
    wording: str
    example: Example

    @property
    def key(self) -> str:
        return json.dumps([self.task.name, self.wording, self.example.input], ensure_ascii=False)

    def conversation(self) -> list[Message]:
        """What a model is sent."""
        return [{"role": "user", "content": filled(self.wording, self.example.input)}]


class Figures:
    """Each model's results, in a ledger of its own, so that nothing is asked twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def score(self, model: str, scorer: Scorer, uses: Iterable[Use]) -> None:
        """Have the likelihood of the right output of each use (`value`, in nats per token), or why not (`error`)."""

        def compute(batch: Sequence[Use]) -> list[Mapping[str, Any]]:
            found = likelihoods(scorer, [(use.wording, (use.example,)) for use in batch])
            return [{"error": TOO_LONG} if isinstance(one, PromptTooLongError) else {"value": one[0]} for one in found]

        done = completed(self._file("likelihoods", model), _by_key(uses), compute, at_once=_SCORED_AT_ONCE)
        self._known.setdefault(("likelihoods", model), {}).update(done)

    def answer(self, model: str, generator: Generator, uses: Iterable[Use], *, max_new_tokens: int) -> None:
        """Have the greedy `reply` to each use and whether it is `right`, or why there is none (`error`)."""

        def compute(batch: Sequence[Use]) -> list[Mapping[str, Any]]:
            sampling = Sampling(max_new_tokens=max_new_tokens)
            replies = complete_each(generator, [use.conversation() for use in batch], sampling)
            return [
                {"error": TOO_LONG}
                if isinstance(reply, PromptTooLongError)
                else {"reply": reply.text, "right": is_right(use.task, use.example, reply.text)}
                for use, reply in zip(batch, replies, strict=True)
            ]

        done = completed(self._file("replies", model), _by_key(uses), compute, at_once=_ANSWERED_AT_ONCE)
        self._known.setdefault(("replies", model), {}).update(done)

    def likelihoods(self, model: str, uses: Sequence[Use]) -> list[float] | str:
        """The likelihoods of some uses, or why one has none."""
        rows = self._rows("likelihoods", model, uses)
        return rows if isinstance(rows, str) else [row["value"] for row in rows]

    def right(self, model: str, uses: Sequence[Use]) -> list[bool] | str:
        """Whether some uses were answered correctly, or why one was not answered."""
        rows = self._rows("replies", model, uses)
        return rows if isinstance(rows, str) else [row["right"] for row in rows]

    def _rows(self, kind: str, model: str, uses: Sequence[Use]) -> list[dict[str, Any]] | str:
        known = self._known[kind, model]
        rows = [known[use.key] for use in uses]
        return next((str(row["error"]) for row in rows if "error" in row), rows)

    def _file(self, kind: str, model: str) -> Path:
        return self.folder / kind / f"{model.replace('/', '_')}.jsonl"


def uses_of(task: Task, wording: str, examples: Iterable[Example]) -> list[Use]:
    """A wording used on some of a task's examples."""
    return [Use(task=task, wording=wording, example=example) for example in examples]


def _by_key(uses: Iterable[Use]) -> dict[str, Use]:
    return {use.key: use for use in uses}
