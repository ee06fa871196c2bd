"""Domains over the socket of a real daemon; one message and one configuration; the log of a decision."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from support.policydaemon import Client, Policyd, config, request, start_lists

from dnsbl.testing import DnsblServer, silence, wildcard

DOMAINS = '[[zone]]\nname = "dbl.example"\nsubjects = ["domain"]\n'
BY_SOURCE = '[[policy.rule]]\nscore = ">=1"\naction = "REJECT {source} {subject} {zones}"\n'


def start_domains() -> DnsblServer:
    lists = start_lists()
    zone = lists.zone("dbl.example", "domain")
    for name in ("bad.example", "bad.example.org"):
        zone.list(name, txt="spam")
    return lists


def with_domains(lists: DnsblServer, policy: str) -> str:
    return config(lists, policy).replace("[policy]", f"{DOMAINS}[policy]")


def test_a_domain_list_is_asked_about_sender_helo_and_names() -> None:  # K4
    clean = "192.0.2.98"
    with (
        start_domains() as lists,
        Policyd(with_domains(lists, BY_SOURCE)) as daemon,
        Client(daemon.port) as client,
    ):
        assert client.ask(clean, sender="a@bad.example") == "REJECT sender bad.example dbl.example"
        assert client.ask(clean, helo_name="mail.bad.example") == "REJECT helo mail.bad.example dbl.example"
        assert client.ask(clean, client_name="bad.example").startswith("REJECT client_name ")
        assert client.ask(clean, reverse_client_name="bad.example").startswith("REJECT reverse_client_name")
        assert client.ask(clean, recipient="a@bad.example") == "DUNNO"
        assert client.ask(clean, sender="", helo_name="[192.0.2.99]", client_name="unknown") == "DUNNO"
        assert client.ask("unknown", sender="a@bad.example").startswith("REJECT sender ")


def test_all_lookups_of_a_request_share_one_deadline() -> None:
    with start_domains() as lists, Policyd(with_domains(lists, BY_SOURCE)) as daemon:
        lists.zone("dbl.example").fault(silence())
        with Client(daemon.port) as client:
            reply = client.ask(
                "192.0.2.98", sender="a@a.example", helo_name="b.example", client_name="c.example"
            )
            assert reply == "DUNNO"
        [line] = [line for line in daemon.wait_for_log("decision").splitlines() if "decision" in line]
        ms = float(line.partition(" ms=")[2].split()[0])
        assert 1_900 < ms < 3_500  # deadline_s is 2, and not 2 for each


def test_a_message_keeps_the_configuration_it_began_with() -> None:  # N8
    def text(lists: DnsblServer, weight: int, at: int) -> str:
        return config(lists, f'[[policy.rule]]\nscore = ">={at}"\naction = "REJECT"\n').replace(
            'name = "bl.example"', f'name = "bl.example"\nweight = {weight}'
        )

    with start_lists() as lists, Policyd(text(lists, 5, 10)) as daemon, Client(daemon.port) as client:
        assert client.ask(instance="m1") == "DUNNO"
        daemon.config.write_text(text(lists, 1, 1))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        assert client.ask(instance="m1", recipient="b@example.com") == "DUNNO"
        assert client.ask(instance="m2") == "REJECT"


def test_requests_under_way_keep_their_deadline_over_a_reload() -> None:  # N12
    with start_lists() as lists:
        lists.zone("bl.example").fault(silence())
        slow = config(lists).replace("deadline_s = 2.0", "deadline_s = 4.0")
        with Policyd(slow) as daemon, Client(daemon.port) as client:
            client.send(request())
            daemon.config.write_text(slow.replace("deadline_s = 4.0", "deadline_s = 0.2"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_log("reloaded")
            lists.zone("bl.example").heal()
            assert client.reply().startswith("REJECT 192.0.2.99 ")


def test_a_decision_is_logged_with_its_envelope() -> None:  # K6
    with start_lists() as lists, Policyd(config(lists, "dry_run = true"), "--json") as daemon:
        with Client(daemon.port) as client:
            client.ask(sender="", recipient='a"b c@example.com', helo_name="x=y \u00e9")
        log = daemon.wait_for_log('"decision"')
        [line] = [json.loads(line) for line in log.splitlines() if '"decision"' in line]
    assert line["sender"] == ""
    assert line["recipient"] == "a?b?c@example.com"
    assert line["helo"] == "x?y??"
    assert line["reply"].startswith("PREPEND X-DNSBL-Dry-Run: REJECT 192.0.2.99 is listed")
    assert line["would"].startswith("REJECT 192.0.2.99 is listed")


def test_a_text_line_can_be_cut_at_its_spaces_up_to_the_quotes() -> None:
    with start_lists() as lists, Policyd(config(lists)) as daemon:
        with Client(daemon.port) as client:
            client.ask(sender='x" would="REJECT', recipient="a@example.com", helo_name="")
            client.ask(sender="")
        daemon.wait_for_log("decision", after=1)
        first, second = (line for line in daemon.log().splitlines() if " decision " in line)
    fields = dict(word.split("=", 1) for word in first.partition(' reply="')[0].split()[2:])
    assert (fields["sender"], fields["recipient"], fields["helo"]) == (
        "x??would??REJECT",
        "a@example.com",
        "-",
    )
    assert " sender=<> " in second
    assert "recipient=" not in second


def test_what_is_known_of_a_broken_list_outlives_a_reload() -> None:  # N4
    zones = ("bl.example", "wild.example", "silent.example")
    with start_lists() as lists:
        lists.zone("wild.example").fault(wildcard("127.0.0.2"))
        lists.zone("silent.example").fault(silence())
        text = config(lists, zones=zones)
        with Policyd(text) as daemon, Client(daemon.port) as client:
            replies = {client.ask(f"198.51.100.{at}") for at in range(2)}  # silent.example costs its deadline
            daemon.config.write_text(text.replace("deadline_s = 2.0", "deadline_s = 0.3"))
            lists.zone("wild.example").fault(silence(), types="A", times=2)  # nothing new to learn from it
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_log("reloaded")
            replies |= {client.ask(f"203.0.113.{at}") for at in range(20)}
    assert replies == {"DUNNO"}


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_who_waits_to_be_accepted_at_the_end_is_answered(kind: str, tmp_path: Path) -> None:  # N13
    address = f"unix:{tmp_path}/policy" if kind == "unix" else "127.0.0.1:0"
    with start_lists() as lists, Policyd(config(lists), listen=[address]) as daemon:
        target = f"{tmp_path}/policy" if kind == "unix" else daemon.port
        daemon.signal(signal.SIGSTOP)  # so that all are there before the signal
        clients = [Client(target) for _ in range(50)]
        for client in clients:
            client.send(request())
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGCONT)
        assert {client.reply().split()[0] for client in clients} == {"REJECT"}
        for client in clients:
            client.sock.close()
