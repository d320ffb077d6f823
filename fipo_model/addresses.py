"""Addresses of servers: what can be one, how it is shown, and which stay on this machine."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from fipo_model.errors import InputError

# Those that may have a user and password; in the path of an s3:// or hf:// one, "@" is a name's or a revision's.
_ADDRESS = re.compile(r"(?i)\b(?:https?|wss?|postgres(?:ql)?|mysql|redis|mongodb(?:\+srv)?)://\S+")
# Gemini's key, a storage's signature: servers and clients quote them with the address that failed.
_SECRET = re.compile(
    r"(?i)([?&](?:[\w.-]*(?:key|token|secret|signature|passw(?:or)?d|pwd|credential)|sig|jwt|auth)=)[^&#\s'\">)]+"
)
_LABEL = 63  # RFC 1035, section 2.3.4: the longest part of a host's name


def check_address(address: str) -> None:
    """Raise `InputError` for what cannot be the address of a server."""
    shown = show_address(address)
    if not address.startswith(("http://", "https://")):
        raise InputError(f"the server's address must begin with http:// or https://, not {shown!r}")
    parts = _split(address)
    is_printable = address.isprintable() and " " not in address
    if parts is None or not parts.hostname or not is_printable or max(map(len, parts.hostname.split("."))) > _LABEL:
        raise InputError(f"{shown!r} is not the address of a server; one looks like http://localhost:8000/v1")


def show_address(address: str) -> str:
    """An address for people to read, without any user, password or key in it."""
    address = _SECRET.sub(r"\1…", address)
    if "@" not in address:
        return address
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address.rpartition("@")[2]
    place, slash, path = rest.partition("/")
    # A password may contain a slash that somebody forgot to encode.
    if "@" in path and "@" not in place:
        place, slash, path = rest.rpartition("@")[2].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def hide_in(text: str) -> str:
    """A text with every address in it made safe to note or show."""
    return _SECRET.sub(r"\1…", _ADDRESS.sub(lambda found: show_address(found[0]), text))


def hide_passwords(noted: Any) -> Any:
    """A text, or tables and lists of texts, with every address in it made safe to note or show."""
    if isinstance(noted, str):
        return hide_in(noted)
    if isinstance(noted, Mapping):
        return {key: hide_passwords(value) for key, value in noted.items()}
    return [hide_passwords(value) for value in noted] if isinstance(noted, list | tuple) else noted


def secrets_of(address: str) -> list[str]:
    """The password in an address, if it has one, as it is written and decoded."""
    parts = _split(address)
    written = parts.password if parts is not None else None
    return [written, unquote(written)] if written else []


def host_of(address: str) -> str:
    """The host of an address, in lower case."""
    parts = _split(address)
    return (parts.hostname if parts is not None else None) or ""


def is_loopback(address: str) -> bool:
    """Whether requests to an address stay on this machine."""
    host = host_of(address).rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    return parts
