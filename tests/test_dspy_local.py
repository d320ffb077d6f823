"""A model of ours as the language model of DSPy programs, and the adapter for models that are too small for DSPy's."""

import asyncio
import copy
from pathlib import Path

import dspy
import pytest

from fipo_integrations.dspy import PlainAdapter, local_lm
from fipo_integrations.dspy.local import is_local
from fipo_model import Message, Sampling
from fipo_model.errors import InputError
from fipo_model.testing import ScriptedGenerator
from support.dspy_programs import Answer, answering

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


class Noting(ScriptedGenerator):
    """A model that notes how it was asked."""

    def __init__(self, script=lambda _: answering("four")) -> None:
        super().__init__(script)
        self.samplings: list[Sampling] = []

    def generate(self, conversations, sampling, *, samples=1):
        self.samplings.append(sampling)
        return super().generate(conversations, sampling, samples=samples)


def test_a_generator_answers_a_program():
    seen: list[list[Message]] = []

    def script(turns: list[Message]) -> str:
        seen.append(turns)
        return answering("four")

    with dspy.context(lm=local_lm(ScriptedGenerator(script))):
        assert dspy.Predict(Answer)(question="How many legs has a cat?").answer == "four"
    assert [turn["role"] for turn in seen[0]] == ["system", "user"]
    assert "Answer the question." in seen[0][0]["content"]
    assert "How many legs has a cat?" in seen[0][1]["content"]


def test_its_settings_are_the_models_the_predictors_and_the_calls():
    model = Noting()
    predict = dspy.Predict(Answer, temperature=0.5)
    with dspy.context(lm=local_lm(model, max_tokens=99)):
        dspy.Predict(Answer)(question="?")
        predict(question="?")
        predict(question="?", config={"max_tokens": 7, "top_p": 0.5})
    assert [(one.max_new_tokens, one.temperature, one.top_p) for one in model.samplings] == [
        (99, 0.0, 1.0),
        (99, 0.5, 1.0),
        (7, 0.5, 0.5),
    ]


def test_greedy_calls_can_share_a_batch_and_samples_differ_as_the_seed_says():
    def asked(seed: int) -> list[Sampling]:
        model = Noting()
        with dspy.context(lm=local_lm(model, seed=seed)):
            for temperature in (0.0, 0.0, 1.0, 1.0):
                dspy.Predict(Answer, temperature=temperature)(question="?")
        return model.samplings

    first, second, third, fourth = asked(0)
    assert first == second
    assert third.seed != fourth.seed
    assert asked(0) == [first, second, third, fourth]
    assert {one.seed for one in asked(1)[2:]}.isdisjoint({third.seed, fourth.seed})


def test_several_completions_are_several_samples():
    model = Noting()
    with dspy.context(lm=local_lm(model)):
        found = dspy.Predict(Answer, n=3, temperature=1.0)(question="?")
    assert len(found.completions.answer) == 3
    assert len({one.seed for one in model.samplings}) == 3


def test_copies_share_the_model_and_it_has_no_cache():
    model = Noting()
    model.__class__.__deepcopy__ = None  # a model that cannot be copied
    lm = local_lm(model)
    try:
        for one in (lm, lm.copy(temperature=1.0), copy.deepcopy(lm)):
            assert is_local(one)
            with dspy.context(lm=one):
                dspy.Predict(Answer)(question="?")
    finally:
        del model.__class__.__deepcopy__
    assert [one.temperature for one in model.samplings] == [0.0, 1.0, 0.0]


def test_it_answers_asyncio_and_its_tokens_are_counted():
    with dspy.context(lm=local_lm(Noting()), track_usage=True):
        found = asyncio.run(dspy.Predict(Answer).acall(question="?"))
        assert found.answer == "four"
        usage = dspy.Predict(Answer)(question="?").get_lm_usage()
    assert usage["local/scripted"]["completion_tokens"] > 0


def test_a_reply_that_was_cut_off_says_so(caplog: pytest.LogCaptureFixture):
    lm = local_lm(ScriptedGenerator(lambda _: "one two three"), max_tokens=2)
    assert lm("Count.") == ["one two"]
    with dspy.context(lm=lm, adapter=PlainAdapter()):
        assert dspy.Predict("text -> count")(text="?").count == "one two"


def test_images_are_refused_in_a_sentence():
    model = ScriptedGenerator(lambda _: "x")
    picture = dspy.Image("data:image/png;base64,iVBORw0KGgo=")
    with dspy.context(lm=local_lm(model)), pytest.raises(Exception, match="reads only text"):
        dspy.Predict("picture: dspy.Image -> animal")(picture=picture)
    assert model.calls == []


@pytest.mark.parametrize("model", [dspy.LM("openai/x"), 7])
def test_what_is_no_model_is_refused(model: object):
    with pytest.raises(InputError):
        local_lm(model)


@pytest.mark.real
def test_the_default_base_answers_without_its_adapter_and_keeps_to_dspys_format(default_weights: Path):
    lm = local_lm("qwen2.5-coder-0.5b", max_tokens=40)
    assert lm.model == local_lm().model == "local/qwen2.5-coder-0.5b"
    signature = dspy.Signature("ticket -> topic", "Sort the ticket of a customer: billing, delivery or account.")
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)):
        for ticket in ("I was charged twice in March.", "My parcel has not arrived yet."):
            assert dspy.Predict(signature)(ticket=ticket).topic


class TestPlainAdapter:
    def test_it_shows_demos_as_turns_and_leaves_out_those_without_an_answer(self):
        signature = dspy.Signature("text, note -> label", "Say it.")
        demos = [{"text": "a", "label": "positive"}, {"text": "b"}]
        assert PlainAdapter().format(signature, demos, {"text": "c", "note": "d"}) == [
            {"role": "user", "content": "Say it.\n\ntext: a"},
            {"role": "assistant", "content": "positive"},
            {"role": "user", "content": "text: c\nnote: d"},
        ]

    def test_the_whole_reply_is_the_output(self):
        with dspy.context(lm=local_lm(ScriptedGenerator(lambda _: " a cat \n")), adapter=PlainAdapter()):
            assert dspy.Predict("text -> animal")(text="It purrs.").animal == "a cat"

    def test_several_outputs_are_refused_before_the_model_is_asked(self):
        model = ScriptedGenerator(lambda _: "a cat")
        with (
            dspy.context(lm=local_lm(model), adapter=PlainAdapter()),
            pytest.raises(InputError, match="one output, but this predictor has reasoning, animal"),
        ):
            dspy.ChainOfThought("text -> animal")(text="It purrs.")
        assert model.calls == []
