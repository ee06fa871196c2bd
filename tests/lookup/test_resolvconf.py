"""The system's nameservers: read leniently, followed when the file changes, and never a search list."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lookups import outcomes, with_zones

from dnsbl import NameserverError, Outcome, Resolver, Verdict
from dnsbl.lookup.resolvconf import LOOK_EVERY_S, MAX_BYTES, SystemNameservers
from dnsbl.testing import DnsblServer, delay, wildcard


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that stands in for /etc/resolv.conf."""
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr("dnsbl.lookup.resolvconf.PATH", str(path))
    return path


@pytest.fixture
def looked_at_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsbl.lookup.resolvconf.LOOK_EVERY_S", 0.0)


# ---- reading ----


@pytest.mark.parametrize(
    ("text", "nameservers"),
    [
        ("nameserver 192.0.2.53 # note", ("192.0.2.53:53",)),
        ("nameserver 192.0.2.53;note", ("192.0.2.53:53",)),
        ("nameserver\t192.0.2.53\t\n", ("192.0.2.53:53",)),
        ("nameserver 192.0.2.53\r\nnameserver 192.0.2.54\r\n", ("192.0.2.53:53", "192.0.2.54:53")),
        ("#nameserver 192.0.2.1\n;nameserver 192.0.2.2\n nameserver 192.0.2.53\n", ("192.0.2.53:53",)),
        ("\ufeffnameserver 2001:db8::53\nsearch corp.example\n", ("[2001:db8::53]:53",)),
        ("options rotate\nnameserver 192.0.2.53 192.0.2.54\n", ("192.0.2.53:53",)),
        ("nameserver 192.0.2.53\nnameserver 192.0.2.53\n", ("192.0.2.53:53",)),
        ("nameserver example\nnameserver 192.0.2.53\nnameserver\n", ("192.0.2.53:53",)),
        ("Nameserver 192.0.2.53", ("192.0.2.53:53",)),
    ],
)
def test_g7_a_file_is_read_leniently(conf: Path, text: str, nameservers: tuple[str, ...]) -> None:
    conf.write_bytes(text.encode())
    with Resolver(["bl.example"]) as resolver:
        assert resolver.nameservers == nameservers


def test_bytes_that_are_no_text_do_no_harm(conf: Path) -> None:
    conf.write_bytes(b"# caf\xe9 \x00\xff\nnameserver 192.0.2.53\n\xff\xfe\n" + b"#" * 2 * MAX_BYTES)
    assert SystemNameservers(str(conf)).found == ("192.0.2.53:53",)


@pytest.mark.parametrize(
    "text", ["", "# nameserver 192.0.2.53\n", "search corp.example\n", "nameserver resolver\n"]
)
def test_no_nameserver_is_a_clear_error(conf: Path, text: str) -> None:
    conf.write_text(text)
    with pytest.raises(NameserverError, match="no nameserver") as caught:
        Resolver(["bl.example"])
    assert str(conf) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_is_the_same_clear_error_and_none_with_nameservers_given(conf: Path) -> None:
    with pytest.raises(NameserverError, match="no nameserver"):
        Resolver(["bl.example"])
    with Resolver(["bl.example"], ["127.0.0.1:5353"]) as resolver:
        assert resolver.nameservers == ("127.0.0.1:5353",)


def test_a_line_that_cannot_be_used_is_logged(conf: Path, caplog: pytest.LogCaptureFixture) -> None:
    conf.write_text("nameserver 192.0.2.53\nnameserver dns.example\n")
    SystemNameservers(str(conf))
    assert [record.name for record in caplog.records] == ["dnsbl"]
    assert "dns.example" in caplog.text


# ---- following ----


def test_looked_at_only_now_and_then(conf: Path) -> None:
    conf.write_text("nameserver 192.0.2.53\n")
    system = SystemNameservers(str(conf))
    assert not system.changed(100.0)
    conf.write_text("nameserver 192.0.2.54 # another\n")
    assert not system.changed(100.0 + LOOK_EVERY_S - 0.1)
    assert system.changed(100.0 + LOOK_EVERY_S)
    assert system.found == ("192.0.2.54:53",)
    assert not system.changed(100.0 + 2 * LOOK_EVERY_S)


def test_a_file_replaced_by_rename_with_the_same_length_is_seen(conf: Path, tmp_path: Path) -> None:
    conf.write_text("nameserver 192.0.2.53\n")
    system = SystemNameservers(str(conf))
    other = tmp_path / "other"
    other.write_text("nameserver 192.0.2.54\n")
    before = conf.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(conf)
    assert system.changed(100.0)
    assert system.found == ("192.0.2.54:53",)


def test_what_says_the_same_in_other_words_is_no_change(conf: Path, caplog: pytest.LogCaptureFixture) -> None:
    conf.write_text("nameserver 192.0.2.53\n")
    system = SystemNameservers(str(conf))
    conf.write_text("# written anew\nnameserver 192.0.2.53\n")
    assert not system.changed(100.0)
    assert not caplog.records


@pytest.mark.parametrize("how", ["emptied", "removed", "commented out"])
def test_a_file_that_names_none_any_more_leaves_things_as_they_were(
    conf: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    conf.write_text("nameserver 192.0.2.53\n")
    system = SystemNameservers(str(conf))
    if how == "removed":
        conf.unlink()
    else:
        conf.write_text("" if how == "emptied" else "#nameserver 192.0.2.53\n")
    for step in range(1, 4):
        assert not system.changed(100.0 * step)
        assert system.found == ("192.0.2.53:53",)
    assert len(caplog.records) == 1  # said once
    conf.write_text("nameserver 192.0.2.54\n")
    assert system.changed(1000.0)


@pytest.mark.usefixtures("looked_at_always")
def test_a_resolver_follows_the_file(
    conf: Path, dnsbl_server: DnsblServer, caplog: pytest.LogCaptureFixture
) -> None:
    dnsbl_server.zone("bl.example")
    with DnsblServer(zones=["bl.example"]) as other:
        other.zone("bl.example").list("192.0.2.0/24")
        conf.write_text(f"nameserver {dnsbl_server.nameserver}\n")
        with Resolver(["bl.example"], deadline_s=2, reasons=False) as resolver, caplog.at_level(logging.INFO):
            assert outcomes(resolver.check("192.0.2.1")) == [Outcome.NOT_LISTED]
            conf.write_text(f"nameserver {other.nameserver} # moved\n")
            verdict = resolver.check("192.0.2.2")
            assert outcomes(verdict) == [Outcome.LISTED]
            assert verdict.answers[0].evidence.nameserver == other.nameserver
            assert resolver.nameservers == (other.nameserver,)
            assert outcomes(resolver.check("192.0.2.1")) == [Outcome.NOT_LISTED]  # cached
            conf.write_text("")
            assert outcomes(resolver.check("192.0.2.3")) == [Outcome.LISTED]
    assert len(caplog.records) == 2


@pytest.mark.usefixtures("looked_at_always")
def test_an_answer_is_credited_to_the_nameserver_that_was_asked(
    conf: Path, dnsbl_server: DnsblServer
) -> None:
    """Also where the file changes while the answer is on its way."""
    dnsbl_server.zone("bl.example").fault(delay(0.2), times=1)
    conf.write_text(f"nameserver {dnsbl_server.nameserver}\n")
    with DnsblServer(zones=["bl.example"]) as other, Resolver(["bl.example"], deadline_s=2) as resolver:

        def subjects() -> Iterator[str]:
            yield "192.0.2.1"
            conf.write_text(f"nameserver {other.nameserver}\n")
            yield "192.0.2.2"

        verdicts = [found for found in resolver.check_many(subjects()) if isinstance(found, Verdict)]
        servers = {verdict.subject: verdict.answers[0].evidence.nameserver for verdict in verdicts}
    assert servers == {"192.0.2.1": dnsbl_server.nameserver, "192.0.2.2": other.nameserver}


@pytest.mark.usefixtures("looked_at_always")
def test_a_file_that_changes_all_the_time_never_breaks_a_lookup(
    conf: Path, dnsbl_server: DnsblServer
) -> None:
    dnsbl_server.zone("bl.example")
    conf.write_text(f"nameserver {dnsbl_server.nameserver}\n")
    with Resolver(["bl.example"], deadline_s=2) as resolver:
        for number in range(300):
            conf.write_text(f"nameserver {dnsbl_server.nameserver}\nnameserver 127.1.{number}.1\n")
            assert resolver.check(f"198.51.{number // 250}.{number % 250}").complete


# ---- names are absolute ----


@pytest.mark.usefixtures("looked_at_always")
def test_g6_no_search_list_is_ever_used(
    conf: Path, dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_zones(dnsbl_server, "bl.example", "bl")
    dnsbl_server.zone("corp.example").fault(wildcard())
    dnsbl_server.zone("bl.example").negative(soa=False)
    monkeypatch.setenv("LOCALDOMAIN", "corp.example")
    monkeypatch.setenv("RES_OPTIONS", "ndots:15")
    conf.write_text(
        f"search corp.example\ndomain corp.example\noptions ndots:15\nnameserver {dnsbl_server.nameserver}\n"
    )
    asked = []
    for zones in (["bl.example"], ["bl"]):
        with Resolver(zones, deadline_s=2) as resolver:
            for subject in ("192.0.2.99", "2001:db8::99"):
                verdict = resolver.check(subject)
                assert (verdict.listed, verdict.complete) == (False, True)
                asked.append(verdict.answers[0].query_name)
    assert [query.name for query in dnsbl_server.queries] == asked
    assert dnsbl_server.count("corp.example") == 0
