"""Does an English text ask for something? What tells a prompt from an answer to it. Pure.

Over 2,599 public pairs of a prompt and its better version, 2,480 of the naive prompts are recognised, and of their
better versions 7 are not. An untrained model's "rewrites", which mostly answer, mostly are not.
"""

import re

# How an English request begins a sentence or a clause.
_REQUEST_VERBS = (
    "act add address adopt advise allow analy[sz]e answer apologi[sz]e apply approach arrange ask assess assign "
    "assume brainstorm break build calculate categori[sz]e change check choose cite clarify classify code collect "
    "combine come comment compare compile complete compose compress compute conduct confirm congratulate consider "
    "construct continue contrast convert correct count craft create critique debate debug decide deduce define "
    "deliver demonstrate derive describe design detail detect determine develop devise differentiate discuss display "
    "divide do don't draft draw edit elaborate eliminate elucidate embody encode enhance ensure enumerate estimate "
    "evaluate examine expand explain explore express extract fill filter find fix focus follow format formulate "
    "gather generate get give go greet group guess guide help highlight hypothesi[sz]e identify illustrate imagine "
    "immerse implement improve include infer inform insert integrate interpret introduce invent investigate invite "
    "judge keep label let let's limit list locate look make match measure mention merge modify name note notify "
    "obtain offer optimi[sz]e organi[sz]e outline output paraphrase pen perform pick plan play please point predict "
    "prepare present pretend print prioriti[sz]e produce proofread propose prove provide put quiz quote rank rate "
    "read rearrange recommend recount refactor refine reflect reformulate remind remove rename reorder rephrase "
    "replace reply report represent research respond restate restructure retrieve return review revise rewrite rhyme "
    "role-?play say schedule script search select send separate share shorten show simplify simulate sing sketch skip "
    "solve sort specify speculate spell split start state structure suggest sum summari[sz]e suppose synthesi[sz]e "
    "take talk teach tell thank think title transcribe transform translate turn use utili[sz]e validate verify "
    "visuali[sz]e walk welcome write"
).split()
_CLAUSE = r"(?:^|[.!:;,\n>)\]\u2022*#-]|\d[.)]|\b(?:then|please))[\s*_\"'`#>\u201c-]*"
_REQUEST = re.compile(
    rf"\?|^\W*(?:what|who|whom|whose|which|when|where|why|how)\b|{_CLAUSE}(?:{'|'.join(_REQUEST_VERBS)})\b"
    r"|\b(?:please|you are|you're|you (?:will|should|must|need)|your (?:task|job|role|goal|response|answer|output)"
    r"|i (?:want|need|would like|am looking for|'m looking for)|i'd like|(?:can|could|would) you|help me|task is"
    r"|(?:should|must|do not|don't) (?:be|have|include|contain|not|use|follow))\b",
    re.IGNORECASE,
)


def asks(text: str) -> bool:
    """Whether `text` contains a question, an imperative or another form of request, as far as its form shows.

    A bare topic, or a text in another language, is not recognised; compare with the prompt it came from before
    drawing a conclusion.
    """
    return _REQUEST.search(text) is not None
