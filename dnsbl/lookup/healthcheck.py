"""Asks the zones' test entries and sets broken zones aside until they pass again.

What the answers mean is decided in `dnsbl.health.judge`; here they are asked and acted upon. Meant to run
rarely (at the start, about hourly, on demand), never per message. The queries go past cache and breaker and
count against the zones' daily budgets; a zone whose budget is spent is not asked.

A broken zone is set aside: lookups skip it, and answers of it that the cache holds do not count. A zone that
does not answer keeps the state it had: silence proves nothing, and the breaker looks after it.
"""

from __future__ import annotations

import ipaddress
import logging
import random
from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING, Final

from dnsbl.cache.answers import Key
from dnsbl.errors import ClosedError
from dnsbl.health.judge import ProbeAnswer, State, ZoneHealth, judge, untested
from dnsbl.lookup.core import TIMED_OUT, Core
from dnsbl.model import Status, Wire
from dnsbl.zones.zone import Probe

if TYPE_CHECKING:
    from dnsbl.engine._engine import Answer
    from dnsbl.resolver import Resolver

EVERY_S: Final = 3600.0
JITTER: Final = 0.1
"""Part of the interval by which it varies, so that machines started together do not ask together."""

log = logging.getLogger("dnsbl.health")


def check_health(core: Core, indices: Sequence[int], deadline_s: float) -> tuple[ZoneHealth, ...]:
    """Ask each test entry of these zones once, set broken ones aside and take sound ones back.

    Blocks for at most `deadline_s` seconds. Raises ClosedError once the resolver is closed.
    """
    wall = time()
    with core.lock:
        spent = {index for index in indices if core.budget.spent(index, wall)}
    local = {index for index in indices if core.zones[index].file}
    tested = [index for index in indices if index not in spent | local]
    asked = [(index, probe) for index in tested for probe in core.zones[index].probes]
    questions = [(index, _key(probe)) for index, probe in asked]
    answers = core.ask_raw(questions, deadline_s) if questions else []
    of_zone: dict[int, list[ProbeAnswer]] = {index: [] for index in indices}
    for (index, probe), answer in zip(asked, answers, strict=True):
        of_zone[index].append(_read(probe, answer))
    healths = []
    for index in indices:
        zone = core.zones[index]
        if index in local:
            healths.append(untested(zone, "a local file, which has no test entries"))
        elif index in spent:
            healths.append(untested(zone, "today's free queries are used up; asked again from 00:00 UTC"))
        else:
            healths.append(judge(zone, of_zone[index]))
        _act(core, index, healths[-1])
    return tuple(healths)


def _key(probe: Probe) -> Key:
    if probe.kind == "domain":
        return probe.subject.lower()
    # An IPv4-mapped test entry is asked in its 32 nibbles: RFC 5782 section 5.
    return ipaddress.ip_address(probe.subject).packed


def _read(probe: Probe, answer: Answer | None) -> ProbeAnswer:
    if answer is None:
        return ProbeAnswer(probe, TIMED_OUT)
    status, rcode, addresses, *_, latency_us, _, _ = answer
    latency_ms = None if status == Status.TIMEOUT else latency_us / 1000
    return ProbeAnswer(probe, Wire(status, rcode, addresses), latency_ms)


def _act(core: Core, index: int, health: ZoneHealth) -> None:
    if health.broken:
        with core.lock:
            core.breaker.set_aside(index, health.detail)
    elif health.state not in (State.NO_ANSWER, State.UNTESTED) and core.breaker.unhealthy_mask >> index & 1:
        _flush(core, index)
        with core.lock:
            core.breaker.restore(index)


def _flush(core: Core, index: int) -> None:
    """Forget what the zone said while it was broken."""
    core.in_steps(core.cached_names(), lambda key: core.cache.flush(key, index))


async def health_loop(resolver: Resolver, every_s: float = EVERY_S) -> None:
    """Check all zones now and about every `every_s` seconds, until cancelled or the resolver is closed.

    Raises nothing else: what goes wrong is logged, and tried again next time.
    """
    import asyncio

    while True:
        try:
            await resolver.health_async()
        except ClosedError:
            return
        except Exception:
            log.exception("the health check failed; it is tried again")
        await asyncio.sleep(every_s * random.uniform(1 - JITTER, 1 + JITTER))
