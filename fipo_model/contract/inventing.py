"""What a rewrite invented, or says against its prompt, kind by kind: what is wrong, in words, or None. Pure.

Of an addition only the added text is looked at. It may not bring in anything new that binds; a full rewrite may say how
long an output should be.
"""

import difflib
import re
from collections import Counter

from fipo_model.contract import (
    asking,
    counting,
    keeping,
    labels,
    literals,
    markers,
    names,
    numbers,
    opposing,
    pointing,
    questions,
    shown,
    turning,
    variables,
)
from fipo_model.contract.case import Case
from fipo_model.contract.commitments import Commitment, invented, listed, missing
from fipo_model.contract.patterns import lazy

_SIZES = frozenset({"sentence", "paragraph", "line", "word", "page", None})
_FREE_SIZES = frozenset("012345")
_OUTPUT_SIZES = _SIZES - {None, "word"}
_FEW = frozenset({"2", "3"})
_OF_THE_INPUT = lazy(r"(?i)\b(?:(?<!in )the|these|those|both) (?:\w+ )?$")
_OF_A_CHOICE = lazy(r"(?i)\bor\b.*\bone of (?:the|these|those) $")  # "Is it even or odd? Answer with one of these two."
_AMONG_THE_INPUT = lazy(r"(?i)\b(?:which|one|larger|smaller|better|longer|shorter|both|each) of (?:the|these|those) $")
# What is done with two things, or three. "The lowest of the two" is false of a list.
_AMONG_FEW = lazy(
    r"(?i)\b(?:or|vs|versus|than|more|less|better|worse|both|between|compar\w*|differ\w*|diff|same|similar\w*|equal\w*"
    r"|match\w*|pair\w*|swap\w*|switch\w*|exchange\w*|common|share\w*|overlap\w*|anagrams?|rhym\w*|merg\w*|combin\w*"
    r"|join\w*|add\w*|sum|plus|minus|subtract\w*|times|multipl\w*|divid\w*|product|apart|gap|distance"
    r"|they|these|those|how (?:many|long|far)"
    r"|(?:bigg|small|larg|great|high|low|long|short|tall|old|young|new|earli|lat|soon|fast|slow|heavi|light|cheap|strong"
    r"|weak|near|clos|furth|farth|hott|cold|warm|cool|hard|easi|saf|rich|poor)er)\b|[/<>=+]|\w ?[-*&] ?\w"
)
_LONGEST_WORD = 100  # characters
# What a date, a time or a number looks like: YYYY-MM-DD, HH:MM, NNN.
_MASK = lazy(r"(?:Y{2,4}|M{2,3}|D{2}|H{2}|S{2}|N{2,4})")
# Mentions of the prompt's own language with words: "in English words", "its English name"; not "from English".
_OF_WORDS = lazy(
    r" (?:\w+ )?(?:words?|names?|letters?|alphabet|nouns?|verbs?|adjectives?|sentences?|spelling|endings?|articles?"
    r"|months?|ordinals?|numerals?|pronouns?|adverbs?|prepositions?|plurals?|grammar)\b"
)
_FROM_OR_INTO = lazy(r"\b(?:from|to|into) $")
_OF_TIMES = lazy(r"\b(?:times?|clock|[ap]\.?m\b\.?|hours?|o'clock|\d?\d:\d\d)")
# Names that say nothing about the world, and headings a rewrite may have.
_FREE_NAMES = frozenset(
    "json csv xml yaml ai url html css pdf faq id api ui ux english "
    "step steps note example examples title output input format".split()
)
# A full rewrite may give examples, or say who wrote a book.
_INTRODUCED = lazy(
    r"\b(?:such as|like|including|includes?|\(?e\.g\.,?|for example,?|by|namely) "
    r"(?:[\w'-]+,? (?:and |or )?(?:the )?){0,12}$"
)
_PROGRAMMING = frozenset("python javascript java typescript rust go ruby php sql bash html css json".split())


def variables_invented(case: Case) -> str | None:
    """A template variable appeared that nobody will fill, or talk of a part that the input need not have."""
    found = [each for each in variables.variables(case.added.text) if not variables.is_example(case.added.text, each)]
    if found and "{" not in case.naive.text:
        found = [each for each in found if not _is_in_code(each, case)]
    return invented(missing(found, variables.variables(case.naive.text))) or pointing.absent_part(case)


def variables_doubled(case: Case) -> str | None:
    """A template variable is there more often than in the prompt, so that what fills it comes twice."""
    # A program puts the same text into each; a person who fills [SLOTS] may read of them twice.
    found = [each for each in variables.variables(case.rewrite_text) if each.text[0] in "{$%#"]
    expected = variables.variables(case.naive.text)
    known = {each.key for each in expected}
    doubled = [each for each in missing(found, expected, counted=True) if each.key in known]
    return f"has {listed(each.text for each in doubled)} more than once" if doubled else None


def numbers_invented(case: Case) -> str | None:
    """A number appeared that neither prompt nor context nor responses have, or that contradicts the list beside it."""
    if (counted := counting.miscounted(case.added)) is not None and counting.miscounted(case.naive) is None:
        return counted
    known = {number.value for number in numbers.numbers(case.given)} | {"1"}
    runs = re.findall(r"(?<!\d)\d++/\d+", case.added.text)
    known |= {part for run in runs if run.replace("/", "") in known for part in run.split("/")}  # 9/11 and 911
    new = [number for number in numbers.numbers(case.added) if number.value not in known]
    new = [number for number in new if not _is_of_a_clock(number, case)]
    new = [number for number in new if not _counts_nothing(number, case) and not _counts_inputs(number, case)]
    if not case.is_addition:
        new = [number for number in new if not _is_free_size(number) and not _is_age(number, case)]
    if new or not case.is_addition:
        return invented(number.as_commitment() for number in new)
    return _other_units(case) or keeping.swapped_numbers(case.naive, case.added)


def _other_units(case: Case) -> str | None:
    """A number of the prompt that an addition gives another unit."""
    given: dict[str, set[str | None]] = {}
    for number in numbers.numbers(case.given):
        given.setdefault(number.value, set()).add(number.unit)
    for number in numbers.numbers(case.added):
        units = given.get(number.value, {None})
        if number.unit is not None and None not in units and number.unit not in units:
            return f"changes the unit of {number.text!r}"
    return None


def negations_invented(case: Case) -> str | None:
    """The rewrite denies what the prompt says, or reverses a bound, an order or a word."""
    found = [marker for marker in markers.flipped(case.naive, case.added) if not _tells_from_a_label(marker, case)]
    if found:
        return invented(marker.as_commitment(case.added.text) for marker in found)
    if not case.is_addition:
        return turning.turned_around(case.naive, case.rewrite)
    said_again = markers.contradicted(case.naive, case.added)
    shown = [marker.as_commitment(case.naive.text).text for marker in said_again]
    if shown:
        return f"says the opposite of {listed(shown)}"
    kept = keeping.positive_instead(case.naive, case.added) or turning.contradicted(case.naive, case.added)
    return kept or opposing.asked_though_excluded(case)


def _tells_from_a_label(marker: markers.Marker, case: Case) -> bool:
    """ "insect, not bug", where outputs show the label "insect"."""
    before = case.added.text[: marker.span[0]].rstrip()
    labels_before = (each.lower() for each in shown.outputs_shown(case.request))
    return (
        marker.text == "not"
        and before.endswith(",")
        and any(before[:-1].lower().endswith(each) for each in labels_before)
    )


def names_invented(case: Case) -> str | None:
    """A name, an address or a path appeared that neither prompt nor context nor responses have."""
    text, given = case.added.text, case.given.text
    new_addresses = missing(literals.urls(text), literals.urls(given)) + missing(
        literals.emails(text), literals.emails(given)
    )
    if case.is_addition:
        new_addresses += missing(literals.handles(text), literals.handles(given))
        new_addresses += missing(literals.paths(text), literals.paths(given))
    new_addresses = [each for each in new_addresses if each.text not in given]
    return invented(new_addresses) or _new_names(case)


def _new_names(case: Case) -> str | None:
    has_code = (
        bool(literals.code(case.naive.text) or literals.identifiers(case.naive.text)) or "code" in case.naive.stems
    )
    if has_code and not case.is_addition and _has_all_names(case):
        return None  # "in React", "in this Python code": what the code is written in
    free = _FREE_NAMES | (_PROGRAMMING if has_code else frozenset()) | _notations(case)
    known = case.given.stems
    new = [
        name
        for name in names.names(case.added, with_headings=False)
        if name.key not in known and name.text.lower() not in free and names.missing_names([name], case.given)
        if not names.is_heading(name, case.added) and not difflib.get_close_matches(name.key, known, 1, 0.8)
    ]
    if explained := [name for name in new if _explains_an_abbreviation(name, case)]:
        return invented(explained)
    # It may say more about a name, but not replace it with another.
    if not case.is_addition and _has_all_names(case):
        new = [name for name in new if not _is_elaboration(name, case)]
    short = names.abbreviated(names.names(case.added), case.given)
    new = [name for name in new if not _is_part_of_a_given_word(name, case)]
    new = [name for name in new if numbers.unit_of(name.text) is None and not _MASK.fullmatch(name.text)]
    return invented(name for name in new if name.key not in short and not _abbreviates(name, case))


def _notations(case: Case) -> frozenset[str]:
    """Names that a hasty prompt abbreviates, or of what the examples are written in."""
    short = case.added.lexicon.short_for
    spelled = frozenset(name for token in case.naive.tokens for name in short.get(token.text, "").split())
    return spelled | shown.notations_shown(case.request)


def languages_invented(case: Case) -> str | None:
    """A language is asked for that the prompt does not name."""
    new = missing(names.named_languages(case.added), names.named_languages(case.given))
    return invented(each for each in new if not _is_given_language(each, case))


def _is_given_language(each: Commitment, case: Case) -> bool:
    """Whether an addition only names the language of words that were given, or its own language."""
    if not case.is_addition:
        return False
    shown_inputs, shown_outputs = shown.languages_shown(case.request)
    is_direction = _FROM_OR_INTO.search(case.added.text[: each.span[0]]) is not None
    if is_direction:
        return shown_inputs != shown_outputs == each.key
    if each.key in (shown_inputs, shown_outputs):
        return True
    if each.text in _notations(case):  # "british spelling"
        return True
    if each.key != case.added.language.likely:
        return False
    is_all_that_is_shown = bool(case.request.examples) and {shown_inputs, shown_outputs} <= {None, each.key}
    return is_all_that_is_shown or _OF_WORDS.match(case.added.text, each.span[1]) is not None


def language_changed(case: Case) -> str | None:
    """The rewrite is in another language or script than the prompt, which does not ask for that."""
    before, after = case.naive.language, case.added.language
    if before.may_be(after):
        return None
    asked = {each.key for each in names.named_languages(case.naive)}
    if after.code in asked:
        return None
    return f"is in {after.code or after.script}, but the prompt is in {before.code or before.script}"


def labels_invented(case: Case) -> str | None:
    """A new label to choose appeared among those of the prompt."""
    wanted = {each.key for each in labels.choices(case.naive)}
    if not wanted:
        return invented(labels.beyond_the_named(case.naive, case.added)) if case.is_addition else None
    lists = (one for one in labels.choices_by_list(case.added) if any(each.key in wanted for each in one))
    return invented(each for one in lists for each in one if f" {each.key} " not in case.given.words)


def input_requested(case: Case) -> str | None:
    """The rewrite asks its reader for the text or for particulars, as an assistant does when it was given none."""
    if (of_itself := questions.asks_reader_of_itself(case.naive, case.added)) is not None:
        return f"asks you for something of your own: {of_itself!r}"
    found = asking.wants_input(case.added)
    if found is None or asking.wants_input(case.naive) is not None:
        return None
    return f"asks for the input: {found[0]!r}"


def _is_in_code(each: Commitment, case: Case) -> bool:
    """Whether braces belong to an example of an address, a set or a formula."""
    return case.added.text[each.span[0] - 1 : each.span[0]] in ("/", "\\")


def _is_free_size(number: numbers.Number) -> bool:
    """Whether it is the small number of parts that an output should have."""
    if number.value not in _FREE_SIZES:
        return False
    return number.value == "0" or number.is_word or number.unit in _SIZES


def _has_all_names(case: Case) -> bool:
    """Whether the rewrite has every name of the prompt as often as the prompt."""
    said = Counter(token.stem for token in case.naive.tokens)
    found = Counter(token.stem for token in case.rewrite.tokens)
    return all(said[each.key] <= found[each.key] for each in names.names(case.naive))


def _is_elaboration(name: Commitment, case: Case) -> bool:
    """Whether a full rewrite may bring in the name: an abbreviation or what it is short for, or a heading."""
    if name.text[:2].isupper() or names.is_heading(name, case.added) or _is_numeronym(name, case):
        return True
    text = case.added.text
    if any(start <= name.span[0] < end for start, end in (each.span for each in literals.quotations(text))):
        return True
    if _INTRODUCED.search(text[: name.span[0]]) or _is_beside_a_known_name(name, case):
        return True
    after = case.added.text[name.span[1] : name.span[1] + 40]
    return re.match(r"(?: [A-Z]\w+)* \([A-Z]{2,6}s?\)", after) is not None


def _explains_an_abbreviation(name: Commitment, case: Case) -> bool:
    """Whether it comes before an abbreviation of the prompt, or after one in brackets: "Machine Learning (ML)".

    The abbreviation may well be short for something else.
    """
    text = case.added.text
    behind = re.match(r"(?: (?:of |and |the )?[A-Z][\w-]*){0,5} \(([A-Z]\w*)\)", text[name.span[1] :])
    before = re.search(r"\b([A-Z][A-Z0-9]+) \((?:[A-Z][\w-]*,? )*$", text[: name.span[0]])
    return any(found is not None and found[1] in case.given.text for found in (behind, before))


def _is_beside_a_known_name(name: Commitment, case: Case) -> bool:
    """Whether it completes a name of the prompt: "Fyodor Dostoevsky", "the CPA Exam"."""
    near = re.findall(r"([A-Z]\w*)[ '\u2019s]*$", case.added.text[: name.span[0]])
    near += re.findall(r"^ ([A-Z]\w*)", case.added.text[name.span[1] :])
    return any(word in case.given.text for word in near)


def _is_part_of_a_given_word(name: Commitment, case: Case) -> bool:
    """ "Pig Latin" for "piglatin": names that the prompt has without the space between them."""
    before = re.search(r"(\w+)[ -]$", case.added.text[max(0, name.span[0] - _LONGEST_WORD) : name.span[0]])
    behind = re.match(r"[ -](\w+)", case.added.text[name.span[1] :])
    joined = [before[1] + name.text] if before else []
    joined += [name.text + behind[1]] if behind else []
    return any(f" {word.lower()} " in case.given.words for word in joined)


def _is_numeronym(name: Commitment, case: Case) -> bool:
    """Kubernetes for k8s."""
    word = name.text.lower()
    return f" {word[0]}{len(word) - 2}{word[-1]} " in case.given.words


def _counts_nothing(number: numbers.Number, case: Case) -> bool:
    """Whether it is one of a computer's or a list's small numbers, with no word after it: "from x to 0"."""
    follows = re.match(r"[\s-]+([^\W\d_]+)", case.added.text[number.span[1] :])
    is_alone = follows is None or follows[1].lower() in case.added.lexicon.function
    return number.value in ("0", "2") and not number.is_word and number.unit is None and is_alone


def _counts_inputs(number: numbers.Number, case: Case) -> bool:
    """Whether it says how many things are in the input: "the larger of the two numbers", "both of these two words"."""
    before = case.added.text[: number.span[0]]
    is_among = bool(case.request.examples) and _AMONG_THE_INPUT.search(before) is not None
    if not number.is_word or (number.unit in _OUTPUT_SIZES and not is_among):
        return False
    if case.request.examples:
        return True  # a rewriter that was shown inputs could count them
    if number.value not in _FEW or _OF_THE_INPUT.search(before) is None:
        return False
    return _OF_A_CHOICE.search(before) is not None or _AMONG_FEW.search(case.naive.text) is not None


def _is_of_a_clock(number: numbers.Number, case: Case) -> bool:
    """Whether it says how hours are counted, where the prompt is about times: "on the 24-hour clock", "12 am"."""
    if re.fullmatch(r"(?:12|24)[ -]?h(?:ours?)?|12 ?[ap]m", number.text.lower()) is None:
        return False
    return _OF_TIMES.search(case.given.lowered) is not None


def _is_age(number: numbers.Number, case: Case) -> bool:
    """Whether it says how old the intended reader is: "to a six-year-old"."""
    return re.match(r"[ -]year[ -]old", case.added.text[number.span[1] :]) is not None


def _abbreviates(name: Commitment, case: Case) -> bool:
    """Whether it spells out an abbreviation of the prompt, or the other way round."""
    initials = "".join(token.text[0] for token in case.given.tokens)
    short = name.text.lower()
    if name.text[:2].isupper() and short in initials:
        return True
    given = (case.given.text[t.start : t.end] for t in case.given.tokens)
    return any(word[:2].isupper() and name.text[0] in word for word in given if 1 < len(word) < 6)
