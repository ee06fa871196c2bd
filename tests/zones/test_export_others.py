"""What is exported for Exim, rspamd and SpamAssassin is read back by our own readers as the same zones."""

from __future__ import annotations

import pytest

from dnsbl.migrate.exim import import_exim
from dnsbl.migrate.export_others import export_others, threshold_of
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.rspamd import import_rspamd
from dnsbl.migrate.spamassassin import import_spamassassin
from dnsbl.zones.catalogue import load
from dnsbl.zones.zone import Zone, parse_zone

CATALOGUE = load()
READERS = {"exim": import_exim, "rspamd": import_rspamd, "spamassassin": import_spamassassin}


def lost(found: Imported) -> list[str]:
    return [str(note) for note in found.notes if note.lost]


@pytest.mark.parametrize("dialect", READERS)
@pytest.mark.parametrize("rest", ["", "=127.0.0.2*3", "=127.0.0.[2..4]*2"])
def test_a_zone_comes_back(dialect: str, rest: str) -> None:
    zone = parse_zone(f"bl.example.com{rest}")
    exported = export_others(dialect, [zone])
    assert exported.lost == ()
    found = READERS[dialect](exported.text, CATALOGUE)
    (entry,) = found.entries
    assert entry.name == "bl.example.com"
    reply = str(zone.filters[0].reply) if zone.filters else "any"
    assert entry.reply == reply
    if dialect != "exim":
        assert entry.weight == (zone.filters[0].weight if zone.filters else 1)
    assert lost(found) == []


def test_exim_adds_no_scores_up() -> None:
    zones = [parse_zone("a.example*1"), parse_zone("b.example*3"), parse_zone("w.example*-1")]
    exported = export_others("exim", zones, threshold=3)
    assert exported.text == "accept\n  dnslists = w.example\ndeny\n  dnslists = b.example\n"
    assert len(exported.lost) == 1
    assert "a.example" in exported.lost[0]


@pytest.mark.parametrize("dialect", READERS)
def test_a_key_is_never_written(dialect: str) -> None:
    zone = Zone("zen.dq.spamhaus.net", key="abcdefghij0123456789abcdef")
    exported = export_others(dialect, [zone])
    assert "abcdefghij" not in exported.text
    assert "${DNSBL_KEY_SPAMHAUS}.zen.dq.spamhaus.net" in exported.text


def test_the_threshold_is_the_policys() -> None:
    assert threshold_of({}) == 1
    rule = {"score": ">=4", "action": "REJECT no"}
    assert threshold_of({"rule": [{"client": ["private"], "action": "DUNNO"}, rule]}) == 4
