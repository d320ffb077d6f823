"""From records to training rows: the paper's diversification (section 3.2) and the rows of iterative training.

Every choice is drawn from the seed and the record's own id, so dropping or adding a record changes no other.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

from fipo_model.data.records import Record
from fipo_model.errors import InputError
from fipo_model.generation import Message
from fipo_model.templates import FIPO_1, Template
from fipo_model.types import OptimizationRequest, count_words

RowKind = Literal["rewriting", "answering", "discrimination"]
Parts = Literal["diversified", "none", "all"]

_ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)
# Paper, section 3.2: the silver label of a multi-choice row is made equal to the golden one this often.
_FLIP_PROBABILITY = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """What a model is trained on: a conversation, the reply to learn, and perhaps one to avoid."""

    id: str
    kind: RowKind
    type: str
    """Which optional parts and which form the row has, such as "silver+golden, multi-choice"; for counting."""
    prompt: list[Message]
    chosen: str
    rejected: str | None = None

    def to_fields(self) -> dict[str, Any]:
        """What a line of a file of training rows holds."""
        # By hand: `asdict` copies the conversation in depth, which takes longer than making the row.
        return {
            "id": self.id,
            "kind": self.kind,
            "type": self.type,
            "prompt": self.prompt,
            "chosen": self.chosen,
            "rejected": self.rejected,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversification:
    """How records become training rows.

    `parts`: which optional responses a rewriting row shows. "diversified" draws one of the paper's eight types for each
    record, evenly (silver or not, golden or not, generation or multi-choice), among those it has the responses for;
    "none" shows neither response, as a prompt is met at inference; "all" shows what there is. `iterative` adds one row
    for each record (paper, section 3.3): answering its prompt for one half, discriminating chosen from rejected for the
    other; a record that lacks the parts for one kind becomes the other, or none. The discriminator sees both responses,
    as the original's sees the golden one, but with "none" neither.
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
            yield _rewriting(record, record.chosen, settings.parts, template, (type_draw, order_draw, flip_draw))
        if settings.iterative:
            yield from _iterative(record, settings.parts, template, (kind_draw, place_draw))


def _rewriting(
    record: Record, chosen: str, parts: Parts, template: Template, draws: tuple[float, float, float]
) -> TrainingRow:
    type_draw, order_draw, flip_draw = draws
    shows_silver, shows_golden, is_choice = _type(record, parts, type_draw)
    context, silver, golden = record.context, record.silver_response, record.golden_response
    if is_choice:
        first, second, silver, golden = (silver, golden, "A", "B") if order_draw < 0.5 else (golden, silver, "B", "A")
        options = f"Options:\nA. {first}\nB. {second}"
        context = options if context is None else f"{context}\n\n{options}"
        silver = golden if flip_draw < _FLIP_PROBABILITY else silver
    request = OptimizationRequest(
        record.instruction,
        context=context,
        silver_response=silver if shows_silver else None,
        golden_response=golden if shows_golden else None,
        max_words=_word_limit(record.instruction, chosen),
    )
    given = "+".join(name for name, shows in (("silver", shows_silver), ("golden", shows_golden)) if shows)
    return TrainingRow(
        id=record.id,
        kind="rewriting",
        type=f"{given or 'no responses'}, {'multi-choice' if is_choice else 'generation'}",
        prompt=template.render(request),
        chosen=template.reply_for(chosen, record.instruction),
        rejected=None if record.rejected is None else template.reply_for(record.rejected, record.instruction),
    )


def _type(record: Record, parts: Parts, draw: float) -> tuple[bool, bool, bool]:
    """Whether to show the silver response, whether the golden one, and whether both become options to choose from."""
    silver, golden = record.silver_response, record.golden_response
    if parts == "none":
        return False, False, False
    if parts == "all":
        return silver is not None, golden is not None, False
    can_choose = silver is not None and golden is not None and silver != golden
    types = list(product(_options(silver is not None), _options(golden is not None), _options(can_choose)))
    return types[int(draw * len(types))]


def _options(is_possible: bool) -> tuple[bool, ...]:
    return (False, True) if is_possible else (False,)


def _iterative(record: Record, parts: Parts, template: Template, draws: tuple[float, float]) -> Iterator[TrainingRow]:
    kind_draw, place_draw = draws
    silver, golden, chosen, rejected = record.silver_response, record.golden_response, record.chosen, record.rejected
    if golden is not None and (kind_draw < 0.5 or chosen is None or rejected is None):
        naive = record.instruction if record.context is None else f"{record.instruction}\n\n{record.context}"
        yield TrainingRow(
            id=f"{record.id}/answering",
            kind="answering",
            type="answering",
            prompt=[{"role": "user", "content": naive}],
            chosen=golden,
            rejected=None if silver == golden else silver,
        )
    elif chosen is not None and rejected is not None:
        first, second, better, worse = (
            (chosen, rejected, "A", "B") if place_draw < 0.5 else (rejected, chosen, "B", "A")
        )
        request = OptimizationRequest(
            record.instruction,
            context=record.context,
            silver_response=None if parts == "none" else silver,
            golden_response=None if parts == "none" else golden,
        )
        yield TrainingRow(
            id=f"{record.id}/discrimination",
            kind="discrimination",
            type="discrimination",
            prompt=template.render_comparison(request, first, second),
            chosen=better,
            rejected=worse,
        )


def _word_limit(instruction: str, chosen: str) -> int:
    limit = OptimizationRequest(instruction).word_limit
    words = count_words(chosen)
    while limit < words:
        limit *= 2
    return limit


def parse_training_row(fields: dict[str, Any]) -> TrainingRow:
    """A training row from the fields of a line that holds one. Raises `InputError` that says what is wrong with it."""
    for name in ("id", "type", "chosen"):
        if not isinstance(value := fields.get(name), str) or not value:
            raise InputError(f"{name} must be text, and not empty")
    if (kind := fields.get("kind")) not in _ROW_KINDS:
        raise InputError(f"kind must be one of {', '.join(_ROW_KINDS)}")
    rejected, prompt = fields.get("rejected"), fields.get("prompt")
    if rejected is not None and not isinstance(rejected, str):
        raise InputError(f"rejected must be text or null, not {type(rejected).__name__}")
    if not isinstance(prompt, list) or not prompt or not all(_is_message(message) for message in prompt):
        raise InputError("prompt must be a list of messages, each with the texts 'role' and 'content'")
    return TrainingRow(
        id=fields["id"], kind=kind, type=fields["type"], prompt=prompt, chosen=fields["chosen"], rejected=rejected
    )


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("role", "content"))
