"""From records to training rows: the paper's diversification (section 3.2) and the rows of iterative training.

Every choice is drawn from the seed and the record's own id, so dropping or adding a record changes no other.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fipo_model.data.records import Record
from fipo_model.errors import InputError
from fipo_model.generation import Message
from fipo_model.templates import FIPO_1, Template
from fipo_model.types import OptimizationRequest, count_words

RowKind = Literal["rewriting", "answering", "discrimination"]
Parts = Literal["diversified", "none", "all"]

# Paper, section 3.2: the silver label of a multi-choice row is made equal to the golden one this often.
_FLIP_PROBABILITY = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """What a model is trained on: a conversation, the reply to learn, and perhaps one to turn away from."""

    id: str
    kind: RowKind
    type: str
    """Which optional parts and which form the row has, such as "silver+golden multi-choice"; for counting."""
    prompt: list[Message]
    chosen: str
    rejected: str | None = None

    def to_fields(self) -> dict[str, Any]:
        """What a line of a file of training rows holds."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversification:
    """How records become training rows.

    `parts`: which optional responses a rewriting row shows. "diversified" draws one of the paper's eight types for each
    record, evenly (silver or not, golden or not, generation or multi-choice), among those it has the responses for;
    "none" shows neither response, as a prompt is met at inference; "all" shows what there is. `iterative` adds one row
    for each record with a golden response: answering its prompt, or, for the other half, discriminating chosen from
    rejected (paper, section 3.3).
    """

    parts: Parts = "diversified"
    iterative: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.parts not in ("diversified", "none", "all"):
            raise InputError(f"parts must be 'diversified', 'none' or 'all', not {self.parts!r}")


def diversify(
    records: Iterable[Record], settings: Diversification | None = None, *, template: Template = FIPO_1
) -> Iterator[TrainingRow]:
    """The training rows of each record in turn: one to rewrite where it has a chosen rewrite, and those of `iterative`.

    The word limit a row states is a rung of the ladder of `OptimizationRequest.word_limit` that the chosen rewrite
    keeps, never its exact length (the original project's leaks that). The options of a multi-choice row go where the
    context goes, so they follow the rewritten prompt as they followed the naive one.
    """
    settings = settings or Diversification()
    for record in records:
        source = random.Random(f"{settings.seed} {record.id}")
        type_draw, order_draw, flip_draw, kind_draw, place_draw = (source.random() for _ in range(5))
        if record.chosen is not None:
            yield _rewriting(record, settings.parts, template, (type_draw, order_draw, flip_draw))
        if settings.iterative:
            yield from _iterative(record, template, kind_draw, place_draw)


def _rewriting(record: Record, parts: Parts, template: Template, draws: tuple[float, float, float]) -> TrainingRow:
    type_draw, order_draw, flip_draw = draws
    shown, name = _show(record, parts, type_draw, order_draw, flip_draw)
    chosen = record.chosen or ""
    return TrainingRow(
        id=record.id,
        kind="rewriting",
        type=name,
        prompt=template.render(_request(shown, max_words=_word_limit(record.instruction, chosen))),
        chosen=chosen,
        rejected=record.rejected,
    )


def _show(record: Record, parts: Parts, type_draw: float, order_draw: float, flip_draw: float) -> tuple[Record, str]:
    """The record with the parts its type shows, and the type's name."""
    silver, golden = record.silver_response, record.golden_response
    types = [
        (shows_silver, shows_golden, is_choice)
        for shows_silver in ((False, True) if silver else (False,))
        for shows_golden in ((False, True) if golden else (False,))
        for is_choice in ((False, True) if silver and golden and silver != golden else (False,))
    ]
    if parts == "none":
        types = [(False, False, False)]
    elif parts == "all":
        types = [(silver is not None, golden is not None, False)]
    shows_silver, shows_golden, is_choice = types[int(type_draw * len(types))]
    context = record.context
    if is_choice:
        first, second, silver, golden = (silver, golden, "A", "B") if order_draw < 0.5 else (golden, silver, "B", "A")
        options = f"Options:\nA. {first}\nB. {second}"
        context = options if context is None else f"{context}\n\n{options}"
        silver = golden if flip_draw < _FLIP_PROBABILITY else silver
    shown = replace(
        record,
        context=context,
        silver_response=silver if shows_silver else None,
        golden_response=golden if shows_golden else None,
    )
    given = "+".join(name for name, shows in (("silver", shows_silver), ("golden", shows_golden)) if shows)
    return shown, f"{given or 'no responses'}, {'multi-choice' if is_choice else 'generation'}"


def _iterative(record: Record, template: Template, kind_draw: float, place_draw: float) -> Iterator[TrainingRow]:
    can_answer = record.golden_response is not None
    can_discriminate = record.chosen is not None and record.rejected is not None
    if can_answer and (kind_draw < 0.5 or not can_discriminate):
        naive = record.instruction if record.context is None else f"{record.instruction}\n\n{record.context}"
        silver = record.silver_response
        yield TrainingRow(
            id=f"{record.id}/answering",
            kind="answering",
            type="answering",
            prompt=[{"role": "user", "content": naive}],
            chosen=record.golden_response or "",
            rejected=None if silver == record.golden_response else silver,
        )
    elif can_discriminate:
        chosen, rejected = record.chosen or "", record.rejected or ""
        first, second, better, worse = (
            (chosen, rejected, "A", "B") if place_draw < 0.5 else (rejected, chosen, "B", "A")
        )
        yield TrainingRow(
            id=f"{record.id}/discrimination",
            kind="discrimination",
            type="discrimination",
            prompt=template.render_comparison(_request(record), first, second),
            chosen=better,
            rejected=worse,
        )


def _request(record: Record, *, max_words: int | None = None) -> OptimizationRequest:
    return OptimizationRequest(
        record.instruction,
        context=record.context,
        silver_response=record.silver_response,
        golden_response=record.golden_response,
        max_words=max_words,
    )


def _word_limit(instruction: str, chosen: str) -> int:
    limit = OptimizationRequest(instruction).word_limit
    while limit < count_words(chosen):
        limit *= 2
    return limit
