"""optimize_prompt with examples: what the rewriter is shown, and which of several rewrites is used."""

import json
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableLambda

from fipo_integrations.langchain import optimize_chain, optimize_prompt
from fipo_integrations.langchain.examples import text_of
from fipo_model import FIPO_2, Comparison, Message, PromptOptimizer, Verdict
from fipo_model.errors import InputError, ModelError
from fipo_model.rewriter import Rewriter
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.langchain_prompts import better, outcomes, replying, rewrite


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def optimizer(generator: ScriptedGenerator) -> PromptOptimizer:
    return PromptOptimizer(generator)


class Balance:
    """A judge that prefers rewrites with a word in them, on the examples whose context has a word in it."""

    def __init__(self, wins: dict[str, dict[str, str]]) -> None:
        self.wins = wins
        self.calls: list[list[Comparison]] = []

    def prefer(self, comparisons: Any) -> list[Verdict]:
        self.calls.append(list(comparisons))
        return [Verdict(winner=self._winner(each), reason="so") for each in comparisons]

    def _winner(self, comparison: Comparison) -> Any:
        of = next((wins for word, wins in self.wins.items() if word in comparison.challenger), {})
        return next((who for word, who in of.items() if word in (comparison.request.context or "")), "tie")


MOOD = PromptTemplate.from_template("Classify the mood of {text} in a word.")
MOODS = [({"text": "rain"}, "sad"), ({"text": "sun"}, "glad"), ({"text": "fog"}, None)]


class TestExamples:
    def test_silver_responses_come_from_one_batch_and_the_rewriter_sees_all(self, generator: ScriptedGenerator):
        batches: list[int] = []

        class Model(FakeListChatModel):
            def batch(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
                batches.append(len(inputs))
                return [AIMessage(f"Mood of {value.to_string().split()[4]}") for value in inputs]

        new, report = optimize_prompt(
            MOOD,
            optimizer=PromptOptimizer(generator),
            examples=MOODS,
            downstream=Model(responses=[]) | StrOutputParser(),
        )
        assert batches == [3]
        assert generator.batch_sizes == [3]
        for conversation, (inputs, golden) in zip(generator.calls[0], MOODS, strict=True):
            shown = conversation[-1]["content"]
            assert f"Context (it will follow the prompt, do not repeat it):\ntext: {inputs['text']}\n\n" in shown
            assert f"Silver response (what the naive prompt got):\nMood of {inputs['text']}\n\n" in shown
            assert ("Golden response" in shown) == (golden is not None)
            assert golden is None or f"do not give it away):\n{golden}\n\n" in shown
        assert new.template == better(MOOD.template)
        assert outcomes(report) == [("template", "optimized")]

    def test_without_downstream_there_are_no_silver_responses(self, generator: ScriptedGenerator):
        optimize_prompt(MOOD, optimizer=PromptOptimizer(generator), examples=MOODS)
        shown = generator.calls[0][0][-1]["content"]
        assert "Silver response" not in shown
        assert "Golden response (what it should get, do not give it away):\nsad\n\n" in shown

    def test_the_rest_of_the_template_and_the_inputs_are_the_context(self, generator: ScriptedGenerator):
        template = PromptTemplate.from_template("Classify the mood below.\n\nText: {text}")
        optimize_prompt(template, optimizer=PromptOptimizer(generator), examples=[({"text": "rain", "n": 3}, "sad")])
        assert "do not repeat it):\nText: {text}\n\ntext: rain\nn: 3\n\nGolden" in generator.calls[0][0][-1]["content"]

    def test_the_rewrite_proposed_most_often_is_used(self):
        def script(conversation: list[Message]) -> str:
            word = "carefully" if "text: rain" in conversation[-1]["content"] else "precisely"
            return f"Classify the mood of {{text}} in a word, {word}."

        optimizer = PromptOptimizer(ScriptedGenerator(script))
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS)
        assert new.template == "Classify the mood of {text} in a word, precisely."
        assert len(report.changes[0].candidates) == 3

    def test_a_rewrite_that_gives_away_another_examples_response_is_not_used(self):
        secret = "the crimson walrus naps under tall birches"

        def script(conversation: list[Message]) -> str:
            told = "text: rain" in conversation[-1]["content"]
            return naive_in(conversation) + (" Be careful." if told else f" Say that {secret}.")

        examples = [({"text": "rain"}, secret), ({"text": "sun"}, "glad"), ({"text": "fog"}, "grey")]
        new, report = optimize_prompt(MOOD, optimizer=PromptOptimizer(ScriptedGenerator(script)), examples=examples)
        assert new.template == f"{MOOD.template} Be careful."  # though the other was proposed twice
        leaked = [candidate for candidate in report.changes[0].candidates if secret in candidate.text]
        assert [candidate.outcome for candidate in leaked] == ["golden_leaked"] * 2

    def test_where_every_rewrite_gives_a_response_away_the_template_stays(self):
        secret = "the crimson walrus naps under tall birches"
        examples = [({"text": "rain"}, secret), ({"text": "sun"}, "glad")]
        optimizer = replying(lambda naive: f"{naive} Say that {secret}.")
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=examples)
        assert new is MOOD
        assert outcomes(report) == [("template", "golden_leaked")]

    @pytest.mark.parametrize(
        ("wins", "expected"),
        [
            ({"often": {"rain": "challenger", "sun": "incumbent"}, "seldom": {"sun": "challenger"}}, "seldom"),
            ({"often": {"rain": "challenger", "sun": "challenger", "fog": "incumbent"}, "seldom": {}}, "often"),
            ({"often": {"rain": "challenger", "sun": "incumbent"}, "seldom": {}}, None),
            ({"often": {"rain": "incumbent"}, "seldom": {"sun": "incumbent"}}, None),
        ],
        ids=["more balanced", "more wins than losses", "evened out", "lost"],
    )
    def test_the_judge_decides_by_wins_less_losses(self, wins: Any, expected: str | None):
        def script(conversation: list[Message]) -> str:
            word = "seldom" if "text: sun" in conversation[-1]["content"] else "often"
            return f"{naive_in(conversation)} Think {word}."

        judge = Balance(wins)
        optimizer = PromptOptimizer(ScriptedGenerator(script), judge=judge)
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS)
        if expected is None:
            assert new is MOOD
            assert outcomes(report) == [("template", "not_preferred")]
            assert "did not win on more examples than it lost" in report.changes[0].detail
        else:
            assert new.template == f"{MOOD.template} Think {expected}."
        assert [len(call) for call in judge.calls] == [6]  # two rewrites on three examples, at once

    @pytest.mark.parametrize(
        ("example", "said"),
        [
            (({"text": "rain"},), " must be a pair"),
            (("rain", "sad"), " must be a pair"),
            ([{"text": "rain"}, "sad"], " must be a pair"),
            ("ab", " must be a pair"),
            (None, " must be a pair"),
            ({"text": "rain"}, ": there is no `input`; its fields are 'text'"),
            ({"input": {"text": "rain"}, "outputs": ["sad", " "]}, ": a right output is empty"),
            (({"text": "rain"}, ""), ": a right output is empty"),
        ],
    )
    def test_wrong_examples_are_named(self, example: Any, said: str):
        asking = replying(lambda _: pytest.fail("a model was asked"))
        with pytest.raises(InputError, match=f"example 1{said}"):
            optimize_prompt(MOOD, optimizer=asking, examples=[({"text": "sun"}, "glad"), example])

    def test_of_several_right_outputs_the_first_is_shown_but_one_that_the_prompt_got_is_never_wrong(self):
        asked: list[str] = []

        def unsure(conversation: list[Message]) -> str:
            asked.append(conversation[-1]["content"])
            return "Answer briefly."

        own = PromptOptimizer.from_rewriter(Rewriter(ScriptedGenerator(unsure), template=FIPO_2))
        rows = [
            {"input": {"text": "rain"}, "outputs": ["sad", "gloomy"]},
            {"input": {"text": "hail"}, "outputs": ["angry", "fierce"]},
        ]
        optimize_prompt(MOOD, optimizer=own, examples=rows, downstream=RunnableLambda(lambda _: "gloomy"))
        (request,) = asked
        assert request.count("Right output: gloomy") == 1
        assert request.count("Right output: angry") == 1
        assert request.count("Wrong output: gloomy") == 1

    def test_errors_of_the_model_downstream_are_raised(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        def fail(value: Any) -> Any:
            raise ModelError("the model is away")

        with pytest.raises(ModelError, match="the model is away"):
            optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS, downstream=RunnableLambda(fail))
        assert generator.calls == []

    def test_every_example_must_fill_the_template_before_a_model_is_asked(self):
        asking = replying(lambda _: pytest.fail("a model was asked"))
        downstream = RunnableLambda(lambda value: pytest.fail("the chain ran"))
        examples = [({"text": "sun"}, "glad")] * 3 + [({"txt": "rain"}, "sad")]
        said = r"example 3: the template has \{text\}, but the input has 'txt'"
        for options in ({}, {"metric": "exact"}):
            with pytest.raises(InputError, match=said):
                optimize_prompt(MOOD, optimizer=asking, examples=examples, downstream=downstream, **options)
        with pytest.raises(InputError, match=said):
            optimize_chain(MOOD | downstream, optimizer=asking, examples=examples, metric="exact")
        two = PromptTemplate.from_template("Say the {what} of: {text}")
        with pytest.raises(InputError, match=r"the template has \{text\} and \{what\}, but the input is a single text"):
            optimize_chain(two | downstream, optimizer=asking, examples=[("sun", "glad")] * 4, metric="exact")

    def test_an_example_too_long_for_the_rewriter_does_not_keep_others_from_it(self, generator: ScriptedGenerator):
        examples = [({"text": "word " * 400}, "sad"), ({"text": "sun"}, "glad")]
        new, _ = optimize_prompt(MOOD, optimizer=PromptOptimizer(generator), examples=examples)
        assert new.template == better(MOOD.template)
        kept, report = optimize_prompt(MOOD, optimizer=PromptOptimizer(generator), examples=examples[:1])
        assert kept is MOOD
        assert "the model's context holds 500" in report.unreached[0].reason

    def test_variables_are_checked_with_examples_too(self):
        optimizer = replying(lambda naive: f"{naive} Mind {{text}}.")
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS)
        assert new is MOOD
        assert outcomes(report) == [("template", "placeholder_doubled")]

    def test_outputs_of_every_kind_become_text(self):
        message = AIMessage([{"type": "text", "text": "Well"}, {"type": "image_url", "image_url": {"url": "data:,"}}])
        assert text_of(message) == "Well"
        assert text_of(None) is None
        assert text_of("plain") == "plain"
        assert text_of({"mood": "süß", "n": [1]}) == '{"mood": "süß", "n": [1]}'
        assert json.loads(text_of(PromptTemplate.from_template("{a}")) or "")["template"] == "{a}"


def test_a_rewriter_that_adds_is_shown_several_examples_in_one_request_and_the_rules_know_all():
    asked: list[str] = []

    def unsure(conversation: list[Message]) -> str:
        asked.append(conversation[-1]["content"])
        return "Write the sum."

    teams = ("billing", "workshop", "delivery")
    rows = [({"mail": f"message {number}"}, teams[number % 3]) for number in range(9)]
    own = PromptOptimizer.from_rewriter(Rewriter(ScriptedGenerator(unsure), template=FIPO_2))
    template = ChatPromptTemplate.from_messages([("system", "which team"), ("human", "{mail}")])
    new, _ = optimize_prompt(template, optimizer=own, examples=rows, downstream=RunnableLambda(lambda _: "no idea"))
    (request,) = asked
    assert request.count("Right output:") == 4
    assert request.count("Wrong output: no idea") == 4
    assert "Answer with one of: billing, delivery, workshop" in new.messages[0].prompt.template
