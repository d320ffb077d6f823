"""Right outputs that are labels: the same few words again and again, which a prompt should name. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from fipo_model.contract.patterns import lazy

# More labels than these make a list that small models do not follow; longer ones are no labels.
_FEWEST, _MOST, _MOST_WORDS = 2, 6, 5
_ASKS = lazy(r"(?i)\b(?:answer|reply|respond|return|write|output|give|say|label|classify|one of|only|just)\b")


def label_sentence(prompt: str, outputs: Sequence[str | None]) -> str | None:
    """The sentence that asks for one of the labels, where right outputs are labels and the prompt does not do that.

    To name them ("billing or delivery?") is not enough: models then answer with a sentence.
    """
    if not are_labels(outputs):
        return None
    labels = sorted({(output or "").strip() for output in outputs})
    if _ASKS.search(prompt) and all(_names(prompt, label) for label in labels):
        return None
    return f"Answer with one of: {', '.join(labels)}"


def are_labels(outputs: Sequence[str | None]) -> bool:
    """Whether outputs are a few words each from a small set, all of which occur at least twice."""
    labels = Counter("" if output is None else output.strip() for output in outputs)
    is_small = _FEWEST <= len(labels) <= _MOST and min(labels.values()) > 1
    return is_small and all(map(_is_label, labels))


def _is_label(output: str) -> bool:
    is_listable = bool(output) and not re.search(r"[,;\n{}]", output)
    return is_listable and len(output.split()) <= _MOST_WORDS


def _names(prompt: str, label: str) -> bool:
    return re.search(rf"(?i)(?<!\w){re.escape(label)}(?!\w)", prompt) is not None
