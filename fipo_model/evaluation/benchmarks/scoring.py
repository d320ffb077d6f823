"""Which questions a model answers correctly, by lm-evaluation-harness."""

import io
import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

from fipo_model.backends.transformers.cpu import mirror_linear_layers
from fipo_model.backends.transformers.loading import best_device, load_base
from fipo_model.backends.transformers.model import LoadedModel
from fipo_model.errors import InputError, ServerError, explain_missing
from fipo_model.evaluation.benchmarks.rows import Question
from fipo_model.evaluation.settings import ServerSettings

with explain_missing("eval", "lm_eval", "datasets", "aiohttp", "tenacity"):
    from datasets import Dataset
    from lm_eval.api.model import LM, TemplateLM
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    from lm_eval.tasks.manager import load_yaml

Scoring = Literal["likelihood", "letter"]

FIGURES: dict[Scoring, str] = {"likelihood": "acc_norm", "letter": "acc"}
"""The figure of lm-eval's that says whether a choice was right.

`likelihood`: the choice whose text is likeliest for its length in characters. Plain likelihood prefers short choices,
and this is what PIQA is usually reported in. `letter`, the paper's way: the likeliest letter; all are of one length.
Generated answers have `exact_match`.
"""

_GENERATED = "exact_match"
_TASKS = Path(__file__).parents[1] / "tasks"
# Logits are as wide as the vocabulary for every token of the prompt: on a CPU a batch brings no speed and costs memory.
_CPU_BATCH = 1
_GPU_BATCH = 8
# Generating is another matter: a token for eight rows takes a CPU little longer than one for a single row.
_GENERATED_BATCH = 8


class _Model(HFLM):
    """lm-eval's model, with its own batch size for answers that are generated."""

    batch_size_per_gpu: int

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        own, self.batch_size_per_gpu = self.batch_size_per_gpu, _GENERATED_BATCH
        try:
            answers: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
        finally:
            self.batch_size_per_gpu = own
        return answers


def test_model(spec: str | Path | LoadedModel | ServerSettings) -> LM:
    """The model that answers: a directory, a hub id, a model in memory, or a server.

    Raises `ModelError` for a model that cannot be loaded, `ServerError` for a server's tokenizer that cannot.
    """
    with _quiet():
        if isinstance(spec, ServerSettings):
            return _server(spec)
        if isinstance(spec, LoadedModel):
            model, tokenizer = spec.model, spec.tokenizer
        else:
            # Not as a generator, which insists on a chat template: a base model has none and can be tested.
            model, tokenizer = load_base(str(spec), best_device(), load_in_4bit=False)
            mirror_linear_layers(model)
        batch_size = _CPU_BATCH if model.device.type == "cpu" else _GPU_BATCH
        # In bf16, log-probabilities have three digits, and choices would tie.
        return _Model(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, softmax_dtype="float32")


def score(
    lm: LM,
    scored: Sequence[Question],
    *,
    texts: Sequence[str],
    examples: Sequence[Question],
    scoring: Scoring,
    description: str = "",
) -> list[bool]:
    """Whether the model answers each question correctly, in order, with `texts` in place of the questions.

    Options, passages and the examples stay as they are. A question is shown the examples of its own group, or, where
    there are none, the first ones of all. The `description` stands before everything; where the model's tokenizer has a
    chat template, it is the system message and the rest one user turn. Decoding is greedy and examples come in order,
    so that no seed matters, and none is set.

    Raises `InputError` before anything is computed if a prompt does not fit into the model's context, an example is
    also scored, or the lengths differ; `ServerError` for a server that fails.
    """
    _check(scored, texts, examples, scoring)
    if not scored:
        return []
    chat = getattr(getattr(lm, "tokenizer", None), "chat_template", None) is not None
    with _quiet():
        tasks = _tasks(scored, as_docs(scored, texts, description), examples, scoring)
        _refuse_too_long(lm, tasks, chat)
        try:
            results = evaluate(
                lm=lm, task_dict=tasks, bootstrap_iters=0, apply_chat_template=chat, fewshot_as_multiturn=False
            )
        except Exception as error:
            if not isinstance(lm, LocalCompletionsAPI):
                raise
            raise ServerError(f"the test model's server failed: {type(error).__name__}: {error}") from error
    samples = chain.from_iterable(results["samples"].values())
    correct = {sample["doc"]["place"]: _is_correct(sample, scoring) for sample in samples}
    return [correct[place] for place in range(len(scored))]


def _is_correct(sample: Mapping[str, Any], scoring: Scoring) -> bool:
    return any(sample.get(figure) == 1 for figure in (FIGURES[scoring], _GENERATED))


def task_name(question: Question, scoring: Scoring) -> str:
    """The task, a YAML file's name, that asks this question."""
    if question.benchmark == "gsm8k":
        return "fipo_gsm8k"
    return f"fipo_{question.benchmark}_{'generated' if question.choices is None else scoring}"


def as_docs(questions: Sequence[Question], texts: Sequence[str], description: str = "") -> list[dict[str, Any]]:
    """Questions as the tasks take them. `place` leads back from a result to its row."""
    docs = []
    for place, (question, text) in enumerate(zip(questions, texts, strict=True)):
        doc = {
            "id": question.id,
            "place": place,
            "description": description,
            "context": question.context or "",
            "question": text,
            "choices": list(question.choices or ()),
            "answer": question.answer,
            "rationale": question.rationale or "",
        }
        docs.append(doc)
    return docs


def _tasks(
    scored: Sequence[Question], docs: list[dict[str, Any]], examples: Sequence[Question], scoring: Scoring
) -> dict[str, ConfigurableTask]:
    """One task for each group and way of asking, since a task has one list of examples."""
    rows: defaultdict[tuple[str, str | None], list[dict[str, Any]]] = defaultdict(list)
    for question, doc in zip(scored, docs, strict=True):
        rows[task_name(question, scoring), question.group].append(doc)
    built = {}
    for (name, group), own in rows.items():
        candidates = [example for example in examples if task_name(example, scoring) == name]
        shots = max(Counter(example.group for example in candidates).values(), default=0)
        shown = [example for example in candidates if example.group == group] or candidates[:shots]
        splits = {"test": Dataset.from_list(own)}
        splits["examples"] = Dataset.from_list(as_docs(shown, [example.question for example in shown]))
        config = load_yaml(_TASKS / f"{name}.yaml", resolve_func=False)
        own_name = f"{name}_{group}" if group else name
        config |= {"task": own_name, "num_fewshot": len(shown), "custom_dataset": _Splits(splits), "dataset_kwargs": {}}
        built[own_name] = ConfigurableTask(config=config)
        built[own_name].set_fewshot_seed(0)
    return built


class _Splits:
    """Data in memory, called in place of lm-eval's loading function and with its metadata."""

    def __init__(self, splits: dict[str, Dataset]) -> None:
        self._splits = splits

    def __call__(self, **metadata: object) -> dict[str, Dataset]:
        return self._splits


def _check(scored: Sequence[Question], texts: Sequence[str], examples: Sequence[Question], scoring: Scoring) -> None:
    if scoring not in get_args(Scoring):
        raise InputError(f"scoring must be one of {', '.join(get_args(Scoring))}, not {scoring!r}")
    if len(scored) != len(texts):
        raise InputError(f"there are {len(scored)} questions, but {len(texts)} texts to ask them with")
    if both := {question.id for question in scored} & {example.id for example in examples}:
        raise InputError(f"the row {min(both)} is an in-context example and cannot be scored too")
    if empty := [question.id for question, text in zip(scored, texts, strict=True) if not text.strip()]:
        raise InputError(f"the text for the row {empty[0]} is empty")


def _refuse_too_long(lm: LM, tasks: dict[str, ConfigurableTask], chat: bool) -> None:
    """lm-eval would cut a prompt from the left: the instruction and the examples would be lost."""
    if not isinstance(lm, TemplateLM):
        return
    for task in tasks.values():
        template = lm.apply_chat_template if chat else None
        task.build_all_requests(apply_chat_template=chat, chat_template=template)
        for instance in task.instances:
            context, continuation = instance.args
            if isinstance(continuation, str):
                tokens = len(lm.tok_encode(context + continuation))
            else:
                tokens = len(lm.tok_encode(context)) + int(continuation["max_gen_toks"])
            if tokens > lm.max_length:
                raise InputError(
                    f"the question {instance.doc['id']} with its examples and the room for the answer needs {tokens} "
                    f"tokens, but the test model's context holds {lm.max_length}. Use fewer examples or another model."
                )


def _server(spec: ServerSettings) -> LM:
    try:
        return LocalCompletionsAPI(
            base_url=f"{spec.base_url.rstrip('/')}/completions",
            model=spec.name,
            tokenizer=spec.tokenizer or spec.name,
            tokenizer_backend="huggingface",
            max_length=spec.context,
        )
    except Exception as error:  # transformers may raise anything, depending on the tokenizer's files
        raise ServerError(
            f"cannot load the tokenizer {spec.tokenizer or spec.name!r}, which shows where the answer "
            f"begins in a server's reply. Name a directory or hub id. ({type(error).__name__}: {error})"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of lm-eval's on stdout, none of its notes below errors, and its progress bars only on a terminal."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    held = io.StringIO()
    shown = sys.stderr if sys.stderr.isatty() else held
    try:
        with redirect_stdout(shown), redirect_stderr(shown):
            yield
    finally:
        logger.setLevel(level)
        # A bar is redrawn by going back to the beginning of its line.
        for line in held.getvalue().split("\n"):
            if line.strip() and "\r" not in line:
                sys.stderr.write(f"{line}\n")
