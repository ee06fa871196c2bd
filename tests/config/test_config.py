"""dnsbl.toml: which file is read, what each key does, and that every complaint has its line."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

import dnsbl.config.file
from dnsbl import Resolver
from dnsbl.config.file import Config, load, parse
from dnsbl.errors import ConfigError
from dnsbl.model import Outcome, Status, Wire
from dnsbl.zones.interpret import read
from dnsbl.zones.zone import Zone

EXAMPLE = """
[resolver]
nameservers = ["127.0.0.1:5353"]
deadline_s = 3.0

[[zone]]
name = "zen.spamhaus.org"          # known to the catalogue: everything else comes from there
weight = 3

[[zone]]
name = "uri.example.net"           # not in the catalogue
subjects = ["domain", "ip4"]
domain = "registrable"
weight = 2
reply = "127.0.0.[2..14]"
codes = [
  { match = "127.0.0.1", outcome = "blocked", meaning = "query refused" },
  { mask = 2, meaning = "known spam domain" },
]

[policy]
listen = ["127.0.0.1:10040", "unix:/run/dnsbl/policy.sock"]

[[policy.rule]]
authenticated = true
action = "DUNNO"

[[policy.rule]]
score = ">=3"
action = "REJECT {client} is listed"
"""


@pytest.fixture(autouse=True)
def no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of /etc/dnsbl.toml in these tests; nothing stands there at first."""
    path = tmp_path / "etc-dnsbl.toml"
    monkeypatch.setattr(dnsbl.config.file, "SYSTEM_PATH", path)
    return path


@pytest.fixture
def catalogue(tmp_path: Path) -> str:
    """The lines that name a catalogue file with a retired list and a keyed one."""
    path = tmp_path / "catalogue.toml"
    path.write_text(
        "date = 2999-01-01\n"
        "[[list]]\nname = 'dead.example'\nstatus = 'retired'\nsince = '2024-06'\nwhy = 'closed'\n"
        "successor = 'live.example'\n"
        "[[list]]\nname = 'keyed.example'\nkey_place = 'a.{key}.keyed.example'\n"
    )
    return f"[resolver]\ncatalogue = '{path}'\n"


def one_zone(text: str) -> Zone:
    (zone,) = parse(f"[[zone]]\n{text}").zones
    return zone


def entries(zone: Zone) -> list[tuple[str, float]]:
    return [(str(entry.reply), entry.weight) for entry in zone.filters]


def fails(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, env={})
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_example_of_the_manual() -> None:
    config = parse(EXAMPLE)
    assert config.resolver.nameservers == ("127.0.0.1:5353",)
    assert config.resolver.given() == {"nameservers": ("127.0.0.1:5353",), "deadline_s": 3.0}
    zen, uri = config.zones
    assert (zen.name, zen.weight, zen.filters) == ("zen.spamhaus.org", 3.0, ())
    assert "SBL" in zen.codes[0].meaning, "the codes come from the catalogue"
    assert (uri.subjects, uri.domain) == ({"domain", "ip4"}, "registrable")
    assert entries(uri) == [("127.0.0.[2..14]", 2)]
    assert [(code.outcome, code.mask) for code in uri.codes] == [("blocked", None), ("listed", 2)]
    assert len(config.policy["rule"]) == 2
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("policy", "rule", 1, "action"), 30),
        (("policy", "rule", 1), 28),
        (("policy", "rule", 1, "zones"), 28),
        (("zone", 1, "codes", 1, "mask"), 18),
        (("resolver", "deadline_s"), 4),
    ],
)
def test_where_a_key_stands(path: tuple[str | int, ...], line: int) -> None:
    assert parse(EXAMPLE, name="dnsbl.toml").where(path) == f"dnsbl.toml:{line}"


class TestWhichFile:
    def test_without_any_the_curated_default(self) -> None:
        config = load(env={})
        assert config.path is None
        assert 1 <= len(config.zones) <= 4
        assert config.zones == config.catalogue.default()

    def test_path_then_variable_then_system_file(self, tmp_path: Path, no_system_file: Path) -> None:
        files = [no_system_file, tmp_path / "named", tmp_path / "given"]
        for number, file in enumerate(files):
            file.write_text(f'[[zone]]\nname = "bl{number}.example.com"\n')
        env = {"DNSBL_CONFIG": str(files[1])}
        assert [zone.name for zone in load(env={}).zones] == ["bl0.example.com"]
        assert [zone.name for zone in load(env={"DNSBL_CONFIG": ""}).zones] == ["bl0.example.com"]
        assert [zone.name for zone in load(env=env).zones] == ["bl1.example.com"]
        config = load(files[2], env=env)
        assert [zone.name for zone in config.zones] == ["bl2.example.com"]
        assert config.path == files[2]

    def test_a_file_that_was_named_must_be_there(self, tmp_path: Path) -> None:
        missing = tmp_path / "missing.toml"
        with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
            load(missing, env={})
        with pytest.raises(ConfigError, match=r"missing\.toml, which \$DNSBL_CONFIG names: cannot be read"):
            load(env={"DNSBL_CONFIG": str(missing)})
        with pytest.raises(ConfigError, match="Is a directory"):
            load(tmp_path, env={})

    def test_errors_name_the_file_and_the_line(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("[resolver]\ntimeout = 1\n")
        with pytest.raises(ConfigError) as caught:
            load(path, env={})
        message = f"{path}:2: unknown key 'timeout' in [resolver]; did you mean 'timeout_s'?"
        assert str(caught.value) == message

    def test_a_relative_catalogue_stands_beside_the_file(self, tmp_path: Path, catalogue: str) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("[resolver]\ncatalogue = 'catalogue.toml'\n[[zone]]\nname = 'dead.example'\n")
        with pytest.raises(ConfigError, match=r"mine\.toml:4: dead\.example is retired"):
            load(path, env={})

    def test_a_file_too_long_or_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "x.toml"
        path.write_bytes(b"# " + b"x" * dnsbl.config.file.MAX_BYTES)
        with pytest.raises(ConfigError, match=r"longer than 1048576 bytes"):
            load(path, env={})
        path.write_bytes(b"# a\n# caf\xe9\n")
        with pytest.raises(ConfigError, match=r"x\.toml:2: not UTF-8"):
            load(path, env={})

    def test_an_endless_file_is_read_to_the_limit_only(self) -> None:
        with pytest.raises(ConfigError, match="longer than"):
            load("/dev/zero", env={})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[zones]", "1: unknown key 'zones'; did you mean 'zone'?"),
        ("\nresolver = 1", "2: resolver: 1 is not a table; write it as [resolver]"),
        ("[zone]\nname = 'a'", "1: zone: a table is not an array of tables; write each as [[zone]]"),
        ("[resolver]\ndeadline_s = '3'", "2: deadline_s: '3' is not a number"),
        ("[resolver]\ndeadline_s = 0", "2: deadline_s: 0 is out of range; give 0.001 to 300"),
        ("[resolver]\ncache_size = -1", "2: cache_size: -1 is out of range; give 0 to 100000000"),
        ("[resolver]\ntries = 1.5", "2: tries: 1.5 is not a whole number"),
        ("[resolver]\nreasons = 'no'", "2: reasons: 'no' is not true or false"),
        ("[resolver]\nttl_max_s = 5\nttl_min_s = 6", "3: ttl_min_s: 6 is above ttl_max_s = 5"),
        ("[resolver]\nnameservers = []", "2: nameservers: an empty array; name at least one"),
        ("[resolver]\nnameservers = [\n'127.0.0.1',\n'ns.example.com']", "4: 'ns.example.com' is a host"),
        ("[resolver]\nallow = ['a..example']", "2: zone name: two dots in a row"),
        ("[resolver]\ncatalogue = '/nowhere/c.toml'", "2: catalogue /nowhere/c.toml: no such file"),
        ("[[zone]]\nweight = 1", "1: a [[zone]] needs a name"),
        ("[[zone]]\nname = 'a..example'", "2: zone name: two dots in a row"),
        ("[[zone]]\nname = 'a.example'\n[[zone]]\nname = 'b.example'\nreply = 'x'", "5: reply filter: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str) -> None:
    assert fails(text).startswith(f"dnsbl.toml:{message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weigth = 1", "3: unknown key 'weigth' in [[zone]]; did you mean 'weight'?"),
        ("weight = inf", "3: weight: inf is out of range"),
        ("reply = '127.0.0.[4..1]'", "3: reply filter: "),
        ("reply = '10.0.0.2'", "3: reply filter 10.0.0.2 can never match"),
        ("subjects = ['ip4',\n'ip5']", "4: subjects: 'ip5' is not a valid subject: use ip4, ip6, domain"),
        ("subjects = []", "1: zone a.example: subjects = [] is not valid: use one or more"),
        ("domain = 'whole'", "3: domain: 'whole' is not valid: use one of registrable, host"),
        ("on_error = 'x'", "3: on_error: 'x' is not valid: use one of no_opinion, listed"),
        ("codes = []", "3: codes: an empty array; leave the key out"),
        ("codes = [\n{mask = 2},\n{mask = 3}]", "5: mask = 3 is not one bit"),
        ("codes = [{maks = 3}]", "3: unknown key 'maks' in [[zone.codes]]; did you mean 'mask'?"),
        ("file = 'x'\nformat = 'csv'", "4: 'csv' is not a valid list format"),
        ("format = 'x'", "3: format: it is about a list file"),
        ("[[zone]]\nname = 'dead.example'", "4: dead.example is retired since 2024-06"),
        ("[[zone]]\nname = 'keyed.example'", "4: keyed.example answers only under a key"),
    ],
)
def test_what_is_wrong_in_a_zone_is_said_with_its_line(text: str, message: str, catalogue: str) -> None:
    assert fails(f"[[zone]]\nname = 'a.example'\n{text}\n{catalogue}").startswith(f"dnsbl.toml:{message}")


class TestZones:
    def test_a_name_alone_unknown_to_the_catalogue(self) -> None:
        zone = one_zone("name = 'bl.example.com'")
        assert (zone.subjects, zone.weight, zone.codes, zone.filters) == ({"ip4", "ip6"}, 1.0, (), ())

    def test_what_the_table_says_overrides_the_catalogue(self) -> None:
        zone = one_zone(
            "name = 'zen.spamhaus.org'\nsubjects = ['ip4']\ncodes = [{match = '127.0.0.2', weight = 5}]"
        )
        assert zone.subjects == {"ip4"}
        assert [(str(code), code.weight) for code in zone.codes] == [("127.0.0.2", 5.0)]
        assert zone.delist_url

    def test_every_key(self) -> None:
        zone = one_zone(
            "name = 'BL.example.com.'\nsubjects = ['domain']\ndomain = 'host'\nweight = -2.5\n"
            "nameservers = ['127.0.0.2']\ntimeout_s = 0.5\non_error = 'listed'\ndaily_limit = 1000"
        )
        expected = Zone(
            "bl.example.com",
            subjects=frozenset({"domain"}),
            domain="host",
            weight=-2.5,
            nameservers=("127.0.0.2:53",),
            timeout_s=0.5,
            on_error="listed",
            daily_limit=1000,
        )
        assert zone == expected

    def test_a_reply_filter_without_weight_counts_one(self) -> None:
        zone = one_zone("name = 'bl.spamcop.net'\nreply = '127.0.0.2'")
        assert entries(zone) == [("127.0.0.2", 1)]

    def test_any_reply_counts_once_however_many_codes(self) -> None:
        two_codes = Wire(Status.OK, 0, (0x7F000002, 0x7F00000A))
        once = one_zone("name = 'zen.spamhaus.org'\nreply = 'any'\nweight = 3")
        each = one_zone("name = 'zen.spamhaus.org'\nweight = 3")
        assert (read(once, two_codes).score, read(each, two_codes).score) == (3.0, 6.0)
        refused = Wire(Status.OK, 0, (0x7FFFFFFE,))
        assert read(once, refused).outcome is Outcome.BLOCKED

    def test_a_zone_given_twice_is_one_with_both_entries(self) -> None:
        config = parse(
            "[[zone]]\nname = 'zen.spamhaus.org'\nreply = '127.0.0.2'\nweight = 3\n"
            "[[zone]]\nname = 'zen.spamhaus.org'\nreply = '127.0.0.[10;11]'\nweight = 1\n"
        )
        (zone,) = config.zones
        assert entries(zone) == [("127.0.0.2", 3), ("127.0.0.[10;11]", 1)]

    def test_a_retired_zone_is_taken_when_allowed_by_name(self, catalogue: str) -> None:
        text = f"{catalogue}allow = ['DEAD.example']\n[[zone]]\nname = 'dead.example'"
        assert [zone.name for zone in parse(text).zones] == ["dead.example"]

    def test_too_many_zones_are_warned_of(self) -> None:
        text = "".join(f"[[zone]]\nname = 'bl{number}.example.com'\n" for number in range(7))
        (warning,) = parse(text).warnings
        assert warning.startswith("7 zones:")


KEY = "k3yk3yk3yk3yk3yk3yk3yk3yk3"


class TestKeys:
    def shown(self, config: Config) -> str:
        return f"{config!r} {config.zones} {config.tables} {config.warnings}"

    def test_from_the_environment(self, catalogue: str) -> None:
        config = parse(f"{catalogue}[[zone]]\nname = 'keyed.example'\nkey_env = 'K'", env={"K": f"{KEY}\n"})
        (zone,) = config.zones
        assert zone.wire_name == f"a.{KEY}.keyed.example"
        assert zone.name == "keyed.example"
        assert KEY not in self.shown(config)

    def test_from_a_file_beside_the_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "dqs.key").write_text(f"{KEY}\n")
        (tmp_path / "dqs.key").chmod(0o640)
        (tmp_path / "c.toml").write_text("[[zone]]\nname = 'bl.example.com'\nkey_file = 'dqs.key'\n")
        config = load(tmp_path / "c.toml", env={})
        assert config.zones[0].wire_name == f"{KEY}.bl.example.com"
        assert config.warnings == ()
        assert KEY not in self.shown(config)

    def test_a_file_that_everybody_can_read_is_warned_of(self, tmp_path: Path) -> None:
        key_file = tmp_path / "dqs.key"
        key_file.write_text(KEY)
        key_file.chmod(0o644)
        config = parse(f"[[zone]]\nname = 'bl.example.com'\nkey_file = '{key_file}'", env={})
        (warning,) = config.warnings
        assert warning == f"dnsbl.toml:3: everybody can read the key in {key_file}; chmod o-r {key_file}"

    def test_a_key_of_a_zone_the_catalogue_does_not_know_goes_in_front(self) -> None:
        (zone,) = parse("[[zone]]\nname = 'bl.example.com'\nkey_env = 'K'", env={"K": "abc"}).zones
        assert (zone.wire_name, zone.masked_name) == ("abc.bl.example.com", "***.bl.example.com")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("key_env = 'DQS'", "3: key_env: the environment variable DQS is not set, or empty"),
            ("key_file = '/nowhere/key'", "3: key_file: /nowhere/key cannot be read: No such file"),
            ("key_file = '/dev/null'", "3: key_file: /dev/null is empty; put the key in it"),
            ("key_env = 'A'\nkey_file = 'b'", "4: key_file: key_env is given too; give one of the two"),
        ],
    )
    def test_a_missing_key(self, text: str, message: str) -> None:
        assert fails(f"[[zone]]\nname = 'bl.example.com'\n{text}").startswith(f"dnsbl.toml:{message}")

    @pytest.mark.parametrize("line", ["key_env = '{}'", "key_file = '{}'", "key = {}", "key_env = {}"])
    def test_a_key_in_the_place_of_its_holders_name_is_not_shown(self, line: str) -> None:
        with pytest.raises(ConfigError, match=r"dnsbl\.toml:3: ") as caught:
            parse(f"[[zone]]\nname = 'bl.example.com'\n{line.format(KEY)}", env={})
        assert KEY not in "".join(traceback.format_exception(caught.value)) + caught.value.text

    def test_a_key_in_a_rule_or_in_allow_is_not_shown(self) -> None:
        name = f"{KEY}.zen.dq.spamhaus.net"
        config = parse(f"resolver.allow = ['{name}']\n[[policy.rule]]\nzones = ['{name}']\naction = 'DUNNO'")
        assert config.resolver.allow == ("zen.dq.spamhaus.net",)
        assert KEY not in self.shown(config)

    @pytest.mark.parametrize("key", [f"{KEY} x", f"{KEY}.example.com", f"{KEY}é", "x" * 64, f"{KEY}\0"])
    def test_a_wrong_key_is_refused_without_being_shown(self, key: str, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text(key)
        path.chmod(0o600)
        with pytest.raises(ConfigError) as caught:
            parse(f"[[zone]]\nname = 'bl.example.com'\nkey_file = '{path}'", env={})
        assert "the key is not one label" in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value)) + caught.value.text
        assert key not in shown
        assert KEY not in shown

    def test_a_key_file_too_long(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text(KEY * 1000)
        with pytest.raises(ConfigError, match="longer than 4096 bytes") as caught:
            parse(f"[[zone]]\nname = 'bl.example.com'\nkey_file = '{path}'", env={})
        assert KEY not in str(caught.value)

    def test_a_key_in_the_name_is_refused_without_being_shown(self) -> None:
        message = fails(f"[[zone]]\nname = '{KEY}.zen.dq.spamhaus.net'")
        assert message.startswith("dnsbl.toml:2: name: holds a key: write 'zen.dq.spamhaus.net'")
        assert KEY not in message

    def test_a_key_in_a_broken_line_is_not_shown(self) -> None:
        with pytest.raises(ConfigError) as caught:
            parse(f"[[zone]]\nname = {KEY}.zen.dq.spamhaus.net")
        assert KEY not in str(caught.value) + caught.value.text

    def test_no_key_is_read_for_who_asks_no_zone(self) -> None:
        text = "[[zone]]\nname = 'bl.example.com'\nkey_file = '/nowhere/key'"
        (zone,) = parse(text, env={}, keys=False).zones
        assert zone.masked_name == "***.bl.example.com"

    def test_the_environment_of_the_process_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(os.environ, "DQS", KEY)
        (zone,) = parse("[[zone]]\nname = 'bl.example.com'\nkey_env = 'DQS'").zones
        assert zone.wire_name.startswith(KEY)


def test_what_the_file_s_reader_shows_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    """The daemon gives the zones of its configuration to the resolver; its warnings came twice."""
    config = parse("".join(f'[[zone]]\nname = "z{number}.example"\n' for number in range(8)))
    (warning,) = config.warnings
    assert warning.startswith("8 zones: beyond 6")
    with Resolver(config.zones, config=config):
        assert caplog.messages == []
    with Resolver([zone.name for zone in config.zones]):
        assert caplog.messages == [warning]
