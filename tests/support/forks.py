"""Processes that fork at a bad moment: while another thread of the parent holds a lock."""

import subprocess
import sys
import textwrap
from pathlib import Path

_SCRIPT = """
import os, signal, sys, threading, warnings

signal.alarm(60)  # whatever hangs ends here
warnings.filterwarnings("ignore", category=DeprecationWarning)  # later Pythons warn of threads at a fork
{setup}
holder = threading.Thread(target={lock}.value.acquire)
holder.start()
holder.join()
child = os.fork()
if child == 0:
    signal.alarm(10)
    {work}
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def fork_while_locked(setup: str, *, lock: str, work: str) -> int:
    """How a child ends that does its work although its parent's lock was held at the fork: 0 is well."""
    script = _SCRIPT.format(setup=textwrap.dedent(setup), lock=lock, work=work)
    return subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False).returncode
