"""What `dnsbl doctor` finds: from the zones' health, the catalogue and the configuration to findings.

Asks nobody anything: the health check is done before, and its answers are what is judged here. How findings
are shown is in `dnsbl.cli.doctor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from dnsbl.doctor.public_resolvers import public_operator
from dnsbl.errors import ZoneError
from dnsbl.health.judge import State, ZoneHealth
from dnsbl.model import Kind, Status
from dnsbl.policy.findings import Findings, Scope
from dnsbl.policy.rules import Policy
from dnsbl.policy.sources import CLIENT, FORGEABLE
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.interpret import score_bounds
from dnsbl.zones.replyfilter import ReplyFilter
from dnsbl.zones.row import Row
from dnsbl.zones.zone import Code, Zone

_OWN_RESOLVER: Final = (
    "run a recursive resolver of your own (unbound, BIND, Knot) on this host, one that forwards to nobody, "
    'and set nameservers = ["127.0.0.1"]'
)


class Finding(NamedTuple):
    """Something wrong. about: the zones, nameserver or rule; problem, remedy: one line each."""

    about: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Patient:
    """A zone that was examined. nameservers: those it is asked through; a file has none.

    budget: as in `Resolver.stats`. entries: of a list file.
    """

    zone: Zone
    row: Row | None
    health: ZoneHealth
    nameservers: tuple[str, ...]
    budget: dict[str, Any]
    entries: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return self.health.to_dict() | {
            "nameservers": list(self.nameservers),
            "budget": self.budget,
            "file": {"path": self.zone.file, "entries": self.entries} if self.zone.file else None,
            "terms": None if self.row is None else _terms(self.row),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found out."""

    patients: tuple[Patient, ...]
    findings: tuple[Finding, ...]

    @property
    def nameservers(self) -> dict[str, str | None]:
        """The nameservers in use, each with who runs it if it is a known public resolver."""
        return {
            server: public_operator(server) for patient in self.patients for server in patient.nameservers
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "healthy": not self.findings,
            "nameservers": [
                {"nameserver": server, "public": operator} for server, operator in self.nameservers.items()
            ],
            "zones": [patient.to_dict() for patient in self.patients],
            "findings": [finding._asdict() for finding in self.findings],
        }


def _terms(row: Row) -> dict[str, Any]:
    return {
        "terms": row.terms,
        "registration": row.registration,
        "non_commercial": row.non_commercial,
        "queries_per_day": row.zone.daily_limit,
        "connections_per_day": row.connections_per_day,
        "public_resolvers": row.public_resolvers,
    }


def findings_of(
    patients: Sequence[Patient], catalogue: Catalogue, policy: Policy | None
) -> tuple[Finding, ...]:
    """Everything wrong with the zones, with what they are asked through, and with how they are counted.

    policy: the daemon's rules; None: they are not looked at.
    """
    return (
        *_public(patients),
        *_health(patients),
        *_redundant(patients, catalogue),
        *_weightless(patients),
        *_unmatchable(patients),
        *(() if policy is None else _unreachable(patients, policy)),
    )


def split_remedy(text: str, about: str) -> Finding:
    """A warning or error of the configuration, `problem; remedy`, as a finding."""
    problem, _, remedy = text.removeprefix(f"{about} ").rpartition("; ")
    return Finding(about, problem or text, remedy if problem else "change it in the configuration")


def split_retired(
    zones: Iterable[Zone], catalogue: Catalogue, allow: Iterable[str]
) -> tuple[tuple[Zone, ...], tuple[Finding, ...]]:
    """The zones that are alive, or allowed by name, and a finding for each of the others."""
    alive, dead = [], []
    for zone in zones:
        row = catalogue.row(zone.name)
        if row is None or row.status != "retired" or {zone.name, row.name} & set(allow):
            alive.append(zone)
            continue
        try:
            catalogue.build([zone])
        except ZoneError as error:
            dead.append(split_remedy(str(error), zone.name))
    return tuple(alive), tuple(dead)


# ---- nameservers and health ----


def _public(patients: Sequence[Patient]) -> Iterator[Finding]:
    for server in dict.fromkeys(server for patient in patients for server in patient.nameservers):
        operator = public_operator(server)
        rows = {patient.zone.name: patient.row for patient in patients if server in patient.nameservers}
        for policy, what in _PUBLIC_POLICIES.items():
            names = [name for name, row in rows.items() if row is not None and row.public_resolvers == policy]
            if operator is not None and names:
                problem = f"a public resolver, of {operator}; {what}: {', '.join(names)}"
                yield Finding(server, problem, _OWN_RESOLVER)


_PUBLIC_POLICIES: Final = {
    "refused": "these lists refuse such",
    "counted": "these lists count their free limit over all who ask through it",
}


def _health(patients: Sequence[Patient]) -> Iterator[Finding]:
    silent: dict[tuple[str, ...], bool] = {}
    for patient in patients:
        silent[patient.nameservers] = silent.get(patient.nameservers, True) and _heard_nothing(patient.health)
    for servers, is_silent in silent.items():
        if is_silent:
            remedy = (
                "check that it runs, lets this host ask, and is not behind a firewall; then run this again"
            )
            yield Finding(", ".join(servers), "no answer at all, for any zone", remedy)
    alike: dict[tuple[str, str], list[str]] = {}
    for patient in patients:
        if not _is_sound(patient) and not silent[patient.nameservers]:
            alike.setdefault((_problem(patient.health), _remedy(patient)), []).append(patient.zone.name)
    for (problem, remedy), names in alike.items():
        yield Finding(", ".join(names), problem, remedy)


def _is_sound(patient: Patient) -> bool:
    """Weak evidence about a test entry that the catalogue is not sure of does not count."""
    if patient.health.state is State.UNPROVEN:
        return patient.row is not None and "tests" in patient.row.unverified
    return patient.health.state in (State.HEALTHY, State.UNTESTED)


def _heard_nothing(health: ZoneHealth) -> bool:
    return bool(health.answers) and all(answer.wire.status == Status.TIMEOUT for answer in health.answers)


def _problem(health: ZoneHealth) -> str:
    return f"{health.state.replace('_', ' ')}: {health.detail}"


def _remedy(patient: Patient) -> str:
    registration = "" if patient.row is None or patient.zone.key is not None else patient.row.registration
    if registration and patient.health.state is not State.WILDCARDED:
        return f"{registration}, if that is not done; {patient.health.hint}"
    return patient.health.hint


# ---- configuration ----


def _redundant(patients: Sequence[Patient], catalogue: Catalogue) -> Iterator[Finding]:
    names = {patient.zone.name for patient in patients}
    for patient in patients:
        for whole in _wholes(patient.row, catalogue):
            if whole in names:
                problem = f"{whole}, which is asked too, holds all of it: one hit counts twice"
                yield Finding(patient.zone.name, problem, f"take {patient.zone.name} out")
                break


def _wholes(row: Row | None, catalogue: Catalogue) -> list[str]:
    """The zones that hold all of a list, the smallest first."""
    found: list[str] = []
    while row is not None and row.part_of and row.part_of not in found:
        found.append(row.part_of)
        row = catalogue.row(row.part_of)
    return found


def _weightless(patients: Sequence[Patient]) -> Iterator[Finding]:
    for patient in patients:
        if score_bounds(patient.zone) == (0, 0):
            problem = "its weight is 0, so its answers never count, and every lookup waits for them"
            yield Finding(patient.zone.name, problem, "give it a weight, or take it out")


def _unmatchable(patients: Sequence[Patient]) -> Iterator[Finding]:
    """Filters that take none of the codes that the list is known to give."""
    for patient in patients:
        codes = [code for code in patient.row.zone.codes if code.outcome == "listed"] if patient.row else []
        for entry in patient.zone.filters:
            if codes and entry.reply is not None and not any(_overlap(entry.reply, code) for code in codes):
                known = ", ".join(map(str, codes[:6]))
                problem = f"its filter {entry.reply} takes none of its codes: {known}"
                yield Finding(patient.zone.name, problem, "correct the filter, or leave it out")


def _overlap(reply: ReplyFilter, code: Code) -> bool:
    if code.match is not None:
        return all(one & other for one, other in zip(reply.octets, code.match.octets, strict=True))
    return any(reply.octets[3] >> last & 1 for last in range(256) if last & (code.mask or 0))


def findings_of_servers(alone: Mapping[str, ZoneHealth]) -> tuple[Finding, ...]:
    """What is wrong with single nameservers of several, each asked alone; nothing where all are alike.

    alone: by nameserver, the state that one zone has through it.
    """
    silent = [server for server, health in alone.items() if _heard_nothing(health)]
    refusing = [
        server
        for server, health in alone.items()
        if health.answers and all(answer.wire.status == Status.REFUSED for answer in health.answers)
    ]
    found = []
    for servers, problem, remedy in (
        (silent, "no answer, though others answer: every lookup that begins with it waits", _SILENT_REMEDY),
        (refusing, "it answers REFUSED, though others answer", _REFUSING_REMEDY),
    ):
        if len(servers) < len(alone):
            found += [Finding(server, problem, remedy) for server in servers]
    return tuple(found)


_SILENT_REMEDY: Final = "check that it runs and lets this host ask, or take it out of nameservers"
_REFUSING_REMEDY: Final = "let this host ask it (unbound: access-control), or take it out of nameservers"


def _unreachable(patients: Sequence[Patient], policy: Policy) -> Iterator[Finding]:
    """Rules whose score no client can have."""
    for rule in policy.rules:
        if any(condition.key == "certain" for condition in rule.of_verdict):
            continue  # about answers that are missing, not about a score that can be reached
        low, high = _reach(patients, rule.scope)
        for condition in rule.of_verdict:
            reached = (condition.test(Findings(score=score, least=score)) for score in (low, high))
            if condition.key == "score" and not any(reached):
                problem = f"score {condition.text} can never be: all zones together give {low:g} to {high:g}"
                about = rule.name if rule.is_built_in else f"policy {rule.name}"
                remedy = (
                    "write rules of your own, or change" if rule.is_built_in else "change the rule's score or"
                )
                yield Finding(about, problem, f"{remedy} zones' weights")


def _reach(patients: Sequence[Patient], scope: Scope) -> tuple[float, float]:
    """The least and the most that a client can score: its address is of one kind, each name a domain."""
    low = high = 0.0
    for source in scope.look_up:
        kinds: tuple[Kind, ...] = ("ip4", "ip6") if source == CLIENT else ("domain",)
        of_kinds = [_sum(patients, kind) for kind in kinds]
        high += max(most for _, most in of_kinds)
        if scope.forged or source not in FORGEABLE:
            low += min(least for least, _ in of_kinds)
    return low, high


def _sum(patients: Sequence[Patient], kind: Kind) -> tuple[float, float]:
    bounds = [score_bounds(patient.zone) for patient in patients if kind in patient.zone.subjects]
    return sum(least for least, _ in bounds), sum(most for _, most in bounds)
