"""What the monitor decides without asking anybody: what is watched, how often, what is said."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dnsbl.config.file import parse
from dnsbl.errors import ConfigError, InputError, SubjectError
from dnsbl.monitor import pace
from dnsbl.monitor.entry import Change, Entry
from dnsbl.monitor.grid import make_grid
from dnsbl.monitor.nagios import report
from dnsbl.monitor.notice import MAX_IN_SUMMARY, headline, make_notices, text_of
from dnsbl.monitor.settings import load_settings
from dnsbl.monitor.watch import expand, parse_watch

HOSTILE = "<script>alert(1)</script>\r\nBcc: all@example.com\x1b[2J | x=1 &amp; \u202e"


def settings_of(text: str, folder: Path = Path()) -> object:
    return load_settings(parse(text, path=folder / "dnsbl.toml"), ["bl.example"], env={})


# ---- what is watched ----


def test_a_range_is_all_its_addresses() -> None:
    assert len(parse_watch("192.0.2.0/24").subjects) == 256
    assert parse_watch("2001:db8::/126").subjects[3].text == "2001:db8::3"


def test_a_name_is_its_domain_and_its_addresses() -> None:
    both, host, domain = map(
        parse_watch, ("mail.example.com", "host:mail.example.com", "domain:Example.COM.")
    )
    assert (both.host, [s.text for s in both.subjects]) == ("mail.example.com", ["mail.example.com"])
    assert (host.host, host.subjects) == ("mail.example.com", ())
    assert (domain.host, [s.text for s in domain.subjects]) == ("", ["example.com"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("192.0.2.1/24", "not a valid range"),
        ("10.0.0.0/8", "at most 4,096"),
        ("2001:db8::/64", "at most 4,096"),
        ("10.1.2.3", "not public"),
        ("not a thing", "what can be watched"),
        ("host:192.0.2.1", "without 'host:'"),
        ("co.uk", "public suffix"),
        ("localhost", "not public"),
        ("", "what can be watched"),
    ],
)
def test_what_cannot_be_watched_says_why(text: str, why: str) -> None:
    with pytest.raises(SubjectError, match=why):
        parse_watch(text)


def test_each_subject_once_with_every_way_to_it() -> None:
    watches = [parse_watch(text) for text in ("192.0.2.0/30", "host:mx.example.com")]
    found = expand(watches, {"mx.example.com": ["192.0.2.1", "10.0.0.1"]})
    assert found["192.0.2.1"][1] == ("192.0.2.0/30", "host:mx.example.com")
    assert len(found) == 4, "a private address behind a name is left out"
    with pytest.raises(InputError, match="at most 4,096"):
        expand([parse_watch("192.0.0.0/20"), parse_watch("198.51.100.1")], {})


def test_a_fault_in_the_configuration_names_its_line() -> None:
    with pytest.raises(ConfigError, match=r"dnsbl.toml:3: watch: 'x y'"):
        settings_of("[monitor]\nwatch = ['192.0.2.1',\n'x y']")
    for line, why in (
        ("severity = { 'other.example' = 'ok' }", "not among the zones"),
        ("severity = { 'bl.example' = 'bad' }", "use one of ok, warning, critical"),
        ("webhook = 'ftp://x'", "not a valid URL"),
        ("mail_to = ['a@example.com, b@example.com']", "not a valid mail address"),
        ('mail_to = ["a@example.com\\nBcc: b@example.com"]', "not a valid mail address"),
        ("smtp = '::1:25'", "not a valid server"),
        ("smtp = '127.0.0.1:0'", "not a valid port"),
        ("metrics = 'localhost:1'", "address to listen on"),
        ("confirm = 0", "out of range"),
        ("webhook_key_env = 'NOT_SET'", "no such environment variable"),
        ("webhook_key_file = 'nothing'", "cannot be read"),
        ("wacth = ['192.0.2.1']", "did you mean 'watch'"),
        ("program = []", "an empty array"),
    ):
        with pytest.raises(ConfigError, match=why):
            settings_of(f"[monitor]\n{line}")


# ---- how often ----


def test_a_lists_limit_sets_its_pace() -> None:
    assert pace.allowance(None, 0.1) is None
    assert pace.allowance(50, 0.01, at_least=6) == 6
    assert pace.allowance(4, 0.01, at_least=6) == 4
    assert pace.rounds_between(1_000, None, 600.0) == 1
    daily = 1_000
    rounds = pace.rounds_between(260, daily, 600.0)
    assert 260 * pace.DAY_S / (rounds * 600.0) <= daily < 260 * pace.DAY_S / ((rounds - 1) * 600.0)


def test_an_answer_is_not_asked_for_before_its_ttl_is_over() -> None:
    assert pace.due_at(0.0, 1_800.0, 1, None) == 1_800.0
    assert pace.due_at(0.0, 1_800.0, 1, 1_800.0) == 1_800.0
    assert pace.due_at(0.0, 1_800.0, 1, 2_100.0) == 3_600.0
    assert pace.due_at(0.0, 1_800.0, 5, 2_100.0) == 9_000.0
    assert pace.due_at(0.0, 1_800.0, 1, 1e9) == pace.DAY_S


# ---- what is said ----


def change(number: int = 1, what: str = "listed", reason: str = HOSTILE) -> Change:
    return Change(
        100.0, f"192.0.2.{number % 256}", "bl.example", "listed" if what == "listed" else "delisted", 50.0,
        ("127.0.0.2",), "spam source", reason, "https://bl.example/?ip=192.0.2.1", ("192.0.2.0/24",), number,
    )  # fmt: skip


def test_a_few_changes_are_told_each_and_many_in_one_summary() -> None:
    few = make_notices([change(1), change(2, "delisted")], summary_above=5)
    assert [(n["event"], n["id"], n["change"] if "change" in n else n["subject"]) for n in few] == [
        ("listed", "100-1", "192.0.2.1"),
        ("delisted", "100-2", "192.0.2.2"),
    ]
    (summary,) = make_notices([change(n) for n in range(1_200)], summary_above=5)
    assert (summary["event"], summary["listed"], summary["delisted"]) == ("summary", 1_200, 0)
    assert (len(summary["changes"]), summary["more"]) == (MAX_IN_SUMMARY, 200)
    assert make_notices([], 5) == []
    assert make_notices([change()], 0)[0]["event"] == "listed", "one is no summary"


def test_a_notice_has_reason_and_delist_url_and_no_control_character() -> None:
    for notice in (*make_notices([change()], 5), *make_notices([change(1), change(2)], 0)):
        text = text_of(notice)
        assert "https://bl.example/?ip=192.0.2.1" in text
        assert "reason: <script>alert(1)</script>  Bcc: all@example.com" in text
        assert all(line.isprintable() for line in text.splitlines())
        assert "\n" not in headline(notice)


def entry(number: int, status: str, zone: str = "bl.example", standing: str = "") -> Entry:
    return Entry(
        f"192.0.2.{number}", zone, status, standing=standing, codes=("127.0.0.2",), reason=HOSTILE,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "warning", "critical", "severity", "code"),
    [
        ([entry(1, "clear")], 1, 1, {}, 0),
        ([entry(1, "listed")], 1, 2, {}, 1),
        ([entry(1, "listed"), entry(2, "listed")], 1, 2, {}, 2),
        ([entry(1, "listed")], 1, 1, {"bl.example": "ok"}, 0),
        ([entry(1, "listed")], 5, 9, {"bl.example": "critical"}, 2),
        ([entry(1, "listed")] * 9, 5, 9, {"bl.example": "warning"}, 1),
        ([entry(1, "unknown")], 1, 1, {}, 3),
        ([entry(1, "unknown"), entry(1, "clear", "other.example")], 1, 1, {}, 0),
        ([entry(1, "unknown", "a.example", "listed"), entry(1, "clear")], 1, 1, {}, 3),
        ([entry(1, "unknown"), entry(2, "listed")], 1, 1, {}, 2),
        ([], 1, 1, {}, 3),
    ],
)
def test_nagios_codes(entries: list[Entry], warning: int, critical: int, severity: dict, code: int) -> None:  # type: ignore[type-arg]
    assert report(entries, warning, critical, severity, 0.5).code == code


def test_nagios_output_is_one_line_with_figures_and_then_details() -> None:
    first, detail, *rest = report([entry(1, "listed"), entry(2, "clear")], 1, 3, {}, 0.5).text.splitlines()
    text, figures = first.split(" | ")
    assert text == "DNSBL WARNING: 1 listed, 0 unknown, of 2 by 1 zones: 192.0.2.1 by bl.example"
    assert figures == "listed=1;0;2;0;2 unknown=0;;;0;2 time=0.500s;;;0"
    assert detail.startswith("192.0.2.1 listed by bl.example (127.0.0.2): <script>")
    assert "|" not in detail
    assert detail.isprintable()
    assert rest == []
    many = report([entry(n, "listed") for n in range(250)], 1, 1, {}, 0.5).text.splitlines()
    assert (len(many), many[-1]) == (102, "and 150 lines more")


def test_a_picture_is_one_cell_an_address_and_text_stays_text() -> None:
    entries = [entry(n, ("clear", "listed", "unknown")[n % 3]) for n in range(256)]
    entries += [entry(n, "clear", "other.example") for n in range(256)]
    svg = make_grid(entries, "192.0.2.0/24 " + HOSTILE)
    root = ElementTree.fromstring(svg)
    name = "{http://www.w3.org/2000/svg}"
    titles = [title.text or "" for title in root.iter(f"{name}title")]
    assert len(titles) == 256 + 1 + 3
    assert sum(title.startswith("192.0.2.") and ": listed by bl.example" in title for title in titles) == 85
    assert not list(root.iter(f"{name}script"))
    assert "<script" not in svg
    assert root.tag == f"{name}svg"
    assert make_grid([], "nothing").endswith("</svg>\n")
