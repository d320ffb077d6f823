"""Reading models' replies: what is taken away, and what only looks like it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import check
from fipo_model.replies import has_thoughts, is_thought, spoken, unwrapped, without_controls

GOOD = "Please name three rivers of Asia, each with its length."


def read(reply: str, known: str = "") -> str:
    return unwrapped(spoken(reply, known), known)


@pytest.mark.parametrize(
    "reply",
    [
        "<think>\nRivers. I should ask for a list.\n</think>\n\n{}",
        "<think>\n\n</think>\n\n{}",
        "<think>First.</think><think>Second.</think>{}",
        "<THINK>Rivers.</THINK> {}",
        "Okay, the user wants rivers.\n</think>\n\n{}",
        "Okay, I could write </think> here, too.</think>\n{}",
        "<thinking>name three rivers: list</thinking>\n{}",
        "<thought>Rivers.</thought>\n{}",
        "<reasoning>Rivers.</reasoning>\n{}",
        "[THINK]Rivers.[/THINK]{}",
        "◁think▷Rivers.◁/think▷{}",
        "<|START_THINKING|>Rivers.<|END_THINKING|><|START_RESPONSE|>{}<|END_RESPONSE|>",
        "<|begin_of_thought|>Rivers.<|end_of_thought|>\n\n<|begin_of_solution|>{}<|end_of_solution|>",
    ],
)
def test_thoughts_are_not_part_of_a_reply(reply):
    assert read(reply.format(GOOD)) == GOOD


@pytest.mark.parametrize(
    "reply",
    ["<think>\nOkay, the user", "<thinking>Rivers", "<|channel|>analysis<|message|>We need", "[THINK]Hm", "<think>"],
)
def test_thoughts_that_do_not_end_are_no_reply(reply):
    assert spoken(reply) == ""
    assert is_thought(reply)
    assert has_thoughts(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "<|channel|>analysis<|message|>Rivers.<|end|><|start|>assistant<|channel|>final<|message|>{}",
        "<|channel|>analysis<|message|>Rivers.<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{}",
        "<|channel|>commentary<|message|>Hm.<|end|><|channel|>final<|message|>{}<|end|>",
        "analysisWe need to name rivers.assistantfinal{}",
        "<|start|>assistant<|message|>{}<|end|>",
    ],
)
def test_of_several_channels_only_the_final_one_is_the_reply(reply):
    assert read(reply.format(GOOD)) == GOOD


@pytest.mark.parametrize(
    "reply",
    [
        "{}<|im_end|>",
        "{}<|eot_id|>\n",
        "{}</s>",
        "{}</s></s>",
        "{}<end_of_turn>\n<eos>",
        "{}<|endoftext|>",
        "{}<｜end▁of▁sentence｜>",
        "<s>{}</s>",
        "{} [/INST]",
        "[INST]{}[/INST]",
        "<|im_start|>assistant\n{}<|im_end|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
        "<start_of_turn>model\n{}<end_of_turn>",
        "<｜Assistant｜>{}",
        "{}<|im_end|>\n<|im_start|>user\nThank you!<|im_end|>",
        "{}<|endoftext|>Human: And three lakes?",
        "<|im_end|>\n<|im_start|>assistant\n<think>Hm.</think>\n{}",
    ],
)
def test_tokens_of_chat_templates_are_not_part_of_a_reply(reply):
    assert read(reply.format(GOOD)) == GOOD


@pytest.mark.parametrize(
    "reply",
    [
        "Sure, here is the rewritten prompt: {}",
        "Sure! Here's a rewritten version of your prompt:\n\n{}",
        "Here is the rewritten prompt:\n\n{}",
        "Certainly! Below is an improved version of the prompt:\n\n{}",
        "Okay, here's a more detailed prompt:\n\n{}",
        "Of course. Here is your revised prompt:\n{}",
        "**Rewritten Prompt:**\n\n{}",
        "**Prompt:** {}",
        "Revised prompt:\n{}",
        "## Refined Prompt\n\n{}",
        "I've rewritten the prompt for you:\n\n{}",
        "The improved prompt is:\n\n{}",
        "Text to add:\n{}",
        "Voici le prompt réécrit :\n\n{}",
        "Hier ist der überarbeitete Prompt:\n\n{}",
        "Aquí está el prompt mejorado:\n\n{}",
        "以下是改写后的提示词：\n\n{}",
        "Hier ist der verbesserte Prompt: {}",
        "Gerne! Hier ist eine überarbeitete Version:\n{}",
        "Verbesserter Prompt: {}",
        "Bien sûr ! Voici une version améliorée :\n{}",
        "**Prompt amélioré :**\n\n{}",
        "Claro, aquí tienes la versión mejorada:\n{}",
        "Prompt mejorado: {}",
        "Aqui está a versão reescrita: {}",
        "Instruções melhoradas:\n{}",
        "Certo! Ecco il prompt riscritto:\n{}",
        "Natuurlijk, hier is de verbeterde versie: {}",
        "Herschreven prompt:\n\n{}",
        "Конечно! Вот улучшенная версия запроса:\n{}",
        "Улучшенный промпт: {}",
        "بالطبع! إليك النسخة المحسنة من المطالبة:\n{}",
        "यहाँ बेहतर प्रॉम्प्ट है:\n\n{}",
        "यहाँ संशोधित संस्करण है।\n{}",
        "好的，这是优化后的提示：{}",
        "改写后的提示词：\n{}",
        "はい、こちらが改善したプロンプトです。\n\n{}",
        "改善されたプロンプト：{}",
        "네, 다음은 개선된 프롬프트입니다:\n{}",
        "수정된 프롬프트: {}",
        '{{"prompt": "{}"}}',
        '```json\n{{"rewritten_prompt": "{}"}}\n```',
        '{{"improved prompt": "{}", "explanation": "It names a continent."}}',
        '["{}"]',
        'Here is the improved prompt:\n```json\n{{"prompt": "{}"}}\n```',
        "{}\n\nLet me know if you'd like any changes!",
        "{}\n\n(Note: this version is clearer and more specific than the naive one.)",
        "{}\n\n**Note:** I kept the number.",
        "{}\n\nI hope this helps!",
        "{}\n\nThis version is clearer and keeps your number.",
        "{}\n\n---\n\nThis rewritten prompt asks for more.\n\nLet me know what you think.",
        "{}\n\nChanges made:\n- named a continent\n- asked for lengths",
        "{}\n\n### Key improvements\n1. It is clear.",
        "```text\n{}\n```",
        "~~~\n{}\n~~~",
        "````markdown\n{}\n````",
        '"{}"',
        "“{}”",
        "<rewritten_prompt>\n{}\n</rewritten_prompt>",
        "<prompt>{}</prompt>",
        "Here is the improved prompt:\n```\n{}\n```\nIt says where the rivers are.",
        'Sure! Here is the rewritten prompt:\n\n"{}"\n\nLet me know if it helps.',
    ],
)
def test_what_frames_a_rewrite_is_taken_away(reply):
    assert read(reply.format(GOOD), "name three rivers") == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "Das ist der Anfang einer Geschichte: Es war einmal ein Fluss.",
        "Voici un texte : corrigez les fautes.",
        "Aquí tienes tres ríos: di cuál es el más largo.",
        "这是一个故事：请续写。",
        "Это список рек: назови самую длинную.",
    ],
)
def test_what_only_begins_like_an_announcement_stays(text):
    assert read(text) == text


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ('{"prompt": "Name three rivers."}', 'Write JSON like {"prompt": "..."}.'),
        ('{"rivers": ["Nile"], "lakes": []}', ""),
        ('{"river": "Nile", "lake": "Chad"}', ""),
        ("{name}, name three rivers.", ""),
        ('{"prompt": "Name three', ""),
        ("[1, 2]", ""),
        ("[" * 1000, ""),
        ('{"prompt":' * 1000, ""),
        ("[" * 300 + "]" * 300, ""),
    ],
)
def test_an_object_that_holds_no_rewrite_stays(text, known):
    assert read(text, known) == text


@pytest.mark.parametrize("reply", ["[" * 1000, "[" * 300 + "]" * 300, "[" * 2000 + "]" * 2000, '{"rivers": ' * 100_000])
def test_a_reply_of_brackets_alone_is_checked_like_any_other(reply):
    assert check(reply, OptimizationRequest("Name three rivers of Asia."), FidelitySettings(), FIPO_1).outcome in (
        "answered",
        "drifted",
    )


def test_a_file_of_values_is_no_rewrite():
    request = OptimizationRequest("Name three rivers of Asia.")
    candidate = check('{"river": "Name", "rivers of Asia": ["three"]}', request, FidelitySettings(), FIPO_1)
    assert (candidate.outcome, candidate.detail) == ("answered", "is a JSON object, not a prompt")


@pytest.mark.parametrize(
    ("reply", "prompt"),
    [
        ("Here is a text about rivers: {text}. Summarize it.", ""),
        ("Here is the list of items:\n\n{items}\n\nSort them.", ""),
        ("Sure-fire tips: list three.", ""),
        ("Name three rivers.\n\nNote: do not use bullet points.", ""),
        ("Rewrite the text:\n\n{text}", ""),
        ("The task: name three rivers.", ""),
        ("Your question: {question}\nContext: {context}", ""),
        ("Use the following instructions: {x}", ""),
        ("Summarize the updated text:\n\n{x}", ""),
        ("Prompt engineering tips for beginners: name three.", ""),
        ("Improved prompt engineering for chatbots: write an essay.", ""),
        ("Updated text:\n{text}\n\nSummarize it.", ""),
        ("Explain <s>old</s> text.", ""),
        ("Reason inside <thinking> tags, then answer.", ""),
        ("List the steps.\n\nExplanation: {x}", ""),
        ("Here is the prompt:\n{prompt}\n\nRate it.", "rate the prompt {prompt}"),
        ("Here is the rewritten prompt:\n{p}\n\nRate it.", "Here is the rewritten prompt: {p} rate it"),
        ("Say what <|im_end|> is for.", "explain <|im_end|>"),
        ("<|im_end|>", "<|im_end|>"),
        ("Answer, then stop at </s>", "stop at </s>"),
        ("Write to them.\n\nLet me know if you need more information.", "write. Let me know if you need anything"),
        ("<prompt>{x}</prompt>", "wrap {x} in <prompt>"),
        ("Explain </think> to a child.", "explain </think>"),
    ],
)
def test_what_only_looks_like_it_stays(reply, prompt):
    assert read(reply, prompt) == reply


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Name\0 three \x1b[31mred\x1b[0m rivers.", "Name three red rivers."),
        ("\x1b]0;title\x07Name rivers.", "Name rivers."),
        ("\x1b]8;;http://a.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred\x7f\x85", "red"),
        ("one\rtwo\r\nthree\tfour", "one\ntwo\nthree\tfour"),
        ("abc\u202etxt.exe\u202c \u2066x\u2069", "abctxt.exe x"),
        ("नमस्\u200dते \u200fשלום\u200e 👨\u200d👩\u200d👧", "नमस्\u200dते \u200fשלום\u200e 👨\u200d👩\u200d👧"),
    ],
)
def test_what_would_steer_a_terminal_is_taken_away(text, clean):
    assert without_controls(text) == clean


@given(st.text(max_size=80) | st.text("\x1b[]m;\x9b\x07\\3<>|/stihnk", max_size=30))
@example("\x1b\x1b[[mm")
@settings(deadline=None, max_examples=500)
def test_no_control_character_is_left_and_reading_again_changes_nothing(reply):
    once = read(reply)
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in once)
    assert not set("\x7f\x9b\u202e\u2066") & set(once)
    assert read(once) == once


@given(
    st.lists(st.sampled_from(["Name", "{text}", "rivers:", "\n", "\n\n", "7.", '"x"', "- one", "Note"])).map(" ".join)
)
@settings(deadline=None, max_examples=300)
def test_a_plain_prompt_is_only_stripped(text):
    assert spoken(text) == text.strip()
    assert unwrapped(text) in (text.strip(), text.strip().removeprefix('"x"'), "x")
