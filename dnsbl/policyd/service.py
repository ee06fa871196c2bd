"""From a request to its reply: rules, lookup, log. Between the pure parts and the connection that asks.

`begin` begins the lookups and answers at once what the cache holds; for the rest `finish` waits. Nothing raised in
here reaches the connection: it becomes `on_error`'s action, and failing that DUNNO, and a line in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Final, NamedTuple

from dnsbl.model import Verdict
from dnsbl.policy.findings import Scope, join
from dnsbl.policy.patterns import MAX_ADDRESS_CHARS
from dnsbl.policy.protocol import REQUEST_TYPE, Attributes, format_reply
from dnsbl.policy.rules import DUNNO, Decision, Rule
from dnsbl.policy.sources import CLIENT, SOURCES, Asked, subjects
from dnsbl.policyd.bridge import BridgeWatch
from dnsbl.policyd.log import Log, Record, describe
from dnsbl.policyd.message import Backend, Begun, Message, Messages
from dnsbl.policyd.stats import Stats
from dnsbl.policyd.waiting import TEXT_WAIT_S, wait

GRACE_S: Final = 1.0
"""How much longer than a lookup may take is waited before it is given up as a fault."""

WHOLE: Final = Scope(SOURCES)
"""For the log: everything that was found."""

_DUNNO_REPLY: Final = format_reply(DUNNO)


class Pending(NamedTuple):
    """One request on its way. subjects: what is looked up for it, by source.

    known: the verdicts that are there. begun: the lookups that are not over.
    """

    request: Attributes
    started: float
    backend: Backend
    candidates: Sequence[Rule]
    message: Message
    subjects: Mapping[str, Asked]
    known: dict[Asked, Verdict]
    begun: dict[Asked, Begun]


class Service:
    """Answers requests, in one event loop. `backend` may be replaced between any two."""

    def __init__(self, backend: Backend, log: Log, stats: Stats) -> None:
        self.backend = backend
        self.log = log
        self.stats = stats
        self.bridge = BridgeWatch()
        self._messages = Messages()

    def begin(self, request: Attributes) -> bytes | Pending:
        """The reply, where it needs no wait; else what `finish` needs. In an event loop. Raises nothing."""
        pending = None
        try:
            pending = self._begin(request)
            if not pending.subjects:
                return self._reply(pending, None, "none")
            if _look_up(pending):
                return self._reply(pending, pending.known, "message")
            if pending.begun:
                return pending
            pending.message.learn(pending.known)
            return self._reply(pending, pending.known, "cache")
        except Exception as error:
            return self._failed(request, pending, error)

    async def finish(self, pending: Pending) -> bytes:
        """The reply, after the lookups. Raises nothing but CancelledError."""
        try:
            longest_s = pending.backend.deadline_s + 2 * TEXT_WAIT_S + GRACE_S
            found = await wait(
                pending.begun,
                lambda found: _is_decided(pending, pending.known | found),
                lambda found: _wants_text(pending, pending.known | found),
                longest_s,
            )
            found = pending.known | found
            pending.message.learn(found)
            return self._reply(pending, found, "dns")
        except Exception as error:
            return self._failed(pending.request, pending, error)

    def _begin(self, request: Attributes) -> Pending:
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
        return Pending(
            request, perf_counter(), backend, candidates, message, subjects(request, sources), {}, {}
        )

    def _reply(self, pending: Pending, found: Mapping[Asked, Verdict] | None, source: str) -> bytes:
        verdicts = None if found is None else _by_source(pending, found)
        decision = pending.backend.policy.decision(pending.request, pending.candidates, verdicts)
        action = decision.action
        if action.startswith("PREPEND"):
            if action in pending.message.headers:
                action = DUNNO
            else:
                pending.message.headers += (action,)
        reply = _DUNNO_REPLY if action == DUNNO else format_reply(action)
        self._account(pending, decision, action, verdicts, source)
        return reply

    def _account(
        self,
        pending: Pending,
        decision: Decision,
        action: str,
        verdicts: Mapping[str, Verdict] | None,
        source: str,
        error: str = "",
    ) -> None:
        took_s = perf_counter() - pending.started
        verb = action.partition(" ")[0]
        rule = decision.rule.number if decision.rule else 0
        found = join(verdicts, WHOLE) if verdicts else None
        zones = list(dict.fromkeys(hit.answer.zone for hit in found.hits)) if found and found.hits else []
        complete = all(verdict.complete for verdict in verdicts.values()) if verdicts else True
        self.stats.decided(verb, source, rule, decision.zones, took_s)
        self.stats.dry_run += bool(decision.would)
        self.stats.incomplete += not complete
        request = pending.request
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

    def _failed(self, request: Attributes, pending: Pending | None, error: Exception) -> bytes:
        """The reply where something inside failed: it must never keep mail from flowing."""
        self.stats.failures += 1
        try:
            backend = self.backend
            if pending is None:
                pending = Pending(request, perf_counter(), backend, (), Message(backend), {}, {}, {})
            for lookup in pending.begun.values():
                lookup.abandon()
            decision = backend.policy.failed(request)
            self._account(pending, decision, decision.action, None, "none", describe(error))
            return format_reply(decision.action)
        except Exception as again:
            self.log.error(f"{describe(error)}; and then {describe(again)}")
            return _DUNNO_REPLY


def _look_up(pending: Pending) -> bool:
    """Take what the message knows, and begin the lookups of the rest. True: the message knew enough."""
    known, begun = pending.known, pending.begun
    for subject in pending.subjects.values():
        verdict = pending.message.known(subject)
        if verdict is not None:
            known[subject] = verdict
    if known and len(known) == len(set(pending.subjects.values())) and _is_enough(pending):
        return True
    for subject in dict.fromkeys(pending.subjects.values()):
        if subject not in known or known[subject].pending:
            lookup = pending.backend.resolver.begin(subject)
            if lookup.done:
                known[subject] = lookup.so_far()
            else:
                begun[subject] = lookup
    return False


def _is_enough(pending: Pending) -> bool:
    """What an earlier recipient's rules have waited for is enough for this one's."""
    known = pending.known
    if not any(verdict.pending for verdict in known.values()):
        return True
    return _is_decided(pending, known) and not _wants_text(pending, known)


def _by_source(pending: Pending, found: Mapping[Asked, Verdict]) -> dict[str, Verdict]:
    return {source: found[subject] for source, subject in pending.subjects.items() if subject in found}


def _is_decided(pending: Pending, found: Mapping[Asked, Verdict]) -> bool:
    return pending.backend.policy.is_decided(pending.candidates, _by_source(pending, found))


def _wants_text(pending: Pending, found: Mapping[Asked, Verdict]) -> bool:
    return pending.backend.policy.wants_text(pending.candidates, _by_source(pending, found))
