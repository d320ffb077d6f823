"""Each fidelity rule turns down what it is named for, and lets honest rewrites pass."""

import json
import re
from pathlib import Path

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.errors import InputError
from fipo_model.fidelity import OTHER_OUTCOMES, RULES, check
from fipo_model.templates import FIPO_2
from fipo_model.types import OUTCOMES

_ROOT = Path(__file__).parents[1]
_PAIRS = Path(__file__).parents[2] / "shared" / "data" / "prompt_pairs"
_LONG_GOLDEN = "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen inside the chloroplasts."


def outcome(naive: str, rewrite: str, **fields: object) -> str:
    request = OptimizationRequest(naive, **fields)  # type: ignore[arg-type]
    return check(rewrite, request, FidelitySettings(), FIPO_1).outcome


@pytest.mark.parametrize(
    ("expected", "naive", "rewrite", "fields"),
    [
        ("empty", "Explain rain.", "  ", {}),
        ("template_echoed", "Explain rain.", "Naive prompt: Explain rain to a child.", {}),
        ("template_echoed", "Explain rain.", "Explain rain.\n\nPrompt A: explain rain", {}),
        ("template_echoed", "Explain rain.", "The original prompt asks to explain rain, so explain rain.", {}),
        ("template_echoed", "Explain rain.", "Explain rain. Make sure the prompt is detailed.", {}),
        ("answered", "Explain rain.", "Sure, here is how to explain rain.", {}),
        ("answered", "Name a river in Europe.", "The most famous river in Europe is the Danube.", {}),
        ("answered", "What is 17 times 3?", "Multiply 17 by 3. The answer is 51.", {}),
        ("answered", "What is 17 times 3?", "What is 17 times 3?\nSo the answer is 51, please check.", {}),
        ("answered", "Write a sort function.", "Write a sort function:\n```python\nsorted(x)\n```", {}),
        (
            "answered",
            "Explain rain to me.",
            "Explain that rain falls when droplets in clouds merge and grow heavy enough.",
            {"silver_response": "Rain falls when droplets in clouds merge and grow heavy enough to fall."},
        ),
        ("placeholder_lost", "Explain {topic} briefly.", "Explain the topic briefly and clearly.", {}),
        ("placeholder_lost", "Explain {{topic}} briefly.", "Explain {topic} briefly and clearly.", {}),
        ("placeholder_lost", "Print {price:.2f} briefly.", "Print {price} briefly and clearly.", {}),
        ("placeholder_lost", "Greet {user.name} briefly.", "Greet the user briefly and clearly.", {}),
        ("placeholder_lost", "Explain {items[0]} briefly.", "Explain the item briefly and clearly.", {}),
        ("placeholder_lost", "Greet {{ name | upper }} briefly.", "Greet {{ name }} briefly and clearly.", {}),
        ("placeholder_lost", "Explain {étape} briefly.", "Explain the step briefly and clearly.", {}),
        ("placeholder_lost", "Explain {質問} briefly.", "Explain the question briefly and clearly.", {}),
        ("placeholder_lost", "Translate {} to French.", "Translate the text to French, keeping its tone.", {}),
        ("placeholder_lost", "Greet ${name} briefly.", "Greet {name} briefly and clearly.", {}),
        ("placeholder_lost", "Greet {{{name}}} briefly.", "Greet {{name}} briefly and clearly.", {}),
        ("placeholder_invented", "Translate this text: hello", "Translate this text: {} hello", {}),
        ("placeholder_invented", "Explain the topic.", "Explain the {topic} to a {audience}.", {}),
        ("literal_lost", "Explain <topic> to me.", "Explain the given topic to me.", {"keep": ("<topic>",)}),
        ("url_lost", "Summarize https://a.org/b?c=d.", "Summarize the page https://a.org/b in a sentence.", {}),
        ("url_lost", "Summarize https://a.org/b now.", "Summarize the page https://a.org/bc/d in a sentence.", {}),
        ("url_lost", "Summarize https://a.org now.", "Summarize the page https://a.org.b.net in a sentence.", {}),
        ("url_lost", "Describe ftp://a.org/b.csv.", "Describe the data file in a sentence.", {}),
        ("email_lost", "Write to ann@a.co.", "Write a polite e-mail to ann@a.com.", {}),
        ("email_lost", "Write to ann@a.co.", "Write a polite e-mail to joann@a.co.", {}),
        ("email_lost", "Write to ann@a.org.", "Write a polite e-mail to Ann.", {}),
        ("code_lost", "Explain `a = b` to me.", "Explain the assignment to me, step by step.", {}),
        ("code_lost", "Explain:\n```\nx = 1\n```", "Explain the code, step by step:\n```\nx = 2\n```", {}),
        (
            "code_lost",
            "Fix this:\n\nint i = 0\nwhile (i < 3) {\nprint(i);",
            "Fix this:\nint i = 0\nwhile (i < 4) {\nprint(i);",
            {},
        ),
        (
            "code_lost",
            "Why is it slow?\nfor x in range(n):\n  f[x]\n",
            "Why is it slow?\nfor x in set(range(n)):\n  f[x]\n",
            {},
        ),
        ("code_lost", "Debug it.\nreturn [a[0)\n", "Debug it, step by step.\nreturn [a[0]]\n", {}),
        ("code_lost", "Explain what `is` does.", "Explain what this operator does, with an example.", {}),
        ("code_lost", "Explain:\n```\nx = y\n", "Explain the code, step by step, for a beginner.", {}),
        ("code_lost", "Explain:\n~~~python\nf(x)\n~~~\nBe brief.", "Explain the code. Be brief and clear.", {}),
        ("quotation_lost", 'Use "cat" in a sentence.', "Use a word of the category animals in a sentence.", {}),
        ("quotation_lost", "Translate „Guten Tag“ to French.", "Translate the greeting to French.", {}),
        ("quotation_lost", 'Translate "good day" to French.', 'Translate "good morning" to French.', {}),
        ("quotation_lost", "Translate 'good day' to French.", "Translate the greeting to French.", {}),
        ("number_lost", "Name 3 rivers.", "Name some rivers and their lengths.", {}),
        ("number_lost", "Compute 2.5 percent of 80.", "Compute 25 percent of 80, step by step.", {}),
        ("number_lost", "Convert -40 Celsius.", "Convert 40 degrees Celsius and show each step.", {}),
        ("number_lost", "Explain the limit as x -> -1.", "Explain the limit as x -> 1, step by step.", {}),
        ("number_lost", "Explain a dose of .5 mg.", "Explain a dose of 5 mg, step by step.", {}),
        (
            "golden_leaked",
            "Which planet is largest?",
            "Which planet, Jupiter, is largest?",
            {"golden_response": "Jupiter"},
        ),
        ("golden_leaked", "Pick an option.", "Pick an option. Hint: the option is B.", {"golden_response": "B"}),
        (
            "golden_leaked",
            "Explain photosynthesis.",
            "Explain photosynthesis, which turns light, water and carbon dioxide into sugar and oxygen.",
            {"golden_response": _LONG_GOLDEN},
        ),
        (
            "context_copied",
            "Summarize the text.",
            "Summarize the text: the quick brown fox jumps over the lazy dog near a quiet river bank.",
            {"context": "The quick brown fox jumps over the lazy dog near a quiet river bank every day."},
        ),
        ("too_long", "Explain rain.", "Explain rain and " + "its causes, " * 40, {}),
        ("too_long", "Explain rain.", "Explain rain to a child of six.", {"max_words": 5}),
        ("repetitive", "Explain rain.", "Explain rain to a child. " * 9, {"max_words": 100}),
        ("repetitive", "Explain rain.", "\n".join(["Explain rain to everyone.", "Explain rain to everyone."] * 2), {}),
        ("off_topic", "Explain photosynthesis in desert plants.", "Describe the history of Roman aqueducts.", {}),
        ("unchanged", "Explain  rain.", "Explain rain. ", {}),
    ],
)
def test_a_rule_turns_down_what_it_is_named_for(
    expected: str, naive: str, rewrite: str, fields: dict[str, object]
) -> None:
    assert outcome(naive, rewrite, **fields) == expected


@pytest.mark.parametrize(
    ("naive", "rewrite", "fields"),
    [
        ("Explain rain.", "Explain to a six-year-old how rain forms. Use short sentences.", {}),
        ("Summarize {text} for {reader}.", "You are an editor. Summarize {text} for {reader} in three sentences.", {}),
        ("Hello {{name}}, list rivers.", "Greet {{ name }} and list rivers by length.", {}),
        ('Return {"a": 1} as XML.', 'Return the object {"a": 1} as XML, indented.', {}),
        ("Return the object as JSON.", 'Return the object as JSON, such as {"a": {}, "b":{}}, not as x = {}.', {}),
        ("Explain {a.b[0]} and ${c}.", "Explain in plain words {a.b[0]} and ${c}.", {}),
        ('Translate "good day" to French.', "Translate “good day” to French, in a formal tone.", {}),
        ("Explain the dog's bark and the cats' purr.", "Explain why a dog barks and cats purr, in plain words.", {}),
        ("Add 1,000 and 2000.", "Add 1000 and 2,000. Show each step.", {}),
        ("Add 5-7 and .5 on 2024-01-05.", "Add 5 to 7 and 0.5, dated 2024-01-05. Show each step.", {}),
        ("Add \u221240 to it.", "Add -40 to it. Show each step.", {}),
        ("Sort the list [1,200,300].", "Sort the list [1, 200, 300] in ascending order.", {}),
        ("Summarize **https://a.org/b**, please.", "Summarize the page (“https://a.org/b”) in one sentence.", {}),
        ("请总结https://a.org/b的内容，用三句话。", "请用三句话总结 https://a.org/b，要求简洁。", {}),
        ("请写信给ann@a.org。", "请给ann@a.org写一封礼貌的信。", {}),
        ("请翻译“你好”。", "请把你好翻译一下，并保持语气。", {}),
        ("Explain:\r\n```\r\nx\r\ny\r\n```", "Explain this code step by step:\n```\nx\ny\n```", {}),
        ("Explain:\n~~~\nx\n~~~", "Explain this code step by step:\n```\nx\n```", {}),
        ('Spell the word "sight."', 'Spell the word "sight", letter by letter.', {}),
        ('Spell the word "sight".', 'Spell this word, letter by letter: "sight."', {}),
        ("Write a prompt for a castle.", "Write a prompt for a castle. Make sure the prompt is detailed.", {}),
        ("What is 17 times 3?", "What is 17 times 3? Make sure the answer is a single number.", {}),
        ("Summarize https://a.org/b?c=d.", "Summarize the page at https://a.org/b?c=d in one sentence.", {}),
        ("Pick A or B for the film.", "Pick A or B for the film and say why.", {"golden_response": "A"}),
        ("Is it good or bad?", "Say whether it is good or bad, in one word.", {"golden_response": "good"}),
        (
            "Generate a word which can be an adjective, verb, and adverb.",
            "Generate a word that can function as an adjective, verb, and adverb.",
            {"golden_response": "The word can function as an adjective, verb, and adverb: fast."},
        ),
        ("Erkläre den Regen.", "Erkläre einem Kind in drei Sätzen, wie der Regen entsteht.", {}),
        ("请解释一下下雨的原因。", "请用简单的语言向孩子解释一下下雨的原因，并举一个例子。", {}),
        ("photography techniques", "Describe photography techniques for beginners with one example each.", {}),
        ("Here is a text. Shorten it.", "Here is a text. Shorten it to one sentence.", {}),
    ],
)
def test_an_honest_rewrite_passes(naive: str, rewrite: str, fields: dict[str, object]) -> None:
    candidate = check(rewrite, OptimizationRequest(naive, **fields), FidelitySettings(), FIPO_1)  # type: ignore[arg-type]
    assert (candidate.outcome, candidate.detail) == ("optimized", "")


@pytest.mark.parametrize(
    ("expected", "naive", "rewrite"),
    [
        (
            "sentence_lost",
            "Draw up a bicycle parking plan for a school.",
            "Draw up a bicycle plan for a school.",
        ),
        ("sentence_lost", "Explain the French tax appeal procedure.", "Explain the French procedure step by step."),
        ("sentence_lost", "Beschreibe das alte Wiener Kaffeehaus.", "Beschreibe das alte Kaffeehaus ausführlich."),
        ("sentence_lost", "Explain deep sea mining to a class.", "Explain mining to a class, with examples."),
        ("optimized", "Explain deep sea mining to a class.", "Explain mining in the deep sea to a class."),
        ("optimized", "Explain the French tax appeal procedure.", "Explain the French procedure for a tax appeal."),
        ("optimized", "Can a cow actually jump over the moon?", "Can a cow jump over the moon, and how high?"),
    ],
)
def test_the_words_that_say_which_thing_is_meant_are_kept(expected: str, naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == expected


def test_every_rule_can_be_turned_off_by_name_and_an_unknown_name_is_refused() -> None:
    request = OptimizationRequest("Name 3 rivers.")
    rewrite = "Name some rivers and their lengths."
    assert check(rewrite, request, FidelitySettings().without("number_lost"), FIPO_1).outcome == "optimized"
    assert FidelitySettings().without(*RULES).enforced == frozenset()
    with pytest.raises(InputError, match="truncated"):
        FidelitySettings().without("truncated")


def test_an_empty_rewrite_is_never_accepted() -> None:
    nothing_enforced = FidelitySettings().without(*RULES)
    assert check(" ", OptimizationRequest("Name a river."), nothing_enforced, FIPO_1).outcome == "empty"


def test_the_detail_says_what_was_lost() -> None:
    lost = check("Name some rivers.", OptimizationRequest("Name 3 rivers, 14 hills."), FidelitySettings(), FIPO_1)
    assert "'3'" in lost.detail
    assert "'14'" in lost.detail


@pytest.mark.shared
def test_rewrites_people_and_strong_models_wrote_mostly_pass() -> None:
    rows = [json.loads(line) for line in (_PAIRS / "bpo.jsonl").read_text(encoding="utf-8").splitlines()]
    passed = sum(
        outcome(row["instruction"], row["optimized"], context=row["context"] or None, max_words=10_000)
        in ("optimized", "unchanged")
        for row in rows
    )
    assert passed > 0.8 * len(rows)


def test_what_is_added_after_the_prompt_may_not_go_round_in_circles_or_answer_and_saying_it_again_adds_nothing():
    naive = "Describe in one paragraph how the water of a river finds its way from a spring in the hills to the sea."
    request = OptimizationRequest(naive)

    def outcome(addition, **options):
        return check(f"{naive}\n\n{addition}", request, FidelitySettings(**options), FIPO_2).outcome

    for again in (naive, naive.upper(), "Describe, in one paragraph, how the water finds its way to the sea!"):
        assert outcome(again) == "unchanged"
        assert outcome(again, may_repeat=True) == "optimized"
    assert outcome("Describe it in one short paragraph.") == "optimized"
    assert outcome("Name a river. " * 12) == "repetitive"
    assert outcome("Sure! Rivers begin in the mountains.") == "answered"
    assert outcome("Rivers begin in the mountains and end in the sea.") == "answered"


def test_what_the_users_own_text_repeats_is_not_the_rewrites_fault() -> None:
    again = "Check the serial number of the pump against the list in the drawer."
    steps = ("Open the left valve", "Note both pressures", "Seal the cover")
    aside = "Customers like to hear what was seen, why it matters and what it will cost. Keep old parts for a month."
    own = " ".join([*(f"{step} of the pump. {again}" for step in steps), aside, "Then rinse both tanks."])
    shorter = " ".join(f"{step}. {again}" for step in steps)
    rule = RULES["repetitive"]
    assert rule.objection(own, OptimizationRequest("Test the pump.")) is None
    assert rule.objection(shorter, OptimizationRequest("Test the pump.")) == "repeats itself"
    assert rule.objection(shorter, OptimizationRequest(own)) is None
    assert rule.objection(f"{shorter} {again} {again} {again} {again} {again}", OptimizationRequest(own))


def test_every_outcome_has_one_record_and_the_docs_tell_them_in_its_words() -> None:
    told = OTHER_OUTCOMES | {rule.outcome: rule.words for rule in RULES.values()}
    assert set(told) == set(OUTCOMES)
    page = (_ROOT / "docs" / "outcomes.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert {outcome: table.get(outcome) for outcome in told} == told


def test_the_docs_name_every_language_that_has_a_lexicon() -> None:
    lexicons = list((_ROOT / "fipo_model" / "contract" / "lexicons").glob("*.toml"))
    assert len(lexicons) == 13
    assert "thirteen" in (_ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")


def outcome_of_length(naive: str, rewrite: str, **settings: int) -> str:
    return check(rewrite, OptimizationRequest(naive), FidelitySettings(**settings), FIPO_1).outcome  # type: ignore[arg-type]


WORDS = [f"{a}{b}{c}zo" for a in "bcdfgh" for b in "aeiou" for c in "klmnrst"]


def test_an_addition_may_be_as_long_as_the_settings_say() -> None:
    naive = "Explain how rain forms."
    added = f"{naive}\n\nMention these: {', '.join(WORDS[:100])}."
    assert outcome_of_length(naive, added) == "optimized"
    assert outcome_of_length(naive, added, most_added_words=80) == "too_long"
    assert outcome_of_length(naive, f"{naive}\n\nMention these: {', '.join(WORDS)}.") == "too_long"


def test_a_full_rewrite_of_a_long_prompt_is_not_refused_for_one_sentence() -> None:
    naive = f"Explain these words: {' '.join(WORDS[:117])}."
    assert OptimizationRequest(naive).word_limit == 240
    rewrite = f"Explain all of these words: {' '.join(WORDS[:117])}. Then add these: {' '.join(WORDS[::-1][:130])}."
    assert 240 < len(rewrite.split()) < 300
    assert outcome_of_length(naive, rewrite) == "optimized"
    assert check(rewrite, OptimizationRequest(naive, max_words=240), FidelitySettings(), FIPO_1).outcome == "too_long"


@pytest.mark.parametrize(
    ("naive", "rewrite", "text", "outcome"),
    [
        # As it is: every word, or one that may stand for it, and one that is new.
        ("Describe how rivers shape a valley.", "Explain how rivers shape a valley, please.", None, "optimized"),
        ("Describe how rivers shape a valley.", "Describe how rivers slowly shape a valley.", None, "optimized"),
        # Behind its prompt.
        (
            "Describe how rivers shape a valley over time.",
            "Describe the most common ways in which rivers shape a wide, gentle valley over time.",
            "Describe how rivers shape a valley over time.\n\n"
            "Describe the most common ways in which rivers shape a wide, gentle valley over time.",
            "optimized",
        ),
        # Nowhere, since behind its prompt it would bring the variable twice.
        (
            "Describe how {rivers} shape a valley.",
            "Describe how {rivers} shape a wide, gentle, green valley.",
            None,
            "sentence_lost",
        ),
    ],
)
def test_strict_wording_takes_what_says_too_much_as_an_addition(naive, rewrite, text, outcome):
    request = OptimizationRequest(naive)
    assert check(rewrite, request, FidelitySettings(), FIPO_1).outcome == "optimized"
    found = check(rewrite, request, FidelitySettings(strict_wording=True), FIPO_1)
    assert (found.outcome, found.text) == (outcome, text or rewrite)
    assert ("adds" in found.detail) == (text is not None or outcome != "optimized")


def test_settings_without_a_rule_keep_the_rest():
    settings = FidelitySettings(most_added_words=7, strict_wording=True).without("too_long")
    assert (settings.most_added_words, settings.strict_wording, "too_long" in settings.enforced) == (7, True, False)
