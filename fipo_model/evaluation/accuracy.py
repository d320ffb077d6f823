"""The benchmarks' part of an evaluation: questions rewritten, answered and compared row by row."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from fipo_model.backends.transformers.model import LoadedModel
from fipo_model.data.records import Record
from fipo_model.errors import explain_missing
from fipo_model.evaluation import statistics
from fipo_model.evaluation.benchmarks import (
    BENCHMARKS,
    BenchmarkName,
    Question,
    choose,
    leaks,
    load_questions,
    naive_prompt,
)
from fipo_model.evaluation.benchmarks.scoring import Scoring, score, test_model
from fipo_model.evaluation.results import BenchmarkAccuracy
from fipo_model.evaluation.settings import BenchmarkSettings, ServerSettings
from fipo_model.evaluation.systems import System
from fipo_model.jobs import completed
from fipo_model.models.names import Server, resolve, resolve_local

with explain_missing("eval", "lm_eval"):
    from lm_eval.api.model import LM

# Questions answered between two writes to disk, which takes minutes on a CPU. lm-eval needs about a second to set up
# each run.
_AT_ONCE = 20

_TestModel = tuple[str, str | ServerSettings]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One benchmark's rows, and a system's rewrites of them."""

    benchmark: BenchmarkName
    examples: Sequence[Question]
    scored: Mapping[str, Question]
    level: str
    texts: Mapping[str, str]
    description: str = ""

    def asks_otherwise(self, other: "_Asked", key: str) -> bool:
        """Whether a question or its description differs from the original."""
        return self.texts[key] != other.texts[key] or self.description != other.description

    def count_leaks(self) -> int:
        """How many questions give their answer away."""
        return sum(leaks(question, question.question, self.texts[key]) for key, question in self.scored.items())


class Benchmarks:
    """Accuracies of naive and of optimized questions, kept in `folder` as they come."""

    def __init__(self, settings: BenchmarkSettings, folder: Path, seed: int) -> None:
        self.settings = settings
        self.folder = folder
        self.seed = seed
        self._models: dict[str, LM] = {}
        self._chosen = {name: self._choose(name) for name in settings.names}

    def _choose(self, benchmark: BenchmarkName) -> tuple[Sequence[Question], dict[str, Question]]:
        questions = load_questions(benchmark, self.settings.path)
        examples, scored = choose(
            questions, shots=BENCHMARKS[benchmark].shots, limit=self.settings.limit, seed=self.seed
        )
        return examples, {question.id: question for question in scored}

    def accuracies(self, system: System, test_models: Mapping[str, str]) -> Iterator[BenchmarkAccuracy]:
        """One for each benchmark, level, scoring and test model, those of servers included."""
        servers = {server.name: server for server in self.settings.servers}
        models: dict[str, str | ServerSettings] = {**test_models, **servers}
        for benchmark, level in product(self.settings.names, self.settings.levels):
            rewritten, outcomes = self._rewritten(system, benchmark, level)
            for model, scoring in product(models.items(), self._scorings(benchmark)):
                yield self._compared(system, rewritten, outcomes, model, scoring)

    def _scorings(self, benchmark: BenchmarkName) -> list[Scoring]:
        # GSM8K has no choices: its answers are generated, whatever the scoring.
        return self.settings.scorings[:1] if benchmark == "gsm8k" else self.settings.scorings

    def _rewritten(self, system: System, benchmark: BenchmarkName, level: str) -> tuple[_Asked, dict[str, int]]:
        scored = self._chosen[benchmark][1]
        naive = self._naive(benchmark, level)
        if level == "task":
            record = Record(id=benchmark, instruction=naive.description)
            done = completed(self._file("rewrites", benchmark, level, system.name), {benchmark: record}, system.rewrite)
            asked = replace(naive, description=done[benchmark]["text"])
        else:
            records = {key: _record_of(question) for key, question in scored.items()}
            done = completed(self._file("rewrites", benchmark, level, system.name), records, system.rewrite)
            asked = replace(naive, texts={key: fields["text"] for key, fields in done.items()})
        return asked, dict(Counter(fields["outcome"] for fields in done.values()).most_common())

    def _naive(self, benchmark: BenchmarkName, level: str) -> _Asked:
        examples, scored = self._chosen[benchmark]
        return _Asked(
            benchmark=benchmark,
            examples=examples,
            scored=scored,
            level=level,
            texts={key: question.question for key, question in scored.items()},
            description=BENCHMARKS[benchmark].instruction if level == "task" else "",
        )

    def _compared(
        self, system: System, rewritten: _Asked, outcomes: Mapping[str, int], model: _TestModel, scoring: Scoring
    ) -> BenchmarkAccuracy:
        as_it_was = self._naive(rewritten.benchmark, rewritten.level)
        naive = self._answered("naive", as_it_was, model, scoring)
        # A question that was left alone is answered as before.
        changed = {key: rewritten.scored[key] for key in rewritten.scored if rewritten.asks_otherwise(as_it_was, key)}
        optimized = naive | self._answered(system.name, replace(rewritten, scored=changed), model, scoring)
        rows = len(naive)
        gained = sum(optimized[key] and not naive[key] for key in naive)
        lost = sum(naive[key] and not optimized[key] for key in naive)
        return BenchmarkAccuracy(
            system=system.name,
            benchmark=rewritten.benchmark,
            level=rewritten.level,
            scoring=scoring,
            test_model=model[0],
            rows=rows,
            naive=statistics.share(sum(naive.values()), rows),
            optimized=statistics.share(sum(optimized.values()), rows),
            difference=statistics.share_difference(gained, lost, rows),
            outcomes=outcomes,
            leaks=rewritten.count_leaks(),
        )

    def _answered(self, name: str, asked: _Asked, model: _TestModel, scoring: Scoring) -> dict[str, bool]:
        """Whether each question is answered correctly."""

        def compute(batch: Sequence[Question]) -> list[dict[str, Any]]:
            texts = [asked.texts[question.id] for question in batch]
            correct = score(
                self._model(*model),
                batch,
                texts=texts,
                examples=asked.examples,
                scoring=scoring,
                description=asked.description,
            )
            return [{"correct": right} for right in correct]

        file = self._file("answers", asked.benchmark, asked.level, scoring, model[0], name)
        done = completed(file, asked.scored, compute, at_once=_AT_ONCE)
        return {key: fields["correct"] for key, fields in done.items()}

    def _model(self, name: str, source: str | ServerSettings) -> LM:
        if name not in self._models:
            self._models[name] = _open(source)
        return self._models[name]

    def _file(self, *parts: str) -> Path:
        *folders, last = (part.replace("/", "_") for part in parts)
        return self.folder.joinpath("benchmarks", *folders, f"{last}.jsonl")


def _open(source: str | ServerSettings) -> LM:
    """The model that answers; one in this process shares its weights with other users."""
    if isinstance(source, ServerSettings):
        return test_model(source)
    found = resolve(source, role=None)
    if isinstance(found, Server):
        return test_model(ServerSettings(base_url=found.base_url, name=found.name))
    found = resolve_local(source, role=None)
    return test_model(LoadedModel.from_pretrained(found.base, adapter=found.adapter))


def _record_of(question: Question) -> Record:
    request = naive_prompt(question)
    return Record(id=question.id, instruction=request.instruction, context=request.context)
