"""What a rewrite lost of its prompt, kind by kind: what is wrong, in words, or None. Pure."""

import re
from collections import Counter
from collections.abc import Iterable

from fipo_model.contract import (
    alternatives,
    coverage,
    examples,
    labels,
    literals,
    markers,
    names,
    narrowing,
    numbers,
    questions,
    requests,
    variables,
    wording,
    words,
)
from fipo_model.contract.case import Case
from fipo_model.contract.commitments import Commitment, listed, missing
from fipo_model.contract.commitments import lost as lost_in_words
from fipo_model.contract.reading import Reading, read


def variables_lost(case: Case) -> str | None:
    """A template variable or a slot is missing."""
    return lost_in_words(missing(variables.variables(case.naive.text), variables.variables(case.rewrite.text)))


def variables_swapped(case: Case) -> str | None:
    """Two variables, names or languages have changed places: "from {source} to {target}"."""
    for extract in (_variables_of, names.names, names.named_languages):
        expected, found = extract(case.naive), extract(case.rewrite)
        if len({each.key for each in expected}) < 2:
            continue
        before, after = variables.roles(case.naive.text, expected), variables.roles(case.rewrite.text, found)
        for one in before:
            for other in before:
                if one < other and _are_swapped((one, other), before, after):
                    return f"{one!r} and {other!r} have changed places"
    return None


def literal_lost(case: Case) -> str | None:
    """A literal the caller asked to keep is missing."""
    lost = [literal for literal in case.request.keep if literal and literal not in case.rewrite_text]
    return f"lost {listed(lost)}" if lost else None


def tokens_lost(case: Case) -> str | None:
    """A control token, an emoji or a tag is missing."""
    lost = missing(literals.tokens(case.naive.text), literals.tokens(case.rewrite.text))
    expected = [tag for tag in literals.tags(case.naive.text) if not literals.is_ordinary_tag(tag)]
    # <https://…> and its like are addresses in brackets.
    lost += missing(expected, literals.tags(case.rewrite.text))
    return lost_in_words(lost)


def urls_lost(case: Case) -> str | None:
    """A web address is missing or changed."""
    return lost_in_words(missing(literals.urls(case.naive.text), literals.urls(case.rewrite.text)))


def emails_lost(case: Case) -> str | None:
    """An e-mail address is missing or changed."""
    return lost_in_words(missing(literals.emails(case.naive.text), literals.emails(case.rewrite.text)))


def paths_lost(case: Case) -> str | None:
    """A path, a file, a @handle or a #tag is missing or changed."""
    expected = [*literals.paths(case.naive.text), *literals.handles(case.naive.text)]
    return lost_in_words(missing(expected, [*literals.paths(case.rewrite.text), *literals.handles(case.rewrite.text)]))


def code_lost(case: Case) -> str | None:
    """Code, a formula or the name of something in a program is missing or changed."""
    expected = [*literals.code(case.naive.text), *literals.identifiers(case.naive.text)]
    lost = [each for each in expected if each.key and not literals.holds(case.rewrite_text, each.text)]
    lines = literals.code_lines(case.naive.text)
    squeezed = literals.without_space(case.rewrite_text) if lines else ""
    return lost_in_words([*lost, *(line for line in lines if line.key not in squeezed)])


def quotations_lost(case: Case) -> str | None:
    """A quoted string is missing or changed; the kind of quotation mark and the final punctuation may change."""
    quoted = literals.quotations(case.naive.text)
    return lost_in_words(each for each in quoted if not _has_words(each, case))


def examples_lost(case: Case) -> str | None:
    """A few-shot example or a document in the prompt is missing or changed."""
    kept_as_they_are = [*examples.examples(case.naive.text), *examples.documents(case.naive.text)]
    return lost_in_words(each for each in kept_as_they_are if examples.lacks(case.rewrite, each))


def numbers_lost(case: Case) -> str | None:
    """A number is missing, or has another unit, or counts something else."""
    expected, found = numbers.numbers(case.naive), numbers.numbers(case.rewrite)
    lost = missing(_as_commitments(expected), _as_commitments(found), counted=True)
    # 9/11 is the same day, however it is written.
    figures = case.rewrite.stems | {run.replace("/", "") for run in re.findall(r"(?<!\d)\d++/\d+", case.rewrite_text)}
    lost = [each for each in lost if not (each.key.isdigit() and each.key in figures)]
    if lost:
        return lost_in_words(lost)
    return _units_lost(case, expected, found) or swapped_numbers(case.naive, case.rewrite)


def negations_lost(case: Case) -> str | None:
    """A negation is missing, so that the rewrite says the opposite."""
    lost = [marker for marker in markers.lost_markers(case.naive, case.rewrite) if marker.kind == "not"]
    if lost:
        return lost_in_words(marker.as_commitment(case.naive.text) for marker in lost)
    return positive_instead(case.naive, case.rewrite)


def bounds_lost(case: Case) -> str | None:
    """A bound is missing or changed: at least, at most, only, exactly, except, before, after."""
    lost = [marker for marker in markers.lost_markers(case.naive, case.rewrite) if marker.kind != "not"]
    return lost_in_words(marker.as_commitment(case.naive.text) for marker in lost)


def names_lost(case: Case) -> str | None:
    """A name is missing or different, or a question to the model about itself is lost."""
    if (asked := questions.reader_lost(case.naive, case.rewrite)) is not None:
        return f"no longer asks the model itself: {asked!r}"
    units = numbers.named_units(case.rewrite)
    lost = names.missing_names(names.names(case.naive), case.rewrite)
    return lost_in_words(each for each in lost if numbers.unit_of(each.text) not in units)


def languages_lost(case: Case) -> str | None:
    """A language that the prompt names is missing."""
    return lost_in_words(missing(names.named_languages(case.naive), names.named_languages(case.rewrite)))


def labels_lost(case: Case) -> str | None:
    """A label to choose, a line that a parser waits for, or a word in capitals is missing.

    Or labels are there, and a choice among some of them lacks the others. An addition may do that as well.
    """
    return narrowing.narrowed(case) if case.is_addition else _labels_missing(case) or narrowing.narrowed(case)


def _labels_missing(case: Case) -> str | None:
    expected = [*labels.choices(case.naive), *alternatives.introduced_labels(case.naive)]
    lost = [each for each in expected if f" {each.key} " not in case.rewrite.words]
    lost = [each for each in lost if not _has_stem(each, case)]
    lost += [each for each in labels.line_labels(case.naive.text) if each.text not in case.rewrite_text]
    for each in labels.capitals(case.naive):
        is_emphasis = each.text.lower() in case.naive.lexicon.common or _is_marker(each, case)
        text = case.rewrite_text.lower() if is_emphasis else case.rewrite_text
        wanted = each.text.lower() if is_emphasis else each.text
        if wanted not in text and names.missing_names([_as_name(each)], case.rewrite):
            lost.append(each)
    return lost_in_words(lost)


def formats_lost(case: Case) -> str | None:
    """The form that the output should have is missing: one word, yes or no, JSON, a table, bullets."""
    return lost_in_words(missing(words.formats(case.naive), words.formats(case.rewrite)))


def manner_changed(case: Case) -> str | None:
    """The length or the tone that the prompt asks for is missing, or the rewrite asks for the opposite."""
    wanted = words.manners(case.naive)
    return lost_in_words(missing(wanted, words.manners(case.rewrite)))


def task_lost(case: Case) -> str | None:
    """The task for the given text has changed: to summarize, to translate, to proofread.

    Or the question has changed, or the reader is no longer asked it.
    """
    if (asked := _question_lost(case.naive, case.rewrite)) is not None:
        return asked
    if (lost := requests.request_lost(case.naive, case.rewrite)) is not None:
        return lost
    if (part := questions.narrowed(case.naive, case.rewrite)) is not None:
        return f"asks only about a part: {part!r}"
    wanted = words.tasks(case.naive)
    if not wanted:
        return None
    found = words.task_words(case.rewrite) | {each.key for each in words.tasks(case.rewrite)}
    return lost_in_words(each for each in wanted if each.key not in found)


def _question_lost(naive: Reading, rewrite: Reading) -> str | None:
    losses = (
        (questions.how_lost, "says to do what your prompt asks"),
        (questions.question_changed, "does not ask"),
        (questions.doubt_lost, "does not ask"),
        (questions.beginning_lost, "does not go on with"),
        (questions.role_lost, "lost the role in"),
        (questions.advice_lost, "does not ask"),
    )
    found = ((words_for_it, lost(naive, rewrite)) for lost, words_for_it in losses)
    return next((f"{words_for_it} {text!r}" for words_for_it, text in found if text is not None), None)


def sentences_lost(case: Case) -> str | None:
    """A sentence of the prompt, or a part of one, left no trace."""
    lost = coverage.lost_sentences(case.naive, case.rewrite)
    lost += coverage.lost_attributes(case.naive, case.rewrite) or wording.lost_words(case.naive, case.rewrite)
    return lost_in_words(lost)


def _variables_of(reading: Reading) -> list[Commitment]:
    return variables.variables(reading.text)


def _are_swapped(pair: tuple[str, str], before: dict[str, set[str]], after: dict[str, set[str]]) -> bool:
    one, other = pair
    if one not in after or other not in after:
        return False
    # What both have in common ("cups") does not tell them apart.
    own, others = before[one] - before[other], before[other] - before[one]
    crossed = own & after[other] and others & after[one]
    return bool(crossed) and own.isdisjoint(after[one]) and others.isdisjoint(after[other])


def _has_words(quoted: Commitment, case: Case) -> bool:
    if literals.holds(case.rewrite_text, quoted.text):
        return True
    words = read(quoted.text).words
    return len(words) > 2 and words in case.rewrite.words


def _units_lost(case: Case, expected: list[numbers.Number], found: list[numbers.Number]) -> str | None:
    """A number with another unit or none, or a unit of measurement that the rewrite does not name."""
    having = Counter((number.value, number.unit) for number in found)
    named = numbers.named_units(case.rewrite)
    for number in expected:
        if number.unit is None:
            continue
        if having[number.value, number.unit] > 0:
            having[number.value, number.unit] -= 1
        elif having[number.value, None] == 0 or number.unit not in named:
            return f"changed or lost the unit of {number.text!r}"
    lost = numbers.measures(case.naive) - named
    return f"lost {listed(sorted(lost))}" if lost else None


def _as_commitments(found: Iterable[numbers.Number]) -> list[Commitment]:
    return [number.as_commitment() for number in found]


def swapped_numbers(naive: Reading, rewrite: Reading) -> str | None:
    """Two numbers whose counted things are swapped in another text."""
    before = numbers.counted(naive, numbers.numbers(naive))
    after = numbers.counted(rewrite, numbers.numbers(rewrite))
    for one in before:
        for other in before:
            if one < other and _are_swapped((one, other), before, after):
                return f"{one!r} and {other!r} have changed places"
    return None


def positive_instead(naive: Reading, rewrite: Reading) -> str | None:
    """ "advantages" where the prompt has "disadvantages": a word that lost its negative prefix."""
    said = {token.text for token in naive.tokens}
    new = {token.text for token in rewrite.tokens} - said
    for word in sorted(said - {token.text for token in rewrite.tokens}):
        for prefix in markers.NEGATIVE_PREFIXES:
            bare = word.removeprefix(prefix)
            if bare != word and len(bare) > 3 and any(_are_alike(bare, other) for other in new):
                return f"says {bare!r} instead of {word!r}"
    return None


def _are_alike(one: str, other: str) -> bool:
    """Whether two words differ by no more than an ending."""
    return abs(len(one) - len(other)) < 3 and other.startswith(one[: max(4, len(one) - 2)])


def _has_stem(each: Commitment, case: Case) -> bool:
    return any(token.stem in case.rewrite.stems for token in case.naive.tokens if token.text == each.key)


def _is_marker(each: Commitment, case: Case) -> bool:
    word, known = each.text.lower(), case.naive.lexicon.markers
    return known is not None and any(found[0] == word for _, found in known.find(word))


def _as_name(each: Commitment) -> Commitment:
    return Commitment("name", each.text, each.span, each.text.lower())
