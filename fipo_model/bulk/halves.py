"""The two halves of a rewrite, before and after the model's call, for code that makes that call in another way. Pure.

They hold no model, so they can be pickled and sent to the machines of a cluster, where something else generates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from fipo_model.bulk.rows import Row, output_row
from fipo_model.choosing import choose, conclude
from fipo_model.errors import InputError
from fipo_model.generation import Completion, Message, Sampling
from fipo_model.rewriter import Rewriter


@dataclass(frozen=True, slots=True)
class _NameOnly:
    """Takes the place of a model."""

    name: str

    def generate(self, conversations: object, sampling: object, *, samples: int = 1) -> NoReturn:
        raise InputError(f"{self.name} is not here: these halves of a rewrite only prepare its requests")


@dataclass(frozen=True, slots=True)
class Halves:
    """What a rewriter asks its model about a row, and what it makes of the answer; the model itself is not included.

    It is one call, so a rewriter's second model is never asked.
    """

    rewriter: Rewriter

    @classmethod
    def of(cls, rewriter: Rewriter) -> "Halves":
        """Those of a rewriter, whose model is left behind."""
        return cls(replace(rewriter, generator=_NameOnly(rewriter.name), second=None))

    def render(self, row: Row) -> list[Message]:
        """The conversation to be continued."""
        return self.rewriter.render(row.request)

    def sampling(self, row: Row) -> Sampling:
        """How it is to be continued; `rewriter.samples` times."""
        return self.rewriter.sampling(row.request)

    def check(self, row: Row, completions: Sequence[Completion], *, seconds: float = 0.0) -> dict[str, Any]:
        """The row to be written: the first completion that passes every check, or the prompt as it was."""
        (choice,) = choose(None, [row.request], [self.rewriter.read(completions, row.request)])
        if isinstance(choice, InputError):
            raise choice
        return output_row(row, conclude(self.rewriter, row.request, choice), seconds=seconds)
