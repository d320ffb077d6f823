"""Many prompts at once: files of rows, on one machine (`files`) or on a cluster (`ray`).

Both use the same two halves (`halves`): what a model is asked about a row, and what becomes of its answer.
"""

from fipo_model.bulk.files import Report, Tally, optimize_file, optimize_stream
from fipo_model.bulk.halves import Halves
from fipo_model.bulk.rows import Row, RowId, read_rows

__all__ = ["Halves", "Report", "Row", "RowId", "Tally", "optimize_file", "optimize_stream", "read_rows"]
