"""Tests of one zone's answers, gathered over a whole text and written as one entry per zone.

Exim, SpamAssassin and rspamd name a zone in one place for each code they look for; here it is one zone with
a table of codes. A code table that is written replaces the catalogue's, so the codes by which the list
refuses are carried over from there. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from dnsbl.errors import ConfigError
from dnsbl.migrate.imported import ANY, DOMAIN, IP, CodeLine, Entry, Import
from dnsbl.migrate.octets import ALL, LOOPBACK, Octets, format_filter
from dnsbl.model import Kind
from dnsbl.zones.zone import Code, CodeOutcome

Accepted = Octets | int | None
"""What a test takes: a set of codes, one bit of the last octet (1, 2, 4 ... 128), or None for any listing."""

MAX_TESTS: Final = 1000
"""Most tests of one zone."""

_EVERY: Octets = (LOOPBACK, ALL, ALL, ALL)


@dataclass(frozen=True, slots=True)
class Test:
    """One test: what it takes, what a hit counts, what it means, and whether that is a listing at all.

    name: how the text calls it, for notes.
    """

    accepted: Accepted
    weight: float
    meaning: str = ""
    outcome: CodeOutcome = "listed"
    name: str = field(default="", compare=False)


@dataclass(slots=True)
class _Gathered:
    line: int
    text: str
    key_env: str
    asked: frozenset[Kind]
    domain: Literal["registrable", "host"]
    on_error: Literal["no_opinion", "listed"] | None
    tests: dict[Test, None] = field(default_factory=dict)  # in order, each once


class Collector:
    """Gathers the tests of each zone; `finish` adds one entry per zone to the import.

    by_rules: rules say which code counts about which subject, so that a zone's table may hold both.
    """

    def __init__(self, into: Import, *, by_rules: bool = False) -> None:
        self.into = into
        self._by_rules = by_rules
        self._zones: dict[tuple[str, frozenset[Kind]], _Gathered] = {}

    def add(
        self,
        line: int,
        text: str,
        zone: str,
        tests: list[Test],
        *,
        asked: frozenset[Kind],
        domain: Literal["registrable", "host"] = "host",
        on_error: Literal["no_opinion", "listed"] | None = None,
    ) -> str | None:
        """Add tests of a zone's answers; gives the zone's name without its key.

        domain: what of a domain is asked, where the catalogue does not know the zone. None, and a note, where
        the zone cannot be used, or excludes codes and looks for some too. Raises ConfigError for a zone of
        more than 1,000 tests.
        """
        found = self.into.zone(line, text, zone)
        if found is None:
            return None
        name, key_env = found
        new = _Gathered(line, text, key_env, asked, domain, on_error)
        gathered = self._zones.setdefault((name, asked), new)
        if _excludes_too((*gathered.tests, *tests)):
            message = f"left out: {name} has codes that it excludes, and codes that it looks for"
            self.into.note(line, text, f"{message}: see line {gathered.line}")
            return None
        gathered.on_error = on_error or gathered.on_error
        gathered.tests |= dict.fromkeys(tests)
        if len(gathered.tests) > MAX_TESTS:
            raise ConfigError(f"{name}: more than {MAX_TESTS} codes; is it the right file?", text[:40])
        return name

    def finish(self) -> None:
        for name, gathered in self._by_name():
            row = self.into.catalogue.row(name)
            known = {str(code): code for code in row.zone.codes} if row else {}
            tests = self._counted(gathered, known)
            if all(test.outcome == "blocked" for test in tests):
                self.into.note(gathered.line, gathered.text, f"left out: nothing counts that {name} answers")
                continue
            reply, weight, codes = _written(tests, known)
            is_host = "domain" in gathered.asked and not row and gathered.domain == "host"
            entry = Entry(
                gathered.line,
                name,
                subjects=self.into.subjects(gathered.line, gathered.text, name, gathered.asked),
                domain="host" if is_host else None,
                reply=reply,
                weight=weight,
                codes=codes,
                on_error=gathered.on_error,
                key_env=gathered.key_env,
            )
            self.into.add(entry, gathered.text)

    def _by_name(self) -> list[tuple[str, _Gathered]]:
        """Each zone once. What it answers about addresses and about domains is one table only where alike."""
        found: dict[str, _Gathered] = {}
        for (name, asked), gathered in sorted(self._zones.items(), key=lambda each: not IP & each[0][1]):
            first = found.setdefault(name, gathered)
            if first is gathered:
                continue
            tests = first.tests | gathered.tests
            if DOMAIN & asked:
                first.domain = gathered.domain
            if _counts(first.tests) == _counts(gathered.tests):
                first.asked |= asked
            elif self._by_rules and not _excludes_too(tests):
                first.asked |= asked
                first.tests = tests
            else:
                message = f"left out: {name} counts otherwise about addresses, on line {first.line}"
                remedy = "ask it about domains in a configuration of its own"
                self.into.note(gathered.line, gathered.text, f"{message}; {remedy}")
        return sorted(found.items(), key=lambda each: each[1].line)

    def _counted(self, gathered: _Gathered, known: Mapping[str, Code]) -> list[Test]:
        """The tests but for those that look for a code by which the list refuses; these are noted."""
        counted = []
        for test in gathered.tests:
            code = known.get(_shown(test.accepted))
            if code is None or code.outcome != "blocked":
                counted.append(test)
            else:
                message = f"{code} is a refusal, not a listing, and is always read as one"
                self.into.note(gathered.line, test.name or gathered.text, message, lost=False)
        return counted


def _counts(tests: Iterable[Test]) -> set[tuple[Accepted, float, CodeOutcome]]:
    """What the tests say, whatever it is called."""
    return {(test.accepted, test.weight, test.outcome) for test in tests}


def _excludes_too(tests: Iterable[Test]) -> bool:
    """Whether some of the tests exclude codes and others look for some."""
    return {"neutral", "listed"} <= {test.outcome for test in tests}


def _shown(accepted: Accepted) -> str:
    """A test as the catalogue shows a code."""
    if isinstance(accepted, int):
        return f"mask {accepted}"
    return format_filter(accepted or _EVERY)


def _written(
    tests: list[Test], known: Mapping[str, Code]
) -> tuple[str | None, float | None, tuple[CodeLine, ...]]:
    """The keys `reply`, `weight` and `codes`: a filter where that says it all, else a table of codes."""
    first = tests[0]
    if len(tests) == 1 and not isinstance(first.accepted, int) and first.outcome == "listed":
        return ANY if first.accepted is None else _shown(first.accepted), first.weight, ()
    refusals = [code for code in known.values() if code.outcome == "blocked"]
    lines = [
        CodeLine(str(code.match) if code.match else None, code.mask, code.meaning, None, "blocked")
        for code in refusals
    ]
    weights = {test.weight for test in tests if test.outcome != "blocked"}
    for test in tests:
        code = known.get(_shown(test.accepted))
        meaning = test.meaning or (code.meaning if code else "")
        weight = test.weight if len(weights) > 1 and test.outcome == "listed" else None
        mask = test.accepted if isinstance(test.accepted, int) else None
        lines.append(CodeLine(None if mask else _shown(test.accepted), mask, meaning, weight, test.outcome))
    return None, weights.pop() if len(weights) == 1 else None, tuple(lines)
