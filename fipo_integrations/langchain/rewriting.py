"""Prompts on their way to a model, rewritten together: the requests, and what becomes of each prompt."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fipo_integrations.langchain.asking import Asking
from fipo_integrations.langchain.prompts import Located, PromptOutput, Reading
from fipo_integrations.langchain.proposals import NothingToRewriteError, Taken, change_of, take_one
from fipo_integrations.langchain.rendering import Piece, Source, pieces_of
from fipo_integrations.langchain.report import PromptChange
from fipo_integrations.langchain.variables import VariablesChangedError
from fipo_integrations.langchain.walking import Slot
from fipo_model import OptimizationRequest, OptimizedPrompt
from fipo_model.errors import InputError


@dataclass(frozen=True, slots=True)
class Settled:
    """What happened to an input: its output, or the error that stands for it in a batch, and what led to it."""

    output: PromptOutput | Exception
    changes: tuple[PromptChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Some inputs, and the requests for them."""

    readings: Sequence[Reading]
    pieces: Sequence[Mapping[Located, Piece]]
    """What of each input is rewritten, by its texts."""
    taken: Mapping[Slot, Taken | InputError]
    """Everything that is rewritten, once. The error where it cannot be asked for."""

    @classmethod
    def of(
        cls,
        readings: Sequence[Reading],
        sources: tuple[Source, ...] | None,
        patterns: Sequence[re.Pattern[str]],
        asking: Asking,
    ) -> "Rewriting":
        """`sources` are the texts of the template that the inputs were filled from, if it is known."""
        pieces = [pieces_of(reading, sources, patterns) for reading in readings]
        taken: dict[Slot, Taken | InputError] = {}
        for slot in dict.fromkeys(piece.slot for own in pieces for piece in own.values()):
            try:
                taken[slot] = take_one(slot, asking)
            except (NothingToRewriteError, VariablesChangedError):
                continue
            except InputError as error:
                taken[slot] = error
        return cls(readings, pieces, taken)

    @property
    def requests(self) -> list[OptimizationRequest]:
        """The requests, in order."""
        return [one.request for one in self.taken.values() if isinstance(one, Taken)]

    def settled(self, results: Sequence[OptimizedPrompt | InputError]) -> list[Settled]:
        """What becomes of each input, given the results of all requests."""
        remaining = iter(results)
        found: dict[Slot, PromptChange | InputError] = {}
        for slot, one in self.taken.items():
            result = next(remaining) if isinstance(one, Taken) else one
            is_error = isinstance(result, InputError) or isinstance(one, InputError)
            found[slot] = result if is_error else change_of(one, result)  # type: ignore[assignment, arg-type]
        return [_settled(reading, own, found) for reading, own in zip(self.readings, self.pieces, strict=True)]


def _settled(
    reading: Reading, pieces: Mapping[Located, Piece], found: Mapping[Slot, PromptChange | InputError]
) -> Settled:
    if reading.error is not None:
        return Settled(reading.error)
    texts: dict[Located, str] = {}
    changes: list[PromptChange] = []
    for each, piece in pieces.items():
        change = found.get(piece.slot)
        if isinstance(change, InputError):
            return Settled(change)
        if change is None:
            continue
        new = piece.changed(each.text, change)
        if new is None:
            detail = "a value contains text that also stands between the template's variables"
            change = replace(change, text=change.naive, outcome="variables_changed", detail=detail)
        texts[each] = each.text if new is None else new
        changes.append(change)
    return Settled(reading.with_texts(texts), tuple(changes))
