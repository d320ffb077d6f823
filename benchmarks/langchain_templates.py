"""How many of the templates that LangChain publishes can be rewritten, and whether any loses something.

    python benchmarks/langchain_templates.py [--model NAME] [PACKAGE ...]

Every template at the top level of a module in the packages (by default LangChain's installed ones) is given to a
rewriter that always adds the same harmless sentence, or to the named weights. A rewritten template has to render, with
all of its old words in the same order. Prints the rates, and why templates were left alone; with a model also what was
added.
"""

import argparse
import hashlib
import importlib
import importlib.util
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import RunnableParallel

from fipo_integrations.langchain import Report, optimize_chain, optimize_prompt
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


def templates(packages: tuple[str, ...]) -> dict[str, BasePromptTemplate[Any]]:
    """The templates by their names, without duplicates."""
    found: dict[str, tuple[str, BasePromptTemplate[Any]]] = {}
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
    """Whether a changed text lacks any of the old words, or has them in another order."""
    for change in report.changes:
        rest = iter(change.text.split())
        if not all(word in rest for word in change.naive.split()):
            return True
    return False


def renders(template: BasePromptTemplate[Any]) -> bool:
    """Whether a template can be filled."""
    values = {variable: "value" for variable in template.input_variables}
    return "MessagesPlaceholder" in repr(template) or bool(template.format(**values))


def open_optimizer(model: str | None, found: dict[str, BasePromptTemplate[Any]]) -> PromptOptimizer:
    """The rewriter; a model has read all templates in one batch and remembers what it made of them."""
    if model is None:
        return PromptOptimizer(ScriptedGenerator(lambda _: ADDED), template=FIPO_2)
    optimizer = PromptOptimizer.from_pretrained(model)
    optimize_chain(RunnableParallel({name: template for name, template in found.items()}), optimizer=optimizer)
    return optimizer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="*", default=PACKAGES)
    parser.add_argument("--model", help="the weights that rewrite, by any name that FIPO knows")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found, reasons, rewritten, lost = templates(tuple(options.packages)), Counter[str](), 0, []
    optimizer = open_optimizer(options.model, found)
    for name, template in found.items():
        try:
            new, report = optimize_prompt(template, optimizer=optimizer)
        except InputError as error:
            reasons[str(error)] += 1
            continue
        rewritten += report.is_rewritten
        if loses(report) or sorted(new.input_variables) != sorted(template.input_variables) or not renders(new):
            lost.append(name)
        if options.model is not None:
            print(f"{name}\n{report}\n")
        if not report.is_rewritten:
            told = [each.reason for each in (*report.unreached, *report.left_alone)]
            reasons[next(iter([*(one.outcome for one in report.changes), *told]), "?")] += 1
    print(f"{rewritten} of {len(found)} templates rewritten, {len(lost)} lost something", *lost)
    for reason, count in reasons.most_common():
        print(f"{count} left alone: {reason}")


if __name__ == "__main__":
    main()
