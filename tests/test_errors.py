"""Errors say what happened and what to do, and survive the way to another process."""

import copy
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fipo_model import errors
from fipo_model.errors import (
    FipoError,
    InputError,
    MissingExtraError,
    PromptTooLongError,
    explain_missing,
    first_line,
    installing,
    kind_and_line,
)

ROOT = Path(__file__).parents[1]
ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)]


@pytest.mark.parametrize("cls", ALL)
def test_everything_raised_on_purpose_has_one_root_and_says_what_it_is(cls: type[Exception]) -> None:
    assert issubclass(cls, FipoError)
    assert cls.__doc__


def test_a_too_long_prompt_is_told_both_numbers_and_what_to_do() -> None:
    message = str(PromptTooLongError(index=2, tokens=9000, limit=8192))
    assert "9000" in message
    assert "8192" in message
    assert "Shorten" in message


def test_a_too_long_prompt_is_explained_where_a_server_gives_no_numbers() -> None:
    message = str(PromptTooLongError(index=0, tokens=None, limit=None))
    assert "None" not in message
    assert "too many tokens" in message


@pytest.mark.parametrize("twin", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_a_too_long_error_can_travel(twin) -> None:
    error = PromptTooLongError(index=2, tokens=9000, limit=8192)
    other = twin(error)
    assert type(other) is PromptTooLongError
    assert (other.index, other.tokens, other.limit) == (2, 9000, 8192)
    assert str(other) == str(error)


def test_a_too_long_error_can_be_moved_to_another_place_without_forgetting_its_origin() -> None:
    cause = RuntimeError("status 400")
    error = PromptTooLongError(index=2, tokens=9, limit=8)
    error.__cause__ = cause
    moved = error.at(5)
    assert (moved.index, moved.tokens, moved.limit, moved.__cause__) == (5, 9, 8, cause)
    assert error.index == 2


@pytest.mark.parametrize(
    ("error", "line", "with_kind"),
    [
        (OSError("\n no such file\nmore"), "no such file", "OSError: no such file"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (KeyError("name"), "'name'", "KeyError: 'name'"),
    ],
)
def test_what_other_code_says_is_told_on_one_line(error: Exception, line: str, with_kind: str) -> None:
    assert (first_line(error), kind_and_line(error)) == (line, with_kind)


def test_an_absent_module_becomes_the_name_of_its_extra() -> None:
    advice = r"'absent_one'.*pip install '\.\[server\]'"
    with pytest.raises(MissingExtraError, match=advice) as caught, explain_missing("server", "json", "absent_one"):
        import absent_one  # noqa: F401
    assert caught.value.name == "absent_one"
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_every_message_installs_an_extra_as_the_page_on_installing_does() -> None:
    """FIPO is installed from a clone; elsewhere its name may be somebody else's."""
    assert installing("local").partition(",")[0] == "pip install '.[local]'"
    assert "pip install --constraint constraints.txt '.[cpu]'" in (ROOT / "docs" / "install.md").read_text()
    sources = [path for package in ("fipo_model", "fipo_integrations") for path in (ROOT / package).rglob("*.py")]
    assert [path.name for path in sources if "install 'fipo" in path.read_text(encoding="utf-8")] == []


WITHOUT_PYDANTIC = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.tiny
@pytest.mark.parametrize(("module", "extra"), [("evaluation.settings", "eval"), ("training.settings", "train")])
def test_who_lacks_pydantic_is_told_the_extra_of_what_was_asked_for(module: str, extra: str) -> None:
    code = f"{WITHOUT_PYDANTIC}\nimport fipo_model.recipes, fipo_model.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"'pydantic', which is not installed: pip install '.[{extra}]'" in done.stderr


def test_an_absent_module_of_another_name_passes_through() -> None:
    # A package that is there but misses one of its own dependencies is broken, not absent.
    with pytest.raises(ModuleNotFoundError, match="absent_two") as caught, explain_missing("server", "absent_one"):
        import absent_two  # noqa: F401
    assert not isinstance(caught.value, FipoError)


def test_an_absent_part_of_a_package_that_is_there_passes_through() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"json\.absent") as caught, explain_missing("server", "json"):
        import json.absent  # noqa: F401
    assert not isinstance(caught.value, FipoError)


def test_a_name_a_package_no_longer_has_passes_through() -> None:
    with pytest.raises(ImportError, match="absent_name") as caught, explain_missing("server", "json"):
        from json import absent_name  # noqa: F401
    assert not isinstance(caught.value, FipoError)


def test_a_module_that_is_there_is_simply_imported() -> None:
    with explain_missing("server", "json"):
        import json
    assert json.loads("1") == 1


def test_other_errors_during_an_import_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), explain_missing("server", "json"):
        _ = 1 / 0


def test_input_errors_are_value_errors() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(PromptTooLongError, InputError)
