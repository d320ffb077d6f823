"""How a text of any length is shown within a sentence. Pure."""


def shortened(text: str, *, most: int) -> str:
    """The text in one line, and at most that many characters of it."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"
