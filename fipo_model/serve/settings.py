"""The settings of a gateway."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, get_args

from fipo_model.addresses import is_loopback
from fipo_model.errors import InputError

Role = Literal["system", "user"]
"""Whose text is rewritten: the system's (or developer's) message, or the last of the user's."""

ROLES: tuple[Role, ...] = get_args(Role)

Log = Literal["nothing", "requests", "prompts"]
LOGS: tuple[Log, ...] = get_args(Log)

_SHORTEST_TOKEN = 16
# Characters of a text that is rewritten. Documents rather than prompts are longer; it also bounds what is remembered.
LONGEST = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one client may ask for. Sizes are in bytes, times in seconds."""

    body: int = 16 * 2**20
    page_body: int = 2**20
    """For the page's own requests."""
    header: int = 32 * 2**10
    header_time: float = 10.0
    """From a connection's beginning, or a request's, to the end of its headers."""
    body_time: float = 60.0
    connections: int = 1100
    reply_time: float = 600.0
    """Between two pieces of what the upstream replies."""
    stopping_time: float = 30.0
    """How long streams may go on once the gateway is to stop."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where a gateway listens, what it rewrites, and for whom."""

    _: KW_ONLY
    host: str = "127.0.0.1"
    port: int = 8300
    roles: tuple[Role, ...] = ("system",)
    deadline: float | None = 10.0
    """Seconds that a request waits for a rewrite; None for as long as it takes."""
    token: str | None = None
    log: Log = "requests"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if unknown := [role for role in self.roles if role not in ROLES]:
            raise InputError(f"there is no role {unknown[0]!r}; the roles are {', '.join(ROLES)}")
        if self.log not in LOGS:
            raise InputError(f"there is no log {self.log!r}; it can be {', '.join(LOGS)}")
        if self.token is not None and (len(self.token) < _SHORTEST_TOKEN or not _is_plain(self.token)):
            raise InputError(f"a token must have at least {_SHORTEST_TOKEN} letters, digits and signs, and no spaces")
        if self.token is None and not is_loopback(f"http://{in_address(self.host)}"):
            raise InputError(
                f"{self.host} can be reached from other machines, so clients need a token: put one in FIPO_TOKEN. "
                "They send it in the header x-fipo-token."
            )
        # An unspecified address is this machine to whoever calls it, and every interface to whoever listens on it.
        if self.token is None and self.host in ("", "0.0.0.0", "::"):
            raise InputError(f"{self.host or 'no host'} is every interface, so clients need a token: set FIPO_TOKEN")


def in_address(host: str) -> str:
    """A host as an address has it: numbers of IP version 6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
