"""Every example says how to install what it needs, and needs nothing else: not even through what it imports."""

import ast
import functools
import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
OWN = (ROOT, EXAMPLES)  # where imports are followed
PROGRAMS = [path for path in sorted(EXAMPLES.glob("*.py")) if '__name__ == "__main__"' in path.read_text("utf-8")]
NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))
INSTALLS = re.compile(r"pip install '\.\[([\w,]+)\]'((?: [\w-]+)*)")


owners = functools.cache(importlib.metadata.packages_distributions)


def requirements_of_ours(extras: set[str]) -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for one in extras for line in project["optional-dependencies"][one])]
    for one in map(Requirement, lines):
        if one.name == "fipo":
            yield from requirements_of_ours(one.extras)
        else:
            yield one


def brought_by(extras: set[str], others: list[str]) -> set[str]:
    """The distributions that an installation of ours brings, with those that they bring themselves."""
    found: set[tuple[str, str]] = set()
    wanted = [*requirements_of_ours(extras), *map(Requirement, others)]
    while wanted:
        one = wanted.pop()
        for extra in {"", *one.extras} - {own for name, own in found if name == canonicalize_name(one.name)}:
            found.add((canonicalize_name(one.name), extra))
            try:
                lines = importlib.metadata.requires(one.name) or []
            except importlib.metadata.PackageNotFoundError:  # not for this machine
                continue
            own = map(Requirement, lines)
            wanted += [line for line in own if line.marker is None or line.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def names_in(code: str, *, everywhere: bool) -> Iterator[str]:
    """The modules that a program imports, `everywhere` or as it is imported itself; also names taken from them."""
    nodes: list[ast.AST] = list(ast.parse(code).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not everywhere:
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(module: str) -> Iterator[Path]:
    """Our files that run where a module is imported: its own, and those of the packages around it."""
    parts = module.split(".")
    for folder in OWN:
        for end in range(1, len(parts) + 1):
            place = folder.joinpath(*parts[:end])
            yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())


def imported_by(code: str) -> dict[str, str]:
    """The modules of others that a program of ours imports, each with the name of the file that does."""
    found: dict[str, str] = {}
    seen: set[Path] = set()
    todo = [("it", code)]
    while todo:
        importer, text = todo.pop()
        for module in names_in(text, everywhere=importer == "it"):
            paths = set(files_of(module))
            if not paths:
                found.setdefault(module.split(".")[0], importer)
            todo += [(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths - seen]
            seen |= paths
    return {module: importer for module, importer in found.items() if module not in sys.stdlib_module_names}


def missing(code: str, said: str) -> dict[str, str]:
    """What a program imports and its documented installation does not bring."""
    lines = INSTALLS.findall(said)
    assert len(lines) == 1, f"it must say once how to install what it needs: {said}"
    extras, others = lines[0]
    brought = brought_by(set(extras.split(",")), others.split())
    return {
        module: importer
        for module, importer in imported_by(code).items()
        if not brought & set(map(canonicalize_name, owners().get(module, [module])))
    }


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_needs_only_what_it_says(path: Path) -> None:
    code = path.read_text("utf-8")
    assert missing(code, ast.get_docstring(ast.parse(code)) or "") == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_needs_only_what_it_says(path: Path) -> None:
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text("utf-8"))["cells"]]
    code = "\n".join(text for kind, text in cells if kind == "code")
    assert missing(code, "\n".join(text for kind, text in cells if kind == "markdown")) == {}


def test_every_example_is_looked_at() -> None:
    assert len(PROGRAMS) >= 11
    assert len(NOTEBOOKS) >= 3


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("import langchain_core", "langchain_core"),
        ("def f():\n    import torch", "torch"),
        ("from downstream import base_model", "langchain_core"),  # through a file beside it
        ("from fipo_integrations.langchain import optimize_chain", "langchain_core"),  # and through the package
        ("import unheard_of", "unheard_of"),
    ],
)
def test_what_is_not_installed_is_found(code: str, module: str) -> None:
    assert module in missing(code, "pip install '.[cpu,dspy]'")


def test_what_is_installed_is_not_missed() -> None:
    code = "import dspy, litellm, rich.table\nfrom fipo_integrations.dspy import local_lm\nimport fipo_model.search"
    assert missing(code, "pip install '.[cpu,dspy]'") == {}
