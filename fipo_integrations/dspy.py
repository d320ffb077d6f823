"""FIPO as a DSPy optimizer: `FIPO().compile(program)` rewrites the instructions of a program's predictors."""

import functools
import inspect
import logging
import re
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args, get_origin

from fipo_model import OptimizationRequest, OptimizedPrompt, PromptOptimizer
from fipo_model.errors import InputError, explain_missing

with explain_missing("dspy", "dspy"):
    import dspy
    from dspy.adapters.utils import get_annotation_name
    from dspy.evaluate import Evaluate
    from dspy.teleprompt.teleprompt import Teleprompter

logger = logging.getLogger("fipo.dspy")

# Predictors whose instructions are a protocol between DSPy's own code and the model (tools, code fences, SUBMIT), by
# the class that owns them. Losing a word of it breaks the program. What an agent extracts its answer with is not here.
_PROTOCOLS = {
    "ReAct": ("react",),
    "ReActV2": ("react",),
    "CodeAct": ("codeact",),
    "ProgramOfThought": ("code_generate", "code_regenerate", "generate_output"),
    "RLM": ("generate_action",),
}
_PROTOCOL_OUTPUTS = frozenset({"next_tool_name", "next_tool_args", "tool_calls"})  # whatever the owner is called
_NAME_IN_BACKTICKS = re.compile(r"(?<!`)`([A-Za-z_]\w*)`(?!`)")
_LOADING = threading.Lock()  # one for all, because a FIPO that holds a lock could not be copied


class FIPO(Teleprompter):
    """Rewrites the instructions of a DSPy program with a local model, in one batch, and changes nothing else.

    The rewriter sees each predictor's instruction and, as context, its fields with their types and descriptions. An
    instruction DSPy made up itself ("Given the fields `x`, produce the fields `y`.") is sent as well: the context says
    what there is to know, and a rewrite is turned down unless it still names those fields. Texts that carry an agent's
    protocol are not sent (outcome "protected"), and a rewrite that names a field the signature does not have is not
    used ("field_invented"). DSPy hides the predictors of sub-modules that are compiled already; they stay as they are.

    Without a `metric` this needs no examples and no call of the program. With one, the original and the rewritten
    program are evaluated on `valset`, or else on `trainset`, under the language model in use. The original instructions
    stay at an equal score, or if more examples fail. (DSPy runs an example that takes longer than two minutes a second
    time; `num_threads=1` avoids that.)

    The compiled program has `fipo_report`, plain data: "predictors" lists what became of each instruction, "scores"
    what was measured. With a metric it also has `score` and `candidate_programs`, as DSPy's own optimizers attach them,
    unless it uses those names itself.
    """

    def __init__(
        self,
        *,
        optimizer: PromptOptimizer | None = None,
        metric: Callable[..., Any] | None = None,
        num_threads: int | None = None,
        predictors: Collection[str] | None = None,
        display_progress: bool = False,
    ) -> None:
        """Without `optimizer`, the first `compile` that needs one loads `PromptOptimizer.from_pretrained()`.

        `metric(example, prediction)` returns a number, higher is better. `predictors` names the predictors to rewrite
        as `program.named_predictors()` does; by default all of them.
        """
        super().__init__()
        if isinstance(predictors, str):
            raise InputError(f"predictors must be a collection of names, such as [{predictors!r}], not one text")
        self.optimizer = optimizer
        self.metric = metric
        self.num_threads = num_threads
        self.predictors = None if predictors is None else list(predictors)
        self.display_progress = display_progress
        self.callbacks: list[Any] = []
        self._loaded = optimizer

    def get_params(self) -> dict[str, Any]:
        """The constructor's arguments as data for a log, with names for the model and the metric."""
        return {
            "optimizer": None if self.optimizer is None else self.optimizer.generator.name,
            "metric": None if self.metric is None else getattr(self.metric, "__name__", type(self.metric).__name__),
            "num_threads": self.num_threads,
            "predictors": self.predictors,
            "display_progress": self.display_progress,
        }

    def compile(  # type: ignore[override]  # DSPy passes what is named here; `**kwargs` would swallow misspellings
        self,
        student: dspy.Module,
        *,
        trainset: Sequence[dspy.Example] | None = None,
        teacher: dspy.Module | None = None,
        valset: Sequence[dspy.Example] | None = None,
    ) -> dspy.Module:
        """A copy of `student` with rewritten instructions; `student` itself stays as it is.

        The examples are used only with a metric; `teacher` belongs to DSPy's protocol and is not used.
        """
        devset = list(valset or trainset or ())
        if self.metric is not None and not devset:
            raise InputError("a metric needs examples to be measured on: pass valset=[...] or trainset=[...]")
        rewritten = _copy(student)
        rows = self._rewrite(rewritten)
        for row in rows:
            logger.info("%s: %s%s", row.name, row.outcome, row.detail and f" ({row.detail})")
        if self.metric is not None:
            return self._gate(student, rewritten, rows=rows, devset=devset)
        _attach(rewritten, "fipo_report", self._report(rows, scores=None))
        return rewritten

    def _rewrite(self, program: Any) -> list["_Row"]:
        """Give the program's predictors new instructions, all asked for in one batch; one row for each predictor."""
        chosen, protected = self._chosen(program), _protocol_predictors(program)
        rows: dict[str, _Row] = {}
        requests: dict[str, OptimizationRequest] = {}
        for name, predictor in chosen.items():
            naive = predictor.signature.instructions
            rows[name] = _Row(name=name, naive=naive, text=naive, outcome="protected")
            if id(predictor) in protected:
                continue
            try:
                requests[name] = OptimizationRequest(naive, context=_describe_fields(predictor.signature))
            except InputError as error:
                rows[name] = replace(rows[name], outcome="unusable", detail=str(error))
        results = self._ready().optimize_each(list(requests.values())) if requests else []
        for name, result in zip(requests, results, strict=True):
            signature = chosen[name].signature
            rows[name] = _settle(rows[name], signature, result)
            if rows[name].outcome == "optimized":
                # A new class: assigning to `signature.instructions` would change every program that shares it.
                chosen[name].signature = signature.with_instructions(rows[name].text)
        return list(rows.values())

    def _chosen(self, program: Any) -> dict[str, Any]:
        named = dict(program.named_predictors())
        if missing := [name for name in self.predictors or () if name not in named]:
            known = ", ".join(map(repr, named)) or "none"
            raise InputError(f"the program has no predictor {missing[0]!r} that may be rewritten; it has {known}")
        return {name: p for name, p in named.items() if self.predictors is None or name in self.predictors}

    def _ready(self) -> PromptOptimizer:
        with _LOADING:
            if self._loaded is None:
                self._loaded = PromptOptimizer.from_pretrained()
            return self._loaded

    def _gate(
        self, student: dspy.Module, rewritten: dspy.Module, *, rows: list["_Row"], devset: list[dspy.Example]
    ) -> dspy.Module:
        """The rewritten program if the metric prefers it, else a copy of the student; what was measured is attached."""
        programs, objection = {"student": _copy(student)}, ""
        scores = {"student": self._evaluate(programs["student"], devset)}
        if any(row.outcome == "optimized" for row in rows):
            programs["rewritten"] = _copy(rewritten)
            try:
                scores["rewritten"] = self._evaluate(programs["rewritten"], devset)
                objection = _objection(**scores)
            except InputError as error:
                objection = f"the rewritten program: {error}"
        if objection:
            logger.warning("the original instructions stay: %s", objection)
            lost = {"outcome": "not_preferred", "detail": objection}
            rows = [replace(row, text=row.naive, **lost) if row.outcome == "optimized" else row for row in rows]
        kept = "rewritten" if "rewritten" in scores and not objection else "student"
        program = rewritten if kept == "rewritten" else _copy(student)
        _attach(program, "fipo_report", self._report(rows, scores={**scores, "kept": kept}))
        _attach(program, "score", scores[kept]["score"])
        ranked = sorted(scores, key=lambda name: scores[name]["score"], reverse=True)  # at a tie the student is first
        _attach(program, "candidate_programs", [{"program": programs[name], **scores[name]} for name in ranked])
        return program

    def _evaluate(self, program: dspy.Module, devset: list[dspy.Example]) -> dict[str, Any]:
        """Measure a program; where DSPy reports a zero although nothing was measured, raise `InputError` instead."""
        metric, errors = _noting_errors(self.metric)
        evaluate = Evaluate(
            devset=devset, metric=metric, num_threads=self.num_threads, display_progress=self.display_progress
        )
        try:
            result = evaluate(program, callback_metadata={"metric_key": "eval_full"})
        except Exception as error:
            if type(error) is not Exception:  # the bare class is how DSPy says that settings.max_errors was reached
                raise
            raise InputError(f"too many examples failed; {_first_cause(errors)}") from error
        failed = sum(isinstance(prediction, dspy.Prediction) and not prediction for _, prediction, _ in result.results)
        if failed == len(devset):
            raise InputError(f"all {failed} examples failed; {_first_cause(errors)}")
        if failed:
            logger.warning("%d of %d examples failed and count as 0; %s", failed, len(devset), _first_cause(errors))
        return {"score": float(result.score), "failed": failed, "examples": len(devset)}

    def _report(self, rows: list["_Row"], *, scores: dict[str, Any] | None) -> dict[str, Any]:
        model = None if self._loaded is None else self._loaded.generator.name
        return {"model": model, "predictors": [asdict(row) for row in rows], "scores": scores}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What became of one predictor's instruction; as a dict, an entry of `fipo_report["predictors"]`."""

    name: str
    naive: str
    text: str
    outcome: str
    detail: str = ""
    rewrite: str = ""  # what the model proposed, used or not


def _settle(row: _Row, signature: type[dspy.Signature], result: OptimizedPrompt | InputError) -> _Row:
    """The row with the rewriter's result in it, checked against the signature."""
    if isinstance(result, InputError):
        return replace(row, outcome="unusable", detail=str(result))
    proposed = next((c.text for c in result.candidates if c.outcome == result.outcome), "")
    row = replace(row, outcome=result.outcome, detail=result.detail, rewrite=proposed)
    types = [field.annotation for field in signature.fields.values()]
    values = {value for literal in types if get_origin(literal) is Literal for value in get_args(literal)}
    known = {*signature.fields, *values, *_NAME_IN_BACKTICKS.findall(row.naive)}
    if invented := [name for name in _NAME_IN_BACKTICKS.findall(result.text) if name not in known]:
        return replace(row, outcome="field_invented", detail=f"names {invented[0]!r}, which is not a field")
    return replace(row, text=inspect.cleandoc(result.text))  # as DSPy will show it


def _describe_fields(signature: type[dspy.Signature]) -> str:
    """What the signature says about its fields, as text for the rewriter."""
    lines = []
    for title, fields in (("Input fields", signature.input_fields), ("Output fields", signature.output_fields)):
        lines.append(f"{title}:")
        for name, field in fields.items():
            extra: Any = field.json_schema_extra
            absent = (None, "", f"${{{name}}}")  # the last is DSPy's, where the user described nothing
            notes = [str(extra[key]) for key in ("desc", "constraints") if extra.get(key) not in absent]
            lines.append(": ".join([f"- `{name}` ({get_annotation_name(field.annotation)})", *notes]))
    return "\n".join(lines)


def _protocol_predictors(program: Any) -> set[int]:
    """The ids of the predictors whose instructions are an agent's protocol."""
    protected = {id(p) for p in program.predictors() if not _PROTOCOL_OUTPUTS.isdisjoint(p.signature.output_fields)}
    for _, module in program.named_sub_modules(type_=dspy.Module):
        parts = {part for owner in type(module).__mro__ for part in _PROTOCOLS.get(owner.__name__, ())}
        protected |= {id(p) for name, p in module.named_predictors() if name.split(".")[0] in parts}
    return protected


def _copy(program: dspy.Module) -> dspy.Module:
    """A deep copy that shares its language models with the original, without what an earlier optimizer attached."""
    models = {name: predictor.lm for name, predictor in program.named_predictors()}
    copy: dspy.Module = program.deepcopy()
    for name, predictor in copy.named_predictors():
        predictor.lm = models.get(name, predictor.lm)
    own = vars(copy)
    own.pop("fipo_report", None)
    # Numbers about other instructions; and candidates with candidates of their own would double at every compile.
    if isinstance(earlier := own.get("candidate_programs"), list) and all(isinstance(c, dict) for c in earlier):
        del own["candidate_programs"]
        if isinstance(own.get("score"), int | float):
            del own["score"]
    return copy


def _attach(program: dspy.Module, name: str, value: object) -> None:
    """Set an attribute, unless the program has one of its own by that name: a predictor may well be called `score`."""
    if name in vars(program) or hasattr(type(program), name):
        logger.warning("the program has a %r of its own, which stays; the scores are in its fipo_report", name)
    else:
        setattr(program, name, value)


def _objection(*, student: dict[str, Any], rewritten: dict[str, Any]) -> str:
    """Why the rewritten program may not take the student's place; empty if it may."""
    # A failed example counts as 0, which is the best there is for a metric of penalties.
    if rewritten["score"] > student["score"] and rewritten["failed"] <= student["failed"]:
        return ""
    got = "the {} program got {score} with {failed} of {examples} examples failed".format
    return f"{got('rewritten', **rewritten)}, {got('original', **student)}"


def _noting_errors(metric: Any) -> tuple[Callable[..., Any], list[Exception]]:
    """The metric, and a list into which it puts what it raises: DSPy only logs it."""
    errors: list[Exception] = []

    @functools.wraps(metric)
    def noting(example: dspy.Example, prediction: Any) -> Any:
        try:
            return metric(example, prediction)
        except Exception as error:
            errors.append(error)
            raise

    return noting, errors


def _first_cause(errors: list[Exception]) -> str:
    if errors:
        return f"the metric raised {type(errors[0]).__name__}: {errors[0]}"
    return "the program raised, see the log of dspy (is a language model set, do the examples have with_inputs(...)?)"
