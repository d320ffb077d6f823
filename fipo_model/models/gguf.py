"""The GGUF format, as far as it is needed without numpy: reading a file's header, and writing an adapter.

llama.cpp reads and computes with such files itself. The format's own package brings 80 MB with it, and takes seconds to
read a vocabulary; see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md for the format, of version 3.
"""

import math
import mmap
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, overload

from fipo_model.errors import ModelError

Value = bool | int | float | str | Sequence["Value"]
NumberFormat = Literal["F32", "F16", "BF16"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
# The numbers that the format gives to the types of values.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_FLOAT, _STRING, _ARRAY = 6, 8, 9
_FORMATS: dict[NumberFormat, int] = {"F32": 0, "F16": 1, "BF16": 30}


@dataclass(frozen=True, slots=True)
class Header:
    """The part before the weights."""

    metadata: Mapping[str, Value]
    shapes: Mapping[str, tuple[int, ...]]
    """Of the tensors, in numpy's order: (rows, columns)."""

    @property
    def architecture(self) -> str:
        """What kind of model it is, such as "llama" or "qwen2"."""
        return str(self.metadata.get("general.architecture", "unknown"))

    def number(self, name: str) -> int | None:
        """An integer that belongs to the architecture, such as "context_length"."""
        found = self.metadata.get(f"{self.architecture}.{name}")
        return found if isinstance(found, int) else None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A matrix as it lies in a file, row by row."""

    shape: tuple[int, int]
    format: NumberFormat
    data: bytes


class Texts(Sequence[str]):
    """Many texts as they lie in a file; each is decoded when it is asked for."""

    def __init__(self, content: bytes, ends: "array[int]") -> None:
        self._content = content
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]  # raises IndexError, and counts from the end
        begin = self._ends[place - 1] if place else 0
        return self._content[begin + 8 : self._ends[place]].decode("utf-8", "replace")


def read_header(file: Path) -> Header:
    """A file's header. Raises `ModelError` for a damaged file, or one that is not GGUF."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(content).header()
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, KeyError, struct.error) as error:
        raise ModelError(f"{file} is damaged, or not a GGUF file ({error}). Fetch or copy it again.") from error


class _Reader:
    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._place = 0

    def header(self) -> Header:
        if self._content[:4] != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        self._place = 4
        (version,) = self._take("I")
        if version not in _VERSIONS:
            raise ValueError(f"it is of version {version}")
        tensors, values = self._take("QQ")
        metadata = {self._text(): self._value(*self._take("I")) for _ in range(values)}
        shapes = {}
        for _ in range(tensors):
            name, (dimensions,) = self._text(), self._take("I")
            shapes[name] = tuple(reversed(self._take(f"{dimensions}Q")))
            self._take("IQ")  # its number format, and where it lies
        return Header(metadata, shapes)

    def _take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(f"<{form}", self._content, self._place)
        self._place += struct.calcsize(f"<{form}")
        return found

    def _text(self) -> str:
        (length,) = self._take("Q")
        start, self._place = self._place, self._place + length
        if self._place > len(self._content):
            raise ValueError("it ends too early")
        return self._content[start : self._place].decode("utf-8", "replace")

    def _texts(self, count: int) -> "Texts":
        """A vocabulary and its merges are hundreds of thousands of texts, so every name is looked up once."""
        content, begin, unpack = self._content, self._place, struct.Struct("<Q").unpack_from
        place, ends = begin, array("Q")
        for _ in range(count):
            place += 8 + unpack(content, place)[0]
            ends.append(place - begin)
        if place > len(content):
            raise ValueError("it ends too early")
        self._place = place
        return Texts(content[begin:place], ends)

    def _value(self, kind: int) -> Value:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._take(_SCALARS[kind])[0]
        inner, count = self._take("I")[0], self._take("Q")[0]
        if count > len(self._content):
            raise ValueError("it ends too early")
        if inner == _STRING:
            return self._texts(count)
        if inner == _ARRAY:
            return [self._value(inner) for _ in range(count)]
        return list(self._take(f"{count}{_SCALARS[inner]}"))


def write_adapter(file: BinaryIO, *, architecture: str, alpha: float, tensors: Mapping[str, Tensor]) -> None:
    """Write a LoRA adapter as llama.cpp reads one."""
    texts = {"general.type": "adapter", "general.architecture": architecture, "adapter.type": "lora"}
    file.write(_MAGIC + struct.pack("<IQQ", _VERSIONS[-1], len(tensors), len(texts) + 1))
    for key, text in texts.items():
        file.write(_packed(key) + struct.pack("<I", _STRING) + _packed(text))
    file.write(_packed("adapter.lora.alpha") + struct.pack("<If", _FLOAT, alpha))
    place = 0
    for name, tensor in tensors.items():
        rows, columns = tensor.shape
        file.write(_packed(name) + struct.pack("<IQQIQ", 2, columns, rows, _FORMATS[tensor.format], place))
        place += _aligned(len(tensor.data))
    for part in (b"\0" * (_aligned(file.tell()) - file.tell()), *_padded(tensors)):
        file.write(part)


def _padded(tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    return (tensor.data.ljust(_aligned(len(tensor.data)), b"\0") for tensor in tensors.values())


def _packed(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _aligned(size: int) -> int:
    return math.ceil(size / _ALIGNMENT) * _ALIGNMENT
