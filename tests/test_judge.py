"""A challenger wins only where the judge prefers it in both orders; everything else keeps the prompt in use."""

import pytest

from fipo_model import FIPO_1, Comparison, LLMJudge, OptimizationRequest, Verdict
from fipo_model.testing import ScriptedGenerator

REQUEST = OptimizationRequest("Name a colour.", context="Paint.", golden_response="Blue.")


def comparison(incumbent: str, challenger: str) -> Comparison:
    return Comparison(request=REQUEST, incumbent=incumbent, challenger=challenger)


def shown(conversation) -> tuple[str, str]:
    """The two prompts a conversation compares, as A and B."""
    text = conversation[-1]["content"]
    rest = text.split("Prompt A:\n")[1]
    first, rest = rest.split("\n\nPrompt B:\n")
    return first, rest.split("\n\nWhich prompt")[0]


def prefers_the_longer(conversation) -> str:
    first, second = shown(conversation)
    return "A" if len(first) > len(second) else "B"


def verdict(*replies: str) -> Verdict:
    """How a comparison ends with these replies: to the incumbent shown first, and to the challenger shown first."""

    def script(conversation) -> str:
        return replies[0] if shown(conversation)[0] == "old" else replies[-1]

    return LLMJudge(ScriptedGenerator(script)).prefer([comparison("old", "new")])[0]


def test_both_orders_of_all_comparisons_are_asked_in_one_batch() -> None:
    generator = ScriptedGenerator(prefers_the_longer)
    LLMJudge(generator).prefer([comparison("a", "bb"), comparison("cc", "d")])
    assert [[shown(conversation) for conversation in call] for call in generator.calls] == [
        [("a", "bb"), ("bb", "a"), ("cc", "d"), ("d", "cc")]
    ]


def test_a_judge_sees_the_request_and_what_it_should_get() -> None:
    generator = ScriptedGenerator(prefers_the_longer)
    LLMJudge(generator).prefer([comparison("old", "newer")])
    assert generator.calls[0][0] == FIPO_1.render_comparison(REQUEST, "old", "newer")
    assert all(part in generator.calls[0][0][-1]["content"] for part in ("Name a colour.", "Paint.", "Blue."))


def test_one_verdict_for_each_comparison_in_order() -> None:
    judge = LLMJudge(ScriptedGenerator(prefers_the_longer))
    verdicts = judge.prefer([comparison("a", "bb"), comparison("cc", "d"), comparison("e", "ff")])
    assert [verdict.winner for verdict in verdicts] == ["challenger", "incumbent", "challenger"]


def test_no_comparisons_give_no_verdicts() -> None:
    assert LLMJudge(ScriptedGenerator(prefers_the_longer)).prefer([]) == []


@pytest.mark.parametrize(
    ("replies", "winner", "reason"),
    [
        (("B", "A"), "challenger", "preferred in both orders"),
        (("A", "B"), "incumbent", "in both orders"),
        (("A", "A"), "tie", "by position"),
        (("B", "B"), "tie", "by position"),
        (("B", "Both"), "tie", "neither A nor B: 'B' and 'Both'"),
        (("", "A"), "tie", "neither A nor B: '' and 'A'"),
        (("Hm.", "Hm."), "tie", "neither A nor B"),
    ],
)
def test_only_a_preference_in_both_orders_wins(replies: tuple[str, str], winner: str, reason: str) -> None:
    found = verdict(*replies)
    assert found.winner == winner
    assert reason in found.reason


CHOICES = [
    *("{}", " {}\n", "{}.", "({})", "**{}**", "“{}”", "[{}]", "{})", "{}:", "{}\n\nIt is clearer."),
    *("Prompt {}", "prompt {}.", "Prompt: {}", "Answer: {}", "**Answer:** {}", "Option {}", "Choice: {}"),
    *("The better prompt is {}.", "The better prompt is **{}**", "The best prompt is Prompt {}.", "The answer is {}"),
    *("Better: {}", "{} is better.", "Prompt {} is the better prompt", "{} is the best", "{} because it says more"),
]


@pytest.mark.parametrize("phrase", CHOICES)
def test_a_choice_is_understood_however_it_is_put(phrase: str) -> None:
    assert verdict(phrase.format("B"), phrase.format("A")).winner == "challenger"
    assert verdict(phrase.format("A"), phrase.format("B")).winner == "incumbent"


UNDECIDED = [
    *("", " ", "\n", "\0", "?", "a", "C", "AB", "Both", "Neither", "Neither A nor B", "I think A", "Not A"),
    *("A good prompt would be", "A better prompt is", "A prompt", "A's", "A’s tone", "Apples", "Better", "As"),
    *("A or B", "B or A", "A and B", "A/B", "A, B", "(A) (B)", "A\nB", "A vs B", "A is worse", "A is not better"),
    *("Prompt A and Prompt B", "The better prompt", "Prompt Alpha", "Both A", "It depends: A"),
]


@pytest.mark.parametrize("reply", UNDECIDED)
def test_what_is_not_clearly_a_choice_decides_nothing(reply: str) -> None:
    for other in ("A", "B"):
        assert verdict(reply, other).winner == "tie"
        assert verdict(other, reply).winner == "tie"


def test_a_long_reply_is_quoted_shortly() -> None:
    assert len(verdict("blah" * 200).reason) < 160


def test_a_comparison_that_is_too_long_is_a_tie_and_the_others_are_decided() -> None:
    # Room for the request and short prompts, and the eight tokens of a verdict.
    judge = LLMJudge(ScriptedGenerator(prefers_the_longer, context_tokens=150))
    verdicts = judge.prefer([comparison("a", "bb"), comparison("old", "word " * 200), comparison("cc", "d")])
    assert [verdict.winner for verdict in verdicts] == ["challenger", "tie", "incumbent"]
    assert "too long for the judge's context" in verdicts[1].reason


def test_the_judge_asks_with_its_own_template() -> None:
    template = type(FIPO_1)(
        name="short",
        optimizer="$naive_prompt",
        context_part="$context",
        silver_part="$silver_response",
        golden_part="$golden_response",
        discriminator="$prompt_a | $prompt_b",
    )
    generator = ScriptedGenerator(lambda conversation: "A")
    LLMJudge(generator, template=template).prefer([comparison("old", "new")])
    assert [conversation[-1]["content"] for conversation in generator.calls[0]] == ["old | new", "new | old"]
