"""Rewrites that outlive a process: a file of JSON lines, to read, to review, to edit and to keep under version control.

A row is found by the request it was made from, so it applies whenever the same request comes again, and to no other. It
says who proposed the text, on which evidence, and whether it was approved or rejected. Rows are only added, and the
last row of a prompt counts. The `text` is used as it is, so you may edit it.
"""

from fipo_model.store.entries import STATES, Entry, State, key_of
from fipo_model.store.rewrites import RewriteStore

__all__ = ["STATES", "Entry", "RewriteStore", "State", "key_of"]
