"""The addresses of the review page. It shows values and logs none of them."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.errors import Coded, LeaseLost, UsageError, VinbatchError
from pipeline.records import Decision, Ruling
from pipeline.review import pages
from pipeline.review.access import COOKIE, Access, Session, same_key
from pipeline.review.desk import Desk

_LOG = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_LONGEST_BODY = 256 * 1024
_ENTRANCE = ("/enter", "/static/")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # what was read from documents is not for the browser's disk
}


def application(desk: Desk, access: Access) -> ASGIApp:
    """The whole of it. `desk` knows the store, `access` the people."""
    routes = _Routes(desk, access)
    app = Starlette(
        routes=[
            Route("/", routes.jobs),
            Route("/enter", routes.enter, methods=["GET", "POST"]),
            Route("/leave", routes.leave, methods=["POST"]),
            Route("/jobs/{job:int}", routes.queue),
            Route("/jobs/{job:int}/next", routes.next),
            Route("/documents/{document:int}", routes.document),
            Route("/documents/{document:int}/pages/{page:int}.png", routes.picture),
            Route("/documents/{document:int}/decide", routes.decide, methods=["POST"]),
            Route("/documents/{document:int}/undo", routes.undo, methods=["POST"]),
            Route("/documents/{document:int}/renew", routes.renew, methods=["POST"]),
            Route("/documents/{document:int}/release", routes.release, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]
    )
    return _Guard(app, access)


class _Guard:
    """Before anything is answered: our name, a person, a bound on what is sent. After it: the headers.

    An error that nobody foresaw is told by its type and place alone: its message may hold a value.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def with_headers(message: Any) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                given = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *given]}
            await send(message)

        answer = self._refused(Request(scope))
        try:
            await (answer or self._app)(scope, receive, with_headers)
        except Exception as error:  # noqa: BLE001  its message may hold a value, and is not logged
            where = traceback.extract_tb(error.__traceback__)[-1]
            _LOG.error("%s at %s:%s", type(error).__name__, Path(where.filename).name, where.lineno)
            if not began:
                await pages.problem("This should not have happened.", 500)(scope, receive, with_headers)

    def _refused(self, request: Request) -> Response | None:
        if not self._access.knows_host(request.headers.get("host")):
            return Response("this is not the address of this page", 421)
        if not request.headers.get("content-length", "0").isdecimal():
            return Response("bad request", 400)
        if int(request.headers.get("content-length", "0")) > _LONGEST_BODY:
            return Response("too much", 413)
        if "transfer-encoding" in request.headers:
            return Response("say how long it is", 411)
        session = self._access.session(request.cookies.get(COOKIE))
        if session is None:
            if request.url.path.startswith(_ENTRANCE) or "token" in request.query_params:
                return None
            return RedirectResponse("/enter", 303) if request.method == "GET" else Response("who?", 401)
        request.scope["session"] = session
        writes = request.method not in ("GET", "HEAD") and request.url.path != "/enter"
        if writes and not same_key(session, request.headers.get("x-key")):
            return Response("this did not come from the page itself", 403)
        return None


def _session(request: Request) -> Session:
    return cast(Session, request.scope["session"])


class _Routes:
    def __init__(self, desk: Desk, access: Access) -> None:
        self._desk, self._access = desk, access

    # coming and going

    async def enter(self, request: Request) -> Response:
        if request.method == "GET":
            return pages.entrance(refused=False)
        sent = parse_qs((await request.body()).decode("utf-8", "replace"))
        return await run_in_threadpool(self._enter, next(iter(sent.get("token", [""]))), "/")

    def _enter(self, token: str, to: str) -> Response:
        found = self._access.enter(token.strip())
        if found is None:
            self._desk.store.audit.note("nobody", "refused")
            return pages.entrance(refused=True)
        cookie, session = found
        self._desk.store.audit.note(session.person.name, "came", detail=session.person.role)
        answer = RedirectResponse(to, 303)
        answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", path="/")
        return answer

    def leave(self, request: Request) -> Response:
        self._access.leave(request.cookies.get(COOKIE))
        return JSONResponse({"to": "/enter"})

    # looking

    def jobs(self, request: Request) -> Response:
        if (token := request.query_params.get("token")) is not None:
            return self._enter(token, "/")
        found = self._desk.jobs()
        if len(found) == 1:
            return RedirectResponse(f"/jobs/{found[0].id}", 303)
        return pages.jobs(_session(request), found)

    def queue(self, request: Request) -> Response:
        job = self._desk.job(request.path_params["job"])
        kind = request.query_params.get("kind", "doubtful")
        if job is None or kind not in pages.KINDS:
            return pages.problem("There is no such job.", 404)
        search = request.query_params.get("search", "").strip()
        entries = self._desk.entries(job, kind, search)
        counts = self._desk.store.books.counts(job)
        ended = "end" in request.query_params
        return pages.queue(_session(request), job, entries, kind, search, counts, ended=ended)

    def next(self, request: Request) -> Response:
        job = self._desk.job(request.path_params["job"])
        if job is None:
            return pages.problem("There is no such job.", 404)
        session = _session(request)
        again = "again" in request.query_params
        found = self._desk.next(job, session.person, session.key, again=again)
        return RedirectResponse(f"/documents/{found}" if found else f"/jobs/{job.id}?end=1", 303)

    def document(self, request: Request) -> Response:
        session, id = _session(request), request.path_params["document"]
        try:
            opened = self._desk.open(id, session.person, session.key)
        except UsageError as error:
            return pages.problem(error.message, 404)
        return pages.document(session, opened)

    def picture(self, request: Request) -> Response:
        try:
            data = self._desk.picture(request.path_params["document"], request.path_params["page"])
        except VinbatchError as error:
            status = 503 if isinstance(error, Coded) else 404
            return JSONResponse({"error": error.message}, status)
        return Response(data, media_type="image/png")

    # deciding

    async def decide(self, request: Request) -> Response:
        return await self._change(request, self._decide)

    async def undo(self, request: Request) -> Response:
        return await self._change(request, self._undo)

    async def renew(self, request: Request) -> Response:
        return await self._change(request, self._renew)

    async def release(self, request: Request) -> Response:
        return await self._change(request, self._release)

    async def _change(
        self, request: Request, change: Callable[[int, Session, Mapping[str, Any]], Response]
    ) -> Response:
        session = _session(request)
        if not session.person.may_decide:
            return JSONResponse({"error": "you may look, not decide"}, 403)
        try:
            sent = json.loads(await request.body())
            if not isinstance(sent, dict):
                raise ValueError
            return await run_in_threadpool(change, request.path_params["document"], session, sent)
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "this is no decision"}, 400)
        except LeaseLost:
            message = "Người khác đang xem tài liệu này. · Somebody else has this document now."
            return JSONResponse({"error": message}, 409)
        except VinbatchError as error:
            return JSONResponse({"error": error.message}, 422)

    def _decide(self, document: int, session: Session, sent: Mapping[str, Any]) -> Response:
        made = [_decision(item, session.person.name) for item in sent["decisions"]]
        self._desk.decide(document, made, str(sent["claim"]))
        return self._sheet(document, session)

    def _undo(self, document: int, session: Session, sent: Mapping[str, Any]) -> Response:
        ids = [int(id) for id in sent["ids"]] if "ids" in sent else None
        field = self._desk.undo(document, session.person.name, str(sent["claim"]), ids)
        return self._sheet(document, session, field)

    def _renew(self, document: int, session: Session, sent: Mapping[str, Any]) -> Response:  # noqa: ARG002
        if not self._desk.store.claims.renew(document, str(sent["claim"])):
            raise LeaseLost("")
        return JSONResponse({})

    def _release(self, document: int, session: Session, sent: Mapping[str, Any]) -> Response:  # noqa: ARG002
        self._desk.store.claims.release(document, str(sent["claim"]))
        return JSONResponse({})

    def _sheet(self, document: int, session: Session, field: str | None = None) -> Response:
        return JSONResponse(pages.fragment(session, self._desk.shown(document), field))


def _decision(sent: Mapping[str, Any], by: str) -> Decision:
    """Raises ValueError or KeyError for what is none."""
    field, ruling, raw = sent["field"], sent["ruling"], sent.get("raw")
    if ruling not in get_args(Ruling) or not isinstance(field, str | None) or not isinstance(raw, str | None):
        raise ValueError
    return Decision(field, ruling, by, raw)


__all__ = ["application"]
