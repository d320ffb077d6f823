"""The page at `/`, and the small JSON API that it uses."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fipo_model import fidelity
from fipo_model.errors import FipoError, InputError, MissingExtraError, explain_missing
from fipo_model.export import SUFFIXES, Rewrite, Wishes, export
from fipo_model.rewriter import Rewriter
from fipo_model.serve.guarding import Refusal, read_body
from fipo_model.serve.keeping import counted, deciding, listed, save, store_of, stored
from fipo_model.serve.proposing import (
    MOST_EXAMPLES,
    examples_in,
    marks,
    proposals,
    read_request,
    shown,
    text_in,
)
from fipo_model.serve.rewriting import Rewriting
from fipo_model.serve.sending import messages, values_in, variable_names
from fipo_model.serve.settings import Limits, Role
from fipo_model.templates import FIPO_1
from fipo_model.types import Candidate, OptimizationRequest

with explain_missing("serve", "starlette"):
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

_JS = "text/javascript; charset=utf-8"


_FOLDER = files("fipo_model.serve").joinpath("page")


def _read(name: str) -> str:
    return _FOLDER.joinpath(name).read_text("utf-8")


# The page has its styles in it: a browser shows nothing before it has them, and asking again takes time.
_STYLES = _read("page.css")
_DIGEST = base64.b64encode(hashlib.sha256(_STYLES.encode()).digest()).decode()
_PAGE = _read("index.html").replace('<link rel="stylesheet" href="/page.css">', f"<style>{_STYLES}</style>")
_FILES = {
    "/": (_PAGE, "text/html; charset=utf-8"),
    **{f"/{file.name}": (_read(file.name), _JS) for file in _FOLDER.iterdir() if file.name.endswith(".js")},
    "/icon.svg": (_read("icon.svg"), "image/svg+xml"),
}
PATHS = frozenset(_FILES)
_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src 'self'; style-src 'sha256-{_DIGEST}'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}

Fields = Mapping[str, Any]
Answer = Callable[[Fields], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAPI:
    """Answers the page's requests."""

    rewriting: Rewriting
    upstream_name: str
    roles: tuple[Role, ...]
    limits: Limits

    def routes(self) -> list[Route]:
        """The page's files and its API."""
        answers: dict[str, Answer] = {
            "commitments": self._commitments,
            "propose": self._propose,
            "check": self._check,
            "messages": self._messages,
            "save": self._save,
            "decide": self._decide,
            "export": self._export,
        }
        return [
            *(Route(path, _file(content, kind)) for path, (content, kind) in _FILES.items()),
            Route("/api/state", self._state),
            Route("/api/rewrites", self._rewrites),
            *(Route(f"/api/{name}", self._reading(answer), methods=["POST"]) for name, answer in answers.items()),
        ]

    def _reading(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """For handlers: reads JSON, and reports in words what is wrong with it."""

        async def endpoint(request: Request) -> Response:
            try:
                return await answer(await self._fields(request))
            except InputError as error:
                return _objection(422, str(error))
            except Refusal as refusal:
                return _objection(refusal.status, str(refusal))

        return endpoint

    async def _fields(self, request: Request) -> Fields:
        # Other sites can send forms and plain text without asking first, but no JSON.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "the body must be application/json")
        body = await read_body(
            request.scope, request.receive, limit=self.limits.page_body, seconds=self.limits.body_time
        )
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "the body is not JSON") from error
        if not isinstance(fields, dict):
            raise Refusal(400, "the body is not a JSON object")
        return fields

    async def _state(self, _: Request) -> Response:
        store, optimizer = self.rewriting.store, self.rewriting.optimizer
        return _json(
            {
                "upstream": self.upstream_name,
                "rewriter": None if optimizer is None else optimizer.rewriter.name,
                "roles": list(self.roles),
                "store": None if store is None or store.is_frozen else str(store.path),
                "has_store": store is not None,
                "examples": MOST_EXAMPLES,
            }
        )

    async def _rewrites(self, _: Request) -> Response:
        return _json(await asyncio.to_thread(listed, self.rewriting.store))

    async def _commitments(self, fields: Fields) -> Response:
        text = text_in(fields, "text")
        OptimizationRequest(text)  # says what is wrong with it
        found = await asyncio.to_thread(marks, text)
        known = await asyncio.to_thread(stored, self.rewriting.store, text)
        return _json({"commitments": found, "variables": variable_names(text), "stored": known})

    async def _messages(self, fields: Fields) -> Response:
        text, values = text_in(fields, "input"), values_in(fields)
        texts = {name: text_in(fields, name) for name in ("before", "after")}
        return _json({name: messages(each, text, values=values, roles=self.roles) for name, each in texts.items()})

    async def _propose(self, fields: Fields) -> Response:
        if self.rewriting.optimizer is None:
            raise InputError("this gateway uses only the rewrites in its store, so nothing is proposed")
        request = read_request(fields)
        return StreamingResponse(
            _lines(self.rewriting.optimizer.rewriter, request), media_type="application/x-ndjson", headers=_HEADERS
        )

    async def _check(self, fields: Fields) -> Response:
        request, text = read_request(fields), text_in(fields, "text")
        OptimizationRequest(text)
        found = await asyncio.to_thread(lambda: shown(self._judged(text, request), request))
        names = {"variables": variable_names(text), "prompt_variables": variable_names(request.instruction)}
        return _json(found | names)

    async def _save(self, fields: Fields) -> Response:
        store = store_of(self.rewriting)
        request, text, said = read_request(fields), text_in(fields, "text"), counted(fields)
        OptimizationRequest(text)
        verdict = await asyncio.to_thread(self._judged, text, request)
        before = await asyncio.to_thread(stored, store, request.instruction)
        await self._write(lambda: save(store, request, text, verdict=verdict, counted=said))
        now = await asyncio.to_thread(stored, store, request.instruction)
        return _json({"store": str(store.path), "before": before, "stored": now})

    async def _decide(self, fields: Fields) -> Response:
        await self._write(deciding(store_of(self.rewriting), fields))
        return _json({})

    async def _write(self, work: Callable[[], object]) -> None:
        if reason := await self.rewriting.write(store_of(self.rewriting), work):
            raise Refusal(507, f"Nothing was saved: {reason}")

    async def _export(self, fields: Fields) -> Response:
        request, text = read_request(fields), text_in(fields, "text")
        OptimizationRequest(text)
        form = next((each for each in SUFFIXES if each == fields.get("form")), None)
        if form is None:
            raise InputError(f"form must be one of {', '.join(SUFFIXES)}")
        rewrite = Rewrite(naive=request.instruction, text=text)
        wishes = Wishes(examples=examples_in(fields))
        try:
            content = await asyncio.to_thread(export, [rewrite], form, wishes)
        except MissingExtraError as error:
            raise InputError(str(error)) from error
        return _json({"name": f"{rewrite.name}{SUFFIXES[form]}", "content": content})

    def _judged(self, text: str, request: OptimizationRequest) -> Candidate:
        optimizer = self.rewriting.optimizer
        if optimizer is not None:
            return optimizer.rewriter.check(text, request)
        return fidelity.check(text, request, fidelity.FidelitySettings(), FIPO_1)


def _file(content: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return endpoint


async def _lines(rewriter: Rewriter, request: OptimizationRequest) -> AsyncIterator[bytes]:
    """One JSON object for each proposal, and one with `end` or `error` at the end."""
    try:
        async with aclosing(proposals(rewriter, request)) as found:
            async for proposal in found:
                yield _line(proposal)
    except FipoError as error:
        yield _line({"error": str(error)})
    except Exception as error:  # noqa: BLE001 - a stranger's model
        yield _line({"error": f"the rewriter failed ({type(error).__name__})"})
    else:
        yield _line({"end": True})


def _line(fields: Fields) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _json(fields: Fields, status: int = 200) -> Response:
    return JSONResponse(fields, status_code=status, headers=_HEADERS)


def _objection(status: int, message: str) -> Response:
    return _json({"error": message}, status)
