"""The text that a model meant, out of its whole reply, without what transport and manners put around it. Pure.

`spoken` removes what is not part of a message: thoughts, channels, the tokens of chat templates, control characters.
`unwrapped` removes the frame around a requested text: an announcement, a heading, a fence, quotation marks, remarks at
the end. Both are careful: anything that the prompt itself has (`known`) does not count as a frame, and text that only
resembles one stays, for the checks to refuse.
"""

import re

from fipo_model.json_values import parse_json

# Escape sequences of terminals as a whole, then what is left of controls. Line ends and tabs stay; so do the marks and
# joiners that Arabic, Hebrew and Indian scripts are written with, but not characters that reverse the order of a line.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# How models mark their thoughts: Qwen, DeepSeek, Anthropic, Mistral, Cohere, Kimi, Seed, Gemma and prompts of old.
_THOUGHTS = (
    *(("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[think]", "[/think]"), ("◁think▷", "◁/think▷")),
    *(("<seed:think>", "</seed:think>"), ("<|begin_of_thought|>", "<|end_of_thought|>")),
    *(("<|start_thinking|>", "<|end_thinking|>"), ("<|channel>thought", "<channel|>")),
    *(("<thought>", "</thought>"), ("<reasoning>", "</reasoning>"), ("<analysis>", "</analysis>")),
    *(("<reflection>", "</reflection>"), ("<scratchpad>", "</scratchpad>")),
)
# Those whose beginning a chat template may already have written; an end alone identifies them.
_BEGUN_BY_TEMPLATES = frozenset(closing for _, closing in _THOUGHTS[:8])

# The channels of gpt-oss, also as they look where a server drops special tokens.
_FINAL = re.compile(r"<\|channel\|>\s*final\b(?:<\|constrain\|>|[^<])*<\|message\|>")
_OTHER_CHANNEL = re.compile(r"\s*(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)\b")
_BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z\W]).*?assistantfinal(.*)", re.DOTALL)

_TOKEN = (
    r"(?:<\|[A-Za-z][\w.:-]{0,40}\|?>|<[｜|][^<>\n]{1,40}[｜|]>|</?s>|<(?:start|end)_of_turn>|<[be]os>|<\|?turn\|?>"
    r"|\[/?INST\]|<</?SYS>>|<EOT>)"
)
_ROLE = r"(?:(?:assistant|model)[ \t]*(?=\n|<[|｜]|:\s))?:?"
_TOKENS_BEFORE = re.compile(rf"\s*(?:{_TOKEN}\s*{_ROLE}\s*)+")
_TOKENS_AFTER = re.compile(rf"(?:\s*{_TOKEN})+\s*\Z")
# Where one turn ends or the next begins; what follows was never asked for.
_TURN = re.compile(
    r"<\|(?:im_end|im_start|eot_id|eom_id|endoftext|end_of_text|end|return|start|start_header_id|user|assistant|system"
    r"|END_OF_TURN_TOKEN|START_OF_TURN_TOKEN)\|>|<(?:start|end)_of_turn>|<｜(?:end▁of▁sentence|User|Assistant)｜>|\[/?INST\]"
)

_MADE = (
    r"(?:golden|optimi[sz]ed|rewritten|re-written|better|improved|new|revised|refined|enhanced|final|clearer|polished"
    r"|updated|reworded|rephrased|reworked|modified|expanded|detailed)"
)
_THING = r"(?:prompt|version|instructions?|question|request|query|task|rewrite|rewording|text|draft)"
_ANSWERING = r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|alright|got it|understood|no problem)"
_ANNOUNCING = (
    r"(?:here(?:'s|’s| is| are| you go| it is)|below (?:is|are)|this is|the following is|i(?:'ve| have|’ve)? "
    r"(?:rewritten|rewrote|improved|revised|reworded|rephrased)|my|your|the|an?)"
)
# Begins with a nod or an announcement, or directly with a name for the text, and ends in a colon.
_ANNOUNCEMENT = re.compile(
    rf"(?:\*\*)?(?:(?:{_ANSWERING}\b[ ,.!:–—-]*{_ANNOUNCING}?|{_ANNOUNCING})\b[^\n:.!?]{{0,60}}?\b"
    rf"(?:{_MADE}[ ,]+(?:and (?:more )?\w+ )?(?:naive |user |ai )?{_THING}|rewrite|additions?"
    rf"|(?:text|sentences?|words?) to (?:add|append)|(?P<announced>prompt))\b[^\n:.!?]{{0,60}}"
    rf"|(?:{_MADE} (?:prompt|version|instructions?)|(?:text|sentences?) to (?:add|append)|(?P<bare>prompt))\W{{0,4}})"
    r":(?:\*\*)?(?:[ \t]*\n+|[ \t]+)(?=\S)",
    re.IGNORECASE,
)
# The same in other languages: nods, what announces, what was done, and what it was done to.
_FOREIGN = (
    (
        "gerne?|natürlich|klar|sicher|selbstverständlich",
        "hier (?:ist|sind|kommt)|das ist|dies ist|nachfolgend|im folgenden",
        r"(?:überarbeitet|verbessert|umformuliert|optimiert|umgeschrieben|neu)\w*",
        "(?:eingabeaufforderung|prompt|version|anweisung|formulierung|fassung)",
    ),
    (
        "bien sûr|d'accord|certainement|volontiers",
        "voici|voilà|ci-dessous",
        r"(?:réécrit|amélioré|reformulé|optimisé|révisé|nouve)\w*",
        "(?:prompt|version|consigne|instructions?|invite|formulation)",
    ),
    (
        "claro|por supuesto|desde luego",
        "aquí (?:está|tienes|va)|este es|esta es|a continuación",
        r"(?:mejorad|reescrit|reformulad|optimizad|revisad|nuev)\w+",
        "(?:prompt|versión|instrucción|instrucciones|indicación|consigna)",
    ),
    (
        "claro|com certeza|certamente",
        "aqui (?:está|vai)|segue|este é|esta é|eis",
        r"(?:melhorad|reescrit|reformulad|otimizad|revisad|nov)\w+",
        "(?:prompt|versão|instrução|instruções|comando|solicitação)",
    ),
    (
        "certo|certamente|va bene|naturalmente",
        "ecco|di seguito|questo è|questa è",
        r"(?:miglior|riscritt|riformulat|ottimizzat|rivist|nuov)\w+",
        "(?:prompt|versione|istruzioni?|richiesta)",
    ),
    (
        "natuurlijk|zeker|prima|graag",
        "hier (?:is|volgt)|dit is|hieronder",
        r"(?:verbeterd|herschreven|geherformuleerd|geoptimaliseerd|herzien|nieuw)\w*",
        "(?:prompt|versie|instructies?|opdracht)",
    ),
    (
        "конечно|хорошо|разумеется",
        "вот|ниже|это",
        r"(?:улучшен|переписан|переформулирован|оптимизирован|обновл[её]н|нов)\w+",
        r"(?:промпт|запрос|верси|инструкци|формулировк)\w*",
    ),
    (
        "بالطبع|بالتأكيد|حسن[اً]+|بكل سرور",
        "إليك|هذا هو|هذه هي|فيما يلي|ها هو|هنا",
        "المحس[ّ]?نة?|المعد[ّ]?لة?|المعاد|الجديدة?",
        "(?:المطالبة|الموجه|التعليمات|النسخة|البرومبت|الصياغة|الطلب)",
    ),
    (
        "ज़रूर|जरूर|बिल्कुल|ठीक है",
        "यहाँ|यहां|यह|नीचे",
        r"(?:बेहतर|संशोधित|सुधार|पुनर्लिखित|नया)\S*",
        "(?:प्रॉम्प्ट|प्रोम्प्ट|संस्करण|निर्देश|अनुरोध)",
    ),
    (
        "好的|当然可以|当然|當然|没问题",
        "以下是|下面是|这是|這是|以下为",
        "(?:改写|改寫|优化|優化|改进|改進|修改|重写)(?:后|後|过)?的?",
        "(?:提示词|提示詞|提示|指令|版本|prompt)",
    ),
    (
        "はい|もちろん(?:です)?|承知しました|わかりました",
        "こちらが|以下が|以下は|これが",
        "(?:改善|書き直|修正|改良|最適化)(?:した|された|し|版)?の?",
        "(?:プロンプト|指示文?|バージョン)",
    ),
    (
        "네|물론(?:입니다|이죠)?|알겠습니다",
        "다음은|여기|아래는|이것은",
        "(?:개선|수정|다시 작성|최적화)(?:된|한)?",
        "(?:프롬프트|지시문?|버전)",
    ),
)
_IN = r"[^\n:：.!?。]{0,40}?"  # what may stand between these, and behind
_COLON = r"(?: ?[:：](?:\*\*)?[ \t\n]*|(?:です|になります|입니다|है)[。.।]?\s*\n\s*)(?=\S)"
_FOREIGN_ANNOUNCEMENT = re.compile(
    "|".join(
        rf"(?:\*\*)?(?:(?:(?:{nod})[ ,.!，。！、]*)?(?:{opening}){_IN}(?:{thing}{_IN}|{made}{_IN}{thing}{_IN})"
        rf"|(?:{made} ?{thing}|{thing} {made})(?:\*\*)?){_COLON}"
        for nod, opening, made, thing in _FOREIGN
    ),
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"(?i)(?:#+\s*)?(\**)(?:golden|optimized|rewritten|better|improved|new|revised|refined|enhanced|final)(?: naive)?"
    r" prompt\s*(?::\s*?\1|\1\s*?[:\n])"
)

# Remarks about the work, in a paragraph of their own at the end.
_ABOUT_IT = (
    r"(?:version|prompt|rewrit|rephras|reword|original|naive|clearer|more (?:specific|concise|precise)|"
    r"\bi(?:'ve|’ve| have)? (?:kept|made|changed|added|removed|kept|preserved|assumed))"
)
_REMARK = re.compile(
    r"(?:\n[ \t]*\n|(?<=```)[ \t]*\n)\s*(?:-{3,}\s*)?(?P<remark>(?:"
    r"(?:please )?let me know if\b|(?:i )?hope (?:this|that|it) helps|feel free to (?:ask|adjust|modify|let|tweak)\b"
    r"|would you like (?:me to|any)\b|if you(?:'d| would| want| need)[^\n]{0,40}\b(?:let me know|i can|just ask)"
    r"|is there anything else|do you want me to\b|i can also\b|this (?:rewritten |revised |improved |new |refined )?"
    r"(?:prompt|version|rewrite) (?:is|has|keeps|makes|provides|adds|asks|preserves|maintains|clarifies|ensures)\b"
    rf"|[(*_\[]*(?:note|p\.?s\.?|explanation|rationale)\b[*_]*:?[^\n]{{0,300}}{_ABOUT_IT}"
    r"|\W*(?:changes(?: made)?|key (?:changes|improvements)|improvements(?: made)?|what (?:i |was )?changed"
    r"|why (?:this|it) (?:works|is better)|explanation of (?:the )?changes)\W*(?::|\n)"
    r")(?:.|\n)*)\Z",
    re.IGNORECASE,
)
_FENCED = re.compile(r"(`{3,}|~{3,})[\w-]*\n((?:(?!\1).)*)\n\1", re.DOTALL)
_QUOTED = re.compile(r'"([^"]+)"|“([^“”]+)”')
# Under which a rewrite goes in an object.
_HOLDING = re.compile(rf"(?:{_MADE}|golden|your|naive)?[ _-]*(?:prompt|rewrite|rewritten|instructions?|addition)")
_TAGGED = re.compile(
    r"<((?:\w+[_-])?(?:prompt|rewrite|rewritten|response|answer|output|final|result|solution)(?:[_-]\w+)?)>\s*(.*?)\s*</\1>",
    re.DOTALL | re.IGNORECASE,
)


def spoken(reply: str, known: str = "") -> str:
    """The message in a reply: without thoughts, channels, the tokens of a chat template and control characters.

    `known` is the prompt: tokens in it are the subject of the reply, and stay. Empty where a model only thought.
    """
    text = without_controls(reply).strip()
    while (shorter := _without_tokens(_without_thoughts(_final_channel(text), known), known).strip()) != text:
        text = shorter
    return text


def unwrapped(text: str, known: str = "") -> str:
    """A requested text without the frame around it."""
    text = text.strip()
    while (inner := _without_frame(text, known).strip()) != text:
        text = inner
    return text


def is_thought(reply: str, known: str = "") -> bool:
    """Whether a reply has content, none of it meant for the reader."""
    return bool(reply.strip()) and not spoken(reply, known)


def has_thoughts(reply: str) -> bool:
    """Whether a reply begins with thoughts, or has the end of some."""
    lowered = reply.lstrip().lower()
    return bool(_OTHER_CHANNEL.match(reply)) or any(
        lowered.startswith(opening) or closing in lowered for opening, closing in _THOUGHTS[:8]
    )


def without_controls(text: str) -> str:
    """A text without characters that would steer a terminal or reverse the order of a line."""
    if text.isascii() and text.isprintable():  # nearly always
        return text
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROLS.sub("", text)


def _final_channel(text: str) -> str:
    *_, last = [None, *_FINAL.finditer(text)]
    if last is not None:
        return text[last.end() :]
    if _OTHER_CHANNEL.match(text):
        return ""
    bare = _BARE_CHANNELS.match(text)
    return text if bare is None else bare[1]


def _without_thoughts(text: str, known: str) -> str:
    lowered, known = text.lower(), known.lower()
    for opening, closing in _THOUGHTS:
        end = lowered.find(closing)
        if lowered.startswith(opening):
            if end >= 0:
                return text[end + len(closing) :]
            return text if opening in known else ""
        is_alone = end >= 0 and opening not in lowered[:end]
        if is_alone and closing in _BEGUN_BY_TEMPLATES and closing not in known:
            return text[end + len(closing) :]
    return text


def _without_tokens(text: str, known: str) -> str:
    for pattern, keep in ((_TOKENS_BEFORE, "after"), (_TOKENS_AFTER, "before")):
        found = pattern.match(text) if keep == "after" else pattern.search(text)
        if found is not None and not _is_known(found[0], known):
            text = text[found.end() :] if keep == "after" else text[: found.start()]
    for turn in _TURN.finditer(text):
        if not _is_known(turn[0], known):
            return text[: turn.start()]
    return text


def _is_known(tokens: str, known: str) -> bool:
    return any(token in known for token in re.findall(_TOKEN, tokens))


def _without_frame(text: str, known: str) -> str:
    if (announced := _announced(text, known)) is not None:
        fenced = _FENCED.match(announced)
        return fenced[2] if fenced is not None else announced
    if (heading := _HEADING.match(text)) is not None:
        return text[heading.end() :]
    remark = _REMARK.search(text)
    if remark is not None and remark["remark"][:20].lower() not in known.lower():
        return text[: remark.start()]
    if (fenced := _FENCED.fullmatch(text)) is not None:
        return fenced[2]
    if (quoted := _QUOTED.fullmatch(text)) is not None:
        return quoted[1] or quoted[2]
    if (held := _held_in_json(text, known)) is not None:
        return held
    tagged = _TAGGED.fullmatch(text)
    return text if tagged is None or f"<{tagged[1]}>" in known else tagged[2]


def _held_in_json(text: str, known: str) -> str | None:
    """The rewrite in an object or a list: the only text there, or the one under a known name."""
    if text[:1] not in ("{", "[") or text[:1] in known:
        return None
    try:
        found = parse_json(text, strict=False)
    except ValueError:
        return None
    named = dict(enumerate(found)) if isinstance(found, list) else found
    texts = {str(key).lower(): value for key, value in named.items() if isinstance(value, str)}
    held = [value for key, value in texts.items() if _HOLDING.fullmatch(key)] or list(texts.values())
    return held[0] if len(held) == 1 else None


def _announced(text: str, known: str) -> str | None:
    """What follows an announcement; None where there is none."""
    found = _ANNOUNCEMENT.match(text)
    if found is None:
        found = _FOREIGN_ANNOUNCEMENT.match(text)
    if found is None or found[0].strip()[:20].lower() in known.lower():
        return None
    # "Here is a prompt: ..." may well be the task where the task is about prompts.
    names = found.groupdict()
    if (names.get("announced") or names.get("bare")) and "prompt" in known.lower():
        return None
    return text[found.end() :]
