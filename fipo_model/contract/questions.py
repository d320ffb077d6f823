"""What a question wants beyond its words: how something is done, who it is about, what is still open. English.

Each has its own way to get lost: "How do I boil an egg?" becomes "Boil an egg", "What were you trained on?" becomes
"What was trained?", "Who is Ada Lovelace?" becomes "What is Ada Lovelace?" or gets an answer built in:
"Who is Ada Lovelace, the first programmer?".
"""

import re

from fipo_model.contract.asking import asks
from fipo_model.contract.names import names
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, read

_HOW = lazy(
    r"\bhow (?:(?:do|does|can|could|should|would|might) (?:i|we|you|one|someone|people)|to) "
    r"(?:best |quickly |safely |properly |easily )?(?P<verb>[a-z]{2,})\b"
)
# Whoever asks how to solve an equation, or how to say a word, may be given the solution or the word.
_DONE_BY_SAYING = frozenset(
    "say spell pronounce translate call define describe explain express solve calculate compute convert prove".split()
)
_GUIDANCE = lazy(
    r"\b(?:how|steps?|guid\w*|explain\w*|describ\w*|instruct\w*|ways?|methods?|process\w*|procedures?|tips?|approach\w*"
    r"|techniques?|tutorial|strateg\w+|advice|advise|teach\w*|show\w*|demonstrat\w+|walk|suggest\w*|recommend\w*|ideas?"
    r"|outline|discuss\w*|list|what|tell|recipe|plan|tricks?|options?|help)\b"
)
_OF_THE_READER = lazy(
    r"\b(?:(?:have|had) you (?:ever )?been|who are you|did you(?! know\b)|do you (?:feel|prefer|like|love|want|dream)"
    r"|(?:are|were) you"
    r"(?! (?:able|going|there|ready|familiar|aware|sure|interested|looking|still|free|ok(?:ay)?)\b))\b"
)
_READER = lazy(r"\b(?:you|your|yours|yourself|assistant|language model|ai|chatbot|model)\b")
_SAID_OF_IT = lazy(r", (?:(?:an?|the|one of the) |who (?:is|was|has) |known (?:for|as) |famous for )([^,.;:?!\n()]+)")
_LEAST_SAID = 2
_LONGEST_OPEN = 40  # words
_STEM = 6  # letters by which a subject is recognised

# "Who is X" and "what is X" ask for different things; "which" and "what" do not.
_ASKED_WITH = lazy(r"\b(who|what|where|when|why|how)(?:'s| (?:is|are|was|were|did|does|do)) (?:the |an? )?(?=(\w+))")
_OF_ITSELF = lazy(
    r"\byour (?:own |most )?(?:(?:favou?rite|memorable|personal) \w+|experiences?\b|childhood|life\b)"
    r"|\byou(?:'ve| have)? (?:personally |ever |really |most )*"
    r"(?:enjoy(?:ed)?|liked|loved|experienced|visited|tried|tasted|remember)\b"
)
# "My garden" is not the reader's, and "this is my plan:" wants to be continued.
_MINE = lazy(r"\bmy (?:\w+ )?(\w+)")
_YOURS = lazy(r"\byour (?:\w+ )?(\w+)")
_CONTINUED = lazy(
    r"\b(?:continu\w*|complet\w*|finish\w*|writ\w+|fill|provid\w*|giv\w+|list\w*|draft|generat\w*|creat\w*)\b"
)
_ROLE = lazy(
    r"(?:^|[.!?,:;]\s+|\b(?:imagine|pretend|suppose|assume)(?: that)? )you(?:'re| are) (?:an?|the|my) (?!not\b)\w+"
    r"|\b(?:imagine|pretend|suppose|assume)(?: that)? you(?:'re| are) \w+|\brole-?play as|\bact as an? \w+"
    r"|\b(?:take|assume|play) (?:on )?the (?:role|part|persona) of|\bput yourself in"
    r"|\bi want you to (?:be|act as|play|impersonate)\b"
)
_PLAYED = lazy(
    r"\byou(?:'re| are)\b|\byour\b|\b(?:as|like) (?:if|an?|the|my)\b|\bact\w* as|\bas \w+"
    r"|\bimagin\w+ (?:that )?you|\bbeing\b"
    r"|\bpretend\w*|\bplay\w*|\broles?\b|\brole-?play|\bpersona|\bperspective|\bpoint of view|\bvoice\b|\bcharacter\b"
)
_SPEAKER_PLAYS = lazy(r"\bas an? [^.!?\n]{1,60}, (?:i|we)\b")
_YES_OR_NO = lazy(r"\b(?:should|would|could|will) (?:he|she|it|they|i|we)\b(?! (?:please|like|love)\b)")
_IN_DOUBT = lazy(
    r"\b(?:whether|if|should|worth|advis\w+|recommend\w*|consider\w*|pros|argument\w*|weigh\w*|decid\w+|would|could|will|can)\b"
)
_ADVICE = lazy(r"\b(?:i|we) should (?!be\b|have\b)\w+|\bshould (?:i|we) \w+")
_ADVISING = lazy(
    r"\b(?:i|i'm|me|my|we|us|our|should|how|recommend\w*|suggest\w*|advi[sc]\w+|best|good|better|suit\w*|ideal|worth\w*"
    r"|try|right|options?|ways?|tips?|consider|weigh|arguments?|pros|compar\w+|decid\w+|whether)\b"
)
# An open question, and what makes it one about a part of its subject.
_OPEN = lazy(
    r"\b(?:(?:tell|teach) (?:me|us) (?:more |something |all |a bit )?about|what (?:is|are)"
    r"|(?:talk|write|speak|poem|story|song|essay|article) about"
    r"|explain|describe|discuss) (?:the |an? )?(?:concept of |topic of )?"
    r"(?!(?:some|it|this|that|these|your?|my|ways?)\b)(?P<subject>[a-z][\w-]++)(?=(?: [\w-]++){0,3}\W*+$)"
)
_PART = (
    r"(?:dis)?advantages?|benefits?|drawbacks?|principles|fundamentals|importance|significance|history"
    r"|origins?|impacts?|effects?|consequences|causes?|roles?|uses?|applications|challenges|problems"
    r"|risks?|dangers|symptoms?|techniques|strategies|methods|steps|future|evolution|development"
    r"|costs?|values?|popularity|success|limitations|names?|components?|functions?|relationship"
    r"|key \w+|state"
)
_PARTS = lazy(rf"\b(?:{_PART})\b")
_MANY = 3  # parts, which together are the whole
_FACET = (
    rf"\b(?P<facet>{_PART})"
    r"(?:,? (?:and|or) \w+)? (?:of|in|for|behind|on|with|to|between) (?:\w+ing )?(?:the |an? |various |different )?"
)
_ONLY_ON = lazy(
    r"\b(?:focus(?:ing|es)? (?:specifically |particularly |mainly )?on|with (?:an? )?(?:\w+ )?(?:focus|emphasis) on)\b"
)
_HOW_TO = lazy(r"\bhow (?:can|do|should|could|would) (?:i|we|you|one) (?:\w+ly )?\w+")
_SECOND_PERSON = lazy(r"\byou(?:r|rs|rself)?\b")


def question_changed(naive: Reading, rewrite: Reading) -> str | None:
    """The words of a question that the rewrite asks with another question word: "who is" became "what is"."""
    if naive.lexicon.code != "en":
        return None
    asked_now = {match[2] for match in _ASKED_WITH.finditer(rewrite.lowered)}
    for asked in _ASKED_WITH.finditer(naive.lowered):
        if asked[2] in asked_now and re.search(rf"\b{asked[1]}\b", rewrite.lowered) is None:
            return asked[0] + asked[2]
    return None


def asks_reader_of_itself(naive: Reading, added: Reading) -> str | None:
    """Where the rewrite asks for the reader's own taste or life, and the prompt does not speak of the reader."""
    if added.lexicon.code != "en":
        return None
    mine = set(_MINE.findall(naive.lowered)) - set(_YOURS.findall(naive.lowered))
    turned = next((yours for yours in _YOURS.finditer(added.lowered) if yours[1] in mine), None)
    if turned is not None:
        return turned[0]
    if _SECOND_PERSON.search(naive.lowered) is not None:
        return None
    found = _OF_ITSELF.search(added.lowered)
    return found[0] if found is not None and "if you" not in added.lowered else None


def beginning_lost(naive: Reading, rewrite: Reading) -> str | None:
    """The end of a text that only breaks off with a colon, where the rewrite does not ask to continue it."""
    if naive.lexicon.code != "en" or not naive.text.rstrip().endswith(":") or asks(naive):
        return None
    if rewrite.text.rstrip().endswith(":") or _CONTINUED.search(rewrite.lowered):
        return None
    return naive.sentences[-1].text if naive.sentences else None


def role_lost(naive: Reading, rewrite: Reading) -> str | None:
    """The words that give the reader a part to play, where the rewrite gives none."""
    if naive.lexicon.code != "en" or (given := _ROLE.search(naive.lowered)) is None:
        return None
    if given[0].startswith("i want") and not _PLAYED.search(rewrite.lowered.replace("your", "")):
        return given[0]
    is_the_speakers = _SPEAKER_PLAYS.search(rewrite.lowered) and not _SPEAKER_PLAYS.search(naive.lowered)
    return None if _PLAYED.search(rewrite.lowered) and not is_the_speakers else given[0]


def advice_lost(naive: Reading, rewrite: Reading) -> str | None:
    """The words that ask what the speaker should do, where the rewrite has neither the speaker nor advice."""
    if naive.lexicon.code != "en" or (asked := _ADVICE.search(naive.lowered)) is None:
        return None
    return None if _ADVISING.search(rewrite.lowered) else asked[0]


def narrowed(naive: Reading, rewrite: Reading) -> str | None:
    """What makes an open question ("tell me about X") one about a part of its subject ("the benefits of X")."""
    is_short = naive.lexicon.code == "en" and len(naive.tokens) <= _LONGEST_OPEN
    if not is_short or (asked := _OPEN.search(naive.lowered)) is None:
        return None
    new = [each for each in (_ONLY_ON, _HOW_TO) if not each.search(naive.lowered)]
    found = [match[0] for match in (each.search(rewrite.lowered) for each in new) if match is not None]
    subject = re.escape(asked["subject"][:_STEM])
    facet = re.search(_FACET + subject, rewrite.lowered)
    is_first = facet is not None and re.search(subject, rewrite.lowered[: facet.end() - 1]) is None
    is_overview = len(set(_PARTS.findall(rewrite.lowered))) >= _MANY
    if facet is not None and is_first and not is_overview and facet["facet"] not in naive.lowered:
        found.append(facet[0])
    return found[0] if found else None


def doubt_lost(naive: Reading, rewrite: Reading) -> str | None:
    """The words of a question for yes or no, where the rewrite takes the answer for given."""
    if naive.lexicon.code != "en" or (asked := _YES_OR_NO.search(naive.lowered)) is None:
        return None
    if re.search(r"\b(?:what|which|how|where|when|who|why)\b[^.?!\n]*$", naive.lowered[: asked.start()]):
        return None  # "what should I do" is open
    return None if "?" in rewrite.text or _IN_DOUBT.search(rewrite.lowered) else asked[0]


def how_lost(naive: Reading, rewrite: Reading) -> str | None:
    """The words of a question about how to do something, where the rewrite says to do it."""
    if naive.lexicon.code != "en" or (asked := _HOW.search(naive.lowered)) is None:
        return None
    verb = asked["verb"]
    if verb in _DONE_BY_SAYING or "?" in rewrite.text or _GUIDANCE.search(rewrite.lowered):
        return None
    told = any(sentence.tokens[0].text == verb for sentence in rewrite.sentences)
    return asked[0] if told else None


def reader_lost(naive: Reading, rewrite: Reading) -> str | None:
    """The words of a question about the reader, where the rewrite does not mention the reader."""
    if naive.lexicon.code != "en" or (asked := _OF_THE_READER.search(naive.lowered)) is None:
        return None
    return None if _READER.search(rewrite.lowered) else asked[0]


def said_of_a_name(naive: Reading, rewrite: Reading, given: Reading) -> str | None:
    """What the rewrite alone says in passing about a name of the prompt."""
    if rewrite.lexicon.code != "en":
        return None
    known = {name.key for name in names(naive)}
    for name in names(rewrite):
        said = _SAID_OF_IT.match(rewrite.lowered, name.span[1]) if name.key in known else None
        if said is None:
            continue
        content = read(said[1], "en").content
        if len(content - given.stems) >= _LEAST_SAID:
            return rewrite.text[name.span[0] : said.end()]
    return None
