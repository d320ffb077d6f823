"""The lookup of lexicon classes by the character they begin with: it finds what the plain patterns find."""

import re
import tomllib
from pathlib import Path

import pytest

from fipo_model.contract import lexicon
from fipo_model.contract.lookup import Classes, openings

LEXICONS = sorted((Path(lexicon.__file__).parent / "lexicons").glob("*.toml"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("json", ["js"]),
        ("(?:in|as|with) a table", ["in", "as", "wi"]),
        ("(?:a )?minimum", ["a ", "mi"]),
        ("n?one", ["n", "on"]),
        ("be?t", ["b"]),
        ("(?<!not )only(?! if)", ["on"]),
        ("[\"'“]?yes", ['"', "'", "“", "ye"]),
        (r"(?:can\|x|\+)", ["ca", "+"]),
        ("at least|no (?:less|fewer) than", ["at", "no"]),
    ],
)
def test_what_a_pattern_may_begin_with(pattern: str, expected: list[str]) -> None:
    assert openings(pattern) == frozenset(expected)


@pytest.mark.parametrize("pattern", [r"\w+less", "[a-z]+ table", ".x", r"(?:\w+ )?table", r"(?:in|\w+) words"])
def test_a_pattern_that_may_begin_with_anything(pattern: str) -> None:
    assert openings(pattern) is None


@pytest.mark.parametrize("path", LEXICONS, ids=lambda path: path.stem)
def test_every_class_is_found_where_its_own_pattern_matches(path: Path) -> None:
    """Texts made of the words of the patterns themselves, so that every class has something to find."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    edge = lexicon._edge(path.stem)
    before, after = (f"(?<!{edge})", f"(?!{edge})") if edge else ("", "")
    with_examples = []
    for table in ("formats", "manners", "tasks", "markers"):
        for name, patterns in tables.get(table, {}).items():
            text = " ; ".join(_example(pattern) for pattern in patterns)
            plain = re.compile(f"{before}(?:{'|'.join(patterns)}){after}")
            expected = [match.span() for start in range(len(text)) if (match := plain.match(text, start))]
            found = [match.span() for _, match in Classes({name: patterns}, edge).find(text)]
            with_examples.append(bool(expected))
            assert found == expected, (path.stem, table, name)
    assert sum(with_examples) > 0.9 * len(with_examples)


def test_of_two_classes_at_one_place_the_first_is_found() -> None:
    classes = Classes({"most": ["never exceed"], "not": ["never"]})
    assert [name for name, _ in classes.find("never exceed ten, never lie")] == ["most", "not"]


def _example(pattern: str) -> str:
    """A text that a simple pattern matches: groups by their first branch, optional ones left out."""
    text = re.sub(r"\(\?<?[=!](?:[^()]|\([^()]*\))*\)", "", pattern)
    previous = None
    while previous != text:
        previous = text
        text = re.sub(r"\((?:\?:)?[^()|]*(?:\|[^()]*)?\)(?:\?|\{0,\d\}\??)", "", text)
        text = re.sub(r"\((?:\?:)?([^()|]*)(?:\|[^()]*)?\)", r"\1", text)
    text = re.sub(r"\[([^\]])[^\]]*\]\??", r"\1", text).replace("\\w+", "abc").replace("\\w*", "")
    text = re.sub(r"\\w\{\d,?\d*\}", "abcdef", text).replace("\\d+", "7").replace("\\d", "7").replace("\\w", "a")
    return re.sub(r"\.\{[\d,]+\}\??", " x ", re.sub(r".\?(?!\?)", "", text)).replace("\\", "")
