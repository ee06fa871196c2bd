"""The Resolver's life in threads and processes: shared, closed under load, forgotten, forked, interrupted."""

from __future__ import annotations

import gc
import threading
import time

import pytest
from lookups import (
    answer_of,
    descriptors,
    eventually,
    in_threads,
    os_threads,
    outcomes,
    resolver_for,
    run_python,
    timed,
    with_zones,
)

from dnsbl import ClosedError, Outcome, Resolver, Verdict
from dnsbl.testing import DnsblServer, delay, silence

# ---- forgetting to close ----


def test_a_forgotten_resolver_leaves_nothing_though_its_verdict_is_kept(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    threads, files = os_threads(), descriptors()

    def look_up() -> list[Verdict]:
        resolver = resolver_for(dnsbl_server, "bl.example")
        return [resolver.check(subject) for subject in ("192.0.2.98", "192.0.2.98", "192.0.2.99")]

    kept = look_up()
    gc.collect()
    assert (os_threads(), descriptors()) == (threads, files)
    assert [outcomes(verdict) for verdict in kept] == [
        [Outcome.NOT_LISTED],
        [Outcome.NOT_LISTED],
        [Outcome.LISTED],
    ]
