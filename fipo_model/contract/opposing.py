"""What an addition asks for although its prompt rules it out by "only", "just", "without", "do not", "no".

Pure; English.

Other rules find the prompt's own words repeated. Here the words differ: "without fixing it" and "return the corrected
code". A sentence that denies or spares anything itself is believed.
"""

from collections.abc import Iterator
from itertools import islice

from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.places import has_meaning, sentence_at
from fipo_model.contract.reading import Reading, Sentence, Token
from fipo_model.contract.wording import synonyms

_REPLY = r"(?:answers?|results?|numbers?|names?|words?|values?|labels?|code|letters?|totals?|output|terms?)"
_ALONE = lazy(
    rf"\b(?:just|only|nothing but)(?: (?:output|give|return|write|the|an?|your|final|single|correct|me))* {_REPLY}\b"
    rf"|\b{_REPLY} (?:only|alone)\b(?! (?:from|on|with|by|using|based|in|if|when|about|to|what|questions?)\b)"
    r"|\bnothing else\b"
    r"|\b(?:no|without(?: any)?|do not|don'?t|never)(?: give| add| any| an)* "
    r"(?:explain\w*|explanations?|reasoning|reasons|steps|working|justif\w+|commentary)\b"
)
_EXPLAINS = lazy(
    r"\b(?:explain\w*|justify\w*|(?:show|say|tell|state) (?:how|why)"
    r"|(?:show|give|list|describe|write|include|add|state|outline)(?: \w+){0,3} "
    r"(?:steps?|reasoning|reasons?|working|explanations?|justification))\b"
)
_ABOUT_REASONS = lazy(r"\b(?:expla\w+|why|how|reason\w*|steps?|justif\w+)\b")
_SPARES = lazy(
    r"\b(?:not|no|never|nor|neither|without|avoid\w*|omit\w*|skip\w*|drop\w*|ignor\w+|remov\w+|leav\w+|keep\w*|only|just"
    r"|alone|unchanged|except|instead|rather|other than|unless)\b|n't\b|\bdont\b"
)
# "Say what should be fixed" does not ask to fix it.
_SPEAKS_OF = lazy(r"\b(?:what|where|which|whether|how|why|if|needs?|should|could|would|suggest\w*|propos\w+)\b")
_ONLY = lazy(r"\b(?:only|solely|just(?= (?:the|its|my|this|that|these|those|an?|one|two|three)\b))")
_WHOLE = lazy(r"\b(?:whole|entire|complete|full|all|every|everything)\b(?! numbers?\b)")
_FORBIDS = lazy(
    r"(?:(?:^|[.;:,!?()\n-])\s{0,99}+|\b(?:but|and|please|pls) )(?:please )?(?:do not|don'?t|never|no)\b"
    r"|\bwithout(?= \w+ing\b)"
)
_CLAUSE_END = lazy(r"[.,;:!?\n()]|\b(?:but|and|unless|if|when|except|because|than|so|or)\b|$")
_CONDITION = lazy(r" ?(?:unless|if|when|except|than)\b")
_QUESTION = lazy(r"\W*(?:how|what|why|who|which|when|where|is|are|can i|does|do i)\b")
_GIVES = frozenset(
    "use include add write give answer reply respond return show provide insert put output produce make".split()
)
_JOINS = frozenset({"and", "then", "also", "please"})
_REACH = 5  # words
_MOST_ONLY = 50  # that are looked at, each with its whole sentence


def asked_though_excluded(case: Case) -> str | None:
    """What in an addition the prompt excludes, in words."""
    if case.naive.lexicon.code != "en" or case.added.lexicon.code != "en":
        return None
    return _explains(case) or _widens(case) or _does_the_forbidden(case)


def _explains(case: Case) -> str | None:
    """Asks for reasons where only the answer is wanted."""
    naive = case.naive.lowered
    if not _ALONE.search(naive) or _ABOUT_REASONS.search(_ALONE.sub("", naive)):
        return None
    for sentence in case.added.sentences:
        text = sentence.text.lower()
        found = _EXPLAINS.search(text)
        if found is not None and not _SPARES.search(text[: found.start()]):
            return f"asks for more than the prompt wants: {found[0]!r}"
    return None


def _widens(case: Case) -> str | None:
    """Does to the whole what the prompt wants done to a part: "only the headings", "the whole document"."""
    for only in islice(_ONLY.finditer(case.naive.lowered), _MOST_ONLY):
        sentence = sentence_at(case.naive, only.start())
        verbs = {token.stem for token in sentence if token.end <= only.start() and has_meaning(token, case.naive)}
        part = {token.stem for token in sentence if token.start >= only.end() and token.is_content}
        for added in case.added.sentences if verbs and part else ():
            whole = _whole_of_another(added, verbs, part)
            if whole is not None and not _SPARES.search(case.added.lowered):
                return f"asks for {whole!r}, but the prompt for a part"
    return None


def _whole_of_another(sentence: Sentence, verbs: set[str], part: set[str]) -> str | None:
    for index, token in enumerate(sentence.tokens):
        before, after = sentence.tokens[:index], sentence.tokens[index + 1 : index + _REACH]
        is_the_same_task = any(
            other.stem in verbs and (at == 0 or before[at - 1].text in _JOINS) for at, other in enumerate(before)
        )
        if not _WHOLE.fullmatch(token.text) or not is_the_same_task or part & {other.stem for other in after}:
            continue
        return " ".join(other.text for other in (token, *after[:1]))
    return None


def _does_the_forbidden(case: Case) -> str | None:
    for clause, verb, stems in _forbidden(case.naive):
        sentences = [each for each in case.added.sentences if _mentions(each, stems)]
        if any(_SPARES.search(each.text.lower()) for each in sentences):
            continue
        for sentence in sentences:
            if not _SPEAKS_OF.search(sentence.text.lower()) and (verb not in _GIVES or _gives(sentence, stems)):
                return f"says the opposite of {clause!r}"
    return None


def _forbidden(naive: Reading) -> Iterator[tuple[str, str, list[str]]]:
    """Each clause that forbids something: its words, its verb if that is a common one, its stems of meaning."""
    text = naive.lowered
    for found in _FORBIDS.finditer(text):
        end = _CLAUSE_END.search(text, found.end())
        tokens = sentence_at(naive, found.end())
        if end is None or not tokens or _CONDITION.match(text, end.start()) or _QUESTION.match(text, tokens[0].start):
            continue
        within = [token for token in tokens if found.end() <= token.start < end.start()]
        stems = [token.stem for token in within if token.is_content][:2]
        if stems:
            is_noun = found[0].rstrip().endswith("no")
            verb = "use" if is_noun else within[0].text
            yield text[found.start() : end.start()].strip(" .,;:!?()-\n"), verb, stems


def _mentions(sentence: Sentence, stems: list[str]) -> bool:
    """Whether it has every stem or a synonym of it."""
    return all(any(_stands_for(token, stem) for token in sentence.tokens) for stem in stems)


def _stands_for(token: Token, stem: str) -> bool:
    return token.stem == stem or (token.is_content and token.stem in synonyms("en").get(stem, frozenset()))


def _gives(sentence: Sentence, stems: list[str]) -> bool:
    """Whether the forbidden thing directly follows a verb of giving: "answer with a complete sentence"."""
    for index, token in enumerate(sentence.tokens):
        near = sentence.tokens[index + 1 : index + 1 + _REACH]
        if token.text in _GIVES and all(any(_stands_for(other, stem) for other in near) for stem in stems):
            return True
    return False
