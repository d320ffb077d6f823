"""Whether an addition asks for the task of its prompt, or for another one. Pure, for languages with related words.

Somebody in a hurry types "plural?", and any proper request for it is made of new words. So is a request for another
task, but that has no word related to the prompt: "Solve the word problem".
"""

from fipo_model.contract.asking import asks
from fipo_model.contract.case import Case
from fipo_model.contract.reading import Reading, Sentence, read
from fipo_model.contract.wording import synonyms

_LEAST_OF_CONTEXT = 2
_PREFIX = 4
_TELLING = 3
_NEAR = 3  # words
_ASKING = frozenset("what which who whom whose where when why how is are was were does do did can".split())
_ONE_LETTER_WORDS = frozenset("ai")
_OR = frozenset({"or", "vs", "versus"})
_COMPARING = frozenset("compare compares comparing choose difference differences decide which better whether".split())
_DETERMINERS = frozenset("the a an this these all each every any which what".split())


def unrelated_task(case: Case) -> str | None:
    """The request of an addition that has nothing to do with the prompt."""
    if not case.is_addition or not case.added.sentences or not case.added.lexicon.related or not asks(case.added):
        return None
    naive = case.naive
    if naive.language.code is None:  # a word or two, taken to be in the language of the addition
        naive = read(naive.text, case.added.language.likely)
    hints = _hints(naive)
    if not hints or not _begins_a_task(case.added, len(hints) < _TELLING):
        return None
    code = case.added.lexicon.code or "en"
    if any(_is_related(hint, case.added) for hint in hints) or _goes_into_it(naive, case.added):
        return None
    # For one or two unknown words, any request may be the proper one.
    if len(hints) < _TELLING and not any(hint in synonyms(code, related=True) for hint in hints):
        return None
    context = case.given.content - naive.content
    if len(context & case.added.content) >= _LEAST_OF_CONTEXT:
        return None
    return f"asks for another task: {case.added.sentences[0].text!r}"


def _hints(naive: Reading) -> frozenset[str]:
    """The stems of a prompt that say what to do, or with what."""
    known = synonyms(naive.lexicon.code or "en", related=True)
    words = {token.stem for token in naive.tokens if token.text not in naive.lexicon.function}
    return frozenset(stem for stem in words if stem in naive.content or stem in known)


def _begins_a_task(added: Reading, is_hasty: bool) -> bool:
    """Whether a sentence begins with the verb of a task and what it is done to, or asks a question.

    For an addition to a prompt that says enough, only the first sentence is checked, if it is a sentence.
    """
    if is_hasty:
        return any(_is_task(sentence, added, added.lexicon.loose_operations) for sentence in added.sentences)
    first = added.sentences[0]
    return first.text[0].isupper() and _is_task(first, added, frozenset())


def _is_task(sentence: Sentence, added: Reading, loose: frozenset[str]) -> bool:
    verb, *rest = (token.text for token in sentence.tokens)
    if sentence.text.rstrip().endswith("?"):
        return verb in _ASKING
    objects = [word for word in rest[:_NEAR] if word not in added.lexicon.function]
    if not objects or objects[0] in added.lexicon.output:
        return False
    return verb in added.lexicon.operations or (verb in loose and rest[0] in _DETERMINERS)


def _goes_into_it(naive: Reading, added: Reading) -> bool:
    """Whether it names the prompt's letters ("A minus B"), or compares what the prompt has an "or" between."""
    letters = {
        token.text for token in naive.tokens if len(token.text) == 1 and token.text.isalpha()
    } - _ONE_LETTER_WORDS
    if letters & {token.text for token in added.tokens}:
        return True
    return any(token.text in _OR for token in naive.tokens) and any(token.text in _COMPARING for token in added.tokens)


def _is_related(hint: str, added: Reading) -> bool:
    code = added.lexicon.code or "en"
    groups = synonyms(code).get(hint, frozenset()) | synonyms(code, related=True).get(hint, frozenset())
    if hint in added.stems or not groups.isdisjoint(added.stems):
        return True
    start = hint[:_PREFIX]
    return len(start) == _PREFIX and any(stem.startswith(start) for stem in added.stems)
