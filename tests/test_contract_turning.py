"""Opposites: a rewrite may not ask for the other of two, nor sort the other way."""

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.contract.asking import wants_input
from fipo_model.contract.reading import read
from fipo_model.contract.turning import contradicted, turned_around
from fipo_model.fidelity import as_addition, check

TURNED = [
    ("Write down the strengths of the plan.", "Write down the weaknesses of the plan."),
    ("Nenne die Stärken des Teams.", "Nenne die Schwächen des Teams."),
    ("Cite les points forts du projet.", "Cite les points faibles du projet."),
    ("Explica las causas de la guerra.", "Explica las consecuencias de la guerra."),
    ("Elenca i punti di forza del progetto.", "Elenca i punti deboli del progetto."),
    ("Você pode listar os pontos fortes do projeto?", "Liste os pontos fracos do projeto para mim."),
    ("Noem de goedkoopste hotels in de stad.", "Noem de duurste hotels in de stad."),
    ("Назови причины войны.", "Назови последствия войны."),
    ("列出这个方案的优势。", "列出这个方案的劣势。"),
    ("この計画の利点を書いてください。", "この計画の欠点を書いてください。"),
    ("이 계획의 장점을 쓰세요.", "이 계획의 단점을 쓰세요."),
    ("اذكر إيجابيات السفر.", "اذكر سلبيات السفر."),
    ("यात्रा के लाभ बताइए।", "यात्रा के नुकसान बताइए।"),
    ("Order the films from the oldest to the newest.", "Order the films from the newest to the oldest."),
    ("Ordena los libros de más antiguos a más nuevos.", "Ordena los libros de más nuevos a más antiguos."),
]
KEPT = [
    ("Name the advantages of trains.", "List the advantages and disadvantages of trains."),
    ("Do not name the advantages.", "Name the disadvantages."),
    ("Give the opposite of increase.", "Give a word for decrease."),
    ("Compare the oldest and the newest bridge.", "Compare the newest bridge and the oldest one."),
    ("Sortiere aufsteigend nach Preis.", "Sortiere die Waren nach dem Preis, aufsteigend."),
]
ASKING = {
    "en": ["Please upload your draft first.", "Could you paste the contract and say who signs it?"],
    "de": ["Welchen Absatz soll ich kürzen?", "Könntest du mir den Brief schicken?"],
    "fr": ["Envoie-moi ton brouillon.", "Quel texte dois-je corriger ?"],
    "es": ["¿Podrías compartir el borrador?", "¿Qué párrafo debo corregir?"],
    "it": ["Incolla qui il testo.", "Quale paragrafo devo correggere?"],
    "pt": ["Você pode compartilhar o rascunho?", "Cole aqui o texto."],
    "nl": ["Kun je de brief met mij delen?", "Stuur me je concept."],
    "ru": ["Не могли бы вы прислать документ?", "Отправь мне черновик."],
    "zh": ["请把信发给我。", "能否分享一下您的草稿？"],
    "ja": ["手紙を送っていただけますか。", "原稿を共有してください。"],
    "ko": ["편지를 보내 주세요.", "독자가 누구인지 알려 주세요."],
    "ar": ["هل يمكنك مشاركة المسودة؟", "أخبرني من هم القراء."],
    "hi": ["कृपया अपना पत्र भेजें।", "क्या आप अपना मसौदा साझा कर सकते हैं?"],
}
TASKS = {
    "en": ["Ask the customer for the order number.", "Share the key lessons of the story."],
    "de": ["Bitte den Kunden um die Bestellnummer.", "Bitte übersetze den Brief ins Englische."],
    "fr": ["Demande au client le numéro de commande.", "Donne-moi une liste de trois idées."],
    "es": ["Pide al cliente el número de pedido.", "Por favor, dame una lista de tres ideas."],
    "it": ["Chiedi al cliente il numero d'ordine.", "Dimmi qual è il tema del testo."],
    "pt": ["Peça ao cliente o número do pedido.", "Por favor, dê uma lista de três ideias."],
    "nl": ["Vraag de klant om het bestelnummer.", "Geef de informatie in een tabel."],
    "ru": ["Попроси у клиента номер заказа.", "Дай список из трёх идей."],
    "zh": ["请提供文章的摘要。", "请告诉我这篇文章的主题。"],
    "ja": ["お客様に注文番号を尋ねてください。", "この文章の要点を教えてください。"],
    "ko": ["고객에게 주문 번호를 물어보세요.", "세 가지 예를 제공하세요."],
    "ar": ["اسأل العميل عن رقم الطلب.", "هل يمكنك تلخيص النص؟"],
    "hi": ["ग्राहक से ऑर्डर संख्या पूछें।", "कृपया तीन उदाहरणों की सूची प्रदान करें।"],
}


@pytest.mark.parametrize(("naive", "rewrite"), TURNED)
def test_a_rewrite_that_asks_for_the_opposite_is_refused(naive: str, rewrite: str) -> None:
    assert turned_around(read(naive), read(rewrite, read(naive).language.likely))
    request = OptimizationRequest(naive)
    assert check(rewrite, request, FidelitySettings(), FIPO_1).outcome != "optimized"
    candidate = check(as_addition(rewrite, request), request, FidelitySettings(), FIPO_1)
    assert candidate.outcome == "negation_invented"


@pytest.mark.parametrize(("naive", "rewrite"), KEPT)
def test_a_word_that_has_an_opposite_may_be_said(naive: str, rewrite: str) -> None:
    assert turned_around(read(naive), read(rewrite)) is None
    assert contradicted(read(naive), read(rewrite)) is None


def test_an_addition_may_say_the_opposite_of_something_else() -> None:
    naive, added = read("Name the oldest bridge."), read("Take the newest figures you know.")
    assert contradicted(naive, added) is None


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in ASKING.items() for text in texts])
def test_asking_for_the_input_is_seen_in_every_language(code: str, text: str) -> None:
    assert wants_input(read(text, code)) is not None


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in TASKS.items() for text in texts])
def test_a_task_that_asks_somebody_else_or_for_an_output_wants_no_input(code: str, text: str) -> None:
    assert wants_input(read(text, code)) is None
