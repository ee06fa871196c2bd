"""What a subject means to the zones: the names to be asked, and of which zones each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from dnsbl.cache.answers import Key
from dnsbl.errors import SubjectError
from dnsbl.lookup.core import Core
from dnsbl.lookup.values import bits
from dnsbl.subject import Subject, email_subject, parse_subject, url_subject
from dnsbl.zones.zone import HASHED_KINDS

MAX_NAME: Final = 253
"""Characters of a DNS name without its trailing dot (RFC 1035 section 2.3.4)."""


class Part(NamedTuple):
    """One name to be asked, and of which zones (a bit mask)."""

    key: Key
    zones: int


def asked_subject(core: Core, value: object) -> Subject:
    """As `parse_subject`; but an e-mail address or URL is asked by hash where no zone takes domains."""
    if isinstance(value, str) and not core.takes["domain"]:
        if core.takes["url"] and "://" in value:
            return url_subject(value)
        if core.takes["email"] and "@" in value:
            return email_subject(value)
    return parse_subject(value)


def parts_of(core: Core, subject: Subject) -> tuple[list[Part], str]:
    """The names that this subject means to the zones, and why zones that take its kind are not asked.

    Raises SubjectError where a name would be too long for one of the zones: never answered as clean.
    """
    private = subject.local and not core.settings.check_private
    if private and not core.takes.get(subject.kind, 0) & core.local.mask:
        return [], "not a public address or name, so no public list can hold it"
    wanted = core.takes.get(subject.kind, 0) & (core.local.mask if private else -1)
    why = "not a public address or name, so no public list can hold it" if private else ""
    if not isinstance(subject.key, str):
        return ([Part(subject.key, wanted)] if wanted else []), why
    if subject.kind in HASHED_KINDS:
        return _hashed_parts(core, subject, wanted), why or f"it holds no {subject.kind} of this form"
    registrable, host = wanted & core.registrable, wanted & ~core.registrable
    names: dict[Key, int] = {}
    if registrable and (name := subject.asked_as("registrable")):
        names[name] = registrable
    if host and (name := subject.asked_as("host")):
        names[name] = names.get(name, 0) | host
    _check_lengths(core, names, subject)
    return [Part(key, zones) for key, zones in names.items()], why or "a public suffix is no one's domain"


def _hashed_parts(core: Core, subject: Subject, wanted: int) -> list[Part]:
    """An e-mail address's or URL's labels, by the form each zone wants; a zone without one is not asked."""
    from dnsbl.subject.hashed import hash_label  # most resolvers hash nothing

    names: dict[Key, int] = {}
    for index in bits(wanted):
        zone = core.zones[index]
        label = hash_label(subject.kind, subject.text, zone.hash, zone.normal_form)
        if label is not None:
            names[label] = names.get(label, 0) | 1 << index
    return [Part(key, zones) for key, zones in names.items()]


def _check_lengths(core: Core, names: Mapping[Key, int], subject: Subject) -> None:
    for name, zones in names.items():
        for index in bits(zones):
            zone = core.zones[index]
            if len(name) + 1 + len(zone.wire_name) > MAX_NAME:
                raise SubjectError(
                    f"{subject.text[:40]}... is too long to be asked of {zone.name}: name and zone together "
                    f"have at most {MAX_NAME} characters",
                    subject.text,
                )
