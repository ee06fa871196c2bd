"""What a configuration decides about a request, given what the lists answer; nothing is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dnsbl.config.file import Config
from dnsbl.model import ERRORS, Outcome, Status, Verdict, Wire, ZoneAnswer
from dnsbl.policy.rules import compile_rules
from dnsbl.policy.sources import subjects
from dnsbl.subject.address import address_key
from dnsbl.subject.parse import parse_subject
from dnsbl.zones.interpret import read
from dnsbl.zones.zone import Zone

Answers = Mapping[tuple[str, str], Collection[str]]
"""By zone and by the address or domain asked about: the addresses it answers."""


def decided(
    config: Config, request: Mapping[str, str], answers: Answers, silent: Collection[str] = ()
) -> str:
    """The first word of the policy's action: REJECT, DUNNO, DEFER_IF_PERMIT ... silent: zones that time out."""
    names = [zone.name for zone in config.zones]
    policy = compile_rules(config.policy, zones=names, built=config.zones)
    attributes = {"protocol_state": "RCPT", **request}
    candidates = policy.candidates(attributes)
    asked = subjects(attributes, policy.look_up(candidates))
    verdicts = {
        source: _verdict(config.zones, parse_subject(subject).text, answers, silent)
        for source, subject in asked.items()
    }
    return policy.decision(attributes, candidates, verdicts).action.split()[0]


def _verdict(zones: Collection[Zone], subject: str, answers: Answers, silent: Collection[str]) -> Verdict:
    key = address_key(subject)
    kind = "domain" if key is None else "ip4" if len(key) == 4 else "ip6"
    found = tuple(
        _answer(zone, subject, answers, silent)
        if kind in zone.subjects
        else ZoneAnswer(zone.name, Outcome.SKIPPED, detail=f"takes no {kind}")
        for zone in zones
    )
    score = sum(answer.score for answer in found)
    complete = not any(answer.outcome in ERRORS for answer in found)
    return Verdict(subject, any(answer.score > 0 for answer in found), complete, score, found)


def _answer(zone: Zone, subject: str, answers: Answers, silent: Collection[str]) -> ZoneAnswer:
    codes = sorted(
        int.from_bytes(bytes(map(int, code.split("."))), "big")
        for code in answers.get((zone.name, subject), ())
    )
    wire = Wire(Status.OK, 0, tuple(codes)) if codes else Wire(Status.NXDOMAIN, 3)
    reading = read(zone, Wire(Status.TIMEOUT, -1) if zone.name in silent else wire)
    name = f"{subject}.{zone.name}"
    return ZoneAnswer(
        zone.name, reading.outcome, reading.codes, reading.meanings, reading.score, query_name=name
    )
