"""Faults of reading answers, reported of other software, each as its whole kind and in every way of asking.

Which records mean what is tested by themselves in tests/zones/test_interpret.py; here they come off the wire.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.everyway import EveryWay

from dnsbl import Resolver
from dnsbl.testing import DnsblServer, hang_up, parked, rcode, silence, stripped, wildcard

ADDRESS = "192.0.2.99"
SUBJECTS = {"ip4": ADDRESS, "ip6": "2001:db8::99", "domain": "example.com"}
OWN = "list.example.net"


@pytest.fixture
def every_way(
    dnsbl_server: DnsblServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> EveryWay:
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    return EveryWay(dnsbl_server, tmp_path, capsys)


def table(*lines: str, name: str = OWN) -> str:
    """A [[zone]] that takes everything."""
    return "\n".join(["[[zone]]", f'name = "{name}"', 'subjects = ["ip4", "ip6", "domain"]', *lines])


def codes_table(*codes: str) -> str:
    return table(f"codes = [{', '.join(f'{{ {code} }}' for code in codes)}]")


def listed_as(server: DnsblServer, *codes: str, zone: str = OWN) -> None:
    """Every kind of subject is in the zone under these codes."""
    for subject in SUBJECTS.values():
        server.zone(zone).list(subject, codes=codes)


# ---- A1: the list's refusal comes as an A record ----


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("codes", [["127.255.255.252"], ["127.255.255.0"], ["127.0.0.2", "127.255.255.255"]])
def test_a1_a_refusal_is_no_listing_and_not_held_as_clean(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str, codes: list[str]
) -> None:
    listed_as(dnsbl_server, *codes)
    ended = every_way.look_up(table(), SUBJECTS[kind])
    assert (ended.code, ended.outcomes, ended.codes) == (3, ["blocked"], [codes])
    assert (ended.verdict["listed"], ended.verdict["complete"], ended.verdict["score"]) == (False, False, 0)
    with Resolver([OWN], [dnsbl_server.nameserver]) as resolver:
        for _ in range(2):
            assert not resolver.check(ADDRESS).complete


@pytest.mark.parametrize(
    ("zone", "kind", "code"),
    [
        ("zen.spamhaus.org", "ip4", "127.255.255.254"),
        ("zen.spamhaus.org", "ip6", "127.255.255.255"),
        ("dbl.spamhaus.org", "domain", "127.255.255.252"),
        ("list.dnswl.org", "ip4", "127.0.2.255"),  # over its free limit
        ("list.dnswl.org", "ip4", "127.0.0.255"),
        ("list.dnswl.org", "ip4", "127.0.10.3"),
        ("multi.surbl.org", "domain", "127.0.0.1"),
        ("multi.uribl.com", "domain", "127.0.0.1"),  # A3
        ("multi.uribl.com", "domain", "127.0.0.255"),  # A5: every bit is set
        ("bl.score.senderscore.com", "ip4", "127.255.255.255"),
        ("dbl.spamhaus.org", "domain", "127.0.1.255"),  # C7: an address was asked
    ],
)
def test_a1_each_lists_own_error_codes(
    every_way: EveryWay, dnsbl_server: DnsblServer, zone: str, kind: str, code: str
) -> None:
    dnsbl_server.zone(zone).list(SUBJECTS[kind], codes=[code])
    ended = every_way.look_up(zone, SUBJECTS[kind])
    assert (ended.code, ended.outcomes, ended.codes) == (3, ["blocked"], [[code]])


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a1_a_list_that_uses_such_a_code_says_so(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str
) -> None:
    listed_as(dnsbl_server, "127.255.255.254")
    ended = every_way.look_up(codes_table('match = "127.255.255.254", meaning = "odd"'), SUBJECTS[kind])
    assert (ended.code, ended.outcomes) == (1, ["listed"])


# ---- A2, A3: an answer that no list gives ----


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize(
    "codes",
    [
        ["203.0.113.7"],
        ["192.0.2.143"],
        ["0.0.0.0"],
        ["128.0.0.2"],
        ["126.0.0.2"],
        ["127.0.0.2", "203.0.113.7"],
    ],
)
@pytest.mark.parametrize("rules", ["", "codes = [{ mask = 2 }, { mask = 8 }]", 'reply = "127.0.0.[2..255]"'])
def test_a2_an_address_outside_127_is_invalid_before_any_rule(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str, codes: list[str], rules: str
) -> None:
    listed_as(dnsbl_server, *codes)
    ended = every_way.look_up(table(rules), SUBJECTS[kind])
    assert (ended.code, ended.outcomes) == (3, ["invalid"])
    assert ended.codes == [sorted(codes)]  # kept for the operator to see
    assert ended.verdict["answers"][0]["detail"]


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize(
    ("rules", "outcome", "code"),
    [
        ("", "invalid", 3),
        ('reply = "127.0.0.[2..11]"', "invalid", 3),
        ("codes = [{ mask = 2 }]", "invalid", 3),
        ('codes = [{ match = "127.0.0.1", outcome = "blocked" }]', "blocked", 3),
        ('codes = [{ match = "127.0.0.1", outcome = "neutral" }]', "not_listed", 0),
        ('codes = [{ match = "127.0.0.1", meaning = "bad" }]', "listed", 1),
        ('reply = "127.0.0.1"', "listed", 1),
        ("codes = [{ mask = 1 }]", "listed", 1),
    ],
)
def test_a3_127_0_0_1_means_what_the_zone_says_or_nothing(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str, rules: str, outcome: str, code: int
) -> None:
    listed_as(dnsbl_server, "127.0.0.1")
    ended = every_way.look_up(table(rules), SUBJECTS[kind])
    assert (ended.outcomes, ended.code) == ([outcome], code)


# ---- A5, A6, A7: bits, filters, combined lists ----


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize(
    ("masks", "answer", "meanings"),
    [
        ((2, 4, 8), "127.0.0.14", ["2", "4", "8"]),
        ((8, 16), "127.0.0.16", ["16"]),
        ((8,), "127.0.0.6", []),
        ((64, 128), "127.0.0.192", ["64", "128"]),
    ],
)
def test_a5_each_bit_by_itself(
    every_way: EveryWay,
    dnsbl_server: DnsblServer,
    kind: str,
    masks: tuple[int, ...],
    answer: str,
    meanings: list[str],
) -> None:
    listed_as(dnsbl_server, answer)
    rules = codes_table(*(f'mask = {mask}, meaning = "{mask}"' for mask in masks))
    ended = every_way.look_up(rules, SUBJECTS[kind])
    assert ended.verdict["answers"][0]["meanings"] == meanings
    assert ended.verdict["score"] == len(meanings)
    assert ended.code == (1 if meanings else 0)


def test_a5_a_mask_is_one_bit(every_way: EveryWay) -> None:
    with pytest.raises(ValueError, match="mask = 18 is not one bit"):
        every_way.look_up(codes_table("mask = 18"), ADDRESS)


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize(
    ("reply", "listed", "unlisted"),
    [
        ("127.0.0.[2..11]", "127.0.0.11", "127.0.0.12"),
        ("127.0.0.[10;11]", "127.0.0.11", "127.0.0.12"),
        ("127.0.[2..20].[1..3]", "127.0.5.3", "127.0.21.1"),
        ("[127.0.0.2]", "127.0.0.2", "127.0.0.3"),
    ],
)
def test_a6_reply_filters_as_postfix_writes_them(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str, reply: str, listed: str, unlisted: str
) -> None:
    for code, outcome in ((listed, "listed"), (unlisted, "not_listed")):
        listed_as(dnsbl_server, code)
        assert every_way.look_up(table(f'reply = "{reply}"'), SUBJECTS[kind]).outcomes == [outcome]


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize(
    ("answer", "outcome", "listed", "score"),
    [
        ("127.0.0.1", "listed", False, -1),  # allowed: a hit, and none against the client
        ("127.0.0.2", "listed", True, 1),
        ("127.0.0.3", "not_listed", False, 0),
        ("127.0.0.4", "not_listed", False, 0),  # not a code of the list
    ],
)
def test_a7_a_combined_list(
    every_way: EveryWay,
    dnsbl_server: DnsblServer,
    kind: str,
    answer: str,
    outcome: str,
    listed: bool,
    score: int,
) -> None:
    rules = codes_table(
        'match = "127.0.0.1", weight = -1', 'match = "127.0.0.2"', 'match = "127.0.0.3", outcome = "neutral"'
    )
    listed_as(dnsbl_server, answer)
    ended = every_way.look_up(rules, SUBJECTS[kind])
    assert (ended.outcomes, ended.verdict["listed"], ended.verdict["score"]) == ([outcome], listed, score)
    assert ended.code == int(listed)


# ---- A9, A10, A11, A12: failures, stripped answers, reasons, several records ----


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a9_failures_are_told_apart_from_each_other_and_from_clean(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str
) -> None:
    faults = {"refused": rcode("REFUSED"), "failed": rcode("SERVFAIL"), "silent": silence(), "gone": parked()}
    for name, fault in faults.items():
        dnsbl_server.zone(f"{name}.example.net").fault(fault)
    names = [*(f"{name}.example.net" for name in faults), OWN]
    dnsbl_server.zone(OWN)
    ended = every_way.look_up("\n".join(table(name=name) for name in names), SUBJECTS[kind], deadline_s=0.3)
    assert ended.outcomes == ["blocked", "servfail", "timeout", "invalid", "not_listed"]
    assert (ended.code, ended.verdict["errors"]) == (3, names[:4])


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a9_an_allowlist_that_fails_neither_lists_nor_allows(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str
) -> None:
    listed_as(dnsbl_server, "127.0.0.2")
    dnsbl_server.zone("allow.example.net").fault(rcode("SERVFAIL"))
    ended = every_way.look_up(table() + "\n" + table("weight = -5", name="allow.example.net"), SUBJECTS[kind])
    assert (ended.code, ended.verdict["score"], ended.verdict["complete"]) == (1, 1, False)


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a10_an_answer_without_a_record_is_no_listing(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str
) -> None:
    """Whether a list works is for the health check to find out: tests/lookup/test_healthcheck.py."""
    listed_as(dnsbl_server, "127.0.0.2")
    dnsbl_server.zone(OWN).fault(stripped())
    ended = every_way.look_up(table(), SUBJECTS[kind])
    assert (ended.code, ended.outcomes) == (0, ["not_listed"])
    assert ended.verdict["answers"][0]["detail"] == "the name exists but has no A record"


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize(
    "fault", [rcode("NXDOMAIN"), rcode("SERVFAIL"), rcode("REFUSED"), silence(), hang_up()]
)
def test_a11_whatever_becomes_of_the_reason_it_stays_listed(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str, fault: object
) -> None:
    listed_as(dnsbl_server, "127.0.0.2")
    dnsbl_server.zone(OWN).fault(fault, types="TXT")  # type: ignore[arg-type]
    ended = every_way.look_up(table(), SUBJECTS[kind], deadline_s=0.5)
    assert (ended.code, ended.codes, ended.verdict["complete"]) == (1, [["127.0.0.2"]], True)
    assert ended.verdict["answers"][0]["reason"] is None


@pytest.mark.parametrize("records", [["b", "a"], ["a", "b"]])
def test_a11_two_reasons_come_in_one_order(
    every_way: EveryWay, dnsbl_server: DnsblServer, records: list[str]
) -> None:
    dnsbl_server.zone(OWN).list(ADDRESS, txt=records)
    assert every_way.look_up(table(), ADDRESS).verdict["answers"][0]["reason"] == "a / b"


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize(
    "records",
    [
        ["127.0.0.10", "127.0.0.4", "127.0.0.2", "127.0.0.4"],
        ["127.0.0.2", "127.0.0.2", "127.0.0.4", "127.0.0.10"],
    ],
)
def test_a12_all_records_in_numeric_order_once_each(
    every_way: EveryWay, dnsbl_server: DnsblServer, kind: str, records: list[str]
) -> None:
    listed_as(dnsbl_server, *records)
    assert every_way.look_up(table(), SUBJECTS[kind]).codes == [["127.0.0.2", "127.0.0.4", "127.0.0.10"]]


# ---- H1, H2: a dead list, before any health check has run ----


@pytest.mark.parametrize("kind", SUBJECTS)
def test_h1_a_parked_list_lists_nobody(every_way: EveryWay, dnsbl_server: DnsblServer, kind: str) -> None:
    dnsbl_server.zone(OWN).fault(parked())
    assert every_way.look_up(table(), SUBJECTS[kind]).outcomes == ["invalid"]


@pytest.mark.parametrize("kind", SUBJECTS)
def test_h2_a_wildcarded_lists_hits_do_not_count_once_it_was_found(
    dnsbl_server: DnsblServer, kind: str
) -> None:
    from dnsbl.config.file import parse

    dnsbl_server.zone(OWN).fault(wildcard("127.0.0.2"))
    config = parse(f'[resolver]\nnameservers = ["{dnsbl_server.nameserver}"]\n{table()}')
    with Resolver(config=config) as resolver:
        assert resolver.check(SUBJECTS[kind]).listed  # nobody can know yet, and it is cached
        assert resolver.health()[0].broken
        verdict = resolver.check(SUBJECTS[kind])
        assert (verdict.listed, verdict.complete, verdict.score) == (False, False, 0)
        assert "broken" in verdict.answers[0].detail
