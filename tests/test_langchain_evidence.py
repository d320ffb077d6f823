"""optimize_prompt and optimize_chain with a metric: what the chain gives out decides, by more than luck."""

import asyncio
import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableSequence
from pydantic import BaseModel

from fipo_integrations.langchain import (
    GeneratorChatModel,
    aoptimize_chain,
    aoptimize_prompt,
    optimize_chain,
    optimize_prompt,
)
from fipo_model import FIPO_2, Message, PromptOptimizer
from fipo_model.errors import InputError, ServerError
from fipo_model.search import SearchSettings, digest_of
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator, ScriptedScorer

MOOD = ChatPromptTemplate.from_messages([("system", "Say the mood of the text."), ("human", "{text}")])
ROWS = [({"text": f"text {number}"}, "sad" if number % 2 else "glad") for number in range(12)]
ADDED = ("Avoid explanations.", "Be friendly.", "Be careful.")
SMALL = SearchSettings(candidates=3)
SMALL_AND_PATIENT = SearchSettings(candidates=3, patience=0.1)


def proposing(conversation: list[Message]) -> str:
    """A rewriter whose three additions come in turn with what it is shown."""
    return ADDED[len(conversation[-1]["content"]) % 3]


class Model:
    """Says the right word alone only where it is told to avoid explanations."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, value: Any) -> AIMessage:
        self.calls += 1
        system, human = value.to_messages()
        mood = "sad" if int(human.content.split()[1]) % 2 else "glad"
        return AIMessage(mood if "explanations" in system.content else f"The mood seems to be {mood}, I think.")


@pytest.fixture
def optimizer() -> PromptOptimizer:
    class Cycling(ScriptedGenerator):
        """Each request and sample has the next of the additions."""

        def _reply(self, conversation: Any, sampling: Any, number: int) -> Any:
            self.count = getattr(self, "count", -1) + 1
            completion = super()._reply(conversation, sampling, number)
            return type(completion)(
                text=ADDED[self.count % 3], is_truncated=False, prompt_tokens=1, completion_tokens=3
            )

    return PromptOptimizer(Cycling(proposing), template=FIPO_2)


def system_of(template: Any) -> str:
    return template.messages[0].prompt.template


class Mood(BaseModel):
    mood: str
    count: int


class TestAMetric:
    def test_the_rewrite_that_the_chain_does_better_with_is_used(self, optimizer: PromptOptimizer):
        model = Model()
        better, report = optimize_prompt(
            MOOD, optimizer=optimizer, examples=ROWS, metric="exact", downstream=RunnableLambda(model), search=SMALL
        )
        assert system_of(better) == "Say the mood of the text.\n\nAvoid explanations."
        assert [change.outcome for change in report.changes] == ["optimized"]
        assert report.chosen_on is not None
        assert (report.chosen_on.before.score, report.chosen_on.after.score) == (0, 1)
        assert "On the 8 examples that decided: from 0 to 1, a gain of +1" in str(report)
        assert report.held_out is not None
        assert (report.held_out.after.examples, report.held_out.after.score) == (4, 1)
        assert "On the 4 held-out examples: from 0 to 1" in str(report)
        assert report.measured_by == "what the metric exact gives to the chain's outputs"
        assert report.as_dict()["searched"]["chosen_on"]["after"]["score"] == 1
        assert model.calls >= 24

    def test_the_labels_of_the_right_outputs_are_tried_by_rule(self, optimizer: PromptOptimizer):
        def answers(value: Any) -> AIMessage:
            system, human = value.to_messages()
            mood = "sad" if int(human.content.split()[1]) % 2 else "glad"
            return AIMessage(mood if "one of: glad, sad" in system.content else "melancholy")

        model = RunnableLambda(answers)
        better, _ = optimize_prompt(
            MOOD, optimizer=optimizer, examples=ROWS, metric="exact", downstream=model, search=SMALL
        )
        assert system_of(better) == "Say the mood of the text.\n\nAnswer with one of: glad, sad"

    def test_what_gives_every_input_the_same_answer_is_no_success(self, optimizer: PromptOptimizer):
        model = RunnableLambda(lambda value: AIMessage("sad" if "explanations" in value.to_string() else "Well, sad."))
        options = {"examples": ROWS, "metric": "exact", "downstream": model, "search": SMALL}
        _, report = optimize_prompt(MOOD, optimizer=optimizer, **options)
        assert not report.is_rewritten
        assert report.changes[0].detail.startswith(
            "a rewrite leads, but with it the model answers 'sad' to 8 of 8 inputs"
        )

    def test_ctrl_c_ends_the_search(self, optimizer: PromptOptimizer):
        """LangChain's sequences return it as if it were an output, and a user's search went on for minutes."""
        calls = itertools.count()

        def interrupted(value: Any) -> AIMessage:
            if next(calls) == 2:
                raise KeyboardInterrupt
            return AIMessage("sad")

        downstream = RunnableLambda(interrupted) | StrOutputParser()
        with pytest.raises(KeyboardInterrupt):
            optimize_prompt(MOOD, optimizer=optimizer, examples=ROWS, metric="exact", downstream=downstream)

    def test_without_examples_the_report_says_what_was_refused_and_what_to_do_next(self):
        refusing = PromptOptimizer(ScriptedGenerator(lambda _: "Answer in 7 words."), template=FIPO_2)
        _, report = optimize_prompt(MOOD, optimizer=refusing)
        assert not report.is_rewritten
        assert "refused: Answer in 7 words." in str(report)
        assert "Next: optimize_chain(chain, examples=[...]" in str(report)

    def test_few_examples_hold_none_out_and_it_is_said(self, optimizer: PromptOptimizer):
        options = {"examples": ROWS[:10], "metric": "exact", "downstream": RunnableLambda(Model()), "search": SMALL}
        _, report = optimize_prompt(MOOD, optimizer=optimizer, **options)
        assert report.held_out is None
        assert "No examples were held out (twelve are needed)" in str(report)

    @pytest.mark.parametrize("metric", ["exact", "json_fields", "contains", "f1"])
    @pytest.mark.parametrize("has_objects", [False, True])
    def test_objects_are_compared_by_their_fields(self, optimizer: PromptOptimizer, metric: str, has_objects: bool):
        def tells(value: Any) -> Mood:
            return Mood(mood=Model()(value).content, count=1)

        rows = [
            (given, Mood(mood=mood, count=1) if has_objects else {"mood": mood, "count": 1}) for given, mood in ROWS
        ]
        _, report = optimize_chain(
            MOOD | RunnableLambda(tells), optimizer=optimizer, examples=rows, metric=metric, search=SMALL
        )
        assert report.searched.chosen_on.after.score == 1
        assert report.searched.chosen_on.before.score < 1

    def test_ones_own_metric_sees_the_objects(self, optimizer: PromptOptimizer):
        chain = MOOD | RunnableLambda(lambda value: Mood(mood=Model()(value).content, count=1))
        rows = [(given, Mood(mood=mood, count=1)) for given, mood in ROWS]
        _, report = optimize_chain(
            chain,
            optimizer=optimizer,
            examples=(row for row in rows),
            metric=lambda right, said, given: right.mood == said.mood,
            search=SMALL,
        )
        assert report.searched.chosen_on.after.score == 1

    def test_where_no_rewrite_is_better_the_template_stays(self, optimizer: PromptOptimizer):
        same, report = optimize_prompt(
            MOOD,
            optimizer=optimizer,
            examples=ROWS,
            metric="contains",
            downstream=RunnableLambda(Model()) | StrOutputParser(),
            search=SMALL,
        )
        assert same is MOOD
        assert [change.outcome for change in report.changes] == ["unchanged"]
        assert "are right already, so there is nothing to gain" in report.changes[0].detail

    @pytest.mark.parametrize(
        "shape",
        [
            "pairs",
            "rows",
            "rows with what a model said",
            "rows with several right outputs",
            "langsmith",
            "langsmith rows",
        ],
    )
    def test_examples_come_in_every_shape(self, optimizer: PromptOptimizer, shape: str):
        class LangSmithExample:
            """What LangSmith's client gives, by its attributes."""

            def __init__(self, given: Any, right: Any) -> None:
                self.inputs, self.outputs = given, {"mood": right}

        made = {
            "pairs": ROWS,
            "rows": [{"input": given, "output": right} for given, right in ROWS],
            "rows with what a model said": [
                {"input": given, "output": "wrong", "reference": right} for given, right in ROWS
            ],
            "rows with several right outputs": [
                {"input": given, "outputs": [f"{right} or so", right]} for given, right in ROWS
            ],
            "langsmith": [LangSmithExample(*row) for row in ROWS],
            "langsmith rows": [{"inputs": given, "outputs": {"mood": right}} for given, right in ROWS],
        }[shape]
        better, _ = optimize_chain(
            MOOD | RunnableLambda(Model()), optimizer=optimizer, examples=made, metric="exact", search=SMALL
        )
        assert system_of(better.first).endswith("Avoid explanations.")

    def test_of_several_right_outputs_the_one_that_fits_best_counts(self, optimizer: PromptOptimizer):
        rows = [{"input": given, "outputs": ["", "a pity", right]} for given, right in ROWS]
        with pytest.raises(InputError, match="example 0: a right output is empty"):
            optimize_chain(MOOD | RunnableLambda(Model()), optimizer=optimizer, examples=rows, metric="f1")
        rows = [{"input": given, "outputs": ["a pity", right]} for given, right in ROWS]
        _, report = optimize_chain(MOOD | RunnableLambda(Model()), optimizer=optimizer, examples=rows, metric="f1")
        assert report.chosen_on is not None
        assert report.chosen_on.after.score == 1

    @pytest.mark.parametrize("right", [["not JSON", {"mood": "sad"}], [{"mood": "sad"}, "not JSON"]])
    def test_every_right_output_must_fit_the_metric(self, optimizer: PromptOptimizer, right: Any):
        rows = [{"input": given, "outputs": right} for given, _ in ROWS]
        with pytest.raises(InputError, match="example 0: "):
            optimize_chain(MOOD | RunnableLambda(Model()), optimizer=optimizer, examples=rows, metric="json_fields")

    @pytest.mark.parametrize("of", ["step", "chain"])
    def test_a_batch_that_fails_as_a_whole_is_run_one_by_one(self, optimizer: PromptOptimizer, of: str):
        class Step(RunnableLambda):
            """A step of the user's own that knows nothing of `return_exceptions`."""

            def batch(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
                return [self.invoke(value) for value in inputs]

        class Chain(RunnableSequence):
            """A chain of the user's own that does not, either."""

            def batch(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
                return [self.invoke(value) for value in inputs]

        model = Model()

        def failing(value: Any) -> AIMessage:
            if "text 3" in value.to_string():
                raise ValueError("3 is unheard of")
            return model(value)

        chain = MOOD | Step(failing) if of == "step" else Chain(MOOD, RunnableLambda(failing))
        better, report = optimize_chain(chain, optimizer=optimizer, examples=ROWS, metric="exact", search=SMALL)
        assert system_of(better.first).endswith("Avoid explanations.")
        assert report.searched is not None
        assert report.searched.first_failure == "ValueError: 3 is unheard of"
        assert report.chosen_on is not None
        assert report.held_out is not None
        assert report.chosen_on.after.failed + report.held_out.after.failed == 1

    def test_a_chain_that_changes_its_input_gets_the_same_one_again(self, optimizer: PromptOptimizer):
        chain = RunnableLambda(lambda given: {"text": given.pop("text")}) | MOOD | RunnableLambda(Model())
        rows = [(dict(given), right) for given, right in ROWS]
        better, _ = optimize_chain(chain, optimizer=optimizer, examples=rows, metric="exact", search=SMALL)
        assert system_of(better.middle[0]).endswith("Avoid explanations.")

    def test_ones_own_metric_sees_reference_output_and_input(self, optimizer: PromptOptimizer):
        seen: list[Any] = []

        def brief(reference: str, output: str, given: Any) -> float:
            seen.append((reference, given["text"]))
            return -len(output)

        better, _ = optimize_prompt(
            MOOD, optimizer=optimizer, examples=ROWS, metric=brief, downstream=RunnableLambda(Model()), search=SMALL
        )
        assert system_of(better).endswith("Avoid explanations.")
        assert ("glad", "text 0") in seen

    def test_both_have_asynchronous_twins(self, optimizer: PromptOptimizer):
        async def both() -> tuple[Any, Any]:
            options: dict[str, Any] = {"optimizer": optimizer, "examples": ROWS, "metric": "exact", "search": SMALL}
            prompt = await aoptimize_prompt(MOOD, downstream=RunnableLambda(Model()), **options)
            return prompt, await aoptimize_chain(MOOD | RunnableLambda(Model()), **options)

        (template, _), (chain, _) = asyncio.run(both())
        assert system_of(template) == system_of(chain.first) == "Say the mood of the text.\n\nAvoid explanations."

    def test_an_interrupted_search_resumes(self, optimizer: PromptOptimizer, tmp_path: Path):
        settings = SearchSettings(candidates=3, log_dir=tmp_path)
        calls = []
        for _ in range(2):
            model = Model()
            better, _ = optimize_chain(
                MOOD | RunnableLambda(model), optimizer=optimizer, examples=ROWS, metric="exact", search=settings
            )
            calls.append(model.calls)
            assert system_of(better.first).endswith("Avoid explanations.")
        assert calls[0] > 0
        assert calls[1] == 0

    def test_what_was_found_is_in_the_store_and_not_searched_again(self, optimizer: PromptOptimizer, tmp_path: Path):
        store = RewriteStore(tmp_path / "rewrites.jsonl")
        for expected in (True, False):
            model = Model()
            better, _ = optimize_prompt(
                MOOD,
                optimizer=optimizer,
                examples=ROWS,
                metric="exact",
                downstream=RunnableLambda(model),
                search=SMALL,
                store=store,
            )
            assert system_of(better).endswith("Avoid explanations.")
            assert (model.calls > 0) == expected
        assert "held-out examples" in store.entries()[0].evidence

    def test_two_prompts_of_a_chain_are_chosen_together(self, optimizer: PromptOptimizer):
        model = Model()
        chain = (
            MOOD
            | RunnableLambda(model)
            | (lambda message: {"mood": message.content})
            | PromptTemplate.from_template("Translate this mood to French: {mood}")
        )
        better, report = optimize_chain(
            chain,
            optimizer=optimizer,
            examples=[(given, f"Translate this mood to French: {right}") for given, right in ROWS],
            metric=lambda reference, output: output.text.endswith(reference.split(": ")[1]) and len(output.text) < 80,
            search=SMALL,
        )
        assert [change.outcome for change in report.changes] == ["optimized", "not_preferred"]
        assert system_of(better.first).endswith("Avoid explanations.")


def answering(conversation: list[Message]) -> str:
    """A model that says the right word alone only where it is told to avoid explanations."""
    system, human = (turn["content"] for turn in conversation)
    mood = "sad" if int(human.split()[-1]) % 2 else "glad"
    return mood if "explanations" in system else f"The mood seems to be {mood}, I think."


def naming(name: str = "good", **options: Any) -> GeneratorChatModel:
    return GeneratorChatModel(generator=ScriptedGenerator(answering, name=name), **options)


class Asking:
    """A step of the user's own that holds a model."""

    def __init__(self, model: GeneratorChatModel) -> None:
        self.model = model

    def __call__(self, value: Any) -> Any:
        return self.model.invoke(value)


def asking(model: GeneratorChatModel) -> RunnableLambda:
    return RunnableLambda(lambda value: model.invoke(value))


OTHER = ChatPromptTemplate.from_messages([("system", "Say the mood of the text."), ("human", "It is: {text}")])
CHAINS = {
    "another model": (MOOD | naming(), MOOD | naming("bad")),
    "another model in a function": (MOOD | asking(naming()), MOOD | asking(naming("bad"))),
    "another model in an object": (MOOD | RunnableLambda(Asking(naming())), MOOD | RunnableLambda(Asking(naming("b")))),
    "another setting of the model": (MOOD | naming(), MOOD | naming(max_tokens=4)),
    "another option in a call": (MOOD | naming().bind(stop=["I"]), MOOD | naming().bind(stop=["seems"])),
    "another function": (MOOD | naming() | (lambda said: said.text), MOOD | naming() | (lambda said: said.text[:1])),
    "another message": (MOOD | naming(), OTHER | naming()),
}
WISHES: dict[str, Any] = {
    "keep": ("mood",),
    "max_words": 20,
    "feedback": "Too long.",
    "turns": 2,
    "max_examples": 4,
    "minibatch_size": 2,
}


class TestResuming:
    def run(self, chain: Any, folder: Path, optimizer: PromptOptimizer, **wishes: Any) -> Any:
        asked = {name: wishes.pop(name) for name in ("keep", "max_words", "feedback") if name in wishes}
        search = SearchSettings(candidates=3, log_dir=folder, **wishes)
        return optimize_chain(chain, optimizer=optimizer, examples=ROWS, metric="exact", search=search, **asked)

    @pytest.mark.parametrize("what", CHAINS)
    def test_another_chain_does_not_get_the_scores_of_the_first(
        self, optimizer: PromptOptimizer, tmp_path: Path, what: str
    ):
        first, second = CHAINS[what]
        self.run(first, tmp_path, optimizer)
        with pytest.raises(InputError, match="models was" if "another model" in what else "chain was"):
            self.run(second, tmp_path, optimizer)

    @pytest.mark.parametrize("wish", WISHES)
    def test_another_wish_does_not_get_the_scores_of_the_first(
        self, optimizer: PromptOptimizer, tmp_path: Path, wish: str
    ):
        self.run(MOOD | naming(), tmp_path, optimizer)
        with pytest.raises(InputError, match=f"{wish} was"):
            self.run(MOOD | naming(), tmp_path, optimizer, **{wish: WISHES[wish]})

    def test_a_chain_that_remembers_its_runs_resumes(self, optimizer: PromptOptimizer, tmp_path: Path):
        said: list[Any] = []

        def remember(value: Any) -> Any:
            said.append(value)
            return value

        chain = MOOD | asking(naming()) | remember
        self.run(chain, tmp_path, optimizer)
        runs = len(said)
        assert runs > 0
        self.run(chain, tmp_path, optimizer)
        assert len(said) == runs

    def test_a_judge_that_a_metric_names_is_told_from_another(self):
        def judged_by(model):
            names = {"__name__": __name__, "judge": ChatPromptTemplate.from_messages([("human", "{said}")]) | model}
            exec("def metric(right, said): return judge.invoke(said)", names)
            return digest_of(names["metric"])

        one, same, other = (FakeListChatModel(responses=[said]) for said in ("yes", "yes", "no"))
        assert judged_by(one) == judged_by(same) != judged_by(other)

    def test_a_chain_is_the_same_in_every_process(self):
        code = """
            from langchain_core.prompts import ChatPromptTemplate
            from fipo_integrations.langchain import GeneratorChatModel
            from fipo_integrations.langchain.identity import identity
            from fipo_model.testing import ScriptedGenerator

            def brief(said):
                return said.text if said.text in {"sad", "glad", "calm", "angry"} else ""

            prompt = ChatPromptTemplate.from_messages([("system", "Say the mood."), ("human", "{text}")])
            prompt = prompt.partial(day=lambda: "Monday")
            model = GeneratorChatModel(generator=ScriptedGenerator(brief))
            print(identity(prompt | model.bind(tools=[brief]) | brief))
        """
        said = {
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(code)],
                env={**os.environ, "PYTHONHASHSEED": str(seed)},
                cwd=Path(__file__).parents[1],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for seed in (1, 2)
        }
        assert len(said) == 1
        assert "'models': ['GeneratorChatModel scripted']" in said.pop()


def likely(conversation: list[Message]) -> float:
    return -1.0 if "explanations" in conversation[0]["content"] else -2.0


class TestLikelihood:
    def test_without_a_metric_right_outputs_decide(self, optimizer: PromptOptimizer):
        scorer = ScriptedScorer(lambda conversation, response: likely(conversation))
        better, report = optimize_prompt(MOOD, optimizer=optimizer, examples=ROWS, downstream=scorer, search=SMALL)
        assert system_of(better).endswith("Avoid explanations.")
        assert report.chosen_on is not None
        assert report.chosen_on.after.score == -1
        assert scorer.calls[0][0][0] == [
            {"role": "system", "content": "Say the mood of the text."},
            {"role": "user", "content": "text 0"},
        ]

    def test_of_several_right_outputs_the_likeliest_counts(self, optimizer: PromptOptimizer):
        scorer = ScriptedScorer(lambda conversation, said: likely(conversation) if said in ("sad", "glad") else -9.0)
        rows = [{"input": given, "outputs": ["unheard", right]} for given, right in ROWS]
        _, report = optimize_prompt(MOOD, optimizer=optimizer, examples=rows, downstream=scorer, search=SMALL)
        assert report.chosen_on is not None
        assert (report.chosen_on.before.score, report.chosen_on.after.score) == (-2, -1)

    def test_an_example_too_long_for_the_scorer_does_not_end_the_search(self, optimizer: PromptOptimizer):
        scorer = ScriptedScorer(lambda conversation, response: likely(conversation), context_tokens=40)
        long = [({"text": "word " * 50 + str(number)}, "sad") for number in range(2)]
        better, report = optimize_prompt(
            MOOD, optimizer=optimizer, examples=[*long, *ROWS], downstream=scorer, search=SMALL
        )
        assert system_of(better).endswith("Avoid explanations.")
        assert report.searched is not None
        assert "the model's context holds 40" in str(report.searched.first_failure)

    def test_a_scorer_that_is_away_for_a_moment_does_not_end_the_search(self, optimizer: PromptOptimizer):
        calls = itertools.count()

        def away(conversation: list[Message], response: str) -> float:
            if next(calls) == 0:
                raise ServerError("the server is away")
            return likely(conversation)

        better, report = optimize_prompt(
            MOOD, optimizer=optimizer, examples=ROWS, downstream=ScriptedScorer(away), search=SMALL_AND_PATIENT
        )
        assert system_of(better).endswith("Avoid explanations.")
        assert report.searched is not None
        assert report.searched.tried_again > 0

    def test_a_template_that_fails_for_one_example_does_not_end_the_search(self, optimizer: PromptOptimizer):
        class Length(dict):
            """A value that cannot be written out."""

            def __format__(self, spec: str) -> str:
                raise ValueError("nobody knows")

        scorer = ScriptedScorer(lambda conversation, response: likely(conversation))
        rows: list[Any] = [*ROWS, ({"text": Length()}, "sad")]
        better, report = optimize_prompt(MOOD, optimizer=optimizer, examples=rows, downstream=scorer, search=SMALL)
        assert system_of(better).endswith("Avoid explanations.")
        assert report.searched is not None
        assert report.searched.first_failure == "ValueError: nobody knows"

    def test_what_no_scorer_can_read_is_an_error(self, optimizer: PromptOptimizer):
        seeing = ChatPromptTemplate.from_messages(
            [("system", "Say the mood."), ("human", [{"type": "image_url", "image_url": {"url": "{text}"}}])]
        )
        with pytest.raises(InputError, match="this model reads only text"):
            optimize_prompt(seeing, optimizer=optimizer, examples=ROWS, downstream=ScriptedScorer(lambda *_: -1.0))


class TestWhatIsRefused:
    def test_what_nothing_could_decide_on(self, optimizer: PromptOptimizer):
        chain = MOOD | RunnableLambda(Model())
        with pytest.raises(InputError, match="need a metric"):
            optimize_chain(chain, optimizer=optimizer, examples=ROWS)
        with pytest.raises(InputError, match="example 0: there is no right output"):
            optimize_chain(chain, optimizer=optimizer, examples=[({"text": "text 1"}, None)] * 4, metric="exact")
        unasked = PromptOptimizer(ScriptedGenerator(lambda asked: pytest.fail("the rewriter was asked")))
        with pytest.raises(InputError, match="pass what follows the template as downstream"):
            optimize_prompt(MOOD, optimizer=unasked, examples=ROWS, metric="exact")
        with pytest.raises(InputError, match="example 1: there is no `input`; its fields are 'text'"):
            optimize_chain(chain, optimizer=optimizer, examples=[ROWS[0], {"text": "x"}], metric="exact")
