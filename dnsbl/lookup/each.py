"""One zone of a subject by itself, so that its answer can be shown before the others have come."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from dnsbl.cache.clock import now as clock
from dnsbl.config.settings import checked_deadline
from dnsbl.lookup.aio import loop_waiter, results_async
from dnsbl.lookup.core import Core
from dnsbl.lookup.lookup import DECIMALS, Lookup
from dnsbl.lookup.parts import Part, asked_subject
from dnsbl.model import Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from dnsbl.engine._engine import Completions
    from dnsbl.subject import Subject


class ZoneLookup(Lookup):
    """A lookup of one zone, by its index; the answers of all zones together are those of a `Lookup`."""

    __slots__ = ("_zone",)

    def __init__(
        self,
        core: Core,
        subject: Subject,
        zone: int,
        completions: Completions,
        started: float,
        deadline_s: float,
    ) -> None:
        super().__init__(core, subject, completions, started, deadline_s, None)
        self._zone = zone

    def _parts(self) -> tuple[list[Part], str]:
        parts, why = super()._parts()
        only = 1 << self._zone
        return [Part(part.key, only) for part in parts if part.zones & only], why

    def _conclude(self, pending: tuple[int, ...]) -> None:
        super()._conclude(pending)
        whole = self.verdict
        answers = (whole.answers[self._zone],)
        self.verdict = Verdict(
            whole.subject, whole.listed, whole.complete, whole.score, answers, whole.elapsed_s, whole.ttl_s
        )


async def zones_async(core: Core, subject: object, deadline_s: float | None) -> AsyncGenerator[Verdict, None]:
    """A verdict of each zone by itself, as they come, in the running event loop."""
    started, wanted, completions = clock(), asked_subject(core, subject), loop_waiter(core).completions
    wait_s = checked_deadline(core.settings.deadline_s if deadline_s is None else deadline_s)

    def begin(zone: Any) -> Lookup | Verdict:
        lookup = ZoneLookup(core, wanted, zone, completions, started, wait_s)
        return lookup.verdict if lookup.start() else lookup

    async with aclosing(results_async(begin, range(len(core.zones)), False, lambda _: True)) as found:
        async for result in found:
            assert isinstance(result, Verdict)
            yield result


def joined(verdicts: Iterable[Verdict], order: Iterable[str]) -> Verdict:
    """One verdict of those of single zones on one subject. order: the zones' names.

    Raises ValueError where there is no verdict.
    """
    found = list(verdicts)
    by_zone = {verdict.answers[0].zone: verdict.answers[0] for verdict in found}
    complete = all(verdict.complete for verdict in found)
    ttls = [verdict.ttl_s for verdict in found if verdict.ttl_s is not None]
    return Verdict(
        found[0].subject,
        any(verdict.listed for verdict in found),
        complete,
        round(sum(verdict.score for verdict in found), DECIMALS),
        tuple(by_zone[name] for name in order if name in by_zone),
        max(verdict.elapsed_s for verdict in found),
        min(ttls) if complete and ttls else None,
    )
