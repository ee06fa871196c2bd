"""A message as one lookup: which of its subjects the zones take, and one verdict of all that is found.

What it does: values in, values out; the lookups in between are the resolver's. What it does not: reading the
message (dnsbl.mail), waiting, asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dnsbl.config.message import MessageConfig
from dnsbl.errors import SubjectError
from dnsbl.mail.hops import FirstUntrusted
from dnsbl.mail.message import HARMLESS, Found, Message, read_message
from dnsbl.mail.mime import Limits
from dnsbl.model import Verdict
from dnsbl.subject import parse_subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from dnsbl.lookup.core import Core

DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """One subject of a message. kind: `hop`, `domain`, `ip`, `email`, `url`, `dkim`, `link_a` or `link_ns`.

    where: the places in the message at which it stood. verdict: what the zones say of it.
    """

    kind: str
    where: tuple[str, ...]
    verdict: Verdict

    def to_dict(self, *, explain: bool = False) -> dict[str, Any]:
        """The JSON form: the verdict's own, with kind and where before it."""
        return {"kind": self.kind, "where": list(self.where)} | self.verdict.to_dict(explain=explain)


@dataclass(frozen=True, slots=True)
class MessageVerdict:
    """What all zones together say of one message.

    listed: some finding is listed. complete: every lookup was complete, and none was impossible.
    score: of each zone the highest that it says of any finding, and the lowest below zero, summed: a link
        that stands in a message a hundred times, or under a hundred names of one domain, counts once.
    findings: every subject that was looked up: the hop first, then hosts, addresses, URLs, signers.
    hop: the first untrusted hop, and why those before it were passed by.
    absent: headers that are missing; of what they would have named nothing is known.
    harmless: domains skipped as well known. left_out: what the limits kept from being looked at.
    """

    findings: tuple[Finding, ...]
    listed: bool
    complete: bool
    score: float
    hop: FirstUntrusted
    absent: tuple[str, ...] = ()
    harmless: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        raise TypeError("a verdict is neither true nor false: ask for listed or complete")

    @property
    def listings(self) -> tuple[Finding, ...]:
        """The findings that are listed."""
        return tuple(finding for finding in self.findings if finding.verdict.listed)

    @property
    def zones(self) -> tuple[str, ...]:
        """The names of the zones that list something, each once."""
        return tuple(dict.fromkeys(a.zone for f in self.listings for a in f.verdict.listings))

    def to_dict(self, *, explain: bool = False) -> dict[str, Any]:
        """The JSON form: findings as objects; `explain` adds each answer's evidence."""
        return {
            "listed": self.listed,
            "complete": self.complete,
            "score": self.score,
            "zones": list(self.zones),
            "findings": [finding.to_dict(explain=explain) for finding in self.findings],
            "hop": hop_dict(self.hop),
            "absent": list(self.absent),
            "harmless": list(self.harmless),
            "left_out": list(self.left_out),
        }


def hop_dict(found: FirstUntrusted) -> dict[str, Any]:
    """The JSON form of the walk through the Received headers."""
    return {
        "address": found.address,
        "index": found.index,
        "why": found.why,
        "skipped": [
            {"index": hop.index, "address": hop.hop.address, "by": hop.hop.by, "why": hop.why}
            for hop in found.skipped
        ],
    }


def prepared(
    core: Core,
    config: MessageConfig | None,
    data: bytes,
    trusted: Iterable[str] | None,
    harmless: Iterable[str] | None,
    deadline_s: float | None,
) -> tuple[Message, list[tuple[str, Found]]]:
    """A message read, and what of it is to be asked. It asks for what is behind links, if a zone wants it.

    trusted, harmless: None is as configured, else the default.
    """
    config = config or MessageConfig()
    harmless = config.harmless if harmless is None else harmless
    message = read_message(
        data,
        trusted=config.trusted if trusted is None else trusted,
        harmless=HARMLESS if harmless is None else harmless,
        limits=Limits(**config.limits),
    )
    asked = subjects_of(message, core.takes)
    if core.takes["link_a"] or core.takes["link_ns"]:
        from dnsbl.lookup.behind import MAX_HOSTS, addresses_behind

        if len(_link_hosts(message)) > MAX_HOSTS:
            left_out = f"addresses behind the hosts of links beyond {MAX_HOSTS}"
            message = replace(message, left_out=(*message.left_out, left_out))
        asked += behind_links(
            message,
            core.takes,
            lambda hosts, ns: addresses_behind(core, hosts, ns, deadline_s or core.settings.deadline_s),
        )
    return message, asked


def subjects_of(message: Message, takes: Mapping[str, int]) -> list[tuple[str, Found]]:
    """What of a message some zone takes, with its kind of finding. takes: by kind of subject, a bit mask."""
    asked: list[tuple[str, Found]] = []
    if message.hop.address is not None:
        subject = parse_subject(message.hop.address)
        if takes[subject.kind]:
            asked.append(("hop", Found(subject, (f"Received {message.hop.index}",))))
    for found in (*message.hosts, *message.emails, *message.urls, *message.signers):
        kind = found.subject.kind
        if takes[kind]:
            asked.append(("ip" if kind in ("link4", "link6") else kind, found))
    return asked


def message_verdict(
    message: Message,
    asked: Sequence[tuple[str, Found]],
    verdicts: Iterable[Verdict | SubjectError],
) -> MessageVerdict:
    """One verdict of all. A subject that could not be asked (too long for a zone) makes it incomplete."""
    findings: list[Finding] = []
    left_out = list(message.left_out)
    complete = True
    for (kind, found), verdict in zip(asked, verdicts, strict=True):
        if isinstance(verdict, SubjectError):
            left_out.append(str(verdict))
            complete = False
            continue
        findings.append(Finding(kind, found.where, verdict))
        complete = complete and verdict.complete
    return MessageVerdict(
        tuple(findings),
        any(finding.verdict.listed for finding in findings),
        complete,
        _score(findings),
        message.hop,
        message.absent,
        message.harmless,
        tuple(left_out),
    )


def _score(findings: Iterable[Finding]) -> float:
    highest: dict[str, float] = {}
    lowest: dict[str, float] = {}
    for finding in findings:
        for answer in finding.verdict.answers:
            highest[answer.zone] = max(highest.get(answer.zone, 0.0), answer.score)
            lowest[answer.zone] = min(lowest.get(answer.zone, 0.0), answer.score)
    return round(sum(highest.values()) + sum(lowest.values()), DECIMALS)


def behind_links(
    message: Message,
    takes: Mapping[str, int],
    addresses_of: Callable[[list[str], bool], Mapping[str, tuple[bytes, ...]]],
) -> list[tuple[str, Found]]:
    """The addresses behind the hosts of links and images, where a zone asks for them.

    addresses_of: host names to their addresses; with True, to those of their domains' nameservers.
    """
    found: list[tuple[str, Found]] = []
    hosts = _link_hosts(message)
    for kind, of_nameservers in (("link_a", False), ("link_ns", True)):
        if not takes[kind] or not hosts:
            continue
        where: dict[bytes, list[str]] = {}
        for host, keys in addresses_of(hosts, of_nameservers).items():
            for key in keys:
                where.setdefault(key, []).append(f"{'nameserver' if of_nameservers else 'address'} of {host}")
        for key, places in where.items():
            subject = parse_subject(key)._replace(kind=kind)  # type: ignore[arg-type]  # one of Kind's
            found.append((kind, Found(subject, tuple(places[:10]))))
    return found


def _link_hosts(message: Message) -> list[str]:
    """The domains that stand in links and images."""
    return [
        found.subject.text
        for found in message.hosts
        if found.subject.kind == "domain" and any(w.startswith(("link ", "image ")) for w in found.where)
    ]
