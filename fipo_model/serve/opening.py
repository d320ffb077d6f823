"""From what somebody calls an upstream to one that can be asked."""

from fipo_model.backends.opening import open_generator
from fipo_model.serve.local import LocalUpstream
from fipo_model.serve.remote import RemoteUpstream
from fipo_model.serve.settings import Limits
from fipo_model.serve.upstream import Upstream


def open_upstream(spec: str, limits: Limits) -> Upstream:
    """A server for an address, and for any other spec a model of this machine.

    Raises `InputError` for an address that is none, and what `open_generator` raises for a model.
    """
    if spec.startswith(("http://", "https://")):
        return RemoteUpstream(spec, limits=limits)
    return LocalUpstream(open_generator(spec, role=None))
