"""The application: which path is answered by whom. Made with Starlette; served by `dnsbl.web.server`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from dnsbl.resolver import Resolver
from dnsbl.web import authz, board, lookups, metrics, openapi, page, state
from dnsbl.web.authz import Authz
from dnsbl.web.guard import Guard
from dnsbl.web.settings import Settings
from dnsbl.web.state import Daemon, Examiner

STREAMS: Final = 32
"""Streamed replies at once."""


@dataclass(slots=True)
class Services:
    """What the paths share. streams: how many more streamed replies may begin."""

    settings: Settings
    resolver: Resolver
    authz: Authz
    examiner: Examiner
    daemon: Daemon
    streams: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STREAMS))
    guard: Guard | None = None


def make_app(settings: Settings, resolver: Resolver) -> tuple[ASGIApp, Services]:
    """The application over a resolver, which stays the caller's to close; `Services.authz` is to be closed."""
    authz_of, examiner = Authz(settings, resolver), Examiner(settings.options)
    services = Services(settings, resolver, authz_of, examiner, Daemon(settings.control))

    def of(
        handler: Callable[[Request, Services], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await handler(request, services)

        return handle

    routes = [
        Route("/check/{subject:path}", lookups.Check(resolver), methods=["GET"]),
        Route("/check", of(lookups.check_many), methods=["POST"]),
        Route("/answers/{subject:path}", of(lookups.answers)),
        Route("/authz", of(authz.authz)),
        Route("/healthz", of(healthz)),
        Route("/metrics", of(metrics.metrics)),
        Route("/probe", of(metrics.probe)),
        Route("/zones", of(state.zones)),
        Route("/doctor", of(state.doctor)),
        Route("/watched", of(board.watched)),
        Route("/statistics", of(state.statistics)),
        Route("/openapi.json", of(describe)),
        Route("/static/{name}", of(page.static)),
        Route("/", of(page.page)),
    ]
    parts = frozenset(route.path[1:].partition("/")[0] for route in routes)
    services.guard = Guard(Router(routes, redirect_slashes=False), settings, parts)
    return services.guard, services


async def healthz(request: Request, services: Services) -> Response:
    return JSONResponse({"status": "ok"})


async def describe(request: Request, services: Services) -> Response:
    return JSONResponse(openapi.description(services.settings.max_subjects))
