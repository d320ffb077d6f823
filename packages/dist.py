"""Build the wheels and sdists of fipo and langchain-fipo, check them, and use them in bare environments.

    python packages/dist.py [PYTHON ...]

Each PYTHON (by default python3.11, python3.12 and python3.13) gets an environment with nothing but the wheels and the
extra `cpu`. There everything that imports cheaply is imported, and `fipo --version` runs; where llama.cpp's copy of the
default weights is in the cache (`FIPO_CACHE`), one prompt is rewritten, too. An interpreter that is not here, and a
rewrite that was not tried, are named.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13")
LARGEST_MB = 100
"""What the public package index takes of one file, unless asked for more."""
IMPORTS = "import fipo_model, fipo_model.cli, fipo_model.search, langchain_fipo; print('imports work')"
IS_CACHED = (
    "from fipo_model.models import registry, weights;"
    "raise SystemExit(not weights.gguf_directory(registry.DEFAULT).is_dir())"
)


def run(*command: str | Path, **environment: str) -> None:
    """Run a command; it ends this one if it fails."""
    subprocess.run([*map(str, command)], check=True, cwd=ROOT, env=os.environ | environment)


def distributions(out: Path) -> list[Path]:
    """The wheels and sdists in a folder; whatever else somebody keeps there is theirs."""
    return sorted(file for pattern in ("*.whl", "*.tar.gz") for file in out.glob(pattern) if file.is_file())


def delete_old(out: Path) -> None:
    """Delete what an earlier build left."""
    for old in distributions(out):
        old.unlink()


def build(out: Path) -> list[Path]:
    """Build both distributions, and check what they say of themselves and their sizes."""
    delete_old(out)
    for source in (ROOT, ROOT / "packages" / "langchain-fipo"):
        run(sys.executable, "-m", "build", "--outdir", out, source)
    files = distributions(out)
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    for file in files:
        megabytes = file.stat().st_size / 1e6
        print(f"{file.name}: {megabytes:.1f} MB")
        if megabytes > LARGEST_MB:
            sys.exit(f"{file.name} is larger than the {LARGEST_MB} MB that the package index takes")
    return [file for file in files if file.suffix == ".whl"]


def version_of(python: str) -> str | None:
    """The version of an interpreter; None where it is not here."""
    try:
        done = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def use(wheels: list[Path], python: str, folder: Path) -> None:
    """Install the wheels into an environment of their own, away from the sources, and use them."""
    run(python, "-m", "venv", folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    extras = [f"{wheel}[cpu]" if wheel.name.startswith("fipo-") else str(wheel) for wheel in wheels]
    run(programs / "python", "-m", "pip", "install", "--quiet", *extras)
    away = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
    run(programs / "python", "-c", IMPORTS, **away)
    run(programs / "fipo", "--version", **away)
    is_cached = subprocess.run([programs / "python", "-c", IS_CACHED], env=os.environ | away, check=False)
    if is_cached.returncode == 0:
        run(programs / "fipo", "optimize", "Tell me about photography techniques.", **away)
    else:
        print("no rewrite was tried: llama.cpp's copy of the default weights is not in the cache")


def main() -> None:
    wheels = build(ROOT / "dist")
    tried = []
    for python in sys.argv[1:] or PYTHONS:
        if (version := version_of(python)) is None:
            print(f"{python} is not here: not tried")
            continue
        print(f"== {version}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            use(wheels, python, Path(folder) / "bare")
        tried.append(version)
    if not tried:
        sys.exit("no interpreter was found, so no wheel was tried")
    print(f"the wheels work in {', '.join(tried)}")


if __name__ == "__main__":
    main()
