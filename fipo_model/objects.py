"""An object in a module or a file, as a user names it on the command line."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from fipo_model import places
from fipo_model.errors import InputError

_MOST_NAMES = 8


def load_object(reference: str, what: str, *, is_one: Callable[[Any], bool] = inspect.isfunction) -> Any:
    """Import the object that `module:attribute` or `path/to/file.py:attribute` stands for; `what` names it in errors.

    If it is missing, the error names candidates (`is_one`).

    Modules are also looked for in the working directory, and a file can import its neighbours, as if Python had been
    started with it. Raises `InputError`.
    """
    source, _, attribute = reference.rpartition(":")
    if not source or not attribute:
        raise InputError(f"{what} is named module:attribute or path/to/file.py:attribute, not {reference!r}")
    module = _import_module(source, what)
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise InputError(f"{source} has no {attribute!r}; it has {_list_names(module, what, is_one)}")
        found = getattr(found, name)
    return found


def fingerprint(reference: str) -> str | None:
    """A digest of the file that an object came from; None where there is no file."""
    source = reference.rpartition(":")[0]
    path = source if source.endswith(".py") else getattr(sys.modules.get(source), "__file__", None)
    if not path or not places.is_file(path):
        return None
    return sha256(Path(path).read_bytes()).hexdigest()[:12]


def _import_module(source: str, what: str) -> ModuleType:
    is_file = source.endswith(".py")
    if is_file and not places.is_file(source):
        raise InputError(f"{what} should be in {source}, which does not exist")
    before = list(sys.path)
    sys.path.insert(0, str(Path(source).resolve().parent) if is_file else os.getcwd())
    try:
        return _import_file(Path(source).resolve()) if is_file else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # a user's module may do anything, such as end the process
        sys.path[:] = before
        raise InputError(f"cannot import {source}: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    # A name of its own: the file may be called as a library is, or as another file that is compared.
    name = f"{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: pydantic looks up a class's annotations there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _list_names(module: ModuleType, what: str, is_one: Callable[[Any], bool]) -> str:
    names = [name for name, value in vars(module).items() if not name.startswith("_") and is_one(value)]
    shown = ", ".join(names[:_MOST_NAMES]) or f"nothing that is {what}"
    return f"{shown}, ..." if len(names) > _MOST_NAMES else shown
