"""How a result came about: what a reader needs to reproduce it, or to know why they cannot."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fipo_model.addresses import hide_passwords
from fipo_model.evaluation.results import Hardware, Made

_PACKAGES = ("fipo", "torch", "transformers", "peft", "lm-eval", "scipy")


def describe_run(
    settings: Mapping[str, Any],
    *,
    seed: int,
    started: datetime,
    seconds: float,
    more_packages: Sequence[str] = (),
) -> Made:
    """The settings of a run with the versions, commit and hardware it had.

    `started` is in UTC. Versions are those of what every evaluation uses and of `more_packages`, as far as installed.
    """
    return Made(
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(seconds, 1),
        commit=_find_commit(),
        versions={"python": platform.python_version(), **_find_versions((*_PACKAGES, *more_packages))},
        hardware=_find_hardware(),
        seed=seed,
        settings=hide_passwords(settings),
    )


def _find_hardware() -> Hardware:
    return Hardware(cpu=_name_cpu(), cores=os.cpu_count(), gpu=_name_gpu())


def _name_gpu() -> str | None:
    """The GPU that torch sees; None without torch, whose models then run on the CPU."""
    if find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _find_versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _find_commit() -> str | None:
    """The commit of the checkout FIPO runs from, marked if files were changed; None where it is installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--match="],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def _name_cpu() -> str:
    """The processor's name; a general one where the system does not report it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
