"""The catalogue: what it fills in, refuses and warns of, and how a file on disk overrides it."""

from __future__ import annotations

import os
import tomllib
from datetime import date
from pathlib import Path

import pytest

import dnsbl.zones.catalogue as catalogue_module
from dnsbl.errors import ConfigError, ZoneError
from dnsbl.model import Outcome, Status, Wire
from dnsbl.zones.catalogue import MAX_FILE_BYTES, Catalogue, load
from dnsbl.zones.interpret import read
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.row import Row, parse_code, parse_row
from dnsbl.zones.secret import PARTS
from dnsbl.zones.zone import Code, Filter, Zone

SHIPPED = Path(catalogue_module.__file__).with_name("catalogue.toml")
SOME_DAY = date(2026, 1, 1)
KEY = "s3cr3tkey0123456789"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def built(catalogue: Catalogue, *items: str | Zone, allow: tuple[str, ...] = ()) -> tuple[Zone, ...]:
    zones, warnings = catalogue.build(items, allow=allow)
    assert warnings == ()
    return zones


# --- the shipped rows ---


def test_rows_read_one_by_one_are_the_rows_of_the_whole_file(catalogue: Catalogue) -> None:
    whole = tomllib.loads(SHIPPED.read_text("utf-8"))
    assert set(whole) == {"date", "list"}
    assert list(catalogue) == [parse_row(table, whole["date"]) for table in whole["list"]]
    assert len({table["name"] for table in whole["list"]}) == len(whole["list"])


def test_every_row_says_what_it_must(catalogue: Catalogue) -> None:
    for row in catalogue:
        assert row.date >= date(2026, 11, 25), row.name
        assert row.sources, row.name
        assert row.why, row.name
        if row.status == "retired":
            assert not row.default, row.name
            continue
        assert row.operator, row.name
        assert row.page.startswith("http"), row.name
        assert row.holds, row.name
        assert row.zone.codes or row.status in ("charges", "unfit"), row.name
        # Only then can build() tell a weight that was given from one that was left out.
        assert row.zone.codes or row.zone.weight == 1, row.name
        if row.needs_key:
            assert row.registration, row.name
            part, _, rest = row.name.partition(".")
            place = f"{part}.{{key}}.{rest}" if part in PARTS else "{key}." + row.name
            assert row.zone.key_place == place
        if row.zone.delist_url:
            assert row.zone.delist_url.startswith("http"), row.name


def test_what_a_row_points_at_is_there(catalogue: Catalogue) -> None:
    for row in catalogue:
        for name in filter(None, (row.successor, row.part_of)):
            other = catalogue.row(name)
            assert other is not None, name
            assert other.status == "alive", (row.name, name)


@pytest.mark.parametrize(
    "name",
    [
        "zen.spamhaus.org", "dbl.spamhaus.org", "zen.dq.spamhaus.net", "dbl.dq.spamhaus.net",
        "zrd.dq.spamhaus.net", "bl.spamcop.net", "b.barracudacentral.org", "psbl.surriel.com",
        "dnsbl.dronebl.org", "bl.mailspike.net", "rep.mailspike.net", "multi.surbl.org", "multi.uribl.com",
        "list.dnswl.org", "combined.mail.abusix.zone",
    ],
)  # fmt: skip
def test_the_lists_that_must_be_there_are_alive(catalogue: Catalogue, name: str) -> None:
    row = catalogue.row(name)
    assert row is not None
    assert row.status == "alive"


def test_the_default_is_small_free_and_gives_its_reasons(catalogue: Catalogue) -> None:
    zones = catalogue.default()
    assert [zone.name for zone in zones] == [
        "zen.spamhaus.org",
        "dbl.spamhaus.org",
        "bl.spamcop.net",
        "psbl.surriel.com",
    ]
    assert frozenset().union(*(zone.subjects for zone in zones)) == {"ip4", "ip6", "domain"}
    for zone in zones:
        row = catalogue.row(zone.name)
        assert row is not None
        assert (row.status, row.needs_key, row.registration) == ("alive", False, "")
        assert row.why
    assert catalogue.build(zones) == (zones, ())
    assert catalogue.build([zone.name for zone in zones]) == (zones, ())


# --- filling in ---


def test_a_name_alone_takes_everything_from_its_row(catalogue: Catalogue) -> None:
    (zone,) = built(catalogue, "Zen.Spamhaus.Org.")
    row = catalogue.row("zen.spamhaus.org")
    assert row is not None
    assert zone == row.zone
    assert zone.delist_link("192.0.2.1") == "https://check.spamhaus.org/results/?query=192.0.2.1"
    assert zone.daily_limit == 300_000


def test_postfix_text_keeps_its_own_filter_and_weight(catalogue: Catalogue) -> None:
    (zone,) = built(catalogue, "list.dnswl.org=127.0.[0..255].[1..3]*-4")
    assert [(str(entry.reply), entry.weight) for entry in zone.filters] == [("127.0.[0..255].[1..3]", -4.0)]
    reading = read(zone, Wire(Status.OK, 0, (0x7F000402,)))
    assert (reading.score, reading.positive) == (-4, False)
    assert reading.meanings == ("organisation", "trust medium: to be blocked in clear cases only")
    assert read(zone, Wire(Status.OK, 0, (0x7F0000FF,))).outcome is Outcome.BLOCKED
    (filtered,) = built(catalogue, "bl.spamcop.net=127.0.0.2")
    assert filtered.filters[0].weight == 1  # left out beside a filter, it is 1, not the row's


def test_an_unknown_zone_is_taken_with_the_plain_rules(catalogue: Catalogue) -> None:
    assert built(catalogue, "bl.example") == (Zone("bl.example"),)
    assert catalogue.row("bl.example") is None


def test_a_zone_object_is_filled_in_where_it_has_no_codes(catalogue: Catalogue) -> None:
    own = (Code(match=parse_reply_filter("127.0.0.2"), meaning="own"),)
    bare, heavy, whole = built(
        catalogue,
        Zone("zen.spamhaus.org", nameservers=("192.0.2.53:53",)),
        Zone("bl.spamcop.net", weight=3, timeout_s=2),
        Zone("psbl.surriel.com", codes=own),
    )
    assert bare.codes
    assert bare.nameservers == ("192.0.2.53:53",)
    assert (heavy.weight, heavy.timeout_s, len(heavy.codes)) == (3, 2, 1)
    assert whole == Zone("psbl.surriel.com", codes=own)


def test_zone_takes_what_is_given_and_the_rest_from_the_row(catalogue: Catalogue) -> None:
    zone = catalogue.zone("bl.spamcop.net", weight=1.0, daily_limit=50)
    assert (zone.weight, zone.daily_limit) == (1.0, 50)
    assert zone.codes[0].meaning == "reported as a source of spam"
    assert built(catalogue, zone) == (zone,)
    keyed = catalogue.zone("zen.dq.spamhaus.net", key=KEY)
    assert (keyed.name, keyed.wire_name) == ("zen.dq.spamhaus.net", f"{KEY}.zen.dq.spamhaus.net")
    assert catalogue.zone("bl.example", key=KEY).wire_name == f"{KEY}.bl.example"
    with pytest.raises(ZoneError):
        catalogue.zone("bl.example", weight=float("nan"))


def test_a_weight_that_is_given_scales_the_rows_own_weights(catalogue: Catalogue) -> None:
    trusted = catalogue.zone("list.dnswl.org", weight=-2)
    assert read(trusted, Wire(Status.OK, 0, (0x7F000401,))).score == -2
    assert read(trusted, Wire(Status.OK, 0, (0x7F000402,))).score == -4
    karma = catalogue.zone("hostkarma.junkemailfilter.com", weight=1)
    assert [read(karma, Wire(Status.OK, 0, (0x7F000000 + last,))).score for last in (1, 2, 3)] == [-1, 1, 0]


# --- given several times ---


def test_a_zone_given_twice_is_one_zone_whose_weights_add(catalogue: Catalogue) -> None:
    (zone,) = built(
        catalogue,
        "zen.spamhaus.org=127.0.0.[2..4]*3",
        "zen.spamhaus.org=127.0.0.[10;11]*2",
        "zen.spamhaus.org.",
    )
    assert [entry.weight for entry in zone.filters] == [3, 2, 1]
    assert read(zone, Wire(Status.OK, 0, (0x7F000002, 0x7F00000A))).score == 6
    assert read(zone, Wire(Status.OK, 0, (0x7F00000A,))).score == 3


def test_a_bare_name_given_twice_is_once(catalogue: Catalogue) -> None:
    assert built(catalogue, "bl.spamcop.net", "BL.spamcop.net.") == built(catalogue, "bl.spamcop.net")


def test_settings_of_a_zone_given_twice_join_unless_they_are_at_odds(catalogue: Catalogue) -> None:
    fast, own = Zone("bl.example", timeout_s=0.5), Zone("bl.example", nameservers=("192.0.2.53:53",))
    (zone,) = built(catalogue, fast, own, "bl.example=127.0.0.2*2")
    assert (zone.timeout_s, zone.nameservers) == (0.5, ("192.0.2.53:53",))
    assert zone.filters == (Filter(None, 1.0), Filter(parse_reply_filter("127.0.0.2"), 2.0))
    with pytest.raises(ZoneError, match=r"bl\.example is given twice, with timeout_s at odds"):
        catalogue.build([fast, Zone("bl.example", timeout_s=0.7)])


# --- refusals and warnings ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ix.dnsbl.manitu.net", ["retired since 2025-01-16", "NiX Spam", "use zen.spamhaus.org instead"]),
        ("dnsbl.sorbs.net=127.0.0.10*2", ["dnsbl.sorbs.net", "2024-06-05", "zen.spamhaus.org"]),
        ("dul.dnsbl.sorbs.net", ["dul.dnsbl.sorbs.net", "2024-06-05", "zen.spamhaus.org"]),
        ("combined.njabl.org", ["2013-03", "stranger"]),
        ("dnsbl.ahbl.org", ["2015"]),
        ("db.wpbl.info", ["times out"]),
        ("cbl.abuseat.org", ["XBL", "zen.spamhaus.org"]),
        ("dsn.rfc-ignorant.org", ["2012", "leave it out"]),
        ("rhsbl.sorbs.net", ["rhsbl.sorbs.net", "2024-06-05", "use dbl.spamhaus.org instead"]),
        ("rbl.megarbl.net", ["its domain expired", "lists every address", "zen.spamhaus.org"]),
        ("relays.ordb.org", ["it ended", "zen.spamhaus.org"]),
        ("dnsbl.burnt-tech.com", ["is retired: it answers for every address"]),
    ],
)
def test_a_dead_zone_is_an_error_that_explains_and_names_its_successor(
    catalogue: Catalogue, text: str, words: list[str]
) -> None:
    with pytest.raises(ZoneError) as caught:
        catalogue.build(["zen.spamhaus.org", text])
    assert all(word in str(caught.value) for word in words)
    assert str(caught.value).isprintable()
    assert caught.value.text == text.partition("=")[0]
    with pytest.raises(ZoneError):
        catalogue.build([Zone(text.partition("=")[0], codes=(Code(mask=2),))])


@pytest.mark.parametrize("allow", ["dul.dnsbl.sorbs.net", "dnsbl.sorbs.net", "DUL.dnsbl.sorbs.net."])
def test_a_dead_zone_is_taken_if_it_is_allowed_by_name(catalogue: Catalogue, allow: str) -> None:
    assert built(catalogue, "dul.dnsbl.sorbs.net", allow=(allow,)) == (Zone("dul.dnsbl.sorbs.net"),)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("dnsbl-1.uceprotect.net", "charges for delisting"),
        ("dnsbl-3.uceprotect.net", "charges for delisting"),
        ("ips.backscatterer.org", "charges for delisting"),
        ("dnsbl.spfbl.net", "charges for delisting"),
        ("dnsbl.ascams.com", "not fit for use"),
        ("hbl.dq.spamhaus.net", "not fit for use"),
    ],
)
def test_an_unsuitable_list_is_a_warning_unless_allowed(catalogue: Catalogue, name: str, word: str) -> None:
    zones, warnings = catalogue.build([name])
    assert [zone.name for zone in zones] == [name]
    assert len(warnings) == 1
    assert name in warnings[0]
    assert word in warnings[0]
    assert catalogue.build([name], allow=[name]) == (zones, ())


def test_more_than_six_zones_are_a_warning_unless_allowed(catalogue: Catalogue) -> None:
    names = [f"bl{number}.example" for number in range(7)]
    assert catalogue.build(names[:6])[1] == ()
    zones, warnings = catalogue.build(names)
    assert len(zones) == 7
    assert warnings[0].startswith("7 zones")
    assert catalogue.build(names, allow=["bl3.example"]) == (zones, ())
    assert catalogue.build([*names[:6], "bl0.example*2"])[1] == ()  # one zone, given twice


def test_an_allowlist_that_would_count_against_the_client_is_a_warning(catalogue: Catalogue) -> None:
    (warning,) = catalogue.build(["list.dnswl.org*2"])[1]
    assert "allowlist" in warning
    built(catalogue, "list.dnswl.org*-2")
    built(catalogue, "list.dnswl.org*2", allow=("list.dnswl.org",))


def test_a_keyed_zone_without_its_key_is_an_error_that_says_what_to_do(catalogue: Catalogue) -> None:
    with pytest.raises(ZoneError, match=r"key_env or key_file.*KEY\.zen\.dq\.spamhaus\.net"):
        catalogue.build(["zen.dq.spamhaus.net"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("zen.spamhaus.org", "leave it out; with a key, ask zen.dq.spamhaus.net"),
        ("dbl.spamhaus.org", "leave it out; with a key, ask dbl.dq.spamhaus.net"),
        ("psbl.surriel.com", "leave it out"),
    ],
)
def test_a_key_is_not_sent_to_a_list_that_takes_none(catalogue: Catalogue, name: str, hint: str) -> None:
    """It would go, in the query's name, to the public list, which calls it a typing error."""
    with pytest.raises(ZoneError) as caught:
        catalogue.build([catalogue.zone(name, key=KEY)])
    assert str(caught.value) == f"{name} takes no key: {hint}"


def test_a_key_in_a_name_is_taken_out_and_never_shown(catalogue: Catalogue) -> None:
    zones = built(
        catalogue, f"{KEY}.zen.dq.spamhaus.net=127.0.0.[2..11]*3", f"{KEY.upper()}.combined.mail.abusix.zone"
    )
    assert [zone.name for zone in zones] == ["zen.dq.spamhaus.net", "combined.mail.abusix.zone"]
    assert [zone.wire_name.partition(".")[0] for zone in zones] == [KEY, KEY]
    assert all(zone.codes for zone in zones)
    assert KEY not in repr(zones).lower()
    # Given once with the key, it need not be repeated.
    (zone,) = built(catalogue, f"{KEY}.zen.dq.spamhaus.net=127.0.0.2*3", "zen.dq.spamhaus.net=127.0.0.3")
    assert zone.wire_name == f"{KEY}.zen.dq.spamhaus.net"
    with pytest.raises(ZoneError, match="with key at odds") as caught:
        catalogue.build([f"{KEY}.zen.dq.spamhaus.net", f"x{KEY}.zen.dq.spamhaus.net"])
    assert KEY not in str(caught.value)


# --- a file on disk ---


def on_disk(folder: Path, text: str) -> Path:
    path = folder / "catalogue.toml"
    path.write_text(text, "utf-8")
    return path


NEW_ROWS = """
date = 2099-01-01

[[list]]
name = "psbl.surriel.com"
status = "retired"
since = "2098-12"
why = "it ended"
successor = "bl.new.example"

[[list]]
name = "bl.new.example"
operator = "New"
default = true
codes = [{ match = "127.0.0.2", meaning = "new" }]
why = "it is new"

[[list]]
name = "bl.spamcop.net"
date = 2020-01-01
status = "retired"
why = "an old row in a new file"
"""


def test_a_newer_file_overrides_row_by_row(tmp_path: Path) -> None:
    catalogue = load(on_disk(tmp_path, NEW_ROWS))
    assert [zone.name for zone in catalogue.default()] == [
        "zen.spamhaus.org",
        "dbl.spamhaus.org",
        "bl.spamcop.net",
        "bl.new.example",
    ]
    with pytest.raises(ZoneError, match=r"retired since 2098-12: it ended; use bl\.new\.example"):
        catalogue.build(["psbl.surriel.com"])
    assert catalogue.zone("bl.new.example").codes[0].meaning == "new"
    assert [row.name for row in catalogue][-1] == "bl.new.example"
    assert catalogue.warnings == ()
    assert load().row("bl.new.example") is None


def test_an_older_file_changes_nothing_that_ships(tmp_path: Path) -> None:
    catalogue = load(on_disk(tmp_path, NEW_ROWS.replace("2099-01-01", "2026-11-25")))
    assert [zone.name for zone in catalogue.default()][:4] == [zone.name for zone in load().default()]
    assert catalogue.row("bl.new.example") is not None


ROW = 'date = 2099-01-01\n[[list]]\nname = "bl.example"\n'
BROKEN = {
    "not TOML": "date = ",
    "no date": '[[list]]\nname = "bl.example"',
    "a date that is none": ROW.replace("2099-01-01", '"2099-01-01"'),
    "rows that are none": "date = 2099-01-01\nlist = 3",
    "a row that is none": "date = 2099-01-01\nlist = [3]",
    "no name": "date = 2099-01-01\n[[list]]\nstatus = 'retired'",
    "a key nobody knows": ROW + "wieght = 2",
    "a value of the wrong kind": ROW + 'weight = "2"',
    "a number that is none": ROW + "queries_per_day = true",
    "a limit of nothing": ROW + "queries_per_day = 0",
    "a status nobody knows": ROW + 'status = "dead"',
    "a code that is none": ROW + "codes = [2]",
    "a bad filter": ROW + 'codes = [{ match = "127.0.0.[4..1]" }]',
    "a kind nobody knows": ROW + 'subjects = ["ip5"]',
    "subjects that are none": ROW + 'subjects = [["ip4"]]',
    "no subjects": ROW + "subjects = []",
    "sources that are none": ROW + "sources = [1]",
    "tests that are none": ROW + 'tests = { ip4 = ["127.0.0.2"] }',
    "a test of a kind nobody knows": ROW + 'tests = { ip5 = { listed = ["x"] } }',
    "a test that is none": ROW + "tests = { ip4 = { listed = [2] } }",
    "a test nobody knows": ROW + 'tests = { ip4 = { list = ["127.0.0.2"] } }',
    "a keyed default": ROW + 'key_place = "{key}.bl.example"\ndefault = true',
    "a date with a time": ROW + "date = 2099-01-01T00:00:00",
    "a weight beyond floats": ROW + f"weight = 1{'0' * 400}",
    "a number of very many digits": ROW + f"queries_per_day = {'9' * 5000}",
    "a number too long to be shown": ROW + f"queries_per_day = 0x{'f' * 5000}",
    "nested too deep": ROW + "x = " + "[" * 5000,
    "a key of very many names": "a" + ".a" * 400_000 + " = 1",
    "too large": "date = 2099-01-01\n#" + "x" * MAX_FILE_BYTES,
    "not UTF-8": None,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_damaged_file_is_an_error_where_it_was_asked_for_else_a_warning(
    tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_bytes(b"date = 2099-01-01\n# \xff" if text is None else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(catalogue_module, "DISK_PATH", path)
    catalogue = load()
    assert len(catalogue.warnings) == 1
    assert str(path) in catalogue.warnings[0]
    assert catalogue.default() == load(on_disk(tmp_path, "date = 2000-01-01")).default()


def test_only_a_regular_file_is_read_and_a_missing_one_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(tmp_path / "pipe")  # would wait for ever if it were opened
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "absent.toml")
    monkeypatch.setattr(catalogue_module, "DISK_PATH", tmp_path / "absent.toml")
    assert load().warnings == ()


# --- rows and codes from tables ---


def test_a_row_gives_what_its_table_says() -> None:
    row = parse_row(
        {
            "name": "bl.example",
            "date": date(2026, 2, 2),
            "subjects": ["domain"],
            "domain": "host",
            "weight": 2,
            "queries_per_day": 10,
            "tests": {"domain": {"listed": ["test.example"], "unlisted": ["invalid"]}},
            "sources": ["https://example.com/"],
            "unverified": ["codes"],
        },
        SOME_DAY,
    )
    assert isinstance(row, Row)
    assert (row.date, row.status, row.unverified) == (date(2026, 2, 2), "alive", ("codes",))
    assert (row.zone.domain, row.zone.weight, row.zone.daily_limit) == ("host", 2.0, 10)
    assert [(probe.subject, probe.listed) for probe in row.zone.probes] == [
        ("test.example", True),
        ("invalid", False),
    ]


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"match": "127.0.0.2", "mask": 2},
        {"match": 2},
        {"match": "127.0.0.[2"},
        {"mask": 3},
        {"mask": 2, "meaning": 3},
        {"mask": 2, "outcome": "allow"},
        {"mask": 2, "outcome": ["listed"]},
        {"mask": 2, "weight": "much"},
        {"mask": 2, "colour": "red"},
    ],
)
def test_a_code_table_that_is_wrong_is_one_clear_error(table: dict[str, object]) -> None:
    with pytest.raises(ZoneError) as caught:
        parse_code(table)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "dsn.rfc-clueless.org", "rbl.lugh.ch", "tor.dnsbl.sectoor.de", "dnsbl.justspam.org", "bad.psky.me",
        "query.bondedsender.org", "bl.spamcannibal.org", "new.ext.sorbs.net",
    ],
)  # fmt: skip
def test_lists_that_are_gone_are_refused(catalogue: Catalogue, name: str) -> None:
    """M: named in public configurations to this day."""
    with pytest.raises(ZoneError, match=r"is retired(?! since :)"):
        catalogue.build([name])


@pytest.mark.parametrize(
    "name",
    [
        "swl.spamhaus.org", "bl.nordspam.com", "dbl.nordspam.com", "cidr.bl.mcafee.com",
        "backscatter.spameatingmonkey.net", "rbl.interserver.net", "rbluri.interserver.net",
        "spam.spamrats.com", "dyna.spamrats.com", "noptr.spamrats.com", "auth.spamrats.com",
        "black.mail.abusix.zone", "exploit.mail.abusix.zone", "dynamic.mail.abusix.zone",

        "dblack.mail.abusix.zone",
        "sbl.dq.spamhaus.net", "dwl.dnswl.org", "iadb.isipp.com", "sa-accredit.habeas.com", "red.uribl.com",
        "grey.uribl.com", "urired.spameatingmonkey.net",
    ],
)  # fmt: skip
def test_lists_that_are_in_use_have_a_row_that_says_what_was_not_verified(
    catalogue: Catalogue, name: str
) -> None:
    row = catalogue.row(name)
    assert row is not None
    assert row.name == name
    assert row.status == "alive"
    assert row.unverified


def test_surbl_is_asked_for_the_whole_host(catalogue: Catalogue) -> None:
    """M: rspamd pull request 5213; SpamAssassin's `notrim`."""
    assert catalogue.zone("multi.surbl.org").domain == "host"
