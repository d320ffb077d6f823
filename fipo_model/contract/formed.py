"""Outputs whose form is fixed beside the prompt, by a type or a schema: no text may ask for another. Pure, English.

What an addition says of the reply's form is cut where that leaves its task whole. Inside a sentence that is only what a
comma sets off, or that there is nothing else: other words for a form may be of the task ("Find the text in brackets."),
and without them a sentence may say the opposite ("Do not give the date in words."). It goes as a whole then, or stays.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, read
from fipo_model.contract.schemas import has_schema
from fipo_model.contract.stemming import stems_of
from fipo_model.types import FixedForm

_END = r"(?=\s*(?:[.,;:!?)]|$)|,? (?:and|then|but)\b(?! (?:with|in|as|by|on)))"
_MARK = (
    r"(?:commas?|(?:semi)?colons?|slash(?:es)?|hyphens?|dash(?:es)?|pipes?|(?:vertical )?bars?|underscores?|spaces?"
    r"|full stops?|periods?|bullets?|arrows?|tabs?)"
)
_MARKS = rf"(?:(?:an?|one|no|the|any|single) )*{_MARK}(?: and (?:(?:an?|one|no|the|any|single) )*{_MARK})?"
_LINE = r"(?:(?:its|their|an?|one|own|new|single|separate|different) ){1,3}lines?(?: of (?:its|their) own| each)?"
_SHAPE = (
    r"(?:lists?|tables?|strings?|text|prose|sentences?|paragraphs?|numbers?|int(?:eger)?s?"
    r"|floats?|bool(?:ean)?s?|arrays?|objects?"
    r"|bullets|bullet points|json|yaml|csv|xml|html|markdown|latex|bold|italics|capitals|(?:capital|small) letters"
    r"|(?:upper|lower)[ -]?case|words?|letters?)"
)
# How an output is laid out, as far as it can be cut from a sentence about the task: "…, separated by commas".
_LAYOUT = lazy(
    r"(?i)(?P<layout>(?:,|,? and|,? but)?\s(?:all |entirely )?(?:"
    rf"separated (?:by|with) (?:{_MARKS}|[\"'“][^\"'”\n]{{1,5}}[\"'”])(?: between them)?"
    rf"|with(?:out)? {_MARKS}(?: in)?(?: (?:between|after|before|behind|in front of|around|at)"
    r"(?: (?:the|each|every|end|start|of|them|it|items?|words?|names?|entries|values?|its|parts?))*)?"
    rf"|(?<=, )(?:an?|one) {_MARK}(?: and (?:an?|one) {_MARK})?"
    r"|(?:directly )?(?:followed by|ending (?:in|with)) (?:an? |the )?(?:full stop|period|[A-Z]{3})"
    rf"|(?:(?:each|every|one) (?:\w+ )?)?(?:on|in) {_LINE}|line by line|one (?:\w+ )?(?:per|a) line"
    r"|(?:in|inside|within|between|into) (?:(?:double|single|square|round|curly|angle) )?"
    r"(?:quotation marks|quotes|brackets|parentheses|braces|backticks|asterisks)"
    r"|(?:as|in|into|in the form of) (?:(?:an?|one|plain|valid|all|single|bulleted|numbered|flat|ordered"
    rf"|comma-separated|markdown|json|html|csv) )*{_SHAPE}(?: (?:between|from) [\d.]+ (?:and|to) [\d.]+)?"
    rf")){_END}"
    # Where there is a schema, a list of its keys is of the form, too.
    r"|(?P<keys>,? (?:as|in|into|in the form of) (?:(?:an?|the|one|valid) )*(?:json|yaml|xml) "
    r"(?:object|array|document|format)s? with [^.;!?\n]*)"
)
_REPLY = r"(?:answer|reply|respond|say|write|give|state|name|output|return|print|indicate|put)"
_BARE = r"(?:(?!(?:that|which|who|whom|whose|where|when|what|how|whether|if|from|by|for|and|or|using|help)\b)[\w'-]+)"
_THING = rf"(?:the|this|that|these|those|its|their|his|her|your|an?|one|it|them)(?: {_BARE}){{0,3}}"
_TRUTH = r"[\"'“‘]?(?:yes|no|true|false|y|n|1|0)[\"'”’]?"
_ONLY = r"(?:just|only|simply|solely|merely|exclusively|either|nothing but|no more than)"
# That there is nothing else in a reply, or one thing alone: false of a reply with several fields.
_ALONE = lazy(
    r"(?i)(?P<cut>(?:,|,? and|,? but) nothing (?:else|more|besides)(?: (?:about|than|beside) (?:it|that|this|them))?"
    r"|(?:,? (?:and |giving |adding |writing )?with(?:out)?|(?:,|,? and|,? but)(?: (?:add|include|use|offer|give|write"
    r"|provide|make|say))? no|(?:,|,? and|,? but) omit) (?:no |any |all )?(?:other|further|additional|extra) "
    r"(?:text|words?|explanations?|comments?|information|parts?|reasons?)"
    r"|(?:,|,? and|,? but) without (?:any )?(?:explanations?|comments?|reasons?|introduction)"
    rf"|\b(?:do not|don't|never) (?:write|add|say|give|output) anything else){_END}"
)
_ALONE_BEHIND = lazy(
    r"(?i)\b(?:give|state|name|write|output|return|find|copy|indicate|(?:reply|answer|respond) with)"
    rf"(?: {_BARE}| and (?:the|its|their)){{1,6}}?"
    rf"(?P<cut>,? (?:alone|only|by itself|by themselves|on its own)){_END}"
)
_ONLY_BEFORE = lazy(rf"(?i)\b{_REPLY}(?: with)?(?P<only> {_ONLY}) (?:with )?{_THING}{_END}")
# What a reply consists of. It can be cut only as a whole clause.
_REPLIES = lazy(
    rf"(?i)\b(?:answer|reply|respond)(?! (?:\w+ ){{1,3}}questions?\b)"
    rf"(?:(?: with| by| in| as| {_ONLY})* (?:{_TRUTH}(?![\w-])|{_THING}{_END})"
    r"| in (?:an?|one|plain|prose)\b)"
    r"|\b(?:answer|reply|respond)(?: with| either)* [\"“'][^\"”'\n]{1,40}[\"”']"
    rf"|\b{_REPLY}(?: with| {_ONLY})* {_TRUTH},? (?:or|otherwise|and otherwise) {_TRUTH}"
    r"|(?<!if the )(?<!whether the )(?<!when the )\b(?:answer|reply|response|output)"
    rf" (?:is|must be|should be) (?:either )?{_TRUTH}|: {_TRUTH} or {_TRUTH}"
    rf"|(?:^|(?<=[.!?] ))(?:just|only) {_THING}{_END}"
    r"|\b(?:is|are) the (?:whole|only|entire) (?:answer|reply|response|output)\b"
    r"|\b(?:alone|only \w+ \w+) (?:is|are) (?:wanted|needed|enough|required)\b"
    rf"|\b(?:as|in|into|{_REPLY}|reply with|answer with) (?:(?:an?|one|the|valid|single) )*"
    r"(?:json|yaml|xml) (?:objects?|arrays?|documents?)\b"
)
_CLAUSE = lazy(rf"(?i)(?:,|;|,? and|,? then|,? but) (?:then )?(?={_REPLY}\b)|(?<=\w): (?={_TRUTH})")
_ANOTHER = lazy(r"(?i)[,;:] |\b(?:and|then|but) ")
# What the words that are cut may be, beside words of the prompt and of what stays: they say no task of their own.
_EMPTY = """
verdict answer result choice decision judgement judgment outcome label reply response output text word
value name line list item entry letter number option information part sentence paragraph
table string prose mark bracket quotation quote parenthesis parentheses brace backtick asterisk comma colon
semicolon slash hyphen dash pipe bar underscore space stop period bullet arrow tab json yaml csv xml html markdown
latex bold italic capital small upper lower case integer float boolean array object point separate plain valid
double single square round curly numbered comma separated whole only alone yes no true false respond return write
give state say print indicate put omit short brief end nothing else more besides other further additional extra
anything simply solely merely exclusively either directly just new enclose wrap place join arrange format bare digit 1 0
key field bool int document
"""
# Where nothing but these is left beside words of the prompt, the prompt is only said again: "State the topic."
_TELLING = """
answer reply respond say write give state name output return print indicate put find provide
verdict result response text word value line item entry
"""
# Ends that are no end: a preposition, a verb without its object, or one that asked for nothing but the layout.
_DANGLING = lazy(
    r"(?i)(?:^|\s)(?:under no circumstances|in no case)$"
    rf"|(?:^|\s)(?:and|or|with|in|as|by|the|an?|of|to|like|into|on|its|their|not|is|are|was|were|be|there|{_REPLY})$"
    r"|(?:^|[,;:]\s*|\b(?:and|then)\s)(?:then )?(?:put|separate|enclose|wrap|join|place|arrange|format|end)\b[^,;:]*$"
)
# "State whether it is due as a bool", but not "Treat the values as numbers" or "the amount that is written as a word".
_GIVEN_AS = lazy(
    rf"(?i)(?:^|[,;:] |\b(?:and|then) )(?:then )?{_REPLY}\b(?:(?!\b(?:and|then)\b)[^,;:])*"
    r"(?<!such)(?<!ed)(?<!ing)(?<!\w[et]n)(?<!\bis)(?<!are) as (?:an? |one |valid )*"
    r"(?:bool(?:ean)?|int(?:eger)?|float|string|object|array|json|yaml|xml)s?\b"
)
_RELATIVE = lazy(r"(?i), (?:which|who|whose|whom|where|that is)\b[^,]*$")  # the next comma is its own
_CONDITION = lazy(r"(?i)\b(?:if|unless|except|instead of|rather than)\b")
# Where something is not to be done, or is all that something has, words for a form behind it are not of the reply.
_TURNED = lazy(
    r"(?i)\b(?:not|never|no|none|nobody|neither|nor|cannot|refrain|without|avoid|ignore|ignoring|skip|exclude|omit|leave"
    r"|forget|fail)\b|n't\b|\bwhether .*\b(?:ha[sd]|have|holds?|contains?|includes?|consists?|mentions?)\b"
)
# What gives a reply, and so may have its form behind a comma; "Find the words, in quotes" looks for them there.
_PRODUCES = lazy(
    rf"(?i)(?:^|[,;:] |\b(?:and|then) )(?:then )?"
    rf"(?:{_REPLY}|list|sort|rank|order|quote|copy|present|show|report)\b[^;:]*$"
)
_GOES_ON = lazy(rf"(?i)\s*(?:[.!?;,:]|$|(?:and|then|but) (?:then )?{_REPLY}\b)")
_TORSO = lazy(r"(?i)^(?:for|in|on|from|with|when|after|before|to|at|by|of|as|given|among)\b[^,]*$")
# What says only what not to do says no task.
_FORBIDS = lazy(
    r"(?i)^(?:please )?(?:you )?(?:do not|don't|must not|should not|try not|be sure not|make sure not|under no|in no"
    r"|never|avoid|refrain|ignore|leave|skip|omit|exclude|give no|use no|add no)\b"
)
_BACK = lazy(r"(?i)\b(?:this|these|those|them|their|its|it|they)\b")
_MOST_CUTS = 8  # in one sentence


def fixed_form(case: Case) -> FixedForm | None:
    """Who gives the outputs their form: what the request says, or a schema in the prompt or its context."""
    return case.request.fixed_form or ("fields" if has_schema(case.material) else None)


def forms_fixed_otherwise(case: Case) -> str | None:
    """What a rewrite says of the form of outputs that have one; nothing but what prompt and context say, too.

    Where an output has several fields, "nothing else" and "answer yes or no" are of its form.
    """
    if (form := fixed_form(case)) is None:
        return None
    found = next(_said(case.added.text, form, case), None)
    return found and f"says {_words(found)!r}, but types or a schema give the outputs their form"


def without_form(case: Case) -> str | None:
    """An addition without what it says of a form that is fixed otherwise.

    None if there is nothing to cut, no task would be left, or something else would be lost with it.
    """
    form, prompt = fixed_form(case), case.request.instruction.strip()
    if form is None or not case.is_addition or forms_fixed_otherwise(case) is None:
        return None
    before, after = case.around
    parts = [_trimmed(part, form, case) for part in (before, after)]
    if None in parts or not _says_more("\n".join(map(str, parts)), case):
        return None
    shorter = f"{parts[0]}{before[len(before.rstrip()) :]}{prompt}{parts[1]}".strip()
    return shorter if shorter != case.rewrite_text.strip() else None


def _says_more(text: str, case: Case) -> bool:
    """Whether a text says what to do, with a word of meaning that the prompt does not have."""
    reading = read(text, "en")
    sentences = [text[one.start :] for one in reading.sentences]
    if all(map(_FORBIDS.search, sentences)):
        return False
    return bool(reading.content - _telling() - read(case.request.instruction, "en").stems)


def _trimmed(part: str, form: FixedForm, case: Case) -> str | None:
    """A part of an addition without what it says of the form; None if that cannot be cut alone."""
    reading = read(part, "en")
    starts = [sentence.start for sentence in reading.sentences]
    kept, is_dropped = part[: starts[0]] if starts else part, False
    for start, end in pairwise([*starts, len(part)]):
        sentence = part[start:end].rstrip()
        left = _without(sentence, reading, form, case)
        if left is None or (is_dropped and _BACK.search(left)):
            return None
        is_dropped = not left
        kept += left + part[start + len(sentence) : end] if left else ""
    # Where the last sentence is cut after a semicolon, its full stop closes what stays.
    kept = kept.rstrip()
    return f"{kept[:-1]}." if kept.endswith(";") and part.rstrip().endswith(".") else kept


def _without(sentence: str, whole: Reading, form: FixedForm, case: Case) -> str | None:
    """A sentence without what it says of the form, "" if it says nothing else; None if that cannot be told apart."""
    left = sentence
    for _ in range(_MOST_CUTS):
        found = next(_said(left, form, case), None)
        if found is None:
            return left
        formal = read(" ".join(filter(None, found.groups())), "en").stems | _empty()
        shorter = next((one for one in _cuts(left, found) if _loses_only(formal, left, one, whole, case)), None)
        if not shorter:
            return shorter
        left = shorter
    return None


def _cuts(sentence: str, found: re.Match[str]) -> Iterator[str]:
    """The sentence without the words for a form, without their clause, and nothing, in this order."""
    for name in [name for name, text in found.groupdict().items() if text]:
        start, end = found.span(name)
        is_inserted = sentence[end:].strip(" .!?;") and _RELATIVE.search(sentence, 0, start)
        if _is_apart(sentence, found, name) and not is_inserted:
            yield _closed(sentence[:start] + sentence[end:], sentence)
    if _CONDITION.search(sentence):
        return
    clauses = list(_CLAUSE.finditer(sentence, 0, found.end()))
    kept = sentence[: clauses[-1].start()] if clauses else ""
    if kept and not _TORSO.search(kept) and not _ANOTHER.search(sentence, clauses[-1].end(), found.start()):
        yield _closed(kept, sentence)
    if not sentence.endswith(";"):
        yield ""


def _is_apart(sentence: str, found: re.Match[str], name: str) -> bool:
    """Whether words for a form can be cut from their sentence: what is around them neither needs nor turns them."""
    start, end = found.span(name)
    before = sentence[:start].rstrip(" ,;:")
    if _TURNED.search(before) or _CONDITION.search(before):
        return False
    if name == "only":
        return True
    if _DANGLING.search(before) or not _GOES_ON.match(sentence, end):
        return False
    if name == "cut":
        return True
    is_given = _GIVEN_AS.search(sentence, 0, end) is not None
    return is_given or (sentence[start] == "," and _PRODUCES.search(before) is not None)


def _closed(text: str, sentence: str) -> str:
    """A shortened sentence with the mark that ended the whole one."""
    ending = sentence[len(sentence.rstrip(".!?;")) :][:1]
    left = text.rstrip(" ,;:.!?")
    return left and left + (ending or ".")


def _loses_only(formal: frozenset[str], sentence: str, shorter: str, whole: Reading, case: Case) -> bool:
    """Whether all words that are cut are about a reply's form, or are said in what stays or in the prompt."""
    if shorter and (_DANGLING.search(shorter.rstrip(" ,;:.!?")) or shorter.count('"') % 2):
        return False
    before, after = read(sentence, "en"), read(shorter, "en")
    lost = Counter(token.stem for token in before.tokens if token.is_content)
    lost -= Counter(token.stem for token in after.tokens if token.is_content)
    elsewhere = after.stems | read(case.material, "en").stems
    if not shorter:
        elsewhere |= frozenset(token.stem for token in whole.tokens) - lost.keys()
    return lost.keys() <= formal | elsewhere


def _said(text: str, form: FixedForm, case: Case) -> Iterator[re.Match[str]]:
    """The words for a form in a text, without those that the prompt or its context has."""
    patterns = (_LAYOUT, _ALONE, _ALONE_BEHIND, _ONLY_BEFORE, _REPLIES) if form == "fields" else (_LAYOUT,)
    known = case.material.lower()
    asked = frozenset[str]() if has_schema(case.material) else read(case.request.instruction, "en").stems
    found = (each for one in patterns for each in one.finditer(text))
    return (each for each in found if _words(each).lower() not in known and not _is_asked(each, asked))


def _is_asked(found: re.Match[str], asked: frozenset[str]) -> bool:
    """Whether the prompt asks for the layout itself, in words of its own: "as Markdown" after "to markdown"."""
    named = read(found.groupdict().get("layout") or "", "en").content
    return bool(named) and named <= asked


def _words(found: re.Match[str]) -> str:
    """The words for a form, without the "and" before them."""
    groups = found.groupdict()
    said = groups.get("cut") or groups.get("layout") or found[0]
    return re.sub(r"(?i)^(?:(?:and|but) )?(?:entirely |all )?", "", said.strip(" ,:;"))


@cache
def _telling() -> frozenset[str]:
    return frozenset(stems_of(_TELLING.split(), "en"))


@cache
def _empty() -> frozenset[str]:
    return frozenset(stems_of(_EMPTY.split(), "en"))
