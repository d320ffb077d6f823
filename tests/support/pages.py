"""Pages read without a browser, and a text that tries to break out of them."""

from html.parser import HTMLParser

HOSTILE = (
    "</script><script>window.injected = 1</script><!-- <img src=x onerror='window.injected = 2'> \"quoted\" &amp; "
    "<!--<script> \u2028\u2029 🦜 مرحبا \u202e {x} ${title} $title \\u003c </textarea></style></noscript>"
)


class Page(HTMLParser):
    """What a browser without scripts makes of a page."""

    VOID = ("meta", "link", "input", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]
