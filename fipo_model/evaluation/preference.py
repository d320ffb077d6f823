"""Preference accuracy: which of two rewrites an optimizer's adapter made likelier, compared with its base."""

from collections.abc import Mapping, Sequence

from fipo_model.backends.transformers.model import LoadedModel
from fipo_model.backends.transformers.scorer import TransformersScorer
from fipo_model.data.records import Record
from fipo_model.errors import PromptTooLongError
from fipo_model.evaluation.systems import System, request_of
from fipo_model.generation import Message
from fipo_model.models.names import resolve_local


def margins(
    system: System, records: Mapping[str, Record], pairs: Mapping[str, tuple[str, str]], keys: Sequence[str]
) -> list[dict[str, float] | dict[str, str]]:
    """By how much the chosen rewrite's implicit reward exceeds the rejected one's, in nats (`margin`).

    That is the log-ratio of model and base (DPO, arXiv 2305.18290, section 4). A pair that does not fit into the
    model's context has a reason instead (`error`).
    """
    template = system.optimizer().rewriter.template
    replies: dict[str, list[tuple[list[Message], str]]] = {}
    for key in keys:
        asked = template.render(request_of(records[key]))
        replies[key] = [(asked, template.reply_for(text, records[key].instruction)) for text in pairs[key]]
    checkpoint = resolve_local(system.settings.model, system.settings.adapter)
    model = TransformersScorer(LoadedModel.from_pretrained(checkpoint.base, adapter=checkpoint.adapter))
    base = TransformersScorer(LoadedModel.from_pretrained(checkpoint.base))
    while True:
        pairs_of_replies = [reply for pair in replies.values() for reply in pair]
        try:
            sums = zip(model.sums(pairs_of_replies), base.sums(pairs_of_replies), strict=True)
            ratios = [after - before for after, before in sums]
            break
        except PromptTooLongError as error:  # checked before anything is computed
            del replies[list(replies)[error.index // 2]]
    found = dict(zip(replies, zip(ratios[::2], ratios[1::2], strict=True), strict=True))
    return [
        {"margin": found[key][0] - found[key][1]} if key in found else {"error": "too long for the model"}
        for key in keys
    ]
