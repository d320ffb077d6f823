"""The data of the tasks in `fipo_model/evaluation/tasks` when lm-eval's own command runs them.

    lm_eval run --model hf --model_args pretrained=DIR --apply_chat_template --fewshot_as_multiturn false \
        --include_path fipo_model/evaluation/tasks --tasks fipo_piqa_likelihood --metadata '{"source": "DIR"}'

The metadata may have `source` (a directory of JSONL files; without it the hub), `limit`, `seed`, and `group`, a task of
BBH or a subject of MMLU: there the examples come from one group, so this runs one group at a time.
"""

from typing import Any

from fipo_model.errors import InputError, explain_missing
from fipo_model.evaluation.benchmarks.cards import BENCHMARKS
from fipo_model.evaluation.benchmarks.questions import choose, load_questions
from fipo_model.evaluation.benchmarks.scoring import Scoring, as_docs, task_name

with explain_missing("eval", "datasets"):
    from datasets import Dataset


def dataset(**metadata: Any) -> dict[str, Dataset]:
    """What lm-eval calls: the splits `examples` and `test`, with naive questions and the naive instruction.

    lm-eval also passes its own metadata, which is ignored. Raises `InputError` as `load_questions` and
    `choose` do, and where no row belongs to the task.
    """
    card, task = BENCHMARKS[metadata["benchmark"]], metadata["name"]
    scoring: Scoring = "letter" if task.endswith("letter") else "likelihood"
    group = metadata.get("group")
    if group is None and card.has_groups:
        raise InputError(f'{task} is run one group at a time: --metadata \'{{"group": "..."}}\'')
    of_benchmark = load_questions(card.name, metadata.get("source"))
    of_group = [question for question in of_benchmark if group in (None, question.group)]
    questions = [question for question in of_group if task_name(question, scoring) == task]
    examples, scored = choose(questions, shots=card.shots, limit=metadata.get("limit"), seed=metadata.get("seed", 0))
    texts = [question.question for question in scored]
    return {
        "examples": Dataset.from_list(as_docs(examples, [question.question for question in examples])),
        "test": Dataset.from_list(as_docs(scored, texts, card.instruction)),
    }
