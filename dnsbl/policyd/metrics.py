"""The daemon's counts for Prometheus, by the prometheus-client library, on an address of their own.

Collected when they are asked for; nothing is counted twice, and nothing in the way of a request. Served in
threads of their own, a few at the most: the library's own server has one for each connection, without bound
and for as long as the other side likes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import accumulate
from socketserver import TCPServer, ThreadingMixIn
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from dnsbl.errors import DnsblError
from dnsbl.policyd.addresses import TcpAddress
from dnsbl.policyd.listeners import ListenError, check_loopback
from dnsbl.policyd.stats import BUCKETS_S, Stats

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

HTTP_THREADS: Final = 4
HTTP_TIMEOUT_S: Final = 2.0
"""How long a client of the metrics may be silent."""

ZoneStats = Callable[[], dict[str, Any]]
"""`Resolver.stats` of the resolver in use."""


class MetricsServer:
    """Serves what a collector gives over HTTP until `close`.

    Raises ListenError, and DnsblError without the library.
    """

    def __init__(self, address: TcpAddress, collector: Any, *, allow_remote: bool = False) -> None:
        try:
            from prometheus_client import CollectorRegistry, make_wsgi_app
        except ImportError:
            raise DnsblError(
                "metrics need the package prometheus-client; pip install 'dnsbl-resolver[metrics]'"
            ) from None
        check_loopback(address.host, f"metrics on {address}", allow_remote)
        registry = CollectorRegistry()
        registry.register(collector)
        try:
            self._server = _HttpServer(address, make_wsgi_app(registry))
        except OSError as error:
            raise ListenError(f"cannot serve metrics on {address}: {error.strerror or error}") from None
        self.address = TcpAddress(address.host, self._server.server_port)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(WSGIRequestHandler):
    timeout = HTTP_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:
        """Who asks for metrics is not worth a line."""


class _HttpServer(ThreadingMixIn, WSGIServer):
    """Serves one application, `HTTP_THREADS` requests at once; whoever comes besides is closed."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: TcpAddress, application: Callable[..., Any]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._free = Semaphore(HTTP_THREADS)
        super().__init__((address.host, address.port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        """As HTTPServer's, without looking its own name up, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread to be had
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is slow or gone does not concern the daemon."""


class Collector:
    """Makes metrics of the counts, each time they are asked for."""

    def __init__(self, stats: Stats, zone_stats: ZoneStats) -> None:
        self._stats = stats
        self._zone_stats = zone_stats

    def collect(self) -> Iterator[Metric]:
        yield from _daemon(self._stats)
        yield from zone_metrics(self._zone_stats())


def _daemon(stats: Stats) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    decisions = CounterMetricFamily(
        "dnsbl_policy_decisions", "Requests answered, by action.", labels=["action", "source"]
    )
    for (action, source), count in stats.decisions.copy().items():
        decisions.add_metric([action, source], count)
    yield decisions
    rules = CounterMetricFamily(
        "dnsbl_policy_rule_decisions", "Decisions, by rule (0: none matched).", labels=["rule", "action"]
    )
    for (rule, action), count in stats.of_rules.copy().items():
        rules.add_metric([str(rule), action], count)
    hits = CounterMetricFamily(
        "dnsbl_policy_zone_decisions", "Decisions that saw a zone's listing.", labels=["zone", "action"]
    )
    for (zone, action), count in stats.of_zones.copy().items():
        hits.add_metric([zone, action], count)
    yield from (rules, hits)
    for name, text, count in (
        ("failures", "Requests answered with on_error.", stats.failures),
        ("dry_run", "Requests whose action a dry run held back.", stats.dry_run),
        ("incomplete", "Requests decided while a zone was missing.", stats.incomplete),
        ("connections_accepted", "Connections taken.", stats.accepted),
        ("connections_refused", "Connections over the cap.", stats.refused),
        ("connections_broken", "Connections closed for what they sent or did not.", stats.broken),
        ("reloads", "Configurations read again and taken.", stats.reloads),
        ("reloads_failed", "Configurations read again and refused.", stats.failed_reloads),
    ):
        yield CounterMetricFamily(f"dnsbl_policy_{name}", text, value=count)
    yield GaugeMetricFamily("dnsbl_policy_connections", "Connections open now.", value=stats.connections)
    bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
    yield HistogramMetricFamily(
        "dnsbl_policy_request_seconds",
        "From a request to its reply.",
        buckets=list(zip(bounds, accumulate(stats.latency), strict=True)),
        sum_value=stats.latency_sum_s,
    )


def zone_metrics(stats: dict[str, Any]) -> Iterator[Metric]:
    """The series of each zone. stats: of `Resolver.stats`."""
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    aside = GaugeMetricFamily(
        "dnsbl_zone_set_aside", "1 where the zone is left out: broken, or silent.", labels=["zone", "why"]
    )
    queries = CounterMetricFamily("dnsbl_zone_queries", "Queries sent, TXT among them.", labels=["zone"])
    hits = CounterMetricFamily("dnsbl_zone_cache_hits", "Answers the cache had.", labels=["zone"])
    answers = CounterMetricFamily(
        "dnsbl_zone_answers", "Queries ended, by outcome.", labels=["zone", "outcome"]
    )
    for zone, counts in stats["zones"].items():
        queries.add_metric([zone], counts["queries"])
        hits.add_metric([zone], counts["cache_hits"])
        breaker = counts["breaker"]
        aside.add_metric([zone, "broken"], float(bool(breaker["unhealthy"])))
        aside.add_metric([zone, "silent"], float(breaker["state"] != "closed"))
        for outcome, count in counts["outcomes"].items():
            answers.add_metric([zone, outcome], count)
    yield from (queries, hits, answers, aside)
    cache = stats["cache"]
    yield GaugeMetricFamily("dnsbl_cache_names", "Names whose answers are held.", value=cache["currsize"])
    yield GaugeMetricFamily("dnsbl_cache_names_max", "The most that can be held.", value=cache["maxsize"])
    yield CounterMetricFamily("dnsbl_cache_hits", "Lookups that the cache had all of.", value=cache["hits"])
    yield CounterMetricFamily("dnsbl_cache_misses", "Lookups that asked some list.", value=cache["misses"])
