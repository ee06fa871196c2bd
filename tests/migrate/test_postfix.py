"""main.cf in, dnsbl.toml, and main.cf back: nothing is lost, and what has no counterpart is named."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.servers import needs

from dnsbl.config.file import Config
from dnsbl.config.file import parse as parse_config
from dnsbl.errors import ConfigError, ZoneError
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.maincf import Value, items
from dnsbl.migrate.maincf import parse as parse_maincf
from dnsbl.migrate.postfix import import_maincf
from dnsbl.migrate.postfix_export import Exported, export_postfix
from dnsbl.migrate.postfix_uses import VERBS
from dnsbl.migrate.write import format_config
from dnsbl.model import Outcome, Status, Wire, ZoneAnswer
from dnsbl.policy.findings import Findings, Hit
from dnsbl.policy.rules import compile_rules
from dnsbl.zones.catalogue import load
from dnsbl.zones.interpret import read
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.zone import Code, Filter, Zone

CATALOGUE = load()
KEY = "abcdefghij0123456789abcdef"


def imported(text: str) -> Imported:
    return import_maincf(text, CATALOGUE)


def config_of(found: Imported) -> Config:
    variables = {entry.key_env: "k" * 26 for entry in found.entries}
    return parse_config(format_config(found, "main.cf"), env=variables)


def exported(config: Config) -> Exported:
    variables = {table.values["name"]: table.values.get("key_env", "") for table in config.tables}
    return export_postfix(config.zones, policy=config.policy, postfix=config.postfix, variables=variables)


def lost(text: str) -> list[str]:
    return [str(note) for note in imported(text).notes if note.lost]


class TestSites:
    @pytest.mark.parametrize(
        ("item", "entry"),
        [
            ("bl.example.com", ("bl.example.com", "any", 1)),
            ("BL.Example.com*-3", ("bl.example.com", "any", -3)),
            ("bl.example.com=127.0.0.[2..11]*3", ("bl.example.com", "127.0.0.[2..11]", 3)),
            ("bl.example.com=127.0.[2;4].[1..3]", ("bl.example.com", "127.0.[2;4].[1..3]", 1)),
            ("bl.example.com*+2", ("bl.example.com", "any", 2)),
            ("bl.example.com*0", ("bl.example.com", "any", 0)),
        ],
    )
    def test_an_item(self, item: str, entry: tuple[str, str, int]) -> None:
        found = imported(f"postscreen_dnsbl_sites = {item}")
        assert [(e.name, e.reply, e.weight) for e in found.entries] == [entry]
        assert [note for note in found.notes if note.lost] == []

    def test_a_real_world_text(self) -> None:
        found = imported(
            "mydestination = localhost\n"
            "lists = zen.spamhaus.org=127.0.0.[2..11]*3,\n"
            "  # second opinion\n"
            "\tbl.spamcop.net\n"
            "postscreen_dnsbl_threshold = ${high?{5}:{3}}\n"
            "postscreen_dnsbl_action = enforce\n"
            "postscreen_dnsbl_sites =\n"
            "    $lists,\n"
            "#   $old_lists\n"
            "    ${mydestination?{list.dnswl.org=127.0.[0..255].[1..3]*-2}}\n"
            "    zen.spamhaus.org=127.0.0.[10;11]\n"
        )
        assert [(e.line, e.name, e.reply, e.weight) for e in found.entries] == [
            (8, "zen.spamhaus.org", "127.0.0.[2..11]", 3),
            (8, "bl.spamcop.net", "any", 1),
            (10, "list.dnswl.org", "127.0.[0..255].[1..3]", -2),
            (11, "zen.spamhaus.org", "127.0.0.[10;11]", 1),
        ]
        assert found.rules[-1]["score"] == ">=3"

    def test_the_threshold_of_one_needs_no_rules(self) -> None:
        assert imported("postscreen_dnsbl_sites = bl.example.com\npostscreen_dnsbl_threshold = 1").rules == ()

    def test_the_same_zone_with_several_filters_is_one_query_with_all_of_them(self) -> None:
        sites = "a.example=127.0.0.2*3 a.example=127.0.0.[2..9]*2 a.example=127.0.0.2*3"
        (zone,) = config_of(imported(f"postscreen_dnsbl_sites = {sites}")).zones
        assert [(str(entry.reply), entry.weight) for entry in zone.filters] == [
            ("127.0.0.2", 3), ("127.0.0.[2..9]", 2), ("127.0.0.2", 3),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "note"),
        [
            ("a.example*1.5", "line 1: a.example*1.5: left out: a weight is a whole number"),
            ("a.example*", "line 1: a.example*: left out: a weight is a whole number"),
            ("a.example=127.0.0", "line 1: a.example=127.0.0: left out: reply filter"),
            ("a.example=10.0.0.1", "line 1: a.example=10.0.0.1: left out: reply filter 10.0.0.1 can never"),
            ("a..example", "line 1: a..example: left out: zone name: two dots"),
            ("\n  $unset.example.com", "line 2: ${unset}.example.com: it needs a key"),
            ("\n  a.$mydomain", "line 2: a.${mydomain}: left out: this text does not set $mydomain"),
            ("${a", "line 1: postscreen_dnsbl_sites: not expanded: ${a: the bracket is not closed"),
        ],
    )
    def test_a_wrong_item_is_named(self, text: str, note: str) -> None:
        found = imported(f"postscreen_dnsbl_sites = {text}")
        assert [str(each) for each in found.notes if str(each).startswith(note)], found.notes


class TestRestrictions:
    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize("reply", ["", "=127.0.0.[2..4]"])
    def test_each_is_read_and_written_back(self, verb: str, reply: str) -> None:
        text = f"smtpd_recipient_restrictions = permit_mynetworks {verb.upper()} X.example{reply}, permit"
        found = imported(text)
        (entry,) = found.entries
        assert (entry.name, entry.reply) == ("x.example", reply[1:] or "any")
        assert entry.weight == (-1 if verb.startswith("permit") else 1)
        zone = config_of(found).zones[0]
        is_domain = "rhs" in verb
        assert zone.subjects == ({"domain"} if is_domain else {"ip4", "ip6"})
        assert zone.domain == ("host" if is_domain else "registrable")
        out = exported(config_of(found)).text
        assert out == f"dnsbl_smtpd_recipient_restrictions =\n    {verb} x.example{reply}\n"

    def test_what_is_asked_of_a_known_zone_comes_from_the_catalogue(self) -> None:
        found = imported(
            "smtpd_sender_restrictions = reject_rhsbl_sender dbl.spamhaus.org\n"
            "smtpd_client_restrictions = reject_rbl_client bl.spamcop.net\n"
        )
        assert [(e.name, e.subjects, e.domain) for e in found.entries] == [
            ("dbl.spamhaus.org", None, None), ("bl.spamcop.net", None, None),
        ]  # fmt: skip

    def test_one_zone_for_addresses_and_domains(self) -> None:
        found = imported(
            "smtpd_client_restrictions = reject_rbl_client x.example, reject_rhsbl_helo x.example"
        )
        (zone,) = config_of(found).zones
        assert zone.subjects == {"ip4", "ip6", "domain"}
        assert [(entry.reply, entry.weight) for entry in zone.filters] == [(None, 1)]

    def test_lists_that_are_referred_to_count_once_and_where_they_are_used(self) -> None:
        found = imported(
            "my_checks = reject_rbl_client a.example\n"
            "smtpd_restriction_classes = strict\n"
            "strict = reject_rbl_client b.example\n"
            "smtpd_client_restrictions = permit_mynetworks $my_checks\n"
        )
        assert found.postfix == {
            "postscreen_dnsbl_sites": [],
            "strict": ["reject_rbl_client b.example"],
            "smtpd_client_restrictions": ["reject_rbl_client a.example"],
        }

    def test_the_old_name_and_braces(self) -> None:
        found = imported(
            "smtpd_recipient_restrictions =\n"
            "  check_policy_service { inet:127.0.0.1:1, timeout = 10s, default_action = DUNNO }\n"
            "  reject_rbl a.example\n"
        )
        assert found.postfix["smtpd_recipient_restrictions"] == ["reject_rbl_client a.example"]

    def test_warn_if_reject_is_a_dry_run_of_that_zone(self) -> None:
        found = imported("smtpd_client_restrictions = warn_if_reject reject_rbl_client a.example")
        assert found.policy == {"dry_run": ["a.example"]}
        assert found.entries[0].weight == 1
        assert lost("smtpd_client_restrictions = warn_if_reject reject_rbl_client a.example") == []
        assert "    warn_if_reject reject_rbl_client a.example\n" in exported(config_of(found)).text

    def test_warn_if_reject_beside_a_real_one_is_named(self) -> None:
        text = (
            "smtpd_client_restrictions = warn_if_reject reject_rbl_client a.example\n"
            "  reject_rbl_client a.example=127.0.0.2\n"
        )
        (note,) = lost(text)
        assert note.startswith("line 1: warn_if_reject reject_rbl_client a.example: no counterpart")

    @pytest.mark.parametrize(
        ("text", "note"),
        [
            ("smtpd_client_restrictions = reject_rbl_client", "left out: a zone is needed after it"),
            ("smtpd_client_restrictions = reject_maps_rbl", "left out: not a restriction that is known here"),
            ("smtpd_client_restrictions = reject_rbl_client a..b", "left out: zone name"),
            ("postscreen_dnsbl_allowlist_threshold = -1", "no counterpart: no client passes"),
            ("postscreen_dnsbl_timeout = 5s", "no counterpart: set deadline_s"),
            ("rbl_reply_maps = hash:/x", "no counterpart: the text of a refusal"),
            ("maps_rbl_domains = a.example", "no counterpart: write each zone as"),
            ("postscreen_dnsbl_sites", "not a `name = value` line"),
            ("postscreen_dnsbl_threshold = many", "left out: not a whole number"),
            ("postscreen_dnsbl_sites = a.example\npostscreen_dnsbl_sites = b.example", "set again on line 2"),
        ],
    )
    def test_what_has_no_counterpart_is_named_with_its_line(self, text: str, note: str) -> None:
        (found,) = lost(text)
        assert found.startswith("line 1: ")
        assert note in found


class TestRules:
    """The rules decide as main.cf would."""

    def action(self, config: Config, listings: dict[str, str]) -> str:
        """What the policy does with a client that the zones list with the given codes."""
        answers = []
        for zone in config.zones:
            wire = Wire(Status.NXDOMAIN, 3)
            if zone.name in listings:
                octets = [int(octet) for octet in listings[zone.name].split(".")]
                wire = Wire(Status.OK, 0, (int.from_bytes(bytes(octets)),))
            reading = read(zone, wire)
            answers.append(ZoneAnswer(zone.name, reading.outcome, reading.codes, score=reading.score))

        score = sum(answer.score for answer in answers)
        listed = [answer for answer in answers if answer.outcome is Outcome.LISTED]
        hits = tuple(Hit("client", "192.0.2.1", answer) for answer in listed)
        found = Findings(score=score, hits=hits, least=score)

        policy = compile_rules(config.policy, config.source, [zone.name for zone in config.zones])
        request = {"client_address": "192.0.2.1", "server_port": "25"}
        for rule in policy.candidates(request):
            if all(condition.test(found) for condition in rule.of_verdict):
                return rule.action.verb
        return "DUNNO"

    def test_of_postscreen_the_threshold(self) -> None:
        config = config_of(
            imported(
                "postscreen_dnsbl_sites = a.example*2 b.example w.example*-2\n"
                "postscreen_dnsbl_threshold = 3\n"
            )
        )
        assert self.action(config, {"a.example": "127.0.0.2"}) == "DUNNO"
        both = {"a.example": "127.0.0.2", "b.example": "127.0.0.2"}
        assert self.action(config, both) == "REJECT"
        assert self.action(config, {**both, "w.example": "127.0.0.2"}) == "DUNNO"

    def test_of_smtpd_each_hit_and_the_order(self) -> None:
        config = config_of(
            imported(
                "smtpd_client_restrictions = reject_rbl_client a.example=127.0.0.2\n"
                " permit_dnswl_client w.example, reject_rbl_client b.example\n"
            )
        )
        hit = "127.0.0.2"
        assert self.action(config, {"a.example": hit}) == "REJECT"
        assert self.action(config, {"a.example": "127.0.0.3"}) == "DUNNO"
        assert self.action(config, {"b.example": "127.0.0.3"}) == "REJECT"
        assert self.action(config, {"w.example": hit, "b.example": hit}) == "DUNNO"
        assert self.action(config, {"w.example": hit, "a.example": hit}) == "REJECT"

    def test_a_permit_ends_its_own_list_only(self) -> None:
        config = config_of(
            imported(
                "smtpd_client_restrictions = permit_dnswl_client w.example, reject_rbl_client b.example\n"
                "smtpd_recipient_restrictions = reject_rbl_client a.example\n"
            )
        )
        hit = "127.0.0.2"
        assert self.action(config, {"w.example": hit, "b.example": hit}) == "DUNNO"
        assert self.action(config, {"w.example": hit, "a.example": hit}) == "REJECT"

    def test_of_both_a_zone_with_other_filters(self) -> None:
        config = config_of(
            imported(
                "postscreen_dnsbl_sites = a.example=127.0.0.2*2\npostscreen_dnsbl_threshold = 3\n"
                "smtpd_client_restrictions = reject_rbl_client a.example=127.0.0.9\n"
            )
        )
        assert self.action(config, {"a.example": "127.0.0.2"}) == "DUNNO"
        assert self.action(config, {"a.example": "127.0.0.9"}) == "REJECT"

    def test_a_reply_map_is_not_needed(self) -> None:
        text = "postscreen_dnsbl_sites = a.example\npostscreen_dnsbl_reply_map = texthash:/x\n"
        assert lost(text) == []
        assert any("not needed: a key is never part" in str(note) for note in imported(text).notes)

    def test_what_postscreen_refuses_no_restriction_permits(self) -> None:
        text = (
            "postscreen_dnsbl_action = drop\npostscreen_dnsbl_sites = a.example\n"
            "smtpd_client_restrictions = permit_dnswl_client w.example, reject_rbl_client b.example\n"
        )
        assert lost(text) == []
        config = config_of(imported(text))
        assert self.action(config, {"a.example": "127.0.0.2", "w.example": "127.0.0.2"}) == "REJECT"
        assert self.action(config, {"b.example": "127.0.0.2", "w.example": "127.0.0.2"}) == "DUNNO"
        assert self.action(config, {"b.example": "127.0.0.2"}) == "REJECT"

    def test_a_permit_that_several_lists_begin_with_ends_them_all(self) -> None:
        text = (
            "smtpd_client_restrictions = permit_dnswl_client w.example, reject_rbl_client a.example\n"
            "smtpd_recipient_restrictions = permit_dnswl_client w.example, reject_rbl_client b.example\n"
        )
        assert lost(text) == []
        config = config_of(imported(text))
        assert self.action(config, {"b.example": "127.0.0.2", "w.example": "127.0.0.2"}) == "DUNNO"
        assert self.action(config, {"b.example": "127.0.0.2"}) == "REJECT"

    def test_where_the_order_cannot_be_kept_it_is_named(self) -> None:
        (note,) = lost(
            "smtpd_client_restrictions = permit_dnswl_client w.example, reject_rbl_client a.example\n"
            "smtpd_recipient_restrictions = permit_dnswl_client v.example, reject_rbl_client b.example\n"
        )
        assert note.startswith("line 1: permit_dnswl_client w.example: here it also passes what smtpd_recip")


class TestKeysAndDeadZones:
    def test_a_key_is_never_written(self) -> None:
        text = (
            f"k = {KEY}\n"
            f"postscreen_dnsbl_sites = {KEY.upper()}.zen.dq.spamhaus.net=127.0.0.[2..11]*3\n"
            f" $k.bl.example.net*x\n"
            f"smtpd_client_restrictions = reject_rhsbl_helo $k.dbl.dq.spamhaus.net\n"
            f" reject_rbl_client {KEY}..x\n"
        )
        found = imported(text)
        config = config_of(found)
        shown = format_config(found, "main.cf") + "".join(map(str, found.notes)) + repr(exported(config))
        assert KEY not in shown.lower()
        assert [entry.key_env for entry in found.entries] == ["DNSBL_KEY_SPAMHAUS"] * 2
        assert [zone.wire_name for zone in config.zones] == [
            f"{'k' * 26}.zen.dq.spamhaus.net", f"{'k' * 26}.dbl.dq.spamhaus.net",
        ]  # fmt: skip
        assert [note for note in found.notes if "environment variable DNSBL_KEY_SPAMHAUS" in note.message]

    def test_two_keys_of_one_operator_have_two_variables(self) -> None:
        found = imported(f"postscreen_dnsbl_sites = a{KEY}.zen.dq.spamhaus.net b{KEY}.dbl.dq.spamhaus.net")
        assert [entry.key_env for entry in found.entries] == ["DNSBL_KEY_SPAMHAUS", "DNSBL_KEY_SPAMHAUS_2"]

    def test_a_parameter_in_the_keys_place_gives_its_name(self) -> None:
        found = imported("postscreen_dnsbl_sites = ${MY_DQS}.zen.dq.spamhaus.net*2")
        assert [(entry.name, entry.key_env) for entry in found.entries] == [("zen.dq.spamhaus.net", "MY_DQS")]
        out = exported(config_of(found))
        assert "    ${MY_DQS}.zen.dq.spamhaus.net*2\n" in out.text
        assert [hint for hint in out.hints if hint.startswith("set MY_DQS to the key")]

    def test_a_dead_zone_is_named_with_its_successor_and_not_used(self) -> None:
        found = imported(
            "postscreen_dnsbl_sites = dnsbl.sorbs.net*2 a.example\n"
            "smtpd_client_restrictions = reject_rbl_client ix.dnsbl.manitu.net=127.0.0.2\n"
        )
        notes = [str(note) for note in found.notes if note.lost]
        assert [re.split(r" is retired since .*: use | is retired since ", note)[0] for note in notes] == [
            "line 1: dnsbl.sorbs.net*2: left out: dnsbl.sorbs.net",
            "line 2: reject_rbl_client ix.dnsbl.manitu.net=127.0.0.2: left out: ix.dnsbl.manitu.net",
        ]
        text = format_config(found, "main.cf")
        assert '# name = "dnsbl.sorbs.net"' in text
        assert "use zen.spamhaus.org instead" in text
        assert [zone.name for zone in config_of(found).zones] == ["a.example"]


class TestExport:
    def test_codes_of_a_zone_without_filters_become_filters(self) -> None:
        codes = (
            Code(parse_reply_filter("127.0.0.2")),
            Code(parse_reply_filter("127.0.0.[3..4]"), weight=0.5),
            Code(parse_reply_filter("127.0.0.5"), outcome="neutral"),
            Code(mask=64),
        )
        out = export_postfix([Zone("a.example", codes=codes)]).text
        assert out.splitlines()[:4] == [
            "postscreen_dnsbl_threshold = 2",
            "postscreen_dnsbl_sites =",
            "    a.example=127.0.0.2*2",
            "    a.example=127.0.0.[3..4]",
        ]
        (mask,) = re.findall(r"a\.example=(\S+)\*2$", out)
        accepted = parse_reply_filter(mask)
        for last in range(256):
            assert accepted.matches(0x7F000000 | last) == bool(last & 64)
            assert not accepted.matches(0x7FFFFF00 | last)

    def test_domain_lists_become_restrictions_with_joined_filters(self) -> None:
        codes = tuple(Code(parse_reply_filter(f"127.0.1.{last}")) for last in (2, 4, 5))
        out = export_postfix([Zone("d.example", subjects=frozenset({"domain"}), codes=codes)])
        assert out.text == (
            "dnsbl_smtpd_recipient_restrictions =\n"
            "    reject_rhsbl_reverse_client d.example=127.0.1.[2;4..5]\n"
            "    reject_rhsbl_helo d.example=127.0.1.[2;4..5]\n"
            "    reject_rhsbl_sender d.example=127.0.1.[2;4..5]\n"
        )
        assert out.lost == ()

    def test_weights_become_whole_numbers_together(self) -> None:
        policy = {"rule": [{"score": ">=1.5", "action": "REJECT x"}]}
        weights = {"a.example": 0.25, "b.example": -1.0, "c.example": 3.0}
        zones = [Zone(name, filters=(Filter(None, weight),)) for name, weight in weights.items()]
        out = export_postfix(zones, policy=policy).text
        assert out.split() == [
            "postscreen_dnsbl_threshold", "=", "6", "postscreen_dnsbl_sites", "=",
            "a.example", "b.example*-4", "c.example*12",
        ]  # fmt: skip

    def test_what_postfix_cannot_say_is_named(self) -> None:
        zone = Zone("a.example", nameservers=("127.0.0.1:53",), timeout_s=1, on_error="listed")
        rules = [{"recipient": ["abuse@*"], "action": "DUNNO"}, {"score": ">=1", "action": "REJECT"}]
        policy = {"rule": rules}
        out = export_postfix([zone], policy=policy)
        assert out.lost[0] == "[[policy.rule]] number 1"
        assert out.lost[1:] == tuple(f"a.example: {key}" for key in ("nameservers", "timeout_s", "on_error"))

    def test_a_zone_that_left_the_configuration_is_left_out(self) -> None:
        postfix = {"smtpd_client_restrictions": ["reject_rbl_client gone.example=127.0.0.2"]}
        out = export_postfix([Zone("a.example")], postfix=postfix)
        assert "gone" not in out.text
        (note,) = out.lost
        assert note.startswith("smtpd_client_restrictions: reject_rbl_client gone.example=127.0.0.2: left")

    @pytest.mark.parametrize("value", ["x", [1], ["reject_x a.example"], ["reject_rbl_client a.example=1.2"]])
    def test_a_postfix_table_that_is_wrong_is_refused(self, value: object) -> None:
        with pytest.raises(ZoneError):
            export_postfix([Zone("a.example")], postfix={"smtpd_client_restrictions": value})

    def test_postfix_takes_what_is_written(self, tmp_path: Path) -> None:
        needs("postconf")
        out = export_postfix(CATALOGUE.default()).text
        used = "smtpd_recipient_restrictions = $dnsbl_smtpd_recipient_restrictions\n"
        (tmp_path / "main.cf").write_text(out + used)
        (tmp_path / "master.cf").write_text("")
        done = subprocess.run(
            ["postconf", "-c", tmp_path, "-x", "postscreen_dnsbl_sites", "smtpd_recipient_restrictions"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        assert "zen.spamhaus.org=127.0.0.2" in done.stdout
        assert "reject_rhsbl_sender dbl.spamhaus.org=127.0.1." in done.stdout


def test_a_text_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="longer than 1048576 characters"):
        imported("#" * (1 << 20) + "\n")
    with pytest.raises(ConfigError, match="more than 2000 zones"):
        imported("postscreen_dnsbl_sites = " + " ".join(f"z{n}.example" for n in range(2001)))


# Round trip

number = st.integers(0, 255)
span = st.tuples(number, number).map(lambda pair: f"{min(pair)}..{max(pair)}")
octet = number.map(str) | st.lists(number.map(str) | span, min_size=1, max_size=3).map(
    lambda members: f"[{';'.join(members)}]"
)
filters = st.tuples(octet, octet, octet).map(lambda fields: ".".join(["127", *fields]))
names = st.sampled_from(
    ["a.example", "b.example", "c-d.example.net", "zen.spamhaus.org", "list.dnswl.org", "multi.surbl.org"]
)
replies = st.none() | filters
sites = st.lists(st.tuples(names, replies, st.integers(-9, 9)), max_size=8)
restrictions = st.lists(
    st.tuples(
        st.sampled_from(["smtpd_client_restrictions", "smtpd_recipient_restrictions", "my_class"]),
        st.booleans(),
        st.sampled_from(list(VERBS)),
        names,
        replies,
    ),
    max_size=8,
)
gaps = st.sampled_from([" ", ", ", ",", "\n  ", " ,\n\t", "\n# a note = 1\n  ", "\n\n   "])


def zone_text(name: str, reply: str | None) -> str:
    return name if reply is None else f"{name}={reply}"


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, list[str], dict[str, list[str]], int]:
    """A main.cf with separators, comments and references at random, and what stands in it."""
    threshold = draw(st.integers(1, 20))
    wanted = [zone_text(n, r) + ("" if w == 1 else f"*{w}") for n, r, w in draw(sites)]
    lists: dict[str, list[str]] = {}
    for parameter, warns, verb, name, reply in draw(restrictions):
        text = f"{'warn_if_reject ' if warns else ''}{verb} {zone_text(name, reply)}"
        lists.setdefault(parameter, []).append(text)
    lines = [f"postscreen_dnsbl_threshold = {threshold}"]
    for parameter, found in {"postscreen_dnsbl_sites": wanted, **lists}.items():
        pieces = []
        for at, item in enumerate(found):
            if draw(st.booleans()):
                lines.append(f"{parameter}_{at} = {item}")
                item = draw(st.sampled_from(["${%s_%d}", "$(%s_%d)", "$%s_%d"])) % (parameter, at)
            pieces += [draw(gaps), item]
        lines.append(f"{parameter} = {''.join(pieces)}")
    return "\n".join(lines), wanted, lists, threshold


def canonical(item: str) -> tuple[str, str, int]:
    zone, _, weight = item.partition("*")
    name, _, reply = zone.partition("=")
    return name, reply, int(weight or 1)


def items_in(text: str) -> dict[str, list[str]]:
    """Every parameter's items, expanded."""
    values = {parameter.name: parameter.value for parameter in parse_maincf(text)[0]}
    return {
        name: [item.text for item in items(Value(value, values).text, 1)] for name, value in values.items()
    }


@settings(max_examples=80, deadline=None)
@given(texts())
def test_round_trip_loses_nothing(case: tuple[str, list[str], dict[str, list[str]], int]) -> None:
    text, wanted, lists, threshold = case
    found = imported(text)
    assert [note for note in found.notes if "left out" in note.message] == []
    if not found.entries:
        return  # a configuration without zones is the curated default
    back = items_in(exported(config_of(found)).text)
    assert Counter(map(canonical, back.get("postscreen_dnsbl_sites", []))) == Counter(map(canonical, wanted))
    if wanted:
        assert back.get("postscreen_dnsbl_threshold", ["1"]) == [str(threshold)]
    written = {name: " ".join(value) for name, value in back.items() if name.startswith("dnsbl_")}
    assert written == {f"dnsbl_{name}": " ".join(value) for name, value in lists.items()}


@settings(max_examples=80, deadline=None)
@given(sites, st.lists(st.integers(2, 0xFEFFFF), min_size=1, max_size=3))
def test_scores_are_those_of_postscreen(wanted: list[tuple[str, str | None, int]], codes: list[int]) -> None:
    """Each item adds its weight once if some reply matches it (postscreen_dnsbl.c); no code is an error's."""
    text = " ".join(f"{zone_text(n, r)}*{w}" for n, r, w in wanted if n.endswith(("example", "net")))
    config = config_of(imported(f"postscreen_dnsbl_sites = {text}"))
    wire = Wire(Status.OK, 0, tuple(sorted({0x7F000000 | code for code in codes})))
    for zone in config.zones if text else ():
        expected = sum(
            weight
            for name, reply, weight in wanted
            if name == zone.name
            and (reply is None or any(map(parse_reply_filter(reply).matches, wire.addresses)))
        )
        assert read(zone, wire).score == expected
