"""The basis of every job that can be interrupted and resumed.

- A *claim* on its output, for as long as it runs: a second process is told at once who is there.
- A *note* of its settings, written before the first result: whoever resumes it with others is shown the difference.
- *Ledgers*: files of one JSON object a line, to which finished items are added batch by batch.

A job whose output is a directory keeps all of that in it; one that writes a file OUT keeps its note in OUT.work/.
"""

from fipo_model.jobs.job import SETTINGS, Job, claimed_directory, claimed_file, is_vacant
from fipo_model.jobs.ledger import append, completed, finished_rows
from fipo_model.jobs.settings import differences

__all__ = [
    "SETTINGS",
    "Job",
    "append",
    "claimed_directory",
    "claimed_file",
    "completed",
    "differences",
    "finished_rows",
    "is_vacant",
]
