"""Words to stems, so that inflection makes no difference, by the Snowball stemmers (PyStemmer)."""

import threading
from collections.abc import Sequence
from typing import Any

_SNOWBALL = {
    **{"ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english"},
    **{"es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french"},
    **{"ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian"},
    **{"lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese"},
    **{"ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish"},
}
# Longer stems are cut here, so that "classify" and "classification", "translate" and "translator" are one.
_STEM_LENGTH = 6
# Plurals that change the word's vowel or its last consonant; Snowball leaves these as they are.
_IRREGULAR = {
    **{"men": "man", "women": "woman", "children": "child", "people": "person", "wolves": "wolf", "lives": "life"},
    **{"knives": "knife", "wives": "wife", "halves": "half", "leaves": "leaf", "shelves": "shelf", "mice": "mouse"},
    **{"feet": "foot", "teeth": "tooth", "geese": "goose", "thieves": "thief", "loaves": "loaf", "calves": "calf"},
    **{"wrote": "write", "written": "write", "spoke": "speak", "spoken": "speak", "sold": "sell", "bought": "buy"},
    **{"analyses": "analysis", "theses": "thesis", "criteria": "criterion", "phenomena": "phenomenon"},
}

_local = threading.local()


def stems_of(words: Sequence[str], language: str | None) -> list[str]:
    """The stem of each word, given in lower case; English stems where the language has no stemmer or is not known."""
    name = _SNOWBALL.get(language or "en", "english" if language is None else None)
    bare = [word.removesuffix("'s") for word in words]
    if name is None:
        return [word[:_STEM_LENGTH] for word in bare]
    if name == "english":
        bare = [_IRREGULAR.get(word, word) for word in bare]
    stems: list[str] = _stemmer(name).stemWords(bare)
    return [stem[:_STEM_LENGTH] for stem in stems]


def _stemmer(name: str) -> Any:
    """One stemmer for each thread and language, because they are not made to be shared."""
    import Stemmer

    stemmers: dict[str, Any] = _local.__dict__.setdefault("stemmers", {})
    if name not in stemmers:
        stemmers[name] = Stemmer.Stemmer(name)
    return stemmers[name]
