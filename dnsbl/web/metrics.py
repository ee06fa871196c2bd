"""For Prometheus: this server's own counts, and one subject's verdict as `/probe?target=SUBJECT`.

The series of a probe are the same at every scrape: one a list, whatever it answers. Of a list that gave no
usable answer "listed" is NaN: neither 0 nor 1, so that no alert begins or ends by a list's failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import nan
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from dnsbl.model import Outcome, Verdict
from dnsbl.policyd.metrics import zone_metrics
from dnsbl.web.cards import kind_of
from dnsbl.web.guard import Refusal
from dnsbl.web.lookups import checked_subject

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from dnsbl.web.app import Services

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Collected:
    """What `generate_latest` wants: something that can be collected."""

    def __init__(self, metrics: Iterator[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics


def exposition(metrics: Iterator[Metric]) -> Response:
    from prometheus_client import generate_latest

    body: Any = generate_latest(_Collected(metrics))
    return Response(body, media_type=TEXT)


async def metrics(request: Request, services: Services) -> Response:
    """GET /metrics"""
    return exposition(_own(services))


def _own(services: Services) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily

    replies = CounterMetricFamily(
        "dnsbl_serve_replies",
        "Replies sent, by first part of the path and status.",
        labels=["path", "status"],
    )
    for (part, status), count in dict(services.guard.counts if services.guard else {}).items():
        replies.add_metric([part, str(status)], count)
    yield replies
    visitors = CounterMetricFamily("dnsbl_serve_authz", "Web visitors judged.", labels=["said"])
    for said, count in services.authz.counts.items():
        visitors.add_metric([said], count)
    yield visitors
    yield from zone_metrics(services.resolver.stats())


async def probe(request: Request, services: Services) -> Response:
    """GET /probe?target=SUBJECT"""
    targets = request.query_params.getlist("target")
    if len(targets) != 1 or not targets[0]:
        raise Refusal(400, "name one subject: /probe?target=192.0.2.99")
    started = monotonic()
    verdict = await services.resolver.check_async(checked_subject(targets[0]))
    return exposition(_of(verdict, monotonic() - started))


def _of(verdict: Verdict, took_s: float) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    listed = GaugeMetricFamily(
        "dnsbl_probe_zone_listed",
        "1 listed, 0 not, NaN where the list gave no usable answer.",
        labels=["zone"],
    )
    answered = GaugeMetricFamily(
        "dnsbl_probe_zone_answered", "Whether the list gave a usable answer.", labels=["zone"]
    )
    for answer in verdict.answers:
        kind = kind_of(answer)
        if answer.outcome is Outcome.SKIPPED and answer.detail.startswith(f"{answer.zone} takes no "):
            continue
        is_known = kind in ("listed", "allowed", "clean")
        answered.add_metric([answer.zone], float(is_known))
        listed.add_metric([answer.zone], float(kind == "listed") if is_known else nan)
    yield from (listed, answered)
    is_known = verdict.listed or verdict.complete
    for name, text, value in (
        (
            "listed",
            "1 listed, 0 not, NaN where that is not known.",
            float(verdict.listed) if is_known else nan,
        ),
        ("complete", "Whether every list that applies gave a usable answer.", float(verdict.complete)),
        ("score", "The sum of the weights of what matched.", verdict.score),
        ("duration_seconds", "How long the lookup took.", took_s),
    ):
        yield GaugeMetricFamily(f"dnsbl_probe_{name}", text, value=value)
