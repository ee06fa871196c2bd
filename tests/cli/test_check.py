"""`dnsbl check` against the loopback server: exit codes, what is printed, and where."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ended import Ended

from dnsbl.cli import main
from dnsbl.testing import DnsblServer, Handler, delay, parked, rcode, silence, stripped

ZONE = "bl.example.com"


Check = Callable[..., Ended]


@pytest.fixture
def check(
    dnsbl_server: DnsblServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """`dnsbl check ARGS...`, asking the zone `ZONE` of the loopback server."""
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    dnsbl_server.zone(ZONE)

    def run(*args: str, zones: tuple[str, ...] = (ZONE,)) -> Ended:
        options = ["--nameserver", dnsbl_server.nameserver, *(f"--zone={zone}" for zone in zones)]
        code = main(["check", *options, *args])
        return Ended(code, *capsys.readouterr())

    return run


# ---- exit codes ----


def test_not_listed(check: Check) -> None:
    ended = check("192.0.2.1")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "192.0.2.1: not listed"
    assert ended.err == ""


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("192.0.2.99", "192.0.2.99"),
        ("::ffff:192.0.2.99", "192.0.2.99"),  # B3: the IPv4-mapped form is the IPv4 address
        ("2001:db8::99", "2001:db8::99"),
        ("2001:DB8:0::0:99", "2001:db8::99"),
    ],
)
def test_listed(check: Check, dnsbl_server: DnsblServer, subject: str, shown: str) -> None:
    dnsbl_server.zone(ZONE).list(shown, codes=["127.0.0.4"], txt="seen in a trap")
    ended = check(subject)
    assert ended.code == 1
    assert ended.out.splitlines()[0] == f"{shown}: listed, score 1"
    row = ended.out.splitlines()[2].split(None, 4)
    assert row[:4] == [ZONE, "listed", "127.0.0.4", "+1"]
    assert '"seen in a trap"' in row[4]
    assert ended.err == ""


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (rcode("SERVFAIL"), "servfail"),
        (rcode("REFUSED"), "blocked"),
        (silence(), "timeout"),
        (parked(), "invalid"),  # A2
    ],
)
def test_not_listed_but_incomplete(
    check: Check, dnsbl_server: DnsblServer, fault: Handler, outcome: str
) -> None:
    """A9: an error is told apart from a clean answer, and from each other, in text and in JSON."""
    dnsbl_server.zone(ZONE).fault(fault)
    ended = check("192.0.2.1", "--deadline=0.5")
    assert ended.code == 3
    assert "not listed, incomplete: no usable answer from 1 of 1 zones" in ended.out
    assert ended.out.splitlines()[2].split()[:2] == [ZONE, outcome]
    verdict = json.loads(check("192.0.2.1", "--deadline=0.5", "--json").out)
    assert (verdict["listed"], verdict["complete"]) == (False, False)
    assert verdict["answers"][0]["outcome"] == outcome


@pytest.mark.parametrize("code", ["127.255.255.252", "127.255.255.254", "127.255.255.255"])
@pytest.mark.parametrize("subject", ["192.0.2.99", "2001:db8::99"])
def test_a_refusal_is_no_listing(check: Check, dnsbl_server: DnsblServer, subject: str, code: str) -> None:
    """A1: the list says that it refused us, with an A record."""
    dnsbl_server.zone(ZONE).list(subject, codes=[code])
    ended = check(subject)
    assert ended.code == 3
    assert ended.out.splitlines()[2].split()[1:3] == ["blocked", code]


def test_a_stripped_answer_is_no_listing(check: Check, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).fault(stripped())
    assert check("192.0.2.1").code == 0


def test_zones_that_do_not_apply_are_not_counted_among_those_that_failed(
    check: Check, dnsbl_server: DnsblServer
) -> None:
    dnsbl_server.zone("dbl.spamhaus.org")
    dnsbl_server.zone(ZONE).fault(rcode("SERVFAIL"))
    ended = check("192.0.2.1", zones=(ZONE, "dbl.spamhaus.org"))
    assert ended.out.splitlines()[0].endswith("no usable answer from 1 of 1 zones")


def test_one_listing_beside_an_error_is_listed(check: Check, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99")
    dnsbl_server.zone("dead.example.com").fault(rcode("SERVFAIL"))
    ended = check("192.0.2.99", zones=(ZONE, "dead.example.com"))
    assert ended.code == 1
    assert ended.out.splitlines()[0].endswith(
        "listed, score 1, incomplete: no usable answer from 1 of 2 zones"
    )


CLEAN, LISTED, INCOMPLETE, BAD = "192.0.2.1", "192.0.2.99", "192.0.2.7", "192.0.2.256"


@pytest.mark.parametrize(
    ("subjects", "code"),
    [
        ([CLEAN, CLEAN], 0),
        ([CLEAN, INCOMPLETE], 3),
        ([INCOMPLETE, CLEAN], 3),
        ([LISTED, INCOMPLETE, CLEAN], 1),
        ([INCOMPLETE, CLEAN, LISTED], 1),
        ([BAD, LISTED, INCOMPLETE, CLEAN], 2),
        ([CLEAN, INCOMPLETE, LISTED, BAD], 2),
        ([CLEAN, BAD], 2),
    ],
)
def test_several_subjects_end_with_the_most_serious(
    check: Check, dnsbl_server: DnsblServer, subjects: list[str], code: int
) -> None:
    dnsbl_server.zone(ZONE).list(LISTED)
    dnsbl_server.zone(ZONE).list(INCOMPLETE, codes=["203.0.113.7"])
    assert check(*subjects).code == code


# ---- bad input ----


@pytest.mark.parametrize(
    "subject",
    [
        "192.0.2.010",
        "0300.0.2.1",
        "192.0.2",
        "192.0.2.1.5",
        "192.0.2.256",
        "192.0.2.1/24",
        "2001:db8::g",
        "",
        "a b",
    ],
)
def test_what_is_no_subject_is_named_and_not_asked(
    check: Check, dnsbl_server: DnsblServer, subject: str
) -> None:
    """B5."""
    ended = check(subject)
    assert (ended.code, ended.out) == (2, "")
    assert_one_line(ended.err)
    assert subject in ended.err
    assert dnsbl_server.queries == []


def test_a_bad_subject_does_not_keep_the_others_from_being_answered(check: Check) -> None:
    ended = check("192.0.2.1", "192.0.2.256", "192.0.2.2")
    assert [line for line in ended.out.splitlines() if line.startswith("192")] == [
        "192.0.2.1: not listed",
        "192.0.2.2: not listed",
    ]
    assert_one_line(ended.err)
    assert "192.0.2.256" in ended.err


def test_an_error_line_escapes_what_a_terminal_would_act_upon(check: Check) -> None:
    ended = check("192.0.2.1\x1b[2J\n\u202e")
    assert_one_line(ended.err)
    assert r"192.0.2.1\x1b[2J\n\u202e" in ended.err


@pytest.mark.parametrize(
    "args",
    [
        ["--zone=bl.example.com=127.0.0.[2..", "192.0.2.1"],
        ["--zone=..", "192.0.2.1"],
        ["--nameserver=ns.example.com", "192.0.2.1"],
        ["--nameserver=127.0.0.1:0", "192.0.2.1"],
        ["--deadline=0", "192.0.2.1"],
        ["--deadline=nan", "192.0.2.1"],
        ["--deadline=soon", "192.0.2.1"],
        ["--config=/nonexistent/dnsbl.toml", "192.0.2.1"],
        ["--no-such-option", "192.0.2.1"],
        [],
    ],
)
def test_bad_usage(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", *args])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert_one_line(err)


def assert_one_line(text: str) -> None:
    """One line that says who speaks, and nothing a terminal would act upon."""
    assert text.startswith("dnsbl: ")
    assert text.endswith("\n")
    assert text[:-1].isprintable()


def test_a_warning_goes_to_stderr(check: Check, dnsbl_server: DnsblServer) -> None:
    """More than six zones are more than most sites need; said once, and no error."""
    names = tuple(f"bl{number}.example.com" for number in range(7))
    for name in names:
        dnsbl_server.zone(name)
    for _ in range(2):
        ended = check("192.0.2.1", zones=names)
        assert ended.code == 0
        assert_one_line(ended.err)
        assert "7 zones" in ended.err


# ---- what is looked up ----


def test_ipv6_is_asked_with_all_its_nibbles(check: Check, dnsbl_server: DnsblServer) -> None:
    """B1, B2."""
    check("2001:db8::2", zones=(f"{ZONE}.",))
    assert dnsbl_server.queries[0].name == (
        f"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.{ZONE}"
    )


@pytest.mark.parametrize(
    "subject", ["10.0.0.1", "fe80::1%eth0", "fe80::1%9", "::ffff:192.168.1.1", "fd00::1"]
)
def test_private_addresses_are_not_looked_up(check: Check, dnsbl_server: DnsblServer, subject: str) -> None:
    """B4 and its kind: nothing is asked, and that is no error."""
    ended = check(subject)
    assert ended.code == 0
    assert ended.out.splitlines()[0].endswith(": not looked up")
    assert dnsbl_server.queries == []


def test_a_domain_is_asked_of_zones_that_take_domains(
    check: Check, dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    config = tmp_path / "dnsbl.toml"
    config.write_text(
        '[[zone]]\nname = "uri.example.com"\nsubjects = ["domain"]\n[[zone]]\nname = "bl.example.com"\n'
    )
    dnsbl_server.zone("uri.example.com", ["domain"]).list("example.net")
    ended = check(f"--config={config}", "Mail.Example.NET.", "--json", zones=())
    assert ended.code == 1
    assert [answer["outcome"] for answer in json.loads(ended.out)["answers"]] == ["listed", "skipped"]


# ---- JSON ----


def test_json_is_one_object_a_line_in_the_order_given(check: Check, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", codes=["127.0.0.10", "127.0.0.2", "127.0.0.2"])
    dnsbl_server.zone(ZONE).fault(delay(0.2), times=1)
    ended = check("--json", "192.0.2.99", "192.0.2.1", "::ffff:192.0.2.2")
    verdicts = [json.loads(line) for line in ended.out.splitlines()]
    assert [verdict["subject"] for verdict in verdicts] == ["192.0.2.99", "192.0.2.1", "192.0.2.2"]
    assert [verdict["listed"] for verdict in verdicts] == [True, False, False]
    assert verdicts[0]["answers"][0]["codes"] == ["127.0.0.2", "127.0.0.10"]  # A12
    assert verdicts[0]["listings"] == [ZONE]
    assert "rcode" not in verdicts[0]["answers"][0]


def test_the_names_in_json_and_its_times(check: Check, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", ttl=60)
    verdict = json.loads(check("--json", "--explain", "192.0.2.99").out)
    assert list(verdict) == [
        "subject", "listed", "complete", "score", "answers", "listings", "errors", "pending", "ttl_s",
        "elapsed_s",
    ]  # fmt: skip
    (answer,) = verdict["answers"]
    assert list(answer) == [
        "zone", "outcome", "codes", "meanings", "score", "reason", "detail", "delist_url", "ttl_s",
        "query_name", "cached", "rcode", "nameserver", "latency_ms", "matched",
    ]  # fmt: skip
    for held_s in (verdict["ttl_s"], answer["ttl_s"]):
        assert 59 < held_s <= 60
        assert held_s == round(held_s, 3)
    assert 0 < verdict["elapsed_s"] < 1


# ---- --explain ----


def test_explain_shows_how_the_answer_came_about(check: Check, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", codes=["127.0.0.4"], txt="seen in a trap", ttl=600)
    zone = f"{ZONE}=127.0.0.[2..11]*3"
    facts = explained(check("--explain", "192.0.2.99", zones=(zone,)).out)
    assert float(facts.pop("ms")) >= 0
    assert facts.pop("detail")
    assert facts == {
        "query": f"99.2.0.192.{ZONE}",
        "rcode": "NOERROR",
        "A": "127.0.0.4",
        "TTL": "600 s",
        "TXT": "seen in a trap",
        "nameserver": dnsbl_server.nameserver,
        "cached": "no",
        "matched": "127.0.0.[2..11] +3",
        "points": "+3",
        "meaning": "-",
        "delist": "-",
    }


def test_explain_of_an_answer_that_never_came(check: Check, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).fault(silence())
    facts = explained(check("--explain", "--deadline=0.3", "192.0.2.1").out)
    assert facts["query"] == f"1.2.0.192.{ZONE}"
    assert {facts[name] for name in ("rcode", "A", "TTL", "TXT", "matched")} == {"-"}


def test_explain_of_a_zone_that_was_not_asked(check: Check, dnsbl_server: DnsblServer) -> None:
    assert explained(check("--explain", "example.com").out) == {"detail": f"{ZONE} takes no domain"}
    assert dnsbl_server.count() == 0


def test_explain_in_json(check: Check, dnsbl_server: DnsblServer) -> None:
    (answer,) = json.loads(check("--explain", "--json", "192.0.2.1").out)["answers"]
    assert answer["query_name"] == f"1.2.0.192.{ZONE}"
    assert (answer["rcode"], answer["nameserver"]) == ("NXDOMAIN", dnsbl_server.nameserver)
    assert answer["latency_ms"] >= 0
    assert answer["matched"] == []
    assert answer["cached"] is False


def explained(out: str) -> dict[str, str]:
    """The facts of the one zone in the output."""
    return dict(line.strip().split(": ", 1) for line in out.splitlines()[2:])


@pytest.mark.parametrize("fault", [None, rcode("REFUSED"), parked()])
@pytest.mark.parametrize("options", [[], ["--json"], ["--explain"], ["--explain", "--json"]])
def test_a_key_is_never_shown(
    check: Check,
    dnsbl_server: DnsblServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    fault: Handler | None,
) -> None:
    """The list puts the key into its reason too, as a name it was asked under has it."""
    key = "k3yk3yk3yk3yk3yk3yk3yk3yk3"
    monkeypatch.setenv("LIST_KEY", key)
    config = tmp_path / "dnsbl.toml"
    config.write_text('[[zone]]\nname = "zen.dq.spamhaus.net"\nkey_env = "LIST_KEY"\n')
    zone = dnsbl_server.zone(f"{key}.zen.dq.spamhaus.net")
    zone.list("192.0.2.99", txt=f"see https://example.com/{key}/192.0.2.99")
    if fault:
        zone.fault(fault)
    ended = check(f"--config={config}", *options, "192.0.2.99", "192.0.2.999", zones=())
    assert dnsbl_server.count(zone=zone.name) > 0
    assert "zen.dq.spamhaus.net" in ended.out
    assert key not in ended.out + ended.err


# ---- hostile text ----


@pytest.mark.parametrize("explain", [[], ["--explain"]])
def test_a_reason_cannot_reach_the_terminal(
    check: Check, dnsbl_server: DnsblServer, explain: list[str]
) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", txt="\x1b[2Jspam\r\n\x07\u202e\x9b31m")
    ended = check(*explain, "192.0.2.99")
    assert ended.code == 1
    assert "spam" in ended.out
    assert all(line.isprintable() for line in ended.out.split("\n"))


# ---- zones that do not exist ----


def test_a_zone_that_does_not_exist_is_not_clean(check: Check, dnsbl_server: DnsblServer) -> None:
    """L7: a mistyped name answers "not listed" to everything."""
    dnsbl_server.zone("org")
    ended = check("192.0.2.1", "192.0.2.2", "--json", zones=("zen.spamhuas.org",))
    assert ended.code == 3
    assert_one_line(ended.err)
    assert "zen.spamhuas.org" in ended.err
    assert "does not exist in the DNS; did you mean zen.spamhaus.org?" in ended.err
    verdicts = [json.loads(line) for line in ended.out.splitlines()]
    assert [verdict["complete"] for verdict in verdicts] == [False, False]
    assert [verdict["answers"][0]["outcome"] for verdict in verdicts] == ["skipped"] * 2


def test_a_domain_zone_that_does_not_exist_is_not_clean(
    check: Check, dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    dnsbl_server.zone("example.net")
    (tmp_path / "dnsbl.toml").write_text('[[zone]]\nname = "uri.example.net"\nsubjects = ["domain"]\n')
    ended = check("example.com", "--config", str(tmp_path / "dnsbl.toml"), zones=())
    assert ended.code == 3
    assert "look for a mistake in its name" in ended.err


@pytest.mark.parametrize("entry", ["127.0.0.2", None])
def test_an_own_zone_that_exists_is_clean_with_a_test_entry_or_without(
    check: Check, dnsbl_server: DnsblServer, entry: str | None
) -> None:
    if entry:
        dnsbl_server.zone(ZONE).list(entry)
    assert check("192.0.2.1") == check("192.0.2.1")
    assert check("192.0.2.1").code == 0
    assert check("192.0.2.1").err == ""


def test_a_zone_with_nearly_a_known_name_gets_a_warning(check: Check, dnsbl_server: DnsblServer) -> None:
    """It exists, as typosquatters' names do."""
    dnsbl_server.zone("zen.spamhuas.org")
    ended = check("192.0.2.1", zones=("zen.spamhuas.org",))
    assert ended.code == 0
    assert "not in the catalogue; did you mean zen.spamhaus.org?" in ended.err


# ---- standard input, and what was meant otherwise ----


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return write


def test_subjects_come_from_standard_input(
    check: Check, dnsbl_server: DnsblServer, stdin: Callable[[bytes], None]
) -> None:
    """L6."""
    dnsbl_server.zone(ZONE).list(LISTED)
    stdin(b"# from the log\n192.0.2.1\r\n\n  192.0.2.99 \n" + b"x" * 30_000 + b"\n192.0.2.2")
    ended = check("192.0.2.3", "-", "--json")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["subject"] for line in lines if "error" not in line] == [
        "192.0.2.3", "192.0.2.1", "192.0.2.99", "192.0.2.2"
    ]  # fmt: skip
    assert ["error" in line for line in lines] == [False, False, False, True, False]
    assert ended.code == 2


def test_an_empty_standard_input_is_an_error(check: Check, stdin: Callable[[bytes], None]) -> None:
    stdin(b"\n# nothing\n")
    ended = check("-")
    assert (ended.code, ended.out) == (2, "")
    assert_one_line(ended.err)


@pytest.mark.parametrize("subject", ["192.0.2.0-255", "192.0.2.0/24", "192.0.2.1:25", "addrs.txt", "-1"])
def test_what_was_meant_otherwise_is_an_error_that_says_what_to_write(
    check: Check, dnsbl_server: DnsblServer, subject: str
) -> None:
    """L6, L13."""
    ended = check("--json", "--", subject, "192.0.2.1")
    assert ended.code == 2
    assert_one_line(ended.err)
    bad, good = map(json.loads, ended.out.splitlines())
    assert bad["subject"] == subject
    assert bad["error"] in ended.err
    assert (good["subject"], good["listed"]) == ("192.0.2.1", False)
    assert not any(subject in query.name for query in dnsbl_server.queries)
