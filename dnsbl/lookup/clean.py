"""The accept path's usual case by itself, since it is the one that has to be quick: nobody lists the client."""

from __future__ import annotations

from functools import partial

from dnsbl.cache.answers import HEADER
from dnsbl.cache.clock import now as clock
from dnsbl.lookup.answers import cached_answers
from dnsbl.lookup.core import Core
from dnsbl.lookup.local import clean_verdict
from dnsbl.model import Verdict
from dnsbl.names._qname import format_address
from dnsbl.subject import address_key


def cached_clean(core: Core, subject: object, started: float) -> Verdict | None:
    """The verdict of an address that all zones are known not to list: the accept path's usual case."""
    key = address_key(subject)
    if key is None:
        return None
    local, wanted = core.local, core.takes["ip4" if len(key) == 4 else "ip6"]
    if core.inside():
        core.enter()
    files = wanted & local.mask
    if files:
        if not local.none_lists(key, started):
            return None
        wanted &= ~files
        if not wanted and not core.closed:
            return clean_verdict(core, key, files, started)
    with core.lock:
        if (core.breaker.unhealthy_mask | core.breaker.doubt_mask) & wanted or core.closed:
            return None
        engine = core.upstream.engine
        if engine is not None and engine.has_retired:
            core.questions.drain()
        entry = core.cache.get(key)
        if entry is None:
            return None
        soonest, _, present, notable = HEADER.unpack_from(entry)
        if started >= soonest or present & wanted != wanted or notable & wanted:
            return None
        core.cache.hits += 1
        core.stats.clean_hits[wanted] += 1
        if files:
            core.stats.clean_files[files] += 1
    if core.journal.waiting or core.close_wanted:
        core.unlocked()
    text = format_address(key)
    answers = partial(cached_answers, core.readings, text, key, entry, started, local.mask)
    return Verdict(text, False, True, 0.0, answers, clock() - started, soonest - started)
