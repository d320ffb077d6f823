"""The source of classes, as far as it decides what they do: without comments, layout and docstrings. Pure."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_of_class(kind: type) -> str:
    """What a class says, with its defaults, fields, validators and inner classes; empty where there is no source."""
    tree = _tree_of(kind)
    return ast.dump(tree) if tree else ""


def names_in_class(kind: type) -> frozenset[str]:
    """The names that the body of a class uses outside its methods, also in their defaults and decorators."""
    tree = _tree_of(kind)
    return frozenset(_names_outside_functions(tree)) if tree else frozenset()


@functools.lru_cache(maxsize=256)
def _tree_of(kind: type) -> ast.Module | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):  # made by a call, or typed into `exec`
        return None
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _names_outside_functions(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    for field, value in ast.iter_fields(node):
        is_run_later = field == "body" and isinstance(node, _FUNCTIONS)
        for inner in value if isinstance(value, list) and not is_run_later else [value]:
            if isinstance(inner, ast.AST) and not is_run_later:
                yield from _names_outside_functions(inner)
