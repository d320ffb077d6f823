"""Which of many proposals are tried: those that the rewriter is surest of, and the labels of the right outputs."""

import itertools
from dataclasses import replace

from fipo_integrations.dspy.instructions import Target
from fipo_integrations.dspy.responses import Responses
from fipo_integrations.dspy.rewriting import propose
from fipo_model import FIPO_2, OptimizationRequest, Rewriter, ShownExample
from fipo_model.search import Example, Part, RewriterProposer, Seen
from fipo_model.search.headroom import measure_headroom
from fipo_model.search.meaning import Meaning
from fipo_model.search.tuning import Yardstick
from fipo_model.testing import ScriptedGenerator, ScriptedScorer

PROMPT = "topic of the ticket"
SURE = {
    "Name the topic.": -0.2,
    "Name the topic of the customer.": -0.9,
    "Name the topic plainly.": -0.5,
    "Name the topic of the message.": -1.4,
}
NEWS = [Example(input=f"ticket {number}", outputs=(("billing", "delivery")[number % 2],)) for number in range(12)]


class Unsure(ScriptedGenerator):
    """Says one addition after another, and how sure it is of each."""

    def __init__(self, additions=SURE):
        super().__init__(lambda conversation: "")
        self.additions = itertools.cycle(additions.items())

    def _reply(self, conversation, sampling, number):
        text, likelihood = next(self.additions)
        told = likelihood if sampling.with_likelihood else None
        return replace(super()._reply(conversation, sampling, 0), text=text, log_likelihood=told)


def rewriter() -> Rewriter:
    return Rewriter(Unsure(), template=FIPO_2, least_likelihood=-0.75)


def proposed(candidates: int) -> list[str]:
    shown = {number: ShownExample(input=one.input, output=one.outputs[0]) for number, one in enumerate(NEWS)}
    own, request = rewriter(), OptimizationRequest(PROMPT)
    part = Part(name="prompt", request=request, meaning=Meaning.of(own, request, NEWS, is_answered=True).check)
    proposer = RewriterProposer(rewriter=own, parts=[part], candidates=candidates, seed=0, shown=shown)
    rows = proposer.propose(Seen(texts={"prompt": PROMPT}, measurements={})).by_text["prompt"]
    return [row.text.removeprefix(PROMPT).strip() for row in rows if row.is_usable]


def test_the_surest_samples_are_tried_and_unsure_ones_too_if_there_is_room():
    first = "Name the topic."  # the greedy one comes first in any case
    assert proposed(3) == [first, "Name the topic plainly.", "Name the topic of the customer."]
    assert proposed(4)[-1] == "Name the topic of the message."


def test_a_compile_tries_them_in_the_same_order():
    target, seen = Target.of("self", PROMPT), {"self": Responses(examples=(ShownExample(input="ticket 1"),))}
    rows = propose(rewriter(), [target], [seen], candidates=3, seed=0)["self"]
    assert [row.log_likelihood for row in rows if row.is_usable] == [-0.2, -0.5, -0.9]


def test_an_estimate_measures_what_a_search_would_try():
    scorer = ScriptedScorer(lambda asked, response: -2.0 + ("billing, delivery" in asked[0]["content"]))
    found = measure_headroom(
        rewriter(), PROMPT, examples=NEWS, yardstick=Yardstick(metric=None, models=[scorer]), seed=0
    )
    tried = {one.text.removeprefix(PROMPT).strip(): one.score for one in found.wordings if one.kind == "rewrite"}
    assert tried["Answer with one of: billing, delivery"] == 1
    assert "Name the topic of the customer." in tried  # although it is below the limit of what is used without evidence
    assert found.verdict == "worth it"
