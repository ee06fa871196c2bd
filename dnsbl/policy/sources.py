"""Which subjects one request has: the client's address, and the domains it shows. No I/O.

As Postfix's `reject_rbl_client` and `reject_rhsbl_*` (postconf(5)), with what they ask nothing for left out:

- `client`: client_address. Where it is not an address (`unknown`), there is nothing to look up.
- `sender`, `recipient`: the domain behind the last `@`. The null sender has none.
- `helo`: the name given with HELO or EHLO. `client_name`: the verified name, whose address is the client's
  again. `reverse_client_name`: the name of the client's address, verified or not.

An address literal, an address, and a name of one label (`localhost`, and Postfix's `unknown`) are not domains.

`DEFAULT_LOOK_UP` leaves the recipient out: that is one's own domain, which no list is to judge. Whoever sends
mail chooses sender, HELO and reverse name: these may speak against a client and never for it, see
`FORGEABLE` and `dnsbl.policy.findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from dnsbl.errors import SubjectError
from dnsbl.policy.patterns import MAX_VALUE_CHARS, client_key
from dnsbl.policy.protocol import Attributes
from dnsbl.subject import Subject
from dnsbl.subject.domain import is_local_domain, parse_domain

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


Asked = bytes | Subject
"""What a resolver takes without reading it again: an address's bytes, or a domain."""


def subjects(request: Attributes, look_up: Iterable[str]) -> dict[str, Asked]:
    """By source, what is looked up for this request; a source without a subject is left out.

    >>> found = subjects({"sender": "a@Mail.example.com", "helo_name": "[192.0.2.1]"}, ["sender", "helo"])
    >>> {source: subject.text for source, subject in found.items()}
    {'sender': 'mail.example.com'}
    """
    found: dict[str, Asked] = {}
    for source in look_up:
        value = request.get(_ATTRIBUTES[source], "")
        subject: Asked | None = None
        if source == CLIENT:
            subject = client_key(value)
        elif len(value) <= MAX_VALUE_CHARS:
            subject = _domain(value, source in ("sender", "recipient"))
        if subject is not None:
            found[source] = subject
    return found


@lru_cache(4_096)
def _domain(value: str, is_mail_address: bool) -> Subject | None:
    """The domain in a value."""
    _, at, name = value.rpartition("@")
    if is_mail_address and not at:
        return None  # `postmaster` alone
    name = name.removesuffix(".")
    last = name.rpartition(".")[2]
    if last == name or last.isdigit():
        return None
    try:
        name = parse_domain(name)
    except SubjectError:
        return None  # nothing a list could have: an underscore is a name of the DNS, a space is not
    return Subject("domain", name, name, is_local_domain(name))
