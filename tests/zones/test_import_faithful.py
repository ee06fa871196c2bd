"""Imports are faithful, or what is not is named: second.md L1 to L5 and L14, each fault's whole kind."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.decisions import decided

from dnsbl.config.file import parse
from dnsbl.migrate.detect import detect
from dnsbl.migrate.exim import import_exim
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.plain import import_plain
from dnsbl.migrate.postfix import import_maincf
from dnsbl.migrate.rspamd import import_rspamd
from dnsbl.migrate.spamassassin import import_spamassassin
from dnsbl.migrate.write import format_config
from dnsbl.zones.catalogue import load

CATALOGUE = load()


def lost(found: Imported) -> list[str]:
    return [f"{note.text}: {note.message}" for note in found.notes if note.lost]


def loads(found: Imported) -> None:
    """What is written is a configuration that is read."""
    parse(format_config(found, "a test"))


# ---- L1: the order of statements is the order of rules ----


@settings(deadline=None)
@given(st.lists(st.sampled_from(["deny", "drop", "accept"]), min_size=1, max_size=6))
def test_l1_exim_statements_decide_in_their_order(verbs: list[str]) -> None:
    names = [f"l{number}.example.com" for number in range(len(verbs))]
    text = "acl:\n" + "".join(
        f"  {verb} dnslists = {name}\n" for verb, name in zip(verbs, names, strict=True)
    )
    found = import_exim(text, CATALOGUE)
    loads(found)
    if "accept" not in verbs:
        assert found.rules == ()  # any listing refuses: what the policy does by itself
        return
    config = parse(format_config(found, "exim"))
    for hits in itertools.product([False, True], repeat=len(verbs)):
        listed = {name for name, hit in zip(names, hits, strict=True) if hit}
        exims = next((v for v, name in zip(verbs, names, strict=True) if name in listed), "accept")
        answers = {(name, "192.0.2.99"): {"127.0.0.2"} for name in listed}
        ours = decided(config, {"client_address": "192.0.2.99"}, answers)
        assert (ours == "DUNNO") == (exims == "accept")


def test_l5_exim_refusal_codes_that_are_kept_out_leave_the_rule() -> None:
    """Exim bug 2631."""
    text = "a:\n deny dnslists = zen.spamhaus.org!=127.255.255.252,127.255.255.254,127.255.255.255"
    found = import_exim(text, CATALOGUE)
    assert [(entry.name, entry.codes) for entry in found.entries] == [("zen.spamhaus.org", ())]
    assert lost(found) == []


# ---- L2: a rule about links gives a client nothing ----


def test_l2_a_link_rule_is_not_counted_against_clients() -> None:
    text = (
        "header __A eval:check_rbl('z', 'bl.example.com.')\n"
        "header A eval:check_rbl_sub('z', '127.0.0.2')\nscore A 1\n"
        "urirhssub B bl.example.com. A 127.0.0.3\nscore B 6\n"
    )
    found = import_spamassassin(text, CATALOGUE)
    assert [(entry.reply, entry.weight) for entry in found.entries] == [("127.0.0.2", 1.0)]
    (said,) = lost(found)
    assert "urirhssub B" in said
    assert "counts otherwise about addresses" in said


def test_l2_the_same_codes_about_both_are_one_table() -> None:
    text = (
        "header A eval:check_rbl('z', 'bl.example.com.', '127.0.0.2')\nscore A 2\ndescribe A listed\n"
        "urirhssub B bl.example.com. A 127.0.0.2\nscore B 2\ndescribe B listed\n"
    )
    (entry,) = import_spamassassin(text, CATALOGUE).entries
    assert entry.subjects == frozenset({"ip4", "ip6", "domain"})


# ---- L3: the catalogue's subjects win ----


@pytest.mark.parametrize(
    "found",
    [
        import_maincf("postscreen_dnsbl_sites = dbl.spamhaus.org=127.0.1.[2..99]*8", CATALOGUE),
        import_rspamd('rbls { "DBL" { rbl = "dbl.spamhaus.org"; } }', CATALOGUE),
        import_exim("a:\n deny dnslists = dbl.spamhaus.org", CATALOGUE),
    ],
    ids=["postscreen", "rspamd", "exim"],
)
def test_l3_a_list_of_domains_is_not_asked_about_addresses(found: Imported) -> None:
    (entry,) = found.entries
    assert entry.subjects is None
    (zone,) = parse(format_config(found, "a test")).zones
    assert zone.subjects == {"domain"}
    assert any("about domains alone" in said for said in lost(found))


# ---- L4: nothing vanishes ----


@pytest.mark.parametrize(
    "line",
    [
        "header X eval:check_hashbl_emails('bl.example.com', 'raw', 'ALLFROM', '^127')",
        "body X eval:check_hashbl_uris('bl.example.com', 'raw', '127.0.0.2')",
        "header X eval:check_dnsbl_something('bl.example.com')",
    ],
)
def test_l4_a_rule_of_another_kind_is_named(line: str) -> None:
    assert any("X" in said for said in lost(import_spamassassin(line, CATALOGUE)))


def test_l4_a_symbol_without_a_weight_is_named() -> None:
    text = 'rbls { a { rbl = "a.example"; } b { rbl = "b.example"; } } symbols { A { weight = 2; } }'
    notes = import_rspamd(text, CATALOGUE).notes
    assert any("has no weight" in note.message and note.text.upper() == "B" for note in notes)


def test_l14_a_lone_alias_is_its_rule_under_another_score() -> None:
    text = "header __A eval:check_rbl('z', 'bl.example.com.', '127.0.0.2')\nmeta A (__A)\nscore A 3\n"
    found = import_spamassassin(text, CATALOGUE)
    assert [(entry.reply, entry.weight) for entry in found.entries] == [("127.0.0.2", 3.0)]
    assert lost(found) == []


# ---- Postfix ----


@pytest.mark.parametrize("verb", ["reject_rbl_client", "warn_if_reject reject_rbl_client"])
def test_l5_a_restriction_for_refusals_alone_is_not_needed(verb: str) -> None:
    refusals = f"{verb} bl.example.com=127.255.255.[1..255]"
    text = f"smtpd_client_restrictions = reject_rbl_client bl.example.com, {refusals}"
    found = import_maincf(text, CATALOGUE)
    assert [entry.reply for entry in found.entries] == ["any"]
    assert lost(found) == []


@pytest.mark.parametrize("action", ["postscreen_dnsbl_action = ignore\n", ""])
def test_l14_postscreen_that_ignores_is_a_dry_run(action: str) -> None:
    found = import_maincf(f"{action}postscreen_dnsbl_sites = bl.example.com*2, x.example.com", CATALOGUE)
    assert found.policy == {"dry_run": ["bl.example.com", "x.example.com"]}


def test_l14_a_zone_that_a_restriction_refuses_by_is_in_no_dry_run() -> None:
    text = (
        "postscreen_dnsbl_sites = a.example, b.example\n"
        "smtpd_client_restrictions = reject_rbl_client a.example"
    )
    assert import_maincf(text, CATALOGUE).policy == {"dry_run": ["b.example"]}


def test_l14_mynetworks_are_own_networks() -> None:
    text = (
        "mynetworks = 127.0.0.0/8 [::1]/128 198.51.100.0/24, [2001:db8::]/32 hash:/etc/postfix/net\n"
        "smtpd_client_restrictions = permit_mynetworks, reject_rbl_client bl.example.com\n"
    )
    found = import_maincf(text, CATALOGUE)
    assert found.policy == {"own_networks": ["198.51.100.0/24", "2001:db8::/32"]}
    (said,) = lost(found)
    assert "hash:/etc/postfix/net" in said
    loads(found)


@pytest.mark.parametrize(
    "override",
    [
        "smtp inet n - y - - smtpd\n  -o {{ smtpd_client_restrictions = reject_rbl_client b.example }}\n",
        "smtp inet n - y - - smtpd -o syslog_name=x\n"
        "  -o smtpd_client_restrictions=reject_rbl_client,b.example\n",
        "smtpd pass - - n - - smtpd\n -o smtpd_client_restrictions=reject_rbl_client,b.example\n",
        "smtp/inet/smtpd_client_restrictions = reject_rbl_client b.example\n",
    ],
)
def test_what_master_cf_sets_for_port_25_counts(override: str) -> None:
    text = "smtpd_client_restrictions = reject_rbl_client a.example\n" + override.replace("{{", "{").replace(
        "}}", "}"
    )
    found = import_maincf(text, CATALOGUE)
    assert [entry.name for entry in found.entries] == ["b.example"]
    assert any("set again on line" in said for said in lost(found))


def test_what_master_cf_sets_for_submission_is_named() -> None:
    text = (
        "smtpd_client_restrictions = reject_rbl_client a.example\n"
        "submission inet n - y - - smtpd\n  -o smtpd_client_restrictions=reject_rbl_client,b.example\n"
        "submissions/inet/smtpd_client_restrictions = reject_rbl_client c.example\n"
    )
    found = import_maincf(text, CATALOGUE)
    assert [entry.name for entry in found.entries] == ["a.example"]
    assert len(lost(found)) == 2
    assert all("not port 25" in said for said in lost(found))


SITES = st.dictionaries(
    st.sampled_from([f"l{number}.example.com" for number in range(5)]),
    st.tuples(st.sampled_from(["", "=127.0.0.2", "=127.0.0.[2..4]"]), st.integers(-3, 4).filter(bool)),
    min_size=1,
)
ANSWERS = st.dictionaries(
    st.sampled_from([f"l{number}.example.com" for number in range(5)]),
    st.sets(st.sampled_from(["127.0.0.2", "127.0.0.4", "127.0.0.9"]), min_size=1),
)


@settings(deadline=None)
@given(SITES, st.integers(1, 6), ANSWERS)
def test_postscreen_and_what_is_imported_decide_alike(
    sites: dict[str, tuple[str, int]], threshold: int, answers: dict[str, set[str]]
) -> None:
    """Postfix' postscreen_dnsbl.c: a site counts its weight once where any record passes its filter."""
    from dnsbl.model import Status, Wire
    from dnsbl.zones.interpret import read

    accepts = {"": {2, 4, 9}, "=127.0.0.2": {2}, "=127.0.0.[2..4]": {2, 4}}
    written = ", ".join(f"{name}{reply}*{weight}" for name, (reply, weight) in sites.items())
    postfix = sum(
        weight
        for name, (reply, weight) in sites.items()
        if any(int(code[8:]) in accepts[reply] for code in answers.get(name, ()))
    )
    text = f"postscreen_dnsbl_action = enforce\npostscreen_dnsbl_threshold = {threshold}\n"
    found = import_maincf(f"{text}postscreen_dnsbl_sites = {written}\n", CATALOGUE)
    config = parse(format_config(found, "main.cf"))
    score = 0.0
    for zone in config.zones:
        codes = tuple(sorted(0x7F000000 | int(code[8:]) for code in answers.get(zone.name, ())))
        score += read(zone, Wire(Status.OK, 0, codes) if codes else Wire(Status.NXDOMAIN, 3, ())).score
    assert score == postfix
    rules = [rule for rule in found.rules if "score" in rule]
    limit = float(str(rules[0]["score"])[2:]) if rules else 1.0
    assert (score >= limit) == (postfix >= threshold)


# ---- plain lists, and whose text it is ----


def test_a_plain_list() -> None:
    text = (
        "# ours\nzen.spamhaus.org\nbl.example.com=127.0.0.2*3 ; weight\n"
        "\nwl.example.com*-1,\nzen.spamhaus.org\n??\n"
    )
    found = import_plain(text, CATALOGUE)
    loads(found)
    assert [(entry.name, entry.reply, entry.weight) for entry in found.entries] == [
        ("zen.spamhaus.org", None, None),
        ("bl.example.com", "127.0.0.2", 3.0),
        ("wl.example.com", "any", -1.0),
    ]
    assert [(note.line, note.lost) for note in found.notes] == [(6, False), (7, True)]


@pytest.mark.parametrize(
    ("text", "whose"),
    [
        ("zen.spamhaus.org\n# x\nbl.example.com=127.0.0.2*3\n", "plain"),
        (
            "myhostname = a.example\nsmtpd_recipient_restrictions =\n permit,\n reject_rbl_client a.example",
            "postfix",
        ),
        ("postscreen_dnsbl_sites = zen.spamhaus.org*2", "postfix"),
        ("smtp/inet/smtpd_client_restrictions = reject_rbl_client b.example", "postfix"),
        ("smtp inet n - y - - smtpd -o smtpd_client_restrictions=reject_rbl_client,b.example", "postfix"),
        ("begin acl\nacl_check:\n deny message = no\n  dnslists = a.example", "exim"),
        ("header X eval:check_rbl('x', 'a.example.')\nscore X 2", "spamassassin"),
        ("urirhssub X a.example. A 2\nbody X eval:check_uridnsbl('X')\ndescribe X y", "spamassassin"),
        ('rbls {\n "DBL" {\n rbl = "a.example";\n }\n}', "rspamd"),
        ('symbols = {\n "RBL_A" {\n weight = 2.0;\n }\n}', "rspamd"),
        ("nothing of the kind", None),
        ("", None),
    ],
)
def test_the_form_is_recognised(text: str, whose: str | None) -> None:
    assert detect(text) == whose


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_form_or_none(text: str) -> None:
    assert detect(text) in {None, "plain", "postfix", "exim", "spamassassin", "rspamd"}
    import_plain(text, CATALOGUE)
