"""From a request to its reply: rules, lookup, log. Between the pure parts and the connection that asks.

What the cache holds is answered at once, by `begin`; for the rest `finish` waits. Nothing raised in
here reaches the connection: it becomes `on_error`'s action, and failing that DUNNO, and a line in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Final, NamedTuple

from dnsbl.model import Verdict
from dnsbl.policy.findings import Scope, join
from dnsbl.policy.patterns import MAX_ADDRESS_CHARS
from dnsbl.policy.protocol import REQUEST_TYPE, Attributes, format_reply
from dnsbl.policy.rules import DUNNO, Decision, Rule
from dnsbl.policy.sources import CLIENT, SOURCES, subjects
from dnsbl.policyd.bridge import BridgeWatch
from dnsbl.policyd.log import Log, Record, describe
from dnsbl.policyd.message import Backend, Lookups, Message, Messages
from dnsbl.policyd.stats import Stats

GRACE_S: Final = 1.0
"""How much longer than a lookup may take is waited before it is given up as a fault."""
EARLY_AFTER_S: Final = 0.025
"""After this long a verdict is taken as soon as it is decided, not when all zones have answered."""
TEXT_WAIT_S: Final = 0.5
"""How long a reply that is decided waits for the list's reason. As the resolver's reason_timeout_s."""
TEXT_POLL_S: Final = 0.005

WHOLE: Final = Scope(SOURCES)
"""For the log: everything that was found."""

_DUNNO_REPLY: Final = format_reply(DUNNO)


class Asked(NamedTuple):
    """One request on its way. subjects: what is looked up for it, by source."""

    request: Attributes
    started: float
    backend: Backend
    candidates: Sequence[Rule]
    message: Message
    subjects: Mapping[str, str]


class Service:
    """Answers requests, in one event loop. `backend` may be replaced between any two."""

    def __init__(self, backend: Backend, log: Log, stats: Stats) -> None:
        self.backend = backend
        self.log = log
        self.stats = stats
        self.bridge = BridgeWatch()
        self._messages = Messages()

    def begin(self, request: Attributes) -> bytes | Asked:
        """The reply, where it needs no wait; else what `finish` needs. Raises nothing."""
        asked = None
        try:
            asked = self._begin(request)
            if not asked.subjects:
                return self._reply(asked, None, "none")
            found = {subject: asked.message.known(subject) for subject in asked.subjects.values()}
            source = "message"
            for subject, verdict in found.items():
                if verdict is None or (verdict.pending and _wants_text(asked, {subject: verdict})):
                    source = "cache"
                    found[subject] = asked.backend.resolver.check_cached(subject)
                    if found[subject] is None:
                        return asked
            known = {subject: verdict for subject, verdict in found.items() if verdict is not None}
            asked.message.learn(known)
            return self._reply(asked, known, source)
        except Exception as error:
            return self._failed(request, asked, error)

    async def finish(self, asked: Asked) -> bytes:
        """The reply, after the lookups. Raises nothing but CancelledError."""
        try:
            found = await _look_up(asked)
            asked.message.learn(found)
            return self._reply(asked, found, "dns")
        except Exception as error:
            return self._failed(asked.request, asked, error)

    def _begin(self, request: Attributes) -> Asked:
        client = request.get("client_address", "")
        if client and not request.get("sasl_username") and self.bridge.take(client[:MAX_ADDRESS_CHARS]):
            self.log.warning(self.bridge.warning)
        message = self._messages.find(request.get("instance", ""), client, self.backend)
        backend = message.backend
        is_ours = request.get("request", REQUEST_TYPE) == REQUEST_TYPE
        candidates = backend.policy.candidates(request) if is_ours else ()
        sources = backend.policy.look_up(candidates) if candidates else ()
        if not backend.takes_domains:
            sources = [source for source in sources if source == CLIENT]
        return Asked(request, perf_counter(), backend, candidates, message, subjects(request, sources))

    def _reply(self, asked: Asked, found: Mapping[str, Verdict] | None, source: str) -> bytes:
        verdicts = None if found is None else _by_source(asked, found)
        decision = asked.backend.policy.decision(asked.request, asked.candidates, verdicts)
        action = decision.action
        if action.startswith("PREPEND"):
            if action in asked.message.headers:
                action = DUNNO
            else:
                asked.message.headers += (action,)
        reply = _DUNNO_REPLY if action == DUNNO else format_reply(action)
        self._account(asked, decision, action, verdicts, source)
        return reply

    def _account(
        self,
        asked: Asked,
        decision: Decision,
        action: str,
        verdicts: Mapping[str, Verdict] | None,
        source: str,
        error: str = "",
    ) -> None:
        took_s = perf_counter() - asked.started
        verb = action.partition(" ")[0]
        rule = decision.rule.number if decision.rule else 0
        found = join(verdicts, WHOLE) if verdicts else None
        zones = list(dict.fromkeys(hit.answer.zone for hit in found.hits)) if found and found.hits else []
        complete = all(verdict.complete for verdict in verdicts.values()) if verdicts else True
        self.stats.decided(verb, source, rule, decision.zones, took_s)
        self.stats.dry_run += bool(decision.would)
        self.stats.incomplete += not complete
        request = asked.request
        self.log.decision(
            Record(
                request.get("instance", ""),
                request.get("client_address", ""),
                verb,
                rule,
                found.score if found else None,
                zones,
                complete,
                took_s * 1000,
                source,
                decision.would,
                error,
                request.get("sender"),
                request.get("recipient"),
                request.get("helo_name"),
                action if action != verb else "",
            )
        )

    def _failed(self, request: Attributes, asked: Asked | None, error: Exception) -> bytes:
        """The reply where something inside failed: it must never keep mail from flowing."""
        self.stats.failures += 1
        try:
            backend = self.backend
            asked = asked or Asked(request, perf_counter(), backend, (), Message(backend), {})
            decision = backend.policy.failed(request)
            self._account(asked, decision, decision.action, None, "none", describe(error))
            return format_reply(decision.action)
        except Exception as again:
            self.log.error(f"{describe(error)}; and then {describe(again)}")
            return _DUNNO_REPLY


def _by_source(asked: Asked, found: Mapping[str, Verdict]) -> dict[str, Verdict]:
    return {source: found[subject] for source, subject in asked.subjects.items() if subject in found}


def _wants_text(asked: Asked, found: Mapping[str, Verdict]) -> bool:
    return asked.backend.policy.wants_text(asked.candidates, _by_source(asked, found))


async def _look_up(asked: Asked) -> dict[str, Verdict]:
    """The verdicts by subject: all lookups at once, within one deadline.

    One lookup alone may be decided early, see `_look_up_one`; of several each may speak for the other.
    """
    wanted = list(dict.fromkeys(asked.subjects.values()))
    if len(wanted) == 1:
        return {wanted[0]: await _look_up_one(asked, wanted[0])}
    resolver, deadline_s = asked.backend.resolver, asked.backend.deadline_s
    async with asyncio.timeout(deadline_s + 2 * TEXT_WAIT_S + GRACE_S), asyncio.TaskGroup() as group:
        tasks = {subject: group.create_task(resolver.check_async(subject)) for subject in wanted}
    return {subject: task.result() for subject, task in tasks.items()}


async def _look_up_one(asked: Asked, subject: str) -> Verdict:
    """The verdict, early where the rules allow it.

    An early answer wakes us at every zone's answer. Most lookups are over before that is worth its price, so
    that it is asked for only after `EARLY_AFTER_S`; the questions under way go on and are not put twice.
    """
    policy, resolver, deadline_s = asked.backend[:3]
    if policy.decide is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(EARLY_AFTER_S):
                return await resolver.check_async(subject)
    async with asyncio.timeout(deadline_s + 2 * TEXT_WAIT_S + GRACE_S):
        verdict = await resolver.check_async(subject, decide=policy.decide)
        if policy.decide is not None and _wants_text(asked, {subject: verdict}):
            verdict = await _with_reason(resolver, subject, policy.decide, verdict)
        return verdict


async def _with_reason(
    resolver: Lookups, client: str, decide: Mapping[str, float], verdict: Verdict
) -> Verdict:
    """The verdict with the list's reason, which an early answer does not wait for; at most `TEXT_WAIT_S`.

    Once every zone has answered, the resolver waits for the reasons itself. Until then the question is put
    again: it is answered from the cache, which the reasons reach as they come.
    """
    end = perf_counter() + TEXT_WAIT_S
    delay_s = TEXT_POLL_S
    while verdict.pending:
        if any(answer.reason for answer in verdict.listings) or perf_counter() >= end:
            return verdict
        await asyncio.sleep(delay_s)
        delay_s *= 2
        verdict = await resolver.check_async(client, decide=decide)
    return await resolver.check_async(client)
