"""Thirteen languages are read with their own words; of the others it is said what was not checked."""

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest, OptimizedPrompt
from fipo_model.contract import unchecked
from fipo_model.fidelity import check

UNRELATED = "Explain how a car engine works, in simple terms."
# A question, a request for the same, an answer to it, and prompts with versions that lost or changed something.
LANGUAGES: dict[str, tuple[str, str, str, list[tuple[str, str]]]] = {
    "en": (
        "What is the capital of Japan?",
        "Name the capital of Japan and describe it in simple words.",
        "The capital of Japan is Tokyo.",
        [
            ("Write about dogs. Do not mention cats.", "Write about dogs. Do mention cats."),
            ("Name three rivers in Asia.", "Name five rivers in Asia."),
            ("Write at least ten lines about the sea.", "Write at most ten lines about the sea."),
        ],
    ),
    "de": (
        "Was ist die Hauptstadt von Japan?",
        "Nenne die Hauptstadt von Japan und beschreibe sie in einfachen Worten.",
        "Die Hauptstadt von Japan ist Tokio.",
        [
            ("Schreibe über Hunde. Erwähne keine Katzen.", "Schreibe über Hunde. Erwähne Katzen."),
            ("Nenne drei Flüsse in Asien.", "Nenne fünf Flüsse in Asien."),
            ("Schreibe mindestens zehn Zeilen über das Meer.", "Schreibe höchstens zehn Zeilen über das Meer."),
            ("Übersetze den Satz ins Französische.", "Übersetze den Satz ins Spanische."),
            ("Erkläre, warum Kinder nicht rauchen sollten.", "Erkläre, warum Kinder rauchen sollten."),
        ],
    ),
    "fr": (
        "Quelle est la capitale du Japon ?",
        "Indique la capitale du Japon et décris-la avec des mots simples.",
        "La capitale du Japon est Tokyo.",
        [
            ("Parle des chiens. Ne mentionne pas les chats.", "Parle des chiens. Mentionne les chats."),
            ("Cite trois fleuves d'Asie.", "Cite cinq fleuves d'Asie."),
            ("Écris au moins dix lignes sur la mer.", "Écris au plus dix lignes sur la mer."),
            ("Traduis la phrase en allemand.", "Traduis la phrase en espagnol."),
            ("Explique pourquoi les enfants ne devraient pas fumer.", "Explique pourquoi les enfants devraient fumer."),
        ],
    ),
    "es": (
        "¿Cuál es la capital de Japón?",
        "Indica la capital de Japón y descríbela con palabras sencillas.",
        "La capital de Japón es Tokio.",
        [
            ("Habla de perros. No menciones gatos.", "Habla de perros. Menciona gatos."),
            ("Nombra tres ríos de Asia.", "Nombra cinco ríos de Asia."),
            ("Escribe al menos diez líneas sobre el mar.", "Escribe como máximo diez líneas sobre el mar."),
            ("Traduce la frase al alemán.", "Traduce la frase al francés."),
            ("Explica por qué los niños no deben fumar.", "Explica por qué los niños deben fumar."),
        ],
    ),
    "pt": (
        "Qual é a capital do Japão?",
        "Indique a capital do Japão e descreva-a com palavras simples.",
        "A capital do Japão é Tóquio.",
        [
            ("Fale de cães. Não mencione gatos.", "Fale de cães. Mencione gatos."),
            ("Cite três rios da Ásia.", "Cite cinco rios da Ásia."),
            ("Escreva pelo menos dez linhas sobre o mar.", "Escreva no máximo dez linhas sobre o mar."),
            ("Traduza a frase para alemão.", "Traduza a frase para francês."),
            ("Explique por que as crianças não devem fumar.", "Explique por que as crianças devem fumar."),
        ],
    ),
    "it": (
        "Qual è la capitale del Giappone?",
        "Indica la capitale del Giappone e descrivila con parole semplici.",
        "La capitale del Giappone è Tokyo.",
        [
            ("Parla dei cani. Non menzionare i gatti.", "Parla dei cani. Menziona i gatti."),
            ("Elenca tre fiumi dell'Asia.", "Elenca cinque fiumi dell'Asia."),
            ("Scrivi almeno dieci righe sul mare.", "Scrivi al massimo dieci righe sul mare."),
            ("Traduci la frase in tedesco.", "Traduci la frase in francese."),
            ("Spiega perché i bambini non devono fumare.", "Spiega perché i bambini devono fumare."),
        ],
    ),
    "nl": (
        "Wat is de hoofdstad van Japan?",
        "Noem de hoofdstad van Japan en beschrijf die in eenvoudige woorden.",
        "De hoofdstad van Japan is Tokio.",
        [
            ("Schrijf over honden. Noem geen katten.", "Schrijf over honden. Noem katten."),
            ("Noem drie rivieren in Azië.", "Noem vijf rivieren in Azië."),
            ("Schrijf minstens tien regels over de zee.", "Schrijf hoogstens tien regels over de zee."),
            ("Vertaal de zin naar het Duits.", "Vertaal de zin naar het Frans."),
            ("Leg uit waarom kinderen niet moeten roken.", "Leg uit waarom kinderen moeten roken."),
        ],
    ),
    "ru": (
        "Какая столица у Японии?",
        "Назови столицу Японии и опиши её простыми словами.",
        "Столица Японии — это Токио.",
        [
            ("Напиши о собаках. Не упоминай кошек.", "Напиши о собаках. Упоминай кошек."),
            ("Назови три реки Азии.", "Назови пять рек Азии."),
            ("Напиши не менее десяти строк о море.", "Напиши не более десяти строк о море."),
            ("Переведи предложение на немецкий.", "Переведи предложение на французский."),
            ("Объясни, почему дети не должны курить.", "Объясни, почему дети должны курить."),
        ],
    ),
    "ar": (
        "ما هي عاصمة اليابان؟",
        "اذكر عاصمة اليابان وصفها بكلمات بسيطة.",
        "عاصمة اليابان هي طوكيو.",
        [
            ("اكتب عن الكلاب. لا تذكر القطط.", "اكتب عن الكلاب. اذكر القطط."),
            ("اذكر ثلاثة أنهار في آسيا.", "اذكر خمسة أنهار في آسيا."),
            ("اكتب على الأقل عشرة أسطر عن البحر.", "اكتب على الأكثر عشرة أسطر عن البحر."),
            ("ترجم الجملة إلى الألمانية.", "ترجم الجملة إلى الفرنسية."),
        ],
    ),
    "hi": (
        "जापान की राजधानी क्या है?",
        "जापान की राजधानी का नाम बताएं और सरल शब्दों में उसका वर्णन करें।",
        "जापान की राजधानी टोक्यो है।",
        [
            ("कुत्तों के बारे में लिखें। बिल्लियों का उल्लेख न करें।", "कुत्तों के बारे में लिखें। बिल्लियों का उल्लेख करें।"),
            ("एशिया की तीन नदियों के नाम बताएं।", "एशिया की पांच नदियों के नाम बताएं।"),
            ("समुद्र पर कम से कम दस पंक्तियां लिखें।", "समुद्र पर अधिकतम दस पंक्तियां लिखें।"),
            ("वाक्य का जर्मन में अनुवाद करें।", "वाक्य का फ़्रेंच में अनुवाद करें।"),
        ],
    ),
    "zh": (
        "日本的首都是哪里?",
        "请说出日本的首都,并用简单的语言介绍它。",
        "日本的首都是东京。",
        [
            ("写一篇关于狗的文章。不要提到猫。", "写一篇关于狗的文章。要提到猫。"),
            ("列出亚洲的三条河流。", "列出亚洲的五条河流。"),
            ("写至少十行关于大海的诗。", "写最多十行关于大海的诗。"),
            ("把这个句子翻译成德语。", "把这个句子翻译成法语。"),
            ("解释为什么孩子不应该抽烟。", "解释为什么孩子应该抽烟。"),
        ],
    ),
    "ja": (
        "日本の首都はどこですか?",
        "日本の首都の名前を挙げ、簡単な言葉で説明してください。",
        "日本の首都は東京です。",
        [
            (
                "犬について書いてください。猫には触れないでください。",
                "犬について書いてください。猫にも触れてください。",
            ),
            ("アジアの川を三つ挙げてください。", "アジアの川を五つ挙げてください。"),
            ("海について10行以上書いてください。", "海について10行以内で書いてください。"),
            ("この文をドイツ語に翻訳してください。", "この文をフランス語に翻訳してください。"),
        ],
    ),
    "ko": (
        "일본의 수도는 어디인가요?",
        "일본의 수도를 말하고 쉬운 말로 설명하세요.",
        "일본의 수도는 도쿄입니다.",
        [
            ("개에 대해 쓰세요. 고양이는 언급하지 마세요.", "개에 대해 쓰세요. 고양이도 언급하세요."),
            ("아시아의 강 세 개를 말하세요.", "아시아의 강 다섯 개를 말하세요."),
            ("바다에 대해 10줄 이상 쓰세요.", "바다에 대해 10줄 이하로 쓰세요."),
            ("이 문장을 독일어로 번역하세요.", "이 문장을 프랑스어로 번역하세요."),
        ],
    ),
}
CHANGES = [(language, *pair) for language, (*_, pairs) in LANGUAGES.items() for pair in pairs]


def outcome_of(naive: str, rewrite: str) -> str:
    return check(rewrite, OptimizationRequest(naive), FidelitySettings(), FIPO_1).outcome


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_may_become_a_request(language: str) -> None:
    question, request, _, _ = LANGUAGES[language]
    assert outcome_of(question, request) == "optimized"


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_is_none(language: str) -> None:
    question, _, answer, _ = LANGUAGES[language]
    assert outcome_of(question, answer) == "answered"


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_another_language_is_noticed(language: str) -> None:
    _, request, _, _ = LANGUAGES[language]
    assert outcome_of(request, UNRELATED) == "language_changed"


@pytest.mark.parametrize(("language", "naive", "rewrite"), CHANGES)
def test_negations_numbers_bounds_and_languages_are_noticed(language: str, naive: str, rewrite: str) -> None:
    assert outcome_of(naive, rewrite) not in ("optimized", "unchanged")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_read_in_a_language_is_not_said_to_be_unchecked(language: str) -> None:
    _, request, _, _ = LANGUAGES[language]
    assert not {"negations", "bounds", "requests and statements"} & set(unchecked(request))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (
            "Förklara fotosyntes med enkla ord för en tioåring.",
            {"negations", "bounds", "number words", "output formats"},
        ),
        ("Εξήγησε τη φωτοσύνθεση με απλά λόγια.", {"negations", "requests and statements"}),
        ("请用简单的语言解释光合作用。", {"names"}),
        ("Erkläre die Photosynthese mit einfachen Worten.", {"names"}),
    ],
)
def test_what_cannot_be_read_is_said(text: str, kinds: set[str]) -> None:
    assert kinds <= set(unchecked(text))


def test_the_result_says_what_was_not_checked_of_the_text_to_use() -> None:
    request = OptimizationRequest("Vad är fotosyntes?")
    candidate = check("Förklara fotosyntes med enkla ord.", request, FidelitySettings(), FIPO_1)
    result = OptimizedPrompt(
        text=candidate.text,
        request=request,
        outcome=candidate.outcome,
        candidates=(candidate,),
        model="m",
        template="fipo-1",
    )
    assert candidate.outcome == "optimized"
    assert "negations" in result.unchecked
    kept = OptimizedPrompt(
        text=request.instruction, request=request, outcome="answered", candidates=(candidate,), model="m", template="t"
    )
    assert kept.unchecked == ()


def test_a_prompt_may_ask_for_another_language() -> None:
    naive = "Schreibe die Anweisung neu, und zwar auf Englisch: Erkläre die Entstehung von Regen und Schnee."
    rewrite = "Rewrite the instruction in English: Erkläre die Entstehung von Regen und Schnee."
    assert outcome_of(naive, rewrite) != "language_changed"


@pytest.mark.parametrize(
    ("naive", "lost", "kept"),
    [
        (
            "Vergleiche Tee und Kaffee in einfachen Worten.",
            "Beschreibe Tee und Kaffee in einfachen Worten.",
            "Erkläre in einfacher Sprache die Unterschiede zwischen Tee und Kaffee.",
        ),
        (
            "Corrigez ce texte sur le thé et le café.",
            "Écrivez un texte sur le thé et le café.",
            "Relisez ce texte sur le thé et le café et corrigez les fautes.",
        ),
        (
            "Compara el té y el café con palabras sencillas.",
            "Describe el té y el café con palabras sencillas.",
            "Explica con palabras sencillas las diferencias entre el té y el café.",
        ),
        (
            "Compare o chá e o café com palavras simples.",
            "Descreva o chá e o café com palavras simples.",
            "Explique com palavras simples as diferenças entre o chá e o café.",
        ),
        (
            "Confronta il tè e il caffè con parole semplici.",
            "Descrivi il tè e il caffè con parole semplici.",
            "Spiega con parole semplici le differenze tra il tè e il caffè.",
        ),
        (
            "Vergelijk thee en koffie in eenvoudige woorden.",
            "Beschrijf thee en koffie in eenvoudige woorden.",
            "Leg in eenvoudige taal de verschillen tussen thee en koffie uit.",
        ),
        (
            "Сравни чай и кофе простыми словами.",
            "Опиши чай и кофе простыми словами.",
            "Объясни простыми словами, в чём разница между чаем и кофе.",
        ),
        (
            "قارن بين الشاي والقهوة بكلمات بسيطة.",
            "صف الشاي والقهوة بكلمات بسيطة.",
            "اشرح الفرق بين الشاي والقهوة بكلمات بسيطة.",
        ),
        (
            "चाय और कॉफ़ी की तुलना सरल शब्दों में करें।",
            "चाय और कॉफ़ी का वर्णन सरल शब्दों में करें।",
            "सरल शब्दों में चाय और कॉफ़ी का अंतर समझाएँ।",
        ),
        ("请用简单的语言比较茶和咖啡。", "请用简单的语言描述茶和咖啡。", "请用通俗的话说明茶和咖啡的区别。"),
        (
            "お茶とコーヒーを簡単な言葉で比較してください。",
            "お茶とコーヒーを簡単な言葉で説明してください。",
            "お茶とコーヒーの違いをわかりやすく説明してください。",
        ),
        (
            "차와 커피를 쉬운 말로 비교해 주세요.",
            "차와 커피를 쉬운 말로 설명해 주세요.",
            "차와 커피의 차이를 쉽게 설명해 주세요.",
        ),
    ],
)
def test_tasks_and_manners_are_kept_in_every_language(naive: str, lost: str, kept: str) -> None:
    outcomes = [check(text, OptimizationRequest(naive), FidelitySettings(), FIPO_1).outcome for text in (lost, kept)]
    assert outcomes == ["task_lost", "optimized"]


@pytest.mark.parametrize(
    ("added", "outcome"),
    [
        ("पहले जवाब दो, फिर कारण बताओ।", "optimized"),
        ("हर एक का उदाहरण दो और बताओ कि कब क्या सही है।", "optimized"),
        ("दो उदाहरण भी बताओ।", "number_invented"),
    ],
)
def test_the_hindi_for_two_is_also_to_give(added: str, outcome: str) -> None:
    naive = "चाय और कॉफ़ी में क्या अंतर है?"
    assert check(f"{naive}\n\n{added}", OptimizationRequest(naive), FidelitySettings(), FIPO_1).outcome == outcome


@pytest.mark.parametrize(
    "naive",
    [
        "can i deduct a standing desk if im salaried",
        "teach me python, im a florist",
        "summarize {lease} for a new tenant",
    ],
)
def test_one_word_of_another_language_does_not_make_a_brief_prompt_foreign(naive: str) -> None:
    english = f"{naive}\n\nExplain it in plain words, and give an example each time."
    german = f"{naive}\n\nErkläre es in einfachen Worten und gib jedes Mal ein Beispiel."
    outcomes = [
        check(text, OptimizationRequest(naive), FidelitySettings(), FIPO_1).outcome for text in (english, german)
    ]
    assert outcomes == ["optimized", "language_changed"]


CODE_BLOCK = "```\nfor (int i = 0; i < n; i++) { total += rows[i].count * rows[i].price; } return total / n;\n```"


@pytest.mark.parametrize("before", [CODE_BLOCK, "\n".join([CODE_BLOCK] * 12), "{contract} {appendix} {questions} " * 3])
def test_a_prompt_is_in_the_language_of_its_prose_however_much_else_comes_first(before: str) -> None:
    naive = f"{before}\nFasse das bitte zusammen und nenne die wichtigsten Punkte, die ein neuer Kollege kennen sollte."
    english = f"{naive}\n\nWrite in a clear and friendly tone, and keep to what the text says."
    german = f"{naive}\n\nSchreibe klar und freundlich, und halte dich an den Text."
    assert [outcome_of(naive, rewrite) for rewrite in (english, german)] == ["language_changed", "optimized"]
