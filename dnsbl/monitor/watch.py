"""What is watched: text to a `Watch`, and all of them to subjects. Pure; hosts are looked up elsewhere.

An item is an address; a range, all of whose addresses are watched; or a name. A name stands for the domain
itself, on lists of domains, and for every address it has, on lists of addresses; `host:NAME` for its addresses
only, `domain:NAME` for the domain only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Final, NamedTuple

from dnsbl.errors import InputError, SubjectError
from dnsbl.subject import Subject, parse_subject

MAX_SUBJECTS: Final = 4_096
"""Subjects watched by one monitor, ranges spread out: an IPv4 /20."""
HOST: Final = "host:"
DOMAIN: Final = "domain:"


class Watch(NamedTuple):
    """One item. text: as given. subjects: those known without asking. host: whose addresses are wanted, as
    A-labels; empty: nobody's."""

    text: str
    subjects: tuple[Subject, ...]
    host: str = ""


def parse_watch(text: str, *, private: bool = False) -> Watch:
    """Read one item. private: take addresses and names that no public list can hold.

    Raises SubjectError for what is none.

    >>> parse_watch("192.0.2.0/31").subjects[1].text
    '192.0.2.1'
    >>> parse_watch("mail.example.com").host
    'mail.example.com'
    """
    text = text.strip()
    if "/" in text and "://" not in text:
        return Watch(text, tuple(_of_range(text, private)))
    prefix = next((prefix for prefix in (HOST, DOMAIN) if text.startswith(prefix)), "")
    try:
        subject = parse_subject(text.removeprefix(prefix))
    except SubjectError as error:
        raise SubjectError(
            f"{error}; what can be watched: an address, a range as 192.0.2.0/24, a host name or a domain",
            text,
        ) from None
    if isinstance(subject.key, bytes):
        if prefix:
            raise SubjectError(f"{text!r} is an address: write it without {prefix!r}", text)
        _check_public(subject, private)
        return Watch(text, (subject,))
    _check_public(subject, private)
    if prefix != HOST and subject.registrable is None:
        raise SubjectError(f"{text!r} is a public suffix, no one's domain: give a name below it", text)
    subjects = () if prefix == HOST else (subject,)
    return Watch(text, subjects, "" if prefix == DOMAIN else subject.key)


def _of_range(text: str, private: bool) -> Iterable[Subject]:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise SubjectError(f"{text!r} is not a valid range: {error}: use 192.0.2.0/24", text) from None
    if network.num_addresses > MAX_SUBJECTS:
        raise SubjectError(
            f"{text} has {network.num_addresses:,} addresses: a monitor watches at most {MAX_SUBJECTS:,}; "
            "give smaller ranges",
            text,
        )
    for address in network:
        subject = parse_subject(address)
        _check_public(subject, private)
        yield subject


def _check_public(subject: Subject, private: bool) -> None:
    if subject.local and not private:
        raise SubjectError(
            f"{subject.text} is not public, so no public list can hold it: leave it out, or set "
            "check_private = true under [resolver]",
            subject.text,
        )


def expand(
    watches: Sequence[Watch], addresses: Mapping[str, Sequence[str]], *, private: bool = False
) -> dict[str, tuple[Subject, tuple[str, ...]]]:
    """Every subject once, by its text, with the items through which it is watched.

    addresses: of each host. Those that no public list can hold are left out, unless `private`.
    Raises InputError for more than `MAX_SUBJECTS`.
    """
    found: dict[str, tuple[Subject, tuple[str, ...]]] = {}
    for watch in watches:
        of_host = map(parse_subject, addresses.get(watch.host, ()) if watch.host else ())
        for subject in (*watch.subjects, *(each for each in of_host if private or not each.local)):
            _, via = found.get(subject.text, (subject, ()))
            found[subject.text] = subject, (*via, watch.text) if watch.text not in via else via
    if len(found) > MAX_SUBJECTS:
        raise InputError(
            f"{len(found):,} addresses and domains: a monitor watches at most {MAX_SUBJECTS:,}; "
            "give fewer, or start a second monitor with a state file of its own",
            f"{len(found)}",
        )
    return found
