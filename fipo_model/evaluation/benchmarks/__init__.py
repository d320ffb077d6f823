"""Task accuracy on the paper's five benchmarks (arXiv 2402.11811), scored by lm-evaluation-harness.

Questions come from JSONL files or the hub (`questions`, `hub`), are asked with in-context examples, and are scored one
by one (`scoring`), so that the naive and the rewritten side can be compared row by row. The tasks are the YAML files in
`fipo_model/evaluation/tasks`, which lm-eval's own command takes too (`standalone`). `scoring` is imported by name,
because it brings torch and lm-eval.
"""

from fipo_model.evaluation.benchmarks.cards import BENCHMARKS, BenchmarkName
from fipo_model.evaluation.benchmarks.questions import choose, leaks, load_questions, naive_prompt
from fipo_model.evaluation.benchmarks.rows import Question

__all__ = [
    "BENCHMARKS",
    "BenchmarkName",
    "Question",
    "choose",
    "leaks",
    "load_questions",
    "naive_prompt",
]
