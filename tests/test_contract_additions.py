"""What a proper addition to a hasty prompt may say: its language, how hours are counted, what belongs in the answer."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest, ShownExample
from fipo_model.contract.reading import read
from fipo_model.fidelity import check


def outcome(naive: str, addition: str, *shown: tuple[str, str | None]) -> str:
    request = OptimizationRequest(naive, examples=tuple(ShownExample(*each) for each in shown))
    return check(f"{naive}\n\n{addition}", request, FidelitySettings(), FIPO_2).outcome


FRENCH = ("Le magasin ferme à dix-huit heures ce soir.", None)
ENGLISH = ("The museum is closed on Mondays and the shop on Sundays.", None)


@pytest.mark.parametrize(
    ("naive", "addition", "shown", "expected"),
    [
        ("en anglais", "Traduis la phrase française en anglais.", (FRENCH,), "optimized"),
        ("to italian", "Translate the English text into Italian.", (ENGLISH,), "optimized"),
        ("to italian", "Translate the German text into Italian.", (ENGLISH,), "language_invented"),
        ("make formal", "Rewrite the message in formal English.", (ENGLISH,), "optimized"),
        ("make formal", "Rewrite the message in formal English.", (FRENCH,), "language_invented"),
        ("make formal", "Rewrite the message in formal English.", (), "language_invented"),
        ("make formal", "Translate the message into English.", (ENGLISH,), "language_invented"),
        ("british spelling", "Change the spelling to British English.", (), "optimized"),
        ("fix spelling", "Change the spelling to British English.", (), "name_invented"),
        ("which article", "Choose the English indefinite article that fits the word.", (), "optimized"),
        ("in piglatin", "Turn the word into Pig Latin.", (), "optimized"),
        ("turn it round", "Turn the word into Latin.", (), "language_invented"),
        ("turn it round", "Write it in Python.", (), "name_invented"),
    ],
)
def test_the_language_of_what_is_given_may_be_named(naive, addition, shown, expected):
    found = outcome(naive, addition, *shown)
    assert found == expected or (expected == "name_invented" and found == "language_invented")


@pytest.mark.parametrize("prompt", ["to json", "plus or minus", "json", "extract to json", "sort desc"])
def test_a_few_words_are_of_no_sure_language(prompt):
    assert read(prompt).language.code in (None, "en")


@pytest.mark.parametrize(
    ("prompt", "code"), [("wie spät ist es", "de"), ("où est la gare", "fr"), ("que hora es", "es")]
)
def test_a_few_words_with_grammar_of_their_own_are(prompt, code):
    assert read(prompt).language.likely == code


@pytest.mark.parametrize(
    ("naive", "addition", "shown", "expected"),
    [
        ("what letter does it end on", "Name the letter. A single letter is the whole answer.", (), "optimized"),
        ("what type is it", "Name the type of the value; the type alone is enough.", (), "optimized"),
        ("who is the author", "Name the author; only the name is wanted.", (), "optimized"),
        ("find the order id", "Find the ID of the order; prices and other numbers are not meant.", (), "optimized"),
        ("find the mean", "Compute the arithmetic mean. The answer is the mean alone.", (), "optimized"),
        ("what is the mean", "Compute it. The answer is the mean of four and six.", (), "answered"),
        ("compare them", "Two words are given with a comma. Compare them.", (("midge, ant", None),), "optimized"),
        ("compare them", "Rivers are shaped by storms. Compare them.", (("midge, ant", None),), "answered"),
        ("explain photosynthesis", "Explain it. Sunlight reaches green leaves that are always hungry.", (), "answered"),
        (
            "why do cats purr",
            "Explain why cats purr: the main reasons first, then how the sound is made.",
            (),
            "optimized",
        ),
        (
            "svelte or vue",
            "Compare Svelte and Vue: the advantages and drawbacks of each, and for whom each is the better choice.",
            (),
            "optimized",
        ),
        (
            "how long dose flu last",
            "Say how long the flu lasts: the usual length first, then how it goes over the days, and what helps.",
            (),
            "optimized",
        ),
        (
            "why do cats purr",
            "Explain why cats purr: the muscles are tightened, then they make the air shake.",
            (),
            "answered",
        ),
        (
            "why is the house cold",
            "Explain why the house is cold: because the old windows are leaking and nobody has sealed the frames.",
            (),
            "answered",
        ),
        (
            "why is the sky blue",
            "Explain why the sky is blue: since the air is full of molecules, the blue part is scattered.",
            (),
            "answered",
        ),
        ("when is it on", "Tell the time. Giving the day is enough.", (), "optimized"),
        ("how to clean it", "Explain the steps. Warn of what makes it worse.", (), "optimized"),
    ],
)
def test_what_belongs_in_the_answer_is_none(naive, addition, shown, expected):
    assert outcome(naive, addition, *shown) == expected


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("letters only", "Keep the letters and drop everything that is not a letter.", "optimized"),
        ("list animals", "List the animals, and leave out all that is not an animal.", "optimized"),
        ("list animals", "List what is there, but do not list animals.", "negation_invented"),
        ("all but the first", "Write the list without its first item.", "optimized"),
        ("valid argument?", "Check whether the argument is valid or not.", "optimized"),
        ("valid argument?", "Say that the argument is not valid.", "negation_invented"),
        ("no single digits", "Leave out everything that has a single digit.", "optimized"),
        ("no single digits", "Write everything that has a single digit.", "negation_invented"),
        ("first sentence only", "Reproduce the first sentence and drop all that follow.", "optimized"),
        ("first sentence only", "Reproduce the first sentence and the last sentence.", "negation_invented"),
    ],
)
def test_a_negation_that_says_the_same_again_denies_nothing(naive, addition, expected):
    assert outcome(naive, addition) == expected


def test_one_label_may_be_told_from_another_word():
    shown = (("wasp", "insect"), ("swan", "bird"))
    assert outcome("bird or bug", "Write only bird or insect (insect, not bug).", *shown) == "optimized"
    assert outcome("bird or bug", "Write only bird or insect (not bug).", *shown) == "negation_invented"


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("military time", "Convert the time to the 24-hour clock.", "optimized"),
        ("am pm", "Write the time on the 12-hour clock.", "optimized"),
        ("how far", "Write how far one walks in 24 hours.", "number_invented"),
        ("military time", "Convert the time to the 36-hour clock.", "number_invented"),
    ],
)
def test_hours_are_counted_to_twelve_or_twenty_four(naive, addition, expected):
    assert outcome(naive, addition) == expected


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("A minus B", "Take the items of list A and remove those of list B.", "optimized"),
        ("a x b", "Multiply a by b.", "optimized"),
        ("pivot table or group by??", "Compare the two: what each does well.", "optimized"),
        ("make it readable", "Rewrite it so that it reads well, and return only the rewritten version.", "optimized"),
        ("make it readable", "Here the rewritten version follows.", "template_echoed"),
        ("odd one out", "Find the one that does not fit with the others.", "optimized"),
        ("odd one out", "Translate the sentence.", "task_invented"),
    ],
)
def test_what_a_hasty_prompt_hints_at_is_its_task(naive, addition, expected):
    assert outcome(naive, addition) == expected


def test_two_of_the_input_were_counted_by_whoever_saw_it():
    addition = "Decide which of the two sentences is right."
    assert outcome("which is right", addition, ("(a) He goes. (b) He go.", None)) == "optimized"
    assert outcome("which is right", addition) == "number_invented"


LIST = ("anchor, spoon, gate", None)
WORD = ("level", None)
PAIR = ("camera, compass", None)
REPLACEMENT = ("The soft mechanic left. (soft -> tired)", None)


@pytest.mark.parametrize(
    ("naive", "addition", "shown", "expected"),
    [
        ("url part", "Give the part that stands after the slash.", (LIST, WORD), "placeholder_invented"),
        ("url part", "Give the part that stands after the slash.", (("cats/dogs", None), WORD), "optimized"),
        ("url part", "Give the part that stands after the slash.", (), "placeholder_invented"),
        ("part of a/b", "Give the part that stands after the slash.", (), "optimized"),
        ("words and slash", "Give the word that stands after the slash.", (), "optimized"),
        ("first", "Copy what stands before the first comma.", (LIST,), "optimized"),
        ("first", "Copy what stands before the first comma.", (WORD,), "placeholder_invented"),
        ("swap it", "Put in the word on the right side of the arrow.", (REPLACEMENT,), "optimized"),
        ("swap it", "Put in the word on the right side of the arrow.", (LIST,), "placeholder_invented"),
        ("what was said", "Copy what the last line says.", (LIST, WORD), "placeholder_invented"),
        ("what was said", "Copy what the last line says.", (("A:\nB", None), WORD), "optimized"),
        ("in the last line", "Copy what the last line says.", (WORD,), "optimized"),
        ("same both ways", "Compare the two words and say whether they are the same.", (WORD,), "placeholder_invented"),
        ("same both ways", "Compare both words and say whether they are the same.", (WORD,), "placeholder_invented"),
        ("same start", "Compare the two words and say whether they start alike.", (PAIR,), "optimized"),
        ("fruit or vegetable", "Answer with one of the two words, fruit or vegetable.", (WORD,), "optimized"),
        # Signs that go with what the prompt names, lines of the outputs, and two words in one.
        ("minutes of the time", "Say what stands after the colon.", (), "optimized"),
        ("minutes of the time", "Say what stands after the colon.", (WORD,), "placeholder_invented"),
        ("numerator of it", "Name the numerator, which stands before the slash.", (), "optimized"),
        ("fix spaces", "Remove the space before the comma.", (), "optimized"),
        ("street and town", "Write the street in the first line.", (("Mill St, Rye", "Mill St\nRye"),), "optimized"),
        ("join", "Join the two words without the hyphen.", (("cat-dog", None),), "optimized"),
        ("sum", "Add the two numbers.", (("3+4", None),), "optimized"),
    ],
)
def test_what_an_addition_points_to_is_in_the_prompt_or_in_an_input(naive, addition, shown, expected):
    assert outcome(naive, addition, *shown) == expected


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("address of the sender: {letter}", "Copy the address from the e-mail.", "placeholder_invented"),
        ("address of the sender: {mail_body}", "Copy the address from the e-mail.", "optimized"),
        ("address of the sender: {text}", "Copy the address from the e-mail.", "optimized"),
        ("address of the sender", "Copy the address from the e-mail.", "optimized"),
        ("people mentioned: {article}", "Name the people mentioned in the list.", "placeholder_invented"),
        ("people mentioned: {articles}", "Name the people mentioned in the list.", "optimized"),
        ("people mentioned: {article}", "Name the people mentioned in the article.", "optimized"),
        ("verdict on the film: {opinion}", "Find the verdict in the review.", "optimized"),
        ("total of {bill}", "Add up the amounts in the invoice.", "optimized"),
        ("risks of {nda}", "Name the risks in the contract.", "optimized"),
        ("rhyme of {verse}", "Name the rhyme in the poem.", "optimized"),
    ],
)
def test_an_input_is_called_what_its_variable_is(naive, addition, expected):
    assert outcome(naive, addition) == expected


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("lowest", "Find the lowest of the two and reply with that value alone.", "number_invented"),
        ("highest minus last", "Give the difference between these two.", "optimized"),
        ("lower", "Find the lower of the two and reply with that value alone.", "optimized"),
        ("which is older", "Write the older of the two.", "optimized"),
        ("which day comes last", "Name the last of these three days.", "number_invented"),
        ("swap them", "Swap the two and reply with the result.", "optimized"),
        ("parity", "Say whether it is even or odd. Answer with one of these two.", "optimized"),
    ],
)
def test_nobody_counts_what_was_not_shown_unless_the_prompt_speaks_of_two(naive, addition, expected):
    assert outcome(naive, addition) == expected


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("one per line", "Write the items on one line, with no spaces between them.", "format_invented"),
        ("one a line", "Write the list on a single line.", "format_invented"),
        ("each on a new line", "Write all items in one line.", "format_invented"),
        ("all on one line", "Write each item on a new line.", "format_invented"),
        ("one per line", "Write the items on one line each.", "optimized"),
        ("one per line", "Write every item on a line of its own.", "optimized"),
        ("names, one per line", "Write each name on its own line.", "optimized"),
        ("bio in one line", "Write the bio on one line.", "optimized"),
    ],
)
def test_one_line_is_the_opposite_of_one_per_line(naive, addition, expected):
    assert outcome(naive, addition) == expected


@pytest.mark.parametrize(
    ("naive", "addition", "shown", "left"),
    [
        ("median", "Sort the numbers and skip to the middle one.", (), None),
        ("rises", "Name the hours in which prices rise and drop sharply.", (), None),
        ("anagrams", "Judge whether they are anagrams and ignore case.", (), None),
        ("extract the ticket", "Copy the ticket and drop the sender's name.", (), "Copy the ticket."),
        ("due date", "Give the date on which to pay, and leave out the time.", (), "Give the date on which to pay."),
        (
            "due date",
            "Give the date on which to pay and omit the year. Be exact.",
            (LIST,),
            "Give the date on which to pay. Be exact.",
        ),
        # Nothing in particular is left out, or somebody spoke of it, or right outputs show what is.
        ("last word", "Give the last word and leave out the rest.", (), None),
        ("last item", "Give the last item, and omit all other words.", (), None),
        ("date without time", "Give the date and leave out the time.", (), None),
        ("word in brackets", "Give the word and drop the brackets.", (), None),
        ("which tool", "Name the tool and leave out the gate.", (LIST,), None),
        ("year", "Give the year and leave out the day.", (("1 May 2026", "2026"), ("2 May 2024", "2024")), None),
        ("shorten", "Drop the adjectives.", (), None),
    ],
)
def test_an_addition_leaves_out_nothing_that_nobody_spoke_of(naive, addition, shown, left):
    request = OptimizationRequest(naive, examples=tuple(ShownExample(*each) for each in shown))
    found = check(f"{naive}\n\n{addition}", request, FidelitySettings(), FIPO_2)
    assert found.text == f"{naive}\n\n{left or addition}"
    assert found.detail == ("without what it would leave out, of which nobody spoke" if left else "") or left is None
