"""A gateway's counts, for Prometheus. Labels come from closed lists: no path, prompt or key is among them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fipo_model.errors import explain_missing

with explain_missing("serve", "prometheus_client"):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counts of one gateway."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter("fipo_requests", "Requests under /v1, by status.", ["status"], registry=own)
        self.outcomes = Counter("fipo_outcomes", "Texts, by what happened to them.", ["role", "outcome"], registry=own)
        self.in_flight = Gauge("fipo_in_flight", "Requests that are being answered.", registry=own)
        self.abandoned = Counter("fipo_abandoned", "Requests whose client went away.", registry=own)
        self.upstream_failures = Counter("fipo_upstream_failures", "Replies the upstream did not finish.", registry=own)
        self.store_failures = Counter("fipo_store_failures", "Rewrites that could not be stored.", registry=own)
        self.lost_lines = Gauge("fipo_lost_log_lines", "Lines that could not be written to stderr.", registry=own)
        self.preparing = Histogram(
            "fipo_preparing_seconds",
            "Seconds from receiving a chat to sending it upstream.",
            registry=own,
            buckets=_SECONDS,
        )
        self._waiting = Gauge("fipo_waiting", "Requests that are waiting for a rewrite.", registry=own)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for a rewrite."""
        with self._waiting.track_inprogress():
            yield

    def render(self) -> bytes:
        """The counts in Prometheus's text format."""
        return bytes(generate_latest(self._registry))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started
