"""What a release says of itself is the same everywhere."""

import importlib.util
import re
import tomllib
from pathlib import Path

import yaml

import fipo_model

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load(read("CITATION.cff"))["version"] == fipo_model.__version__
    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[1] == fipo_model.__version__


def test_pre_commit_runs_the_ruff_that_the_tests_run():
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    ruff = next(repo["rev"] for repo in hooks if "ruff" in repo["repo"])
    assert f"ruff=={ruff.removeprefix('v')}\n" in read("constraints.txt")


def test_the_wheel_has_what_the_package_reads():
    build = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]
    assert set(build["wheel"]["packages"]) <= {path.strip("/") for path in build["sdist"]["include"]}


def test_workflows_are_pinned_to_major_versions_and_cannot_write_by_default():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [path.stem for path in workflows] == ["docs", "release", "tests"]
    for path in workflows:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"uses: \S+@(?!v\d+$|release/v\d+$)\S+", text, re.MULTILINE) == []
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


def test_nothing_is_published_that_the_tests_have_not_passed():
    release, tests = (yaml.safe_load(read(f".github/workflows/{name}.yml")) for name in ("release", "tests"))
    needed, waiting = set(), ["publish"]
    while waiting:
        job = waiting.pop()
        needed.add(job)
        needs = release["jobs"][job].get("needs", [])
        waiting += [needs] if isinstance(needs, str) else needs
    called = [release["jobs"][job].get("uses") for job in needed]
    assert "./.github/workflows/tests.yml" in called
    assert "workflow_call" in tests[True]  # YAML 1.1 reads the key `on` as true


def test_a_build_deletes_old_wheels_and_sdists_and_nothing_else(tmp_path: Path):
    spec = importlib.util.spec_from_file_location("dist", ROOT / "packages" / "dist.py")
    dist = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dist)
    for name in ("fipo-0.1.0-py3-none-any.whl", "fipo-0.1.0.tar.gz", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "mine.whl").mkdir()
    dist.delete_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.whl", "notes.txt"]
