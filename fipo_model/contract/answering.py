"""Whether a rewrite answers its prompt instead of asking better. It goes by form, so it misses some answers. Pure."""

import re

from fipo_model.contract.asking import asks, asks_to_say, names_the_same, states
from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.questions import said_of_a_name
from fipo_model.contract.reading import read
from fipo_model.contract.requests import answer_built_in
from fipo_model.contract.telling import told_in_passing
from fipo_model.json_values import parse_json
from fipo_model.types import count_words

_LONGEST_PHRASE = 7  # "In simple terms." asks for something, "Rivers begin in the hills and end in the sea." does not
_REPLY_OPENING = lazy(
    r"(?i)(?:sure|certainly|of course|absolutely)\b[,!.]|(?:here (?:is|are)|here's)\b|i(?:'m| am) sorry\b|as an ai\b"
    r"|i (?:cannot|can't|can help|would be happy)\b|thank you for\b(?!.{0,60}\bis\b)"
)
# At the beginning of a sentence: "make sure the answer is a number" states none.
_STATED_ANSWER = lazy(
    r"(?im)(?:^|[.!?]\s)[^\w\n]{0,99}+((?:(?:so|thus|hence|therefore),? )?"
    r"(?:the|final|correct|right) (?:final |correct |right )?answer "
    r"(?:is(?! to be\b| (?:just|only|one|a single)\b|[^.\n]{1,40} (?:alone|only|itself)\b)|:))"
)
# "The type alone is enough", "only this word belongs in the answer", "no details are needed".
_WANTED = r"(?:wanted|needed|required|necessary|meant|asked for)"
_REPLY = r"(?:answer|reply|output)"
_OF_THE_ANSWER = lazy(
    rf"\b(?:only|alone|just|no|not|nothing|other|giving|naming)\b.*\b(?:is|are|goes|go|belongs?)\b"
    rf".{{0,20}}\b(?:enough|sufficient|{_WANTED}|expected|the {_REPLY})\b"
    rf"|\b{_REPLY} (?:is|has|contains)\b.*\b(?:nothing (?:more|else)|alone)\b"
    rf"|\b(?:is|are) (?:enough|sufficient|not {_WANTED}|the (?:whole|entire|only) {_REPLY})\b"
)
# "Two words are given", "There is a gap between the numbers": of inputs that were shown.
_OF_THE_INPUT = lazy(
    r"\W*(?:there (?:is|are) |(?:an?|one|two|three|four|several|some|something"
    r"|the (?:input|text|list|sentence|words?|numbers?|message|passage|(?:last|first) line))\b"
    r".{0,60}\b(?:is|are|consists?|contains?|names?|stands?|has|have)\b)"
)
# "The cause first, then how it works and why it matters": in a list of what to cover, verbs are in clauses.
_CLAUSE = lazy(
    r"\b(?:how|what|why|which|that|where|when|who|whom|whose|if|whether|without|with|as|because|until|before|after"
    r"|say|show|state|note|mark|mention|explain|(?:say|show|stat|not|mark|mention|explain)ing)\b.*"
)
_BEGINS_A_STATEMENT = lazy(r"(?:when|where|if|as|because|since|while|until|before|after|that)\b")
_GOES_ON = lazy(r"[,;(\u2013\u2014-]|(?:and|or|with|in|for|from|by|using|focusing|including|which|that|as|so)\b")


def answered(case: Case) -> str | None:
    """The form of an answer that a rewrite has, in words."""
    return _begins_or_states(case) or _tells(case) or _goes_on(case)


def _begins_or_states(case: Case) -> str | None:
    added = case.added.text
    if added.startswith(("{", "[")) and not _is_json(case.naive.text) and _is_json(added):
        return f"is a JSON {'object' if added[0] == '{' else 'list'}, not a prompt"
    if (opening := _REPLY_OPENING.match(added)) and opening[0].lower() not in case.naive.lowered:
        return f"begins like a reply: {opening[0]!r}"
    stated = _STATED_ANSWER.search(added) if "answer" in case.added.lowered else None
    if stated and stated[1].lower() not in case.material.lower():
        return f"states an answer: {stated[1]!r}"
    return None


def _tells(case: Case) -> str | None:
    if _asks_no_more(case):
        return "asks for nothing, though the prompt does"
    if (told := _told(case)) is not None:
        return f"tells instead of asking: {told!r}"
    if (said := said_of_a_name(case.naive, case.added, case.given)) is not None:
        return f"says what the prompt does not: {said!r}"
    if (aside := told_in_passing(case)) is not None:
        return f"says in passing what your prompt does not: {aside!r}"
    return None


def _goes_on(case: Case) -> str | None:
    if not case.is_addition and (built_in := answer_built_in(case.naive, case.added)) is not None:
        return f"itself gives what your prompt asks for: {built_in!r}"
    if (filled := _filled_in(case)) is not None:
        return f"fills in what your prompt leaves open: {filled!r}"
    return "adds a code block the prompt does not have" if _brings_code(case) else None


def _is_json(text: str) -> bool:
    try:
        return isinstance(parse_json(text), dict | list)
    except ValueError:
        return False


def _asks_no_more(case: Case) -> bool:
    if not asks(case.naive) or not case.added.text or not case.added.lexicon.is_known:
        return False
    if case.is_addition and _GOES_ON.match(case.added.text):
        return False
    if not asks(case.added):
        if case.added.lexicon.code != "en":
            return states(case.added)
        is_phrase = case.is_addition and count_words(case.added.text) <= _LONGEST_PHRASE and not states(case.added)
        return not is_phrase and not names_the_same(case.naive, case.added)
    # "How do I boil an egg?" is not asked by "Put the egg in boiling water".
    is_question = re.search(r"[?\u061f\uff1f]", case.request.instruction) is not None
    return is_question and not case.is_addition and not asks_to_say(case.added)


def _told(case: Case) -> str | None:
    """A statement that says what neither prompt nor context does: an answer, or made-up input."""
    if not asks(case.naive):
        return None
    head = case.request.instruction.rstrip(" .!?:")
    if case.rewrite_text.startswith(f"{head}:") and not case.request.instruction.rstrip().endswith(":"):
        # "Summarize the text: The quick brown fox ..." made up its text.
        rest = case.rewrite_text[len(head) + 1 :].strip()
        if rest[:1].isupper() and count_words(rest) > 4 and not asks(rest):
            return rest
    return next(iter(_statements(case)), None)


def _filled_in(case: Case) -> str | None:
    """What an addition puts after the colon at the end of the prompt without asking for anything."""
    if not case.is_addition or not case.request.instruction.rstrip().endswith(":"):
        return None
    _, _, after = case.rewrite_text.partition(case.request.instruction.strip())
    line = after.lstrip(" ").split("\n")[0].strip()
    return line if line and case.naive.lexicon.is_known and not asks(case.added.part(line)) else None


def _statements(case: Case) -> list[str]:
    """Sentences, and what follows a colon, that ask nothing, state something, and are made of new words."""
    found = []
    known = case.given.stems
    for sentence in case.added.sentences:
        piece = sentence.text
        head, colon, tail = piece.partition(": ")
        if colon and len(tail.split()) > 4:
            if asks(case.added.part(head)) and _lists_what_to_cover(tail, case):
                continue
            piece = tail
        part = case.added.part(piece)
        content = sentence.content if piece == sentence.text else part.content
        if case.is_addition and _says_what_is_wanted(piece, case):
            continue
        is_new = len(piece.split()) > 4 and len(content - known) > 0.6 * len(content)
        if is_new and states(part) and not asks(part):
            found.append(piece)
    return found


def _lists_what_to_cover(text: str, case: Case) -> bool:
    """Whether the parts of a text name things, as "the cause first, then how it works" does."""
    if _BEGINS_A_STATEMENT.match(text.lower()):
        return False
    bare = (_CLAUSE.sub("", part).strip() for part in re.split("[,;]", text.lower()))
    return not any(states(case.added.part(part)) for part in bare if part)


def _says_what_is_wanted(piece: str, case: Case) -> bool:
    """Whether a statement says what belongs in the answer, or what the inputs shown are."""
    lowered = piece.lower()
    if not asks(case.added):
        return False
    return _OF_THE_ANSWER.search(lowered) is not None or (
        bool(case.request.examples) and _OF_THE_INPUT.match(lowered) is not None
    )


def _brings_code(case: Case) -> bool:
    """Whether a code block holds anything that the prompt does not."""
    if "```" not in case.added.text or re.search("```|~~~", case.request.instruction):
        return False
    blocks = re.findall(r"```[\w+-]*\n?(.*?)```", case.added.text, re.DOTALL)
    held = read(case.material).words
    return not all(read(block).words in held for block in blocks) or not blocks
