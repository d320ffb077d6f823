"""The documentation: every Python block of every page runs; navigation and llms.txt name the pages there are."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel

from fipo_model import PromptOptimizer
from fipo_model.backends import opening
from fipo_model.models import registry
from fipo_model.rewriter import Rewriter
from fipo_model.search import Compared, Interval, Level, as_metric, say_compared
from fipo_model.search.tuning import Yardstick
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator, ScriptedScorer
from support.conversations import naive_in

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARDS = sorted((ROOT / "fipo_model" / "adapters").rglob("README.md"))
PAGES = sorted(DOCS.rglob("*.md"))
README = ROOT / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Their tests also check what these pages say, and the models they need.
ELSEWHERE = {
    "docs/langchain.md": "test_docs_langchain.py",
    "docs/search.md": "test_search_docs.py",
    "docs/dspy.md": "test_dspy_docs.py",
}
# Blocks that need what no test has: they are compiled, and the names they import exist.
NOT_RUN = {"docs/scale.md": "a Ray cluster and object storage"}
CARE = "Consider every part of it carefully."


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[str]:
    return BLOCK.findall(path.read_text(encoding="utf-8"))


def with_all_it_brings(extras: set[str]) -> set[str]:
    """The extras, and those that they name themselves."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {part for one in extras for line in known[one] for part in extras_of(line)}
    return extras if named <= extras else with_all_it_brings(extras | named)


def extras_of(line: str) -> list[str]:
    return [part for found in re.findall(r"(?:fipo|'\.)\[([\w,]+)\]", line) for part in found.split(",")]


WITH_CODE = [path for path in [README, *PAGES, *CARDS] if blocks(path) and name_of(path) not in ELSEWHERE | NOT_RUN]


@pytest.fixture
def _scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Models that say what a script says, and the files of a user."""
    optimizer = PromptOptimizer(ScriptedGenerator(lambda asked: f"{naive_in(asked)} {CARE}"))
    answers = ScriptedGenerator(lambda asked: "positive" if "fine" in asked[-1]["content"] else "negative")
    for owner, made in ((PromptOptimizer, optimizer), (Rewriter, optimizer.rewriter)):
        monkeypatch.setattr(owner, "from_pretrained", lambda *args, made=made, **options: made)
    monkeypatch.setattr(opening, "open_generator", lambda *args, **options: answers)
    monkeypatch.setattr(opening, "open_scorer", lambda name: ScriptedScorer(lambda asked, said: -1.0, name=name))
    trace = {"prompt": "refund?", "input": "Order 7 broke.", "answer": "We send a new one.", "rating": "good"}
    (tmp_path / "traces.jsonl").write_text(json.dumps(trace) + "\n")
    RewriteStore(tmp_path / "rewrites.jsonl").keep([optimizer.optimize("Explain tides.")])
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_scripted")
@pytest.mark.parametrize("path", WITH_CODE, ids=name_of)
def test_every_block_of_the_page_runs(path: Path, monkeypatch: pytest.MonkeyPatch):
    if path == DOCS / "training.md":
        from fipo_model.training import sft

        monkeypatch.setattr(sft, "train_sft", lambda settings: Path(settings.output))
    names: dict[str, object] = {"your_chat_model": FakeListChatModel(responses=["billing"])}
    for number, block in enumerate(blocks(path)):
        exec(compile(block, f"block {number} of {name_of(path)}", "exec"), names)


@pytest.mark.parametrize("page", NOT_RUN)
def test_a_block_that_is_not_run_imports_what_there_is(page: str):
    for block in blocks(ROOT / page):
        tree = ast.parse(block)
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                assert [one.name for one in node.names if not hasattr(import_module(node.module), one.name)] == []


def test_pages_with_a_test_of_their_own_have_it():
    for page, test in ELSEWHERE.items():
        assert page.removeprefix("docs/") in (ROOT / "tests" / test).read_text(encoding="utf-8")
    assert len(WITH_CODE) >= 8


@pytest.mark.usefixtures("_scripted")
def test_what_the_pages_say_is_printed_is(capsys: pytest.CaptureFixture[str]):
    names: dict[str, object] = {}
    exec(blocks(DOCS / "concepts.md")[0], names)
    assert capsys.readouterr().out.split()[0] in (DOCS / "concepts.md").read_text(encoding="utf-8")
    exec(blocks(DOCS / "own-rewriter.md")[0], names)
    record = json.loads(Path("prompts.jsonl").read_text())
    assert (record["instruction"], record["golden_response"]) == ("refund?", "We send a new one.")


def test_the_readme_prints_what_a_search_prints():
    yardstick = Yardstick(
        metric=as_metric("exact"), models=[ScriptedGenerator(lambda _: "", name=registry.DEFAULT.name)]
    )
    level = Level(score=0.0, failed=0, examples=4)
    all_right = Compared(before=level, after=replace(level, score=1.0), gain=Interval(value=1.0, low=1.0, high=1.0))
    said = README.read_text(encoding="utf-8")
    assert f"Scores are {yardstick}." in said
    assert say_compared("held-out examples", all_right) in said


@pytest.mark.real
def test_the_readme_shows_what_the_default_weights_add(default_weights: Path):
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    results = PromptOptimizer.from_pretrained().optimize_batch([prompt for prompt, _ in rows])
    said = [result.text.removeprefix(prompt).strip() for result, (prompt, _) in zip(results, rows, strict=True)]
    as_told = [text == told if text else told.startswith("nothing") for text, (_, told) in zip(said, rows, strict=True)]
    assert len(rows) == 7
    assert sum(as_told) >= 6  # rounding may change a word


def test_the_navigation_names_every_page():
    listed = re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES)


def test_llms_txt_names_pages_that_exist():
    named = re.findall(r"\]\(([^)]+)\)", (DOCS / "llms.txt").read_text(encoding="utf-8"))
    assert len(named) > 10
    assert [name for name in named if not (DOCS / name).is_file()] == []


def commands(path: Path) -> list[str]:
    """What a page has the reader type, without `fipo` and comments; each command of a pipe is one."""
    lines = re.findall(r"^(fipo (?=[a-z])(?:[^\n\\]|\\\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    parts = [part.partition(" #")[0].strip() for line in lines for part in re.split(r"\s\|\s", line)]
    return [part.removeprefix("fipo ").replace("\\\n", " ") for part in parts if part.startswith("fipo ")]


def unknown_words(line: str) -> list[str]:
    """What of a command line its --help does not know."""
    from typer.main import get_command

    from fipo_model.cli import app

    words, command = line.split(), get_command(app)
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return [] if words[0].startswith("--") else [words[0]]
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]


def test_commands_on_the_pages_have_the_options_they_are_given():
    lines = [(path, line) for path in [README, *PAGES, *CARDS] for line in commands(path)]
    assert len(lines) > 30
    found = {f"{name_of(path)}: fipo {line}": unknown_words(line) for path, line in lines}
    assert {line: words for line, words in found.items() if words} == {}


@pytest.mark.parametrize("line", ["optimise 'x'", "tune 'x' --metrics exact", "weights psuh DIR"])
def test_a_command_that_is_none_is_found(line: str):
    assert unknown_words(line)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without any network. Every dead link and warning ends the build."""
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_every_page_the_api_and_the_cards(site: Path):
    assert all((site / path.relative_to(DOCS)).with_suffix(".html").is_file() for path in PAGES)
    api = (site / "api.html").read_text(encoding="utf-8")
    assert "How much <code>search</code> could gain" in api
    card = (site / "cards" / "qwen2.5-coder-0.5b.html").read_text(encoding="utf-8")
    assert "Known failures" in card
    assert "model-index" not in card
    assert (site / "llms.txt").is_file()


def test_the_site_asks_no_other_host_for_anything(site: Path):
    asked = re.compile(r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"?(https?://[^\" >]+)")
    found = {url for page in site.rglob("*.html") for url in asked.findall(page.read_text(encoding="utf-8"))}
    assert found == set()


INSTALLING = [README, *PAGES, ROOT / "packages" / "langchain-fipo" / "README.md"]


@pytest.mark.parametrize("path", INSTALLING, ids=name_of)
def test_every_line_that_installs_brings_something_that_rewrites(path: Path) -> None:
    lines = re.findall(r"pip install [^`#\n]+", path.read_text(encoding="utf-8"))
    alone = [line for line in lines if not with_all_it_brings(set(extras_of(line))) & {"cpu", "local"}]
    assert alone == []


@pytest.mark.parametrize("name", ["langchain", "dspy", "gateway"])
def test_the_page_of_a_door_says_how_to_install_it(name: str) -> None:
    assert "pip install '.[" in (DOCS / f"{name}.md").read_text(encoding="utf-8").partition("\n## ")[0]
