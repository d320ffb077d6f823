"""Permissions that count for the tests, too, where root runs them."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_capabilities = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's capabilities")


@contextmanager
def without_roots_powers() -> Iterator[None]:
    """As one of many users, for whom permissions count (Linux, for this thread); nothing where that is so anyway."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    # Effective, permitted and inheritable, of the capabilities 0 to 31 and of the others.
    before, within = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    within[:] = before[:]
    within[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, within) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
