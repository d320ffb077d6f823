"""Rewrites that outlive a process: a file of JSON lines, to read, to review, to edit and to keep under version control.

A row is found by what it was made from, so that it holds wherever the same text comes again, and for nothing else. It
says who proposed the text and on which evidence, and whether somebody approved or rejected it. Rows are only ever
added, and the last one of a prompt counts. What stands under `text` is used as it is: whoever edits it has the last
word.
"""

from fipo_model.store.entries import STATES, Entry, State, key_of
from fipo_model.store.rewrites import RewriteStore

__all__ = ["STATES", "Entry", "RewriteStore", "State", "key_of"]
