"""A request becomes messages without a letter of it changed, and a reply becomes a rewrite without its wrapping."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fipo_model import FIPO_1, FipoError, OptimizationRequest, ShownExample, Template, load_template
from fipo_model.errors import TemplateError
from fipo_model.replies import without_controls
from fipo_model.templates import FIPO_2, find_template, template_named

# The layout of the original project's prompts.json, in other words, with odd neighbours for the slot names.
ORIGINAL_LAYOUT = {
    "optimizer": "Improve this; it costs $5.\n```\nSilver Prompt:\nS_P\n```O_C\n\nUse under G_N words. ${x} $S_R",
    "s_r": "\n\n```\nSilver Response:\nS_R\n```",
    "g_r": "\n\n```\nGolden Response:\nG_R\n```",
    "discriminator": "Raw Prompt:\nR_P\nPrompt A:\nP_A\nPrompt B:\nP_B\nGolden Response:\nG_R\nA or B?",
}
SLOTS = ("S_P", "O_C", "G_N", "S_R", "G_R", "R_P", "P_A", "P_B")
NASTY = (
    *SLOTS,
    *(f"${slot}" for slot in ("naive_prompt", "optional_parts", "max_words", "context", "golden_response")),
    *("${naive_prompt}", "${optional_parts}", "$$", "$", "${", "{", "}", "{{x}}", "{0}", "%s", "%(x)s"),
    *("\\", "\\1", "\\g<0>", "\\n", "\0", "\r\n", "\u2028", "🦜", "e\u0301", "\u202e"),
    *("<|im_start|>system\n", "<|im_end|>", "</s>[INST]", "{% if x %}", "{{ messages }}", "```"),
    *(FIPO_1.optimizer, FIPO_1.context_part, FIPO_1.discriminator, ORIGINAL_LAYOUT["optimizer"]),
)
TEXTS = st.lists(st.sampled_from(NASTY) | st.characters(codec="utf-8"), min_size=1, max_size=5).map("".join)
PLAIN = "abc def.\n,-'1#*"


def load(directory: Path, content: object) -> Template:
    path = directory / "prompts.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return load_template(path)


@pytest.fixture(scope="module", params=["fipo-1", "original layout"])
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    return FIPO_1 if request.param == "fipo-1" else load(tmp_path_factory.mktemp("template"), ORIGINAL_LAYOUT)


def user_text(messages) -> str:
    assert [message["role"] for message in messages][-1] == "user"
    return messages[-1]["content"]


def filled(text: str, pieces: dict[str, str]) -> str:
    """`text` with a piece in the place of each word, never looking into what was put in."""
    places = sorted((text.index(word), word) for word in pieces)
    result, end = "", 0
    for start, word in places:
        result += text[end:start] + pieces[word]
        end = start + len(word)
    return result + text[end:]


def check_arrival(template: Template, texts: dict[str, str]) -> None:
    """Rendered with `texts`, a request differs from one with plain words just where the words were."""
    names = {"instruction": "plain-0", "context": "plain-1", "silver_response": "plain-2", "golden_response": "plain-3"}
    plain = OptimizationRequest(**{name: names[name] for name in texts}, max_words=60)
    expected = filled(user_text(template.render(plain)), {names[name]: text for name, text in texts.items()})
    assert user_text(template.render(OptimizationRequest(**texts, max_words=60))) == expected


def check_arrival_before_the_judge(template: Template, prompt: str, first: str, second: str, golden: str) -> None:
    plain = template.render_comparison(OptimizationRequest("plain-0", golden_response="plain-3"), "plain-1", "plain-2")
    text = template.render_comparison(OptimizationRequest(prompt, golden_response=golden), first, second)
    pieces = {"plain-0": prompt, "plain-1": first, "plain-2": second, "plain-3": golden}
    assert user_text(text) == filled(user_text(plain), pieces)


@given(
    st.fixed_dictionaries(
        {"instruction": TEXTS.filter(str.strip)},
        optional={"context": TEXTS, "silver_response": TEXTS, "golden_response": TEXTS},
    )
)
@settings(deadline=None, max_examples=40)
def test_any_text_arrives_as_it_is(template: Template, texts: dict[str, str]) -> None:
    check_arrival(template, texts)


@given(TEXTS.filter(str.strip), TEXTS, TEXTS, TEXTS)
@settings(deadline=None, max_examples=20)
def test_any_text_arrives_as_it_is_before_the_judge(
    template: Template, prompt: str, first: str, second: str, golden: str
) -> None:
    check_arrival_before_the_judge(template, prompt, first, second, golden)


@pytest.mark.parametrize("nasty", NASTY)
def test_text_that_looks_like_a_template_arrives_as_it_is(template: Template, nasty: str) -> None:
    around = f"a {nasty} b"
    fields = ("instruction", "context", "silver_response", "golden_response")
    check_arrival(template, {name: f"{around} {name}" for name in fields})
    check_arrival_before_the_judge(template, around, nasty, f"{nasty}{nasty}", around)


@pytest.mark.parametrize("name", ["context", "silver_response", "golden_response"])
def test_an_optional_part_is_there_only_when_it_is_given(template: Template, name: str) -> None:
    bare = user_text(template.render(OptimizationRequest("Name a colour.")))
    empty = user_text(template.render(OptimizationRequest("Name a colour.", **{name: ""})))
    full = user_text(template.render(OptimizationRequest("Name a colour.", **{name: "turquoise"})))
    assert bare == empty
    assert "turquoise" in full
    header = name.split("_")[0]
    announced = f"\n{header}"
    assert announced not in bare.lower().replace("silver prompt", "")
    assert announced in full.lower().replace("silver prompt", "")


def test_the_word_limit_is_said(template: Template) -> None:
    assert "17 words" in user_text(template.render(OptimizationRequest("Name a colour.", max_words=17)))


def test_the_rendering_of_fipo_1_does_not_change() -> None:
    # Weights are trained on these very letters: a change here needs a template of a new name, and new weights.
    request = OptimizationRequest(
        "Name a {thing}.", context="It is blue.", silver_response="Sea.", golden_response="Sky.", max_words=50
    )
    assert FIPO_1.render(request) == [
        {
            "role": "system",
            "content": "You rewrite prompts so that a language model answers them better. Make the task and its terms "
            "clear, add the guidance that helps and say what the response should look like. Keep every fact, name, "
            "number, quotation and placeholder as it is. Do not answer the prompt. Reply with the rewritten prompt and "
            "nothing else.",
        },
        {
            "role": "user",
            "content": "Naive prompt:\nName a {thing}.\n\n"
            "Context (it will follow the prompt, do not repeat it):\nIt is blue.\n\n"
            "Silver response (what the naive prompt got):\nSea.\n\n"
            "Golden response (what it should get, do not give it away):\nSky.\n\n"
            "Rewrite the naive prompt in at most 50 words.",
        },
    ]


def test_the_comparison_of_fipo_1_does_not_change() -> None:
    assert FIPO_1.render_comparison(OptimizationRequest("Name it."), "Name a thing.", "Name one thing.") == [
        {
            "role": "system",
            "content": "You compare two prompts for a language model. The better one is true to every fact in the "
            "naive prompt and is more likely to get a good response. Reply with the letter A or B and nothing else.",
        },
        {
            "role": "user",
            "content": "Naive prompt:\nName it.\n\nPrompt A:\nName a thing.\n\nPrompt B:\nName one thing.\n\n"
            "Which prompt is better, A or B?",
        },
    ]


def test_the_original_layout_is_rendered_letter_by_letter(tmp_path: Path) -> None:
    template = load(tmp_path, ORIGINAL_LAYOUT)
    request = OptimizationRequest("Name it.", silver_response="Sea.", golden_response="Sky.", max_words=9)
    assert template.render(request) == [
        {
            "role": "user",
            "content": "Improve this; it costs $5.\n```\nSilver Prompt:\nName it.\n```"
            "\n\n```\nSilver Response:\nSea.\n```\n\n```\nGolden Response:\nSky.\n```"
            "\n\nUse under 9 words. ${x} $S_R",
        }
    ]
    assert template.render_comparison(request, "One.", "Two.") == [
        {
            "role": "user",
            "content": "Raw Prompt:\nName it.\nPrompt A:\nOne.\nPrompt B:\nTwo.\nGolden Response:\nSky.\nA or B?",
        }
    ]


def test_a_slot_of_another_part_is_just_text_in_an_original_layout(tmp_path: Path) -> None:
    # It once became a slot nobody filled, and rendering failed with a KeyError.
    template = load(tmp_path, ORIGINAL_LAYOUT | {"s_r": "The response to S_P was: S_R"})
    request = OptimizationRequest("Name it.", silver_response="Sea.")
    assert "The response to S_P was: Sea." in user_text(template.render(request))


def test_the_headers_are_the_lines_that_announce_parts(template: Template) -> None:
    wanted = {"golden prompt", "optimized prompt", "prompt a", "prompt b"}
    if template is FIPO_1:
        wanted |= {
            "naive prompt",
            "context (it will follow the prompt, do not repeat it)",
            "silver response (what the naive prompt got)",
            "golden response (what it should get, do not give it away)",
        }
    else:
        wanted |= {"silver prompt", "silver response", "golden response", "raw prompt", "context"}
    assert wanted <= template.headers
    assert all(header == header.strip().lower() for header in template.headers)


WRAPPED = [
    ("Name a colour.", "Name a colour."),
    ("  \n Name a colour.\n\n", "Name a colour."),
    ("Golden prompt: Name a colour.", "Name a colour."),
    ("golden PROMPT :\n\nName a colour.", "Name a colour."),
    ("## Optimized Prompt\nName a colour.", "Name a colour."),
    ("Rewritten naive prompt: Name a colour.", "Name a colour."),
    ("**Revised prompt:**\nName a colour.", "Name a colour."),
    ("# Rewritten prompt:\nName a colour.", "Name a colour."),
    ("**Improved prompt:** Name a colour.", "Name a colour."),
    ("**Improved prompt**: Name a colour.", "Name a colour."),
    ("**New Prompt**\n\nName a colour.", "Name a colour."),
    ("```\nName a colour.\n```", "Name a colour."),
    ("```text\nName\n\na colour.\n```", "Name\n\na colour."),
    ('"Name a colour."', "Name a colour."),
    ("“Name a colour.”", "Name a colour."),
    ('Better prompt:\n```markdown\n"Name a colour."\n```', "Name a colour."),
    ("", ""),
    ("Golden prompt:", ""),
    ('" "', ""),
]


@pytest.mark.parametrize(("reply", "rewrite"), WRAPPED)
def test_wrapping_around_the_whole_reply_is_removed(template: Template, reply: str, rewrite: str) -> None:
    assert template.parse(reply) == rewrite


@pytest.mark.parametrize(
    "reply",
    [
        'Translate "yes" into French.',
        '"Yes" and "no"',
        "“Yes” and “no”",
        '"',
        '""',
        "Run this:\n```\nls\n```",
        "```\nls\n```\nand\n```\npwd\n```",
        "```ls```",
        "Write a golden prompt: it should shine.",
        "Here is the list:\n{items}\n\nSort it.",
        "New prompts: name two.",
        "'Name a colour.'",
    ],
)
def test_wrapping_of_a_part_stays(template: Template, reply: str) -> None:
    assert template.parse(reply) == reply


def test_a_list_or_bold_text_under_a_heading_keeps_its_first_mark() -> None:
    # The stars after the heading's colon were once taken for the heading's own.
    assert FIPO_1.parse("Golden prompt:\n* one\n* two") == "* one\n* two"
    assert FIPO_1.parse("Golden prompt:\n\n**Role:** a poet.") == "**Role:** a poet."


@pytest.mark.parametrize(
    "reply", ["Naive prompt:\nName a colour.", "Silver response: Blue.", "Context: sky.\nName it."]
)
def test_the_heading_of_a_part_it_was_given_stays_for_the_checks_to_reject(template: Template, reply: str) -> None:
    # Once removed as if it were wrapping, it let a copy of the silver response pass for a rewrite.
    assert template.parse(reply) == reply


@given(st.text(PLAIN, max_size=60))
@example("* * *")
@example("#")
@settings(deadline=None, max_examples=200)
def test_a_plain_reply_is_only_stripped(reply: str) -> None:
    assert FIPO_1.parse(reply) == reply.strip()


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=200)
def test_what_is_removed_is_at_the_ends(reply: str) -> None:
    assert FIPO_1.parse(reply) in without_controls(reply)


@given(st.text(PLAIN, max_size=60), st.sampled_from(["{}", "Golden prompt: {}", "```\n{}\n```", '"{}"', "“{}”"]))
@settings(deadline=None, max_examples=100)
def test_a_wrapped_plain_text_comes_out_whole(text: str, wrapping: str) -> None:
    assume(text.strip())
    assert FIPO_1.parse(wrapping.format(text)) == text.strip()


def test_a_template_file_can_be_named_by_a_plain_string(tmp_path: Path) -> None:
    load(tmp_path, ORIGINAL_LAYOUT)
    assert load_template(str(tmp_path / "prompts.json")).name == "prompts"


def test_a_missing_template_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"cannot read the template file .*absent\.json: No such file"):
        load_template(tmp_path / "absent.json")


@pytest.mark.parametrize("content", [b"", b"{", b"optimizer: S_P", b'{"optimizer": "\xff"}'])
def test_a_file_that_is_not_json_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prompts.json"
    path.write_bytes(content)
    with pytest.raises(TemplateError, match="is not JSON in UTF-8"):
        load_template(path)


@pytest.mark.parametrize("content", [[], "text", 7, None])
def test_a_file_without_an_object_says_what_it_must_hold(tmp_path: Path, content: object) -> None:
    with pytest.raises(TemplateError, match="must hold a JSON object with optimizer, s_r, g_r, discriminator"):
        load(tmp_path, content)


def test_everything_wrong_with_a_layout_is_said_at_once(tmp_path: Path) -> None:
    broken = {"optimizer": "S_P and O_C", "s_r": 7, "discriminator": "R_P, P_A, P_BB, G_R"}
    with pytest.raises(TemplateError) as caught:
        load(tmp_path, broken)
    assert isinstance(caught.value, FipoError)
    for complaint in (
        "'optimizer' must be text that contains S_P and O_C and G_N",
        "'s_r' must be text that contains S_R",
        "'g_r' must be text that contains G_R",
        "'discriminator' must be text that contains R_P and P_A and P_B and G_R",
    ):
        assert complaint in str(caught.value)


def test_a_right_part_is_not_complained_about(tmp_path: Path) -> None:
    with pytest.raises(TemplateError) as caught:
        load(tmp_path, ORIGINAL_LAYOUT | {"s_r": "nothing"})
    assert "'s_r'" in str(caught.value)
    assert not any(f"'{key}'" in str(caught.value) for key in ("optimizer", "g_r", "discriminator"))


def test_the_built_in_template_is_found_by_its_name() -> None:
    assert template_named("fipo-1") is FIPO_1


def test_an_unknown_template_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(TemplateError, match="no template named 'fipo-0'; this version knows fipo-1"):
        template_named("fipo-0")


class TestAdditions:
    """`fipo-2`: the naive prompt stays, and a reply is what follows it."""

    @pytest.mark.parametrize("reply", ["Nothing.", "nothing", ' "Nothing." ', "Nothing"])
    def test_nothing_to_add_leaves_the_prompt_as_it_is(self, reply):
        assert FIPO_2.rewrite(reply, "Explain rain.") == "Explain rain."

    def test_a_reply_follows_the_prompt(self):
        assert FIPO_2.rewrite(" Use examples. ", "Explain {x}.") == "Explain {x}.\n\nUse examples."
        assert FIPO_2.rewrite("Nothing rhymes with it.", "Explain rain.").endswith("\n\nNothing rhymes with it.")

    def test_an_empty_reply_is_empty_and_no_decision(self):
        assert FIPO_2.rewrite("  ", "Explain rain.") == ""

    @given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
    def test_what_training_teaches_comes_out_at_inference(self, instruction, addition):
        addition = FIPO_2.parse(addition)
        if not addition or addition.rstrip(".").lower() == "nothing":
            return
        rewrite = FIPO_2.rewrite(addition, instruction)
        assert rewrite.startswith(instruction)
        assert FIPO_2.rewrite(FIPO_2.reply_for(rewrite, instruction), instruction) == rewrite

    def test_a_prompt_to_be_left_alone_and_a_rewrite_without_the_prompt_have_replies_too(self):
        assert FIPO_2.reply_for("Explain rain.", "Explain rain.") == "Nothing."
        assert FIPO_2.reply_for("Say why it rains.", "Explain rain.") == "Say why it rains."
        assert FIPO_1.reply_for("Say why it rains.", "Explain rain.") == "Say why it rains."
        # A prompt that goes on with the instruction's last word or sentence does not have it before an addition.
        for longer in ("Explain rainbows to a child.", "Explain rain, and be brief."):
            assert FIPO_2.reply_for(longer, "Explain rain") == longer
        assert FIPO_2.reply_for("Explain rain\tto a child.", "Explain rain") == "to a child."

    def test_a_conversation_is_told_from_those_of_other_templates(self, tmp_path: Path) -> None:
        texts = {"s_r": "S_R", "g_r": "G_R", "discriminator": "R_P P_A P_B G_R"}
        file = tmp_path / "prompts.json"
        file.write_text(json.dumps({"optimizer": "For $5, better (G_N words): S_P O_C", **texts}))
        templates = (FIPO_1, FIPO_2, find_template(file))
        request = OptimizationRequest("Explain rain.", context="In $Spain.", golden_response="It falls.")
        for template in templates:
            conversation = template.render(request)
            assert [other for other in templates if other.may_have_rendered(conversation)] == [template]

    def test_it_is_found_by_its_name_and_a_file_by_its_path(self, tmp_path):
        assert find_template("fipo-2") is FIPO_2
        with pytest.raises(TemplateError, match="cannot read"):
            find_template(tmp_path / "absent.json")


EXAMPLES = (ShownExample("house", "houses", "house"), ShownExample("$examples {0}", "mice"), ShownExample("x" * 500))


@pytest.mark.parametrize("template", [FIPO_1, FIPO_2], ids=["fipo-1", "fipo-2"])
def test_examples_and_feedback_are_shown_between_prompt_and_question(template):
    request = OptimizationRequest("plural?", examples=EXAMPLES, feedback="two of three were not plural")
    text = user_text(template.render(request))
    assert "Input: house\nRight output: houses\nWrong output: house\nInput: $examples {0}\nRight output: mice\n" in text
    assert f"Input: {'x' * 400} [...]\n" in text
    assert text.index("plural?") < text.index("Input: house") < text.index("two of three were not plural")
    assert template.render(OptimizationRequest("plural?")) != template.render(request)


def test_only_an_addition_is_told_of_the_variables():
    asked = [user_text(t.render(OptimizationRequest("{text} in {lang}, {text}!"))) for t in (FIPO_2, FIPO_1)]
    assert "(filled in later): {text}, {lang}\n" in asked[0]
    assert "filled in later" not in asked[1]


def test_headings_of_examples_and_feedback_are_recognised_as_echoes():
    assert {"it is used on inputs such as these", "feedback on what it got"} <= FIPO_2.headers
