"""FIPO as GEPA's proposer, and agents whose protocol stays byte for byte while their task is rewritten."""

import copy
import functools
import inspect
import json

import dspy
import gepa
import pytest
from dspy.teleprompt import GEPA, BetterTogether, BootstrapFewShot, Teleprompter
from dspy.utils.callback import BaseCallback
from gepa.core.adapter import EvaluationBatch, GEPAAdapter

from fipo_integrations.dspy import FIPO, FIPOProposer
from fipo_integrations.dspy.proposer import quoted_answer
from fipo_model import Message
from support.conversations import naive_in
from support.dspy_programs import (
    GUIDANCE,
    QUESTIONS,
    Answer,
    Zoo,
    answering,
    any_lead,
    better_with_guidance,
    exact,
    examples,
    fipo,
    instructions,
    optimizer,
    outcomes,
    task_lm,
    unsure,
)

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


def record(answer: str, feedback: str = "This is not it.") -> dict[str, object]:
    return {"Inputs": {"question": "A cat?"}, "Generated Outputs": {"answer": answer}, "Feedback": feedback}


RECORDS = {"answer": [record("one"), record("two"), record("three")]}
CANDIDATE = {"answer": "Answer the question.", "sort": "Sort the ticket."}


def told(proposer_optimizer) -> list[str]:
    return [
        conversation[-1]["content"] for call in proposer_optimizer.rewriter.generator.calls for conversation in call
    ]


def test_it_proposes_a_text_for_each_component_it_is_asked_about():
    proposed = FIPOProposer(optimizer=optimizer())(CANDIDATE, RECORDS, ["answer", "sort"])
    assert set(proposed) == {"answer", "sort"}
    assert all(text.startswith(f"{CANDIDATE[name]} {GUIDANCE} (sample-") for name, text in proposed.items())
    assert set(FIPOProposer(optimizer=optimizer())(CANDIDATE, RECORDS, ["sort"])) == {"sort"}


def test_it_proposes_what_the_rewriter_is_unsure_of_because_gepas_metric_decides():
    proposed = FIPOProposer(optimizer=unsure())(CANDIDATE, RECORDS, ["answer"])
    assert proposed["answer"].startswith(f"{CANDIDATE['answer']} {GUIDANCE}")


def test_records_become_responses_and_other_ones_with_each_call():
    using = optimizer()
    proposer = FIPOProposer(optimizer=using)
    proposals = [proposer(CANDIDATE, RECORDS, ["answer"])["answer"] for _ in range(8)]
    shown = [text for text in told(using) if "Silver response" in text]
    assert {word for word in ("one", "two", "three") for text in shown if f"got):\n{word}\n" in text} == {
        "one",
        "two",
        "three",
    }
    assert len(set(proposals)) == 8
    assert not any("Golden response (" in text for text in shown)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_seed_reproduces_the_proposals(seed):
    def proposals(seed: int) -> list[dict[str, str]]:
        proposer = FIPOProposer(optimizer=optimizer(), seed=seed)
        return [proposer(CANDIDATE, RECORDS, ["answer"]) for _ in range(3)]

    assert proposals(seed) == proposals(seed) != proposals(seed + 1)


@pytest.mark.parametrize(
    ("feedback", "golden"),
    [
        ("The generated response is incorrect. The correct answer is 'four legs'. Ensure that it is.", "four legs"),
        ('Expected output: "4"', "4"),
        ("The right answer was `refund`.", "refund"),
        ("The correct answer is 'it's done'. Well.", "it's done"),
        ("The correct answer is four legs. Be careful.", None),
        ("The correct answer is 'a' or maybe the correct answer is 'b'.", None),
        ("The correct answer is not 'two legs'.", None),
        ("This trajectory got a score of 1.0.", None),
        ("You said 'four legs', which is wrong.", None),
        ("", None),
    ],
)
def test_the_golden_response_is_taken_only_where_it_is_quoted_as_such(feedback, golden):
    assert quoted_answer(record("x", feedback)) == golden
    using = optimizer()
    program = dspy.Predict(Answer)
    FIPOProposer(optimizer=using, program=program)({"self": "Answer it."}, {"self": [record("x", feedback)]}, ["self"])
    shown = [text for text in told(using) if "Silver response" in text]
    assert all(("Golden response (" in text) == (golden is not None) for text in shown)
    assert golden is None or f"give it away):\n{golden}\n" in shown[0]


@pytest.mark.parametrize("program", [None, Zoo()])
def test_the_programs_answer_is_not_shown_to_a_component_that_may_not_give_it(program):
    using = optimizer()
    said = "Too long. The correct answer is 'a. b'. Be brief."
    FIPOProposer(optimizer=using, program=program)(CANDIDATE, {"answer": [record("x", said)]}, ["answer"])
    (shown, *_) = [text for text in told(using) if "Silver response" in text]
    assert "Golden response (" not in shown
    assert "a. b" not in shown
    assert "Feedback on what it got:\nToo long. Be brief.\n" in shown
    assert "Input: A cat?\n" in shown


def test_a_component_sees_its_own_trace_alone():
    using = optimizer()
    records = {"answer": [record("one", "Say more.")], "sort": [record("two", "Say less.")]}
    FIPOProposer(optimizer=using)(CANDIDATE, records, ["answer", "sort"])
    shown = {text.split("\n")[1]: text for text in told(using) if "Silver response" in text}
    assert "one" in shown[CANDIDATE["answer"]]
    assert "Say more." in shown[CANDIDATE["answer"]]
    assert "two" not in shown[CANDIDATE["answer"]]
    assert "Say less." not in shown[CANDIDATE["answer"]]
    assert "two" in shown[CANDIDATE["sort"]]
    assert "Say less." in shown[CANDIDATE["sort"]]


def test_the_records_of_mlflows_prompt_optimizer_are_read_too():
    # As GepaPromptOptimizer of mlflow 3.17 makes them; the components are prompts of its registry, with variables.
    using = optimizer()
    said = {"correctness": "The city is missing.", "tone": "Too curt.", "length": None}
    row = {
        **{"component_name": "sort", "trace": [], "score": 0.0, "index": 0},
        **{"inputs": {"text": "A cat?"}, "outputs": "wrong", "expectations": {"expected_response": "right"}},
        "rationales": said,
    }
    prompt = {"sort": "Sort the ticket: {{text}}"}
    proposed = FIPOProposer(optimizer=using)(prompt, {"sort": [row]}, ["sort"])
    assert "{{text}}" in proposed["sort"] != prompt["sort"]
    (shown, *_) = [text for text in told(using) if "Silver response (what the naive prompt got):\nwrong\n" in text]
    assert "The city is missing. Too curt." in shown
    assert "None" not in shown
    assert "right" not in shown


SYSTEM, USER = {"role": "system", "content": "Sort the ticket."}, {"role": "user", "content": "{{text}}"}


def test_the_chat_prompts_of_mlflow_stay_messages():
    # optimize_prompts hands them over as JSON, and ends with an error where what comes back is no list of messages.
    using = optimizer()
    proposed = FIPOProposer(optimizer=using)({"sort": json.dumps([SYSTEM, USER])}, {}, ["sort"])
    first, second = json.loads(proposed["sort"])
    assert (first["role"], second) == ("system", USER)
    assert first["content"].startswith("Sort the ticket. ")
    assert naive_in(using.rewriter.generator.calls[0][0]) == "Sort the ticket."
    lost = FIPOProposer(optimizer=optimizer(lambda conversation: ""))
    assert lost({"sort": json.dumps([SYSTEM, USER])}, {}, ["sort"]) == {"sort": json.dumps([SYSTEM, USER])}


@pytest.mark.parametrize("text", ["[1, 2]", '{"role": "user"}', '[{"role": "assistant", "content": "Hi"}]', "[a", "7"])
def test_what_only_looks_like_messages_is_a_text(text):
    using = optimizer()
    FIPOProposer(optimizer=using)({"sort": text}, {}, ["sort"])
    assert naive_in(using.rewriter.generator.calls[0][0]) == text


def test_the_golden_response_can_be_found_another_way():
    using = optimizer()
    proposer = FIPOProposer(optimizer=using, golden=lambda record: record["Expected"])
    proposer(CANDIDATE, {"answer": [{**record("x"), "Expected": "four"}]}, ["answer"])
    assert any("give it away):\nfour\n" in text for text in told(using))


@pytest.mark.parametrize("rewrite", ["", "Sure! 42.", "Answer the question. Look at `nonsense`."])
def test_what_fails_the_checks_leaves_the_text_as_it_is(rewrite):
    proposer = FIPOProposer(optimizer=optimizer(lambda conversation: rewrite))
    assert proposer(CANDIDATE, RECORDS, ["answer"]) == {"answer": CANDIDATE["answer"]}


def test_fields_of_the_records_and_of_the_program_may_be_named():
    def names_the_field(conversation: list[Message]) -> str:
        return f"{naive_in(conversation)} Look at `question` first."

    using = optimizer(names_the_field)
    assert "`question`" in FIPOProposer(optimizer=using)(CANDIDATE, RECORDS, ["answer"])["answer"]
    using = optimizer(names_the_field)
    program = Zoo()
    assert "`question`" in FIPOProposer(optimizer=using, program=program)(CANDIDATE, {}, ["answer"])["answer"]
    assert "question: {question} (what a visitor of the zoo wants to know)" in told(using)[0]


def test_the_default_weights_are_not_loaded_for_nothing_and_it_can_be_copied():
    proposer = FIPOProposer()
    assert proposer(CANDIDATE, RECORDS, []) == {}
    assert copy.deepcopy(proposer)(CANDIDATE, RECORDS, []) == {}


# In GEPA


def with_feedback(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return dspy.Prediction(score=float(exact(gold, pred)), feedback=f"The correct answer is '{gold.answer}'.")


def test_gepa_needs_no_reflection_model_with_it():
    using = optimizer()
    proposer = FIPOProposer(optimizer=using, program=Zoo())
    with dspy.context(lm=task_lm(better_with_guidance)):
        compiler = GEPA(metric=with_feedback, instruction_proposer=proposer, max_metric_calls=30, num_threads=1)
        compiled = compiler.compile(Zoo(), trainset=examples(), valset=examples(QUESTIONS[1:]))
    assert GUIDANCE in instructions(compiled)["answer"]
    shown = [text for text in told(using) if "got):\nwrong\n" in text]
    assert shown
    assert not any("Golden response (" in text for text in shown)  # of two predictors, one may not answer


class Arithmetic(GEPAAdapter):
    """The package's own kind of task, without DSPy: right if the text asks for care."""

    def evaluate(self, batch, candidate, capture_traces=False):
        right = GUIDANCE in candidate["system"]
        outputs = ["4" if right else "5"] * len(batch)
        traces = [{"output": output} for output in outputs]
        return EvaluationBatch(outputs=outputs, scores=[float(right)] * len(batch), trajectories=traces)

    def make_reflective_dataset(self, candidate, eval_batch, components_to_update):
        feedback = "The correct answer is '4'."
        records = [
            {"Inputs": "2 + 2", "Generated Outputs": trace["output"], "Feedback": feedback}
            for trace in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, records)


@pytest.mark.skipif(
    "custom_candidate_proposer" not in inspect.signature(gepa.optimize).parameters,
    reason="DSPy 3.2 needs gepa 0.0.27, whose `optimize` takes no proposer",
)
def test_it_proposes_to_the_package_gepa():
    using = optimizer()
    result = gepa.optimize(
        seed_candidate={"system": "Add the numbers."},
        trainset=[1, 2, 3],
        valset=[4, 5],
        adapter=Arithmetic(),
        custom_candidate_proposer=FIPOProposer(optimizer=using, golden=quoted_answer),
        max_metric_calls=20,
    )
    assert GUIDANCE in result.best_candidate["system"]
    assert any("got):\n5\n" in text and "give it away):\n4\n" in text for text in told(using))


@pytest.mark.parametrize("second", ["gepa", "boot"])
def test_it_goes_first_in_better_together(second):
    student = Zoo()
    student.set_lm(task_lm(better_with_guidance))
    members = {
        "gepa": GEPA(
            metric=with_feedback,
            instruction_proposer=FIPOProposer(optimizer=optimizer()),
            max_metric_calls=15,
            num_threads=1,
        ),
        "boot": BootstrapFewShot(metric=exact),
    }
    first = fipo(metric=exact, search=any_lead(candidates=2))
    together = BetterTogether(metric=exact, fipo=first, **{second: members[second]})
    data = {"trainset": examples(QUESTIONS * 2), "valset": examples()}
    compiled = together.compile(student, **data, strategy=f"fipo -> {second}")
    assert not compiled.flag_compilation_error_occurred
    scores = {candidate["strategy"]: candidate["score"] for candidate in compiled.candidate_programs}
    assert scores == {"": 33.33, "fipo": 100.0, f"fipo -> {second}": 100.0}
    assert all(predictor.lm is not None for predictor in compiled.predictors())


# Agents


def legs(animal: str) -> str:
    """Says how many legs an animal has, e.g. `legs("cat")`."""
    return "4"


def agent() -> dspy.ReAct:
    return dspy.ReAct(Answer, tools=[legs])


PROTOCOL = agent().react.signature.instructions.removeprefix("Answer the question.")


@pytest.mark.parametrize("times", [1, 2])
def test_the_tools_and_the_protocol_of_an_agent_stay_byte_for_byte(times):
    using, compiled = fipo(), agent()
    for _ in range(times):
        compiled = using.compile(compiled)
    task = f"Answer the question. {GUIDANCE}"  # the second time, the same addition adds no word
    assert compiled.react.signature.instructions == task + PROTOCOL
    assert not any("You are an Agent" in text for text in told(using.optimizer))
    assert "question: {question}" in told(using.optimizer)[0]
    assert compiled.fipo_report["predictors"][0]["text"] == task + PROTOCOL


def test_lines_that_are_indented_in_a_rewrite_do_not_move_the_protocol():
    rewrite = "  Answer the question:\n\n      - with care,\n      - in words.\n"
    compiled = fipo(lambda conversation: rewrite).compile(agent())
    assert compiled.react.signature.instructions == f"Answer the question:\n\n- with care,\n- in words.{PROTOCOL}"


def test_an_agent_still_runs_and_a_saved_one_loads(tmp_path):
    def act(instruction: str, question: str) -> str:
        if "next_tool_name" not in instruction:
            return f"[[ ## reasoning ## ]]\nIt said so.\n\n{answering('right')}"
        name, arguments = ("finish", {}) if "observation_0" in question else ("legs", {"animal": "cat"})
        fields = {"next_thought": "Look.", "next_tool_name": name, "next_tool_args": json.dumps(arguments)}
        return "\n\n".join(f"[[ ## {field} ## ]]\n{value}" for field, value in fields.items())

    with dspy.context(lm=task_lm(act)):
        compiled = fipo(metric=exact, search=any_lead(candidates=2)).compile(agent(), trainset=examples())
        result = compiled(question="A cat?")
    assert result.trajectory["observation_0"] == "4"
    assert compiled.score == 100.0
    compiled.save(tmp_path / "agent.json")
    again = agent()
    again.load(tmp_path / "agent.json")
    assert instructions(again) == instructions(compiled)


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("You are an Agent.", "You are a robot."), lambda text: text + "\n" + text]
)
def test_an_agents_text_that_cannot_be_told_apart_for_sure_stays(change):
    student = agent()
    student.react.signature = student.react.signature.with_instructions(change(student.react.signature.instructions))
    compiled = fipo().compile(student)
    assert outcomes(compiled) == {"react": "protected", "extract.predict": "optimized"}
    assert instructions(compiled)["react"] == instructions(student)["react"]


def test_the_proposer_keeps_protocols_too():
    react = instructions(agent())["react"]
    using = optimizer()
    proposed = FIPOProposer(optimizer=using)({"react": react}, {}, ["react"])["react"]
    assert proposed.endswith(PROTOCOL)
    assert GUIDANCE in proposed
    unknown = "Use the tools. Reply with next_tool_name."
    assert FIPOProposer(optimizer=optimizer())({"step": unknown}, {}, ["step"]) == {"step": unknown}
    program = dspy.RLM(Answer)
    text = instructions(program)["generate_action"]
    proposer = FIPOProposer(optimizer=optimizer(), program=program)
    assert proposer({"generate_action": text}, {}, ["generate_action"]) == {"generate_action": text}


def test_a_tracker_can_log_a_compile_and_every_evaluation_in_it(tmp_path, monkeypatch):
    # What mlflow.dspy.autolog does, which is not among the test's dependencies: it wraps `compile` of the direct
    # subclasses of Teleprompter, logs their get_params(), and saves the program of each evaluation and the result.
    logged: list[str] = []

    class Tracker(BaseCallback):
        def on_evaluate_start(self, call_id, instance, inputs):
            inputs["program"].save(tmp_path / f"{len(logged)}.json")
            logged.append(inputs["callback_metadata"]["metric_key"])

    (original,) = [one.compile for one in Teleprompter.__subclasses__() if one is FIPO]

    @functools.wraps(original)
    def tracked(self, *args, **kwargs):
        logged.append(json.dumps(self.get_params()))
        compiled = original(self, *args, **kwargs)
        compiled.save(tmp_path / "best_model.json")
        return compiled

    monkeypatch.setattr(FIPO, "compile", tracked)
    with dspy.context(lm=task_lm(better_with_guidance), callbacks=[Tracker()]):
        compiled = fipo(metric=exact).compile(Zoo(), trainset=examples())
    assert logged[0].startswith('{"optimizer": "scripted", "metric": "exact"')
    assert logged[1] == "eval_full"
    again = Zoo()
    again.load(tmp_path / "best_model.json")
    assert instructions(again) == instructions(compiled)
