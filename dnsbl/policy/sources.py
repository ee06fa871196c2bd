"""Which subjects one request has: the client's address, and the domains it shows. No I/O.

As Postfix's `reject_rbl_client` and `reject_rhsbl_*` (postconf(5)), with what they ask nothing for left out:

- `client`: client_address. Where it is no address (`unknown`), there is nothing to look up.
- `sender`, `recipient`: the domain behind the last `@`. The null sender has none.
- `helo`: the name given with HELO or EHLO. `client_name`: the verified name, whose address is the client's
  again. `reverse_client_name`: the name of the client's address, verified or not.

An address literal, an address, and a name of one label (`localhost`, and Postfix's `unknown`) are no domain.

`DEFAULT_LOOK_UP` leaves the recipient out: that is one's own domain, which no list is to judge. Whoever sends
mail chooses sender, HELO and reverse name: these may speak against a client and never for it, see
`FORGEABLE` and `dnsbl.policy.findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from dnsbl.errors import SubjectError
from dnsbl.policy.patterns import MAX_ADDRESS_CHARS, MAX_VALUE_CHARS
from dnsbl.policy.protocol import Attributes
from dnsbl.subject.address import address_key
from dnsbl.subject.domain import parse_domain

CLIENT: Final = "client"
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "client": "client_address",
    "sender": "sender",
    "helo": "helo_name",
    "client_name": "client_name",
    "reverse_client_name": "reverse_client_name",
    "recipient": "recipient",
}
SOURCES: Final = tuple(_ATTRIBUTES)
"""What `look_up` may name."""
DEFAULT_LOOK_UP: Final = ("client", "sender", "helo", "client_name", "reverse_client_name")
FORGEABLE: Final = frozenset({"sender", "helo", "reverse_client_name", "recipient"})
"""What whoever sends can choose freely: an allowlist's word for it is worth nothing."""


def subjects(request: Attributes, look_up: Iterable[str]) -> dict[str, str]:
    """By source, what is looked up for this request; a source without a subject is left out.

    >>> subjects({"sender": "a@Mail.example.com", "helo_name": "[192.0.2.1]"}, ["sender", "helo"])
    {'sender': 'mail.example.com'}
    """
    found = {}
    for source in look_up:
        value = request.get(_ATTRIBUTES[source], "")
        if source == CLIENT:
            subject = value if len(value) <= MAX_ADDRESS_CHARS and address_key(value) is not None else ""
        elif len(value) > MAX_VALUE_CHARS:
            subject = ""
        else:
            subject = _domain(value, source in ("sender", "recipient"))
        if subject:
            found[source] = subject
    return found


@lru_cache(4_096)
def _domain(value: str, is_mail_address: bool) -> str:
    """The domain in a value, in A-labels and lower case; empty where there is none."""
    _, at, name = value.rpartition("@")
    if is_mail_address and not at:
        return ""  # `postmaster` alone
    name = name.removesuffix(".")
    last = name.rpartition(".")[2]
    if last == name or last.isdigit() or address_key(name) is not None:
        return ""
    try:
        return parse_domain(name)
    except SubjectError:
        return ""  # nothing a list could have: an underscore is a name of the DNS, a space is not
