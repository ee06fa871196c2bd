"""Lookups over HTTP: one, many, and one whose answers are told as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from dnsbl.errors import SubjectError
from dnsbl.lookup.each import joined
from dnsbl.model import Verdict
from dnsbl.subject.misread import looks_like_file
from dnsbl.web.cards import card_of, headline
from dnsbl.web.guard import Refusal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from dnsbl.resolver import Resolver
    from dnsbl.web.app import Services

LINES: Final = "application/x-ndjson"
JSON: Final = "application/json"
MAX_SUBJECT: Final = 8_192
BODY_S: Final = 15.0
"""How long a request's body may take to come."""
BYTES_A_SUBJECT: Final = 400
MAX_BODY_BYTES: Final = 4 << 20


def dumped(value: Any) -> bytes:
    """A value as `dnsbl check --json` prints it: one line."""
    return json.dumps(value).encode() + b"\n"


def checked_subject(text: str) -> str:
    """The text, if it can be a subject; raises SubjectError as the command does."""
    if fault := looks_like_file(text):
        raise SubjectError(fault, text)
    return text


def flag(request: Request, name: str, default: bool) -> bool:
    """A flag of the query string; raises Refusal for what is neither true nor false."""
    values = request.query_params.getlist(name)
    if not values:
        return default
    if len(values) > 1 or values[0] not in ("true", "false"):
        raise Refusal(400, f"{name}: {values[0][:40]!r} is not a valid flag: use true or false")
    return values[0] == "true"


class Check:
    """GET /check/SUBJECT, as an ASGI application: the one path that is asked thousands of times a second."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._rendered = resolver.rendered()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        text: str = scope["path_params"]["subject"]
        body, status = None, 200
        if not scope["query_string"]:
            body = self._rendered.get(text)
        if body is None:
            body, status = await self._look_up(text, Request(scope))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % (len(body) + 1))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body + b"\n"})

    async def _look_up(self, text: str, request: Request) -> tuple[bytes, int]:
        explain = flag(request, "explain", False)
        try:
            verdict = await self._resolver.check_async(checked_subject(text))
        except SubjectError as error:
            return json.dumps({"subject": error.text, "error": str(error)}).encode(), 400
        if explain:
            return json.dumps(verdict.to_dict(explain=True)).encode(), 200
        return self._rendered.render(text, verdict), 200


async def check_many(request: Request, services: Services) -> Response:
    """POST /check"""
    ordered, explain = flag(request, "ordered", True), flag(request, "explain", False)
    limit = services.settings.max_subjects
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, "text/plain"):
        raise Refusal(415, 'send application/json, as {"subjects": [...]}, or text/plain, one subject a line')
    body = await read_body(request, min(MAX_BODY_BYTES, limit * BYTES_A_SUBJECT + 1_024))
    subjects = _subjects_of_json(body) if kind == JSON else _subjects_of_text(body)
    if not subjects:
        raise Refusal(400, "names nothing to look up: give at least one subject")
    if len(subjects) > limit:
        raise Refusal(413, f"{len(subjects):,} subjects: give at most {limit:,}, the rest in another request")
    if services.guard is not None:
        services.guard.rates.charge(request.scope["state"]["client"], len(subjects) - 1, monotonic())
    return stream(services, _verdicts(services, subjects, ordered, explain))


async def _verdicts(
    services: Services, subjects: Sequence[str], ordered: bool, explain: bool
) -> AsyncIterator[bytes]:
    faults = [looks_like_file(text) for text in subjects]
    good = [text for text, fault in zip(subjects, faults, strict=True) if not fault]
    async with aclosing(services.resolver.check_many_async(good, ordered=ordered)) as found:  # type: ignore[type-var]
        for text, fault in zip(subjects, faults, strict=True):
            yield dumped({"subject": text, "error": fault}) if fault else _line(await anext(found), explain)


def _line(item: Verdict | SubjectError, explain: bool) -> bytes:
    if isinstance(item, SubjectError):
        return dumped({"subject": item.text, "error": str(item)})
    return dumped(item.to_dict(explain=explain))


def _subjects_of_text(body: bytes) -> list[str]:
    lines = map(str.strip, body.decode("utf-8", "backslashreplace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _subjects_of_json(body: bytes) -> list[str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON") from None
    subjects = value.get("subjects") if isinstance(value, dict) and set(value) == {"subjects"} else None
    if not isinstance(subjects, list) or not all(isinstance(each, str) for each in subjects):
        raise Refusal(400, 'the body is not of the form {"subjects": ["192.0.2.99", "example.com"]}')
    return subjects


async def answers(request: Request, services: Services) -> Response:
    """GET /answers/SUBJECT: a line for each list as it answers, then one for all of them."""
    text: str = request.path_params["subject"]
    try:
        found = services.resolver.check_each_async(checked_subject(text))
        first = await anext(found)
    except SubjectError as error:
        return Response(dumped({"subject": error.text, "error": str(error)}), 400, media_type=JSON)
    return stream(services, _answers(services, first, found))


async def _answers(services: Services, first: Verdict, found: AsyncIterator[Verdict]) -> AsyncIterator[bytes]:
    catalogue, verdicts = services.settings.config.catalogue, [first]
    zones = [zone.name for zone in services.resolver.zones]
    yield _answer(first, catalogue.row(first.answers[0].zone), len(zones))
    async with aclosing(found):  # type: ignore[type-var]
        async for verdict in found:
            verdicts.append(verdict)
            yield _answer(verdict, catalogue.row(verdict.answers[0].zone), len(zones))
    whole = joined(verdicts, zones)
    yield dumped({"verdict": whole.to_dict(), "headline": headline(whole)})


def _answer(verdict: Verdict, row: Any, of: int) -> bytes:
    (answer,) = verdict.answers
    return dumped({"answer": answer.to_dict(), "card": card_of(answer, row).to_dict(), "of": of})


def stream(services: Services, lines: AsyncIterator[bytes]) -> Response:
    """A streamed reply, one of a bounded number; raises Refusal where there are too many."""
    if services.streams.locked():
        raise Refusal(503, "too many streamed replies at once", {"Retry-After": "1"})

    async def bounded() -> AsyncIterator[bytes]:
        async with services.streams, aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                yield line

    return StreamingResponse(bounded(), media_type=LINES, headers={"X-Accel-Buffering": "no"})


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The request's body. Raises Refusal where it is longer, or does not come."""
    length = request.headers.get("content-length", "0")
    body = bytearray()
    if not length.isdigit() or int(length[:12]) > limit_bytes:
        raise Refusal(413, f"a body of more than {limit_bytes:,} bytes", {"Connection": "close"})
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > limit_bytes:
                    raise Refusal(413, f"a body of more than {limit_bytes:,} bytes", {"Connection": "close"})
    except (TimeoutError, ClientDisconnect):
        raise Refusal(408, "the body did not come in time", {"Connection": "close"}) from None
    return bytes(body)
