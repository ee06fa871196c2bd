"""`dnsbl audit` as a user runs it: logs of every form, the figures, the page, the lines to paste."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support import maillogs
from support.bulkruns import chunks
from support.ended import Ended
from support.servers import needs

from dnsbl.audit.clients import Client
from dnsbl.audit.report import masked
from dnsbl.audit.verdicts import Found
from dnsbl.cli import main
from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.testing import DnsblServer

ONE, TWO, THREE = "bl.example.com", "bl.example.net", "bl.example.org"
ZONES = (ONE, TWO, THREE)


Audit = Callable[..., Ended]


@pytest.fixture
def audit(
    dnsbl_server: DnsblServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Audit:
    """`dnsbl audit ARGS...` over three zones: the first lists three clients, the others some of those."""
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    for zone, listed in ((ONE, "99 98 2"), (TWO, "99 1"), (THREE, "99")):
        for last in listed.split():
            dnsbl_server.zone(zone).list(f"192.0.2.{last}")
    dnsbl_server.zone(ONE).list("2001:db8::5")

    def run(*args: object) -> Ended:
        options = ["--nameserver", dnsbl_server.nameserver, *(f"--zone={zone}" for zone in ZONES)]
        code = main(["audit", *options, *map(str, args)])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_text(maillogs.text())
    return path


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report[name] for name in ("clients", "accepted", "rejected", "authenticated"))


# ---- reading ----


@pytest.mark.parametrize("form", ["plain", "gz", "xz", "journal"])
def test_every_form_of_log_says_the_same(audit: Audit, tmp_path: Path, form: str) -> None:
    data = maillogs.text().encode()
    path = tmp_path / "mail.log"  # the name says nothing: the content is looked at
    forms = {
        "plain": data,
        "gz": gzip.compress(data),
        "xz": lzma.compress(data),
        "journal": maillogs.journal(),
    }
    path.write_bytes(forms[form])
    report = json.loads(audit(path, "--json").out)
    assert counts(report) == (maillogs.CLIENTS, maillogs.ACCEPTED, maillogs.REJECTED, maillogs.AUTHENTICATED)
    assert report["unparsed"] == 0
    assert report["lines"] == len(maillogs.MESSAGES) + len(maillogs.OTHERS) + (form != "journal")
    assert report["reject_reasons"]["dnsbl bl.example.com"] == 1
    assert report["reject_reasons"]["denylisted"] == 2


def test_broken_lines_are_counted_and_the_rest_is_read(audit: Audit, log: Path) -> None:
    log.write_text(
        "\n".join(maillogs.BROKEN) + "\n" + maillogs.text() + "Nov  5 10:00:59 mx postfix/smtpd[2]: conn"
    )
    report = json.loads(audit(log, "--json").out)
    assert counts(report) == (maillogs.CLIENTS, maillogs.ACCEPTED, maillogs.REJECTED, maillogs.AUTHENTICATED)
    assert report["unparsed"] == len(maillogs.BROKEN)


def test_a_damaged_gz_is_read_as_far_as_it_goes(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "mail.log.gz"
    path.write_bytes(gzip.compress(maillogs.text().encode() * 500)[:-30])
    ended = audit(path, "--json")
    assert json.loads(ended.out)["clients"] == maillogs.CLIENTS
    assert ended.err.startswith(f"dnsbl: {path}: damaged")
    assert ended.err.count("\n") == 1


def test_times_that_no_calendar_has(audit: Audit, tmp_path: Path) -> None:
    """They are lines that cannot be read; 29 February is of the last year that had one."""
    path = tmp_path / "mail.log"
    times = [
        "Nov 31 10:00:01", "Nov  5 99:00:01", "2026-13-45T10:00:01Z", "2025-02-29T10:00:01Z",
        "0000-00-00T10:00:01Z", "9999-12-31T23:00:00Z", "Feb 29 10:00:01", "2026-11-05T10:00:01Z",
    ]  # fmt: skip
    lines = (f"{when} mx postfix/smtpd[1]: connect from a[192.0.2.{n}]" for n, when in enumerate(times))
    path.write_text("\n".join(lines) + "\n")
    report = json.loads(audit(path, "--json").out)
    assert (report["lines"], report["unparsed"], report["clients"]) == (8, 6, 2)
    assert re.fullmatch(r"\d{4}-02-29 10", report["first_hour"])
    assert report["last_hour"] == "2026-11-05 10"


def on_one_zone(server: DnsblServer) -> list[str]:
    """The command as a program of its own, but for its logs."""
    return [sys.executable, "-m", "dnsbl", "audit", f"--zone={ONE}", "--nameserver", server.nameserver]


def test_a_packed_log_on_standard_input(log: Path, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ONE)
    ended = subprocess.run(
        [*on_one_zone(dnsbl_server), "-", "--json"],
        input=gzip.compress(log.read_bytes()),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert json.loads(ended.stdout)["clients"] == maillogs.CLIENTS


def test_a_key_in_the_log_is_not_told(audit: Audit, tmp_path: Path) -> None:
    """A keyed zone's name in a rejection has the customer's key in it."""
    path, page, key = tmp_path / "mail.log", tmp_path / "page.html", "abcdefghijklmnopqrstuvwxyz"
    path.write_text(
        "Nov  5 10:00:01 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from a.b[192.0.2.99]: 554 5.7.1 Service "
        f"unavailable; Client host [192.0.2.99] blocked using {key}.zen.dq.spamhaus.net; from=<a@b>\n"
    )
    ended = audit(path, "--json", "--html", page)
    assert json.loads(ended.out)["reject_reasons"] == {"dnsbl zen.dq.spamhaus.net": 1}
    assert key not in ended.out + page.read_text()


def test_several_logs_are_one(audit: Audit, log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    other.write_text("2026-11-06T11:00:00Z mx postfix/smtpd[1]: connect from unknown[198.51.100.7]\n")
    report = json.loads(audit(log, other, "--json").out)
    assert report["clients"] == maillogs.CLIENTS + 1
    assert report["last_hour"] == "2026-11-06 11"


def test_a_log_without_a_client(audit: Audit, log: Path) -> None:
    log.write_text("something else\n")
    ended = audit(log)
    assert ended.code == 2
    assert ended.err == f"dnsbl: {log}: no client of a Postfix smtpd or postscreen in 1 lines\n"


# ---- what is found ----


def test_the_figures_of_each_zone(audit: Audit, log: Path, dnsbl_server: DnsblServer) -> None:
    report = json.loads(audit(log, "--json").out)
    names = ("zone", "hits", "unique_hits", "accepted_hits", "authenticated_hits", "errors")
    assert [tuple(zone[name] for name in names) for zone in report["zones"]] == [
        (ONE, 4, 3, 1, 1, 0),
        (TWO, 2, 1, 1, 0, 0),
        (THREE, 1, 0, 0, 0, 0),
    ]
    for zone in report["zones"]:
        assert zone["queries"] == dnsbl_server.count(zone["zone"]) == maillogs.CLIENTS
        assert zone["latency_ms"]["p50"] > 0
        assert zone["queries_per_day"] == maillogs.CLIENTS
    assert report["overlap"] == {
        ONE: {ONE: 4, TWO: 1, THREE: 1},
        TWO: {ONE: 1, TWO: 2, THREE: 1},
        THREE: {ONE: 1, TWO: 1, THREE: 1},
    }
    assert [(row["zone"], row["covered"]) for row in report["coverage"]] == [(ONE, 4), (TWO, 5)]
    assert report["smallest_set"] == [ONE, TWO]
    assert json.loads(audit(log, "--json", "--share", "0.8").out)["smallest_set"] == [ONE]


def test_the_smallest_set_is_smaller_than_the_greedy_one() -> None:
    """Greedy takes the zone with 4 first and needs three; two zones cover all six."""
    from dnsbl.audit.clients import Client
    from dnsbl.model import Outcome, Verdict, ZoneAnswer

    found = Found(("a", "b", "greedy"), ())
    for zones in ("a greedy", "a greedy", "a", "b greedy", "b greedy", "b"):
        answers = tuple(ZoneAnswer(zone, Outcome.LISTED, ("127.0.0.2",), score=1.0) for zone in zones.split())
        found.add(Verdict("192.0.2.1", True, True, 1.0, answers), Client(0))
    assert len(found.coverage()) == 3
    assert found.smallest_set(1.0) == ["a", "b"]


def test_those_that_logged_in_come_first_however_many_there_are() -> None:
    """The report has 200 of the clients that may be good, and tells how many there are."""
    found = Found((ONE,), ())
    answer = ZoneAnswer(ONE, Outcome.LISTED, codes=("127.0.0.2",), score=1.0)
    for number in range(1000):
        client = Client(number)
        client.accepted = number + 1
        client.authenticated = number == 900
        found.add(Verdict(f"198.51.{number >> 8}.{number & 255}", True, True, 1.0, (answer,)), client)
    assert found.suspected == 1000
    assert len(found.suspects) == 200
    assert [each.accepted for each in found.suspects[:3]] == [901, 1000, 999]


def test_the_table_ends_with_lines_that_can_be_pasted(audit: Audit, log: Path) -> None:
    ended = audit(log)
    assert (ended.code, ended.err) == (0, "")
    toml, main_cf = ended.out.split("# dnsbl.toml\n")[1].split("# main.cf\n")
    assert [zone["name"] for zone in tomllib.loads(toml)["zone"]] == [ONE, TWO]
    assert main_cf == f"postscreen_dnsbl_sites =\n    {ONE}\n    {TWO}\n"
    assert "authenticated" in ended.out


def test_masked_addresses(audit: Audit, log: Path, tmp_path: Path) -> None:
    """No address and no host name of a client is in anything that is written."""
    page = tmp_path / "page.html"
    for text in (
        audit(log, "--mask", "--html", page).out,
        audit(log, "--mask", "--json").out,
        page.read_text(),
    ):
        assert "192.0.2.x" in text
        assert not re.search(r"192\.0\.2\.\d", text)
        assert "2001:db8::5" not in text
        assert "mail.example.com" not in text
    assert masked("192.0.2.99") == "192.0.2.x"


def test_the_free_limit_holds(audit: Audit, log: Path, dnsbl_server: DnsblServer, tmp_path: Path) -> None:
    config = tmp_path / "dnsbl.toml"
    config.write_text(f'[[zone]]\nname = "{ONE}"\ndaily_limit = 3\n')
    args = ["audit", "--config", str(config), "--nameserver", dnsbl_server.nameserver, str(log)]
    assert main(args) == 2
    assert dnsbl_server.count(ONE) == 3
    assert main([*args, "--i-have-an-agreement", ONE]) == 0


# ---- the page ----


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]


def test_the_page_needs_nothing_from_elsewhere(audit: Audit, log: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert audit(log, "--html", page).code == 0
    text = page.read_text()
    parser = Links()
    parser.feed(text)
    assert parser.links == []
    assert not parser.tags & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"url\(|@import", text)
    assert text.count("<svg") == 2
    for title in ("Overlap", "Coverage by number of zones", "Timeline", "main.cf", "dnsbl.toml"):
        assert f"<h2>{title}</h2>" in text


def test_what_a_client_calls_itself_is_escaped(audit: Audit, log: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    with log.open("a") as file:
        file.write("Nov  5 10:01:00 mx postfix/smtpd[2]: 4XYZ999: client=<script>x</script>[192.0.2.98]\n")
    audit(log, "--html", page)
    assert "&lt;script&gt;" in page.read_text()
    assert "<script" not in page.read_text()


def test_a_page_without_a_hit_has_no_lines_to_paste() -> None:
    from dnsbl.audit.page import _lines

    assert _lines("\n") == ""
    assert _lines("a < b") == "<pre>a &lt; b</pre>"


def test_a_page_that_cannot_be_written(audit: Audit, log: Path, tmp_path: Path) -> None:
    ended = audit(log, "--html", tmp_path / "no" / "page.html")
    assert ended.code == 2
    assert ended.err == f"dnsbl: {tmp_path / 'no' / 'page.html'}: No such file or directory\n"


def test_a_page_for_which_there_is_no_room(audit: Audit, log: Path) -> None:
    """The table was paid for with queries: it is printed all the same."""
    ended = audit(log, "--html", "/dev/full")
    assert ended.code == 2
    assert "postscreen_dnsbl_sites" in ended.out
    assert ended.err == "dnsbl: /dev/full: No space left on device: the page is not whole\n"


def test_a_page_on_one_zone(dnsbl_server: DnsblServer, log: Path, tmp_path: Path) -> None:
    dnsbl_server.zone(ONE).list("192.0.2.99")
    page = tmp_path / "page.html"
    args = ["audit", f"--zone={ONE}", "--nameserver", dnsbl_server.nameserver, str(log), "--html", str(page)]
    assert main(args) == 0
    text = page.read_text()
    assert "this zone is enough for 95% of the one client that it lists." in text
    assert ">bl.<wbr>example.<wbr>com<" in text  # it may be broken at its dots


def test_one_bar_on_a_terminal_and_nothing_left_of_it(log: Path, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ONE)
    leader, follower = os.openpty()
    with subprocess.Popen(
        [*on_one_zone(dnsbl_server), str(log)], stdout=subprocess.DEVNULL, stderr=follower
    ) as process:
        os.close(follower)
        shown = "".join(chunks(leader))
    os.close(leader)
    assert process.returncode == 0
    assert "7/7" in shown
    assert shown.count("\x1b[?25l") == 1  # the cursor is hidden by each bar that begins


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(audit: Audit, log: Path, tmp_path: Path, width: int) -> None:
    """Chromium draws it whole at desktop and phone width, and asks nobody for anything."""
    needs("chromium")
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    audit(log, "--html", page)
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update"
    flags += " --disable-background-networking --disable-sync --hide-scrollbars"
    ended = subprocess.run(
        ["chromium", *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},2400",
         f"--screenshot={picture}", page.as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert picture.exists(), ended.stderr
    data = picture.read_bytes()
    assert int.from_bytes(data[16:20], "big") == width
    assert len(data) > 20_000  # an empty page is some 5,000 bytes
