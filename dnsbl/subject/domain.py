"""A domain name as DNS asks it, and what of it a list is asked.

What it does: host name text to lower-case A-labels, names that no public list can hold, registrable
domains. What it does not: no addresses, e-mail addresses and URLs (parse.py), and no I/O but that the
public suffix library reads its own data file once, when a domain list is first asked.

What is a name here, where usage and the RFCs leave a choice:

- Labels hold letters, digits, hyphens and underscores in any place. Host names (RFC 1123 section 2.1) are
  narrower, but DNS is not (RFC 2181 section 11), resolvers and browsers follow `a-.example.com`, and what
  can be linked to must be checkable.
- A label in Unicode must be valid under IDNA 2008 after the UTS 46 mapping, so an emoji is refused. A
  label that already is in A-label form is asked as it stands (checking it is optional, RFC 5891
  section 5.3), so that domains of laxer registries can be checked in the form DNS has them.
- No name ends in a label of digits only or a hexadecimal number: such text is meant as an address, and some
  reader would take it for one (RFC 6943 section 3.1.1; the "ends in a number" rule of the URL standard).
  Nor in two numbers with a hyphen between, which is a range of addresses.
- No name that is one label begins with a hyphen: it is an option gone astray.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from dnsbl.errors import SubjectError

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

NAME_MAX = 253
"""Characters of a name without its trailing dot (RFC 1035 section 2.3.4: 255 octets on the wire)."""
LABEL_MAX = 63
"""Characters of a label (RFC 1035 section 2.3.4)."""
_TEXT_MAX = 1024
"""Characters of a name before the IDNA mapping, which may shorten it."""

_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NOT_IN_LABEL = re.compile(r"[^a-z0-9_.-]")
_NUMBER = re.compile(r"[0-9]+(?:-[0-9]+)?|0x[0-9a-f]*")

LOCAL_TLDS = frozenset(
    {
        "alt",  # RFC 9476 section 2
        "arpa",  # infrastructure, no mail or web domains (RFC 3172); home.arpa (RFC 8375) with it
        "corp",  # RFC 6762 appendix G, as are home, intranet, lan and private
        "home",
        "internal",  # reserved for private use, ICANN board resolution of 2024-07-29
        "intranet",
        "invalid",  # RFC 6761 section 6.4
        "lan",
        "local",  # multicast DNS, RFC 6762 section 3
        "localdomain",  # in no RFC: many systems call themselves localhost.localdomain
        "localhost",  # RFC 6761 section 6.3
        "onion",  # RFC 7686 section 2
        "private",
        "test",  # RFC 6761 section 6.2
    }
)
"""Top-level domains whose names have no public meaning, so that no public list can hold them.
`example` (RFC 6761 section 6.5) is not among them: like documentation addresses it is looked up."""


def parse_domain(text: str) -> str:
    """A host name in lower-case A-label form, without a trailing dot, at most 253 characters.

    Takes ASCII or Unicode text; one trailing dot is dropped. SubjectError if it cannot be a name in DNS or
    is an address gone wrong. An address is no domain either: see `parse_subject`, which takes both.

    >>> parse_domain("WWW.Example.COM.")
    'www.example.com'
    >>> parse_domain("stra\\u00dfe.example")
    'xn--strae-oqa.example'
    """
    if len(text) > _TEXT_MAX:
        raise SubjectError(
            f"{shown(text)} is too long for a domain name: at most {NAME_MAX} characters", text
        )
    name = text.lower() if text.isascii() else _to_a_labels(text)
    name = name.removesuffix(".")
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        raise SubjectError(f"{shown(text)} is not a valid domain name: {_fault(name)}", text)
    if name[0] == "-" and "." not in name:
        raise SubjectError(f"{shown(text)} is not a valid domain name: it begins with a hyphen", text)
    if _NUMBER.fullmatch(name, name.rfind(".") + 1):
        raise SubjectError(
            f"{shown(text)} is neither an address nor a domain name: an IPv4 address is four decimal numbers "
            "from 0 to 255 without leading zeros",
            text,
        )
    return name


def has_public_suffix(name: str) -> bool:
    """Whether the Public Suffix List knows the name's top-level domain; the first call loads the list.

    >>> has_public_suffix("example.co.uk"), has_public_suffix("hosts.txt")
    (True, False)
    """
    return _known_suffixes().publicsuffix(name.lower().removesuffix(".")) is not None


def is_local_domain(name: str) -> bool:
    """Whether no public list can hold a name (as from `parse_domain`): a single label, or a private or
    special-use top-level domain.

    >>> is_local_domain("printer.lan"), is_local_domain("localhost"), is_local_domain("example.com")
    (True, True, False)
    """
    head, _, last = name.rpartition(".")
    return not head or last in LOCAL_TLDS


def registrable_domain(name: str) -> str | None:
    """The registrable domain of a name (as from `parse_domain`): the public suffix and one label more.

    None if the name is a suffix that registries give out, such as co.uk: there is nothing to ask a list. Both
    sections of the Public Suffix List count: below a private one, such as github.io, each label is somebody
    else's. SURBL asks for the same (surbl.org/implementation.html, read 2026-11-25: hosters that are often
    abused stand beside co.uk in its tables, and no name nearer the root is to be asked). A private suffix
    itself (github.io, duckdns.org) is somebody's domain, registered as others are: the registries' section
    alone says what of it is registrable. A top-level domain that the list does not know is a public suffix.

    The first call loads the list, about 30 ms.

    >>> registrable_domain("www.shop.example.co.uk")
    'example.co.uk'
    >>> registrable_domain("me.github.io"), registrable_domain("github.io")
    ('me.github.io', 'github.io')
    >>> registrable_domain("co.uk") is None
    True
    """
    return _public_suffixes().privatesuffix(name) or _registries_suffixes().privatesuffix(name)


@cache
def _public_suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


@cache
def _registries_suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(only_icann=True)


@cache
def _known_suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)


def _to_a_labels(text: str) -> str:
    import idna

    try:
        labels = idna.uts46_remap(text, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
    except idna.IDNAError as error:
        raise SubjectError(
            f"{shown(text)} is not a valid domain name: not allowed by IDNA 2008 ({str(error)[:120]})", text
        ) from None


def _fault(name: str) -> str:
    """What is wrong with a name that does not match, for people to read."""
    if wrong := _NOT_IN_LABEL.search(name):
        return f"{wrong.group()!r} cannot stand in one"
    if not name:
        return "it has no labels"
    longest = max(len(label) for label in name.split("."))
    if longest > LABEL_MAX:
        return f"a label has {longest} characters, and {LABEL_MAX} is the limit"
    if len(name) > NAME_MAX:
        return f"it has {len(name)} characters, and {NAME_MAX} is the limit"
    return "between two dots, or before the first, a label is missing"


def shown(text: str) -> str:
    """Text from outside as one short quoted line for a message."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
