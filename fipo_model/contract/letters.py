"""Character classes for regular expressions that `\\w` does not cover. Pure."""

# Vowel signs and other marks, which belong to the letter before them.
MARKS = r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
# Scripts written without spaces, and Korean, whose words carry their particles.
RUNS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7af\uff66-\uff9f"
LETTER = rf"(?:(?![{RUNS}])[\w{MARKS}])"


def in_lower_case(text: str) -> str:
    """The text in lower case with plain apostrophes, every position kept, which `str.lower` does not promise."""
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(each.lower() if len(each.lower()) == 1 else each for each in text)
    return lowered.replace("\u2019", "'")
