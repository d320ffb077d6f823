"""Iterative preference learning (paper, section 3.3 and algorithm 1).

A round trains one epoch. Between rounds the model rewrites the naive prompts; where the judge, asked in both orders,
prefers a rewrite, it becomes the record's naive prompt, and the model's answer to it becomes the silver response. The
chosen and the rejected rewrite stay. Every stage writes its file as it goes, so an interrupted run resumes within one.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl
from fipo_model.backends.engine import here
from fipo_model.backends.opening import open_generator, open_scorer
from fipo_model.data.hub import open_records
from fipo_model.data.records import Record, read_records
from fipo_model.data.split import is_held_out
from fipo_model.errors import FipoError, InputError, PromptTooLongError, TrainingError
from fipo_model.generation import Generator, Message, Sampling, complete_each
from fipo_model.jsonl import BadRow
from fipo_model.judge import Comparison, Judge, LLMJudge
from fipo_model.likelihood import LikelihoodJudge
from fipo_model.optimizer import PromptOptimizer
from fipo_model.replies import spoken
from fipo_model.rewriter import Rewriter
from fipo_model.templates import find_template
from fipo_model.training.finishing import hand_over, is_finished
from fipo_model.training.preference import train_preference
from fipo_model.training.processes import is_first_process, say
from fipo_model.training.rows import in_words
from fipo_model.training.run import claimed, starting_point
from fipo_model.training.settings import IterativeSettings, PreferenceSettings
from fipo_model.types import OptimizationRequest

# Paper, appendix: answers are sampled with temperature 0.8 and top-p 0.95.
_TEMPERATURE = 0.8
_TOP_P = 0.95
# Pairs the judge is tried on in each round.
_MOST_TRIED = 200


@here()
def train_iterative(settings: IterativeSettings, *, resume: bool = False) -> Path:
    """Train in rounds; gives the directory that `PromptOptimizer.from_pretrained` loads.

    OUTPUT/round-N holds each round's records, rewrites, verdicts, answers and checkpoint, OUTPUT/rounds.jsonl the share
    of prompts that were replaced and how often the judge is right on held-out pairs. `resume` takes an
    interrupted run up. Raises `InputError` for settings that cannot be used, `TrainingError` if the run must stop.
    """
    with claimed(settings, resume=resume) as output:
        return output if is_finished(output) else _train_rounds(settings, output)


def _train_rounds(settings: IterativeSettings, output: Path) -> Path:
    rounds: list[dict[str, Any]] = []
    current = settings
    if settings.judge == "likelihood" and not settings.test_models:
        current = replace(settings, test_models=[str(starting_point(settings).base)])
    _load_judging_models(current)
    trained = output
    for number in range(1, settings.rounds + 1):
        folder = output / f"round-{number}"
        records = folder / "records.jsonl"
        report: dict[str, Any] = {"round": number}
        if not is_first_process():
            _wait_for(records if number == 1 else folder / "report.json")
        elif number == 1:
            _write_once(records, _first_records(settings))
        else:
            before = output / f"round-{number - 1}" / "records.jsonl"
            report |= _Round(current, folder).improve(before, records)
        trained = _train_on(records, current)
        is_full = settings.method == "full"
        current = replace(current, model=str(trained)) if is_full else replace(current, adapter=str(trained))
        rounds.append(report)
        if is_first_process():
            with jsonl.replacing(output / "rounds.jsonl") as file:
                file.writelines(map(jsonl.encode_object, rounds))
    if is_first_process():
        hand_over(trained, output, settings, {"rounds": rounds})
    return output


def _load_judging_models(settings: IterativeSettings) -> None:
    """Loaded now, so that errors show before a round is trained."""
    if settings.rounds > 1 and settings.judge != "self" and is_first_process():
        if settings.judge != "likelihood":
            open_generator(settings.judge, role=None)
        for name in settings.test_models:
            open_scorer(name)


def _train_on(records: Path, settings: IterativeSettings) -> Path:
    """Train one round; if the first one cannot begin, its records, which are quickly made, are removed again."""
    try:
        return train_preference(_of_one_round(settings, records), resume=True)
    except FipoError:
        is_first_round = records.parent.name == "round-1"
        if is_first_process() and is_first_round and jobs.is_vacant(records.parent / "checkpoint"):
            shutil.rmtree(records.parent)
        raise


def _wait_for(file: Path) -> None:
    """For the processes that only train, because rewriting may take longer than a collective operation may wait."""
    while not file.exists():
        time.sleep(1)


def _first_records(settings: IterativeSettings) -> Iterator[Record]:
    """The records that can be used; stages go by their ids, so each id counts once."""
    seen: set[str] = set()
    left_out: dict[str, list[str]] = {}
    records = open_records(settings.data.train, format=settings.data.format)
    for record in records:
        if isinstance(record, BadRow):
            left_out.setdefault(record.reason, []).append(f"line {record.line}")
        elif record.id in seen:
            left_out.setdefault("the id was there before", []).append(record.id)
        elif settings.data.limit is None or len(seen) < settings.data.limit:
            seen.add(record.id)
            yield record
        else:
            break
    if left_out:
        say(f"records left out: {in_words(left_out)}")


def _of_one_round(settings: IterativeSettings, records: Path) -> PreferenceSettings:
    common = {field.name: getattr(settings, field.name) for field in fields(PreferenceSettings)}
    data = replace(settings.data, train=str(records), format="own", iterative=True, limit=None)
    common |= {"output": str(records.with_name("checkpoint")), "data": data}
    return PreferenceSettings(**common)


class _Round:
    """What happens between two rounds of training, with the model that the last one left."""

    def __init__(self, settings: IterativeSettings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder

    def improve(self, before: Path, after: Path) -> dict[str, Any]:
        """Write the records that the next round trains on; returns the key facts about the round."""
        noted = self.folder / "report.json"
        if not noted.exists():
            self.folder.mkdir(exist_ok=True)
            rewriter = self._rewriter()
            judge = self._judge(rewriter)
            records = [record for record in read_records(before) if isinstance(record, Record)]
            parts: dict[bool, list[Record]] = {False: [], True: []}
            for record in records:
                parts[is_held_out(record.id, self.settings.data.held_out, self.settings.seed)].append(record)
            training, held_out = parts.values()
            optimizer = PromptOptimizer.from_rewriter(rewriter)
            rewrites = self._stage("rewrites", training, lambda batch: _rewrite(optimizer, batch))
            candidates = [record for record in training if rewrites[record.id]["outcome"] == "optimized"]
            verdicts = self._stage("verdicts", candidates, lambda batch: _judge(judge, batch, rewrites))
            won = [record for record in candidates if verdicts[record.id]["winner"] == "challenger"]
            answers = self._stage("answers", won, lambda batch: self._answer(rewriter.generator, batch, rewrites))
            _write_once(after, (_replaced(record, rewrites, answers) for record in records))
            accuracy = self._accuracy(judge, held_out)
            report = {"rewritten": len(candidates), "replaced": len(answers), "records": len(training), **accuracy}
            jsonl.write_json(noted, report)
        found: dict[str, Any] = json.loads(noted.read_text(encoding="utf-8"))
        say(f"{self.folder.name}: {found['replaced']} of {found['records']} naive prompts were replaced")
        return found

    def _rewriter(self) -> Rewriter:
        """The model that the last round left."""
        template = find_template(self.settings.template) if self.settings.template else None
        return Rewriter.from_pretrained(
            self.settings.model, adapter=self.settings.adapter, template=template, role=None, seed=self.settings.seed
        )

    def _judge(self, rewriter: Rewriter) -> Judge:
        if self.settings.judge == "self":
            return LLMJudge(rewriter.generator, template=rewriter.template)
        if self.settings.judge != "likelihood":
            other = Rewriter.from_pretrained(self.settings.judge, role=None)
            return LLMJudge(other.generator, template=other.template)
        scorers = [open_scorer(name) for name in self.settings.test_models]
        return LikelihoodJudge(scorers, margin=self.settings.margin)

    def _stage(
        self, name: str, records: list[Record], handle: Callable[[list[Record]], Iterable[dict[str, Any]]]
    ) -> dict[str, dict[str, Any]]:
        """What `handle` says about every record, by id. Results of an earlier run are taken from the file."""
        path = self.folder / f"{name}.jsonl"
        found = jobs.completed(
            path,
            {record.id: record for record in records},
            lambda batch: handle(list(batch)),
            key="id",
            report=lambda done: say(f"{self.folder.name}: {name}: {done} of {len(records)}"),
        )
        path.touch()  # a stage that had nothing to do is done, too
        return found

    def _answer(
        self, generator: Generator, batch: list[Record], rewrites: dict[str, dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        conversations: list[list[Message]] = [
            [{"role": "user", "content": _with_context(rewrites[record.id]["text"], record)}] for record in batch
        ]
        sampling = Sampling(
            max_new_tokens=self.settings.max_new_tokens,
            temperature=_TEMPERATURE,
            top_p=_TOP_P,
            seed=self.settings.seed,
        )
        for answer in complete_each(generator, conversations, sampling):
            said = "" if isinstance(answer, PromptTooLongError) or answer.is_refused else spoken(answer.text)
            yield {"text": said or None}

    def _accuracy(self, judge: Judge, held_out: list[Record]) -> dict[str, Any]:
        """How often the judge prefers the chosen of two held-out rewrites, and how often it cannot tell."""
        pairs = [r for r in held_out if r.chosen is not None and r.rejected is not None][:_MOST_TRIED]
        comparisons = [
            Comparison(request=_request(r), incumbent=r.rejected or "", challenger=r.chosen or "") for r in pairs
        ]
        winners = [verdict.winner for verdict in judge.prefer(comparisons)] if pairs else []
        return {
            "judge_tried_on": len(pairs),
            "judge_right": winners.count("challenger"),
            "judge_undecided": winners.count("tie"),
        }


def _rewrite(optimizer: PromptOptimizer, batch: list[Record]) -> Iterator[dict[str, Any]]:
    # As at inference: nothing but the prompt and its context is shown.
    requests = [OptimizationRequest(record.instruction, context=record.context) for record in batch]
    for result in optimizer.optimize_each(requests):
        if isinstance(result, InputError):
            yield {"text": None, "outcome": "too long for the model", "detail": str(result)}
        else:
            yield {"text": result.text, "outcome": result.outcome, "detail": result.detail}


def _judge(judge: Judge, batch: list[Record], rewrites: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    comparisons = [
        Comparison(request=_request(r), incumbent=r.instruction, challenger=rewrites[r.id]["text"]) for r in batch
    ]
    yield from (asdict(verdict) for verdict in judge.prefer(comparisons))


def _replaced(record: Record, rewrites: dict[str, Any], answers: dict[str, Any]) -> Record:
    if record.id not in answers:
        return record
    answer = answers[record.id]["text"] or record.silver_response
    return replace(record, instruction=rewrites[record.id]["text"], silver_response=answer)


def _request(record: Record) -> OptimizationRequest:
    return OptimizationRequest(record.instruction, context=record.context, golden_response=record.golden_response)


def _with_context(prompt: str, record: Record) -> str:
    return prompt if record.context is None else f"{prompt}\n\n{record.context}"


def _write_once(target: Path, records: Iterable[Record]) -> None:
    """Make a file of records unless it is there; a stop in the middle leaves nothing under its name."""
    if target.exists():
        return
    lines = [jsonl.encode_object(record.to_fields()) for record in records]
    if not lines:
        raise TrainingError("there are no records to train on")
    target.parent.mkdir(parents=True, exist_ok=True)
    with jsonl.replacing(target) as file:
        file.writelines(lines)
