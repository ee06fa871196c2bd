"""From a request to its reply: rules, lookup, log. Between the pure parts and the connection that asks.

What the cache holds is answered at once, by `begin`; for the rest `finish` waits. Nothing raised in
here reaches the connection: it becomes `on_error`'s action, and failing that DUNNO, and a line in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Final, NamedTuple, Protocol

from dnsbl.model import Verdict
from dnsbl.policy.patterns import MAX_ADDRESS_CHARS
from dnsbl.policy.protocol import REQUEST_TYPE, Attributes, format_reply
from dnsbl.policy.rules import DUNNO, Decision, Policy, Rule
from dnsbl.policyd.log import Log, Record, describe
from dnsbl.policyd.message import Message, Messages
from dnsbl.policyd.stats import Stats
from dnsbl.subject.address import address_key

GRACE_S: Final = 1.0
"""How much longer than a lookup may take is waited before it is given up as a fault."""
EARLY_AFTER_S: Final = 0.025
"""After this long a verdict is taken as soon as it is decided, not when all zones have answered."""
TEXT_WAIT_S: Final = 0.5
"""How long a reply that is decided waits for the list's reason. As the resolver's reason_timeout_s."""
TEXT_POLL_S: Final = 0.005

_DUNNO_REPLY: Final = format_reply(DUNNO)


class Lookups(Protocol):
    """What is asked of a resolver; `dnsbl.Resolver` has it."""

    def check_cached(self, subject: object) -> Verdict | None: ...

    async def check_async(
        self, subject: object, *, deadline_s: float | None = None, decide: Mapping[str, float] | None = None
    ) -> Verdict: ...


class Backend(NamedTuple):
    """What a reload replaces, all at once. deadline_s: of the resolver's lookups."""

    policy: Policy
    resolver: Lookups
    deadline_s: float


class Asked(NamedTuple):
    """One request on its way."""

    request: Attributes
    started: float
    backend: Backend
    candidates: Sequence[Rule]
    message: Message


class Service:
    """Answers requests, in one event loop. `backend` may be replaced between any two."""

    def __init__(self, backend: Backend, log: Log, stats: Stats) -> None:
        self.backend = backend
        self.log = log
        self.stats = stats
        self._messages = Messages()

    def begin(self, request: Attributes) -> bytes | Asked:
        """The reply, where it needs no wait; else what `finish` needs. Raises nothing."""
        asked = None
        try:
            asked = self._begin(request)
            if not _needs_verdict(asked):
                return self._reply(asked, None, "none")
            known = asked.message.verdict
            if known is not None and not (known.pending and _wants_text(asked, known)):
                return self._reply(asked, known, "message")
            found = asked.backend.resolver.check_cached(request["client_address"])
            if found is None:
                return asked
            asked.message.verdict = found
            return self._reply(asked, found, "cache")
        except Exception as error:
            return self._failed(request, asked, error)

    async def finish(self, asked: Asked) -> bytes:
        """The reply, after a lookup. Raises nothing but CancelledError."""
        try:
            verdict = await _look_up(asked)
            asked.message.verdict = verdict
            return self._reply(asked, verdict, "dns")
        except Exception as error:
            return self._failed(asked.request, asked, error)

    def _begin(self, request: Attributes) -> Asked:
        backend = self.backend
        message = self._messages.find(request.get("instance", ""), request.get("client_address", ""))
        is_ours = request.get("request", REQUEST_TYPE) == REQUEST_TYPE
        candidates = backend.policy.candidates(request) if is_ours else ()
        return Asked(request, perf_counter(), backend, candidates, message)

    def _reply(self, asked: Asked, verdict: Verdict | None, source: str) -> bytes:
        decision = asked.backend.policy.decision(asked.request, asked.candidates, verdict)
        action = decision.action
        if action.startswith("PREPEND"):
            if action in asked.message.headers:
                action = DUNNO
            else:
                asked.message.headers += (action,)
        reply = _DUNNO_REPLY if action == DUNNO else format_reply(action)
        self._account(asked, decision, action, verdict, source)
        return reply

    def _account(
        self,
        asked: Asked,
        decision: Decision,
        action: str,
        verdict: Verdict | None,
        source: str,
        error: str = "",
    ) -> None:
        took_s = perf_counter() - asked.started
        verb = action.partition(" ")[0]
        stats = self.stats
        stats.decisions[verb, source] += 1
        stats.took(took_s)
        stats.dry_run += bool(decision.would)
        zones: Sequence[str] = ()
        score, complete = None, True
        if verdict is not None:
            score, complete = verdict.score, verdict.complete
            stats.incomplete += not complete
            if score or verdict.listed:
                zones = [answer.zone for answer in verdict.listings]
        self.log.decision(
            Record(
                asked.request.get("instance", ""),
                asked.request.get("client_address", ""),
                verb,
                decision.rule.number if decision.rule else 0,
                score,
                zones,
                complete,
                took_s * 1000,
                source,
                decision.would,
                error,
            )
        )

    def _failed(self, request: Attributes, asked: Asked | None, error: Exception) -> bytes:
        """The reply where something inside failed: it must never keep mail from flowing."""
        self.stats.failures += 1
        try:
            backend = self.backend
            asked = asked or Asked(request, perf_counter(), backend, (), Message())
            decision = backend.policy.failed(request)
            self._account(asked, decision, decision.action, None, "none", describe(error))
            return format_reply(decision.action)
        except Exception as again:
            self.log.error(f"{describe(error)}; and then {describe(again)}")
            return _DUNNO_REPLY


def _needs_verdict(asked: Asked) -> bool:
    """A rule asks for one, and the client has an address that can be looked up."""
    if not asked.candidates or not asked.candidates[0].of_verdict:
        return False
    client = asked.request.get("client_address", "")
    return len(client) <= MAX_ADDRESS_CHARS and address_key(client) is not None


def _wants_text(asked: Asked, verdict: Verdict) -> bool:
    return asked.backend.policy.wants_text(asked.candidates, verdict)


async def _look_up(asked: Asked) -> Verdict:
    """The verdict, early where the rules allow it.

    An early answer wakes us at every zone's answer. Most lookups are over before that is worth its price, so
    that it is asked for only after `EARLY_AFTER_S`; the questions under way go on and are not put twice.
    """
    client = asked.request["client_address"]
    policy, resolver, deadline_s = asked.backend
    if policy.decide is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(EARLY_AFTER_S):
                return await resolver.check_async(client)
    async with asyncio.timeout(deadline_s + 2 * TEXT_WAIT_S + GRACE_S):
        verdict = await resolver.check_async(client, decide=policy.decide)
        if policy.decide is not None and _wants_text(asked, verdict):
            verdict = await _with_reason(resolver, client, policy.decide, verdict)
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
