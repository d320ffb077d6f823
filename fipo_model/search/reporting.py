"""The report of a search as a file, and as a page beside it."""

from pathlib import Path

from fipo_model import jsonl
from fipo_model.errors import InputError
from fipo_model.search.results import SearchResult

REPORT, PAGE = "report.json", "report.html"


def write_report(directory: str | Path, result: SearchResult) -> None:
    """Put the report and its page into a directory; they replace earlier ones as a whole."""
    from fipo_model.search.page import render_page  # Jinja is not needed where nothing is written

    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        jsonl.write_json(folder / REPORT, result.to_fields())
        with jsonl.replacing(folder / PAGE) as file:
            file.write(render_page(result).encode("utf-8", "replace"))
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}") from error
