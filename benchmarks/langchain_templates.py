"""How many of the templates that LangChain publishes can be rewritten, and whether any loses something.

    python benchmarks/langchain_templates.py [PACKAGE ...]

Every template at the top of a module of the packages (LangChain's that are installed) is given to a rewriter that
always adds the same harmless sentence. One that is rewritten has to render, with all that it had in the same order.
Prints the rates, and the reasons of those left alone.
"""

import hashlib
import importlib
import importlib.util
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from langchain_core.prompts import BasePromptTemplate

from fipo_integrations.langchain import Report, optimize_prompt
from fipo_model import FIPO_2, PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.testing import ScriptedGenerator

ADDED = "Be accurate."
PACKAGES = ("langchain_core", "langchain", "langchain_classic", "langchain_community", "langchain_experimental")


def modules(package: str) -> Iterator[str]:
    """The modules of a package that mention templates."""
    spec = importlib.util.find_spec(package)
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        for file in sorted(Path(folder).rglob("*.py")):
            if "PromptTemplate" in file.read_text(encoding="utf-8", errors="ignore"):
                yield ".".join(file.relative_to(Path(folder).parent).with_suffix("").parts).removesuffix(".__init__")


def templates(packages: tuple[str, ...]) -> dict[str, BasePromptTemplate]:
    """The templates by their names; equal ones once."""
    found: dict[str, tuple[str, BasePromptTemplate]] = {}
    for name in (name for package in packages for name in modules(package)):
        try:
            module = importlib.import_module(name)
        except Exception:  # noqa: BLE001 - it needs what is not installed
            continue
        for attribute, value in vars(module).items():
            if isinstance(value, BasePromptTemplate):
                found.setdefault(hashlib.sha256(repr(value).encode()).hexdigest(), (f"{name}.{attribute}", value))
    return dict(found.values())


def loses(report: Report) -> bool:
    """Whether a changed text has anything but the old words, in order, and the addition."""
    for change in report.changes:
        old, new = change.naive.split(), change.text.split()
        rest = iter(new)
        is_there = all(word in rest for word in old)
        if change.text != change.naive and not (is_there and Counter(new) - Counter(old) == Counter(ADDED.split())):
            return True
    return False


def main() -> None:
    warnings.simplefilter("ignore")
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: ADDED), template=FIPO_2)
    found, reasons, rewritten, lost = templates(tuple(sys.argv[1:]) or PACKAGES), Counter[str](), 0, []
    for name, template in found.items():
        try:
            new, report = optimize_prompt(template, optimizer=optimizer)
        except InputError as error:
            reasons[str(error)] += 1
            continue
        values = {variable: "value" for variable in new.input_variables}
        rewritten += report.is_rewritten
        if loses(report) or sorted(new.input_variables) != sorted(template.input_variables):
            lost.append(name)
        if report.is_rewritten and "MessagesPlaceholder" not in repr(template) and ADDED not in new.format(**values):
            lost.append(name)
        if not report.is_rewritten:
            told = [each.reason for each in (*report.unreached, *report.left_alone)]
            reasons[next(iter([*(f"{one.outcome}: {one.detail}" for one in report.changes), *told]), "?")] += 1
    print(
        f"{rewritten} of {len(found)} templates rewritten, {len(lost)} lost something{': ' if lost else ''}{lost or ''}"
    )
    for reason, count in reasons.most_common():
        print(f"{count} left alone: {reason}")


if __name__ == "__main__":
    main()
