"""Preference data (the paper's POP): records, where they are read from, and what training makes of them."""

from fipo_model.data.diversify import Diversification, TrainingRow, diversify, parse_training_row
from fipo_model.data.hub import open_records, read_hub_records
from fipo_model.data.records import Format, Record, parse_record, read_records
from fipo_model.data.stats import FileStats, file_stats

__all__ = [
    "Diversification",
    "FileStats",
    "Format",
    "Record",
    "TrainingRow",
    "diversify",
    "file_stats",
    "open_records",
    "parse_record",
    "parse_training_row",
    "read_hub_records",
    "read_records",
]
