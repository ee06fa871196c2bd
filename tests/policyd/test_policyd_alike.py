"""This daemon and Postfix's own reject_rbl_client and reject_rhsbl_* decide alike, on the same data.

One Postfix has for each generated order of restrictions two recipients: `own-N`, for whom it asks the lists
itself, and `ask-N`, for whom it asks the daemon, whose rules say the same. A session (XCLIENT) names both,
and is refused for one list's sake, or accepted, twice. Postfix asks the system's nameserver, so that it runs
in a mount namespace whose resolv.conf names an address of this test's own; once with smtpd_delay_reject, and
once without it and with smtpd chrooted.

Different by design, and so not generated: a bare name or an address as HELO, which Postfix asks domain lists
for; codes by which a list refuses to answer, which Postfix without a filter takes for a listing.
"""

from __future__ import annotations

import random
import smtplib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from support.mailserver import Postfix
from support.policydaemon import Policyd
from support.servers import Rbldnsd, find_program, free_port

SESSIONS = 500
PER_CONNECTION = 10
ORDERS = 40
NAMESERVER = "127.5.3.1"
RESOLV_CONF = f"nameserver {NAMESERVER}\n"
SEED = 20261127

CODES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.10")
FILTERS = ("", "=127.0.0.2", "=127.0.0.[2..3]", "=127.0.0.[3;10]", "=127.0.[0..1].4")
ADDRESSES = [f"192.0.2.{number}" for number in range(1, 25)]
NAMES = [
    f"{label}{number}.example" for label in ("bad", "mail.bad", "good", "www.good") for number in range(6)
]
IP_ZONES = ("bl-a.example", "bl-b.example", "wl.example")
DOMAIN_ZONES = ("dbl-a.example", "dbl-b.example", "dwl.example")

# Postfix's restriction -> the source that it is about, and whether it rejects.
RESTRICTIONS = {
    "reject_rbl_client": ("client", True),
    "reject_rhsbl_sender": ("sender", True),
    "reject_rhsbl_helo": ("helo", True),
    "reject_rhsbl_client": ("client_name", True),
    "reject_rhsbl_reverse_client": ("reverse_client_name", True),
    "reject_rhsbl_recipient": ("recipient", True),
    "permit_dnswl_client": ("client", False),
    "permit_rhswl_client": ("client_name", False),
}


class LocalRbldnsd(Rbldnsd):
    """Also where Postfix asks: on port 53 of an address of loopback that nothing else has."""

    def _command(self) -> Sequence[str]:
        return "-b", f"{NAMESERVER}/53", *super()._command()


class ResolvingPostfix(Postfix):
    """Postfix with a resolv.conf of its own."""

    program = "unshare"

    def _command(self) -> Sequence[str]:
        (self.directory / "resolv.conf").write_text(RESOLV_CONF)
        command = [find_program("master") or "master", *super()._command()]
        script = f'mount --bind {self.directory}/resolv.conf /etc/resolv.conf && exec "$@"'
        return "-m", "--propagation", "private", "sh", "-c", script, "sh", *command


@dataclass(frozen=True)
class Restriction:
    name: str
    zone: str
    filter: str

    def __str__(self) -> str:
        return f"{self.name} {self.zone}{self.filter}"

    def rule(self, recipient: str) -> str:
        source, rejects = RESTRICTIONS[self.name]
        codes = f'codes = ["{self.filter[1:]}"]\n' if self.filter else ""
        action = f"REJECT {source} {self.zone}" if rejects else "OK"
        return (
            f'[[policy.rule]]\nrecipient = "{recipient}"\nlook_up = "{source}"\nzones = "{self.zone}"\n'
            f'{codes}action = "{action}"\n'
        )


def make_orders(chance: random.Random) -> list[list[Restriction]]:
    orders = []
    for _ in range(ORDERS):
        order = []
        for _ in range(chance.randint(1, 5)):
            name = chance.choice(list(RESTRICTIONS))
            source, _ = RESTRICTIONS[name]
            zone = chance.choice(IP_ZONES if source == "client" else DOMAIN_ZONES)
            order.append(Restriction(name, zone, chance.choice(FILTERS)))
        orders.append(order)
    return orders


def make_data(chance: random.Random) -> dict[str, dict[str, str]]:
    """Each zone with some of the addresses or names, under some of the codes; some names with all below."""
    data = {}
    for zone in IP_ZONES:
        lines = [f"{address} :{chance.choice(CODES)}:no" for address in ADDRESSES if chance.random() < 0.3]
        data[zone] = {"ip4set": "\n".join([*lines, "127.0.0.2"])}  # RFC 5782's test entries
    for zone in DOMAIN_ZONES:
        lines = [
            f"{chance.choice(('', '.'))}{name} :{chance.choice(CODES)}:no"
            for name in NAMES
            if chance.random() < 0.3
        ]
        data[zone] = {"dnset": "\n".join([*lines, "test"])}
    return data


def daemon_config(nameserver: str, orders: Sequence[Sequence[Restriction]]) -> str:
    text = f'[resolver]\nnameservers = ["{nameserver}"]\ndeadline_s = 2.0\n'
    for zone in IP_ZONES:
        text += f'[[zone]]\nname = "{zone}"\nsubjects = ["ip4"]\n'
    for zone in DOMAIN_ZONES:
        text += f'[[zone]]\nname = "{zone}"\nsubjects = ["domain"]\ndomain = "host"\n'
    text += "[policy]\n"
    for number, order in enumerate(orders):
        text += "".join(restriction.rule(f"ask-{number}@*") for restriction in order)
        text += f'[[policy.rule]]\nrecipient = "ask-{number}@*"\naction = "DUNNO"\n'
    return text


def main_cf(port: int, orders: Sequence[Sequence[Restriction]], delay: str) -> str:
    classes = {f"own{number}": ", ".join(map(str, order)) for number, order in enumerate(orders)}
    classes["ask"] = f"check_policy_service inet:127.0.0.1:{port}"
    access = [f"{{ own-{number}@ = own{number} }}" for number in range(len(orders))]
    access += [f"{{ ask-{number}@ = ask }}" for number in range(len(orders))]
    return "\n".join([
        "disable_dns_lookups = no",
        "relay_domains = static:all",
        "smtpd_authorized_xclient_hosts = 127.0.0.0/8, 192.0.2.0/24",  # of whom it poses as too
        f"smtpd_delay_reject = {delay}",
        "smtpd_junk_command_limit = 10000",
        "smtpd_hard_error_limit = 10000",
        "smtpd_soft_error_limit = 9000",
        "smtpd_error_sleep_time = 0",
        "in_flow_delay = 0",  # else each recipient costs a second, as no message is ever delivered
        f"smtpd_restriction_classes = {', '.join(classes)}",
        *(f"{name} = {value}" for name, value in classes.items()),
        f"smtpd_recipient_restrictions = check_recipient_access inline:{{ {', '.join(access)} }}",
        "default_rbl_reply = $rbl_code Service unavailable; $rbl_class; $rbl_domain",
    ])  # fmt: skip


CLASSES = {
    "client host": ("client", "client_name"),
    "unverified client host": ("reverse_client_name",),
    "helo command": ("helo",),
    "sender address": ("sender",),
    "recipient address": ("recipient",),
}


def own_reply(code: int, text: str) -> tuple[str, ...]:
    """What Postfix's restriction refused for: sources it may be, and the zone; nothing where accepted."""
    if code == 250:
        return ()
    assert code == 554, text
    _, kind, zone = text.split("; ")
    return (*CLASSES[kind.lower()], zone)


def asked_reply(code: int, text: str) -> tuple[str, ...]:
    if code == 250:
        return ()
    assert code == 554, text
    source, zone = text.rpartition("rejected: ")[2].split()
    return source, zone


@dataclass(frozen=True)
class Visitor:
    """Who comes in one session."""

    address: str
    name: str
    reverse: str
    helo: str
    sender: str
    domain: str
    """Of the recipient."""


def visitor(chance: random.Random) -> Visitor:
    reverse = chance.choice([*NAMES, "[UNAVAILABLE]"])
    name = reverse if chance.random() < 0.6 else "[UNAVAILABLE]"
    helo = chance.choice([*NAMES, "[192.0.2.1]"])
    sender = chance.choice([*(f"user@{name}" for name in NAMES), "", "user@[192.0.2.1]"])
    return Visitor(chance.choice(ADDRESSES), name, reverse, helo, sender, chance.choice(NAMES))


def visit(server: smtplib.SMTP, who: Visitor, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """One session: what Postfix itself says, and what the daemon has it say."""
    code, text = server.docmd("XCLIENT", f"ADDR={who.address} NAME={who.name} REVERSE_NAME={who.reverse}")
    assert code == 220, text
    assert server.docmd("EHLO", who.helo)[0] == 250
    assert server.docmd("MAIL", f"FROM:<{who.sender}>")[0] == 250
    code, text = server.docmd("RCPT", f"TO:<own-{number}@{who.domain}>")
    own = own_reply(code, text.decode())
    code, text = server.docmd("RCPT", f"TO:<ask-{number}@{who.domain}>")
    assert server.docmd("RSET")[0] == 250
    return own, asked_reply(code, text.decode())


@pytest.fixture(scope="module", params=["yes", "no"])
def delay(request: pytest.FixtureRequest) -> str:
    """smtpd_delay_reject"""
    return str(request.param)


@pytest.fixture(scope="module")
def rbldnsd() -> Iterator[Rbldnsd]:
    with LocalRbldnsd(make_data(random.Random(SEED))) as server:
        yield server


def test_generated_sessions_are_decided_alike(rbldnsd: Rbldnsd, delay: str) -> None:
    chance = random.Random(f"{SEED} {delay}")
    orders, port = make_orders(chance), free_port()
    wrong, refused = [], 0
    config = daemon_config(rbldnsd.nameserver, orders)
    with (
        ResolvingPostfix(
            main_cf=main_cf(port, orders, delay), chroot=delay == "no", resolv_conf=RESOLV_CONF
        ) as postfix,
        Policyd(config, listen=[f"127.0.0.1:{port}"]),
    ):
        for _ in range(SESSIONS // PER_CONNECTION):
            with smtplib.SMTP("127.0.0.1", postfix.port, local_hostname="localhost", timeout=60) as server:
                for _ in range(PER_CONNECTION):
                    who, number = visitor(chance), chance.randrange(len(orders))
                    own, asked = visit(server, who, number)
                    refused += bool(own)
                    if bool(own) != bool(asked) or (
                        own and (asked[0] not in own[:-1] or asked[1] != own[-1])
                    ):
                        wrong.append((who, [str(restriction) for restriction in orders[number]], own, asked))
    assert wrong == []
    assert SESSIONS * 0.1 < refused < SESSIONS * 0.9  # both happen often enough to tell


def test_the_client_is_refused_at_the_same_step(rbldnsd: Rbldnsd, delay: str) -> None:
    """In smtpd_client_restrictions, where smtpd_delay_reject decides when that is."""
    listed = next(
        line.split()[0] for line in make_data(random.Random(SEED))["bl-a.example"]["ip4set"].split("\n")
    )
    clean = "198.51.100.7"
    port = free_port()
    config = daemon_config(rbldnsd.nameserver, []) + '[[policy.rule]]\nscore = ">=1"\naction = "REJECT no"\n'
    steps = {}
    for kind, restriction in (
        (
            "own",
            "reject_rbl_client bl-a.example, reject_rbl_client bl-b.example, reject_rbl_client wl.example",
        ),
        ("asked", f"check_policy_service inet:127.0.0.1:{port}"),
    ):
        text = f"disable_dns_lookups = no\nsmtpd_delay_reject = {delay}\n"
        text += f"smtpd_client_restrictions = {restriction}\n"
        with (
            Policyd(config, listen=[f"127.0.0.1:{port}"]),
            ResolvingPostfix(main_cf=text) as postfix,
        ):
            steps[kind] = [refused_at(postfix, client) for client in (listed, clean)]
    assert steps["own"] == steps["asked"] == ["RCPT" if delay == "yes" else "XCLIENT", ""]


def refused_at(postfix: Postfix, client: str) -> str:
    """The first command that gets 554; empty: none."""
    with smtplib.SMTP("127.0.0.1", postfix.port, local_hostname="localhost", timeout=60) as server:
        for command, argument in (
            ("XCLIENT", f"ADDR={client} NAME=[UNAVAILABLE]"),
            ("EHLO", "mail.example.org"),
            ("MAIL", "FROM:<a@example.net>"),
            ("RCPT", "TO:<b@example.com>"),
        ):
            if server.docmd(command, argument)[0] == 554:
                return command
    return ""
