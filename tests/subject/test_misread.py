"""What is no subject, but was probably meant as something else: one line that says what to write."""

from __future__ import annotations

import pytest

from dnsbl.errors import SubjectError
from dnsbl.subject.misread import looks_like_file
from dnsbl.subject.parse import parse_subject


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("192.0.2.0-255", "is a range of addresses: write each address"),
        ("192.0.2.0-192.0.2.255", "is a range of addresses: write each address"),
        ("192.0.2.0 - 192.0.2.255", "is a range of addresses: write each address"),
        ("2001:db8::1-2001:db8::9", "is a range of addresses: write each address"),
        ("192.0.2.0/24", "is a network: write one address"),
        ("2001:db8::/32", "is a network: write one address"),
        ("192.0.2.1:25", "is an address with a port: write 192.0.2.1"),
        ("[192.0.2.1]:25", "is an address with a port: write 192.0.2.1"),
        ("[2001:db8::1]:25", "is an address with a port: write 2001:db8::1"),
        ("example.com:25", "is a host with a port: write example.com"),
        ("example.com/x", "write https://example.com/x"),
        ("/etc/hosts", "write `dnsbl check - < /etc/hosts`"),
        ("./addrs", "looks like a file"),
        ("-1", "options stand before `--`"),
        ("--json", "options stand before `--`"),
    ],
)
def test_the_error_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(SubjectError) as caught:
        parse_subject(text)
    assert says in str(caught.value)
    assert caught.value.text == text


@pytest.mark.parametrize("text", ["addrs.txt", "a.b.csv", "HOSTS.TXT", "mail.log", "data.json", "x.gz"])
def test_a_name_that_ends_like_a_file_and_in_no_top_level_domain_is_a_file(text: str) -> None:
    assert "write `dnsbl check - <" in (looks_like_file(text) or "")


@pytest.mark.parametrize(
    "text", ["example.com", "example.zip", "example.sh", "txt", "user@example.txt", "https://x.txt/", "x.new"]
)
def test_what_may_be_a_domain_is_no_file(text: str) -> None:
    """zip and sh are top-level domains; an address of mail and a URL say what they are."""
    assert looks_like_file(text) is None


@pytest.mark.parametrize("text", ["1-2.example.com", "-x.example.com", "2-3.com"])
def test_numbers_and_hyphens_inside_a_name_are_taken(text: str) -> None:
    assert parse_subject(text).kind == "domain"
