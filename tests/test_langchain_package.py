"""The distribution langchain-fipo: all names of the integration under LangChain's own, and nothing else."""

import sys
import tomllib
from pathlib import Path

import pytest

import fipo_integrations.langchain as integration
import fipo_model

FOLDER = Path(__file__).parents[1] / "packages" / "langchain-fipo"


def test_it_has_every_name_of_the_integration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "langchain_fipo", raising=False)
    import langchain_fipo

    assert langchain_fipo.__all__ == integration.__all__
    assert all(getattr(langchain_fipo, name) is getattr(integration, name) for name in integration.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Fipo'"):
        _ = langchain_fipo.Fipo


def test_its_version_is_fipos_and_it_asks_for_nothing_else():
    told = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
    assert told["project"]["dependencies"] == ["fipo[langchain]"]
    assert all(
        each.startswith("fipo[") for extra in told["project"]["optional-dependencies"].values() for each in extra
    )
    source = (FOLDER / told["tool"]["hatch"]["version"]["path"]).resolve()
    assert f'__version__ = "{fipo_model.__version__}"' in source.read_text(encoding="utf-8")
