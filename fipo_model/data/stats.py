"""What a file of records or of training rows holds, in one pass and in memory that does not grow with the file."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fipo_model.data.diversify import TrainingRow, parse_training_row
from fipo_model.data.records import PARTS, Format, Record, parse_record
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow, read_objects
from fipo_model.types import count_words

# Names are untrusted text, and every line may bring a new one.
_MOST_NAMES = 100
_NAME_LENGTH = 500
_OTHERS = "(others)"
_BAD_ROWS_KEPT = 5
# Buckets per octave: word counts below twice this are exact; others lose less than one part in this many.
_BUCKETS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long a part is, in words, in the lines that have it."""

    count: int
    """How many lines have the part."""
    mean: float
    median: int
    p90: int
    p99: int
    """Quantiles are exact up to 255 words and otherwise rounded down by less than 1 %."""
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStats:
    """What a file holds. Names beyond the first hundred of each table are counted together as "(others)"."""

    records: int
    training_rows: int
    bad_lines: int
    sources: dict[str, int]
    """Records by source; "" is that of records which name none."""
    kinds: dict[str, int]
    """Training rows by kind."""
    types: dict[str, int]
    """Training rows by type."""
    parts: dict[str, Lengths]
    """Only the parts that occur."""
    bad_reasons: dict[str, int]
    """Bad lines by reason, with # for the numbers in it."""
    first_bad: tuple[BadRow, ...]


def file_stats(path: str | Path, *, format: Format | None = None) -> FileStats:
    """Statistics of a JSONL file. A line is a training row if it has a conversation, else a record of `format`.

    Lines that cannot be used are part of the result. Raises `InputError` only if the file cannot be read.
    """
    tally = _Tally()
    for row in read_objects(Path(path)):
        if isinstance(row, BadRow):
            tally.add_bad(row)
            continue
        line, fields = row
        try:
            if format is None and isinstance(fields.get("prompt"), list):
                tally.add_training_row(parse_training_row(fields))
            else:
                tally.add_record(parse_record(fields, format=format))
        except InputError as error:
            tally.add_bad(BadRow(line=line, reason=str(error)))
    return tally.result()


@dataclass(slots=True)
class _LengthTally:
    total: int = 0
    words: int = 0
    most: int = 0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, words: int) -> None:
        self.total += 1
        self.words += words
        self.most = max(self.most, words)
        width = max(1, (1 << words.bit_length()) // (2 * _BUCKETS))
        self.buckets[words // width * width] += 1

    def result(self) -> Lengths:
        return Lengths(
            count=self.total,
            mean=self.words / self.total,
            median=self._quantile(0.5),
            p90=self._quantile(0.9),
            p99=self._quantile(0.99),
            max=self.most,
        )

    def _quantile(self, share: float) -> int:
        """The smallest number of words that at least `share` of the lines do not exceed."""
        seen = 0
        for words in sorted(self.buckets):
            seen += self.buckets[words]
            if seen >= share * self.total:
                return words
        return self.most


@dataclass(slots=True)
class _Tally:
    records: int = 0
    training_rows: int = 0
    bad: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    parts: dict[str, _LengthTally] = field(default_factory=dict)
    bad_reasons: Counter[str] = field(default_factory=Counter)
    first_bad: list[BadRow] = field(default_factory=list)

    def add_record(self, record: Record) -> None:
        self.records += 1
        _count(self.sources, record.source or "")
        for part in PARTS:
            self._add_part(part, getattr(record, part))

    def add_training_row(self, row: TrainingRow) -> None:
        self.training_rows += 1
        _count(self.kinds, row.kind)
        _count(self.types, row.type)
        self._add_part("prompt", "\n".join(message["content"] for message in row.prompt))
        self._add_part("chosen", row.chosen)
        self._add_part("rejected", row.rejected)

    def add_bad(self, row: BadRow) -> None:
        self.bad += 1
        _count(self.bad_reasons, re.sub(r"\b\d+\b", "#", row.reason))
        if len(self.first_bad) < _BAD_ROWS_KEPT:
            self.first_bad.append(row)

    def result(self) -> FileStats:
        return FileStats(
            records=self.records,
            training_rows=self.training_rows,
            bad_lines=self.bad,
            sources=dict(self.sources.most_common()),
            kinds=dict(self.kinds.most_common()),
            types=dict(self.types.most_common()),
            parts={part: lengths.result() for part, lengths in self.parts.items()},
            bad_reasons=dict(self.bad_reasons.most_common()),
            first_bad=tuple(self.first_bad),
        )

    def _add_part(self, part: str, text: str | None) -> None:
        if text is not None:
            self.parts.setdefault(part, _LengthTally()).add(count_words(text))


def _count(counter: Counter[str], name: str) -> None:
    name = name[:_NAME_LENGTH]
    counter[name if name in counter or len(counter) < _MOST_NAMES else _OTHERS] += 1
