"""A main.cf as it comes: from postconf itself, with master.cf's overrides, old and new names, classes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.decisions import decided
from support.servers import needs

from dnsbl.config.file import parse
from dnsbl.migrate.detect import detect
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.postfix import import_maincf
from dnsbl.migrate.write import format_config
from dnsbl.zones.catalogue import load

CATALOGUE = load()
CLIENT = "192.0.2.99"


def imported(text: str) -> Imported:
    return import_maincf(text, CATALOGUE)


def notes(found: Imported, *, lost: bool = True) -> list[str]:
    return [str(note) for note in found.notes if note.lost is lost]


def bound(found: Imported) -> list[tuple[object, object, str]]:
    """Source, zones and the action's first word of each rule that the text made."""
    return [
        (rule.get("look_up"), rule["zones"], str(rule["action"]).split()[0])
        for rule in found.rules
        if "zones" in rule
    ]


def postconf(folder: Path, *options: str) -> str:
    """What postconf prints, with its warnings, as people paste it."""
    done = subprocess.run(
        ["postconf", "-c", folder, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def test_what_postconf_prints_is_what_the_files_say(tmp_path: Path) -> None:
    """`postconf -nx` and `postconf -P` of a main.cf and master.cf: the same lists in the same order."""
    needs("postconf")
    (tmp_path / "main.cf").write_text(
        "compatibility_level = 3.7\n"
        "ours = bl.example.com\n"
        "mynetworks = 127.0.0.0/8 198.51.100.0/24\n"
        "unused_thing = 1\n"
        "smtpd_client_restrictions = permit_mynetworks,\n  reject_rbl_client $ours=127.0.0.[2..4]\n"
        "smtpd_sender_restrictions = reject_rhsbl_sender old.example.com\n"
        "postscreen_dnsbl_sites = zen.example.com*2 wl.example.com*-1\n"
        "postscreen_dnsbl_action = enforce\npostscreen_dnsbl_threshold = 2\n"
    )
    (tmp_path / "master.cf").write_text(
        "smtp      inet  n       -       y       -       1       postscreen\n"
        "smtpd     pass  -       -       y       -       -       smtpd\n"
        "  -o smtpd_sender_restrictions=reject_rhsbl_sender,dbl.example.com\n"
        "submission inet n       -       y       -       -       smtpd\n"
        "  -o smtpd_client_restrictions=reject_rbl_client,other.example.com\n"
    )
    printed = postconf(tmp_path, "-nx") + postconf(tmp_path, "-P")
    assert "warning" in printed  # of the parameter that nothing uses
    assert detect(printed) == "postfix"
    found = imported(printed)
    assert [(entry.name, entry.reply, entry.weight) for entry in found.entries] == [
        ("zen.example.com", "any", 2),
        ("wl.example.com", "any", -1),
        ("bl.example.com", "127.0.0.[2..4]", 1),
        ("dbl.example.com", "any", 1),
    ]
    assert bound(found) == [
        (["client"], ["bl.example.com"], "REJECT"),
        (["sender"], ["dbl.example.com"], "REJECT"),
    ]
    assert found.policy == {"own_networks": ["198.51.100.0/24"]}
    said = notes(found)
    assert len(said) == 2
    assert any("set again on line" in note for note in said)
    assert any("of the service submission alone, which is not port 25" in note for note in said)
    files = (tmp_path / "main.cf").read_text() + (tmp_path / "master.cf").read_text()
    assert format_config(imported(files), "x") == format_config(found, "x")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("postscreen_dnsbl_ttl", "postscreen_dnsbl_max_ttl"),
        ("postscreen_dnsbl_whitelist_threshold", "postscreen_dnsbl_allowlist_threshold"),
        ("postscreen_blacklist_action", "postscreen_denylist_action"),
        ("postscreen_whitelist_interfaces", "postscreen_allowlist_interfaces"),
    ],
)
def test_names_of_which_postfix_3_11_warns(old: str, new: str) -> None:
    sites = "postscreen_dnsbl_action = drop\npostscreen_dnsbl_sites = a.example\n"
    renamed = imported(f"{sites}{old} = 1h\n")
    (note,) = notes(renamed, lost=False)
    assert note == f"line 3: {old} = 1h: Postfix 3.11 warns of this name: it is {new} now"
    both = imported(f"{sites}{old} = 1h\n{new} = 2h\n")
    assert f"line 3: {old} = 1h: left out: {new}, its new name, is set too, and counts" in notes(
        both, lost=False
    )
    assert notes(renamed) == [str(note).replace(new, new) for note in notes(imported(f"{sites}{new} = 1h\n"))]


def test_what_postconf_warns_of_in_3_11_is_no_line_of_main_cf() -> None:
    text = (
        'postconf: warning: /etc/postfix/main.cf: support for parameter "postscreen_dnsbl_ttl" will be '
        'removed; instead, specify "postscreen_dnsbl_max_ttl"\n'
        "smtpd_client_restrictions = reject_rbl_client a.example\n"
    )
    assert notes(imported(text)) == []


def test_a_class_stands_where_it_is_named() -> None:
    text = (
        "smtpd_restriction_classes = strict, unused\n"
        "strict = permit_dnswl_client w.example, reject_rbl_client b.example\n"
        "unused = reject_rbl_client c.example\n"
        "smtpd_recipient_restrictions = reject_rbl_client a.example, strict, reject_rhsbl_helo d.example\n"
    )
    found = imported(text)
    assert [note.split(": ", 2)[1] for note in notes(found)] == ["unused"]
    assert [zones for _, zones, action in bound(found) if action != "DEFER_IF_PERMIT"] == [
        ["a.example"], ["c.example"], ["w.example"], ["b.example"], ["d.example"],
    ]  # fmt: skip


def test_a_class_in_itself_ends() -> None:
    text = "smtpd_restriction_classes = a\na = reject_rbl_client x.example, a\nsmtpd_helo_restrictions = a\n"
    assert [entry.name for entry in imported(text).entries] == ["x.example"]


def test_what_may_pass_a_client_first_is_named() -> None:
    text = (
        "smtpd_recipient_restrictions = permit_sasl_authenticated, check_client_access cidr:/etc/postfix/ok,\n"
        "  reject_rbl_client a.example, check_helo_access hash:/x, permit, reject_rbl_client b.example\n"
    )
    found = imported(text)
    assert [entry.name for entry in found.entries] == ["a.example"]
    (lost,) = notes(found)
    assert lost.startswith("line 1: check_client_access: no counterpart: whom it lets pass")
    (note,) = notes(found, lost=False)
    assert note.startswith("line 2: reject_rbl_client: left out: never reached, as permit before it")


def test_a_list_that_holds_good_and_bad_domains() -> None:
    """One zone with codes for both, as a permit and as a rejection, and the order between them."""
    text = (
        "smtpd_recipient_restrictions = permit_rhswl_client both.example=127.0.0.1,\n"
        "  reject_rhsbl_client both.example=127.0.0.[2..4], reject_rhsbl_sender both.example=127.0.0.2\n"
    )
    config = parse(format_config(imported(text), "main.cf"))
    request = {"client_address": CLIENT, "client_name": "mail.example.com", "sender": "a@example.net"}
    name, sender = ("both.example", "mail.example.com"), ("both.example", "example.net")
    assert decided(config, request, {name: {"127.0.0.2"}}) == "REJECT"
    assert decided(config, request, {name: {"127.0.0.1", "127.0.0.2"}}) == "DUNNO"
    assert decided(config, request, {name: {"127.0.0.1"}, sender: {"127.0.0.2"}}) == "DUNNO"
    assert decided(config, request, {sender: {"127.0.0.2"}}) == "REJECT"
    assert decided(config, request, {sender: {"127.0.0.1"}}) == "DUNNO"
