"""The laws of imports, read from the syntax trees of every module, and that importing the package is cheap."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import fipo_model

ROOT = Path(__file__).parents[1]
PACKAGES = ("fipo_model", "fipo_integrations")
HEAVY = {"torch", "transformers", "peft", "trl", "datasets", "openai", "lm_eval", "xllamacpp", "ray", "pyarrow", "vllm"}
HOMES_OF_HEAVY = (
    *("fipo_model.backends", "fipo_model.training", "fipo_model.evaluation"),
    *("fipo_model.models.conversion", "fipo_model.data.hub", "fipo_model.bulk.ray", "fipo_model.bulk.storage"),
)
# The comparisons run chains and programs, and so stand on the hosts and on both integrations.
COMPARISONS = "fipo_model.comparing"
# What a host reads, it writes itself.
HOSTS = {
    "langchain": ("fipo_integrations.langchain", COMPARISONS, "fipo_model.export.langchain"),
    "dspy": ("fipo_integrations.dspy", COMPARISONS, "fipo_model.export.dspy"),
    "llm": ("fipo_integrations.llm_plugin",),
    "mcp": ("fipo_integrations.mcp_server",),
    **dict.fromkeys(("starlette", "uvicorn", "h11", "httpcore", "prometheus"), ("fipo_model.serve",)),
}
PAGES = {f"fipo_model.pages.{part}" for part in ("changes", "document", "figures", "numbers")}
PUBLIC = {f"fipo_model{part}" for part in ("", ".errors", ".forking", ".jobs", ".search", ".store", ".testing")} | PAGES
PUBLIC |= {"fipo_model.backends.opening"}
# From the roof to the cellar. A room uses what is on the floors below it, at any time; the package itself, whose names
# are those of several rooms, is a door and no room.
FLOORS = (
    ("fipo_model.cli",),
    ("fipo_model.comparing", "fipo_model.serve"),
    (
        *("fipo_integrations.langchain", "fipo_integrations.dspy"),
        *("fipo_integrations.llm_plugin", "fipo_integrations.mcp_server"),
    ),
    ("fipo_model.training", "fipo_model.evaluation", "fipo_model.bulk", "fipo_model.export"),
    ("fipo_model.data",),
    ("fipo_model.optimizer", "fipo_model.store"),
    ("fipo_model.search",),
    ("fipo_model.choosing", "fipo_model.likelihood"),
    ("fipo_model.rewriter", "fipo_model.judge"),
    ("fipo_model.backends", "fipo_model.pages"),
    ("fipo_model.models", "fipo_model.fidelity", "fipo_model.recipes", "fipo_model.jobs"),
    (
        "fipo_model.templates",
        "fipo_model.forms",
        "fipo_model.jsonl",
        "fipo_model.structured",
        "fipo_model.testing",
        "fipo_model.objects",
    ),
    ("fipo_model.contract",),
    ("fipo_model.generation", "fipo_model.types", "fipo_model.callers", "fipo_model.addresses", "fipo_model.places"),
    ("fipo_model.errors", "fipo_model.forking", "fipo_model.replies"),
    ("fipo_model.json_values",),
)
# What runs a model on prompts. The command line, iterative training, which rewrites between its rounds, and rewards,
# which other models measure, use both sides; each hands the other nothing but a checkpoint directory.
INFERENCE = (
    *("fipo_model.optimizer", "fipo_model.judge", "fipo_model.bulk"),
    *("fipo_model.backends.transformers.generator", "fipo_model.backends.openai", "fipo_model.backends.opening"),
)
TRAINING = ("fipo_model.training",)
BETWEEN = ("fipo_model.cli", "fipo_model.training.iterative", "fipo_model.training.reward_functions")


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is a module, `name` what is taken from it, if anything."""

    importer: str
    target: str
    name: str | None
    line: int
    is_at_module_level: bool

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}: {self.target}{f'.{self.name}' if self.name else ''}"


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    importer = module_name(path, root)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [(node, True) for node in tree.body]
    while nodes:
        node, is_top = nodes.pop()
        inside = is_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        nodes += [(child, inside) for child in ast.iter_child_nodes(node)]
        if isinstance(node, ast.Import):
            yield from (Import(importer, alias.name, None, node.lineno, is_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = importer if path.stem == "__init__" else importer.rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            target = ".".join([*above, *([node.module] if node.module else [])])
            yield from (Import(importer, target, alias.name, node.lineno, is_top) for alias in node.names)


def all_imports(root: Path) -> list[Import]:
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    modules = {module_name(path, root) for path in paths}
    found = [one for path in paths for one in imports_of(path, root)]
    # "from package import module" imports the module.
    return [
        Import(one.importer, f"{one.target}.{one.name}", None, one.line, one.is_at_module_level)
        if f"{one.target}.{one.name}" in modules
        else one
        for one in found
    ]


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def top(module: str) -> str:
    return module.split(".")[0]


def heavy_outside_their_homes(imports: list[Import]) -> list[Import]:
    return [one for one in imports if top(one.target) in HEAVY and not within(one.importer, HOMES_OF_HEAVY)]


def hosts_outside_their_integration(imports: list[Import]) -> list[Import]:
    return [
        one
        for one in imports
        for host, homes in HOSTS.items()
        if top(one.target).split("_")[0] == host and not within(one.importer, homes)
    ]


def uses_of_the_integrations(imports: list[Import]) -> list[Import]:
    def is_lawful(one: Import) -> bool:
        if within(one.importer, (COMPARISONS,)):
            return True
        # An integration that outgrew its file is a folder, whose modules import each other.
        package, _, integration = one.importer.partition(".")
        return integration != "" and within(one.target, (f"{package}.{integration.split('.')[0]}",))

    return [one for one in imports if top(one.target) == "fipo_integrations" and not is_lawful(one)]


def uses_of_the_comparisons(imports: list[Import]) -> list[Import]:
    def is_lawful(one: Import) -> bool:
        # What they stand on is heavy: the command line starts without it.
        is_by_a_command = within(one.importer, ("fipo_model.cli",)) and not one.is_at_module_level
        return within(one.importer, (COMPARISONS,)) or is_by_a_command

    return [one for one in imports if within(one.target, (COMPARISONS,)) and not is_lawful(one)]


def integrations_that_use_what_is_not_public(imports: list[Import]) -> list[Import]:
    inner = [one for one in imports if top(one.importer) == "fipo_integrations" and top(one.target) == "fipo_model"]
    return [
        one
        for one in inner
        if one.target not in PUBLIC
        or (one.name or "").startswith("_")
        or (one.target == "fipo_model" and one.name is not None and one.name not in fipo_model.__all__)
    ]


def training_and_inference_that_meet(imports: list[Import]) -> list[Import]:
    sides = ((TRAINING, INFERENCE), (INFERENCE, TRAINING))
    return [
        one
        for one in imports
        for side, other in sides
        if within(one.importer, side) and within(one.target, other) and not within(one.importer, BETWEEN)
    ]


def floor_of(module: str) -> int | None:
    """How far below the roof a module is; None for the package itself."""
    floors = [number for number, rooms in enumerate(FLOORS) if within(module, rooms)]
    return floors[0] if floors else None


def imports_that_go_up(imports: list[Import]) -> list[Import]:
    """What imports from a floor above its own, or from another room on its own floor."""
    own = [one for one in imports if top(one.importer) in PACKAGES and top(one.target) in PACKAGES]
    found = []
    for one in own:
        here, there = floor_of(one.importer), floor_of(one.target)
        if here is None or there is None or here < there:
            continue
        is_same_room = any(within(one.importer, (room,)) and within(one.target, (room,)) for room in FLOORS[here])
        if not (here == there and is_same_room):
            found.append(one)
    return found


def cycle(imports: list[Import]) -> list[str]:
    """The modules of a circle of module-level imports and those that import them; empty if there is none."""
    graph: dict[str, set[str]] = {one.importer: set() for one in imports}
    for one in imports:
        if one.is_at_module_level:
            graph[one.importer].add(one.target)
    while leaves := [module for module, targets in graph.items() if not targets & graph.keys()]:
        for module in leaves:
            del graph[module]
    return sorted(graph)


LAWS = {
    "heavy libraries have their homes": heavy_outside_their_homes,
    "hosts are imported by their own integration": hosts_outside_their_integration,
    "only comparing imports the integrations": uses_of_the_integrations,
    "only commands import the comparisons": uses_of_the_comparisons,
    "the integrations use public names": integrations_that_use_what_is_not_public,
    "training and inference do not meet": training_and_inference_that_meet,
    "imports go down": imports_that_go_up,
    "imports run one way": cycle,
}


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return all_imports(ROOT)


@pytest.mark.parametrize("law", LAWS)
def test_the_law_holds(imports: list[Import], law: str) -> None:
    assert [str(breach) for breach in LAWS[law](imports)] == []


def test_every_module_is_on_a_floor(imports: list[Import]) -> None:
    doors = {"fipo_model", "fipo_model.__main__", "fipo_integrations"}
    assert {one.importer for one in imports if floor_of(one.importer) is None} <= doors


def test_the_laws_are_asked_about_every_module(imports: list[Import]) -> None:
    importers = {one.importer for one in imports}
    assert {"fipo_model", "fipo_model.optimizer", "fipo_model.backends.transformers.generator"} <= importers
    assert any(one.target == "torch" for one in imports)
    assert any(one.target == "fipo_model.fidelity" and one.importer == "fipo_model.optimizer" for one in imports)


BREACHES = [
    ("heavy libraries have their homes", "fipo_model/judge.py", "import torch.nn"),
    ("heavy libraries have their homes", "fipo_model/models/names.py", "import transformers"),
    ("heavy libraries have their homes", "fipo_model/judge.py", "def f():\n    from openai import OpenAI"),
    (
        "heavy libraries have their homes",
        "fipo_integrations/dspy/__init__.py",
        "try:\n    import peft\nexcept ImportError: ...",
    ),
    ("heavy libraries have their homes", "fipo_model/comparing/chains/job.py", "def f():\n    import torch"),
    ("hosts are imported by their own integration", "fipo_model/judge.py", "from langchain_core import runnables"),
    ("hosts are imported by their own integration", "fipo_integrations/dspy/__init__.py", "import langchain"),
    ("hosts are imported by their own integration", "fipo_model/cli/__init__.py", "def f():\n    import dspy"),
    ("hosts are imported by their own integration", "fipo_model/cli/serve.py", "def f():\n    import uvicorn"),
    ("hosts are imported by their own integration", "fipo_model/cli/compare.py", "def f():\n    import langchain_core"),
    ("hosts are imported by their own integration", "fipo_model/export/chat.py", "import langchain_core"),
    ("hosts are imported by their own integration", "fipo_model/cli/store.py", "def f():\n    import mcp.server"),
    ("hosts are imported by their own integration", "fipo_integrations/mcp_server.py", "import llm"),
    (
        "only comparing imports the integrations",
        "fipo_model/cli/__init__.py",
        "def f():\n    from fipo_integrations import dspy",
    ),
    ("only comparing imports the integrations", "fipo_model/cli/__init__.py", "import fipo_integrations.langchain"),
    (
        "only comparing imports the integrations",
        "fipo_integrations/dspy/__init__.py",
        "from fipo_integrations import langchain",
    ),
    ("only comparing imports the integrations", "fipo_integrations/dspy/__init__.py", "from .. import langchain"),
    ("only comparing imports the integrations", "fipo_integrations/__init__.py", "from fipo_integrations import dspy"),
    ("only commands import the comparisons", "fipo_model/judge.py", "def f():\n    import fipo_model.comparing.chains"),
    ("only commands import the comparisons", "fipo_model/evaluation/run.py", "from fipo_model.comparing import chains"),
    ("only commands import the comparisons", "fipo_model/cli/__init__.py", "from fipo_model.comparing import chains"),
    (
        "only commands import the comparisons",
        "fipo_integrations/dspy/__init__.py",
        "def f():\n    import fipo_model.comparing",
    ),
    (
        "the integrations use public names",
        "fipo_integrations/dspy/__init__.py",
        "from fipo_model.judge import LLMJudge",
    ),
    ("the integrations use public names", "fipo_integrations/dspy/__init__.py", "from fipo_model import judge"),
    ("the integrations use public names", "fipo_integrations/dspy/__init__.py", "from fipo_model import unheard_of"),
    ("the integrations use public names", "fipo_integrations/dspy/__init__.py", "from fipo_model.errors import _x"),
    (
        "training and inference do not meet",
        "fipo_model/training/sft.py",
        "from fipo_model.backends.transformers import generator",
    ),
    ("training and inference do not meet", "fipo_model/training/sft.py", "def f():\n    import fipo_model.judge"),
    (
        "training and inference do not meet",
        "fipo_model/backends/transformers/generator.py",
        "from ...training.sft import train",
    ),
    ("imports go down", "fipo_model/jobs/job.py", "from fipo_model.bulk import optimize_file"),
    ("imports go down", "fipo_model/models/names.py", "def f():\n    from fipo_model.backends import opening"),
    ("imports go down", "fipo_model/backends/openai.py", "from fipo_model.rewriter import Rewriter"),
    ("imports go down", "fipo_model/rewriter.py", "from fipo_model.judge import Judge"),
    ("imports go down", "fipo_model/errors.py", "from fipo_model.generation import Message"),
    ("imports go down", "fipo_integrations/dspy/proposer.py", "from fipo_integrations.langchain import report"),
    ("imports go down", "fipo_model/evaluation/run.py", "from fipo_model.training import run"),
    ("imports run one way", "fipo_model/judge.py", "from fipo_model import optimizer"),
    ("imports run one way", "fipo_model/judge.py", "if True:\n    from .optimizer import PromptOptimizer"),
]
GOOD = {
    "fipo_model/__init__.py": "from fipo_model.optimizer import PromptOptimizer",
    "fipo_model/optimizer.py": "from fipo_model import judge",
    "fipo_model/judge.py": "def f():\n    from fipo_model import templates",
    "fipo_model/errors.py": "import json",
    "fipo_model/cli/__init__.py": "import fipo_model.training.sft\nimport fipo_model.optimizer",
    "fipo_model/models/__init__.py": "",
    "fipo_model/models/conversion.py": "import torch",
    "fipo_model/cli/compare.py": "def f():\n    from fipo_model.comparing.chains.job import compare",
    "fipo_model/comparing/__init__.py": "import numpy",
    "fipo_model/comparing/chains/__init__.py": "",
    "fipo_model/comparing/chains/job.py": "import dspy, langchain_core\nfrom fipo_integrations import dspy, langchain",
    "fipo_model/backends/__init__.py": "",
    "fipo_model/backends/transformers/__init__.py": "",
    "fipo_model/backends/transformers/generator.py": "import torch",
    "fipo_model/training/__init__.py": "",
    "fipo_model/training/sft.py": "import trl",
    "fipo_model/training/iterative.py": "from fipo_model.optimizer import PromptOptimizer\nfrom . import sft",
    "fipo_integrations/__init__.py": "",
    "fipo_integrations/langchain.py": "import langchain_core.runnables\nfrom fipo_model import PromptOptimizer",
    "fipo_integrations/dspy/__init__.py": "import dspy\nfrom fipo_integrations.dspy import proposer",
    "fipo_integrations/dspy/proposer.py": "import dspy\nfrom fipo_model.errors import explain_missing",
}


def write(root: Path, files: dict[str, str]) -> list[Import]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return all_imports(root)


@pytest.mark.parametrize("law", LAWS)
def test_a_law_lets_what_is_lawful_pass(tmp_path: Path, law: str) -> None:
    assert [str(breach) for breach in LAWS[law](write(tmp_path, GOOD))] == []


@pytest.mark.parametrize(("law", "file", "text"), BREACHES)
def test_a_law_finds_its_breach(tmp_path: Path, law: str, file: str, text: str) -> None:
    assert LAWS[law](write(tmp_path, GOOD | {file: text})) != []


def imports_of_other_tests(folder: Path) -> list[str]:
    """Where a file of tests imports another one, also in a program that it keeps as a string."""
    names = {path.stem for path in folder.glob("test_*.py")}
    return [
        f"{path.name}: {line.strip()}"
        for path in sorted(folder.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\b(from|import)\s", line) and (names - {path.stem}) & set(re.findall(r"\w+", line))
    ]


def test_no_test_file_imports_another() -> None:
    assert imports_of_other_tests(ROOT / "tests") == []


@pytest.mark.parametrize(
    "line",
    [
        "from test_one import helper",
        "    import test_one as tests",
        'CODE = "import sys, test_one; print(sys.argv)"',
        'CODE = """\nfrom test_one import helper\n"""',
    ],
)
def test_an_import_of_another_test_file_is_found(tmp_path: Path, line: str) -> None:
    for name in ("test_one", "test_two", "conftest"):
        (tmp_path / f"{name}.py").write_text("import json\n")
    assert imports_of_other_tests(tmp_path) == []
    (tmp_path / "test_two.py").write_text(line)
    assert len(imports_of_other_tests(tmp_path)) == 1
    (tmp_path / "test_two.py").write_text(line.replace("test_one", "test_two"))  # a process that runs its own helpers
    assert imports_of_other_tests(tmp_path) == []


@pytest.mark.parametrize("module", ["fipo_model", "fipo_model.cli", "fipo_model.testing", "fipo_integrations"])
def test_importing_brings_nothing_heavy_and_says_nothing(module: str) -> None:
    heavy = sorted(HEAVY | {"langchain", "langchain_core", "dspy", "numpy", "huggingface_hub"})
    code = f"import sys, {module}; print(*sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stderr, done.stdout.strip(), done.returncode) == ("", "", 0)


def test_every_public_name_exists_once() -> None:
    assert [name for name in fipo_model.__all__ if not hasattr(fipo_model, name)] == []
    assert len(set(fipo_model.__all__)) == len(fipo_model.__all__)


def assignments_in_comprehensions(path: Path) -> list[int]:
    """The lines of a module on which a comprehension assigns a name: two ideas in one line."""
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, comprehensions) and any(isinstance(part, ast.NamedExpr) for part in ast.walk(node)):
            found.append(node.lineno)
    return found


def test_no_comprehension_assigns_a_name(tmp_path: Path) -> None:
    dense = tmp_path / "dense.py"
    dense.write_text("x = 1\ny = [z for w in v if (z := w)]\n")
    assert assignments_in_comprehensions(dense) == [2]
    folders = (*PACKAGES, "examples", "benchmarks")
    modules = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(modules) > 100
    found = {path.relative_to(ROOT): assignments_in_comprehensions(path) for path in modules}
    assert {str(path): lines for path, lines in found.items() if lines} == {}


def names_given_twice(path: Path) -> list[str]:
    """The constants that a module assigns more than once: the last one counts everywhere, also above it."""
    targets: list[ast.expr] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets += node.targets if isinstance(node, ast.Assign) else [node.target]
    parts = [part for target in targets for part in ast.walk(target)]
    counts = Counter(part.id for part in parts if isinstance(part, ast.Name))
    return [name for name, count in counts.items() if count > 1]


def test_no_module_gives_one_name_to_two_constants(tmp_path: Path) -> None:
    double = tmp_path / "double.py"
    double.write_text("ONE = 1\nTWO: int = 2\nTHREE = FOUR = 3\nONE = 4\nTWO = 2\n")
    assert names_given_twice(double) == ["ONE", "TWO"]
    modules = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    found = {path.relative_to(ROOT): names_given_twice(path) for path in modules}
    assert {str(path): names for path, names in found.items() if names} == {}
