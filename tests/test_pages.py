"""The templates of pages: what they escape, what they miss, and that nothing escapes by hand beside them."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from fipo_model.pages.document import Script, Section, document
from fipo_model.pages.figures import Table
from fipo_model.pages.rendering import environment

ROOT = Path(__file__).parents[1]
PACKAGES = ("fipo_model", "fipo_integrations")


def rendered(source: str, **content: object) -> str:
    return environment().from_string(source).render(content)


def test_a_text_is_escaped_wherever_it_stands():
    changed = '{% from "fipo_model.pages/changes.html.j2" import changed_text %}{{ changed_text("<a>", "<a> \'&\'") }}'
    assert "&lt;a&gt;<ins> &#39;&amp;&#39;</ins>" in rendered(changed)
    table = '{% from "fipo_model.pages/table.html.j2" import table %}{{ table(shown) }}'
    shown = Table(caption='"<b>"', header=("<c>",), rows=[("<d>", "<e>"), (1, None)])
    text = rendered(table, shown=shown)
    assert not re.search(r"<[b-e]>", text)
    assert 'aria-label="&#34;&lt;b&gt;&#34;"' in text


def test_white_space_around_changed_texts_is_that_of_the_texts():
    source = '{% from "fipo_model.pages/changes.html.j2" import changed_text %}{{ changed_text(before, after) }}'
    text = rendered(source, before="\n a b\n", after="\n a c\n")
    assert re.sub(r"(?s)<del>.*?</del>|</?\w+[^>]*>", "", text) == "\n a c\n\n"


def test_a_name_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        rendered("{{ title }}")
    with pytest.raises(UndefinedError, match="nowhere"):
        document(
            "fipo_model.pages/document.html.j2",
            title="A title",
            sentences=["A sentence."],
            sections=[Section("nowhere", "No block")],
            content={},
        )


def test_data_cannot_end_its_element_and_keeps_the_order_of_its_names():
    data = {"b": "</script><!--", "a": ["\u2028", "'"]}
    page = document(
        "fipo_model.pages/document.html.j2",
        title="A title",
        sentences=["50 % of it."],
        sections=[],
        content={},
        script=Script(code="list({});", data=data),
    )
    assert '{"b":"\\u003c/script\\u003e\\u003c!--","a":["\\u2028","\\u0027"]}</script>' in page
    assert page.count("</script>") == 2
    assert "50\u00a0% of it." in page


def test_every_template_can_be_loaded():
    # What is exported is no page: fipo_model/export/rendering.py has its environment, and test_export.py renders it.
    templates = [
        path for package in PACKAGES for path in (ROOT / package).rglob("*.j2") if path.parent.name != "export"
    ]
    assert len(templates) >= 9
    for path in templates:
        package = ".".join(path.parent.relative_to(ROOT).parts)
        assert files(package).joinpath(path.name).is_file()
        environment().get_template(f"{package}/{path.name}")


def test_nothing_escapes_by_hand_and_only_the_document_calls_a_text_safe():
    sources = {path.relative_to(ROOT): path.read_text() for one in PACKAGES for path in (ROOT / one).rglob("*.py")}
    by_hand = [str(path) for path, text in sources.items() if re.search(r"^(from html |import html\b)", text, re.M)]
    safe = [str(path) for path, text in sources.items() if "Markup(" in text]
    templates = [path for package in PACKAGES for path in (ROOT / package).rglob("*.j2")]
    assert by_hand == []
    assert safe == ["fipo_model/pages/document.py"]
    assert [path.name for path in templates if re.search(r"\|\s*safe\b|autoescape", path.read_text())] == []
