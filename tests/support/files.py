"""Files of rows, as the tests of data and of bulk work write and read them."""

import json
from pathlib import Path
from typing import Any

from fipo_model.jsonl import encode_object

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"  # beside the checkout, where there is one


def write(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    path.write_bytes(b"".join(line + b"\n" if isinstance(line, bytes) else encode_object(line) for line in lines))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
