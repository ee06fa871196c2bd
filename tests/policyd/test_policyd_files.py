"""`dnsbl policyd` with zones that are files: the cases F1 to F10 of list files, asked at the policy socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.policydaemon import Client, Policyd

from dnsbl.policyd.control import ask

NONE = "DUNNO"


class Case(NamedTuple):
    """The text of one file and what the daemon says of clients and HELO names: the return code and the reason.

    ~ stands for a number of the case's own, so that one daemon can have all the files.
    """

    text: str
    answers: dict[str, str]
    warns: str = ""
    format: str = "auto"


CASES = {
    "f1": Case(
        "; Spamhaus DROP List\n11.~.2.0/24 ; SBL1\n12.~.100.0/22 ; SBL2\n; EOF",
        {"11.~.2.1": "127.0.0.2 SBL1", "12.~.103.255": "127.0.0.2 SBL2", "12.~.104.0": NONE},
    ),
    "f3": Case(
        '{"cidr":"11.~.2.0/24","sblid":"SBL1","rir":"x"}\n{"cidr":"2a00:~::/32","sblid":"SBL2"}\n'
        '{"type":"metadata","timestamp":0,"records":3}',
        {"11.~.2.1": "127.0.0.2 SBL1", "2a00:~::5": "127.0.0.2 SBL2", "11.~.3.1": NONE},
        "2 entries, its metadata says 3",
    ),
    "f4": Case(
        "\ufeff11.~.2.0/27    # office\r\n2a00:~::/32 ; x\r\n# whole line\r\n\r\n  12.~.100.7 \r\n"
        + "".join(f"14.~.0.{number}\r\n" for number in range(20))
        + "13.~.113.1 // no comment\r\n",
        {"11.~.2.31": "127.0.0.2", "2a00:~:ffff::": "127.0.0.2", "12.~.100.7": "127.0.0.2", "13.~.113.1": NONE},
        "1 of 24 entries are left out",
        "plain",
    ),
    "f5": Case(
        "".join(f"12.~.100.{number}\n" for number in range(20)) + "11.~.2.67/24\n12.~.100.200\n",
        {"12.~.100.1": "127.0.0.2", "12.~.100.200": "127.0.0.2", "11.~.2.67": NONE},
        "has host bits set",
    ),
    "f7": Case(
        "$SOA 3000 ns.example admin.example 0 1h 1h 1h 1h\n$NS 1w ns.example\n$TTL 300\n"
        ":127.0.0.4:see http://example.com/?$\n11.~.2.10-20\n12.~.100\n!12.~.100.7\n13.~.113.0/25 ; SBL1\n"
        "13.~.113.200 :9:own\n" + "".join(f"14.~.0.{number}\n" for number in range(20)) + "10\n",
        {
            "11.~.2.10": "127.0.0.4 see http://example.com/?11.~.2.10",
            "11.~.2.20": "127.0.0.4 see http://example.com/?11.~.2.20",
            "11.~.2.21": NONE,
            "12.~.100.1": "127.0.0.4 see http://example.com/?12.~.100.1",
            "12.~.100.7": NONE,
            "13.~.113.127": "127.0.0.4 see http://example.com/?13.~.113.127",
            "13.~.113.128": NONE,
            "13.~.113.200": "127.0.0.9 own",
        },
        "(1 of 26 entries are left out)",
    ),
    "f8": Case(
        ":2:IP $ is bad\n11.~.2.5 :5\n11.~.2.6 :6:\n11.~.2.7 costs $$5\n11.~.2.8\n",
        {
            "11.~.2.5": "127.0.0.5 IP 11.~.2.5 is bad",
            "11.~.2.6": "127.0.0.6",
            "11.~.2.7": "127.0.0.2 costs $5",
            "11.~.2.8": "127.0.0.2 IP 11.~.2.8 is bad",
        },
    ),
    "f9": Case(
        "n~.Example.com\n*.n~.example.net\n.n~.example.org\n!good.n~.example.org\n",
        {
            "n~.example.com": "127.0.0.2",
            "www.n~.example.com": NONE,
            "n~.example.net": NONE,
            "a.b.N~.Example.Net": "127.0.0.2",
            "n~.example.org": "127.0.0.2",
            "x.n~.example.org": "127.0.0.2",
            "good.n~.example.org": NONE,
            "www.good.n~.example.org": "127.0.0.2",
        },
    ),
    "f10": Case(
        "$DATASET ip4set @\n:5:\n11.~.2.0/24\n$DATASET ip6trie @\n2a00:~::/32\n"
        "$DATASET ip4set relays\n12.~.100.1\n",
        {
            "11.~.2.9": "127.0.0.5",
            "::ffff:11.~.2.9": "127.0.0.5",
            "2a00:~::9": "127.0.0.2",
            "12.~.100.1": NONE,
        },
    ),
}  # fmt: skip


def own(text: str, name: str) -> str:
    return text.replace("~", name[1:])


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Policyd]:
    directory = tmp_path_factory.mktemp("lists")
    # No nameserver answers: nothing is to be asked.
    text = '[resolver]\nnameservers = ["127.0.0.1:1"]\n'
    for name, case in CASES.items():
        (directory / name).write_bytes(own(case.text, name).encode())
        text += f'[[zone]]\nname = "{name}.example"\nfile = "{directory / name}"\nformat = "{case.format}"\n'
        text += 'subjects = ["ip4", "ip6", "domain"]\n'
    text += f'[policy]\ncontrol = "{directory / "control"}"\n'
    text += '[[policy.rule]]\nscore = ">=1"\naction = "REJECT {zones} {codes} {reason}"\n'
    with Policyd(text) as daemon:
        yield daemon


@pytest.mark.parametrize("name", CASES)
def test_list_files(daemon: Policyd, name: str) -> None:
    said = {}
    with Client(daemon.port) as client:
        for subject in CASES[name].answers:
            asked = own(subject, name)
            is_address = (asked.count(".") == 3 and asked[0].isdigit()) or ":" in asked
            said[subject] = client.ask(
                asked if is_address else "192.0.2.1", helo_name="" if is_address else asked
            )
    assert said == {
        subject: answer if answer == NONE else own(f"REJECT {name}.example {answer}", name)
        for subject, answer in CASES[name].answers.items()
    }
    assert CASES[name].warns in daemon.log()


def test_files_are_counted_in_stats(daemon: Policyd) -> None:
    path = Path(daemon.config.read_text().partition('control = "')[2].partition('"')[0])

    def counts() -> tuple[int, int, int]:
        zone = next(zone for zone in ask(path, "stats")["zones"] if zone["zone"] == "f8.example")
        return zone["listed"], zone["not_listed"], zone["queries"]

    with Client(daemon.port) as client:
        before = counts()
        assert client.ask("11.8.2.5") != NONE
        assert [client.ask(f"192.0.2.{number}") for number in range(3)] == [NONE] * 3
        after = counts()
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 3, 0]


def test_a_changed_file_is_taken_while_it_serves(daemon: Policyd) -> None:
    path = Path(daemon.config.read_text().partition('file = "')[2].partition('"')[0])
    with Client(daemon.port) as client:
        assert client.ask("198.51.100.99") == NONE
        new = path.with_suffix(".new")
        new.write_text(path.read_text() + "\n198.51.100.99/32 ; SBL9\n")
        os.replace(new, path)
        daemon.wait_for(lambda: client.ask("198.51.100.99") != NONE)
        assert client.ask("198.51.100.99") == "REJECT f1.example 127.0.0.2 SBL9"
