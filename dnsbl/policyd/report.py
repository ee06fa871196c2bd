"""What `dnsbl policyd stats` shows, from the running daemon's counts. Numbers in, values for JSON out."""

from __future__ import annotations

from typing import Any

from dnsbl.policyd.stats import BUCKETS_S, Stats


def report(stats: Stats, resolver: dict[str, Any], bridge: str, next_check_s: float | None) -> dict[str, Any]:
    """resolver: of `Resolver.stats`. bridge: the warning, or empty. next_check_s: seconds until then."""
    decisions: dict[str, int] = {}
    for (action, _), count in stats.decisions.copy().items():
        decisions[action] = decisions.get(action, 0) + count
    return {
        "requests": sum(decisions.values()),
        "decisions": decisions,
        "rules": [
            {"rule": rule, "action": action, "count": count}
            for (rule, action), count in sorted(stats.of_rules.copy().items())
        ],
        "zones": [_zone(name, counts, stats) for name, counts in resolver["zones"].items()],
        "cache": resolver["cache"],
        "latency_ms": _latencies(stats),
        "connections": stats.connections,
        "failures": stats.failures,
        "incomplete": stats.incomplete,
        "dry_run": stats.dry_run,
        "next_check_s": next_check_s,
        "warnings": [bridge] if bridge else [],
    }


def _zone(name: str, counts: dict[str, Any], stats: Stats) -> dict[str, Any]:
    breaker = counts["breaker"]
    why = breaker["unhealthy"]
    if why is None and breaker["state"] != "closed":
        why = f"silent, after {breaker['failures']} failures in a row"
    return {
        "zone": name,
        "queries": counts["queries"],
        "cache_hits": counts["cache_hits"],
        "listed": counts["outcomes"]["listed"],
        "not_listed": counts["outcomes"]["not_listed"],
        "decisions": {action: n for (zone, action), n in stats.of_zones.copy().items() if zone == name},
        "set_aside": why,
    }


def _latencies(stats: Stats) -> dict[str, float | None]:
    """p50, p90 and p99; nothing where there was no request yet."""
    total = sum(stats.latency)
    return {f"p{part}": _percentile(stats, part / 100 * total) for part in (50, 90, 99) if total}


def _percentile(stats: Stats, requests: float) -> float | None:
    """The upper bound, in ms, of the bucket that so many requests are within; None: above all."""
    reached = 0
    for bound, count in zip(BUCKETS_S, stats.latency, strict=False):
        reached += count
        if reached >= requests:
            return bound * 1000
    return None
