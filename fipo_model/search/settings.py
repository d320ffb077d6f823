"""How to search, and how much it may cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Literal, NamedTuple

from fipo_model.errors import InputError
from fipo_model.search.budget import Budget, Price
from fipo_model.search.evidence import fewest_pairs
from fipo_model.search.halving import Rules, cost, schedule

Effort = Literal["light", "medium", "heavy"]


class Preset(NamedTuple):
    """What an effort stands for."""

    candidates: int
    max_examples: int
    turns: int


PRESETS: Mapping[Effort, Preset] = {
    "light": Preset(4, 32, 1),
    "medium": Preset(8, 100, 1),
    "heavy": Preset(12, 300, 2),
}
_CANDIDATES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How to search, and how much it may cost.

    Without any bound a search ends once its candidates' schedule is done. Raises `InputError` for numbers that make no
    sense.
    """

    auto: Effort | None = None
    """A preset for `candidates`, `turns` and `max_examples` where you do not set them."""
    candidates: int | None = None
    """Rewrites proposed for each text, by default 6 or what `auto` says, plus the current text, always a candidate."""
    turns: int | None = None
    """How often rewrites are proposed, by default once; from the second round on, the rewriter also sees the losers."""
    max_examples: int | None = None
    """The maximum number of examples that decide, drawn with the seed; by default all, or what `auto` says."""
    minibatch_size: int = 4
    """Examples in the first batch of the halving."""
    significance: float = 0.2
    """A rewrite is used if a wording that makes no difference would lead by as much in at most this share of cases.

    1 accepts any lead. (Not corrected for choosing the best of several on the same scores.)
    """
    max_metric_calls: int | None = None
    """The most calls of the metric, each of which is a run. At least twice the examples."""
    max_seconds: float | None = None
    """After this many seconds no new evaluation begins. For a bare prompt, a clear lead on the last whole batch then
    counts; an unfinished choice of another subject is dropped."""
    max_cost: float | None = None
    """The most money to spend, in the currency of `price`."""
    price: Price = 0.0
    """What a run costs, or a function without arguments that returns the total spent so far."""
    patience: float = 90.0
    """Seconds for which a model may be out of reach (rate limits, time-outs); its runs are retried until then, with 0
    not at all."""
    seed: int = 0
    """Decides which examples are shown, the rewriter's samples, and the order of the batches."""
    log_dir: str | Path | None = None
    """Where the report goes, and every score as it is measured, so that interrupted searches resume."""

    def __post_init__(self) -> None:
        self._check_kinds()
        if self.auto is not None and self.auto not in PRESETS:
            raise InputError(f"auto must be one of {', '.join(PRESETS)}, or None, not {self.auto!r}")
        for name in ("candidates", "turns", "minibatch_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if not 0 < self.significance <= 1:
            raise InputError(f"significance must be a probability above 0 and at most 1, not {self.significance}")
        for name in ("max_examples", "max_metric_calls", "max_seconds", "max_cost"):
            if (bound := getattr(self, name)) is not None and bound <= 0:
                raise InputError(f"{name} must be positive, or None for no bound, not {bound}")
        if self.patience < 0:
            raise InputError(f"patience must not be negative, but is {self.patience}")
        if self.max_cost is not None and self.price == 0:
            raise InputError("max_cost needs a price: what a run costs, or a function that says what was spent")

    def _check_kinds(self) -> None:
        for name in ("candidates", "turns", "max_examples", "max_metric_calls"):
            check_number(name, getattr(self, name), is_whole=True, may_be_none=True)
        for name in ("max_seconds", "max_cost"):
            check_number(name, getattr(self, name), may_be_none=True)
        for name in ("minibatch_size", "seed"):
            check_number(name, getattr(self, name), is_whole=True)
        for name in ("significance", "patience", *(() if callable(self.price) else ("price",))):
            check_number(name, getattr(self, name))
        if not isinstance(self.log_dir, str | Path | None):
            raise InputError(f"log_dir must be the path of a directory, or None, not {self.log_dir!r:.80}")

    @property
    def rewrites(self) -> int:
        """How many rewrites are proposed for each text."""
        if self.candidates is not None:
            return self.candidates
        return _CANDIDATES if self.auto is None else PRESETS[self.auto].candidates

    @property
    def rounds(self) -> int:
        """How often rewrites are proposed."""
        if self.turns is not None:
            return self.turns
        return 1 if self.auto is None else PRESETS[self.auto].turns

    @property
    def most_examples(self) -> int | None:
        """The most examples that decide; None for all."""
        if self.max_examples is not None or self.auto is None:
            return self.max_examples
        return PRESETS[self.auto].max_examples

    @property
    def rules(self) -> Rules:
        """How arms are compared."""
        return Rules(minibatch=self.minibatch_size, significance=self.significance)

    @classmethod
    def of(cls, given: "SearchSettings | None") -> "SearchSettings":
        """The given settings, or the usual ones. Raises `InputError` for anything else, such as a dictionary."""
        if given is None:
            return cls()
        if not isinstance(given, cls):
            raise InputError(f"search settings are SearchSettings(max_seconds=60), say, not a {type(given).__name__}")
        return given

    def budget(self) -> Budget:
        """A full budget; the clock starts now."""
        return Budget(
            max_calls=self.max_metric_calls, max_seconds=self.max_seconds, max_cost=self.max_cost, price=self.price
        )

    def calls_for(self, texts: int, examples: int) -> int:
        """The most measurements that comparing all candidates for that many texts can take, within the budget."""
        each = cost(schedule(self.rewrites, examples=examples, minibatch=self.minibatch_size))
        calls = examples + self.rounds * texts * each
        return calls if self.max_metric_calls is None else min(calls, self.max_metric_calls)

    @property
    def fewest_examples(self) -> int:
        """With fewer examples every lead could be luck: none reaches the significance."""
        return max(2, fewest_pairs(self.significance))

    def less(self, calls: int) -> "SearchSettings":
        """These settings with that many runs set aside."""
        max_cost = self.max_cost
        if max_cost is not None and not callable(self.price):
            max_cost -= calls * self.price
        max_calls = None if self.max_metric_calls is None else self.max_metric_calls - calls
        return replace(self, max_metric_calls=max_calls, max_cost=max_cost)

    def check_count(self, examples: int, *, counted: str = "") -> None:
        """Raise `InputError` for too few examples to decide anything."""
        least = self.fewest_examples
        if examples < least:
            raise InputError(
                f"a search needs at least {least} examples{counted}, but there are {examples}: on fewer, even "
                f"being right about all of them could be luck (significance={self.significance:g})"
            )

    def check_budget(self, examples: int, *, held_out: int = 0) -> None:
        """Raise `InputError`, with the smallest budget that works, if this one does not allow a single comparison."""
        least = 2 * (examples + held_out)
        if self.max_metric_calls is not None and self.max_metric_calls < least:
            raise InputError(
                f"max_metric_calls={self.max_metric_calls} is too small to compare anything with your prompt on "
                f"{examples + held_out} examples: that takes at least {least}. Raise it, or pass fewer examples."
            )
        if self.max_cost is not None and not callable(self.price) and self.max_cost < least * self.price:
            raise InputError(
                f"max_cost={self.max_cost:g} is too small to compare anything with your prompt on "
                f"{examples + held_out} examples: at {self.price:g} a run, that takes at least {least * self.price:g}."
            )


def check_number(name: str, value: object, *, is_whole: bool = False, may_be_none: bool = False) -> None:
    """Raise `InputError` for a setting that is no number, where it must be one; NaN is none."""
    if value is None and may_be_none:
        return
    if not isinstance(value, Integral if is_whole else Real) or isinstance(value, bool) or value != value:
        wanted = f"a {'whole ' * is_whole}number{' or None' * may_be_none}"
        raise InputError(f"{name} must be {wanted}, not {value!r:.80}")
