"""Preference data (the paper's POP): records, where they are read from, and what training makes of them."""

from fipo_model.data.diversify import Diversification, TrainingRow, diversify
from fipo_model.data.records import Record, read_records

__all__ = ["Diversification", "Record", "TrainingRow", "diversify", "read_records"]
