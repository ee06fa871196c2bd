"""The monitor's state for Prometheus: the same series as long as the same is watched, whatever lists answer.

A series is one subject on one list. Codes, reasons and the order of records are no labels: they would make a
new series of every mood of a list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dnsbl.monitor.entry import LISTED, UNKNOWN
from dnsbl.monitor.state import Reader

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

HOW = ("sent", "failed", "given up")


class Collector:
    """Reads the state each time it is asked. told: notices by sink and how that ended; sinks: all of them."""

    def __init__(self, path: Path, told: Mapping[tuple[str, str], int], sinks: tuple[str, ...]) -> None:
        self._path, self._told, self._sinks = path, told, sinks

    def collect(self) -> Iterator[Metric]:
        with Reader(self._path) as state:
            yield from _entries(state)
            yield from _rounds(state.meta())
        yield self._notices()

    def _notices(self) -> Metric:
        from prometheus_client.metrics_core import CounterMetricFamily

        notices = CounterMetricFamily(
            "dnsbl_monitor_notices", "Notices, by sink and how that ended.", labels=["sink", "how"]
        )
        for sink in self._sinks:
            for how in HOW:
                notices.add_metric([sink, how], self._told.get((sink, how), 0))
        return notices


def _entries(state: Reader) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    listed = GaugeMetricFamily(
        "dnsbl_monitor_listed",
        "1 where a list lists a subject; while the list fails, what it said before.",
        labels=["subject", "zone"],
    )
    unknown = GaugeMetricFamily(
        "dnsbl_monitor_unknown",
        "1 where the list gave no usable answer in the last round that asked, or nothing counts yet.",
        labels=["subject", "zone"],
    )
    zones = GaugeMetricFamily(
        "dnsbl_monitor_zone_unknown", "Subjects of which the list gave no usable answer.", labels=["zone"]
    )
    failing: Counter[str] = Counter()
    for entry in state.entries():
        labels = [entry.subject, entry.zone]
        listed.add_metric(labels, float(entry.standing == LISTED))
        unknown.add_metric(labels, float(entry.status == UNKNOWN))
        failing[entry.zone] += entry.status == UNKNOWN
    for zone, count in failing.items():
        zones.add_metric([zone], count)
    yield from (listed, unknown, zones)


def _rounds(meta: Mapping[str, float]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    for name, text, key in (
        ("last_round_timestamp_seconds", "When the last round began.", "round_at"),
        ("next_round_timestamp_seconds", "When the next is due.", "next_round_at"),
        ("round_seconds", "How long the last round took.", "round_took_s"),
    ):
        yield GaugeMetricFamily(f"dnsbl_monitor_{name}", text, value=meta.get(key, 0.0))
    yield CounterMetricFamily("dnsbl_monitor_rounds", "Rounds so far.", value=meta.get("round", 0.0))
