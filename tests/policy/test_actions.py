"""The actions of access(5): which are taken, which are refused, and how their text is filled in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.policy.actions import FIELDS, Action, ActionError, parse_action

EMPTY = dict.fromkeys(FIELDS, "")


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("OK", "OK"),
        ("ok whatever", "OK"),
        ("DUNNO", "DUNNO"),
        ("REJECT", "REJECT"),
        ("reject 5.7.1 no", "REJECT"),
        ("DEFER later", "DEFER"),
        ("DEFER_IF_REJECT later", "DEFER_IF_REJECT"),
        ("defer_if_permit {zones} has {client}", "DEFER_IF_PERMIT"),
        ("DISCARD", "DISCARD"),
        ("HOLD {reason}", "HOLD"),
        ("INFO {score}", "INFO"),
        ("WARN {codes}", "WARN"),
        ("PREPEND X-Spam: {zones}", "PREPEND"),
        ("BCC postmaster@example.com", "BCC"),
        ("REDIRECT trap@example.com", "REDIRECT"),
        ("FILTER smtp:[127.0.0.1]:10025", "FILTER"),
        ("FILTER smtp:", "FILTER"),
        ("550 no", "550"),
        ("421 4.7.0 go away", "421"),
        ("permit", "permit"),
        ("reject_unauth_destination, permit", "reject_unauth_destination permit"),
        ("warn_if_reject reject_unlisted_recipient", "warn_if_reject reject_unlisted_recipient"),
        ("greylist", "greylist"),
    ],
)
def test_every_action_of_access_5(text: str, verb: str) -> None:
    assert parse_action(text, ["greylist"]).verb == verb


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("REJCT no", "did you mean REJECT?"),
        ("rejct", "did you mean REJECT?"),
        ("ACCEPT", "unknown action 'ACCEPT'"),
        ("greylist", "restriction_classes"),
        ("permit_mynetwork", "did you mean permit_mynetworks?"),
        ("reject_rbl_client bl.example.com", "unknown action"),
        ("check_client_access hash:/etc/postfix/x", "unknown action"),
        ("550", "550 alone means OK"),
        ("421", "means OK"),
        ("1234", "means OK"),
        ("250 fine", "unknown action"),
        ("600 x", "unknown action"),
        ("PREPEND", "needs a header"),
        ("PREPEND no colon", "needs a header"),
        ("PREPEND X-A:", "needs a header"),
        ("PREPEND {zones}: x", "needs a header"),
        ("PREPEND X{score}: x", "needs a header"),
        ("BCC", "needs user@domain"),
        ("BCC nobody", "needs user@domain"),
        ("BCC {client}@example.com", "needs user@domain"),
        ("REDIRECT a@b c@d", "needs user@domain"),
        ("FILTER", "needs transport:destination"),
        ("FILTER smtp", "needs transport:destination"),
        ("FILTER smtp:{zones}", "needs transport:destination"),
        ("REJECT {zone}", "unknown place {zone}; known are {client}, {zones}, {score}, "),
        ("REJECT {}", "unknown place {}"),
        ("REJECT {client", "lone brace"),
        ("REJECT a } b", "a lone brace; braces hold one of {client}, {zones}, {score}, "),
        ("REJECT {{client}}", "lone brace"),
        ("REJECT a\naction=OK", "one line"),
        ("REJECT a\0", "one line"),
        ("REJECT caf\u00e9", "ASCII"),
        ("REJECT " + "x" * 600, "longer than 512"),
        ("", "means OK"),
        ("  \t", "means OK"),
    ],
)
def test_what_postfix_would_not_understand_is_refused(text: str, says: str) -> None:
    with pytest.raises(ActionError) as caught:
        parse_action(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def render(template: str, **values: str) -> str:
    return parse_action(template).render(EMPTY | values)


def test_a_text_is_filled_in() -> None:
    template = "reject {client} is listed by {zones}: {reason} {delist_url}"
    assert (
        render(
            template,
            client="192.0.2.99",
            zones="bl.example.com",
            reason="spam source",
            delist_url="https://bl.example.com/?192.0.2.99",
        )
        == "REJECT 192.0.2.99 is listed by bl.example.com: spam source https://bl.example.com/?192.0.2.99"
    )
    assert render(template, client="192.0.2.99", zones="a") == "REJECT 192.0.2.99 is listed by a"
    assert render("REJECT {reason}") == "REJECT"
    assert render("PREPEND X-Reason: {reason}") == "PREPEND X-Reason:"


def test_a_code_is_never_left_alone() -> None:
    """`550` alone would be OK."""
    assert render("550 {reason}") == "550 Access denied"
    assert render("421 {reason}: ") == "421 Access denied"


def test_a_value_is_put_in_once_and_cannot_end_the_line() -> None:
    assert render("REJECT {reason}", reason="{client}\n\naction=OK", client="192.0.2.1") == (
        "REJECT {client} action=OK"
    )


@given(st.sampled_from(["REJECT {reason}", "450 {reason} x", "PREPEND X-A: {reason}"]), st.text())
def test_no_value_makes_another_action(template: str, reason: str) -> None:
    action = render(template, reason=reason)
    assert action.split(" ")[0] == template.split(" ")[0]
    assert action.isascii()
    assert action.isprintable()


def test_text_of_an_action() -> None:
    for text in ("REJECT {client} is listed", "DUNNO", "BCC a@example.com", "550 x {score}"):
        assert str(parse_action(text)) == text
    assert Action("DUNNO").is_dunno
    assert not parse_action("REJECT").is_dunno


# Never a text that is only an enhanced status code (K1)


@pytest.mark.parametrize(
    ("action", "reason", "rendered"),
    [
        ("REJECT 5.7.1 {reason}", "", "REJECT 5.7.1 Access denied"),
        ("REJECT 5.7.1: {reason}", "", "REJECT 5.7.1 Access denied"),
        ("550 5.7.1 {reason}", "", "550 5.7.1 Access denied"),
        ("REJECT {reason}", "5.7.1", "REJECT 5.7.1 Access denied"),
        ("REJECT {reason}", " 5.7.1\r\n", "REJECT 5.7.1 Access denied"),
        ("REJECT {reason}", "5.7.1 -", "REJECT 5.7.1 Access denied"),
        ("DEFER_IF_PERMIT 4.7.{reason}", "1", "DEFER_IF_PERMIT 4.7.1 Access denied"),
        ("WARN {reason}", "2.0.0", "WARN 2.0.0 Access denied"),
        ("REJECT {reason}", "5.7.1 listed", "REJECT 5.7.1 listed"),
        ("REJECT {reason}", "5.7.1.2", "REJECT 5.7.1.2"),
    ],
)
def test_a_code_alone_gets_a_text(action: str, reason: str, rendered: str) -> None:
    values = dict.fromkeys(FIELDS, "") | {"reason": reason}
    assert parse_action(action).render(values) == rendered


@pytest.mark.parametrize("text", ["REJECT 5.7.1", "554 5.7.1", "defer 4.7.1 ", "INFO 2.0.0"])
def test_a_code_alone_is_refused_in_the_configuration(text: str) -> None:
    with pytest.raises(ActionError, match="an enhanced status code without a text"):
        parse_action(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rejct, permit", "unknown action 'rejct'; did you mean REJECT? Postfix"),
        ("permit, rejct", "unknown action 'rejct'; did you mean REJECT? Postfix"),
        (
            "Permit_mynetwork rejct",
            "unknown action 'Permit_mynetwork'; did you mean permit_mynetworks? Postfix",
        ),
        ("REJECT {client}: a } b", "lone brace"),
        ("REJECT {client}: {reason} } b", "lone brace"),
    ],
)
def test_the_word_that_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ActionError) as caught:
        parse_action(text)
    assert says in str(caught.value)


def test_only_what_is_filled_in_loses_its_punctuation() -> None:
    assert render("REJECT wait:") == "REJECT wait:"
    assert render("REJECT {zones}:") == "REJECT"
    assert parse_action("REJECT {client} {client} {reason}").names_findings
    assert not parse_action("REJECT {client} {client}").names_findings
