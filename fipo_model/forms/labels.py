"""Right outputs that are labels: the same few words again and again, which a prompt should name. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from fipo_model.contract.leaking import is_missing
from fipo_model.contract.patterns import lazy
from fipo_model.forms.moments import are_moments
from fipo_model.forms.numbers import read_quantity, spelled

# More labels than these make a list that small models do not follow; longer ones are no labels.
_FEWEST, _MOST, _MOST_WORDS = 2, 6, 5
_AMOUNT = lazy(r"[-+]?[$€£¥]?[.,]?\d[\d.,]*((?: ?[%°$€£¥]| [^\W\d_]+)?)")
_FLAGS = frozenset("01")
_SPELLED = frozenset(map(spelled, range(1, 11))) | {"zero"}
_ASKS = lazy(r"(?i)\b(?:answer|reply|respond|return|write|output|give|say|label|classify|one of|only|just)\b")

# "a, b or c", "a/b": what a prompt offers to choose from.
_OFFERS = lazy(r"(?i)[^\W\d_] ?/ ?[^\W\d_]|\w,? (?:or|vs\.?|oder) \w")


def misleads(form: str, prompt: str, outputs: Sequence[str]) -> bool:
    """Whether a form would be asked of other words than the outputs: "in capital letters" for POS, NEG and NEU.

    So it is where the prompt offers a choice in its own words ("positive or negative?"), and the form names no output.
    """
    are_words = all(
        output.strip() and not re.search(r"[\d\n]", output) and _is_label(output.strip()) for output in outputs
    )
    is_named = any(_names(text, output.strip()) for output in outputs for text in (form, prompt))
    return are_words and not is_named and _OFFERS.search(prompt) is not None


def label_sentence(prompt: str, outputs: Sequence[str | None], *, is_tried: bool = True) -> str | None:
    """The sentence that asks for one of the labels, where right outputs are labels and the prompt does not do that.

    To name them ("billing or delivery?") is not enough: models then answer with a sentence. The sentence forbids all
    other answers. If nobody tries it on examples (`is_tried`), it must not do so where others may be right, too: of
    numbers and dates a few outputs never show all, unless the prompt names the same.
    """
    if not are_labels(outputs):
        return None
    labels = sorted({(output or "").strip() for output in outputs})
    is_named = all(_names(prompt, label) for label in labels)
    if is_named and _ASKS.search(prompt):
        return None
    if not is_tried and not is_named and _are_open(labels):
        return None
    return f"Answer with one of: {', '.join(labels)}"


def are_labels(outputs: Sequence[str | None]) -> bool:
    """Whether outputs are a few words each from a small set, all of which occur at least twice."""
    labels = Counter("" if output is None else output.strip() for output in outputs)
    is_small = _FEWEST <= len(labels) <= _MOST and min(labels.values()) > 1
    return is_small and all(map(_is_label, labels))


def _are_open(labels: Sequence[str]) -> bool:
    """Whether there are always more of their kind: numbers (but 0 and 1), amounts, dates, times, days, months."""
    known = [label for label in labels if not is_missing(label)]
    if _FLAGS.issuperset(known):
        return False
    return are_moments(known) or _are_amounts(known)


def _are_amounts(labels: Sequence[str]) -> bool:
    found = [_AMOUNT.fullmatch(label) for label in labels]
    units = {match[1].rstrip("s") for match in found if match is not None}
    is_same = None not in found and len(units) == 1
    return is_same or read_quantity(labels) is not None or all(label.lower() in _SPELLED for label in labels)


def _is_label(output: str) -> bool:
    is_listable = bool(output) and not re.search(r"[,;\n{}]", output)
    return is_listable and len(output.split()) <= _MOST_WORDS


def _names(prompt: str, label: str) -> bool:
    return re.search(rf"(?i)(?<!\w){re.escape(label)}(?!\w)", prompt) is not None
