"""The JSON of verdicts that the cache holds, kept ready: only their times are filled in anew.

For who writes thousands of verdicts a second. A text kept belongs to the very cache entries that it was made
of: with another entry in their place (a newer answer, a flush), or once one of their answers has expired, it
is made anew.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from dnsbl.cache.answers import Key
from dnsbl.cache.clock import now as clock
from dnsbl.lookup.core import Core
from dnsbl.lookup.parts import asked_subject, parts_of
from dnsbl.model import Outcome, Verdict

MOST: Final = 4_096
"""Texts kept, of some 400 bytes for each zone."""
MAX_SUBJECT: Final = 256
"""Characters of a subject whose text is kept."""
MAX_TEXT: Final = 32_768


class _Kept(NamedTuple):
    """template: with a % for each time. expires: when each of those that count down ends."""

    entries: tuple[tuple[Key, bytes], ...]
    zones: int
    until: float
    template: str
    expires: tuple[float, ...]


class RenderedVerdicts:
    """The texts of one resolver's verdicts; bounded, the one that was not asked for longest goes first.

    To be used in one thread. `Resolver.rendered` makes it.
    """

    def __init__(self, core: Core, check_cached: Callable[[object], Verdict | None]) -> None:
        self._core = core
        self._check_cached = check_cached
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def get(self, subject: str) -> bytes | None:
        """`json.dumps(verdict.to_dict())` of the subject, if it is kept and holds. Never waits."""
        kept = self._kept.get(subject)
        if kept is None:
            return None
        started, core = clock(), self._core
        core.enter()
        with core.lock:
            if (core.breaker.unhealthy_mask | core.breaker.doubt_mask) & kept.zones or core.closed:
                return None
            core.questions.drain()
            if started >= kept.until or any(core.cache.get(key) is not entry for key, entry in kept.entries):
                del self._kept[subject]
                return None
            core.cache.hits += 1
            core.stats.clean_hits[kept.zones] += 1
        core.unlocked()
        self._kept.move_to_end(subject)
        return _filled(kept, started)

    def render(self, subject: str, verdict: Verdict) -> bytes:
        """The JSON of a verdict on the subject; kept, if the cache holds all of it."""
        if verdict.complete and verdict.ttl_s is not None and len(subject) <= MAX_SUBJECT:
            self._keep(subject)
        return json.dumps(verdict.to_dict()).encode()

    def _keep(self, subject: str) -> None:
        before = self._entries(subject)
        if before is None or (verdict := self._check_cached(subject)) is None:
            return
        now, after = clock(), self._entries(subject)
        # Else the verdict may be of other entries than these.
        if after is None or any(one[1] is not other[1] for one, other in zip(before, after, strict=True)):
            return
        asked = {answer.zone for answer in verdict.answers if answer.outcome is not Outcome.SKIPPED}
        zones = sum(1 << index for index, zone in enumerate(self._core.zones) if zone.name in asked)
        if zones & self._core.local.mask or verdict.ttl_s is None:
            return
        template, expires = _template(verdict, now)
        if len(template) <= MAX_TEXT:
            self._kept[subject] = _Kept(before, zones, now + verdict.ttl_s, template, expires)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)

    def _entries(self, subject: str) -> tuple[tuple[Key, bytes], ...] | None:
        """What the cache has for the names that the subject means; None where one is not there."""
        core = self._core
        parts, _ = parts_of(core, asked_subject(core, subject))
        with core.lock:
            found = [(part.key, core.cache.get(part.key)) for part in parts]
        entries = tuple((key, entry) for key, entry in found if entry is not None)
        return entries if entries and len(entries) == len(found) else None


def _template(verdict: Verdict, now: float) -> tuple[str, tuple[float, ...]]:
    """The JSON with a % for each `ttl_s` and, last, for `elapsed_s`; and when the former end."""
    whole = verdict.to_dict()
    answers: list[str] = []
    expires: list[float] = []
    for answer in whole["answers"]:
        before, ttl_s, after = _split(answer, "ttl_s")
        answers.append(f"{before}{'null' if ttl_s is None else '%.3f'}{after}")
        if ttl_s is not None:
            expires.append(now + ttl_s)
    names = list(whole)
    head, _, _ = _split(whole, "answers")
    later = {name: whole[name] for name in names[names.index("answers") + 1 : names.index("elapsed_s")]}
    middle, ttl_s, _ = _split(later, "ttl_s")
    expires.append(now + ttl_s)
    return f'{head}[{", ".join(answers)}], {middle[1:]}%.3f, "elapsed_s": %.6f}}', tuple(expires)


def _split(value: dict[str, Any], name: str) -> tuple[str, Any, str]:
    """An object's JSON before the value of `name`, that value, and the JSON after it, ready for %."""
    names = list(value)
    at = names.index(name)
    before = json.dumps({each: value[each] for each in names[:at]})[:-1]
    after = json.dumps({each: value[each] for each in names[at + 1 :]})[1:]
    comma, follows = (", " if at else ""), ("" if after == "}" else ", ")
    return (
        f'{before}{comma}"{name}": '.replace("%", "%%"),
        value[name],
        f"{follows}{after}".replace("%", "%%"),
    )


def _filled(kept: _Kept, started: float) -> bytes:
    """Three and six decimals, as `to_dict` rounds."""
    return (kept.template % (*[at - started for at in kept.expires], clock() - started)).encode()
