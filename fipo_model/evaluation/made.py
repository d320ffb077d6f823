"""How a result came about: what somebody needs to get it again, or to know why they do not."""

import os
import platform
import subprocess
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fipo_model.errors import explain_missing
from fipo_model.evaluation.settings import EvaluationSettings

with explain_missing("eval", "torch"):
    import torch

_PACKAGES = ("fipo", "torch", "transformers", "peft", "lm-eval", "scipy")


def how_it_was_made(settings: EvaluationSettings, started: datetime, seconds: float) -> dict[str, Any]:
    """Settings, seed, versions, commit and hardware. `seconds` is what the last start took, not those before it."""
    return {
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(seconds, 1),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "seed": settings.seed,
        "settings": asdict(settings),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
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


def _cpu() -> str:
    """The processor's name; a general one where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
