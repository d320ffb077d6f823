"""A language model of DSPy's as the one that rewrites."""

import dspy
import pytest

from fipo_integrations.dspy import FIPO, SearchSettings
from fipo_integrations.dspy.language_model import LMGenerator
from fipo_model import PromptOptimizer, Sampling
from fipo_model.errors import InputError, ServerError
from fipo_model.testing import ScriptedGenerator
from support.dspy_programs import (
    ANIMALS,
    GUIDANCE,
    Answer,
    better_with_guidance,
    careful,
    dspy_model,
    exact,
    examples,
    instructions,
    task_lm,
)

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


def test_a_prompt_model_rewrites():
    lm = dspy_model(ScriptedGenerator(careful), max_tokens=1000)
    using = FIPO(metric=exact, prompt_model=lm, num_threads=1, seed=3, max_metric_calls=100)
    assert (using.search.seed, using.search.max_metric_calls) == (3, 100)
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiled = using.compile(dspy.Predict(Answer), valset=examples(ANIMALS))
    assert GUIDANCE in instructions(compiled)["self"]
    assert compiled.fipo_report["model"] == "local/scripted"
    assert using.get_params()["optimizer"] == "local/scripted"


def test_settings_are_taken_where_dspys_users_expect_them(tmp_path):
    using = FIPO(auto="light", log_dir=tmp_path, search=SearchSettings(candidates=9, seed=5))
    assert (using.search.auto, using.search.rewrites, using.search.seed) == ("light", 9, 5)
    assert using.search.log_dir == tmp_path


def test_replies_come_in_order_and_a_reply_cut_off_says_so():
    cut = ScriptedGenerator(lambda asked: asked[-1]["content"])
    generator = LMGenerator(dspy_model(cut, max_tokens=3))
    asked = [[{"role": "user", "content": text}] for text in ("one", "a b c d e")]
    first, second = generator.generate(asked, Sampling(max_new_tokens=3))
    assert (first[0].text, first[0].is_truncated) == ("one", False)
    assert (second[0].text, second[0].is_truncated) == ("a b c", True)
    assert [len(own) for own in generator.generate(asked, Sampling(temperature=1.0), samples=3)] == [3, 3]
    assert generator.generate([], Sampling()) == []


def test_what_cannot_be_used_is_said():
    with pytest.raises(InputError, match=r"must be a dspy\.LM, not a str"):
        FIPO(prompt_model="gpt")
    lm = dspy_model(ScriptedGenerator(careful))
    with pytest.raises(InputError, match="both say who rewrites"):
        FIPO(prompt_model=lm, optimizer=PromptOptimizer(ScriptedGenerator(careful)))

    def down(asked):
        raise RuntimeError("no route")

    with pytest.raises(ServerError, match=r"local/scripted failed: .*no route"):
        LMGenerator(dspy_model(ScriptedGenerator(down))).generate([[{"role": "user", "content": "x"}]], Sampling())
