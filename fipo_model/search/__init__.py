"""A better wording on evidence: try other texts in a program, and keep one only if its lead is too large to be luck.

The program is a `Subject`: a prompt with a model (`PromptOptimizer.search`), a chain, a DSPy program. A `Search`
measures it as it is and has a `Proposer` write other texts. It halves these on paired examples within a budget, and
records every measurement in a journal.
"""

from fipo_model.search.asking import Part, Question, ask, replies_needed, requests_needed
from fipo_model.search.budget import Budget, Limit, Price, say_limit
from fipo_model.search.comparing import HeldOut
from fipo_model.search.evidence import Interval, chance, fewest_pairs, mean, paired_interval
from fipo_model.search.examples import Example, own_inputs, read_examples, to_show
from fipo_model.search.explaining import notes_on_answers, rights_of
from fipo_model.search.failing import failure
from fipo_model.search.halving import Rules, cost, evenly, schedule
from fipo_model.search.headroom import Headroom, measure_headroom
from fipo_model.search.identity import digest_of, digest_of_data, state_of, without_credentials
from fipo_model.search.journal import Journal, opened_journal
from fipo_model.search.metrics import Judgement, Metric, as_metric, judgement, read_json, text_of
from fipo_model.search.proposals import Proposals, Proposed, Proposer, Seen
from fipo_model.search.proposing import RewriterProposer, said_of
from fipo_model.search.reporting import write_report
from fipo_model.search.results import Attempt, Changed, Compared, Level, SearchResult
from fipo_model.search.scoreboard import Scoreboard, Trial
from fipo_model.search.scoring import PromptScore, PromptScores
from fipo_model.search.searching import Search, UnmeasurableError
from fipo_model.search.settings import Effort, SearchSettings, check_number
from fipo_model.search.splitting import split
from fipo_model.search.subject import Failed, Measured, Measurement, Note, Run, Subject, digest
from fipo_model.search.words import say_compared, sentences

__all__ = [
    "Attempt",
    "Budget",
    "Changed",
    "Compared",
    "Effort",
    "Example",
    "Failed",
    "Headroom",
    "HeldOut",
    "Interval",
    "Journal",
    "Judgement",
    "Level",
    "Limit",
    "Measured",
    "Measurement",
    "Metric",
    "Note",
    "Part",
    "Price",
    "PromptScore",
    "PromptScores",
    "Proposals",
    "Proposed",
    "Proposer",
    "Question",
    "RewriterProposer",
    "Rules",
    "Run",
    "Scoreboard",
    "Search",
    "SearchResult",
    "SearchSettings",
    "Seen",
    "Subject",
    "Trial",
    "UnmeasurableError",
    "as_metric",
    "ask",
    "chance",
    "check_number",
    "cost",
    "digest",
    "digest_of",
    "digest_of_data",
    "evenly",
    "failure",
    "fewest_pairs",
    "judgement",
    "mean",
    "measure_headroom",
    "notes_on_answers",
    "opened_journal",
    "own_inputs",
    "paired_interval",
    "read_examples",
    "read_json",
    "replies_needed",
    "requests_needed",
    "rights_of",
    "said_of",
    "say_compared",
    "say_limit",
    "schedule",
    "sentences",
    "split",
    "state_of",
    "text_of",
    "to_show",
    "without_credentials",
    "write_report",
]
